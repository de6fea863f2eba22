#include "se_packed.h"
#include "se_window.h"

/* A window has the channels of each kernel position padded to whole blocks. The functions below are inlined for both
 * block sizes: `block` is a constant in each copy. */

SE_ALWAYS_INLINE int32_t strip_bytes(const se_conv2d_params *p, int32_t block)
{
    const int32_t pixels = se_strip_pixels_of(p->pixels, p->output_height * p->output_width);
    const int32_t depth = se_window_depth(p, p->input_channels, block);
    return block == 2 ? se_strip_pairs_bytes(depth, pixels) : se_strip_quads_bytes(depth, pixels);
}

SE_ALWAYS_INLINE void start(se_packed *packed, const se_conv2d_params *p, int32_t block, void *scratch)
{
    packed->block = block;
    packed->layer_filters = p->output_channels;
    packed->filter_blocks = se_window_depth(p, p->input_channels, block) / block;
    packed->distances = (uint32_t *)scratch + strip_bytes(p, block) / (int32_t)sizeof(uint32_t);
    packed->distances_bytes = p->unpacked_bytes;
}

SE_ALWAYS_INLINE void convolve(const se_conv2d_params *p, int32_t block, const int8_t *input, se_packed *packed,
                              const int32_t *bias, const int32_t *multipliers, int8_t *output, void *strip)
{
    const int32_t depth = se_window_depth(p, p->input_channels, block);
    se_filters f = {p->output_channels, depth,  p->output_channels, p->output_zero_point,
                          p->left_shift,      p->low, p->high};
    se_position at = {0, 0};
    int32_t left_over = p->output_height * p->output_width;
    while (left_over != 0) {
        const int32_t pixels = se_strip_pixels_next(p->pixels, left_over);
        if (block == 2) {
            at = se_window_fill_pairs(p, input, at, 0, p->input_channels, pixels, strip);
            se_filters_packed2(&f, strip, pixels, packed, bias, multipliers, output);
        } else {
            at = se_window_fill_quads(p, input, at, 0, p->input_channels, pixels, strip);
            se_filters_packed4(&f, strip, pixels, packed, bias, multipliers, output);
        }
        output += pixels * p->output_channels;
        left_over -= pixels;
    }
}

static SE_NOINLINE void convolve2(const se_conv2d_params *p, const int8_t *input, se_packed *packed,
                                  const int32_t *bias, const int32_t *multipliers, int8_t *output, void *strip)
{
    convolve(p, 2, input, packed, bias, multipliers, output, strip);
}

static SE_NOINLINE void convolve4(const se_conv2d_params *p, const int8_t *input, se_packed *packed,
                                  const int32_t *bias, const int32_t *multipliers, int8_t *output, void *strip)
{
    convolve(p, 4, input, packed, bias, multipliers, output, strip);
}

int32_t se_conv2d_rle4_block2_s8_scratch_bytes(const se_conv2d_params *p)
{
    return strip_bytes(p, 2) + p->unpacked_bytes;
}

int32_t se_conv2d_rle4_block4_s8_scratch_bytes(const se_conv2d_params *p)
{
    return strip_bytes(p, 4) + p->unpacked_bytes;
}

int32_t se_conv2d_bitmap_block2_s8_scratch_bytes(const se_conv2d_params *p)
{
    return strip_bytes(p, 2) + se_packed_bitmap_bytes(p->unpacked_bytes, p->output_channels);
}

int32_t se_conv2d_bitmap_block4_s8_scratch_bytes(const se_conv2d_params *p)
{
    return strip_bytes(p, 4) + se_packed_bitmap_bytes(p->unpacked_bytes, p->output_channels);
}

void se_conv2d_rle4_block2_s8(const se_conv2d_params *p, const int8_t *input, const se_rle4_weights *weights,
                              const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch)
{
    se_packed packed;
    start(&packed, p, 2, scratch);
    se_packed_set_rle4(&packed, weights);
    convolve2(p, input, &packed, bias, multipliers, output, scratch);
}

void se_conv2d_rle4_block4_s8(const se_conv2d_params *p, const int8_t *input, const se_rle4_weights *weights,
                              const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch)
{
    se_packed packed;
    start(&packed, p, 4, scratch);
    se_packed_set_rle4(&packed, weights);
    convolve4(p, input, &packed, bias, multipliers, output, scratch);
}

void se_conv2d_bitmap_block2_s8(const se_conv2d_params *p, const int8_t *input, const se_bitmap_weights *weights,
                                const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch)
{
    se_packed packed;
    start(&packed, p, 2, scratch);
    se_packed_set_bitmap(&packed, weights);
    convolve2(p, input, &packed, bias, multipliers, output, scratch);
}

void se_conv2d_bitmap_block4_s8(const se_conv2d_params *p, const int8_t *input, const se_bitmap_weights *weights,
                                const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch)
{
    se_packed packed;
    start(&packed, p, 4, scratch);
    se_packed_set_bitmap(&packed, weights);
    convolve4(p, input, &packed, bias, multipliers, output, scratch);
}
