"""Operators that multiply by constant weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from tinyformer.sparse_engine.ir import Shape
from tinyformer.sparse_engine.ops.shapes import Pads, Pair, expect_rank, window_shape


@dataclass(frozen=True, slots=True)
class Conv2D:
    """2-D convolution over (H, W, C)."""

    kind: ClassVar[str] = "conv2d"
    stride: Pair = (1, 1)
    padding: Pads = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    left_shift: int | None = None
    low: int = -128
    high: int = 127

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (H', W', O)."""
        x, weight = inputs[0], inputs[1]
        expect_rank(x, 3)
        expect_rank(weight, 4)
        if weight[3] * self.groups != x[2] or weight[0] % self.groups:
            raise ValueError(f"weight {weight} in {self.groups} groups does not fit input {x}")
        height, width = window_shape((x[0], x[1]), (weight[1], weight[2]), self.stride, self.padding, self.dilation)
        return height, width, weight[0]

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Return H' * W' * weights."""
        height, width, _ = self.infer_shape(inputs)
        return height * width * prod(inputs[1])


@dataclass(frozen=True, slots=True)
class DepthwiseConv2D:
    """Depthwise 2-D convolution over (H, W, C), one filter per channel."""

    kind: ClassVar[str] = "depthwise_conv2d"
    stride: Pair = (1, 1)
    padding: Pads = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    left_shift: int | None = None
    low: int = -128
    high: int = 127

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (H', W', C)."""
        x, weight = inputs[0], inputs[1]
        expect_rank(x, 3)
        expect_rank(weight, 3)
        if weight[0] != x[2]:
            raise ValueError(f"weight {weight} does not fit input {x}")
        height, width = window_shape((x[0], x[1]), (weight[1], weight[2]), self.stride, self.padding, self.dilation)
        return height, width, weight[0]

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Return H' * W' * weights."""
        height, width, _ = self.infer_shape(inputs)
        return height * width * prod(inputs[1])


@dataclass(frozen=True, slots=True)
class Linear:
    """Matrix product of the last axis with constant weights."""

    kind: ClassVar[str] = "linear"
    left_shift: int | None = None
    low: int = -128
    high: int = 127

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (..., O)."""
        x, weight = inputs[0], inputs[1]
        expect_rank(weight, 2)
        if not x or x[-1] != weight[1]:
            raise ValueError(f"weight {weight} does not fit input {x}")
        return (*x[:-1], weight[0])

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Return rows * O * I."""
        return prod(inputs[0][:-1]) * prod(inputs[1])
