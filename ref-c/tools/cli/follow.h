/* SPDX-License-Identifier: MIT
 *
 * tail -f over a stream that its writer may overwrite: when to look, when to pause, and what to say meanwhile. */
#ifndef SHMW_CLI_FOLLOW_H
#define SHMW_CLI_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "view.h"

/* Begin with the first two members set. */
struct follow {
    const struct view *view;
    const char *lost_what; /* "entries were overwritten before they were read" */
    uint64_t lost;         /* of these, not reported yet; whoever prints adds to it */
    time_t reported;
    bool unlinked; /* the diagnostic about a removed name has been given */
};

/* Report what was lost, at most once a second unless it is `now`, and once that the name is gone. */
void follow_report(struct follow *follow, bool now);

/* Call print(context, most), which prints at most `most` messages and returns SHMW_OK when there may be more, until a signal comes
 * or it answers an error. That answer; SHMW_EMPTY after a signal. SHMW_SYSTEM, errno kept, when standard output fails. */
int follow_until_interrupted(struct follow *follow, int (*print)(void *context, uint64_t most), void *context);

#endif
