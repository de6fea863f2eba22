/* What the ports of STM32s share: a register that becomes ready, a pin for a peripheral, and the console's text.
 *
 * A port includes this once, behind the address of its console's USART or LPUART, `USART`, and the number that hands a
 * pin to it, `USART_ALTERNATE_FUNCTION`. What chips do differently stays with the port: clocks, pins, baud rate. */
#ifndef STM32_CONSOLE_H
#define STM32_CONSOLE_H

#include "port.h"

#define BAUD 115200u

#define GPIO_MODER(port) REGISTER((port) + 0x00u)
#define GPIO_MODER_ALTERNATE 2u
#define GPIO_AFR(port, pin) REGISTER((port) + 0x20u + 4u * ((pin) / 8u))
#define USART_CR1 REGISTER(USART + 0x00u)
#define USART_CR1_UE (1u << 0)
#define USART_CR1_RE (1u << 2)
#define USART_CR1_TE (1u << 3)
#define USART_CR3 REGISTER(USART + 0x08u)
#define USART_CR3_OVRDIS (1u << 12)
#define USART_BRR REGISTER(USART + 0x0Cu)
#define USART_ISR REGISTER(USART + 0x1Cu)
#define USART_ISR_RXNE (1u << 5)
#define USART_ISR_TXE (1u << 7)
#define USART_RDR REGISTER(USART + 0x24u)
#define USART_TDR REGISTER(USART + 0x28u)

static void wait_for(volatile const uint32_t *address, uint32_t mask, uint32_t value)
{
    while ((*address & mask) != value) {
    }
}

/* Hand a pin to the USART. */
static void connect(uint32_t port, uint32_t pin)
{
    const uint32_t shift = 4u * (pin % 8u);
    GPIO_AFR(port, pin) = (GPIO_AFR(port, pin) & ~(0xFu << shift)) | (USART_ALTERNATE_FUNCTION << shift);
    GPIO_MODER(port) = (GPIO_MODER(port) & ~(3u << (2u * pin))) | (GPIO_MODER_ALTERNATE << (2u * pin));
}

static void put(char character)
{
    wait_for(&USART_ISR, USART_ISR_TXE, USART_ISR_TXE);
    USART_TDR = (uint8_t)character;
}

void board_print(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            put('\r');
        }
        put(*text);
    }
}

/* A character that nobody fetched gives way to the next one: an overrun would stop the receiver. */
static void start_receiver(void)
{
    USART_CR1 = 0; /* CR3 is locked while the USART is on */
    USART_CR3 = USART_CR3_OVRDIS;
    USART_CR1 = USART_CR1_UE | USART_CR1_TE | USART_CR1_RE;
}

int32_t board_receive(void)
{
    wait_for(&USART_ISR, USART_ISR_RXNE, USART_ISR_RXNE);
    return (uint8_t)USART_RDR;
}

#endif
