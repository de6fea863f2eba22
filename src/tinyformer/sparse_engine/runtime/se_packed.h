/* Weights whose distances are packed, in four bits or in a bitmap: unpacked into scratch as the loops of se_filters.h
 * read them, all filters' once where there is room, else those of some filters at a time for each strip. */
#ifndef SE_PACKED_H
#define SE_PACKED_H

#include "se_filters.h"

typedef struct se_packed se_packed;

struct se_packed {
    /* set by the kernel: */
    int32_t block;
    int32_t layer_filters;
    int32_t filter_blocks; /* zero or not */
    uint32_t *distances;   /* scratch, `distances_bytes` of it; with a bitmap an uint16_t for every filter follows */
    int32_t distances_bytes;
    /* set by the functions below: */
    const uint32_t *words;  /* packed distances, or a bitmap */
    const uint16_t *counts; /* of the packed distances: of all filters */
    const int8_t *values;
    /* unpacks filters from `first` on, at least one and at most `left`, into `blocks`; returns how many */
    int32_t (*unpack)(se_packed *packed, int32_t first, int32_t left);
    /* what is unpacked now: */
    int32_t filters; /* none at first */
    int32_t stored;  /* the layer's stored blocks up to their end */
    se_block_weights blocks;
};

void se_packed_set_rle4(se_packed *packed, const se_rle4_weights *weights);
void se_packed_set_bitmap(se_packed *packed, const se_bitmap_weights *weights);

static inline int32_t se_packed_bitmap_bytes(int32_t unpacked_bytes, int32_t filters)
{
    return unpacked_bytes + filters * (int32_t)sizeof(uint16_t);
}

/* As se_filters_block2 and se_filters_block4, but f->filters is written: those of the last part. Call them for one strip
 * after the other with the same weights. */
void se_filters_packed2(se_filters *f, const se_pair *strip, int32_t pixels, se_packed *packed, const int32_t *bias,
                        const int32_t *multipliers, int8_t *output);
void se_filters_packed4(se_filters *f, const se_quad *strip, int32_t pixels, se_packed *packed, const int32_t *bias,
                        const int32_t *multipliers, int8_t *output);

#endif
