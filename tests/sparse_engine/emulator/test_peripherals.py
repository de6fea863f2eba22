"""The register models: ready bits follow enable bits, transmitted bytes reach the console."""

import pytest

from tinyformer import boards
from tinyformer.sparse_engine.emulator import peripherals
from tinyformer.sparse_engine.emulator.peripherals import Registers


def _peripheral(name: str, startup: str = "stm32f746", typed: bytes = b"") -> tuple[Registers, bytearray]:
    console = bytearray()
    models = peripherals.create(startup, console, bytearray(typed))
    found = {registers.peripheral.name: registers for registers in models}
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


@pytest.mark.parametrize(
    ("startup", "name", "control", "on", "status", "ready", "data"),
    [
        ("stm32f746", "USART1", 0x00, 1 << 2, 0x1C, 1 << 5, 0x24),  # CR1.RE, ISR.RXNE, RDR
        ("stm32f746", "USART3", 0x00, 1 << 2, 0x1C, 1 << 5, 0x24),
        ("stm32l4r5", "LPUART1", 0x00, 1 << 2, 0x1C, 1 << 5, 0x24),
        ("mps2", "UART0", 0x08, 1 << 1, 0x04, 1 << 1, 0x00),  # CTRL.RXEN, STATE.RXFULL, DATA
    ],
)
def test_typed_bytes_are_received_while_the_receiver_is_on(
    startup: str, name: str, control: int, on: int, status: int, ready: int, data: int
) -> None:
    registers, console = _peripheral(name, startup, b"ok")
    assert registers.read(status) & ready == 0
    assert registers.read(data) == 0
    registers.write(control, on)
    for character in b"ok":
        assert registers.read(status) & ready == ready
        assert registers.read(data) == character
    assert registers.read(status) & ready == 0
    assert not console


def test_ready_follows_enable_on_the_l4r5() -> None:
    clock, _ = _peripheral("RCC", "stm32l4r5")
    assert clock.read(0x00) == 0x63  # MSI on and ready at 4 MHz
    for enable, ready in ((1 << 8, 1 << 10), (1 << 24, 1 << 25)):  # HSI, PLL
        assert clock.read(0x00) & ready == 0
        clock.write(0x00, clock.read(0x00) | enable)
        assert clock.read(0x00) & ready == ready
    clock.write(0x08, 3)
    assert clock.read(0x08) == 0xF  # SW, SWS


def test_blocks_do_not_overlap() -> None:
    for models in peripherals.PERIPHERALS.values():
        bases = [model.base for model in models]
        assert len(set(bases)) == len(bases)
        assert all(base % peripherals.BLOCK_BYTES == 0 for base in bases)


def test_only_known_startups_have_models() -> None:
    assert set(peripherals.PERIPHERALS) <= set(boards.STARTUPS)
    assert not peripherals.create("generic", bytearray())
