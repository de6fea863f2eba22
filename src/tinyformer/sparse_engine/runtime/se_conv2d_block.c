#include "se_filters.h"
#include "se_patch.h"

/* A window has the channels of each kernel position padded to whole blocks. The functions below are inlined for both
 * block sizes: `block` is a constant in each copy. */

SE_ALWAYS_INLINE int32_t padded_channels_of(const se_conv2d_params *p, int32_t block)
{
    return (p->input_channels + block - 1) & -block;
}

SE_ALWAYS_INLINE int32_t strip_bytes(const se_conv2d_params *p, int32_t block, int32_t depth)
{
    const int32_t pixels = se_strip_pixels(p->output_height * p->output_width);
    return block == 2 ? se_strip_pairs_bytes(depth, pixels) : se_strip_quads_bytes(depth, pixels);
}

SE_ALWAYS_INLINE int32_t scratch_bytes(const se_conv2d_params *p, int32_t block)
{
    const int32_t depth = p->kernel_height * p->kernel_width * padded_channels_of(p, block);
    return strip_bytes(p, block, depth) + depth;
}

SE_ALWAYS_INLINE void convolve(const se_conv2d_params *p, int32_t block, const int8_t *input,
                               const se_block_weights *weights, const int32_t *bias, const int32_t *multipliers,
                               int8_t *output, void *scratch)
{
    const int32_t channels = padded_channels_of(p, block);
    const int32_t depth = p->kernel_height * p->kernel_width * channels;
    const se_filters f = {p->output_channels, depth,  p->output_channels, p->output_zero_point,
                          p->left_shift,      p->low, p->high};
    int8_t *const patch = (int8_t *)scratch + strip_bytes(p, block, depth);
    se_position at = {0, 0};
    int32_t left_over = p->output_height * p->output_width;
    while (left_over != 0) {
        const int32_t pixels = se_strip_pixels(left_over);
        for (int32_t pixel = 0; pixel < pixels; pixel++) {
            const int8_t *window = se_patch(p, input, at, 0, p->input_channels, channels, patch);
            if (block == 2) {
                se_strip_fill_pairs(window, depth, pixels, (se_pair *)scratch + pixel);
            } else {
                se_strip_fill_quads(window, depth, pixels, (se_quad *)scratch + pixel);
            }
            at = se_position_next(p, at);
        }
        if (block == 2) {
            se_filters_block2(&f, scratch, pixels, weights, bias, multipliers, output);
        } else {
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
