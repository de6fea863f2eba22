"""The inline C functions equal their NumPy twins, on this machine and on emulated cores."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import emulated_core
from tinyformer.sparse_engine import fixed_point

HYPOTHESIS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
Shim = Callable[..., None]


@pytest.fixture(scope="module", params=["host", "zig", "zig-armv6m"])
def call(
    request: pytest.FixtureRequest,
    runtime: ctypes.CDLL,
    runtime_directory: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Shim:
    """Call a shim with integers and arrays, on this machine or an emulated core; the last arrays are the results."""
    if request.param != "host":
        shim = Path(__file__).with_name("shim_fixed_point.c")
        output = tmp_path_factory.mktemp("shim") / "shim.elf"
        elf = emulated_core.build([shim], output, includes=[runtime_directory], compiler=request.param)
        return emulated_core.EmulatedCore(elf).call

    def on_host(function: str, *arguments: int | np.ndarray) -> None:
        getattr(runtime, function)(*(a if isinstance(a, int) else ctypes.c_void_p(a.ctypes.data) for a in arguments))

    return on_host


def results(call: Shim, function: str, first: np.ndarray, *others: int | np.ndarray) -> np.ndarray:
    output = np.zeros(first.size, np.int32)
    call(function, first.size, first, *others, output)
    return output


def words(values: np.ndarray | list[int]) -> np.ndarray:
    """Unsigned 32-bit values as the int32 of the same bits."""
    return np.asarray(values, np.uint64).astype(np.uint32).view(np.int32)


def spread(low: int, high: int, count: int = 400) -> np.ndarray:
    """Integers over a range: both ends, every power of two and its neighbours, and random ones."""
    powers = [2**e + d for e in range(64) for d in (-1, 0, 1)]
    ends = [low, low + 1, high - 1, high]
    random = np.random.default_rng(0).integers(low, high, count, endpoint=True)
    inside = [v for v in [*ends, *powers] if low <= v <= high]
    return np.concatenate([np.array(inside, np.int64), random])


def test_clz(call: Shim) -> None:
    values = spread(1, 2**32 - 1)
    np.testing.assert_array_equal(results(call, "shim_clz", words(values)), [32 - int(v).bit_length() for v in values])
    np.testing.assert_array_equal(results(call, "shim_clz", words(values)), fixed_point.leading_zeros(values, 32))


def test_reciprocal(call: Shim) -> None:
    values = spread(2**31, 2**32 - 1)
    np.testing.assert_array_equal(results(call, "shim_reciprocal", words(values)), fixed_point.reciprocal(values))


def test_reciprocal_sqrt(call: Shim) -> None:
    values = spread(2**30, 2**32 - 1)
    np.testing.assert_array_equal(
        results(call, "shim_reciprocal_sqrt", words(values)), fixed_point.reciprocal_sqrt(values)
    )


@pytest.mark.parametrize("fraction_bits", [1, 11, 22, 29])
def test_exp_negative_of_every_step(fraction_bits: int, call: Shim) -> None:
    steps = np.arange(256, dtype=np.int32)
    for multiplier in (0, 1, 77, 2**16, 151_000, 2**20, 2**20 + 1, 9_999_999, fixed_point.EXP_MULTIPLIER_MAX):
        np.testing.assert_array_equal(
            results(call, "shim_exp_negative", steps, multiplier, fraction_bits),
            fixed_point.exp_negative(steps, multiplier, fraction_bits),
        )


@pytest.mark.parametrize("output_scale", [1 / 256, 1 / 127, 0.0037, 1.0, 300.0, 1e12, 2.0**-19])
def test_row_multiplier(output_scale: float, call: Shim) -> None:
    multiplier, exponent = fixed_point.softmax_output_multiplier(output_scale)
    sums = spread(2**22, 2**32 - 1)
    np.testing.assert_array_equal(
        results(call, "shim_row_multiplier", words(sums), multiplier, exponent),
        fixed_point.row_multiplier(sums, multiplier, exponent),
    )


def test_normalize(call: Shim) -> None:
    rng = np.random.default_rng(1)
    variances = spread(1, 2**63 - 1)
    bound = np.sqrt(65499 * variances.astype(np.float64)) / 256  # |n x - sum| <= sqrt(n - 1) * sqrt(variance / 2**16)
    centred = np.rint(rng.uniform(-1, 1, variances.size) * np.minimum(bound, 2**31 - 1)).astype(np.int32)
    expected = fixed_point.normalize_row(centred[:, np.newaxis], variances[:, np.newaxis])[:, 0]
    np.testing.assert_array_equal(results(call, "shim_normalize", centred, variances), expected)


@HYPOTHESIS
@given(
    seed=st.integers(0, 2**32 - 1),
    left_shift=st.integers(0, 30),
    zero_point=st.integers(-128, 127),
    clamp=st.tuples(st.integers(-128, 127), st.integers(-128, 127)).map(sorted),
)
def test_requantize(seed: int, left_shift: int, zero_point: int, clamp: list[int], call: Shim) -> None:
    rng = np.random.default_rng(seed)
    limit = (2**31 - 1) >> left_shift
    accumulators = np.concatenate([[-limit, limit, 0], rng.integers(-limit, limit, 97, endpoint=True)]).astype(np.int32)
    multipliers = np.concatenate([[0, 1, 2**31 - 1], rng.integers(0, 2**31, 97)]).astype(np.int32)
    rng.shuffle(multipliers)
    np.testing.assert_array_equal(
        results(call, "shim_requantize", accumulators, multipliers, left_shift, zero_point, *clamp),
        fixed_point.requantize(accumulators, multipliers, left_shift, zero_point, *clamp),
    )


def test_lanes_of_every_pair(call: Shim) -> None:
    values = np.arange(-128, 128, dtype=np.int8)
    a, b = (np.ascontiguousarray(side).reshape(-1) for side in np.broadcast_arrays(values[:, np.newaxis], values))
    greater, less, sums = (np.zeros_like(a) for _ in range(3))
    call("shim_lanes", a.size // 4, a, b, greater, less, sums)
    np.testing.assert_array_equal(greater, np.maximum(a, b))
    np.testing.assert_array_equal(less, np.minimum(a, b))
    np.testing.assert_array_equal(sums, np.clip(a.astype(int) + b, -128, 127))
