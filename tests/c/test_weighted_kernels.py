"""Convolution, depthwise, linear and matmul kernels equal the reference over a grid of edge cases."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kernel_cases
from kernel_cases import Case, Requantization, Structs
from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.kernels import catalogue

CHANNELS = (1, 3, 4, 5, 7, 8, 17)
REQUANTIZATIONS = (
    Requantization(zero_point=-128, low=-128, high=127),
    Requantization(zero_point=127, low=-5, high=90),
    Requantization(zero_point=-128, low=-128, high=127, multipliers="extreme"),
    Requantization(zero_point=11, low=11, high=127, left_shift=9),
    Requantization(zero_point=127, multipliers="extreme", left_shift=30),
)
# kernel, stride, padding, dilation, image
GEOMETRIES = (
    ((1, 1), (1, 1), (0, 0, 0, 0), (1, 1), (5, 7)),
    ((1, 1), (2, 2), (0, 0, 0, 0), (1, 1), (5, 7)),
    ((1, 1), (1, 1), (1, 0, 0, 1), (1, 1), (2, 3)),
    ((3, 3), (1, 1), (1, 1, 1, 1), (1, 1), (5, 7)),
    ((3, 3), (2, 2), (0, 1, 1, 0), (1, 1), (6, 5)),
    ((3, 3), (1, 1), (2, 2, 2, 2), (2, 2), (5, 6)),
    ((2, 3), (1, 2), (0, 2, 1, 3), (1, 1), (4, 8)),
    ((1, 5), (1, 1), (0, 2, 0, 2), (1, 1), (3, 9)),
    ((5, 1), (3, 1), (4, 0, 2, 0), (1, 1), (7, 4)),
    ((4, 7), (1, 3), (1, 3, 2, 3), (1, 2), (6, 12)),
    ((3, 3), (1, 1), (0, 0, 0, 0), (1, 1), (3, 3)),
    ((3, 3), (4, 4), (0, 0, 0, 0), (1, 1), (11, 11)),
    ((3, 3), (1, 1), (3, 3, 3, 3), (1, 1), (1, 1)),
    ((1, 1), (4, 4), (2, 2, 0, 0), (1, 1), (2, 2)),
)


def check(case: Case, runtime: ctypes.CDLL, structs: Structs) -> None:
    np.testing.assert_array_equal(kernel_cases.run_on_host(case, runtime, structs), case.expected(), case.symbol)


def variants(case: Case, blocks: tuple[int, ...] = (2, 4)) -> Iterator[Case]:
    yield case
    yield from kernel_cases.in_blocks(case, blocks)


def depthwise_variants(case: Case) -> Iterator[Case]:
    return variants(case, (3,))


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_conv2d_geometry(geometry, runtime, structs):
    kernel, stride, padding, dilation, size = geometry
    rng = np.random.default_rng(1)
    op = ops.Conv2D(stride, padding, dilation)
    for channels, sparsity in product((1, 3, 4, 5, 7, 8), (0.0, 0.6)):
        case = kernel_cases.conv2d(rng, size, channels, 3, kernel, op=op, sparsity=sparsity, block=2)
        for variant in variants(case):
            check(variant, runtime, structs)
            check(variant.narrow(), runtime, structs)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_depthwise_geometry(geometry, runtime, structs):
    kernel, stride, padding, dilation, size = geometry
    rng = np.random.default_rng(2)
    op = ops.DepthwiseConv2D(stride, padding, dilation)
    for channels, sparsity in product((1, 3, 4, 5, 8), (0.0, 0.5)):
        case = kernel_cases.depthwise(rng, size, channels, kernel, op=op, sparsity=sparsity, block=3)
        for variant in depthwise_variants(case):
            check(variant, runtime, structs)


@pytest.mark.parametrize(
    ("kernel", "padding", "dilation_x"),
    [
        ((3, 3), (1, 1, 1, 1), 1),
        ((3, 3), (2, 0, 0, 2), 1),
        ((3, 3), (0, 2, 2, 0), 1),
        ((3, 3), (1, 2, 1, 2), 2),
        ((5, 5), (2, 2, 2, 2), 1),
        ((2, 3), (1, 1, 0, 1), 1),
        ((1, 1), (0, 0, 0, 0), 1),
        ((1, 3), (0, 1, 0, 1), 1),
        ((4, 7), (3, 3, 0, 3), 1),
    ],
)
def test_depthwise_in_place(kernel, padding, dilation_x, runtime, structs):
    """Wherever the catalogue says that a depthwise kernel may write over its input, it may."""
    rng = np.random.default_rng(12)
    op = ops.DepthwiseConv2D(padding=padding, dilation=(1, dilation_x))
    for size, channels, sparsity in product(((7, 9), (1, 1), (2, 8)), (1, 3, 4, 5, 8), (0.0, 0.5)):
        case = kernel_cases.depthwise(rng, size, channels, kernel, op=op, sparsity=sparsity, block=3)
        for variant in depthwise_variants(case):
            rows = catalogue.CATALOGUE[ops.DepthwiseConv2D]
            row = next(kernel for kernel in rows if kernel.symbol == variant.symbol)
            assert row.overwrites(variant.graph, variant.graph.nodes[0]) == (variant.graph.input,)
            found = kernel_cases.run_on_host(variant, runtime, structs, in_place=True)
            np.testing.assert_array_equal(found, variant.expected(), variant.symbol)


@pytest.mark.parametrize(
    ("size", "kernel", "op"),
    [
        ((6, 6), (3, 3), ops.DepthwiseConv2D((2, 2), (1, 1, 1, 1))),
        ((6, 6), (3, 3), ops.DepthwiseConv2D((1, 1), (2, 2, 2, 2), (2, 2))),
        ((6, 6), (3, 3), ops.DepthwiseConv2D((1, 1), (0, 0, 0, 0))),
        ((6, 6), (3, 3), ops.DepthwiseConv2D((1, 1), (3, 1, 0, 1))),
    ],
    ids=["stride", "dilation", "another shape", "rows from above"],
)
def test_depthwise_not_in_place(size, kernel, op):
    case = kernel_cases.depthwise(np.random.default_rng(0), size, 4, kernel, op=op)
    for row in catalogue.CATALOGUE[ops.DepthwiseConv2D]:
        assert row.overwrites(case.graph, case.graph.nodes[0]) == ()


@pytest.mark.parametrize(("groups", "channels", "filters"), [(2, 2, 2), (2, 6, 4), (3, 9, 6), (4, 16, 8), (5, 35, 5)])
def test_conv2d_groups(groups, channels, filters, runtime, structs):
    rng = np.random.default_rng(3)
    for kernel, padding in (((1, 1), (0, 0, 0, 0)), ((3, 3), (1, 1, 1, 1))):
        op = ops.Conv2D(padding=padding, groups=groups)
        check(kernel_cases.conv2d(rng, (4, 5), channels, filters, kernel, op=op), runtime, structs)


@pytest.mark.parametrize("channels", CHANNELS)
def test_linear_sizes(channels, runtime, structs):
    rng = np.random.default_rng(4)
    for rows, outputs, sparsity in product((1, 3, 4, 9), (1, 2, 10), (0.0, 0.7)):
        case = kernel_cases.linear(rng, rows, channels, outputs, sparsity=sparsity, block=4)
        for variant in variants(case):
            check(variant, runtime, structs)
            check(variant.narrow(), runtime, structs)


@pytest.mark.parametrize("depth", CHANNELS)
@pytest.mark.parametrize("transpose_b", [False, True])
def test_matmul_sizes(depth, transpose_b, runtime, structs):
    rng = np.random.default_rng(5)
    for batch, rows, columns in product((1, 3), (1, 4, 5), (1, 3, 4, 5, 8, 11, 17)):
        check(kernel_cases.matmul(rng, batch, rows, depth, columns, transpose_b=transpose_b), runtime, structs)


@pytest.mark.parametrize("requantization", REQUANTIZATIONS, ids=str)
@pytest.mark.parametrize("zero_point", [-128, 0, 127])
def test_extreme_quantization(requantization, zero_point, runtime, structs):
    rng = np.random.default_rng(6)
    both = {"zero_point": zero_point, "requantization": requantization}
    padded = (1, 1, 1, 1)
    cases = [
        *variants(kernel_cases.conv2d(rng, op=ops.Conv2D(padding=padded), channels=6, **both)),
        *depthwise_variants(kernel_cases.depthwise(rng, op=ops.DepthwiseConv2D(padding=padded), **both)),
        *variants(kernel_cases.linear(rng, **both)),
        kernel_cases.matmul(rng, zero_points=(zero_point, -128), requantization=requantization),
        kernel_cases.matmul(rng, zero_points=(127, zero_point), requantization=requantization, transpose_b=True),
    ]
    for case in cases:
        check(case, runtime, structs)


def test_saturating_values(runtime, structs):
    """The largest products meet: every input and weight is -128."""
    rng = np.random.default_rng(7)
    layer, product = kernel_cases.linear(rng, 4, 64, 3), kernel_cases.matmul(rng, 1, 4, 64, 4, zero_points=(127, 127))
    for array in (layer.input, layer.graph.data["weight"], product.input, product.graph.data["b"]):
        array[...] = -128
    for case in (layer.with_encoding(layer.symbol, "dense", 1), product):
        check(case, runtime, structs)


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("block", [2, 4])
def test_sparsity(sparsity, block, runtime, structs):
    """Channels long enough that distances beyond 255 blocks need inserted zero blocks."""
    rng = np.random.default_rng(8)
    op = ops.Conv2D(padding=(1, 1, 1, 1))
    for channels in (8, 301):
        case = kernel_cases.conv2d(rng, (2, 3), channels, 4, op=op, sparsity=sparsity, block=block)
        case.graph.data["weight"][0, ..., :-1] = 0  # one filter of far blocks only
        both = (case, kernel_cases.linear(rng, 5, channels, 40, sparsity=sparsity, block=block))
        for variant in (variant for case in both for variant in kernel_cases.in_blocks(case, (block,))):
            check(variant, runtime, structs)
            check(variant.narrow(), runtime, structs)
    for variant in depthwise_variants(kernel_cases.depthwise(rng, (4, 9), 6, (3, 3), sparsity=sparsity, block=3)):
        check(variant, runtime, structs)


def test_depthwise_kernels_of_many_blocks(runtime, structs):
    """More blocks in a filter than a word has bits."""
    case = kernel_cases.depthwise(np.random.default_rng(13), (12, 11), 5, (9, 11), sparsity=0.7, block=3)
    for variant in depthwise_variants(case):
        check(variant, runtime, structs)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_random_convolutions(data, runtime, structs):
    def draw(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    kernel, stride, dilation = (
        (draw(1, 4), draw(1, 4)),
        (draw(1, 3), draw(1, 3)),
        (draw(1, 2), draw(1, 2)),
    )
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    padding = (draw(0, 3), draw(0, 3), draw(0, 3), draw(0, 3))
    size = tuple(max(draw(1, 7), span - padding[axis] - padding[axis + 2]) for axis, span in enumerate(spans))
    rng = np.random.default_rng(draw(0, 2**32))
    requantization = Requantization(
        zero_point=draw(-128, 127),
        low=draw(-128, 0),
        high=draw(1, 127),
        multipliers=data.draw(st.sampled_from(["typical", "extreme"])),
        left_shift=draw(0, 12),
    )
    common = {"sparsity": draw(0, 10) / 10, "zero_point": draw(-128, 127), "requantization": requantization}
    case = kernel_cases.conv2d(
        rng, size, draw(1, 9), draw(1, 6), kernel, op=ops.Conv2D(stride, padding, dilation), block=draw(1, 4), **common
    )
    for variant in variants(case):
        check(variant, runtime, structs)
    op = ops.DepthwiseConv2D(stride, padding, dilation)
    for variant in depthwise_variants(kernel_cases.depthwise(rng, size, draw(1, 9), kernel, op=op, block=3, **common)):
        check(variant, runtime, structs)
