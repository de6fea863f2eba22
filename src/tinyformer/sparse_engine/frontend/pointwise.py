"""Operators that work element by element on one int8 tensor: however many in a row, they are one table of 256 entries.

Quantisers leave some of them without QuantizeLinear (Erf, Div, Tanh, HardSwish ...), so a Gelu or Silu that an exporter
took apart arrives as a chain of real operators. Its values are followed for each of the 256 integers of the activation
at its start, until a QuantizeLinear makes a table of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tinyformer.sparse_engine.frontend.converters import unary
from tinyformer.sparse_engine.frontend.operands import Activation, Constant, Function, Operand
from tinyformer.sparse_engine.frontend.site import Site
from tinyformer.sparse_engine.frontend.tables import Reals
from tinyformer.sparse_engine.ir import QuantParams

_BINARY: Mapping[str, Callable[[Any, Any], Any]] = {
    "Add": np.add,
    "Div": np.divide,
    "Max": np.maximum,
    "Min": np.minimum,
    "Mul": np.multiply,
    "Pow": np.power,
    "Sub": np.subtract,
}

OPERATORS = frozenset({*unary.FUNCTIONS, *_BINARY})
"""Operator types that can be pointwise."""


def function(site: Site) -> Function | None:
    """Return what an operator computes if that is a function of one activation's elements, None otherwise.

    Args:
        site: the operator; of its output only the shape is looked at.
    """
    kind = site.node.op_type
    if kind in unary.FUNCTIONS:
        return _unary(site)
    if kind in _BINARY and len(site.operands) == 2:
        return _binary(site, _BINARY[kind])
    return None


def identity(activation: Activation) -> Function:
    """Return an activation's own real values as a function of its integers."""
    steps = np.arange(-128, 128) - activation.quant.zero_point
    values = steps.astype(np.float32) * np.float32(activation.quant.scale)
    return Function(activation, values.astype(np.float64), (), "")


def natural_quant(values: Reals) -> QuantParams:
    """Return the finest int8 quantisation that covers values; for what a file leaves without QuantizeLinear."""
    finite = values[np.isfinite(values)].astype(np.float32)
    low, high = min(0.0, float(finite.min(initial=0.0))), max(0.0, float(finite.max(initial=0.0)))
    scale = float(np.float32(high / 255 - low / 255))
    if not scale > 0:
        return QuantParams((1.0,))
    return QuantParams((scale,), int(np.clip(np.rint(-128 - low / scale), -128, 127)))


def _unary(site: Site) -> Function | None:
    source = _source(site.operand(0))
    if source is None or (site.node.op_type == "PRelu" and not _is_number(site.operand(1))):
        return None
    call = unary.FUNCTIONS[site.node.op_type](site)
    with np.errstate(all="ignore"):
        return _applied(site, source, call(source.values))


def _binary(site: Site, call: Callable[[Any, Any], Any]) -> Function | None:
    left, right = (_source(operand) for operand in site.operands)
    if left is not None and right is not None:
        same = left.source.tensor == right.source.tensor and left.shape == right.shape == site.output.shape
        with np.errstate(all="ignore"):
            return _applied(site, left, call(left.values, right.values)) if same else None
    source = left if right is None else right
    number = site.operands[1] if right is None else site.operands[0]
    if source is None or not isinstance(number, Constant) or not _is_number(number):
        return None
    value = float(number.real().reshape(-1)[0])
    with np.errstate(all="ignore"):
        values = call(source.values, value) if right is None else call(value, source.values)
    return _applied(site, source, values)


def _source(operand: Operand | None) -> Function | None:
    if isinstance(operand, Function):
        return operand
    return identity(operand) if isinstance(operand, Activation) and operand.dequantized else None


def _is_number(operand: Operand | None) -> bool:
    """Whether an operand is a constant of one repeated value."""
    if not isinstance(operand, Constant) or operand.values.size == 0:
        return False
    values = operand.real().reshape(-1)
    return bool(np.all(values == values[0]))


def _applied(site: Site, source: Function, values: Reals) -> Function:
    with np.errstate(all="ignore"):
        real = values.astype(np.float32).astype(np.float64)
    activation = source.source
    if site.output.shape != activation.shape:  # a constant with more axes
        tensor = site.reshape(activation.tensor, site.shape, activation.quant)
        activation = replace(activation, tensor=tensor, shape=site.output.shape)
    return Function(activation, real, (*source.operators, site.node.op_type.lower()), site.node.name)
