"""The verifier finds what is wrong with a plan."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import strategies
from arena_sketches import QUICK, overwriting_residual, residual
from strategies import GraphSketch, PlannedGraph
from tinyformer.sparse_engine import memory, ops
from tinyformer.sparse_engine.ir import Graph, Node, Tensor
from tinyformer.sparse_engine.memory import MemoryPlan, Placement, PlanError


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


def test_verifier_refuses_an_output_over_what_its_call_reads_under_another_name() -> None:
    """A kernel that may write over an input may not write over a view of it."""
    tensors = {name: Tensor(name, (8, 4)) for name in ("x", "a", "y", "z")} | {"view": Tensor("view", (32,))}
    nodes = (
        Node("first", ops.Lookup(), ("x",), "a"),
        Node("reshape", ops.Reshape((32,)), ("a",), "view"),
        Node("both", ops.Add(), ("a", "view"), "y"),
        Node("last", ops.Lookup(), ("y",), "z"),
    )
    graph = Graph("g", tensors, nodes, "x", "z")
    first, both, last = (strategies.PlannedCall(node, 0) for node in nodes if node.name != "reshape")
    calls = [first, replace(both, overwrites=("a",)), last]
    plan = memory.plan(graph, calls)
    assert plan.arena_bytes == 64
    assert "y" not in plan.aliases
    over = replace(
        plan,
        arena_bytes=32,
        lower_bound_bytes=32,
        aliases={**plan.aliases, "y": "a"},
        placements=(Placement("a", "tensor", 0, 32, 0, 2),),
    )
    with pytest.raises(PlanError, match="overlap at step 1"):
        memory.verify(graph, calls, over)
    memory.verify(graph, [first, replace(both, overwrites=("a", "view")), last], over)


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
