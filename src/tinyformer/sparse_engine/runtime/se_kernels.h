/* The kernels of the sparse engine.
 *
 * Conventions, for every kernel:
 *   - Activations are int8, row-major, channels last, batch 1. Weights are int8 with zero point 0.
 *   - Parameters sit in one const struct; data pointers are arguments, in the order: parameters, inputs, constants,
 *     output, scratch. The caller owns scratch, aligned to 8 bytes; se_..._scratch_bytes says how much.
 *   - Inputs and output may be unaligned unless a kernel says otherwise, and must not overlap unless it says so.
 *   - bias is int32 and already contains the folded input zero point; padding reads as the input zero point.
 *   - Results are se_requantize(accumulator, multiplier, left_shift, zero_point, low, high) of se_fixed_point.h
 *     unless a formula is given. The compiler guarantees that |accumulator| << left_shift stays below 2^31.
 *   - No state, no allocation, no recursion, no division (but se_conv2d_s8 divides its channels by its groups once a
 *     call); the instruction count does not depend on the data (se_softmax_lazy_s8 excepted).
 *   - Every kernel equals its operator in the Python package's reference.py, integer for integer.
 */
#ifndef SE_KERNELS_H
#define SE_KERNELS_H

#include "se_port.h"

/* ---- weights in blocks: the paper's run-length code (docs/bundle.md) ----------------------------------------------
 * Per output channel, blocks of `b` consecutive weights along the input channels (depthwise: along the kernel width).
 * The channel tail of each kernel position is padded with zeros to a whole block, so a filter has
 * kernel_height * kernel_width * ceil(input_channels / b) blocks, numbered in (ky, kx, channel block) order.
 * Stored block i of a filter skips distances[i] zero blocks after the previous stored one (the first counts from the
 * filter's start) and holds values[i * b .. i * b + b - 1]. counts[o] stored blocks belong to output channel o; all
 * channels follow one another in both planes. */
typedef struct {
    const uint16_t *counts;   /* one per output channel */
    const uint8_t *distances; /* one per stored block */
    const int8_t *values;     /* b per stored block, 4-byte aligned */
} se_block_weights;

/* The same with distances of four bits: of 16 zero blocks or more every 16th is stored, with distance 15. The distances
 * of all channels together lie eight in a word: byte k of word i holds distance 8 i + k in its low half and distance
 * 8 i + k + 4 in its high half. */
typedef struct {
    const uint16_t *counts;    /* one per output channel */
    const uint32_t *distances; /* one word per eight stored blocks */
    const int8_t *values;      /* b per stored block, 4-byte aligned */
} se_rle4_weights;

/* The same with a bit for every block, set where it is stored: those of all channels together, the first of them bit 31
 * of the first word. Of 256 zero blocks of a channel or more every 256th is stored. */
typedef struct {
    const uint32_t *bitmap; /* one word per 32 blocks */
    const int8_t *values;   /* b per stored block, 4-byte aligned */
} se_bitmap_weights;

/* Convolution and linear kernels widen the input of several outputs into a strip in scratch, and use each weight for all
 * of them. `pixels` says for how many at most: 8 is faster on cores with the DSP extension, 4 takes half the scratch. */

/* ---- convolution ------------------------------------------------------------------------------------------------ */
typedef struct {
    int32_t input_height, input_width, input_channels;
    int32_t output_height, output_width, output_channels;
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t pad_top, pad_left;
    int32_t dilation_y, dilation_x;
    int32_t groups; /* 1 in the block variants */
    int32_t pixels; /* 8 or 4; depthwise: not read */
    int32_t input_zero_point, output_zero_point;
    int32_t left_shift;
    int32_t low, high;
    int32_t unpacked_bytes; /* of scratch for distances: see the packed variants */
} se_conv2d_params;

/* weights: (output_channels, kernel_height * kernel_width * input_channels / groups), rows padded with zeros to multiples
 * of 4 */
void se_conv2d_s8(const se_conv2d_params *p, const int8_t *input, const int8_t *weights, const int32_t *bias,
                  const int32_t *multipliers, int8_t *output, void *scratch);
int32_t se_conv2d_s8_scratch_bytes(const se_conv2d_params *p);

/* blocks of 2 and of 4 along the input channels */
void se_conv2d_block2_s8(const se_conv2d_params *p, const int8_t *input, const se_block_weights *weights,
                         const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch);
void se_conv2d_block4_s8(const se_conv2d_params *p, const int8_t *input, const se_block_weights *weights,
                         const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch);
int32_t se_conv2d_block2_s8_scratch_bytes(const se_conv2d_params *p);
int32_t se_conv2d_block4_s8_scratch_bytes(const se_conv2d_params *p);

/* The packed variants, distances of four bits and bitmaps: unpacked_bytes of scratch take distances as se_block_weights
 * has them, a multiple of 8 and at least 8 more than the blocks of a filter, zero or not, rounded up to a multiple of 8.
 * Where those of all filters fit they are unpacked once a call, about 1 instruction a stored block, with bitmaps 7; else
 * some filters at a time, for each strip. They fit if the bytes suffice for the stored blocks, rounded up to a multiple of
 * 8, with bitmaps for those and the blocks of a filter. */
void se_conv2d_rle4_block2_s8(const se_conv2d_params *p, const int8_t *input, const se_rle4_weights *weights,
                              const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch);
void se_conv2d_rle4_block4_s8(const se_conv2d_params *p, const int8_t *input, const se_rle4_weights *weights,
                              const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch);
void se_conv2d_bitmap_block2_s8(const se_conv2d_params *p, const int8_t *input, const se_bitmap_weights *weights,
                                const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch);
void se_conv2d_bitmap_block4_s8(const se_conv2d_params *p, const int8_t *input, const se_bitmap_weights *weights,
                                const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch);
int32_t se_conv2d_rle4_block2_s8_scratch_bytes(const se_conv2d_params *p);
int32_t se_conv2d_rle4_block4_s8_scratch_bytes(const se_conv2d_params *p);
int32_t se_conv2d_bitmap_block2_s8_scratch_bytes(const se_conv2d_params *p);
int32_t se_conv2d_bitmap_block4_s8_scratch_bytes(const se_conv2d_params *p);

/* Depthwise: input_channels == output_channels, groups and pixels are not read.
 * weights: (kernel_height, kernel_width, channels): the encoder moves channels last for the dense form.
 * input may equal output where both have one shape, the strides are 1, dilation_y is 1 and pad_top < kernel_height: a row
 * of outputs is written when the rows under it are in scratch. The same holds for the block variants.
 * With the DSP extension strides of 1 and 2 along the width, without dilation along it and without left shift, take eight
 * outputs of a row at a time: 3x3 about 2.6 instructions a multiply-accumulate on 16x16x192. */
void se_depthwise_conv2d_s8(const se_conv2d_params *p, const int8_t *input, const int8_t *weights, const int32_t *bias,
                            const int32_t *multipliers, int8_t *output, void *scratch);
int32_t se_depthwise_conv2d_s8_scratch_bytes(const se_conv2d_params *p);

/* blocks of 3 along the kernel width (the width's tail padded), one filter per channel */
void se_depthwise_conv2d_block3_s8(const se_conv2d_params *p, const int8_t *input, const se_block_weights *weights,
                                   const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch);
int32_t se_depthwise_conv2d_block3_s8_scratch_bytes(const se_conv2d_params *p);
void se_depthwise_conv2d_bitmap_block3_s8(const se_conv2d_params *p, const int8_t *input,
                                          const se_bitmap_weights *weights, const int32_t *bias,
                                          const int32_t *multipliers, int8_t *output, void *scratch);
int32_t se_depthwise_conv2d_bitmap_block3_s8_scratch_bytes(const se_conv2d_params *p);

/* ---- linear: also 1x1 convolution of stride 1 without padding ---------------------------------------------------- */
typedef struct {
    int32_t rows, input_features, output_features;
    int32_t pixels; /* 8 or 4 */
    int32_t output_zero_point;
    int32_t left_shift;
    int32_t low, high;
    int32_t unpacked_bytes; /* as in se_conv2d_params */
} se_linear_params;

/* input (rows, input_features), weights (output_features, input_features), their rows padded with zeros to multiples of 4,
 * output (rows, output_features) */
void se_linear_s8(const se_linear_params *p, const int8_t *input, const int8_t *weights, const int32_t *bias,
                  const int32_t *multipliers, int8_t *output, void *scratch);
void se_linear_block2_s8(const se_linear_params *p, const int8_t *input, const se_block_weights *weights,
                         const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch);
void se_linear_block4_s8(const se_linear_params *p, const int8_t *input, const se_block_weights *weights,
                         const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch);
int32_t se_linear_s8_scratch_bytes(const se_linear_params *p);
int32_t se_linear_block2_s8_scratch_bytes(const se_linear_params *p);
int32_t se_linear_block4_s8_scratch_bytes(const se_linear_params *p);

/* packed, as for convolutions */
void se_linear_rle4_block2_s8(const se_linear_params *p, const int8_t *input, const se_rle4_weights *weights,
                              const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch);
void se_linear_rle4_block4_s8(const se_linear_params *p, const int8_t *input, const se_rle4_weights *weights,
                              const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch);
void se_linear_bitmap_block2_s8(const se_linear_params *p, const int8_t *input, const se_bitmap_weights *weights,
                                const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch);
void se_linear_bitmap_block4_s8(const se_linear_params *p, const int8_t *input, const se_bitmap_weights *weights,
                                const int32_t *bias, const int32_t *multipliers, int8_t *output, void *scratch);
int32_t se_linear_rle4_block2_s8_scratch_bytes(const se_linear_params *p);
int32_t se_linear_rle4_block4_s8_scratch_bytes(const se_linear_params *p);
int32_t se_linear_bitmap_block2_s8_scratch_bytes(const se_linear_params *p);
int32_t se_linear_bitmap_block4_s8_scratch_bytes(const se_linear_params *p);

/* ---- product of two activations ---------------------------------------------------------------------------------- */
typedef struct {
    int32_t batch, rows, depth, columns;
    int32_t transpose_b; /* 0: b is (batch, depth, columns); 1: (batch, columns, depth) */
    int32_t a_zero_point, b_zero_point, output_zero_point;
    int32_t multiplier, left_shift;
    int32_t low, high;
} se_matmul_params;

/* accumulator = sum over depth of (a - a_zero_point) * (b - b_zero_point). Scratch: eight columns of b as int16. */
void se_matmul_s8(const se_matmul_params *p, const int8_t *a, const int8_t *b, int8_t *output, void *scratch);
int32_t se_matmul_s8_scratch_bytes(const se_matmul_params *p);

/* ---- softmax over rows -------------------------------------------------------------------------------------------- */
typedef struct {
    int32_t rows, columns;
    int32_t exp_multiplier, fraction_bits;
    int32_t output_multiplier, output_exponent, output_zero_point;
} se_softmax_params;

/* e[i] = se_exp_negative(max - x[i]); output[i] = requantize(e[i], se_row_multiplier(sum of e), 0, ...).
 * columns * 2^fraction_bits < 2^32 and output_exponent <= fraction_bits - 2. input may equal output.
 * Builds the table of 256 exponentials, 1 KB, in scratch once per call: about 4,500 instructions, then 10 for each
 * element. Stack 120 bytes. */
void se_softmax_s8(const se_softmax_params *p, const int8_t *input, int8_t *output, void *scratch);
int32_t se_softmax_s8_scratch_bytes(const se_softmax_params *p);

/* The paper's lazy table (Sec. III-D3): a bitmap of 256 bits says which exponentials exist; others are computed when
 * first met. Same results, 1056 bytes of scratch. The instruction count depends on the data: about 20 for each element,
 * and 42 once for each distance from a row's maximum that occurs anywhere in the input. The worst case is thus 256 * 42
 * = 10,800 instructions above the 20 an element; the table is the faster one above a thousand elements. */
void se_softmax_lazy_s8(const se_softmax_params *p, const int8_t *input, int8_t *output, void *scratch);
int32_t se_softmax_lazy_s8_scratch_bytes(const se_softmax_params *p);

/* ---- Scaled-LayerNorm over rows (paper Sec. III-C3) ---------------------------------------------------------------- */
typedef struct {
    int32_t rows, columns;
    int64_t epsilon_term; /* columns^2 * epsilon / input_scale^2 * 2^16, at least 1 */
    int32_t multiplier, left_shift;
    int32_t output_zero_point;
    int32_t low, high;
} se_layer_norm_params;

/* n = columns, s = sum of x, v = (n * sum of x^2 - s^2) * 2^16 + epsilon_term < 2^63;
 * accumulator = se_normalize(n * x - s, v) * gamma + beta. input may equal output. 128 * sqrt(n) + 1 < 2^15.
 * No scratch; about 16 instructions an element and 200 a row. Stack 160 bytes. */
void se_layer_norm_s8(const se_layer_norm_params *p, const int8_t *input, const int16_t *gamma, const int32_t *beta,
                      int8_t *output, void *scratch);
int32_t se_layer_norm_s8_scratch_bytes(const se_layer_norm_params *p);

/* ---- element-wise -------------------------------------------------------------------------------------------------- */
typedef struct {
    int32_t elements; /* of a and of the output */
    int32_t period;   /* of b: b[i % period]; period divides elements */
    int32_t multiplier_a, multiplier_b; /* int16 range */
    int32_t offset, shift;
    int32_t low, high;
} se_add_params;

/* clamp((a * multiplier_a + b * multiplier_b + offset) >> shift, low, high): the sum before the shift fits an int32.
 * output may equal a (and b when period == elements). About 7 instructions an element, for periods of 16 and more. */
void se_add_s8(const se_add_params *p, const int8_t *a, const int8_t *b, int8_t *output);

typedef struct {
    int32_t elements, period;
    int32_t a_zero_point, b_zero_point, output_zero_point;
    int32_t multiplier, left_shift;
    int32_t low, high;
} se_mul_params;

/* accumulator = (a - a_zero_point) * (b - b_zero_point). Aliasing as in se_add_s8. */
void se_mul_s8(const se_mul_params *p, const int8_t *a, const int8_t *b, int8_t *output);

/* output[i] = table[input[i] + 128]; input may equal output */
void se_lookup_s8(int32_t elements, const int8_t *input, const int8_t *table, int8_t *output);

/* ---- pooling ------------------------------------------------------------------------------------------------------- */
typedef struct {
    int32_t input_height, input_width, channels;
    int32_t output_height, output_width;
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t pad_top, pad_left;
    /* read by the average only: */
    int32_t input_zero_point, output_zero_point;
    int32_t left_shift;
    int32_t per_count; /* 1 when multipliers holds one entry per number of values inside the image */
    int32_t low, high;
} se_pool2d_params;

/* The greatest value inside the image. Here and below every window has one: the padding of each side is less than the
 * kernel. 2x2 windows inside the image take about 3 instructions an output with 16 channels (the average 6 with 32). */
void se_max_pool2d_s8(const se_pool2d_params *p, const int8_t *input, int8_t *output);

/* accumulator = sum over the window's values inside the image of (x - input_zero_point), n of them; the multiplier is
 * multipliers[per_count ? n - 1 : 0] */
void se_avg_pool2d_s8(const se_pool2d_params *p, const int8_t *input, const int32_t *multipliers, int8_t *output);

/* ---- data movement: bytes, up to four axes ------------------------------------------------------------------------- */
typedef struct {
    int32_t shape[4];         /* of the block that is moved, leading axes 1 */
    int32_t input_stride[4];  /* in elements */
    int32_t output_stride[4]; /* in elements */
    int32_t input_offset, output_offset;
} se_move_params;

/* output[output_offset + sum i_k * output_stride_k] = input[input_offset + sum i_k * input_stride_k]:
 * transpose, slice, concatenation (one call per input) and the inside of padding. input and output do not overlap.
 * Fastest where the last axis is contiguous on both sides, then where it is in the output. */
void se_move_s8(const se_move_params *p, const int8_t *input, int8_t *output);

/* output[0 .. elements - 1] = value */
void se_fill_s8(int32_t elements, int32_t value, int8_t *output);

#endif
