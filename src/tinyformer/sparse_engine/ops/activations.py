"""Operators that compute with activations: products, sums, norms, pooling and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from tinyformer.sparse_engine.ir import Shape
from tinyformer.sparse_engine.ops.shapes import Pads, Pair, WithoutMacs, expect_rank, window_shape


@dataclass(frozen=True, slots=True)
class MatMul:
    """Matrix product of two activations, batched over equal leading axes."""

    kind: ClassVar[str] = "matmul"
    transpose_b: bool = False
    multiplier: int | None = None
    left_shift: int | None = None
    low: int = -128
    high: int = 127

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (..., M, N)."""
        a, b = inputs
        if len(a) < 2 or len(a) != len(b) or a[:-2] != b[:-2]:
            raise ValueError(f"cannot multiply {a} by {b}")
        columns, depth = (b[-2], b[-1]) if self.transpose_b else (b[-1], b[-2])
        if depth != a[-1]:
            raise ValueError(f"cannot multiply {a} by {b} (transpose_b={self.transpose_b})")
        return (*a[:-1], columns)

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Return batch * M * N * K."""
        return prod(self.infer_shape(inputs)) * inputs[0][-1]


def _suffix_broadcast(inputs: Sequence[Shape]) -> Shape:
    a, b = inputs
    if len(b) > len(a) or a[len(a) - len(b) :] != b:
        raise ValueError(f"{b} is not {a} or a suffix of it")
    return a


@dataclass(frozen=True, slots=True)
class Add(WithoutMacs):
    """Element-wise sum of a and b, each times its sign; lowering moves the signs into the multipliers."""

    kind: ClassVar[str] = "add"
    multiplier_a: int | None = None
    multiplier_b: int | None = None
    offset: int | None = None
    shift: int | None = None
    low: int = -128
    high: int = 127
    signs: Pair = (1, 1)

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return a's shape."""
        return _suffix_broadcast(inputs)


@dataclass(frozen=True, slots=True)
class Mul(WithoutMacs):
    """Element-wise product."""

    kind: ClassVar[str] = "mul"
    multiplier: int | None = None
    left_shift: int | None = None
    low: int = -128
    high: int = 127

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return a's shape."""
        return _suffix_broadcast(inputs)


@dataclass(frozen=True, slots=True)
class Softmax(WithoutMacs):
    """Softmax over the last axis by a table of exponentials."""

    kind: ClassVar[str] = "softmax"
    exp_multiplier: int | None = None
    fraction_bits: int | None = None
    output_multiplier: int | None = None
    output_exponent: int | None = None

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape."""
        if not inputs[0]:
            raise ValueError("a scalar has no last axis")
        return inputs[0]


@dataclass(frozen=True, slots=True)
class LayerNorm(WithoutMacs):
    """Scaled-LayerNorm over the last axis (paper Sec. III-C3)."""

    kind: ClassVar[str] = "layer_norm"
    epsilon: float = 1e-5
    epsilon_term: int | None = None
    multiplier: int | None = None
    left_shift: int | None = None
    low: int = -128
    high: int = 127

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape."""
        x, gamma, beta = inputs
        if not x or gamma != x[-1:] or beta != x[-1:]:
            raise ValueError(f"gamma {gamma} and beta {beta} do not fit input {x}")
        return x


@dataclass(frozen=True, slots=True)
class MaxPool2D(WithoutMacs):
    """Maximum over windows; padding never wins."""

    kind: ClassVar[str] = "max_pool2d"
    kernel: Pair
    stride: Pair
    padding: Pads = (0, 0, 0, 0)

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (H', W', C)."""
        (x,) = inputs
        expect_rank(x, 3)
        return (*window_shape((x[0], x[1]), self.kernel, self.stride, self.padding), x[2])


@dataclass(frozen=True, slots=True)
class AvgPool2D(WithoutMacs):
    """Mean over windows, of the values inside the image unless padding counts."""

    kind: ClassVar[str] = "avg_pool2d"
    kernel: Pair
    stride: Pair
    padding: Pads = (0, 0, 0, 0)
    count_include_pad: bool = False
    left_shift: int | None = None
    low: int = -128
    high: int = 127

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (H', W', C)."""
        x = inputs[0]
        expect_rank(x, 3)
        return (*window_shape((x[0], x[1]), self.kernel, self.stride, self.padding), x[2])

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers of averaged values for which a multiplier is stored, in order."""
        window = self.kernel[0] * self.kernel[1]
        return (window,) if self.count_include_pad or not any(self.padding) else tuple(range(1, window + 1))


@dataclass(frozen=True, slots=True)
class Lookup(WithoutMacs):
    """A unary function of int8 as a table indexed by x + 128."""

    kind: ClassVar[str] = "lookup"
    function: str = "requantize"

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape."""
        return inputs[0]
