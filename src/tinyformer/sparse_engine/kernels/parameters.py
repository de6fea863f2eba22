"""Arguments and parameters that functions of several kinds take alike."""

from __future__ import annotations

from math import prod
from typing import Any

from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.ir import Graph, Node, Shape
from tinyformer.sparse_engine.kernels.calls import (
    Argument,
    Params,
    ScratchArgument,
    TensorArgument,
    WeightsArgument,
)


def weighted_arguments(node: Node) -> tuple[Argument, ...]:
    """Return those of every kernel with weights: input, weights, bias, multipliers, output, scratch."""
    x, _, bias, multipliers = node.inputs
    return (
        TensorArgument(x),
        WeightsArgument(),
        TensorArgument(bias),
        TensorArgument(multipliers),
        TensorArgument(node.output),
        ScratchArgument(),
    )


def window(stride: ops.Pair, padding: ops.Pads) -> Params:
    """Return how a window moves over an image, and where it begins."""
    return ("stride_y", stride[0]), ("stride_x", stride[1]), ("pad_top", padding[0]), ("pad_left", padding[1])


def convolution_sizes(x: Shape, y: Shape, kernel: ops.Pair) -> Params:
    """Return the sizes of a convolution from (H, W, C) to (H', W', O)."""
    return (
        ("input_height", x[0]),
        ("input_width", x[1]),
        ("input_channels", x[2]),
        ("output_height", y[0]),
        ("output_width", y[1]),
        ("output_channels", y[2]),
        ("kernel_height", kernel[0]),
        ("kernel_width", kernel[1]),
    )


def pooling_sizes(graph: Graph, node: Node) -> Params:
    """Return the sizes of a pooling from (H, W, C) to (H', W', C), and how its window moves."""
    op: Any = node.op
    x, y = (graph.tensors[name].shape for name in (node.inputs[0], node.output))
    return (
        ("input_height", x[0]),
        ("input_width", x[1]),
        ("channels", x[2]),
        ("output_height", y[0]),
        ("output_width", y[1]),
        ("kernel_height", op.kernel[0]),
        ("kernel_width", op.kernel[1]),
        *window(op.stride, op.padding),
    )


def product_sizes(graph: Graph, node: Node) -> Params:
    """Return the sizes of a product of two activations, and all three zero points."""
    op: Any = node.op
    a, b = node.inputs
    shape = graph.tensors[a].shape
    return (
        ("batch", prod(shape[:-2])),
        ("rows", shape[-2]),
        ("depth", shape[-1]),
        ("columns", graph.tensors[node.output].shape[-1]),
        ("transpose_b", int(op.transpose_b)),
        ("a_zero_point", graph.zero_point(a)),
        ("b_zero_point", graph.zero_point(b)),
        ("output_zero_point", graph.zero_point(node.output)),
    )
