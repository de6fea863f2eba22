/* The application's ends in QEMU: inputs come from inputs.bin, one after another; outputs.bin takes the outputs and
 * counts.bin what was measured; the program ends with the inputs. Files pass through semihosting. */
#include "port.h"

#define TIMER0_VALUE REGISTER(0x40000004u)
#define TIMER0_INTERRUPT REGISTER(0x4000000Cu)

#define SEMIHOSTING_OPEN 0x01u
#define SEMIHOSTING_WRITE 0x05u
#define SEMIHOSTING_READ 0x06u
#define SEMIHOSTING_EXIT 0x18u
#define MODE_READ_BINARY 1u
#define MODE_WRITE_BINARY 5u
#define EXIT_DONE 0x20026u
#define EXIT_FAULT 0x20023u

#define UNTOUCHED 0xA5A5A5A5u

extern uint32_t __stack_bottom[];
extern uint32_t __stack_top[];

static uint32_t input_file;
static uint32_t output_file;
static uint32_t counts_file;

static uint32_t semihosting(uint32_t operation, uint32_t argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register uint32_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static uint32_t open_file(const char *name, uint32_t length, uint32_t mode)
{
    const uint32_t arguments[3] = {(uint32_t)(uintptr_t)name, mode, length};
    return semihosting(SEMIHOSTING_OPEN, (uint32_t)(uintptr_t)arguments);
}

/* Return the number of bytes that were not transferred. */
static uint32_t transfer(uint32_t operation, uint32_t file, const void *data, uint32_t bytes)
{
    const uint32_t arguments[3] = {file, (uint32_t)(uintptr_t)data, bytes};
    return semihosting(operation, (uint32_t)(uintptr_t)arguments);
}

void board_fault(void)
{
    (void)semihosting(SEMIHOSTING_EXIT, EXIT_FAULT);
    for (;;) {
        __asm__ volatile("");
    }
}

static void begin(void)
{
    uint32_t *here = __builtin_frame_address(0);
    for (uint32_t *word = __stack_bottom; word < here - 32; word++) {
        *word = UNTOUCHED;
    }
    input_file = open_file("inputs.bin", 10, MODE_READ_BINARY);
    output_file = open_file("outputs.bin", 11, MODE_WRITE_BINARY);
    counts_file = open_file("counts.bin", 10, MODE_WRITE_BINARY);
}

void se_app_ready(void)
{
    if (input_file == 0) {
        begin();
    }
    if (transfer(SEMIHOSTING_READ, input_file, se_app_input, se_app_input_bytes) != 0) {
        (void)semihosting(SEMIHOSTING_EXIT, EXIT_DONE);
    }
    TIMER0_VALUE = UINT32_MAX;
    TIMER0_INTERRUPT = 1; /* clears it */
}

void se_app_done(void)
{
    const uint32_t wrapped = TIMER0_INTERRUPT;
    const uint32_t *used = __stack_bottom;
    while (used < __stack_top && *used == UNTOUCHED) {
        used++;
    }
    const uint32_t stack_bytes = (uint32_t)(__stack_top - used) * 4;
    const uint32_t counts[4] = {se_app_cycles[0], se_app_cycles[1], wrapped, stack_bytes};
    (void)transfer(SEMIHOSTING_WRITE, output_file, se_app_output, se_app_output_bytes);
    (void)transfer(SEMIHOSTING_WRITE, counts_file, counts, sizeof counts);
}
