"""First fit: the lowest place for a buffer among those that live when it does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from tinyformer.sparse_engine.memory.liveness import Buffer
from tinyformer.sparse_engine.memory.placement import aligned


def lowest_gap(nbytes: int, taken: Iterable[tuple[int, int]]) -> int:
    """Return the lowest aligned offset at which ``nbytes`` bytes touch no taken interval.

    Args:
        nbytes: bytes to place.
        taken: (offset, bytes) of the intervals, offsets aligned; they may overlap one another.
    """
    offset = 0
    for start, length in sorted(taken):
        if start - offset >= nbytes:
            break
        offset = max(offset, start + aligned(length))
    return offset


class Occupancy:
    """Buffers that have an offset, by the steps at which they live: few live at one step, however many there are."""

    def __init__(self) -> None:
        self._taken: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)  # (offset, bytes)

    def lowest(self, buffer: Buffer) -> int:
        """Return the lowest offset at which a buffer touches none that lives when it does."""
        steps = range(buffer.first, buffer.last + 1)
        return lowest_gap(buffer.nbytes, {taken for step in steps for taken in self._taken.get(step, ())})

    def take(self, buffer: Buffer, offset: int) -> None:
        """Put a buffer at an offset."""
        for step in range(buffer.first, buffer.last + 1):
            self._taken[step].append((offset, buffer.nbytes))

    def reach_at(self, step: int) -> int:
        """Return the first byte behind all buffers that live at a step."""
        return max((offset + aligned(nbytes) for offset, nbytes in self._taken.get(step, ())), default=0)
