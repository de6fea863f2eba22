"""An emulated microcontroller: memory map with unmapped surroundings, peripherals, and a core that runs to addresses.

Imported by the worker process only: libunicorn is GPL-2.0.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import unicorn
from unicorn import arm_const as arm
from unicorn.unicorn_py3.unicorn import uclib

from tinyformer.boards import Board, Memory
from tinyformer.errors import EmulatorError
from tinyformer.sparse_engine.elf import ElfImage
from tinyformer.sparse_engine.emulator import fault, peripherals
from tinyformer.sparse_engine.emulator.profile import BlockProfile

_unicorn: Any = unicorn  # its Python binding is not wholly typed
REGISTER_READER = ctypes.cast(uclib.uc_reg_read, ctypes.c_void_p).value or 0
"""The address of unicorn's function that reads a register, for the block hook."""

PAGE_BYTES = 1024
_PRIVATE_PERIPHERALS = (0xE000_0000, 0x10_0000)
_UNTOUCHED = 0xA5
_ERASED = 0xFF
_STACK_NEIGHBOURHOOD_BYTES = 1 << 16

CPU_MODELS: Mapping[str, int] = MappingProxyType(
    {
        "cortex-m0plus": arm.UC_CPU_ARM_CORTEX_M0,
        "cortex-m3": arm.UC_CPU_ARM_CORTEX_M3,
        "cortex-m4": arm.UC_CPU_ARM_CORTEX_M4,
        "cortex-m7": arm.UC_CPU_ARM_CORTEX_M7,
        "cortex-m33": arm.UC_CPU_ARM_CORTEX_M33,
    }
)
"""Core -> unicorn's model. Never with UC_MODE_MCLASS, which turns every model into a Cortex-M33."""

_REGISTERS: Mapping[str, int] = MappingProxyType(
    {
        **{f"r{n}": getattr(arm, f"UC_ARM_REG_R{n}") for n in range(13)},
        "sb": arm.UC_ARM_REG_R9,
        "sl": arm.UC_ARM_REG_R10,
        "fp": arm.UC_ARM_REG_R11,
        "ip": arm.UC_ARM_REG_R12,
        "sp": arm.UC_ARM_REG_SP,
        "lr": arm.UC_ARM_REG_LR,
        "pc": arm.UC_ARM_REG_PC,
    }
)

_ACCESSES: Mapping[int, str] = MappingProxyType(
    {
        unicorn.UC_ERR_READ_UNMAPPED: "reads where there is no memory",
        unicorn.UC_ERR_WRITE_UNMAPPED: "writes where there is no memory",
        unicorn.UC_ERR_READ_PROT: "reads memory that must not be read",
        unicorn.UC_ERR_WRITE_PROT: "writes memory that is read-only",
    }
)
_FETCHES = (unicorn.UC_ERR_FETCH_UNMAPPED, unicorn.UC_ERR_FETCH_PROT)

_EXCEPTIONS: Mapping[int, str] = MappingProxyType(
    {1: "an undefined instruction", 2: "svc", 3: "a jump to where there is no code", 7: "bkpt without a debugger"}
)


class Guard:
    """Memory for one buffer that ends (but for alignment to 8) where nothing is mapped; nothing lies before it either.

    Bytes around the buffer within its pages are watched: ``check`` finds out whether one was written.
    """

    def __init__(self, engine: Any, origin: int, size: int, *, writable: bool) -> None:
        self._engine = engine
        self._pages = -(-max(size, 1) // PAGE_BYTES) * PAGE_BYTES
        self._origin = origin
        self.size = size
        self.address = origin + self._pages - -(-size // 8) * 8
        protection = unicorn.UC_PROT_READ | (unicorn.UC_PROT_WRITE if writable else 0)
        engine.mem_map(origin, self._pages, protection)
        engine.mem_write(origin, bytes([_UNTOUCHED]) * self._pages)

    def check(self, what: str) -> None:
        """Raise an EmulatorError when a byte beside the buffer was written."""
        content = self._engine.mem_read(self._origin, self._pages)
        first = self.address - self._origin
        around = content[:first] + content[first + self.size :]
        if around.count(_UNTOUCHED) != len(around):
            raise EmulatorError(f"the program writes outside the {self.size} bytes of its {what}")


class Machine:
    """A board's core, memories and peripherals with an image loaded, stopped at reset.

    Flash is mapped read-only up to the page of the image's last byte, RAM up to the page of its last variable; nothing
    else is mapped but the private peripheral bus (plain RAM: no debugger, no cache) and the modelled peripherals.
    ``console`` is what the program printed; it receives what is appended to ``typed``.

    Raises:
        EmulatorError: the image does not lie in the board's memories, or is no program.
    """

    def __init__(self, image: ElfImage, board: Board, profile: BlockProfile | None = None) -> None:
        self.image = image
        self.board = board
        self.console = bytearray()
        self.typed = bytearray()
        self._exception: str | None = None
        self._stack = (image.symbol("__stack_bottom").address, image.symbol("__stack_top").address)
        self._engine: Any = _unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB)
        self._engine.ctl_set_cpu_model(CPU_MODELS[board.isa.core])
        self._engine.ctl_set_page_size(PAGE_BYTES)
        self._map_memories()
        self._map_peripherals()
        self._engine.hook_add(unicorn.UC_HOOK_INTR, self._on_exception)
        if profile is not None:
            self._count_blocks(profile)
        stack_pointer, self._position = (self.read_word(self._flash_start + offset) for offset in (0, 4))
        self._engine.reg_write(arm.UC_ARM_REG_SP, stack_pointer)
        if self._engine.ctl_get_cpu_model() != CPU_MODELS[board.isa.core]:
            raise EmulatorError(f"unicorn does not emulate a {board.isa.core}: install unicorn 2.1.2 or later")

    def _map_memories(self) -> None:
        board, segments = self.board, self.image.segments
        stored = [segment for segment in segments if segment.data]
        used = [segment for segment in segments if not segment.data or segment.address != segment.load_address]
        self._flash_start, flash_end = self._extent(
            "flash", board.flash, [(s.load_address, s.load_address + len(s.data)) for s in stored]
        )
        _, self._ram_end = self._extent("RAM", board.ram, [(s.address, s.address + s.memory_bytes) for s in used])
        readable, writable = unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC, unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE
        self._map(self._flash_start, flash_end, readable, _ERASED)
        for segment in stored:
            self._engine.mem_write(segment.load_address, segment.data)
        self._map(board.ram.origin, self._ram_end, writable, _UNTOUCHED)
        self._engine.mem_map(*_PRIVATE_PERIPHERALS, writable)

    def _extent(self, what: str, memory: Memory, ranges: list[tuple[int, int]]) -> tuple[int, int]:
        """Return the lowest and highest address of the parts of an image, all of which must lie in a memory."""
        start, end = min(low for low, _ in ranges), max(high for _, high in ranges)
        if start < memory.origin or end > memory.end:
            raise EmulatorError(
                f"the image uses {start:#010x} to {end:#010x}, which is not all in the {what} of {self.board.name}:"
                " it was built for another board"
            )
        return start, end

    def _map(self, start: int, end: int, protection: int, fill: int) -> None:
        first = start // PAGE_BYTES * PAGE_BYTES
        size = -(-(end - first) // PAGE_BYTES) * PAGE_BYTES
        self._engine.mem_map(first, size, protection)
        self._engine.mem_write(first, bytes([fill]) * size)

    def _map_peripherals(self) -> None:
        for registers in peripherals.create(self.board.startup, self.console, self.typed):
            self._engine.mmio_map(
                registers.peripheral.base,
                peripherals.BLOCK_BYTES,
                lambda _engine, offset, _size, model: model.read(offset),
                registers,
                lambda _engine, offset, _size, value, model: model.write(offset, value),
                registers,
            )

    def _count_blocks(self, profile: BlockProfile) -> None:
        """Have unicorn call the C function itself; its Python API would call back into Python at every block."""
        self._profile = profile  # the engine holds only its address
        handle = ctypes.c_size_t()
        everywhere = (ctypes.c_uint64(1), ctypes.c_uint64(0))
        status = uclib.uc_hook_add(
            self._engine._uch,
            ctypes.byref(handle),
            unicorn.UC_HOOK_BLOCK,
            profile.function,
            profile.user_data,
            *everywhere,
        )
        if status != unicorn.UC_ERR_OK:
            raise EmulatorError(f"unicorn refuses the block hook (status {status}): install unicorn 2.1.2 or later")

    def _on_exception(self, engine: Any, number: int, _user_data: object) -> None:
        self._exception = _EXCEPTIONS.get(number, f"exception {number}")
        engine.emu_stop()

    def guard(self, origin: int, size: int, *, writable: bool) -> Guard:
        """Map memory for a buffer at an otherwise unused address, a multiple of the page size."""
        return Guard(self._engine, origin, size, writable=writable)

    def run_to(self, address: int) -> None:
        """Run until the instruction at an address is next: a function's first, or where a call returns to.

        Raises:
            EmulatorError: the program faults before, naming instruction, function and address.
        """
        target = address & ~1
        self._engine.ctl_remove_cache(target, target + 2)  # else code that was translated earlier runs past it
        try:
            self._engine.emu_start(self._position | 1, target)
        except _unicorn.UcError as error:
            raise self._fault(error.errno) from None
        self._position = self.register("pc")
        if self._exception is not None or self._position != target:
            what = self._exception or "an unexpected stop"
            raise EmulatorError(f"the program ends in {what} at {self._here()}, called from {self._caller()}")

    def _fault(self, error: int) -> EmulatorError:
        self._position = self.register("pc")
        if error in _FETCHES:
            return EmulatorError(
                f"the program jumps to {self._position:#010x}, which is no code, from {self._caller()}"
            )
        if error not in _ACCESSES:
            return EmulatorError(f"the program has no valid instruction at {self._here()}")
        instruction = fault.decode(self.read(self._position, 4), self._position)
        address = None if instruction is None else fault.data_address(instruction, self.register)
        text = "" if instruction is None else f": {instruction.mnemonic} {instruction.op_str}"
        at = "" if address is None else f" ({address:#010x})"
        reason = ""
        if address is not None and 0 < self._stack[0] - address <= _STACK_NEIGHBOURHOOD_BYTES:
            reason = f"; the stack of {self._stack[1] - self._stack[0]} bytes is too small"
        return EmulatorError(f"the program {_ACCESSES[error]}{at} at {self._here()}{text}{reason}")

    def _here(self) -> str:
        return fault.describe_place(self.image, self._position)

    def _caller(self) -> str:
        return fault.describe_place(self.image, self.register("lr") & ~1)

    def register(self, name: str) -> int:
        """Return a core register by name."""
        return int(self._engine.reg_read(_REGISTERS[name]))

    def set_register(self, name: str, value: int) -> None:
        """Set a core register by name."""
        self._engine.reg_write(_REGISTERS[name], value)

    def read(self, address: int, size: int) -> bytes:
        """Return memory.

        Raises:
            EmulatorError: it is not mapped.
        """
        try:
            return bytes(self._engine.mem_read(address, size))
        except _unicorn.UcError:
            raise EmulatorError(f"there are no {size} bytes of memory at {address:#010x}") from None

    def read_word(self, address: int) -> int:
        """Return the 32-bit word at an address."""
        return int.from_bytes(self.read(address, 4), "little")

    def write(self, address: int, data: bytes) -> None:
        """Write memory, read-only memory too."""
        self._engine.mem_write(address, data)

    def stack_bytes(self) -> int:
        """Return the stack's high-water mark since reset: painted before, its lowest byte that changed."""
        bottom, top = self._stack
        return len(self.read(bottom, top - bottom).lstrip(bytes([_UNTOUCHED])))

    def read_variables(self, start: int) -> bytes:
        """Return the RAM in use from an address on, up to the end of the last variable."""
        return self.read(start, max(0, self._ram_end - start))

    def check_ram_end(self) -> None:
        """Raise an EmulatorError when the program wrote after its last variable, within the same page."""
        size = -self._ram_end % PAGE_BYTES
        if self.read(self._ram_end, size).strip(bytes([_UNTOUCHED])) if size else b"":
            raise EmulatorError(f"the program writes after the end of its variables at {self._ram_end:#010x}")
