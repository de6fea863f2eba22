"""A path as the engine's graph, without weights: what exporting, reading and lowering its model would give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from tinyformer.search_space import (
    INPUT,
    Candidate,
    ChoiceBlock,
    LayerKind,
    LayerSpec,
    Path,
    SupernetConfig,
    block_layers,
)
from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.ir import DType, Graph, Node, Operator, Shape, Tensor
from tinyformer.sparse_engine.passes.fuse_attention import fuse_attention
from tinyformer.sparse_engine.passes.fuse_pooling import fuse_pooling
from tinyformer.sparse_engine.passes.place_movement import place_movement


def _convolution(spec: LayerSpec) -> Operator:
    """Return a convolution; one of 1x1 is a linear layer over the pixels."""
    return ops.Linear() if _is_pointwise(spec) else ops.Conv2D(stride=spec.stride, padding=spec.padding)


def _is_pointwise(spec: LayerSpec) -> bool:
    return spec.kind == "conv2d" and spec.kernel == (1, 1) and spec.stride == (1, 1)


_OPERATORS: Mapping[LayerKind, Callable[[LayerSpec], Operator]] = {
    "conv2d": _convolution,
    "depthwise_conv2d": lambda spec: ops.DepthwiseConv2D(stride=spec.stride, padding=spec.padding),
    "linear": lambda _: ops.Linear(),
    "matmul": lambda spec: ops.MatMul(transpose_b=spec.transpose_b),
    "add": lambda _: ops.Add(),
    "softmax": lambda _: ops.Softmax(),
    "layer_norm": lambda _: ops.LayerNorm(),
    "max_pool2d": lambda spec: ops.MaxPool2D(kernel=spec.kernel, stride=spec.stride, padding=spec.padding),
    "avg_pool2d": lambda spec: ops.AvgPool2D(kernel=spec.kernel, stride=spec.stride, padding=spec.padding),
    "reshape": lambda spec: ops.Reshape(spec.output_shape),
    "transpose": lambda spec: ops.Transpose(spec.permutation),
}


@lru_cache(maxsize=64)
def lower(config: SupernetConfig, path: Path) -> Graph:
    """Return a path as a lowered graph whose constants have shapes and types but no data.

    It has the operators, shapes and order of ``passes.run(frontend.load(...))`` on the exported int8 model, so that
    selection, coding sizes, cost and memory plan are those of the model. Scales and what follows from them are absent.
    The node of a layer has the layer's name; one that several layers are fused into has that of the layer with weights,
    or of the last one. Images shrunk to one pixel are an exception: there the passes leave some reshapes more, which
    cost nothing.

    Raises:
        ConfigError: the path does not belong to the supernet.
    """
    nodes, tensors = _image(config)
    source = next(reversed(tensors.values()))
    for block, candidate in path.candidates(config):
        part = _lowered_block(block, candidate, source)
        nodes += part.nodes
        tensors |= part.tensors
        source = tensors[part.output]
    return Graph("path", tensors, tuple(nodes), INPUT, nodes[-1].output)


@lru_cache(maxsize=1024)
def _lowered_block(block: ChoiceBlock, candidate: Candidate, source: Tensor) -> Graph:
    """Return a choice block as a lowered graph that reads the tensor ``source``: what is fused lies within a block."""
    nodes, tensors = [], {source.name: source}
    for spec in block_layers(block, candidate, source.name):
        op = _OPERATORS[spec.kind](spec)
        constants = _constants(spec, op)
        tensors |= {tensor.name: tensor for tensor in constants}
        tensors[spec.name] = Tensor(spec.name, spec.output_shape)
        nodes.append(Node(spec.name, op, (*spec.inputs, *(tensor.name for tensor in constants)), spec.name))
    graph = place_movement(Graph(block.id, tensors, tuple(nodes), source.name, nodes[-1].output))
    return fuse_attention(fuse_pooling(graph))


def _image(config: SupernetConfig) -> tuple[list[Node], dict[str, Tensor]]:
    """Return the start of a graph: the image, channels last.

    Where moving the channels to the end moves no byte the input stays channels first, as the passes leave it.
    """
    height, width, channels = config.input_shape
    moves_bytes = channels > 1 and height * width > 1
    if moves_bytes or config.input_shape == (channels, height, width):
        return [], {INPUT: Tensor(INPUT, config.input_shape)}
    view = f"{INPUT}.channels_last"
    tensors = {INPUT: Tensor(INPUT, (channels, height, width)), view: Tensor(view, config.input_shape)}
    return [Node(view, ops.Reshape(config.input_shape), (INPUT,), view)], tensors


def _constants(spec: LayerSpec, op: Operator) -> tuple[Tensor, ...]:
    """Return the constants of a lowered node, in the order of its inputs."""

    def constant(name: str, shape: Shape, dtype: DType) -> Tensor:
        return Tensor(f"{spec.name}.{name}", shape, dtype, constant=True)

    if isinstance(op, ops.LayerNorm):
        return constant("gamma", spec.weight_shape, DType.INT16), constant("beta", spec.weight_shape, DType.INT32)
    if isinstance(op, ops.AvgPool2D):
        return (constant("multiplier", (len(op.counts),), DType.INT32),)
    if not spec.weight_shape:
        return ()
    channels = spec.weight_shape[:1]
    weight_shape = (*channels, spec.weight_shape[3]) if _is_pointwise(spec) else spec.weight_shape
    return (
        constant("weight", weight_shape, DType.INT8),
        constant("bias", channels, DType.INT32),
        constant("multiplier", channels, DType.INT32),
    )
