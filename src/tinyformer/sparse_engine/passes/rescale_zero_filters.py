"""Give filters without weights the scale of the others.

Pruning empties whole filters, and quantisers write an arbitrary scale for those (often 1). As all channels of a layer
share one left shift, one such scale would cost the others their precision.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinyformer.sparse_engine.ir import Graph, Node, QuantParams
from tinyformer.sparse_engine.ops import Conv2D, DepthwiseConv2D, Linear
from tinyformer.sparse_engine.passes.rewriting import Rewriter


def rescale_zero_filters(graph: Graph) -> Graph:
    """Set the scale of all-zero filters to the layer's largest other one, and their bias to the same real value."""
    rewriter = Rewriter(graph)
    for node in graph.nodes:
        if isinstance(node.op, Conv2D | DepthwiseConv2D | Linear):
            _rescale(graph, rewriter, node)
        else:
            rewriter.keep(node)
    return rewriter.finish()


def _rescale(graph: Graph, rewriter: Rewriter, node: Node) -> None:
    weight, bias = (graph.tensors[name] for name in node.inputs[1:3])
    values, steps = graph.data.get(weight.name), graph.data.get(bias.name)
    if values is None or steps is None or weight.quant is None or len(weight.quant.scales) == 1:
        rewriter.keep(node)
        return
    empty = ~values.reshape(len(values), -1).any(axis=1)
    scales = np.array(weight.quant.scales)
    if not empty.any() or empty.all():
        rewriter.keep(node)
        return
    common = float(scales[~empty].max())
    limit = np.iinfo(np.int32).max
    rescaled = np.where(empty, np.clip(np.rint(steps * (scales / common)), -limit, limit), steps).astype(np.int32)
    quant = QuantParams(tuple(np.where(empty, common, scales).tolist()))
    inputs = (
        rewriter.read(node.inputs[0]),
        rewriter.constant(weight.name, replace(weight, quant=quant), values),
        rewriter.constant(bias.name, bias, rescaled),
    )
    rewriter.put(node, node.op, inputs)
