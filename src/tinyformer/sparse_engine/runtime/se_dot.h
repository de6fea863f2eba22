/* Dot products of int8 widened to int16, by the DSP extension's dual multiplications where there are such.
 *
 * A quad is four values as int16, a pair two. Their order inside is private: quads only meet quads and pairs pairs, all
 * made by the functions below. With the DSP extension a quad is two words, elements 0 and 2 in `even`, 1 and 3 in
 * `odd`, because that is what SXTB16 gives without shuffling.
 *
 * A pixel is one output position: of an image, or a row of a matrix. The `_pixels` functions work for SE_PIXELS of
 * them at once: element k of their inputs lies side by side (a strip, see se_strip.h), so that a weight is loaded and
 * widened once and used SE_PIXELS times. */
#ifndef SE_DOT_H
#define SE_DOT_H

#include "se_lanes.h"

#define SE_PIXELS 4

/* for functions with a parameter that is a constant in each inlined copy */
#define SE_ALWAYS_INLINE static inline __attribute__((always_inline))

/* unrolls the loop that follows; the accumulators of the pixels then live in registers */
#define SE_UNROLL _Pragma("GCC unroll 9")

/* keeps the loop that follows as it stands: unrolled by the compiler it would run out of registers */
#define SE_ROLLED _Pragma("GCC unroll 1")

#if SE_DSP

typedef struct {
    uint32_t even, odd;
} se_quad;

typedef struct {
    uint32_t both;
} se_pair;

/* accumulator + low(a) * low(b) + high(a) * high(b) */
static inline int32_t se_dual_multiply_add(uint32_t a, uint32_t b, int32_t accumulator)
{
    int32_t result;
    __asm__("smlad %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(accumulator));
    return result;
}

/* accumulator + low(a) * low(b) */
static inline int32_t se_low_multiply_add(uint32_t a, uint32_t b, int32_t accumulator)
{
    int32_t result;
    __asm__("smlabb %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(accumulator));
    return result;
}

/* accumulator + high(a) * high(b) */
static inline int32_t se_high_multiply_add(uint32_t a, uint32_t b, int32_t accumulator)
{
    int32_t result;
    __asm__("smlatt %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(accumulator));
    return result;
}

static inline uint32_t se_pack_halves(int32_t low, int32_t high)
{
    return ((uint32_t)low & 0xffffu) | (uint32_t)high << 16;
}

static inline se_quad se_quad_of(int32_t v0, int32_t v1, int32_t v2, int32_t v3)
{
    const se_quad quad = {se_pack_halves(v0, v2), se_pack_halves(v1, v3)};
    return quad;
}

static inline se_quad se_quad_of_lanes(uint32_t word)
{
    const se_quad quad = {se_halves_even(word), se_halves_odd(word)};
    return quad;
}

/* four bytes from any address */
static inline se_quad se_quad_load(const int8_t *source)
{
    return se_quad_of_lanes(se_lanes_load(source));
}

/* one LDRD and STRD: as a struct compilers move it by LDM and STM, which take no offset */
static inline void se_quad_copy(se_quad *to, const se_quad *from)
{
    const uint32_t even = from->even, odd = from->odd;
    to->even = even;
    to->odd = odd;
}

static inline se_pair se_pair_of(int32_t v0, int32_t v1)
{
    const se_pair pair = {se_pack_halves(v0, v1)};
    return pair;
}

/* two bytes from any address */
static inline se_pair se_pair_load(const int8_t *source)
{
    uint16_t half;
    __builtin_memcpy(&half, source, sizeof half);
    const se_pair pair = {se_halves_even(half | (uint32_t)half << 8)};
    return pair;
}

/* two pairs from four bytes at any address */
static inline void se_pairs_load(const int8_t *source, se_pair *first, se_pair *second)
{
    const se_quad quad = se_quad_load(source);
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(first->both) : "r"(quad.even), "r"(quad.odd));
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(second->both) : "r"(quad.odd), "r"(quad.even));
}

static inline int32_t se_quad_dot(se_quad a, se_quad b, int32_t accumulator)
{
    return se_dual_multiply_add(a.odd, b.odd, se_dual_multiply_add(a.even, b.even, accumulator));
}

static inline int32_t se_pair_dot(se_pair a, se_pair b, int32_t accumulator)
{
    return se_dual_multiply_add(a.both, b.both, accumulator);
}

/* accumulators[i] += a[i] * b[i] */
static inline void se_quad_multiply_add(se_quad a, se_quad b, int32_t *accumulators)
{
    accumulators[0] = se_low_multiply_add(a.even, b.even, accumulators[0]);
    accumulators[1] = se_low_multiply_add(a.odd, b.odd, accumulators[1]);
    accumulators[2] = se_high_multiply_add(a.even, b.even, accumulators[2]);
    accumulators[3] = se_high_multiply_add(a.odd, b.odd, accumulators[3]);
}

/* accumulators[i] += dot(x[i], w) for SE_PIXELS pixels; returns x + SE_PIXELS. Loads stand beside products and two
 * instructions or more before the product that uses them, for a core with two issue slots. */
static inline const se_quad *se_quad_dot_pixels(const se_quad *x, se_quad w, int32_t *accumulators)
{
    uint32_t t0, t1, t2;
    __asm__("ldr %[t0], [%[x]], #32\n\t"
            "ldr %[t1], [%[x], #-28]\n\t"
            "ldr %[t2], [%[x], #-24]\n\t"
            "smlad %[a0], %[t0], %[even], %[a0]\n\t"
            "ldr %[t0], [%[x], #-20]\n\t"
            "smlad %[a0], %[t1], %[odd], %[a0]\n\t"
            "ldr %[t1], [%[x], #-16]\n\t"
            "smlad %[a1], %[t2], %[even], %[a1]\n\t"
            "ldr %[t2], [%[x], #-12]\n\t"
            "smlad %[a1], %[t0], %[odd], %[a1]\n\t"
            "ldr %[t0], [%[x], #-8]\n\t"
            "smlad %[a2], %[t1], %[even], %[a2]\n\t"
            "ldr %[t1], [%[x], #-4]\n\t"
            "smlad %[a2], %[t2], %[odd], %[a2]\n\t"
            "smlad %[a3], %[t0], %[even], %[a3]\n\t"
            "smlad %[a3], %[t1], %[odd], %[a3]"
            : [x] "+&r"(x), [a0] "+&r"(accumulators[0]), [a1] "+&r"(accumulators[1]), [a2] "+&r"(accumulators[2]),
              [a3] "+&r"(accumulators[3]), [t0] "=&r"(t0), [t1] "=&r"(t1), [t2] "=&r"(t2)
            : [even] "r"(w.even), [odd] "r"(w.odd)
            : "memory");
    return x;
}

/* accumulators[i] += dot(x[i], w) for SE_PIXELS pixels; returns x + SE_PIXELS */
static inline const se_pair *se_pair_dot_pixels(const se_pair *x, se_pair w, int32_t *accumulators)
{
    uint32_t t0, t1, t2;
    __asm__("ldr %[t0], [%[x]], #16\n\t"
            "ldr %[t1], [%[x], #-12]\n\t"
            "ldr %[t2], [%[x], #-8]\n\t"
            "smlad %[a0], %[t0], %[w], %[a0]\n\t"
            "ldr %[t0], [%[x], #-4]\n\t"
            "smlad %[a1], %[t1], %[w], %[a1]\n\t"
            "smlad %[a2], %[t2], %[w], %[a2]\n\t"
            "smlad %[a3], %[t0], %[w], %[a3]"
            : [x] "+&r"(x), [a0] "+&r"(accumulators[0]), [a1] "+&r"(accumulators[1]), [a2] "+&r"(accumulators[2]),
              [a3] "+&r"(accumulators[3]), [t0] "=&r"(t0), [t1] "=&r"(t1), [t2] "=&r"(t2)
            : [w] "r"(w.both)
            : "memory");
    return x;
}

#else

typedef struct {
    int16_t value[4];
} se_quad;

typedef struct {
    int16_t value[2];
} se_pair;

static inline se_quad se_quad_of(int32_t v0, int32_t v1, int32_t v2, int32_t v3)
{
    const se_quad quad = {{(int16_t)v0, (int16_t)v1, (int16_t)v2, (int16_t)v3}};
    return quad;
}

static inline se_quad se_quad_of_lanes(uint32_t word)
{
    return se_quad_of(se_lane(word, 0), se_lane(word, 1), se_lane(word, 2), se_lane(word, 3));
}

static inline se_quad se_quad_load(const int8_t *source)
{
    return se_quad_of(source[0], source[1], source[2], source[3]);
}

static inline void se_quad_copy(se_quad *to, const se_quad *from)
{
    *to = *from;
}

static inline se_pair se_pair_of(int32_t v0, int32_t v1)
{
    const se_pair pair = {{(int16_t)v0, (int16_t)v1}};
    return pair;
}

static inline se_pair se_pair_load(const int8_t *source)
{
    return se_pair_of(source[0], source[1]);
}

static inline void se_pairs_load(const int8_t *source, se_pair *first, se_pair *second)
{
    *first = se_pair_load(source);
    *second = se_pair_load(source + 2);
}

static inline int32_t se_quad_dot(se_quad a, se_quad b, int32_t accumulator)
{
    SE_UNROLL
    for (int32_t i = 0; i < 4; i++) {
        accumulator += a.value[i] * b.value[i];
    }
    return accumulator;
}

static inline int32_t se_pair_dot(se_pair a, se_pair b, int32_t accumulator)
{
    return accumulator + a.value[0] * b.value[0] + a.value[1] * b.value[1];
}

static inline void se_quad_multiply_add(se_quad a, se_quad b, int32_t *accumulators)
{
    SE_UNROLL
    for (int32_t i = 0; i < 4; i++) {
        accumulators[i] += a.value[i] * b.value[i];
    }
}

static inline const se_quad *se_quad_dot_pixels(const se_quad *x, se_quad w, int32_t *accumulators)
{
    SE_UNROLL
    for (int32_t pixel = 0; pixel < SE_PIXELS; pixel++) {
        accumulators[pixel] = se_quad_dot(x[pixel], w, accumulators[pixel]);
    }
    return x + SE_PIXELS;
}

static inline const se_pair *se_pair_dot_pixels(const se_pair *x, se_pair w, int32_t *accumulators)
{
    SE_UNROLL
    for (int32_t pixel = 0; pixel < SE_PIXELS; pixel++) {
        accumulators[pixel] = se_pair_dot(x[pixel], w, accumulators[pixel]);
    }
    return x + SE_PIXELS;
}

#endif

/* The same for SE_PIXELS pixels or for one; `pixels` is a constant where it matters. */
SE_ALWAYS_INLINE const se_quad *se_quad_step(const se_quad *x, int32_t pixels, se_quad w, int32_t *accumulators)
{
    if (pixels == SE_PIXELS) {
        return se_quad_dot_pixels(x, w, accumulators);
    }
    accumulators[0] = se_quad_dot(x[0], w, accumulators[0]);
    return x + 1;
}

SE_ALWAYS_INLINE const se_pair *se_pair_step(const se_pair *x, int32_t pixels, se_pair w, int32_t *accumulators)
{
    if (pixels == SE_PIXELS) {
        return se_pair_dot_pixels(x, w, accumulators);
    }
    accumulators[0] = se_pair_dot(x[0], w, accumulators[0]);
    return x + 1;
}

/* the first `count` (1 to 3) elements of a quad, then zeros */
static inline se_quad se_quad_load_partial(const int8_t *source, int32_t count)
{
    return se_quad_of(source[0], count > 1 ? source[1] : 0, count > 2 ? source[2] : 0, 0);
}

#endif
