"""Conv: one and two dimensions, groups, depthwise, stride, dilation, padding."""

from __future__ import annotations

import numpy as np

from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.frontend import operands
from tinyformer.sparse_engine.frontend.converters import spatial
from tinyformer.sparse_engine.frontend.site import Site
from tinyformer.sparse_engine.ir import Operator


def _conv(site: Site) -> str:
    node, x, constant = site.node, site.activation(0), site.constant(1)
    rank = spatial.spatial_rank(site, x)
    if constant is None or constant.values.ndim != rank + 2:
        raise node.error("its weights do not fit its input", f"{rank + 2} axes", "export the model again")
    values, quant = operands.weights(node, constant, 0)
    channels, kernel = values.shape[0], values.shape[2:]
    declared = node.integers("kernel_shape", kernel)
    node.require(declared == kernel, f"kernel_shape is {declared}", f"{kernel}, as the weights")
    groups = node.integer("group", 1)
    node.require(
        1 <= groups <= channels and values.shape[1] * groups == x.shape[1] and channels % groups == 0,
        f"{groups} groups, weights {values.shape} and {x.shape[1]} input channels do not fit",
        "weights (O, C / groups, ...)",
    )
    window = spatial.window(site, x, kernel)
    if rank == 1:
        values = values[:, :, np.newaxis, :]
    bias = operands.bias(node, site.constant(2), channels, x.quant.scale * np.array(quant.scales))
    op: Operator
    if groups == channels == x.shape[1] and groups > 1:
        op = ops.DepthwiseConv2D(window.stride, window.padding, window.dilation)
        values = values[:, 0]
    else:
        op = ops.Conv2D(window.stride, window.padding, window.dilation, groups)
        values = values.transpose(0, 2, 3, 1)
    inputs = (
        spatial.channels_last(site, x),
        site.builder.constant(constant.name, np.ascontiguousarray(values), quant),
        site.builder.constant(f"{node.name}/bias", bias),
    )
    result = site.result(op, inputs, axis_order=spatial.axis_order(rank))
    return spatial.channels_first(site, result, rank, site.output.quant)


CONVERTERS = {"Conv": _conv}
