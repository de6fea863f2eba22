"""Convolution, depthwise, linear and matmul on an emulated Cortex-M7: DSP and portable code equal the reference.

The memory behind every array is missing there, so that reads and writes past an end fault.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import emulated_core
import kernel_cases
from emulated_core import EmulatedCore
from kernel_cases import Case, Requantization, Structs
from tinyformer.sparse_engine import ops

pytestmark = pytest.mark.emulator

SAME = (1, 1, 1, 1)
SHIFTED = Requantization(zero_point=-60, low=-60, high=100, left_shift=7)
SOURCES = (
    "se_columns.c",
    "se_conv2d.c",
    "se_conv2d_block.c",
    "se_conv2d_packed.c",
    "se_depthwise.c",
    "se_depthwise_conv2d.c",
    "se_depthwise_conv2d_bitmap.c",
    "se_depthwise_conv2d_block.c",
    "se_depthwise_row.c",
    "se_filters.c",
    "se_filters_wide.c",
    "se_linear.c",
    "se_linear_block.c",
    "se_linear_packed.c",
    "se_matmul.c",
    "se_packed.c",
    "se_patch.c",
    "se_strip.c",
    "se_window.c",
)


def sparse(case: Case, block: int, part: str = "") -> Case:
    """The same layer with block weights; ``part`` of the symbol names the code (``kernel_cases.CODES``)."""
    symbol = case.symbol.replace("_s8", f"_{part}block{block}_s8")
    return case.with_encoding(symbol, kernel_cases.CODES[part], block)


def conv2d(rng: np.random.Generator, channels: int, **options: object) -> Case:
    op = ops.Conv2D((1, 1), SAME)
    return kernel_cases.conv2d(rng, (3, 5), channels, 6, op=op, requantization=SHIFTED, **options)


def depthwise(rng: np.random.Generator, channels: int, op: ops.DepthwiseConv2D, **options: object) -> Case:
    return kernel_cases.depthwise(rng, (5, 7), channels, op=op, requantization=SHIFTED, **options)


def depthwise_rows(
    rng: np.random.Generator, size: tuple[int, int], kernel: tuple[int, int], stride: int, blocks: int
) -> Case:
    """A depthwise convolution without left shift, of 11 channels, some of them without weights where sparse."""
    pads = tuple(k // 2 for k in kernel)
    op = ops.DepthwiseConv2D((1, stride), (*pads, *pads))
    case = kernel_cases.depthwise(rng, size, 11, kernel, op=op, sparsity=0.6 * blocks, block=3)
    return sparse(case, 3) if blocks else case


CASES: dict[str, Callable[[np.random.Generator], Case]] = {
    **{f"conv2d {c}": lambda r, c=c: conv2d(r, c) for c in (1, 3, 4, 5, 16)},
    **{
        f"conv2d {c} in blocks of {b}": lambda r, c=c, b=b: sparse(conv2d(r, c, sparsity=0.5, block=b), b)
        for c in (1, 3, 8, 13)
        for b in (2, 4)
    },
    **{
        f"conv2d {c} inside the image, stride {stride}": lambda r, c=c, s=stride: kernel_cases.conv2d(
            r, (5, 21), c, 3, op=ops.Conv2D((1, s))
        )
        for c in (1, 3, 6)
        for stride in (1, 2, 4)
    },
    **{
        f"conv2d 3, rows apart, padding {pads}": lambda r, p=pads: kernel_cases.conv2d(
            r, (7, 12), 3, 3, op=ops.Conv2D((1, 1), p, (2, 1))
        )
        for pads in ((0, 0, 0, 0), (2, 1, 2, 1))
    },
    "conv2d in groups": lambda r: kernel_cases.conv2d(r, channels=6, filters=4, op=ops.Conv2D(groups=2)),
    "conv2d 1x1": lambda r: kernel_cases.conv2d(r, channels=7, kernel=(1, 1), op=ops.Conv2D((2, 2))),
    **{f"depthwise {c}": lambda r, c=c: depthwise(r, c, ops.DepthwiseConv2D((1, 1), SAME)) for c in (1, 3, 4, 9)},
    "depthwise strided": lambda r: depthwise(r, 5, ops.DepthwiseConv2D((2, 2), SAME)),
    "depthwise dilated": lambda r: depthwise(r, 5, ops.DepthwiseConv2D((1, 1), SAME, (2, 2)), kernel=(2, 3)),
    "depthwise in blocks": lambda r: sparse(
        depthwise(r, 6, ops.DepthwiseConv2D((1, 1), SAME), sparsity=0.5, block=3), 3
    ),
    "depthwise dilated in blocks": lambda r: sparse(
        depthwise(r, 6, ops.DepthwiseConv2D((1, 2), SAME, (2, 2)), kernel=(2, 4), sparsity=0.3, block=3), 3
    ),
    **{
        f"depthwise {a[0]} {a[1]} stride {stride}{' in blocks' * blocks}": lambda r, a=a, s=stride, b=blocks: (
            depthwise_rows(r, *a, s, b)
        )
        for a in (
            ((3, 8), (3, 3)),
            ((4, 9), (3, 3)),
            ((3, 17), (2, 5)),
            ((5, 4), (3, 3)),
            ((2, 3), (4, 4)),
            ((1, 1), (3, 3)),
            ((6, 21), (1, 2)),
        )
        for stride in (1, 2)
        for blocks in (0, 1)
    },
    **{f"linear {n}": lambda r, n=n: kernel_cases.linear(r, 13, n, 5) for n in (1, 3, 4, 21)},
    **{
        f"linear {n} in blocks of {b}": lambda r, n=n, b=b: sparse(
            kernel_cases.linear(r, 13, n, 5, sparsity=0.5, block=b), b
        )
        for n in (3, 24)
        for b in (2, 4)
    },
    **{
        f"{name} in blocks of {b}, {part}{room:.0%} unpacked": lambda r, n=name, b=b, p=part, u=room: sparse(
            conv2d(r, 13, sparsity=0.5, block=b)
            if n == "conv2d"
            else kernel_cases.linear(r, 13, 24, 21, sparsity=0.6, block=b),
            b,
            p,
        ).unpacked(u)
        for name in ("conv2d", "linear")
        for b in (2, 4)
        for part in ("rle4_", "bitmap_")
        for room in (0, 0.5, 1)
    },
    "depthwise, bitmap": lambda r: sparse(
        depthwise(r, 6, ops.DepthwiseConv2D((1, 1), SAME), sparsity=0.5, block=3), 3, "bitmap_"
    ),
    "depthwise of many blocks, bitmap": lambda r: sparse(
        depthwise(r, 9, ops.DepthwiseConv2D((1, 1), (4, 4, 4, 4)), kernel=(9, 10), sparsity=0.6, block=3), 3, "bitmap_"
    ),
    "linear in narrow strips": lambda r: kernel_cases.linear(r, 13, 21, 5).narrow(),
    "conv2d in narrow strips": lambda r: conv2d(r, 4).narrow(),
    **{
        f"conv2d in {part}blocks in narrow strips": lambda r, p=part: sparse(
            conv2d(r, 5, sparsity=0.5, block=4), 4, p
        ).narrow()
        for part in kernel_cases.CODES
    },
    **{
        f"matmul {n}x{c}{' transposed' * t}": lambda r, n=n, c=c, t=t: kernel_cases.matmul(
            r, 2, 5, n, c, transpose_b=bool(t)
        )
        for n, c in ((1, 6), (2, 8), (3, 1), (4, 13), (11, 3), (22, 9))
        for t in (0, 1)
    },
    **{
        f"matmul of {c} columns, shifted": lambda r, c=c: kernel_cases.matmul(r, 2, 3, 7, c, requantization=SHIFTED)
        for c in (2, 8, 11)
    },
}


BUILDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "dsp": ("zig", ()),
    "portable": ("zig", ("SE_PORTABLE",)),
    "gcc": ("gcc", ()),
}


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.full] if name == "gcc" else []) for name in BUILDS]
)
def core(request: pytest.FixtureRequest, cores: Callable[[str], EmulatedCore]) -> EmulatedCore:
    return cores(request.param)


@pytest.fixture(scope="module")
def cores(runtime_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], EmulatedCore]:
    directory = tmp_path_factory.mktemp("core")
    sources = [runtime_directory / name for name in SOURCES]

    @cache
    def built(name: str) -> EmulatedCore:
        compiler, defines = BUILDS[name]
        return EmulatedCore(emulated_core.build(sources, directory / f"{name}.elf", defines, compiler=compiler))

    return built


@pytest.mark.parametrize("name", CASES)
def test_core_equals_reference(name: str, core: EmulatedCore, structs: Structs):
    case = CASES[name](np.random.default_rng(0))
    output, _ = kernel_cases.run_on_core(case, core, structs)
    np.testing.assert_array_equal(output, case.expected())


def in_all_encodings(case: Case) -> tuple[Case, ...]:
    return case, *kernel_cases.in_blocks(case)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [*range(1, 10), 36])
def test_strips_of_every_length(depth: int, core: EmulatedCore, structs: Structs):
    """Wide and narrow strips and single outputs, odd and even numbers of quads and blocks, every tail."""
    rng = np.random.default_rng(depth)
    for rows in (1, 4, 5, 7, 8, 9, 12, 13, 16, 17):
        requantization = SHIFTED if rows % 2 else None
        layer = kernel_cases.linear(rng, rows, depth, 3, sparsity=0.4, block=2, requantization=requantization)
        for case in in_all_encodings(layer):
            output, _ = kernel_cases.run_on_core(case, core, structs)
            np.testing.assert_array_equal(output, case.expected(), f"{case.symbol}, {rows} rows")


@pytest.mark.parametrize("left_shift", [0, 5])
@pytest.mark.parametrize(("low", "high"), [(0, 127), (-128, 90), (-3, 5), (7, 7)])
def test_outputs_that_keep_less_than_int8(
    low: int, high: int, left_shift: int, core: EmulatedCore, structs: Structs
) -> None:
    rng = np.random.default_rng(11)
    requantization = Requantization(zero_point=-20, low=low, high=high, left_shift=left_shift)
    layer = kernel_cases.linear(rng, 13, 24, 6, sparsity=0.4, block=2, requantization=requantization)
    for case in in_all_encodings(layer):
        output, _ = kernel_cases.run_on_core(case, core, structs)
        np.testing.assert_array_equal(output, case.expected(), case.symbol)


@pytest.mark.parametrize("block", [2, 4])
def test_few_and_far_blocks(block: int, core: EmulatedCore, structs: Structs):
    """Filters of 0 to 4 blocks, with distances of 254 to 256 and beyond, for which zero blocks are stored."""
    rng = np.random.default_rng(9)
    layer = kernel_cases.linear(rng, 9, 600 * block, 8, sparsity=1.0, block=block)
    weight = layer.graph.data["weight"]
    for number, blocks in enumerate([(), (0,), (599,), (254,), (255,), (256, 257), (0, 255, 511), (0, 1, 2, 599)]):
        for at in blocks:
            weight[number, at * block : (at + 1) * block] = rng.integers(1, 128, block)
    for case in kernel_cases.in_blocks(layer, (block,)):
        output, _ = kernel_cases.run_on_core(case, core, structs)
        np.testing.assert_array_equal(output, case.expected(), case.symbol)


@pytest.mark.parametrize("size", [(3, 9), (5, 3), (2, 8)])
@pytest.mark.parametrize("kernel", [(1, 2), (2, 4), (3, 3)])
def test_windows_slide_along_rows(size: tuple[int, int], kernel: tuple[int, int], core: EmulatedCore, structs: Structs):
    """Strips that begin and end inside rows; windows over borders; strides and dilations that share nothing."""
    rng = np.random.default_rng(10)
    for op in (
        ops.Conv2D((1, 1), SAME),
        ops.Conv2D((1, 1), (2, 0, 1, 3)),
        ops.Conv2D((1, 2), (1, 2, 1, 2)),
        ops.Conv2D((2, 1), (2, 3, 2, 3), (1, 2)),
    ):
        for channels in (4, 5):
            layer = kernel_cases.conv2d(rng, size, channels, 2, kernel, op=op, sparsity=0.3, block=2)
            for case in in_all_encodings(layer):
                output, _ = kernel_cases.run_on_core(case, core, structs)
                np.testing.assert_array_equal(output, case.expected(), f"{case.symbol}, {op}")


@pytest.mark.parametrize("kernel", [(3, 3), (2, 5), (5, 1)], ids=str)
@pytest.mark.parametrize("size", [(9, 1), (7, 3), (5, 4), (4, 8), (3, 13)], ids=str)
def test_depthwise_in_place(
    size: tuple[int, int], kernel: tuple[int, int], core: EmulatedCore, structs: Structs
) -> None:
    """Narrow rows too, of which eight outputs reach into rows that are still to be read."""
    above, left = kernel[0] - 1, kernel[1] // 2
    op = ops.DepthwiseConv2D(padding=(above, left, 0, left))
    case = kernel_cases.depthwise(np.random.default_rng(1), size, 7, kernel, op=op, sparsity=0.5, block=3)
    for variant in (case, sparse(case, 3)):
        output, _ = kernel_cases.run_on_core(variant, core, structs, in_place=True)
        np.testing.assert_array_equal(output, variant.expected())


@pytest.mark.parametrize("name", CASES)
def test_instructions_do_not_depend_on_the_input(name: str, cores: Callable[[str], EmulatedCore], structs: Structs):
    case = CASES[name](np.random.default_rng(0))
    inputs = [case.input, *(np.full_like(case.input, value) for value in (-128, 0, 127))]
    cases = [replace(case, arrays=(x, *case.arrays[1:])) for x in inputs]
    counts = {kernel_cases.run_on_core(c, cores("dsp"), structs)[1].instructions for c in cases}
    assert len(counts) == 1, counts


def large_conv2d(rng: np.random.Generator, sparsity: float = 0.0, block: int = 1) -> Case:
    """A 4x4 piece of the 3x3 convolution over 16x16x64 of the recorded baselines."""
    return kernel_cases.conv2d(rng, (4, 4), 64, 64, op=ops.Conv2D((1, 1), SAME), sparsity=sparsity, block=block)


# Instructions per effective multiply-accumulate: a slower inner loop is noticed, a better compiler is not an error.
SPEED: dict[str, tuple[Callable[[np.random.Generator], Case], float]] = {
    "dense": (large_conv2d, 1.25),
    "75 % in blocks of 2": (lambda r: sparse(large_conv2d(r, 0.75, 2), 2), 1.65),
    "75 % in blocks of 4": (lambda r: sparse(large_conv2d(r, 0.75, 4), 4), 1.45),
    "dense in narrow strips": (lambda r: large_conv2d(r).narrow(), 1.45),
    "linear": (lambda r: kernel_cases.linear(r, 16, 192, 192), 1.25),
    "depthwise": (lambda r: kernel_cases.depthwise(r, (8, 8), 64, op=ops.DepthwiseConv2D((1, 1), SAME)), 4.6),
    "matmul": (lambda r: kernel_cases.matmul(r, 1, 64, 64, 48), 1.5),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SPEED)
def test_instructions_per_multiply_accumulate(name: str, cores: Callable[[str], EmulatedCore], structs: Structs):
    make, limit = SPEED[name]
    case = make(np.random.default_rng(0))
    node = case.graph.nodes[0]
    macs = case.graph.macs(node)
    if "block" in case.symbol:
        weight = case.graph.data[node.inputs[1]]
        macs = macs * np.count_nonzero(weight) / weight.size
    _, call = kernel_cases.run_on_core(case, cores("dsp"), structs)
    assert call.instructions <= limit * macs, call.instructions / macs


def test_stack_is_small(cores: Callable[[str], EmulatedCore], structs: Structs):
    for name, make in CASES.items():
        _, call = kernel_cases.run_on_core(make(np.random.default_rng(0)), cores("dsp"), structs)
        packed = "unpacked" in name or "bitmap" in name or "rle4" in name  # what is unpacked: 52 bytes, and its calls
        assert call.stack_bytes <= (448 if packed else 384), name
