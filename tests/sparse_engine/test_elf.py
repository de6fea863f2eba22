"""ElfImage: sizes, symbols and bytes of a linked image."""

from pathlib import Path

import pytest

import toy_bundle
from tinyformer import boards
from tinyformer.errors import ToolchainError
from tinyformer.sparse_engine import elf, toolchain
from tinyformer.sparse_engine.elf import ElfImage
from tinyformer.sparse_engine.toolchain import image

DISCO = boards.load("stm32f746g-disco")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> image.Image:
    bundle = toy_bundle.write(tmp_path_factory.mktemp("bundle"), DISCO, golden_input=bytes(range(32)))
    return image.build(bundle, DISCO, toolchain.find(), "toy")


@pytest.fixture(scope="module")
def read(built: image.Image) -> ElfImage:
    return elf.read(built.elf)


def test_flash_is_what_is_programmed(read: ElfImage, built: image.Image) -> None:
    in_flash = (".vectors", ".text", ".rodata", ".data")
    assert read.flash_bytes == sum(read.sections[name] for name in in_flash)
    assert 0 <= built.bin.stat().st_size - read.flash_bytes < 32  # alignment between the parts


def test_static_ram_is_variables_without_the_stack(read: ElfImage) -> None:
    assert read.ram_static_bytes == sum(read.sections[name] for name in (".arena", ".data", ".bss"))
    assert read.sections[".data"] == toy_bundle.INPUT_BYTES  # the golden input
    assert read.sections[".arena"] == toy_bundle.ARENA_BYTES
    assert read.sections[".bss"] == 8 + 4  # cycles, output padded to 4
    assert read.stack_reserve_bytes == DISCO.stack_bytes


def test_symbols_tell_code_from_weights(read: ElfImage) -> None:
    weights = read.symbol("toy_weights")
    assert (weights.size, weights.kind, weights.section) == (toy_bundle.WEIGHTS.size, "object", ".rodata")
    assert read.read(weights.address, weights.size) == toy_bundle.WEIGHTS.tobytes()
    node = read.symbol("toy_node_1")
    assert (node.kind, node.section) == ("function", ".text")
    assert node.size > 0
    assert node.address % 2 == 0
    assert sum(function.size for function in read.functions) <= read.sections[".text"]


def test_function_at_its_first_and_last_byte(read: ElfImage) -> None:
    node = read.symbol("toy_node_0")
    assert read.function_at(node.address) == node
    assert read.function_at(node.address + node.size - 1) == node
    assert read.function_at(node.address + node.size) != node
    assert read.function_at(0) is None
    assert read.function_at(0xFFFF_FFFF) is None


def test_missing_symbol_and_bytes(read: ElfImage) -> None:
    with pytest.raises(ToolchainError, match="no symbol 'other_run'"):
        read.symbol("other_run")
    with pytest.raises(ToolchainError, match="no 4 bytes at 0x30000000"):
        read.read(0x3000_0000, 4)


def test_code_excludes_the_vector_table(read: ElfImage) -> None:
    vectors = read.symbol("vectors")
    assert all(start >= vectors.address + vectors.size for start, _ in read.code)
    assert all(start < end for start, end in read.code)


@pytest.mark.parametrize(
    ("content", "message"), [(b"hello", "is not an ELF file"), (b"", "is not an ELF file"), (None, "cannot read")]
)
def test_what_is_no_image(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "x.elf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ToolchainError, match=message):
        elf.read(path)


def test_host_library_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "f.c").write_text("int f(void);\nint f(void) { return 1; }\n")
    toolchain.find().build_host([tmp_path / "f.c"], [], tmp_path / "f.so")
    with pytest.raises(ToolchainError, match="is not a linked Arm image"):
        elf.read(tmp_path / "f.so")
