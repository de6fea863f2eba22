/* Filters over a strip: the loop that convolution and linear layers share.
 *
 * For every pixel i and filter f: output[i * output_stride + f] = requantised(bias[f] + sum of products). */
#ifndef SE_FILTERS_H
#define SE_FILTERS_H

#include "se_kernels.h"
#include "se_strip.h"

typedef struct {
    int32_t filters;
    int32_t depth; /* weights of a filter without padding; not read with block weights */
    int32_t output_stride;
    int32_t output_zero_point;
    int32_t left_shift;
    int32_t low, high;
} se_filters;

/* bytes of a filter's dense weights: padded to whole words */
static inline int32_t se_filters_row_bytes(int32_t depth)
{
    return (depth + 3) & -4;
}

/* weights: (filters, depth), rows padded with zeros to se_filters_row_bytes */
void se_filters_dense(const se_filters *f, const se_quad *strip, int32_t pixels, const int8_t *weights,
                      const int32_t *bias, const int32_t *multipliers, int8_t *output);

/* The strip's elements are numbered as the blocks' are: b for every block, channel tails padded. */
void se_filters_block2(const se_filters *f, const se_pair *strip, int32_t pixels, const se_block_weights *weights,
                       const int32_t *bias, const int32_t *multipliers, int8_t *output);
void se_filters_block4(const se_filters *f, const se_quad *strip, int32_t pixels, const se_block_weights *weights,
                       const int32_t *bias, const int32_t *multipliers, int8_t *output);

#endif
