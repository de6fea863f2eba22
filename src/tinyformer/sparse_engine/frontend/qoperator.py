"""The QOperator format as QDQ: each fused operator becomes DequantizeLinear, the operator, QuantizeLinear.

onnxruntime writes QLinearConv and QLinearMatMul in ONNX's own domain and the others in its ``com.microsoft``. The two
formats say the same; the walk over the graph knows one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tinyformer.sparse_engine.frontend.errors import quoted, unsupported
from tinyformer.sparse_engine.ir import AnyArray

_PER_AXIS_OPSET = 13
_DROPPED_ATTRIBUTES = ("opset", "channels_last")
_FLAT_SOFTMAX_BEFORE_OPSET = 13


@dataclass(frozen=True)
class _Fused:
    """How a fused operator lays out its inputs.

    Args:
        op: the operator in ONNX's domain.
        operands: where each operand, its scale and its zero point begin; None: from ``first`` to the last input.
        result: where the output's scale and zero point are.
        bias: where an int32 bias is.
        channel_axis: of the second operand, where it is quantised per channel.
        first: where operands begin, if there are any number.
    """

    op: str
    operands: tuple[int, ...] | None
    result: int
    bias: int | None = None
    channel_axis: int = 0
    first: int = 0


_UNARY, _BINARY = (0,), (0, 3)
_FUSED: Mapping[str, _Fused] = {
    "QGemm": _Fused("Gemm", _BINARY, 7, bias=6, channel_axis=1),
    "QLinearAdd": _Fused("Add", _BINARY, 6),
    "QLinearAveragePool": _Fused("AveragePool", _UNARY, 3),
    "QLinearConcat": _Fused("Concat", None, 0, first=2),
    "QLinearConv": _Fused("Conv", _BINARY, 6, bias=8, channel_axis=0),
    "QLinearGlobalAveragePool": _Fused("GlobalAveragePool", _UNARY, 3),
    "QLinearLeakyRelu": _Fused("LeakyRelu", _UNARY, 3),
    "QLinearMatMul": _Fused("MatMul", _BINARY, 6, channel_axis=-1),
    "QLinearMul": _Fused("Mul", _BINARY, 6),
    "QLinearReduceMean": _Fused("ReduceMean", _UNARY, 3),
    "QLinearSigmoid": _Fused("Sigmoid", _UNARY, 3),
    "QLinearSoftmax": _Fused("Softmax", _UNARY, 3),
}
_DOMAINS = ("", "ai.onnx", "com.microsoft")

FUSED_OPERATORS = tuple(sorted(_FUSED))
"""Fused operators that are understood."""


def to_qdq(model: onnx.ModelProto, opset: int) -> None:
    """Replace fused operators, in place.

    Args:
        model: the file.
        opset: version of its default operator set.

    Raises:
        UnsupportedModelError: an operator lacks an input, or its parameters are not constant.
    """
    graph = model.graph
    if not any(_is_fused(node) for node in graph.node):
        return
    rewriting = _Rewriting(graph, opset)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        nodes += rewriting.replaced(node) if _is_fused(node) else [node]
    del graph.node[:]
    graph.node.extend(nodes)


def _is_fused(node: onnx.NodeProto) -> bool:
    return node.op_type in _FUSED and node.domain in _DOMAINS


class _Rewriting:
    """Names that are taken, and constants by name."""

    def __init__(self, graph: onnx.GraphProto, opset: int) -> None:
        self._graph, self._opset = graph, opset
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            value = next((a.t for a in node.attribute if node.op_type == "Constant" and a.name == "value"), None)
            if value is not None and node.output:
                self._constants[node.output[0]] = value
        self._taken = {name for node in graph.node for name in (*node.input, *node.output)} | set(self._constants)

    def replaced(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        fused, inputs = _FUSED[node.op_type], list(node.input)
        starts = range(fused.first, len(inputs), 3) if fused.operands is None else fused.operands
        needed = max([*(start + 2 for start in starts), fused.result + 1])
        if len(inputs) < needed or len(node.output) != 1:
            raise self._error(node, f"it has {len(inputs)} inputs", f"at least {needed}")
        inputs += [""] * 10
        nodes: list[onnx.NodeProto] = []
        real = []
        for index, start in enumerate(starts):
            axis = self._axis(node, fused, inputs[start : start + 3]) if index == 1 else None
            real.append(self._dequantized(nodes, node, inputs[start : start + 3], axis))
        if fused.bias is not None and inputs[fused.bias]:
            real.append(self._bias(nodes, node, inputs, fused.bias))
        result = node.output[0] if not inputs[fused.result] else self._name(f"{node.output[0]}/real")
        attributes = [attribute for attribute in node.attribute if attribute.name not in _DROPPED_ATTRIBUTES]
        self._check_attributes(node)
        operator = helper.make_node(fused.op, real, [result], name=node.name)
        operator.attribute.extend(attributes)
        nodes.append(operator)
        if inputs[fused.result]:
            quantized = [result, *inputs[fused.result : fused.result + 2]]
            quantized = quantized if quantized[2] else quantized[:2]
            name = self._name(f"{node.name}/quantize")
            nodes.append(helper.make_node("QuantizeLinear", quantized, [node.output[0]], name=name))
        return nodes

    def _axis(self, node: onnx.NodeProto, fused: _Fused, operand: list[str]) -> int | None:
        """Return the axis of the channels where the second operand has a scale for each."""
        scale, stored = self._constants.get(operand[1]), self._constants.get(operand[0])
        if scale is None or len(scale.dims) == 0 or tuple(scale.dims) == (1,):
            return None
        transposed = any(a.name == "transB" and a.i for a in node.attribute)
        rank = 0 if stored is None else len(stored.dims)
        if rank == 0:
            raise self._error(node, "an activation has several scales", "one scale per tensor")
        if self._opset < _PER_AXIS_OPSET:
            raise self._error(node, f"scales per channel in operator set {self._opset}", f"{_PER_AXIS_OPSET} or later")
        return 0 if transposed else fused.channel_axis % rank

    def _dequantized(
        self, nodes: list[onnx.NodeProto], node: onnx.NodeProto, operand: list[str], axis: int | None
    ) -> str:
        real = self._name(f"{operand[0]}/real")
        inputs = operand if operand[2] else operand[:2]
        name = self._name(f"{node.name}/dequantize")
        dequantize = helper.make_node("DequantizeLinear", inputs, [real], name=name)
        if axis is not None:
            dequantize.attribute.append(helper.make_attribute("axis", axis))
        nodes.append(dequantize)
        return real

    def _bias(self, nodes: list[onnx.NodeProto], node: onnx.NodeProto, inputs: list[str], index: int) -> str:
        """Dequantise an int32 bias at scale input x weight."""
        scales = self._constant(node, inputs[1]).reshape(-1) * self._constant(node, inputs[4]).reshape(-1)
        scale = self._name(f"{inputs[index]}/scale")
        values = scales.astype(np.float32)
        tensor = numpy_helper.from_array(values if values.size > 1 else values.reshape(()), scale)
        self._graph.initializer.append(tensor)
        real = self._name(f"{inputs[index]}/real")
        name = self._name(f"{node.name}/dequantize")
        dequantize = helper.make_node("DequantizeLinear", [inputs[index], scale], [real], name=name)
        if values.size > 1:
            dequantize.attribute.append(helper.make_attribute("axis", 0))
        nodes.append(dequantize)
        return real

    def _constant(self, node: onnx.NodeProto, name: str) -> AnyArray:
        tensor = self._constants.get(name)
        if tensor is None or tensor.data_type != onnx.TensorProto.FLOAT:
            raise self._error(node, f"its scale {quoted(name)} is not constant", "constant float scales")
        try:
            values = numpy_helper.to_array(tensor)
        except Exception as error:  # the parser of another project, on a file of unknown origin
            raise self._error(node, f"its scale {quoted(name)} cannot be read", "a valid tensor") from error
        return np.asarray(values)

    def _check_attributes(self, node: onnx.NodeProto) -> None:
        values = {attribute.name: attribute.i for attribute in node.attribute}
        if values.get("channels_last", 0):
            raise self._error(node, "channels_last is set", "channels first")
        flat = node.op_type == "QLinearSoftmax" and values.get("opset", self._opset) < _FLAT_SOFTMAX_BEFORE_OPSET
        if flat and self._opset >= _FLAT_SOFTMAX_BEFORE_OPSET and values.get("axis", 1) != -1:
            raise self._error(node, "it flattens axes", "the last axis, -1")

    def _error(self, node: onnx.NodeProto, problem: str, allowed: str) -> Exception:
        where = f"node {quoted(node.name)} ({quoted(node.op_type)[1:-1]})"
        return unsupported(where, problem, allowed, "quantise again, with QuantFormat.QDQ")

    def _name(self, wanted: str) -> str:
        name, number = wanted, 2
        while name in self._taken:
            name, number = f"{wanted}#{number}", number + 1
        self._taken.add(name)
        return name
