#include "se_filters_wide.h"

/* One generator of three loops. A function below is a sequence of pieces, each a macro that gives lines of assembly;
 * the loops differ in how they find and widen the next weights, and share all else.
 *
 *     r4 .. r11  the sums of eight pixels
 *     r0         the strip, behind the quad or pair in work
 *     r1         dense: weights; blocks: distances
 *     r2, r3     words of the strip
 *     r12, lr    quads: a word of widened weights, and the four bytes it came from; pairs: values, widened weights
 *
 * Loads stand beside products, for a core with two issue slots, and are used two products later; pairs of words (LDRD,
 * LDM) would be fewer instructions, but nothing issues beside them. Loops take two quads or blocks at a time, so that
 * half of them end with no test; an odd one enters in the middle. Nothing is read beyond the weights, distances or
 * strip. The instruction count depends on numbers of blocks, not on data. */

#if SE_WIDE

/* ---- the argument: where each word of the copy lies that ENTER makes -------------------------------------------- */
#define WORD(index) "[sp, #4 * " #index "]"
#define STRIP WORD(0)
#define STREAM WORD(1)
#define VALUES WORD(2)
#define COUNTS WORD(3)
#define BIAS WORD(4)
#define MULTIPLIERS WORD(5)
#define OUTPUT WORD(6)
#define OUTPUT_END WORD(7)
#define OUTPUT_STRIDE WORD(8)
#define LEFT_SHIFT WORD(9)
#define ZERO_POINT WORD(10)
#define UNUSUAL WORD(11)
#define LOW WORD(12)
#define HIGH WORD(13)
#define DEPTH WORD(14)
#define STREAM_END WORD(15)

#define IS_WORD(field, index) (offsetof(se_wide_filters, field) == 4 * (index))
typedef char se_wide_filters_are_as_above
    [IS_WORD(strip, 0) && IS_WORD(stream, 1) && IS_WORD(values, 2) && IS_WORD(counts, 3) && IS_WORD(bias, 4) &&
             IS_WORD(multipliers, 5) && IS_WORD(output, 6) && IS_WORD(output_end, 7) && IS_WORD(output_stride, 8) &&
             IS_WORD(left_shift, 9) && IS_WORD(zero_point, 10) && IS_WORD(unusual, 11) && IS_WORD(low, 12) &&
             IS_WORD(high, 13) && IS_WORD(depth, 14) && IS_WORD(stream_end, 15) && sizeof(se_wide_filters) == 64
         ? 1
         : -1];

/* ---- pieces ---------------------------------------------------------------------------------------------------- */
#define DO(line) line "\n\t"
#define LABEL(name) name ":\n\t"
#define NOTHING ""

#define LOAD(to, offset) DO("ldr " to ", [r0, #" offset "]")
#define MULTIPLY(sum, x, weights) DO("smlad " sum ", " x ", " weights ", " sum)

/* A word of weights by a word of each of eight pixels, from r3 and r2 by turns, the first two of which are there. Beside
 * a product stands the load of the word that the one after next takes, or another line. The second pixel goes first:
 * its word is loaded before the first one's, whose load moves r0 on. */
#define PRODUCTS(weights, beside5, beside4, beside6, beside7, beside8, beside9, beside10, beside11)                    \
    MULTIPLY("r5", "r3", weights) beside5                                                                              \
    MULTIPLY("r4", "r2", weights) beside4                                                                              \
    MULTIPLY("r6", "r3", weights) beside6                                                                              \
    MULTIPLY("r7", "r2", weights) beside7                                                                              \
    MULTIPLY("r8", "r3", weights) beside8                                                                              \
    MULTIPLY("r9", "r2", weights) beside9                                                                              \
    MULTIPLY("r10", "r3", weights) beside10                                                                            \
    MULTIPLY("r11", "r2", weights) beside11

/* a line for each sum */
#define EACH(line) line("r4") line("r5") line("r6") line("r7") line("r8") line("r9") line("r10") line("r11")

/* saves the caller's registers and copies the 16 words that r0 points at */
#define ENTER                                                                                                          \
    DO("push {r4-r11, lr}")                                                                                            \
    DO("sub sp, sp, #64")                                                                                              \
    DO("mov r1, sp")                                                                                                   \
    DO("ldmia r0!, {r4-r11}")                                                                                          \
    DO("stmia r1!, {r4-r11}")                                                                                          \
    DO("ldmia r0, {r4-r11}")                                                                                           \
    DO("stmia r1, {r4-r11}")

#define LEAVE DO("add sp, sp, #64") DO("pop {r4-r11, pc}")

/* r0: the strip's start; sums: the filter's bias */
#define START_FILTER                                                                                                   \
    LABEL("1")                                                                                                         \
    DO("ldr r2, " BIAS)                                                                                                \
    DO("ldr r0, " STRIP)                                                                                               \
    DO("ldr r4, [r2], #4")                                                                                             \
    DO("str r2, " BIAS)                                                                                                \
    DO("mov r5, r4") DO("mov r6, r4") DO("mov r7, r4") DO("mov r8, r4") DO("mov r9, r4") DO("mov r10, r4")             \
    DO("mov r11, r4")

/* C: an odd number of blocks; Z: 0 or 1 */
#define START_BLOCKS                                                                                                   \
    DO("ldr r2, " COUNTS)                                                                                              \
    DO("ldrh r3, [r2], #2")                                                                                            \
    DO("str r2, " COUNTS)                                                                                              \
    DO("add r2, r1, r3")                                                                                               \
    DO("str r2, " STREAM_END)                                                                                          \
    DO("lsrs r3, r3, #1")

#define SHIFT(sum) DO("lsl " sum ", " sum ", r3")
#define SCALE(sum) DO("smmlar " sum ", " sum ", lr, r2")
#define SATURATE(sum) DO("ssat " sum ", #8, " sum)
#define RAISE(sum) DO("ssub8 lr, " sum ", r2") DO("sel " sum ", " sum ", r2")
#define LOWER(sum) DO("ssub8 lr, r3, " sum) DO("sel " sum ", " sum ", r3")

/* requantise (se_output.h) and store the sums, go on with the next filter or leave; shifted sums and outputs that keep
 * less than int8 are rare, and out of line */
#define FINISH_FILTER                                                                                                  \
    DO("ldr r2, " MULTIPLIERS)                                                                                         \
    DO("ldr r3, " UNUSUAL)                                                                                             \
    DO("ldr lr, [r2], #4")                                                                                             \
    DO("str r2, " MULTIPLIERS)                                                                                         \
    DO("ldr r2, " ZERO_POINT)                                                                                          \
    DO("cmp r3, #0")                                                                                                   \
    DO("bne 7f")                                                                                                       \
    SCALE("r4") SCALE("r5") SATURATE("r4") SCALE("r6") SATURATE("r5") SCALE("r7") SATURATE("r6") SCALE("r8")           \
    SATURATE("r7") SCALE("r9") SATURATE("r8") SCALE("r10") SATURATE("r9") SCALE("r11") SATURATE("r10")                 \
    SATURATE("r11")                                                                                                    \
    LABEL("6")                                                                                                         \
    DO("ldr r0, " OUTPUT)                                                                                              \
    DO("ldr r2, " OUTPUT_STRIDE)                                                                                       \
    DO("ldr lr, " OUTPUT_END)                                                                                          \
    DO("strb r4, [r0]")                                                                                                \
    DO("add r3, r0, r2, lsl #1")                                                                                       \
    DO("strb r5, [r0, r2]")                                                                                            \
    DO("add r3, r3, r2")                                                                                               \
    DO("strb r6, [r0, r2, lsl #1]")                                                                                    \
    DO("strb r7, [r3]")                                                                                                \
    DO("strb r8, [r0, r2, lsl #2]")                                                                                    \
    DO("add r0, r0, #1")                                                                                               \
    DO("strb r9, [r3, r2, lsl #1]")                                                                                    \
    DO("str r0, " OUTPUT)                                                                                              \
    DO("strb r11, [r3, r2, lsl #2]")                                                                                   \
    DO("add r3, r3, r2")                                                                                               \
    DO("cmp r0, lr")                                                                                                   \
    DO("strb r10, [r3, r2, lsl #1]")                                                                                   \
    DO("bne 1b")                                                                                                       \
    LEAVE                                                                                                              \
    LABEL("7")                                                                                                         \
    DO("ldr r3, " LEFT_SHIFT)                                                                                          \
    EACH(SHIFT)                                                                                                        \
    EACH(SCALE)                                                                                                        \
    EACH(SATURATE)                                                                                                     \
    DO("ldr r2, " LOW)                                                                                                 \
    DO("ldr r3, " HIGH)                                                                                                \
    EACH(RAISE)                                                                                                        \
    EACH(LOWER)                                                                                                        \
    DO("b 6b")

/* A quad: 4 weights, the bytes in lr, by 8 pixels. Beside its last products stand lines that prepare what follows:
 * `first` may use lr, `second` r3 too, `third` r2 and r0 too. Each is one instruction: two would part products and
 * loads. */
#define QUAD(first, second, third)                                                                                     \
    DO("ldr r3, [r0, #8]")                                                                                             \
    DO("sxtb16 r12, lr")                                                                                               \
    DO("ldr r2, [r0], #64")                                                                                            \
    PRODUCTS("r12", LOAD("r3", "-48"), LOAD("r2", "-40"), LOAD("r3", "-32"), LOAD("r2", "-24"), LOAD("r3", "-16"),     \
             LOAD("r2", "-8"), LOAD("r3", "-52"), LOAD("r2", "-60"))                                                   \
    DO("sxtb16 r12, lr, ror #8") first                                                                                 \
    PRODUCTS("r12", LOAD("r3", "-44"), LOAD("r2", "-36"), LOAD("r3", "-28"), LOAD("r2", "-20"), LOAD("r3", "-12"),     \
             LOAD("r2", "-4"), second, third)

/* A pair: 2 weights, bytes 0 and 2 of lr, by 8 pixels. `last`, between the last two products, may use r3. */
#define PAIR(last)                                                                                                     \
    DO("ldr r3, [r0, #4]")                                                                                             \
    DO("ldr r2, [r0], #32")                                                                                            \
    DO("sxtb16 lr, lr")                                                                                                \
    PRODUCTS("lr", LOAD("r3", "-24"), LOAD("r2", "-20"), LOAD("r3", "-16"), LOAD("r2", "-12"), LOAD("r3", "-8"),       \
             LOAD("r2", "-4"), last, NOTHING)

/* A filter's blocks, two at a time: `odd` is what leads to the second of two without the first. */
#define BLOCKS(odd, first, second)                                                                                     \
    START_BLOCKS                                                                                                       \
    DO("bcc 4f")                                                                                                       \
    odd                                                                                                                \
    DO("b 3f")                                                                                                         \
    LABEL("4")                                                                                                         \
    DO("beq 5f")                                                                                                       \
    LABEL("2")                                                                                                         \
    first                                                                                                              \
    LABEL("3")                                                                                                         \
    second                                                                                                             \
    DO("bne 2b")                                                                                                       \
    LABEL("5")

/* ---- the loops ------------------------------------------------------------------------------------------------- */
#define NAKED __attribute__((naked, noinline))

NAKED void se_filters_wide_dense(const se_wide_filters *filters __attribute__((unused)))
{
    __asm__(
        ENTER
        DO("ldr r1, " STREAM)
        START_FILTER
        DO("ldr r2, " DEPTH)
        DO("bics r3, r2, #3")
        DO("beq 4f")
        DO("add r3, r3, r1")
        DO("str r3, " STREAM_END)
        DO("lsls r3, r2, #30")                 /* C: an odd number of quads */
        DO("bcc 2f")
        DO("ldr lr, [r1], #4")
        DO("b 3f")
        LABEL("2")
        DO("ldr lr, [r1], #4")
        QUAD(DO("ldr lr, [r1], #4"), NOTHING, NOTHING)
        LABEL("3")
        QUAD(DO("ldr lr, " STREAM_END), DO("cmp r1, lr"), NOTHING)
        DO("bne 2b")
    );
    __asm__(
        LABEL("4")
        DO("ldr r2, " DEPTH)
        DO("ands r3, r2, #3")
        DO("beq 8f")
        DO("mov lr, #0")
        DO("lsls r2, r2, #31")                 /* C: two weights are left or three; N: one or three */
        DO("bcc 5f")
        DO("ldrh lr, [r1], #2")
        LABEL("5")
        DO("bpl 7f")
        DO("ldrb r2, [r1], #1")
        DO("bcc 6f")
        DO("lsl r2, r2, #16")
        LABEL("6")
        DO("orr lr, lr, r2")
        LABEL("7")
        QUAD(NOTHING, NOTHING, NOTHING)
        LABEL("8")
    );
    __asm__(FINISH_FILTER);
}

/* VALUES is where the values would begin if there were some for every address up to the first distance: those of a
 * block lie 4 r1 further, when r1 has gone on from its distance. The first of two blocks prepares the second beside its
 * last products. */
#define BLOCK4_DISTANCE DO("ldrb lr, [r1], #1")
#define BLOCK4_BASE DO("ldr r3, " VALUES)
#define BLOCK4_STEP DO("add r0, r0, lr, lsl #6")
#define BLOCK4_VALUES DO("ldr lr, [r3, r1, lsl #2]")

NAKED void se_filters_wide_block4(const se_wide_filters *filters __attribute__((unused)))
{
    __asm__(
        ENTER
        DO("ldr r1, " STREAM)
        START_FILTER
        BLOCKS(
            BLOCK4_DISTANCE BLOCK4_BASE BLOCK4_STEP,
            BLOCK4_DISTANCE BLOCK4_BASE BLOCK4_STEP BLOCK4_VALUES QUAD(BLOCK4_DISTANCE, BLOCK4_BASE, BLOCK4_STEP),
            BLOCK4_VALUES QUAD(DO("ldr lr, " STREAM_END), DO("cmp r1, lr"), NOTHING)
        )
    );
    __asm__(FINISH_FILTER);
}

/* r12: the values; r3: the distance of the block that begins */
#define BLOCK2_DISTANCE DO("ldrb r3, [r1], #1")
#define BLOCK2_STEP DO("ldrh lr, [r12], #2") DO("add r0, r0, r3, lsl #5") DO("orr lr, lr, lr, lsl #8")

NAKED void se_filters_wide_block2(const se_wide_filters *filters __attribute__((unused)))
{
    __asm__(
        ENTER
        DO("ldr r1, " STREAM)
        DO("ldr r12, " VALUES)
        START_FILTER
        BLOCKS(
            BLOCK2_DISTANCE,
            BLOCK2_DISTANCE BLOCK2_STEP PAIR(BLOCK2_DISTANCE),
            BLOCK2_STEP PAIR(DO("ldr r3, " STREAM_END)) DO("cmp r1, r3")
        )
    );
    __asm__(FINISH_FILTER);
}

#endif
