/* SPDX-License-Identifier: MIT
 *
 * dump: the messages that are held, from tail up to where head stood at the start: it ends, whatever the writers do. */
#include <inttypes.h>
#include <stdio.h>

#include "../output.h"
#include "message.h"
#include "raw.h"
#include "shmcomm.h"

struct dump {
    struct watcher watcher;
    uint64_t end;  /* head at the start */
    uint64_t lost; /* messages */
};

static int dump_messages(struct dump *dump)
{
    struct shmw_shmcomm_message message = {0};
    while (!ferror(stdout)) {
        const int rc = watcher_next(&dump->watcher, &message);
        if (rc == SHMW_LAPPED)
            continue; /* the cursor has gone on */
        if (rc < 0)
            return watcher_failed(&dump->watcher, rc);
        if (rc != SHMW_OK || message.position >= dump->end)
            break;
        dump->lost += message.lost;
        watcher_print(&dump->watcher, &message);
    }
    return EXIT_OK;
}

int shmcomm_dump(const struct args *args, const struct view *view)
{
    static struct dump dump; /* static: it outlives a jump out of the verb */
    dump = (struct dump){0};
    int rc = watcher_open(args, view, &dump.watcher);
    if (rc == EXIT_OK) {
        dump.end = channel_load_header(view).head;
        rc = dump_messages(&dump);
    }
    if (dump.lost > 0)
        diagnostic("%s: %" PRIu64 " messages were taken or overwritten before they were read", view->path, dump.lost);
    watcher_close(&dump.watcher);
    return rc;
}
