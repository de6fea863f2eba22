"""Fuse a convolution with the maximum over its output, so that its output need not exist as a whole."""

from __future__ import annotations

from tinyformer.sparse_engine.ir import Graph, Node
from tinyformer.sparse_engine.ops import Conv2D, MaxPool2D, PooledConv2D
from tinyformer.sparse_engine.passes.rewriting import Rewriter


def fuse_pooling(graph: Graph) -> Graph:
    """Join a Conv2D and the MaxPool2D that alone reads it, where rows of windows do not overlap, into a PooledConv2D.

    The joined node has the convolution's name and the maximum's output.
    """
    consumers, producers = graph.consumers(), graph.producers()
    joined = {
        node.output: producer
        for node in graph.nodes
        if (producer := producers.get(node.inputs[0])) is not None
        and _can_join(graph, producer, node)
        and consumers[producer.output] == [node]
        and producer.output != graph.output
    }
    if not joined:
        return graph
    inside = {conv.name for conv in joined.values()}
    rewriter = Rewriter(graph)
    for node in graph.nodes:
        conv = joined.get(node.output)
        if conv is not None and isinstance(conv.op, Conv2D) and isinstance(node.op, MaxPool2D):
            full = graph.tensors[conv.output]
            op = PooledConv2D(conv.op, node.op, full.quant, (full,))
            inputs = tuple(rewriter.read(name) for name in conv.inputs)
            rewriter.put(Node(conv.name, op, inputs, node.output), op, inputs)
        elif node.name not in inside:
            rewriter.keep(node)
    return rewriter.finish()


def _can_join(graph: Graph, conv: Node, pool: Node) -> bool:
    """Whether each row of maxima has rows of the convolution to itself, and each of those an input row."""
    if not isinstance(conv.op, Conv2D) or not isinstance(pool.op, MaxPool2D):
        return False
    span = (graph.tensors[conv.inputs[1]].shape[1] - 1) * conv.op.dilation[0] + 1
    padded = max(conv.op.padding[0], conv.op.padding[2])
    several = graph.tensors[pool.output].shape[0] > 1
    return several and padded < span and pool.op.kernel[0] <= pool.op.stride[0]
