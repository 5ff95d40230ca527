/* SPDX-License-Identifier: MIT
 *
 * tail: the last entries, and with -f those that come. */
#include <stdio.h>

#include "../follow.h"
#include "../interrupt.h"
#include "../output.h"
#include "entry.h"
#include "ouroboros.h"

struct following {
    struct source source;
    struct follow follow;
    uint64_t first;   /* sequence to begin printing with */
    uint64_t printed; /* sequence printed last */
    int exit;         /* the exit code so far */
};

/* Print what there is, at most `most` entries. The answer that ended it; SHMW_OK when there may be more. */
static int print_some(void *context, uint64_t most)
{
    struct following *following = context;
    struct shmw_ouroboros_entry entry = {0};
    for (uint64_t i = 0; i < most; i++) {
        const int rc = source_next(&following->source, &entry);
        if (rc != SHMW_OK)
            return rc;
        if (entry.sequence < following->first || entry.sequence <= following->printed)
            continue;
        const uint64_t wanted = following->printed == 0 ? following->first : following->printed + 1;
        following->follow.lost += entry.sequence - wanted;
        following->printed = entry.sequence;
        source_print(&following->source, &entry);
    }
    return SHMW_OK;
}

/* Print up to the newest entry of the start. Where a way from the oldest chunk is cut off, go on with the latest. */
static int print_last(struct following *following, uint64_t newest)
{
    bool jumped = false;
    while (following->source.last < newest && !ferror(stdout)) {
        const int rc = print_some(following, 1);
        if (rc == SHMW_OK)
            continue;
        if (rc < 0)
            following->exit = source_failed(&following->source, rc);
        if ((rc != SHMW_EMPTY && rc != SHMW_CORRUPT) || jumped || newest == UINT64_MAX)
            return rc;
        jumped = true;
        if (shmw_ouroboros_seek(following->source.reader, SHMW_OUROBOROS_LATEST) < 0)
            return rc;
    }
    return SHMW_OK;
}

static int follow(struct following *following)
{
    const int rc = follow_until_interrupted(&following->follow, print_some, following);
    if (ferror(stdout))
        return EXIT_USAGE; /* main says why */
    return rc < 0 ? source_failed(&following->source, rc) : following->exit;
}

static int tail(const struct args *args, struct following *following, uint64_t last)
{
    const uint64_t newest = newest_sequence(following->source.view);
    following->first = newest != UINT64_MAX && newest > last ? newest - last + 1 : 1;
    following->follow = (struct follow){.view = following->source.view,
                                        .lost_what = "entries were overwritten before they were read"};
    if (given(args, OPT_FOLLOW))
        interrupt_watch();
    const int rc = print_last(following, newest);
    if (rc >= 0 && given(args, OPT_FOLLOW))
        return follow(following);
    follow_report(&following->follow, true);
    return following->exit;
}

int ouroboros_tail(const struct args *args, const struct view *view)
{
    static struct following following; /* static: it outlives a jump out of the verb */
    uint64_t last = 0;
    int rc = number_option(args, OPT_LAST, 0, UINT64_MAX, 10, &last);
    if (rc == EXIT_OK)
        rc = source_open(args, view, SHMW_OUROBOROS_OLDEST, &following.source);
    if (rc == EXIT_OK)
        rc = tail(args, &following, last);
    source_close(&following.source);
    return rc;
}
