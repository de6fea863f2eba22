"""Add, Sub and Mul of two tensors; with a constant number they are pointwise."""

from __future__ import annotations

from functools import partial

import numpy as np

from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.frontend.converters import channelwise, gathering
from tinyformer.sparse_engine.frontend.operands import Activation, Constant
from tinyformer.sparse_engine.frontend.site import Site
from tinyformer.sparse_engine.ir import Operator, Shape


def _binary(op: Operator, swapped: Operator, names: tuple[str, str], site: Site) -> str:
    """Convert what ``op`` does on two tensors, ``swapped`` with the inputs exchanged; ``names`` of both for numbers."""
    first, second = site.operand(0), site.operand(1)
    for constant, other, name in ((second, first, names[0]), (first, second, names[1])):
        if isinstance(constant, Constant) and constant.grid is None and isinstance(other, Activation):
            found = channelwise.per_channel(site, other, constant, name)
            if found is not None:
                return found
    shapes = [_shape(site, index) for index in (0, 1)]
    if shapes[0] == site.output.shape:
        return _broadcast(site, op, 0, 1, shapes[1])
    if shapes[1] == site.output.shape:
        return _broadcast(site, swapped, 1, 0, shapes[0])
    return _broadcast(site, op, 0, 1, shapes[1], _expanded(site, shapes[0]))


def _expanded(site: Site, shape: Shape) -> str:
    """Return the first operand repeated along the axes that only the second one has."""
    inner, quant = shape[len(shape) - len(site.shape) :], site.quant(0)
    tensor = site.tensor(0, inner)
    for axis, (size, target) in enumerate(zip(inner, site.shape, strict=True)):
        if size != target:
            tensor = gathering.repeat(site, tensor, axis, target, quant)
    return tensor


def _shape(site: Site, index: int) -> Shape:
    operand = site.operand(index)
    shape = operand.shape if isinstance(operand, Activation) else () if operand is None else operand.values.shape
    return (1,) * (len(site.output.shape) - len(shape)) + tuple(shape)


def _broadcast(site: Site, op: Operator, full: int, other: int, shape: Shape, expanded: str | None = None) -> str:
    """Emit ``op`` of a full tensor and one that repeats: axes along which it repeats move to the front."""
    target, quant = site.shape, site.output.quant
    tensor = site.tensor(full, target) if expanded is None else expanded
    inner = shape[len(shape) - len(target) :]
    kept = tuple(axis for axis, size in enumerate(inner) if size > 1)
    start = kept[0] if kept else len(target)
    if inner[start:] == target[start:]:
        suffix = target if inner == target else target[start:]
        return site.result(op, (tensor, site.tensor(other, suffix)))
    order = (*(axis for axis in range(len(target)) if axis not in kept), *kept)
    left = site.transpose(tensor, order, site.quant(full))
    right = site.tensor(other, tuple(target[axis] for axis in kept))
    result = site.result(op, (left, right), axis_order=order)
    return site.transpose(result, tuple(int(axis) for axis in np.argsort(order)), quant)


CONVERTERS = {
    "Add": partial(_binary, ops.Add(), ops.Add(), ("Add", "Add")),
    "Sub": partial(_binary, ops.Add(signs=(1, -1)), ops.Add(signs=(-1, 1)), ("Sub", "SubFrom")),
    "Mul": partial(_binary, ops.Mul(), ops.Mul(), ("Mul", "Mul")),
}
