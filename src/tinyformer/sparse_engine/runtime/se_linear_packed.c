#include "se_packed.h"

/* The functions below are inlined for both block sizes: `block` is a constant in each copy. */

SE_ALWAYS_INLINE int32_t strip_bytes(const se_linear_params *p, int32_t block)
{
    const int32_t pixels = se_strip_pixels_of(p->pixels, p->rows);
    return block == 2 ? se_strip_pairs_bytes(p->input_features, pixels)
                      : se_strip_quads_bytes(p->input_features, pixels);
}

SE_ALWAYS_INLINE void start(se_packed *packed, const se_linear_params *p, int32_t block, void *scratch)
{
    packed->block = block;
    packed->layer_filters = p->output_features;
    packed->filter_blocks = (p->input_features + block - 1) / block;
    packed->distances = (uint32_t *)scratch + strip_bytes(p, block) / (int32_t)sizeof(uint32_t);
    packed->distances_bytes = p->unpacked_bytes;
}

SE_ALWAYS_INLINE void multiply(const se_linear_params *p, int32_t block, const int8_t *input, se_packed *packed,
                              const int32_t *bias, const int32_t *multipliers, int8_t *output, void *strip)
{
    se_filters f = {p->output_features, p->input_features, p->output_features, p->output_zero_point,
                          p->left_shift,      p->low,            p->high};
    int32_t left_over = p->rows;
    while (left_over != 0) {
        const int32_t pixels = se_strip_pixels_next(p->pixels, left_over);
        for (int32_t pixel = 0; pixel < pixels; pixel++) {
            if (block == 2)
                se_strip_fill_pairs(input, p->input_features, pixels, (se_pair *)strip + pixel);
            else
                se_strip_fill_quads(input, p->input_features, pixels, (se_quad *)strip + pixel);
            input += p->input_features;
        }
        if (block == 2)
            se_filters_packed2(&f, strip, pixels, packed, bias, multipliers, output);
        else
            se_filters_packed4(&f, strip, pixels, packed, bias, multipliers, output);
        output += pixels * p->output_features;
        left_over -= pixels;
    }
}

static SE_NOINLINE void multiply2(const se_linear_params *p, const int8_t *input, se_packed *packed,
                                  const int32_t *bias, const int32_t *multipliers, int8_t *output, void *strip)
{
    multiply(p, 2, input, packed, bias, multipliers, output, strip);
}

static SE_NOINLINE void multiply4(const se_linear_params *p, const int8_t *input, se_packed *packed,
                                  const int32_t *bias, const int32_t *multipliers, int8_t *output, void *strip)
{
    multiply(p, 4, input, packed, bias, multipliers, output, strip);
}

int32_t se_linear_rle4_block2_s8_scratch_bytes(const se_linear_params *p)
{
    return strip_bytes(p, 2) + p->unpacked_bytes;
}

int32_t se_linear_rle4_block4_s8_scratch_bytes(const se_linear_params *p)
{
    return strip_bytes(p, 4) + p->unpacked_bytes;
}

int32_t se_linear_bitmap_block2_s8_scratch_bytes(const se_linear_params *p)
{
    return strip_bytes(p, 2) + se_packed_bitmap_bytes(p->unpacked_bytes, p->output_features);
}

int32_t se_linear_bitmap_block4_s8_scratch_bytes(const se_linear_params *p)
{
    return strip_bytes(p, 4) + se_packed_bitmap_bytes(p->unpacked_bytes, p->output_features);
}

void se_linear_rle4_block2_s8(const se_linear_params *p, const int8_t *input, const se_rle4_weights *weights,
                              const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch)
{
    se_packed packed;
    start(&packed, p, 2, scratch);
    se_packed_set_rle4(&packed, weights);
    multiply2(p, input, &packed, bias, multipliers, output, scratch);
}

void se_linear_rle4_block4_s8(const se_linear_params *p, const int8_t *input, const se_rle4_weights *weights,
                              const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch)
{
    se_packed packed;
    start(&packed, p, 4, scratch);
    se_packed_set_rle4(&packed, weights);
    multiply4(p, input, &packed, bias, multipliers, output, scratch);
}

void se_linear_bitmap_block2_s8(const se_linear_params *p, const int8_t *input, const se_bitmap_weights *weights,
                                const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch)
{
    se_packed packed;
    start(&packed, p, 2, scratch);
    se_packed_set_bitmap(&packed, weights);
    multiply2(p, input, &packed, bias, multipliers, output, scratch);
}

void se_linear_bitmap_block4_s8(const se_linear_params *p, const int8_t *input, const se_bitmap_weights *weights,
                                const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch)
{
    se_packed packed;
    start(&packed, p, 4, scratch);
    se_packed_set_bitmap(&packed, weights);
    multiply4(p, input, &packed, bias, multipliers, output, scratch);
}
