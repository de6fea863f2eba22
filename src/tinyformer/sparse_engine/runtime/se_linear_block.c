#include "se_filters.h"

/* inlined for both block sizes: `block` is a constant in each copy */
SE_ALWAYS_INLINE void multiply(const se_linear_params *p, int32_t block, const int8_t *input,
                               const se_block_weights *weights, const int32_t *bias, const int32_t *multipliers,
                               int8_t *output, void *scratch)
{
    const se_filters f = {p->output_features, p->input_features, p->output_features, p->output_zero_point,
                          p->left_shift,      p->low,            p->high};
    int32_t left_over = p->rows;
    while (left_over != 0) {
        const int32_t pixels = se_strip_pixels_next(p->pixels, left_over);
        for (int32_t pixel = 0; pixel < pixels; pixel++) {
            if (block == 2) {
                se_strip_fill_pairs(input, p->input_features, pixels, (se_pair *)scratch + pixel);
            } else {
                se_strip_fill_quads(input, p->input_features, pixels, (se_quad *)scratch + pixel);
            }
            input += p->input_features;
        }
        if (block == 2) {
            se_filters_block2(&f, scratch, pixels, weights, bias, multipliers, output);
        } else {
            se_filters_block4(&f, scratch, pixels, weights, bias, multipliers, output);
        }
        output += pixels * p->output_features;
        left_over -= pixels;
    }
}

int32_t se_linear_block2_s8_scratch_bytes(const se_linear_params *p)
{
    return se_strip_pairs_bytes(p->input_features, se_strip_pixels_of(p->pixels, p->rows));
}

int32_t se_linear_block4_s8_scratch_bytes(const se_linear_params *p)
{
    return se_strip_quads_bytes(p->input_features, se_strip_pixels_of(p->pixels, p->rows));
}

void se_linear_block2_s8(const se_linear_params *p, const int8_t *input, const se_block_weights *weights,
                         const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch)
{
    multiply(p, 2, input, weights, bias, multipliers, output, scratch);
}

void se_linear_block4_s8(const se_linear_params *p, const int8_t *input, const se_block_weights *weights,
                         const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch)
{
    multiply(p, 4, input, weights, bias, multipliers, output, scratch);
}
