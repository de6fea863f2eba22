"""What stands between a layer with constant weights and its QuantizeLinear and only scales or shifts its channels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinyformer.sparse_engine.frontend.converters import channelwise
from tinyformer.sparse_engine.frontend.model import OnnxNode
from tinyformer.sparse_engine.frontend.operands import Affine, Constant
from tinyformer.sparse_engine.frontend.site import Site

CHANNEL_AXES: Mapping[str, int] = {"Conv": 1, "Gemm": 1, "MatMul": -1}
"""Layers that take factors and offsets, and the axis of their output channels."""


def terms(site: Site, layer: OnnxNode, name: str) -> Affine | None:
    """Return the factor and offset that an operator applies to the channels of a layer, None where it is another.

    Args:
        site: the operator behind the layer; the layer's output is not among its operands yet.
        layer: the layer.
        name: the layer's output.
    """
    node, shape = site.node, site.output.shape
    axis = CHANNEL_AXES[layer.op_type] % len(shape) if shape else 0
    if node.op_type == "BatchNormalization":
        fits = axis == 1 and node.inputs[0] == name
        return channelwise.normalization_terms(site) if fits else None
    if node.op_type not in ("Add", "Div", "Mul", "Sub") or len(node.inputs) != 2 or node.inputs[0] == node.inputs[1]:
        return None
    first = node.inputs[0] == name
    constant = site.operand(1 if first else 0)
    if not isinstance(constant, Constant) or constant.values.ndim > len(shape) or axis >= len(shape):
        return None
    alone = constant.values.size == 1 or channelwise.channel_axis(constant.values.shape, shape) == axis
    numbers = constant.real().astype(np.float64).reshape(-1)
    if not alone or numbers.size not in (1, shape[axis]) or not bool(np.all(np.isfinite(numbers))):
        return None
    numbers = np.broadcast_to(numbers, (shape[axis],))
    one, zero = np.ones(shape[axis]), np.zeros(shape[axis])
    with np.errstate(divide="ignore"):
        found = {
            ("Add", True): Affine(one, numbers),
            ("Add", False): Affine(one, numbers),
            ("Sub", True): Affine(one, -numbers),
            ("Sub", False): Affine(-one, numbers),
            ("Mul", True): Affine(numbers, zero),
            ("Mul", False): Affine(numbers, zero),
            ("Div", True): Affine(1 / numbers, zero),
        }.get((node.op_type, first))
    return found if found is not None and bool(np.all(np.isfinite(found.factor))) else None
