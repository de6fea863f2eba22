#include "se_depthwise_row.h"

/* ---- layout --------------------------------------------------------------------------------------------------------- */
int32_t se_depthwise_blocks_in_row(const se_conv2d_params *p)
{
    int32_t blocks = 0;
    for (int32_t width = 0; width < p->kernel_width; width += SE_DEPTHWISE_BLOCK)
        blocks++;
    return blocks;
}

static int32_t blocks_in_filter(const se_conv2d_params *p)
{
    return p->kernel_height * se_depthwise_blocks_in_row(p);
}

/* elements of the padded input under a row of outputs */
static int32_t columns_of(const se_conv2d_params *p, int32_t outputs, int32_t kernel_width)
{
    return (outputs - 1) * p->stride_x + (kernel_width - 1) * p->dilation_x + 1;
}

/* An even number, for eight outputs or more; what lies beyond the last window meets zeros or outputs that are dropped. */
static int32_t row_elements(const se_conv2d_params *p)
{
    const int32_t outputs = p->output_width < SE_DEPTHWISE_OUTPUTS ? SE_DEPTHWISE_OUTPUTS : p->output_width;
    const int32_t columns = columns_of(p, outputs, se_depthwise_blocks_in_row(p) * SE_DEPTHWISE_BLOCK);
    return columns + (columns & 1);
}

int32_t se_depthwise_scratch_bytes(const se_conv2d_params *p)
{
    const int32_t blocks = blocks_in_filter(p);
    const int32_t elements = SE_DEPTHWISE_CHANNELS * 2 * p->kernel_height * row_elements(p);
    return (SE_DEPTHWISE_CHANNELS * (int32_t)sizeof(se_depthwise_block) + (int32_t)sizeof(int32_t)) * blocks +
           SE_DEPTHWISE_CHANNELS * (int32_t)sizeof(se_depthwise_filter) + elements * (int32_t)sizeof(int16_t);
}

/* an even number of elements, two at a time */
static void fill_elements(int16_t *elements, int32_t count, int32_t value)
{
    const uint32_t word = ((uint32_t)value & 0xffffu) * 0x00010001u;
    SE_NOT_UNROLLED
    for (int16_t *const end = elements + count; elements != end; elements += 2)
        __builtin_memcpy(elements, &word, sizeof word);
}

void se_depthwise_start(se_depthwise *d, const se_conv2d_params *p, const int8_t *input, int8_t *output, void *scratch)
{
    const int32_t blocks = blocks_in_filter(p);
    const int32_t columns = columns_of(p, p->output_width, p->kernel_width), image_end = p->pad_left + p->input_width;
    d->p = p;
    d->input = input;
    d->output = output;
    d->blocks = scratch;
    d->blocks_end = scratch;
    d->offsets = (int32_t *)(d->blocks + SE_DEPTHWISE_CHANNELS * blocks);
    d->filters = (se_depthwise_filter *)(d->offsets + blocks);
    d->rows = (int16_t *)(d->filters + SE_DEPTHWISE_CHANNELS);
    d->row_elements = row_elements(p);
    d->channel_elements = 2 * p->kernel_height * d->row_elements;
    d->image_end = image_end < columns ? image_end : columns;
    d->filter_count = 0;
    int32_t *offset = d->offsets;
    SE_NOT_UNROLLED
    for (int32_t row = 0; row < p->kernel_height; row++) {
        SE_NOT_UNROLLED
        for (int32_t x = 0; x < p->kernel_width; x += SE_DEPTHWISE_BLOCK)
            *offset++ = (row * d->row_elements + x * p->dilation_x) * (int32_t)sizeof(int16_t);
    }
    /* once: what lies beside the image stays */
    fill_elements(d->rows, SE_DEPTHWISE_CHANNELS * d->channel_elements, p->input_zero_point);
}

/* ---- widening ------------------------------------------------------------------------------------------------------- */
/* one element of each channel; `mirror` is the distance of a row's copy */
static inline void put_elements(const se_depthwise *d, const int8_t *source, int32_t count, int32_t mirror, int16_t *to)
{
    SE_NOT_UNROLLED
    for (; count != 0; count--) {
        to[0] = to[mirror] = *source++;
        to += d->channel_elements;
    }
}

#if SE_DSP

/* where the next two elements of four channels go, in a row and its copy, and the distances of the others' */
typedef struct {
    uint32_t *row, *copy;
    int32_t channel_bytes, three_channels_bytes;
} pair_places;

/* Two neighbours of each of four channels, as halves of a word: sixteen instructions. */
static SE_FORCE_INLINE void put_pair(pair_places *to, uint32_t left, uint32_t right)
{
    uint32_t even, odd, word;
    __asm__ volatile("sxtb16 %[even], %[left]\n\t"
            "sxtb16 %[odd], %[right]\n\t"
            "pkhbt %[word], %[even], %[odd], lsl #16\n\t"
            "pkhtb %[even], %[odd], %[even], asr #16\n\t"
            "sxtb16 %[left], %[left], ror #8\n\t"
            "str %[even], [%[row], %[pitch], lsl #1]\n\t"
            "sxtb16 %[right], %[right], ror #8\n\t"
            "str %[even], [%[copy], %[pitch], lsl #1]\n\t"
            "pkhbt %[odd], %[left], %[right], lsl #16\n\t"
            "pkhtb %[right], %[right], %[left], asr #16\n\t"
            "str %[odd], [%[row], %[pitch]]\n\t"
            "str %[right], [%[row], %[pitch3]]\n\t"
            "str %[word], [%[row]], #4\n\t"
            "str %[odd], [%[copy], %[pitch]]\n\t"
            "str %[right], [%[copy], %[pitch3]]\n\t"
            "str %[word], [%[copy]], #4"
            : [row] "+&r"(to->row), [copy] "+&r"(to->copy), [left] "+&r"(left), [right] "+&r"(right),
              [even] "=&r"(even), [odd] "=&r"(odd), [word] "=&r"(word)
            : [pitch] "r"(to->channel_bytes), [pitch3] "r"(to->three_channels_bytes)
            : "memory");
}

/* Elements x .. end - 1 of a row, which are the image's, of four channels; what completes a pair lies beside it. */
static void put_row(const se_depthwise *d, const int8_t *source, int32_t x, int32_t end, int32_t mirror, int16_t *row)
{
    const int32_t channels = d->p->input_channels;
    const int32_t channel_bytes = 2 * d->channel_elements;
    const uint32_t beside = se_lanes_splat(d->p->input_zero_point);
    uint32_t *const first = (uint32_t *)(void *)(row + (x & ~1));
    pair_places to = {first, first + (mirror >> 1), channel_bytes, 3 * channel_bytes};
    if ((x & 1) != 0) {
        put_pair(&to, beside, se_lanes_load(source));
        source += channels;
        x++;
    }
    SE_NOT_UNROLLED
    for (int32_t pairs = (end - x) >> 1; pairs != 0; pairs--) {
        const uint32_t left = se_lanes_load(source), right = se_lanes_load(source + channels);
        source += 2 * channels;
        put_pair(&to, left, right);
    }
    if (((end - x) & 1) != 0)
        put_pair(&to, se_lanes_load(source), beside);
}

#endif

/* Widens row y of the padded input for `count` channels; `row` points at its place in the ring. */
static SE_NOINLINE void widen_row(const se_depthwise *d, int32_t channel, int32_t count, int32_t y, int16_t *row)
{
    const se_conv2d_params *const p = d->p;
    const int32_t mirror = p->kernel_height * d->row_elements;
    if (y < 0 || y >= p->input_height) {
        for (; count != 0; count--) {
            fill_elements(row, d->row_elements, p->input_zero_point);
            fill_elements(row + mirror, d->row_elements, p->input_zero_point);
            row += d->channel_elements;
        }
        return;
    }
    const int32_t channels = p->input_channels;
    const int8_t *source = d->input + y * p->input_width * channels + channel;
#if SE_DSP
    if (count == SE_DEPTHWISE_CHANNELS) {
        if (p->pad_left < d->image_end)
            put_row(d, source, p->pad_left, d->image_end, mirror, row);
        return;
    }
#endif
    for (int32_t x = p->pad_left; x < d->image_end; x++) {
        put_elements(d, source, count, mirror, row + x);
        source += channels;
    }
}

/* ---- rows of outputs ------------------------------------------------------------------------------------------------ */
static inline int32_t weight_of(const se_depthwise_block *block, int32_t i)
{
#if SE_DSP
    return i == 0 ? se_half_low(block->first) : i == 1 ? se_half_low(block->second) : se_half_high(block->second);
#else
    return block->weights[i];
#endif
}

#define PIXELS 4

/* The sums of `pixels` outputs side by side. Inlined for PIXELS and for 1, for dilation 1 and any. */
static SE_FORCE_INLINE void sum_blocks(const se_depthwise_block *block, const se_depthwise_block *end, int32_t bias,
                                       int32_t pixels, int32_t stride, int32_t dilation, const int16_t *window,
                                       int32_t *sums)
{
    int32_t s0 = bias, s1 = s0, s2 = s0, s3 = s0;
    SE_NOT_UNROLLED
    for (; block != end; block++) {
        const int16_t *x = (const int16_t *)((const char *)window + block->offset);
        const int32_t w0 = weight_of(block, 0), w1 = weight_of(block, 1), w2 = weight_of(block, 2);
        s0 += x[0] * w0 + x[dilation] * w1 + x[2 * dilation] * w2;
        if (pixels == PIXELS) {
            x += stride;
            s1 += x[0] * w0 + x[dilation] * w1 + x[2 * dilation] * w2;
            x += stride;
            s2 += x[0] * w0 + x[dilation] * w1 + x[2 * dilation] * w2;
            x += stride;
            s3 += x[0] * w0 + x[dilation] * w1 + x[2 * dilation] * w2;
        }
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

static SE_FORCE_INLINE void filter_row(const se_conv2d_params *p, const se_depthwise_block *blocks,
                                       const se_depthwise_block *end, const se_depthwise_filter *f,
                                       int32_t dilation, const int16_t *window, int8_t *output)
{
    const se_lane_scale scale = {f->multiplier, p->left_shift, p->output_zero_point};
    const int32_t step = p->output_channels;
    int32_t sums[PIXELS];
    int32_t left = p->output_width;
    SE_NOT_UNROLLED
    for (; left >= PIXELS; left -= PIXELS) {
        sum_blocks(blocks, end, f->bias, PIXELS, p->stride_x, dilation, window, sums);
        SE_NOT_UNROLLED
        for (int32_t i = 0; i < PIXELS; i++) {
            *output = (int8_t)se_saturate_int8(se_lane_requantize(sums[i], scale));
            output += step;
        }
        window += PIXELS * p->stride_x;
    }
    SE_NOT_UNROLLED
    for (; left != 0; left--) {
        sum_blocks(blocks, end, f->bias, 1, p->stride_x, dilation, window, sums);
        *output = (int8_t)se_saturate_int8(se_lane_requantize(sums[0], scale));
        output += step;
        window += p->stride_x;
    }
}

/* every filter's row of outputs, from the window of the first of them */
static SE_NOINLINE void output_row_any(const se_depthwise *d, const int16_t *window, int8_t *output)
{
    const se_conv2d_params *const p = d->p;
    const se_depthwise_block *blocks = d->blocks;
    for (int32_t i = 0; i < d->filter_count; i++) {
        const se_depthwise_filter *const f = &d->filters[i];
        const int16_t *const rows = window + (f->rows_offset >> 1);
        int8_t *const to = output + f->output_offset;
        const se_depthwise_block *const end = (const se_depthwise_block *)((const char *)blocks + f->blocks_bytes);
#if !SE_DSP
        if (p->dilation_x == 1)
            filter_row(p, blocks, end, f, 1, rows, to);
        else
#endif
            filter_row(p, blocks, end, f, p->dilation_x, rows, to);
        blocks = end;
    }
}

#if SE_DSP

/* the last row of eight outputs of which there are only `width` */
static SE_NOINLINE void put_narrow_row(const se_depthwise *d, se_depthwise_row *row,
                                       void (*row_of_eights)(const se_depthwise_row *))
{
    int8_t eights[SE_DEPTHWISE_OUTPUTS * SE_DEPTHWISE_CHANNELS];
    int8_t *const output = row->output;
    row->output = eights;
    row->output_step = SE_DEPTHWISE_CHANNELS;
    row_of_eights(row);
    row->output_step = d->p->output_channels;
    for (int32_t i = 0; i < d->filter_count; i++) {
        const int8_t *from = eights + d->filters[i].output_offset;
        int8_t *to = output + d->filters[i].output_offset;
        SE_NOT_UNROLLED
        for (int32_t left = d->p->output_width; left != 0; left--) {
            *to = *from;
            to += d->p->output_channels;
            from += SE_DEPTHWISE_CHANNELS;
        }
    }
}

typedef struct {
    void (*of_eights)(const se_depthwise_row *); /* NULL: another stride, dilation or shift */
    int32_t whole, last; /* outputs in whole eights; the first of the last eight, or of all where there are fewer */
    se_depthwise_row row;
} row_plan;

static row_plan row_plan_of(const se_depthwise *d)
{
    const se_conv2d_params *const p = d->p;
    const int32_t width = p->output_width, whole = width & ~(SE_DEPTHWISE_OUTPUTS - 1);
    row_plan plan = {NULL, whole, whole == 0 ? 0 : width - SE_DEPTHWISE_OUTPUTS,
                     {d->blocks, d->filters, d->filters + d->filter_count, NULL, NULL, p->output_channels, 0,
                      p->output_zero_point}};
    if (p->stride_x <= 2 && p->dilation_x == 1 && p->left_shift == 0)
        plan.of_eights = p->stride_x == 1 ? se_depthwise_row_of_eights : se_depthwise_row_of_eights_stride2;
    return plan;
}

/* `rows_left` of outputs, this one included */
static inline void output_row(const se_depthwise *d, row_plan *plan, const int16_t *window, int8_t *output,
                              int32_t rows_left)
{
    const se_conv2d_params *const p = d->p;
    if (plan->of_eights == NULL) {
        output_row_any(d, window, output);
        return;
    }
    plan->row.rows = window;
    plan->row.output = output;
    if (plan->whole != 0) {
        plan->row.groups_bytes = 2 * p->stride_x * plan->whole;
        plan->of_eights(&plan->row);
    }
    if (plan->whole == p->output_width)
        return;
    /* eight that end with the row: some of them again */
    plan->row.rows += plan->last * p->stride_x;
    plan->row.output += plan->last * p->output_channels;
    plan->row.groups_bytes = 2 * p->stride_x * SE_DEPTHWISE_OUTPUTS;
    /* What is beyond a narrow row is overwritten by the rows that follow, as far as there are such, unless it is input. */
    if (rows_left * p->output_width < SE_DEPTHWISE_OUTPUTS || (plan->whole == 0 && d->input == d->output))
        put_narrow_row(d, &plan->row, plan->of_eights);
    else
        plan->of_eights(&plan->row);
}

#else

typedef struct {
    int32_t nothing;
} row_plan;

static row_plan row_plan_of(const se_depthwise *d)
{
    const row_plan plan = {0};
    (void)d;
    return plan;
}

static inline void output_row(const se_depthwise *d, row_plan *plan, const int16_t *window, int8_t *output,
                              int32_t rows_left)
{
    (void)plan;
    (void)rows_left;
    output_row_any(d, window, output);
}

#endif

/* ---- channels ------------------------------------------------------------------------------------------------------- */
/* a channel without weights has the same output everywhere */
static SE_NOINLINE void put_constant(const se_depthwise *d, int32_t channel, int32_t bias, int32_t multiplier)
{
    const se_conv2d_params *const p = d->p;
    const se_lane_scale scale = {multiplier, p->left_shift, p->output_zero_point};
    const int8_t value = (int8_t)se_saturate_int8(se_lane_requantize(bias, scale));
    const int32_t step = p->output_channels;
    int8_t *output = d->output + channel;
    const int32_t outputs = p->output_height * p->output_width;
    SE_NOT_UNROLLED
    for (int32_t fours = outputs >> 2; fours != 0; fours--) {
        output[0] = value;
        output[step] = value;
        output[2 * step] = value;
        output[3 * step] = value;
        output += 4 * step;
    }
    SE_NOT_UNROLLED
    for (int32_t left = outputs & 3; left != 0; left--) {
        *output = value;
        output += step;
    }
}

void se_depthwise_add(se_depthwise *d, int32_t channel, const se_depthwise_block *end, int32_t bias,
                      int32_t multiplier)
{
    const int32_t within = channel & (SE_DEPTHWISE_CHANNELS - 1);
    const int32_t blocks_bytes = (int32_t)((const char *)end - (const char *)d->blocks_end);
    d->blocks_end = end;
    if (blocks_bytes == 0) {
        put_constant(d, channel, bias, multiplier);
        return;
    }
    const se_depthwise_filter filter = {blocks_bytes, within * d->channel_elements * (int32_t)sizeof(int16_t), within,
                                        bias, multiplier};
    d->filters[d->filter_count++] = filter;
}

void se_depthwise_finish(se_depthwise *d, int32_t first, int32_t count)
{
    const se_conv2d_params *const p = d->p;
    const int32_t slots = p->kernel_height;
    const int32_t keeps_rows = p->dilation_y == 1 && p->stride_y < slots;
    const int32_t output_row_bytes = p->output_width * p->output_channels;
    row_plan plan = row_plan_of(d);
    int8_t *output = d->output + first;
    int32_t top = 0;                  /* slot of kernel row 0 */
    int32_t kernel_y = 0;             /* of the first row that comes into view */
    int32_t window_y = -p->pad_top;
    d->blocks_end = d->blocks;
    if (d->filter_count == 0)
        return;
    for (int32_t left = p->output_height; left != 0; left--) {
        for (; kernel_y < slots; kernel_y++) {
            const int32_t slot = top + kernel_y < slots ? top + kernel_y : top + kernel_y - slots;
            widen_row(d, first, count, window_y + kernel_y * p->dilation_y, d->rows + slot * d->row_elements);
        }
        output_row(d, &plan, d->rows + top * d->row_elements, output, left);
        output += output_row_bytes;
        window_y += p->stride_y;
        kernel_y = 0;
        if (keeps_rows) {
            kernel_y = slots - p->stride_y;
            top = top + p->stride_y < slots ? top + p->stride_y : top + p->stride_y - slots;
        }
    }
    d->filter_count = 0;
}
