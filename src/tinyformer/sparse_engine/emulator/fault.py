"""Say in one line what an emulated program did wrong: where, which instruction, which address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import capstone
from capstone import arm

from tinyformer.sparse_engine.elf import ElfImage

_BLOCK_TRANSFERS = ("ldm", "stm", "vldm", "vstm", "pop", "push", "vpop", "vpush")


def describe_place(image: ElfImage, address: int) -> str:
    """Return ``function+offset (address)``, or the address alone outside every function."""
    function = image.function_at(address)
    place = f"{address:#010x}"
    return place if function is None else f"{function.name}+{address - function.address:#x} ({place})"


def decode(code: bytes, address: int) -> Any | None:
    """Return capstone's instruction at an address, or None when the bytes are none."""
    decoder = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS)
    decoder.detail = True
    return next(decoder.disasm(code, address, 1), None)


def data_address(instruction: Any, register: Callable[[str], int]) -> int | None:
    """Return the address that a load or store accesses, before it is executed; None when it is neither.

    ``register`` returns the value of a register by name.
    """
    mnemonic = instruction.mnemonic
    if mnemonic.startswith(_BLOCK_TRANSFERS):
        if mnemonic.startswith(("push", "vpush")):
            width = 8 if instruction.op_str.startswith("{d") else 4
            return (register("sp") - width * len(instruction.operands)) & 0xFFFF_FFFF
        return register("sp") if mnemonic.startswith(("pop", "vpop")) else _value(instruction, 0, register)
    for operand in instruction.operands:
        if operand.type == arm.ARM_OP_MEM:
            return _memory_operand(instruction, operand, register)
    return None


def _memory_operand(instruction: Any, operand: Any, register: Callable[[str], int]) -> int:
    base: str = instruction.reg_name(operand.mem.base)
    if base == "pc":
        return ((int(instruction.address) + 4) & ~3) + int(operand.mem.disp)
    address = register(base)
    if not instruction.post_index:
        address += int(operand.mem.disp)
        if operand.mem.index:
            shift = operand.shift.value if operand.shift.type == arm.ARM_SFT_LSL else 0
            address += register(instruction.reg_name(operand.mem.index)) << shift
    return address & 0xFFFF_FFFF


def _value(instruction: Any, index: int, register: Callable[[str], int]) -> int:
    return register(instruction.reg_name(instruction.operands[index].reg))
