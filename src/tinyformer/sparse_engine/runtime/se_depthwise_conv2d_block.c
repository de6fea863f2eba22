#include "se_depthwise.h"

/* The stored blocks of a filter; returns their end. */
static se_depthwise_block *decode(const int32_t *offset, const uint8_t *distances, const int8_t *values, int32_t count,
                                  se_depthwise_block *block)
{
    SE_NOT_UNROLLED
    for (; count != 0; count--) {
        offset += *distances++;
        *block++ = se_depthwise_block_of(*offset++, values[0], values[1], values[2]);
        values += SE_DEPTHWISE_BLOCK;
    }
    return block;
}

int32_t se_depthwise_conv2d_block3_s8_scratch_bytes(const se_conv2d_params *p)
{
    return se_depthwise_scratch_bytes(p);
}

void se_depthwise_conv2d_block3_s8(const se_conv2d_params *p, const int8_t *input, const se_block_weights *weights,
                                   const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch)
{
    se_depthwise d;
    se_depthwise_start(&d, p, input, output, scratch);
    const uint8_t *distances = weights->distances;
    const int8_t *values = weights->values;
    int32_t channel = 0;
    while (channel < p->input_channels) {
        const int32_t first = channel;
        const int32_t left = p->input_channels - first;
        const int32_t end = first + (left < SE_DEPTHWISE_CHANNELS ? left : SE_DEPTHWISE_CHANNELS);
        se_depthwise_block *block = d.blocks;
        SE_NOT_UNROLLED
        for (; channel != end; channel++) {
            const int32_t count = weights->counts[channel];
            block = decode(d.offsets, distances, values, count, block);
            se_depthwise_add(&d, channel, block, bias[channel], multipliers[channel]);
            distances += count;
            values += SE_DEPTHWISE_BLOCK * count;
        }
        se_depthwise_finish(&d, first, end - first);
    }
    se_clamp_run(output, p->output_height * p->output_width * p->output_channels, p->low, p->high);
}
