#include "se_depthwise.h"

/* Every block of a filter whose weights lie `channels` apart; returns their end. */
static se_depthwise_block *decode(const se_depthwise *d, const int8_t *weights, se_depthwise_block *block)
{
    const int32_t channels = d->p->input_channels;
    const int32_t *offset = d->offsets;
    SE_NOT_UNROLLED
    for (int32_t row = d->p->kernel_height; row != 0; row--) {
        int32_t left = d->p->kernel_width;
        SE_NOT_UNROLLED
        for (; left >= SE_DEPTHWISE_BLOCK; left -= SE_DEPTHWISE_BLOCK) {
            *block++ = se_depthwise_block_of(*offset++, weights[0], weights[channels], weights[2 * channels]);
            weights += SE_DEPTHWISE_BLOCK * channels;
        }
        if (left != 0) {
            *block++ = se_depthwise_block_of(*offset++, weights[0], left > 1 ? weights[channels] : 0, 0);
            weights += left * channels;
        }
    }
    return block;
}

int32_t se_depthwise_conv2d_s8_scratch_bytes(const se_conv2d_params *p)
{
    return se_depthwise_scratch_bytes(p);
}

void se_depthwise_conv2d_s8(const se_conv2d_params *p, const int8_t *input, const int8_t *weights, const int32_t *bias,
                            const int32_t *multipliers, int8_t *output, void *scratch)
{
    se_depthwise d;
    se_depthwise_start(&d, p, input, output, scratch);
    int32_t channel = 0;
    while (channel < p->input_channels) {
        const int32_t first = channel;
        const int32_t left = p->input_channels - first;
        const int32_t end = first + (left < SE_DEPTHWISE_CHANNELS ? left : SE_DEPTHWISE_CHANNELS);
        se_depthwise_block *block = d.blocks;
        SE_NOT_UNROLLED
        for (; channel != end; channel++) {
            block = decode(&d, weights + channel, block);
            se_depthwise_add(&d, channel, block, bias[channel], multipliers[channel]);
        }
        se_depthwise_finish(&d, first, end - first);
    }
    se_clamp_run(output, p->output_height * p->output_width * p->output_channels, p->low, p->high);
}
