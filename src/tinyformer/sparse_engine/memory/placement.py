"""A memory plan: which buffer lies where in the arena, and when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from tinyformer.errors import TinyFormerError

ALIGNMENT = 8
"""Every offset and the arena's size are multiples of this many bytes."""

Kind = Literal["tensor", "scratch"]


class PlanError(TinyFormerError):
    """A memory plan is wrong, or calls and graph do not belong together: a defect of who made them."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A buffer's place: ``nbytes`` bytes at ``offset``, taken from step ``first`` to step ``last``, both included.

    ``kind`` is "tensor", and ``name`` the tensor's, or "scratch", and ``name`` the node's.
    """

    name: str
    kind: Kind
    offset: int
    nbytes: int
    first: int
    last: int

    @property
    def end(self) -> int:
        """First byte after the buffer."""
        return self.offset + self.nbytes


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """The arena of one graph.

    ``planner`` made it; ``lower_bound_bytes`` is the largest sum of live bytes, which no plan can beat. ``aliases``
    maps every tensor that has no memory of its own (reshapes, and what kernels write over their input) to the one whose
    memory it is: a placed tensor, or the graph's input or output, which are the caller's buffers.
    """

    planner: str
    arena_bytes: int
    lower_bound_bytes: int
    placements: tuple[Placement, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "aliases", MappingProxyType(dict(self.aliases)))

    def mirrored(self) -> MemoryPlan:
        """Return the same plan from the arena's other end: what lay highest lies lowest."""
        placements = (replace(p, offset=self.arena_bytes - p.offset - aligned(p.nbytes)) for p in self.placements)
        return replace(self, placements=tuple(placements))


def aligned(nbytes: int) -> int:
    """Return the number of bytes rounded up to the alignment."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def end_of(placements: Iterable[Placement]) -> int:
    """Return the bytes of the smallest arena that holds all placements."""
    return max((aligned(place.end) for place in placements), default=0)
