/* Softmax over rows by a table of exponentials, whole or filled on demand.
 *
 * An int8 row has at most 256 different distances from its maximum, so 256 exponentials serve every row. The table is
 * kept in reverse, exponentials[255 - distance]: then element x of a row with maximum m is at exponentials[top + x]
 * with top = 255 - m, which costs nothing: table and top make one address. */
#include "se_kernels.h"
#include "se_lanes.h"

#define EXPONENTIALS 256
#define LEAST 0x80808080u /* -128 in every lane */

typedef struct {
    uint32_t exponentials[EXPONENTIALS];
    uint32_t known[EXPONENTIALS / 32]; /* the lazy variant's bitmap; the other does not have it */
} lazy_table;

static SE_NOINLINE int32_t row_maximum(const int8_t *x, int32_t columns)
{
    uint32_t maxima = LEAST, others = LEAST;
    for (int32_t left = columns >> 3; left > 0; left--, x += 2 * SE_LANES) {
        maxima = se_lanes_max(maxima, se_lanes_load(x));
        others = se_lanes_max(others, se_lanes_load(x + SE_LANES));
    }
    for (int32_t left = columns & 7; left > 0; left--, x++)
        maxima = se_lanes_max(maxima, (uint32_t)(uint8_t)*x | (LEAST & ~0xffu));
    maxima = se_lanes_max(maxima, others);
    maxima = se_lanes_max(maxima, maxima >> 16);
    maxima = se_lanes_max(maxima, maxima >> 8);
    return se_lane(maxima, 0);
}

/* lane 0 as an index: the compiler's own choice takes an instruction more */
static inline int32_t first_lane(uint32_t word)
{
#if SE_DSP
    int32_t result;
    __asm__("sxtb %0, %1" : "=r"(result) : "r"(word));
    return result;
#else
    return se_lane(word, 0);
#endif
}

static inline uint32_t word_sum(const uint32_t *exponentials, int32_t top, uint32_t word)
{
    uint32_t sum = exponentials[top + first_lane(word)];
    sum += exponentials[top + se_lane(word, 1)];
    sum += exponentials[top + se_lane(word, 2)];
    return sum + exponentials[top + se_lane(word, 3)];
}

static SE_NOINLINE uint32_t row_sum(const uint32_t *exponentials, int32_t top, const int8_t *x, int32_t columns)
{
    uint32_t sum = 0;
    for (int32_t left = columns >> 3; left > 0; left--, x += 2 * SE_LANES) {
        sum += word_sum(exponentials, top, se_lanes_load(x));
        sum += word_sum(exponentials, top, se_lanes_load(x + SE_LANES));
    }
    for (int32_t left = columns & 7; left > 0; left--)
        sum += exponentials[top + *x++];
    return sum;
}

/* what a row's outputs share */
typedef struct {
    const uint32_t *exponentials;
    int32_t top, multiplier, zero_point;
} row_terms;

static inline int32_t row_value(const row_terms *t, int32_t x)
{
    return se_multiply_high_round_add((int32_t)t->exponentials[t->top + x], t->multiplier, t->zero_point);
}

static inline uint32_t row_word(const row_terms *t, uint32_t word)
{
    return se_lanes_saturate(row_value(t, first_lane(word)), row_value(t, se_lane(word, 1)),
                             row_value(t, se_lane(word, 2)), row_value(t, se_lane(word, 3)));
}

static SE_NOINLINE void row_output(const row_terms *row, const int8_t *x, int8_t *output, int32_t columns)
{
    const row_terms t = *row;
    for (int32_t left = columns >> 3; left > 0; left--, x += 2 * SE_LANES, output += 2 * SE_LANES) {
        se_lanes_store(output, row_word(&t, se_lanes_load(x)));
        se_lanes_store(output + SE_LANES, row_word(&t, se_lanes_load(x + SE_LANES)));
    }
    for (int32_t left = columns & 7; left > 0; left--)
        *output++ = (int8_t)se_saturate_int8(row_value(&t, *x++));
}

static SE_NOINLINE void fill_table(uint32_t *exponentials, int32_t multiplier, int32_t fraction_bits)
{
    for (int32_t distance = 0; distance < EXPONENTIALS; distance++)
        exponentials[EXPONENTIALS - 1 - distance] = se_exp_negative(distance, multiplier, fraction_bits);
}

void se_softmax_s8(const se_softmax_params *p, const int8_t *input, int8_t *output, void *scratch)
{
    const int32_t columns = p->columns;
    fill_table(scratch, p->exp_multiplier, p->fraction_bits);
    for (int32_t left = p->rows; left > 0; left--, input += columns, output += columns) {
        const int32_t top = EXPONENTIALS - 1 - row_maximum(input, columns);
        const uint32_t sum = row_sum(scratch, top, input, columns);
        const int32_t multiplier = se_row_multiplier(sum, p->output_multiplier, p->output_exponent);
        const row_terms row = {scratch, top, multiplier, p->output_zero_point};
        row_output(&row, input, output, columns);
    }
}

int32_t se_softmax_s8_scratch_bytes(const se_softmax_params *p)
{
    (void)p;
    return EXPONENTIALS * (int32_t)sizeof(uint32_t);
}

/* The sum of a row's exponentials; computes and remembers those that are not yet known. */
static SE_NOINLINE uint32_t lazy_row_sum(const se_softmax_params *p, lazy_table *table, int32_t top, const int8_t *x)
{
    uint32_t sum = 0;
    for (const int8_t *const end = x + p->columns; x != end; x++) {
        const int32_t index = top + *x;
        const uint32_t bit = 1u << (index & 31);
        if ((table->known[index >> 5] & bit) == 0) {
            table->known[index >> 5] |= bit;
            table->exponentials[index] =
                se_exp_negative(EXPONENTIALS - 1 - index, p->exp_multiplier, p->fraction_bits);
        }
        sum += table->exponentials[index];
    }
    return sum;
}

void se_softmax_lazy_s8(const se_softmax_params *p, const int8_t *input, int8_t *output, void *scratch)
{
    const int32_t columns = p->columns;
    lazy_table *const table = scratch;
    for (int32_t i = 0; i < EXPONENTIALS / 32; i++)
        table->known[i] = 0;
    for (int32_t left = p->rows; left > 0; left--, input += columns, output += columns) {
        const int32_t top = EXPONENTIALS - 1 - row_maximum(input, columns);
        const uint32_t sum = lazy_row_sum(p, table, top, input);
        const int32_t multiplier = se_row_multiplier(sum, p->output_multiplier, p->output_exponent);
        const row_terms row = {table->exponentials, top, multiplier, p->output_zero_point};
        row_output(&row, input, output, columns);
    }
}

int32_t se_softmax_lazy_s8_scratch_bytes(const se_softmax_params *p)
{
    (void)p;
    return (int32_t)sizeof(lazy_table);
}
