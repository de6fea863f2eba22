/* The windows of a convolution, widened straight into a strip, where the channels are whole quads or pairs or are
 * padded to such. */
#ifndef SE_WINDOW_H
#define SE_WINDOW_H

#include "se_patch.h"
#include "se_strip.h"

/* elements of a window with the `channels` of every kernel position padded to whole blocks */
static inline int32_t se_window_depth(const se_conv2d_params *p, int32_t channels, int32_t block)
{
    return p->kernel_height * p->kernel_width * ((channels + block - 1) & -block);
}

/* Fill a strip with the windows of `pixels` outputs from `at` on, `channels` input channels from `channel` on; returns
 * the output after them. Outside the image they read as the input zero point; what pads the channels is any value. */
se_position se_window_fill_quads(const se_conv2d_params *p, const int8_t *input, se_position at, int32_t channel,
                                 int32_t channels, int32_t pixels, se_quad *strip);
se_position se_window_fill_pairs(const se_conv2d_params *p, const int8_t *input, se_position at, int32_t channel,
                                 int32_t channels, int32_t pixels, se_pair *strip);

#endif
