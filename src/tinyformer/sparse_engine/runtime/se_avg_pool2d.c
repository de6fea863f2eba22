#include "se_pool2d.h"

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
static SE_FORCE_INLINE void average_wide(const int8_t *corner, const se_window *w, int32_t rows, int32_t columns, int32_t offset,
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
static SE_FORCE_INLINE void average_narrow(const int8_t *corner, const se_window *w, int32_t count, int32_t offset,
                                  se_lane_scale scale, int8_t *output)
{
    const lane_sums none = {0};
    lane_totals total = {offset, offset, offset, offset};
    for (int32_t y = 0; y < w->rows; y++, corner += w->row_stride) {
        const int8_t *value = corner;
        for (int32_t x = 0; x < w->columns; x++, value += w->channels)
            total = add_sums(total, add_lanes(none, se_load_some(value, count)));
    }
    se_store_some(output, average(total, scale), count);
}

static SE_NOINLINE void average_window(const se_window *at, int32_t offset, const se_lane_scale *shared, int8_t *output)
{
    const se_window w = *at;
    const se_lane_scale scale = *shared;
    int32_t left = w.channels;
    const int8_t *corner = w.corner;
#if !SE_DSP
    if (w.rows == 2 && w.columns == 2) /* the usual window, unrolled */
        for (; left >= WIDE_SUM; left -= WIDE_SUM, corner += WIDE_SUM, output += WIDE_SUM)
            average_wide(corner, &w, 2, 2, offset, scale, output);
#endif
    for (; left >= WIDE_SUM; left -= WIDE_SUM, corner += WIDE_SUM, output += WIDE_SUM)
        average_wide(corner, &w, w.rows, w.columns, offset, scale, output);
    for (; left >= SE_LANES; left -= SE_LANES, corner += SE_LANES, output += SE_LANES)
        average_narrow(corner, &w, SE_LANES, offset, scale, output);
    if (left > 0) {
        const se_tail t = se_tail_of(w.channels, left);
        average_narrow(corner - t.back, &w, t.count, offset, scale, output - t.back);
    }
}

#if SE_DSP

/* What whole windows share, and where a pass over some of their channels stands. */
typedef struct {
    const int8_t *upper, *lower; /* rows of a window */
    int8_t *output;
    int32_t right;      /* bytes to a window's second column */
    uint32_t start;     /* minus the zero point of four values, in both halves */
    int32_t multiplier; /* there is no left shift */
    int32_t rounding;   /* 2^15 + (zero_point + 128) * 2^16 */
    int32_t step, output_step; /* from behind the channels of a window to the next window */
    int32_t columns, rows;     /* of windows */
    int32_t row_step, output_row_step;
} averages;

/* Four channels of a window: sums as int16, each times the multiplier to a result in the upper half of a word, which
 * holds the output plus 128: floor((floor(sum * multiplier / 2^16) + 2^15) / 2^16) is se_requantize's one rounding.
 *
 *     r1, r2, r3  the window's rows and the output, behind the channels in work
 *     r4          bytes to the second column
 *     r5, r6, r7  start, multiplier, rounding
 *     r8, r9, r10 the steps, windows left in the row
 *     r0, r11     sums of lanes 0 and 2, of 1 and 3
 *     r12, lr     values, results */
#define DO(line) line "\n\t"
#define LABEL(name) name ":\n\t"
#define WORD                                                                                                           \
    DO("ldr r12, [r1, r4]")                                                                                            \
    DO("ldr lr, [r1], #4")                                                                                             \
    DO("sxtab16 r0, r5, r12")                                                                                          \
    DO("sxtab16 r11, r5, r12, ror #8")                                                                                 \
    DO("ldr r12, [r2, r4]")                                                                                            \
    DO("sxtab16 r0, r0, lr")                                                                                           \
    DO("sxtab16 r11, r11, lr, ror #8")                                                                                 \
    DO("ldr lr, [r2], #4")                                                                                             \
    DO("sxtab16 r0, r0, r12")                                                                                          \
    DO("sxtab16 r11, r11, r12, ror #8")                                                                                \
    DO("sxtab16 r0, r0, lr")                                                                                           \
    DO("sxtab16 r11, r11, lr, ror #8")                                                                                 \
    DO("smlawb r12, r6, r0, r7")                                                                                       \
    DO("smlawt lr, r6, r0, r7")                                                                                        \
    DO("pkhtb r0, lr, r12, asr #16")                                                                                   \
    DO("smlawb r12, r6, r11, r7")                                                                                      \
    DO("smlawt lr, r6, r11, r7")                                                                                       \
    DO("usat16 r0, #8, r0")                                                                                            \
    DO("pkhtb r11, lr, r12, asr #16")                                                                                  \
    DO("usat16 r11, #8, r11")                                                                                          \
    DO("orr r0, r0, r11, lsl #8")                                                                                      \
    DO("eor r0, r0, #0x80808080")                                                                                      \
    DO("str r0, [r3], #4")

/* all windows, `WORDS` of each */
#define PASS(WORDS)                                                                                                    \
    DO("push {r0, r4-r11, lr}")                                                                                        \
    DO("ldmia r0, {r1-r10}")                                                                                           \
    LABEL("1")                                                                                                         \
    WORDS                                                                                                              \
    DO("add r1, r1, r8")                                                                                               \
    DO("add r2, r2, r8")                                                                                               \
    DO("subs r10, r10, #1")                                                                                            \
    DO("add r3, r3, r9")                                                                                               \
    DO("bne 1b")                                                                                                       \
    DO("ldr r0, [sp]")                                                                                                 \
    DO("ldr r12, [r0, #44]") /* row_step */                                                                            \
    DO("ldr lr, [r0, #48]")  /* output_row_step */                                                                     \
    DO("add r1, r1, r12")                                                                                              \
    DO("add r2, r2, r12")                                                                                              \
    DO("add r3, r3, lr")                                                                                               \
    DO("ldr r12, [r0, #40]") /* rows */                                                                                \
    DO("ldr r10, [r0, #36]") /* columns */                                                                             \
    DO("subs r12, r12, #1")                                                                                            \
    DO("str r12, [r0, #40]")                                                                                           \
    DO("bne 1b")                                                                                                       \
    DO("pop {r0, r4-r11, pc}")

#define LIES_AT(field, bytes) (offsetof(averages, field) == (bytes))
typedef char averages_lie_as_above[LIES_AT(upper, 0) && LIES_AT(lower, 4) && LIES_AT(output, 8) && LIES_AT(right, 12) &&
                                           LIES_AT(start, 16) && LIES_AT(multiplier, 20) && LIES_AT(rounding, 24) &&
                                           LIES_AT(step, 28) && LIES_AT(output_step, 32) && LIES_AT(columns, 36) &&
                                           LIES_AT(rows, 40) && LIES_AT(row_step, 44) && LIES_AT(output_row_step, 48)
                                       ? 1
                                       : -1];

#define NAKED __attribute__((naked, noinline))
#define AVERAGE_WORDS 8

static NAKED void average_eight_words(averages *a __attribute__((unused)))
{
    __asm__(PASS(WORD WORD WORD WORD WORD WORD WORD WORD));
}

static NAKED void average_one_word(averages *a __attribute__((unused)))
{
    __asm__(PASS(WORD));
}

/* `words` times four channels of all whole windows, from `channel` on */
static void average_channels(const se_whole_windows *w, const averages *shared, int32_t channel, int32_t words)
{
    averages a = *shared;
    a.upper = w->corner + channel;
    a.lower = a.upper + w->below;
    a.output = w->output + channel;
    a.step = w->step - words * SE_LANES;
    a.output_step = w->channels - words * SE_LANES;
    if (words == AVERAGE_WORDS)
        average_eight_words(&a);
    else
        average_one_word(&a);
}

static SE_NOINLINE void average_whole(const se_pool2d_params *p, const se_whole_windows *w, int32_t multiplier)
{
    const averages shared = {
        .right = w->right,
        .start = se_halves_splat(-4 * p->input_zero_point),
        .multiplier = multiplier,
        .rounding = (1 << 15) + (p->output_zero_point + 128) * (1 << 16),
        .columns = w->columns.count,
        .rows = w->rows.count,
        .row_step = w->row_step,
        .output_row_step = w->output_row_step,
    };
    int32_t channel = 0;
    for (; channel + AVERAGE_WORDS * SE_LANES <= w->channels; channel += AVERAGE_WORDS * SE_LANES)
        average_channels(w, &shared, channel, AVERAGE_WORDS);
    for (; channel < w->channels; channel += SE_LANES) { /* the last word may hold some channels again */
        const int32_t last = w->channels - SE_LANES;
        average_channels(w, &shared, channel < last ? channel : last, 1);
    }
}

#endif

void se_avg_pool2d_s8(const se_pool2d_params *p, const int8_t *input, const int32_t *multipliers, int8_t *output)
{
    se_whole_windows whole = se_whole_windows_of(p, input, output);
#if SE_DSP
    if (p->left_shift != 0)
        whole.rows.count = 0;
    if (se_has_whole_windows(&whole))
        average_whole(p, &whole, multipliers[p->per_count ? 3 : 0]);
#else
    whole.rows.count = 0; /* one by one, as the others */
#endif
    for (int32_t y = 0; y < p->output_height; y++) {
        const int32_t first_whole = se_first_whole_column(&whole, y);
        if (first_whole == 0 && whole.columns.count == p->output_width)
            continue;
        const se_span rows = se_rows_at(p, y);
        for (int32_t x = 0; x < p->output_width; x++) {
            if (x == first_whole) {
                x += whole.columns.count - 1;
                continue;
            }
            const se_window w = se_window_at(p, input, rows, x);
            const int32_t count = w.rows * w.columns;
            const se_lane_scale scale = {multipliers[p->per_count ? count - 1 : 0], p->left_shift,
                                         p->output_zero_point};
            average_window(&w, -count * p->input_zero_point, &scale,
                           output + (y * p->output_width + x) * p->channels);
        }
    }
    se_clamp_run(output, p->output_height * p->output_width * p->channels, p->low, p->high);
}
