"""Nodes of a lowered graph as calls of CMSIS-NN, through the functions of ``cmsis_nn_calls.h``.

CMSIS-NN requantises by a 31-bit multiplier and a shift, adds the input zero point itself, and has no LayerNorm, table
or strided movement. A node that it cannot compute gives no call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import frexp, log2, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyformer.sparse_engine import fixed_point, ops
from tinyformer.sparse_engine.coding import EncodedWeights, Plane
from tinyformer.sparse_engine.ir import Graph, Node, Operator, Shape
from tinyformer.sparse_engine.kernels import (
    Argument,
    CCall,
    Params,
    ScratchArgument,
    TensorArgument,
)
from tinyformer.sparse_engine.kernels.parameters import (
    convolution_sizes,
    pooling_sizes,
    product_sizes,
    weighted_arguments,
    window,
)

_ADD_LEFT_SHIFT = 20
_SOFTMAX_INTEGER_BITS = 5
_SAME_FACTOR = 1e-6


@dataclass(frozen=True, slots=True)
class Substitute:
    """How CMSIS-NN computes a node: the call, and the public function that does the work."""

    call: CCall
    function: str


def substitutes(graph: Graph) -> Mapping[str, Substitute]:
    """Return the nodes that CMSIS-NN computes, by name."""
    found = {}
    for node in graph.nodes:
        rule = _RULES.get(type(node.op))
        substitute = None if rule is None else rule(graph, node)
        if substitute is not None:
            found[node.name] = substitute
    return found


def with_cmsis_nn_constants(graph: Graph, names: Sequence[str]) -> Graph:
    """Return the graph with biases and multipliers of the named nodes as CMSIS-NN takes them.

    The zero point of the input leaves the bias; multipliers become (2, channels): multipliers, then shifts.
    """
    tensors, data = dict(graph.tensors), dict(graph.data)
    for node in graph.nodes:
        if node.name not in names or not isinstance(node.op, ops.Conv2D | ops.DepthwiseConv2D | ops.Linear):
            continue
        x, weight, bias, multipliers = node.inputs
        weights = graph.data[weight].astype(np.int64)
        sums = weights.reshape(len(weights), -1).sum(axis=1)
        pairs = [_requantisation(int(m), node.op.left_shift or 0) for m in graph.data[multipliers]]
        replaced = {
            bias: (graph.data[bias] + graph.zero_point(x) * sums).astype(np.int32),
            multipliers: np.array(pairs, np.int32).T.copy(),
        }
        for name, values in replaced.items():
            tensors[name] = replace(tensors[name], shape=values.shape)
            data[name] = values
    return replace(graph, tensors=tensors, data=data)


def encoded_weights(graph: Graph, names: Sequence[str]) -> Mapping[str, EncodedWeights]:
    """Return the weights of the named nodes in CMSIS-NN's layouts: OHWI as they are, depthwise HWC."""
    found = {}
    for node in graph.nodes:
        if node.name in names and isinstance(node.op, ops.Conv2D | ops.DepthwiseConv2D | ops.Linear):
            weights: npt.NDArray[np.int8] = graph.data[node.inputs[1]].astype(np.int8)
            if isinstance(node.op, ops.DepthwiseConv2D):
                weights = np.ascontiguousarray(weights.transpose(1, 2, 0))
            shape = graph.tensors[node.inputs[1]].shape
            found[node.name] = EncodedWeights("dense", 1, shape, (Plane("values", weights.ravel()),))
    return found


def _requantisation(multiplier: int, left_shift: int) -> tuple[int, int]:
    """Return CMSIS-NN's (multiplier, shift) of the factor multiplier * 2^(left_shift - 32)."""
    return _multiplier_and_shift(multiplier * 2.0 ** (left_shift - 32))


def _multiplier_and_shift(factor: float) -> tuple[int, int]:
    if factor <= 0:
        return 0, 0
    mantissa, exponent = frexp(factor)
    multiplier = round(mantissa * 2**31)
    return (multiplier // 2, exponent + 1) if multiplier == 2**31 else (multiplier, exponent)


def _conv_params(graph: Graph, node: Node, x: Shape, y: Shape, kernel: ops.Pair, filter_channels: int) -> Params:
    op: Any = node.op
    return (
        *convolution_sizes(x, y, kernel),
        *window(getattr(op, "stride", (1, 1)), getattr(op, "padding", (0, 0, 0, 0))),
        ("dilation_y", getattr(op, "dilation", (1, 1))[0]),
        ("dilation_x", getattr(op, "dilation", (1, 1))[1]),
        ("filter_channels", filter_channels),
        ("input_zero_point", graph.zero_point(node.inputs[0])),
        ("output_zero_point", graph.zero_point(node.output)),
        ("low", op.low),
        ("high", op.high),
    )


def _convolution(graph: Graph, node: Node) -> Substitute:
    x, weight, y = (graph.tensors[name].shape for name in (*node.inputs[:2], node.output))
    params = _conv_params(graph, node, x, y, (weight[1], weight[2]), weight[3])
    return Substitute(
        CCall("cn_convolve", weighted_arguments(node), "cn_conv_params", params), "arm_convolve_wrapper_s8"
    )


def _depthwise(graph: Graph, node: Node) -> Substitute:
    x, weight, y = (graph.tensors[name].shape for name in (*node.inputs[:2], node.output))
    params = _conv_params(graph, node, x, y, (weight[1], weight[2]), 1)
    call = CCall("cn_depthwise", weighted_arguments(node), "cn_conv_params", params)
    return Substitute(call, "arm_depthwise_conv_wrapper_s8")


def _linear(graph: Graph, node: Node) -> Substitute:
    """Several rows are pixels of a 1x1 convolution, which the library computes faster than a fully connected layer."""
    x, y = (graph.tensors[name].shape for name in (node.inputs[0], node.output))
    rows = prod(x[:-1])
    params = _conv_params(graph, node, (1, rows, x[-1]), (1, rows, y[-1]), (1, 1), x[-1])
    arguments = weighted_arguments(node)
    if rows == 1:
        return Substitute(
            CCall("cn_fully_connected", arguments, "cn_conv_params", params), "arm_fully_connected_wrapper_s8"
        )
    return Substitute(CCall("cn_convolve", arguments, "cn_conv_params", params), "arm_convolve_wrapper_s8")


def _matmul(graph: Graph, node: Node) -> Substitute:
    op: Any = node.op
    a, b = node.inputs
    multiplier, shift = _requantisation(op.multiplier, op.left_shift)
    params = (
        *product_sizes(graph, node),
        ("multiplier", multiplier),
        ("shift", shift),
        ("low", op.low),
        ("high", op.high),
    )
    arguments = (TensorArgument(a), TensorArgument(b), TensorArgument(node.output), ScratchArgument())
    return Substitute(CCall("cn_matmul", arguments, "cn_matmul_params", params), "arm_batch_matmul_s8")


def _elementwise(
    graph: Graph, node: Node, scale: tuple[tuple[int, int], tuple[int, int], tuple[int, int]], left_shift: int
) -> tuple[tuple[Argument, ...], Params]:
    op: Any = node.op
    a, b = node.inputs
    (a_multiplier, a_shift), (b_multiplier, b_shift), (output_multiplier, output_shift) = scale
    params = (
        ("elements", graph.tensors[a].elements),
        ("period", graph.tensors[b].elements),
        ("a_zero_point", graph.zero_point(a)),
        ("a_multiplier", a_multiplier),
        ("a_shift", a_shift),
        ("b_zero_point", graph.zero_point(b)),
        ("b_multiplier", b_multiplier),
        ("b_shift", b_shift),
        ("left_shift", left_shift),
        ("output_zero_point", graph.zero_point(node.output)),
        ("output_multiplier", output_multiplier),
        ("output_shift", output_shift),
        ("low", op.low),
        ("high", op.high),
    )
    return (TensorArgument(a), TensorArgument(b), TensorArgument(node.output)), params


def _add(graph: Graph, node: Node) -> Substitute | None:
    op: Any = node.op
    if op.multiplier_a < 0 or op.multiplier_b < 0:
        return None  # a difference
    factors = [multiplier / 2**op.shift for multiplier in (op.multiplier_a, op.multiplier_b)]
    twice = 2 * max(factors)
    scale = (
        _multiplier_and_shift(factors[0] / twice),
        _multiplier_and_shift(factors[1] / twice),
        _multiplier_and_shift(twice / 2**_ADD_LEFT_SHIFT),
    )
    arguments, params = _elementwise(graph, node, scale, _ADD_LEFT_SHIFT)
    return Substitute(CCall("cn_add", arguments, "cn_elementwise_params", params), "arm_elementwise_add_s8")


def _mul(graph: Graph, node: Node) -> Substitute:
    op: Any = node.op
    unused = (0, 0)
    arguments, params = _elementwise(graph, node, (unused, unused, _requantisation(op.multiplier, op.left_shift)), 0)
    return Substitute(CCall("cn_mul", arguments, "cn_elementwise_params", params), "arm_elementwise_mul_s8")


def _softmax(graph: Graph, node: Node) -> Substitute | None:
    op: Any = node.op
    expected = fixed_point.softmax_output_multiplier(1 / 256)
    if (op.output_multiplier, op.output_exponent) != expected or graph.zero_point(node.output) != -128:
        return None  # the library writes 1/256 steps from -128 on
    scale = op.exp_multiplier / (log2(np.e) * 2**20)
    multiplier, shift = _multiplier_and_shift(min(scale * 2 ** (31 - _SOFTMAX_INTEGER_BITS), 2.0**31 - 1))
    radius = (2**_SOFTMAX_INTEGER_BITS - 1) * 2 ** (31 - _SOFTMAX_INTEGER_BITS) // 2**shift
    x = graph.tensors[node.inputs[0]].shape
    params = (
        ("rows", prod(x[:-1])),
        ("columns", x[-1]),
        ("multiplier", multiplier),
        ("shift", shift),
        ("least_difference", -int(radius)),
    )
    arguments = (TensorArgument(node.inputs[0]), TensorArgument(node.output))
    return Substitute(CCall("cn_softmax", arguments, "cn_softmax_params", params), "arm_softmax_s8")


def _pool_params(graph: Graph, node: Node) -> Params:
    op: Any = node.op
    return (*pooling_sizes(graph, node), ("low", getattr(op, "low", -128)), ("high", getattr(op, "high", 127)))


def _max_pool(graph: Graph, node: Node) -> Substitute:
    arguments = (TensorArgument(node.inputs[0]), TensorArgument(node.output))
    return Substitute(CCall("cn_max_pool", arguments, "cn_pool_params", _pool_params(graph, node)), "arm_max_pool_s8")


def _avg_pool(graph: Graph, node: Node) -> Substitute | None:
    op: Any = node.op
    x, multipliers = node.inputs
    factors = graph.data[multipliers].astype(np.float64) * 2.0 ** ((op.left_shift or 0) - 32)
    means = np.allclose(factors * np.array(op.counts), 1, atol=_SAME_FACTOR)
    counts_padding = op.count_include_pad and any(op.padding)
    if not means or counts_padding or graph.zero_point(x) != graph.zero_point(node.output):
        return None  # the library does not change the scale
    arguments = (TensorArgument(x), TensorArgument(node.output), ScratchArgument())
    return Substitute(CCall("cn_avg_pool", arguments, "cn_pool_params", _pool_params(graph, node)), "arm_avgpool_s8")


_RULES: Mapping[type[Operator], Callable[[Graph, Node], Substitute | None]] = {
    ops.Conv2D: _convolution,
    ops.DepthwiseConv2D: _depthwise,
    ops.Linear: _linear,
    ops.MatMul: _matmul,
    ops.Add: _add,
    ops.Mul: _mul,
    ops.Softmax: _softmax,
    ops.MaxPool2D: _max_pool,
    ops.AvgPool2D: _avg_pool,
}
