"""Paths of the search space as lowered graphs with random weights, and magnitude pruning of their blocks.

The models have the tokens of the paper's (256 of width 44 in the first DoT, 64 in the second) and fit 1 MB of flash and
320 KB of RAM when they are dense. Kernels take the same instructions whatever the weights' values, so that speed
and size need no training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tinyformer.search_space import (
    INPUT,
    Candidates,
    DotConfig,
    LayerSpec,
    Path,
    SparsityConfig,
    SupernetConfig,
    TransformerCandidate,
    layer_sparsities,
    layers,
)
from tinyformer.sparse_engine.ir import Graph
from tinyformer.sparse_engine.passes.place_movement import place_movement
from tinyformer.sparse_engine.synthetic import GraphBuilder

SOFTMAX_SCALE = 0.1  # that of the recorded baseline; CMSIS-NN's softmax is cheaper at larger scales

_CANDIDATES = Candidates(transformer=(TransformerCandidate(1, 2, 2), TransformerCandidate(2, 2, 2)))


@dataclass(frozen=True)
class Model:
    """A path through a supernet."""

    config: SupernetConfig
    path: Path


CONVOLUTIONS = Model(
    SupernetConfig(
        input_shape=(32, 32, 3),
        classes=10,
        dots=(
            DotConfig(64, 64, 2, transformer_channels=64, embedding=44, transformer_blocks=1),
            DotConfig(128, 128, 1, transformer_channels=128, embedding=128, transformer_blocks=1),
        ),
        candidates=_CANDIDATES,
    ),
    Path((0, 1, 1, 0, 0, 1, 0, 0)),
)
"""One encoder a DoT; most of the work is in layers that pruning reaches."""

ATTENTION = Model(
    SupernetConfig(
        input_shape=(32, 32, 3),
        classes=10,
        dots=(
            DotConfig(32, 32, 1, transformer_channels=48, embedding=44, transformer_blocks=1),
            DotConfig(96, 96, 1, transformer_channels=128, embedding=160, transformer_blocks=1),
        ),
        candidates=_CANDIDATES,
    ),
    Path((0, 1, 1, 0, 1, 0, 0)),
)
"""Two encoders over 256 tokens: for CMSIS-NN most of the work is softmax."""

MIXED = Model(
    SupernetConfig(
        input_shape=(32, 32, 3),
        classes=10,
        dots=(
            DotConfig(16, 16, 0, transformer_channels=160, embedding=16, transformer_blocks=1),
            DotConfig(160, 160, 0, transformer_channels=152, embedding=16, transformer_blocks=1),
        ),
        candidates=Candidates(transformer=(TransformerCandidate(9, 2, 1), TransformerCandidate(1, 2, 1))),
    ),
    Path((0, 0, 0, 1, 0)),
)
"""Nine encoders of two heads over 256 tokens, and wide convolutions: much of both, softmax and prunable weights."""

Append = Callable[[GraphBuilder, LayerSpec, list[str]], str]


def _conv2d(b: GraphBuilder, spec: LayerSpec, x: list[str]) -> str:
    channels = spec.weight_shape[0]
    if spec.kernel == (1, 1) and spec.stride == (1, 1):
        return b.linear(x[0], channels, relu=spec.relu)
    return b.conv2d(x[0], channels, spec.kernel, stride=spec.stride, padding=spec.padding, relu=spec.relu)


_APPEND: Mapping[str, Append] = {
    "conv2d": _conv2d,
    "depthwise_conv2d": lambda b, spec, x: b.depthwise(
        x[0], spec.kernel, stride=spec.stride, padding=spec.padding, relu=spec.relu
    ),
    "linear": lambda b, spec, x: b.linear(x[0], spec.weight_shape[0], relu=spec.relu),
    "matmul": lambda b, spec, x: b.matmul(x[0], x[1], transpose_b=spec.transpose_b),
    "add": lambda b, _spec, x: b.add(x[0], x[1]),
    "softmax": lambda b, _spec, x: b.softmax(x[0], SOFTMAX_SCALE),
    "layer_norm": lambda b, _spec, x: b.layer_norm(x[0]),
    "max_pool2d": lambda b, spec, x: b.max_pool(x[0], spec.kernel, spec.stride, spec.padding),
    "avg_pool2d": lambda b, spec, x: b.avg_pool(x[0], spec.kernel, spec.stride, spec.padding),
    "reshape": lambda b, spec, x: b.reshape(x[0], spec.output_shape),
    "transpose": lambda b, spec, x: b.transpose(x[0], spec.permutation),
}


def dense(model: Model, seed: int = 0) -> tuple[Graph, Mapping[str, str]]:
    """Return the model with random weights, and for each node with weights the layer it comes from."""
    b = GraphBuilder(model.config.input_shape, seed=seed, name="searched")
    outputs = {INPUT: b.input}
    for spec in layers(model.config, model.path):
        outputs[spec.name] = _APPEND[spec.kind](b, spec, [outputs[name] for name in spec.inputs])
    graph = place_movement(b.finish(outputs[spec.name]))
    by_output = {output: name for name, output in outputs.items()}
    return graph, {node.name: by_output[node.output] for node in graph.nodes if node.output in by_output}


def pruned(model: Model, seed: int, sparsity: float, block: int = 4) -> Graph:
    """Return the model with the blocks of least magnitude set to zero, in every layer that the search prunes."""
    graph, names = dense(model, seed)
    if not sparsity:
        return graph
    configuration = SparsityConfig.uniform(model.config, sparsity, block)
    wanted = layer_sparsities(model.config, model.path, configuration)
    data = dict(graph.data)
    for node in graph.nodes:
        found = wanted.get(names.get(node.name, ""))
        if found is None:
            continue
        x, weight, bias = node.inputs[:3]
        data[weight] = without_least_blocks(graph.data[weight], found.sparsity, found.block)
        axes = tuple(range(1, data[weight].ndim))
        change = graph.data[weight].sum(axes, dtype=np.int64) - data[weight].sum(axes, dtype=np.int64)
        quant = graph.tensors[x].quant
        assert quant is not None
        data[bias] = (graph.data[bias] + quant.zero_point * change).astype(np.int32)
    return graph.with_(data=data)


def without_least_blocks(weights: np.ndarray, sparsity: float, block: int) -> np.ndarray:
    """Zero the share of blocks along the last axis whose sum of squares is least."""
    length = weights.shape[-1]
    padded = np.pad(weights.reshape(-1, length), ((0, 0), (0, -length % block)))
    blocks = padded.reshape(-1, block).copy()
    order = np.argsort((blocks.astype(np.int64) ** 2).sum(1), kind="stable")
    blocks[order[: round(sparsity * len(blocks))]] = 0
    return blocks.reshape(padded.shape)[:, :length].reshape(weights.shape).astype(weights.dtype)
