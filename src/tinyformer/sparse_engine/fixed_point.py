"""Fixed-point arithmetic of the integer contract: the NumPy twin of ``runtime/se_fixed_point.h``.

Every function here has one C twin of the same name (``se_`` in front) and equals it for every input the compiler lets
through. ``docs/numerics.md`` derives the formulas.
"""

from __future__ import annotations

from math import frexp

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]

INT8_MIN, INT8_MAX = -128, 127
INT32_MAX = 2**31 - 1
MAX_LEFT_SHIFT = 30

# 2**-f on [0, 1): coefficients of f**0 .. f**5 in Q30, least squares on Chebyshev nodes, exact at f = 0.
EXP2_COEFFICIENTS = (1073741824, -744258022, 257897349, -59392554, 9905155, -1022902)
EXP2_INPUT_BITS = 20
EXP_MULTIPLIER_MAX = 2**24 - 1

VARIANCE_FRACTION_BITS = 16
"""Fraction bits of a row's variance: without them, epsilon would round to 0 or 1 beside variances as small."""


def requantize(
    accumulator: npt.NDArray[np.integer],
    multiplier: npt.NDArray[np.integer] | int,
    left_shift: int,
    zero_point: int,
    low: int = INT8_MIN,
    high: int = INT8_MAX,
) -> Int64Array:
    """Scale int32 accumulators to an output's grid, rounding once, half up.

    result = clamp(floor((accumulator * 2**left_shift * multiplier + 2**31) / 2**32) + zero_point, low, high)

    Args:
        accumulator: int32 values with ``|accumulator| * 2**left_shift < 2**31``.
        multiplier: the real factor times ``2**(32 - left_shift)``, in 0 .. 2**31 - 1; broadcasts.
        left_shift: 0 .. 30.
        zero_point: added after rounding.
        low: least result.
        high: greatest result.
    """
    product = (np.asarray(accumulator, np.int64) << left_shift) * np.asarray(multiplier, np.int64)
    result: Int64Array = np.clip(((product + (1 << 31)) >> 32) + zero_point, low, high)
    return result


def quantize_multipliers(real: npt.ArrayLike) -> tuple[npt.NDArray[np.int32], int]:
    """Return int32 multipliers for real factors and the one left shift they share.

    Args:
        real: positive finite factors, any shape.

    Raises:
        ValueError: a factor is not positive and finite, or rounds to 2**29 or more.
    """
    factors = np.asarray(real, np.float64)
    if factors.size == 0 or not np.all(np.isfinite(factors)) or np.any(factors <= 0):
        raise ValueError("requantisation factors must be positive and finite")
    largest = float(factors.max())
    left_shift = max(0, frexp(largest)[1] + 1)
    multipliers = np.rint(factors * 2.0 ** (32 - left_shift))
    if multipliers.max() > INT32_MAX:  # a factor just under a power of two rounded up to it
        left_shift += 1
        multipliers = np.rint(factors * 2.0 ** (32 - left_shift))
    if left_shift > MAX_LEFT_SHIFT:
        raise ValueError(f"requantisation factor {largest:g} is too large: at most 2**29 - 1")
    return multipliers.astype(np.int32), left_shift


def exp_multiplier(scale: float) -> int:
    """Return the multiplier that ``exp_negative`` takes for inputs of the given scale."""
    return int(min(round(scale * np.log2(np.e) * 2**EXP2_INPUT_BITS), EXP_MULTIPLIER_MAX))


def exp_negative(steps: npt.NDArray[np.integer], multiplier: int, fraction_bits: int) -> Int64Array:
    """Return exp(-steps * scale) in Q``fraction_bits``, rounded.

    Args:
        steps: 0 .. 255, whole quantisation steps below the maximum.
        multiplier: ``exp_multiplier(scale)``.
        fraction_bits: 1 .. 29.
    """
    product = np.asarray(steps, np.int64) * multiplier
    fraction = (product & ((1 << EXP2_INPUT_BITS) - 1)) << (31 - EXP2_INPUT_BITS)  # Q31
    value = np.full_like(product, EXP2_COEFFICIENTS[-1])
    for coefficient in EXP2_COEFFICIENTS[-2::-1]:
        value = ((value * fraction) >> 31) + coefficient
    shift = np.minimum((product >> EXP2_INPUT_BITS) + 30 - fraction_bits, 31)
    rounded: Int64Array = (value + (np.int64(1) << (shift - 1))) >> shift
    return rounded


def softmax_fraction_bits(row_length: int) -> int:
    """Return the most fraction bits, at most 22, with which a row of exponentials sums below 2**32."""
    return min(22, ((2**32 - 1) // row_length).bit_length() - 1)


def reciprocal(normalized: npt.NDArray[np.integer]) -> Int64Array:
    """Return about 2**62 / normalized for inputs in 2**31 .. 2**32 - 1 (Newton, four steps, no division).

    The result lies in 2**30 .. 2**31 - 1.
    """
    d = np.asarray(normalized, np.int64)
    y: Int64Array = 3031741620 - ((2021161080 * d) >> 32)  # 48/17 and 32/17 in Q30
    for _ in range(4):
        error = (1 << 30) - ((d * y) >> 32)
        y = y + ((y * error) >> 30)
    return np.minimum(y, INT32_MAX, dtype=np.int64)


def reciprocal_sqrt(normalized: npt.NDArray[np.integer]) -> Int64Array:
    """Return about 2**46 / sqrt(normalized) for inputs in 2**30 .. 2**32 - 1 (Newton, four steps).

    The result lies in 2**30 .. 2**31 - 1.
    """
    v = np.asarray(normalized, np.uint64)
    y: npt.NDArray[np.uint64]
    y = np.uint64(2362232012) - ((np.uint64(1342177280) * v) >> np.uint64(32))  # 2.2 and 1.25 in Q30
    for _ in range(4):
        squared = (y * y) >> np.uint64(30)
        y = (y * (np.uint64(3 << 30) - ((squared * v) >> np.uint64(32)))) >> np.uint64(31)
    return np.minimum(y, np.uint64(INT32_MAX)).astype(np.int64)


def leading_zeros(values: npt.NDArray[np.integer], bits: int) -> Int64Array:
    """Count the zero bits above the highest set bit of positive integers of the given width."""
    remaining = np.asarray(values, np.uint64).copy()
    count = np.full(remaining.shape, bits, np.int64)
    for step in (32, 16, 8, 4, 2, 1):
        high = remaining >> np.uint64(step)
        found = high != 0
        count -= np.where(found, step, 0)
        remaining = np.where(found, high, remaining)
    return count - 1


def softmax_output_multiplier(output_scale: float) -> tuple[int, int]:
    """Return (multiplier, exponent) with 1 / output_scale = multiplier * 2**(exponent - 31).

    The multiplier lies in 2**30 .. 2**31 - 1. ``row_multiplier`` takes both.
    """
    mantissa, exponent = frexp(1.0 / output_scale)
    multiplier = round(mantissa * 2**31)
    return (multiplier, exponent) if multiplier <= INT32_MAX else (2**30, exponent + 1)


def row_multiplier(row_sum: npt.NDArray[np.integer], multiplier: int, exponent: int) -> Int64Array:
    """Return 2**32 / (row_sum * output_scale): what turns exponentials into a softmax row's output.

    Args:
        row_sum: sums of ``exp_negative`` values, 1 .. 2**32 - 1.
        multiplier: from ``softmax_output_multiplier``.
        exponent: from ``softmax_output_multiplier``.
    """
    row_sum = np.asarray(row_sum, np.int64)
    zeros = leading_zeros(row_sum, 32)
    high: Int64Array = (reciprocal(row_sum << zeros) * multiplier) >> 32
    return high >> (29 - zeros - exponent)


def normalize_row(centred: npt.NDArray[np.integer], variance: npt.NDArray[np.integer]) -> Int64Array:
    """Return round(128 * centred / sqrt(variance / 2**16)), the Scaled-LayerNorm's int16 values (paper Sec. III-C3).

    Args:
        centred: n * x - sum(x) for rows of n values, shape (..., n).
        variance: (n * sum(x * x) - sum(x) ** 2) * 2**16 + epsilon term, 1 .. 2**63 - 1, shape (..., 1).
    """
    variance = np.asarray(variance, np.uint64)
    zeros = leading_zeros(variance, 64) & ~1
    normalized = (variance << zeros.astype(np.uint64)) >> np.uint64(32)
    half_exponent = (64 - zeros) >> 1
    excess = half_exponent - 10 - VARIANCE_FRACTION_BITS // 2
    multiplier = (reciprocal_sqrt(normalized) >> 1) >> np.maximum(excess, 0)
    shifted = np.asarray(centred, np.int64) << np.maximum(-excess, 0)
    rounded: Int64Array = (shifted * multiplier + (1 << 31)) >> 32
    return rounded
