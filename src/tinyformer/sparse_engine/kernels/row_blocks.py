"""Fused operators, computed some rows at a time by the kernels of their parts.

What lies between the parts exists for these rows only, in scratch:

* A convolution and the maxima over it: the rows of the convolution under some rows of maxima, then those.
* Attention: the scores of some queries, their softmax in the same place, then their sums of the values. As the queries
  are not needed again, the sums may take their place.

More rows at a time take fewer instructions, since every call sets up what its rows share, and more scratch; so does
unpacking all distances of packed weights at once. The fewest rows are what a node asks for; the others are its
alternatives, for memory that is free anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.coding import Option
from tinyformer.sparse_engine.ir import Graph, Node, Operator, Tensor
from tinyformer.sparse_engine.kernels import catalogue, packed
from tinyformer.sparse_engine.kernels.calls import (
    Argument,
    CCall,
    KernelCall,
    ParamValue,
    ScratchArgument,
    TensorArgument,
)
from tinyformer.sparse_engine.kernels.scratch import SCRATCH_BYTES, scratch_bytes

_ALIGNMENT = 8
_LEAST_QUERIES = 32  # half of that would take a tenth more instructions, for a few percent of an arena

Build = Callable[[Graph, Node, Option | None, str], tuple[KernelCall, ...]]


def pooled_conv2d(
    graph: Graph,
    node: Node,
    option: Option | None,
    variant: str,  # noqa: ARG001 - one signature for all
) -> tuple[KernelCall, ...]:
    """Return the ways to compute a PooledConv2D from weights in an encoding, the least scratch first."""
    op: Any = node.op
    encoding = ("", 0) if option is None else (option.encoding, option.block)
    full = Tensor(f"{node.name}/full", op.conv.infer_shape(graph.input_shapes(node)), quant=op.quant)
    inner = replace(graph, tensors={**graph.tensors, full.name: full})
    conv_node = Node(node.name, op.conv, node.inputs, full.name)
    kernel = catalogue.windowed(inner, conv_node, encoding)
    if kernel is None:
        return ()
    (conv,) = kernel.build(inner, conv_node, kernel.symbol)
    pool_node = Node(node.name, op.pool, (full.name,), node.output)
    (pool,) = catalogue.CATALOGUE[ops.MaxPool2D][0].build(inner, pool_node, "se_max_pool2d_s8")
    roomy = conv if option is None else packed.at_once(conv, option)
    numbers = _doubled(1, graph.tensors[node.output].shape[0])
    least = _pooled(node, option, conv, pool, op, numbers[0])
    more = numbers[1:] if roomy is conv else numbers
    return (least, *(_pooled(node, option, roomy, pool, op, rows) for rows in more))


def _doubled(least: int, most: int) -> list[int]:
    """Return least, 2 * least, 4 * least ... and most."""
    rows = [least]
    while rows[-1] * 2 < most:
        rows.append(rows[-1] * 2)
    return [*rows, most] if rows[-1] < most else [most]


def _pooled(node: Node, option: Option | None, conv: CCall, pool: CCall, op: ops.PooledConv2D, rows: int) -> KernelCall:
    stride, top = op.conv.stride[0], op.conv.padding[0]
    span = (conv.param("kernel_height") - 1) * op.conv.dilation[0] + 1
    input_row = conv.param("input_width") * conv.param("input_channels")
    full_row = conv.param("output_width") * conv.param("output_channels")
    pooled_row = pool.param("output_width") * pool.param("channels")
    input_height, full_height = conv.param("input_height"), conv.param("output_height")
    blocks, kept = [], 0
    for first in range(0, pool.param("output_height"), rows):
        last = min(first + rows, pool.param("output_height"))
        above = first * op.pool.stride[0] - op.pool.padding[0]
        begin = max(0, above)
        end = min(full_height, (last - 1) * op.pool.stride[0] - op.pool.padding[0] + op.pool.kernel[0])
        start = max(0, begin * stride - top)
        stop = min(input_height, (end - 1) * stride - top + span)
        conv_params = {
            "input_height": stop - start,
            "output_height": end - begin,
            "pad_top": start - (begin * stride - top),
        }
        pool_params = {"input_height": end - begin, "output_height": last - first, "pad_top": begin - above}
        _, *constants, _, _ = conv.arguments
        x = TensorArgument(node.inputs[0], start * input_row)
        between: tuple[Argument, ...] = (x, *constants, ScratchArgument())
        blocks.append(
            (
                _with(conv, conv_params, between),
                _with(pool, pool_params, (ScratchArgument(), TensorArgument(node.output, first * pooled_row))),
            )
        )
        kept = max(kept, (end - begin) * full_row)
    return _finished(node, option, kept, blocks, ())


def attention(graph: Graph, node: Node, option: Option | None, variant: str) -> tuple[KernelCall, ...]:
    """Return the ways to compute an Attention, the least scratch first."""
    op: Any = node.op
    query, key, value = node.inputs
    shape = op.scores.infer_shape([graph.tensors[query].shape, graph.tensors[key].shape])
    scores = Tensor(f"{node.name}/scores", shape, quant=op.scores_quant)
    weights = Tensor(f"{node.name}/weights", shape, quant=op.weights_quant)
    inner = replace(graph, tensors={**graph.tensors, scores.name: scores, weights.name: weights})
    parts = (
        Node(node.name, op.scores, (query, key), scores.name),
        Node(node.name, op.softmax, (scores.name,), weights.name),
        Node(node.name, op.context, (weights.name, value), node.output),
    )
    calls: list[CCall] = []
    for part in parts:
        kernel = catalogue.find(inner, part, None, variant)
        if kernel is None:
            return ()
        calls += kernel.build(inner, part, kernel.symbol)
    queries = shape[-2]
    same_shape = graph.tensors[query].shape == graph.tensors[node.output].shape
    overwrites = (query,) if same_shape and query not in (key, value) else ()  # later blocks read all keys and values
    return tuple(
        _attended(node, option, calls, prod(shape[:-2]), rows, overwrites)
        for rows in _doubled(min(_LEAST_QUERIES, queries), queries)
    )


def _attended(
    node: Node, option: Option | None, calls: Sequence[CCall], heads: int, rows: int, overwrites: tuple[str, ...]
) -> KernelCall:
    scores, softmax, context = calls
    queries, depth, tokens = scores.param("rows"), scores.param("depth"), scores.param("columns")
    features = context.param("columns")
    query, key, value = (TensorArgument(name) for name in node.inputs)
    output = TensorArgument(node.output)
    block = ScratchArgument()
    blocks = []
    for first in range(0, queries, rows):
        count = min(rows, queries - first)
        blocks.append(
            (
                _with(scores, {"batch": 1, "rows": count}, (replace(query, offset=first * depth), key, block)),
                _with(softmax, {"rows": count}, (block, block)),
                _with(context, {"batch": 1, "rows": count}, (block, value, replace(output, offset=first * features))),
            )
        )
    per_head = (
        (queries * depth, depth * tokens, 0),
        (0, 0),
        (0, tokens * features, queries * features),
    )
    found = _finished(node, option, rows * tokens, blocks, () if heads == 1 else (heads, per_head))
    return replace(found, overwrites=overwrites)


def _with(call: CCall, params: Mapping[str, int], arguments: tuple[Argument, ...]) -> CCall:
    """Return a call with some parameters and all arguments but scratch replaced."""
    changed: tuple[tuple[str, ParamValue], ...] = tuple((name, params.get(name, value)) for name, value in call.params)
    return replace(call, params=changed, arguments=arguments)


def _finished(
    node: Node,
    option: Option | None,
    kept_bytes: int,
    blocks: Sequence[tuple[CCall, ...]],
    around: tuple[()] | tuple[int, tuple[tuple[int, ...], ...]],
) -> KernelCall:
    """Return the call of blocks that follow one another.

    Args:
        node: the fused node.
        option: the encoding of its weights.
        kept_bytes: what lies between the parts, at the start of scratch; the kernels' own scratch follows.
        blocks: for each block its calls, without scratch arguments.
        around: a loop around all: its turns, and for each call what its arguments advance by.
    """
    own = -(-kept_bytes // _ALIGNMENT) * _ALIGNMENT
    scratch = own + max(scratch_bytes(call) for block in blocks for call in block)
    calls = []
    for block in _looped(blocks):
        for index, call in enumerate(block):
            arguments, loops = call.arguments, call.loops
            if around:
                turns, steps = around
                arguments = tuple(_stepped(a, (s, *_steps(a))) for a, s in zip(arguments, steps[index], strict=True))
                loops = (turns, *loops)
            if call.symbol in SCRATCH_BYTES:
                arguments = (*arguments, ScratchArgument(own))
            calls.append(replace(call, arguments=arguments, loops=loops))
    return KernelCall(node, tuple(calls), option, scratch)


def _steps(argument: Argument) -> tuple[int, ...]:
    return argument.steps if isinstance(argument, TensorArgument) else ()


def _stepped(argument: Argument, steps: tuple[int, ...]) -> Argument:
    return replace(argument, steps=steps) if isinstance(argument, TensorArgument) else argument


def _looped(blocks: Sequence[tuple[CCall, ...]]) -> list[tuple[CCall, ...]]:
    """Return blocks of which neighbours that differ by one stride are loops."""
    found = []
    begin = 0
    while begin < len(blocks):
        steps = _distance(blocks[begin], blocks[begin + 1]) if begin + 1 < len(blocks) else None
        end = begin + 1
        while steps is not None and end < len(blocks) and _distance(blocks[end - 1], blocks[end]) == steps:
            end += 1
        block = blocks[begin]
        if steps is not None:
            block = tuple(
                replace(
                    call,
                    loops=(end - begin,),
                    arguments=tuple(_stepped(a, (s,)) for a, s in zip(call.arguments, each, strict=True)),
                )
                for call, each in zip(block, steps, strict=True)
            )
        found.append(block)
        begin = end
    return found


def _distance(block: tuple[CCall, ...], following: tuple[CCall, ...]) -> list[list[int]] | None:
    """Return by how much each argument of each call advances; None where the parameters differ."""
    if [call.params for call in block] != [call.params for call in following]:
        return None
    return [
        [_offset(after) - _offset(before) for before, after in zip(one.arguments, other.arguments, strict=True)]
        for one, other in zip(block, following, strict=True)
    ]


def _offset(argument: Argument) -> int:
    return argument.offset if isinstance(argument, TensorArgument) else 0


BUILDERS: Mapping[type[Operator], Build] = {ops.PooledConv2D: pooled_conv2d, ops.Attention: attention}
"""How fused operators are computed, by operator."""
