/* SPDX-License-Identifier: MIT
 *
 * SIGINT, SIGTERM and SIGHUP as a question: for verbs that have something to put in order before they end. */
#ifndef SHMW_CLI_INTERRUPT_H
#define SHMW_CLI_INTERRUPT_H

#include <stdbool.h>

void interrupt_watch(void); /* from now on those signals only set a flag */
bool interrupted(void);

#endif
