"""Operators that only move data: they keep the quantisation, or pass through a table where it changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

import numpy as np
from onnx import TensorProto

from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.frontend import tables
from tinyformer.sparse_engine.frontend.converters import gathering
from tinyformer.sparse_engine.frontend.operands import Activation, Function
from tinyformer.sparse_engine.frontend.site import Site
from tinyformer.sparse_engine.ir import Operator, QuantParams, Shape


def _moved(site: Site, x: Activation, op: Operator, tensor: str) -> str:
    """Emit the movement of a tensor and return it in the output's shape."""
    return _shaped(site, op, (tensor,), x.quant)


def _shaped(site: Site, op: Operator, inputs: tuple[str, ...], quant: QuantParams) -> str:
    """Emit movement whose result may have a batch axis; only the output's own shape bears its name."""
    if op.infer_shape([site.builder.shape(name) for name in inputs]) == site.shape:
        return site.result(op, inputs, quant=quant)
    moved = site.emit(op, inputs, quant)
    return site.result(ops.Reshape(site.shape), (moved,), quant=quant)


def _same_elements(site: Site) -> str:
    """Convert what keeps the elements and their order: Reshape, Flatten, Squeeze, Unsqueeze, Identity, Dropout."""
    x = site.activation()
    fits = prod(x.shape) == prod(site.output.shape)
    site.node.require(fits, f"it makes {site.output.shape} of {x.shape}", "the same number of elements")
    if site.builder.shape(x.tensor) == site.shape:
        return site.unchanged(x)
    return site.result(ops.Reshape(site.shape), (x.tensor,), quant=x.quant)


def _dropout(site: Site) -> str:
    mode = site.scalar(2)
    site.node.require(not mode, "it is in training mode", "inference mode", "export the model in evaluation mode")
    return _same_elements(site)


def _transpose(site: Site) -> str:
    x, node = site.activation(), site.node
    rank = len(x.shape)
    permutation = node.integers("perm", tuple(reversed(range(rank)))) or ()
    node.require(sorted(permutation) == list(range(rank)), f"it permutes {x.shape} by {permutation}", "a permutation")
    shape = site.builder.shape(x.tensor)
    if len(shape) < rank and permutation[0] == 0:
        inner = tuple(axis - 1 for axis in permutation[1:])
        if inner == tuple(range(rank - 1)):
            return site.unchanged(x)
        return _moved(site, x, ops.Transpose(inner), x.tensor)
    return _moved(site, x, ops.Transpose(permutation), site.reshape(x.tensor, x.shape, x.quant))


def _cut(site: Site, x: Activation, starts: dict[int, int], steps: dict[int, int], sizes: Shape) -> str:
    """Emit a slice given by starts and steps for some axes of the file, and sizes for all of them."""
    shape = site.builder.shape(x.tensor)
    offset = len(x.shape) - len(shape)
    axes = range(offset, len(x.shape))
    cut = ops.Slice(
        tuple(starts.get(axis, 0) for axis in axes),
        tuple(sizes[axis] for axis in axes),
        tuple(steps.get(axis, 1) for axis in axes),
    )
    if cut.sizes == shape and set(cut.steps) <= {1}:
        return site.reshape(site.unchanged(x), site.shape, site.output.quant)
    return _moved(site, x, cut, x.tensor)


def _slice(site: Site) -> str:
    x, node, model = site.activation(), site.node, site.model
    starts, ends = (model.static_integers(node, index, name) for index, name in ((1, "starts"), (2, "ends")))
    axes = model.static_integers(node, 3, "axes")
    steps = model.static_integers(node, 4, "steps")
    if starts is None or ends is None:
        raise node.error("it has no starts or no ends", "constant starts and ends")
    rank = len(x.shape)
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    node.require(
        len(starts) == len(ends) == len(axes) == len(steps), "starts, ends, axes, steps differ in length", "one length"
    )
    node.require(all(-rank <= axis < rank for axis in axes), f"there is no axis in {axes}", f"-{rank} .. {rank - 1}")
    if any(step < 0 for step in steps):
        return _reversed(site, x, starts, ends, axes, steps)
    node.require(all(step > 0 for step in steps), f"its steps are {steps}", "steps other than 0")
    first: dict[int, int] = {}
    for axis, start in zip(axes, starts, strict=True):
        size = x.shape[axis % rank]
        first[axis % rank] = min(max(start + size if start < 0 else start, 0), size - 1)
    return _cut(site, x, first, {a % rank: s for a, s in zip(axes, steps, strict=True)}, site.output.shape)


def _reversed(site: Site, x: Activation, starts: Shape, ends: Shape, axes: Shape, steps: Shape) -> str:
    """Convert a Slice that runs backwards along some axis."""
    tensor, offset = x.tensor, len(x.shape) - len(site.builder.shape(x.tensor))
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        position = axis % len(x.shape)
        indices = list(range(x.shape[position]))[start : _end(end, step, x.shape[position]) : step]
        site.node.require(
            position >= offset and len(indices) == site.output.shape[position], f"it cuts axis {axis}", "any other axis"
        )
        tensor = gathering.gather(site, tensor, position - offset, indices, x.quant)
    return site.unchanged(replace(x, tensor=tensor, shape=site.output.shape))


def _end(end: int, step: int, size: int) -> int | None:
    """Return a Slice's end for Python, which has no number for the place before index 0."""
    return None if step < 0 and end < -size else end


def _split(site: Site) -> str:
    x, node = site.activation(), site.node
    rank = len(x.shape)
    axis = node.integer("axis", 0)
    node.require(-rank <= axis < rank, f"there is no axis {axis} in {x.shape}", f"-{rank} .. {rank - 1}")
    axis %= rank
    start = 0
    for name in node.outputs[: site.index]:
        before = site.model.shape(node, name)
        node.require(len(before) == rank, f"its outputs have {len(before)} axes", f"{rank}")
        start += before[axis]
    return _cut(site, x, {axis: start}, {}, site.output.shape)


def _gather(site: Site) -> str:
    """Convert a choice of constant indices along an axis."""
    x, node = site.activation(), site.node
    indices = site.model.static(node, 1)
    rank, axis = len(x.shape), node.integer("axis", 0)
    node.require(-rank <= axis < rank, f"there is no axis {axis} in {x.shape}", f"-{rank} .. {rank - 1}")
    axis %= rank
    if indices is None or indices.ndim > 1 or indices.size == 0 or indices.dtype.kind != "i":
        raise node.error("its indices are not a number or a list of them", "constant indices along one axis")
    size = x.shape[axis]
    chosen = [int(i) + size if i < 0 else int(i) for i in indices.reshape(-1)]
    node.require(all(0 <= index < size for index in chosen), f"its indices are {str(chosen)[:40]}", "inside the axis")
    step = chosen[1] - chosen[0] if len(chosen) > 1 else 1
    if step > 0 and chosen == list(range(chosen[0], chosen[0] + step * len(chosen), step)):
        sizes = (*x.shape[:axis], len(chosen), *x.shape[axis + 1 :])
        return _cut(site, x, {axis: chosen[0]}, {axis: step}, sizes)
    tensor = gathering.gather(site, x.tensor, x.axis(node, axis), chosen, x.quant)
    return site.reshape(site.unchanged(replace(x, tensor=tensor)), site.shape, site.output.quant)


def _concat(site: Site) -> str:
    node, output = site.node, site.output
    rank, axis = len(output.shape), node.integer("axis", 0)
    node.require(-rank <= axis < rank, f"there is no axis {axis} in {output.shape}", f"-{rank} .. {rank - 1}")
    axis %= rank
    offset = 0 if axis == 0 else rank - len(site.shape)
    inputs = [_joined(site, index, rank, offset) for index in range(len(node.inputs))]
    return _shaped(site, ops.Concat(axis - offset), tuple(inputs), output.quant)


def _joined(site: Site, index: int, rank: int, offset: int) -> str:
    operand = site.operand(index)
    if isinstance(operand, Activation | Function):
        site.node.require(len(operand.shape) == rank, f"input {index} has shape {operand.shape}", f"{rank} axes")
        return site.reshape(site.requantized(operand), operand.shape[offset:], site.output.quant)
    if operand is None or operand.values.ndim != rank:
        raise site.node.error(f"input {index} is not a tensor of {rank} axes", "activations and constants")
    values = tables.quantized(operand.real(), site.output.quant).reshape(operand.values.shape[offset:])
    return site.builder.constant(f"{site.output.name}/{operand.name}", values, site.output.quant)


def _pad(site: Site) -> str:
    x, node, model = site.activation(), site.node, site.model
    pads, axes = model.static_integers(node, 1, "pads"), model.static_integers(node, 3, "axes")
    rank = len(x.shape)
    axes = tuple(range(rank)) if axes is None else axes
    if pads is None or len(pads) != 2 * len(axes) or not all(-rank <= axis < rank for axis in axes):
        raise node.error("its pads do not fit its input", "two integers for each axis")
    node.require(
        all(0 <= pad < 2**15 for pad in pads), f"its pads are {str(pads)[:60]}", "0 .. 32767", "use Slice to cut"
    )
    before, after = [0] * rank, [0] * rank
    for axis, first, last in zip(axes, pads, pads[len(axes) :], strict=False):
        before[axis], after[axis] = first, last
    if not any(pads):
        return site.unchanged(x)
    mode = node.text("mode", "constant")
    if mode != "constant":
        return _mirrored(site, x, mode, before, after)
    step = _pad_step(site, x)
    full = site.builder.shape(x.tensor)
    offset = 0 if before[0] or after[0] else rank - len(full)
    tensor = site.reshape(x.tensor, x.shape[offset:], x.quant)
    return _moved(site, x, ops.Pad(tuple(before[offset:]), tuple(after[offset:]), step), tensor)


def _pad_step(site: Site, x: Activation) -> int:
    """Return the int8 that a Pad fills in; behind a QuantizeLinear it is given as a stored integer."""
    found = site.node.number("value", 0.0) if "value" in site.node.attributes else site.scalar(2)
    value = 0.0 if found is None else found
    if x.dequantized:
        return int(tables.quantized([value], x.quant)[0])
    unsigned = site.model.types.get(site.node.inputs[0]) == TensorProto.UINT8
    step = value - (128 if unsigned else 0)
    site.node.require(-128 <= step <= 127, f"it pads with {value:g}", "a value of the input's type")
    return int(step)


def _mirrored(site: Site, x: Activation, mode: str, before: list[int], after: list[int]) -> str:
    """Convert padding by the input's own values."""
    site.node.require(
        mode in ("edge", "reflect", "wrap"), f"its mode is {mode[:20]!r}", "constant, edge, reflect, wrap"
    )
    tensor, offset = x.tensor, len(x.shape) - len(site.builder.shape(x.tensor))
    for axis, (first, last) in enumerate(zip(before, after, strict=True)):
        size = x.shape[axis]
        if not first and not last:
            continue
        site.node.require(axis >= offset, "it pads the batch axis", "any other axis")
        site.node.require(
            max(first, last) < size + (mode != "reflect"), f"it pads {size} by {max(first, last)}", "less"
        )
        indices = np.pad(np.arange(size), (first, last), mode=mode)  # type: ignore[call-overload]
        tensor = gathering.gather(site, tensor, axis - offset, [int(index) for index in indices], x.quant)
    return site.unchanged(replace(x, tensor=tensor, shape=site.output.shape))


def _expand(site: Site) -> str:
    x, target = site.activation(), site.output.shape
    if prod(x.shape) == prod(target):
        return _same_elements(site)
    source = (1,) * (len(target) - len(x.shape)) + x.shape
    tensor = site.reshape(x.tensor, source, x.quant)
    for axis, (size, wanted) in enumerate(zip(source, target, strict=True)):
        if size != wanted:
            tensor = gathering.repeat(site, tensor, axis, wanted, x.quant)
    return site.unchanged(replace(x, tensor=site.reshape(tensor, site.shape, x.quant), shape=target))


CONVERTERS: dict[str, Callable[[Site], str]] = {
    "Concat": _concat,
    "Dropout": _dropout,
    "Expand": _expand,
    "Flatten": _same_elements,
    "Gather": _gather,
    "Identity": _same_elements,
    "Pad": _pad,
    "Reshape": _same_elements,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _same_elements,
    "Transpose": _transpose,
    "Unsqueeze": _same_elements,
}
