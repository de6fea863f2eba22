"""Fold a Pad with zeros into the convolution that follows."""

from __future__ import annotations

from dataclasses import replace

from tinyformer.sparse_engine.ir import Graph, Node
from tinyformer.sparse_engine.ops import Conv2D, DepthwiseConv2D, Pad
from tinyformer.sparse_engine.passes.rewriting import Rewriter


def fold_padding(graph: Graph) -> Graph:
    """Let convolutions pad for themselves where a Pad adds rows and columns of the input's zero point."""
    rewriter = Rewriter(graph)
    producers = graph.producers()
    for node in graph.nodes:
        pad = producers.get(node.inputs[0])
        if (
            pad is None
            or not isinstance(pad.op, Pad)
            or not isinstance(node.op, Conv2D | DepthwiseConv2D)
            or not _pads_with_zeros(graph, pad)
        ):
            rewriter.keep(node)
            continue
        top, left, bottom, right = node.op.padding
        padding = (
            top + pad.op.before[0],
            left + pad.op.before[1],
            bottom + pad.op.after[0],
            right + pad.op.after[1],
        )
        rewriter.put(node, replace(node.op, padding=padding), (rewriter.read(pad.inputs[0]), *node.inputs[1:]))
    return rewriter.finish()


def _pads_with_zeros(graph: Graph, pad: Node) -> bool:
    source, padded = (graph.tensors[name].quant for name in (pad.inputs[0], pad.output))
    op = pad.op
    return (
        isinstance(op, Pad)
        and source is not None
        and source == padded
        and op.value == source.zero_point
        and op.before[2] == op.after[2] == 0
    )
