"""Gemm and MatMul: with weights they become Linear, of two activations MatMul."""

from __future__ import annotations

from math import prod

import numpy as np

from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.frontend import operands
from tinyformer.sparse_engine.frontend.operands import Activation, Constant
from tinyformer.sparse_engine.frontend.site import Site
from tinyformer.sparse_engine.ir import Shape


def _gemm(site: Site) -> str:
    node = site.node
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    x, second = site.activation(0), site.operand(1)
    node.require(len(x.shape) == 2, f"its first input has shape {x.shape}", "two axes", "use MatMul")
    transposed = bool(node.integer("transB", 0))
    tensor = x.tensor
    if node.integer("transA", 0):
        tensor = site.transpose(site.tensor(0, x.shape), (1, 0), x.quant)
    if not isinstance(second, Activation):
        node.require(alpha != 0, "alpha is 0", "any other number")
        bias = site.constant(2) if beta else None
        return _linear(site, tensor, site.constant(1), bias, 0 if transposed else 1, alpha, beta)
    node.require(alpha == 1, f"alpha is {alpha:g}", "1 for two activations", "multiply by a Mul")
    node.require(site.operand(2) is None, "it adds to a product of two activations", "A x B", "add it by an Add")
    node.require(len(second.shape) == 2, f"its second input has shape {second.shape}", "two axes", "use MatMul")
    rows = site.builder.shape(tensor) if node.integer("transA", 0) else x.shape
    inputs = (site.reshape(tensor, rows, x.quant), site.tensor(1, second.shape))
    return site.reshape(site.result(ops.MatMul(transpose_b=transposed), inputs), site.shape, site.output.quant)


def _matmul(site: Site) -> str:
    a, b = site.activation(0), site.operand(1)
    if isinstance(b, Constant) and b.values.ndim >= 2 and not _without_ones(b.values.shape[:-2]):
        return _linear(site, a.tensor, operands.matrix(b), None, 1)
    site.node.require(
        site.affine is None, "its Add stands without QuantizeLinear before it", "one behind each operator"
    )
    shape_b = b.shape if isinstance(b, Activation) else () if b is None else b.values.shape
    site.node.require(
        len(a.shape) >= 2 and len(shape_b) >= 2, f"it multiplies {a.shape} by {shape_b}", "at least two axes each"
    )
    batch_a, batch_b = _without_ones(a.shape[:-2]), _without_ones(shape_b[:-2])
    if batch_a == batch_b:
        lead, rows = site.shape[:-2], a.shape[-2]
    else:
        allowed = "equal leading axes, or one matrix on the right"
        site.node.require(not batch_b, f"it multiplies {a.shape} by {shape_b}", allowed)
        lead, rows = (), prod(a.shape[:-1])
    inputs = (site.tensor(0, (*lead, rows, a.shape[-1])), site.tensor(1, (*lead, *shape_b[-2:])))
    return site.reshape(site.result(ops.MatMul(), inputs), site.shape, site.output.quant)


def _without_ones(shape: Shape) -> Shape:
    while shape and shape[0] == 1:
        shape = shape[1:]
    return shape


def _linear(
    site: Site,
    tensor: str,
    constant: Constant | None,
    bias: Constant | None,
    channel_axis: int,
    alpha: float = 1.0,
    beta: float = 1.0,
) -> str:
    node, x = site.node, site.activation(0)
    if constant is None or constant.values.ndim != 2:
        raise node.error("its weights have not two axes", "(inputs, outputs)", "export the model again")
    layer = operands.weights(node, constant, channel_axis)
    channels = layer.steps.shape[channel_axis]
    bias_steps = operands.bias(node, bias, channels, x.quant.scale * layer.scales)
    affine = site.affine
    if (alpha, beta) != (1.0, 1.0):  # alpha * x w + beta * bias = alpha * (x w + beta / alpha * bias)
        bias_steps = np.rint(bias_steps * (beta / alpha))
        scaled = operands.Affine(np.full(channels, alpha), np.zeros(channels))
        affine = scaled if affine is None else scaled.then(affine.factor, affine.offset)
    layer, folded_bias = operands.folded(affine, layer, channel_axis, bias_steps, x.quant.scale)
    stored = operands.parts(layer.steps.T if channel_axis == 1 else layer.steps)
    if len(stored) > 1:
        last = len(site.builder.shape(tensor)) - 1
        tensor = site.emit(ops.Concat(last), (tensor,) * len(stored), x.quant)
    inputs = (
        tensor,
        site.builder.constant(constant.name, np.concatenate(stored, axis=1), layer.quant()),
        site.builder.constant(f"{node.name}/bias", operands.stored_bias(node, folded_bias)),
    )
    result = site.result(ops.Linear(), inputs)
    return site.reshape(result, site.shape, site.output.quant)


CONVERTERS = {"Gemm": _gemm, "MatMul": _matmul}
