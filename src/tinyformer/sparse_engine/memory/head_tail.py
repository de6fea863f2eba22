"""Head-tail alternation, the paper's strategy (Sec. III-D): outputs go to the end of the arena opposite their input.

Take a chain first. The first tensor lies at the head of the arena, the next at its tail, the third at the head again,
where the first has died, and so on: at every step input and output lie at opposite ends, the arena need only be as
large as the largest such pair, and nothing ever moves.

In general each buffer gets an end, and a distance from that end:

1. The end is opposite the one where the node's inputs lie. If they lie at both ends or outside the arena, and for
   scratch, it is the end at which the buffer reaches less far inwards.
2. A tensor that lives longer than its neighbours keeps its place; later ones go inside it: the distance is the smallest
   at which the buffer meets none that lives at the same end at the same time. So a gap left by a dead buffer is used
   again if it is large enough.
3. When all have their place, the arena is as large as the sum of both ends' reaches at the worst step. Buffers that
   live at the same time at opposite ends therefore never meet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tinyformer.sparse_engine.memory.fit import Occupancy
from tinyformer.sparse_engine.memory.liveness import Buffer, Call
from tinyformer.sparse_engine.memory.placement import Placement, aligned


class _End:
    """One end of the arena: its buffers with their distances from it."""

    def __init__(self) -> None:
        self.buffers: list[tuple[Buffer, int]] = []
        self._taken = Occupancy()

    def distance(self, buffer: Buffer) -> int:
        """Return the smallest distance at which the buffer meets no other."""
        return self._taken.lowest(buffer)

    def put(self, buffer: Buffer, distance: int) -> None:
        """Put a buffer at a distance."""
        self.buffers.append((buffer, distance))
        self._taken.take(buffer, distance)

    def reach_at(self, step: int) -> int:
        """Return how far inwards the buffers that live at a step lie."""
        return self._taken.reach_at(step)


def place(calls: Sequence[Call], buffers: Sequence[Buffer], shared: Mapping[str, str]) -> tuple[Placement, ...]:
    """Place every buffer by head-tail alternation.

    Args:
        calls: in execution order.
        buffers: their ``liveness``.
        shared: their ``aliases``.

    Reference: paper Sec. III-D.
    """
    head, tail = _End(), _End()
    end_of: dict[str, _End] = {}
    for buffer in buffers:
        opposite = None
        if buffer.kind == "tensor":
            inputs = (shared.get(name, name) for name in calls[buffer.first].node.inputs)
            taken = {end_of[name] for name in inputs if name in end_of}
            if len(taken) == 1:
                opposite = tail if head in taken else head
        distances = {end: end.distance(buffer) for end in ((head, tail) if opposite is None else (opposite,))}
        end = min(distances, key=lambda end: distances[end])
        if buffer.kind == "tensor":
            end_of[buffer.name] = end
        end.put(buffer, distances[end])
    arena_bytes = max((head.reach_at(step) + tail.reach_at(step) for step in range(len(calls))), default=0)
    from_head = [_placement(buffer, distance) for buffer, distance in head.buffers]
    from_tail = [_placement(b, arena_bytes - distance - aligned(b.nbytes)) for b, distance in tail.buffers]
    return tuple(sorted(from_head + from_tail, key=lambda p: (p.first, p.kind == "scratch")))


def _placement(buffer: Buffer, offset: int) -> Placement:
    return Placement(buffer.name, buffer.kind, offset, buffer.nbytes, buffer.first, buffer.last)
