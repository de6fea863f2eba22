"""Sum, product and look-up equal the reference over a grid of edge cases."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import activation_cases
from activation_cases import Case, Structs, integers

LENGTHS = (1, 2, 3, 4, 5, 7, 8, 9, 16, 61)
CLAMPS = ((-128, 127), (-128, 11), (-5, 127), (0, 0), (-9, 90))
HYPOTHESIS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)


def check(case: Case, runtime: ctypes.CDLL, structs: Structs) -> None:
    expected = case.expected()
    np.testing.assert_array_equal(activation_cases.run_on_host(case, runtime, structs), expected)
    np.testing.assert_array_equal(activation_cases.run_on_host(case, runtime, structs, in_place=True), expected)


@pytest.mark.parametrize("elements", LENGTHS)
@pytest.mark.parametrize("clamp", CLAMPS)
def test_add_and_mul_equal_reference(
    elements: int, clamp: tuple[int, int], runtime: ctypes.CDLL, structs: Structs
) -> None:
    rng = np.random.default_rng(elements)
    a, b = integers(rng, elements), integers(rng, elements)
    check(activation_cases.add(a, b, clamp=clamp), runtime, structs)
    check(activation_cases.mul(a, b, clamp=clamp), runtime, structs)


@pytest.mark.parametrize("shape", [(3, 5), (2, 4), (4, 1), (1, 9), (2, 3, 7)])
def test_broadcast_of_the_second_operand(shape: tuple[int, ...], runtime: ctypes.CDLL, structs: Structs) -> None:
    rng = np.random.default_rng(7)
    a = integers(rng, shape)
    for axis in range(len(shape)):
        b = integers(rng, shape[axis:])
        check(activation_cases.add(a, b), runtime, structs)
        check(activation_cases.mul(a, b), runtime, structs)


def test_every_pair_of_values(runtime: ctypes.CDLL, structs: Structs) -> None:
    values = np.arange(-128, 128).astype(np.int8)
    a, b = (np.ascontiguousarray(side) for side in np.broadcast_arrays(values[:, np.newaxis], values))
    check(activation_cases.add(a, b, (32767, -32768), offset=-77, shift=15), runtime, structs)
    check(activation_cases.mul(a, b, (127, -128, -128), factor=0.0041), runtime, structs)
    check(activation_cases.mul(a, b, (-128, 127, 127), factor=1e-4), runtime, structs)


def test_in_place_on_both_operands(runtime: ctypes.CDLL, structs: Structs) -> None:
    """x + x into x itself."""
    x = integers(np.random.default_rng(5), 37)
    case = activation_cases.add(x, x.copy())
    expected = case.expected()
    pointer = ctypes.c_void_p(x.ctypes.data)
    runtime.se_add_s8(ctypes.byref(structs["se_add_params"](**case.params)), pointer, pointer, pointer)
    np.testing.assert_array_equal(x, expected)


@HYPOTHESIS
@given(
    seed=st.integers(0, 2**32 - 1),
    period=st.integers(1, 20),
    repeats=st.integers(1, 5),
    multipliers=st.tuples(st.integers(-32768, 32767), st.integers(-32768, 32767)),
    offset=st.integers(-(2**30), 2**30),
    shift=st.integers(0, 22),
    clamp=st.tuples(st.integers(-128, 127), st.integers(-128, 127)).map(sorted).map(tuple),
)
def test_add_of_random_parameters(
    seed: int,
    period: int,
    repeats: int,
    multipliers: tuple[int, int],
    offset: int,
    shift: int,
    clamp: tuple[int, int],
    runtime: ctypes.CDLL,
    structs: Structs,
) -> None:
    rng = np.random.default_rng(seed)
    a, b = integers(rng, (repeats, period)), integers(rng, period)
    case = activation_cases.add(a, b, multipliers, offset=offset, shift=shift, clamp=clamp)
    check(case, runtime, structs)


@HYPOTHESIS
@given(
    seed=st.integers(0, 2**32 - 1),
    period=st.integers(1, 20),
    repeats=st.integers(1, 5),
    zero_points=st.tuples(*[st.integers(-128, 127)] * 3),
    factor=st.floats(1e-9, 2.0**13),
)
def test_mul_of_random_parameters(
    seed: int,
    period: int,
    repeats: int,
    zero_points: tuple[int, int, int],
    factor: float,
    runtime: ctypes.CDLL,
    structs: Structs,
) -> None:
    """Factors up to 2**13: their left shift of 15 takes 255 * 255 to the end of int32."""
    rng = np.random.default_rng(seed)
    a, b = integers(rng, (repeats, period)), integers(rng, period)
    check(activation_cases.mul(a, b, zero_points, factor=factor), runtime, structs)


@pytest.mark.parametrize("elements", LENGTHS)
def test_lookup_equals_reference(elements: int, runtime: ctypes.CDLL, structs: Structs) -> None:
    rng = np.random.default_rng(elements)
    check(activation_cases.lookup(integers(rng, elements), integers(rng, 256)), runtime, structs)


def test_lookup_reads_the_whole_table(runtime: ctypes.CDLL, structs: Structs) -> None:
    values = np.arange(-128, 128).astype(np.int8)
    check(activation_cases.lookup(values, np.random.default_rng(0).permutation(values)), runtime, structs)


@pytest.mark.parametrize("elements", [1, 2, 3, 4, 5, 7, 8, 9, 33])
@pytest.mark.parametrize("value", [-128, -1, 0, 127])
def test_fill(elements: int, value: int, runtime: ctypes.CDLL) -> None:
    output = np.full(elements + 2, 0x5A, np.int8)
    runtime.se_fill_s8(elements, value, ctypes.c_void_p(output[1:].ctypes.data))
    assert output[0] == output[-1] == 0x5A
    assert np.all(output[1:-1] == value)
