/* SPDX-License-Identifier: MIT
 *
 * tail: the last entries, and with -f those that come. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "../interrupt.h"
#include "../output.h"
#include "entry.h"
#include "ouroboros.h"

#define SHORTEST_PAUSE_NS 1000000L
#define LONGEST_PAUSE_NS 50000000L /* also how late an overtaken reader finds out */
#define REPORT_EVERY_S 1
#define LOOK_AROUND 256 /* entries between two looks at the clock */

struct following {
    struct source source;
    uint64_t first;   /* sequence to begin printing with */
    uint64_t printed; /* sequence printed last */
    uint64_t skipped; /* overwritten before they were read, not reported yet */
    time_t reported;
    bool unlinked; /* the diagnostic about a removed name has been given */
    int exit;      /* the exit code so far */
};

/* Once: the name is gone, so nobody new will find the segment that we follow. */
static void say_unlinked(struct following *following)
{
    struct stat status;
    const struct view *view = following->source.view;
    if (following->unlinked || fstat(view->fd, &status) != 0 || status.st_nlink > 0)
        return;
    following->unlinked = true;
    diagnostic("%s has been removed or replaced; still following the old segment", view->path);
}

static void report(struct following *following, bool now)
{
    struct timespec clock;
    clock_gettime(CLOCK_MONOTONIC, &clock);
    if (!now && clock.tv_sec - following->reported < REPORT_EVERY_S)
        return;
    following->reported = clock.tv_sec;
    say_unlinked(following);
    if (following->skipped > 0)
        diagnostic("%s: %" PRIu64 " entries were overwritten before they were read", following->source.view->path,
                   following->skipped);
    following->skipped = 0;
}

/* Print what there is, at most `most` entries. The answer that ended it; SHMW_OK when there may be more. */
static int print_some(struct following *following, uint64_t most)
{
    struct shmw_ouroboros_entry entry = {0};
    for (uint64_t i = 0; i < most; i++) {
        const int rc = source_next(&following->source, &entry);
        if (rc != SHMW_OK)
            return rc;
        if (entry.sequence < following->first || entry.sequence <= following->printed)
            continue;
        const uint64_t wanted = following->printed == 0 ? following->first : following->printed + 1;
        following->skipped += entry.sequence - wanted;
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
    long pause_ns = SHORTEST_PAUSE_NS;
    int rc = SHMW_OK;
    while (!interrupted() && rc >= 0) {
        rc = print_some(following, LOOK_AROUND);
        if (fflush(stdout) != 0)
            return EXIT_USAGE; /* main says why */
        report(following, false);
        if (rc == SHMW_OK) {
            pause_ns = SHORTEST_PAUSE_NS;
            continue;
        }
        nanosleep(&(struct timespec){.tv_nsec = pause_ns}, NULL);
        pause_ns = pause_ns * 2 < LONGEST_PAUSE_NS ? pause_ns * 2 : LONGEST_PAUSE_NS;
    }
    report(following, true);
    return rc < 0 ? source_failed(&following->source, rc) : following->exit;
}

static int tail(const struct args *args, struct following *following, uint64_t last)
{
    const uint64_t newest = newest_sequence(following->source.view);
    following->first = newest != UINT64_MAX && newest > last ? newest - last + 1 : 1;
    if (given(args, OPT_FOLLOW))
        interrupt_watch();
    const int rc = print_last(following, newest);
    if (rc >= 0 && given(args, OPT_FOLLOW))
        return follow(following);
    report(following, true);
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
