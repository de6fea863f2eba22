"""Liveness, planners and verifier on hand-made and random graphs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import strategies
from strategies import GraphSketch, PlannedGraph
from tinyformer import boards
from tinyformer.errors import DoesNotFitError
from tinyformer.sparse_engine import memory, ops
from tinyformer.sparse_engine.memory import Buffer, MemoryPlan, Placement, PlanError

QUICK = settings(deadline=None, max_examples=60)
BOARD = boards.load("stm32f746g-disco")


def buffers_text(planned: PlannedGraph) -> list[str]:
    found = memory.liveness(planned.graph, planned.calls)
    return [f"{b.kind} {b.name} {b.nbytes} bytes, {b.first}-{b.last}" for b in found]


def places_text(plan: MemoryPlan) -> list[str]:
    return [f"{p.name} {p.offset}+{p.nbytes}, {p.first}-{p.last}" for p in plan.placements]


def chain(*sizes: int) -> PlannedGraph:
    """From an input of 8 bytes over tensors t1, t2 ... of the given sizes to an output of 8 bytes."""
    sketch = GraphSketch(8)
    name = "t0"
    for size in (*sizes, 8):
        name = sketch.resize(name, size)
    return sketch.build()


def residual() -> PlannedGraph:
    """t1 lives across t2 and t3 to the addition, as around a transformer's attention."""
    sketch = GraphSketch(8)
    t1 = sketch.resize("t0", 100)
    t2 = sketch.resize(t1, 200)
    t3 = sketch.resize(t2, 100)
    t4 = sketch.add(ops.Add(), t1, t3)
    t5 = sketch.resize(t4, 50)
    sketch.resize(t5, 8)
    return sketch.build()


# ---- liveness


def test_border_tensors_need_no_buffer() -> None:
    assert buffers_text(chain()) == []
    assert buffers_text(chain(30)) == ["tensor t1 30 bytes, 0-1"]


def test_tensor_lives_until_its_last_read() -> None:
    assert buffers_text(residual()) == [
        "tensor t1 100 bytes, 0-3",
        "tensor t2 200 bytes, 1-2",
        "tensor t3 100 bytes, 2-3",
        "tensor t4 100 bytes, 3-4",
        "tensor t5 50 bytes, 4-5",
    ]


def test_scratch_lives_at_its_own_step() -> None:
    sketch = GraphSketch(8)
    t1 = sketch.resize("t0", 20, scratch_bytes=1024)
    sketch.resize(t1, 8, scratch_bytes=3)
    assert buffers_text(sketch.build()) == [
        "tensor t1 20 bytes, 0-1",
        "scratch n0 1024 bytes, 0-0",
        "scratch n1 3 bytes, 1-1",
    ]


def test_unread_tensor_lives_while_it_is_written() -> None:
    sketch = GraphSketch(8)
    sketch.resize("t0", 20)
    sketch.resize("t0", 9)
    assert buffers_text(sketch.build()) == ["tensor t1 20 bytes, 0-0"]


def test_reshapes_share_the_buffer_of_what_was_computed() -> None:
    sketch = GraphSketch(8)
    t1 = sketch.resize("t0", 12)
    t2 = sketch.add(ops.Reshape((3, 4)), t1)
    t3 = sketch.add(ops.Reshape((12,)), t2)
    t4 = sketch.resize(t1, 5)
    t5 = sketch.resize(t4, 12)
    sketch.add(ops.Add(), t3, t5)
    planned = sketch.build()
    assert memory.aliases(planned.graph, planned.calls) == {t2: t1, t3: t1}
    assert buffers_text(planned) == [
        "tensor t1 12 bytes, 0-3",
        "tensor t4 5 bytes, 1-2",
        "tensor t5 12 bytes, 2-3",
    ]


def test_alias_of_the_output_is_written_into_the_callers_buffer() -> None:
    sketch = GraphSketch(8)
    t1 = sketch.resize("t0", 12)
    t2 = sketch.add(ops.Reshape((3, 4)), t1)
    t3 = sketch.add(ops.Reshape((4, 3)), t2)
    planned = sketch.build()
    assert memory.aliases(planned.graph, planned.calls) == {t1: t3, t2: t3}
    assert buffers_text(planned) == []


def test_alias_of_the_input_is_the_callers_buffer() -> None:
    sketch = GraphSketch(2, 4)
    t1 = sketch.add(ops.Reshape((8,)), "t0")
    t2 = sketch.resize(t1, 20)
    t3 = sketch.resize(t2, 8)
    sketch.add(ops.Add(), t3, t1)
    planned = sketch.build()
    assert memory.aliases(planned.graph, planned.calls) == {t1: "t0"}
    assert buffers_text(planned) == ["tensor t2 20 bytes, 0-1", "tensor t3 8 bytes, 1-2"]


def test_output_that_is_the_input_in_another_shape_is_its_alias() -> None:
    sketch = GraphSketch(2, 4)
    t1 = sketch.add(ops.Reshape((8,)), "t0")
    planned = sketch.build()
    plan = memory.plan(planned.graph, planned.calls)
    assert dict(plan.aliases) == {t1: "t0"}
    assert (plan.arena_bytes, plan.lower_bound_bytes, plan.placements) == (0, 0, ())


def test_output_that_later_nodes_read_stays_the_callers_buffer() -> None:
    sketch = GraphSketch(8)
    t1 = sketch.resize("t0", 12)
    sketch.resize(t1, 30)
    planned = sketch.build(output=t1)
    assert buffers_text(planned) == ["tensor t2 30 bytes, 1-1"]


def test_calls_out_of_order_are_refused() -> None:
    planned = residual()
    with pytest.raises(PlanError, match=r"step 0 \(n5\) reads 't5', which no earlier step writes"):
        memory.liveness(planned.graph, planned.calls[::-1])


def test_shared_memory_does_not_count_as_written() -> None:
    """Out of order, t2 takes the memory of t1 after it was read: t1 is there, t2 is not."""
    sketch = GraphSketch(1)
    t1 = sketch.resize("t0", 2)
    t2 = sketch.add(ops.Add(), t1, t1, overwrites=(t1,))
    sketch.add(ops.Add(), t1, t2)
    planned = sketch.build(output="t0")
    first, second, third = planned.calls
    with pytest.raises(PlanError, match=r"step 1 \(n2\) reads 't2', which no earlier step writes"):
        memory.liveness(planned.graph, (first, third, second))


def overwriting_residual(*over: str) -> PlannedGraph:
    """As ``residual``, with an addition that may write over the named inputs."""
    sketch = GraphSketch(8)
    t1 = sketch.resize("t0", 100)
    t2 = sketch.resize(t1, 200)
    t3 = sketch.resize(t2, 100)
    t4 = sketch.add(ops.Add(), t1, t3, overwrites=over)
    t5 = sketch.resize(t4, 50)
    sketch.resize(t5, 8)
    return sketch.build()


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        (("t1",), ["t1 100 bytes, 0-4", "t2 200 bytes, 1-2", "t3 100 bytes, 2-3"]),
        (("t3",), ["t1 100 bytes, 0-3", "t2 200 bytes, 1-2", "t3 100 bytes, 2-4"]),
        (("t3", "t1"), ["t1 100 bytes, 0-4", "t2 200 bytes, 1-2", "t3 100 bytes, 2-3"]),
    ],
    ids=["first", "second", "the older of both"],
)
def test_output_takes_the_memory_of_an_input_that_dies(over: tuple[str, ...], expected: list[str]) -> None:
    planned = overwriting_residual(*over)
    assert buffers_text(planned) == [f"tensor {line}" for line in (*expected, "t5 50 bytes, 4-5")]
    assert memory.aliases(planned.graph, planned.calls) == {"t4": expected[0 if "t1" in over else 2][:2]}


def test_overwriting_goes_on_through_reshapes() -> None:
    sketch = GraphSketch(8)
    t1 = sketch.resize("t0", 12)
    t2 = sketch.add(ops.Reshape((3, 4)), t1)
    t3 = sketch.add(ops.Transpose((0, 1)), t2, overwrites=(t2,))
    t4 = sketch.add(ops.Reshape((12,)), t3)
    t5 = sketch.add(ops.Slice((0,), (12,), (1,)), t4, overwrites=(t4,))
    sketch.resize(t5, 8)
    planned = sketch.build()
    assert memory.aliases(planned.graph, planned.calls) == {t2: t1, t3: t1, t4: t1, t5: t1}
    assert buffers_text(planned) == ["tensor t1 12 bytes, 0-3"]


def test_what_must_not_be_overwritten_is_not() -> None:
    """An input that a later step reads, one of another size, the caller's input, and the graph's output."""
    sketch = GraphSketch(8)
    t1 = sketch.resize("t0", 12)
    t2 = sketch.add(ops.Transpose((0,)), t1, overwrites=(t1,))  # t1 is read again
    t3 = sketch.resize(t2, 30)
    t4 = sketch.add(ops.Add(), t1, t1, overwrites=(t1,))  # now it may
    t5 = sketch.add(ops.Transpose((0,)), "t0", overwrites=("t0",))
    t6 = sketch.add(ops.Concat(0), t3, t4, t5)
    t7 = sketch.add(ops.Transpose((0,)), t6, overwrites=(t6,))
    t8 = sketch.add(ops.Transpose((0,)), t7, overwrites=(t7,))
    planned = sketch.build(output=t7)
    assert memory.aliases(planned.graph, planned.calls) == {t4: t1}
    assert t8 == "t8"


# ---- planners


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
def test_verifier_accepts_both_planners(planned: PlannedGraph, planner: str) -> None:
    plan = memory.plan_with(planner, planned.graph, planned.calls)
    memory.verify(planned.graph, planned.calls, plan)
    assert plan.arena_bytes >= plan.lower_bound_bytes


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


# ---- verifier


def corrupted(plan: MemoryPlan, name: str, changes: dict[str, int | str]) -> MemoryPlan:
    return replace(plan, placements=tuple(replace(p, **changes) if p.name == name else p for p in plan.placements))


@pytest.fixture
def good() -> MemoryPlan:
    planned = residual()
    return memory.plan_with("head_tail", planned.graph, planned.calls)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("t3", {"offset": 0}, r"'t1' and tensor 't3' overlap at step|'t3' and tensor 't1' overlap at step"),
        ("t3", {"offset": 96}, r"tensor 't1' and tensor 't3' overlap at step 3"),
        ("t2", {"offset": 212}, r"tensor 't2' is at offset 212, which is not a multiple of 8"),
        ("t2", {"offset": 216}, r"tensor 't2' takes bytes 216 to 416, the arena has 408"),
        ("t1", {"offset": -8}, r"tensor 't1' takes bytes -8 to 92"),
        ("t2", {"nbytes": 199}, r"tensor 't2' has a place of 199 bytes and needs 200"),
        ("t1", {"last": 2}, r"tensor 't1' lives at step 3, its place from 0 to 2"),
        ("t4", {"first": 4}, r"tensor 't4' lives at step 3, its place from 4 to 4"),
        ("t4", {"name": "t9"}, r"tensor 't4' lives at step 4 and has no place"),
        ("t4", {"kind": "scratch"}, r"tensor 't4' lives at step 4 and has no place"),
        ("t4", {"name": "t5"}, r"tensor 't5' has two places"),
    ],
)
def test_verifier_refuses_a_corrupted_place(
    name: str, changes: dict[str, int | str], message: str, good: MemoryPlan
) -> None:
    planned = residual()
    memory.verify(planned.graph, planned.calls, good)
    with pytest.raises(PlanError, match=message):
        memory.verify(planned.graph, planned.calls, corrupted(good, name, changes))


def test_verifier_refuses_a_corrupted_plan(good: MemoryPlan) -> None:
    planned = residual()
    extra = Placement("n0", "scratch", 0, 8, 0, 0)
    faults = [
        (replace(good, arena_bytes=400, lower_bound_bytes=400), "takes bytes|more than the lower bound"),
        (replace(good, arena_bytes=409), "not a multiple"),
        (replace(good, lower_bound_bytes=416), "is less than 416, its lower bound"),
        (replace(good, lower_bound_bytes=8), "more than the lower bound"),
        (replace(good, placements=(*good.placements, extra)), "scratch 'n0' has a place that nothing needs"),
        (replace(good, placements=good.placements[1:]), "'t1' lives at step .* has no place"),
        (replace(good, aliases={"t2": "t1"}), "'t2' is an alias of 't1', whose memory it does not share"),
    ]
    for plan, message in faults:
        with pytest.raises(PlanError, match=message):
            memory.verify(planned.graph, planned.calls, plan)


def test_verifier_refuses_wrong_aliases() -> None:
    sketch = GraphSketch(8)
    t1 = sketch.resize("t0", 12)
    t2 = sketch.add(ops.Reshape((3, 4)), t1)
    t3 = sketch.resize(t1, 5)
    sketch.add(ops.Concat(0), t3, t1)
    planned = sketch.build()
    plan = memory.plan(planned.graph, planned.calls)
    with pytest.raises(PlanError, match="share memory, but their aliases differ"):
        memory.verify(planned.graph, planned.calls, replace(plan, aliases={}))
    ending = GraphSketch(8)
    t1 = ending.resize("t0", 12)
    t2 = ending.add(ops.Reshape((3, 4)), t1)
    planned = ending.build()
    plan = memory.plan(planned.graph, planned.calls)
    with pytest.raises(PlanError, match=f"lies in the caller's buffer '{t2}', but its alias is '{t1}'"):
        memory.verify(planned.graph, planned.calls, replace(plan, aliases={t2: t1}))


def test_verifier_refuses_an_output_over_what_still_lives() -> None:
    """The same aliases are right for kernels that may overwrite, and wrong for those that may not or read again."""
    planned = overwriting_residual("t1")
    plan = memory.plan(planned.graph, planned.calls)
    memory.verify(planned.graph, planned.calls, plan)
    plain = [replace(call, overwrites=()) for call in planned.calls]
    with pytest.raises(PlanError, match="'t4' is an alias of 't1', whose memory it does not share"):
        memory.verify(planned.graph, plain, plan)
    again = GraphSketch(8)
    t1 = again.resize("t0", 100)
    t2 = again.add(ops.Transpose((0,)), t1, overwrites=(t1,))
    t3 = again.add(ops.Concat(0), t1, t2)
    again.resize(t3, 8)
    read_later = again.build()
    plan = memory.plan(read_later.graph, read_later.calls)
    places = tuple(replace(p, last=3) for p in plan.placements if p.name != t2)
    with pytest.raises(PlanError, match=r"'t[12]' and tensor 't[12]' overlap at step \d: they lie in one place"):
        memory.verify(read_later.graph, read_later.calls, replace(plan, placements=places, aliases={t2: t1}))


@QUICK
@given(data=st.data(), planned=strategies.planned_graphs())
def test_verifier_accepts_a_shared_place_only_by_right(data: st.DataObject, planned: PlannedGraph) -> None:
    """Let one overwriting output go without its right: whatever the planner made of it is refused."""
    plan = memory.plan(planned.graph, planned.calls)
    reshaped = memory.aliases(planned.graph, [replace(call, overwrites=()) for call in planned.calls])
    shared = {name for name, target in plan.aliases.items() if reshaped.get(name, name) != target}
    over = [i for i, call in enumerate(planned.calls) if call.overwrites and call.node.output in shared]
    if not over:
        return
    index = data.draw(st.sampled_from(over))
    calls = [replace(call, overwrites=()) if i == index else call for i, call in enumerate(planned.calls)]
    with pytest.raises(PlanError):
        memory.verify(planned.graph, calls, plan)


def test_verifier_refuses_calls_of_another_graph(good: MemoryPlan) -> None:
    planned = residual()
    for calls in (planned.calls[1:], (*planned.calls, planned.calls[0])):
        with pytest.raises(PlanError, match="do not compute the graph's nodes once each"):
            memory.verify(planned.graph, calls, good)
    with pytest.raises(PlanError, match=r"read before any step writes it|lives at step"):
        memory.verify(planned.graph, planned.calls[::-1], good)


@QUICK
@given(data=st.data(), planned=strategies.planned_graphs())
def test_verifier_finds_every_overlap(data: st.DataObject, planned: PlannedGraph) -> None:
    """Move one buffer onto another that lives at the same time."""
    plan = memory.plan(planned.graph, planned.calls)
    pairs = [
        (a, b)
        for a in plan.placements
        for b in plan.placements
        if a is not b and a.first <= b.last and b.first <= a.last
    ]
    if not pairs:
        return
    moved, onto = data.draw(st.sampled_from(pairs))
    places = tuple(replace(p, offset=onto.offset) if p is moved else p for p in plan.placements)
    room = max(plan.arena_bytes, -(-(onto.offset + moved.nbytes) // 8) * 8)
    with pytest.raises(PlanError, match="overlap at step"):
        memory.verify(planned.graph, planned.calls, replace(plan, placements=places, arena_bytes=room))


def test_buffers_are_immutable() -> None:
    with pytest.raises(AttributeError):
        Buffer("t", "tensor", 1, 0, 0).nbytes = 2  # type: ignore[misc]
