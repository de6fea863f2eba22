"""QDQ ONNX models for tests: a builder, and a table of single-operator models with their inputs.

The table feeds the comparison of the reference interpreter with onnxruntime and that of the compiled C with the
reference interpreter. Everything is seeded; output scales are calibrated on the case's own inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

INPUT_SCALE, INPUT_ZERO_POINT = 0.05, -7


class QdqModel:
    """Builds a QDQ model with one input; methods return names of real (dequantised) tensors.

    Args:
        shape: of the input, batch included; axis 0 may be a name (a dynamic batch).
        border: "float", "int8" or "uint8": type of the model's input and output.
        quant: scale and zero point of the input, as int8.
        opset: operator set.
    """

    def __init__(
        self,
        shape: Sequence[int | str],
        *,
        border: str = "float",
        quant: tuple[float, int] = (INPUT_SCALE, INPUT_ZERO_POINT),
        opset: int = 20,
    ) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._opset, self._border, self._count = opset, border, 0
        kind = {"float": TensorProto.FLOAT, "int8": TensorProto.INT8, "uint8": TensorProto.UINT8}[border]
        self._declared = helper.make_tensor_value_info("input", kind, list(shape))
        self.quants: dict[str, tuple[float, int]] = {}
        if border == "float":
            self.input = self.quantize("input", *quant)
        else:
            dtype = np.dtype(border)
            self.input = self._dequantize("input", quant[0], quant[1] + (128 if border == "uint8" else 0), dtype)
            self.quants[self.input] = quant

    def name(self, role: str) -> str:
        self._count += 1
        return f"{role}_{self._count}"

    def plain(self, values: npt.ArrayLike, dtype: Any = None, role: str = "constant") -> str:
        """Add an initializer that is not quantised."""
        name = self.name(role)
        self.initializers.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def integers(self, *values: int) -> str:
        """Add an int64 list: axes, shapes, pads."""
        return self.plain(values, np.int64)

    def constant(
        self, values: Array, scale: npt.ArrayLike, zero_point: npt.ArrayLike = 0, axis: int | None = None
    ) -> str:
        """Add a constant behind DequantizeLinear; per axis where scale is a list."""
        stored = self.plain(values, role="stored")
        scales, zeros = np.asarray(scale, np.float32), np.asarray(zero_point, values.dtype)
        inputs = [
            stored,
            self.plain(scales, role="scale"),
            self.plain(np.broadcast_to(zeros, scales.shape), role="zero"),
        ]
        return self.op("DequantizeLinear", inputs, **({} if axis is None else {"axis": axis}))

    def op(self, op_type: str, inputs: Sequence[str], outputs: int = 1, **attributes: Any) -> Any:
        """Add an operator on real tensors; several outputs give a list."""
        names = [self.name(op_type.lower()) for _ in range(outputs)]
        self.nodes.append(helper.make_node(op_type, list(inputs), names, name=f"node_{names[0]}", **attributes))
        return names[0] if outputs == 1 else names

    def quantize(self, real: str, scale: float, zero_point: int = 0, dtype: Any = np.int8) -> str:
        """Add QuantizeLinear and DequantizeLinear; the zero point is that of int8, whatever is stored."""
        dtype = np.dtype(dtype)
        stored_zero = zero_point + (128 if dtype == np.uint8 else 0)
        name = f"{real}_q"
        inputs = [real, self.plain(scale, np.float32, "scale"), self.plain(stored_zero, dtype, "zero")]
        self.nodes.append(helper.make_node("QuantizeLinear", inputs, [name], name=f"quantize_{real}"))
        result = self._dequantize(name, scale, stored_zero, dtype)
        self.quants[result] = (scale, zero_point)
        return result

    def moved(self, op_type: str, inputs: Sequence[str], outputs: int = 1, **attributes: Any) -> Any:
        """Add data movement and quantise its output like its first input."""
        result = self.op(op_type, inputs, outputs, **attributes)
        quant = self.quants[inputs[0]]
        return self.quantize(result, *quant) if outputs == 1 else [self.quantize(name, *quant) for name in result]

    def _dequantize(self, stored: str, scale: float, zero_point: int, dtype: Any) -> str:
        inputs = [stored, self.plain(scale, np.float32, "scale"), self.plain(zero_point, dtype, "zero")]
        return str(self.op("DequantizeLinear", inputs))

    def finish(self, output: str, *, stored: bool | None = None) -> onnx.ModelProto:
        """Return the model that ends in a real tensor, or (``stored``) in the integers behind it."""
        producer = next(node for node in self.nodes if output in node.output)
        kind = TensorProto.FLOAT
        if stored if stored is not None else self._border != "float":
            self.nodes.remove(producer)
            output = producer.input[0]
            zero = next(i for i in self.initializers if i.name == producer.input[2])
            kind = zero.data_type
        graph = helper.make_graph(
            self.nodes,
            "test",
            [self._declared],
            [helper.make_tensor_value_info(output, kind, None)],
            self.initializers,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self._opset)])
        model.ir_version = 10
        return model


# ---- operands of the case table --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class A:
    """An activation."""

    shape: Shape
    scale: float = INPUT_SCALE
    zero_point: int = INPUT_ZERO_POINT


@dataclass(frozen=True)
class W:
    """Weights: int8 per channel along an axis, or per tensor (axis None), or uint8 around 128; or asymmetric."""

    shape: Shape
    axis: int | None = 0
    dtype: str = "int8"
    zero_point: int = 0


@dataclass(frozen=True)
class B:
    """An int32 bias at scale input x weight."""

    channels: int


@dataclass(frozen=True)
class C:
    """A constant quantised like an activation."""

    shape: Shape
    scale: float = 0.03
    zero_point: int = 11


@dataclass(frozen=True)
class R:
    """Real numbers."""

    values: Any


@dataclass(frozen=True)
class N:
    """int64 settings such as axes: a list, or one number."""

    values: tuple[int, ...] | int


@dataclass(frozen=True)
class OperatorCase:
    """One operator between DequantizeLinear and QuantizeLinear.

    Args:
        name: of the test.
        op: ONNX operator.
        operands: its inputs, in order.
        attributes: of the operator.
        output: scale and zero point; None calibrates, "input" takes the first operand's.
        clamp: "Relu", or bounds of a Clip behind the operator.
        border: type of the model's input and output.
        opset: operator set.
        outputs: how many the operator has; the last one is used.
    """

    name: str
    op: str
    operands: tuple[A | W | B | C | R | N | None, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    output: tuple[float, int] | str | None = None
    clamp: str | tuple[float, float] | None = None
    border: str = "float"
    opset: int = 20
    outputs: int = 1

    def model(self) -> onnx.ModelProto:
        """Return the QDQ model."""
        if self.output is not None:
            first = next(o for o in self.operands if isinstance(o, A))
            return self._build((first.scale, first.zero_point) if isinstance(self.output, str) else self.output)
        wide = self._build(None)
        values = np.concatenate(
            [run_onnx(wide, sample[np.newaxis])[wide.graph.output[0].name] for sample in self.inputs()]
        )
        low, high = min(0.0, float(values.min())), max(1e-3, float(values.max()))
        scale = float(np.float32((high - low) / 255))
        return self._build((scale, round(-128 - low / scale)))

    def inputs(self, count: int = 6) -> Array:
        """Return integers of the model's input, (N, ...): random ones, and both extremes."""
        generator = np.random.default_rng(len(self.name) + sum(map(ord, self.name)))
        values = generator.integers(-128, 128, (count, *self._input_shape()[1:])).astype(np.int8)
        values[-2], values[-1] = -128, 127
        return (values.astype(np.int16) + 128).astype(np.uint8) if self.border == "uint8" else values

    def _activations(self) -> list[A]:
        return [operand for operand in self.operands if isinstance(operand, A)]

    def _input_shape(self) -> Shape:
        found = self._activations()
        alone = len(found) == 1 and found[0].shape[0] == 1
        return found[0].shape if alone else (1, sum(prod(a.shape) for a in found))

    def _build(self, output: tuple[float, int] | None) -> onnx.ModelProto:
        generator = np.random.default_rng(17)
        first = self._activations()[0]
        model = QdqModel(
            self._input_shape(), border=self.border, quant=(first.scale, first.zero_point), opset=self.opset
        )
        pieces = iter(self._pieces(model))
        names, scales = [], np.float32(first.scale)
        for operand in self.operands:
            match operand:
                case A():
                    names.append(next(pieces))
                case W():
                    scales = generator.uniform(0.004, 0.02, () if operand.axis is None else operand.shape[operand.axis])
                    values = generator.integers(-127, 128, operand.shape)
                    values *= generator.random(operand.shape) > 0.3
                    moved = 128 if operand.dtype == "uint8" else 0
                    stored = (values + moved).astype(operand.dtype)
                    names.append(model.constant(stored, scales, moved + operand.zero_point, operand.axis))
                case B():
                    bias = generator.integers(-9000, 9000, operand.channels).astype(np.int32)
                    full = np.broadcast_to(np.float32(first.scale) * np.asarray(scales, np.float32), bias.shape)
                    names.append(model.constant(bias, full, 0, 0))
                case C():
                    values = generator.integers(-128, 128, operand.shape).astype(np.int8)
                    names.append(model.constant(values, operand.scale, operand.zero_point))
                case R():
                    names.append(model.plain(operand.values, np.float32))
                case N():
                    names.append(model.plain(operand.values, np.int64))
                case None:
                    names.append("")
        results = model.op(self.op, names, self.outputs, **self.attributes)
        result = results[-1] if self.outputs > 1 else results
        if self.clamp == "Relu":
            result = model.op("Relu", [result])
        elif isinstance(self.clamp, tuple):
            result = model.op("Clip", [result, *(model.plain(bound, np.float32) for bound in self.clamp)])
        if output is None:
            return model.finish(result, stored=False)
        dtype = np.uint8 if self.border == "uint8" else np.int8
        return model.finish(model.quantize(result, *output, dtype))

    def _pieces(self, model: QdqModel) -> list[str]:
        """Return the activations: the input, or cut out of it where there are several or one without batch."""
        found = self._activations()
        if found[0].shape == self._input_shape():
            return [model.input]
        names, start = [], 0
        for piece in found:
            bounds = [model.integers(start), model.integers(start + prod(piece.shape)), model.integers(1)]
            cut = model.moved("Slice", [model.input, *bounds])
            shaped = model.op("Reshape", [cut, model.integers(*piece.shape)])
            names.append(model.quantize(shaped, piece.scale, piece.zero_point))
            start += prod(piece.shape)
        return names


def run_onnx(model: onnx.ModelProto, inputs: Array, *, intermediates: bool = False) -> dict[str, Array]:
    """Run a model in onnxruntime without optimisations on a batch of 1.

    Args:
        model: the model.
        inputs: integers of the quantised input, or what the model declares, (1, ...).
        intermediates: also return every QuantizeLinear's output.
    """
    declared = model.graph.input[0]
    if declared.type.tensor_type.elem_type == TensorProto.FLOAT and inputs.dtype != np.float32:
        scale, zero_point = _input_quant(model)
        inputs = (inputs.astype(np.float32) - zero_point) * scale
    if intermediates:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        known = {value.name for value in copy.graph.output}
        for node in model.graph.node:
            quantizes = node.op_type == "QuantizeLinear" or node.op_type.startswith(("QLinear", "QGemm"))
            if quantizes and node.output[0] not in known:
                copy.graph.output.append(onnx.ValueInfoProto(name=node.output[0]))
        model = copy
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, {declared.name: inputs}), strict=True))


def _input_quant(model: onnx.ModelProto) -> tuple[np.float32, int]:
    """Return how a model quantises its input, as int8."""
    constants = {initializer.name: numpy_helper.to_array(initializer) for initializer in model.graph.initializer}
    first = next(node for node in model.graph.node if node.op_type == "QuantizeLinear")
    zero = constants[first.input[2]]
    return np.float32(constants[first.input[1]]), int(zero) - (128 if zero.dtype == np.uint8 else 0)
