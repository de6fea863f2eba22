"""Greedy by size: the largest buffer first, each at the lowest offset that is free for its whole life.

Large buffers decide how large the arena gets; small ones, placed later, fill the gaps between them. Works well on
graphs with many branches, where alternation between two ends leaves holes. What "large" should mean depends on the
graph: bytes serve a short peak, bytes times steps a tensor that many others must go around, steps a residual stream.
The three orders are tried, until one arena is as small as any can be, and the smallest is kept.

Scratch first: the same, but every scratch buffer lies at the arena's start, where a core may have its fast memory.
Kernels read scratch many times over, tensors a few times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tinyformer.sparse_engine.memory.fit import Occupancy
from tinyformer.sparse_engine.memory.liveness import Buffer, Call, live_bytes
from tinyformer.sparse_engine.memory.placement import ALIGNMENT, Placement, end_of

_Order = Callable[[Buffer], tuple[int, ...]]


def _steps(buffer: Buffer) -> int:
    return buffer.last - buffer.first + 1


_ORDERS: tuple[_Order, ...] = (
    lambda b: (-b.nbytes, b.first),
    lambda b: (-b.nbytes * _steps(b), b.first),
    lambda b: (-_steps(b), -b.nbytes, b.first),
)


def _after_scratch(order: _Order) -> _Order:
    return lambda b: (b.kind != "scratch", *order(b))


_SCRATCH_FIRST = tuple(map(_after_scratch, _ORDERS))


def place(_calls: Sequence[Call], buffers: Sequence[Buffer], _shared: Mapping[str, str]) -> tuple[Placement, ...]:
    """Place every buffer greedily.

    Args:
        _calls: not needed; a planner has them.
        buffers: the ``liveness`` of a graph.
        _shared: not needed.
    """
    return _smallest(buffers, _ORDERS) or ()


def place_scratch_first(
    _calls: Sequence[Call], buffers: Sequence[Buffer], _shared: Mapping[str, str]
) -> tuple[Placement, ...]:
    """Place scratch at the arena's start, and every other buffer greedily around it; arguments as in ``place``."""
    return _smallest(buffers, _SCRATCH_FIRST) or ()


def place_scratch_first_within(buffers: Sequence[Buffer], most_bytes: int) -> tuple[Placement, ...] | None:
    """Return what ``place_scratch_first`` does if it ends within ``most_bytes``, else None, which takes less time."""
    return _smallest(buffers, _SCRATCH_FIRST, most_bytes)


def _smallest(
    buffers: Sequence[Buffer], orders: Sequence[_Order], most_bytes: int | None = None
) -> tuple[Placement, ...] | None:
    """Return the smallest arena within ``most_bytes``, None without one; an order is left where it exceeds the best."""
    bound = max(live_bytes(buffers).values(), default=0)
    best: tuple[Placement, ...] | None = None
    for order in orders:
        found = _place_in_order(buffers, order, most_bytes)
        if found is None:
            continue
        best, end = found, end_of(found)
        if end <= bound:
            break
        most_bytes = end - ALIGNMENT  # the next must be smaller
    return best


def _place_in_order(buffers: Sequence[Buffer], order: _Order, most_bytes: int | None) -> tuple[Placement, ...] | None:
    offsets = [0] * len(buffers)
    taken = Occupancy()
    for index in sorted(range(len(buffers)), key=lambda index: order(buffers[index])):
        offset = offsets[index] = taken.lowest(buffers[index])
        if most_bytes is not None and offset + buffers[index].nbytes > most_bytes:
            return None
        taken.take(buffers[index], offset)
    return tuple(
        Placement(b.name, b.kind, offset, b.nbytes, b.first, b.last) for b, offset in zip(buffers, offsets, strict=True)
    )
