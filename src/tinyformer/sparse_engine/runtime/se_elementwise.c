/* Sum, product and table look-up of int8 elements, four at a time. */
#include "se_kernels.h"
#include "se_lanes.h"

/* ---- sum ------------------------------------------------------------------------------------------------------------ */
typedef struct {
    int32_t multiplier_a, multiplier_b;
    int32_t offset, shift;
} add_terms;

#if SE_DSP
static inline int32_t weigh_pair(uint32_t pair, uint32_t weights, int32_t offset)
{
    int32_t result;
    __asm__("smlad %0, %1, %2, %3" : "=r"(result) : "r"(pair), "r"(weights), "r"(offset));
    return result;
}
#endif

/* (a * multiplier_a + b * multiplier_b + offset) >> shift, lane by lane, saturated */
static inline uint32_t add_lanes(uint32_t a, uint32_t b, const add_terms *t)
{
    int32_t v0, v1, v2, v3;
#if SE_DSP
    /* pairs (a_i, b_i) as halves of a word, against the two multipliers */
    const uint32_t weights = ((uint32_t)t->multiplier_a & 0xffffu) | (uint32_t)t->multiplier_b << 16;
    const uint32_t a_even = se_halves_even(a), a_odd = se_halves_odd(a);
    const uint32_t b_even = se_halves_even(b), b_odd = se_halves_odd(b);
    v0 = weigh_pair((a_even & 0xffffu) | b_even << 16, weights, t->offset);
    v1 = weigh_pair((a_odd & 0xffffu) | b_odd << 16, weights, t->offset);
    v2 = weigh_pair(a_even >> 16 | (b_even & 0xffff0000u), weights, t->offset);
    v3 = weigh_pair(a_odd >> 16 | (b_odd & 0xffff0000u), weights, t->offset);
#else
    v0 = se_lane(a, 0) * t->multiplier_a + se_lane(b, 0) * t->multiplier_b + t->offset;
    v1 = se_lane(a, 1) * t->multiplier_a + se_lane(b, 1) * t->multiplier_b + t->offset;
    v2 = se_lane(a, 2) * t->multiplier_a + se_lane(b, 2) * t->multiplier_b + t->offset;
    v3 = se_lane(a, 3) * t->multiplier_a + se_lane(b, 3) * t->multiplier_b + t->offset;
#endif
    return se_lanes_saturate(v0 >> t->shift, v1 >> t->shift, v2 >> t->shift, v3 >> t->shift);
}

void se_add_s8(const se_add_params *p, const int8_t *a, const int8_t *b, int8_t *output)
{
    const add_terms t = {p->multiplier_a, p->multiplier_b, p->offset, p->shift};
    const int32_t period = p->period;
    const int32_t rest = se_lanes_rest(period);
    int8_t *y = output;
    for (const int8_t *const end = a + p->elements; a != end; a += rest, y += rest) {
        const int8_t *x = b;
        for (const int8_t *const whole = b + se_lanes_whole(period); x != whole;
             a += SE_LANES, x += SE_LANES, y += SE_LANES)
            se_lanes_store(y, add_lanes(se_lanes_load(a), se_lanes_load(x), &t));
        if (rest != 0)
            se_lanes_store_part(y, add_lanes(se_lanes_load_part(a, rest), se_lanes_load_part(x, rest), &t), rest);
    }
    se_clamp_run(output, p->elements, p->low, p->high);
}

/* ---- product ---------------------------------------------------------------------------------------------------------- */
typedef struct {
    int32_t a_zero_point, b_zero_point;
    se_lane_scale output;
} mul_terms;

/* (a - a_zero_point) * (b - b_zero_point), lane by lane, requantised and saturated */
static inline uint32_t mul_lanes(uint32_t a, uint32_t b, const mul_terms *t)
{
    int32_t v0, v1, v2, v3;
#if SE_DSP
    const uint32_t minus_a = se_halves_splat(-t->a_zero_point), minus_b = se_halves_splat(-t->b_zero_point);
    const uint32_t a_even = se_halves_add_even(minus_a, a), a_odd = se_halves_add_odd(minus_a, a);
    const uint32_t b_even = se_halves_add_even(minus_b, b), b_odd = se_halves_add_odd(minus_b, b);
    v0 = se_half_low(a_even) * se_half_low(b_even);
    v1 = se_half_low(a_odd) * se_half_low(b_odd);
    v2 = se_half_high(a_even) * se_half_high(b_even);
    v3 = se_half_high(a_odd) * se_half_high(b_odd);
#else
    v0 = (se_lane(a, 0) - t->a_zero_point) * (se_lane(b, 0) - t->b_zero_point);
    v1 = (se_lane(a, 1) - t->a_zero_point) * (se_lane(b, 1) - t->b_zero_point);
    v2 = (se_lane(a, 2) - t->a_zero_point) * (se_lane(b, 2) - t->b_zero_point);
    v3 = (se_lane(a, 3) - t->a_zero_point) * (se_lane(b, 3) - t->b_zero_point);
#endif
    return se_lanes_saturate(se_lane_requantize(v0, t->output), se_lane_requantize(v1, t->output),
                             se_lane_requantize(v2, t->output), se_lane_requantize(v3, t->output));
}

void se_mul_s8(const se_mul_params *p, const int8_t *a, const int8_t *b, int8_t *output)
{
    const mul_terms t = {
        p->a_zero_point, p->b_zero_point, {p->multiplier, p->left_shift, p->output_zero_point}};
    const int32_t period = p->period;
    const int32_t rest = se_lanes_rest(period);
    int8_t *y = output;
    for (const int8_t *const end = a + p->elements; a != end; a += rest, y += rest) {
        const int8_t *x = b;
        for (const int8_t *const whole = b + se_lanes_whole(period); x != whole;
             a += SE_LANES, x += SE_LANES, y += SE_LANES)
            se_lanes_store(y, mul_lanes(se_lanes_load(a), se_lanes_load(x), &t));
        if (rest != 0)
            se_lanes_store_part(y, mul_lanes(se_lanes_load_part(a, rest), se_lanes_load_part(x, rest), &t), rest);
    }
    se_clamp_run(output, p->elements, p->low, p->high);
}

/* ---- look-up ----------------------------------------------------------------------------------------------------------- */
void se_lookup_s8(int32_t elements, const int8_t *input, const int8_t *table, int8_t *output)
{
    const int8_t *const zero = table + 128;
    for (const int8_t *const end = input + se_lanes_whole(elements); input != end; input += SE_LANES) {
        const uint32_t word = se_lanes_load(input);
        se_lanes_store(output, se_lanes_pack(zero[se_lane(word, 0)], zero[se_lane(word, 1)], zero[se_lane(word, 2)],
                                             zero[se_lane(word, 3)]));
        output += SE_LANES;
    }
    for (int32_t rest = se_lanes_rest(elements); rest > 0; rest--)
        *output++ = zero[*input++];
}
