"""A path as a flat list of primitive layers, neutral between PyTorch and the engine.

Shapes leave out the batch and have channels last: an image is (height, width, channels), a sequence (tokens, features).
Batch norm is part of its convolution: a convolution has a bias. The supernet builds modules, and ``resources`` lowers
engine graphs, with these names and in this order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, Literal

from tinyformer.search_space.candidates import (
    Candidate,
    DownsampleCandidate,
    MobileNetCandidate,
    PoolingCandidate,
    TransformerCandidate,
)
from tinyformer.search_space.space import DEPTHWISE_BLOCK, Shape
from tinyformer.search_space.supernet_config import BlockSparsity, ChoiceBlock, Path, SparsityConfig, SupernetConfig

LayerKind = Literal[
    "conv2d",
    "depthwise_conv2d",
    "linear",
    "matmul",
    "add",
    "softmax",
    "layer_norm",
    "max_pool2d",
    "avg_pool2d",
    "reshape",
    "transpose",
]
Pair = tuple[int, int]
Pads = tuple[int, int, int, int]  # top, left, bottom, right

INPUT = "input"
LAYER_NORM_EPSILON = 1e-5
_MIN_PRUNABLE_CHANNELS = 4  # fewer input channels do not fill a block
_CHANNEL_MULTIPLE = 8


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """One primitive layer.

    Attributes:
        name: unique; of layers with weights, and of every layer but reshapes and transposes, also the module's name.
        kind: the operator.
        block: the id of the choice block it belongs to.
        inputs: names of layers, or ``INPUT``.
        input_shapes: one for each input.
        output_shape: (H, W, C), (tokens, features), (heads, tokens, features) or (features,).
        weight_shape: (O, kh, kw, I), (C, kh, kw), (O, I), (C,) of a layer norm's gamma, or () for layers without.
        kernel: height and width of a window.
        stride: its steps.
        padding: top, left, bottom, right; zeros for convolutions, never counted by pooling.
        relu: whether a ReLU follows at once.
        transpose_b: the matmul's second input is (..., N, K).
        image: whether the output is an image; PyTorch keeps those channels first.
        output_scale: a factor on the output that training keeps apart and export folds into weights and bias.
        permutation: of a transpose: output axis i is input axis permutation[i].
        prunable: whether pruning may set blocks of its weights to zero.
    """

    name: str
    kind: LayerKind
    block: str
    inputs: tuple[str, ...]
    input_shapes: tuple[Shape, ...]
    output_shape: Shape
    weight_shape: Shape = ()
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pads = (0, 0, 0, 0)
    relu: bool = False
    transpose_b: bool = False
    image: bool = False
    output_scale: float = 1.0
    permutation: tuple[int, ...] = ()
    prunable: bool = False

    @property
    def weights(self) -> int:
        """Number of weights, biases left out (of a layer norm: gamma)."""
        return prod(self.weight_shape) if self.weight_shape else 0

    @property
    def parameters(self) -> int:
        """Number of weights and biases (of a layer norm: gamma and beta)."""
        return self.weights + (self.weight_shape[0] if self.weight_shape else 0)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference, zero weights included."""
        if self.kind in ("conv2d", "depthwise_conv2d"):
            return prod(self.output_shape[:2]) * self.weights
        if self.kind == "linear":
            return prod(self.output_shape[:-1]) * self.weights
        return prod(self.output_shape) * self.input_shapes[0][-1] if self.kind == "matmul" else 0


def layers(config: SupernetConfig, path: Path) -> tuple[LayerSpec, ...]:
    """Return the primitive layers of a path in execution order; the last one gives the logits (classes,).

    Raises:
        ConfigError: the path does not belong to the supernet.
    """
    specs: list[LayerSpec] = []
    for block, candidate in path.candidates(config):
        specs.extend(block_layers(block, candidate, specs[-1].name if specs else INPUT))
    return tuple(specs)


@lru_cache(maxsize=4096)
def block_layers(block: ChoiceBlock, candidate: Candidate, source: str = INPUT) -> tuple[LayerSpec, ...]:
    """Return the layers of one candidate of a choice block, which read the layer ``source``."""
    builder = _Builder(block, source)
    _LAYERS_OF[type(candidate)](builder, candidate)
    return tuple(builder.layers)


def count_parameters(config: SupernetConfig, path: Path) -> int:
    """Return the dense parameters of a path: weights and biases, batch norm folded (paper Alg. 1, line 10)."""
    return sum(layer.parameters for layer in layers(config, path))


def layer_sparsities(config: SupernetConfig, path: Path, sparsity: SparsityConfig) -> Mapping[str, BlockSparsity]:
    """Map the prunable layers of a path to their sparsity; the block of a depthwise convolution is its kernel's width.

    Raises:
        ConfigError: path or sparsity configuration do not belong to the supernet.

    Reference: paper Sec. III-C2.
    """
    by_block = sparsity.by_block(config)
    return {
        layer.name: BlockSparsity(by_block[layer.block].sparsity, DEPTHWISE_BLOCK)
        if layer.kind == "depthwise_conv2d"
        else by_block[layer.block]
        for layer in layers(config, path)
        if layer.prunable
    }


def expanded_channels(channels: int, expansion: int) -> int:
    """Return the inner width of an inverted residual: the product, rounded up to a multiple of 8."""
    return -(-channels * expansion // _CHANNEL_MULTIPLE) * _CHANNEL_MULTIPLE


class _Builder:
    """Collect layers; each method appends one layer that reads the last one, unless told otherwise."""

    def __init__(self, block: ChoiceBlock, source: str) -> None:
        self.layers: list[LayerSpec] = []
        self.block = block
        self.last = source
        self._shapes: dict[str, Shape] = {source: block.input_shape}

    @property
    def shape(self) -> Shape:
        return self._shapes[self.last]

    def _append(self, name: str, kind: LayerKind, output: Shape, inputs: tuple[str, ...] = (), **rest: Any) -> str:
        inputs = inputs or (self.last,)
        full = f"{self.block.id}.{name}"
        shapes = tuple(self._shapes[i] for i in inputs)
        self.layers.append(LayerSpec(full, kind, self.block.id, inputs, shapes, output, **rest))
        self._shapes[full] = output
        self.last = full
        return full

    def conv(self, name: str, channels: int, kernel: int = 3, stride: int = 1, relu: bool = True) -> str:
        """Append a convolution; along an axis of one pixel its window is one pixel, as the rest would see padding."""
        height, width, inner = self.shape
        rows, columns = (1 if size == 1 else kernel for size in (height, width))
        return self._append(
            name,
            "conv2d",
            (-(-height // stride), -(-width // stride), channels),
            weight_shape=(channels, rows, columns, inner),
            kernel=(rows, columns),
            stride=(1 if height == 1 else stride, 1 if width == 1 else stride),
            padding=(rows // 2, columns // 2) * 2,
            relu=relu,
            image=True,
            prunable=inner >= _MIN_PRUNABLE_CHANNELS,
        )

    def depthwise(self, name: str, stride: int) -> str:
        """Append a depthwise convolution; of one row it sees one, while blocks of weights need its whole width.

        Of one channel it is a convolution like any other.
        """
        height, width, channels = self.shape
        if channels == 1:
            return self.conv(name, 1, stride=stride)
        rows = 1 if height == 1 else DEPTHWISE_BLOCK
        return self._append(
            name,
            "depthwise_conv2d",
            (-(-height // stride), -(-width // stride), channels),
            weight_shape=(channels, rows, DEPTHWISE_BLOCK),
            kernel=(rows, DEPTHWISE_BLOCK),
            stride=(1 if height == 1 else stride, stride),
            padding=(rows // 2, 1, rows // 2, 1),
            relu=True,
            image=True,
            prunable=True,
        )

    def pool(self, name: str, kind: LayerKind) -> str:
        """Append 2x2 pooling; the last window of an odd size holds what is left."""
        height, width, channels = self.shape
        return self._append(
            name,
            kind,
            (-(-height // 2), -(-width // 2), channels),
            kernel=(2, 2),
            stride=(2, 2),
            padding=(0, 0, height % 2, width % 2),
            image=True,
        )

    def linear(self, name: str, features: int, source: str = "", relu: bool = False, scale: float = 1.0) -> str:
        inner = self._shapes[source or self.last]
        return self._append(
            name,
            "linear",
            (*inner[:-1], features),
            (source,) if source else (),
            weight_shape=(features, inner[-1]),
            relu=relu,
            output_scale=scale,
            prunable=inner[-1] >= _MIN_PRUNABLE_CHANNELS,
        )

    def norm(self, name: str) -> str:
        return self._append(name, "layer_norm", self.shape, weight_shape=self.shape[-1:])

    def add(self, name: str, residual: str, image: bool = False) -> str:
        return self._append(name, "add", self.shape, (residual, self.last), image=image)

    def softmax(self, name: str) -> str:
        return self._append(name, "softmax", self.shape)

    def matmul(self, name: str, a: str, b: str, transpose_b: bool = False) -> str:
        columns = self._shapes[b][-2 if transpose_b else -1]
        return self._append(name, "matmul", (*self._shapes[a][:-1], columns), (a, b), transpose_b=transpose_b)

    def reshape(self, name: str, shape: Shape, image: bool = False) -> str:
        return self._append(name, "reshape", shape, image=image)

    def split_heads(self, name: str, heads: int) -> str:
        """Turn (tokens, embedding) into (heads, tokens, embedding / heads); one head needs nothing."""
        if heads == 1:
            return self.last
        tokens, embedding = self.shape
        self.reshape(f"{name}_split", (tokens, heads, embedding // heads))
        return self._append(f"{name}_heads", "transpose", (heads, tokens, embedding // heads), permutation=(1, 0, 2))

    def join_heads(self, name: str, heads: int) -> str:
        """Undo ``split_heads``."""
        if heads == 1:
            return self.last
        _, tokens, depth = self.shape
        self._append(f"{name}_tokens", "transpose", (tokens, heads, depth), permutation=(1, 0, 2))
        return self.reshape(f"{name}_joined", (tokens, heads * depth))


def _inverted_residual(build: _Builder, expansion: int, stride: int) -> None:
    source, inner = build.last, build.shape[-1]
    if expansion > 1:
        build.conv("expand", expanded_channels(inner, expansion), kernel=1)
    build.depthwise("depthwise", stride)
    build.conv("project", build.block.channels, kernel=1, relu=False)
    if stride == 1 and inner == build.block.channels:
        build.add("add", source, image=True)


def _downsample(build: _Builder, candidate: DownsampleCandidate) -> None:
    if candidate.kind == "mobilenet":
        _inverted_residual(build, candidate.expansion, stride=2)
    elif candidate.kind == "conv_stride":
        build.conv("conv", build.block.channels, stride=2)
    else:
        build.conv("conv", build.block.channels)
        build.pool("max_pool", "max_pool2d")


def _mobilenet(build: _Builder, candidate: MobileNetCandidate) -> None:
    _inverted_residual(build, candidate.expansion, stride=1)


def _encoder(build: _Builder, name: str, heads: int, mlp_ratio: int) -> None:
    source, embedding = build.last, build.shape[-1]
    normed = build.norm(f"{name}.norm1")
    build.linear(f"{name}.query", embedding, scale=(embedding // heads) ** -0.5)
    query = build.split_heads(f"{name}.query", heads)
    build.linear(f"{name}.key", embedding, normed)
    key = build.split_heads(f"{name}.key", heads)
    build.matmul(f"{name}.scores", query, key, transpose_b=True)
    attention = build.softmax(f"{name}.attention")
    build.linear(f"{name}.value", embedding, normed)
    value = build.split_heads(f"{name}.value", heads)
    build.matmul(f"{name}.context", attention, value)
    build.join_heads(f"{name}.context", heads)
    build.linear(f"{name}.output", embedding)
    middle = build.add(f"{name}.add1", source)
    build.norm(f"{name}.norm2")
    build.linear(f"{name}.expand", embedding * mlp_ratio, relu=True)
    build.linear(f"{name}.contract", embedding)
    build.add(f"{name}.add2", middle)


def _transformer(build: _Builder, candidate: TransformerCandidate) -> None:
    """Append the encoders between their convolutions.

    Tokens enter and leave without ReLU, as the residual stream is signed. No layer norm follows the last encoder: the
    batch norm of the convolution that reads the stream scales it, at no cost on the device.
    """
    build.conv("conv_in", build.block.channels)
    build.conv("project_in", build.block.embedding, kernel=1, relu=False)
    height, width, embedding = build.shape
    build.reshape("tokens", (height * width, embedding))
    for index in range(candidate.encoders):
        _encoder(build, f"encoder{index}", candidate.heads, candidate.mlp_ratio)
    build.reshape("image", (height, width, embedding), image=True)
    build.conv("project_out", build.block.channels, kernel=1)
    build.conv("conv_out", build.block.channels)


def _pooling(build: _Builder, candidate: PoolingCandidate) -> None:
    height, width, channels = build.shape
    if candidate.kind == "sequence":
        tokens = build.reshape("tokens", (height * width, channels))
        build.linear("score", 1)
        build.reshape("row", (1, height * width))
        weights = build.softmax("attention")
        build.matmul("pool", weights, tokens)
        build.reshape("flatten", (channels,))
    else:
        build.pool("avg_pool", "avg_pool2d")
        build.reshape("flatten", (prod(build.shape),))
    build.linear("classifier", build.block.channels)


_LAYERS_OF: Mapping[type[Candidate], Callable[[_Builder, Any], None]] = {
    DownsampleCandidate: _downsample,
    MobileNetCandidate: _mobilenet,
    TransformerCandidate: _transformer,
    PoolingCandidate: _pooling,
}
