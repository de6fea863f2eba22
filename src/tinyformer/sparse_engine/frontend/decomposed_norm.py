"""LayerNormalization as exporters take it apart, put together again.

    d = x - mean(x)        y = d / sqrt(mean(d * d) + epsilon) [* gamma] [+ beta]

over the last axes. Quantisers may put QuantizeLinear and DequantizeLinear between the parts; those pairs go too: the
engine normalises whole rows in integers, without rounding in between to int8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from onnx import helper

from tinyformer.sparse_engine.frontend.model import OnnxModel, OnnxNode
from tinyformer.sparse_engine.ir import AnyArray

_QDQ = ("QuantizeLinear", "DequantizeLinear")
_NO_NAME = ""


@dataclass(frozen=True)
class _Norm:
    """A normalisation that was found: ``last`` is the node that computes its output."""

    x: str
    axis: int
    epsilon: float
    last: OnnxNode
    gamma: str = _NO_NAME
    beta: str = _NO_NAME


def join(model: OnnxModel) -> OnnxModel:
    """Return the model with every decomposed LayerNormalization as one node."""
    if not any(node.op_type == "Sqrt" for node in model.nodes):
        return model
    search = _Search(model)
    constants = dict(model.constants)
    found: dict[str, OnnxNode] = {}
    for node in model.nodes:
        norm = search.norm(node)
        if norm is not None:
            found[norm.last.name] = _node(norm, model, constants)
    nodes = [found.get(node.name, node) for node in model.nodes]
    return replace(model, nodes=tuple(_needed(nodes, model.output)), constants=constants) if found else model


def _node(norm: _Norm, model: OnnxModel, constants: dict[str, AnyArray]) -> OnnxNode:
    gamma = norm.gamma
    if not gamma:
        gamma = f"{norm.last.name}/gamma"
        constants[gamma] = np.ones(model.shapes[norm.x][norm.axis :], np.float32)
    inputs = [norm.x, gamma, *([norm.beta] if norm.beta else [])]
    proto = helper.make_node("LayerNormalization", inputs, [norm.last.outputs[0]], name=norm.last.name)
    return OnnxNode(proto, norm.last.name, {"axis": norm.axis, "epsilon": norm.epsilon})


def _needed(nodes: list[OnnxNode], output: str) -> list[OnnxNode]:
    """Return the nodes that the output depends on, in order."""
    wanted = {output}
    kept = []
    for node in reversed(nodes):
        if any(name in wanted for name in node.outputs if name):
            wanted.update(node.inputs)
            kept.append(node)
    return kept[::-1]


class _Search:
    """Looks backwards from the division through QuantizeLinear and DequantizeLinear."""

    def __init__(self, model: OnnxModel) -> None:
        self._model = model
        self._producers = {name: node for node in model.nodes for name in node.outputs if name}
        self._readers = model.readers()

    def norm(self, node: OnnxNode) -> _Norm | None:
        """Return the normalisation whose division by the deviation is this node, scale and offset included."""
        for deviation, root in self._quotients(node):
            norm = self._normalized(deviation, root, node)
            if norm is not None:
                return self._with_affine(norm)
        return None

    def _quotients(self, node: OnnxNode) -> Iterator[tuple[OnnxNode, OnnxNode]]:
        """Yield (numerator, Sqrt) for d / sqrt(v) and d * reciprocal(sqrt(v))."""
        if node.op_type not in ("Div", "Mul") or len(node.inputs) != 2:
            return
        orders = ((0, 1),) if node.op_type == "Div" else ((0, 1), (1, 0))
        for first, second in orders:
            numerator, root = self._producer(node.inputs[first]), self._producer(node.inputs[second])
            if node.op_type == "Mul":
                inverse = root is not None and root.op_type in ("Reciprocal", "Div")
                root = self._inverted(root) if inverse and root is not None else None
            if numerator is not None and root is not None and root.op_type == "Sqrt":
                yield numerator, root

    def _inverted(self, node: OnnxNode) -> OnnxNode | None:
        if node.op_type == "Reciprocal":
            return self._producer(node.inputs[0])
        return self._producer(node.inputs[1]) if self._number(node.inputs[0]) == 1 else None

    def _normalized(self, deviation: OnnxNode, root: OnnxNode, last: OnnxNode) -> _Norm | None:
        added = self._producer(root.inputs[0])
        if deviation.op_type != "Sub" or added is None or added.op_type != "Add":
            return None
        x, mean = deviation.inputs[0], self._producer(deviation.inputs[1])
        axis = self._mean_axis(mean)
        if (
            mean is None
            or axis is None
            or x not in self._model.shapes
            or self._source(mean.inputs[0]) != self._source(x)
        ):
            return None
        for first, second in ((0, 1), (1, 0)):
            epsilon, variance = self._number(added.inputs[second]), self._producer(added.inputs[first])
            squared = None if variance is None else self._producer(variance.inputs[0])
            if epsilon is None or variance is None or squared is None or self._mean_axis(variance) != axis:
                continue
            if epsilon >= 0 and self._is_square(squared, deviation):
                return _Norm(x, axis, epsilon, last)
        return None

    def _is_square(self, node: OnnxNode, deviation: OnnxNode) -> bool:
        """Whether a node squares the deviation, or an equal one that was exported a second time."""
        same = [self._same(name, deviation) for name in node.inputs]
        if node.op_type == "Pow" and len(same) == 2:
            return same[0] and self._number(node.inputs[1]) == 2
        return node.op_type == "Mul" and same == [True, True]

    def _same(self, name: str, deviation: OnnxNode) -> bool:
        producer = self._producer(name)
        if producer is None or producer.op_type != "Sub":
            return False
        pairs = zip(producer.inputs, deviation.inputs, strict=True)
        return producer is deviation or all(self._source(left) == self._source(right) for left, right in pairs)

    def _mean_axis(self, node: OnnxNode | None) -> int | None:
        """Return the first of the last axes that a ReduceMean reduces and keeps as 1, None where it is another."""
        if node is None or node.op_type != "ReduceMean" or not node.integer("keepdims", 1):
            return None
        shape = self._model.shapes.get(node.inputs[0], ())
        axes = self._model.static_integers(node, 1, "axes")
        if not axes or any(not -len(shape) <= axis < len(shape) for axis in axes):
            return None
        inner = sorted({axis % len(shape) for axis in axes})
        return inner[0] if inner == list(range(inner[0], len(shape))) and inner[0] > 0 else None

    def _with_affine(self, norm: _Norm) -> _Norm:
        """Take in the Mul and the Add that follow, where their constants have the normalised axes."""
        for kind in ("Mul", "Add"):
            node, name = self._only_reader(norm.last.outputs[0])
            if node is None or node.op_type != kind or len(node.inputs) != 2:
                continue
            other = node.inputs[1] if node.inputs[0] == name else node.inputs[0]
            if self._fits(other, norm):
                norm = replace(norm, last=node, gamma=other) if kind == "Mul" else replace(norm, last=node, beta=other)
        return norm

    def _fits(self, name: str, norm: _Norm) -> bool:
        """Whether a name is a constant of the normalised axes (leading ones apart), or one number."""
        stored = self._source(name)
        if stored not in self._model.constants:
            return False
        shape = self._model.constants[stored].shape
        while shape and shape[0] == 1:
            shape = shape[1:]
        target = self._model.shapes.get(norm.x, ())[norm.axis :]
        return shape in ((), target)

    def _only_reader(self, name: str) -> tuple[OnnxNode | None, str]:
        """Return the one reader of a tensor behind QuantizeLinear and DequantizeLinear, and what it reads."""
        while True:
            readers = self._readers.get(name, [])
            if len(readers) != 1 or name == self._model.output:
                return None, name
            if readers[0].op_type not in _QDQ:
                return readers[0], name
            name = readers[0].outputs[0]

    def _producer(self, name: str) -> OnnxNode | None:
        """Return what computes a tensor, QuantizeLinear and DequantizeLinear looked through."""
        return self._producers.get(self._source(name))

    def _source(self, name: str) -> str:
        """Return the tensor that a chain of QuantizeLinear and DequantizeLinear starts from."""
        producer = self._producers.get(name)
        while producer is not None and producer.op_type in _QDQ:
            name = producer.inputs[0]
            producer = self._producers.get(name)
        return name

    def _number(self, name: str) -> float | None:
        """Return the value of a constant of one element, dequantised if need be; None for anything else."""
        stored = self._source(name)
        values = self._model.constants.get(stored)
        if values is None or values.size != 1:
            return None
        producer = self._producers.get(name)
        number = float(values.reshape(-1)[0])
        if producer is None:
            return number if np.isfinite(number) else None
        if producer.op_type != "DequantizeLinear" or producer.inputs[0] != stored:
            return None
        scale, zero = self._model.static(producer, 1), self._model.static(producer, 2)
        if scale is None or scale.size != 1 or (zero is not None and zero.size != 1):
            return None
        offset = 0.0 if zero is None else float(zero.reshape(-1)[0])
        real = (number - offset) * float(scale.reshape(-1)[0])
        return real if np.isfinite(real) else None
