"""First fit: the lowest place for bytes among intervals that are taken."""

from __future__ import annotations

from collections.abc import Iterable

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
