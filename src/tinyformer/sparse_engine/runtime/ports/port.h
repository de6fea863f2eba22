/* Between the application (main.c) and the board it runs on. board_generic.c defines every board_ function weakly; the
 * file of a board overrides what it can do better. */
#ifndef PORT_H
#define PORT_H

#include "se_port.h"

#include "board.h"

/* The register at an address of the memory map. */
#define REGISTER(address) (*(volatile uint32_t *)(address))

/* Set up clocks, caches and console. Runs after .data and .bss are ready, before main. */
void board_init(void);

/* Write text to the console; returns when the last character is on its way. '\n' ends a line. */
void board_print(const char *text);

/* Let the console receive too. */
void board_listen(void);

/* Wait for a character from the console and return it; return -1 at once where the console does not receive. */
int32_t board_receive(void);

/* A free-running counter of core cycles that wraps at 2^32; 0 for ever where there is none. */
uint32_t board_cycles(void);

/* Where every exception ends: there are no interrupts, so each is a fault. Does not return. */
void board_fault(void);

/* The application: main.c, or profile.c where SE_PROFILE is defined. In main.c the host stops at both functions to write the input and to read the output. */
void se_app_ready(void);
void se_app_done(void);
extern int8_t se_app_input[];
extern int8_t se_app_output[];
extern const uint32_t se_app_input_bytes;
extern const uint32_t se_app_output_bytes;

/* board_cycles() of an empty function, and of the last inference; both include the same overhead. */
extern uint32_t se_app_cycles[2];

#endif
