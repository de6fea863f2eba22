"""Lowered graphs for tests of the engine: a table of single operators, and two small nets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from tinyformer.sparse_engine import coding, kernels, ops
from tinyformer.sparse_engine.ir import Graph, Node, QuantParams, Shape, Tensor
from tinyformer.sparse_engine.synthetic import GraphBuilder

Build = Callable[[GraphBuilder, str], str]


@dataclass(frozen=True)
class OperatorCase:
    """One operator on a tensor of ``shape``; ``symbol`` is the kernel for it, with the encoding that it reads."""

    symbol: str
    shape: Shape
    build: Build


def _add_of_a_constant(b: GraphBuilder, x: str) -> str:
    return b.add(x, b.constant((7, 5)))


OPERATOR_CASES: Mapping[str, OperatorCase] = {
    "linear": OperatorCase("se_linear_s8", (7, 13), lambda b, x: b.linear(x, 9)),
    "linear, one row": OperatorCase("se_linear_s8", (64,), lambda b, x: b.linear(x, 10, low=-20, high=30)),
    "linear, leading axes": OperatorCase("se_linear_s8", (2, 3, 8), lambda b, x: b.linear(x, 6)),
    "linear, blocks of 2": OperatorCase(
        "se_linear_block2_s8", (6, 31), lambda b, x: b.linear(x, 20, sparsity=0.8, block=2)
    ),
    "linear, blocks of 4": OperatorCase(
        "se_linear_block4_s8", (5, 70), lambda b, x: b.linear(x, 21, sparsity=0.8, block=4)
    ),
    "linear, all zero": OperatorCase(
        "se_linear_block2_s8", (5, 32), lambda b, x: b.linear(x, 8, sparsity=1.0, block=4)
    ),
    "linear, far blocks": OperatorCase(
        "se_linear_block4_s8", (2, 2046), lambda b, x: b.linear(x, 3, sparsity=0.995, block=4)
    ),
    "pointwise": OperatorCase("se_linear_s8", (5, 4, 12), lambda b, x: b.conv2d(x, 7, (1, 1))),
    "pointwise, blocks of 4": OperatorCase(
        "se_linear_block4_s8", (5, 4, 16), lambda b, x: b.conv2d(x, 16, (1, 1), sparsity=0.7, block=4)
    ),
    "pointwise, stride 2": OperatorCase("se_conv2d_s8", (5, 4, 12), lambda b, x: b.conv2d(x, 7, (1, 1), stride=(2, 2))),
    "conv2d": OperatorCase(
        "se_conv2d_s8", (9, 7, 3), lambda b, x: b.conv2d(x, 8, (3, 3), padding=(1, 1, 1, 1), stride=(2, 1))
    ),
    "conv2d, dilated": OperatorCase(
        "se_conv2d_s8", (9, 8, 5), lambda b, x: b.conv2d(x, 3, (3, 2), dilation=(2, 3), padding=(2, 0, 1, 3))
    ),
    "conv2d, groups": OperatorCase(
        "se_conv2d_s8", (6, 6, 8), lambda b, x: b.conv2d(x, 6, (3, 3), groups=2, padding=(1, 1, 1, 1))
    ),
    "conv2d, blocks of 2": OperatorCase(
        "se_conv2d_block2_s8",
        (6, 7, 7),
        lambda b, x: b.conv2d(x, 8, (3, 3), padding=(1, 1, 1, 1), sparsity=0.8, block=2),
    ),
    "conv2d, blocks of 4": OperatorCase(
        "se_conv2d_block4_s8",
        (6, 7, 12),
        lambda b, x: b.conv2d(x, 8, (3, 3), padding=(0, 1, 2, 1), stride=(1, 2), sparsity=0.8, block=4),
    ),
    **{
        f"linear, {part}{block}": OperatorCase(
            f"se_linear_{part}_block{block}_s8",
            (21, 43),
            lambda b, x, n=outputs, block=block: b.linear(x, n, sparsity=0.6, block=block),
        )
        for part, outputs in (("rle4", 50), ("bitmap", 47))
        for block in (2, 4)
    },
    **{
        f"conv2d, {part}{block}": OperatorCase(
            f"se_conv2d_{part}_block{block}_s8",
            (6, 7, 13),
            lambda b, x, n=filters, block=block: b.conv2d(
                x, n, (3, 3), padding=(1, 1, 1, 1), sparsity=0.7, block=block
            ),
        )
        for part, filters in (("rle4", 9), ("bitmap", 11))
        for block in (2, 4)
    },
    "depthwise, bitmap": OperatorCase(
        "se_depthwise_conv2d_bitmap_block3_s8",
        (7, 8, 14),
        lambda b, x: b.depthwise(x, (5, 4), padding=(1, 1, 1, 1), sparsity=0.6, block=3),
    ),
    "depthwise": OperatorCase(
        "se_depthwise_conv2d_s8", (7, 9, 10), lambda b, x: b.depthwise(x, (3, 3), padding=(1, 1, 1, 1))
    ),
    "depthwise, 5x3 stride 2": OperatorCase(
        "se_depthwise_conv2d_s8", (9, 9, 4), lambda b, x: b.depthwise(x, (5, 3), padding=(2, 1, 2, 1), stride=(2, 2))
    ),
    "depthwise, blocks of 3": OperatorCase(
        "se_depthwise_conv2d_block3_s8",
        (7, 8, 14),
        lambda b, x: b.depthwise(x, (3, 3), padding=(1, 1, 1, 1), sparsity=0.6, block=3),
    ),
    "matmul": OperatorCase("se_matmul_s8", (2, 9, 9), lambda b, x: b.matmul(x, x)),
    "matmul, transposed": OperatorCase("se_matmul_s8", (3, 7, 10), lambda b, x: b.matmul(x, x, transpose_b=True)),
    "softmax": OperatorCase("se_softmax_s8", (6, 33), lambda b, x: b.softmax(x)),
    "softmax, long rows": OperatorCase("se_softmax_s8", (1, 1500), lambda b, x: b.softmax(x, scale=0.5)),
    "layer_norm": OperatorCase("se_layer_norm_s8", (6, 21), lambda b, x: b.layer_norm(x)),
    "add": OperatorCase("se_add_s8", (6, 11), lambda b, x: b.add(x, x)),
    "add of a constant": OperatorCase("se_add_s8", (3, 7, 5), _add_of_a_constant),
    "mul": OperatorCase("se_mul_s8", (5, 6), lambda b, x: b.mul(x, b.constant((6,)))),
    "lookup": OperatorCase("se_lookup_s8", (37,), lambda b, x: b.lookup(x)),
    "max_pool2d": OperatorCase(
        "se_max_pool2d_s8", (7, 6, 18), lambda b, x: b.max_pool(x, (3, 2), (2, 2), (1, 0, 0, 1))
    ),
    "avg_pool2d": OperatorCase("se_avg_pool2d_s8", (6, 6, 9), lambda b, x: b.avg_pool(x, (2, 2), (2, 2))),
    "avg_pool2d, padded": OperatorCase(
        "se_avg_pool2d_s8", (5, 5, 9), lambda b, x: b.avg_pool(x, (3, 3), (1, 1), (1, 1, 1, 1))
    ),
    "transpose": OperatorCase("se_move_s8", (3, 4, 5), lambda b, x: b.transpose(x, (2, 0, 1))),
    "transpose, four axes": OperatorCase("se_move_s8", (2, 3, 4, 5), lambda b, x: b.transpose(x, (3, 1, 2, 0))),
    "slice": OperatorCase("se_move_s8", (5, 6, 7), lambda b, x: b.slice(x, (1, 0, 2), (2, 3, 4), (2, 2, 1))),
    "concat": OperatorCase("se_move_s8", (4, 3, 5), lambda b, x: b.concat([x, x, b.constant((4, 3, 2))], 2)),
    "pad": OperatorCase("se_move_s8", (3, 4, 5), lambda b, x: b.pad(x, (1, 0, 2), (0, 2, 1))),
}


def zoo(names: tuple[str, ...] = tuple(OPERATOR_CASES)) -> tuple[Graph, dict[str, str]]:
    """Return one graph with every case side by side on parts of the input, and case name -> its output tensor."""
    graphs = {}
    for name in names:
        b = GraphBuilder(OPERATOR_CASES[name].shape, seed=3)
        graphs[name] = b.finish(OPERATOR_CASES[name].build(b, b.input))
    return side_by_side(graphs)


def encodings_of(graph: Graph, outputs: Mapping[str, str]) -> dict[str, tuple[str, int]]:
    """Return the encodings that the kernels of a zoo's cases read, by node name."""
    reads = {kernel.symbol: kernel.encoding for rows in kernels.CATALOGUE.values() for kernel in rows}
    cases = {tensor: OPERATOR_CASES[case].symbol for case, tensor in outputs.items()}
    found = {node.name: reads[cases[node.output]] for node in graph.nodes if node.output in cases}
    return {name: encoding for name, encoding in found.items() if encoding is not None}


def side_by_side(graphs: Mapping[str, Graph]) -> tuple[Graph, dict[str, str]]:
    """Join lowered graphs into one, so that one image runs them all.

    Each reads its part of the input, 1 byte after the part before it. The output means nothing: look at the tensors.

    Returns:
        The graph, and each one's name -> its output tensor.
    """
    tensors, data, nodes, outputs = {}, {}, [], {}
    total = sum(graph.tensors[graph.input].elements + 1 for graph in graphs.values())
    start = 0
    for index, (name, graph) in enumerate(graphs.items()):
        names = {tensor: f"{index}_{tensor}" for tensor in graph.tensors}
        tensors |= {names[t.name]: replace(t, name=names[t.name]) for t in graph.tensors.values()}
        data |= {names[key]: value for key, value in graph.data.items()}
        source = graph.tensors[graph.input]
        cut = f"{index}_cut"
        tensors[cut] = Tensor(cut, (source.elements,), quant=source.quant)
        nodes.append(Node(cut, ops.Slice((start,), (source.elements,), (1,)), ("input",), cut))
        nodes.append(Node(f"{cut}_shaped", ops.Reshape(source.shape), (cut,), names[source.name]))
        nodes += [
            Node(f"{index}_{n.name}", n.op, tuple(names[i] for i in n.inputs), names[n.output]) for n in graph.nodes
        ]
        outputs[name] = names[graph.output]
        start += source.elements + 1
    tensors["input"] = Tensor("input", (total,), quant=QuantParams((1.0,)))
    tensors["output"] = Tensor("output", (1,), quant=QuantParams((1.0,)))
    nodes.append(Node("output", ops.Slice((0,), (1,), (1,)), ("input",), "output"))
    return Graph("side_by_side", tensors, tuple(nodes), "input", "output", data), outputs


def convolutional_net() -> Graph:
    """A residual net: 8x8x3 image to 10 classes, dense and sparse."""
    b = GraphBuilder((8, 8, 3), seed=11, name="convolutional")
    x = b.conv2d(b.input, 16, (3, 3), padding=(1, 1, 1, 1))
    x = b.max_pool(x, (2, 2), (2, 2))
    y = b.conv2d(x, 32, (1, 1), sparsity=0.7, block=4)
    y = b.depthwise(y, (3, 3), padding=(1, 1, 1, 1), sparsity=0.5, block=3)
    y = b.conv2d(y, 16, (1, 1), sparsity=0.6, block=2)
    x = b.add(x, y)
    x = b.avg_pool(x, (2, 2), (2, 2))
    return b.finish(b.linear(b.reshape(x, (64,)), 10))


def transformer_net() -> Graph:
    """A pre-norm encoder of two heads over 16 tokens, and a classifier over pooled tokens."""
    b = GraphBuilder((8, 8, 4), seed=12, name="transformer")
    x = b.conv2d(b.input, 16, (2, 2), stride=(2, 2))
    x = b.reshape(x, (16, 16))
    y = b.layer_norm(x)
    heads = [b.transpose(b.reshape(b.linear(y, 16), (16, 2, 8)), (1, 0, 2)) for _ in range(3)]
    attention = b.softmax(b.matmul(heads[0], heads[1], transpose_b=True))
    y = b.reshape(b.transpose(b.matmul(attention, heads[2]), (1, 0, 2)), (16, 16))
    x = b.add(x, b.linear(y, 16, sparsity=0.7, block=4))
    y = b.layer_norm(x)
    y = b.lookup(b.linear(y, 32, sparsity=0.7, block=4))
    x = b.add(x, b.linear(y, 16, sparsity=0.8, block=2))
    weights = b.reshape(b.softmax(b.reshape(b.linear(x, 1), (1, 16))), (1, 16))
    return b.finish(b.linear(b.reshape(b.matmul(weights, x), (16,)), 10))


def random_inputs(graph: Graph, count: int, seed: int = 0) -> np.ndarray:
    """Return int8 inputs, the first two of them extremes."""
    shape = graph.tensors[graph.input].shape
    inputs = np.random.default_rng(seed).integers(-128, 128, (count, *shape)).astype(np.int8)
    inputs[0] = 127
    inputs[1:2] = -128
    return inputs


def symbols_of(graph: Graph, board: object, encodings: Mapping[str, tuple[str, int]]) -> dict[str, str]:
    """Map every node's output to the kernel that is chosen for it, the encodings of some nodes prescribed."""
    options = coding.prescribe(coding.options(graph), encodings)
    return {call.node.output: call.symbol for call in kernels.select(graph, options, board, "size")}
