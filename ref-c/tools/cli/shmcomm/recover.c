/* SPDX-License-Identifier: MIT
 *
 * recover: the library's repair of a channel whose writer died, or with --dry-run what it would find. gc: its removal. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../output.h"
#include "raw.h"
#include "shmcomm.h"
#include "shmwire/shmcomm.h"

#define NAME_PREFIX "shmcomm_" /* of files that gc looks at although their creator never published them */

/* --dry-run: what can be told without the lock. That its owner is dead cannot; without a living keeper it is likely. */
static int dry_run(const struct view *view, struct shmw_shmcomm_recovered *report)
{
    const struct shmw_shmcomm_options options = {.no_wait = true};
    shmw_shmcomm *observer = NULL;
    const int rc = shmw_shmcomm_open(SHMW_SHMCOMM_OBSERVER, view->path, &options, &observer);
    shmw_shmcomm_close(observer);
    if (rc != SHMW_OK)
        return rc;
    const struct channel_header header = channel_load_header(view);
    const struct channel_walk walk = channel_walk(view, &header);
    const bool held = (header.writer_lock & SHMW_SHMCOMM_MAX_ENDPOINT) != 0;
    report->lock_taken = held && shmcomm_keeper(view) == KEEPER_DEAD;
    report->count_repaired = report->lock_taken && walk.messages > 0 && header.message_count <= walk.last;
    return SHMW_OK;
}

static void print_report(const struct args *args, const struct view *view, const struct shmw_shmcomm_recovered *report)
{
    const bool dry = given(args, OPT_DRY_RUN);
    if (!given(args, OPT_JSON)) {
        print_safe(stdout, view->path);
        printf(": lock %s%s, counts %s", dry && report->lock_taken ? "to be " : "",
               report->lock_taken ? "taken from a dead writer" : "good", report->count_repaired ? (dry ? "to be mended" : "mended") : "good");
        if (!dry)
            printf(", %" PRIu32 " reply channel%s of dead requesters removed", report->swept, report->swept == 1 ? "" : "s");
        putchar('\n');
        return;
    }
    struct json json;
    json_begin(&json, stdout);
    json_text(&json, "schema", "shmwire-recover/1");
    json_text(&json, "path", view->path);
    json_text(&json, "profile", view->profile->name);
    json_bool(&json, "dry_run", dry);
    json_bool(&json, "lock_taken", report->lock_taken);
    json_bool(&json, "count_repaired", report->count_repaired);
    json_number(&json, "swept", report->swept);
    json_end(&json);
}

int shmcomm_recover(const struct args *args, const struct view *view)
{
    struct shmw_shmcomm_recovered report = {0};
    const bool dry = given(args, OPT_DRY_RUN);
    const int rc = dry ? dry_run(view, &report) : shmw_shmcomm_recover(view->path, &report);
    if (rc == SHMW_BUSY)
        return busy_error(view->path);
    if (rc != SHMW_OK)
        return library_error(view->path, rc);
    print_report(args, view, &report);
    return dry && (report.lock_taken || report.count_repaired) ? EXIT_FINDINGS : EXIT_OK;
}

/* gc --------------------------------------------------------------------------------------------------------------- */

/* What a removal would find. Unfinished segments are looked at only under a name of ours. */
static enum gc_action look(const struct args *args, const char *path, const char *name, struct gc_outcome *outcome)
{
    struct view view = {.fd = -1};
    enum gc_action action = GC_NOTHING;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0 || !view_map(fd, path, &view)) { /* somebody else's, most often */
        view_close(&view);
        return GC_NOTHING;
    }
    const struct channel_header header = channel_load_header(&view);
    const bool unfinished = header.magic == 0 && strncmp(name, NAME_PREFIX, strlen(NAME_PREFIX)) == 0;
    if (header.room) {
        outcome->waiting = channel_walk(&view, &header).messages;
        if (shmcomm_keeper(&view) == KEEPER_DEAD)
            action = GC_WOULD_REMOVE;
        if (action == GC_WOULD_REMOVE && header.pattern == SHMW_SHMCOMM_PATTERN_PIPELINE && header.head != header.tail &&
            !given(args, OPT_INSIST))
            action = GC_KEPT;
    } else if (unfinished) {
        action = GC_WOULD_REMOVE;
    }
    view_close(&view);
    return action;
}

int shmcomm_collect(const struct args *args, const char *path, const char *name, struct gc_outcome *outcome)
{
    outcome->action = look(args, path, name, outcome);
    if (outcome->action != GC_WOULD_REMOVE || given(args, OPT_DRY_RUN))
        return EXIT_OK;
    const int rc = shmw_shmcomm_remove(path, given(args, OPT_INSIST));
    outcome->action = rc == SHMW_OK ? GC_REMOVED : rc == SHMW_FULL ? GC_KEPT : GC_NOTHING;
    if (rc == SHMW_OK || rc == SHMW_FULL || rc == SHMW_BUSY || rc == SHMW_NOT_FOUND)
        return EXIT_OK; /* a keeper came, or another one was faster */
    return library_error(path, rc);
}
