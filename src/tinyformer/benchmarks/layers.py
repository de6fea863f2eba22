"""The layers whose speed is promised: what each one is, the encoding it is measured in, and what it may cost at most.

Weights and zero points are random and seeded, zero blocks drawn uniformly. ``LAYERS`` is the whole table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from tinyformer.sparse_engine.ir import Shape
from tinyformer.sparse_engine.synthetic import GraphBuilder

Unit = Literal["MAC", "element", "output"]
Append = Callable[[GraphBuilder, float, int], str]
"""Appends a layer with a share of zero blocks and their size, and returns its output."""

DENSE = ("dense", 1)
_SAME = (1, 1, 1, 1)
_CYCLES: Mapping[str, float] = MappingProxyType({"dense": 1.0, "75-b4": 0.9})
"""Variant -> estimated cycles at most, per MAC by a non-zero weight."""


@dataclass(frozen=True, slots=True)
class BenchmarkLayer:
    """One row of the speed table.

    ``encoding`` is (name, block) of the weights whatever the compiler would choose, None for layers without weights.
    ``unit`` is what ``at_most`` counts instructions per: a MAC with a non-zero weight, an element or an output;
    ``at_most_cycles`` counts estimated cycles per the same, and is None where the table asks for instructions alone.
    ``baseline`` names the row of the recorded CMSIS-NN figures, empty where there is none; ``fp32`` that of the
    single-precision figures.
    """

    id: str
    title: str
    input_shape: Shape
    append: Append
    at_most: float
    at_most_cycles: float | None = None
    unit: Unit = "MAC"
    encoding: tuple[str, int] | None = None
    sparsity: float = 0.0
    baseline: str = ""
    fp32: str = ""

    @property
    def is_sparse(self) -> bool:
        """Whether the layer is measured with zero blocks."""
        return self.sparsity > 0


def _conv(channels: int, kernel: int) -> Append:
    padding = _SAME if kernel == 3 else (0, 0, 0, 0)

    def append(b: GraphBuilder, sparsity: float, block: int) -> str:
        return b.conv2d(b.input, channels, (kernel, kernel), sparsity=sparsity, block=block, padding=padding)

    return append


def _depthwise(b: GraphBuilder, sparsity: float, block: int) -> str:
    return b.depthwise(b.input, (3, 3), sparsity=sparsity, block=block, padding=_SAME)


def _linear(features: int) -> Append:
    def append(b: GraphBuilder, sparsity: float, block: int) -> str:
        return b.linear(b.input, features, sparsity=sparsity, block=block)

    return append


def _parts(b: GraphBuilder, *shapes: Shape) -> list[str]:
    """Cut the input, one axis long, into activations of these shapes."""
    parts, start = [], 0
    for shape in shapes:
        size = 1
        for dim in shape:
            size *= dim
        parts.append(b.reshape(b.slice(b.input, (start,), (size,), (1,)), shape))
        start += size
    return parts


def _pair(operator: Callable[[GraphBuilder, str, str], str], a: Shape, b: Shape) -> Append:
    def append(builder: GraphBuilder, sparsity: float, block: int) -> str:  # noqa: ARG001 - no weights
        x, y = _parts(builder, a, b)
        return operator(builder, x, y)

    return append


def _unary(operator: Callable[[GraphBuilder], str]) -> Append:
    def append(b: GraphBuilder, sparsity: float, block: int) -> str:  # noqa: ARG001 - no weights
        return operator(b)

    return append


def _weighted(
    layer: str,
    title: str,
    shape: Shape,
    append: Append,
    baseline: str,
    at_most: Mapping[str, float],
    at_most_cycles: Mapping[str, float] = _CYCLES,
) -> tuple[BenchmarkLayer, ...]:
    """Return the dense row and the sparse rows of a layer: ``at_most`` by "dense" or "<per cent>-b<block>"."""
    rows = []
    for variant, limit in at_most.items():
        share, _, block = variant.partition("-b")
        encoding = ("block_rle", int(block)) if block else DENSE
        sparsity = int(share) / 100 if block else 0.0
        words = f", {share} % zero, blocks of {block}" if block else ", dense"
        row_id = f"{layer}-{variant}"
        rows.append(
            BenchmarkLayer(
                row_id,
                title + words,
                shape,
                append,
                limit,
                at_most_cycles.get(variant),
                encoding=encoding,
                sparsity=sparsity,
                baseline=baseline,
            )
        )
    return tuple(rows)


def _softmax(layer: str, title: str, shape: Shape, at_most: float, baseline: str = "") -> BenchmarkLayer:
    append = _unary(lambda b: b.softmax(b.input, scale=0.1))
    return BenchmarkLayer(layer, title, shape, append, at_most, unit="element", baseline=baseline)


def _layer_norm(rows: int, columns: int, at_most: float) -> BenchmarkLayer:
    shape = f"{rows}x{columns}"
    append = _unary(lambda b: b.layer_norm(b.input))
    return BenchmarkLayer(
        f"layernorm-{shape}",
        f"Scaled-LayerNorm {shape}",
        (rows, columns),
        append,
        at_most,
        unit="element",
        fp32=f"layernorm {shape}",
    )


def _pooling(layer: str, title: str, operator: Callable[[GraphBuilder], str], at_most: float) -> BenchmarkLayer:
    return BenchmarkLayer(
        layer,
        f"{title} 2x2 on 32x32x32",
        (32, 32, 32),
        _unary(operator),
        at_most,
        unit="output",
        baseline=f"{layer}2x2 32x32x32 (per output)",
    )


_ROWS = (
    *_weighted(
        "conv3x3",
        "conv 3x3 16x16x64->64",
        (16, 16, 64),
        _conv(64, 3),
        "conv3x3 16x16x64->64",
        {"dense": 1.30, "75-b4": 1.45, "90-b4": 1.65, "75-b2": 1.65},
    ),
    *_weighted(
        "conv3x3-192",
        "conv 3x3 8x8x192->192",
        (8, 8, 192),
        _conv(192, 3),
        "conv3x3 8x8x192->192",
        {"dense": 1.30, "75-b4": 1.45},
    ),
    *_weighted(
        "conv1x1",
        "conv 1x1 16x16x192->64",
        (16, 16, 192),
        _conv(64, 1),
        "conv1x1 16x16x192->64",
        {"dense": 1.35, "75-b4": 1.60, "75-b2": 1.85},
    ),
    *_weighted(
        "linear",
        "linear 64 tokens 192->576",
        (64, 192),
        _linear(576),
        "linear 64x192->576 as conv1x1 wrapper",
        {"dense": 1.35, "75-b4": 1.60},
    ),
    *_weighted(
        "linear-44",
        "linear 256 tokens 44->132",
        (256, 44),
        _linear(132),
        "linear 256x44->132 as conv1x1 wrapper",
        {"dense": 1.60},
    ),
    *_weighted("stem", "conv 3x3 32x32x3->32", (32, 32, 3), _conv(32, 3), "conv3x3 32x32x3->32", {"dense": 2.2}),
    *_weighted(
        "depthwise",
        "depthwise 3x3 16x16x192",
        (16, 16, 192),
        _depthwise,
        "dw3x3 16x16x192",
        {"dense": 3.0, "75-b3": 6.0},
        at_most_cycles={},
    ),
    BenchmarkLayer(
        "attention-scores",
        "Q x K^T, 256 tokens, head 22, 2 heads",
        (2 * 2 * 256 * 22,),
        _pair(lambda b, q, k: b.matmul(q, k, transpose_b=True), (2, 256, 22), (2, 256, 22)),
        1.6,
        at_most_cycles=_CYCLES["dense"],
        baseline="QK^T T256 d22 h2",
    ),
    BenchmarkLayer(
        "attention-values",
        "attention x V, 256 tokens, head 22, 2 heads",
        (2 * 256 * (256 + 22),),
        _pair(lambda b, a, v: b.matmul(a, v), (2, 256, 256), (2, 256, 22)),
        1.5,
        at_most_cycles=_CYCLES["dense"],
        baseline="AV T256 d22 h2",
    ),
    _softmax("softmax", "softmax 256x256", (256, 256), 12, baseline="softmax 256x256 scale .1"),
    _softmax("softmax-1500", "softmax, one row of 1,500", (1, 1500), 13),
    _layer_norm(256, 44, 34),
    _layer_norm(64, 192, 26),
    BenchmarkLayer(
        "add",
        "residual add 16x16x64",
        (2 * 16 * 16 * 64,),
        _pair(lambda b, x, y: b.add(x, y), (16, 16, 64), (16, 16, 64)),
        12,
        unit="element",
        baseline="add 16x16x64",
    ),
    _pooling("maxpool", "max pooling", lambda b: b.max_pool(b.input, (2, 2), (2, 2)), 4),
    _pooling("avgpool", "average pooling", lambda b: b.avg_pool(b.input, (2, 2), (2, 2)), 6),
)

LAYERS: Mapping[str, BenchmarkLayer] = MappingProxyType({row.id: row for row in _ROWS})
"""Id -> layer, in the order of the speed table."""
