/* The windows of a convolution, one output position after the other. */
#ifndef SE_PATCH_H
#define SE_PATCH_H

#include "se_kernels.h"

/* of an output */
typedef struct {
    int32_t y, x;
} se_position;

static inline se_position se_position_next(const se_conv2d_params *p, se_position at)
{
    const se_position right = {at.y, at.x + 1}, below = {at.y + 1, 0};
    return right.x < p->output_width ? right : below;
}

/* Returns the window of an output as kernel_height * kernel_width runs of `channels` input channels from `channel` on.
 * Outside the image it reads as the input zero point. The window is gathered in `patch` unless it lies in one piece in
 * the input. */
const int8_t *se_patch(const se_conv2d_params *p, const int8_t *input, se_position at, int32_t channel,
                       int32_t channels, int8_t *patch);

#endif
