/* SPDX-License-Identifier: MIT */
#include "interrupt.h"

#include <signal.h>

static volatile sig_atomic_t seen;

static void on_signal(int number)
{
    (void)number;
    seen = 1;
}

void interrupt_watch(void)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: sleeps end at once */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, 0);
    sigaction(SIGTERM, &action, 0);
    sigaction(SIGHUP, &action, 0);
}

bool interrupted(void)
{
    return seen != 0;
}
