#include "se_depthwise_row.h"

/* One generator of two assembly functions, because compilers spill eight sums.
 *
 *     r4 .. r11  the sums of eight outputs
 *     r0         the filter's blocks, behind the one in work
 *     r1         the window elements of the block
 *     r2, r3     words of them: elements 2i and 2i + 1
 *     r12, lr    the block's weights 0 and 1, 1 and 2
 *
 * A word meets the weights of four outputs: output 2i takes both of its elements times weights 0 and 1, output 2i + 1 the
 * second times weight 0; output 2i - 2 takes the first times weight 2, output 2i - 1 both times weights 1 and 2. So 16
 * products make 24 multiply-accumulates from five loads. With a stride of 2, word i meets two outputs only: i takes both
 * elements times weights 0 and 1, and i - 1 the first times weight 2. */

#if SE_DSP

#define DO(line) line "\n\t"
#define LABEL(name) name ":\n\t"

/* the argument's words, of which the function makes a copy */
#define BLOCKS "[sp]" /* then: of the channel in work */
#define FILTERS "[sp, #4]"
#define FILTERS_END "[sp, #8]"
#define ROWS "[sp, #12]"
#define OUTPUT "[sp, #16]"
#define OUTPUT_STEP "[sp, #20]"
#define GROUPS_BYTES "[sp, #24]"
#define ZERO_POINT "[sp, #28]"
/* and of the channel in work */
#define BLOCKS_END "[sp, #32]"
#define WINDOW "[sp, #36]"
#define WINDOW_END "[sp, #40]"
#define CHANNEL_OUTPUT "[sp, #44]"
#define BIAS "[sp, #48]"
#define MULTIPLIER "[sp, #52]"
#define FRAME "#56"

#define LIES_AT(type, field, bytes) (offsetof(type, field) == (bytes))
typedef char se_depthwise_row_lies_as_above
    [LIES_AT(se_depthwise_row, blocks, 0) && LIES_AT(se_depthwise_row, filters, 4) &&
             LIES_AT(se_depthwise_row, filters_end, 8) && LIES_AT(se_depthwise_row, rows, 12) &&
             LIES_AT(se_depthwise_row, output, 16) && LIES_AT(se_depthwise_row, output_step, 20) &&
             LIES_AT(se_depthwise_row, groups_bytes, 24) && LIES_AT(se_depthwise_row, zero_point, 28) &&
             sizeof(se_depthwise_row) == 32 &&
             LIES_AT(se_depthwise_filter, blocks_bytes, 0) && LIES_AT(se_depthwise_filter, rows_offset, 4) &&
             LIES_AT(se_depthwise_filter, output_offset, 8) && LIES_AT(se_depthwise_filter, bias, 12) &&
             LIES_AT(se_depthwise_filter, multiplier, 16) && sizeof(se_depthwise_filter) == 20 &&
             LIES_AT(se_depthwise_block, first, 4) && LIES_AT(se_depthwise_block, second, 8) &&
             sizeof(se_depthwise_block) == 12
         ? 1
         : -1];

/* sum + elements 0 and 1 by weights 0 and 1, element 1 by weight 0, element 0 by weight 2, both by weights 1 and 2 */
#define BOTH(sum, word, start) DO("smlad " sum ", " word ", r12, " start)
#define SECOND(sum, word, start) DO("smlatb " sum ", " word ", r12, " start)
#define LAST(sum, word) DO("smlabt " sum ", " word ", lr, " sum)
#define LATTER(sum, word) DO("smlad " sum ", " word ", lr, " sum)

/* from where a sum stands, or from the bias in r11: the first product of a sum */
#define GO_ON(product, sum, word) product(sum, word, sum)
#define START(product, sum, word) product(sum, word, "r11")

#define WORD(to, index) DO("ldr " to ", [r1, #4 * " #index "]")

#define ENTER_BLOCK                                                                                                    \
    DO("ldr r2, [r0], #12")                                                                                            \
    DO("ldr r12, [r0, #-8]")                                                                                           \
    DO("ldr lr, [r0, #-4]")                                                                                            \
    DO("add r1, r1, r2")                                                                                               \
    WORD("r2", 0)                                                                                                      \
    WORD("r3", 1)

/* A block, of which `FIRST` is GO_ON or START, with the window in r1; then Z: it was the last one. */
#define STRIDE1_BLOCK(FIRST)                                                                                           \
    ENTER_BLOCK                                                                                                        \
    FIRST(BOTH, "r4", "r2") FIRST(SECOND, "r5", "r2") WORD("r2", 2)                                                    \
    LAST("r4", "r3") LATTER("r5", "r3")                                                                                \
    FIRST(BOTH, "r6", "r3") FIRST(SECOND, "r7", "r3") WORD("r3", 3)                                                    \
    LAST("r6", "r2") LATTER("r7", "r2")                                                                                \
    FIRST(BOTH, "r8", "r2") FIRST(SECOND, "r9", "r2") WORD("r2", 4)                                                    \
    LAST("r8", "r3") LATTER("r9", "r3")                                                                                \
    FIRST(BOTH, "r10", "r3") FIRST(SECOND, "r11", "r3")                                                                \
    DO("ldr r3, " BLOCKS_END)                                                                                          \
    DO("cmp r0, r3")                                                                                                   \
    LAST("r10", "r2") LATTER("r11", "r2")

#define STRIDE2_BLOCK(FIRST)                                                                                           \
    ENTER_BLOCK                                                                                                        \
    FIRST(BOTH, "r4", "r2") WORD("r2", 2) LAST("r4", "r3")                                                             \
    FIRST(BOTH, "r5", "r3") WORD("r3", 3) LAST("r5", "r2")                                                             \
    FIRST(BOTH, "r6", "r2") WORD("r2", 4) LAST("r6", "r3")                                                             \
    FIRST(BOTH, "r7", "r3") WORD("r3", 5) LAST("r7", "r2")                                                             \
    FIRST(BOTH, "r8", "r2") WORD("r2", 6) LAST("r8", "r3")                                                             \
    FIRST(BOTH, "r9", "r3") WORD("r3", 7) LAST("r9", "r2")                                                             \
    FIRST(BOTH, "r10", "r2") WORD("r2", 8) LAST("r10", "r3")                                                           \
    FIRST(BOTH, "r11", "r3")                                                                                           \
    DO("ldr r3, " BLOCKS_END)                                                                                          \
    DO("cmp r0, r3")                                                                                                   \
    LAST("r11", "r2")

#define SCALE(sum) DO("smmlar " sum ", " sum ", r2, r3")
#define SATURATE(sum) DO("ssat " sum ", #8, " sum)

#define ROW(BLOCK, EIGHT_BYTES)                                                                                        \
    DO("push {r4-r11, lr}")                                                                                            \
    DO("sub sp, sp, " FRAME)                                                                                           \
    DO("ldmia r0, {r2-r9}")                                                                                            \
    DO("stmia sp, {r2-r9}")                                                                                            \
    LABEL("1") /* a channel */                                                                                         \
    DO("ldr r0, " FILTERS)                                                                                             \
    DO("ldr r1, " ROWS)                                                                                                \
    DO("ldr r7, " OUTPUT)                                                                                              \
    DO("ldr r8, " GROUPS_BYTES)                                                                                        \
    DO("ldmia r0!, {r2-r6}")                                                                                           \
    DO("str r0, " FILTERS)                                                                                             \
    DO("ldr r0, " BLOCKS)                                                                                              \
    DO("add r1, r1, r3")                                                                                               \
    DO("add r7, r7, r4")                                                                                               \
    DO("add r8, r8, r1")                                                                                               \
    DO("add r2, r2, r0")                                                                                               \
    DO("str r2, " BLOCKS_END)                                                                                          \
    DO("str r1, " WINDOW)                                                                                              \
    DO("str r8, " WINDOW_END)                                                                                          \
    DO("str r7, " CHANNEL_OUTPUT)                                                                                      \
    DO("str r5, " BIAS)                                                                                                \
    DO("str r6, " MULTIPLIER)                                                                                          \
    LABEL("2") /* eight outputs */                                                                                     \
    DO("ldr r0, " BLOCKS)                                                                                              \
    DO("ldr r11, " BIAS)                                                                                               \
    BLOCK(START)                                                                                                       \
    DO("beq 4f")                                                                                                       \
    LABEL("3") /* a block */                                                                                           \
    DO("ldr r1, " WINDOW)                                                                                              \
    BLOCK(GO_ON)                                                                                                       \
    DO("bne 3b")                                                                                                       \
    LABEL("4")                                                                                                         \
    DO("ldr r2, " MULTIPLIER) /* requantise and store */                                                               \
    DO("ldr r3, " ZERO_POINT)                                                                                          \
    SCALE("r4") SCALE("r5") SATURATE("r4") SCALE("r6") SATURATE("r5") SCALE("r7") SATURATE("r6") SCALE("r8")           \
    SATURATE("r7") SCALE("r9") SATURATE("r8") SCALE("r10") SATURATE("r9") SCALE("r11") SATURATE("r10")                 \
    DO("ldr r0, " CHANNEL_OUTPUT)                                                                                      \
    DO("ldr r2, " OUTPUT_STEP)                                                                                         \
    SATURATE("r11")                                                                                                    \
    DO("strb r4, [r0]")                                                                                                \
    DO("add r3, r2, r2, lsl #1")                                                                                       \
    DO("strb r5, [r0, r2]")                                                                                            \
    DO("ldr r1, " WINDOW)                                                                                              \
    DO("strb r6, [r0, r2, lsl #1]")                                                                                    \
    DO("ldr r4, " WINDOW_END)                                                                                          \
    DO("strb r8, [r0, r2, lsl #2]")                                                                                    \
    DO("strb r7, [r0, r3]")                                                                                            \
    DO("add r0, r0, r3")                                                                                               \
    DO("add r1, r1, #" EIGHT_BYTES)                                                                                    \
    DO("strb r9, [r0, r2, lsl #1]")                                                                                    \
    DO("cmp r1, r4")                                                                                                   \
    DO("strb r10, [r0, r3]")                                                                                           \
    DO("str r1, " WINDOW)                                                                                              \
    DO("strb r11, [r0, r2, lsl #2]")                                                                                   \
    DO("add r2, r2, r2, lsl #2")                                                                                       \
    DO("add r0, r0, r2")                                                                                               \
    DO("str r0, " CHANNEL_OUTPUT)                                                                                      \
    DO("bne 2b")                                                                                                       \
    DO("ldr r0, " FILTERS)                                                                                             \
    DO("ldr r2, " FILTERS_END)                                                                                         \
    DO("ldr r3, " BLOCKS_END)                                                                                          \
    DO("cmp r0, r2")                                                                                                   \
    DO("str r3, " BLOCKS)                                                                                              \
    DO("bne 1b")                                                                                                       \
    DO("add sp, sp, " FRAME)                                                                                           \
    DO("pop {r4-r11, pc}")

#define NAKED __attribute__((naked, noinline))

NAKED void se_depthwise_row_of_eights(const se_depthwise_row *row __attribute__((unused)))
{
    __asm__(ROW(STRIDE1_BLOCK, "16"));
}

NAKED void se_depthwise_row_of_eights_stride2(const se_depthwise_row *row __attribute__((unused)))
{
    __asm__(ROW(STRIDE2_BLOCK, "32"));
}

#else

typedef char se_depthwise_row_is_of_the_dsp_extension; /* a source file holds something */

#endif
