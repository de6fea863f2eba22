"""The register models: ready bits follow enable bits, transmitted bytes reach the console."""

import pytest

from tinyformer import boards
from tinyformer.sparse_engine.emulator import peripherals
from tinyformer.sparse_engine.emulator.peripherals import Registers


def _peripheral(name: str) -> tuple[Registers, bytearray]:
    console = bytearray()
    found = {registers.peripheral.name: registers for registers in peripherals.create("stm32f746", console)}
    return found[name], console


@pytest.mark.parametrize(
    ("name", "control", "enable", "status", "ready"),
    [
        ("RCC", 0x00, 1 << 24, 0x00, 1 << 25),  # PLLON, PLLRDY
        ("RCC", 0x08, 2, 0x08, 2 << 2),  # SW, SWS
        ("PWR", 0x00, 1 << 16, 0x04, 1 << 16),  # ODEN, ODRDY
        ("PWR", 0x00, 1 << 17, 0x04, 1 << 17),  # ODSWEN, ODSWRDY
        ("USART1", 0x00, 1 << 3, 0x1C, 1 << 7),  # TE, TXE
        ("USART1", 0x00, 1 << 3, 0x1C, 1 << 6),  # TE, TC
    ],
)
def test_ready_follows_enable(name: str, control: int, enable: int, status: int, ready: int) -> None:
    registers, _ = _peripheral(name)
    assert registers.read(status) & ready == 0
    registers.write(control, registers.read(control) | enable)
    assert registers.read(status) & ready == ready
    registers.write(control, registers.read(control) & ~enable)
    assert registers.read(status) & ready == 0


def test_reset_values() -> None:
    assert _peripheral("RCC")[0].read(0x00) == 0x83  # HSION, HSIRDY and the trimming value
    assert _peripheral("FLASH")[0].read(0x00) == 0


def test_registers_keep_what_is_written() -> None:
    registers, _ = _peripheral("FLASH")
    registers.write(0x00, 0x307)
    assert registers.read(0x00) == 0x307


def test_data_register_transmits_its_low_byte() -> None:
    registers, console = _peripheral("USART1")
    for character in b"ok\n":
        registers.write(0x28, 0xFF00 | character)
    assert console == b"ok\n"


def test_blocks_do_not_overlap() -> None:
    for models in peripherals.PERIPHERALS.values():
        bases = [model.base for model in models]
        assert len(set(bases)) == len(bases)
        assert all(base % peripherals.BLOCK_BYTES == 0 for base in bases)


def test_only_known_startups_have_models() -> None:
    assert set(peripherals.PERIPHERALS) <= set(boards.STARTUPS)
    assert not peripherals.create("generic", bytearray())
