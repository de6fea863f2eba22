"""The operators: one frozen dataclass each, with attributes, shape inference and work.

Attributes named ``multiplier``, ``left_shift``, ``offset`` and the like are integers that the lowering pass computes
from the tensors' scales; before it they hold ``None``. ``low`` and ``high`` clamp the int8 output (a fused
activation). The integer meaning of every operator is in ``reference``.

Inputs, in order (constants marked *, lowered constants marked +; see ``reference`` for the formulas):

=================  =======================================================================================
Conv2D             x (H, W, C), weight* (O, kh, kw, C / groups), bias*+ (O,) int32, multiplier+ (O,) int32
DepthwiseConv2D    x (H, W, C), weight* (C, kh, kw), bias*+ (C,) int32, multiplier+ (C,) int32
Linear             x (..., I), weight* (O, I), bias*+ (O,) int32, multiplier+ (O,) int32
MatMul             a (..., M, K), b (..., K, N), or (..., N, K) with transpose_b
Add, Mul           a, b: equal shapes, or b's shape a suffix of a's (repeated over the leading axes)
Softmax            x (..., N), over the last axis
LayerNorm          x (..., C), gamma* (C,) int16, beta* (C,) int32, over the last axis
MaxPool2D          x (H, W, C)
AvgPool2D          x (H, W, C), multiplier+ (1,) or (kh * kw,) int32
PooledConv2D       as Conv2D
Attention          query (..., M, D), key (..., K, D) or (..., D, K), value (..., K, N) or (..., N, K)
Lookup             x (any), table* (256,) int8
Reshape ... Pad    x (any); Concat any number
=================  =======================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import ClassVar

from tinyformer.sparse_engine.ir import Operator, QuantParams, Shape, Tensor

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]  # top, left, bottom, right


class _WithoutMacs:
    """What operators have in common that multiply nothing by weights."""

    __slots__ = ()

    def macs(self, inputs: Sequence[Shape]) -> int:  # noqa: ARG002 - the Operator protocol's signature
        """Return 0."""
        return 0


def _window_shape(size: Pair, kernel: Pair, stride: Pair, padding: Pads, dilation: Pair = (1, 1)) -> Pair:
    out = []
    for axis in (0, 1):
        span = (kernel[axis] - 1) * dilation[axis] + 1
        padded = size[axis] + padding[axis] + padding[axis + 2]
        if padded < span:
            raise ValueError(f"a window of {span} does not fit into {padded} on axis {axis}")
        out.append((padded - span) // stride[axis] + 1)
    return out[0], out[1]


def _expect_rank(shape: Shape, rank: int) -> None:
    if len(shape) != rank:
        raise ValueError(f"expected {rank} axes, got shape {shape}")


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
        _expect_rank(x, 3)
        _expect_rank(weight, 4)
        if weight[3] * self.groups != x[2] or weight[0] % self.groups:
            raise ValueError(f"weight {weight} in {self.groups} groups does not fit input {x}")
        height, width = _window_shape((x[0], x[1]), (weight[1], weight[2]), self.stride, self.padding, self.dilation)
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
        _expect_rank(x, 3)
        _expect_rank(weight, 3)
        if weight[0] != x[2]:
            raise ValueError(f"weight {weight} does not fit input {x}")
        height, width = _window_shape((x[0], x[1]), (weight[1], weight[2]), self.stride, self.padding, self.dilation)
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
        _expect_rank(weight, 2)
        if not x or x[-1] != weight[1]:
            raise ValueError(f"weight {weight} does not fit input {x}")
        return (*x[:-1], weight[0])

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Return rows * O * I."""
        return prod(inputs[0][:-1]) * prod(inputs[1])


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
class Add(_WithoutMacs):
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
class Mul(_WithoutMacs):
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
class Softmax(_WithoutMacs):
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
class LayerNorm(_WithoutMacs):
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
class MaxPool2D(_WithoutMacs):
    """Maximum over windows; padding never wins."""

    kind: ClassVar[str] = "max_pool2d"
    kernel: Pair
    stride: Pair
    padding: Pads = (0, 0, 0, 0)

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (H', W', C)."""
        (x,) = inputs
        _expect_rank(x, 3)
        return (*_window_shape((x[0], x[1]), self.kernel, self.stride, self.padding), x[2])


@dataclass(frozen=True, slots=True)
class AvgPool2D(_WithoutMacs):
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
        _expect_rank(x, 3)
        return (*_window_shape((x[0], x[1]), self.kernel, self.stride, self.padding), x[2])

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers of averaged values for which a multiplier is stored, in order."""
        window = self.kernel[0] * self.kernel[1]
        return (window,) if self.count_include_pad or not any(self.padding) else tuple(range(1, window + 1))


@dataclass(frozen=True, slots=True)
class PooledConv2D:
    """A convolution and the maximum over windows of its output, which never exists as a whole.

    ``quant`` is the quantisation of the convolution's output, ``inside`` that output as the unfused graph has it; what
    it is called there does not make an operator another one.
    """

    kind: ClassVar[str] = "pooled_conv2d"
    conv: Conv2D
    pool: MaxPool2D
    quant: QuantParams | None = None
    inside: tuple[Tensor, ...] = field(default=(), compare=False)

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (H', W', O) of the maxima."""
        return self.pool.infer_shape([self.conv.infer_shape(inputs)])

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Return those of the convolution."""
        return self.conv.macs(inputs)


@dataclass(frozen=True, slots=True)
class Attention:
    """Softmax(query x key) x value, without the matrix of tokens by tokens.

    ``scores``, ``softmax`` and ``context`` are the three steps, ``scores_quant`` and ``weights_quant`` the
    quantisations of what the first two give, ``inside`` these two as the unfused graph has them; what they are called
    there does not make an operator another one.
    """

    kind: ClassVar[str] = "attention"
    scores: MatMul
    softmax: Softmax
    context: MatMul
    scores_quant: QuantParams | None = None
    weights_quant: QuantParams | None = None
    inside: tuple[Tensor, ...] = field(default=(), compare=False)

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (..., M, N)."""
        query, key, value = inputs
        return self.context.infer_shape([self.scores.infer_shape([query, key]), value])

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Return those of both products."""
        query, key, value = inputs
        return self.scores.macs([query, key]) + self.context.macs([self.scores.infer_shape([query, key]), value])


@dataclass(frozen=True, slots=True)
class Lookup(_WithoutMacs):
    """A unary function of int8 as a table indexed by x + 128."""

    kind: ClassVar[str] = "lookup"
    function: str = "requantize"

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape."""
        return inputs[0]


@dataclass(frozen=True, slots=True)
class Reshape(_WithoutMacs):
    """The same elements, in the same order, under another shape."""

    kind: ClassVar[str] = "reshape"
    shape: Shape

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the new shape."""
        if prod(inputs[0]) != prod(self.shape):
            raise ValueError(f"cannot reshape {inputs[0]} to {self.shape}")
        return self.shape


@dataclass(frozen=True, slots=True)
class Transpose(_WithoutMacs):
    """Permute axes: output axis i is input axis permutation[i]."""

    kind: ClassVar[str] = "transpose"
    permutation: tuple[int, ...]

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the permuted shape."""
        (x,) = inputs
        if sorted(self.permutation) != list(range(len(x))):
            raise ValueError(f"{self.permutation} does not permute {x}")
        return tuple(x[axis] for axis in self.permutation)


@dataclass(frozen=True, slots=True)
class Slice(_WithoutMacs):
    """Every ``steps``-th element from ``starts``, ``sizes`` of them, on each axis."""

    kind: ClassVar[str] = "slice"
    starts: tuple[int, ...]
    sizes: tuple[int, ...]
    steps: tuple[int, ...]

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return ``sizes``."""
        (x,) = inputs
        if not len(x) == len(self.starts) == len(self.sizes) == len(self.steps):
            raise ValueError(f"slice of {len(self.starts)} axes does not fit {x}")
        for dim, start, size, step in zip(x, self.starts, self.sizes, self.steps, strict=True):
            if size < 1 or step < 1 or start < 0 or start + (size - 1) * step >= dim:
                raise ValueError(f"slice {start}:+{size}:{step} leaves an axis of {dim}")
        return self.sizes


@dataclass(frozen=True, slots=True)
class Concat(_WithoutMacs):
    """Join tensors of one quantisation along an axis."""

    kind: ClassVar[str] = "concat"
    axis: int

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the joined shape."""
        first = inputs[0]
        if not 0 <= self.axis < len(first):
            raise ValueError(f"no axis {self.axis} in {first}")
        for other in inputs[1:]:
            if len(other) != len(first) or any(
                d != f for axis, (d, f) in enumerate(zip(other, first, strict=True)) if axis != self.axis
            ):
                raise ValueError(f"cannot join {first} and {other} on axis {self.axis}")
        return (*first[: self.axis], sum(x[self.axis] for x in inputs), *first[self.axis + 1 :])


@dataclass(frozen=True, slots=True)
class Pad(_WithoutMacs):
    """Surround a tensor with a constant value, given as an integer of its type."""

    kind: ClassVar[str] = "pad"
    before: tuple[int, ...]
    after: tuple[int, ...]
    value: int

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the padded shape."""
        (x,) = inputs
        if not len(x) == len(self.before) == len(self.after):
            raise ValueError(f"padding of {len(self.before)} axes does not fit {x}")
        return tuple(b + d + a for b, d, a in zip(self.before, x, self.after, strict=True))


def with_weights(op: Operator) -> Conv2D | DepthwiseConv2D | Linear | None:
    """Return the operator that multiplies by constant weights, the node's second input: this one or one inside it."""
    inner = op.conv if isinstance(op, PooledConv2D) else op
    return inner if isinstance(inner, Conv2D | DepthwiseConv2D | Linear) else None
