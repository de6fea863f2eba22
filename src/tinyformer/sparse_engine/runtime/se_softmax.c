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
    SE_NOT_UNROLLED
    for (int32_t left = columns >> 4; left != 0; left--, x += 4 * SE_LANES) {
        maxima = se_lanes_max(maxima, se_lanes_load(x));
        others = se_lanes_max(others, se_lanes_load(x + SE_LANES));
        maxima = se_lanes_max(maxima, se_lanes_load(x + 2 * SE_LANES));
        others = se_lanes_max(others, se_lanes_load(x + 3 * SE_LANES));
    }
    SE_NOT_UNROLLED
    for (int32_t left = columns & 15; left != 0; left--, x++)
        maxima = se_lanes_max(maxima, (uint32_t)(uint8_t)*x | (LEAST & ~0xffu));
    maxima = se_lanes_max(maxima, others);
    maxima = se_lanes_max(maxima, maxima >> 16);
    maxima = se_lanes_max(maxima, maxima >> 8);
    return se_lane(maxima, 0);
}

/* Where element x of a row finds its exponential at [x]. This may lie beyond the table, in a row without zeros, and is
 * therefore not computed as a pointer into it. */
static inline const uint32_t *from_zero(const uint32_t *exponentials, int32_t top)
{
    return (const uint32_t *)((uintptr_t)exponentials + sizeof *exponentials * (uintptr_t)top);
}

static SE_NOINLINE uint32_t row_sum(const uint32_t *exponentials, int32_t top, const int8_t *x, int32_t columns)
{
    const uint32_t *const zero = from_zero(exponentials, top);
    uint32_t sum = 0;
    SE_NOT_UNROLLED
    for (int32_t left = columns >> 3; left != 0; left--, x += 8) {
        sum += zero[x[0]];
        sum += zero[x[1]];
        sum += zero[x[2]];
        sum += zero[x[3]];
        sum += zero[x[4]];
        sum += zero[x[5]];
        sum += zero[x[6]];
        sum += zero[x[7]];
    }
    SE_NOT_UNROLLED
    for (int32_t left = columns & 7; left != 0; left--)
        sum += zero[*x++];
    return sum;
}

/* what a row's outputs share */
typedef struct {
    const uint32_t *zero; /* from_zero */
    int32_t multiplier, zero_point;
} row_terms;

static inline int32_t row_value(const row_terms *t, int32_t x)
{
    return se_multiply_high_round_add((int32_t)t->zero[x], t->multiplier, t->zero_point);
}

static inline uint32_t row_word(const row_terms *t, const int8_t *x)
{
    return se_lanes_saturate(row_value(t, x[0]), row_value(t, x[1]), row_value(t, x[2]), row_value(t, x[3]));
}

static SE_NOINLINE void row_output(const row_terms *row, const int8_t *x, int8_t *output, int32_t columns)
{
    const row_terms t = *row;
    SE_NOT_UNROLLED
    for (int32_t left = columns >> 3; left != 0; left--, x += 2 * SE_LANES, output += 2 * SE_LANES) {
        se_lanes_store(output, row_word(&t, x));
        se_lanes_store(output + SE_LANES, row_word(&t, x + SE_LANES));
    }
    SE_NOT_UNROLLED
    for (int32_t left = columns & 7; left != 0; left--)
        *output++ = (int8_t)se_saturate_int8(row_value(&t, *x++));
}

#if SE_DSP
/* what the table's entries share; `product` and `entry` move on */
typedef struct {
    uint32_t product, step, exponent_bias;
    int32_t zeroth, first, second, third, fourth, fifth_doubled; /* coefficients */
} table_terms;

/* *--entry = se_exp_negative of the distance that is `product` / `step`, in 17 instructions: a shift leaves in the carry
 * the bit that rounds. */
SE_FORCE_INLINE static uint32_t *put_exponential(uint32_t *entry, table_terms *t)
{
    uint32_t fraction, value;
    __asm__ volatile("lsl %[fraction], %[product], #12\n\t"
            "lsr %[fraction], %[fraction], #1\n\t"
            "smmla %[value], %[fifth], %[fraction], %[fourth]\n\t"
            "lsl %[value], %[value], #1\n\t"
            "smmla %[value], %[value], %[fraction], %[third]\n\t"
            "lsl %[value], %[value], #1\n\t"
            "smmla %[value], %[value], %[fraction], %[second]\n\t"
            "lsl %[value], %[value], #1\n\t"
            "smmla %[value], %[value], %[fraction], %[first]\n\t"
            "lsl %[value], %[value], #1\n\t"
            "smmla %[value], %[value], %[fraction], %[zeroth]\n\t"
            "add %[fraction], %[bias], %[product], lsr #20\n\t"
            "usat %[fraction], #5, %[fraction]\n\t"
            "lsrs %[value], %[value], %[fraction]\n\t"
            "adc %[value], %[value], #0\n\t"
            "add %[product], %[product], %[step]\n\t"
            "str %[value], [%[entry], #-4]!"
            : [entry] "+&r"(entry), [product] "+&r"(t->product), [fraction] "=&r"(fraction), [value] "=&r"(value)
            : [step] "r"(t->step), [bias] "r"(t->exponent_bias), [zeroth] "r"(t->zeroth), [first] "r"(t->first),
              [second] "r"(t->second), [third] "r"(t->third), [fourth] "r"(t->fourth), [fifth] "r"(t->fifth_doubled)
            : "cc", "memory");
    return entry;
}

/* The volatile copy keeps the coefficients in registers: a compiler would build them again in each turn. */
static SE_NOINLINE void fill_table(uint32_t *exponentials, int32_t multiplier, int32_t fraction_bits)
{
    const volatile int32_t *const c = se_exp_coefficients;
    table_terms t = {0, (uint32_t)multiplier, 30u - (uint32_t)fraction_bits, c[0], c[1], c[2], c[3], c[4], 2 * c[5]};
    uint32_t *entry = exponentials + EXPONENTIALS;
    SE_NOT_UNROLLED
    do {
        entry = put_exponential(entry, &t);
        entry = put_exponential(entry, &t);
        entry = put_exponential(entry, &t);
        entry = put_exponential(entry, &t);
    } while (entry != exponentials);
}
#else
static SE_NOINLINE void fill_table(uint32_t *exponentials, int32_t multiplier, int32_t fraction_bits)
{
    for (int32_t distance = 0; distance < EXPONENTIALS; distance++)
        exponentials[EXPONENTIALS - 1 - distance] = se_exp_negative(distance, multiplier, fraction_bits);
}
#endif

void se_softmax_s8(const se_softmax_params *p, const int8_t *input, int8_t *output, void *scratch)
{
    const int32_t columns = p->columns;
    fill_table(scratch, p->exp_multiplier, p->fraction_bits);
    for (int32_t left = p->rows; left > 0; left--, input += columns, output += columns) {
        const int32_t top = EXPONENTIALS - 1 - row_maximum(input, columns);
        const uint32_t sum = row_sum(scratch, top, input, columns);
        const int32_t multiplier = se_row_multiplier(sum, p->output_multiplier, p->output_exponent);
        const row_terms row = {from_zero(scratch, top), multiplier, p->output_zero_point};
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
        const row_terms row = {from_zero(table->exponentials, top), multiplier, p->output_zero_point};
        row_output(&row, input, output, columns);
    }
}

int32_t se_softmax_lazy_s8_scratch_bytes(const se_softmax_params *p)
{
    (void)p;
    return (int32_t)sizeof(lazy_table);
}
