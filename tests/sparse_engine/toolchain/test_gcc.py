"""The gcc toolchain."""

from pathlib import Path

import pytest

import toy_bundle
from tinyformer import boards
from tinyformer.boards import ISA_OPTIONS
from tinyformer.errors import DoesNotFitError, ToolchainError
from tinyformer.sparse_engine import elf, toolchain
from tinyformer.sparse_engine.toolchain import gcc, image


def test_every_instruction_set_has_options() -> None:
    for core, options in ISA_OPTIONS.items():
        assert {(core, dsp) for dsp, _ in options} <= set(gcc.CPUS)
        assert {(core, fpu) for _, fpu in options if fpu != "none"} <= set(gcc.FPUS)


def test_missing_compiler_is_named_with_the_alternative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolchainError, match=r"arm-none-eabi-gcc is not on the PATH: .* 'zig'"):
        toolchain.find("gcc")


@pytest.mark.full
@pytest.mark.parametrize("name", boards.names())
def test_image_of_every_board(tmp_path: Path, name: str) -> None:
    board = boards.load(name)
    built = image.build(toy_bundle.write(tmp_path, board), board, toolchain.find("gcc"), "toy")
    read = elf.read(built.elf)
    assert min(segment.load_address for segment in read.segments if segment.data) == board.flash.origin
    assert read.flash_bytes < 3000


@pytest.mark.full
def test_gcc_reports_overflow_and_errors_alike(tmp_path: Path) -> None:
    board = boards.load("nucleo-f103rb")
    bundle = toy_bundle.write(tmp_path, board, inserted="static volatile int8_t large[20000]; large[output[0]] = 1;")
    with pytest.raises(DoesNotFitError, match="bytes more than the board's RAM has"):
        image.build(bundle, board, toolchain.find("gcc"), "toy")
    toy_bundle.write(tmp_path, board, inserted="undeclared = 1;")
    with pytest.raises(ToolchainError, match=r"toy\.c:\d+:\d+: error: .undeclared. undeclared"):
        image.build(bundle, board, toolchain.find("gcc"), "toy")
    toy_bundle.write(tmp_path, board, inserted="extern void nowhere(void); nowhere();")
    with pytest.raises(ToolchainError, match=r"undefined reference to .nowhere'"):
        image.build(bundle, board, toolchain.find("gcc"), "toy")


@pytest.mark.full
def test_two_builds_give_one_image(tmp_path: Path) -> None:
    board = boards.load("stm32f746g-disco")
    first = toy_bundle.write(tmp_path / "a", board)
    second = toy_bundle.copy(first, tmp_path / "elsewhere" / "b")
    images = [image.build(bundle, board, toolchain.find("gcc"), "toy") for bundle in (first, second)]
    assert images[0].elf.read_bytes() == images[1].elf.read_bytes()
