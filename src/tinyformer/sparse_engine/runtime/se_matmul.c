#include "se_kernels.h"
#include "se_output.h"
#include "se_strip.h"

/* The columns of b, less their zero point, take the part of the pixels, the rows of a that of the filters. The zero
 * point of a is carried by the accumulators' start: -a_zero_point * (sum of the column). */

int32_t se_matmul_s8_scratch_bytes(const se_matmul_params *p)
{
    return se_strip_quads_bytes(p->depth, se_strip_pixels(p->columns));
}

/* Fills one column of the strip from elements `step` apart; returns their sum. */
static int32_t fill_column(const int8_t *source, int32_t step, int32_t depth, int32_t zero_point, int32_t pixels,
                           se_quad *strip)
{
    int32_t sum = 0;
    for (int32_t left = depth; left > 0; left -= 4) {
        int32_t values[4];
        SE_UNROLL
        for (int32_t i = 0; i < 4; i++) {
            values[i] = 0;
            if (i < left) {
                values[i] = *source - zero_point;
                source += step;
            }
            sum += values[i];
        }
        *strip = se_quad_of(values[0], values[1], values[2], values[3]);
        strip += pixels;
    }
    return sum;
}

/* One row of a times `pixels` columns. Inlined for SE_PIXELS and for 1. */
SE_ALWAYS_INLINE void multiply_row(const se_quad *strip, int32_t depth, int32_t pixels, const int8_t *a,
                                   int32_t *accumulators)
{
    for (int32_t quads = depth >> 2; quads != 0; quads--) {
        strip = se_quad_step(strip, pixels, se_quad_load(a), accumulators);
        a += 4;
    }
    if ((depth & 3) != 0) {
        se_quad_step(strip, pixels, se_quad_load_partial(a, depth & 3), accumulators);
    }
}

static void multiply_columns(const se_matmul_params *p, const se_quad *strip, const int8_t *a, const int32_t *start,
                             int8_t *output)
{
    const se_output o = se_output_of(p->left_shift, p->output_zero_point, p->low, p->high);
    for (int32_t row = 0; row < p->rows; row++) {
        int32_t sums[SE_PIXELS];
        SE_UNROLL
        for (int32_t pixel = 0; pixel < SE_PIXELS; pixel++) {
            sums[pixel] = start[pixel];
        }
        multiply_row(strip, p->depth, SE_PIXELS, a, sums);
        se_lanes_store(output, se_output_four_alike(&o, sums, p->multiplier));
        a += p->depth;
        output += p->columns;
    }
}

static void multiply_column(const se_matmul_params *p, const se_quad *strip, const int8_t *a, int32_t start,
                            int8_t *output)
{
    for (int32_t row = 0; row < p->rows; row++) {
        int32_t sum = start;
        multiply_row(strip, p->depth, 1, a, &sum);
        *output = se_requantize(sum, p->multiplier, p->left_shift, p->output_zero_point, p->low, p->high);
        a += p->depth;
        output += p->columns;
    }
}

void se_matmul_s8(const se_matmul_params *p, const int8_t *a, const int8_t *b, int8_t *output, void *scratch)
{
    const int32_t element_step = p->transpose_b != 0 ? 1 : p->columns;
    const int32_t column_step = p->transpose_b != 0 ? p->depth : 1;
    se_quad *const strip = scratch;
    for (int32_t batch = 0; batch < p->batch; batch++) {
        int32_t column = 0;
        while (column < p->columns) {
            const int32_t pixels = se_strip_pixels(p->columns - column);
            int32_t start[SE_PIXELS];
            for (int32_t pixel = 0; pixel < pixels; pixel++) {
                const int8_t *source = b + (column + pixel) * column_step;
                const int32_t sum = fill_column(source, element_step, p->depth, p->b_zero_point, pixels, strip + pixel);
                start[pixel] = -p->a_zero_point * sum;
            }
            if (pixels == SE_PIXELS) {
                multiply_columns(p, strip, a, start, output + column);
            } else {
                multiply_column(p, strip, a, start[0], output + column);
            }
            column += pixels;
        }
        a += p->rows * p->depth;
        b += p->depth * p->columns;
        output += p->rows * p->columns;
    }
}
