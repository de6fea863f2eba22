"""Memory planning: graph and kernel calls -> an offset in one arena for every tensor and scratch buffer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from tinyformer.boards import Board
from tinyformer.errors import DoesNotFitError
from tinyformer.sparse_engine.ir import Graph
from tinyformer.sparse_engine.memory import greedy, head_tail
from tinyformer.sparse_engine.memory.liveness import Buffer, Call, aliases, live_bytes, liveness
from tinyformer.sparse_engine.memory.ordering import schedule, schedule_order
from tinyformer.sparse_engine.memory.placement import ALIGNMENT, MemoryPlan, Placement, PlanError, end_of
from tinyformer.sparse_engine.memory.verifier import verify

__all__ = [
    "ALIGNMENT",
    "PLANNERS",
    "Buffer",
    "Call",
    "MemoryPlan",
    "Placement",
    "PlanError",
    "aliases",
    "as_small",
    "live_bytes",
    "liveness",
    "plan",
    "plan_with",
    "schedule",
    "schedule_order",
    "verify",
]

Planner = Callable[[Sequence[Call], Sequence[Buffer], Mapping[str, str]], tuple[Placement, ...]]
"""(calls, their ``liveness``, their ``aliases``) -> a place for every buffer."""

PLANNERS: Mapping[str, Planner] = MappingProxyType(
    {"head_tail": head_tail.place, "greedy": greedy.place, "scratch_first": greedy.place_scratch_first}
)
"""The planners by name, the preferred one first."""


def plan(graph: Graph, calls: Sequence[Call], board: Board | None = None) -> MemoryPlan:
    """Plan the arena with one planner after the other and return the smallest plan, verified.

    A plan as small as its lower bound ends the search.

    Args:
        graph: shapes and nodes; constants need no data.
        calls: one for each node except Reshape, in execution order.
        board: where the arena, the caller's input and output, and the stack must fit; without it there is no limit.

    Raises:
        PlanError: calls and graph do not belong together.
        DoesNotFitError: names what is needed, what the board has, and the step that needs most.

    Reference: paper Sec. III-D (head-tail alternation).
    """
    shared = aliases(graph, calls)
    buffers = liveness(graph, calls, shared)
    best = min(_plans(calls, buffers, shared), key=lambda p: p.arena_bytes)
    verify(graph, calls, best)
    if board is not None:
        _require_fit(graph, calls, best, board)
    return best


def plan_with(planner: str, graph: Graph, calls: Sequence[Call]) -> MemoryPlan:
    """Plan the arena with one planner of ``PLANNERS``; arguments and errors are those of ``plan``."""
    shared = aliases(graph, calls)
    return _plan_with(planner, calls, liveness(graph, calls, shared), shared)


def as_small(graph: Graph, calls: Sequence[Call], plan: MemoryPlan) -> tuple[MemoryPlan, ...]:
    """Return other plans that need no more than a plan, and put other buffers at the arena's start.

    That is where a board's fast memory may be. They are the same plan from the other end, and one with all scratch at
    the start if it is as small.

    Args:
        graph: shapes and nodes; constants need no data.
        calls: those that the plan is of.
        plan: what ``plan`` returned for them.
    """
    buffers = liveness(graph, calls, plan.aliases)
    placements = greedy.place_scratch_first_within(buffers, plan.arena_bytes)
    if placements is None:
        return (plan.mirrored(),)
    scratch_first = _of("scratch_first", buffers, placements, plan.aliases)
    verify(graph, calls, scratch_first)
    return plan.mirrored(), scratch_first


def _plans(calls: Sequence[Call], buffers: Sequence[Buffer], shared: Mapping[str, str]) -> Iterator[MemoryPlan]:
    """Yield each planner's plan, up to one that no other can beat."""
    for name in PLANNERS:
        found = _plan_with(name, calls, buffers, shared)
        yield found
        if found.arena_bytes <= found.lower_bound_bytes:
            return


def _plan_with(planner: str, calls: Sequence[Call], buffers: Sequence[Buffer], shared: Mapping[str, str]) -> MemoryPlan:
    return _of(planner, buffers, PLANNERS[planner](calls, buffers, shared), shared)


def _of(
    planner: str, buffers: Sequence[Buffer], placements: tuple[Placement, ...], shared: Mapping[str, str]
) -> MemoryPlan:
    bound = max(live_bytes(buffers).values(), default=0)
    return MemoryPlan(planner, end_of(placements), bound, placements, shared)


def _require_fit(graph: Graph, calls: Sequence[Call], best: MemoryPlan, board: Board) -> None:
    borders = graph.tensors[graph.input].nbytes + graph.tensors[graph.output].nbytes
    needed = best.arena_bytes + borders + board.stack_bytes
    if needed <= board.ram.size_bytes:
        return
    live = live_bytes(liveness(graph, calls))
    peak = max(live, key=lambda step: live[step], default=0)
    where = f", most of it at step {peak} ({calls[peak].node.name})" if live else ""
    raise DoesNotFitError(
        f"graph {graph.name} needs {needed} bytes of RAM (arena {best.arena_bytes}, input and output {borders}, stack "
        f"{board.stack_bytes}){where}; {board.name} has {board.ram.size_bytes}: use a smaller model or input"
    )
