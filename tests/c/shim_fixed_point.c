/* The inline functions of se_fixed_point.h and se_lanes.h as arrays in, arrays out, for the tests only. */
#include "se_fixed_point.h"
#include "se_lanes.h"

void shim_requantize(int32_t count, const int32_t *accumulators, const int32_t *multipliers, int32_t left_shift,
                     int32_t zero_point, int32_t low, int32_t high, int32_t *results)
{
    for (int32_t i = 0; i < count; i++)
        results[i] = se_requantize(accumulators[i], multipliers[i], left_shift, zero_point, low, high);
}

/* values are read as the bits of an unsigned integer */
void shim_clz(int32_t count, const int32_t *values, int32_t *results)
{
    for (int32_t i = 0; i < count; i++)
        results[i] = se_clz((uint32_t)values[i]);
}

void shim_exp_negative(int32_t count, const int32_t *steps, int32_t multiplier, int32_t fraction_bits,
                       int32_t *results)
{
    for (int32_t i = 0; i < count; i++)
        results[i] = (int32_t)se_exp_negative(steps[i], multiplier, fraction_bits);
}

void shim_reciprocal(int32_t count, const int32_t *values, int32_t *results)
{
    for (int32_t i = 0; i < count; i++)
        results[i] = se_reciprocal((uint32_t)values[i]);
}

void shim_reciprocal_sqrt(int32_t count, const int32_t *values, int32_t *results)
{
    for (int32_t i = 0; i < count; i++)
        results[i] = se_reciprocal_sqrt((uint32_t)values[i]);
}

void shim_row_multiplier(int32_t count, const int32_t *row_sums, int32_t multiplier, int32_t exponent,
                         int32_t *results)
{
    for (int32_t i = 0; i < count; i++)
        results[i] = se_row_multiplier((uint32_t)row_sums[i], multiplier, exponent);
}

void shim_normalize(int32_t count, const int32_t *centred, const int64_t *variances, int32_t *results)
{
    for (int32_t i = 0; i < count; i++)
        results[i] = se_normalize(centred[i], se_normalize_scale((uint64_t)variances[i]));
}

/* the greater lanes, the less lanes, and the lanes of a saturated to int8 after adding those of b, of words of four */
void shim_lanes(int32_t count, const int32_t *a, const int32_t *b, int32_t *greater, int32_t *less, int32_t *sums)
{
    for (int32_t i = 0; i < count; i++) {
        const uint32_t x = (uint32_t)a[i], y = (uint32_t)b[i];
        greater[i] = (int32_t)se_lanes_max(x, y);
        less[i] = (int32_t)se_lanes_min(x, y);
        sums[i] = (int32_t)se_lanes_saturate(se_lane(x, 0) + se_lane(y, 0), se_lane(x, 1) + se_lane(y, 1),
                                             se_lane(x, 2) + se_lane(y, 2), se_lane(x, 3) + se_lane(y, 3));
    }
}
