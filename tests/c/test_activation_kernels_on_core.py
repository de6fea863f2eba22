"""The kernels without weights on an emulated core: DSP, portable and Armv6-M code equal the reference.

The memory behind every array is missing there, so reads and writes past an end fault; the kernels' promise that the
number of instructions does not depend on the data is checked too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import activation_cases
import emulated_core
from activation_cases import Case, Structs, integers
from tinyformer.sparse_engine import ops

pytestmark = pytest.mark.emulator

SOURCES = (
    "se_avg_pool2d.c",
    "se_elementwise.c",
    "se_layer_norm.c",
    "se_max_pool2d.c",
    "se_move.c",
    "se_softmax.c",
)

BUILDS = {  # compiler and defines
    "dsp": ("zig", ()),
    "portable": ("zig", ("SE_PORTABLE",)),
    "armv6m": ("zig-armv6m", ()),
    "gcc": ("gcc", ()),
    "gcc-armv6m": ("gcc-armv6m", ()),
}


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.full] if "gcc" in name else []) for name in BUILDS],
)
def core(
    request: pytest.FixtureRequest, runtime_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> emulated_core.EmulatedCore:
    compiler, defines = BUILDS[request.param]
    sources = [runtime_directory / name for name in SOURCES]
    output = tmp_path_factory.mktemp("core") / "kernels.elf"
    return emulated_core.EmulatedCore(emulated_core.build(sources, output, defines, compiler=compiler))


def layer_norm(rng: np.random.Generator, rows: int, columns: int, **options: object) -> Case:
    gamma = rng.integers(-32768, 32768, columns).astype(np.int16)
    beta = rng.integers(-(2**28), 2**28, columns).astype(np.int32)
    return activation_cases.layer_norm(integers(rng, (rows, columns)), gamma, beta, factor=1e-5, **options)


def max_pool(rng: np.random.Generator, channels: int, kernel: tuple[int, int]) -> Case:
    op = ops.MaxPool2D(kernel, (2, 2), (1, 1, 0, 0))
    return activation_cases.max_pool(integers(rng, (5, 6, channels)), op)


def avg_pool(rng: np.random.Generator, channels: int, kernel: tuple[int, int]) -> Case:
    op = ops.AvgPool2D(kernel, (2, 2), (1, 1, 0, 0), low=-100, high=99)
    return activation_cases.avg_pool(integers(rng, (5, 6, channels)), op)


def average_2x2(
    rng: np.random.Generator, channels: int, stride: tuple[int, int], padding: tuple[int, int, int, int], ratio: float
) -> Case:
    """Windows without left shift: the loops for those wholly inside the image."""
    op = ops.AvgPool2D((2, 2), stride, padding)
    zero_points = (int(rng.choice((-128, 0, 127))), int(rng.choice((-128, 5, 127))))
    return activation_cases.avg_pool(integers(rng, (5, 7, channels)), op, zero_points=zero_points, ratio=ratio)


def large_average(rng: np.random.Generator) -> Case:
    x = integers(rng, (17, 31, 13))
    x[..., 0] = -128
    x[..., 9] = 127
    return activation_cases.avg_pool(x, ops.AvgPool2D((17, 31), (1, 1)))


CASES: dict[str, Callable[[np.random.Generator], Case]] = {
    **{f"softmax {n}": lambda r, n=n: activation_cases.softmax(integers(r, (3, n))) for n in (1, 3, 4, 5, 7, 8, 9, 70)},
    **{
        f"lazy softmax {n}": lambda r, n=n: activation_cases.softmax(integers(r, (3, n), -9, 9), lazy=True)
        for n in (1, 5, 8, 70)
    },
    "softmax of large outputs": lambda r: activation_cases.softmax(integers(r, (3, 9)), 0.001, 2.0**-15, 0),
    **{f"layer norm {n}": lambda r, n=n: layer_norm(r, 3, n) for n in (1, 3, 4, 5, 7, 8, 9, 44)},
    "layer norm clamped": lambda r: layer_norm(r, 2, 13, clamp=(-5, 77)),
    **{f"add {n}": lambda r, n=n: activation_cases.add(integers(r, n), integers(r, n)) for n in (1, 3, 4, 5, 7, 8, 9)},
    "add broadcast": lambda r: activation_cases.add(integers(r, (3, 7)), integers(r, 7), (32767, -32768)),
    "add clamped": lambda r: activation_cases.add(integers(r, 31), integers(r, 31), clamp=(0, 50)),
    **{f"mul {n}": lambda r, n=n: activation_cases.mul(integers(r, n), integers(r, n)) for n in (1, 3, 4, 5, 7, 8, 9)},
    "mul of extreme zero points": lambda r: activation_cases.mul(integers(r, 64), integers(r, 64), (-128, 127, -128)),
    "mul broadcast": lambda r: activation_cases.mul(integers(r, (3, 7)), integers(r, 7), clamp=(-3, 100)),
    **{f"lookup {n}": lambda r, n=n: activation_cases.lookup(integers(r, n), integers(r, 256)) for n in (1, 3, 4, 69)},
    **{f"max pool {c}": lambda r, c=c: max_pool(r, c, (2, 2)) for c in (1, 3, 4, 5, 16, 17, 38)},
    **{f"average pool {c}": lambda r, c=c: avg_pool(r, c, (2, 2)) for c in (1, 3, 4, 5, 8, 9, 38)},
    **{
        f"{name} 2x2 {c} stride {stride} padding {padding}": lambda r, make=make, c=c, s=stride, p=padding: make(
            r, c, s, p
        )
        for name, make in (
            ("average", lambda r, c, s, p: average_2x2(r, c, s, p, 0.49)),
            (
                "max",
                lambda r, c, s, p: activation_cases.max_pool(integers(r, (5, 7, c)), ops.MaxPool2D((2, 2), s, p)),
            ),
        )
        for c in (4, 22, 37, 65)
        for stride, padding in (
            ((1, 1), (0, 0, 0, 0)),
            ((2, 2), (1, 1, 0, 0)),
            ((2, 3), (0, 1, 1, 1)),
            ((1, 1), (1, 1, 1, 1)),
        )
    },
    "average 2x2 beyond both ends": lambda r: average_2x2(r, 9, (2, 2), (0, 0, 0, 0), 1.9),
    "max pool 3x3": lambda r: max_pool(r, 21, (3, 3)),
    "average pool 3x3": lambda r: avg_pool(r, 21, (3, 3)),
    "average of a large window": large_average,
}


@pytest.mark.parametrize("name", CASES)
def test_core_equals_reference(name: str, core: emulated_core.EmulatedCore, structs: Structs) -> None:
    case = CASES[name](np.random.default_rng(0))
    output, _ = activation_cases.run_on_core(case, core, structs)
    np.testing.assert_array_equal(output, case.expected())


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("lazy")])
def test_instructions_do_not_depend_on_the_input(name: str, core: emulated_core.EmulatedCore, structs: Structs) -> None:
    case = CASES[name](np.random.default_rng(0))
    shape = case.arrays[0].shape
    inputs = [case.arrays[0], *(np.full(shape, value, np.int8) for value in (-128, 0, 127))]
    counts = {activation_cases.run_on_core(case.with_first(x), core, structs)[1].instructions for x in inputs}
    assert len(counts) == 1, counts


def test_lazy_softmax_computes_each_exponential_once(core: emulated_core.EmulatedCore, structs: Structs) -> None:
    """A row of one value needs one exponential; 256 distances cost the most, and a second row of them nothing more."""

    def instructions(x: np.ndarray) -> int:
        case = activation_cases.softmax(x, lazy=True)
        return activation_cases.run_on_core(case, core, structs)[1].instructions

    constant = instructions(np.zeros((1, 256), np.int8))
    every = np.arange(-128, 128).astype(np.int8)[np.newaxis]
    once, twice = instructions(every), instructions(np.repeat(every, 2, axis=0))
    fixed = instructions(np.zeros((2, 256), np.int8)) - constant
    assert once > constant + 255 * 20
    assert twice - once == fixed


def test_move_and_fill(core: emulated_core.EmulatedCore, structs: Structs) -> None:
    x = integers(np.random.default_rng(0), (3, 5, 23))
    for permutation in ((0, 1, 2), (1, 0, 2), (2, 0, 1), (0, 2, 1)):
        expected = np.ascontiguousarray(x.transpose(permutation))
        output = np.zeros_like(expected)
        strides = x.transpose(permutation).strides
        params = structs["se_move_params"](shape=(1, *expected.shape), input_stride=(0, *strides))
        params.output_stride = (0, *expected.strides)
        core.call("se_move_s8", params, x, output)
        np.testing.assert_array_equal(output, expected)
    for length in (1, 2, 3, 4, 5, 18):
        output = np.zeros(length, np.int8)
        core.call("se_fill_s8", length, -77, output)
        assert np.all(output == -77)
