#include "se_filters.h"
#include "se_patch.h"

/* weights of a filter */
static int32_t filter_depth(const se_conv2d_params *p)
{
    return p->kernel_height * p->kernel_width * (p->input_channels / p->groups);
}

int32_t se_conv2d_s8_scratch_bytes(const se_conv2d_params *p)
{
    const int32_t depth = filter_depth(p);
    return se_strip_quads_bytes(depth, se_strip_pixels(p->output_height * p->output_width)) + depth;
}

void se_conv2d_s8(const se_conv2d_params *p, const int8_t *input, const int8_t *weights, const int32_t *bias,
                  const int32_t *multipliers, int8_t *output, void *scratch)
{
    const int32_t channels = p->input_channels / p->groups;
    const int32_t filters = p->output_channels / p->groups;
    const int32_t depth = filter_depth(p);
    const se_filters f = {filters,       depth,  p->output_channels, p->output_zero_point,
                          p->left_shift, p->low, p->high};
    int32_t left_over = p->output_height * p->output_width;
    se_quad *const strip = scratch;
    int8_t *const patch = (int8_t *)scratch + se_strip_quads_bytes(depth, se_strip_pixels(left_over));
    se_position first = {0, 0};
    while (left_over != 0) {
        const int32_t pixels = se_strip_pixels(left_over);
        se_position at = first;
        for (int32_t group = 0; group < p->groups; group++) {
            at = first;
            for (int32_t pixel = 0; pixel < pixels; pixel++) {
                const int8_t *window = se_patch(p, input, at, group * channels, channels, channels, patch);
                se_strip_fill_quads(window, depth, pixels, strip + pixel);
                at = se_position_next(p, at);
            }
            se_filters_dense(&f, strip, pixels, weights + group * filters * depth, bias + group * filters,
                             multipliers + group * filters, output + group * filters);
        }
        first = at;
        output += pixels * p->output_channels;
        left_over -= pixels;
    }
}
