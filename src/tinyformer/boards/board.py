"""What the engine needs to know of a microcontroller board: instruction set, memory map, clock, port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tinyformer.errors import ConfigError

ADDRESS_SPACE_BYTES = 1 << 32

ISA_OPTIONS: Mapping[str, tuple[tuple[bool, str], ...]] = MappingProxyType(
    {
        "cortex-m0plus": ((False, "none"),),
        "cortex-m3": ((False, "none"),),
        "cortex-m4": ((True, "none"), (True, "sp")),
        "cortex-m7": ((True, "none"), (True, "sp"), (True, "dp")),
        "cortex-m33": ((False, "none"), (False, "sp"), (True, "none"), (True, "sp")),
    }
)
"""Core -> the (dsp, fpu) combinations that Arm licenses for it."""

STARTUPS = ("generic", "mps2", "rp2350", "stm32f746", "stm32l4r5")
"""The ports that exist: ``generic`` leaves the reset clock on and prints through a debugger only."""

QEMU_MACHINES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "mps2-an385": ("cortex-m0plus", "cortex-m3"),
        "mps2-an386": ("cortex-m4",),
        "mps2-an500": ("cortex-m7",),
    }
)
"""QEMU machine -> the cores whose code it runs. Armv6-M code is a subset of what the M3 of mps2-an385 executes."""


@dataclass(frozen=True, slots=True)
class Isa:
    """An instruction set: a core with its options.

    ``fpu`` is ``none``, ``sp`` (single precision) or ``dp`` (double precision too).

    Raises:
        ConfigError: the core is unknown, or does not exist with these options.
    """

    core: str
    dsp: bool
    fpu: str

    def __post_init__(self) -> None:
        options = ISA_OPTIONS.get(self.core)
        if options is None:
            raise ConfigError(f"core '{self.core}' is not known: choose one of {', '.join(ISA_OPTIONS)}")
        if (self.dsp, self.fpu) not in options:
            allowed = "; ".join(_options_text(dsp, fpu) for dsp, fpu in options)
            raise ConfigError(
                f"{self.core} does not exist with {_options_text(self.dsp, self.fpu)}: allowed is {allowed}"
            )


@dataclass(frozen=True, slots=True)
class Memory:
    """A contiguous region: ``origin`` is its first address, ``size_bytes`` its length.

    Raises:
        ConfigError: the region is empty, unaligned (4 bytes) or leaves the 32-bit address space.
    """

    origin: int
    size_bytes: int

    def __post_init__(self) -> None:
        if self.size_bytes <= 0 or self.origin < 0 or self.end > ADDRESS_SPACE_BYTES:
            raise ConfigError(
                f"memory of {self.size_bytes} bytes at {self.origin:#x} is not a region of the 32-bit address space:"
                " give origin and size_bytes, both in bytes"
            )
        if self.origin % 4 or self.size_bytes % 4:
            raise ConfigError(
                f"memory of {self.size_bytes} bytes at {self.origin:#x}: origin and size_bytes must be multiples of 4"
            )

    @property
    def end(self) -> int:
        """First address after the region."""
        return self.origin + self.size_bytes

    def contains(self, address: int) -> bool:
        """Tell whether an address lies in the region."""
        return self.origin <= address < self.end


@dataclass(frozen=True, slots=True)
class Board:
    """A board as data.

    ``clock_hz`` is the core clock that latencies are given for; ``stack_bytes`` the RAM reserved for the stack;
    ``startup`` names the port that sets up clocks and console; ``qemu_machine`` the QEMU machine whose core runs the
    board's code for the cross-check, if there is one; ``memory_system`` the caches and wait states that the cycle model
    reckons with (a table of ``sparse_engine/cycles/memories.toml``), without one it takes memory to cost nothing.

    Raises:
        ConfigError: a field is out of range, or the fields contradict one another.
    """

    name: str
    title: str
    isa: Isa
    clock_hz: int
    flash: Memory
    ram: Memory
    stack_bytes: int
    startup: str
    qemu_machine: str | None
    memory_system: str | None = None

    def __post_init__(self) -> None:
        where = f"board '{self.name}'"
        if self.clock_hz <= 0:
            raise ConfigError(f"{where}: clock_hz is {self.clock_hz}, it must be positive")
        if self.flash.origin < self.ram.end and self.ram.origin < self.flash.end:
            raise ConfigError(
                f"{where}: flash at {self.flash.origin:#x} and RAM at {self.ram.origin:#x} overlap:"
                " give separate regions"
            )
        if not 256 <= self.stack_bytes < self.ram.size_bytes or self.stack_bytes % 8:
            raise ConfigError(
                f"{where}: stack_bytes is {self.stack_bytes}, it must be a multiple of 8, at least 256 and less than"
                f" the RAM of {self.ram.size_bytes} bytes"
            )
        if self.startup not in STARTUPS:
            raise ConfigError(f"{where}: startup '{self.startup}' does not exist: choose one of {', '.join(STARTUPS)}")
        self._check_qemu(where)

    def _check_qemu(self, where: str) -> None:
        if self.qemu_machine is None:
            return
        cores = QEMU_MACHINES.get(self.qemu_machine)
        if cores is None:
            raise ConfigError(
                f"{where}: qemu_machine '{self.qemu_machine}' is not known: choose one of {', '.join(QEMU_MACHINES)},"
                " or leave it out"
            )
        if self.isa.core not in cores:
            fitting = [name for name, runs in QEMU_MACHINES.items() if self.isa.core in runs]
            raise ConfigError(
                f"{where}: qemu_machine '{self.qemu_machine}' does not run {self.isa.core} code: "
                + (f"choose {', '.join(fitting)}" if fitting else "leave it out")
            )


def _options_text(dsp: bool, fpu: str) -> str:
    return f"dsp = {str(dsp).lower()}, fpu = '{fpu}'"
