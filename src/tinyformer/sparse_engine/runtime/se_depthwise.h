/* Depthwise convolution, what its dense and its sparse form share.
 *
 * Four channels at a time. The input rows under a row of outputs are widened to int16, each channel's elements side by
 * side, into a ring of as many rows as the kernel has: moving down by a row of outputs widens only the rows that come
 * into view. Every row is written twice, `kernel_height` rows apart, so that a window is contiguous wherever in the ring
 * it begins. A filter is a list of blocks, three weights of one kernel row each, all of them or those that are stored:
 * one loop serves both forms, and a row of outputs walks the list once for eight of them. */
#ifndef SE_DEPTHWISE_H
#define SE_DEPTHWISE_H

#include "se_kernels.h"
#include "se_lanes.h"

#define SE_DEPTHWISE_BLOCK 3    /* weights along the kernel width */
#define SE_DEPTHWISE_CHANNELS 4 /* at a time */
#define SE_DEPTHWISE_OUTPUTS 8  /* of a row at a time, where a core has registers for them */

/* three weights, and where their first element lies in bytes from that of the kernel's first */
typedef struct {
    int32_t offset;
#if SE_DSP
    uint32_t first, second; /* int16 halves: weights 0 and 1, 1 and 2 */
#else
    int16_t weights[4]; /* the last one is not used */
#endif
} se_depthwise_block;

static inline se_depthwise_block se_depthwise_block_of(int32_t offset, int32_t w0, int32_t w1, int32_t w2)
{
#if SE_DSP
    const uint32_t middle = (uint32_t)w1;
    const se_depthwise_block block = {offset, ((uint32_t)w0 & 0xffffu) | middle << 16,
                                      (middle & 0xffffu) | (uint32_t)w2 << 16};
#else
    const se_depthwise_block block = {offset, {(int16_t)w0, (int16_t)w1, (int16_t)w2, 0}};
#endif
    return block;
}

/* a channel that has blocks; offsets from the first of the four channels */
typedef struct {
    int32_t blocks_bytes; /* its blocks follow those of the filter before */
    int32_t rows_offset;  /* bytes */
    int32_t output_offset;
    int32_t bias, multiplier;
} se_depthwise_filter;

typedef struct {
    const se_conv2d_params *p;
    const int8_t *input;
    int8_t *output;
    se_depthwise_block *blocks; /* of the four channels */
    const se_depthwise_block *blocks_end; /* of those added */
    int32_t *offsets;           /* of each block that a filter can have */
    int16_t *rows;              /* the ring: (channel, row, element) */
    int32_t row_elements, channel_elements;
    int32_t image_end; /* the first element of a row beyond the image, or beyond the last window */
    se_depthwise_filter *filters; /* of the channels, at most four, that have blocks */
    int32_t filter_count;
} se_depthwise;

int32_t se_depthwise_blocks_in_row(const se_conv2d_params *p);
int32_t se_depthwise_scratch_bytes(const se_conv2d_params *p);
void se_depthwise_start(se_depthwise *d, const se_conv2d_params *p, const int8_t *input, int8_t *output, void *scratch);

/* Takes in the filter of a channel, whose blocks end at `end`, behind those of the channels added before. Call it for
 * every channel, in order, and se_depthwise_finish after every fourth and the last. */
void se_depthwise_add(se_depthwise *d, int32_t channel, const se_depthwise_block *end, int32_t bias,
                      int32_t multiplier);

/* Computes the outputs of channels first .. first + count - 1. */
void se_depthwise_finish(se_depthwise *d, int32_t first, int32_t count);

#endif
