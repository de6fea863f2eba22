#include "se_dot.h"
#include "se_kernels.h"
#include "se_output.h"

/* One channel at a time: its plane, with the padding around it, is widened to int16, its blocks are decoded, and each
 * row of outputs walks them for SE_PIXELS outputs at once. Scratch: where each block of a filter begins in the plane;
 * the decoded blocks; the plane, with as many elements as the padded tail of the last block may read beyond it. */

#define BLOCK 3

/* a stored block: where it begins in the plane, seen from the window of output (0, 0) */
typedef struct {
    int32_t offset;
    int8_t values[BLOCK];
} decoded_block;

static int32_t blocks_in_row(const se_conv2d_params *p)
{
    int32_t blocks = 0;
    for (int32_t width = 0; width < p->kernel_width; width += BLOCK) {
        blocks++;
    }
    return blocks;
}

static int32_t plane_height(const se_conv2d_params *p)
{
    return (p->output_height - 1) * p->stride_y + (p->kernel_height - 1) * p->dilation_y + 1;
}

static int32_t plane_width(const se_conv2d_params *p)
{
    return (p->output_width - 1) * p->stride_x + (p->kernel_width - 1) * p->dilation_x + 1;
}

static int32_t beyond_plane(const se_conv2d_params *p)
{
    return (blocks_in_row(p) * BLOCK - p->kernel_width) * p->dilation_x;
}

static int32_t blocks_in_filter(const se_conv2d_params *p)
{
    return p->kernel_height * blocks_in_row(p);
}

/* of the offsets and the decoded blocks */
static int32_t tables_bytes(const se_conv2d_params *p)
{
    return blocks_in_filter(p) * (int32_t)(sizeof(int32_t) + sizeof(decoded_block));
}

int32_t se_depthwise_conv2d_block3_s8_scratch_bytes(const se_conv2d_params *p)
{
    const int32_t elements = plane_height(p) * plane_width(p) + beyond_plane(p);
    return tables_bytes(p) + elements * (int32_t)sizeof(int16_t);
}

static void fill_offsets(const se_conv2d_params *p, int32_t width, int32_t *offsets)
{
    const int32_t in_row = blocks_in_row(p);
    for (int32_t kernel_y = 0; kernel_y < p->kernel_height; kernel_y++) {
        for (int32_t i = 0; i < in_row; i++) {
            *offsets++ = kernel_y * p->dilation_y * width + i * BLOCK * p->dilation_x;
        }
    }
}

static inline int16_t *fill_run(int16_t *plane, int32_t count, int16_t value)
{
    SE_ROLLED
    for (; count > 0; count--) {
        *plane++ = value;
    }
    return plane;
}

static void fill_plane(const se_conv2d_params *p, const int8_t *input, int32_t height, int32_t width, int16_t *plane)
{
    const int16_t outside = (int16_t)p->input_zero_point;
    const int32_t channels = p->input_channels;
    const int32_t left = p->pad_left < width ? p->pad_left : width;
    const int32_t inside = p->input_width < width - left ? p->input_width : width - left;
    for (int32_t y = -p->pad_top; y < height - p->pad_top; y++) {
        if (y < 0 || y >= p->input_height) {
            plane = fill_run(plane, width, outside);
            continue;
        }
        const int8_t *source = input + y * p->input_width * channels;
        plane = fill_run(plane, left, outside);
        for (int32_t count = inside; count != 0; count--) {
            *plane++ = *source;
            source += channels;
        }
        plane = fill_run(plane, width - left - inside, outside);
    }
}

/* one channel's filter */
typedef struct {
    const decoded_block *blocks;
    int32_t count;
    int32_t bias, multiplier;
} filter;

static void decode(const uint8_t *distances, const int8_t *values, int32_t count, const int32_t *offsets,
                   decoded_block *blocks)
{
    for (; count != 0; count--) {
        offsets += *distances++;
        blocks->offset = *offsets++;
        memcpy(blocks->values, values, BLOCK);
        blocks++;
        values += BLOCK;
    }
}

/* The sums of `pixels` outputs side by side. Inlined for SE_PIXELS and for 1, for dilation 1 and any. */
SE_ALWAYS_INLINE void sum_blocks(const filter *f, int32_t pixels, int32_t stride, int32_t dilation,
                                 const int16_t *window, int32_t *sums)
{
    const decoded_block *block = f->blocks;
    SE_UNROLL
    for (int32_t pixel = 0; pixel < pixels; pixel++) {
        sums[pixel] = f->bias;
    }
    SE_ROLLED
    for (int32_t count = f->count; count != 0; count--) {
        const int16_t *x = window + block->offset;
        const int32_t w0 = block->values[0], w1 = block->values[1], w2 = block->values[2];
        block++;
        SE_UNROLL
        for (int32_t pixel = 0; pixel < pixels; pixel++) {
            sums[pixel] += x[0] * w0;
            sums[pixel] += x[dilation] * w1;
            sums[pixel] += x[2 * dilation] * w2;
            x += stride;
        }
    }
}

SE_ALWAYS_INLINE void output_row(const se_conv2d_params *p, const filter *f, int32_t dilation, const int16_t *window,
                                 int8_t *output)
{
    const se_output o = se_output_of(p->left_shift, p->output_zero_point, p->low, p->high);
    const int32_t output_step = p->output_channels;
    const int32_t stride = p->stride_x;
    int32_t sums[SE_PIXELS];
    int32_t left = p->output_width;
    for (; left >= SE_PIXELS; left -= SE_PIXELS) {
        sum_blocks(f, SE_PIXELS, stride, dilation, window, sums);
        const uint32_t results = se_output_four_alike(&o, sums, f->multiplier);
        SE_UNROLL
        for (int32_t pixel = 0; pixel < SE_PIXELS; pixel++) {
            *output = (int8_t)se_lane(results, pixel);
            output += output_step;
        }
        window += SE_PIXELS * stride;
    }
    for (; left != 0; left--) {
        sum_blocks(f, 1, stride, dilation, window, sums);
        *output = se_output_one(&o, sums[0], f->multiplier);
        output += output_step;
        window += stride;
    }
}

static SE_NOINLINE void output_row_undilated(const se_conv2d_params *p, const filter *f, const int16_t *window,
                                             int8_t *output)
{
    output_row(p, f, 1, window, output);
}

static SE_NOINLINE void output_row_any(const se_conv2d_params *p, const filter *f, const int16_t *window,
                                       int8_t *output)
{
    output_row(p, f, p->dilation_x, window, output);
}

void se_depthwise_conv2d_block3_s8(const se_conv2d_params *p, const int8_t *input, const se_block_weights *weights,
                                   const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch)
{
    const int32_t height = plane_height(p);
    const int32_t width = plane_width(p);
    decoded_block *const blocks = scratch;
    int32_t *const offsets = (int32_t *)(blocks + blocks_in_filter(p));
    int16_t *const plane = (int16_t *)(offsets + blocks_in_filter(p));
    const uint8_t *distances = weights->distances;
    const int8_t *values = weights->values;
    fill_offsets(p, width, offsets);
    memset(plane + height * width, 0, (size_t)beyond_plane(p) * sizeof *plane);
    for (int32_t channel = 0; channel < p->input_channels; channel++) {
        const filter f = {blocks, weights->counts[channel], bias[channel], multipliers[channel]};
        const int16_t *window = plane;
        int8_t *row = output + channel;
        decode(distances, values, f.count, offsets, blocks);
        fill_plane(p, input + channel, height, width, plane);
        for (int32_t y = 0; y < p->output_height; y++) {
            if (p->dilation_x == 1) {
                output_row_undilated(p, &f, window, row);
            } else {
                output_row_any(p, &f, window, row);
            }
            window += p->stride_y * width;
            row += p->output_width * p->output_channels;
        }
        distances += f.count;
        values += BLOCK * f.count;
    }
}
