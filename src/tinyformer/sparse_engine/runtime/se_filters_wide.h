/* Filters over a wide strip: SE_WIDE_PIXELS outputs for each weight that is decoded, by hand-scheduled assembly.
 *
 * Eight sums, the two words of a widened quad and what walks strip and weights are more than compilers keep in
 * registers at once. The portable twins are the narrow loops of se_filters.c, which give the same outputs from strips
 * of SE_PIXELS. */
#ifndef SE_FILTERS_WIDE_H
#define SE_FILTERS_WIDE_H

#include "se_filters.h"

#if SE_WIDE

/* 16 words, most of them about the first filter: the functions step through a copy. */
typedef struct {
    const void *strip;
    const void *stream; /* dense: weights; blocks: distances */
    uintptr_t values;   /* blocks of 2: their address; blocks of 4: see se_filters_wide_block4 */
    const uint16_t *counts;
    const int32_t *bias;
    const int32_t *multipliers;
    int8_t *output;
    const int8_t *output_end; /* output + number of filters, at least one */
    int32_t output_stride;
    int32_t left_shift, zero_point;
    int32_t unusual; /* 0 when there is no left shift and low .. high is all of int8 */
    int32_t low, high;
    int32_t depth; /* dense: weights of a filter */
    const void *stream_end; /* set by the functions, of the filter in work */
} se_wide_filters;

/* All filters for the SE_WIDE_PIXELS pixels of a strip; as the functions of se_filters.h. */
void se_filters_wide_dense(const se_wide_filters *filters);
void se_filters_wide_block2(const se_wide_filters *filters);
void se_filters_wide_block4(const se_wide_filters *filters);

#endif
#endif
