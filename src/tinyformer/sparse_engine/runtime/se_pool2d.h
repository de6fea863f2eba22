/* Maximum and average over windows of (height, width, channels), several channels at a time.
 *
 * The usual windows, 2x2 and wholly inside the image, are taken together: for each few channels, all of them. Other
 * windows go one by one. Every window holds at least one value: padding is less than the kernel on each side. */
#ifndef SE_POOL2D_H
#define SE_POOL2D_H

#include "se_kernels.h"
#include "se_lanes.h"

/* the part of one window that lies inside the image */
typedef struct {
    const int8_t *corner;
    int32_t rows, columns;
    int32_t row_stride, channels; /* bytes to the next row and to the next column */
} se_window;

/* the positions first .. first + count - 1 of one axis */
typedef struct {
    int32_t first, count;
} se_span;

static inline se_span se_inside(int32_t start, int32_t kernel, int32_t size)
{
    const int32_t first = start > 0 ? start : 0;
    const int32_t end = start + kernel < size ? start + kernel : size;
    const se_span s = {first, end - first};
    return s;
}

static inline se_window se_window_at(const se_pool2d_params *p, const int8_t *input, se_span rows, int32_t x)
{
    const se_span columns = se_inside(x * p->stride_x - p->pad_left, p->kernel_width, p->input_width);
    const int32_t row_stride = p->input_width * p->channels;
    const se_window w = {input + rows.first * row_stride + columns.first * p->channels, rows.count, columns.count,
                      row_stride, p->channels};
    return w;
}

static inline se_span se_rows_at(const se_pool2d_params *p, int32_t y)
{
    return se_inside(y * p->stride_y - p->pad_top, p->kernel_height, p->input_height);
}

/* up to four channels */
static inline uint32_t se_load_some(const int8_t *source, int32_t count)
{
    return count < SE_LANES ? se_lanes_load_part(source, count) : se_lanes_load(source);
}

static inline void se_store_some(int8_t *destination, uint32_t word, int32_t count)
{
    if (count < SE_LANES)
        se_lanes_store_part(destination, word, count);
    else
        se_lanes_store(destination, word);
}

/* The last 1 to 3 channels: computed with those before them as a whole word, or alone where there are none. */
typedef struct {
    int32_t back, count;
} se_tail;

static inline se_tail se_tail_of(int32_t channels, int32_t left)
{
    const int32_t back = channels < SE_LANES ? 0 : SE_LANES - left;
    const se_tail t = {back, left + back};
    return t;
}

/* ---- 2x2 windows ---------------------------------------------------------------------------------------------------- */
/* All 2x2 windows that lie wholly inside the image: a rectangle of outputs. */
typedef struct {
    se_span rows, columns; /* of outputs; no window at all where one of them counts 0 */
    const int8_t *corner; /* of the first window */
    int8_t *output;       /* of the first window */
    int32_t right, below, below_right; /* bytes to a window's other values */
    int32_t step, row_step;            /* bytes to the next window, and from one behind a row's last to the next row */
    int32_t output_row_step;           /* likewise of the outputs */
    int32_t channels;
} se_whole_windows;

static inline se_span se_whole_span(int32_t size, int32_t stride, int32_t pad, int32_t outputs)
{
    const int32_t first = pad > 0;
    const int32_t count = outputs - first - ((outputs - 1) * stride - pad + 2 > size);
    const se_span s = {first, count > 0 ? count : 0};
    return s;
}

static inline se_whole_windows se_whole_windows_of(const se_pool2d_params *p, const int8_t *input, int8_t *output)
{
    se_whole_windows w = {{0, 0}, {0, 0}, input, output, p->channels, p->input_width * p->channels, 0, 0, 0, 0,
                       p->channels};
    if (p->kernel_height != 2 || p->kernel_width != 2 || p->channels < SE_LANES)
        return w;
    w.rows = se_whole_span(p->input_height, p->stride_y, p->pad_top, p->output_height);
    w.columns = se_whole_span(p->input_width, p->stride_x, p->pad_left, p->output_width);
    w.corner += (w.rows.first * p->stride_y - p->pad_top) * w.below + (w.columns.first * p->stride_x - p->pad_left) * w.right;
    w.output += (w.rows.first * p->output_width + w.columns.first) * p->channels;
    w.below_right = w.below + w.right;
    w.step = p->stride_x * p->channels;
    w.row_step = p->stride_y * w.below - w.columns.count * w.step;
    w.output_row_step = (p->output_width - w.columns.count) * p->channels;
    return w;
}

static inline int32_t se_has_whole_windows(const se_whole_windows *w)
{
    return w->rows.count != 0 && w->columns.count != 0;
}

/* The column where the whole windows of row y begin; -1 when it has none. */
static inline int32_t se_first_whole_column(const se_whole_windows *w, int32_t y)
{
    const int32_t among = (uint32_t)(y - w->rows.first) < (uint32_t)w->rows.count && w->columns.count != 0;
    return among ? w->columns.first : -1;
}

#endif
