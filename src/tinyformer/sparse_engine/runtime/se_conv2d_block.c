#include "se_filters.h"
#include "se_window.h"

/* A window has the channels of each kernel position padded to whole blocks. The functions below are inlined for both
 * block sizes: `block` is a constant in each copy. */

SE_ALWAYS_INLINE int32_t scratch_bytes(const se_conv2d_params *p, int32_t block)
{
    const int32_t pixels = se_strip_pixels_of(p->pixels, p->output_height * p->output_width);
    const int32_t depth = se_window_depth(p, p->input_channels, block);
    return block == 2 ? se_strip_pairs_bytes(depth, pixels) : se_strip_quads_bytes(depth, pixels);
}

SE_ALWAYS_INLINE void convolve(const se_conv2d_params *p, int32_t block, const int8_t *input,
                               const se_block_weights *weights, const int32_t *bias, const int32_t *multipliers,
                               int8_t *output, void *scratch)
{
    const int32_t depth = se_window_depth(p, p->input_channels, block);
    const se_filters f = {p->output_channels, depth,  p->output_channels, p->output_zero_point,
                          p->left_shift,      p->low, p->high};
    se_position at = {0, 0};
    int32_t left_over = p->output_height * p->output_width;
    while (left_over != 0) {
        const int32_t pixels = se_strip_pixels_next(p->pixels, left_over);
        if (block == 2) {
            at = se_window_fill_pairs(p, input, at, 0, p->input_channels, pixels, scratch);
            se_filters_block2(&f, scratch, pixels, weights, bias, multipliers, output);
        } else {
            at = se_window_fill_quads(p, input, at, 0, p->input_channels, pixels, scratch);
            se_filters_block4(&f, scratch, pixels, weights, bias, multipliers, output);
        }
        output += pixels * p->output_channels;
        left_over -= pixels;
    }
}

int32_t se_conv2d_block2_s8_scratch_bytes(const se_conv2d_params *p)
{
    return scratch_bytes(p, 2);
}

int32_t se_conv2d_block4_s8_scratch_bytes(const se_conv2d_params *p)
{
    return scratch_bytes(p, 4);
}

void se_conv2d_block2_s8(const se_conv2d_params *p, const int8_t *input, const se_block_weights *weights,
                         const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch)
{
    convolve(p, 2, input, weights, bias, multipliers, output, scratch);
}

void se_conv2d_block4_s8(const se_conv2d_params *p, const int8_t *input, const se_block_weights *weights,
                         const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch)
{
    convolve(p, 4, input, weights, bias, multipliers, output, scratch);
}
