#include "se_depthwise.h"

/* where the next block's bit and weights lie */
typedef struct {
    const uint32_t *word; /* the one after that in work */
    uint32_t bits;        /* what is left of that, on top */
    int32_t left;         /* how many */
    const int8_t *values;
} cursor;

/* The stored blocks of a filter; returns their end. */
static se_depthwise_block *decode(cursor *at, const int32_t *offset, int32_t blocks, se_depthwise_block *block)
{
    SE_NOT_UNROLLED
    for (; blocks != 0; blocks--) {
        if (at->left == 0) {
            at->bits = *at->word++;
            at->left = 32;
        }
        if ((at->bits & 0x80000000u) != 0) {
            const int8_t *values = at->values;
            *block++ = se_depthwise_block_of(*offset, values[0], values[1], values[2]);
            at->values = values + SE_DEPTHWISE_BLOCK;
        }
        offset++;
        at->bits <<= 1;
        at->left--;
    }
    return block;
}

int32_t se_depthwise_conv2d_bitmap_block3_s8_scratch_bytes(const se_conv2d_params *p)
{
    return se_depthwise_scratch_bytes(p);
}

void se_depthwise_conv2d_bitmap_block3_s8(const se_conv2d_params *p, const int8_t *input,
                                          const se_bitmap_weights *weights, const int32_t *bias,
                                          const int32_t *multipliers, int8_t *output, void *scratch)
{
    se_depthwise d;
    se_depthwise_start(&d, p, input, output, scratch);
    cursor at = {weights->bitmap, 0, 0, weights->values};
    const int32_t blocks = p->kernel_height * se_depthwise_blocks_in_row(p);
    int32_t channel = 0;
    while (channel < p->input_channels) {
        const int32_t first = channel;
        const int32_t left = p->input_channels - first;
        const int32_t end = first + (left < SE_DEPTHWISE_CHANNELS ? left : SE_DEPTHWISE_CHANNELS);
        se_depthwise_block *block = d.blocks;
        SE_NOT_UNROLLED
        for (; channel != end; channel++) {
            block = decode(&at, d.offsets, blocks, block);
            se_depthwise_add(&d, channel, block, bias[channel], multipliers[channel]);
        }
        se_depthwise_finish(&d, first, end - first);
    }
    se_clamp_run(output, p->output_height * p->output_width * p->output_channels, p->low, p->high);
}
