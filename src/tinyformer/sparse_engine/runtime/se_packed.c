#include "se_packed.h"
#include "se_word.h"

/* ---- distances of four bits ------------------------------------------------------------------------------------- */
#define PER_WORD 8
#define LOW_HALVES 0x0f0f0f0fu

static int32_t unpack_rle4(se_packed *packed, int32_t first, int32_t left)
{
    const uint16_t *const counts = packed->counts + first;
    const int32_t before = first == 0 ? 0 : packed->stored;
    const int32_t skipped = before & (PER_WORD - 1); /* of the first word, those of the filters before */
    const int32_t most = packed->distances_bytes;
    int32_t filters = 0, end = skipped;
    SE_NOT_UNROLLED
    do {
        end += counts[filters++];
    } while (filters != left && end + counts[filters] <= most);
    const uint32_t *word = packed->words + before / PER_WORD;
    uint32_t *to = packed->distances;
    SE_NOT_UNROLLED
    for (int32_t words = (end + PER_WORD - 1) / PER_WORD; words != 0; words--) {
        const uint32_t halves = *word++;
        to[0] = halves & LOW_HALVES;
        to[1] = halves >> 4 & LOW_HALVES;
        to += 2;
    }
    packed->blocks.counts = counts;
    packed->blocks.distances = (const uint8_t *)packed->distances + skipped;
    packed->blocks.values = packed->values + packed->block * before;
    packed->stored = before + end - skipped;
    return filters;
}

void se_packed_set_rle4(se_packed *packed, const se_rle4_weights *weights)
{
    packed->words = weights->distances;
    packed->counts = weights->counts;
    packed->values = weights->values;
    packed->unpack = unpack_rle4;
    packed->filters = 0;
}

/* ---- a bit for every block -------------------------------------------------------------------------------------- */
#define WORD_BITS 32

/* Zero bits above the highest set bit of bits > 0, which come from weights: without CLZ their number costs time. */
static inline int32_t zeros_before(uint32_t bits)
{
#if SE_ARMV6M
    int32_t zeros = 0;
    SE_NOT_UNROLLED
    for (; (bits & 0x80000000u) == 0; bits <<= 1)
        zeros++;
    return zeros;
#else
    return se_clz(bits);
#endif
}

static int32_t unpack_bitmap(se_packed *packed, int32_t first, int32_t left)
{
    const int32_t before = first == 0 ? 0 : packed->stored;
    const int32_t filter_blocks = packed->filter_blocks, passed = first * filter_blocks;
    const uint32_t *word = packed->words + passed / WORD_BITS;
    uint8_t *const distances = (uint8_t *)packed->distances;
    const uint8_t *const last_start = distances + packed->distances_bytes - filter_blocks;
    uint16_t *const counts = (uint16_t *)(packed->distances + packed->distances_bytes / (int32_t)sizeof(uint32_t));
    uint16_t *count = counts;
    int32_t filters = 0;
    /* of the word in work: its bits that are left, on top, and their number */
    int32_t available = WORD_BITS - (passed & (WORD_BITS - 1));
    uint32_t bits = *word++ << (passed & (WORD_BITS - 1));
    uint8_t *to = distances;
    do {
        const uint8_t *const start = to;
        int32_t blocks = filter_blocks, distance = 0;
        do {
            if (available == 0) {
                bits = *word++;
                available = WORD_BITS;
            }
            const int32_t together = blocks < available ? blocks : available;
            const int32_t dropped = WORD_BITS - together;
            uint32_t own = bits >> dropped << dropped;
            if (own == 0) {
                distance += together;
            } else {
                const int32_t zeros_behind = 31 - zeros_before(own & (0u - own)) - dropped;
                int32_t skipped = zeros_before(own);
                *to++ = (uint8_t)(distance + skipped);
                own = own << skipped << 1;
                SE_NOT_UNROLLED
                while (own != 0) {
                    skipped = zeros_before(own);
                    *to++ = (uint8_t)skipped;
                    own = own << skipped << 1;
                }
                distance = zeros_behind;
            }
            bits = bits << (together - 1) << 1;
            available -= together;
            blocks -= together;
        } while (blocks != 0);
        *count++ = (uint16_t)(to - start);
        filters++;
    } while (filters != left && to <= last_start);
    packed->blocks.counts = counts;
    packed->blocks.distances = distances;
    packed->blocks.values = packed->values + packed->block * before;
    packed->stored = before + (int32_t)(to - distances);
    return filters;
}

void se_packed_set_bitmap(se_packed *packed, const se_bitmap_weights *weights)
{
    packed->words = weights->bitmap;
    packed->values = weights->values;
    packed->unpack = unpack_bitmap;
    packed->filters = 0;
}

/* ---- filters ---------------------------------------------------------------------------------------------------- */
/* inlined for both block sizes: `block` is a constant in each copy */
SE_ALWAYS_INLINE void multiply(se_filters *f, int32_t block, const void *strip, int32_t pixels, se_packed *packed,
                              const int32_t *bias, const int32_t *multipliers, int8_t *output)
{
    int32_t left = packed->layer_filters;
    do {
        if (packed->filters != packed->layer_filters)
            packed->filters = packed->unpack(packed, packed->layer_filters - left, left);
        f->filters = packed->filters;
        if (block == 2)
            se_filters_block2(f, strip, pixels, &packed->blocks, bias, multipliers, output);
        else
            se_filters_block4(f, strip, pixels, &packed->blocks, bias, multipliers, output);
        bias += f->filters;
        multipliers += f->filters;
        output += f->filters;
        left -= f->filters;
    } while (left != 0);
}

void se_filters_packed2(se_filters *f, const se_pair *strip, int32_t pixels, se_packed *packed, const int32_t *bias,
                        const int32_t *multipliers, int8_t *output)
{
    multiply(f, 2, strip, pixels, packed, bias, multipliers, output);
}

void se_filters_packed4(se_filters *f, const se_quad *strip, int32_t pixels, se_packed *packed, const int32_t *bias,
                        const int32_t *multipliers, int8_t *output)
{
    multiply(f, 4, strip, pixels, packed, bias, multipliers, output);
}
