/* Scaled-LayerNorm over rows (paper Sec. III-C3): integer sums, one reciprocal square root a row, no division. */
#include "se_kernels.h"
#include "se_lanes.h"

typedef struct {
    int32_t sum, squares; /* of x and of x^2: below 2^31 for rows up to 131071 values */
} row_moments;

/* adds the four lanes of a word */
static inline row_moments add_lanes(row_moments m, uint32_t word)
{
#if SE_DSP
    const uint32_t ones = 0x00010001u;
    const uint32_t even = se_halves_even(word), odd = se_halves_odd(word);
    __asm__("smlad %0, %1, %2, %0" : "+r"(m.sum) : "r"(even), "r"(ones));
    __asm__("smlad %0, %1, %1, %0" : "+r"(m.squares) : "r"(even));
    __asm__("smlad %0, %1, %2, %0" : "+r"(m.sum) : "r"(odd), "r"(ones));
    __asm__("smlad %0, %1, %1, %0" : "+r"(m.squares) : "r"(odd));
#else
    const int32_t x0 = se_lane(word, 0), x1 = se_lane(word, 1), x2 = se_lane(word, 2), x3 = se_lane(word, 3);
    m.sum += x0 + x1 + x2 + x3;
    m.squares += x0 * x0 + x1 * x1 + x2 * x2 + x3 * x3;
#endif
    return m;
}

static inline row_moments moments(const int8_t *x, int32_t columns)
{
    row_moments m = {0, 0};
    for (const int8_t *const end = x + se_lanes_whole(columns); x != end; x += SE_LANES)
        m = add_lanes(m, se_lanes_load(x));
    return add_lanes(m, se_lanes_load_part(x, se_lanes_rest(columns)));
}

/* What a row's elements share: (n * x - sum) * 2^left_shift = columns * x + minus_sum modulo 2^32, and the left side
 * fits (docs/numerics.md). */
typedef struct {
    uint32_t columns, minus_sum;
    int32_t multiplier;
    se_lane_scale output;
} row_terms;

static SE_NOINLINE row_terms terms(const se_layer_norm_params *p, const int8_t *x)
{
    const row_moments m = moments(x, p->columns);
    const uint64_t variance = (uint64_t)(se_product(p->columns, m.squares) - se_product(m.sum, m.sum));
    const se_row_scale scale =
        se_normalize_scale((variance << SE_VARIANCE_FRACTION_BITS) + (uint64_t)p->epsilon_term);
    const row_terms row = {
        (uint32_t)p->columns << scale.left_shift,
        (0u - (uint32_t)m.sum) << scale.left_shift,
        scale.multiplier,
        {p->multiplier, p->left_shift, p->output_zero_point},
    };
    return row;
}

static inline int32_t normalized(int32_t x, const row_terms *t)
{
    return se_multiply_high_round((int32_t)(t->columns * (uint32_t)x + t->minus_sum), t->multiplier);
}

/* addend + low(a) * low(pair), and the same with the pair's high half: int16 products */
static inline int32_t multiply_low(int32_t a, uint32_t pair, int32_t addend)
{
#if SE_DSP
    int32_t result;
    __asm__("smlabb %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(pair), "r"(addend));
    return result;
#else
    return a * se_half_low(pair) + addend;
#endif
}

static inline int32_t multiply_high(int32_t a, uint32_t pair, int32_t addend)
{
#if SE_DSP
    int32_t result;
    __asm__("smlabt %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(pair), "r"(addend));
    return result;
#else
    return a * se_half_high(pair) + addend;
#endif
}

static inline uint32_t load_pair(const int16_t *source)
{
    uint32_t pair;
    __builtin_memcpy(&pair, source, sizeof pair);
    return pair;
}

static SE_NOINLINE void row_output(const row_terms *row, const int8_t *x, const int16_t *gamma, const int32_t *beta,
                                   int8_t *output, int32_t columns)
{
    const row_terms t = *row;
    const int8_t *const end = x + se_lanes_whole(columns);
    for (; x != end; x += SE_LANES, gamma += SE_LANES, beta += SE_LANES, output += SE_LANES) {
        const uint32_t word = se_lanes_load(x);
        const uint32_t pair0 = load_pair(gamma), pair1 = load_pair(gamma + 2);
        const int32_t v0 = multiply_low(normalized(se_lane(word, 0), &t), pair0, beta[0]);
        const int32_t v1 = multiply_high(normalized(se_lane(word, 1), &t), pair0, beta[1]);
        const int32_t v2 = multiply_low(normalized(se_lane(word, 2), &t), pair1, beta[2]);
        const int32_t v3 = multiply_high(normalized(se_lane(word, 3), &t), pair1, beta[3]);
        se_lanes_store(output,
                       se_lanes_saturate(se_lane_requantize(v0, t.output), se_lane_requantize(v1, t.output),
                                         se_lane_requantize(v2, t.output), se_lane_requantize(v3, t.output)));
    }
    for (int32_t rest = se_lanes_rest(columns); rest > 0; rest--) {
        const int32_t accumulator = normalized(*x++, &t) * *gamma++ + *beta++;
        *output++ = (int8_t)se_saturate_int8(se_lane_requantize(accumulator, t.output));
    }
}

void se_layer_norm_s8(const se_layer_norm_params *p, const int8_t *input, const int16_t *gamma, const int32_t *beta,
                      int8_t *output, void *scratch)
{
    const int32_t columns = p->columns;
    int8_t *row = output;
    (void)scratch;
    for (int32_t left = p->rows; left > 0; left--, input += columns, row += columns) {
        const row_terms t = terms(p, input);
        row_output(&t, input, gamma, beta, row, columns);
    }
    se_clamp_run(output, p->rows * columns, p->low, p->high);
}

int32_t se_layer_norm_s8_scratch_bytes(const se_layer_norm_params *p)
{
    (void)p;
    return 0;
}
