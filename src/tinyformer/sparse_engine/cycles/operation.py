"""Decode the instructions of a block into what a pipeline needs of them: registers by role, addresses, branches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from tinyformer.errors import MissingExtraError, ToolchainError
from tinyformer.sparse_engine.elf import ElfImage

FLAGS = "flags"
_MEMORY_BYTES: Mapping[str, int] = MappingProxyType(
    {
        **dict.fromkeys(("ldr", "str", "vldr", "vstr", "ldrex", "strex"), 4),
        **dict.fromkeys(("ldrb", "ldrsb", "strb"), 1),
        **dict.fromkeys(("ldrh", "ldrsh", "strh"), 2),
        **dict.fromkeys(("ldrd", "strd"), 8),
    }
)
"""Bytes that an instruction moves, by name; multiples move four for each register, vldr and vstr of a d register 8."""

_MULTIPLES = frozenset({"ldm", "stm", "push", "pop", "stmdb", "ldmdb", "vpush", "vpop", "vldmia", "vstmia"})
_STORES = frozenset({"str", "strb", "strh", "strd", "stm", "stmdb", "push", "vpush", "vstr", "vstmia", "strex"})
_BRANCHES = frozenset({"b", "bl", "bx", "blx", "cbz", "cbnz", "tbb", "tbh"})
_CARRIES = frozenset({"adc", "sbc", "sel", "rrx"})
_COMPARES = frozenset({"cmp", "cmn", "tst", "teq"})
_SHIFTS = frozenset({"lsl", "lsr", "asr", "ror", "rrx"})
_SHIFTABLE_BYTE = 0xFF
_TWELVE_BITS = 0xFFF


@dataclass(frozen=True, slots=True)
class Access:
    """A memory access: ``width_bytes`` at base + offset (+ index), ``bytes_moved`` in all.

    ``updates`` is what a pre- or post-indexed access adds to its base, 0 for the others.
    """

    base: str
    index: str | None
    offset: int
    width_bytes: int
    bytes_moved: int
    is_load: bool
    updates: int


@dataclass(frozen=True, slots=True)
class Operation:
    """One instruction.

    ``name`` is the bare mnemonic, ``form`` tells variants of one mnemonic apart (``"shifted"``: a shifted register or
    constant as second operand; ``"indexed"``: an address with an index register; ``"pc"``: loads the program counter).
    ``operands`` holds, for each operand in assembler order, the register that it reads as a value, or None;
    ``shifted`` the registers that are shifted first; ``addresses`` those that form an address.
    """

    address: int
    size: int
    name: str
    text: str
    form: str
    operands: tuple[str | None, ...]
    shifted: tuple[str, ...]
    addresses: tuple[str, ...]
    writes: tuple[str, ...]
    registers: int
    access: Access | None
    sets_flags: bool
    reads_flags: bool
    is_branch: bool
    is_conditional: bool
    added: tuple[str, int] | None
    """For an add or subtract of a constant to the register itself: which, and how much."""

    @property
    def end(self) -> int:
        """The address after the instruction."""
        return self.address + self.size


class Decoder:
    """Decodes the code of one image; blocks are decoded once.

    Raises:
        MissingExtraError: the ``capstone`` package is not installed.
    """

    def __init__(self, image: ElfImage) -> None:
        try:
            import capstone
        except ImportError:
            raise MissingExtraError("capstone", "emulator", "estimating cycles") from None
        self._image = image
        self._capstone = capstone
        mode = capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS | capstone.CS_MODE_V8
        self._decoder = capstone.Cs(capstone.CS_ARCH_ARM, mode)
        self._decoder.detail = True
        self.block = cache(self._block)

    def _block(self, address: int, size: int) -> tuple[Operation, ...]:
        """Return the operations of a block.

        Raises:
            ToolchainError: some bytes are no instruction.
        """
        found = tuple(map(self._operation, self._decoder.disasm(self._image.read(address, size), address)))
        end = found[-1].end if found else address
        if end != address + size:
            raise ToolchainError(f"the bytes at {end:#010x} are no instruction that is known")
        return found

    def _operation(self, found: Any) -> Operation:
        arm = self._capstone.arm
        name = _name(found)
        written = [found.reg_name(register) for register in found.regs_access()[1]]
        operands: list[str | None] = []
        shifted: list[str] = []
        addresses: list[str] = []
        memory = None
        for position, operand in enumerate(found.operands):
            register = found.reg_name(operand.reg) if operand.type == arm.ARM_OP_REG else None
            if register is not None and (name in _MULTIPLES or operand.access == self._capstone.CS_AC_WRITE):
                register = register if name in _STORES and operand.access == self._capstone.CS_AC_READ else None
            if operand.type == arm.ARM_OP_MEM:
                memory = operand
                addresses += [found.reg_name(r) for r in (operand.mem.base, operand.mem.index) if r]
            elif register is not None and position and operand.shift.type != arm.ARM_SFT_INVALID:
                shifted.append(register)
                register = None
            operands.append(register)
        registers = 1
        if name in _MULTIPLES:
            stack = name in {"push", "pop", "vpush", "vpop"}
            addresses.append("sp" if stack else found.reg_name(found.operands[0].reg))
            registers = len(found.operands) - (not stack)
        conditional = found.cc not in {arm.ARM_CC_AL, arm.ARM_CC_INVALID}
        to_pc = "pc" in written and name not in _BRANCHES
        sets_flags = bool(found.update_flags) or name in _COMPARES
        return Operation(
            address=found.address,
            size=found.size,
            name=name,
            text=f"{found.mnemonic} {found.op_str}".strip(),
            form=_form(found, arm, name, memory, bool(shifted), to_pc),
            operands=tuple(operands),
            shifted=tuple(shifted),
            addresses=tuple(addresses),
            writes=tuple(
                [r for r in written if r not in {"cpsr", "itstate", "fpscr"}] + ([FLAGS] if sets_flags else [])
            ),
            registers=registers,
            access=_access(found, name, memory, registers, addresses),
            sets_flags=sets_flags,
            reads_flags=conditional or name in _CARRIES,
            is_branch=name in _BRANCHES or to_pc,
            is_conditional=name in {"cbz", "cbnz"} or (conditional and (name in _BRANCHES or to_pc)),
            added=_added(found, arm, name),
        )


def _name(found: Any) -> str:
    name: str = found.insn_name()
    mnemonic = found.mnemonic.split(".")[0]
    if name == "hint":
        return str(mnemonic)
    if name == "mov" and mnemonic.rstrip("s") in _SHIFTS | {"l", "a"}:
        return str(mnemonic.rstrip("s"))
    return {
        "movs": "mov",
        "fconsts": "vmov",
        "fconstd": "vmov",
        "stmdb": "stm",
        "ldmdb": "ldm",
        "addw": "add",
        "subw": "sub",
    }.get(name, name)


def _form(found: Any, arm: Any, name: str, memory: Any, shifted: bool, to_pc: bool) -> str:
    if to_pc:
        return "pc"
    if memory is not None:
        if memory.mem.base == arm.ARM_REG_PC:
            return "literal"
        return "indexed" if memory.mem.index else ""
    if shifted:
        return "shifted"
    last = found.operands[-1] if found.operands else None
    if last is not None and last.type == arm.ARM_OP_IMM and name not in _SHIFTS and len(found.operands) > 1:
        return "shifted" if _is_shifted_constant(last.imm & 0xFFFF_FFFF, name) else "constant"
    return ""


def _is_shifted_constant(value: int, name: str) -> bool:
    """Whether a constant is an 8-bit one shifted: neither plain, nor 12 bits of add and sub, nor a repeated pattern."""
    if value <= _SHIFTABLE_BYTE or (name in {"add", "sub"} and value <= _TWELVE_BITS):
        return False
    if name in {"mov", "movw", "movt"} or name in _BRANCHES | {"ssat", "usat", "bfi", "bfc", "ubfx", "sbfx"}:
        return False
    halves = value >> 16, value & 0xFFFF
    return halves[0] != halves[1]


def _access(found: Any, name: str, memory: Any, registers: int, addresses: list[str]) -> Access | None:
    if name in _MULTIPLES:
        moved = 4 * registers
        down = name in {"push", "vpush"}
        return Access(addresses[0], None, -moved if down else 0, 4, moved, name not in _STORES, 0)
    if memory is None or name not in _MEMORY_BYTES:
        return None
    width = 8 if name in {"vldr", "vstr"} and found.reg_name(found.operands[0].reg).startswith("d") else 0
    width = width or _MEMORY_BYTES[name]
    constant = found.operands[-1]
    step = 0
    if found.writeback:
        step = int(constant.imm) if found.post_index else int(memory.mem.disp)
    index = found.reg_name(memory.mem.index) if memory.mem.index else None
    aligned = min(width, 4)
    base = found.reg_name(memory.mem.base)
    return Access(base, index, int(memory.mem.disp), aligned, width, name not in _STORES, step)


def _added(found: Any, arm: Any, name: str) -> tuple[str, int] | None:
    if name not in {"add", "sub"} or not found.operands or found.operands[-1].type != arm.ARM_OP_IMM:
        return None
    names = [found.reg_name(o.reg) for o in found.operands[:-1] if o.type == arm.ARM_OP_REG]
    if not names or any(n != names[0] for n in names):
        return None
    amount = int(found.operands[-1].imm)
    return names[0], amount if name == "add" else -amount
