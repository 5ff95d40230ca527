/* SPDX-License-Identifier: MIT
 *
 * tail: the last items, and with -f those that come. */
#include <stdio.h>

#include "../follow.h"
#include "../interrupt.h"
#include "../output.h"
#include "item.h"
#include "raw.h"
#include "slick.h"

struct following {
    struct taker taker;
    struct follow follow;
};

/* Print what there is, at most `most` items. The answer that ended it; SHMW_OK when there may be more. */
static int print_some(void *context, uint64_t most)
{
    struct following *following = context;
    struct shmw_slick_item item = {0};
    for (uint64_t i = 0; i < most; i++) {
        const int rc = taker_next(&following->taker, &item);
        if (rc != SHMW_OK)
            return rc;
        following->follow.lost += item.lost;
        taker_print(&following->taker, &item);
    }
    return SHMW_OK;
}

/* The index of the last-but-(n - 1) item that is published; r if n is 0. */
static uint64_t first_of_last(const struct view *view, uint64_t n)
{
    const struct ring_header header = ring_load_header(view);
    uint64_t first = header.index;
    uint32_t elements;
    uint64_t next;
    for (uint64_t at = header.index; n > 0 && at > ring_low(&header); at--) {
        if (ring_look(view, &header, at - 1, &elements, &next) != RING_ITEM)
            continue;
        first = at - 1;
        n--;
    }
    return first;
}

/* Print up to what was reserved at the start. */
static int print_last(struct following *following, uint64_t end)
{
    int rc = SHMW_OK;
    while ((rc == SHMW_OK || rc == SHMW_LAPPED) && taker_cursor(&following->taker) < end && !ferror(stdout))
        rc = print_some(following, 1);
    return rc;
}

static int tail(const struct args *args, struct following *following, uint64_t last)
{
    const struct view *view = following->taker.view;
    const uint64_t end = ring_load_header(view).index;
    following->follow = (struct follow){.view = view, .lost_what = "indices were overwritten before they were read"};
    if (given(args, OPT_FOLLOW))
        interrupt_watch();
    int rc = shmw_slick_seek(following->taker.reader, SHMW_SLICK_INDEX, first_of_last(view, last));
    if (rc == SHMW_OK)
        rc = print_last(following, end);
    if (rc >= 0 && given(args, OPT_FOLLOW))
        rc = follow_until_interrupted(&following->follow, print_some, following);
    follow_report(&following->follow, true);
    if (ferror(stdout))
        return EXIT_USAGE; /* main says why */
    return rc < 0 ? taker_failed(&following->taker, rc) : EXIT_OK;
}

int slick_tail(const struct args *args, const struct view *view)
{
    static struct following following; /* static: it outlives a jump out of the verb */
    uint64_t last = 0;
    int rc = number_option(args, OPT_LAST, 0, UINT64_MAX, 10, &last);
    if (rc == EXIT_OK)
        rc = taker_open(args, view, &following.taker);
    if (rc == EXIT_OK)
        rc = tail(args, &following, last);
    taker_close(&following.taker);
    return rc;
}
