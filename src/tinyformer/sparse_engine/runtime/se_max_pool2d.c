#include "se_pool2d.h"

#define LEAST 0x80808080u /* -128 in every lane */
#define WIDE_MAX 16
#define MAX_WORDS 4 /* of four channels */

/* sixteen channels of rows * columns values, both at least 1 */
static SE_FORCE_INLINE void max_wide(const int8_t *corner, const se_window *w, int32_t rows, int32_t columns, int8_t *output)
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
static SE_FORCE_INLINE void max_narrow(const int8_t *corner, const se_window *w, int32_t count, int8_t *output)
{
    uint32_t maxima = LEAST;
    for (int32_t y = 0; y < w->rows; y++, corner += w->row_stride) {
        const int8_t *value = corner;
        for (int32_t x = 0; x < w->columns; x++, value += w->channels)
            maxima = se_lanes_max(maxima, se_load_some(value, count));
    }
    se_store_some(output, maxima, count);
}

static SE_NOINLINE void max_window(const se_window *at, int8_t *output)
{
    const se_window w = *at;
    int32_t left = w.channels;
    const int8_t *corner = w.corner;
    for (; left >= WIDE_MAX; left -= WIDE_MAX, corner += WIDE_MAX, output += WIDE_MAX)
        max_wide(corner, &w, w.rows, w.columns, output);
    for (; left >= SE_LANES; left -= SE_LANES, corner += SE_LANES, output += SE_LANES)
        max_narrow(corner, &w, SE_LANES, output);
    if (left > 0) {
        const se_tail t = se_tail_of(w.channels, left);
        max_narrow(corner - t.back, &w, t.count, output - t.back);
    }
}

/* four channels of a whole window; goes on to the next four */
static SE_FORCE_INLINE void max_word(const int8_t **corner, int8_t **output, int32_t right, int32_t below,
                                     int32_t below_right)
{
#if SE_DSP
    uint32_t first, second, flags;
    __asm__ volatile("ldr %[first], [%[corner], %[right]]\n\t"
                     "ldr %[second], [%[corner], %[below]]\n\t"
                     "ssub8 %[flags], %[first], %[second]\n\t"
                     "sel %[first], %[first], %[second]\n\t"
                     "ldr %[second], [%[corner], %[below_right]]\n\t"
                     "ssub8 %[flags], %[first], %[second]\n\t"
                     "sel %[first], %[first], %[second]\n\t"
                     "ldr %[second], [%[corner]], #4\n\t"
                     "ssub8 %[flags], %[first], %[second]\n\t"
                     "sel %[first], %[first], %[second]\n\t"
                     "str %[first], [%[output]], #4"
                     : [corner] "+&r"(*corner), [output] "+&r"(*output), [first] "=&r"(first), [second] "=&r"(second),
                       [flags] "=&r"(flags)
                     : [right] "r"(right), [below] "r"(below), [below_right] "r"(below_right)
                     : "cc", "memory");
#else
    const uint32_t upper = se_lanes_max(se_lanes_load(*corner), se_lanes_load(*corner + right));
    const uint32_t lower = se_lanes_max(se_lanes_load(*corner + below), se_lanes_load(*corner + below_right));
    se_lanes_store(*output, se_lanes_max(upper, lower));
    *corner += SE_LANES;
    *output += SE_LANES;
#endif
}

/* `words` times four channels of all whole windows, from `channel` on. Inlined for MAX_WORDS and for 1. */
static SE_FORCE_INLINE void max_channels(const se_whole_windows *w, int32_t channel, int32_t words)
{
    const int32_t right = w->right, below = w->below, below_right = w->below_right;
    const int32_t step = w->step - words * SE_LANES, output_step = w->channels - words * SE_LANES;
    const int8_t *corner = w->corner + channel;
    int8_t *output = w->output + channel;
    for (int32_t rows = w->rows.count; rows != 0; rows--) {
        SE_NOT_UNROLLED
        for (int32_t left = w->columns.count; left != 0; left--) {
            max_word(&corner, &output, right, below, below_right);
            if (words == MAX_WORDS) {
                max_word(&corner, &output, right, below, below_right);
                max_word(&corner, &output, right, below, below_right);
                max_word(&corner, &output, right, below, below_right);
            }
            corner += step;
            output += output_step;
        }
        corner += w->row_step;
        output += w->output_row_step;
    }
}

static SE_NOINLINE void max_whole(const se_whole_windows *w)
{
    int32_t channel = 0;
    for (; channel + MAX_WORDS * SE_LANES <= w->channels; channel += MAX_WORDS * SE_LANES)
        max_channels(w, channel, MAX_WORDS);
    for (; channel < w->channels; channel += SE_LANES) { /* the last word may hold some channels again */
        const int32_t last = w->channels - SE_LANES;
        max_channels(w, channel < last ? channel : last, 1);
    }
}

void se_max_pool2d_s8(const se_pool2d_params *p, const int8_t *input, int8_t *output)
{
    const se_whole_windows whole = se_whole_windows_of(p, input, output);
    if (se_has_whole_windows(&whole))
        max_whole(&whole);
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
            max_window(&w, output + (y * p->output_width + x) * p->channels);
        }
    }
}
