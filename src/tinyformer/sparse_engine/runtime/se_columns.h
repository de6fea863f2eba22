/* Rows of one matrix times SE_COLUMNS columns of another, for the product of two activations.
 *
 * The columns lie in a strip: words of two int16, word j of the columns side by side. A word meets two neighbours of a
 * row, which are elements 4q and 4q + 2, then 4q + 1 and 4q + 3 where a core has the DSP extension: that is how SXTB16
 * widens four bytes. The last two of a row that is no multiple of four, and in portable code every two, come in order;
 * beside a single last element stands 0. */
#ifndef SE_COLUMNS_H
#define SE_COLUMNS_H

#include "se_lanes.h"

#define SE_STRIP_COLUMNS 8 /* that a strip has room for */

/* as many sums as the core has registers for */
#if SE_DSP
#define SE_COLUMNS 8
#else
#define SE_COLUMNS 4
#endif

typedef struct {
    int32_t start[SE_STRIP_COLUMNS]; /* of each column's sums */
    const void *strip;
    const int8_t *rows;
    int8_t *output; /* the first row's */
    const int8_t *output_end;
    int32_t output_step; /* to the next row; output + rows * output_step is output_end, and there is a row */
    int32_t multiplier, zero_point, left_shift;
    int32_t count; /* columns whose outputs are stored: the first 1 .. SE_COLUMNS */
    int32_t depth;
    int32_t unusual; /* 0 when there is no left shift and every column is stored */
} se_columns;

static inline int32_t se_columns_strip_bytes(int32_t depth)
{
    return ((depth + 1) >> 1) * SE_STRIP_COLUMNS * 2 * (int32_t)sizeof(int16_t);
}

/* a matrix of `depth` rows, of which element (row, column) lies at row * row_step + column * column_step */
typedef struct {
    const int8_t *elements;
    int32_t row_step, column_step; /* one of them is 1 */
    int32_t depth, zero_point;
} se_columns_source;

/* Fills a strip with the matrix's columns 0 .. count - 1, less the zero point; sums[i] is that of column i. */
void se_columns_fill(const se_columns_source *source, int32_t count, void *strip, int32_t *sums);

/* output[row][i] = saturate((start[i] + rows[row] . column i) * 2^left_shift * multiplier / 2^32 + zero_point), the
 * product rounded as by se_requantize. With the DSP extension about 1.2 instructions a product and 65 a row. */
void se_columns_multiply(const se_columns *columns);

#endif
