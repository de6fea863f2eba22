"""Fold the input's zero point into the bias, so that kernels multiply the stored integers."""

from __future__ import annotations

import numpy as np

from tinyformer.errors import UnsupportedModelError
from tinyformer.sparse_engine.ir import Graph, Node
from tinyformer.sparse_engine.ops import Conv2D, DepthwiseConv2D, Linear
from tinyformer.sparse_engine.passes.rewriting import Rewriter


def fold_zero_points(graph: Graph) -> Graph:
    """Subtract zero point times the sum of the weights from every bias.

    Padding reads as the zero point, so the sum is the same at the border.

    Raises:
        UnsupportedModelError: a bias leaves int32.
    """
    rewriter = Rewriter(graph)
    for node in graph.nodes:
        if isinstance(node.op, Conv2D | DepthwiseConv2D | Linear):
            _fold(graph, rewriter, node)
        else:
            rewriter.keep(node)
    return rewriter.finish()


def _fold(graph: Graph, rewriter: Rewriter, node: Node) -> None:
    weight, bias = (graph.data.get(name) for name in node.inputs[1:3])
    quant = graph.tensors[node.inputs[0]].quant
    if weight is None or bias is None or quant is None or quant.zero_point == 0:
        rewriter.keep(node)
        return
    sums = weight.reshape(len(weight), -1).sum(axis=1, dtype=np.int64)
    folded = bias - quant.zero_point * sums
    if np.abs(folded).max() > np.iinfo(np.int32).max:
        raise UnsupportedModelError(
            f"node {node.name} ({node.op.kind}): its bias with the input's zero point folded in leaves int32; "
            "allowed: a smaller bias; calibrate the model again"
        )
    name = rewriter.constant(node.inputs[2], graph.tensors[node.inputs[2]], folded.astype(np.int32))
    rewriter.put(node, node.op, (rewriter.read(node.inputs[0]), node.inputs[1], name))
