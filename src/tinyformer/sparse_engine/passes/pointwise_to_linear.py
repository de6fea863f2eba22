"""A 1x1 convolution is a linear layer over the pixels."""

from __future__ import annotations

from dataclasses import replace

from tinyformer.sparse_engine.ir import Graph, Node
from tinyformer.sparse_engine.ops import Conv2D, Linear
from tinyformer.sparse_engine.passes.rewriting import Rewriter


def pointwise_to_linear(graph: Graph) -> Graph:
    """Replace 1x1 convolutions of stride 1 without padding and groups by Linear on (H, W, C)."""
    rewriter = Rewriter(graph)
    for node in graph.nodes:
        if not isinstance(node.op, Conv2D) or not _is_pointwise(graph, node, node.op):
            rewriter.keep(node)
            continue
        tensor = graph.tensors[node.inputs[1]]
        shape = (tensor.shape[0], tensor.shape[3])
        data = graph.data.get(tensor.name)
        weight = rewriter.constant(
            tensor.name, replace(tensor, shape=shape), None if data is None else data.reshape(shape)
        )
        op = Linear(left_shift=node.op.left_shift, low=node.op.low, high=node.op.high)
        rewriter.put(node, op, (rewriter.read(node.inputs[0]), weight, *node.inputs[2:]))
    return rewriter.finish()


def _is_pointwise(graph: Graph, node: Node, op: Conv2D) -> bool:
    return (
        graph.tensors[node.inputs[1]].shape[1:3] == (1, 1)
        and op.stride == (1, 1)
        and not any(op.padding)
        and op.groups == 1
    )
