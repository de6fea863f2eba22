/* Arithmetic on words whose instruction count does not depend on the values, on any core.
 *
 * Armv6-M has neither conditional execution nor a long multiplication nor CLZ: there, comparisons become branches and
 * products of 64 bits calls of a library that may branch. */
#ifndef SE_WORD_H
#define SE_WORD_H

#include "se_port.h"

#if defined(__thumb__) && !defined(__thumb2__)
#define SE_ARMV6M 1
/* hides a value from a compiler that would turn masks back into a comparison */
#define SE_OPAQUE(value) __asm__("" : "+r"(value))
#else
#define SE_ARMV6M 0
#define SE_OPAQUE(value) (void)(value)
#endif

/* all ones for a negative number, else 0 */
static inline int32_t se_sign_mask(int32_t value)
{
    SE_OPAQUE(value);
    int32_t mask = value >> 31;
    SE_OPAQUE(mask);
    return mask;
}

/* all ones for 1 .. 2^31, 0 for 0 */
static inline uint32_t se_mask_of(uint32_t value)
{
    return (uint32_t)se_sign_mask((int32_t)(0u - value));
}

/* The less and the greater of two numbers whose difference fits an int32. */
static inline int32_t se_least(int32_t a, int32_t b)
{
    const int32_t difference = a - b;
    return b + (difference & se_sign_mask(difference));
}

static inline int32_t se_greatest(int32_t a, int32_t b)
{
    const int32_t difference = a - b;
    return a - (difference & se_sign_mask(difference));
}

/* Zero bits above the highest set bit of value > 0. */
static inline int32_t se_clz(uint32_t value)
{
#if defined(__ARM_FEATURE_CLZ)
    return (int32_t)__builtin_clz(value);
#else
    uint32_t highest = 0;
    for (uint32_t step = 16; step != 0; step >>= 1) {
        const uint32_t shift = step & se_mask_of(value >> step);
        value >>= shift;
        highest += shift;
    }
    return 31 - (int32_t)highest;
#endif
}

/* a * b */
static inline uint64_t se_product_unsigned(uint32_t a, uint32_t b)
{
#if SE_ARMV6M
    const uint32_t a_low = a & 0xffffu, a_high = a >> 16, b_low = b & 0xffffu, b_high = b >> 16;
    const uint32_t low = a_low * b_low;
    const uint32_t cross = a_high * b_low;
    const uint32_t middle = a_low * b_high + (cross & 0xffffu) + (low >> 16); /* at most 2^32 - 1 */
    const uint32_t high = a_high * b_high + (cross >> 16) + (middle >> 16);
    return (uint64_t)high << 32 | (middle << 16 | (low & 0xffffu));
#else
    return (uint64_t)a * b;
#endif
}

static inline int64_t se_product(int32_t a, int32_t b)
{
#if SE_ARMV6M
    const uint64_t product = se_product_unsigned((uint32_t)a, (uint32_t)b);
    const uint32_t excess = (uint32_t)(a & se_sign_mask(b)) + (uint32_t)(b & se_sign_mask(a));
    return (int64_t)(product - ((uint64_t)excess << 32));
#else
    return (int64_t)a * b;
#endif
}

#endif
