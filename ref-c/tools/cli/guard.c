/* SPDX-License-Identifier: MIT */
#include "guard.h"

#include <setjmp.h>
#include <signal.h>
#include <stddef.h>

static sigjmp_buf *volatile innermost;

static void on_sigbus(int number)
{
    if (innermost != NULL)
        siglongjmp(*innermost, 1);
    signal(number, SIG_DFL);
    raise(number);
}

bool guarded(void (*body)(void *context), void *context)
{
    sigjmp_buf here;
    sigjmp_buf *const outer = innermost; /* set before sigsetjmp and not changed after: it survives the jump */
    struct sigaction action = {.sa_handler = on_sigbus};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
    if (sigsetjmp(here, 1) != 0) {
        innermost = outer;
        return false;
    }
    innermost = &here;
    body(context);
    innermost = outer;
    return true;
}
