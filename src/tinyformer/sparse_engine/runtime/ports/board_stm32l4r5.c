/* STM32L4R5 (reference manual RM0432): 120 MHz from the internal oscillator in the regulator's boost mode; flash with
 * prefetch and its two caches; console on the NUCLEO-L4R5ZI's ST-LINK virtual COM port at 115200 baud, 8 bits, no parity:
 * LPUART1 on PG7 (out) and PG8 (in). Written from the manual; it has run on a register model, not yet on silicon. */
#include "port.h"

#define RCC_CR REGISTER(0x40021000u)
#define RCC_CR_HSION (1u << 8)
#define RCC_CR_HSIRDY (1u << 10)
#define RCC_CR_PLLON (1u << 24)
#define RCC_CR_PLLRDY (1u << 25)
#define RCC_CFGR REGISTER(0x40021008u)
#define RCC_CFGR_SW_PLL (3u << 0)
#define RCC_CFGR_SWS (3u << 2)
#define RCC_CFGR_SWS_PLL (3u << 2)
#define RCC_CFGR_HPRE_DIV2 (8u << 4)
#define RCC_PLLCFGR REGISTER(0x4002100Cu)
#define RCC_PLLCFGR_SRC_HSI (2u << 0)
#define RCC_PLLCFGR_REN (1u << 24)
#define RCC_AHB2ENR REGISTER(0x4002104Cu)
#define RCC_AHB2ENR_GPIOGEN (1u << 6)
#define RCC_APB1ENR1 REGISTER(0x40021058u)
#define RCC_APB1ENR1_PWREN (1u << 28)
#define RCC_APB1ENR2 REGISTER(0x4002105Cu)
#define RCC_APB1ENR2_LPUART1EN (1u << 0)

#define PWR_CR1 REGISTER(0x40007000u)
#define PWR_CR1_VOS (3u << 9)
#define PWR_CR1_VOS_RANGE1 (1u << 9)
#define PWR_CR2 REGISTER(0x40007004u)
#define PWR_CR2_IOSV (1u << 9)
#define PWR_SR2 REGISTER(0x40007014u)
#define PWR_SR2_VOSF (1u << 10)
#define PWR_CR5 REGISTER(0x40007080u)
#define PWR_CR5_R1MODE (1u << 8)

#define FLASH_ACR REGISTER(0x40022000u)
#define FLASH_ACR_LATENCY 0xFu
#define FLASH_ACR_5_WAIT_STATES 5u
#define FLASH_ACR_PRFTEN (1u << 8)
#define FLASH_ACR_ICEN (1u << 9)
#define FLASH_ACR_DCEN (1u << 10)

/* PLL: 16 MHz / 4 = 4 MHz, x 60 = 240 MHz, / 2 = 120 MHz (fields hold divisor - 1, factor, and 0 for 2) */
#define PLL_FROM_HSI (RCC_PLLCFGR_SRC_HSI | ((4u - 1u) << 4) | (60u << 8) | RCC_PLLCFGR_REN)

#define AT_LEAST_1_US 256 /* passes of a loop of at least one cycle, at 60 MHz */

/* The console: LPUART1 on two pins of port G */
#define USART 0x40008000u
#define USART_ALTERNATE_FUNCTION 8u
#define PINS 0x48001800u
#define TX_PIN 7u
#define RX_PIN 8u
#include "stm32_console.h"

/* Above 80 MHz the manual wants boost mode, and half the clock on the bus for a microsecond after the switch. */
static void start_clock(void)
{
    RCC_APB1ENR1 |= RCC_APB1ENR1_PWREN;
    (void)RCC_APB1ENR1; /* the clock is on after a read */
    PWR_CR1 = (PWR_CR1 & ~PWR_CR1_VOS) | PWR_CR1_VOS_RANGE1;
    wait_for(&PWR_SR2, PWR_SR2_VOSF, 0);

    RCC_CR |= RCC_CR_HSION;
    wait_for(&RCC_CR, RCC_CR_HSIRDY, RCC_CR_HSIRDY);
    RCC_PLLCFGR = PLL_FROM_HSI;
    RCC_CR |= RCC_CR_PLLON;

    RCC_CFGR |= RCC_CFGR_HPRE_DIV2;
    PWR_CR5 &= ~PWR_CR5_R1MODE;
    FLASH_ACR = FLASH_ACR_5_WAIT_STATES | FLASH_ACR_PRFTEN | FLASH_ACR_ICEN | FLASH_ACR_DCEN;
    wait_for(&FLASH_ACR, FLASH_ACR_LATENCY, FLASH_ACR_5_WAIT_STATES);
    wait_for(&RCC_CR, RCC_CR_PLLRDY, RCC_CR_PLLRDY);
    RCC_CFGR |= RCC_CFGR_SW_PLL;
    wait_for(&RCC_CFGR, RCC_CFGR_SWS, RCC_CFGR_SWS_PLL);
    for (int32_t i = 0; i < AT_LEAST_1_US; i++) {
        __asm__ volatile("");
    }
    RCC_CFGR = RCC_CFGR_SW_PLL;
}

/* PG2 to PG15 hang on a supply of their own, VddIO2, which is cut off until the program says that it is there. */
static void start_console(void)
{
    PWR_CR2 |= PWR_CR2_IOSV;
    RCC_AHB2ENR |= RCC_AHB2ENR_GPIOGEN;
    RCC_APB1ENR2 |= RCC_APB1ENR2_LPUART1EN;
    (void)RCC_APB1ENR2;
    connect(PINS, TX_PIN);
    USART_BRR = (uint32_t)((256ull * BOARD_CLOCK_HZ + BAUD / 2) / BAUD); /* an LPUART counts 256ths of its clock */
    USART_CR1 = USART_CR1_UE | USART_CR1_TE;
}

void board_init(void)
{
    start_clock();
    start_console();
}

void board_listen(void)
{
    connect(PINS, RX_PIN);
    start_receiver();
}
