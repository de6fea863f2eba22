"""Repetition and choice along an axis, as the joints and slices that the engine has."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.frontend.site import Site
from tinyformer.sparse_engine.ir import QuantParams

_LARGEST_JOINT = 8  # copies that one Concat makes: more are made of copies of copies
_MOST_PIECES = 128

Run = tuple[int, int, int]  # start, step, count


def gather(site: Site, tensor: str, axis: int, indices: Sequence[int], quant: QuantParams) -> str:
    """Return the elements of a tensor at some indices of an axis, repeated and reordered as they come.

    Args:
        site: the operator, for names and messages.
        tensor: of the graph.
        axis: of that tensor.
        indices: inside the axis.
        quant: of the tensor.
    """
    shape = site.builder.shape(tensor)
    size, chosen = shape[axis], list(indices)
    times = len(chosen) // size
    if times * size == len(chosen) and chosen == [index for index in range(size) for _ in range(times)]:
        return repeat(site, tensor, axis, times, quant)
    runs = _runs(chosen)
    site.node.require(
        len(runs) <= _MOST_PIECES, f"it picks {len(runs)} separate pieces", f"at most {_MOST_PIECES}", "use Slice"
    )
    pieces = [_piece(site, tensor, axis, run, quant) for run in runs]
    return pieces[0] if len(pieces) == 1 else site.emit(ops.Concat(axis), tuple(pieces), quant)


def repeat(site: Site, tensor: str, axis: int, times: int, quant: QuantParams) -> str:
    """Return a tensor with each slice across an axis ``times`` times in a row."""
    if times == 1:
        return tensor
    shape = site.builder.shape(tensor)
    rows, inner = prod(shape[: axis + 1]), prod(shape[axis + 1 :])
    single = site.reshape(tensor, (rows, 1, inner), quant)
    copies = _copies(site, single, times, quant)
    return site.reshape(copies, (*shape[:axis], shape[axis] * times, *shape[axis + 1 :]), quant)


def _copies(site: Site, single: str, times: int, quant: QuantParams) -> str:
    """Return (rows, times, inner) of (rows, 1, inner)."""
    if times <= _LARGEST_JOINT:
        return single if times == 1 else site.emit(ops.Concat(1), (single,) * times, quant)
    group = _copies(site, single, times // _LARGEST_JOINT, quant)
    rest = times % _LARGEST_JOINT
    inputs = (group,) * _LARGEST_JOINT + ((_copies(site, single, rest, quant),) if rest else ())
    return site.emit(ops.Concat(1), inputs, quant)


def _runs(indices: list[int]) -> list[Run]:
    """Cut indices into runs of one step, 0 or more."""
    runs: list[Run] = []
    position = 0
    while position < len(indices):
        start = indices[position]
        step = indices[position + 1] - start if position + 1 < len(indices) else 1
        count = 1
        while step >= 0 and position + count < len(indices) and indices[position + count] == start + step * count:
            count += 1
        runs.append((start, max(step, 1) if count == 1 else step, count))
        position += count
    return runs


def _piece(site: Site, tensor: str, axis: int, run: Run, quant: QuantParams) -> str:
    start, step, count = run
    shape = site.builder.shape(tensor)
    if (start, step, count) == (0, 1, shape[axis]):
        return tensor
    rank = len(shape)
    starts = tuple(start if other == axis else 0 for other in range(rank))
    sizes = tuple((count if step else 1) if other == axis else size for other, size in enumerate(shape))
    steps = tuple(max(step, 1) if other == axis else 1 for other in range(rank))
    cut = site.emit(ops.Slice(starts, sizes, steps), (tensor,), quant) if sizes != shape else tensor
    return cut if step else repeat(site, cut, axis, count, quant)
