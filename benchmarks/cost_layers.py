"""Layers of random shapes, some for every kernel: what the cost tables are fitted on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.ir import Operator
from tinyformer.sparse_engine.kernels import CATALOGUE
from tinyformer.sparse_engine.synthetic import GraphBuilder

INPUT_BYTES = 40_000
Rng = np.random.Generator


class Cuts(GraphBuilder):
    """A graph whose layers read parts of its input."""

    def take(self, rng: Rng, shape: tuple[int, ...]) -> str:
        """Return an activation of a shape."""
        size = int(np.prod(shape))
        start = int(rng.integers(0, INPUT_BYTES - size))
        return self.reshape(self.slice(self.input, (start,), (size,), (1,)), shape)


class Constants(Cuts):
    """A graph whose layers read constants, so that an image has no other kernel than theirs."""

    def take(self, rng: Rng, shape: tuple[int, ...]) -> str:  # noqa: ARG002 - constants draw their own numbers
        return self.constant(shape)


Layer = Callable[[Cuts, Rng], str]
"""Appends one layer and returns its output."""


def pick(rng: Rng, *values: int) -> int:
    return int(rng.choice(values))


def between(rng: Rng, low: int, high: int) -> int:
    """Return an integer whose logarithm is uniform."""
    return round(float(np.exp(rng.uniform(np.log(low), np.log(high + 0.49)))))


def quads_or_any(rng: Rng, low: int, high: int) -> int:
    """Return a multiple of four as often as not: words are then aligned, as they are in most models."""
    return 4 * between(rng, 1, high // 4) if pick(rng, 0, 1) else between(rng, low, high)


def fused_low(rng: Rng) -> int:
    """Return the least output: a fused activation that the zero point does not make is rare."""
    return pick(rng, -128, -128, -128, 0)


def is_large(rng: Rng) -> bool:
    """Whether to draw a layer of the shape that takes a model's time: in the others much is spent around the loops."""
    return pick(rng, 0, 0, 1) == 1


def sparsity(rng: Rng, block: int) -> float:
    return float(rng.uniform(0, 0.95)) * (block > 1)


def linear(block: int) -> Layer:
    def layer(b: Cuts, rng: Rng) -> str:
        if is_large(rng):
            rows, inputs, outputs = between(rng, 16, 100), 4 * between(rng, 8, 64), between(rng, 24, 96)
        else:
            rows, inputs, outputs = between(rng, 1, 70), quads_or_any(rng, 3, 260), between(rng, 1, 64)
        x = b.take(rng, (rows, inputs))
        return b.linear(x, outputs, sparsity=sparsity(rng, block), block=max(block, 1), low=fused_low(rng))

    return layer


def conv2d(block: int) -> Layer:
    def layer(b: Cuts, rng: Rng) -> str:
        return large_conv2d(b, rng, block) if is_large(rng) else any_conv2d(b, rng, block)

    return layer


def large_conv2d(b: Cuts, rng: Rng, block: int) -> str:
    """Append a convolution over 3x3 pixels, of many channels."""
    channels = between(rng, 12, 90) if pick(rng, 0, 0, 1) else 4 * between(rng, 3, 22)
    x = b.take(rng, (between(rng, 5, 16), between(rng, 5, 16), channels))
    return b.conv2d(
        x,
        between(rng, 12, 48),
        (3, 3),
        sparsity=sparsity(rng, block),
        block=max(block, 1),
        padding=(1, 1, 1, 1),
        low=fused_low(rng),
    )


def any_conv2d(b: Cuts, rng: Rng, block: int) -> str:
    """Append a convolution of any kernel, stride, dilation and padding."""
    kernel = (pick(rng, 1, 2, 3, 3, 3, 5), pick(rng, 1, 2, 3, 3, 3, 5))
    dilation = (pick(rng, 1, 1, 1, 2), pick(rng, 1, 1, 1, 2))
    span = tuple((k - 1) * d for k, d in zip(kernel, dilation, strict=True))
    groups = 1 if block > 1 else pick(rng, 1, 1, 1, 2)
    channels = groups * (4 * between(rng, 1, 10) if pick(rng, 0, 1) else between(rng, 1, 32))
    x = b.take(rng, (span[0] + between(rng, 1, 14), span[1] + between(rng, 1, 14), channels))
    padding = tuple(int(rng.integers(0, s + 1)) for s in (*span, *span)) if pick(rng, 0, 1, 1) else (0, 0, 0, 0)
    stride = (2, 2) if kernel == (1, 1) else (pick(rng, 1, 1, 2), pick(rng, 1, 1, 2))
    return b.conv2d(
        x,
        groups * between(rng, 1, 24),
        kernel,
        sparsity=sparsity(rng, block),
        block=max(block, 1),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        low=fused_low(rng),
    )


def depthwise(block: int) -> Layer:
    def layer(b: Cuts, rng: Rng) -> str:
        kernel = (pick(rng, 3, 3, 2, 5), pick(rng, 3, 3, 3, 5))
        dilation = (pick(rng, 1, 1, 1, 2), pick(rng, 1, 1, 1, 2))
        span = tuple((k - 1) * d for k, d in zip(kernel, dilation, strict=True))
        x = b.take(rng, (span[0] + between(rng, 1, 14), span[1] + between(rng, 1, 14), between(rng, 1, 48)))
        padding = tuple(int(rng.integers(0, s + 1)) for s in (*span, *span)) if pick(rng, 0, 1, 1) else (0, 0, 0, 0)
        return b.depthwise(
            x,
            kernel,
            sparsity=sparsity(rng, block),
            block=max(block, 1),
            stride=(pick(rng, 1, 1, 2), pick(rng, 1, 1, 2)),
            padding=padding,
            dilation=dilation,
            low=fused_low(rng),
        )

    return layer


def matmul(b: Cuts, rng: Rng) -> str:
    batch, rows = between(rng, 1, 4), between(rng, 1, 40)
    depth, columns = quads_or_any(rng, 2, 64), quads_or_any(rng, 1, 40)
    transpose = bool(pick(rng, 0, 1))
    a = b.take(rng, (batch, rows, depth))
    return b.matmul(
        a, b.take(rng, (batch, columns, depth) if transpose else (batch, depth, columns)), transpose_b=transpose
    )


def rows_of(operator: Callable[[Cuts, str], str]) -> Layer:
    def layer(b: Cuts, rng: Rng) -> str:
        return operator(b, b.take(rng, (between(rng, 1, 60), between(rng, 1, 260))))

    return layer


def layer_norm(b: Cuts, rng: Rng) -> str:
    return b.layer_norm(b.take(rng, (between(rng, 1, 60), between(rng, 2, 260))), low=pick(rng, -128, 0))


def pair(product: bool) -> Layer:
    def layer(b: Cuts, rng: Rng) -> str:
        shape = (between(rng, 1, 60), between(rng, 1, 130))
        x, y = b.take(rng, shape), b.take(rng, shape) if pick(rng, 0, 1) else b.constant(shape[1:])
        return (b.mul if product else b.add)(x, y, low=pick(rng, -128, 0))

    return layer


def pool(average: bool) -> Layer:
    def layer(b: Cuts, rng: Rng) -> str:
        kernel = (pick(rng, 2, 2, 3), pick(rng, 2, 2, 3))
        x = b.take(rng, (kernel[0] + between(rng, 1, 12), kernel[1] + between(rng, 1, 12), between(rng, 1, 70)))
        stride = (pick(rng, 1, 2), pick(rng, 1, 2))
        padding = (1, 1, 1, 1) if pick(rng, 0, 1) else (0, 0, 0, 0)
        if average:
            return b.avg_pool(x, kernel, stride, padding, low=pick(rng, -128, 0))
        return b.max_pool(x, kernel, stride, padding)

    return layer


def move(b: Cuts, rng: Rng) -> str:
    kind = pick(rng, 0, 0, 1, 2, 3, 4, 5)
    shape = (between(rng, 1, 40), between(rng, 1, 8), 1 if kind == 5 else between(rng, 1, 70))
    x = b.take(rng, shape)
    if kind == 0:
        return b.transpose(x, rng.permutation(3).tolist())
    if kind == 5:  # single bytes far apart
        return b.concat([x, x], 2)
    if kind == 4:  # heads
        return b.transpose(x, (1, 0, 2))
    if kind == 1:
        return b.concat([x, x], int(rng.integers(0, 3)))
    if kind == 2:
        return b.pad(x, rng.integers(0, 3, 3).tolist(), rng.integers(0, 3, 3).tolist())
    steps = [pick(rng, 1, 1, 2) for _ in shape]
    return b.slice(x, (0, 0, 0), [-(-dim // step) for dim, step in zip(shape, steps, strict=True)], steps)


_WEIGHTED: Mapping[type[Operator], Callable[[int], Layer]] = {
    ops.Linear: linear,
    ops.Conv2D: conv2d,
    ops.DepthwiseConv2D: depthwise,
}


def _weighted() -> dict[str, Layer]:
    """Return the layers for every kernel of the catalogue that reads weights, in whichever encoding."""
    found: dict[str, Layer] = {}
    for operator, layer in _WEIGHTED.items():
        for kernel in CATALOGUE[operator]:
            if kernel.encoding is not None:
                found.setdefault(kernel.symbol, layer(kernel.encoding[1]))
    return found


LAYERS: Mapping[str, Layer] = _weighted() | {
    "se_matmul_s8": matmul,
    "se_softmax_s8": rows_of(lambda b, x: b.softmax(x)),
    "se_softmax_lazy_s8": rows_of(lambda b, x: b.softmax(x)),
    "se_layer_norm_s8": layer_norm,
    "se_add_s8": pair(product=False),
    "se_mul_s8": pair(product=True),
    "se_lookup_s8": rows_of(lambda b, x: b.lookup(x)),
    "se_max_pool2d_s8": pool(average=False),
    "se_avg_pool2d_s8": pool(average=True),
    "se_move_s8": move,
    "se_fill_s8": move,
}
"""Kernel -> a layer that uses it; the fill comes with padding."""
