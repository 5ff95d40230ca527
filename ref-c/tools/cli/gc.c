/* SPDX-License-Identifier: MIT
 *
 * gc: remove what dead processes left. Only profiles that can tell that nobody keeps a segment take part. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "output.h"
#include "view.h"

#define SHM_DIRECTORY "/dev/shm"

struct gc {
    const struct args *args;
    const char *directory;
    struct json json;
    uint64_t removed;
    uint64_t kept;
    int exit;
};

static void print_outcome(struct gc *gc, const char *path, const struct cli_profile *profile, const struct gc_outcome *outcome)
{
    static const char *const words[] = {[GC_REMOVED] = "removed", [GC_WOULD_REMOVE] = "stale", [GC_KEPT] = "kept"};
    if (given(gc->args, OPT_JSON)) {
        json_object(&gc->json, NULL);
        json_text(&gc->json, "path", path);
        json_text(&gc->json, "profile", profile->name);
        json_text(&gc->json, "action", words[outcome->action]);
        json_u64(&gc->json, "waiting", outcome->waiting);
        json_close(&gc->json);
        return;
    }
    print_safe(stdout, path);
    printf(": %s", words[outcome->action]);
    if (outcome->action == GC_KEPT)
        printf(": holds %" PRIu64 " message%s that nobody took; --insist removes it", outcome->waiting,
               outcome->waiting == 1 ? "" : "s");
    putchar('\n');
}

struct visit {
    struct gc *gc;
    const char *path;
    const char *name;
};

static void look_at_file(void *context)
{
    const struct visit *visit = context;
    struct stat status;
    if (lstat(visit->path, &status) != 0 || !S_ISREG(status.st_mode))
        return;
    struct gc *gc = visit->gc;
    for (const struct cli_profile *const *profile = cli_profiles; *profile != NULL; profile++) {
        struct gc_outcome outcome = {.action = GC_NOTHING};
        if ((*profile)->collect == NULL)
            continue;
        const int rc = (*profile)->collect(gc->args, visit->path, visit->name, &outcome);
        if (rc != EXIT_OK)
            gc->exit = rc;
        if (outcome.action == GC_NOTHING)
            continue;
        gc->removed += outcome.action != GC_KEPT;
        gc->kept += outcome.action == GC_KEPT;
        print_outcome(gc, visit->path, *profile, &outcome);
        return;
    }
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int walk(struct gc *gc)
{
    struct dirent **entries = NULL;
    const int count = scandir(gc->directory, &entries, NULL, by_name);
    if (count < 0)
        return io_error("%s: %s", gc->directory, strerror(errno));
    for (int i = 0; i < count; i++) {
        char path[PATH_ROOM];
        struct visit visit = {.gc = gc, .path = path, .name = entries[i]->d_name};
        if (snprintf(path, sizeof(path), "%s/%s", gc->directory, entries[i]->d_name) < (int)sizeof(path))
            guarded(look_at_file, &visit);
        free(entries[i]);
    }
    free(entries);
    return gc->exit;
}

int verb_gc(const struct args *args)
{
    struct gc gc = {.args = args, .directory = given(args, OPT_DIR) ? args->value[OPT_DIR] : SHM_DIRECTORY};
    const bool json = given(args, OPT_JSON);
    if (json) {
        json_begin(&gc.json, stdout);
        json_text(&gc.json, "schema", "shmwire-gc/1");
        json_text(&gc.json, "directory", gc.directory);
        json_bool(&gc.json, "dry_run", given(args, OPT_DRY_RUN));
        json_array(&gc.json, "segments");
    }
    const int rc = walk(&gc);
    if (json) {
        json_close(&gc.json);
        json_end(&gc.json);
    }
    return rc == EXIT_OK && given(args, OPT_DRY_RUN) && gc.removed > 0 ? EXIT_FINDINGS : rc;
}
