"""Hypothesis strategies that several rooms share."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from hypothesis import strategies as st

from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.ir import Graph, Node, Operator, Shape, Tensor


@dataclass(frozen=True)
class PlannedCall:
    """A node, the scratch bytes of its kernel, the inputs it may write over: what memory planning reads of a call."""

    node: Node
    scratch_bytes: int = 0
    overwrites: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlannedGraph:
    """A graph of data movement without weights, and its calls."""

    graph: Graph
    calls: tuple[PlannedCall, ...]


class GraphSketch:
    """Build a graph node by node; tensors are named t0 (the input), t1, t2 and so on."""

    def __init__(self, *shape: int) -> None:
        self._tensors = {"t0": Tensor("t0", shape)}
        self._calls: list[PlannedCall] = []
        self._nodes: list[Node] = []

    def shape(self, name: str) -> Shape:
        """Shape of a tensor."""
        return self._tensors[name].shape

    def add(self, op: Operator, *inputs: str, scratch_bytes: int = 0, overwrites: tuple[str, ...] = ()) -> str:
        """Append a node; returns its output's name. ``overwrites``: the inputs its kernel may write over."""
        name = f"t{len(self._tensors)}"
        self._tensors[name] = Tensor(name, op.infer_shape([self._tensors[i].shape for i in inputs]))
        node = Node(f"n{len(self._nodes)}", op, inputs, name)
        self._nodes.append(node)
        if not isinstance(op, ops.Reshape):
            self._calls.append(PlannedCall(node, scratch_bytes, overwrites))
        return name

    def resize(self, name: str, elements: int, scratch_bytes: int = 0) -> str:
        """Append a node that reads one tensor and writes a vector of any length."""
        (size,) = self.shape(name)
        if elements <= size:
            return self.add(ops.Slice((0,), (elements,), (1,)), name, scratch_bytes=scratch_bytes)
        return self.add(ops.Pad((0,), (elements - size,), 0), name, scratch_bytes=scratch_bytes)

    def build(self, output: str | None = None) -> PlannedGraph:
        """Finish; the last tensor is the output unless another is named."""
        graph = Graph("sketch", self._tensors, tuple(self._nodes), "t0", output or list(self._tensors)[-1])
        graph.verify()
        return PlannedGraph(graph, tuple(self._calls))


@st.composite
def planned_graphs(draw: st.DrawFn, max_nodes: int = 12) -> PlannedGraph:
    """Random graphs with branches, long lives, unread tensors, chains of Reshape, and any tensor as the output."""
    sizes = st.integers(1, 300)
    sketch = GraphSketch(draw(sizes))
    names = ["t0"]
    for _ in range(draw(st.integers(0, max_nodes))):
        scratch_bytes = draw(st.sampled_from([0, 0, 0, 5, 96]))
        source = draw(st.sampled_from(names))
        kind = draw(st.sampled_from(["resize", "resize", "concat", "reshape", "lookup", "over", "over"]))
        if kind == "reshape":
            size = prod(sketch.shape(source))
            shape = (size,) if len(sketch.shape(source)) > 1 else (1, size)
            names.append(sketch.add(ops.Reshape(shape), source))
        elif kind == "resize" and len(sketch.shape(source)) == 1:
            names.append(sketch.resize(source, draw(sizes), scratch_bytes))
        elif kind == "over":
            alike = [name for name in names if sketch.shape(name) == sketch.shape(source)]
            other = draw(st.sampled_from(alike))
            over = tuple(draw(st.lists(st.sampled_from([source, other]), unique=True)))
            names.append(sketch.add(ops.Add(), source, other, scratch_bytes=scratch_bytes, overwrites=over))
        elif kind == "concat":
            rank = len(sketch.shape(source))
            others = [name for name in names if len(sketch.shape(name)) == rank]
            inputs = (source, *draw(st.lists(st.sampled_from(others), max_size=3)))
            names.append(sketch.add(ops.Concat(rank - 1), *inputs, scratch_bytes=scratch_bytes))
        else:
            names.append(sketch.add(ops.Reshape(sketch.shape(source)), source))
            names.append(
                sketch.add(ops.Transpose(tuple(range(len(sketch.shape(source))))), source, scratch_bytes=scratch_bytes)
            )
    return sketch.build(draw(st.sampled_from(names)))


@st.composite
def planned_chains(draw: st.DrawFn) -> PlannedGraph:
    """Plain chains: every node reads the tensor before it and nothing else."""
    sketch = GraphSketch(draw(st.integers(1, 400)))
    name = "t0"
    for _ in range(draw(st.integers(1, 12))):
        name = sketch.resize(name, draw(st.integers(1, 400)), draw(st.sampled_from([0, 0, 7, 120])))
    return sketch.build()
