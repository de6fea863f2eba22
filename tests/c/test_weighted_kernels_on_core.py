"""Convolution, depthwise, linear and matmul on an emulated Cortex-M7: DSP and portable code equal the reference.

The memory behind every array is missing there, so that reads and writes past an end fault.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
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
    "se_conv2d.c",
    "se_conv2d_block.c",
    "se_depthwise_conv2d.c",
    "se_depthwise_conv2d_block.c",
    "se_filters.c",
    "se_linear.c",
    "se_linear_block.c",
    "se_matmul.c",
    "se_patch.c",
    "se_strip.c",
)


def sparse(case: Case, block: int) -> Case:
    return case.with_encoding(case.symbol.replace("_s8", f"_block{block}_s8"), "block_rle", block)


def conv2d(rng: np.random.Generator, channels: int, **options: object) -> Case:
    op = ops.Conv2D((1, 1), SAME)
    return kernel_cases.conv2d(rng, (3, 5), channels, 6, op=op, requantization=SHIFTED, **options)


def depthwise(rng: np.random.Generator, channels: int, op: ops.DepthwiseConv2D, **options: object) -> Case:
    return kernel_cases.depthwise(rng, (5, 7), channels, op=op, requantization=SHIFTED, **options)


CASES: dict[str, Callable[[np.random.Generator], Case]] = {
    **{f"conv2d {c}": lambda r, c=c: conv2d(r, c) for c in (1, 3, 4, 5, 16)},
    **{
        f"conv2d {c} in blocks of {b}": lambda r, c=c, b=b: sparse(conv2d(r, c, sparsity=0.5, block=b), b)
        for c in (1, 3, 8, 13)
        for b in (2, 4)
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
    **{f"linear {n}": lambda r, n=n: kernel_cases.linear(r, 6, n, 5) for n in (1, 3, 4, 21)},
    **{
        f"linear {n} in blocks of {b}": lambda r, n=n, b=b: sparse(
            kernel_cases.linear(r, 6, n, 5, sparsity=0.5, block=b), b
        )
        for n in (3, 24)
        for b in (2, 4)
    },
    **{
        f"matmul {n}{' transposed' * t}": lambda r, n=n, t=t: kernel_cases.matmul(r, 2, 5, n, 6, transpose_b=bool(t))
        for n in (1, 4, 11)
        for t in (0, 1)
    },
}


@pytest.fixture(scope="module", params=["dsp", "portable"])
def core(request: pytest.FixtureRequest, cores: dict[str, EmulatedCore]) -> EmulatedCore:
    return cores[request.param]


@pytest.fixture(scope="module")
def cores(runtime_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, EmulatedCore]:
    directory = tmp_path_factory.mktemp("core")
    sources = [runtime_directory / name for name in SOURCES]
    return {
        name: EmulatedCore(emulated_core.build(sources, directory / f"{name}.elf", defines))
        for name, defines in (("dsp", []), ("portable", ["SE_PORTABLE"]))
    }


@pytest.mark.parametrize("name", CASES)
def test_core_equals_reference(name: str, core: EmulatedCore, structs: Structs):
    case = CASES[name](np.random.default_rng(0))
    output, _ = kernel_cases.run_on_core(case, core, structs)
    np.testing.assert_array_equal(output, case.expected())


@pytest.mark.parametrize("name", CASES)
def test_instructions_do_not_depend_on_the_input(name: str, cores: dict[str, EmulatedCore], structs: Structs):
    case = CASES[name](np.random.default_rng(0))
    inputs = [case.input, *(np.full_like(case.input, value) for value in (-128, 0, 127))]
    cases = [replace(case, arrays=(x, *case.arrays[1:])) for x in inputs]
    counts = {kernel_cases.run_on_core(c, cores["dsp"], structs)[1].instructions for c in cases}
    assert len(counts) == 1, counts


def large_conv2d(rng: np.random.Generator, sparsity: float = 0.0, block: int = 1) -> Case:
    """A 4x4 piece of the 3x3 convolution over 16x16x64 of the recorded baselines."""
    return kernel_cases.conv2d(rng, (4, 4), 64, 64, op=ops.Conv2D((1, 1), SAME), sparsity=sparsity, block=block)


# Instructions per effective multiply-accumulate: a slower inner loop is noticed, a better compiler is not an error.
SPEED: dict[str, tuple[Callable[[np.random.Generator], Case], float]] = {
    "dense": (large_conv2d, 1.45),
    "75 % in blocks of 2": (lambda r: sparse(large_conv2d(r, 0.75, 2), 2), 2.3),
    "75 % in blocks of 4": (lambda r: sparse(large_conv2d(r, 0.75, 4), 4), 1.8),
    "linear": (lambda r: kernel_cases.linear(r, 16, 192, 192), 1.45),
    "depthwise": (lambda r: kernel_cases.depthwise(r, (8, 8), 64, op=ops.DepthwiseConv2D((1, 1), SAME)), 4.6),
    "matmul": (lambda r: kernel_cases.matmul(r, 1, 64, 64, 48), 1.8),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SPEED)
def test_instructions_per_multiply_accumulate(name: str, cores: dict[str, EmulatedCore], structs: Structs):
    make, limit = SPEED[name]
    case = make(np.random.default_rng(0))
    node = case.graph.nodes[0]
    macs = case.graph.macs(node)
    if "block" in case.symbol:
        weight = case.graph.data[node.inputs[1]]
        macs = macs * np.count_nonzero(weight) / weight.size
    _, call = kernel_cases.run_on_core(case, cores["dsp"], structs)
    assert call.instructions <= limit * macs, call.instructions / macs


def test_stack_is_small(cores: dict[str, EmulatedCore], structs: Structs):
    for make in CASES.values():
        _, call = kernel_cases.run_on_core(make(np.random.default_rng(0)), cores["dsp"], structs)
        assert call.stack_bytes <= 384
