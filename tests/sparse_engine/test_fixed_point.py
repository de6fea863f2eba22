"""Fixed-point arithmetic against exact integers, fractions and real functions, with the bounds of docs/numerics.md."""

from __future__ import annotations

from fractions import Fraction
from math import exp, floor, isqrt, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyformer.sparse_engine import fixed_point

QUICK = settings(deadline=None, max_examples=200)
INT32_MAX = 2**31 - 1


def half_up(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


@QUICK
@given(data=st.data(), left_shift=st.integers(0, 30), zero_point=st.integers(-128, 127))
def test_requantize_rounds_the_exact_product_once(data: st.DataObject, left_shift: int, zero_point: int) -> None:
    limit = INT32_MAX >> left_shift
    accumulator = data.draw(st.integers(-limit, limit))
    multiplier = data.draw(st.integers(0, INT32_MAX))
    low, high = sorted(data.draw(st.tuples(st.integers(-128, 127), st.integers(-128, 127))))
    exact = Fraction(accumulator * multiplier * 2**left_shift, 2**32)
    expected = min(max(half_up(exact) + zero_point, low), high)
    result = fixed_point.requantize(np.array([accumulator]), multiplier, left_shift, zero_point, low, high)
    assert result.tolist() == [expected]


def test_requantize_rounds_halves_up() -> None:
    accumulators = np.array([-3, -1, 1, 3])
    assert fixed_point.requantize(accumulators, 2**30, 1, 0).tolist() == [-1, 0, 1, 2]


@QUICK
@given(st.lists(st.floats(1e-12, 2.0**28), min_size=1, max_size=6))
def test_quantize_multipliers_are_the_nearest(factors: list[float]) -> None:
    multipliers, left_shift = fixed_point.quantize_multipliers(factors)
    assert multipliers.dtype == np.int32
    assert 0 <= left_shift <= 30
    assert 0 <= multipliers.min() <= multipliers.max() <= INT32_MAX
    assert multipliers.max() >= 2**30 - 1 or left_shift == 0, "the largest factor uses all bits"
    for factor, multiplier in zip(factors, multipliers.tolist(), strict=True):
        assert abs(Fraction(multiplier) - Fraction(factor) * 2 ** (32 - left_shift)) <= Fraction(1, 2)


def test_quantize_multipliers_just_below_a_power_of_two() -> None:
    multipliers, left_shift = fixed_point.quantize_multipliers(np.nextafter(1.0, 0.0))
    assert (multipliers.item(), left_shift) == (2**30, 2)
    multipliers, left_shift = fixed_point.quantize_multipliers(0.5)
    assert (multipliers.item(), left_shift) == (2**30, 1)


@pytest.mark.parametrize(
    "factors", [[], [0.0], [-1.0], [1.0, float("nan")], [float("inf")], [2.0**29], [float(np.nextafter(2.0**29, 0))]]
)
def test_quantize_multipliers_refuses(factors: list[float]) -> None:
    with pytest.raises(ValueError, match="factor"):
        fixed_point.quantize_multipliers(factors)


@QUICK
@given(value=st.integers(1, 2**64 - 1))
def test_leading_zeros(value: int) -> None:
    assert fixed_point.leading_zeros(np.array([value], np.uint64), 64).item() == 64 - value.bit_length()


@QUICK
@given(st.integers(2**31, 2**32 - 1) | st.sampled_from([2**31, 2**31 + 1, 2**32 - 1]))
def test_reciprocal_is_within_two_units(normalized: int) -> None:
    y = fixed_point.reciprocal(np.array([normalized])).item()
    assert 2**30 <= y <= INT32_MAX
    assert abs(y - Fraction(2**62, normalized)) < 2


@QUICK
@given(st.integers(2**30, 2**32 - 1) | st.sampled_from([2**30, 2**30 + 1, 2**32 - 1]))
def test_reciprocal_sqrt_is_within_two_units(normalized: int) -> None:
    y = fixed_point.reciprocal_sqrt(np.array([normalized])).item()
    assert 2**30 <= y <= INT32_MAX
    exact = Fraction(isqrt(2**132 // normalized), 2**20)  # 2**46 / sqrt(normalized), to 20 more bits
    assert abs(y - exact) < 2


@QUICK
@given(scale=st.floats(1e-7, 1e3), fraction_bits=st.integers(1, 29))
def test_exp_negative_is_accurate(scale: float, fraction_bits: int) -> None:
    """Within 0.85 units of rounding and polynomial, and what the rounding of the scale makes of the steps."""
    steps = np.arange(256)
    values = fixed_point.exp_negative(steps, fixed_point.exp_multiplier(scale), fraction_bits)
    unit = 2.0**-fraction_bits
    real = np.exp(-steps * min(scale, fixed_point.EXP_MULTIPLIER_MAX / 2**20 * np.log(2)))
    of_scale = steps * 2.0**-21 * np.log(2) * real * 1.001
    assert np.all(np.abs(values * unit - real) <= max(0.85 * unit, 0.5 * unit + 70 * 2.0**-30) + of_scale)
    assert values[0] == 2**fraction_bits
    assert np.all(np.diff(values) <= 0), "never rises with the distance"


def test_exp_multiplier_saturates() -> None:
    assert fixed_point.exp_multiplier(1e30) == fixed_point.EXP_MULTIPLIER_MAX
    assert 255 * fixed_point.EXP_MULTIPLIER_MAX < 2**32
    assert exp(-fixed_point.EXP_MULTIPLIER_MAX / 2**20 * np.log(2)) < 1 / 65000


@QUICK
@given(st.integers(1, 2**20))
def test_softmax_fraction_bits_keep_sums_in_32_bits(row_length: int) -> None:
    bits = fixed_point.softmax_fraction_bits(row_length)
    assert 1 <= bits <= 22
    assert row_length * 2**bits <= 2**32 - 1
    assert bits == 22 or row_length * 2 ** (bits + 1) > 2**32 - 1


@QUICK
@given(st.floats(1e-12, 1e12))
def test_softmax_output_multiplier_is_the_reciprocal(output_scale: float) -> None:
    multiplier, exponent = fixed_point.softmax_output_multiplier(output_scale)
    assert 2**30 <= multiplier <= INT32_MAX
    assert multiplier * 2.0 ** (exponent - 31) * output_scale == pytest.approx(1, rel=2.0**-29)


@QUICK
@given(data=st.data(), output_scale=st.floats(2.0**-19, 1e3))
def test_row_multiplier_is_within_a_unit_and_its_own_rounding(data: st.DataObject, output_scale: float) -> None:
    row_sum = data.draw(st.integers(2**22, 2**32 - 1))
    multiplier, exponent = fixed_point.softmax_output_multiplier(output_scale)
    result = fixed_point.row_multiplier(np.array([row_sum]), multiplier, exponent).item()
    exact = Fraction(2**32) / (row_sum * Fraction(output_scale))
    assert 0 <= result <= INT32_MAX
    assert -1 - exact * Fraction(1, 2**27) < result - exact <= exact * Fraction(1, 2**27)


@QUICK
@given(data=st.data(), columns=st.integers(2, 2000))
def test_normalize_row_is_within_a_unit(data: st.DataObject, columns: int) -> None:
    """Half a unit of rounding, and what the multiplier lost for rows of a great variance."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    spread = data.draw(st.integers(0, 127))
    x = rng.integers(-spread, spread, columns, endpoint=True)
    if data.draw(st.booleans()):
        x[0] = 127  # an outlier
    epsilon_term = data.draw(st.integers(1, columns * columns * 2**16))
    total, squares = int(x.sum()), int((x * x).sum())
    variance = ((columns * squares - total * total) << 16) + epsilon_term
    centred = columns * x - total
    result = fixed_point.normalize_row(centred, np.array([variance]))
    assert np.abs(result).max() <= 32767
    exact = 128 * 256 * centred / sqrt(variance)
    lost = 2.0**-28 * max(1.0, sqrt(variance) / 2**17)
    assert np.abs(result - exact).max() <= 0.5 + np.abs(exact).max() * lost


def test_normalize_row_of_the_largest_deviation() -> None:
    """One outlier in the longest row: 128 * sqrt(n - 1) still fits an int16, and the shifted value an int32."""
    columns = 65500
    x = np.full(columns, -128, np.int64)
    x[0] = 127
    for scale in (1, 255):
        values = -128 + (x + 128) // scale
        variance = ((columns * int((values * values).sum()) - int(values.sum()) ** 2) << 16) + 1
        result = fixed_point.normalize_row(columns * values - values.sum(), np.array([variance]))
        assert result[0] == pytest.approx(128 * sqrt(columns - 1), abs=2)
        assert result.max() <= 32767


def test_normalize_row_of_zero_variance() -> None:
    assert fixed_point.normalize_row(np.zeros(5, np.int64), np.array([1])).tolist() == [0] * 5
