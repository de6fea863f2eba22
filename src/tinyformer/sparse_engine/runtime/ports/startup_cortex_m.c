/* From reset to main on any Cortex-M, without a C library's startup code. */
#include "port.h"

/* Addresses from link.ld: only the addresses mean something, all are multiples of 4. */
extern uint32_t __stack_top[];
extern uint32_t __data_start[];
extern uint32_t __data_end[];
extern const uint32_t __data_load[];
extern uint32_t __bss_start[];
extern uint32_t __bss_end[];

int main(void);
void reset_handler(void);

typedef struct {
    uint32_t *stack_top;
    void (*handlers[15])(void); /* reset, NMI, HardFault and the other system exceptions */
} vector_table;

extern const vector_table vectors;
__attribute__((section(".vectors"), used)) const vector_table vectors = {
    __stack_top,
    {
        reset_handler, board_fault, board_fault, board_fault, board_fault, board_fault, board_fault, board_fault,
        board_fault, board_fault, board_fault, board_fault, board_fault, board_fault, board_fault,
    },
};

#define SCB_VTOR REGISTER(0xE000ED08u)
#define SCB_CPACR REGISTER(0xE000ED88u)
#define CPACR_FULL_ACCESS_TO_FPU (0xFu << 20)

void reset_handler(void)
{
    SCB_VTOR = (uint32_t)(uintptr_t)&vectors; /* a boot loader may have left its own */
#if defined(__ARM_FP)
    SCB_CPACR |= CPACR_FULL_ACCESS_TO_FPU;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
    const uint32_t *source = __data_load;
    for (uint32_t *word = __data_start; word < __data_end; word++) {
        *word = *source++;
    }
    for (uint32_t *word = __bss_start; word < __bss_end; word++) {
        *word = 0;
    }
    board_init();
    (void)main();
    board_fault();
}
