#include "se_strip.h"

/* Inlined for SE_PIXELS and for 1. */
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
    if (pixels == SE_PIXELS) {
        fill_quads(source, depth, SE_PIXELS, strip);
    } else {
        fill_quads(source, depth, 1, strip);
    }
}

void se_strip_fill_pairs(const int8_t *source, int32_t depth, int32_t pixels, se_pair *strip)
{
    if (pixels == SE_PIXELS) {
        fill_pairs(source, depth, SE_PIXELS, strip);
    } else {
        fill_pairs(source, depth, 1, strip);
    }
}
