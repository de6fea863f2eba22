"""The planners on hand-made and random graphs, and what their plans preserve."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import strategies
from arena_sketches import BOARD, QUICK, chain, places_text, residual
from strategies import GraphSketch, PlannedGraph
from tinyformer.errors import DoesNotFitError
from tinyformer.sparse_engine import memory, ops


def test_head_tail_alternates_on_a_chain() -> None:
    planned = chain(40, 100, 24, 60)
    plan = memory.plan_with("head_tail", planned.graph, planned.calls)
    assert places_text(plan) == ["t1 0+40, 0-1", "t2 40+100, 1-2", "t3 0+24, 2-3", "t4 80+60, 3-4"]
    assert plan.arena_bytes == plan.lower_bound_bytes == 144


def test_head_tail_keeps_what_lives_longer_and_goes_inside_it() -> None:
    planned = residual()
    plan = memory.plan_with("head_tail", planned.graph, planned.calls)
    assert places_text(plan) == [
        "t1 0+100, 0-3",
        "t2 208+200, 1-2",
        "t3 104+100, 2-3",
        "t4 304+100, 3-4",
        "t5 0+50, 4-5",
    ]
    assert plan.arena_bytes == plan.lower_bound_bytes == 408


def test_head_tail_uses_a_gap_again() -> None:
    """When the outer buffer dies before the inner one, the next of its size takes its place."""
    sketch = GraphSketch(8)
    t1 = sketch.resize("t0", 64)
    t2 = sketch.resize(t1, 8)
    t3 = sketch.resize(t2, 32)  # inside t1, which still lives
    t4 = sketch.add(ops.Concat(0), t1, t2)
    t5 = sketch.resize(t4, 64)  # where t1 was
    sketch.add(ops.Concat(0), t3, t5)
    planned = sketch.build()
    plan = memory.plan_with("head_tail", planned.graph, planned.calls)
    offsets = {p.name: p.offset for p in plan.placements}
    assert (offsets[t1], offsets[t3], offsets[t5]) == (0, 64, 0)


def test_greedy_places_the_largest_first() -> None:
    planned = chain(40, 100, 24, 60)
    plan = memory.plan_with("greedy", planned.graph, planned.calls)
    assert places_text(plan) == ["t1 104+40, 0-1", "t2 0+100, 1-2", "t3 104+24, 2-3", "t4 0+60, 3-4"]
    assert plan.arena_bytes == 144


def test_greedy_tries_other_orders_when_bytes_alone_mislead() -> None:
    """By bytes t4 comes first and pushes t1, which lives longest, inwards: t3 then finds no room beside it."""
    sketch = GraphSketch(8)
    t1 = sketch.resize("t0", 16)
    t2 = sketch.resize("t0", 16)
    sketch.resize(t2, 16)
    t4 = sketch.resize(t1, 24)
    sketch.resize(t4, 16)
    planned = sketch.build()
    plan = memory.plan_with("greedy", planned.graph, planned.calls)
    assert plan.arena_bytes == plan.lower_bound_bytes == 48


def test_plan_takes_the_smaller_arena() -> None:
    planned = residual()
    plans = [memory.plan_with(name, planned.graph, planned.calls) for name in memory.PLANNERS]
    best = memory.plan(planned.graph, planned.calls)
    assert best in plans
    assert best.arena_bytes == min(plan.arena_bytes for plan in plans)
    assert memory.plan(chain(40, 100).graph, chain(40, 100).calls).planner == "head_tail", "on a tie"


def test_plan_that_exceeds_the_board_is_refused() -> None:
    planned = chain(200_000, 150_000)
    memory.plan(planned.graph, planned.calls)
    with pytest.raises(DoesNotFitError, match=r"arena 350000, .* most of it at step 1 \(n1\); stm32f746g-disco has"):
        memory.plan(planned.graph, planned.calls, BOARD)
    small = chain(200_000, 100_000)
    memory.plan(small.graph, small.calls, BOARD)


@QUICK
@given(strategies.planned_graphs(), st.sampled_from(sorted(memory.PLANNERS)))
def test_verifier_accepts_every_planner(planned: PlannedGraph, planner: str) -> None:
    plan = memory.plan_with(planner, planned.graph, planned.calls)
    memory.verify(planned.graph, planned.calls, plan)
    assert plan.arena_bytes >= plan.lower_bound_bytes


@QUICK
@given(strategies.planned_graphs(), st.sampled_from(sorted(memory.PLANNERS)))
def test_mirrored_plan_is_as_good(planned: PlannedGraph, planner: str) -> None:
    plan = memory.plan_with(planner, planned.graph, planned.calls)
    mirrored = plan.mirrored()
    memory.verify(planned.graph, planned.calls, mirrored)
    assert mirrored.arena_bytes == plan.arena_bytes
    assert mirrored.mirrored() == plan


@QUICK
@given(strategies.planned_graphs())
def test_scratch_first_puts_all_scratch_at_the_start(planned: PlannedGraph) -> None:
    plan = memory.plan_with("scratch_first", planned.graph, planned.calls)
    scratch = [place for place in plan.placements if place.kind == "scratch"]
    assert len(scratch) == sum(call.scratch_bytes > 0 for call in planned.calls)
    assert all(place.offset == 0 for place in scratch)


def test_mirrored_plan_begins_with_what_lay_highest() -> None:
    planned = chain(40, 100, 24, 60)
    plan = memory.plan_with("head_tail", planned.graph, planned.calls).mirrored()
    assert places_text(plan) == ["t1 104+40, 0-1", "t2 0+100, 1-2", "t3 120+24, 2-3", "t4 0+60, 3-4"]


@QUICK
@given(strategies.planned_graphs())
def test_plan_is_the_smallest_of_all_planners(planned: PlannedGraph) -> None:
    plans = [memory.plan_with(planner, planned.graph, planned.calls) for planner in memory.PLANNERS]
    assert memory.plan(planned.graph, planned.calls) == min(plans, key=lambda plan: plan.arena_bytes)


@QUICK
@given(strategies.planned_chains())
def test_head_tail_is_optimal_on_chains(planned: PlannedGraph) -> None:
    plan = memory.plan_with("head_tail", planned.graph, planned.calls)
    assert plan.arena_bytes == plan.lower_bound_bytes


@QUICK
@given(strategies.planned_graphs())
def test_plan_preserves_every_value(planned: PlannedGraph) -> None:
    """Play the plan: every step writes its bytes, and finds what it reads as it was written."""
    graph, plan = planned.graph, memory.plan(planned.graph, planned.calls)
    offsets = {(p.kind, p.name): p.offset for p in plan.placements}
    memories = {name: np.zeros(graph.tensors[name].nbytes, np.int64) for name in (graph.input, graph.output)}
    arena = np.zeros(plan.arena_bytes, np.int64)
    memories[graph.input][:] = -1

    def where(name: str) -> np.ndarray:
        root = plan.aliases.get(name, name)
        if root in memories:
            return memories[root]
        offset = offsets["tensor", root]
        return arena[offset : offset + graph.tensors[root].nbytes]

    reshaped = memory.aliases(graph, [replace(call, overwrites=()) for call in planned.calls])

    def value(name: str) -> str:
        return reshaped.get(name, name)

    stamps = {value(graph.input): -1}
    for step, call in enumerate(planned.calls, start=1):
        if call.scratch_bytes:
            offset = offsets["scratch", call.node.name]
            arena[offset : offset + call.scratch_bytes] = -step
        for name in call.node.inputs:
            assert np.all(where(name) == stamps[value(name)]), f"{name} at step {step}"
        where(call.node.output)[:] = step
        for name in set(call.node.inputs) - set(call.overwrites):
            assert np.all(where(name) == stamps[value(name)]), f"{name} after step {step}"
        if call.scratch_bytes:
            assert np.all(arena[offset : offset + call.scratch_bytes] == -step)
        stamps[value(call.node.output)] = step
    assert np.all(where(graph.output) == stamps[value(graph.output)])
