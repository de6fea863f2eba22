"""What quantises better as a whole: chains of pointwise operators, and normalisations that an exporter took apart.

The engine makes one table of a chain, and one integer kernel of a normalisation; rounding to int8 between their parts
would only cost accuracy. They stay real between the tensors at their ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

UNARY = frozenset({
    "Abs", "Ceil", "Celu", "Clip", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu",
    "Log", "Mish", "Neg", "PRelu", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Softplus",
    "Softsign", "Sqrt", "Swish", "Tanh", "ThresholdedRelu",
})  # fmt: skip
"""Operators of one tensor that the engine tabulates."""
BINARY = frozenset({"Add", "Div", "Max", "Min", "Mul", "Pow", "Sub"})
_FUSED_INTO_LAYERS = ("Clip", "Relu")
_LAYERS = ("Add", "Conv", "Gemm", "MatMul")
_WHOLE = ("BatchNormalization",)


@dataclass(frozen=True)
class Region:
    """Operators that stay real.

    Args:
        nodes: their names.
        source: the tensor that all of them depend on, quantised.
        outputs: the tensors that others read, quantised.
    """

    nodes: frozenset[str]
    source: str
    outputs: tuple[str, ...]


def find(model: onnx.ModelProto) -> tuple[Region, ...]:
    """Return the regions of a float model whose nodes have unique names, disjoint, in order."""
    graph = _Graph(model)
    norms = list(_norms(graph))
    taken = {name for nodes, _ in norms for name in nodes}
    chains: dict[str, set[str]] = {}
    sources: dict[str, str] = {}
    for node in model.graph.node:
        source = None if node.name in taken else _pointwise_source(graph, node, sources)
        if source is not None:
            sources[node.output[0]] = source
            chains.setdefault(source, set()).add(node.name)
    alone = [({node.name}, node.input[0]) for node in model.graph.node if node.op_type in _WHOLE]
    found = [*norms, *((nodes, source) for source, nodes in chains.items()), *alone]
    return tuple(Region(frozenset(nodes), source, graph.read_outside(nodes)) for nodes, source in found)


class _Graph:
    """Producers, readers and constants by tensor."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.nodes: Sequence[onnx.NodeProto] = model.graph.node
        self.producers = {name: node for node in self.nodes for name in node.output}
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self.outputs = {value.name for value in model.graph.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def is_number(self, name: str) -> bool:
        tensor = self.constants.get(name)
        return tensor is not None and int(np.prod(tensor.dims)) == 1

    def number(self, name: str) -> float | None:
        return float(numpy_helper.to_array(self.constants[name]).reshape(-1)[0]) if self.is_number(name) else None

    def read_outside(self, names: set[str]) -> tuple[str, ...]:
        written = [name for node in self.nodes if node.name in names for name in node.output if name]
        return tuple(
            name
            for name in written
            if name in self.outputs or any(reader.name not in names for reader in self.readers.get(name, ()))
        )

    def only_reader(self, name: str) -> onnx.NodeProto | None:
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.outputs else None


def _pointwise_source(graph: _Graph, node: onnx.NodeProto, sources: Mapping[str, str]) -> str | None:
    """Return the one tensor on whose elements an operator's depend, None where it is not pointwise."""
    if node.op_type in UNARY:
        first = str(node.input[0])
        fused = node.op_type in _FUSED_INTO_LAYERS and first not in sources
        producer = graph.producers.get(first)
        if first in graph.constants or (fused and producer is not None and producer.op_type in _LAYERS):
            return None
        if node.op_type == "PRelu" and not graph.is_number(node.input[1]):
            return None
        return sources.get(first, first)
    if node.op_type not in BINARY:
        return None
    moving = [str(name) for name in node.input if not graph.is_number(name)]
    found = {sources.get(name, name) for name in moving}
    if len(found) != 1 or any(name in graph.constants for name in moving):
        return None
    return found.pop()


def _norms(graph: _Graph) -> Iterator[tuple[set[str], str]]:
    """Yield (node names, input) of each d / sqrt(mean(d * d) + epsilon) * gamma + beta with d = x - mean(x)."""
    for root in graph.nodes:
        if root.op_type == "Sqrt":
            found = _norm(graph, root)
            if found is not None:
                yield found


def _norm(graph: _Graph, root: onnx.NodeProto) -> tuple[set[str], str] | None:
    added = graph.producers.get(root.input[0])
    variance = None if added is None or added.op_type != "Add" else _first(graph, added, "ReduceMean")
    squared = None if variance is None else graph.producers.get(variance.input[0])
    centred = None if squared is None or squared.op_type not in ("Pow", "Mul") else _first(graph, squared, "Sub")
    mean = None if centred is None else graph.producers.get(centred.input[1])
    if added is None or variance is None or squared is None or centred is None or mean is None:
        return None
    if mean.op_type != "ReduceMean" or mean.input[0] != centred.input[0]:
        return None
    nodes = [root, added, variance, squared, centred, mean]
    last = graph.only_reader(root.output[0])
    if last is not None and last.op_type == "Reciprocal":
        nodes.append(last)
        last = graph.only_reader(last.output[0])
    if last is None or last.op_type not in ("Div", "Mul"):
        return None
    nodes.append(last)
    for kind in ("Mul", "Add"):
        following = graph.only_reader(last.output[0])
        if following is not None and following.op_type == kind and any(i in graph.constants for i in following.input):
            nodes.append(following)
            last = following
    return {node.name for node in nodes}, centred.input[0]


def _first(graph: _Graph, node: onnx.NodeProto, kind: str) -> onnx.NodeProto | None:
    """Return the producer of a kind among those of a node's inputs."""
    producers = (graph.producers.get(name) for name in node.input)
    return next((producer for producer in producers if producer is not None and producer.op_type == kind), None)
