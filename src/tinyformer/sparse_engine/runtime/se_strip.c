#include "se_strip.h"

/* The functions below are inlined for every number of pixels, which is a constant in each copy. */

SE_ALWAYS_INLINE void fill_quads(const int8_t *source, int32_t depth, int32_t pixels, se_quad *strip)
{
    int32_t quads = depth >> 2;
    for (; quads >= 4; quads -= 4) {
        SE_UNROLL
        for (int32_t i = 0; i < 4; i++) {
            strip[i * pixels] = se_quad_load(source + 4 * i);
        }
        source += 16;
        strip += 4 * pixels;
    }
    for (; quads != 0; quads--) {
        *strip = se_quad_load(source);
        source += 4;
        strip += pixels;
    }
    if ((depth & 3) != 0) {
        *strip = se_quad_load_partial(source, depth & 3);
    }
}

SE_ALWAYS_INLINE void fill_pairs(const int8_t *source, int32_t depth, int32_t pixels, se_pair *strip)
{
    int32_t left = depth;
    for (; left >= 8; left -= 8) {
        SE_UNROLL
        for (int32_t i = 0; i < 2; i++) {
            se_pairs_load(source + 4 * i, &strip[2 * i * pixels], &strip[(2 * i + 1) * pixels]);
        }
        source += 8;
        strip += 4 * pixels;
    }
    for (; left >= 2; left -= 2) {
        *strip = se_pair_load(source);
        source += 2;
        strip += pixels;
    }
    if (left != 0) {
        *strip = se_pair_of(source[0], 0);
    }
}

void se_strip_fill_quads(const int8_t *source, int32_t depth, int32_t pixels, se_quad *strip)
{
    if (SE_WIDE && pixels == SE_WIDE_PIXELS) {
        fill_quads(source, depth, SE_WIDE_PIXELS, strip);
    } else if (pixels == SE_PIXELS) {
        fill_quads(source, depth, SE_PIXELS, strip);
    } else {
        fill_quads(source, depth, 1, strip);
    }
}

void se_strip_fill_pairs(const int8_t *source, int32_t depth, int32_t pixels, se_pair *strip)
{
    if (SE_WIDE && pixels == SE_WIDE_PIXELS) {
        fill_pairs(source, depth, SE_WIDE_PIXELS, strip);
    } else if (pixels == SE_PIXELS) {
        fill_pairs(source, depth, SE_PIXELS, strip);
    } else {
        fill_pairs(source, depth, 1, strip);
    }
}

void se_strip_pad_quads(int32_t value, int32_t quads, int32_t pixels, se_quad *strip)
{
    const se_quad quad = se_quad_of(value, value, value, value);
    SE_ROLLED
    for (; quads != 0; quads--) {
        se_quad_copy(strip, &quad);
        strip += pixels;
    }
}

void se_strip_pad_pairs(int32_t value, int32_t pairs, int32_t pixels, se_pair *strip)
{
    const se_pair pair = se_pair_of(value, value);
    SE_ROLLED
    for (; pairs != 0; pairs--) {
        *strip = pair;
        strip += pixels;
    }
}

SE_ALWAYS_INLINE void copy_quads(const se_quad *source, int32_t quads, int32_t pixels, se_quad *strip)
{
    SE_ROLLED
    for (; quads >= 8; quads -= 8) {
        SE_UNROLL
        for (int32_t i = 0; i < 8; i++) {
            se_quad_copy(&strip[i * pixels], &source[i * pixels]);
        }
        source += 8 * pixels;
        strip += 8 * pixels;
    }
    SE_ROLLED
    for (; quads != 0; quads--) {
        se_quad_copy(strip, source);
        source += pixels;
        strip += pixels;
    }
}

SE_ALWAYS_INLINE void copy_pairs(const se_pair *source, int32_t pairs, int32_t pixels, se_pair *strip)
{
    SE_ROLLED
    for (; pairs >= 8; pairs -= 8) {
        SE_UNROLL
        for (int32_t i = 0; i < 8; i++) {
            strip[i * pixels] = source[i * pixels];
        }
        source += 8 * pixels;
        strip += 8 * pixels;
    }
    SE_ROLLED
    for (; pairs != 0; pairs--) {
        *strip = *source;
        source += pixels;
        strip += pixels;
    }
}

void se_strip_copy_quads(const se_quad *source, int32_t quads, int32_t pixels, se_quad *strip)
{
    if (SE_WIDE && pixels == SE_WIDE_PIXELS) {
        copy_quads(source, quads, SE_WIDE_PIXELS, strip);
    } else { /* a strip of one pixel has nothing to copy */
        copy_quads(source, quads, SE_PIXELS, strip);
    }
}

void se_strip_copy_pairs(const se_pair *source, int32_t pairs, int32_t pixels, se_pair *strip)
{
    if (SE_WIDE && pixels == SE_WIDE_PIXELS) {
        copy_pairs(source, pairs, SE_WIDE_PIXELS, strip);
    } else { /* a strip of one pixel has nothing to copy */
        copy_pairs(source, pairs, SE_PIXELS, strip);
    }
}
