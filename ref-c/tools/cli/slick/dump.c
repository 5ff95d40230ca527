/* SPDX-License-Identifier: MIT
 *
 * dump: the items that can be read, from the oldest that is whole up to what was reserved at the start: it ends, whatever the
 * producers do. What nobody published is passed over, which a reader does not do: here nobody waits for it. */
#include <inttypes.h>
#include <stdio.h>

#include "../output.h"
#include "item.h"
#include "raw.h"
#include "slick.h"

struct dump {
    struct taker taker;
    uint64_t end;  /* r at the start */
    uint64_t lost; /* indices */
    uint64_t holes;
};

/* Go on behind what cannot be read at the cursor. false if nothing is left. */
static bool pass_over(struct dump *dump)
{
    struct ring_header header = ring_load_header(dump->taker.view);
    const uint64_t cursor = taker_cursor(&dump->taker);
    if (!header.good || cursor >= dump->end)
        return false;
    const uint64_t next = ring_next(dump->taker.view, &header, cursor + 1);
    return next < dump->end && shmw_slick_seek(dump->taker.reader, SHMW_SLICK_INDEX, next) == SHMW_OK;
}

static int dump_items(struct dump *dump)
{
    struct shmw_slick_item item = {0};
    int exit = EXIT_OK;
    while (taker_cursor(&dump->taker) < dump->end && !ferror(stdout)) {
        const int rc = taker_next(&dump->taker, &item);
        if (rc == SHMW_OK) {
            dump->lost += item.lost;
            taker_print(&dump->taker, &item);
            continue;
        }
        if (rc == SHMW_LAPPED)
            continue; /* the cursor has gone on */
        if (rc < 0)
            exit = taker_failed(&dump->taker, rc);
        dump->holes += rc == SHMW_EMPTY && taker_cursor(&dump->taker) < dump->end;
        if ((rc != SHMW_EMPTY && rc != SHMW_CORRUPT) || !pass_over(dump))
            break;
    }
    return exit;
}

static void report(const struct dump *dump)
{
    const char *path = dump->taker.view->path;
    if (dump->lost > 0)
        diagnostic("%s: %" PRIu64 " indices were overwritten before they were read", path, dump->lost);
    if (dump->holes > 0)
        diagnostic("%s: %" PRIu64 " reservation%s not published; `shmwire recover` marks what dead producers left", path,
                   dump->holes, dump->holes == 1 ? " is" : "s are");
}

int slick_dump(const struct args *args, const struct view *view)
{
    static struct dump dump; /* static: it outlives a jump out of the verb */
    int rc = taker_open(args, view, &dump.taker);
    if (rc == EXIT_OK) {
        dump.end = ring_load_header(view).index;
        rc = dump_items(&dump);
        report(&dump);
    }
    taker_close(&dump.taker);
    return rc;
}
