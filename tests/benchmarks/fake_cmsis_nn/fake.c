#include "arm_nnfunctions.h"

enum { SCRATCH_BYTES = 40 };

static int32_t clamp(int32_t value, cmsis_nn_activation limits)
{
    const int32_t least = value > limits.min ? value : limits.min;
    return least < limits.max ? least : limits.max;
}

static int32_t rescale(int32_t value, int32_t multiplier, int32_t shift)
{
    return (int32_t)(((int64_t)value * multiplier + ((int64_t)1 << (30 - shift))) >> (31 - shift));
}

int32_t arm_convolve_wrapper_s8_get_buffer_size(const cmsis_nn_conv_params *params, const cmsis_nn_dims *input,
                                                const cmsis_nn_dims *filter, const cmsis_nn_dims *output)
{
    (void)params, (void)input, (void)filter, (void)output;
    return SCRATCH_BYTES;
}

static int32_t window(const cmsis_nn_conv_params *p, const cmsis_nn_dims *in, const int8_t *x,
                      const cmsis_nn_dims *filter, const int8_t *weights, int32_t step, int32_t y, int32_t column)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < filter->h; i++) {
        for (int32_t j = 0; j < filter->w; j++) {
            const int32_t row = y * p->stride.h - p->padding.h + i, at = column * p->stride.w - p->padding.w + j;
            if (row >= 0 && row < in->h && at >= 0 && at < in->w) {
                for (int32_t c = 0; c < filter->c; c++) {
                    sum += (x[(row * in->w + at) * in->c + c] + p->input_offset) *
                           weights[((i * filter->w + j) * filter->c + c) * step];
                }
            }
        }
    }
    return sum;
}

arm_cmsis_nn_status arm_convolve_wrapper_s8(const cmsis_nn_context *context, const cmsis_nn_conv_params *p,
                                            const cmsis_nn_per_channel_quant_params *quant, const cmsis_nn_dims *in,
                                            const int8_t *x, const cmsis_nn_dims *filter, const int8_t *weights,
                                            const cmsis_nn_dims *bias_dims, const int32_t *bias,
                                            const cmsis_nn_dims *out, int8_t *output)
{
    (void)bias_dims;
    memset(context->buf, 0x55, SCRATCH_BYTES);
    if (p->dilation.h != 1) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    for (int32_t pixel = 0; pixel < out->h * out->w; pixel++) {
        for (int32_t o = 0; o < out->c; o++) {
            const int8_t *w = weights + o * filter->h * filter->w * filter->c;
            const int32_t sum = bias[o] + window(p, in, x, filter, w, 1, pixel / out->w, pixel % out->w);
            const int32_t value = rescale(sum, quant->multiplier[o], quant->shift[o]) + p->output_offset;
            output[pixel * out->c + o] = (int8_t)clamp(value, p->activation);
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_depthwise_conv_wrapper_s8_get_buffer_size(const cmsis_nn_dw_conv_params *params, const cmsis_nn_dims *input,
                                                      const cmsis_nn_dims *filter, const cmsis_nn_dims *output)
{
    (void)params, (void)input, (void)filter, (void)output;
    return 0;
}

arm_cmsis_nn_status arm_depthwise_conv_wrapper_s8(const cmsis_nn_context *context, const cmsis_nn_dw_conv_params *dw,
                                                  const cmsis_nn_per_channel_quant_params *quant,
                                                  const cmsis_nn_dims *in, const int8_t *x, const cmsis_nn_dims *filter,
                                                  const int8_t *weights, const cmsis_nn_dims *bias_dims,
                                                  const int32_t *bias, const cmsis_nn_dims *out, int8_t *output)
{
    const cmsis_nn_conv_params p = {dw->input_offset, dw->output_offset, dw->stride,
                                    dw->padding,      dw->dilation,      dw->activation};
    const cmsis_nn_dims one = {1, filter->h, filter->w, 1};
    (void)context, (void)bias_dims;
    for (int32_t pixel = 0; pixel < out->h * out->w; pixel++) {
        for (int32_t c = 0; c < out->c; c++) {
            const int32_t sum =
                bias[c] + window(&p, in, x + c, &one, weights + c, filter->c, pixel / out->w, pixel % out->w);
            const int32_t value = rescale(sum, quant->multiplier[c], quant->shift[c]) + p.output_offset;
            output[pixel * out->c + c] = (int8_t)clamp(value, p.activation);
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_fully_connected_s8_get_buffer_size(const cmsis_nn_dims *filter)
{
    (void)filter;
    return 0;
}

arm_cmsis_nn_status arm_fully_connected_wrapper_s8(const cmsis_nn_context *context, const cmsis_nn_fc_params *fc,
                                                   const cmsis_nn_quant_params *quant, const cmsis_nn_dims *in,
                                                   const int8_t *x, const cmsis_nn_dims *filter, const int8_t *weights,
                                                   const cmsis_nn_dims *bias_dims, const int32_t *bias,
                                                   const cmsis_nn_dims *out, int8_t *output)
{
    (void)context, (void)in, (void)bias_dims;
    for (int32_t o = 0; o < out->c; o++) {
        int32_t sum = bias[o];
        for (int32_t i = 0; i < filter->n; i++) {
            sum += (x[i] + fc->input_offset) * weights[o * filter->n + i];
        }
        output[o] =
            (int8_t)clamp(rescale(sum, quant->multiplier[o], quant->shift[o]) + fc->output_offset, fc->activation);
    }
    return ARM_CMSIS_NN_SUCCESS;
}

arm_cmsis_nn_status arm_batch_matmul_s8(const cmsis_nn_context *context, const cmsis_nn_bmm_params *bmm,
                                        const cmsis_nn_per_tensor_quant_params *quant, const cmsis_nn_dims *left,
                                        const int8_t *a, const cmsis_nn_dims *right, const int8_t *b,
                                        const cmsis_nn_dims *out, int8_t *output)
{
    const cmsis_nn_fc_params *fc = &bmm->fc_params;
    (void)context;
    for (int32_t i = 0; i < out->h * out->w * out->c; i++) {
        const int8_t *row = a + i / out->c * left->c;
        const int8_t *column = b + (i / (out->c * out->w) * right->w + i % out->c) * left->c;
        int32_t sum = 0;
        for (int32_t k = 0; k < left->c; k++) {
            sum += (row[k] + fc->input_offset) * (column[k] + fc->filter_offset);
        }
        output[i] = (int8_t)clamp(rescale(sum, quant->multiplier, quant->shift) + fc->output_offset, fc->activation);
    }
    return ARM_CMSIS_NN_SUCCESS;
}

arm_cmsis_nn_status arm_transpose_s8(const int8_t *input, int8_t *output, const cmsis_nn_dims *in,
                                     const cmsis_nn_dims *out, const cmsis_nn_transpose_params *params)
{
    (void)out;
    if (params->permutations[2] != 3 || params->permutations[3] != 2) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    for (int32_t i = 0; i < in->h * in->w * in->c; i++) {
        const int32_t head = i / (in->w * in->c), row = i / in->c % in->w, column = i % in->c;
        output[(head * in->c + column) * in->w + row] = input[i];
    }
    return ARM_CMSIS_NN_SUCCESS;
}

arm_cmsis_nn_status arm_elementwise_add_s8(const int8_t *a, const int8_t *b, int32_t offset_1, int32_t multiplier_1,
                                           int32_t shift_1, int32_t offset_2, int32_t multiplier_2, int32_t shift_2,
                                           int32_t left_shift, int8_t *output, int32_t offset, int32_t multiplier,
                                           int32_t shift, int32_t low, int32_t high, int32_t length)
{
    const cmsis_nn_activation limits = {low, high};
    for (int32_t i = 0; i < length; i++) {
        const int32_t x = rescale((a[i] + offset_1) * (1 << left_shift), multiplier_1, shift_1);
        const int32_t y = rescale((b[i] + offset_2) * (1 << left_shift), multiplier_2, shift_2);
        output[i] = (int8_t)clamp(rescale(x + y, multiplier, shift) + offset, limits);
    }
    return ARM_CMSIS_NN_SUCCESS;
}

arm_cmsis_nn_status arm_elementwise_mul_s8(const int8_t *a, const int8_t *b, int32_t offset_1, int32_t offset_2,
                                           int8_t *output, int32_t offset, int32_t multiplier, int32_t shift,
                                           int32_t low, int32_t high, int32_t length)
{
    const cmsis_nn_activation limits = {low, high};
    for (int32_t i = 0; i < length; i++) {
        const int32_t product = (a[i] + offset_1) * (b[i] + offset_2);
        output[i] = (int8_t)clamp(rescale(product, multiplier, shift) + offset, limits);
    }
    return ARM_CMSIS_NN_SUCCESS;
}

arm_cmsis_nn_status arm_max_pool_s8(const cmsis_nn_context *context, const cmsis_nn_pool_params *p,
                                    const cmsis_nn_dims *in, const int8_t *x, const cmsis_nn_dims *filter,
                                    const cmsis_nn_dims *out, int8_t *output)
{
    (void)context;
    for (int32_t i = 0; i < out->h * out->w * out->c; i++) {
        int32_t largest = -128;
        for (int32_t k = 0; k < filter->h * filter->w; k++) {
            const int32_t row = i / (out->w * out->c) * p->stride.h - p->padding.h + k / filter->w;
            const int32_t column = i / out->c % out->w * p->stride.w - p->padding.w + k % filter->w;
            if (row >= 0 && row < in->h && column >= 0 && column < in->w) {
                const int8_t value = x[(row * in->w + column) * in->c + i % out->c];
                largest = value > largest ? value : largest;
            }
        }
        output[i] = (int8_t)clamp(largest, p->activation);
    }
    return ARM_CMSIS_NN_SUCCESS;
}
