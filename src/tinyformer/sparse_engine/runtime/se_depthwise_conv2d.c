#include "se_dot.h"
#include "se_kernels.h"
#include "se_output.h"

/* Four channels at a time. The input rows under a row of outputs are widened into columns: element
 * column * kernel_height + slot, a quad of channels. The slots are a ring, so that moving down by a row of outputs
 * widens only the rows that come into view; the weights, widened in the same order, turn with it. Without dilation a
 * window is then one run of quads that meets the weights element by element. */

typedef struct {
    int32_t channel, count; /* first channel; 4, or fewer at the end */
    int32_t bias[4], multipliers[4];
} four_channels;

static four_channels four_channels_of(const se_conv2d_params *p, int32_t channel, const int32_t *bias,
                                      const int32_t *multipliers)
{
    const int32_t left = p->input_channels - channel;
    four_channels four = {channel, left < 4 ? left : 4, {0, 0, 0, 0}, {0, 0, 0, 0}};
    for (int32_t i = 0; i < four.count; i++) {
        four.bias[i] = bias[channel + i];
        four.multipliers[i] = multipliers[channel + i];
    }
    return four;
}

static inline se_quad load(const int8_t *source, int32_t count)
{
    return count == 4 ? se_quad_load(source) : se_quad_load_partial(source, count);
}

static int32_t columns_of(const se_conv2d_params *p)
{
    return (p->output_width - 1) * p->stride_x + (p->kernel_width - 1) * p->dilation_x + 1;
}

int32_t se_depthwise_conv2d_s8_scratch_bytes(const se_conv2d_params *p)
{
    return (p->kernel_width + columns_of(p)) * p->kernel_height * (int32_t)sizeof(se_quad);
}

/* One row of the padded input; `column` points at the row's slot in the first column. */
static void widen_row(const se_conv2d_params *p, const int8_t *input, const four_channels *four, int32_t y,
                      se_quad *column)
{
    const int32_t zero_point = p->input_zero_point;
    const se_quad outside = se_quad_of(zero_point, zero_point, zero_point, zero_point);
    const int32_t slots = p->kernel_height;
    const int32_t columns = columns_of(p);
    const int32_t channels = p->input_channels;
    const int32_t count = four->count;
    const int32_t row_inside = y >= 0 && y < p->input_height;
    const int32_t image_end = p->pad_left + p->input_width;
    const int32_t begin = row_inside && p->pad_left < columns ? p->pad_left : columns;
    const int32_t end = image_end < columns ? image_end : columns;
    int32_t x = 0;
    for (; x < begin; x++) {
        *column = outside;
        column += slots;
    }
    if (row_inside) {
        const int8_t *source = input + y * p->input_width * p->input_channels + four->channel;
        for (; x < end; x++) {
            *column = load(source, count);
            source += channels;
            column += slots;
        }
    }
    for (; x < columns; x++) {
        *column = outside;
        column += slots;
    }
}

/* weights in the order of the columns' slots: kernel row 0 at slot `first` */
static void widen_weights(const se_conv2d_params *p, const int8_t *weights, const four_channels *four, int32_t first,
                          se_quad *widened)
{
    const int32_t slots = p->kernel_height;
    const int32_t width = p->kernel_width;
    const int32_t channels = p->input_channels;
    const int32_t count = four->count;
    const int8_t *source = weights + four->channel;
    int32_t slot = first;
    for (int32_t kernel_y = 0; kernel_y < slots; kernel_y++) {
        for (int32_t kernel_x = 0; kernel_x < width; kernel_x++) {
            widened[kernel_x * slots + slot] = load(source, count);
            source += channels;
        }
        slot = slot + 1 == slots ? 0 : slot + 1;
    }
}

/* `runs` runs of `run` quads, `between` quads apart. */
static inline void window_sums(const se_quad *x, const se_quad *w, int32_t runs, int32_t run, int32_t between,
                               int32_t *sums)
{
    for (; runs != 0; runs--) {
        SE_ROLLED
        for (int32_t left = run; left != 0; left--) {
            se_quad_multiply_add(*x++, *w++, sums);
        }
        x += between;
    }
}

/* the 3x3 window without dilation */
static inline void window_sums_3x3(const se_quad *x, const se_quad *w, int32_t *sums)
{
    SE_UNROLL
    for (int32_t i = 0; i < 9; i++) {
        se_quad_multiply_add(x[i], w[i], sums);
    }
}

/* `is_3x3` is a constant in each inlined copy. */
SE_ALWAYS_INLINE void output_row(const se_conv2d_params *p, const four_channels *constants, int32_t is_3x3,
                                 const se_quad *columns, const se_quad *weights, int8_t *output)
{
    const four_channels four = *constants; /* a copy: the outputs might alias the original */
    const se_output o = se_output_of(p->left_shift, p->output_zero_point, p->low, p->high);
    const int32_t runs = p->dilation_x == 1 ? 1 : p->kernel_width;
    const int32_t run = p->dilation_x == 1 ? p->kernel_width * p->kernel_height : p->kernel_height;
    const int32_t between = (p->dilation_x - 1) * p->kernel_height;
    const int32_t window_step = p->stride_x * p->kernel_height;
    const int32_t output_step = p->output_channels;
    for (int32_t outputs = p->output_width; outputs != 0; outputs--) {
        int32_t sums[4] = {four.bias[0], four.bias[1], four.bias[2], four.bias[3]};
        if (is_3x3) {
            window_sums_3x3(columns, weights, sums);
        } else {
            window_sums(columns, weights, runs, run, between, sums);
        }
        const uint32_t results = se_output_four(&o, sums, four.multipliers);
        if (four.count == 4) {
            se_lanes_store(output, results);
        } else {
            se_lanes_store_part(output, results, four.count);
        }
        columns += window_step;
        output += output_step;
    }
}

static SE_NOINLINE void output_row_3x3(const se_conv2d_params *p, const four_channels *four, const se_quad *columns,
                                       const se_quad *weights, int8_t *output)
{
    output_row(p, four, 1, columns, weights, output);
}

static SE_NOINLINE void output_row_any(const se_conv2d_params *p, const four_channels *four, const se_quad *columns,
                                       const se_quad *weights, int8_t *output)
{
    output_row(p, four, 0, columns, weights, output);
}

void se_depthwise_conv2d_s8(const se_conv2d_params *p, const int8_t *input, const int8_t *weights, const int32_t *bias,
                            const int32_t *multipliers, int8_t *output, void *scratch)
{
    const int32_t slots = p->kernel_height;
    const int32_t is_3x3 = p->kernel_height == 3 && p->kernel_width == 3 && p->dilation_x == 1;
    const int32_t keeps_rows = p->dilation_y == 1 && p->stride_y < slots;
    se_quad *const widened = scratch;
    se_quad *const columns = widened + p->kernel_width * slots;
    for (int32_t channel = 0; channel < p->input_channels; channel += 4) {
        const four_channels four = four_channels_of(p, channel, bias, multipliers);
        int8_t *row = output;
        int32_t first = 0;            /* slot of kernel row 0 */
        int32_t new_rows = slots;     /* rows, the last ones of the window, that come into view */
        for (int32_t output_y = 0; output_y < p->output_height; output_y++) {
            int32_t slot = first - new_rows < 0 ? first - new_rows + slots : first - new_rows;
            for (int32_t kernel_y = slots - new_rows; kernel_y < slots; kernel_y++) {
                const int32_t y = output_y * p->stride_y - p->pad_top + kernel_y * p->dilation_y;
                widen_row(p, input, &four, y, columns + slot);
                slot = slot + 1 == slots ? 0 : slot + 1;
            }
            widen_weights(p, weights, &four, first, widened);
            if (is_3x3) {
                output_row_3x3(p, &four, columns, widened, row + channel);
            } else {
                output_row_any(p, &four, columns, widened, row + channel);
            }
            row += p->output_width * p->output_channels;
            if (keeps_rows) {
                new_rows = p->stride_y;
                first = first + new_rows < slots ? first + new_rows : first + new_rows - slots;
            }
        }
    }
}
