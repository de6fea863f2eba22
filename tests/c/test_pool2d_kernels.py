"""Poolings equal the reference over a grid of edge cases."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import activation_cases
from activation_cases import Case, Structs, integers
from tinyformer.sparse_engine import ops

CHANNELS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 22, 37)
# kernel, stride, padding, image
GEOMETRIES = (
    ((2, 2), (2, 2), (0, 0, 0, 0), (6, 4)),
    ((2, 2), (2, 2), (1, 1, 1, 1), (5, 5)),
    ((3, 3), (1, 1), (1, 1, 1, 1), (4, 5)),
    ((3, 3), (2, 2), (0, 0, 1, 1), (6, 7)),
    ((1, 1), (1, 1), (0, 0, 0, 0), (2, 3)),
    ((1, 1), (2, 3), (0, 0, 0, 0), (3, 4)),
    ((2, 3), (1, 2), (1, 2, 0, 1), (3, 5)),
    ((4, 1), (1, 1), (3, 0, 3, 0), (2, 2)),
    ((5, 6), (1, 1), (0, 0, 0, 0), (5, 6)),
    ((3, 3), (3, 3), (2, 2, 2, 2), (1, 1)),
)
HYPOTHESIS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)


def check(case: Case, runtime: ctypes.CDLL, structs: Structs) -> None:
    np.testing.assert_array_equal(activation_cases.run_on_host(case, runtime, structs), case.expected())


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("channels", CHANNELS)
def test_pooling_equals_reference(
    geometry: tuple[tuple[int, ...], ...], channels: int, runtime: ctypes.CDLL, structs: Structs
) -> None:
    kernel, stride, padding, size = geometry
    x = integers(np.random.default_rng(channels), (*size, channels))
    check(activation_cases.max_pool(x, ops.MaxPool2D(kernel, stride, padding)), runtime, structs)
    for include in (False, True):
        check(activation_cases.avg_pool(x, ops.AvgPool2D(kernel, stride, padding, include)), runtime, structs)


@pytest.mark.parametrize("value", [-128, 127])
@pytest.mark.parametrize("size", [(1, 254), (1, 255), (1, 256), (5, 51), (16, 16), (15, 17), (2, 300), (40, 40)])
def test_average_of_large_windows(size: tuple[int, int], value: int, runtime: ctypes.CDLL, structs: Structs) -> None:
    """Sums of more values than an int16 holds, at both ends of int8."""
    x = np.full((*size, 9), value, np.int8)
    x[0, 0, :4] = -value - 1
    check(activation_cases.avg_pool(x, ops.AvgPool2D(size, (1, 1))), runtime, structs)


@pytest.mark.parametrize("zero_points", [(-128, 127), (127, -128), (-128, -128), (0, 0)])
@pytest.mark.parametrize("clamp", [(-128, 127), (-20, 60), (5, 127), (-128, -3)])
@pytest.mark.parametrize("ratio", [0.01, 0.7, 3.0, 900.0])
def test_average_requantises(
    zero_points: tuple[int, int], clamp: tuple[int, int], ratio: float, runtime: ctypes.CDLL, structs: Structs
) -> None:
    x = integers(np.random.default_rng(2), (5, 5, 11))
    op = ops.AvgPool2D((2, 2), (2, 2), (1, 1, 0, 0), low=clamp[0], high=clamp[1])
    check(activation_cases.avg_pool(x, op, zero_points=zero_points, ratio=ratio), runtime, structs)


@HYPOTHESIS
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), channels=st.integers(1, 20))
def test_pooling_of_random_windows(
    data: st.DataObject, seed: int, channels: int, runtime: ctypes.CDLL, structs: Structs
) -> None:
    kernel = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    stride = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = data.draw(st.tuples(*(st.integers(0, kernel[axis] - 1) for axis in (0, 1, 0, 1))))
    size = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    assume(all(size[i] + padding[i] + padding[i + 2] >= kernel[i] for i in (0, 1)))
    x = integers(np.random.default_rng(seed), (*size, channels))
    check(activation_cases.max_pool(x, ops.MaxPool2D(kernel, stride, padding)), runtime, structs)
    include = data.draw(st.booleans())
    zero_points = data.draw(st.tuples(st.integers(-128, 127), st.integers(-128, 127)))
    case = activation_cases.avg_pool(x, ops.AvgPool2D(kernel, stride, padding, include), zero_points=zero_points)
    check(case, runtime, structs)
