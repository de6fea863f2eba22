"""Register models of the peripherals that a port polls: enough to boot and to print, and no more.

Clocks and serial ports that are mapped as plain RAM never become ready, and the program hangs. Here a ready bit follows
its enable bit at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

BLOCK_BYTES = 0x400


@dataclass(frozen=True, slots=True)
class Follow:
    """Bits that read as others were written: (register ``source`` & ``mask``) << ``shift`` appears in ``target``."""

    source: int
    mask: int
    target: int
    shift: int


@dataclass(frozen=True, slots=True)
class Receiver:
    """How a serial port receives.

    While ``enable`` is set in the register ``control``, a byte that waits sets ``ready`` in the register ``status``;
    reading the register ``data`` takes it.
    """

    control: int
    enable: int
    status: int
    ready: int
    data: int


@dataclass(frozen=True, slots=True)
class Peripheral:
    """A block of 1 KB of registers: offsets, reset values where they are not zero, and what follows what.

    A byte written to the offset ``transmit`` goes to the console; what is typed there comes through ``receiver``.
    """

    name: str
    base: int
    reset: Mapping[int, int] = field(default_factory=dict)
    follows: tuple[Follow, ...] = ()
    transmit: int | None = None
    receiver: Receiver | None = None


def _usart(name: str, base: int) -> Peripheral:
    """Return a USART of the STM32F7 or L4: CR1's TE makes TXE and TC of ISR read as ready, its RE lets RXNE be set."""
    return Peripheral(
        name,
        base,
        follows=(Follow(0x00, 1 << 3, 0x1C, 4), Follow(0x00, 1 << 3, 0x1C, 3)),
        transmit=0x28,
        receiver=Receiver(control=0x00, enable=1 << 2, status=0x1C, ready=1 << 5, data=0x24),
    )


def _rcc(base: int, reset: Mapping[int, int], ready_shifts: Mapping[int, int]) -> Peripheral:
    """Return the clocks of an STM32F7 or L4: CR's enable bits with the distance to their ready bits, CFGR's SW."""
    ready = (Follow(0x00, enable, 0x00, shift) for enable, shift in ready_shifts.items())
    return Peripheral("RCC", base, reset=reset, follows=(*ready, Follow(0x08, 3, 0x08, 2)))


STM32F746 = (
    _rcc(0x4002_3800, {0x00: 0x83, 0x04: 0x2400_3010}, {1 << 0: 1, 1 << 16: 1, 1 << 24: 1}),  # HSI, HSE, PLL
    Peripheral(
        "PWR",
        0x4000_7000,
        reset={0x00: 0xC000},
        follows=(Follow(0x00, 3 << 16, 0x04, 0),),  # ODEN, ODSWEN -> ODRDY, ODSWRDY
    ),
    Peripheral("FLASH", 0x4002_3C00),
    Peripheral("GPIOA", 0x4002_0000, reset={0x00: 0xA800_0000}),
    Peripheral("GPIOB", 0x4002_0400, reset={0x00: 0x280}),
    Peripheral("GPIOD", 0x4002_0C00),
    _usart("USART1", 0x4001_1000),
    _usart("USART3", 0x4000_4800),
)

STM32L4R5 = (
    _rcc(0x4002_1000, {0x00: 0x63, 0x0C: 0x1000}, {1 << 0: 1, 1 << 8: 2, 1 << 24: 1}),  # MSI, HSI, PLL
    Peripheral("PWR", 0x4000_7000, reset={0x00: 0x200, 0x80: 0x100}),
    Peripheral("FLASH", 0x4002_2000, reset={0x00: 0x600}),
    Peripheral("GPIOG", 0x4800_1800, reset={0x00: 0xFFFF_FFFF}),
    _usart("LPUART1", 0x4000_8000),
)

MPS2 = (
    Peripheral("TIMER0", 0x4000_0000),
    Peripheral(
        "UART0",
        0x4000_4000,
        transmit=0x00,
        receiver=Receiver(control=0x08, enable=1 << 1, status=0x04, ready=1 << 1, data=0x00),
    ),
)

PERIPHERALS: Mapping[str, tuple[Peripheral, ...]] = MappingProxyType(
    {"stm32f746": STM32F746, "stm32l4r5": STM32L4R5, "mps2": MPS2}
)
"""A board's startup -> the peripherals that its port uses."""


class Registers:
    """The state of one peripheral. Offsets are those of 32-bit registers; narrower accesses see their low bytes."""

    def __init__(self, peripheral: Peripheral, console: bytearray, typed: bytearray) -> None:
        self.peripheral = peripheral
        self._values = dict(peripheral.reset)
        self._console = console
        self._typed = typed

    def read(self, offset: int) -> int:
        """Return a register's value with the bits that follow others, or take a byte that waits."""
        receiver = self._ready_receiver()
        if receiver is not None and offset == receiver.data:
            return self._typed.pop(0)
        value = self._values.get(offset, 0)
        for follow in self.peripheral.follows:
            if follow.target == offset:
                following = follow.mask << follow.shift
                value = value & ~following | (self._values.get(follow.source, 0) & follow.mask) << follow.shift
        return value | receiver.ready if receiver is not None and offset == receiver.status else value

    def _ready_receiver(self) -> Receiver | None:
        """Return the receiver while it is on and a byte waits."""
        receiver = self.peripheral.receiver
        if receiver is None or not self._typed:
            return None
        return receiver if self._values.get(receiver.control, 0) & receiver.enable else None

    def write(self, offset: int, value: int) -> None:
        """Store a register's value, or transmit it."""
        if offset == self.peripheral.transmit:
            self._console.append(value & 0xFF)
        else:
            self._values[offset] = value


def create(startup: str, console: bytearray, typed: bytearray | None = None) -> Sequence[Registers]:
    """Return the peripherals of a board in their reset state.

    Transmitted bytes are appended to ``console``; received ones are taken from the front of ``typed``.
    """
    waiting = bytearray() if typed is None else typed
    return [Registers(peripheral, console, waiting) for peripheral in PERIPHERALS.get(startup, ())]
