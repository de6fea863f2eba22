/* STM32F746 (reference manual RM0385): 216 MHz from the internal oscillator, which every board has; caches on; console on
 * the ST-LINK's virtual COM port at 115200 baud, 8 bits, no parity: USART1 on PA9 (out) and PB7 (in) on the discovery
 * board and boards of one's own, USART3 on PD8 and PD9 on the NUCLEO-F746ZG. */
#include "port.h"

#define RCC_CR REGISTER(0x40023800u)
#define RCC_CR_HSION (1u << 0)
#define RCC_CR_HSIRDY (1u << 1)
#define RCC_CR_PLLON (1u << 24)
#define RCC_CR_PLLRDY (1u << 25)
#define RCC_PLLCFGR REGISTER(0x40023804u)
#define RCC_CFGR REGISTER(0x40023808u)
#define RCC_CFGR_SW_PLL (2u << 0)
#define RCC_CFGR_SWS (3u << 2)
#define RCC_CFGR_SWS_PLL (2u << 2)
#define RCC_CFGR_PPRE1_DIV4 (5u << 10)
#define RCC_CFGR_PPRE2_DIV2 (4u << 13)
#define RCC_AHB1ENR REGISTER(0x40023830u)
#define RCC_APB1ENR REGISTER(0x40023840u)
#define RCC_APB1ENR_USART3EN (1u << 18)
#define RCC_APB1ENR_PWREN (1u << 28)
#define RCC_APB2ENR REGISTER(0x40023844u)
#define RCC_APB2ENR_USART1EN (1u << 4)

#define PWR_CR1 REGISTER(0x40007000u)
#define PWR_CR1_VOS_SCALE1 (3u << 14)
#define PWR_CR1_ODEN (1u << 16)
#define PWR_CR1_ODSWEN (1u << 17)
#define PWR_CSR1 REGISTER(0x40007004u)
#define PWR_CSR1_ODRDY (1u << 16)
#define PWR_CSR1_ODSWRDY (1u << 17)

#define FLASH_ACR REGISTER(0x40023C00u)
#define FLASH_ACR_LATENCY 0xFu
#define FLASH_ACR_7_WAIT_STATES 7u
#define FLASH_ACR_PRFTEN (1u << 8)
#define FLASH_ACR_ARTEN (1u << 9)

#define SCB_CCR REGISTER(0xE000ED14u)
#define SCB_CCR_DC (1u << 16)
#define SCB_CCR_IC (1u << 17)
#define SCB_CCSIDR REGISTER(0xE000ED80u)
#define SCB_CSSELR REGISTER(0xE000ED84u)
#define SCB_ICIALLU REGISTER(0xE000EF50u)
#define SCB_DCISW REGISTER(0xE000EF60u)

/* PLL: 16 MHz / 8 = 2 MHz, x 216 = 432 MHz, / 2 = 216 MHz; the 48 MHz output is 432 / 9 */
#define PLL_FROM_HSI ((8u << 0) | (216u << 6) | (0u << 16) | (9u << 24))

#define APB1_HZ (BOARD_CLOCK_HZ / 4)
#define APB2_HZ (BOARD_CLOCK_HZ / 2)

/* The console: a USART, its pins and their clocks */
#ifdef BOARD_NUCLEO_F746ZG
#define USART 0x40004800u
#define USART_HZ APB1_HZ
#define USART_CLOCK_ENABLE (RCC_APB1ENR |= RCC_APB1ENR_USART3EN)
#define TX_PORT 0x40020C00u
#define TX_PORT_ENABLE (1u << 3)
#define TX_PIN 8u
#define RX_PORT TX_PORT
#define RX_PORT_ENABLE TX_PORT_ENABLE
#define RX_PIN 9u
#else
#define USART 0x40011000u
#define USART_HZ APB2_HZ
#define USART_CLOCK_ENABLE (RCC_APB2ENR |= RCC_APB2ENR_USART1EN)
#define TX_PORT 0x40020000u
#define TX_PORT_ENABLE (1u << 0)
#define TX_PIN 9u
#define RX_PORT 0x40020400u
#define RX_PORT_ENABLE (1u << 1)
#define RX_PIN 7u
#endif

#define USART_ALTERNATE_FUNCTION 7u
#include "stm32_console.h"

/* In the manual's order: the PLL starts, overdrive follows while it locks, wait states come before the switch. */
static void start_clock(void)
{
    RCC_APB1ENR |= RCC_APB1ENR_PWREN;
    (void)RCC_APB1ENR; /* the clock is on after a read */
    PWR_CR1 |= PWR_CR1_VOS_SCALE1;

    RCC_CR |= RCC_CR_HSION;
    wait_for(&RCC_CR, RCC_CR_HSIRDY, RCC_CR_HSIRDY);
    RCC_PLLCFGR = PLL_FROM_HSI;
    RCC_CR |= RCC_CR_PLLON;

    PWR_CR1 |= PWR_CR1_ODEN;
    wait_for(&PWR_CSR1, PWR_CSR1_ODRDY, PWR_CSR1_ODRDY);
    PWR_CR1 |= PWR_CR1_ODSWEN;
    wait_for(&PWR_CSR1, PWR_CSR1_ODSWRDY, PWR_CSR1_ODSWRDY);
    wait_for(&RCC_CR, RCC_CR_PLLRDY, RCC_CR_PLLRDY);

    FLASH_ACR = FLASH_ACR_7_WAIT_STATES | FLASH_ACR_PRFTEN | FLASH_ACR_ARTEN;
    wait_for(&FLASH_ACR, FLASH_ACR_LATENCY, FLASH_ACR_7_WAIT_STATES);
    RCC_CFGR = RCC_CFGR_SW_PLL | RCC_CFGR_PPRE1_DIV4 | RCC_CFGR_PPRE2_DIV2;
    wait_for(&RCC_CFGR, RCC_CFGR_SWS, RCC_CFGR_SWS_PLL);
}

/* Invalidate both caches, as they hold noise after reset, then turn them on. */
static void start_caches(void)
{
    SCB_ICIALLU = 0;
    SCB_CSSELR = 0; /* level 1, data */
    __asm__ volatile("dsb" ::: "memory");
    const uint32_t last_set = (SCB_CCSIDR >> 13) & 0x7FFFu;
    const uint32_t last_way = (SCB_CCSIDR >> 3) & 0x3FFu;
    for (uint32_t set = 0; set <= last_set; set++) {
        for (uint32_t way = 0; way <= last_way; way++) {
            SCB_DCISW = (way << 30) | (set << 5);
        }
    }
    __asm__ volatile("dsb\n\tisb" ::: "memory");
    SCB_CCR |= SCB_CCR_IC | SCB_CCR_DC;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
}

static void start_console(void)
{
    RCC_AHB1ENR |= TX_PORT_ENABLE;
    USART_CLOCK_ENABLE;
    (void)RCC_AHB1ENR;
    connect(TX_PORT, TX_PIN);
    USART_BRR = (USART_HZ + BAUD / 2) / BAUD;
    USART_CR1 = USART_CR1_UE | USART_CR1_TE;
}

void board_init(void)
{
    start_clock();
    start_caches();
    start_console();
}

void board_listen(void)
{
    RCC_AHB1ENR |= RX_PORT_ENABLE;
    (void)RCC_AHB1ENR;
    connect(RX_PORT, RX_PIN);
    start_receiver();
}
