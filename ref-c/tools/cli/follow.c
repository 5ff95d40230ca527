/* SPDX-License-Identifier: MIT */
#include "follow.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "interrupt.h"
#include "output.h"
#include "shmwire.h"

#define SHORTEST_PAUSE_NS 1000000L
#define LONGEST_PAUSE_NS 50000000L /* also how late an overtaken reader finds out */
#define REPORT_EVERY_S 1
#define LOOK_AROUND 256 /* messages between two looks at the clock */

/* Once: the name is gone, so nobody new will find the segment that we follow. */
static void say_unlinked(struct follow *follow)
{
    struct stat status;
    if (follow->unlinked || fstat(follow->view->fd, &status) != 0 || status.st_nlink > 0)
        return;
    follow->unlinked = true;
    diagnostic("%s has been removed or replaced; still following the old segment", follow->view->path);
}

void follow_report(struct follow *follow, bool now)
{
    struct timespec clock;
    clock_gettime(CLOCK_MONOTONIC, &clock);
    if (!now && clock.tv_sec - follow->reported < REPORT_EVERY_S)
        return;
    follow->reported = clock.tv_sec;
    say_unlinked(follow);
    if (follow->lost > 0)
        diagnostic("%s: %" PRIu64 " %s", follow->view->path, follow->lost, follow->lost_what);
    follow->lost = 0;
}

int follow_until_interrupted(struct follow *follow, int (*print)(void *context, uint64_t most), void *context)
{
    long pause_ns = SHORTEST_PAUSE_NS;
    int rc = SHMW_EMPTY;
    while (!interrupted() && rc >= 0) {
        rc = print(context, LOOK_AROUND);
        if (fflush(stdout) != 0)
            return SHMW_SYSTEM;
        follow_report(follow, false);
        if (rc == SHMW_OK) {
            pause_ns = SHORTEST_PAUSE_NS;
            continue;
        }
        nanosleep(&(struct timespec){.tv_nsec = pause_ns}, NULL);
        pause_ns = pause_ns * 2 < LONGEST_PAUSE_NS ? pause_ns * 2 : LONGEST_PAUSE_NS;
    }
    follow_report(follow, true);
    return rc < 0 ? rc : SHMW_EMPTY;
}
