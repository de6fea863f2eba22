"""Operators of two inputs: on two tensors Add and Mul, with a constant number a table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.frontend import tables
from tinyformer.sparse_engine.frontend.operands import Activation, Constant
from tinyformer.sparse_engine.frontend.site import Site
from tinyformer.sparse_engine.ir import Operator, Shape

Binary = Callable[[Any, Any], Any]


def _binary(function: Binary, op: Operator | None, swapped: Operator | None, site: Site) -> str:
    """Convert ``function``; ``op`` does it on two tensors, ``swapped`` with the inputs exchanged."""
    first, second = site.operand(0), site.operand(1)
    for constant, other, flipped in ((second, first, False), (first, second, True)):
        if isinstance(constant, Constant) and isinstance(other, Activation) and constant.values.size == 1:
            return _table(function, site, constant, other, flipped)
    if op is None or swapped is None:
        raise site.node.error("it has two tensors", "a constant number as one input", "replace it in the model")
    shapes = [_shape(site, index) for index in (0, 1)]
    if shapes[0] == site.output.shape:
        return _broadcast(site, op, 0, 1, shapes[1])
    site.node.require(
        shapes[1] == site.output.shape,
        f"it broadcasts {shapes[0]} and {shapes[1]} to {site.output.shape}",
        "one input of the output's shape",
        "write it with one input that repeats",
    )
    return _broadcast(site, swapped, 1, 0, shapes[0])


def _shape(site: Site, index: int) -> Shape:
    operand = site.operand(index)
    shape = operand.shape if isinstance(operand, Activation) else () if operand is None else operand.values.shape
    return (1,) * (len(site.output.shape) - len(shape)) + tuple(shape)


def _table(function: Binary, site: Site, constant: Constant, x: Activation, flipped: bool) -> str:
    number = float(constant.real().reshape(-1)[0])
    call = partial(function, number) if flipped else lambda values: function(values, number)
    table = tables.table(call, x.quant, site.output)
    result = site.lookup(site.node.op_type.lower(), x.tensor, table)
    return site.reshape(result, site.shape, site.output.quant)


def _broadcast(site: Site, op: Operator, full: int, other: int, shape: Shape) -> str:
    """Emit ``op`` of a full tensor and one that repeats: axes along which it repeats move to the front."""
    target, quant = site.shape, site.output.quant
    inner = shape[len(shape) - len(target) :]
    kept = tuple(axis for axis, size in enumerate(inner) if size > 1)
    start = kept[0] if kept else len(target)
    if inner[start:] == target[start:]:
        suffix = target if inner == target else target[start:]
        return site.result(op, (site.tensor(full, target), site.tensor(other, suffix)))
    order = (*(axis for axis in range(len(target)) if axis not in kept), *kept)
    left = site.transpose(site.tensor(full, target), order, site.quant(full))
    right = site.tensor(other, tuple(target[axis] for axis in kept))
    result = site.result(op, (left, right), axis_order=order)
    return site.transpose(result, tuple(int(axis) for axis in np.argsort(order)), quant)


CONVERTERS = {
    "Add": partial(_binary, np.add, ops.Add(), ops.Add()),
    "Sub": partial(_binary, np.subtract, ops.Add(signs=(1, -1)), ops.Add(signs=(-1, 1))),
    "Mul": partial(_binary, np.multiply, ops.Mul(), ops.Mul()),
    "Div": partial(_binary, np.divide, None, None),
    "Pow": partial(_binary, np.power, None, None),
    "Min": partial(_binary, np.minimum, None, None),
    "Max": partial(_binary, np.maximum, None, None),
}
