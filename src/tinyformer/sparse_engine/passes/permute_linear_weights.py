"""Let a linear layer read features in the order in which they lie in memory, by permuting its weights instead.

The flattened (C, H, W) of a convolutional network lies as (H, W, C): no transpose is needed in front of the classifier.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tinyformer.sparse_engine.ir import Graph, Node
from tinyformer.sparse_engine.ops import Linear, Reshape, Transpose
from tinyformer.sparse_engine.passes.rewriting import Rewriter


def permute_linear_weights(graph: Graph) -> Graph:
    """Replace movement in front of Linear that only permutes features by a Reshape and permuted weights."""
    rewriter = Rewriter(graph)
    producers = graph.producers()
    for node in graph.nodes:
        found = _feature_order(graph, producers, node) if isinstance(node.op, Linear) else None
        if found is None:
            rewriter.keep(node)
            continue
        root, order = found
        source, shape = rewriter.read(root), graph.tensors[node.inputs[0]].shape
        if rewriter.shape(source) != shape:
            source = rewriter.add(node, Reshape(shape), (source,), graph.tensors[root].quant)
        name = node.inputs[1]
        data = graph.data.get(name)
        values = None if data is None else np.empty_like(data)
        if values is not None and data is not None:
            values[:, order] = data
        weight = rewriter.constant(name, graph.tensors[name], values)
        rewriter.put(node, node.op, (source, weight, *node.inputs[2:]))
    return rewriter.finish()


def _feature_order(graph: Graph, producers: dict[str, Node], node: Node) -> tuple[str, npt.NDArray[np.int64]] | None:
    """Return where a Linear's input comes from and which feature there each of its features is.

    None unless a Transpose is on the way and every row holds the same permutation of its own features.
    """
    chain: list[Reshape | Transpose] = []
    root = node.inputs[0]
    while root in producers:
        producer = producers[root]
        if not isinstance(producer.op, Reshape | Transpose):
            break
        chain.insert(0, producer.op)
        root = producer.inputs[0]
    if not any(isinstance(op, Transpose) for op in chain):
        return None
    tensor = graph.tensors[root]
    positions = np.arange(tensor.elements).reshape(tensor.shape)
    for op in chain:
        positions = positions.reshape(op.shape) if isinstance(op, Reshape) else positions.transpose(op.permutation)
    features = graph.tensors[node.inputs[0]].shape[-1]
    rows = positions.reshape(-1, features)
    order = rows[0]
    expected = order + features * np.arange(len(rows))[:, np.newaxis]
    return (root, order) if np.array_equal(rows, expected) else None
