"""The block profile: ctypes twin of block_hook.c, and which code belongs to which node."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tinyformer.errors import EmulatorError
from tinyformer.sparse_engine.elf import ElfImage, Symbol
from tinyformer.sparse_engine.emulator.emulation import ENTRY, OVERHEAD, Block, Profile, blocks

_KEEP_PHASE = np.iinfo(np.int16).min
_CAPACITY = 1 << 16


def node_functions(image: ElfImage, name: str) -> Mapping[int, Symbol]:
    """Return the functions ``<name>_node_<index>`` by index, in order.

    Raises:
        EmulatorError: an index has two (a compiler's clone).
    """
    pattern = re.compile(rf"{re.escape(name)}_node_(\d+)(?:\..*)?")
    found: dict[int, Symbol] = {}
    for function in image.functions:
        match = pattern.fullmatch(function.name)
        if match is None:
            continue
        index = int(match[1])
        if index in found:
            raise EmulatorError(
                f"the image has two functions for node {index}, '{found[index].name}' and '{function.name}':"
                " compile nodes as they are, without clones"
            )
        found[index] = function
    return dict(sorted(found.items()))


class _Profile(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_void_p),
        ("phases", ctypes.c_void_p),
        ("entries", ctypes.c_void_p),
        ("slots", ctypes.c_void_p),
        ("read_register", ctypes.c_void_p),
        ("instructions", ctypes.c_uint64),
        ("code_start", ctypes.c_uint32),
        ("code_halfwords", ctypes.c_uint32),
        ("capacity", ctypes.c_uint32),
        ("used", ctypes.c_uint32),
        ("phase", ctypes.c_int32),
        ("active", ctypes.c_uint32),
        ("lost", ctypes.c_uint32),
        ("previous", ctypes.c_uint32),
    )


class BlockProfile:
    """Counts blocks by (phase, address, size, block before) from ``start`` to ``stop``.

    A block inside a node's function begins that node's phase, one inside ``<name>_run`` the overhead; all other code,
    kernels above all, keeps the phase. ``read_register`` is the address of unicorn's ``uc_reg_read``; 0 samples no
    registers.
    """

    def __init__(self, library: Path, image: ElfImage, name: str, read_register: int = 0) -> None:
        self._library = ctypes.CDLL(str(library))
        ranges = [segment for segment in image.segments if segment.data]
        start = min(segment.address for segment in ranges if segment.address == segment.load_address) & ~1
        end = max(segment.address + len(segment.data) for segment in ranges if segment.address == segment.load_address)
        self._code = _code(image, start, end)
        self._phases = _phases(image, name, start, len(self._code))
        self._entries = np.zeros(_CAPACITY, ENTRY)
        self._slots = np.zeros(_CAPACITY, np.uint32)
        self._profile = _Profile(
            code=self._code.ctypes.data,
            phases=self._phases.ctypes.data,
            entries=self._entries.ctypes.data,
            slots=self._slots.ctypes.data,
            read_register=read_register,
            code_start=start,
            code_halfwords=len(self._code),
            capacity=_CAPACITY,
        )

    @property
    def function(self) -> ctypes.c_void_p:
        """The C function that unicorn is to call before each block."""
        return ctypes.cast(self._library.count_block, ctypes.c_void_p)

    @property
    def user_data(self) -> ctypes.c_void_p:
        """What unicorn is to hand to the function."""
        return ctypes.c_void_p(ctypes.addressof(self._profile))

    def start(self) -> None:
        """Forget all counts and count from here on, in the overhead phase."""
        self._library.reset_profile(ctypes.byref(self._profile), OVERHEAD)
        self._profile.active = 1

    def stop(self) -> int:
        """Stop counting and return the number of instructions since ``start``.

        Raises:
            EmulatorError: blocks were lost, so that the count would be wrong.
        """
        self._profile.active = 0
        if self._profile.lost:
            raise EmulatorError(
                f"{self._profile.lost} blocks were executed outside the image's code, or beyond {_CAPACITY} different"
                " ones: the instruction count would be wrong"
            )
        return int(self._profile.instructions)

    def entries(self) -> Profile:
        """Return what was counted since ``start``, by phase, address, size and block before."""
        used: Profile = self._entries[self._slots[: self._profile.used]]
        return np.sort(used, order=["phase", "address", "size", "previous"])

    def blocks(self) -> tuple[Block, ...]:
        """Return the blocks counted since ``start``, by phase and address."""
        return blocks(self.entries())


def _code(image: ElfImage, start: int, end: int) -> npt.NDArray[np.uint16]:
    content = bytearray((end - start + 1) // 2 * 2)
    for segment in image.segments:
        if segment.data and segment.address == segment.load_address:
            offset = segment.address - start
            content[offset : offset + len(segment.data)] = segment.data
    return np.frombuffer(bytes(content), dtype="<u2")


def _phases(image: ElfImage, name: str, start: int, halfwords: int) -> npt.NDArray[np.int16]:
    phases = np.full(halfwords, _KEEP_PHASE, dtype=np.int16)
    functions = {**node_functions(image, name), OVERHEAD: image.symbol(f"{name}_run")}
    for phase, function in functions.items():
        first = (function.address - start) // 2
        phases[first : first + (function.size + 1) // 2] = phase
    return phases
