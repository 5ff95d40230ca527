/* SPDX-License-Identifier: MIT
 *
 * dump: the entries that can be read, up to the newest one of the start: it ends, whatever the writer does. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../output.h"
#include "entry.h"
#include "ouroboros.h"

/* EXIT_USAGE after a diagnostic. */
static int start_option(const struct args *args, enum shmw_ouroboros_start *start)
{
    static const struct {
        const char *word;
        enum shmw_ouroboros_start start;
    } starts[] = {{"auto", SHMW_OUROBOROS_AUTO}, {"oldest", SHMW_OUROBOROS_OLDEST}, {"latest", SHMW_OUROBOROS_LATEST}};
    const char *word = args->value[OPT_FROM];
    *start = SHMW_OUROBOROS_AUTO;
    if (word == NULL)
        return EXIT_OK;
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
        if (strcmp(word, starts[i].word) == 0) {
            *start = starts[i].start;
            return EXIT_OK;
        }
    return usage_error("dump: --from is one of oldest|latest|auto, for a log");
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
    enum shmw_ouroboros_start start;
    int rc = start_option(args, &start);
    if (rc != EXIT_OK)
        return rc;
    rc = source_open(args, view, start, &source);
    if (rc == EXIT_OK)
        rc = dump_entries(&source, newest_sequence(view));
    source_close(&source);
    return rc;
}
