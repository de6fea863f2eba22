#include "se_window.h"

/* The functions below are inlined for both block sizes: `block` is a constant in each copy. A block of int16 takes
 * 2 * block bytes of a strip. */

typedef struct {
    const se_conv2d_params *params;
    const int8_t *input; /* from the first channel on */
    int32_t channels;
    int32_t padded; /* to whole blocks */
    int32_t pixels; /* of the strip */
} se_window;

/* Each of these returns where the strip goes on. */

/* kernel positions side by side in the input, their channels without padding unless it is one position */
SE_ALWAYS_INLINE int8_t *fill(const se_window *w, int32_t block, int32_t y, int32_t x, int32_t positions, int8_t *strip)
{
    const int32_t depth = positions * w->channels;
    const int8_t *const source = w->input + (y * w->params->input_width + x) * w->params->input_channels;
    if (block == 2) {
        se_strip_fill_pairs(source, depth, w->pixels, (se_pair *)(void *)strip);
    } else {
        se_strip_fill_quads(source, depth, w->pixels, (se_quad *)(void *)strip);
    }
    return strip + positions * w->padded * 2 * w->pixels;
}

/* kernel positions outside the image */
SE_ALWAYS_INLINE int8_t *pad(const se_window *w, int32_t block, int32_t positions, int8_t *strip)
{
    const int32_t depth = positions * w->padded, value = w->params->input_zero_point;
    if (block == 2) {
        se_strip_pad_pairs(value, depth >> 1, w->pixels, (se_pair *)(void *)strip);
    } else {
        se_strip_pad_quads(value, depth >> 2, w->pixels, (se_quad *)(void *)strip);
    }
    return strip + depth * 2 * w->pixels;
}

/* kernel positions that the pixel before has one further right */
SE_ALWAYS_INLINE int8_t *slide(const se_window *w, int32_t block, int32_t positions, int8_t *strip)
{
    const int32_t depth = positions * w->padded;
    const int8_t *const before = strip + w->padded * 2 * w->pixels - 2 * block;
    if (block == 2) {
        se_strip_copy_pairs((const se_pair *)(const void *)before, depth >> 1, w->pixels, (se_pair *)(void *)strip);
    } else {
        se_strip_copy_quads((const se_quad *)(const void *)before, depth >> 2, w->pixels, (se_quad *)(void *)strip);
    }
    return strip + depth * 2 * w->pixels;
}

/* one row of a window; `known` positions of it are also in the pixel before */
SE_ALWAYS_INLINE int8_t *fill_row(const se_window *w, int32_t block, int32_t y, int32_t left, int32_t known,
                                  int8_t *strip)
{
    const se_conv2d_params *const p = w->params;
    if (y < 0 || y >= p->input_height) {
        return pad(w, block, p->kernel_width, strip);
    }
    if (known != 0) {
        strip = slide(w, block, known, strip);
    } else if (w->padded == p->input_channels && p->dilation_x == 1 && left >= 0 &&
               left + p->kernel_width <= p->input_width) {
        return fill(w, block, y, left, p->kernel_width, strip);
    }
    int32_t x = left + known;
    for (int32_t kernel_x = known; kernel_x < p->kernel_width; kernel_x++) {
        if (x >= 0 && x < p->input_width) {
            strip = fill(w, block, y, x, 1, strip);
        } else {
            strip = pad(w, block, 1, strip);
        }
        x += p->dilation_x;
    }
    return strip;
}

SE_ALWAYS_INLINE se_position fill_strip(const se_window *w, int32_t block, se_position at, int8_t *strip)
{
    const se_conv2d_params *const p = w->params;
    const int32_t shared = p->stride_x == 1 && p->dilation_x == 1 ? p->kernel_width - 1 : 0;
    for (int32_t pixel = 0; pixel < w->pixels; pixel++) {
        const int32_t known = pixel != 0 && at.x != 0 ? shared : 0;
        int32_t y = at.y * p->stride_y - p->pad_top;
        int8_t *next = strip + pixel * 2 * block;
        for (int32_t kernel_y = 0; kernel_y < p->kernel_height; kernel_y++) {
            next = fill_row(w, block, y, at.x * p->stride_x - p->pad_left, known, next);
            y += p->dilation_y;
        }
        at = se_position_next(p, at);
    }
    return at;
}

se_position se_window_fill_quads(const se_conv2d_params *p, const int8_t *input, se_position at, int32_t channel,
                                 int32_t channels, int32_t pixels, se_quad *strip)
{
    const se_window w = {p, input + channel, channels, (channels + 3) & -4, pixels};
    return fill_strip(&w, 4, at, (int8_t *)strip);
}

se_position se_window_fill_pairs(const se_conv2d_params *p, const int8_t *input, se_position at, int32_t channel,
                                 int32_t channels, int32_t pixels, se_pair *strip)
{
    const se_window w = {p, input + channel, channels, (channels + 1) & -2, pixels};
    return fill_strip(&w, 2, at, (int8_t *)strip);
}
