/* Arm MPS2 with a Cortex-M image (AN385, AN386, AN500), on the FPGA or in QEMU: 25 MHz; console on the CMSDK UART 0;
 * cycles from the CMSDK timer 0, which counts the same clock (DWT reads 0 in QEMU). */
#include "port.h"

#define TIMER0_CTRL REGISTER(0x40000000u)
#define TIMER0_CTRL_ENABLE (1u << 0)
#define TIMER0_CTRL_INTERRUPT (1u << 3)
#define TIMER0_VALUE REGISTER(0x40000004u)
#define TIMER0_RELOAD REGISTER(0x40000008u)

#define UART0_DATA REGISTER(0x40004000u)
#define UART0_STATE REGISTER(0x40004004u)
#define UART0_STATE_TX_FULL (1u << 0)
#define UART0_STATE_RX_FULL (1u << 1)
#define UART0_CTRL REGISTER(0x40004008u)
#define UART0_CTRL_TX_ENABLE (1u << 0)
#define UART0_CTRL_RX_ENABLE (1u << 1)
#define UART0_BAUDDIV REGISTER(0x40004010u)
#define BAUD 115200u

void board_init(void)
{
    TIMER0_RELOAD = UINT32_MAX;
    TIMER0_VALUE = UINT32_MAX;
    TIMER0_CTRL = TIMER0_CTRL_ENABLE | TIMER0_CTRL_INTERRUPT; /* the NVIC ignores it; its status tells of a wrap */
    UART0_BAUDDIV = BOARD_CLOCK_HZ / BAUD;
    UART0_CTRL = UART0_CTRL_TX_ENABLE;
}

void board_print(const char *text)
{
    for (; *text != '\0'; text++) {
        while ((UART0_STATE & UART0_STATE_TX_FULL) != 0) {
        }
        UART0_DATA = (uint8_t)*text;
    }
}

void board_listen(void)
{
    UART0_CTRL = UART0_CTRL_TX_ENABLE | UART0_CTRL_RX_ENABLE;
}

int32_t board_receive(void)
{
    while ((UART0_STATE & UART0_STATE_RX_FULL) == 0) {
    }
    return (uint8_t)UART0_DATA;
}

uint32_t board_cycles(void)
{
    return ~TIMER0_VALUE; /* it counts down */
}
