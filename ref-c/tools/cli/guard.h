/* SPDX-License-Identifier: MIT
 *
 * SIGBUS as an answer: someone may shorten a file while we look at its mapping. */
#ifndef SHMW_CLI_GUARD_H
#define SHMW_CLI_GUARD_H

#include <stdbool.h>

/* Run body(context). false if it was cut short by SIGBUS; what it had allocated is lost then. May be nested. */
bool guarded(void (*body)(void *context), void *context);

#endif
