/* Strips: the input of `pixels` outputs, widened to int16 once and interleaved.
 *
 * With quads, strip[q * pixels + i] holds elements 4q .. 4q + 3 of pixel i; with pairs likewise by twos. The tail of
 * the last quad or pair is zero. `pixels` is SE_WIDE_PIXELS in a wide strip, SE_PIXELS in a narrow one, and 1 for the
 * outputs that are left over. */
#ifndef SE_STRIP_H
#define SE_STRIP_H

#include "se_dot.h"

#define SE_WIDE_PIXELS 8

/* how many of the `outputs` that are left the next strip serves, where strips are narrow */
static inline int32_t se_strip_pixels(int32_t outputs)
{
    return outputs < SE_PIXELS ? 1 : SE_PIXELS;
}

/* the same where there is room for strips of `most` pixels */
static inline int32_t se_strip_pixels_of(int32_t most, int32_t outputs)
{
    return most == SE_WIDE_PIXELS && outputs >= SE_WIDE_PIXELS ? SE_WIDE_PIXELS : se_strip_pixels(outputs);
}

/* the same, but no more than the core has registers for */
static inline int32_t se_strip_pixels_next(int32_t most, int32_t outputs)
{
    return se_strip_pixels_of(SE_WIDE ? most : SE_PIXELS, outputs);
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

/* Set quads or pairs of one pixel to a value. */
void se_strip_pad_quads(int32_t value, int32_t quads, int32_t pixels, se_quad *strip);
void se_strip_pad_pairs(int32_t value, int32_t pairs, int32_t pixels, se_pair *strip);

/* Copy quads or pairs from one pixel to another. */
void se_strip_copy_quads(const se_quad *source, int32_t quads, int32_t pixels, se_quad *strip);
void se_strip_copy_pairs(const se_pair *source, int32_t pairs, int32_t pixels, se_pair *strip);

#endif
