#include "se_filters.h"

int32_t se_linear_s8_scratch_bytes(const se_linear_params *p)
{
    return se_strip_quads_bytes(p->input_features, se_strip_pixels_of(p->pixels, p->rows));
}

void se_linear_s8(const se_linear_params *p, const int8_t *input, const int8_t *weights, const int32_t *bias,
                  const int32_t *multipliers, int8_t *output, void *scratch)
{
    const se_filters f = {p->output_features, p->input_features, p->output_features, p->output_zero_point,
                          p->left_shift,      p->low,            p->high};
    se_quad *const strip = scratch;
    int32_t left_over = p->rows;
    while (left_over != 0) {
        const int32_t pixels = se_strip_pixels_next(p->pixels, left_over);
        for (int32_t pixel = 0; pixel < pixels; pixel++) {
            se_strip_fill_quads(input, p->input_features, pixels, strip + pixel);
            input += p->input_features;
        }
        se_filters_dense(&f, strip, pixels, weights, bias, multipliers, output);
        output += pixels * p->output_features;
        left_over -= pixels;
    }
}
