/* SPDX-License-Identifier: MIT
 *
 * recover: the library's repair, or with --dry-run a count of what it would do. */
#include <inttypes.h>
#include <stdio.h>

#include "../output.h"
#include "raw.h"
#include "shmwire/slick.h"
#include "slick.h"

/* --dry-run: refuses what the repair would refuse, but for segments in use. */
static int dry_run(const struct view *view, uint64_t *holes)
{
    const struct shmw_slick_open_options options = {.read_only = true, .no_wait = true};
    shmw_slick_queue *queue = NULL;
    const int rc = shmw_slick_open(view->locator, &options, &queue);
    shmw_slick_close(queue);
    if (rc != SHMW_OK)
        return rc;
    const struct ring_header header = ring_load_header(view);
    if (header.good)
        *holes = ring_walk(view, &header).unpublished;
    return SHMW_OK;
}

static int repair(const struct view *view, bool all_dead, uint64_t *holes)
{
    const struct shmw_slick_open_options options = {.no_wait = true};
    shmw_slick_queue *queue = NULL;
    int rc = shmw_slick_open(view->locator, &options, &queue);
    if (rc == SHMW_OK)
        rc = shmw_slick_recover(queue, all_dead, holes);
    shmw_slick_close(queue);
    return rc;
}

static void print_report(const struct args *args, const struct view *view, uint64_t holes)
{
    const bool dry = given(args, OPT_DRY_RUN);
    if (!given(args, OPT_JSON)) {
        print_safe(stdout, view->path);
        printf(": %s%" PRIu64 " unpublished reservation%s marked\n", dry ? "would be " : "", holes, holes == 1 ? "" : "s");
        return;
    }
    struct json json;
    json_begin(&json, stdout);
    json_text(&json, "schema", "shmwire-recover/1");
    json_text(&json, "path", view->path);
    json_text(&json, "profile", view->profile->name);
    json_bool(&json, "dry_run", dry);
    json_u64(&json, "holes", holes);
    json_end(&json);
}

int slick_recover(const struct args *args, const struct view *view)
{
    uint64_t holes = 0;
    const bool dry = given(args, OPT_DRY_RUN);
    const int rc = dry ? dry_run(view, &holes) : repair(view, given(args, OPT_ALL_DEAD), &holes);
    if (rc == SHMW_BUSY)
        return busy_error(view->path);
    if (rc != SHMW_OK)
        return library_error(view->path, rc);
    print_report(args, view, holes);
    return dry && holes > 0 ? EXIT_FINDINGS : EXIT_OK;
}
