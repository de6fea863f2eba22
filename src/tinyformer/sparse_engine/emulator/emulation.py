"""What an emulation returns, whichever emulator ran it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

OVERHEAD = -1
"""The phase of instructions that belong to ``<name>_run`` itself rather than to a node."""


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
    ``overhead_instructions`` (in ``<name>_run`` itself) and ``blocks`` are that inference's and sum to it.
    ``stack_bytes`` is the high-water mark from reset on. ``traces`` holds, for each trace point, int8 (N, its bytes).
    ``console`` is what the program printed.
    """

    outputs: npt.NDArray[np.int8]
    instructions: int
    instructions_each: tuple[int, ...]
    layer_instructions: tuple[int, ...]
    overhead_instructions: int
    stack_bytes: int
    blocks: tuple[Block, ...]
    traces: tuple[npt.NDArray[np.int8], ...]
    console: str
