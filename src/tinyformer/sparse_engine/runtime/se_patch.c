#include "se_patch.h"

/* one row of a window: kernel_width runs from input column `left` on */
static void patch_row(const se_conv2d_params *p, const int8_t *input_row, int32_t left, int32_t channels, int8_t *patch)
{
    const size_t run = (size_t)channels;
    int32_t x = left;
    for (int32_t kernel_x = 0; kernel_x < p->kernel_width; kernel_x++) {
        if (x >= 0 && x < p->input_width) {
            memcpy(patch, input_row + x * p->input_channels, run);
        } else {
            memset(patch, p->input_zero_point, run);
        }
        patch += channels;
        x += p->dilation_x;
    }
}

const int8_t *se_patch(const se_conv2d_params *p, const int8_t *input, se_position at, int32_t channel,
                       int32_t channels, int8_t *patch)
{
    const int32_t top = at.y * p->stride_y - p->pad_top;
    const int32_t left = at.x * p->stride_x - p->pad_left;
    const int32_t row = p->kernel_width * channels;
    const int32_t in_one_piece = left >= 0 && left + p->kernel_width <= p->input_width &&
                                 (p->kernel_width == 1 || (p->dilation_x == 1 && channels == p->input_channels));
    int32_t y = top;
    int8_t *next = patch;
    for (int32_t kernel_y = 0; kernel_y < p->kernel_height; kernel_y++) {
        if (y < 0 || y >= p->input_height) {
            memset(next, p->input_zero_point, (size_t)row);
        } else {
            const int8_t *input_row = input + y * p->input_width * p->input_channels + channel;
            if (!in_one_piece) {
                patch_row(p, input_row, left, channels, next);
            } else if (p->kernel_height == 1) {
                return input_row + left * p->input_channels;
            } else {
                memcpy(next, input_row + left * p->input_channels, (size_t)row);
            }
        }
        next += row;
        y += p->dilation_y;
    }
    return patch;
}
