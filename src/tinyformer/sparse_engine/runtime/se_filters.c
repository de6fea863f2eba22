#include "se_filters_wide.h"
#include "se_output.h"

/* The functions below are inlined twice, for SE_PIXELS pixels and for one: `pixels` is a constant in each copy. */

SE_ALWAYS_INLINE void start(int32_t pixels, int32_t bias, int32_t *accumulators)
{
    SE_UNROLL
    for (int32_t pixel = 0; pixel < pixels; pixel++) {
        accumulators[pixel] = bias;
    }
}

SE_ALWAYS_INLINE void finish(const se_output *o, int32_t output_stride, int32_t pixels, const int32_t *accumulators,
                             int32_t multiplier, int8_t *output)
{
    if (pixels == 1) {
        *output = se_output_one(o, accumulators[0], multiplier);
        return;
    }
    const uint32_t results = se_output_four_alike(o, accumulators, multiplier);
    SE_UNROLL
    for (int32_t pixel = 0; pixel < SE_PIXELS; pixel++) {
        *output = (int8_t)se_lane(results, pixel);
        output += output_stride;
    }
}

SE_ALWAYS_INLINE void dense(const se_filters *f, const se_quad *strip, int32_t pixels, const int8_t *weights,
                            const int32_t *bias, const int32_t *multipliers, int8_t *output)
{
    const int32_t filter_quads = (f->depth + 3) >> 2;
    const int32_t filters = f->filters, output_stride = f->output_stride;
    const se_output o = se_output_of(f->left_shift, f->output_zero_point, f->low, f->high);
    for (int32_t filter = 0; filter < filters; filter++) {
        const se_quad *x = strip;
        int32_t accumulators[SE_PIXELS];
        start(pixels, bias[filter], accumulators);
        for (int32_t quads = filter_quads; quads != 0; quads--) {
            const se_quad w = se_quad_load(weights);
            weights += 4;
            x = se_quad_step(x, pixels, w, accumulators);
        }
        finish(&o, output_stride, pixels, accumulators, multipliers[filter], output + filter);
    }
}

SE_ALWAYS_INLINE void block2(const se_filters *f, const se_pair *strip, int32_t pixels, const se_block_weights *weights,
                             const int32_t *bias, const int32_t *multipliers, int8_t *output)
{
    const uint8_t *distances = weights->distances;
    const int8_t *values = weights->values;
    const uint16_t *counts = weights->counts;
    const int32_t filters = f->filters, output_stride = f->output_stride;
    const se_output o = se_output_of(f->left_shift, f->output_zero_point, f->low, f->high);
    for (int32_t filter = 0; filter < filters; filter++) {
        const se_pair *x = strip;
        int32_t accumulators[SE_PIXELS];
        start(pixels, bias[filter], accumulators);
        for (int32_t blocks = counts[filter]; blocks != 0; blocks--) {
            const se_pair w = se_pair_load(values);
            values += 2;
            x = se_pair_step(x + *distances++ * pixels, pixels, w, accumulators);
        }
        finish(&o, output_stride, pixels, accumulators, multipliers[filter], output + filter);
    }
}

SE_ALWAYS_INLINE void block4(const se_filters *f, const se_quad *strip, int32_t pixels, const se_block_weights *weights,
                             const int32_t *bias, const int32_t *multipliers, int8_t *output)
{
    const uint8_t *distances = weights->distances;
    const int8_t *values = weights->values;
    const uint16_t *counts = weights->counts;
    const int32_t filters = f->filters, output_stride = f->output_stride;
    const se_output o = se_output_of(f->left_shift, f->output_zero_point, f->low, f->high);
    for (int32_t filter = 0; filter < filters; filter++) {
        const se_quad *x = strip;
        int32_t accumulators[SE_PIXELS];
        start(pixels, bias[filter], accumulators);
        for (int32_t blocks = counts[filter]; blocks != 0; blocks--) {
            const se_quad w = se_quad_load(values);
            values += 4;
            x = se_quad_step(x + *distances++ * pixels, pixels, w, accumulators);
        }
        finish(&o, output_stride, pixels, accumulators, multipliers[filter], output + filter);
    }
}

/* Not inlined: a wide strip needs none of the registers and stack that these save. */

static SE_NOINLINE void dense_narrow(const se_filters *f, const se_quad *strip, int32_t pixels,
                                 const int8_t *weights, const int32_t *bias, const int32_t *multipliers,
                                 int8_t *output)
{
    if (pixels == SE_PIXELS) {
        dense(f, strip, SE_PIXELS, weights, bias, multipliers, output);
    } else {
        dense(f, strip, 1, weights, bias, multipliers, output);
    }
}

static SE_NOINLINE void block2_narrow(const se_filters *f, const se_pair *strip, int32_t pixels,
                                 const se_block_weights *weights, const int32_t *bias, const int32_t *multipliers,
                                 int8_t *output)
{
    if (pixels == SE_PIXELS) {
        block2(f, strip, SE_PIXELS, weights, bias, multipliers, output);
    } else {
        block2(f, strip, 1, weights, bias, multipliers, output);
    }
}

static SE_NOINLINE void block4_narrow(const se_filters *f, const se_quad *strip, int32_t pixels,
                                 const se_block_weights *weights, const int32_t *bias, const int32_t *multipliers,
                                 int8_t *output)
{
    if (pixels == SE_PIXELS) {
        block4(f, strip, SE_PIXELS, weights, bias, multipliers, output);
    } else {
        block4(f, strip, 1, weights, bias, multipliers, output);
    }
}

#if SE_WIDE
/* all but the weights; field by field, because compilers build an initialised struct twice */
SE_ALWAYS_INLINE void set_wide(se_wide_filters *wide, const se_filters *f, const void *strip, const int32_t *bias,
                               const int32_t *multipliers, int8_t *output)
{
    const int32_t headroom = UINT8_MAX - (f->high - f->low);
    wide->strip = strip;
    wide->bias_end = bias + f->filters;
    wide->index = -f->filters;
    wide->multipliers_end = multipliers + f->filters;
    wide->zero_point = f->output_zero_point;
    wide->unusual = f->left_shift | headroom;
    wide->output_end = output + f->filters;
    wide->left_shift = f->left_shift;
    wide->output_stride = f->output_stride;
    wide->lifted_zero_point = f->output_zero_point - f->low;
    wide->headroom = headroom;
    wide->lowering = f->low - headroom;
}
#endif

void se_filters_dense(const se_filters *f, const se_quad *strip, int32_t pixels, const int8_t *weights,
                       const int32_t *bias, const int32_t *multipliers, int8_t *output)
{
#if SE_WIDE
    if (pixels == SE_WIDE_PIXELS) {
        se_wide_filters wide;
        set_wide(&wide, f, strip, bias, multipliers, output);
        wide.stream = weights;
        wide.work = (uintptr_t)se_filters_row_bytes(f->depth);
        se_filters_wide_dense(&wide);
        return;
    }
#endif
    dense_narrow(f, strip, pixels, weights, bias, multipliers, output);
}

void se_filters_block2(const se_filters *f, const se_pair *strip, int32_t pixels, const se_block_weights *weights,
                       const int32_t *bias, const int32_t *multipliers, int8_t *output)
{
#if SE_WIDE
    if (pixels == SE_WIDE_PIXELS) {
        se_wide_filters wide;
        set_wide(&wide, f, strip, bias, multipliers, output);
        wide.stream = weights->distances;
        wide.values = (uintptr_t)weights->values;
        wide.work = (uintptr_t)(weights->counts + f->filters);
        se_filters_wide_block2(&wide);
        return;
    }
#endif
    block2_narrow(f, strip, pixels, weights, bias, multipliers, output);
}

void se_filters_block4(const se_filters *f, const se_quad *strip, int32_t pixels, const se_block_weights *weights,
                       const int32_t *bias, const int32_t *multipliers, int8_t *output)
{
#if SE_WIDE
    if (pixels == SE_WIDE_PIXELS) {
        se_wide_filters wide;
        set_wide(&wide, f, strip, bias, multipliers, output);
        wide.stream = weights->distances;
        wide.values = (uintptr_t)weights->values - 4u * ((uintptr_t)weights->distances + 1u);
        wide.work = (uintptr_t)(weights->counts + f->filters);
        se_filters_wide_block4(&wide);
        return;
    }
#endif
    block4_narrow(f, strip, pixels, weights, bias, multipliers, output);
}
