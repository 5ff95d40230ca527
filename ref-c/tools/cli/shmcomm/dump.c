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
    struct taker taker;
    uint64_t end;  /* head at the start */
    uint64_t lost; /* messages */
};

static int dump_messages(struct dump *dump)
{
    struct shmw_shmcomm_message message = {0};
    while (!ferror(stdout)) {
        const int rc = taker_next(&dump->taker, &message);
        if (rc == SHMW_LAPPED)
            continue; /* the cursor has gone on */
        if (rc < 0)
            return taker_failed(&dump->taker, rc);
        if (rc != SHMW_OK || message.position >= dump->end)
            break;
        dump->lost += message.lost;
        taker_print(&dump->taker, &message);
    }
    return EXIT_OK;
}

int shmcomm_dump(const struct args *args, const struct view *view)
{
    static struct dump dump; /* static: it outlives a jump out of the verb */
    dump = (struct dump){0};
    int rc = taker_open(args, view, &dump.taker);
    if (rc == EXIT_OK) {
        dump.end = channel_load_header(view).head;
        rc = dump_messages(&dump);
    }
    if (dump.lost > 0)
        diagnostic("%s: %" PRIu64 " messages were taken or overwritten before they were read", view->path, dump.lost);
    taker_close(&dump.taker);
    return rc;
}
