/* What the runtime needs from its surroundings: no C library beyond memcpy and memset. */
#ifndef SE_PORT_H
#define SE_PORT_H

#include <stddef.h>
#include <stdint.h>

/* A freestanding compiler may have no string.h; every one supplies these two. */
void *memcpy(void *restrict destination, const void *restrict source, size_t bytes);
void *memset(void *destination, int value, size_t bytes);

/* SE_DSP: the core has the Armv7E-M / Armv8-M DSP extension. Define SE_PORTABLE to do without. */
#if defined(__ARM_FEATURE_DSP) && !defined(SE_PORTABLE)
#define SE_DSP 1
#else
#define SE_DSP 0
#endif

/* SE_WIDE: the core can run the assembly of se_filters_wide.c, and has the registers that a wide strip pays with. */
#if SE_DSP && defined(__thumb2__)
#define SE_WIDE 1
#else
#define SE_WIDE 0
#endif

/* A function that stays one under its own name, so that a profile can tell it by its address. */
#if defined(__GNUC__) && !defined(__clang__)
#define SE_NOINLINE __attribute__((noipa))
#else
#define SE_NOINLINE __attribute__((noinline))
#endif

/* For a body that the compiler should specialise for constant arguments. */
#define SE_FORCE_INLINE inline __attribute__((always_inline))

/* Keeps the loop that follows as it stands: compilers unroll loops whose bodies fill the core already. */
#define SE_NOT_UNROLLED _Pragma("GCC unroll 1")

/* An array that starts at a multiple of `bytes`. */
#define SE_ALIGNED(bytes) __attribute__((aligned(bytes)))

#endif
