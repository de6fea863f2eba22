"""What an emulation returns, whichever emulator ran it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

OVERHEAD = -1
"""The phase of instructions that belong to ``<name>_run`` itself rather than to a node."""


NO_BLOCK = 0xFFFF_FFFF
"""The ``previous`` of the first block of an inference."""

REGISTER_NAMES = (*(f"r{n}" for n in range(13)), "sp", "lr")
"""The order of the registers in an entry of the profile."""

ENTRY = np.dtype(
    [
        ("address", "<u4"),
        ("size", "<u4"),
        ("phase", "<i4"),
        ("instructions", "<u4"),
        ("count", "<u8"),
        ("previous", "<u4"),
        ("samples", "<u4"),
        ("first", "<u4", len(REGISTER_NAMES)),
        ("low", "<u4", len(REGISTER_NAMES)),
        ("high", "<u4", len(REGISTER_NAMES)),
        ("low_bits", "<u2", (len(REGISTER_NAMES), 4)),
    ],
    align=True,
)
"""One entry of a profile: a block after a block, in a phase.

``size`` bytes of code from ``address`` on ran ``count`` times right after the block at ``previous``. At ``samples`` of
these times the registers were read: ``first``, ``low`` and ``high`` are the first, least and greatest values seen, and
``low_bits`` counts them by their two lowest bits.
"""

Profile = npt.NDArray[np.void]
"""Entries of dtype ``ENTRY``, ordered by phase, address, size and previous."""


class TracePoint(NamedTuple):
    """Memory to read right after a node.

    ``location`` is a symbol's name or an address, ``nbytes`` the number of bytes.
    """

    node: int
    location: str | int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Block:
    """A straight run of instructions: ``size`` bytes from ``address`` on, executed ``count`` times in a phase.

    ``phase`` is the node's index or ``OVERHEAD``; ``instructions`` are those of one execution. A block ends at a
    branch, but also where the emulator's own limits (a page, 512 instructions) cut it.
    """

    phase: int
    address: int
    size: int
    count: int
    instructions: int


@dataclass(frozen=True, slots=True)
class Emulation:
    """What an image did with N inputs.

    ``outputs`` is int8 (N, output bytes). ``instructions`` counts one inference, from the first instruction of
    ``<name>_run`` to its return: the largest of ``instructions_each``; the counts by layer (phase i is node i),
    ``overhead_instructions`` (in ``<name>_run`` itself) and ``profile`` are that inference's and sum to it.
    ``stack_bytes`` is the high-water mark from reset on. ``traces`` holds, for each trace point, int8 (N, its bytes).
    ``console`` is what the program printed.
    """

    outputs: npt.NDArray[np.int8]
    instructions: int
    instructions_each: tuple[int, ...]
    layer_instructions: tuple[int, ...]
    overhead_instructions: int
    stack_bytes: int
    profile: Profile
    traces: tuple[npt.NDArray[np.int8], ...]
    console: str

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks of the profile, whatever ran before them, by phase and address."""
        return blocks(self.profile)


def blocks(profile: Profile) -> tuple[Block, ...]:
    """Return the blocks of a profile, whatever ran before them, by phase and address."""
    found: dict[tuple[int, int, int], Block] = {}
    for entry in profile:
        key = int(entry["phase"]), int(entry["address"]), int(entry["size"])
        before = found[key].count if key in found else 0
        found[key] = Block(*key, before + int(entry["count"]), int(entry["instructions"]))
    return tuple(found[key] for key in sorted(found))
