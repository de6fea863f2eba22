"""Scales and zero points of QuantizeLinear and DequantizeLinear, checked against the integer contract."""

from __future__ import annotations

import numpy as np
import onnx

from tinyformer.sparse_engine.frontend.errors import quoted
from tinyformer.sparse_engine.frontend.model import OnnxModel, OnnxNode
from tinyformer.sparse_engine.frontend.operands import Constant, Grid
from tinyformer.sparse_engine.ir import AnyArray, QuantParams

ACTIVATION_TYPES = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
"""ONNX element types of quantised activations."""
_INT8, _UINT8, _INT32 = onnx.TensorProto.INT8, onnx.TensorProto.UINT8, onnx.TensorProto.INT32
_DEFAULT_AXIS = 1
_REMEDY = "quantise with int8 activations per tensor and int8 weights"


def activation_quant(model: OnnxModel, node: OnnxNode) -> QuantParams:
    """Return the quantisation of an activation that a QuantizeLinear writes or a DequantizeLinear reads.

    Args:
        model: the file.
        node: the QuantizeLinear or DequantizeLinear.

    Returns:
        Parameters of the int8 tensor; those of uint8 are moved by -128, exactly.

    Raises:
        UnsupportedModelError: not int8 or uint8, or not one scale for the tensor.
    """
    stored = _stored_type(model, node)
    node.require(stored in (_INT8, _UINT8), f"an activation is {_type_name(stored)}", "int8, uint8", _REMEDY)
    grid = _grid(model, node, None)
    return Grid(grid.scales, grid.zero_points - (128 if stored == _UINT8 else 0)).quant()


def dequantized_constant(model: OnnxModel, node: OnnxNode, constant: Constant) -> Constant:
    """Return what a DequantizeLinear makes of stored integers; uint8 becomes int8, exactly."""
    stored = _stored_type(model, node)
    allowed = (_INT8, _UINT8, _INT32)
    node.require(stored in allowed, f"a constant is {_type_name(stored)}", "int8, uint8, int32", _REMEDY)
    grid, values = _grid(model, node, constant.values), constant.values
    if stored == _UINT8:
        grid = Grid(grid.scales, grid.zero_points - 128, grid.axis)
        values = values if values.dtype == np.int8 else (values.astype(np.int16) - 128).astype(np.int8)
    return Constant(constant.name, values, grid)


def quantized_constant(model: OnnxModel, node: OnnxNode, constant: Constant) -> Constant:
    """Return what a QuantizeLinear makes of real numbers: int8 integers (uint8 moved by -128)."""
    stored = _stored_type(model, node)
    node.require(stored in (_INT8, _UINT8), f"a constant is quantised to {_type_name(stored)}", "int8, uint8", _REMEDY)
    grid, values = _grid(model, node, constant.values), constant.real()
    along = [1] * values.ndim
    if grid.axis is not None:
        along[grid.axis] = -1
    with np.errstate(over="ignore"):
        steps = np.rint(values / grid.scales.reshape(along)).astype(np.float64)
    node.require(not bool(np.isnan(steps).any()), f"constant {quoted(constant.name)} holds NaN", "numbers")
    shift = 128 if stored == _UINT8 else 0
    integers = np.clip(steps + grid.zero_points.reshape(along) - shift, -128, 127).astype(np.int8)
    return Constant(constant.name, integers, dequantized=False)


def _stored_type(model: OnnxModel, node: OnnxNode) -> int:
    name = node.outputs[0] if node.op_type == "QuantizeLinear" else node.inputs[0]
    return model.types.get(name, onnx.TensorProto.UNDEFINED)


def _type_name(stored: int) -> str:
    names = {number: name for name, number in onnx.TensorProto.DataType.items()}
    return str(names.get(stored, "of unknown type")).lower()


def _grid(model: OnnxModel, node: OnnxNode, values: AnyArray | None) -> Grid:
    """Read scales and zero points: per tensor for an activation (``values`` None), along one axis for a constant."""
    scale, zero_point = model.static(node, 1), model.static(node, 2)
    if scale is None or scale.ndim > 1 or node.integer("block_size", 0):
        raise node.error("its scales are missing or in blocks", "one scale, or one per output channel", _REMEDY)
    with np.errstate(over="ignore"):
        scales = scale.reshape(-1).astype(np.float32)
    axis: int | None = None
    if scales.size != 1:
        node.require(values is not None, f"an activation has {scales.size} scales", "one scale per tensor", _REMEDY)
        rank = 0 if values is None else values.ndim
        axis = node.integer("axis", _DEFAULT_AXIS)
        node.require(-rank <= axis < rank, f"its axis is {axis}", f"-{rank} .. {rank - 1}", _REMEDY)
        axis %= rank
        size = 0 if values is None else values.shape[axis]
        node.require(size == scales.size, f"{scales.size} scales for {size} channels", "one per channel", _REMEDY)
    positive = bool(np.all(np.isfinite(scales)) and np.all(scales > 0))
    node.require(positive, "a scale is not a positive number", "positive, finite scales", "calibrate again")
    if zero_point is None:
        return Grid(scales, np.zeros(scales.size, np.int64), axis)
    node.require(
        zero_point.size == scales.size and zero_point.dtype.kind in "iu",
        f"{zero_point.size} zero points of type {zero_point.dtype} for {scales.size} scales",
        "one integer per scale",
        _REMEDY,
    )
    return Grid(scales, zero_point.reshape(-1).astype(np.int64), axis)
