/* SPDX-License-Identifier: MIT
 *
 * dump: the entries that can be read, up to the newest one of the start: it ends, whatever the writer does. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../output.h"
#include "entry.h"
#include "ouroboros.h"

static enum shmw_ouroboros_start start_option(const struct args *args)
{
    const char *word = args->value[OPT_FROM];
    if (word == NULL || strcmp(word, "auto") == 0)
        return SHMW_OUROBOROS_AUTO;
    return strcmp(word, "oldest") == 0 ? SHMW_OUROBOROS_OLDEST : SHMW_OUROBOROS_LATEST;
}

static int dump_entries(struct source *source, uint64_t newest)
{
    struct shmw_ouroboros_entry entry = {0};
    uint64_t skipped = 0;
    int rc = SHMW_OK;
    while (source->last < newest && !ferror(stdout) && (rc = source_next(source, &entry)) == SHMW_OK) {
        skipped += entry.skipped;
        source_print(source, &entry);
    }
    if (skipped > 0)
        diagnostic("%s: %" PRIu64 " entries were overwritten before they were read", source->view->path, skipped);
    return rc < 0 ? source_failed(source, rc) : EXIT_OK;
}

int ouroboros_dump(const struct args *args, const struct view *view)
{
    static struct source source; /* static: it outlives a jump out of the verb */
    int rc = source_open(args, view, start_option(args), &source);
    if (rc == EXIT_OK)
        rc = dump_entries(&source, newest_sequence(view));
    source_close(&source);
    return rc;
}
