/* Calls of CMSIS-NN's public functions, each with what a node of the model needs to know in one constant struct.
 *
 * Layouts are CMSIS-NN's: images NHWC, convolution weights OHWI, depthwise weights HWC. `requantisation` holds the
 * multipliers of all output channels, then their shifts. `scratch` has at least the bytes that the function of the
 * same name with _scratch returns, aligned to 8; it may be null where that is 0. A call that CMSIS-NN refuses traps.
 */
#ifndef CMSIS_NN_CALLS_H
#define CMSIS_NN_CALLS_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    int32_t input_height, input_width, input_channels;
    int32_t output_height, output_width, output_channels;
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t pad_top, pad_left;
    int32_t dilation_y, dilation_x;
    int32_t filter_channels; /* input channels of one filter */
    int32_t input_zero_point, output_zero_point;
    int32_t low, high;
} cn_conv_params;

typedef struct {
    int32_t batch, rows, depth, columns;
    int32_t transpose_b;
    int32_t a_zero_point, b_zero_point, output_zero_point;
    int32_t multiplier, shift;
    int32_t low, high;
} cn_matmul_params;

typedef struct {
    int32_t elements, period; /* of a, of b, which repeats */
    int32_t a_zero_point, a_multiplier, a_shift;
    int32_t b_zero_point, b_multiplier, b_shift;
    int32_t left_shift;
    int32_t output_zero_point, output_multiplier, output_shift;
    int32_t low, high;
} cn_elementwise_params;

typedef struct {
    int32_t rows, columns;
    int32_t multiplier, shift, least_difference;
} cn_softmax_params;

typedef struct {
    int32_t input_height, input_width, channels;
    int32_t output_height, output_width;
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t pad_top, pad_left;
    int32_t low, high;
} cn_pool_params;

void cn_convolve(const cn_conv_params *params, const int8_t *input, const int8_t *weights, const int32_t *bias,
                 const int32_t *requantisation, int8_t *output, void *scratch);
int32_t cn_convolve_scratch(const cn_conv_params *params);

void cn_depthwise(const cn_conv_params *params, const int8_t *input, const int8_t *weights, const int32_t *bias,
                  const int32_t *requantisation, int8_t *output, void *scratch);
int32_t cn_depthwise_scratch(const cn_conv_params *params);

/* One row: kernel, stride, padding and dilation are not read. */
void cn_fully_connected(const cn_conv_params *params, const int8_t *input, const int8_t *weights, const int32_t *bias,
                        const int32_t *requantisation, int8_t *output, void *scratch);
int32_t cn_fully_connected_scratch(const cn_conv_params *params);

/* Transposes b into the scratch first when it does not come transposed, as the library asks for. */
void cn_matmul(const cn_matmul_params *params, const int8_t *a, const int8_t *b, int8_t *output, void *scratch);
int32_t cn_matmul_scratch(const cn_matmul_params *params);

void cn_add(const cn_elementwise_params *params, const int8_t *a, const int8_t *b, int8_t *output);
void cn_mul(const cn_elementwise_params *params, const int8_t *a, const int8_t *b, int8_t *output);
void cn_softmax(const cn_softmax_params *params, const int8_t *input, int8_t *output);
void cn_max_pool(const cn_pool_params *params, const int8_t *input, int8_t *output);

void cn_avg_pool(const cn_pool_params *params, const int8_t *input, int8_t *output, void *scratch);
int32_t cn_avg_pool_scratch(const cn_pool_params *params);

#endif
