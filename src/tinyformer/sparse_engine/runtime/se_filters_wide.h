/* Filters over a wide strip: SE_WIDE_PIXELS outputs for each weight that is decoded, by hand-scheduled assembly.
 *
 * Eight sums, the two words of a widened quad and what walks strip and weights are more than compilers keep in
 * registers at once. The portable twins are the narrow loops of se_filters.c, which give the same outputs from strips
 * of SE_PIXELS. */
#ifndef SE_FILTERS_WIDE_H
#define SE_FILTERS_WIDE_H

#include "se_filters.h"

#if SE_WIDE

/* 15 words, of which the functions make a copy. Filters are counted by an index that rises to 0, so that arrays are
 * found by where they end. */
typedef struct {
    const void *strip;
    const void *stream; /* dense: weights; blocks: distances */
    const int32_t *bias_end;
    uintptr_t work; /* dense: bytes of a filter's weights, in whole quads; blocks: where their counts end */
    int32_t index;  /* -filters */
    const int32_t *multipliers_end;
    int32_t zero_point;
    int32_t unusual; /* 0 when there is no left shift and low .. high is all of int8 */
    int8_t *output_end; /* the first pixel's */
    int32_t left_shift;
    int32_t output_stride;
    int32_t lowering;          /* low - headroom */
    int32_t lifted_zero_point; /* zero_point - low */
    int32_t headroom;          /* 255 - (high - low) */
    uintptr_t values;          /* blocks of 2: their address; blocks of 4: see se_filters_wide_block4 */
} se_wide_filters;

/* All filters for the SE_WIDE_PIXELS pixels of a strip; as the functions of se_filters.h. */
void se_filters_wide_dense(const se_wide_filters *filters);
void se_filters_wide_block2(const se_wide_filters *filters);
void se_filters_wide_block4(const se_wide_filters *filters);

#endif
#endif
