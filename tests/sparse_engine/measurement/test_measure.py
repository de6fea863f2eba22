"""measure() against a board that a pseudo-terminal plays: every way in which it can go wrong, and right."""

import os
import pty
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tinyformer import boards
from tinyformer.errors import BoardError, ConfigError
from tinyformer.sparse_engine import deployment, elf, graph_file, reference
from tinyformer.sparse_engine.bundle import GRAPH_FILE, Manifest
from tinyformer.sparse_engine.compiler import compile_graph
from tinyformer.sparse_engine.measurement import REQUEST, Measurement, measure
from tinyformer.sparse_engine.measurement.measure import CONSOLES, profile_input
from tinyformer.sparse_engine.synthetic import GraphBuilder
from tinyformer.sparse_engine.toolchain import image

Answers = Iterator[bytes]


def line(text: str) -> bytes:
    return f"${text}*{zlib.crc32(text.encode()):08x}\r\n".encode()


@pytest.fixture
def board() -> Iterator[Callable[[list[bytes]], str]]:
    """Start a board that answers each request with the next of some answers, then with nothing; return its port."""
    files: list[int] = []
    threads: list[threading.Thread] = []

    def start(answers: list[bytes]) -> str:
        board_end, host_end = pty.openpty()
        files.extend((host_end, board_end))
        port = os.ttyname(host_end)

        def serve() -> None:
            remaining = iter(answers)
            while True:
                try:
                    asked = os.read(board_end, 1)
                except OSError:
                    return
                if asked == REQUEST:
                    os.write(board_end, next(remaining, b""))

        threads.append(threading.Thread(target=serve, daemon=True))
        threads[-1].start()
        return port

    yield start
    for file in files:
        os.close(file)


@pytest.fixture
def answer(profile_bundle: Path) -> Callable[..., bytes]:
    """What the right board answers, or with changes a wrong one."""
    manifest = Manifest.load(profile_bundle)
    digest = image.profile_digest(elf.read(profile_bundle / "image" / "model-profile.elf"))
    graph = graph_file.load(profile_bundle / GRAPH_FILE)
    output = zlib.crc32(reference.run(graph, profile_input(graph.tensors[graph.input].shape)).tobytes())

    def lines(
        digest: str = digest, cycles: tuple[int, ...] = tuple(range(8)), output: int = output, name: str = "model"
    ) -> bytes:
        assert len(manifest.layers) == 8
        body = [line(f"layer {index} {count}") for index, count in enumerate(cycles)]
        header = line(f"profile 1 {digest} {len(cycles)} {name} stm32f746g-disco")
        return b"".join([header, *body, line(f"end {output:08x}")])

    return lines


pytestmark = [pytest.mark.slow, pytest.mark.emulator]


def test_measurement_beside_figures(profile_bundle: Path, board, answer) -> None:
    cycles = tuple(216_000 * (index + 1) for index in range(8))
    measured = measure(profile_bundle, board([answer(cycles=cycles)]), timeout_s=5)
    assert measured == Measurement(cycles, 216_000_000)
    figures = deployment.profile(profile_bundle)
    joined = measured.beside(figures)
    assert joined["cycles_measured"] == 36 * 216_000
    assert joined["latency_ms_measured"] == pytest.approx(36.0)
    assert [layer["cycles_measured"] for layer in joined["layers"]] == list(cycles)
    plain = figures.to_dict()
    assert [{**layer, "cycles_measured": 0} for layer in plain["layers"]] == [
        {**layer, "cycles_measured": 0} for layer in joined["layers"]
    ]
    assert set(joined) - set(plain) == {"cycles_measured", "latency_ms_measured"}


def test_noise_and_a_spoilt_report_are_survived(profile_bundle: Path, board, answer) -> None:
    spoilt = answer().replace(b"layer 3", b"layer 4")
    port = board([b"\xff\xfe$garbage\r\n" + spoilt, b"", b"more noise" + answer()])
    assert measure(profile_bundle, port, timeout_s=5).layer_cycles == tuple(range(8))


@pytest.mark.parametrize("change", [{"digest": "0" * 16}, {"name": "other"}, {"cycles": (1, 2, 3)}])
def test_wrong_image(profile_bundle: Path, board, answer, change) -> None:
    with pytest.raises(BoardError, match=r"runs another profile image, .*: flash .*image/model-profile\.hex to the"):
        measure(profile_bundle, board([answer(**change)]), timeout_s=5)


def test_wrong_output(profile_bundle: Path, board, answer) -> None:
    with pytest.raises(
        BoardError, match=r"computes another output than the reference \(CRC-32 00000001, not [0-9a-f]{8}\)"
    ):
        measure(profile_bundle, board([answer(output=1)]), timeout_s=5)


def test_counter_that_stands_still(profile_bundle: Path, board, answer) -> None:
    with pytest.raises(BoardError, match="cycle counter of stm32f746g-disco stands still"):
        measure(profile_bundle, board([answer(cycles=(0,) * 8)]), timeout_s=5)


def test_silence_says_what_to_do(profile_bundle: Path, board) -> None:
    message = (
        r"/dev/\S+ at 115200 baud: nothing came for 0\.3 s: flash \S+image/model-profile\.hex to the stm32f746g-disco,"
        " connect the ST-LINK's USB connector and reset the board"
    )
    with pytest.raises(BoardError, match=message):
        measure(profile_bundle, board([]), timeout_s=0.3)


def test_babble_says_that_something_came(profile_bundle: Path, board) -> None:
    with pytest.raises(BoardError, match="4 bytes came that are no report for"):
        measure(profile_bundle, board([b"\xff\xff\r\n"]), timeout_s=0.3)


def test_notice_only_where_the_image_is_new(profile_bundle: Path, board, answer) -> None:
    heard: list[str] = []
    measure(profile_bundle, board([answer()]), timeout_s=5, notice=heard.append)
    assert not heard


def test_board_without_a_console(tmp_path: Path) -> None:
    builder = GraphBuilder((4,), seed=1)
    compiled = compile_graph(
        builder.finish(builder.linear(builder.input, 2)), "rpi-pico", tmp_path / "bundle", toolchain=None
    )
    with pytest.raises(ConfigError, match="the port 'generic' of rpi-pico has no serial console to measure over"):
        measure(compiled.directory, "/dev/null")


def test_every_console_has_a_port_that_receives() -> None:
    assert set(CONSOLES) <= set(boards.STARTUPS)
