"""Arrange calls in the arena: their order, the scratch that free memory allows, and a place for every buffer.

What is decided here depends on the bytes of tensors and scratch, on which call reads what, and on what a kernel may
write over, not on weights: models that differ in sparsity alone often have one arrangement. It is found once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinyformer.sparse_engine import kernels, memory
from tinyformer.sparse_engine.ir import Graph
from tinyformer.sparse_engine.kernels import KernelCall
from tinyformer.sparse_engine.memory import MemoryPlan
from tinyformer.sparse_engine.ops import Reshape

KEPT_ARRANGEMENTS = 1024


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Which of the given calls runs when, with how many further bytes of scratch, and where its buffers lie.

    Without ``room_bytes`` every call is taken as it is.
    """

    order: tuple[int, ...]
    room_bytes: tuple[int, ...] | None
    plan: MemoryPlan

    def of(self, calls: Sequence[KernelCall]) -> tuple[KernelCall, ...]:
        """Return the calls in order, each with the scratch it gets."""
        ordered = [calls[index] for index in self.order]
        return tuple(ordered) if self.room_bytes is None else tuple(map(kernels.fill, ordered, self.room_bytes))


_KNOWN: dict[object, Arrangement] = {}


def arrange(graph: Graph, calls: Sequence[KernelCall]) -> tuple[tuple[KernelCall, ...], MemoryPlan]:
    """Return calls in the order that needs least memory, filled with scratch where memory is free, and their plan.

    Args:
        graph: shapes and nodes; constants need no data.
        calls: one for each node except Reshape, in an order that can be run.
    """
    demand = _demand(graph, calls)
    found = _KNOWN.get(demand)
    if found is None:
        if len(_KNOWN) >= KEPT_ARRANGEMENTS:
            _KNOWN.clear()
        found = _KNOWN[demand] = _arrangement(graph, calls)
    return found.of(calls), found.plan


def _demand(graph: Graph, calls: Sequence[KernelCall]) -> object:
    """Return all that an arrangement depends on: two graphs with the same have the same."""
    activations = tuple((name, tensor.nbytes) for name, tensor in graph.tensors.items() if not tensor.constant)
    views = tuple((node.inputs[0], node.output) for node in graph.nodes if isinstance(node.op, Reshape))
    steps = tuple(
        (
            call.node.name,
            call.node.inputs,
            call.node.output,
            call.overwrites,
            call.scratch_bytes,
            tuple((other.overwrites, other.scratch_bytes) for other in call.alternatives),
        )
        for call in calls
    )
    return graph.input, graph.output, activations, views, steps


def _arrangement(graph: Graph, calls: Sequence[KernelCall]) -> Arrangement:
    as_given = tuple(range(len(calls)))
    order = memory.schedule_order(graph, calls)
    if order == as_given:
        return _planned(graph, calls, as_given)
    scheduled = _planned(graph, calls, order)
    least = max(memory.live_bytes(memory.liveness(graph, calls)).values(), default=0)
    if scheduled.plan.arena_bytes < least:
        return scheduled  # no plan of the given order can be as small
    given = _planned(graph, calls, as_given)
    return scheduled if scheduled.plan.arena_bytes < given.plan.arena_bytes else given


def _planned(graph: Graph, calls: Sequence[KernelCall], order: tuple[int, ...]) -> Arrangement:
    """Plan an order, with more scratch where memory is free at a step."""
    ordered = [calls[index] for index in order]
    live = memory.live_bytes(memory.liveness(graph, ordered))
    most = max(live.values(), default=0)
    rooms = tuple(most - live.get(step, 0) for step in range(len(ordered)))
    filled = list(map(kernels.fill, ordered, rooms))
    plan = memory.plan(graph, filled)
    if filled != ordered and plan.arena_bytes > plan.lower_bound_bytes:
        least = memory.plan(graph, ordered)
        if least.arena_bytes < plan.arena_bytes:
            return Arrangement(order, None, least)
    return Arrangement(order, rooms, plan)
