/* SPDX-License-Identifier: MIT
 *
 * ls BASE: the feeds of a base. inspect BASE/FEED: one of them and its chunks. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../output.h"
#include "../progress.h"
#include "tree.h"

#define CHUNKS_SHOWN 64 /* in text; --json has all */

static const char *state_word(uint32_t state)
{
    static const char *const words[] = {[0] = "changing", /* its writer died over the row */
                                        [SHMW_DEEPWATER_STATE_LIVE] = "live",
                                        [SHMW_DEEPWATER_STATE_SEALED] = "sealed",
                                        [SHMW_DEEPWATER_STATE_PERSISTED] = "persisted",
                                        [SHMW_DEEPWATER_STATE_EXPIRED] = "expired"};
    return state <= SHMW_DEEPWATER_STATE_EXPIRED ? words[state] : "?";
}

static uint64_t records_of(const struct shmw_deepwater_feed *feed)
{
    return feed->last_sequence == SHMW_DEEPWATER_NONE ? 0 : feed->last_sequence + 1;
}

static const char *kind_word(const struct shmw_deepwater_feed *feed)
{
    if ((feed->flags & SHMW_DEEPWATER_FLAG_RETIRED) != 0)
        return "retired";
    return (feed->flags & SHMW_DEEPWATER_FLAG_PERSIST) != 0 ? "persists" : "volatile";
}

/* Feeds ------------------------------------------------------------------------------------------------------------ */

static void feed_json(struct json *json, const struct shmw_deepwater_feed *feed)
{
    json_text(json, "feed", feed->name);
    json_text(json, "directory", feed->directory);
    json_number(json, "feed_id", feed->feed_id);
    json_bool(json, "persist", (feed->flags & SHMW_DEEPWATER_FLAG_PERSIST) != 0);
    json_bool(json, "retired", (feed->flags & SHMW_DEEPWATER_FLAG_RETIRED) != 0);
    json_u64(json, "chunks", feed->chunks);
    json_u64(json, "records", records_of(feed));
    json_u64(json, "last_timestamp_ns", feed->last_timestamp_ns);
    json_u64(json, "chunk_size", feed->chunk_size);
    json_number(json, "live_window", feed->live_window);
    json_number(json, "record_size", feed->record_size);
    json_u64(json, "rotate_ns", feed->rotate_ns);
    json_u64(json, "created_ns", feed->created_ns);
    json_number(json, "writer_pid", feed->writer_pid);
    json_bool(json, "writer_lives", feed->writer_lives);
    json_number(json, "asleep", feed->waiters);
}

static void print_feed(const struct shmw_deepwater_feed *feed)
{
    char when[64] = "-";
    char writer[24] = "-";
    if (feed->last_sequence != SHMW_DEEPWATER_NONE)
        format_time(when, sizeof(when), feed->last_timestamp_ns);
    if (feed->writer_lives)
        snprintf(writer, sizeof(writer), "%" PRIu32, feed->writer_pid);
    else if (feed->latest != SHMW_DEEPWATER_NONE)
        snprintf(writer, sizeof(writer), "dead");
    printf("%-24s %-9s %8" PRIu64 " %12" PRIu64 " %12" PRIu64 " %8s %6" PRIu32 " %s\n", feed->name, kind_word(feed), feed->chunks,
           records_of(feed), feed->chunk_size, writer, feed->waiters, when);
}

static int list(const struct args *args, const struct tree *tree)
{
    const bool json = given(args, OPT_JSON);
    struct shmw_deepwater_feed feed;
    struct json out;
    int rc;
    if (json) {
        json_begin(&out, stdout);
        json_text(&out, "schema", "shmwire-feeds/1");
        json_text(&out, "base", tree->base);
        json_array(&out, "feeds");
    } else {
        printf("%s%-24s %-9s %8s %12s %12s %8s %6s %s%s\n", style_bold(), "FEED", "KIND", "CHUNKS", "RECORDS", "CHUNK-BYTES", "WRITER",
               "ASLEEP", "LAST", style_plain());
    }
    int exit = EXIT_OK;
    const uint64_t feeds = tree_feeds(tree);
    progress_begin(true);
    for (uint32_t i = 0; (rc = shmw_deepwater_feed_at(tree->base, i, &feed)) != SHMW_NOT_FOUND; i++) {
        progress_at(i, feeds, "feeds");
        if (rc != SHMW_OK) { /* the others are worth seeing all the same */
            diagnostic("%s: entry %" PRIu32 ": %s", tree->base, i, shmw_error_name(rc));
            exit = EXIT_FINDINGS;
            continue;
        }
        if (json) {
            json_object(&out, NULL);
            feed_json(&out, &feed);
            json_close(&out);
        } else {
            print_feed(&feed);
        }
    }
    progress_end();
    if (json)
        json_end(&out);
    return exit;
}

int tree_ls(const struct args *args, const char *operand)
{
    struct tree tree;
    const int rc = tree_find(operand, &tree);
    if (rc != EXIT_OK)
        return rc;
    return tree.feed[0] == '\0' ? list(args, &tree) : tree_inspect(args);
}

/* Chunks ----------------------------------------------------------------------------------------------------------- */

static void chunk_json(struct json *json, const struct shmw_deepwater_chunk *chunk)
{
    json_object(json, NULL);
    json_u64(json, "chunk", chunk->chunk_id);
    json_text(json, "state", state_word(chunk->state));
    json_u64(json, "first_sequence", chunk->first_sequence);
    json_u64(json, "records", chunk->record_count);
    json_u64(json, "start_ns", chunk->start_ns);
    json_u64(json, "end_ns", chunk->end_ns);
    json_u64(json, "bytes", chunk->data_bytes);
    json_close(json);
}

static void print_chunk(const struct shmw_deepwater_chunk *chunk)
{
    char start[64];
    char end[64];
    if (chunk->state == 0) {
        printf("  chunk[%" PRIu64 "]  changing  from %-10" PRIu64 " its writer died over the row: the next one, or gc, mends it\n",
               chunk->chunk_id, chunk->first_sequence);
        return;
    }
    format_time(start, sizeof(start), chunk->start_ns);
    format_time(end, sizeof(end), chunk->end_ns);
    printf("  chunk[%" PRIu64 "]  %-9s from %-10" PRIu64 " %8" PRIu64 " records %10" PRIu64 " bytes  %s .. %s\n", chunk->chunk_id,
           state_word(chunk->state), chunk->first_sequence, chunk->record_count, chunk->data_bytes, start, end);
}

/* One that a writer died over is shown as such, and those behind it too: recovery is what mends it, and gc does that. */
static int each_chunk(const struct tree *tree, const shmw_deepwater_reader *reader, uint64_t from, struct json *json)
{
    struct shmw_deepwater_chunk chunk;
    int rc = SHMW_OK;
    progress_begin(true);
    for (uint64_t id = from; rc == SHMW_OK; id++) {
        progress_at(id, tree->entry.chunks, "chunks");
        rc = shmw_deepwater_reader_chunk(reader, id, &chunk);
        if (rc == SHMW_NOT_READY)
            rc = SHMW_OK;
        if (rc == SHMW_OK && json != NULL)
            chunk_json(json, &chunk);
        else if (rc == SHMW_OK)
            print_chunk(&chunk);
    }
    progress_end();
    return rc == SHMW_NOT_FOUND ? SHMW_OK : rc;
}

static int inspect_json(const struct tree *tree, const shmw_deepwater_reader *reader)
{
    struct json json;
    json_begin(&json, stdout);
    json_text(&json, "schema", "shmwire-feed/1");
    json_text(&json, "base", tree->base);
    feed_json(&json, &tree->entry);
    json_array(&json, "list");
    const int rc = each_chunk(tree, reader, 0, &json);
    json_close(&json);
    json_text(&json, "answer", shmw_error_name(rc));
    json_end(&json);
    return rc;
}

static int inspect_text(const struct tree *tree, const shmw_deepwater_reader *reader)
{
    const struct shmw_deepwater_feed *feed = &tree->entry;
    const uint64_t hidden = feed->chunks > CHUNKS_SHOWN ? feed->chunks - CHUNKS_SHOWN : 0;
    printf("%s%s%s: feed %" PRIu32 " of ", style_bold(), feed->name, style_plain(), feed->feed_id);
    print_safe(stdout, tree->base);
    printf("\n  %s, chunks of %" PRIu64 " bytes, %" PRIu32 " in memory", kind_word(feed), feed->chunk_size, feed->live_window);
    if (feed->record_size != 0)
        printf(", records of %" PRIu32 " bytes", feed->record_size);
    if (feed->rotate_ns != 0)
        printf(", rotated after %" PRIu64 " ns", feed->rotate_ns);
    printf("\n  %" PRIu64 " records in %" PRIu64 " chunks; writer: %s\n", records_of(feed), feed->chunks,
           feed->writer_lives ? "lives" : "none");
    if (hidden > 0)
        printf("  %" PRIu64 " older chunks (--json)\n", hidden);
    return each_chunk(tree, reader, hidden, NULL);
}

int tree_inspect(const struct args *args)
{
    struct tree tree;
    shmw_deepwater_reader *reader = NULL;
    int rc = tree_find(args->operand[0], &tree);
    if (rc != EXIT_OK || tree.feed[0] == '\0')
        return rc != EXIT_OK ? rc : list(args, &tree);
    const struct shmw_deepwater_reader_options options = {.start = SHMW_DEEPWATER_SEQUENCE, .read_only = true}; /* needs no row */
    rc = shmw_deepwater_reader_open(tree.base, tree.feed, &options, &reader);
    if (rc == SHMW_OK)
        rc = given(args, OPT_JSON) ? inspect_json(&tree, reader) : inspect_text(&tree, reader);
    shmw_deepwater_reader_close(reader);
    return rc == SHMW_OK ? EXIT_OK : tree_error(&tree, rc);
}
