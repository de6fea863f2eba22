/* Data movement: strided copies of bytes and constant fill. */
#include "se_kernels.h"
#include "se_lanes.h"

/* one run of contiguous bytes */
static inline void copy_run(const int8_t *source, int8_t *destination, int32_t bytes)
{
    const int8_t *const source_end = source + bytes;
    int8_t *const destination_end = destination + bytes;
    for (int32_t left = bytes >> 4; left > 0; left--, source += 4 * SE_LANES, destination += 4 * SE_LANES) {
        const uint32_t w0 = se_lanes_load(source), w1 = se_lanes_load(source + 4);
        const uint32_t w2 = se_lanes_load(source + 8), w3 = se_lanes_load(source + 12);
        se_lanes_store(destination, w0);
        se_lanes_store(destination + 4, w1);
        se_lanes_store(destination + 8, w2);
        se_lanes_store(destination + 12, w3);
    }
    for (int32_t left = (bytes >> 2) & 3; left > 0; left--, source += SE_LANES, destination += SE_LANES)
        se_lanes_store(destination, se_lanes_load(source));
    if (bytes < SE_LANES)
        se_lanes_store_part(destination, se_lanes_load_part(source, bytes), bytes);
    else if (destination != destination_end) /* the last four bytes, some of them a second time */
        se_lanes_store(destination_end - SE_LANES, se_lanes_load(source_end - SE_LANES));
}

/* one run whose output is contiguous and whose input is not: four bytes a store */
static inline void gather_run(const int8_t *source, int32_t stride, int8_t *destination, int32_t bytes)
{
    for (int32_t left = bytes >> 2; left > 0; left--, source += SE_LANES * stride, destination += SE_LANES)
        se_lanes_store(destination, se_lanes_pack(source[0], source[stride], source[2 * stride], source[3 * stride]));
    for (int32_t left = se_lanes_rest(bytes); left > 0; left--, source += stride)
        *destination++ = *source;
}

static inline void scatter_run(const int8_t *source, int32_t input_stride, int8_t *destination, int32_t output_stride,
                               int32_t bytes)
{
    for (; bytes > 0; bytes--, source += input_stride, destination += output_stride)
        *destination = *source;
}

/* a plane: the two inner axes */
static SE_NOINLINE void copy_plane(const se_move_params *p, const int8_t *source, int8_t *destination)
{
    const int32_t bytes = p->shape[3];
    const int32_t input_row = p->input_stride[2], output_row = p->output_stride[2];
    for (int32_t left = p->shape[2]; left > 0; left--, source += input_row, destination += output_row)
        copy_run(source, destination, bytes);
}

static SE_NOINLINE void gather_plane(const se_move_params *p, const int8_t *source, int8_t *destination)
{
    const int32_t bytes = p->shape[3], stride = p->input_stride[3];
    const int32_t input_row = p->input_stride[2], output_row = p->output_stride[2];
    for (int32_t left = p->shape[2]; left > 0; left--, source += input_row, destination += output_row)
        gather_run(source, stride, destination, bytes);
}

static SE_NOINLINE void scatter_plane(const se_move_params *p, const int8_t *source, int8_t *destination)
{
    const int32_t bytes = p->shape[3], input_step = p->input_stride[3], output_step = p->output_stride[3];
    const int32_t input_row = p->input_stride[2], output_row = p->output_stride[2];
    for (int32_t left = p->shape[2]; left > 0; left--, source += input_row, destination += output_row)
        scatter_run(source, input_step, destination, output_step, bytes);
}

static inline void move_plane(const se_move_params *p, const int8_t *source, int8_t *destination)
{
    if (p->output_stride[3] != 1)
        scatter_plane(p, source, destination);
    else if (p->input_stride[3] != 1)
        gather_plane(p, source, destination);
    else
        copy_plane(p, source, destination);
}

void se_move_s8(const se_move_params *p, const int8_t *input, int8_t *output)
{
    for (int32_t i = 0; i < p->shape[0]; i++) {
        const int8_t *source = input + p->input_offset + i * p->input_stride[0];
        int8_t *destination = output + p->output_offset + i * p->output_stride[0];
        for (int32_t j = 0; j < p->shape[1]; j++) {
            move_plane(p, source, destination);
            source += p->input_stride[1];
            destination += p->output_stride[1];
        }
    }
}

void se_fill_s8(int32_t elements, int32_t value, int8_t *output)
{
    const uint32_t word = se_lanes_splat(value);
    for (const int8_t *const end = output + se_lanes_whole(elements); output != end; output += SE_LANES)
        se_lanes_store(output, word);
    se_lanes_store_part(output, word, se_lanes_rest(elements));
}
