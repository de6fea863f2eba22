/* A row of outputs of up to four channels, eight outputs at a time, without dilation along the row or left shift. */
#ifndef SE_DEPTHWISE_ROW_H
#define SE_DEPTHWISE_ROW_H

#include "se_depthwise.h"

#if SE_DSP

typedef struct {
    const se_depthwise_block *blocks;
    const se_depthwise_filter *filters, *filters_end; /* at least one */
    const int16_t *rows;                              /* the first output's window */
    int8_t *output;
    int32_t output_step;     /* to the next output */
    int32_t groups_bytes;    /* of window elements for the outputs: 16 * stride for each eight of them, at least once */
    int32_t zero_point;
} se_depthwise_row;

/* For a stride of 1 and of 2; about 29 and 34 instructions a block and 42 else for eight outputs of a channel. */
void se_depthwise_row_of_eights(const se_depthwise_row *row);
void se_depthwise_row_of_eights_stride2(const se_depthwise_row *row);

#endif
#endif
