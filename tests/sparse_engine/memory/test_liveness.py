"""Which buffers a graph needs, and how long they live."""

from __future__ import annotations

import pytest

from arena_sketches import buffers_text, chain, overwriting_residual, residual
from strategies import GraphSketch
from tinyformer.sparse_engine import memory, ops
from tinyformer.sparse_engine.memory import Buffer, PlanError


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


def test_buffers_are_immutable() -> None:
    with pytest.raises(AttributeError):
        Buffer("t", "tensor", 1, 0, 0).nbytes = 2  # type: ignore[misc]
