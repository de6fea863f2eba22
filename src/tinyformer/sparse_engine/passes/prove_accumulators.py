"""Prove for every operator that no accumulator can leave int32, whatever the input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import sqrt
from typing import Any

import numpy as np

from tinyformer.errors import UnsupportedModelError
from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.ir import Graph, Node

_LIMIT = 2**31
_LARGEST_NORMALIZED = 2**15


def prove_accumulators(graph: Graph) -> Graph:
    """Return the graph unchanged.

    Raises:
        UnsupportedModelError: an accumulator, or an accumulator shifted left, may reach 2**31.
    """
    for node in graph.nodes:
        bound = _BOUNDS.get(type(node.op))
        largest = 0 if bound is None else bound(graph, node)
        if largest >= _LIMIT:
            raise UnsupportedModelError(
                f"node {node.name} ({node.op.kind}): its accumulator may reach {largest:g}; allowed: less than 2**31; "
                "use fewer inputs per output, or calibrate again so that its output scale fits its values"
            )
    return graph


def _weighted(graph: Graph, node: Node) -> int:
    """Bound partial sums in any order, and whole sums times the shift."""
    op: Any = node.op
    weight, bias = (graph.data.get(name) for name in node.inputs[1:3])
    if weight is None or bias is None:
        return 0
    rows = weight.reshape(len(weight), -1).astype(np.int64)
    positive, negative = np.where(rows > 0, rows, 0).sum(axis=1), np.where(rows < 0, -rows, 0).sum(axis=1)
    partial = np.abs(bias.astype(np.int64)) + 128 * (positive + negative)
    greatest, least = bias + 127 * positive + 128 * negative, bias - 128 * positive - 127 * negative
    shifted = np.maximum(np.abs(greatest), np.abs(least)) << op.left_shift
    return int(max(partial.max(), shifted.max()))


def _centred(graph: Graph, name: str) -> int:
    """Return the largest |x - zero point|."""
    quant = graph.tensors[name].quant
    return 128 + abs(0 if quant is None else quant.zero_point)


def _matmul(graph: Graph, node: Node) -> int:
    op: Any = node.op
    depth = graph.tensors[node.inputs[0]].shape[-1]
    return depth * _centred(graph, node.inputs[0]) * _centred(graph, node.inputs[1]) << int(op.left_shift)


def _mul(graph: Graph, node: Node) -> int:
    op: Any = node.op
    return _centred(graph, node.inputs[0]) * _centred(graph, node.inputs[1]) << int(op.left_shift)


def _add(_: Graph, node: Node) -> int:
    op: Any = node.op
    return abs(int(op.offset)) + 128 * (abs(int(op.multiplier_a)) + abs(int(op.multiplier_b)))


def _avg_pool(graph: Graph, node: Node) -> int:
    op: Any = node.op
    return int(op.kernel[0] * op.kernel[1] * _centred(graph, node.inputs[0]) << op.left_shift)


def _layer_norm(graph: Graph, node: Node) -> int:
    """|normalised| <= 128 * sqrt(n), which has to fit int16 itself."""
    op: Any = node.op
    normalized = int(128 * sqrt(graph.tensors[node.inputs[0]].shape[-1])) + 1
    gamma, beta = (graph.data.get(name) for name in node.inputs[1:3])
    if normalized >= _LARGEST_NORMALIZED:
        return _LIMIT
    if gamma is None or beta is None:
        return 0
    largest = np.max(normalized * np.abs(gamma.astype(np.int64)) + np.abs(beta.astype(np.int64)))
    return int(largest) << int(op.left_shift)


_BOUNDS: Mapping[type, Callable[[Graph, Node], int]] = {
    ops.Conv2D: _weighted,
    ops.DepthwiseConv2D: _weighted,
    ops.Linear: _weighted,
    ops.MatMul: _matmul,
    ops.Mul: _mul,
    ops.Add: _add,
    ops.AvgPool2D: _avg_pool,
    ops.LayerNorm: _layer_norm,
}
