/* Four outputs at once: what se_requantize gives for each, as the lanes of a word. */
#ifndef SE_OUTPUT_H
#define SE_OUTPUT_H

#include "se_lanes.h"

typedef struct {
    int32_t left_shift, zero_point;
    uint32_t low, high; /* in every lane */
} se_output;

static inline se_output se_output_of(int32_t left_shift, int32_t zero_point, int32_t low, int32_t high)
{
    const se_output o = {left_shift, zero_point, se_lanes_splat(low), se_lanes_splat(high)};
    return o;
}

static inline int32_t se_output_scale(const se_output *o, int32_t accumulator, int32_t multiplier)
{
    const int32_t scaled = (int32_t)((uint32_t)accumulator << o->left_shift);
    return se_multiply_high_round_add(scaled, multiplier, o->zero_point);
}

static inline int8_t se_output_one(const se_output *o, int32_t accumulator, int32_t multiplier)
{
    const int32_t value = se_output_scale(o, accumulator, multiplier);
    return (int8_t)se_clamp(value, se_lane(o->low, 0), se_lane(o->high, 0));
}

/* a multiplier for each accumulator */
static inline uint32_t se_output_four(const se_output *o, const int32_t *accumulators, const int32_t *multipliers)
{
    const uint32_t word = se_lanes_saturate(
        se_output_scale(o, accumulators[0], multipliers[0]), se_output_scale(o, accumulators[1], multipliers[1]),
        se_output_scale(o, accumulators[2], multipliers[2]), se_output_scale(o, accumulators[3], multipliers[3]));
    return se_lanes_min(se_lanes_max(word, o->low), o->high);
}

/* one multiplier for all */
static inline uint32_t se_output_four_alike(const se_output *o, const int32_t *accumulators, int32_t multiplier)
{
    const int32_t multipliers[4] = {multiplier, multiplier, multiplier, multiplier};
    return se_output_four(o, accumulators, multipliers);
}

#endif
