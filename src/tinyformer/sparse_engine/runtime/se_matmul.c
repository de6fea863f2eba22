#include "se_columns.h"
#include "se_kernels.h"

/* The columns of b, less their zero point, are widened into a strip, SE_COLUMNS at a time, and met by all rows of a. The
 * zero point of a is carried by the sums' start: -a_zero_point * (sum of the column). Where the columns are no multiple
 * of SE_COLUMNS, the last strip holds some of the one before again. */

int32_t se_matmul_s8_scratch_bytes(const se_matmul_params *p)
{
    return se_columns_strip_bytes(p->depth);
}

void se_matmul_s8(const se_matmul_params *p, const int8_t *a, const int8_t *b, int8_t *output, void *scratch)
{
    const int32_t count = p->columns < SE_COLUMNS ? p->columns : SE_COLUMNS;
    const int32_t transposed = p->transpose_b != 0;
    const se_columns_source matrix = {b, transposed ? 1 : p->columns, transposed ? p->depth : 1, p->depth,
                                      p->b_zero_point};
    int8_t *product = output;
    se_columns strip = {{0}, scratch, a, output, output, p->columns, p->multiplier, p->output_zero_point, p->left_shift,
                        count, p->depth, p->left_shift | (count ^ SE_COLUMNS)};
    for (int32_t batch = 0; batch < p->batch; batch++) {
        for (int32_t column = 0; column < p->columns; column += SE_COLUMNS) {
            const int32_t first = column < p->columns - count ? column : p->columns - count;
            se_columns_source columns = matrix;
            columns.elements = b + first * matrix.column_step;
            se_columns_fill(&columns, count, scratch, strip.start);
            for (int32_t i = 0; i < count; i++)
                strip.start[i] *= -p->a_zero_point;
            strip.output = product + first;
            strip.output_end = strip.output + p->rows * p->columns;
            se_columns_multiply(&strip);
        }
        strip.rows += p->rows * p->depth;
        b += p->depth * p->columns;
        product += p->rows * p->columns;
    }
    se_clamp_run(output, p->batch * p->rows * p->columns, p->low, p->high);
}
