"""Graphs for the tests of passes: built by hand, not lowered, and compared by what they compute."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyformer.sparse_engine import passes, reference
from tinyformer.sparse_engine.ir import DType, Graph, Node, Operator, QuantParams, Shape, Tensor
from tinyformer.sparse_engine.passes.fold_zero_points import fold_zero_points
from tinyformer.sparse_engine.passes.lower_requantization import lower_requantization

QUANT = QuantParams((0.05,), -3)
LOWERING = [passes.Pass(step, "integers") for step in (fold_zero_points, lower_requantization)]


class GraphOf:
    """Builds a graph operator by operator; methods return tensor names."""

    def __init__(self, shape: Shape, quant: QuantParams = QUANT) -> None:
        self._generator = np.random.default_rng(5)
        self.tensors = {"input": Tensor("input", shape, quant=quant)}
        self.data: dict[str, npt.NDArray[Any]] = {}
        self.nodes: list[Node] = []

    def add(self, op: Operator, *inputs: str, quant: QuantParams | None = None, order: tuple[int, ...] = ()) -> str:
        """Append an operator; its output has the first input's quantisation unless another is given."""
        shape = op.infer_shape([self.tensors[name].shape for name in inputs])
        name = f"t{len(self.nodes)}"
        quant = self.tensors[inputs[0]].quant if quant is None else quant
        self.tensors[name] = Tensor(name, shape, quant=quant, axis_order=order)
        self.nodes.append(Node(f"n{len(self.nodes)}", op, inputs, name))
        return name

    def constant(self, values: npt.ArrayLike, dtype: Any = np.int8, quant: QuantParams | None = QUANT) -> str:
        array = np.asarray(values, dtype)
        name = f"c{len(self.data)}"
        self.tensors[name] = Tensor(name, array.shape, DType(array.dtype.name), quant, constant=True)
        self.data[name] = array
        return name

    def table(self, values: npt.ArrayLike | None = None) -> str:
        """Add a table: a random one, or the given one."""
        return self.constant(self.random((256,)) if values is None else values, quant=None)

    def random(self, shape: Shape, low: int = -128, high: int = 128) -> npt.NDArray[np.int8]:
        return self._generator.integers(low, high, shape).astype(np.int8)

    def weighted(self, op: Operator, x: str, shape: Shape, *, quant: QuantParams | None = None) -> str:
        """Append an operator with random weights and bias."""
        scales = tuple(self._generator.uniform(0.001, 0.003, shape[0]).tolist())
        weight = self.constant(self.random(shape), quant=QuantParams(scales))
        bias = self.constant(self._generator.integers(-3000, 3000, shape[0]), np.int32, None)
        return self.add(op, x, weight, bias, quant=QuantParams((0.1,), 7) if quant is None else quant)

    def finish(self, output: str) -> Graph:
        graph = Graph("test", self.tensors, tuple(self.nodes), "input", output, self.data)
        graph.verify()
        return graph


def results(graph: Graph, count: int = 2) -> npt.NDArray[np.int8]:
    """Return what a graph that is not lowered computes from seeded inputs, in the file's axis order, flattened."""
    lowered = passes.run(graph, LOWERING)
    source, output = lowered.tensors[lowered.input], lowered.tensors[lowered.output]
    order = source.axis_order or tuple(range(len(source.shape)))
    shape = tuple(source.shape[order.index(axis)] for axis in range(len(order)))
    values = np.random.default_rng(11).integers(-128, 128, (count, *shape)).astype(np.int8)
    computed = reference.run(lowered, source.from_model(values))
    back = np.argsort(output.axis_order) if output.axis_order else np.arange(len(output.shape))
    return np.asarray(computed.transpose(0, *(back + 1)).reshape(count, -1))


def without_data(graph: Graph) -> Graph:
    """Return a graph whose constants have shapes only, as one lowered from a search space."""
    return replace(graph, data={})


def kinds(graph: Graph) -> list[str]:
    """Return the operators' kinds, in order."""
    return [node.op.kind for node in graph.nodes]
