#include "cmsis_nn_calls.h"

#include "arm_nnfunctions.h"

static void require(arm_cmsis_nn_status status)
{
    if (status != ARM_CMSIS_NN_SUCCESS) {
        __builtin_trap();
    }
}

static cmsis_nn_per_channel_quant_params per_channel(const int32_t *requantisation, int32_t channels)
{
    const cmsis_nn_per_channel_quant_params result = {(int32_t *)requantisation,
                                                      (int32_t *)requantisation + channels};
    return result;
}

static cmsis_nn_conv_params conv_params(const cn_conv_params *p)
{
    const cmsis_nn_conv_params result = {
        .input_offset = -p->input_zero_point,
        .output_offset = p->output_zero_point,
        .stride = {.w = p->stride_x, .h = p->stride_y},
        .padding = {.w = p->pad_left, .h = p->pad_top},
        .dilation = {.w = p->dilation_x, .h = p->dilation_y},
        .activation = {.min = p->low, .max = p->high},
    };
    return result;
}

static cmsis_nn_dw_conv_params depthwise_params(const cn_conv_params *p)
{
    const cmsis_nn_dw_conv_params result = {
        .input_offset = -p->input_zero_point,
        .output_offset = p->output_zero_point,
        .ch_mult = 1,
        .stride = {.w = p->stride_x, .h = p->stride_y},
        .padding = {.w = p->pad_left, .h = p->pad_top},
        .dilation = {.w = p->dilation_x, .h = p->dilation_y},
        .activation = {.min = p->low, .max = p->high},
    };
    return result;
}

static cmsis_nn_dims input_dims(const cn_conv_params *p)
{
    const cmsis_nn_dims result = {.n = 1, .h = p->input_height, .w = p->input_width, .c = p->input_channels};
    return result;
}

static cmsis_nn_dims output_dims(const cn_conv_params *p)
{
    const cmsis_nn_dims result = {.n = 1, .h = p->output_height, .w = p->output_width, .c = p->output_channels};
    return result;
}

static cmsis_nn_dims filter_dims(const cn_conv_params *p)
{
    const cmsis_nn_dims result = {
        .n = p->output_channels, .h = p->kernel_height, .w = p->kernel_width, .c = p->filter_channels};
    return result;
}

static cmsis_nn_dims depthwise_filter_dims(const cn_conv_params *p)
{
    const cmsis_nn_dims result = {.n = 1, .h = p->kernel_height, .w = p->kernel_width, .c = p->output_channels};
    return result;
}

static cmsis_nn_dims bias_dims(const cn_conv_params *p)
{
    const cmsis_nn_dims result = {.n = 1, .h = 1, .w = 1, .c = p->output_channels};
    return result;
}

int32_t cn_convolve_scratch(const cn_conv_params *params)
{
    const cmsis_nn_conv_params conv = conv_params(params);
    const cmsis_nn_dims input = input_dims(params), filter = filter_dims(params), output = output_dims(params);
    return arm_convolve_wrapper_s8_get_buffer_size(&conv, &input, &filter, &output);
}

void cn_convolve(const cn_conv_params *params, const int8_t *input, const int8_t *weights, const int32_t *bias,
                 const int32_t *requantisation, int8_t *output, void *scratch)
{
    const cmsis_nn_context context = {scratch, 0};
    const cmsis_nn_conv_params conv = conv_params(params);
    const cmsis_nn_per_channel_quant_params quant = per_channel(requantisation, params->output_channels);
    const cmsis_nn_dims in = input_dims(params), filter = filter_dims(params), b = bias_dims(params);
    const cmsis_nn_dims out = output_dims(params);
    require(arm_convolve_wrapper_s8(&context, &conv, &quant, &in, input, &filter, weights, &b, bias, &out, output));
}

int32_t cn_depthwise_scratch(const cn_conv_params *params)
{
    const cmsis_nn_dw_conv_params conv = depthwise_params(params);
    const cmsis_nn_dims input = input_dims(params), filter = depthwise_filter_dims(params);
    const cmsis_nn_dims output = output_dims(params);
    return arm_depthwise_conv_wrapper_s8_get_buffer_size(&conv, &input, &filter, &output);
}

void cn_depthwise(const cn_conv_params *params, const int8_t *input, const int8_t *weights, const int32_t *bias,
                  const int32_t *requantisation, int8_t *output, void *scratch)
{
    const cmsis_nn_context context = {scratch, 0};
    const cmsis_nn_dw_conv_params conv = depthwise_params(params);
    const cmsis_nn_per_channel_quant_params quant = per_channel(requantisation, params->output_channels);
    const cmsis_nn_dims in = input_dims(params), filter = depthwise_filter_dims(params), b = bias_dims(params);
    const cmsis_nn_dims out = output_dims(params);
    require(arm_depthwise_conv_wrapper_s8(&context, &conv, &quant, &in, input, &filter, weights, &b, bias, &out,
                                          output));
}

static cmsis_nn_dims fully_connected_filter_dims(const cn_conv_params *p)
{
    const cmsis_nn_dims result = {.n = p->input_channels, .h = 1, .w = 1, .c = p->output_channels};
    return result;
}

int32_t cn_fully_connected_scratch(const cn_conv_params *params)
{
    const cmsis_nn_dims filter = fully_connected_filter_dims(params);
    return arm_fully_connected_s8_get_buffer_size(&filter);
}

void cn_fully_connected(const cn_conv_params *params, const int8_t *input, const int8_t *weights, const int32_t *bias,
                        const int32_t *requantisation, int8_t *output, void *scratch)
{
    const cmsis_nn_context context = {scratch, 0};
    const cmsis_nn_fc_params fc = {
        .input_offset = -params->input_zero_point,
        .filter_offset = 0,
        .output_offset = params->output_zero_point,
        .activation = {.min = params->low, .max = params->high},
    };
    const cmsis_nn_quant_params quant = {(int32_t *)requantisation, (int32_t *)requantisation + params->output_channels,
                                         1};
    const cmsis_nn_dims in = {.n = 1, .h = 1, .w = 1, .c = params->input_channels};
    const cmsis_nn_dims filter = fully_connected_filter_dims(params), b = bias_dims(params);
    const cmsis_nn_dims out = {.n = 1, .h = 1, .w = 1, .c = params->output_channels};
    require(arm_fully_connected_wrapper_s8(&context, &fc, &quant, &in, input, &filter, weights, &b, bias, &out,
                                           output));
}

int32_t cn_matmul_scratch(const cn_matmul_params *params)
{
    return params->transpose_b != 0 ? 0 : params->batch * params->depth * params->columns;
}

void cn_matmul(const cn_matmul_params *params, const int8_t *a, const int8_t *b, int8_t *output, void *scratch)
{
    static const uint32_t swap_last[4] = {0, 1, 3, 2};
    const cmsis_nn_context context = {NULL, 0};
    const cmsis_nn_bmm_params bmm = {
        .adj_x = false,
        .adj_y = true,
        .fc_params = {.input_offset = -params->a_zero_point,
                      .filter_offset = -params->b_zero_point,
                      .output_offset = params->output_zero_point,
                      .activation = {.min = params->low, .max = params->high}},
    };
    const cmsis_nn_per_tensor_quant_params quant = {params->multiplier, params->shift};
    const cmsis_nn_dims left = {.n = 1, .h = params->batch, .w = params->rows, .c = params->depth};
    const cmsis_nn_dims right = {.n = 1, .h = params->batch, .w = params->columns, .c = params->depth};
    const cmsis_nn_dims out = {.n = 1, .h = params->batch, .w = params->rows, .c = params->columns};
    if (params->transpose_b == 0) {
        const cmsis_nn_dims plain = {.n = 1, .h = params->batch, .w = params->depth, .c = params->columns};
        const cmsis_nn_transpose_params transposition = {4, swap_last};
        require(arm_transpose_s8(b, scratch, &plain, &right, &transposition));
        b = scratch;
    }
    require(arm_batch_matmul_s8(&context, &bmm, &quant, &left, a, &right, b, &out, output));
}

void cn_add(const cn_elementwise_params *params, const int8_t *a, const int8_t *b, int8_t *output)
{
    const cn_elementwise_params *p = params;
    for (int32_t i = 0; i < p->elements; i += p->period) {
        require(arm_elementwise_add_s8(a + i, b, -p->a_zero_point, p->a_multiplier, p->a_shift, -p->b_zero_point,
                                       p->b_multiplier, p->b_shift, p->left_shift, output + i, p->output_zero_point,
                                       p->output_multiplier, p->output_shift, p->low, p->high, p->period));
    }
}

void cn_mul(const cn_elementwise_params *params, const int8_t *a, const int8_t *b, int8_t *output)
{
    const cn_elementwise_params *p = params;
    for (int32_t i = 0; i < p->elements; i += p->period) {
        require(arm_elementwise_mul_s8(a + i, b, -p->a_zero_point, -p->b_zero_point, output + i, p->output_zero_point,
                                       p->output_multiplier, p->output_shift, p->low, p->high, p->period));
    }
}

void cn_softmax(const cn_softmax_params *params, const int8_t *input, int8_t *output)
{
    arm_softmax_s8(input, params->rows, params->columns, params->multiplier, params->shift, params->least_difference,
                   output);
}

typedef arm_cmsis_nn_status (*pool_function)(const cmsis_nn_context *, const cmsis_nn_pool_params *,
                                             const cmsis_nn_dims *, const int8_t *, const cmsis_nn_dims *,
                                             const cmsis_nn_dims *, int8_t *);

static inline void pool(pool_function function, const cn_pool_params *p, const int8_t *input, int8_t *output,
                        void *scratch)
{
    const cmsis_nn_context context = {scratch, 0};
    const cmsis_nn_pool_params parameters = {
        .stride = {.w = p->stride_x, .h = p->stride_y},
        .padding = {.w = p->pad_left, .h = p->pad_top},
        .activation = {.min = p->low, .max = p->high},
    };
    const cmsis_nn_dims in = {.n = 1, .h = p->input_height, .w = p->input_width, .c = p->channels};
    const cmsis_nn_dims filter = {.n = 1, .h = p->kernel_height, .w = p->kernel_width, .c = 1};
    const cmsis_nn_dims out = {.n = 1, .h = p->output_height, .w = p->output_width, .c = p->channels};
    require(function(&context, &parameters, &in, input, &filter, &out, output));
}

void cn_max_pool(const cn_pool_params *params, const int8_t *input, int8_t *output)
{
    pool(arm_max_pool_s8, params, input, output, NULL);
}

int32_t cn_avg_pool_scratch(const cn_pool_params *params)
{
    return arm_avgpool_s8_get_buffer_size(params->output_width, params->channels);
}

void cn_avg_pool(const cn_pool_params *params, const int8_t *input, int8_t *output, void *scratch)
{
    pool(arm_avgpool_s8, params, input, output, scratch);
}
