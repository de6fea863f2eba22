"""The port of a board: its files, what the templates fill in, and C without warnings."""

from pathlib import Path

import pytest

import toy_bundle
from tinyformer import boards
from tinyformer.errors import ConfigError
from tinyformer.sparse_engine import toolchain
from tinyformer.sparse_engine.toolchain import port

COMMON = {"port.h", "board.h", "startup_cortex_m.c", "board_generic.c", "main.c", "profile.c", "link.ld"}


@pytest.mark.parametrize(
    ("board", "extra"),
    [
        ("stm32f746g-disco", {"board_stm32f746.c", "stm32_console.h"}),
        ("nucleo-l4r5zi", {"board_stm32l4r5.c", "stm32_console.h"}),
        ("mps2-an500", {"board_mps2.c"}),
        ("rpi-pico2", {"board_rp2350.c"}),
        ("nrf52840-dk", set()),
    ],
)
def test_files_of_a_board(board: str, extra: set[str]) -> None:
    assert set(port.files(boards.load(board), "toy")) == COMMON | extra


def test_templates_take_figures_from_the_board() -> None:
    files = port.files(boards.load("nucleo-h743zi2"), "net")
    assert "FLASH (rx) : ORIGIN = 0x08000000, LENGTH = 0x200000" in files["link.ld"]
    assert "RAM (rwx) : ORIGIN = 0x24000000, LENGTH = 0x80000" in files["link.ld"]
    assert ". += 4096; __stack_top" in files["link.ld"]
    assert "#define BOARD_NUCLEO_H743ZI2 1" in files["board.h"]
    assert "#define BOARD_CLOCK_HZ 480000000u" in files["board.h"]
    assert "int8_t se_app_input[NET_INPUT_BYTES];" in files["main.c"]


def test_golden_input_is_written_as_int8() -> None:
    files = port.files(boards.load("nrf52840-dk"), "net", golden_input=bytes([0, 1, 127, 128, 255]))
    assert "0, 1, 127, -128, -1," in files["main.c"]


@pytest.mark.parametrize("name", ["", "2d", "a-b", "a b", "_a"])
def test_name_must_begin_an_identifier(name: str) -> None:
    with pytest.raises(ConfigError, match="C identifier"):
        port.files(boards.load("nrf52840-dk"), name)


def _check(compiler: str, board: str, directory: Path) -> None:
    target = boards.load(board)
    bundle = toy_bundle.write(directory, target, golden_input=bytes(32))
    for name, text in port.qemu_application().items():
        (bundle / "port" / name).write_text(text)
    sources = [*bundle.glob("*.c"), *bundle.glob("*/*.c")]
    includes = [bundle, bundle / "runtime", bundle / "port"]
    toolchain.find(compiler).check(sources, includes, target.isa)
    profile = ("SE_PROFILE", 'SE_PROFILE_IMAGE="0123"', "TOY_LAYER_HOOK=se_profile_mark")
    toolchain.find(compiler).check(sources, includes, target.isa, profile)


@pytest.mark.slow
@pytest.mark.parametrize(
    "board", ["stm32f746g-disco", "nucleo-f746zg", "nucleo-l4r5zi", "mps2-an500", "rpi-pico2", "rpi-pico"]
)
def test_port_compiles_without_a_warning(tmp_path: Path, board: str) -> None:
    _check("zig", board, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("board", boards.names())
def test_port_compiles_without_a_warning_from_gcc(tmp_path: Path, board: str) -> None:
    _check("gcc", board, tmp_path)
