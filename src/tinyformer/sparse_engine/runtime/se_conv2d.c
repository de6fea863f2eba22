#include "se_filters.h"
#include "se_window.h"

static int32_t channels_of(const se_conv2d_params *p)
{
    return p->input_channels / p->groups;
}

int32_t se_conv2d_s8_scratch_bytes(const se_conv2d_params *p)
{
    const int32_t channels = channels_of(p), depth = se_window_depth(p, channels, 1);
    const int32_t pixels = se_strip_pixels_of(p->pixels, p->output_height * p->output_width);
    return se_strip_quads_bytes(depth, pixels) + ((channels & 3) == 0 ? 0 : se_patch_bytes(p, channels, pixels));
}

void se_conv2d_s8(const se_conv2d_params *p, const int8_t *input, const int8_t *weights, const int32_t *bias,
                  const int32_t *multipliers, int8_t *output, void *scratch)
{
    const int32_t channels = channels_of(p);
    const int32_t filters = p->output_channels / p->groups;
    const int32_t depth = se_window_depth(p, channels, 1);
    const se_filters f = {filters,       depth,  p->output_channels, p->output_zero_point,
                          p->left_shift, p->low, p->high};
    int32_t left_over = p->output_height * p->output_width;
    se_quad *const strip = scratch;
    int8_t *const rows =
        (int8_t *)scratch + se_strip_quads_bytes(depth, se_strip_pixels_next(p->pixels, left_over));
    se_position at = {0, 0};
    while (left_over != 0) {
        const int32_t pixels = se_strip_pixels_next(p->pixels, left_over);
        se_position next = at;
        for (int32_t group = 0; group < p->groups; group++) {
            if ((channels & 3) == 0) {
                next = se_window_fill_quads(p, input, at, group * channels, channels, pixels, strip);
            } else {
                next = se_patch_fill_quads(p, input, at, group * channels, channels, pixels, strip, rows);
            }
            se_filters_dense(&f, strip, pixels, weights + group * filters * se_filters_row_bytes(depth), bias + group * filters,
                             multipliers + group * filters, output + group * filters);
        }
        at = next;
        output += pixels * p->output_channels;
        left_over -= pixels;
    }
}
