/* The windows of a convolution, widened into a strip, where the channels are not whole quads: quads reach across kernel
 * positions and rows. */
#ifndef SE_PATCH_H
#define SE_PATCH_H

#include "se_kernels.h"
#include "se_strip.h"

/* of an output */
typedef struct {
    int32_t y, x;
} se_position;

static inline se_position se_position_next(const se_conv2d_params *p, se_position at)
{
    const se_position right = {at.y, at.x + 1}, below = {at.y + 1, 0};
    return right.x < p->output_width ? right : below;
}

/* Whether windows side by side are gathered together, because they share columns of the input. */
static inline int32_t se_patch_shares(const se_conv2d_params *p)
{
    return p->dilation_x == 1 && p->stride_x < p->kernel_width;
}

/* columns of the input that are gathered for `outputs` side by side */
static inline int32_t se_patch_columns(const se_conv2d_params *p, int32_t outputs)
{
    return se_patch_shares(p) ? (outputs - 1) * p->stride_x + p->kernel_width : p->kernel_width;
}

/* bytes of the input that are gathered for a strip of `pixels` */
static inline int32_t se_patch_bytes(const se_conv2d_params *p, int32_t channels, int32_t pixels)
{
    return p->kernel_height * se_patch_columns(p, pixels) * channels;
}

/* Fills a strip with the windows of `pixels` outputs from `at` on: kernel_height * kernel_width runs of `channels` input
 * channels from `channel` on, outside the image the input zero point. Returns the output after them. Windows that do not
 * lie in the input in whole rows are gathered in `rows`, se_patch_bytes of them. */
se_position se_patch_fill_quads(const se_conv2d_params *p, const int8_t *input, se_position at, int32_t channel,
                                int32_t channels, int32_t pixels, se_quad *strip, int8_t *rows);

#endif
