/* What holds on every Cortex-M. The clock stays as reset leaves it; the console is the debugger's, if there is one. */
#include "port.h"

#define DHCSR REGISTER(0xE000EDF0u)
#define DHCSR_C_DEBUGEN (1u << 0)
#define DEMCR REGISTER(0xE000EDFCu)
#define DEMCR_TRCENA (1u << 24)
#define DWT_CTRL REGISTER(0xE0001000u)
#define DWT_CTRL_CYCCNTENA (1u << 0)
#define DWT_CYCCNT REGISTER(0xE0001004u)
#define DWT_LAR REGISTER(0xE0001FB0u)
#define DWT_LAR_UNLOCK 0xC5ACCE55u

#define SEMIHOSTING_WRITE0 0x04u

__attribute__((weak)) void board_init(void)
{
}

/* Semihosting stops the core for the debugger; without one the bkpt would be a fault, so ask first. */
__attribute__((weak)) void board_print(const char *text)
{
    if ((DHCSR & DHCSR_C_DEBUGEN) != 0) {
        register uint32_t r0 __asm__("r0") = SEMIHOSTING_WRITE0;
        register const char *r1 __asm__("r1") = text;
        __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    }
}

__attribute__((weak)) void board_listen(void)
{
}

__attribute__((weak)) int32_t board_receive(void)
{
    return -1;
}

__attribute__((weak)) uint32_t board_cycles(void)
{
#if __ARM_ARCH >= 7
    if ((DWT_CTRL & DWT_CTRL_CYCCNTENA) == 0) {
        DEMCR |= DEMCR_TRCENA;
        DWT_LAR = DWT_LAR_UNLOCK; /* the Cortex-M7 has this lock, others ignore it */
        DWT_CTRL |= DWT_CTRL_CYCCNTENA;
    }
    return DWT_CYCCNT;
#else
    return 0; /* Armv6-M has no cycle counter */
#endif
}

__attribute__((weak)) void board_fault(void)
{
    for (;;) {
        __asm__ volatile("");
    }
}
