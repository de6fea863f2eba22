#include "se_patch.h"

/* windows of outputs side by side: the first one's first element, and how far it is to the next row and window */
typedef struct {
    const int8_t *first;
    int32_t row_step, window_step;
} se_windows;

/* ---- gathering ---------------------------------------------------------------------------------------------------- */
/* `columns` columns of an input row from column x on */
static void gather_row(const se_conv2d_params *p, const int8_t *input_row, int32_t x, int32_t columns, int32_t channels,
                       int8_t *row)
{
    if (p->dilation_x == 1 && channels == p->input_channels) {
        const int32_t left = se_clamp(-x, 0, columns), right = se_clamp(x + columns - p->input_width, 0, columns);
        const int32_t inside = columns - left - right;
        memset(row, p->input_zero_point, (size_t)(left * channels));
        row += left * channels;
        if (inside > 0) {
            memcpy(row, input_row + (x + left) * channels, (size_t)(inside * channels));
            row += inside * channels;
        }
        memset(row, p->input_zero_point, (size_t)(right * channels));
        return;
    }
    for (; columns != 0; columns--) {
        if (x >= 0 && x < p->input_width)
            memcpy(row, input_row + x * p->input_channels, (size_t)channels);
        else
            memset(row, p->input_zero_point, (size_t)channels);
        row += channels;
        x += p->dilation_x;
    }
}

/* the rows of a window from row y on */
static void gather(const se_conv2d_params *p, const int8_t *input, int32_t y, int32_t x, int32_t columns,
                   int32_t channels, int8_t *rows)
{
    const int32_t row_bytes = columns * channels;
    for (int32_t left = p->kernel_height; left != 0; left--) {
        if (y >= 0 && y < p->input_height)
            gather_row(p, input + y * p->input_width * p->input_channels, x, columns, channels, rows);
        else
            memset(rows, p->input_zero_point, (size_t)row_bytes);
        rows += row_bytes;
        y += p->dilation_y;
    }
}

/* ---- widening ----------------------------------------------------------------------------------------------------- */
/* a quad of `count` windows whose elements lie side by side */
static inline void fill_in_row(const int8_t *source, int32_t step, int32_t count, se_quad *to)
{
    SE_NOT_UNROLLED
    for (; count != 0; count--) {
        *to++ = se_quad_load(source);
        source += step;
    }
}

/* a quad whose elements lie at offsets from the first one; `kept` has ones where there are some */
static inline void fill_across(const int8_t *source, const int32_t *offsets, uint32_t kept, int32_t step,
                               int32_t count, se_quad *to)
{
    const int32_t second = offsets[1], third = offsets[2], fourth = offsets[3];
    SE_NOT_UNROLLED
    for (; count != 0; count--) {
        const uint32_t lanes = se_lanes_pack(source[0], source[second], source[third], source[fourth]);
        *to++ = se_quad_of_lanes(lanes & kept);
        source += step;
    }
}

/* all quads of `count` windows of `rows` rows; `strip` points at the first window's first one */
static void fill(const se_windows *w, int32_t rows, int32_t row_bytes, int32_t count, int32_t pixels, se_quad *strip)
{
    const int8_t *row = w->first;
    int32_t column = 0; /* of bytes */
    for (int32_t left = rows * row_bytes; left > 0; left -= 4, strip += pixels) {
        if (column == row_bytes) {
            row += w->row_step;
            column = 0;
        }
        const int8_t *const source = row + column;
        if (column + 4 <= row_bytes) {
            fill_in_row(source, w->window_step, count, strip);
            column += 4;
            continue;
        }
        int32_t offsets[4] = {0, 0, 0, 0};
        column++;
        for (int32_t i = 1; i < 4 && i < left; i++) {
            if (column == row_bytes) {
                row += w->row_step;
                column = 0;
            }
            offsets[i] = (int32_t)(row + column++ - source);
        }
        const uint32_t kept = left < 4 ? (1u << 8 * left) - 1u : ~0u;
        fill_across(source, offsets, kept, w->window_step, count, strip);
    }
}

/* whether `columns` columns of a window's rows from (y, x) on lie in the input as they are gathered */
static int32_t is_in_place(const se_conv2d_params *p, int32_t y, int32_t x, int32_t columns, int32_t channels)
{
    const int32_t last_y = y + (p->kernel_height - 1) * p->dilation_y;
    const int32_t contiguous = p->kernel_width == 1 || (p->dilation_x == 1 && channels == p->input_channels);
    return contiguous && y >= 0 && last_y < p->input_height && x >= 0 && x + columns <= p->input_width;
}

se_position se_patch_fill_quads(const se_conv2d_params *p, const int8_t *input, se_position at, int32_t channel,
                                int32_t channels, int32_t pixels, se_quad *strip, int8_t *rows)
{
    int32_t left = pixels;
    while (left != 0) {
        const int32_t y = at.y * p->stride_y - p->pad_top, x = at.x * p->stride_x - p->pad_left;
        int32_t count = se_least(left, p->output_width - at.x);
        se_windows w;
        if (is_in_place(p, y, x, (count - 1) * p->stride_x + p->kernel_width, channels)) {
            w.first = input + channel + (y * p->input_width + x) * p->input_channels;
            w.row_step = p->dilation_y * p->input_width * p->input_channels;
            w.window_step = p->stride_x * p->input_channels;
        } else {
            count = se_patch_shares(p) ? count : 1;
            const int32_t columns = se_patch_columns(p, count);
            gather(p, input + channel, y, x, columns, channels, rows);
            w.first = rows;
            w.row_step = columns * channels;
            w.window_step = p->stride_x * channels;
        }
        fill(&w, p->kernel_height, p->kernel_width * channels, count, pixels, strip);
        strip += count;
        left -= count;
        at.x += count;
        if (at.x == p->output_width) {
            at.y++;
            at.x = 0;
        }
    }
    return at;
}
