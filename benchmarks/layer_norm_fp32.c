/* LayerNorm in single precision under the interface of the runtime's Scaled-LayerNorm, which it replaces in the
 * comparison of table3.py: int8 in and out, everything between in float, rounded once. */
#include "se_kernels.h"

static float square_root(float value)
{
#if defined(__ARM_FP)
    float result;
    __asm__("vsqrt.f32 %0, %1" : "=t"(result) : "t"(value));
    return result;
#elif defined(__arm__)
    float root = value > 1.0f ? value : 1.0f; /* no FPU: Newton, from above */
    for (int32_t i = 0; i < 24; i++) {
        root = 0.5f * (root + value / root);
    }
    return root;
#else
    return __builtin_sqrtf(value);
#endif
}

static int32_t nearest(float value)
{
    const float shifted = value + (value < 0.0f ? -0.5f : 0.5f);
    return (int32_t)shifted;
}

void se_layer_norm_s8(const se_layer_norm_params *p, const int8_t *input, const int16_t *gamma, const int32_t *beta,
                      int8_t *output, void *scratch)
{
    const float n = (float)p->columns;
    const float epsilon = (float)p->epsilon_term / 65536.0f / (n * n);
    const float scale = (float)p->multiplier * (float)(1u << p->left_shift) / 4294967296.0f;
    (void)scratch;
    for (int32_t row = 0; row < p->rows; row++, input += p->columns, output += p->columns) {
        float sum = 0.0f, squares = 0.0f;
        for (int32_t i = 0; i < p->columns; i++) {
            sum += (float)input[i];
        }
        const float mean = sum / n;
        for (int32_t i = 0; i < p->columns; i++) {
            const float deviation = (float)input[i] - mean;
            squares += deviation * deviation;
        }
        const float factor = 128.0f / square_root(squares / n + epsilon);
        for (int32_t i = 0; i < p->columns; i++) {
            const float value = ((float)input[i] - mean) * factor * (float)gamma[i] + (float)beta[i];
            int32_t q = nearest(value * scale) + p->output_zero_point;
            q = q > p->low ? q : p->low;
            output[i] = (int8_t)(q < p->high ? q : p->high);
        }
    }
}

int32_t se_layer_norm_s8_scratch_bytes(const se_layer_norm_params *p)
{
    (void)p;
    return 0;
}
