"""Softmax and LayerNormalization."""

from __future__ import annotations

from math import prod, sqrt

import numpy as np
import numpy.typing as npt

from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.frontend.site import Site
from tinyformer.sparse_engine.ir import AnyArray, QuantParams

_FLAT_SOFTMAX_BEFORE_OPSET = 13
_NORMALIZED_SCALE = 2.0**-7  # of the Scaled-LayerNorm's normalised values
_FINEST_GAMMA_STEP = 2.0**-11  # in output steps: finer ones would only take bits from the multiplier


def _softmax(site: Site) -> str:
    x, node = site.activation(), site.node
    flat = site.model.opset < _FLAT_SOFTMAX_BEFORE_OPSET
    axis = node.integer("axis", 1 if flat else -1)
    inner = x.axis(node, axis)
    rank = len(site.shape)
    if flat and inner < rank - 1:
        rows = prod(site.shape[:inner])
        tensor = site.reshape(x.tensor, (rows, prod(site.shape[inner:])), x.quant)
        return site.reshape(site.result(ops.Softmax(), (tensor,)), site.shape, site.output.quant)
    order = (*(other for other in range(rank) if other != inner), inner)
    tensor = site.transpose(x.tensor, order, x.quant)
    result = site.result(ops.Softmax(), (tensor,), axis_order=order if order != tuple(range(rank)) else ())
    return site.transpose(result, tuple(int(axis) for axis in np.argsort(order)), site.output.quant)


def _layer_norm(site: Site) -> str:
    x, node = site.activation(), site.node
    axis = x.axis(node, node.integer("axis", -1))
    shape = site.shape
    columns = prod(shape[axis:])
    epsilon = node.number("epsilon", 1e-5)
    node.require(epsilon >= 0, f"epsilon is {epsilon:g}", "0 or more")
    gamma, beta, scale = _affine(site, columns)
    inputs = (
        site.reshape(x.tensor, (*shape[:axis], columns), x.quant),
        site.builder.constant(f"{node.name}/gamma", gamma, QuantParams((scale,))),
        site.builder.constant(f"{node.name}/beta", beta, QuantParams((scale * _NORMALIZED_SCALE,))),
    )
    result = site.result(ops.LayerNorm(epsilon=epsilon), inputs)
    return site.reshape(result, shape, site.output.quant)


def _affine(site: Site, columns: int) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int32], float]:
    """Return gamma in int16 at one scale, beta in int32 at that scale times 2**-7, and the scale.

    The scale is as fine as int16 gamma, the accumulator's 31 bits and a precise output multiplier allow.
    """
    gamma, beta = (_parameters(site, index, columns) for index in (1, 2))
    scale = max(float(np.abs(gamma).max()) / 32767, site.output.quant.scale * _FINEST_GAMMA_STEP)
    while True:
        gamma_steps, beta_steps = np.rint(gamma / scale), np.rint(beta / (scale * _NORMALIZED_SCALE))
        if np.max((128 * sqrt(columns) + 1) * np.abs(gamma_steps) + np.abs(beta_steps)) < 2**31:
            return gamma_steps.astype(np.int16), beta_steps.astype(np.int32), scale
        scale *= 2


def _parameters(site: Site, index: int, columns: int) -> AnyArray:
    constant = site.constant(index)
    if constant is None:
        site.node.require(index == 2, "its scale is missing", "a constant scale")
        return np.zeros(columns)
    values = constant.real().astype(np.float64).reshape(-1)
    site.node.require(
        values.size in (1, columns) and bool(np.all(np.isfinite(values))),
        f"input {index} has {values.size} values",
        f"{columns} finite ones",
    )
    return np.broadcast_to(values, (columns,))


CONVERTERS = {"Softmax": _softmax, "LayerNormalization": _layer_norm}
