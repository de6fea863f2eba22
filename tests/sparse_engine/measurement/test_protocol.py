"""The lines of a profile image: found among noise, checked, joined; and what is no report."""

import re
import zlib
from pathlib import Path

import pytest

from tinyformer.errors import BoardError
from tinyformer.sparse_engine.measurement import Report, ReportReader

DOCUMENT = Path(__file__).parents[3] / "docs" / "measuring.md"
IMAGE = "0123456789abcdef"
CYCLES = (120, 0, 4294967295)
REPORT = Report(IMAGE, "net", "my own board", CYCLES, 0x0BADCAFE)


def line(text: str) -> bytes:
    return f"${text}*{zlib.crc32(text.encode()):08x}\r\n".encode()


HEADER = line(f"profile 1 {IMAGE} 3 net my own board")
LAYERS = [line(f"layer {index} {cycles}") for index, cycles in enumerate(CYCLES)]
END = line("end 0badcafe")
WHOLE = b"".join([HEADER, *LAYERS, END])


def read(data: bytes) -> list[Report]:
    return ReportReader().feed(data)


def test_lines_are_what_the_documentation_shows() -> None:
    shown = re.findall(r"^ +(\$(.*)\*[0-9a-f]{8})$", DOCUMENT.read_text(), re.MULTILINE)
    assert [words.split(" ")[0] for _, words in shown] == ["profile", "layer", "layer", "end"]
    for whole, words in shown:
        assert whole.encode() + b"\r\n" == line(words)


def test_whole_report() -> None:
    assert read(WHOLE) == [REPORT]


def test_bytes_may_come_one_by_one() -> None:
    reader = ReportReader()
    found = [report for byte in WHOLE for report in reader.feed(bytes([byte]))]
    assert found == [REPORT]
    assert (reader.bytes_read, reader.lines_read) == (len(WHOLE), 5)


def test_a_bare_newline_ends_a_line_too() -> None:
    assert read(WHOLE.replace(b"\r", b"")) == [REPORT]


@pytest.mark.parametrize(
    "before",
    [
        b"\xff\x00\xfe$$*",  # what a line carries when the board is plugged in, in front of the header
        b"tinyformer net on board\r\ncycles 12\r\n",
        b"".join([*LAYERS[1:], END]),  # the rest of a report that began before the port was opened
        HEADER + LAYERS[0],  # a report that was broken off by a reset
        b"x" * 100_000 + b"\n",
    ],
)
def test_noise_before_a_report_is_skipped(before: bytes) -> None:
    assert read(before + WHOLE) == [REPORT]


@pytest.mark.parametrize(
    "spoilt",
    [
        WHOLE.replace(b"layer 1 0", b"layer 1 8"),  # a digit that changed on the way
        WHOLE.replace(b"profile 1", b"profile 9"),  # not even believed as another version
        b"".join([HEADER, LAYERS[0], LAYERS[2], END]),
        b"".join([HEADER, LAYERS[0], LAYERS[0], *LAYERS[1:], END]),
        b"".join([HEADER, *LAYERS[:2], END]),
        b"".join([HEADER, *LAYERS, line("layer 3 1"), END]),
        b"".join([HEADER, *LAYERS[:1], b"\xff\xff\r\n", *LAYERS[1:], END]),
        b"".join([HEADER, *LAYERS, line("end no-crc")]),
        b"".join([*LAYERS, END]),
        END,
        WHOLE[:-2],
    ],
)
def test_what_is_not_intact_is_no_report_and_the_next_one_counts(spoilt: bytes) -> None:
    reader = ReportReader()
    assert not reader.feed(spoilt)
    assert reader.feed(b"\r\n" + WHOLE)[-1] == REPORT


def test_two_reports() -> None:
    assert read(WHOLE + WHOLE) == [REPORT, REPORT]


def test_a_model_without_layers() -> None:
    assert read(line(f"profile 1 {IMAGE} 0 net board") + line("end 00000000"))[0].cycles == ()


def test_another_version_is_named() -> None:
    with pytest.raises(BoardError, match="version 2 of the protocol, this is version 1: compile the model again"):
        read(line("profile 2 whatever comes"))


def test_memory_is_bounded() -> None:
    reader = ReportReader()
    for _ in range(100):
        reader.feed(b"x" * 1000)
    assert len(reader._pending) <= 4096
