"""What is constant in a QDQ graph: stored integers behind DequantizeLinear, and data movement of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from tinyformer.sparse_engine.frontend import folding, quantization
from tinyformer.sparse_engine.frontend.model import OnnxModel, OnnxNode
from tinyformer.sparse_engine.frontend.operands import Constant
from tinyformer.sparse_engine.frontend.reading import foreign
from tinyformer.sparse_engine.ir import AnyArray


def constants(model: OnnxModel, movement: Collection[str]) -> dict[str, Constant]:
    """Return every tensor of the file whose value is known, by name.

    Args:
        model: the file.
        movement: operator types that only move data.
    """
    known = {name: Constant(name, values) for name, values in model.constants.items()}
    for node in model.nodes:
        source = known.get(node.inputs[0]) if node.inputs else None
        if source is None or len(node.outputs) != 1:
            continue
        if node.op_type == "DequantizeLinear":
            known[node.outputs[0]] = quantization.dequantized_constant(model, node, source)
        elif node.op_type == "QuantizeLinear":
            known[node.outputs[0]] = quantization.quantized_constant(model, node, source)
        elif node.op_type in movement and all(name in known or not name for name in node.inputs):
            known[node.outputs[0]] = _moved(model, node, source, [known.get(name) for name in node.inputs[1:]])
    return known


def _moved(model: OnnxModel, node: OnnxNode, source: Constant, settings: list[Constant | None]) -> Constant:
    plain = all(setting is None or setting.grid is None for setting in settings)
    node.require(plain, "it joins quantised constants", "one constant", "fold constants before quantising")
    others = [None if setting is None else setting.values for setting in settings]
    values = _evaluate(model, node, source.values, others)
    grid = source.grid
    if grid is None or grid.axis is None:
        return replace(source, values=values)
    along = [1] * source.values.ndim
    along[grid.axis] = -1
    size = grid.scales.size
    channel = np.broadcast_to(np.arange(size, dtype=np.int32).reshape(along), source.values.shape)
    moved = _evaluate(model, node, channel, others)
    for axis in range(moved.ndim):
        along = [1] * moved.ndim
        along[axis] = -1
        if moved.shape[axis] == size and bool(np.all(moved == np.arange(size).reshape(along))):
            return replace(source, values=values, grid=replace(grid, axis=axis))
    raise node.error("it tears the channels of quantised weights apart", "movement that keeps one axis of channels")


def _evaluate(model: OnnxModel, node: OnnxNode, values: AnyArray, others: list[AnyArray | None]) -> AnyArray:
    with foreign(node.where, "it cannot be computed from constants"):
        return folding.evaluate(node.proto, [values, *others], model.opset)
