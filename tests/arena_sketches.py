"""Hand-made graphs with sizes to plan, and their buffers and places as text."""

from __future__ import annotations

from hypothesis import settings

from strategies import GraphSketch, PlannedGraph
from tinyformer import boards
from tinyformer.sparse_engine import memory, ops
from tinyformer.sparse_engine.memory import MemoryPlan

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
