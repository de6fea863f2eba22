"""Conv: one and two dimensions, groups, depthwise, stride, dilation, padding."""

from __future__ import annotations

import numpy as np

from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.frontend import operands
from tinyformer.sparse_engine.frontend.converters import spatial
from tinyformer.sparse_engine.frontend.site import Site
from tinyformer.sparse_engine.ir import Operator, QuantParams


def _conv(site: Site) -> str:
    node, x, constant = site.node, site.activation(0), site.constant(1)
    rank = spatial.spatial_rank(site, x)
    if constant is None or constant.values.ndim != rank + 2:
        raise node.error("its weights do not fit its input", f"{rank + 2} axes", "export the model again")
    layer = operands.weights(node, constant, 0)
    values = layer.steps
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
    bias = operands.bias(node, site.constant(2), channels, x.quant.scale * layer.scales)
    layer, bias_steps = operands.folded(site.affine, layer, 0, bias, x.quant.scale)
    values = layer.steps[:, :, np.newaxis, :] if rank == 1 else layer.steps
    stored = operands.parts(values.transpose(0, 2, 3, 1))
    op: Operator
    if groups == channels == x.shape[1] and groups > 1 and len(stored) == 1:
        op = ops.DepthwiseConv2D(window.stride, window.padding, window.dilation)
        weight = stored[0][..., 0]
    else:
        op = ops.Conv2D(window.stride, window.padding, window.dilation, groups)
        weight = np.concatenate(stored, axis=-1)
    tensor = spatial.channels_last(site, x)
    inputs = (
        _side_by_side(site, tensor, len(stored), groups, x.quant),
        site.builder.constant(constant.name, np.ascontiguousarray(weight), layer.quant()),
        site.builder.constant(f"{node.name}/bias", operands.stored_bias(node, bias_steps)),
    )
    result = site.result(op, inputs, axis_order=spatial.axis_order(rank))
    return spatial.channels_first(site, result, rank, site.output.quant)


def _side_by_side(site: Site, tensor: str, times: int, groups: int, quant: QuantParams) -> str:
    """Return (H, W, C) with the channels of each group repeated, for weights in several parts."""
    if times == 1:
        return tensor
    height, width, channels = site.builder.shape(tensor)
    grouped = site.reshape(tensor, (height * width * groups, channels // groups), quant)
    repeated = site.emit(ops.Concat(1), (grouped,) * times, quant)
    return site.reshape(repeated, (height, width, channels * times), quant)


CONVERTERS = {"Conv": _conv}
