"""Fuse the three steps of attention, so that no matrix of tokens by tokens need exist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinyformer.sparse_engine.ir import Graph, Node
from tinyformer.sparse_engine.ops import Attention, MatMul, Softmax
from tinyformer.sparse_engine.passes.rewriting import Rewriter


def fuse_attention(graph: Graph) -> Graph:
    """Join MatMul, Softmax and MatMul, each the only reader of the one before, into an Attention.

    The joined node has the last one's name, place and output.
    """
    alone = _read_once(graph)
    joined = {node.name: steps for node in graph.nodes if (steps := _steps(alone, node)) is not None}
    if not joined:
        return graph
    inside = {step.name for steps in joined.values() for step in steps}
    rewriter = Rewriter(graph)
    for node in graph.nodes:
        if node.name in joined:
            scores, softmax = joined[node.name]
            op = _attention(graph, scores, softmax, node)
            rewriter.put(node, op, tuple(rewriter.read(name) for name in (*scores.inputs, node.inputs[1])))
        elif node.name not in inside:
            rewriter.keep(node)
    return rewriter.finish()


def _read_once(graph: Graph) -> dict[str, Node]:
    """Map each tensor that one node alone reads, as its first input, to what computes it."""
    consumers = graph.consumers()
    return {
        name: producer
        for name, producer in graph.producers().items()
        if name != graph.output and len(consumers[name]) == 1 and consumers[name][0].inputs[0] == name
    }


def _steps(alone: Mapping[str, Node], context: Node) -> tuple[Node, Node] | None:
    """Return the scores and the softmax of which a node is the product with the values."""
    if not isinstance(context.op, MatMul) or context.inputs[0] == context.inputs[1]:
        return None
    softmax = alone.get(context.inputs[0])
    if softmax is None or not isinstance(softmax.op, Softmax):
        return None
    scores = alone.get(softmax.inputs[0])
    return (scores, softmax) if scores is not None and isinstance(scores.op, MatMul) else None


def _attention(graph: Graph, scores: Node, softmax: Node, context: Node) -> Attention:
    inside = tuple(graph.tensors[step.output] for step in (scores, softmax))
    steps: list[Any] = [scores.op, softmax.op, context.op, *(tensor.quant for tensor in inside), inside]
    return Attention(*steps)
