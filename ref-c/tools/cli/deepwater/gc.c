/* SPDX-License-Identifier: MIT
 *
 * gc BASE[/FEED]: recovery of what dead writers left. validate BASE[/FEED]: every chunk, CRCs included. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../output.h"
#include "../progress.h"
#include "deepwater/watch.h"
#include "tree.h"

static void at_chunk(void *context, uint64_t chunk, uint64_t chunks)
{
    (void)context;
    progress_at(chunk, chunks, "chunks");
}

static const struct shmw_deepwater_watch watch = {.at = at_chunk};

/* Call work for the feed of the tree, or for all of its base. The first exit code that is not EXIT_OK, after all were tried. */
static int each_feed(const struct tree *tree, int (*work)(const struct tree *, void *), void *context)
{
    struct tree one = *tree;
    int exit = EXIT_OK;
    if (tree->feed[0] != '\0')
        return work(tree, context);
    const uint64_t feeds = tree_feeds(tree);
    for (uint32_t i = 0;; i++) {
        progress_part(i, feeds);
        const int rc = shmw_deepwater_feed_at(tree->base, i, &one.entry);
        if (rc == SHMW_NOT_FOUND)
            return exit;
        int found = rc == SHMW_OK ? EXIT_OK : tree_error(tree, rc);
        if (rc == SHMW_OK) {
            memcpy(one.feed, one.entry.name, sizeof(one.feed));
            found = work(&one, context);
        }
        exit = exit == EXIT_OK ? found : exit;
    }
}

/* Collecting ------------------------------------------------------------------------------------------------------- */

struct collecting {
    const struct args *args;
    struct json json;
    uint64_t due; /* feeds with something to do */
};

static void put_report(struct collecting *collecting, const struct tree *tree, const char *action,
                       const struct shmw_deepwater_recovered *found)
{
    if (!given(collecting->args, OPT_JSON)) {
        print_safe(stdout, tree->base);
        printf("/%s: %s", tree->feed, action);
        if (found != NULL)
            printf(", %" PRIu64 " sealed, %" PRIu64 " persisted, %" PRIu64 " adopted, %" PRIu64 " expired, %" PRIu64 " removed",
                   found->sealed, found->persisted, found->adopted, found->expired, found->removed);
        putchar('\n');
        return;
    }
    struct json *json = &collecting->json;
    json_object(json, NULL);
    json_text(json, "feed", tree->feed);
    json_text(json, "action", action);
    if (found != NULL) {
        json_u64(json, "sealed", found->sealed);
        json_u64(json, "persisted", found->persisted);
        json_u64(json, "adopted", found->adopted);
        json_u64(json, "expired", found->expired);
        json_u64(json, "removed", found->removed);
    }
    json_close(json);
}

static int collect_feed(const struct tree *tree, void *context)
{
    struct collecting *collecting = context;
    struct shmw_deepwater_recovered found = {0};
    if (given(collecting->args, OPT_DRY_RUN)) {
        const bool due = !tree->entry.writer_lives && tree->entry.latest != SHMW_DEEPWATER_NONE;
        collecting->due += due;
        put_report(collecting, tree, tree->entry.writer_lives ? "in use" : due ? "left by a dead writer" : "at rest", NULL);
        return EXIT_OK;
    }
    const int rc = shmw_deepwater_gc_watched(tree->base, tree->feed, &watch, &found);
    progress_hide();
    if (rc == SHMW_BUSY) {
        put_report(collecting, tree, "in use", NULL);
        return EXIT_OK;
    }
    if (rc != SHMW_OK)
        return tree_error(tree, rc);
    put_report(collecting, tree, "recovered", &found);
    return EXIT_OK;
}

int tree_gc(const struct args *args, const char *operand)
{
    struct collecting collecting = {.args = args};
    struct tree tree;
    int rc = tree_find(operand, &tree);
    if (rc != EXIT_OK)
        return rc;
    const bool json = given(args, OPT_JSON);
    if (json) {
        json_begin(&collecting.json, stdout);
        json_text(&collecting.json, "schema", "shmwire-gc-feeds/1");
        json_text(&collecting.json, "base", tree.base);
        json_bool(&collecting.json, "dry_run", given(args, OPT_DRY_RUN));
        json_array(&collecting.json, "feeds");
    }
    progress_begin(tree.feed[0] == '\0'); /* a line for each feed */
    rc = each_feed(&tree, collect_feed, &collecting);
    progress_end();
    if (json)
        json_end(&collecting.json);
    return rc == EXIT_OK && collecting.due > 0 ? EXIT_FINDINGS : rc;
}

/* Validation ------------------------------------------------------------------------------------------------------- */

struct validating {
    const struct args *args;
    struct json json;
    uint64_t feeds;
    uint64_t findings;
};

static int validate_feed(const struct tree *tree, void *context)
{
    struct validating *validating = context;
    const char *finding = NULL;
    uint64_t chunk = 0;
    validating->feeds++;
    const int rc = shmw_deepwater_validate_watched(tree->base, tree->feed, &watch, &finding, &chunk);
    if (rc == SHMW_OK)
        return EXIT_OK;
    progress_hide();
    validating->findings++;
    if (given(validating->args, OPT_JSON)) {
        json_object(&validating->json, NULL);
        json_text(&validating->json, "feed", tree->feed);
        json_text(&validating->json, "code", shmw_error_name(rc));
        if (chunk == SHMW_DEEPWATER_NONE)
            json_null(&validating->json, "chunk");
        else
            json_u64(&validating->json, "chunk", chunk);
        json_text(&validating->json, "text", finding != NULL ? finding : shmw_strerror(rc));
        json_close(&validating->json);
        return EXIT_FINDINGS;
    }
    printf("%serror%s  %s", style_bad(), style_plain(), tree->feed);
    if (chunk != SHMW_DEEPWATER_NONE)
        printf(", chunk %" PRIu64, chunk);
    printf(": %s: %s\n", shmw_error_name(rc), finding != NULL ? finding : shmw_strerror(rc));
    return EXIT_FINDINGS;
}

int tree_validate(const struct args *args)
{
    struct validating validating = {.args = args};
    struct tree tree;
    int rc = tree_find(args->operand[0], &tree);
    if (rc != EXIT_OK)
        return rc;
    const bool json = given(args, OPT_JSON);
    if (json) {
        json_begin(&validating.json, stdout);
        json_text(&validating.json, "schema", "shmwire-validate-feeds/1");
        json_text(&validating.json, "base", tree.base);
        json_array(&validating.json, "findings");
    }
    progress_begin(false);
    rc = each_feed(&tree, validate_feed, &validating);
    progress_end();
    if (json) {
        json_close(&validating.json);
        json_u64(&validating.json, "feeds", validating.feeds);
        json_bool(&validating.json, "valid", rc == EXIT_OK);
        json_end(&validating.json);
    } else {
        print_safe(stdout, tree.base);
        printf(": deepwater, %" PRIu64 " feed%s, %" PRIu64 " with errors\n", validating.feeds, validating.feeds == 1 ? "" : "s",
               validating.findings);
    }
    return rc;
}
