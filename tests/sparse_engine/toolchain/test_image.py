"""Images: the same bytes wherever they are built, and HEX and binary files that say the same as the ELF."""

from pathlib import Path

import pytest

import toy_bundle
from tinyformer import boards
from tinyformer.sparse_engine import elf, toolchain
from tinyformer.sparse_engine.elf import ElfImage, Segment
from tinyformer.sparse_engine.toolchain import image

DISCO = boards.load("stm32f746g-disco")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_bundle.write(tmp_path_factory.mktemp("bundle"), DISCO, golden_input=bytes(range(32)))


@pytest.fixture(scope="module")
def built(bundle: Path) -> image.Image:
    return image.build(bundle, DISCO, toolchain.find(), "toy")


def _image_of(*parts: tuple[int, bytes]) -> ElfImage:
    segments = tuple(Segment(address, address, data, len(data)) for address, data in parts)
    return ElfImage(segments, {}, {}, (), (), (), 0, 0, 0)


def _read_hex(text: str) -> tuple[dict[int, int], int]:
    """Return address -> byte and the entry point, checking every record's sum."""
    content: dict[int, int] = {}
    upper = entry = 0
    lines = text.splitlines()
    assert lines[-1] == ":00000001FF"
    for line in lines[:-1]:
        record = bytes.fromhex(line.removeprefix(":"))
        assert sum(record) & 0xFF == 0
        assert record[0] == len(record) - 5
        data = record[4:-1]
        if record[3] == 0:
            address = (upper << 16) + int.from_bytes(record[1:3], "big")
            content |= {address + i: byte for i, byte in enumerate(data)}
        elif record[3] == 4:
            upper = int.from_bytes(data, "big")
        else:
            assert record[3] == 5
            entry = int.from_bytes(data, "big")
    return content, entry


def test_two_builds_in_different_places_give_one_image(bundle: Path, built: image.Image, tmp_path: Path) -> None:
    other = image.build(toy_bundle.copy(bundle, tmp_path / "some where" / "else"), DISCO, toolchain.find(), "toy")
    for first, second in ((built.elf, other.elf), (built.hex, other.hex), (built.bin, other.bin)):
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.full
def test_a_build_with_an_empty_cache_gives_the_same_image(
    bundle: Path, built: image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = built.elf.read_bytes()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    other = image.build(toy_bundle.copy(bundle, tmp_path / "bundle"), DISCO, toolchain.find(), "toy")
    assert other.elf.read_bytes() == first


def test_binary_and_hex_hold_what_the_elf_holds(built: image.Image) -> None:
    read = elf.read(built.elf)
    expected = {s.load_address + i: byte for s in read.segments for i, byte in enumerate(s.data)}
    binary = built.bin.read_bytes()
    content, entry = _read_hex(built.hex.read_text())
    assert content == expected
    assert {address: binary[address - DISCO.flash.origin] for address in expected} == expected
    assert entry == read.symbol("reset_handler").address + 1
    assert binary[4:8] == entry.to_bytes(4, "little")


def test_gap_reads_as_erased_flash_and_hex_leaves_it_out() -> None:
    read = _image_of((0x0800_FFF8, bytes(range(20))), (0x0801_0020, b"\x01\x02"))
    assert image.to_bin(read) == bytes(range(20)) + b"\xff" * 20 + b"\x01\x02"
    content, _ = _read_hex(image.to_hex(read))
    assert len(content) == 22
    assert content[0x0801_0000] == 8
    assert content[0x0801_0021] == 2


def test_no_record_crosses_64_kilobytes() -> None:
    lines = image.to_hex(_image_of((0x0800_FFF3, bytes(40)))).splitlines()
    for line in (line for line in lines if line[7:9] == "00"):
        assert int(line[3:7], 16) + int(line[1:3], 16) <= 0x1_0000


def test_arena_lies_between_the_stack_and_all_other_data(built: image.Image) -> None:
    """Memory is predicted from this, and what is read most lies where a fast memory begins."""
    read = elf.read(built.elf)
    arena = read.symbol("toy_arena").address
    assert arena == read.symbol("__stack_top").address
    assert arena + toy_bundle.ARENA_BYTES == read.symbol("__data_start").address
    assert read.ram_static_bytes == read.symbol("__bss_end").address - arena


def test_stack_is_at_the_bottom_of_the_ram(built: image.Image) -> None:
    read = elf.read(built.elf)
    assert read.symbol("__stack_bottom").address == DISCO.ram.origin
    assert read.symbol("__stack_top").address == DISCO.ram.origin + DISCO.stack_bytes
    assert built.bin.read_bytes()[:4] == read.symbol("__stack_top").address.to_bytes(4, "little")


@pytest.mark.full
@pytest.mark.parametrize("name", boards.names())
def test_image_of_every_board(tmp_path: Path, name: str) -> None:
    board = boards.load(name)
    read = elf.read(image.build(toy_bundle.write(tmp_path, board), board, toolchain.find(), "toy").elf)
    assert read.symbol("vectors").address == board.flash.origin
    assert ("image_definition" in read.symbols) == (name == "rpi-pico2")
