"""MaxPool, AveragePool, their global forms, and ReduceMean."""

from __future__ import annotations

from math import prod

from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.frontend.converters import spatial
from tinyformer.sparse_engine.frontend.operands import Activation
from tinyformer.sparse_engine.frontend.site import Site
from tinyformer.sparse_engine.ir import Operator, QuantParams

_LARGEST_PADDED_WINDOW = 1024  # an average over it has a multiplier for each number of values inside


def _window(site: Site, x: Activation) -> spatial.Window:
    rank = spatial.spatial_rank(site, x)
    window = spatial.window(site, x, site.node.sizes("kernel_shape", rank, None, 1))
    node, (top, left, bottom, right) = site.node, window.padding
    node.require(window.dilation == (1, 1), f"its dilations are {window.dilation}", "1")
    inside = max(top, bottom) < window.kernel[0] and max(left, right) < window.kernel[1]
    node.require(inside, f"its padding {window.padding} holds whole windows", "less than the kernel")
    return window


def _spatial(site: Site, x: Activation, op: Operator, quant: QuantParams) -> str:
    rank = spatial.spatial_rank(site, x)
    inputs = (spatial.channels_last(site, x),)
    result = site.result(op, inputs, quant=quant, axis_order=spatial.axis_order(rank))
    return spatial.channels_first(site, result, rank, site.output.quant)


def _max_pool(site: Site) -> str:
    x = site.activation()
    window = _window(site, x)
    return _spatial(site, x, ops.MaxPool2D(window.kernel, window.stride, window.padding), x.quant)


def _average_pool(site: Site) -> str:
    x, node = site.activation(), site.node
    window = _window(site, x)
    declared = node.integers("pads", ()) or ()
    grown = sum(window.padding) > sum(declared) and node.text("auto_pad", "NOTSET") == "NOTSET"
    include = bool(node.integer("count_include_pad", 0)) and any(window.padding)
    node.require(not (include and grown), "ceil_mode and count_include_pad go beyond the padding", "one of them")
    if any(window.padding):
        values = prod(window.kernel)
        node.require(
            include or values <= _LARGEST_PADDED_WINDOW,
            f"it averages {values} values with padding",
            f"at most {_LARGEST_PADDED_WINDOW}",
        )
    op = ops.AvgPool2D(window.kernel, window.stride, window.padding, include)
    return _spatial(site, x, op, site.output.quant)


def _whole(site: Site, x: Activation) -> tuple[int, int]:
    rank = spatial.spatial_rank(site, x)
    return (1, x.shape[2]) if rank == 1 else (x.shape[2], x.shape[3])


def _global_average_pool(site: Site) -> str:
    x = site.activation()
    kernel = _whole(site, x)
    return _spatial(site, x, ops.AvgPool2D(kernel, kernel), site.output.quant)


def _global_max_pool(site: Site) -> str:
    x = site.activation()
    kernel = _whole(site, x)
    return _spatial(site, x, ops.MaxPool2D(kernel, kernel), x.quant)


def _reduce_mean(site: Site) -> str:
    x, node = site.activation(), site.node
    axes = site.model.static_integers(node, 1, "axes")
    if not axes and node.integer("noop_with_empty_axes", 0):
        return site.reshape(site.unchanged(x), site.shape, site.output.quant)
    rank, shape = len(x.shape), site.builder.shape(x.tensor)
    every = tuple(range(rank)) if not axes else tuple(axes)
    node.require(all(-rank <= axis < rank for axis in every), f"there is no axis in {every}", f"-{rank} .. {rank - 1}")
    offset = rank - len(shape)
    reduced = sorted({axis % rank - offset for axis in every} - {-1})
    kept = [axis for axis in range(len(shape)) if axis not in reduced]
    tensor = site.transpose(x.tensor, (*reduced, *kept), x.quant)
    sizes = [shape[axis] for axis in reduced]
    kernel = (sizes[0], sizes[1]) if len(sizes) == 2 else (prod(sizes), 1)
    tensor = site.reshape(tensor, (*kernel, prod(shape[axis] for axis in kept)), x.quant)
    result = site.result(ops.AvgPool2D(kernel, kernel), (tensor,))
    return site.reshape(result, site.shape, site.output.quant)


CONVERTERS = {
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global_average_pool,
    "GlobalMaxPool": _global_max_pool,
    "MaxPool": _max_pool,
    "ReduceMean": _reduce_mean,
}
