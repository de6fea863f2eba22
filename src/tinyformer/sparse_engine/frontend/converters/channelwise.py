"""Operators with one factor and one offset per channel: BatchNormalization, and Add, Mul and PRelu by channel.

They become a depthwise convolution of one tap, whose scale per channel is the factor: exact, whatever its sign.
"""

from __future__ import annotations

from math import prod

import numpy as np
import numpy.typing as npt

from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.frontend import operands, tables
from tinyformer.sparse_engine.frontend.operands import Activation, Affine, Constant
from tinyformer.sparse_engine.frontend.site import Site
from tinyformer.sparse_engine.ir import AnyArray, QuantParams, Shape

_BIAS_LIMIT = 2.0**28  # leaves the accumulator room for the products
_EPSILON = 1e-5
_FullArray = npt.NDArray[np.float64]


def affine(site: Site, x: Activation, axis: int, terms: Affine, quant: QuantParams) -> str:
    """Emit factor * x + offset along an axis of the graph's tensor; the result is an intermediate.

    Args:
        site: the operator.
        x: the activation.
        axis: of the channels, in the graph's tensor.
        terms: factor and offset of each channel.
        quant: of the result.
    """
    shape = site.builder.shape(x.tensor)
    node, channels = site.node, shape[axis]
    fits = all(term.size in (1, channels) for term in (terms.factor, terms.offset))
    node.require(fits, f"it has {terms.factor.size} values for {channels} channels", "one for each channel")
    factor, offset = (np.broadcast_to(term, (channels,)) for term in (terms.factor, terms.offset))
    finite = bool(np.all(np.isfinite(factor)) and np.all(np.isfinite(offset)))
    node.require(finite, "a factor or offset is not finite", "finite numbers", "train again")
    scales = np.maximum(np.abs(factor) / 127, np.abs(offset) / (x.quant.scale * _BIAS_LIMIT))
    scales = np.maximum(scales, max(float(scales.max()) * 2.0**-30, 1e-30))
    weight = np.rint(factor / scales).astype(np.int8).reshape(channels, 1, 1)
    bias = operands.stored_bias(node, np.rint(offset / (x.quant.scale * scales)))
    order = (*(other for other in range(len(shape)) if other != axis), axis)
    moved = site.transpose(x.tensor, order, x.quant)
    rows = site.reshape(moved, (1, prod(shape) // channels, channels), x.quant)
    inputs = (
        rows,
        site.builder.constant(f"{node.name}/factor", weight, QuantParams(tuple(scales.tolist()))),
        site.builder.constant(f"{node.name}/offset", bias),
    )
    result = site.emit(ops.DepthwiseConv2D(), inputs, quant)
    result = site.reshape(result, tuple(shape[other] for other in order), quant)
    return site.transpose(result, tuple(int(other) for other in np.argsort(order)), quant)


def channel_axis(shape: Shape, target: Shape) -> int | None:
    """Return the one axis of ``target`` along which a broadcast constant of ``shape`` varies, None where none does."""
    full = (1,) * (len(target) - len(shape)) + tuple(shape)
    varying = [axis for axis, size in enumerate(full) if size > 1]
    return varying[0] if len(varying) == 1 and len(full) == len(target) else None


def normalization_terms(site: Site) -> Affine:
    """Return what a BatchNormalization in inference mode multiplies by and adds.

    Raises:
        UnsupportedModelError: it trains, or its parameters are not constant.
    """
    node = site.node
    node.require(
        not node.integer("training_mode", 0), "it is in training mode", "inference mode", "export for inference"
    )
    gamma, beta, mean, variance = (_parameter(site, index) for index in (1, 2, 3, 4))
    epsilon = node.number("epsilon", _EPSILON)
    with np.errstate(all="ignore"):
        factor = gamma / np.sqrt(variance + epsilon)
        offset = beta - mean * factor
    finite = bool(np.all(np.isfinite(factor)) and np.all(np.isfinite(offset)))
    node.require(finite, "its parameters are not finite", "a positive variance and finite numbers", "train again")
    return Affine(factor, offset)


def _parameter(site: Site, index: int) -> _FullArray:
    constant = site.constant(index)
    channels = site.output.shape[1] if len(site.output.shape) > 1 else 1
    if constant is None or constant.values.size != channels:
        raise site.node.error(f"input {index} is not one value per channel", f"({channels},)")
    return constant.real().astype(np.float64).reshape(-1)


def _batch_normalization(site: Site) -> str:
    x = site.activation()
    site.node.require(len(x.shape) > 1, f"its input has shape {x.shape}", "(1, C, ...)")
    quant = site.output.quant
    result = affine(site, x, x.axis(site.node, 1), normalization_terms(site), quant)
    return site.unchanged(Activation(result, site.output.shape, quant))


def _prelu(site: Site) -> str:
    """Convert a PRelu with a slope per channel: the positive part, plus the negative part times the slope."""
    x, slope, quant = site.activation(), site.constant(1), site.output.quant
    axis = None if slope is None else channel_axis(slope.values.shape, x.shape)
    if slope is None or axis is None:
        raise site.node.error("its slope varies along several axes", "one slope, or one per channel", "share slopes")
    negative = tables.table(lambda v: np.minimum(v, 0.0), x.quant, operands.Output("", x.shape, x.quant))
    below = Activation(site.tabulated("negative", x.tensor, negative, x.quant), x.shape, x.quant)
    slopes = slope.real().astype(np.float64).reshape(-1)
    scaled = affine(site, below, x.axis(site.node, axis), Affine(slopes, np.zeros_like(slopes)), quant)
    positive = tables.table(lambda v: np.maximum(v, 0.0), x.quant, operands.Output("", x.shape, quant))
    return site.result(ops.Add(), (site.tabulated("positive", x.tensor, positive, quant), scaled))


def per_channel(site: Site, x: Activation, constant: Constant, kind: str) -> str | None:
    """Emit Add, Sub or Mul with real numbers that vary along one axis; None where they do not."""
    axis = channel_axis(constant.values.shape, x.shape)
    if axis is None or x.shape != site.output.shape or axis < len(x.shape) - len(site.builder.shape(x.tensor)):
        return None
    numbers: AnyArray = constant.real().astype(np.float64).reshape(-1)
    one, zero = np.ones_like(numbers), np.zeros_like(numbers)
    terms = {
        "Add": Affine(one, numbers),
        "Sub": Affine(one, -numbers),
        "SubFrom": Affine(-one, numbers),
        "Mul": Affine(numbers, zero),
    }[kind]
    result = affine(site, x, x.axis(site.node, axis), terms, site.output.quant)
    return site.unchanged(Activation(result, site.output.shape, site.output.quant))


CONVERTERS = {"BatchNormalization": _batch_normalization, "PRelu": _prelu}
