/* Maximum and average over windows of (height, width, channels), several channels at a time.
 *
 * Every window holds at least one value: padding is less than the kernel on each side. */
#include "se_kernels.h"
#include "se_lanes.h"

/* the part of one window that lies inside the image */
typedef struct {
    const int8_t *corner;
    int32_t rows, columns;
    int32_t row_stride, channels; /* bytes to the next row and to the next column */
} window;

/* the positions first .. first + count - 1 of one axis */
typedef struct {
    int32_t first, count;
} span;

static inline span inside(int32_t start, int32_t kernel, int32_t size)
{
    const int32_t first = start > 0 ? start : 0;
    const int32_t end = start + kernel < size ? start + kernel : size;
    const span s = {first, end - first};
    return s;
}

static inline window window_at(const se_pool2d_params *p, const int8_t *input, span rows, int32_t x)
{
    const span columns = inside(x * p->stride_x - p->pad_left, p->kernel_width, p->input_width);
    const int32_t row_stride = p->input_width * p->channels;
    const window w = {input + rows.first * row_stride + columns.first * p->channels, rows.count, columns.count,
                      row_stride, p->channels};
    return w;
}

static inline span rows_at(const se_pool2d_params *p, int32_t y)
{
    return inside(y * p->stride_y - p->pad_top, p->kernel_height, p->input_height);
}

/* up to four channels */
static inline uint32_t load_some(const int8_t *source, int32_t count)
{
    return count < SE_LANES ? se_lanes_load_part(source, count) : se_lanes_load(source);
}

static inline void store_some(int8_t *destination, uint32_t word, int32_t count)
{
    if (count < SE_LANES)
        se_lanes_store_part(destination, word, count);
    else
        se_lanes_store(destination, word);
}

/* The last 1 to 3 channels: computed with those before them as a whole word, or alone where there are none. */
typedef struct {
    int32_t back, count;
} tail;

static inline tail tail_of(int32_t channels, int32_t left)
{
    const int32_t back = channels < SE_LANES ? 0 : SE_LANES - left;
    const tail t = {back, left + back};
    return t;
}

/* ---- maximum -------------------------------------------------------------------------------------------------------- */
#define LEAST 0x80808080u /* -128 in every lane */
#define WIDE_MAX 16

/* sixteen channels of rows * columns values, both at least 1 */
static SE_FORCE_INLINE void max_wide(const int8_t *corner, const window *w, int32_t rows, int32_t columns, int8_t *output)
{
    uint32_t m0 = se_lanes_load(corner), m1 = se_lanes_load(corner + 4);
    uint32_t m2 = se_lanes_load(corner + 8), m3 = se_lanes_load(corner + 12);
    for (int32_t y = 0; y < rows; y++, corner += w->row_stride) {
        const int32_t first = y == 0; /* the corner itself is there already */
        const int8_t *value = corner + first * w->channels;
        for (int32_t x = first; x < columns; x++, value += w->channels) {
            m0 = se_lanes_max(m0, se_lanes_load(value));
            m1 = se_lanes_max(m1, se_lanes_load(value + 4));
            m2 = se_lanes_max(m2, se_lanes_load(value + 8));
            m3 = se_lanes_max(m3, se_lanes_load(value + 12));
        }
    }
    se_lanes_store(output, m0);
    se_lanes_store(output + 4, m1);
    se_lanes_store(output + 8, m2);
    se_lanes_store(output + 12, m3);
}

/* up to four channels */
static SE_FORCE_INLINE void max_narrow(const int8_t *corner, const window *w, int32_t count, int8_t *output)
{
    uint32_t maxima = LEAST;
    for (int32_t y = 0; y < w->rows; y++, corner += w->row_stride) {
        const int8_t *value = corner;
        for (int32_t x = 0; x < w->columns; x++, value += w->channels)
            maxima = se_lanes_max(maxima, load_some(value, count));
    }
    store_some(output, maxima, count);
}

static SE_NOINLINE void max_window(const window *at, int8_t *output)
{
    const window w = *at;
    int32_t left = w.channels;
    const int8_t *corner = w.corner;
    if (w.rows == 2 && w.columns == 2) /* the usual window, unrolled */
        for (; left >= WIDE_MAX; left -= WIDE_MAX, corner += WIDE_MAX, output += WIDE_MAX)
            max_wide(corner, &w, 2, 2, output);
    for (; left >= WIDE_MAX; left -= WIDE_MAX, corner += WIDE_MAX, output += WIDE_MAX)
        max_wide(corner, &w, w.rows, w.columns, output);
    for (; left >= SE_LANES; left -= SE_LANES, corner += SE_LANES, output += SE_LANES)
        max_narrow(corner, &w, SE_LANES, output);
    if (left > 0) {
        const tail t = tail_of(w.channels, left);
        max_narrow(corner - t.back, &w, t.count, output - t.back);
    }
}

void se_max_pool2d_s8(const se_pool2d_params *p, const int8_t *input, int8_t *output)
{
    for (int32_t y = 0; y < p->output_height; y++) {
        const span rows = rows_at(p, y);
        for (int32_t x = 0; x < p->output_width; x++, output += p->channels) {
            const window w = window_at(p, input, rows, x);
            max_window(&w, output);
        }
    }
}

/* ---- average -------------------------------------------------------------------------------------------------------- */
#define WIDE_SUM 8

/* sums of four lanes; a run adds at most SUM_CAPACITY values to a lane */
typedef struct {
#if SE_DSP
    uint32_t even, odd; /* int16 halves: lanes 0 and 2, 1 and 3 */
#define SUM_CAPACITY 255
#else
    int32_t v0, v1, v2, v3;
#define SUM_CAPACITY INT32_MAX
#endif
} lane_sums;

static inline lane_sums add_lanes(lane_sums sums, uint32_t word)
{
#if SE_DSP
    sums.even = se_halves_add_even(sums.even, word);
    sums.odd = se_halves_add_odd(sums.odd, word);
#else
    sums.v0 += se_lane(word, 0);
    sums.v1 += se_lane(word, 1);
    sums.v2 += se_lane(word, 2);
    sums.v3 += se_lane(word, 3);
#endif
    return sums;
}

typedef struct {
    int32_t v0, v1, v2, v3;
} lane_totals;

static inline lane_totals add_sums(lane_totals t, lane_sums s)
{
#if SE_DSP
    const lane_totals result = {t.v0 + se_half_low(s.even), t.v1 + se_half_low(s.odd), t.v2 + se_half_high(s.even),
                                t.v3 + se_half_high(s.odd)};
#else
    const lane_totals result = {t.v0 + s.v0, t.v1 + s.v1, t.v2 + s.v2, t.v3 + s.v3};
#endif
    return result;
}

static inline uint32_t average(lane_totals t, se_lane_scale s)
{
    return se_lanes_saturate(se_lane_requantize(t.v0, s), se_lane_requantize(t.v1, s), se_lane_requantize(t.v2, s),
                             se_lane_requantize(t.v3, s));
}

/* eight channels of rows * columns values; offset is minus the zero point times their number */
static SE_FORCE_INLINE void average_wide(const int8_t *corner, const window *w, int32_t rows, int32_t columns, int32_t offset,
                                se_lane_scale scale, int8_t *output)
{
    const lane_sums none = {0};
    lane_totals total0 = {offset, offset, offset, offset};
    lane_totals total1 = total0;
    lane_sums sum0 = none, sum1 = none;
    int32_t room = SUM_CAPACITY;
    for (int32_t y = 0; y < rows; y++, corner += w->row_stride) {
        const int8_t *value = corner;
        for (int32_t x = 0; x < columns; x++, value += w->channels) {
            sum0 = add_lanes(sum0, se_lanes_load(value));
            sum1 = add_lanes(sum1, se_lanes_load(value + SE_LANES));
            if (--room == 0) {
                total0 = add_sums(total0, sum0);
                total1 = add_sums(total1, sum1);
                sum0 = sum1 = none;
                room = SUM_CAPACITY;
            }
        }
    }
    se_lanes_store(output, average(add_sums(total0, sum0), scale));
    se_lanes_store(output + SE_LANES, average(add_sums(total1, sum1), scale));
}

/* up to four channels */
static SE_FORCE_INLINE void average_narrow(const int8_t *corner, const window *w, int32_t count, int32_t offset,
                                  se_lane_scale scale, int8_t *output)
{
    const lane_sums none = {0};
    lane_totals total = {offset, offset, offset, offset};
    for (int32_t y = 0; y < w->rows; y++, corner += w->row_stride) {
        const int8_t *value = corner;
        for (int32_t x = 0; x < w->columns; x++, value += w->channels)
            total = add_sums(total, add_lanes(none, load_some(value, count)));
    }
    store_some(output, average(total, scale), count);
}

static SE_NOINLINE void average_window(const window *at, int32_t offset, const se_lane_scale *shared, int8_t *output)
{
    const window w = *at;
    const se_lane_scale scale = *shared;
    int32_t left = w.channels;
    const int8_t *corner = w.corner;
    if (w.rows == 2 && w.columns == 2) /* the usual window, unrolled */
        for (; left >= WIDE_SUM; left -= WIDE_SUM, corner += WIDE_SUM, output += WIDE_SUM)
            average_wide(corner, &w, 2, 2, offset, scale, output);
    for (; left >= WIDE_SUM; left -= WIDE_SUM, corner += WIDE_SUM, output += WIDE_SUM)
        average_wide(corner, &w, w.rows, w.columns, offset, scale, output);
    for (; left >= SE_LANES; left -= SE_LANES, corner += SE_LANES, output += SE_LANES)
        average_narrow(corner, &w, SE_LANES, offset, scale, output);
    if (left > 0) {
        const tail t = tail_of(w.channels, left);
        average_narrow(corner - t.back, &w, t.count, offset, scale, output - t.back);
    }
}

void se_avg_pool2d_s8(const se_pool2d_params *p, const int8_t *input, const int32_t *multipliers, int8_t *output)
{
    int8_t *pixel = output;
    for (int32_t y = 0; y < p->output_height; y++) {
        const span rows = rows_at(p, y);
        for (int32_t x = 0; x < p->output_width; x++, pixel += p->channels) {
            const window w = window_at(p, input, rows, x);
            const int32_t count = w.rows * w.columns;
            const se_lane_scale scale = {multipliers[p->per_count ? count - 1 : 0], p->left_shift,
                                         p->output_zero_point};
            average_window(&w, -count * p->input_zero_point, &scale, pixel);
        }
    }
    se_clamp_run(output, p->output_height * p->output_width * p->channels, p->low, p->high);
}
