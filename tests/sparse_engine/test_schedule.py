"""The order of operators: it can be run, and nothing needs less at its worst step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

import strategies
from strategies import GraphSketch, PlannedCall, PlannedGraph
from tinyformer import boards
from tinyformer.sparse_engine import memory, ops
from tinyformer.sparse_engine.ir import Graph
from tinyformer.sparse_engine.layout import Budget, lay_out
from tinyformer.sparse_engine.memory.liveness import live_bytes
from tinyformer.sparse_engine.synthetic import GraphBuilder

BOARD = boards.load("stm32f746g-disco")


def peak_bytes(graph: Graph, calls: Sequence[PlannedCall]) -> int:
    """The planner's own lower bound of an order."""
    return max(live_bytes(memory.liveness(graph, calls)).values(), default=0)


def orders(planned: PlannedGraph) -> Iterator[tuple[PlannedCall, ...]]:
    """Every order that can be run."""
    for order in permutations(planned.calls):
        try:
            memory.liveness(planned.graph, order)
        except memory.PlanError:
            continue
        yield order


def two_branches(small_first: bool) -> PlannedGraph:
    """A branch that swells to 400 bytes and ends in 8, one of 80 bytes throughout; the large one should go first."""
    sketch = GraphSketch(8)

    def swelling() -> str:
        return sketch.resize(sketch.resize("t0", 400), 8)

    def flat() -> str:
        return sketch.resize("t0", 80)

    ends = (flat(), swelling()) if small_first else (swelling(), flat())
    sketch.resize(sketch.add(ops.Concat(0), *ends), 8)
    return sketch.build()


def test_the_branch_that_swells_goes_first() -> None:
    planned = two_branches(small_first=True)
    assert peak_bytes(planned.graph, planned.calls) == 80 + 400 + 8
    scheduled = memory.schedule(planned.graph, planned.calls)
    assert [call.node.name for call in scheduled] == ["n1", "n2", "n0", "n3", "n4"]
    assert peak_bytes(planned.graph, scheduled) == 400 + 8
    memory.plan(planned.graph, scheduled)


def test_a_good_order_is_kept() -> None:
    planned = two_branches(small_first=False)
    assert memory.schedule(planned.graph, planned.calls) == planned.calls


@settings(deadline=None, max_examples=40)
@given(strategies.planned_graphs(max_nodes=6))
def test_no_order_needs_less(planned: PlannedGraph) -> None:
    scheduled = memory.schedule(planned.graph, planned.calls)
    assert peak_bytes(planned.graph, scheduled) == min(peak_bytes(planned.graph, order) for order in orders(planned))


@settings(deadline=None, max_examples=60)
@given(strategies.planned_graphs(max_nodes=14), st.sampled_from([1, 4, 128]))
def test_order_can_be_run_and_is_never_worse(planned: PlannedGraph, beam: int) -> None:
    scheduled = memory.schedule(planned.graph, planned.calls, beam)
    assert sorted(call.node.name for call in scheduled) == sorted(call.node.name for call in planned.calls)
    assert peak_bytes(planned.graph, scheduled) <= peak_bytes(planned.graph, planned.calls)
    memory.plan(planned.graph, scheduled)


def test_layout_takes_the_better_order() -> None:
    b = GraphBuilder((4, 4, 8))
    thin = b.conv2d(b.input, 8, (1, 1))
    thick = b.conv2d(b.conv2d(b.input, 64, (1, 1)), 8, (1, 1))
    graph = b.finish(b.conv2d(b.concat([thin, thick], 2), 4, (1, 1)))
    layout = lay_out(graph, BOARD, Budget.of(BOARD), "size")
    assert [call.node.name for call in layout.calls][:3] == ["conv2d_1", "conv2d_2", "conv2d_0"]
    assert layout.plan.arena_bytes == layout.plan.lower_bound_bytes
    in_order = [next(call for call in layout.calls if call.node.name == node.name) for node in graph.nodes]
    assert memory.plan(graph, in_order).arena_bytes > layout.plan.arena_bytes
