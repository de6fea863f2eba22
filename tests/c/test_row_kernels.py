"""Softmax and Scaled-LayerNorm equal the reference over a grid of edge cases."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import activation_cases
from activation_cases import Case, Structs, integers

LENGTHS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 64, 255)
HYPOTHESIS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def check(case: Case, runtime: ctypes.CDLL, structs: Structs) -> None:
    expected = case.expected()
    np.testing.assert_array_equal(activation_cases.run_on_host(case, runtime, structs), expected)
    np.testing.assert_array_equal(activation_cases.run_on_host(case, runtime, structs, in_place=True), expected)


def rows(rng: np.random.Generator, columns: int) -> np.ndarray:
    """Rows of all kinds: random, constant, at the ends, one outlier, narrow."""
    outlier = np.full(columns, -128, np.int8)
    outlier[-1] = 127
    narrow = np.full(columns, 5, np.int8)
    narrow[0] = 6
    constant = [np.full(columns, value, np.int8) for value in (-128, 0, 127)]
    ends = np.where(np.arange(columns) % 2, 127, -128).astype(np.int8)
    return np.stack([integers(rng, columns), outlier, narrow, *constant, ends, integers(rng, columns, -4, 4)])


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("columns", [*LENGTHS, 1500])
def test_softmax_equals_reference(columns: int, lazy: bool, runtime: ctypes.CDLL, structs: Structs) -> None:
    x = rows(np.random.default_rng(columns), columns)
    check(activation_cases.softmax(x, lazy=lazy), runtime, structs)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("scale", [1e-6, 0.001, 0.0625, 1.0, 11.5, 1e9])
@pytest.mark.parametrize(("output_scale", "zero_point"), [(1 / 256, -128), (1 / 127, 0), (1.0, 5), (2.0**-15, -128)])
def test_softmax_scales(
    scale: float, output_scale: float, zero_point: int, lazy: bool, runtime: ctypes.CDLL, structs: Structs
) -> None:
    x = rows(np.random.default_rng(3), 23)
    check(activation_cases.softmax(x, scale, output_scale, zero_point, lazy=lazy), runtime, structs)


def test_softmax_of_every_distance(runtime: ctypes.CDLL, structs: Structs) -> None:
    x = np.stack([np.arange(-128, 128), np.arange(127, -129, -1)]).astype(np.int8)
    for scale in (0.02, 0.1, 0.5):
        check(activation_cases.softmax(x, scale), runtime, structs)
        check(activation_cases.softmax(x, scale, lazy=True), runtime, structs)


@HYPOTHESIS
@given(
    seed=st.integers(0, 2**32 - 1),
    columns=st.integers(1, 70),
    scale=st.floats(1e-4, 4.0),
    bits=st.integers(0, 12),
    zero_point=st.integers(-128, 127),
)
def test_softmax_variants_agree(
    seed: int, columns: int, scale: float, bits: int, zero_point: int, runtime: ctypes.CDLL, structs: Structs
) -> None:
    x = integers(np.random.default_rng(seed), (3, columns))
    for lazy in (False, True):
        check(activation_cases.softmax(x, scale, 0.9 * 2.0**-bits, zero_point, lazy=lazy), runtime, structs)


@pytest.mark.parametrize("columns", [*LENGTHS, 1500])
@pytest.mark.parametrize("epsilon_term", [1, 2**36, 2**61])
def test_layer_norm_equals_reference(columns: int, epsilon_term: int, runtime: ctypes.CDLL, structs: Structs) -> None:
    rng = np.random.default_rng(columns)
    gamma = rng.integers(-800, 800, columns).astype(np.int16)
    beta = rng.integers(-(2**20), 2**20, columns).astype(np.int32)
    case = activation_cases.layer_norm(rows(rng, columns), gamma, beta, epsilon_term=epsilon_term)
    check(case, runtime, structs)


@pytest.mark.parametrize("clamp", [(-128, 127), (-5, 90), (3, 127), (-128, 3)])
@pytest.mark.parametrize("zero_point", [-128, 0, 127])
def test_layer_norm_clamps(clamp: tuple[int, int], zero_point: int, runtime: ctypes.CDLL, structs: Structs) -> None:
    rng = np.random.default_rng(0)
    gamma = rng.integers(-800, 800, 13).astype(np.int16)
    beta = rng.integers(-(2**20), 2**20, 13).astype(np.int32)
    check(activation_cases.layer_norm(rows(rng, 13), gamma, beta, zero_point=zero_point, clamp=clamp), runtime, structs)


def test_layer_norm_of_extreme_weights(runtime: ctypes.CDLL, structs: Structs) -> None:
    """The largest normalised value times the largest gamma, beta at its ends, within int32."""
    columns = 64
    x = rows(np.random.default_rng(1), columns)
    gamma = np.where(np.arange(columns) % 2, 32767, -32768).astype(np.int16)
    largest = 128 * 8 * 32768  # 128 * sqrt(columns) * gamma
    beta = np.where(np.arange(columns) % 3, 2**31 - 1 - largest, largest - 2**31).astype(np.int32)
    for factor in (1e-9, 1e-7, 1e-3, 0.4):
        check(activation_cases.layer_norm(x, gamma, beta, factor=factor), runtime, structs)


@HYPOTHESIS
@given(
    seed=st.integers(0, 2**32 - 1),
    columns=st.integers(1, 300),
    spread=st.integers(0, 127),
    epsilon_term=st.integers(1, 2**56),
    factor=st.floats(1e-6, 0.4),
)
def test_layer_norm_of_random_rows(
    seed: int, columns: int, spread: int, epsilon_term: int, factor: float, runtime: ctypes.CDLL, structs: Structs
) -> None:
    rng = np.random.default_rng(seed)
    gamma = rng.integers(-32768, 32768, columns).astype(np.int16)
    beta = rng.integers(-(2**30), 2**30, columns).astype(np.int32)
    x = integers(rng, (3, columns), -spread, spread)
    check(activation_cases.layer_norm(x, gamma, beta, epsilon_term=epsilon_term, factor=factor), runtime, structs)
