"""Check a QDQ model against the integer contract: what the engine relies on, said before it reads the file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from tinyformer.errors import UnsupportedModelError

SOFTMAX_SCALE = 1 / 256
SOFTMAX_ZERO_POINT = -128
QDQ = ("QuantizeLinear", "DequantizeLinear")

_WEIGHTED = {"Conv": 0, "Gemm": 1, "MatMul": 1, "LayerNormalization": 0}
_MOVES_DATA = ("Reshape", "Transpose", "MaxPool", "Slice", "Squeeze", "Unsqueeze", "Flatten")
_FUSED = ("Relu", "Clip")
_WITH_SETTINGS = ("Clip", "Pad", "PRelu", "Resize")  # inputs behind the first are real numbers and integers


@dataclass(frozen=True)
class _Constant:
    """A dequantised initializer."""

    values: npt.NDArray[np.integer]
    scale: npt.NDArray[np.floating]
    zero_point: npt.NDArray[np.integer]


def _first(scales: npt.NDArray[np.floating]) -> str:
    return f"{scales.flat[0]:.6g}" + (", ..." if scales.size > 1 else "")


def check(model: onnx.ModelProto, real: Collection[str] = ()) -> None:
    """Check that a QDQ model is int8 throughout.

    Args:
        model: the model.
        real: names of nodes that may stand between others without quantisation.

    Every operator reads DequantizeLinear and writes QuantizeLinear; weights are int8 with zero point 0 and, where they
    have several output channels, a scale for each; biases are int32 at scale input x weight; operators that only move
    data keep scale and zero point; softmax has scale 1/256 and zero point -128.

    Raises:
        UnsupportedModelError: names the first node that breaks the contract.
    """
    for problem in _problems(model, real):
        raise UnsupportedModelError(f"quantised model: {problem}")


def _problems(model: onnx.ModelProto, real: Collection[str]) -> Iterator[str]:
    graph = _QdqGraph(model)
    for node in model.graph.node:
        if node.op_type in QDQ or node.name in real:
            continue
        where = f"node '{node.name}' ({node.op_type})"
        yield from graph.float_edges(node, where)
        if node.op_type in _WEIGHTED:
            yield from graph.weights(node, where)
        if node.op_type in _MOVES_DATA:
            yield from graph.moved(node, where)
        if node.op_type == "Softmax":
            params = graph.written(node.output[0])
            if params is None or not np.isclose(params[0], SOFTMAX_SCALE) or params[1] != SOFTMAX_ZERO_POINT:
                yield f"{where}: output scale and zero point are {params}; allowed: 1/256 and -128"


class _QdqGraph:
    """Look-ups over a QDQ model."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.producers = {name: node for node in model.graph.node for name in node.output}
        self.consumers: Mapping[str, list[onnx.NodeProto]] = {name: [] for name in self.producers}
        for node in model.graph.node:
            for name in node.input:
                if name in self.consumers:
                    self.consumers[name].append(node)

    def float_edges(self, node: onnx.NodeProto, where: str) -> Iterator[str]:
        for name in node.input[: 1 if node.op_type in _WITH_SETTINGS else None]:
            producer = self.producers.get(name)
            if producer is None:
                if name and not np.issubdtype(self.constants.get(name, np.zeros(0)).dtype, np.integer):
                    yield f"{where}: input '{name}' is not quantised; allowed: the output of DequantizeLinear"
            elif producer.op_type != "DequantizeLinear" and node.op_type not in _FUSED:
                yield f"{where}: reads {producer.op_type} '{name}'; allowed: the output of DequantizeLinear"
        for name in node.output:
            for reader in self.consumers[name] or [node]:
                fused = reader.op_type in _FUSED and reader is not node and len(self.consumers[name]) == 1
                if reader.op_type != "QuantizeLinear" and not fused:
                    yield f"{where}: output '{name}' is not quantised; allowed: one QuantizeLinear"

    def weights(self, node: onnx.NodeProto, where: str) -> Iterator[str]:
        weight = self.constant(node.input[1])
        if weight is None:
            return
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        axis = 0 if transposed else _WEIGHTED[node.op_type]
        channels = weight.values.shape[axis]
        if weight.values.dtype != np.int8 or weight.zero_point.any():
            yield f"{where}: weights are {weight.values.dtype}; allowed: int8 with zero point 0"
        if weight.scale.size not in (1, channels):
            yield f"{where}: {weight.scale.size} weight scales; allowed: one, or one per output channel ({channels})"
        bias = self.constant(node.input[2]) if len(node.input) > 2 else None
        read = self.read(node.input[0])
        if bias is None or read is None:
            return
        expected = read[0] * weight.scale
        if bias.values.dtype != np.int32 or bias.zero_point.any() or not np.allclose(bias.scale, expected, rtol=1e-4):
            yield (
                f"{where}: the bias is {bias.values.dtype} of scale {_first(bias.scale)}; allowed: int32, zero point "
                f"0, scale input x weight ({_first(expected)})"
            )

    def moved(self, node: onnx.NodeProto, where: str) -> Iterator[str]:
        written = self.written(node.output[0])
        for name in node.input:
            read = self.read(name)
            if read is not None and read != written:
                yield f"{where}: reads scale and zero point {read}, writes {written}; allowed: the same"

    def read(self, name: str) -> tuple[float, int] | None:
        """Return scale and zero point of a dequantised activation."""
        producer = self.producers.get(name)
        return self._params(producer) if producer is not None and producer.op_type == "DequantizeLinear" else None

    def written(self, name: str) -> tuple[float, int] | None:
        """Return scale and zero point with which a value is quantised."""
        return next((self._params(n) for n in self.consumers.get(name, ()) if n.op_type == "QuantizeLinear"), None)

    def constant(self, name: str) -> _Constant | None:
        producer = self.producers.get(name)
        if producer is None or producer.op_type != "DequantizeLinear" or producer.input[0] not in self.constants:
            return None
        return _Constant(*(self.constants[i] for i in producer.input))

    def _params(self, node: onnx.NodeProto) -> tuple[float, int]:
        return self.constants[node.input[1]].item(0), self.constants[node.input[2]].item(0)
