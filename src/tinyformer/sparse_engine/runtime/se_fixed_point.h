/* Fixed-point arithmetic of the integer contract: the twin of the Python package's fixed_point.py.
 * docs/numerics.md derives the formulas. Right shifts of negative integers are arithmetic, as on every supported
 * compiler. */
#ifndef SE_FIXED_POINT_H
#define SE_FIXED_POINT_H

#include "se_port.h"

/* floor((a * b + 2^31) / 2^32): one SMMULR where there is a DSP extension */
static inline int32_t se_multiply_high_round(int32_t a, int32_t b)
{
#if SE_DSP
    int32_t result;
    __asm__("smmulr %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
#else
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 31)) >> 32);
#endif
}

static inline int32_t se_clamp(int32_t value, int32_t low, int32_t high)
{
    value = value < low ? low : value;
    return value > high ? high : value;
}

/* clamp(floor((accumulator * 2^left_shift * multiplier + 2^31) / 2^32) + zero_point, low, high);
 * |accumulator| * 2^left_shift < 2^31, 0 <= multiplier < 2^31 */
static inline int8_t se_requantize(int32_t accumulator, int32_t multiplier, int32_t left_shift, int32_t zero_point,
                                   int32_t low, int32_t high)
{
    const int32_t scaled = (int32_t)((uint32_t)accumulator << left_shift);
    return (int8_t)se_clamp(se_multiply_high_round(scaled, multiplier) + zero_point, low, high);
}

#endif
