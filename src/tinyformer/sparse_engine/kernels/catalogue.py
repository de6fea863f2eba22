"""The catalogue: operator + encoding + constraints -> C function, its parameters and its arguments.

The parameter structs and the order of arguments are those of ``runtime/se_kernels.h``. Attributes that lowering has
not filled (a graph without scales, made to predict resources) read as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from tinyformer.errors import UnsupportedModelError
from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.fixed_point import INT8_MAX, INT8_MIN
from tinyformer.sparse_engine.ir import DType, Graph, Node, Operator
from tinyformer.sparse_engine.kernels import movement, packed
from tinyformer.sparse_engine.kernels.calls import (
    Argument,
    CCall,
    IntegerArgument,
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
from tinyformer.sparse_engine.kernels.scratch import PIXELS

DENSE = ("dense", 1)
STRIP_PIXELS = "pixels"
"""The parameter that says how many outputs share a decoded weight; here it is the least, selection may raise it."""
Build = Callable[[Graph, Node, str], tuple[CCall, ...]]
Condition = Callable[[Graph, Node], bool]
Overwrites = Callable[[Graph, Node], tuple[str, ...]]


def _always(graph: Graph, node: Node) -> bool:  # noqa: ARG001 - the signature of a condition
    return True


def _nothing(graph: Graph, node: Node) -> tuple[str, ...]:  # noqa: ARG001 - the signature of Overwrites
    return ()


@dataclass(frozen=True, slots=True)
class Kernel:
    """One row of the catalogue.

    ``encoding`` is (name, block) of the weights it reads, None for operators without weights; ``variant`` names an
    alternative that gives the same results and is chosen by option. ``overwrites`` returns the inputs that may share
    their bytes with the output, as the kernel's comment in ``runtime/se_kernels.h`` promises.
    """

    symbol: str
    build: Build
    encoding: tuple[str, int] | None = None
    when: Condition = _always
    variant: str = ""
    overwrites: Overwrites = _nothing


def _op(node: Node) -> Any:
    return node.op


def _clamp(node: Node) -> Params:
    op = _op(node)
    return ("left_shift", op.left_shift or 0), ("low", op.low), ("high", op.high)


def _tensors(node: Node) -> tuple[Argument, ...]:
    return tuple(TensorArgument(name) for name in (*node.inputs, node.output))


def _is_pointwise(graph: Graph, node: Node) -> bool:
    op = _op(node)
    weight = graph.tensors[node.inputs[1]].shape
    return weight[1:3] == (1, 1) and op.stride == (1, 1) and not any(op.padding) and op.groups == 1


def _is_ungrouped(graph: Graph, node: Node) -> bool:  # noqa: ARG001 - the signature of a condition
    return bool(_op(node).groups == 1)


def _element_by_element(graph: Graph, node: Node) -> tuple[str, ...]:
    """Return the inputs that have an element for each of the output: what is read is not needed again."""
    shape = graph.tensors[node.output].shape
    return tuple(name for name in node.inputs if graph.tensors[name].shape == shape)


def _depthwise_in_place(graph: Graph, node: Node) -> tuple[str, ...]:
    """Return the image if a row of outputs falls on an input row that later windows take from scratch."""
    op = _op(node)
    x = node.inputs[0]
    same = graph.tensors[x].shape == graph.tensors[node.output].shape
    kernel_height = graph.tensors[node.inputs[1]].shape[1]
    moves_by_one = op.stride == (1, 1) and op.dilation[0] == 1 and op.padding[0] < kernel_height
    return (x,) if same and moves_by_one else ()


def _conv2d(graph: Graph, node: Node, symbol: str) -> tuple[CCall, ...]:
    op = _op(node)
    x, weight, y = (graph.tensors[name].shape for name in (*node.inputs[:2], node.output))
    params = (
        *convolution_sizes(x, y, (weight[1], weight[2])),
        *window(op.stride, op.padding),
        ("dilation_y", op.dilation[0]),
        ("dilation_x", op.dilation[1]),
        ("groups", getattr(op, "groups", 1)),
        *(() if isinstance(op, ops.DepthwiseConv2D) else ((STRIP_PIXELS, PIXELS),)),
        ("input_zero_point", graph.zero_point(node.inputs[0])),
        ("output_zero_point", graph.zero_point(node.output)),
        *_clamp(node),
    )
    return (CCall(symbol, weighted_arguments(node), "se_conv2d_params", params),)


def _linear(graph: Graph, node: Node, symbol: str) -> tuple[CCall, ...]:
    x = graph.tensors[node.inputs[0]].shape
    params = (
        ("rows", prod(x[:-1])),
        ("input_features", x[-1]),
        ("output_features", graph.tensors[node.output].shape[-1]),
        (STRIP_PIXELS, PIXELS),
        ("output_zero_point", graph.zero_point(node.output)),
        *_clamp(node),
    )
    return (CCall(symbol, weighted_arguments(node), "se_linear_params", params),)


def _matmul(graph: Graph, node: Node, symbol: str) -> tuple[CCall, ...]:
    params = (*product_sizes(graph, node), ("multiplier", _op(node).multiplier or 0), *_clamp(node))
    arguments = (*_tensors(node), ScratchArgument())
    return (CCall(symbol, arguments, "se_matmul_params", params),)


def _softmax(graph: Graph, node: Node, symbol: str) -> tuple[CCall, ...]:
    op = _op(node)
    x = graph.tensors[node.inputs[0]].shape
    params = (
        ("rows", prod(x[:-1])),
        ("columns", x[-1]),
        ("exp_multiplier", op.exp_multiplier or 0),
        ("fraction_bits", op.fraction_bits or 0),
        ("output_multiplier", op.output_multiplier or 0),
        ("output_exponent", op.output_exponent or 0),
        ("output_zero_point", graph.zero_point(node.output)),
    )
    arguments = (TensorArgument(node.inputs[0]), TensorArgument(node.output), ScratchArgument())
    return (CCall(symbol, arguments, "se_softmax_params", params),)


def _layer_norm(graph: Graph, node: Node, symbol: str) -> tuple[CCall, ...]:
    op = _op(node)
    x = graph.tensors[node.inputs[0]].shape
    params = (
        ("rows", prod(x[:-1])),
        ("columns", x[-1]),
        ("epsilon_term", op.epsilon_term or 1),
        ("multiplier", op.multiplier or 0),
        ("left_shift", op.left_shift or 0),
        ("output_zero_point", graph.zero_point(node.output)),
        ("low", op.low),
        ("high", op.high),
    )
    arguments: tuple[Argument, ...] = (*_tensors(node), ScratchArgument())
    return (CCall(symbol, arguments, "se_layer_norm_params", params),)


def _lengths(graph: Graph, node: Node) -> Params:
    a, b = (graph.tensors[name].elements for name in node.inputs)
    return ("elements", a), ("period", b)


def _add(graph: Graph, node: Node, symbol: str) -> tuple[CCall, ...]:
    op = _op(node)
    params = (
        *_lengths(graph, node),
        ("multiplier_a", op.multiplier_a or 0),
        ("multiplier_b", op.multiplier_b or 0),
        ("offset", op.offset or 0),
        ("shift", op.shift or 0),
        ("low", op.low),
        ("high", op.high),
    )
    return (CCall(symbol, _tensors(node), "se_add_params", params),)


def _mul(graph: Graph, node: Node, symbol: str) -> tuple[CCall, ...]:
    params = (
        *_lengths(graph, node),
        ("a_zero_point", graph.zero_point(node.inputs[0])),
        ("b_zero_point", graph.zero_point(node.inputs[1])),
        ("output_zero_point", graph.zero_point(node.output)),
        ("multiplier", _op(node).multiplier or 0),
        *_clamp(node),
    )
    return (CCall(symbol, _tensors(node), "se_mul_params", params),)


def _lookup(graph: Graph, node: Node, symbol: str) -> tuple[CCall, ...]:
    return (CCall(symbol, (IntegerArgument(graph.tensors[node.output].elements), *_tensors(node))),)


def _pool(graph: Graph, node: Node, symbol: str) -> tuple[CCall, ...]:
    op = _op(node)
    params = pooling_sizes(graph, node)
    if isinstance(op, ops.AvgPool2D):
        params += (
            ("input_zero_point", graph.zero_point(node.inputs[0])),
            ("output_zero_point", graph.zero_point(node.output)),
            ("per_count", int(len(op.counts) > 1)),
            *_clamp(node),
        )
    else:
        params += ("low", INT8_MIN), ("high", INT8_MAX)
    return (CCall(symbol, _tensors(node), "se_pool2d_params", params),)


def _where(node: Node) -> str:
    return f"node {node.name} ({node.op.kind})"


def _move(node: Node, symbol: str, source: str, move: movement.Move) -> CCall:
    arguments = (TensorArgument(source), TensorArgument(node.output))
    return CCall(symbol, arguments, "se_move_params", move.params(_where(node)))


def _transpose(graph: Graph, node: Node, symbol: str) -> tuple[CCall, ...]:
    (x,) = node.inputs
    return (_move(node, symbol, x, movement.transpose(graph.tensors[x].shape, _op(node).permutation)),)


def _slice(graph: Graph, node: Node, symbol: str) -> tuple[CCall, ...]:
    (x,) = node.inputs
    op = _op(node)
    return (_move(node, symbol, x, movement.cut(graph.tensors[x].shape, op.starts, op.sizes, op.steps)),)


def _concat(graph: Graph, node: Node, symbol: str) -> tuple[CCall, ...]:
    axis = _op(node).axis
    output = graph.tensors[node.output].shape
    calls = []
    position = 0
    for name in node.inputs:
        shape = graph.tensors[name].shape
        starts = [position if i == axis else 0 for i in range(len(shape))]
        calls.append(_move(node, symbol, name, movement.insert(shape, output, starts)))
        position += shape[axis]
    return tuple(calls)


def _pad(graph: Graph, node: Node, symbol: str) -> tuple[CCall, ...]:
    (x,) = node.inputs
    op = _op(node)
    output = graph.tensors[node.output]
    fill = (IntegerArgument(output.elements), IntegerArgument(op.value), TensorArgument(node.output))
    inside = movement.insert(graph.tensors[x].shape, output.shape, op.before)
    return CCall("se_fill_s8", fill), _move(node, symbol, x, inside)


_CODES = {"": "block_rle", "rle4_": "block_rle4", "bitmap_": "block_bitmap"}  # by part of a symbol


def _sparse(op: str, build: Build, when: Condition = _always) -> tuple[Kernel, ...]:
    """Return the kernels that read blocks of 2 and of 4, in every code."""
    return tuple(
        Kernel(f"se_{op}_{part}block{block}_s8", packed.least(build, block) if part else build, (code, block), when)
        for part, code in _CODES.items()
        for block in (2, 4)
    )


CATALOGUE: Mapping[type[Operator], tuple[Kernel, ...]] = {
    ops.Conv2D: (  # a 1x1 convolution is a linear layer whose rows are pixels
        Kernel("se_linear_s8", _linear, DENSE, _is_pointwise),
        *_sparse("linear", _linear, _is_pointwise),
        Kernel("se_conv2d_s8", _conv2d, DENSE),
        *_sparse("conv2d", _conv2d, _is_ungrouped),
    ),
    ops.DepthwiseConv2D: (
        Kernel("se_depthwise_conv2d_s8", _conv2d, DENSE, overwrites=_depthwise_in_place),
        Kernel("se_depthwise_conv2d_block3_s8", _conv2d, ("block_rle", 3), overwrites=_depthwise_in_place),
        Kernel("se_depthwise_conv2d_bitmap_block3_s8", _conv2d, ("block_bitmap", 3), overwrites=_depthwise_in_place),
    ),
    ops.Linear: (Kernel("se_linear_s8", _linear, DENSE), *_sparse("linear", _linear)),
    ops.MatMul: (Kernel("se_matmul_s8", _matmul),),
    ops.Softmax: (
        Kernel("se_softmax_s8", _softmax, variant="table", overwrites=_element_by_element),
        Kernel("se_softmax_lazy_s8", _softmax, variant="lazy", overwrites=_element_by_element),
    ),
    ops.LayerNorm: (Kernel("se_layer_norm_s8", _layer_norm, overwrites=_element_by_element),),
    ops.Add: (Kernel("se_add_s8", _add, overwrites=_element_by_element),),
    ops.Mul: (Kernel("se_mul_s8", _mul, overwrites=_element_by_element),),
    ops.Lookup: (Kernel("se_lookup_s8", _lookup, overwrites=_element_by_element),),
    ops.MaxPool2D: (Kernel("se_max_pool2d_s8", _pool),),
    ops.AvgPool2D: (Kernel("se_avg_pool2d_s8", _pool),),
    ops.Transpose: (Kernel("se_move_s8", _transpose),),
    ops.Slice: (Kernel("se_move_s8", _slice),),
    ops.Concat: (Kernel("se_move_s8", _concat),),
    ops.Pad: (Kernel("se_move_s8", _pad),),
}


def find(graph: Graph, node: Node, encoding: tuple[str, int] | None, variant: str = "") -> Kernel | None:
    """Return the first kernel of the catalogue that computes a node from weights in an encoding, None without one.

    Args:
        graph: the node's graph.
        node: any node but a Reshape.
        encoding: (name, block) of the weights, None for operators without weights.
        variant: the wanted variant where the operator has several.

    Raises:
        UnsupportedModelError: the operator is not in the catalogue, or one of the node's activations is not int8.
    """
    rows = CATALOGUE.get(type(node.op))
    if rows is None:
        raise UnsupportedModelError(
            f"{_where(node)}: the engine has no kernel for it, only for "
            f"{', '.join(sorted(operator.kind for operator in CATALOGUE))}"
        )
    for name in (*node.inputs, node.output):
        tensor = graph.tensors[name]
        if not tensor.constant and tensor.dtype is not DType.INT8:
            raise UnsupportedModelError(
                f"{_where(node)}: tensor '{name}' is {tensor.dtype.value}, kernels read and write int8: "
                "quantise it to 8 bits"
            )
    for row in rows:
        if row.encoding == encoding and row.variant in {"", variant} and row.when(graph, node):
            return row
    return None


def windowed(graph: Graph, node: Node, encoding: tuple[str, int]) -> Kernel | None:
    """Return the kernel that computes a convolution row by row, not as a linear layer; None without one."""
    rows = (row for row in CATALOGUE[ops.Conv2D] if row.when is not _is_pointwise and row.encoding == encoding)
    return next((row for row in rows if row.when(graph, node)), None)
