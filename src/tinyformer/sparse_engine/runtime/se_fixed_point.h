/* Fixed-point arithmetic of the integer contract: the twin of the Python package's fixed_point.py.
 * docs/numerics.md derives the formulas. Right shifts of negative integers are arithmetic, as on every supported
 * compiler. */
#ifndef SE_FIXED_POINT_H
#define SE_FIXED_POINT_H

#include "se_word.h"

/* floor((a * b + 2^31) / 2^32): one SMMULR where there is a DSP extension */
static inline int32_t se_multiply_high_round(int32_t a, int32_t b)
{
#if SE_DSP
    int32_t result;
    __asm__("smmulr %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
#else
    return (int32_t)((se_product(a, b) + ((int64_t)1 << 31)) >> 32);
#endif
}

/* floor((a * b + 2^31) / 2^32) + c, which must fit: one SMMLAR */
static inline int32_t se_multiply_high_round_add(int32_t a, int32_t b, int32_t c)
{
#if SE_DSP
    int32_t result;
    __asm__("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(c));
    return result;
#else
    return se_multiply_high_round(a, b) + c;
#endif
}

/* value less than 2^31 - 256 from 0, low and high of int8 */
static inline int32_t se_clamp(int32_t value, int32_t low, int32_t high)
{
    return se_least(se_greatest(value, low), high);
}

/* clamp(floor((accumulator * 2^left_shift * multiplier + 2^31) / 2^32) + zero_point, low, high);
 * |accumulator| * 2^left_shift < 2^31, 0 <= multiplier < 2^31 */
static inline int8_t se_requantize(int32_t accumulator, int32_t multiplier, int32_t left_shift, int32_t zero_point,
                                   int32_t low, int32_t high)
{
    const int32_t scaled = (int32_t)((uint32_t)accumulator << left_shift);
    return (int8_t)se_clamp(se_multiply_high_round(scaled, multiplier) + zero_point, low, high);
}

/* 2^-f on [0, 1] in Q30: coefficients of f^0 to f^5 */
static const int32_t se_exp_coefficients[6] = {1073741824, -744258022, 257897349, -59392554, 9905155, -1022902};

/* exp(-steps * scale) in Q fraction_bits, rounded: 2^-f by a polynomial of degree 5 in Q30, then a shift.
 * 0 <= steps <= 255, multiplier = round(scale * log2(e) * 2^20) < 2^24, 1 <= fraction_bits <= 29 */
static inline uint32_t se_exp_negative(int32_t steps, int32_t multiplier, int32_t fraction_bits)
{
    const uint32_t product = (uint32_t)steps * (uint32_t)multiplier;
    const int32_t fraction = (int32_t)((product & 0xfffffu) << 11); /* Q31 */
    const uint32_t exponent = (product >> 20) + 30u - (uint32_t)fraction_bits;
    const uint32_t shift = exponent < 31u ? exponent : 31u;
    int32_t value = se_exp_coefficients[5];
    for (int32_t i = 4; i >= 0; i--)
        value = se_exp_coefficients[i] + (int32_t)(se_product(2 * value, fraction) >> 32);
    return ((uint32_t)value + (1u << (shift - 1u))) >> shift;
}

/* floor(a * b / 2^32) */
static inline uint32_t se_multiply_high(uint32_t a, uint32_t b)
{
    return (uint32_t)(se_product_unsigned(a, b) >> 32);
}

/* About 2^62 / normalized, in 2^30 .. 2^31 - 1, for normalized >= 2^31: four Newton steps, no division.
 * y reaches 2^31 for two inputs, in the last step only. */
static inline int32_t se_reciprocal(uint32_t normalized)
{
    uint32_t y = 3031741620u - se_multiply_high(2021161080u, normalized); /* 48/17 and 32/17 in Q30 */
    for (int32_t step = 0; step < 4; step++) {
        const int32_t error = (int32_t)((1u << 30) - se_multiply_high(normalized, y));
        y += (uint32_t)(se_product((int32_t)y, error) >> 30);
    }
    return (int32_t)(y - (y >> 31));
}

/* About 2^46 / sqrt(normalized), in 2^30 .. 2^31 - 1, for normalized >= 2^30: four Newton steps, each from below. */
static inline int32_t se_reciprocal_sqrt(uint32_t normalized)
{
    uint32_t y = 2362232012u - se_multiply_high(1342177280u, normalized); /* 2.2 and 1.25 in Q30 */
    for (int32_t step = 0; step < 4; step++) {
        const uint32_t squared = (uint32_t)(se_product_unsigned(y, y) >> 30);
        y = (uint32_t)(se_product_unsigned(y, (3u << 30) - se_multiply_high(squared, normalized)) >> 31);
    }
    return (int32_t)y;
}

/* 2^32 / (row_sum * output_scale): what turns a softmax row's exponentials into its output.
 * row_sum > 0; 1 / output_scale = multiplier * 2^(exponent - 31) < 2^(leading bit of row_sum - 2) */
static inline int32_t se_row_multiplier(uint32_t row_sum, int32_t multiplier, int32_t exponent)
{
    const int32_t zeros = se_clz(row_sum);
    const int32_t high = (int32_t)(se_product(se_reciprocal(row_sum << zeros), multiplier) >> 32);
    return high >> se_least(29 - zeros - exponent, 31);
}

/* of a row's variance, so that epsilon counts beside small ones */
#define SE_VARIANCE_FRACTION_BITS 16

/* 128 / sqrt(variance / 2^16) as multiplier * 2^(left_shift - 32) */
typedef struct {
    int32_t multiplier, left_shift;
} se_row_scale;

/* 1 <= variance < 2^63 */
static inline se_row_scale se_normalize_scale(uint64_t variance)
{
    const uint32_t high = (uint32_t)(variance >> 32), low = (uint32_t)variance;
    const uint32_t empty = ~se_mask_of(high); /* all ones when the high word is 0 */
    const uint32_t first = high | (low & empty), second = low & ~empty;
    const int32_t shift = se_clz(first) & ~1;
    const uint32_t normalized = first << shift | second >> 1 >> (31 - shift); /* the leading bits, by an even shift */
    const int32_t zeros = shift + (int32_t)(empty & 32u);
    const int32_t excess = ((64 - zeros) >> 1) - 10 - SE_VARIANCE_FRACTION_BITS / 2;
    const int32_t right_shift = se_greatest(excess, 0);
    const se_row_scale scale = {(se_reciprocal_sqrt(normalized) >> 1) >> right_shift, right_shift - excess};
    return scale;
}

/* round(128 * centred / sqrt(variance / 2^16)): the Scaled-LayerNorm's int16 values (paper Sec. III-C3).
 * centred = n * x - sum(x) of a row of n values, variance / 2^16 = n * sum(x^2) - sum(x)^2 or more,
 * 128 * sqrt(n) + 1 < 2^15 */
static inline int32_t se_normalize(int32_t centred, se_row_scale scale)
{
    const int32_t shifted = (int32_t)((uint32_t)centred << scale.left_shift);
    return se_multiply_high_round(shifted, scale.multiplier);
}

#endif
