"""Functions of one real number: what the operators of one input compute, element by element."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import erf, sqrt

import numpy as np

from tinyformer.sparse_engine.frontend.site import Site
from tinyformer.sparse_engine.frontend.tables import Reals

Function = Callable[[Reals], Reals]

_erf = np.vectorize(erf, otypes=[np.float64])
_SELU = {"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875}


def _plain(function: Function, site: Site) -> Function:  # noqa: ARG001 - the signature of those with attributes
    return function


def _sigmoid(x: Reals) -> Reals:
    return 1.0 / (1.0 + np.exp(-x))


def _softplus(x: Reals) -> Reals:
    return np.logaddexp(0.0, x)


def _leaky_relu(site: Site) -> Function:
    alpha = site.node.number("alpha", 0.01)
    return lambda x: np.where(x < 0, alpha * x, x)


def _prelu(site: Site) -> Function:
    slope = site.scalar(1)
    if slope is None:
        raise site.node.error("its slope is missing", "a constant slope")
    return lambda x: np.where(x < 0, slope * x, x)


def _clip(site: Site) -> Function:
    low, high = clip_bounds(site)
    return lambda x: np.minimum(np.maximum(x, low), high)


def clip_bounds(site: Site) -> tuple[float, float]:
    """Return the least and greatest value of a Clip, infinite where it has none."""
    bounds = []
    for index, name, default in ((1, "min", -np.inf), (2, "max", np.inf)):
        bound = site.node.number(name, 0.0) if name in site.node.attributes else site.scalar(index)
        bounds.append(default if bound is None else bound)
    return bounds[0], bounds[1]


def _hard_sigmoid(site: Site) -> Function:
    alpha, beta = site.node.number("alpha", 0.2), site.node.number("beta", 0.5)
    return lambda x: np.clip(alpha * x + beta, 0.0, 1.0)


def _hard_swish(x: Reals) -> Reals:
    return x * np.clip(x / 6.0 + 0.5, 0.0, 1.0)


def _gelu(site: Site) -> Function:
    approximate = site.node.text("approximate", "none")
    site.node.require(approximate in ("none", "tanh"), f"its approximation is {approximate[:20]!r}", "'none' or 'tanh'")
    if approximate == "none":
        return lambda x: 0.5 * x * (1.0 + _erf(x / sqrt(2.0)))
    return lambda x: 0.5 * x * (1.0 + np.tanh(sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


def _elu(site: Site) -> Function:
    alpha = site.node.number("alpha", 1.0)
    return lambda x: np.where(x < 0, alpha * np.expm1(x), x)


def _celu(site: Site) -> Function:
    alpha = site.node.number("alpha", 1.0)
    site.node.require(alpha != 0.0, "alpha is 0", "any other number")
    return lambda x: np.where(x < 0, alpha * np.expm1(x / alpha), x)


def _selu(site: Site) -> Function:
    alpha, gamma = (site.node.number(name, default) for name, default in _SELU.items())
    return lambda x: gamma * np.where(x < 0, alpha * np.expm1(x), x)


def _thresholded_relu(site: Site) -> Function:
    alpha = site.node.number("alpha", 1.0)
    return lambda x: np.where(x > alpha, x, 0.0)


def _swish(site: Site) -> Function:
    alpha = site.node.number("alpha", 1.0)
    return lambda x: x * _sigmoid(alpha * x)


_PLAIN: dict[str, Function] = {
    "Abs": np.abs,
    "Ceil": np.ceil,
    "Cos": np.cos,
    "Erf": _erf,
    "Exp": np.exp,
    "Floor": np.floor,
    "HardSwish": _hard_swish,
    "Log": np.log,
    "Mish": lambda x: x * np.tanh(_softplus(x)),
    "Neg": np.negative,
    "Reciprocal": np.reciprocal,
    "Relu": lambda x: np.maximum(x, 0.0),
    "Round": np.rint,
    "Sigmoid": _sigmoid,
    "Sign": np.sign,
    "Sin": np.sin,
    "Softplus": _softplus,
    "Softsign": lambda x: x / (1.0 + np.abs(x)),
    "Sqrt": np.sqrt,
    "Tanh": np.tanh,
}

FUNCTIONS: dict[str, Callable[[Site], Function]] = {
    **{name: partial(_plain, function) for name, function in _PLAIN.items()},
    "Celu": _celu,
    "Clip": _clip,
    "Elu": _elu,
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "LeakyRelu": _leaky_relu,
    "PRelu": _prelu,
    "Selu": _selu,
    "Swish": _swish,
    "ThresholdedRelu": _thresholded_relu,
}
"""Operator -> what gives its function of float64 arrays from its attributes and constants."""
