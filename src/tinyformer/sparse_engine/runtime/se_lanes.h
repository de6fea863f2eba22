/* Four int8 lanes in a word, lane i in bits 8 i .. 8 i + 7: what the element-wise kernels, the poolings and the row
 * kernels read, compare, saturate and write. Loads and stores take any address. */
#ifndef SE_LANES_H
#define SE_LANES_H

#include "se_fixed_point.h"

#define SE_LANES 4

static inline uint32_t se_lanes_load(const int8_t *source)
{
    uint32_t word;
    __builtin_memcpy(&word, source, sizeof word);
    return word;
}

static inline void se_lanes_store(int8_t *destination, uint32_t word)
{
    __builtin_memcpy(destination, &word, sizeof word);
}

/* the first count (0 .. 3) lanes from memory, the others 0 */
static inline uint32_t se_lanes_load_part(const int8_t *source, int32_t count)
{
    uint32_t word = 0;
    if (count > 0)
        word = (uint8_t)source[0];
    if (count > 1)
        word |= (uint32_t)(uint8_t)source[1] << 8;
    if (count > 2)
        word |= (uint32_t)(uint8_t)source[2] << 16;
    return word;
}

/* the first count (0 .. 3) lanes to memory */
static inline void se_lanes_store_part(int8_t *destination, uint32_t word, int32_t count)
{
    if (count > 0)
        destination[0] = (int8_t)(uint8_t)word;
    if (count > 1)
        destination[1] = (int8_t)(uint8_t)(word >> 8);
    if (count > 2)
        destination[2] = (int8_t)(uint8_t)(word >> 16);
}

/* the elements that fill whole words, and the 0 .. 3 that remain */
static inline int32_t se_lanes_whole(int32_t elements)
{
    return (int32_t)((uint32_t)elements & ~3u);
}

static inline int32_t se_lanes_rest(int32_t elements)
{
    return (int32_t)((uint32_t)elements & 3u);
}

static inline uint32_t se_lanes_splat(int32_t value)
{
    return (uint32_t)(uint8_t)value * 0x01010101u;
}

/* lane i as a number */
static inline int32_t se_lane(uint32_t word, int32_t i)
{
    return (int8_t)(uint8_t)(word >> (8 * i));
}

/* The low bytes of four numbers. */
static inline uint32_t se_lanes_pack(int32_t v0, int32_t v1, int32_t v2, int32_t v3)
{
#if SE_DSP
    uint32_t word = (uint32_t)v0;
    __asm__("bfi %0, %1, #8, #8" : "+r"(word) : "r"(v1));
    __asm__("bfi %0, %1, #16, #8" : "+r"(word) : "r"(v2));
    __asm__("bfi %0, %1, #24, #8" : "+r"(word) : "r"(v3));
    return word;
#else
    return (uint32_t)(uint8_t)v0 | (uint32_t)(uint8_t)v1 << 8 | (uint32_t)(uint8_t)v2 << 16 | (uint32_t)v3 << 24;
#endif
}

static inline int32_t se_saturate_int8(int32_t value)
{
#if SE_DSP
    int32_t result;
    __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(value));
    return result;
#else
    return se_clamp(value, INT8_MIN, INT8_MAX);
#endif
}

#if !SE_DSP
/* Bytes of all ones where the lane of a is at least the lane of b: x >= y as unsigned bytes where their top bits differ
 * in x's favour, or agree and x - y below them does not borrow. */
static inline uint32_t se_lanes_not_less(uint32_t a, uint32_t b)
{
    const uint32_t top = 0x80808080u;
    const uint32_t x = a ^ top, y = b ^ top;
    const uint32_t difference = (x | top) - (y & ~top);
    const uint32_t found = ((x & ~y) | (~(x ^ y) & difference)) & top;
    return found | (found - (found >> 7));
}
#endif

/* The greater and the less of each lane. */
static inline uint32_t se_lanes_max(uint32_t a, uint32_t b)
{
#if SE_DSP
    uint32_t flags;
    __asm__("ssub8 %0, %1, %2\n\tsel %1, %1, %2" : "=&r"(flags), "+r"(a) : "r"(b) : "cc");
    return a;
#else
    const uint32_t mask = se_lanes_not_less(a, b);
    return (a & mask) | (b & ~mask);
#endif
}

static inline uint32_t se_lanes_min(uint32_t a, uint32_t b)
{
#if SE_DSP
    uint32_t flags;
    __asm__("ssub8 %0, %2, %1\n\tsel %1, %1, %2" : "=&r"(flags), "+r"(a) : "r"(b) : "cc");
    return a;
#else
    const uint32_t mask = se_lanes_not_less(b, a);
    return (a & mask) | (b & ~mask);
#endif
}

/* The low bytes of four numbers, each saturated to int8. */
static inline uint32_t se_lanes_saturate(int32_t v0, int32_t v1, int32_t v2, int32_t v3)
{
    return se_lanes_pack(se_saturate_int8(v0), se_saturate_int8(v1), se_saturate_int8(v2), se_saturate_int8(v3));
}

/* Clamps elements to low .. high in place. Kernels saturate to int8 and leave a narrower range, which a fused
 * activation asks for, to this second pass: most calls have none. */
static inline void se_clamp_run(int8_t *elements, int32_t count, int32_t low, int32_t high)
{
    if (low <= INT8_MIN && high >= INT8_MAX)
        return;
    const uint32_t lows = se_lanes_splat(low), highs = se_lanes_splat(high);
    for (const int8_t *const end = elements + se_lanes_whole(count); elements != end; elements += SE_LANES)
        se_lanes_store(elements, se_lanes_min(se_lanes_max(se_lanes_load(elements), lows), highs));
    const int32_t rest = se_lanes_rest(count);
    se_lanes_store_part(elements, se_lanes_min(se_lanes_max(se_lanes_load_part(elements, rest), lows), highs), rest);
}

/* se_requantize without its clamp: what every lane of a requantisation shares, and the value of one */
typedef struct {
    int32_t multiplier, left_shift, zero_point;
} se_lane_scale;

static inline int32_t se_lane_requantize(int32_t accumulator, se_lane_scale s)
{
    const int32_t scaled = (int32_t)((uint32_t)accumulator << s.left_shift);
    return se_multiply_high_round_add(scaled, s.multiplier, s.zero_point);
}

#if SE_DSP
/* int16 halves: base + lanes 0 and 2, base + lanes 1 and 3, sign-extended */
static inline uint32_t se_halves_add_even(uint32_t base, uint32_t word)
{
    __asm__("sxtab16 %0, %0, %1" : "+r"(base) : "r"(word));
    return base;
}

static inline uint32_t se_halves_add_odd(uint32_t base, uint32_t word)
{
    __asm__("sxtab16 %0, %0, %1, ror #8" : "+r"(base) : "r"(word));
    return base;
}

static inline uint32_t se_halves_even(uint32_t word)
{
    uint32_t result;
    __asm__("sxtb16 %0, %1" : "=r"(result) : "r"(word));
    return result;
}

static inline uint32_t se_halves_odd(uint32_t word)
{
    uint32_t result;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(result) : "r"(word));
    return result;
}

static inline uint32_t se_halves_splat(int32_t value)
{
    return (uint32_t)(uint16_t)value * 0x00010001u;
}
#endif

/* The int16 halves of a word as numbers. */
static inline int32_t se_half_low(uint32_t word)
{
    return (int16_t)(uint16_t)word;
}

static inline int32_t se_half_high(uint32_t word)
{
    return (int16_t)(uint16_t)(word >> 16);
}

#endif
