"""Let MatMul read its second input transposed where that leaves the innermost axis in place."""

from __future__ import annotations

from dataclasses import replace

from tinyformer.sparse_engine.ir import Graph, Node
from tinyformer.sparse_engine.ops import MatMul, Transpose
from tinyformer.sparse_engine.passes.rewriting import Rewriter


def transpose_matmul(graph: Graph) -> Graph:
    """Take the swap of the last two axes out of a Transpose in front of MatMul's second input.

    It applies where the Transpose moves the innermost axis to the last place but one: without the swap rows stay
    whole, and often nothing is left to transpose. Run ``sink_transposes`` afterwards.
    """
    rewriter = Rewriter(graph)
    producers = graph.producers()
    for node in graph.nodes:
        swapped = _swapped(producers, node)
        if swapped is None or not isinstance(node.op, MatMul):
            rewriter.keep(node)
            continue
        source, permutation = swapped
        b = rewriter.add(node, Transpose(permutation), (rewriter.read(source),), graph.tensors[source].quant)
        op = replace(node.op, transpose_b=not node.op.transpose_b)
        rewriter.put(node, op, (rewriter.read(node.inputs[0]), b))
    return rewriter.finish()


def _swapped(producers: dict[str, Node], node: Node) -> tuple[str, tuple[int, ...]] | None:
    """Return the source of a MatMul's transposed input and its permutation without the swap."""
    producer = producers.get(node.inputs[1]) if isinstance(node.op, MatMul) else None
    if producer is None or not isinstance(producer.op, Transpose):
        return None
    *lead, row, column = producer.op.permutation
    return (producer.inputs[0], (*lead, column, row)) if row == len(producer.op.permutation) - 1 else None
