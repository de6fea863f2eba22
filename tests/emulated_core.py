"""A bare Cortex-M7 for calling single C functions: arguments in, results and instruction counts out.

Every array argument ends at the end of its memory and has nothing mapped after it, so that a read or write past it
faults; its start is aligned only as far as its size is.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import unicorn
from elftools.elf.elffile import ELFFile
from unicorn import arm_const

FLAGS = ("-O2", "-std=gnu11", "-ffreestanding", "-fomit-frame-pointer", "-fno-unwind-tables")
LINK = ("-Wl,--entry=0", "-Wl,-z,max-page-size=4")
ZIG = (sys.executable, "-m", "ziglang", "cc", "-fno-sanitize=all")
GCC = ("arm-none-eabi-gcc", "-nostartfiles", "-mthumb")
COMPILERS = {
    "zig": (*ZIG, "-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m7+fp_armv8d16sp"),
    "zig-armv6m": (*ZIG, "-target", "thumb-freestanding-eabi", "-mcpu=cortex_m0plus"),
    "gcc": (*GCC, "-mcpu=cortex-m7", "-mfloat-abi=hard", "-mfpu=fpv5-sp-d16"),
    "gcc-armv6m": (*GCC, "-mcpu=cortex-m0plus"),
}
"""Compilers of the runtime; the M7 runs the code of an Armv6-M core too."""
LINKER_SCRIPT = """PHDRS { code PT_LOAD; }
SECTIONS {
  . = 0x08000000; .text : { KEEP(*(.text*)) *(.rodata*) } :code
  /DISCARD/ : { *(.ARM.exidx*) *(.ARM.attributes*) }
}
"""
PAGE = 0x1000
CODE, STACK, DATA, RETURN = 0x08000000, 0x10000000, 0x20000000, 0x30000000
STACK_BYTES = 0x4000
TIMEOUT_US = 60_000_000


@dataclass(frozen=True)
class Pointers:
    """A struct of pointers to arrays, such as ``se_block_weights``."""

    arrays: tuple[np.ndarray, ...]


Argument = int | np.ndarray | ctypes.Structure | Pointers


@dataclass(frozen=True)
class Call:
    """What a call left: r0, the executed instructions and the deepest stack."""

    result: int
    instructions: int
    stack_bytes: int


def build(
    sources: Sequence[Path],
    output: Path,
    defines: Sequence[str] = (),
    includes: Sequence[Path] = (),
    compiler: str = "zig",
) -> Path:
    """Compile sources for the M7 and link them at the start of flash."""
    script = output.with_suffix(".ld")
    script.write_text(LINKER_SCRIPT)
    command = [*COMPILERS[compiler], *FLAGS, *LINK, *(f"-D{d}" for d in defines), *(f"-I{i}" for i in includes)]
    command += [*map(str, sources), "-T", str(script), "-o", str(output)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return output


class EmulatedCore:
    """The functions of one linked file."""

    def __init__(self, elf: Path) -> None:
        with elf.open("rb") as file:
            image = ELFFile(file)
            self._segments = [(s["p_paddr"], s.data()) for s in image.iter_segments("PT_LOAD") if s["p_filesz"]]
            symbols = image.get_section_by_name(".symtab").iter_symbols()
            self._functions = {s.name: s["st_value"] for s in symbols if s["st_info"]["type"] == "STT_FUNC"}
        self._lengths: dict[tuple[int, int], int] = {}

    def call(self, function: str, *arguments: Argument) -> Call:
        """Call a function as C does; arrays are copied in and back."""
        uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB)
        uc.ctl_set_cpu_model(arm_const.UC_CPU_ARM_CORTEX_M7)
        self._map_code(uc)
        uc.mem_map(STACK, STACK_BYTES)
        uc.mem_write(STACK, b"\xa5" * STACK_BYTES)
        uc.mem_map(RETURN, PAGE, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        words, arrays = self._place(uc, arguments)
        in_registers, on_stack = words[:4], words[4:]
        stack = STACK + STACK_BYTES - 8 * ((len(on_stack) + 1) // 2)
        uc.mem_write(stack, np.array(on_stack, np.uint32).tobytes())
        for register, word in zip(
            range(arm_const.UC_ARM_REG_R0, arm_const.UC_ARM_REG_R0 + 4), in_registers, strict=False
        ):
            uc.reg_write(register, word)
        uc.reg_write(arm_const.UC_ARM_REG_SP, stack)
        uc.reg_write(arm_const.UC_ARM_REG_LR, RETURN | 1)
        executed = [0]

        def count(_uc: unicorn.Uc, address: int, size: int, _data: object) -> None:
            executed[0] += self._length(uc, address, size)

        uc.hook_add(unicorn.UC_HOOK_BLOCK, count)
        uc.emu_start(self._functions[function] | 1, RETURN, timeout=TIMEOUT_US)
        assert uc.reg_read(arm_const.UC_ARM_REG_PC) == RETURN, f"{function} did not return"
        for address, array in arrays:
            array.view(np.uint8).reshape(-1)[:] = np.frombuffer(bytes(uc.mem_read(address, array.nbytes)), np.uint8)
        return Call(
            result=int(np.uint32(uc.reg_read(arm_const.UC_ARM_REG_R0)).astype(np.int32)),
            instructions=executed[0],
            stack_bytes=self._stack_used(uc, stack),
        )

    def _map_code(self, uc: unicorn.Uc) -> None:
        end = max(address + len(data) for address, data in self._segments)
        uc.mem_map(CODE, -(-(end - CODE) // PAGE) * PAGE, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        for address, data in self._segments:
            uc.mem_write(address, data)

    @staticmethod
    def _place(uc: unicorn.Uc, arguments: Sequence[Argument]) -> tuple[list[int], list[tuple[int, np.ndarray]]]:
        arrays: dict[int, tuple[int, np.ndarray]] = {}
        address = DATA

        def place(argument: Argument) -> int:
            nonlocal address
            if isinstance(argument, int):
                return argument & 0xFFFFFFFF
            if isinstance(argument, Pointers):
                argument = np.array([place(array) for array in argument.arrays], np.uint32)
            if id(argument) in arrays:
                return arrays[id(argument)][0]
            data = bytes(argument) if isinstance(argument, ctypes.Structure) else argument.tobytes()
            size = max(-(-len(data) // PAGE), 1) * PAGE
            uc.mem_map(address, size)
            start = address + size - len(data)
            uc.mem_write(start, data)
            if isinstance(argument, np.ndarray):
                arrays[id(argument)] = start, argument
            address += size + PAGE
            return start

        return [place(argument) for argument in arguments], list(arrays.values())

    def _length(self, uc: unicorn.Uc, address: int, size: int) -> int:
        key = address, size
        if key not in self._lengths:
            halves = np.frombuffer(bytes(uc.mem_read(address, size)), np.uint16)
            self._lengths[key] = _instructions(halves)
        return self._lengths[key]

    @staticmethod
    def _stack_used(uc: unicorn.Uc, stack: int) -> int:
        painted = np.frombuffer(bytes(uc.mem_read(STACK, stack - STACK)), np.uint8)
        touched = np.flatnonzero(painted != 0xA5)
        return int(painted.size - touched[0]) if touched.size else 0


def _instructions(halves: np.ndarray) -> int:
    """Count Thumb instructions: one of two halfwords begins with 0b11101, 0b11110 or 0b11111."""
    count = position = 0
    while position < halves.size:
        position += 2 if halves[position] >> 11 >= 0b11101 else 1
        count += 1
    return count
