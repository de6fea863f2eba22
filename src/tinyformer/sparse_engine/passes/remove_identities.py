"""Remove operators that return their input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.ir import Graph, Node
from tinyformer.sparse_engine.passes.rewriting import Rewriter


def remove_identities(graph: Graph) -> Graph:
    """Remove reshapes, transposes, slices, pads, concatenations and lookups that change nothing."""
    rewriter = Rewriter(graph)
    for node in graph.nodes:
        same = _IDENTITY.get(type(node.op))
        source = rewriter.read(node.inputs[0])
        if same is not None and same(graph, node) and rewriter.may_replace(node.output, source):
            rewriter.replace(node.output, source)
        else:
            rewriter.keep(node)
    return rewriter.finish()


def _same_shape(graph: Graph, node: Node) -> bool:
    return graph.tensors[node.inputs[0]].shape == graph.tensors[node.output].shape


def _keeps_order(_: Graph, node: Node) -> bool:
    op: Any = node.op
    return tuple(op.permutation) == tuple(range(len(op.permutation)))


def _one_input(_: Graph, node: Node) -> bool:
    return len(node.inputs) == 1


def _identity_table(graph: Graph, node: Node) -> bool:
    table = graph.data.get(node.inputs[1])
    same_quant = graph.tensors[node.inputs[0]].quant == graph.tensors[node.output].quant
    return table is not None and same_quant and bool(np.array_equal(table, np.arange(-128, 128)))


_IDENTITY: Mapping[type, Callable[[Graph, Node], bool]] = {
    ops.Reshape: _same_shape,
    ops.Slice: _same_shape,
    ops.Pad: _same_shape,
    ops.Transpose: _keeps_order,
    ops.Concat: _one_input,
    ops.Lookup: _identity_table,
}
