"""PyTorch modules for the primitive layers of ``search_space.LayerSpec``.

Images are (batch, channels, height, width) here and (height, width, channels) in the specification; every other tensor
has the specification's axes behind the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinyformer.search_space import LAYER_NORM_EPSILON, LayerKind, LayerSpec, Shape

LINEAR_INIT_STD = 0.02


class Convolution(nn.Conv2d):
    """Convolution, batch norm, and a ReLU when ``relu``.

    Folding the batch norm turns ``norm`` into an identity and gives the convolution a bias.
    """

    def __init__(self, spec: LayerSpec) -> None:
        channels, height, width = spec.weight_shape[0], *spec.weight_shape[1:3]
        groups = channels if spec.kind == "depthwise_conv2d" else 1
        inputs = spec.input_shapes[0][-1]
        padding = (spec.padding[0], spec.padding[1])
        super().__init__(inputs, channels, (height, width), spec.stride, padding, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(channels)
        self.relu = spec.relu

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, I, H, W) to (batch, O, H', W')."""
        x = self.norm(super().forward(x))
        return functional.relu(x) if self.relu else x


class Linear(nn.Linear):
    """Linear layer over the last axis, a factor on its output, and a ReLU when ``relu``."""

    def __init__(self, spec: LayerSpec) -> None:
        super().__init__(spec.weight_shape[1], spec.weight_shape[0])
        self.output_scale = spec.output_scale
        self.relu = spec.relu

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., I) to (..., O), as one matrix product over all rows, which exports as one Gemm."""
        y = super().forward(x.reshape(-1, self.in_features) if x.dim() > 2 else x)
        if self.output_scale != 1:
            y = y * self.output_scale
        if self.relu:
            y = functional.relu(y)
        return y.reshape(*x.shape[:-1], self.out_features) if x.dim() > 2 else y


class MatMul(nn.Module):
    """Matrix product of two activations."""

    def __init__(self, transpose_b: bool) -> None:
        super().__init__()
        self.transpose_b = transpose_b

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Map (..., M, K) and (..., K, N), or (..., N, K) when ``transpose_b``, to (..., M, N)."""
        return torch.matmul(a, b.transpose(-1, -2) if self.transpose_b else b)


class Add(nn.Module):
    """Sum of two tensors of equal shape."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return a + b."""
        return a + b


class Reshape(nn.Module):
    """The same elements in the same order; images are read and written with channels last."""

    def __init__(self, shape: Shape, from_image: bool, to_image: bool) -> None:
        super().__init__()
        self.shape = shape
        self.from_image = from_image
        self.to_image = to_image

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, ...) to (batch, *shape), or (batch, C, H, W) for an image."""
        if self.from_image:
            x = x.permute(0, 2, 3, 1)
        x = x.reshape(x.shape[0], *self.shape)
        return x.permute(0, 3, 1, 2) if self.to_image else x


class Transpose(nn.Module):
    """Permute the axes behind the batch."""

    def __init__(self, permutation: tuple[int, ...]) -> None:
        super().__init__()
        self.permutation = (0, *(axis + 1 for axis in permutation))

    def forward(self, x: Tensor) -> Tensor:
        """Return the permuted tensor."""
        return x.permute(self.permutation)


def _max_pool(spec: LayerSpec) -> nn.Module:
    return nn.MaxPool2d(spec.kernel, spec.stride, ceil_mode=any(spec.padding))


def _average_pool(spec: LayerSpec) -> nn.Module:
    return nn.AvgPool2d(spec.kernel, spec.stride, ceil_mode=any(spec.padding), count_include_pad=False)


_MODULES: Mapping[LayerKind, Callable[[LayerSpec], nn.Module]] = {
    "conv2d": Convolution,
    "depthwise_conv2d": Convolution,
    "linear": Linear,
    "matmul": lambda spec: MatMul(spec.transpose_b),
    "add": lambda _: Add(),
    "softmax": lambda _: nn.Softmax(dim=-1),
    "layer_norm": lambda spec: nn.LayerNorm(spec.weight_shape, eps=LAYER_NORM_EPSILON),
    "max_pool2d": _max_pool,
    "avg_pool2d": _average_pool,
    "transpose": lambda spec: Transpose(spec.permutation),
}


def build(spec: LayerSpec, from_image: bool) -> nn.Module:
    """Return the module of a layer; ``from_image`` tells a reshape whether it reads an image."""
    if spec.kind == "reshape":
        return Reshape(spec.output_shape, from_image, spec.image)
    return _MODULES[spec.kind](spec)


def initialize(module: nn.Module, generator: torch.Generator) -> None:
    """Draw a layer's weights: He normal over fan-out for convolutions, truncated normal for linear layers."""
    if isinstance(module, Convolution):
        fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1] // module.groups
        nn.init.normal_(module.weight, 0.0, (2.0 / fan_out) ** 0.5, generator=generator)
    elif isinstance(module, Linear):
        nn.init.trunc_normal_(module.weight, std=LINEAR_INIT_STD, generator=generator)
        nn.init.zeros_(cast(Tensor, module.bias))
