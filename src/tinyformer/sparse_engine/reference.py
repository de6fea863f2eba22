"""NumPy integer semantics of every operator: the oracle that the C runtime equals bit for bit.

Runs lowered graphs (every ``multiplier`` filled in). Each function below states its operator's formula in code; x, w,
b and m stand for input, weight, bias and multiplier. Bias already contains the folded input zero point, so the
products use raw integers, and padding uses the input's zero point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyformer.sparse_engine import fixed_point, ops
from tinyformer.sparse_engine.ir import Graph, Node, Tensor

Array = npt.NDArray[np.integer]
Int64Array = npt.NDArray[np.int64]


def run(graph: Graph, inputs: Array) -> Array:
    """Run a lowered graph.

    Args:
        graph: a graph that has its constants' data.
        inputs: integers of the graph input's dtype, shape (N, *input shape).

    Returns:
        Integers of the graph output's dtype, shape (N, *output shape).
    """
    return np.stack([run_all(graph, sample)[graph.output] for sample in inputs])


def run_all(graph: Graph, sample: Array) -> dict[str, Array]:
    """Run a lowered graph on one input and return every tensor by name.

    Raises:
        ValueError: the input's shape or dtype is not the graph's.
    """
    expected = graph.tensors[graph.input]
    if sample.shape != expected.shape or sample.dtype != expected.dtype.numpy:
        raise ValueError(f"input is {sample.dtype}{sample.shape}, expected {expected.dtype.value}{expected.shape}")
    values: dict[str, Array] = {**graph.data, graph.input: sample}
    for node in graph.nodes:
        result = _SEMANTICS[type(node.op)](graph, node, values)
        values[node.output] = result.astype(graph.tensors[node.output].dtype.numpy)
    return values


Values = Mapping[str, Array]


def _wide(node: Node, values: Values, index: int) -> Int64Array:
    return values[node.inputs[index]].astype(np.int64)


def _windows(x: Int64Array, op: Any, kernel: tuple[int, int], dilation: tuple[int, int], fill: int) -> Int64Array:
    """Return (H', W', kh, kw, C) views of the padded input."""
    top, left, bottom, right = op.padding
    padded = np.pad(x, ((top, bottom), (left, right), (0, 0)), constant_values=fill)
    spans = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=(0, 1))
    windows: Int64Array = view[:: op.stride[0], :: op.stride[1], :, :: dilation[0], :: dilation[1]]
    return windows.transpose(0, 1, 3, 4, 2)


def _conv2d(graph: Graph, node: Node, values: Values) -> Int64Array:
    op: ops.Conv2D = node.op  # type: ignore[assignment]
    x, w, b, m = (_wide(node, values, i) for i in range(4))
    windows = _windows(x, op, w.shape[1:3], op.dilation, graph.zero_point(node.inputs[0]))
    grouped = windows.reshape(*windows.shape[:4], op.groups, -1)
    filters = w.reshape(op.groups, -1, *w.shape[1:])
    # float64 holds every partial sum exactly (they stay below 2**31) and reaches BLAS
    products = [
        np.tensordot(grouped[..., g, :].astype(np.float64), filters[g].astype(np.float64), axes=([2, 3, 4], [1, 2, 3]))
        for g in range(op.groups)
    ]
    accumulator = np.concatenate(products, axis=-1).astype(np.int64) + b
    return _requantize(graph, node, accumulator, m)


def _depthwise_conv2d(graph: Graph, node: Node, values: Values) -> Int64Array:
    op: ops.DepthwiseConv2D = node.op  # type: ignore[assignment]
    x, w, b, m = (_wide(node, values, i) for i in range(4))
    windows = _windows(x, op, w.shape[1:3], op.dilation, graph.zero_point(node.inputs[0]))
    accumulator = np.einsum("hwyxc,cyx->hwc", windows, w) + b
    return _requantize(graph, node, accumulator, m)


def _linear(graph: Graph, node: Node, values: Values) -> Int64Array:
    x, w, b, m = (_wide(node, values, i) for i in range(4))
    accumulator = (x.astype(np.float64) @ w.T.astype(np.float64)).astype(np.int64) + b
    return _requantize(graph, node, accumulator, m)


def _requantize(graph: Graph, node: Node, accumulator: Int64Array, multiplier: Int64Array | int) -> Int64Array:
    op: Any = node.op
    zero_point = graph.zero_point(node.output)
    return fixed_point.requantize(accumulator, multiplier, op.left_shift, zero_point, op.low, op.high)


def _matmul(graph: Graph, node: Node, values: Values) -> Int64Array:
    op: ops.MatMul = node.op  # type: ignore[assignment]
    a = _wide(node, values, 0) - graph.zero_point(node.inputs[0])
    b = _wide(node, values, 1) - graph.zero_point(node.inputs[1])
    if op.transpose_b:
        b = b.swapaxes(-1, -2)
    assert op.multiplier is not None
    return _requantize(graph, node, a @ b, op.multiplier)


def _add(graph: Graph, node: Node, values: Values) -> Int64Array:
    op: Any = node.op
    total = _wide(node, values, 0) * op.multiplier_a + _wide(node, values, 1) * op.multiplier_b + op.offset
    clipped: Int64Array = np.clip(total >> op.shift, op.low, op.high)
    return clipped


def _mul(graph: Graph, node: Node, values: Values) -> Int64Array:
    op: ops.Mul = node.op  # type: ignore[assignment]
    a = _wide(node, values, 0) - graph.zero_point(node.inputs[0])
    b = _wide(node, values, 1) - graph.zero_point(node.inputs[1])
    assert op.multiplier is not None
    return _requantize(graph, node, a * b, op.multiplier)


def _softmax(graph: Graph, node: Node, values: Values) -> Int64Array:
    op: Any = node.op
    x = _wide(node, values, 0)
    steps = x.max(axis=-1, keepdims=True) - x
    exponentials = fixed_point.exp_negative(steps, op.exp_multiplier, op.fraction_bits)
    row_sum = exponentials.sum(axis=-1, keepdims=True)
    multiplier = fixed_point.row_multiplier(row_sum, op.output_multiplier, op.output_exponent)
    return fixed_point.requantize(exponentials, multiplier, 0, graph.zero_point(node.output))


def _layer_norm(graph: Graph, node: Node, values: Values) -> Int64Array:
    op: Any = node.op
    x, gamma, beta = (_wide(node, values, i) for i in range(3))
    n = x.shape[-1]
    total = x.sum(axis=-1, keepdims=True)
    variance = n * (x * x).sum(axis=-1, keepdims=True) - total * total
    variance = (variance << fixed_point.VARIANCE_FRACTION_BITS) + op.epsilon_term
    normalized = fixed_point.normalize_row(n * x - total, variance)
    return _requantize(graph, node, normalized * gamma + beta, op.multiplier)


def _composed(graph: Graph, values: Values, inner: list[Tensor], nodes: list[Node]) -> Int64Array:
    """Run operators one after the other; ``inner`` are the tensors between them."""
    wider = replace(graph, tensors={**graph.tensors, **{tensor.name: tensor for tensor in inner}})
    known = dict(values)
    for node in nodes:
        result = _SEMANTICS[type(node.op)](wider, node, known)
        known[node.output] = result.astype(wider.tensors[node.output].dtype.numpy)
    return known[nodes[-1].output].astype(np.int64)


def _pooled_conv2d(graph: Graph, node: Node, values: Values) -> Int64Array:
    op: ops.PooledConv2D = node.op  # type: ignore[assignment]
    full = Tensor(f"{node.name}/full", op.conv.infer_shape(graph.input_shapes(node)), quant=op.quant)
    conv = Node(full.name, op.conv, node.inputs, full.name)
    return _composed(graph, values, [full], [conv, Node(node.name, op.pool, (full.name,), node.output)])


def _attention(graph: Graph, node: Node, values: Values) -> Int64Array:
    op: ops.Attention = node.op  # type: ignore[assignment]
    query, key, value = node.inputs
    shape = op.scores.infer_shape([graph.tensors[query].shape, graph.tensors[key].shape])
    scores = Tensor(f"{node.name}/scores", shape, quant=op.scores_quant)
    weights = Tensor(f"{node.name}/weights", shape, quant=op.weights_quant)
    nodes = [
        Node(scores.name, op.scores, (query, key), scores.name),
        Node(weights.name, op.softmax, (scores.name,), weights.name),
        Node(node.name, op.context, (weights.name, value), node.output),
    ]
    return _composed(graph, values, [scores, weights], nodes)


def _max_pool2d(graph: Graph, node: Node, values: Values) -> Int64Array:
    op: ops.MaxPool2D = node.op  # type: ignore[assignment]
    windows = _windows(_wide(node, values, 0), op, op.kernel, (1, 1), np.iinfo(np.int16).min)
    maxima: Int64Array = windows.max(axis=(2, 3))
    return maxima


def _avg_pool2d(graph: Graph, node: Node, values: Values) -> Int64Array:
    op: ops.AvgPool2D = node.op  # type: ignore[assignment]
    x = _wide(node, values, 0) - graph.zero_point(node.inputs[0])
    multipliers = _wide(node, values, 1)
    sums = _windows(x, op, op.kernel, (1, 1), 0).sum(axis=(2, 3))
    inside = _windows(np.ones_like(x[..., :1]), op, op.kernel, (1, 1), 0).sum(axis=(2, 3))
    multiplier = multipliers[0] if len(op.counts) == 1 else multipliers[inside - 1]
    return _requantize(graph, node, sums, multiplier)


def _lookup(graph: Graph, node: Node, values: Values) -> Int64Array:
    return _wide(node, values, 1)[_wide(node, values, 0) + 128]


def _reshape(graph: Graph, node: Node, values: Values) -> Int64Array:
    op: ops.Reshape = node.op  # type: ignore[assignment]
    return _wide(node, values, 0).reshape(op.shape)


def _transpose(graph: Graph, node: Node, values: Values) -> Int64Array:
    op: ops.Transpose = node.op  # type: ignore[assignment]
    return _wide(node, values, 0).transpose(op.permutation)


def _slice(graph: Graph, node: Node, values: Values) -> Int64Array:
    op: ops.Slice = node.op  # type: ignore[assignment]
    cut = tuple(
        slice(start, start + (size - 1) * step + 1, step)
        for start, size, step in zip(op.starts, op.sizes, op.steps, strict=True)
    )
    return _wide(node, values, 0)[cut]


def _concat(graph: Graph, node: Node, values: Values) -> Int64Array:
    op: ops.Concat = node.op  # type: ignore[assignment]
    return np.concatenate([_wide(node, values, i) for i in range(len(node.inputs))], axis=op.axis)


def _pad(graph: Graph, node: Node, values: Values) -> Int64Array:
    op: ops.Pad = node.op  # type: ignore[assignment]
    widths = list(zip(op.before, op.after, strict=True))
    return np.pad(_wide(node, values, 0), widths, constant_values=op.value)


_SEMANTICS: Mapping[type, Callable[[Graph, Node, Values], Int64Array]] = {
    ops.Conv2D: _conv2d,
    ops.DepthwiseConv2D: _depthwise_conv2d,
    ops.Linear: _linear,
    ops.MatMul: _matmul,
    ops.Add: _add,
    ops.Mul: _mul,
    ops.Softmax: _softmax,
    ops.LayerNorm: _layer_norm,
    ops.PooledConv2D: _pooled_conv2d,
    ops.Attention: _attention,
    ops.MaxPool2D: _max_pool2d,
    ops.AvgPool2D: _avg_pool2d,
    ops.Lookup: _lookup,
    ops.Reshape: _reshape,
    ops.Transpose: _transpose,
    ops.Slice: _slice,
    ops.Concat: _concat,
    ops.Pad: _pad,
}
