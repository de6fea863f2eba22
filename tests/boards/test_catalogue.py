"""The built-in boards have the hardware's true figures, and a user's own TOML file works."""

from pathlib import Path

import pytest

from tinyformer import boards
from tinyformer.boards import Isa, Memory
from tinyformer.errors import ConfigError

OWN = """
title = "My board"
core = "cortex-m4"
dsp = true
fpu = "sp"
clock_hz = 80_000_000
flash = { origin = 0x0800_0000, size_bytes = 0x8_0000 }
ram = { origin = 0x2000_0000, size_bytes = 0x1_0000 }
stack_bytes = 2048
startup = "generic"
"""

KILO, MEGA = 1 << 10, 1 << 20


@pytest.mark.parametrize(
    ("name", "isa", "clock_mhz", "flash", "ram"),
    [
        ("stm32f746g-disco", Isa("cortex-m7", True, "sp"), 216, (0x0800_0000, MEGA), (0x2000_0000, 320 * KILO)),
        ("nucleo-f746zg", Isa("cortex-m7", True, "sp"), 216, (0x0800_0000, MEGA), (0x2000_0000, 320 * KILO)),
        ("nucleo-l4r5zi", Isa("cortex-m4", True, "sp"), 120, (0x0800_0000, 2 * MEGA), (0x2000_0000, 640 * KILO)),
        ("nucleo-h743zi2", Isa("cortex-m7", True, "dp"), 480, (0x0800_0000, 2 * MEGA), (0x2400_0000, 512 * KILO)),
        ("nrf52840-dk", Isa("cortex-m4", True, "sp"), 64, (0, MEGA), (0x2000_0000, 256 * KILO)),
        (
            "rpi-pico",
            Isa("cortex-m0plus", False, "none"),
            133,
            (0x1000_0100, 2 * MEGA - 256),
            (0x2000_0000, 264 * KILO),
        ),
        ("rpi-pico2", Isa("cortex-m33", True, "sp"), 150, (0x1000_0000, 4 * MEGA), (0x2000_0000, 520 * KILO)),
        ("nucleo-f103rb", Isa("cortex-m3", False, "none"), 72, (0x0800_0000, 128 * KILO), (0x2000_0000, 20 * KILO)),
        ("mps2-an500", Isa("cortex-m7", True, "dp"), 25, (0, 4 * MEGA), (0x2000_0000, 4 * MEGA)),
    ],
)
def test_built_in_board(name: str, isa: Isa, clock_mhz: int, flash: tuple[int, int], ram: tuple[int, int]) -> None:
    board = boards.load(name)
    assert (board.name, board.isa, board.clock_hz) == (name, isa, clock_mhz * 1_000_000)
    assert (board.flash, board.ram) == (Memory(*flash), Memory(*ram))


def test_names_are_those_of_the_table_and_the_first_is_the_default() -> None:
    assert len(boards.names()) == 9
    assert boards.names()[0] == "stm32f746g-disco"


def test_unknown_board_lists_names() -> None:
    with pytest.raises(ConfigError) as caught:
        boards.load("esp32")
    assert all(name in str(caught.value) for name in boards.names())


def test_own_board(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(OWN)
    board = boards.load(path)
    assert (board.name, board.title, board.qemu_machine) == ("mine", "My board", None)
    assert board == boards.load(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OWN.replace("stack_bytes = 2048\n", ""), "'stack_bytes' is missing"),
        (OWN + "speed = 3\n", "'speed' is not known: the keys are title"),
        (OWN.replace("80_000_000", '"80 MHz"'), "must be of type integer"),
        (OWN.replace("dsp = true", "dsp = 1"), "must be of type boolean"),
        (OWN.replace("size_bytes = 0x1_0000", "size = 1"), "board 'mine', ram: key 'size' is not known"),
        (OWN.replace('"sp"', '"dp"'), "board 'mine': cortex-m4 does not exist with dsp = true, fpu = 'dp'"),
        ("title = ", "is not TOML"),
    ],
)
def test_malformed_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        boards.load(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        boards.load(tmp_path / "none.toml")
