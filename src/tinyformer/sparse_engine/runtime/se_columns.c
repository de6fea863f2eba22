#include "se_columns.h"

#if SE_DSP

/* two halves of int16, added to the sum */
static inline int32_t add_halves(uint32_t halves, int32_t sum)
{
    int32_t result;
    __asm__("smlad %0, %1, %2, %3" : "=r"(result) : "r"(halves), "r"(0x00010001u), "r"(sum));
    return result;
}

static inline uint32_t byte_at(const int8_t *source)
{
    return (uint8_t)*source;
}

/* the low halves of two words, and the high halves */
static inline uint32_t low_halves(uint32_t first, uint32_t second)
{
    uint32_t result;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(result) : "r"(first), "r"(second));
    return result;
}

static inline uint32_t high_halves(uint32_t first, uint32_t second)
{
    uint32_t result;
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(result) : "r"(second), "r"(first));
    return result;
}

/* The last `left` elements, 0 to 3, of a column; returns the sum, of which `sum` was that of the others. */
static int32_t fill_rest(const int8_t *source, int32_t step, int32_t left, int32_t zero_point, uint32_t *words,
                         int32_t sum)
{
    if ((left & 2) != 0) {
        words[0] = se_halves_add_even(se_halves_splat(-zero_point), byte_at(source) | byte_at(source + step) << 16);
        sum = add_halves(words[0], sum);
        words += SE_STRIP_COLUMNS;
        source += 2 * step;
    }
    if ((left & 1) != 0) {
        words[0] = (uint32_t)(*source - zero_point) & 0xffffu;
        sum = add_halves(words[0], sum);
    }
    return sum;
}

/* a column whose elements lie side by side or far apart */
static int32_t fill_column(const int8_t *source, int32_t step, int32_t depth, int32_t zero_point, uint32_t *words)
{
    const uint32_t minus = se_halves_splat(-zero_point);
    int32_t sum = 0;
    SE_NOT_UNROLLED
    for (int32_t quads = depth >> 2; quads != 0; quads--, words += 2 * SE_STRIP_COLUMNS) {
        uint32_t bytes;
        if (step == 1) {
            bytes = se_lanes_load(source);
        } else {
            bytes = byte_at(source) | byte_at(source + step) << 8;
            bytes |= byte_at(source + 2 * step) << 16 | byte_at(source + 3 * step) << 24;
        }
        source += 4 * step;
        words[0] = se_halves_add_even(minus, bytes);
        words[SE_STRIP_COLUMNS] = se_halves_add_odd(minus, bytes);
        sum = add_halves(words[SE_STRIP_COLUMNS], add_halves(words[0], sum));
    }
    return fill_rest(source, step, depth & 3, zero_point, words, sum);
}

/* elements 4q + `first` and 4q + `first` + 2 of four columns side by side, from two words of the matrix's rows */
static inline void put_four(uint32_t minus, uint32_t upper, uint32_t lower, uint32_t *words, int32_t *sums)
{
    const uint32_t upper_even = se_halves_add_even(minus, upper), upper_odd = se_halves_add_odd(minus, upper);
    const uint32_t lower_even = se_halves_add_even(minus, lower), lower_odd = se_halves_add_odd(minus, lower);
    words[0] = low_halves(upper_even, lower_even);
    words[1] = low_halves(upper_odd, lower_odd);
    words[2] = high_halves(upper_even, lower_even);
    words[3] = high_halves(upper_odd, lower_odd);
    sums[0] = add_halves(words[0], sums[0]);
    sums[1] = add_halves(words[1], sums[1]);
    sums[2] = add_halves(words[2], sums[2]);
    sums[3] = add_halves(words[3], sums[3]);
}

/* four columns that lie side by side */
static void fill_four(const se_columns_source *s, int32_t column, uint32_t *words, int32_t *sums)
{
    const int32_t step = s->row_step;
    const uint32_t minus = se_halves_splat(-s->zero_point);
    const int8_t *source = s->elements + column;
    int32_t four[4] = {0, 0, 0, 0};
    SE_NOT_UNROLLED
    for (int32_t quads = s->depth >> 2; quads != 0; quads--, words += 2 * SE_STRIP_COLUMNS) {
        put_four(minus, se_lanes_load(source), se_lanes_load(source + 2 * step), words, four);
        source += step;
        put_four(minus, se_lanes_load(source), se_lanes_load(source + 2 * step), words + SE_STRIP_COLUMNS, four);
        source += 3 * step;
    }
    for (int32_t i = 0; i < 4; i++)
        sums[i] = fill_rest(source + i, step, s->depth & 3, s->zero_point, words + i, four[i]);
}

void se_columns_fill(const se_columns_source *source, int32_t count, void *strip, int32_t *sums)
{
    const se_columns_source s = *source;
    uint32_t *const words = strip;
    int32_t column = 0;
    if (s.row_step != 1) {
        for (; column + 4 <= count; column += 4)
            fill_four(&s, column, words + column, sums + column);
    }
    for (; column < count; column++)
        sums[column] = fill_column(s.elements + column * s.column_step, s.row_step, s.depth, s.zero_point,
                                   words + column);
}

/* ---- the loop: assembly, because compilers spill eight sums ----------------------------------------------------------
 *
 *     r4 .. r11  the sums of eight columns
 *     r0         the strip, behind the words in work
 *     r1         the row, behind the elements in work
 *     r2, r3     words of the strip
 *     r12, lr    two elements of the row as int16, and the four bytes they came from
 *
 * Each load of a word stands beside the product that frees its register, two products before the one that uses it: a
 * core with two issue slots runs a product every cycle. The loop ends before its last products, as those of
 * se_filters_wide.c do. Nothing is read beyond the rows or the strip. */

#define DO(line) line "\n\t"
#define LABEL(name) name ":\n\t"
#define NOTHING ""

/* the argument's words, of which the function makes a copy */
#define STRIP "[sp, #32]"
#define ROW "[sp, #36]"
#define ROW_END "[sp, #36]" /* of its whole quads, once r1 has the row */
#define OUTPUT "[sp, #40]"
#define OUTPUT_END "[sp, #44]"
#define OUTPUT_STEP "[sp, #48]"
#define MULTIPLIER "[sp, #52]"
#define ZERO_POINT "[sp, #56]"
#define LEFT_SHIFT "[sp, #60]"
#define COUNT "[sp, #64]"
#define DEPTH "[sp, #68]"
#define UNUSUAL "[sp, #72]"

#define LIES_AT(field, bytes) (offsetof(se_columns, field) == (bytes))
typedef char se_columns_lies_as_above[LIES_AT(start, 0) && LIES_AT(strip, 32) && LIES_AT(rows, 36) &&
                                              LIES_AT(output, 40) && LIES_AT(output_end, 44) &&
                                              LIES_AT(output_step, 48) && LIES_AT(multiplier, 52) &&
                                              LIES_AT(zero_point, 56) && LIES_AT(left_shift, 60) &&
                                              LIES_AT(count, 64) && LIES_AT(depth, 68) && LIES_AT(unusual, 72) &&
                                              sizeof(se_columns) == 76
                                          ? 1
                                          : -1];

#define LOAD(to, offset) DO("ldr " to ", [r0, #" offset "]")
#define MULTIPLY(sum, words) DO("smlad " sum ", " words ", r12, " sum)
#define SHIFT(sum) DO("lsl " sum ", " sum ", lr")
#define SCALE(sum) DO("smmlar " sum ", " sum ", r2, r3")
#define SATURATE(sum) DO("ssat " sum ", #8, " sum)
#define INSERT(into, lane, position) DO("bfi " into ", " lane ", #" position ", #8")
#define EACH(line) line("r4") line("r5") line("r6") line("r7") line("r8") line("r9") line("r10") line("r11")

/* r12 by a word of each column, from r3 and r2 by turns; beside a product stands the load of the word that the one
 * after next takes, or another line */
#define PRODUCTS(beside5, beside4, beside6, beside7, beside8, beside9, beside10, beside11)                             \
    MULTIPLY("r5", "r3") beside5                                                                                       \
    MULTIPLY("r4", "r2") beside4                                                                                       \
    MULTIPLY("r6", "r3") beside6                                                                                       \
    MULTIPLY("r7", "r2") beside7                                                                                       \
    MULTIPLY("r8", "r3") beside8                                                                                       \
    MULTIPLY("r9", "r2") beside9                                                                                       \
    MULTIPLY("r10", "r3") beside10                                                                                     \
    MULTIPLY("r11", "r2") beside11

/* four elements of the row, the bytes in lr, in two halves; `lead` may use r2, `first` and `second` lr */
#define FIRST_HALF(lead)                                                                                               \
    DO("ldr r3, [r0, #4]") lead                                                                                        \
    DO("sxtb16 r12, lr")                                                                                               \
    DO("ldr r2, [r0], #64")                                                                                            \
    PRODUCTS(LOAD("r3", "-56"), LOAD("r2", "-52"), LOAD("r3", "-48"), LOAD("r2", "-44"), LOAD("r3", "-40"),            \
             LOAD("r2", "-36"), LOAD("r3", "-28"), LOAD("r2", "-32"))                                                  \
    DO("sxtb16 r12, lr, ror #8")
#define SECOND_HALF(first, second)                                                                                     \
    first                                                                                                              \
    PRODUCTS(LOAD("r3", "-24"), LOAD("r2", "-20"), LOAD("r3", "-16"), LOAD("r2", "-12"), LOAD("r3", "-8"),             \
             LOAD("r2", "-4"), second, NOTHING)

/* one or two elements, in r12 */
#define REST                                                                                                           \
    DO("ldr r3, [r0, #4]")                                                                                             \
    DO("ldr r2, [r0], #32")                                                                                            \
    PRODUCTS(LOAD("r3", "-24"), LOAD("r2", "-20"), LOAD("r3", "-16"), LOAD("r2", "-12"), LOAD("r3", "-8"),             \
             LOAD("r2", "-4"), NOTHING, NOTHING)

__attribute__((naked, noinline)) void se_columns_multiply(const se_columns *columns __attribute__((unused)))
{
    __asm__(
        DO("push {r4-r11, lr}")
        DO("sub sp, sp, #76")
        DO("mov r1, sp")
        DO("ldmia r0!, {r4-r11}")
        DO("stmia r1!, {r4-r11}")
        DO("ldmia r0!, {r4-r11}")
        DO("stmia r1!, {r4-r11}")
        DO("ldmia r0!, {r4-r6}")
        DO("stmia r1!, {r4-r6}")
        DO("ldr r1, " ROW)

        LABEL("1") /* a row */
        DO("ldr r2, " DEPTH)
        DO("ldr r0, " STRIP)
        DO("bics r3, r2, #3")
        DO("ldmia sp, {r4-r11}")
        DO("beq 10f")
        DO("add r3, r3, r1")
        DO("ldr lr, [r1], #4")
        DO("str r3, " ROW_END)
        DO("b 3f")
        LABEL("2")
        SECOND_HALF(DO("ldr lr, [r1], #4"), NOTHING)
        LABEL("3")
        DO("ldr r2, " ROW_END)
        FIRST_HALF(DO("cmp r1, r2"))
        DO("bne 2b")
        SECOND_HALF(DO("ldr lr, " DEPTH), DO("lsls lr, lr, #31"))
        LABEL("4") /* C: two elements more; N: one more */
        DO("bcc 5f")
        DO("ldrh r12, [r1], #2")
        DO("orr r12, r12, r12, lsl #8")
        DO("sxtb16 r12, r12")
        REST
        LABEL("5")
        DO("bpl 6f")
        DO("ldrsb r12, [r1], #1")
        REST

        LABEL("6") /* requantise and store */
        DO("ldr lr, " UNUSUAL)
        DO("ldr r2, " MULTIPLIER)
        DO("ldr r3, " ZERO_POINT)
        DO("cmp lr, #0")
        DO("bne 8f")
        SCALE("r4") DO("ldr r0, " OUTPUT)
        SCALE("r5") DO("ldr r12, " OUTPUT_STEP)
        SATURATE("r4") SCALE("r6")
        SATURATE("r5") DO("add r12, r0, r12")
        SCALE("r7") DO("ldr lr, " OUTPUT_END)
        SATURATE("r6") DO("str r12, " OUTPUT)
        INSERT("r4", "r5", "8") SCALE("r8")
        SATURATE("r7") DO("cmp r12, lr")
        INSERT("r4", "r6", "16") SCALE("r9")
        SATURATE("r8") SCALE("r10")
        INSERT("r4", "r7", "24") SCALE("r11")
        SATURATE("r9") DO("str r4, [r0]")
        INSERT("r8", "r9", "8")
        SATURATE("r10")
        INSERT("r8", "r10", "16")
        SATURATE("r11")
        INSERT("r8", "r11", "24")
        DO("str r8, [r0, #4]")
        DO("bne 1b")
        LABEL("7")
        DO("add sp, sp, #76")
        DO("pop {r4-r11, pc}")

        LABEL("8") /* with a left shift, or fewer than eight columns, which are all there are */
        DO("ldr lr, " LEFT_SHIFT)
        EACH(SHIFT) EACH(SCALE) EACH(SATURATE)
        INSERT("r4", "r5", "8") INSERT("r4", "r6", "16") INSERT("r4", "r7", "24")
        INSERT("r8", "r9", "8") INSERT("r8", "r10", "16") INSERT("r8", "r11", "24")
        DO("ldr r0, " OUTPUT)
        DO("ldr r12, " OUTPUT_STEP)
        DO("ldr r2, " COUNT)
        DO("add r12, r0, r12")
        DO("str r12, " OUTPUT)
        DO("cmp r2, #8")
        DO("bne 9f")
        DO("str r4, [r0]")
        DO("str r8, [r0, #4]")
        DO("b 11f")
        LABEL("9") /* byte by byte */
        DO("strb r4, [r0], #1")
        DO("lsr r4, r4, #8")
        DO("orr r4, r4, r8, lsl #24")
        DO("lsr r8, r8, #8")
        DO("subs r2, r2, #1")
        DO("bne 9b")
        LABEL("11")
        DO("ldr r2, " OUTPUT_END)
        DO("cmp r12, r2")
        DO("bne 1b")
        DO("b 7b")

        LABEL("10") /* no whole quad */
        DO("lsls lr, r2, #31")
        DO("b 4b"));
}

#else

static int32_t fill_column(const int8_t *source, int32_t step, int32_t depth, int32_t zero_point, int16_t *words)
{
    int32_t sum = 0;
    for (int32_t left = depth; left > 0; left -= 2, words += 2 * SE_COLUMNS) {
        const int32_t first = *source - zero_point;
        const int32_t second = left > 1 ? source[step] - zero_point : 0;
        words[0] = (int16_t)first;
        words[1] = (int16_t)second;
        sum += first + second;
        source += 2 * step;
    }
    return sum;
}

void se_columns_fill(const se_columns_source *source, int32_t count, void *strip, int32_t *sums)
{
    const se_columns_source s = *source;
    for (int32_t column = 0; column < count; column++)
        sums[column] = fill_column(s.elements + column * s.column_step, s.row_step, s.depth, s.zero_point,
                                   (int16_t *)strip + 2 * column);
}

void se_columns_multiply(const se_columns *columns)
{
    const se_columns c = *columns;
    const int32_t pairs = c.depth >> 1;
    const int8_t *row = c.rows;
    for (int8_t *output = c.output; output != c.output_end; output += c.output_step) {
        const int16_t *words = c.strip;
        int32_t s0 = c.start[0], s1 = c.start[1], s2 = c.start[2], s3 = c.start[3];
        for (int32_t left = pairs; left != 0; left--, row += 2, words += 2 * SE_COLUMNS) {
            const int32_t first = row[0], second = row[1];
            s0 += first * words[0] + second * words[1];
            s1 += first * words[2] + second * words[3];
            s2 += first * words[4] + second * words[5];
            s3 += first * words[6] + second * words[7];
        }
        if ((c.depth & 1) != 0) {
            const int32_t last = *row++;
            s0 += last * words[0];
            s1 += last * words[2];
            s2 += last * words[4];
            s3 += last * words[6];
        }
        const se_lane_scale scale = {c.multiplier, c.left_shift, c.zero_point};
        const int32_t sums[SE_COLUMNS] = {s0, s1, s2, s3};
        for (int32_t i = 0; i < c.count; i++)
            output[i] = (int8_t)se_saturate_int8(se_lane_requantize(sums[i], scale));
    }
}

#endif
