"""Where every tensor of the generated C lives: the caller's input, the caller's output, or the arena."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tinyformer.sparse_engine.ir import Graph, GraphError
from tinyformer.sparse_engine.memory import MemoryPlan

Place = Literal["input", "output", "arena"]


@dataclass(frozen=True, slots=True)
class Buffers:
    """Places of the tensors and scratch buffers of a plan.

    ``roots`` maps each tensor to the one that stands for all tensors in the same place; ``offsets`` are bytes in the
    arena by (kind, name); ``arena`` is the name of the C array.
    """

    arena: str
    roots: Mapping[str, str]
    offsets: Mapping[tuple[str, str], int]
    input: str
    output: str

    @classmethod
    def of(cls, graph: Graph, plan: MemoryPlan, arena: str) -> Buffers:
        """Read a plan."""
        parents = {name: name for name in graph.tensors}

        def root(name: str) -> str:
            while parents[name] != name:
                name = parents[name]
            return name

        for alias, target in plan.aliases.items():
            parents[root(alias)] = root(target)
        roots = {name: root(name) for name in parents}
        offsets: dict[tuple[str, str], int] = {
            (p.kind, roots[p.name] if p.kind == "tensor" else p.name): p.offset for p in plan.placements
        }
        return cls(arena, roots, offsets, roots[graph.input], roots[graph.output])

    @property
    def output_is_input(self) -> bool:
        """Whether the graph only renames its input, so that it must be copied."""
        return self.output == self.input

    def location(self, name: str) -> tuple[Place, int]:
        """Return the place of an activation and its offset there in bytes.

        Raises:
            GraphError: the plan has no place for it.
        """
        root = self.roots[name]
        if root == self.input:
            return "input", 0
        if root == self.output:
            return "output", 0
        return "arena", self._offset("tensor", root)

    def tensor(self, name: str, beyond: int = 0) -> str:
        """Return the C pointer to an activation, or ``beyond`` bytes into it."""
        place, offset = self.location(name)
        return _pointer(self.arena if place == "arena" else place, offset + beyond)

    def scratch(self, node: str, beyond: int = 0) -> str:
        """Return the C pointer to a node's scratch, or ``beyond`` bytes into it."""
        return _pointer(self.arena, self._offset("scratch", node) + beyond)

    def _offset(self, kind: str, name: str) -> int:
        offset = self.offsets.get((kind, name))
        if offset is None:
            raise GraphError(f"the memory plan has no place for the {kind} of '{name}'")
        return offset


def _pointer(base: str, offset: int) -> str:
    return f"{base} + {offset}" if offset else base
