/* Strips: the input of `pixels` outputs, widened to int16 once and interleaved.
 *
 * With quads, strip[q * pixels + i] holds elements 4q .. 4q + 3 of pixel i; with pairs likewise by twos. The tail of
 * the last quad or pair is zero. `pixels` is SE_PIXELS, or 1 for the outputs that are left over. */
#ifndef SE_STRIP_H
#define SE_STRIP_H

#include "se_dot.h"

/* how many of the `outputs` that are left the next strip serves */
static inline int32_t se_strip_pixels(int32_t outputs)
{
    return outputs < SE_PIXELS ? 1 : SE_PIXELS;
}

/* bytes of a strip of quads or of pairs */
static inline int32_t se_strip_quads_bytes(int32_t depth, int32_t pixels)
{
    return ((depth + 3) >> 2) * pixels * (int32_t)sizeof(se_quad);
}

static inline int32_t se_strip_pairs_bytes(int32_t depth, int32_t pixels)
{
    return ((depth + 1) >> 1) * pixels * (int32_t)sizeof(se_pair);
}

/* Widen one pixel's `depth` bytes into a strip; `strip` points at its first quad or pair. */
void se_strip_fill_quads(const int8_t *source, int32_t depth, int32_t pixels, se_quad *strip);
void se_strip_fill_pairs(const int8_t *source, int32_t depth, int32_t pixels, se_pair *strip);

#endif
