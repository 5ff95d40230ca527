/* SPDX-License-Identifier: MIT
 *
 * tail: the last messages, and with -f those that come. */
#include <stdio.h>

#include "../follow.h"
#include "../interrupt.h"
#include "../output.h"
#include "message.h"
#include "raw.h"
#include "shmcomm.h"

struct following {
    struct watcher watcher;
    struct follow follow;
    uint64_t from; /* sequence of the first message to print */
};

/* Print what there is, at most `most` messages. The answer that ended it; SHMW_OK when there may be more. */
static int print_some(void *context, uint64_t most)
{
    struct following *following = context;
    struct shmw_shmcomm_message message = {0};
    for (uint64_t i = 0; i < most; i++) {
        const int rc = watcher_next(&following->watcher, &message);
        if (rc != SHMW_OK)
            return rc == SHMW_LAPPED ? SHMW_OK : rc;
        following->follow.lost += message.lost;
        if (message.sequence >= following->from)
            watcher_print(&following->watcher, &message);
    }
    return SHMW_OK;
}

/* Print up to what is there at the start. */
static int print_last(struct following *following, uint64_t messages)
{
    int rc = SHMW_OK;
    for (uint64_t i = 0; rc == SHMW_OK && i < messages && !ferror(stdout); i++)
        rc = print_some(following, 1);
    return rc;
}

static int tail(const struct args *args, struct following *following, uint64_t last)
{
    const struct view *view = following->watcher.view;
    const struct channel_header header = channel_load_header(view);
    const struct channel_walk walk = channel_walk(view, &header);
    following->follow = (struct follow){.view = view, .lost_what = "messages were taken or overwritten before they were read"};
    if (walk.messages > 0)
        following->from = last < walk.messages ? walk.last + 1 - last : walk.first;
    if (given(args, OPT_FOLLOW))
        interrupt_watch();
    int rc = print_last(following, walk.messages);
    if (rc >= 0 && given(args, OPT_FOLLOW))
        rc = follow_until_interrupted(&following->follow, print_some, following);
    follow_report(&following->follow, true);
    if (ferror(stdout))
        return EXIT_USAGE; /* main says why */
    return rc < 0 ? watcher_failed(&following->watcher, rc) : EXIT_OK;
}

int shmcomm_tail(const struct args *args, const struct view *view)
{
    static struct following following; /* static: it outlives a jump out of the verb */
    uint64_t last = 0;
    following = (struct following){0};
    int rc = number_option(args, OPT_LAST, 0, UINT64_MAX, 10, &last);
    if (rc == EXIT_OK)
        rc = watcher_open(args, view, &following.watcher);
    if (rc == EXIT_OK)
        rc = tail(args, &following, last);
    watcher_close(&following.watcher);
    return rc;
}
