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
 * half of them end with no test; an odd one enters in the middle. Quads leave their loop before the last products, which
 * stand twice: in the loop with what prepares the next quad beside them, behind it without. Nothing is read beyond the
 * weights, distances or strip. The instruction count depends on numbers of blocks, not on data.
 */

#if SE_WIDE

/* ---- the argument: where each word of the copy lies that ENTER makes; what one LDRD takes begins with an even word -- */
#define WORD(index) "[sp, #4 * " #index "]"
#define STRIP WORD(0)
#define STREAM WORD(1)
#define STREAM_END WORD(1) /* of the filter in work, once r1 has the stream */
#define BIAS_AND_WORK WORD(2)
#define INDEX WORD(4)
#define INDEX_AND_MULTIPLIERS WORD(4)
#define ZERO_POINT_AND_UNUSUAL WORD(6)
#define OUTPUT WORD(8)
#define LEFT_SHIFT WORD(9)
#define STRIDE WORD(10)
#define LOWERING WORD(11)
#define LIFTED_AND_HEADROOM WORD(12)
#define VALUES WORD(14)

#define IS_WORD(field, index) (offsetof(se_wide_filters, field) == 4 * (index))
typedef char se_wide_filters_are_as_above
    [IS_WORD(strip, 0) && IS_WORD(stream, 1) && IS_WORD(bias_end, 2) && IS_WORD(work, 3) && IS_WORD(index, 4) &&
             IS_WORD(multipliers_end, 5) && IS_WORD(zero_point, 6) && IS_WORD(unusual, 7) && IS_WORD(output_end, 8) &&
             IS_WORD(left_shift, 9) && IS_WORD(output_stride, 10) && IS_WORD(lowering, 11) &&
             IS_WORD(lifted_zero_point, 12) && IS_WORD(headroom, 13) && IS_WORD(values, 14) &&
             sizeof(se_wide_filters) == 60
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

/* saves the caller's registers, and r3 so that the frame is a multiple of 8 bytes; copies the 15 words that r0 points
 * at; r1: the stream */
#define ENTER                                                                                                          \
    DO("push {r3-r11, lr}")                                                                                            \
    DO("sub sp, sp, #64")                                                                                              \
    DO("mov r1, sp")                                                                                                   \
    DO("ldmia r0!, {r4-r11}")                                                                                          \
    DO("stmia r1!, {r4-r11}")                                                                                          \
    DO("ldmia r0, {r4-r10}")                                                                                           \
    DO("stmia r1, {r4-r10}")                                                                                           \
    DO("ldr r1, " STREAM)

#define LEAVE DO("add sp, sp, #64") DO("pop {r3-r11, pc}")

/* of the filter at `index`: its bias in r4, WORK in r0 */
#define START_FILTER(index)                                                                                            \
    DO("ldrd r2, r0, " BIAS_AND_WORK)                                                                                  \
    DO("ldr r4, [r2, " index ", lsl #2]")

#define START_SUM(sum) DO("mov " sum ", r4")
#define START_SUMS                                                                                                     \
    START_SUM("r5") START_SUM("r6") START_SUM("r7") START_SUM("r8") START_SUM("r9") START_SUM("r10") START_SUM("r11")

#define SHIFT(sum) DO("lsl " sum ", " sum ", r0")
#define SCALE(sum) DO("smmlar " sum ", " sum ", lr, r2")
#define TO_INT8(sum) DO("ssat " sum ", #8, " sum)
#define TO_UINT8(sum) DO("usat " sum ", #8, " sum)
#define LIMIT(sum) DO("uqadd8 " sum ", " sum ", r0") DO("add " sum ", " sum ", r2")

/* where the outputs of a filter go: each from r0 in steps of r3; `index` goes on to the next filter */
#define FIND_OUTPUT DO("ldr r0, " OUTPUT)
#define OF_FILTER(index) DO("add r0, r0, " index)
#define NEXT_FILTER(index) DO("adds " index ", " index ", #1")
#define KEEP_INDEX(index) DO("str " index ", " INDEX)
#define FIND_STRIDE DO("ldr r3, " STRIDE)
#define STORE_1 DO("strb r4, [r0]")
#define STORE_5 DO("strb r8, [r0, r3, lsl #2]")
#define STORE_2 DO("add r0, r0, r3") DO("strb r5, [r0]")
#define STORE_3 DO("strb r6, [r0, r3]")
#define STORE_4 DO("strb r7, [r0, r3, lsl #1]")
#define STORE_6 DO("add r0, r0, r3, lsl #2") DO("strb r9, [r0]")
#define STORE_7 DO("strb r10, [r0, r3]")
#define STORE_8 DO("strb r11, [r0, r3, lsl #1]")

/* Requantise (se_output.h) and store the sums, go on with the next filter or leave. `index` is a register that no quad
 * or pair in work needs. Shifted sums and outputs that keep less than int8 are out of line: there, value - low saturates
 * to 0 .. 255, and with what is beyond high - low added, again to 255. */
#define FINISH_FILTER(index)                                                                                           \
    DO("ldrd " index ", r0, " INDEX_AND_MULTIPLIERS)                                                                   \
    DO("ldr lr, [r0, " index ", lsl #2]")                                                                              \
    DO("ldrd r2, r0, " ZERO_POINT_AND_UNUSUAL)                                                                         \
    DO("cmp r0, #0")                                                                                                   \
    DO("bne 7f")                                                                                                       \
    SCALE("r4") FIND_OUTPUT SCALE("r8") OF_FILTER(index) SCALE("r5") NEXT_FILTER(index)                                \
    TO_INT8("r4") SCALE("r6") TO_INT8("r8") KEEP_INDEX(index) SCALE("r7") FIND_STRIDE                                  \
    TO_INT8("r5") STORE_1 SCALE("r9") TO_INT8("r6") STORE_5 SCALE("r10") TO_INT8("r7") STORE_2 SCALE("r11")            \
    TO_INT8("r9") STORE_3 TO_INT8("r10") STORE_4 TO_INT8("r11") STORE_6 STORE_7 STORE_8                                \
    DO("bne 1b")                                                                                                       \
    LABEL("6")                                                                                                         \
    LEAVE                                                                                                              \
    LABEL("7")                                                                                                         \
    DO("ldr r0, " LEFT_SHIFT)                                                                                          \
    DO("cbz r0, 8f")                                                                                                   \
    EACH(SHIFT)                                                                                                        \
    LABEL("8")                                                                                                         \
    DO("ldrd r2, r0, " LIFTED_AND_HEADROOM)                                                                            \
    SCALE("r4") SCALE("r5") TO_UINT8("r4") SCALE("r6") TO_UINT8("r5") SCALE("r7") TO_UINT8("r6") SCALE("r8")           \
    TO_UINT8("r7") SCALE("r9") TO_UINT8("r8") SCALE("r10") TO_UINT8("r9") SCALE("r11") TO_UINT8("r10")                 \
    DO("ldr r2, " LOWERING)                                                                                            \
    TO_UINT8("r11")                                                                                                    \
    EACH(LIMIT)                                                                                                        \
    FIND_OUTPUT OF_FILTER(index) NEXT_FILTER(index) KEEP_INDEX(index) FIND_STRIDE                                      \
    STORE_1 STORE_5 STORE_2 STORE_3 STORE_4 STORE_6 STORE_7 STORE_8                                                    \
    DO("bne 1b")                                                                                                       \
    DO("b 6b")

/* A quad: 4 weights, the bytes in lr, by 8 pixels, in two halves. `lead` may use r2. Beside the second half's products
 * stand lines that prepare what follows: `first` may use lr, `second` r3 too, `third` r2 and r0 too. Each is one
 * instruction: two would part products and loads. */
#define FIRST_HALF(lead)                                                                                               \
    DO("ldr r3, [r0, #8]") lead                                                                                        \
    DO("sxtb16 r12, lr")                                                                                               \
    DO("ldr r2, [r0], #64")                                                                                            \
    PRODUCTS("r12", LOAD("r3", "-48"), LOAD("r2", "-40"), LOAD("r3", "-32"), LOAD("r2", "-24"), LOAD("r3", "-16"),     \
             LOAD("r2", "-8"), LOAD("r3", "-52"), LOAD("r2", "-60"))                                                   \
    DO("sxtb16 r12, lr, ror #8")

#define SECOND_HALF(first, second, third)                                                                              \
    first                                                                                                              \
    PRODUCTS("r12", LOAD("r3", "-44"), LOAD("r2", "-36"), LOAD("r3", "-28"), LOAD("r2", "-20"), LOAD("r3", "-12"),     \
             LOAD("r2", "-4"), second, third)

/* A pair: 2 weights, bytes 0 and 2 of lr, by 8 pixels. `lead` may use r2, `last`, between the last two products, r3. */
#define PAIR(lead, last)                                                                                               \
    DO("ldr r3, [r0, #4]") lead                                                                                        \
    DO("ldr r2, [r0], #32")                                                                                            \
    DO("sxtb16 lr, lr")                                                                                                \
    PRODUCTS("lr", LOAD("r3", "-24"), LOAD("r2", "-20"), LOAD("r3", "-16"), LOAD("r2", "-12"), LOAD("r3", "-8"),       \
             LOAD("r2", "-4"), last, NOTHING)

/* The end of the filter's stream, to compare with early in the last quad or pair: a misprediction costs less when flags
 * are set long before their branch. */
#define LOAD_END DO("ldr r2, " STREAM_END)
#define COMPARE_END DO("cmp r1, r2")

/* A filter's quads, two at a time, but for the last one's second half: from label 3 on, an odd one; from 4 on, two.
 * `begin` stands before a quad, `first` to `third` beside the last products of one that another follows. */
#define QUADS(begin, first, second, third)                                                                             \
    LABEL("2")                                                                                                         \
    SECOND_HALF(first, second, third)                                                                                  \
    LABEL("4")                                                                                                         \
    begin                                                                                                              \
    FIRST_HALF(NOTHING)                                                                                                \
    SECOND_HALF(first, second, third)                                                                                  \
    LABEL("3")                                                                                                         \
    begin                                                                                                              \
    LOAD_END                                                                                                           \
    FIRST_HALF(COMPARE_END)                                                                                            \
    DO("bne 2b")

/* ---- the loops ------------------------------------------------------------------------------------------------- */
#define NAKED __attribute__((naked, noinline))

#define DENSE_WORD DO("ldr lr, [r1], #4")

NAKED void se_filters_wide_dense(const se_wide_filters *filters __attribute__((unused)))
{
    __asm__(
        ENTER
        DO("ldr r12, " INDEX)
        LABEL("1")
        START_FILTER("r12")
        DO("lsls r3, r0, #30")                 /* C: an odd number of quads */
        DO("add r2, r1, r0")
        DO("ldr r0, " STRIP)
        DENSE_WORD
        DO("str r2, " STREAM_END)
        START_SUMS
        DO("bcs 3f")
        DO("b 4f")
        QUADS(NOTHING, DENSE_WORD, NOTHING, NOTHING)
        SECOND_HALF(NOTHING, NOTHING, NOTHING)
    );
    __asm__(FINISH_FILTER("r12"));
}

/* VALUES is where the values would begin if there were some for every address up to the first distance: those of a
 * block lie 4 r1 further, when r1 has gone on from its distance. */
#define BLOCK4_DISTANCE DO("ldrb lr, [r1], #1")
#define BLOCK4_BASE DO("ldr r3, " VALUES)
#define BLOCK4_STEP DO("add r0, r0, lr, lsl #6")
#define BLOCK4_VALUES DO("ldr lr, [r3, r1, lsl #2]")

NAKED void se_filters_wide_block4(const se_wide_filters *filters __attribute__((unused)))
{
    __asm__(
        ENTER
        DO("ldr r12, " INDEX)
        LABEL("1")
        START_FILTER("r12")
        DO("ldrh r3, [r0, r12, lsl #1]")
        DO("ldr r0, " STRIP)
        DO("add r2, r1, r3")
        DO("cbz r3, 9f")
        BLOCK4_DISTANCE
        DO("lsrs r3, r3, #1")                  /* C: an odd number of blocks */
        DO("str r2, " STREAM_END)
        BLOCK4_BASE
        START_SUMS
        BLOCK4_STEP
        DO("bcs 3f")
        DO("b 4f")
        LABEL("9")
        START_SUMS
        DO("b 5f")
        QUADS(BLOCK4_VALUES, BLOCK4_DISTANCE, BLOCK4_BASE, BLOCK4_STEP)
        SECOND_HALF(NOTHING, NOTHING, NOTHING)
        LABEL("5")
    );
    __asm__(FINISH_FILTER("r12"));
}

/* A filter's pairs, two at a time: r12 walks the values, r3 is the distance of the block that begins. */
#define BLOCK2_DISTANCE DO("ldrb r3, [r1], #1")
#define BLOCK2_STEP DO("ldrh lr, [r12], #2") DO("add r0, r0, r3, lsl #5") DO("orr lr, lr, lr, lsl #8")

NAKED void se_filters_wide_block2(const se_wide_filters *filters __attribute__((unused)))
{
    __asm__(
        ENTER
        DO("ldr r12, " VALUES)
        LABEL("1")
        DO("ldr r3, " INDEX)
        START_FILTER("r3")
        DO("ldrh r3, [r0, r3, lsl #1]")
        DO("ldr r0, " STRIP)
        DO("add r2, r1, r3")
        DO("lsrs r3, r3, #1")                  /* C: an odd number of blocks; Z: 0 or 1 */
        DO("str r2, " STREAM_END)
        START_SUMS
        DO("bcc 4f")
        BLOCK2_DISTANCE
        DO("b 3f")
        LABEL("4")
        DO("beq 5f")
        LABEL("2")
        BLOCK2_DISTANCE
        BLOCK2_STEP
        PAIR(NOTHING, BLOCK2_DISTANCE)
        LABEL("3")
        BLOCK2_STEP
        LOAD_END
        PAIR(COMPARE_END, NOTHING)
        DO("bne 2b")
        LABEL("5")
    );
    __asm__(FINISH_FILTER("r3"));
}

#endif
