"""Greedy by size: the largest buffer first, each at the lowest offset that is free for its whole life.

Large buffers decide how large the arena gets; small ones, placed later, fill the gaps between them. Works well on
graphs with many branches, where alternation between two ends leaves holes. What "large" should mean depends on the
graph: bytes serve a short peak, bytes times steps a tensor that many others must go around, steps a residual stream.
All three orders are tried and the smallest arena is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tinyformer.sparse_engine.ir import Graph
from tinyformer.sparse_engine.memory.fit import lowest_gap
from tinyformer.sparse_engine.memory.liveness import Buffer, Call, liveness
from tinyformer.sparse_engine.memory.placement import Placement, end_of

_Order = Callable[[Buffer], tuple[int, ...]]


def _steps(buffer: Buffer) -> int:
    return buffer.last - buffer.first + 1


_ORDERS: tuple[_Order, ...] = (
    lambda b: (-b.nbytes, b.first),
    lambda b: (-b.nbytes * _steps(b), b.first),
    lambda b: (-_steps(b), -b.nbytes, b.first),
)


def place(graph: Graph, calls: Sequence[Call]) -> tuple[Placement, ...]:
    """Place every buffer of a graph greedily.

    Args:
        graph: see ``liveness``.
        calls: see ``liveness``.

    Raises:
        PlanError: see ``liveness``.
    """
    buffers = liveness(graph, calls)
    return min((_place_in_order(buffers, order) for order in _ORDERS), key=end_of)


def _place_in_order(buffers: Sequence[Buffer], order: _Order) -> tuple[Placement, ...]:
    offsets: dict[Buffer, int] = {}
    for buffer in sorted(buffers, key=order):
        offsets[buffer] = lowest_gap(buffer.nbytes, [(o, b.nbytes) for b, o in offsets.items() if b.meets(buffer)])
    return tuple(Placement(b.name, b.kind, offsets[b], b.nbytes, b.first, b.last) for b in buffers)
