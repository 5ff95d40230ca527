/* SPDX-License-Identifier: MIT
 *
 * dump and tail of a feed: records as any reader of it finds them, across chunks, in memory and on disk. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "../interrupt.h"
#include "../output.h"
#include "../printing.h"
#include "../progress.h"
#include "bytes.h"
#include "tree.h"

#define WAIT_NS UINT64_C(200000000) /* so that an interrupt is noticed */

struct dump {
    struct tree tree;
    shmw_deepwater_reader *reader;
    enum message_format format;
    uint64_t to; /* the last timestamp to print */
    uint64_t lost;
};

/* An answer of the library, with what helps where records are there and cannot be reached. */
static int dump_error(const struct dump *dump, int rc)
{
    const int exit = tree_error(&dump->tree, rc);
    if (rc == SHMW_NOT_READY)
        diagnostic("a writer died while it changed a row (see shmwire inspect): shmwire gc %s/%s mends it, and so does the next writer",
                   dump->tree.base, dump->tree.feed);
    return exit;
}

static int dump_open(const struct args *args, struct dump *dump, enum shmw_deepwater_start start, uint64_t at)
{
    const struct shmw_deepwater_reader_options options = {.start = start, .at = at};
    int rc = tree_find(args->operand[0], &dump->tree);
    if (rc == EXIT_OK && dump->tree.feed[0] == '\0')
        rc = usage_error("%s: name a feed: %s/FEED", args->verb->name, args->operand[0]);
    if (rc == EXIT_OK)
        rc = format_option(args, &dump->format);
    if (rc != EXIT_OK)
        return rc;
    rc = shmw_deepwater_reader_open(dump->tree.base, dump->tree.feed, &options, &dump->reader);
    return rc == SHMW_OK ? EXIT_OK : dump_error(dump, rc);
}

static void print_record(const struct dump *dump, const struct shmw_deepwater_record *record)
{
    if (dump->format == FORMAT_RAW) {
        fwrite(record->data, 1, record->length, stdout);
        return;
    }
    if (dump->format == FORMAT_TEXT) {
        char when[64];
        format_time(when, sizeof(when), record->timestamp_ns);
        printf("%ssequence %-8" PRIu64 "%s %s  chunk %-6" PRIu64 " type %-5" PRIu32 " length %" PRIu32 "\n", style_bold(),
               record->sequence, style_plain(), when, record->chunk_id, record->type, record->length);
        print_payload(record->data, record->length);
        return;
    }
    struct json json;
    json_begin(&json, stdout);
    json_u64(&json, "sequence", record->sequence);
    json_u64(&json, "timestamp_ns", record->timestamp_ns);
    json_number(&json, "type", record->type);
    json_u64(&json, "chunk", record->chunk_id);
    json_hex(&json, "payload", record->data, record->length);
    json_end(&json);
}

/* Nothing came although what is below `end` was written: an odd row hides it [deepwater.read.odd]. */
static int stopped_before(const struct dump *dump, uint64_t end)
{
    struct shmw_deepwater_cursor cursor;
    const int rc = shmw_deepwater_save(dump->reader, &cursor);
    return rc == SHMW_OK && cursor.sequence < end ? SHMW_NOT_READY : SHMW_EMPTY;
}

/* Print records below the sequence `end` and not later than dump->to. The library's answer that ended it; SHMW_CLOSED at a limit. */
static int print_until(struct dump *dump, uint64_t end)
{
    struct shmw_deepwater_record record;
    uint64_t first = SHMW_DEEPWATER_NONE;
    for (;;) {
        const int rc = shmw_deepwater_next(dump->reader, &record);
        if (rc == SHMW_EXPIRED) {
            dump->lost += record.lost;
            continue;
        }
        if (rc != SHMW_OK)
            return rc;
        if (record.sequence >= end || record.timestamp_ns > dump->to || ferror(stdout))
            return SHMW_CLOSED;
        first = shmw_min_u64(first, record.sequence);
        progress_at(record.sequence - first, end - first, "records");
        print_record(dump, &record);
    }
}

static int finish(struct dump *dump, int rc)
{
    progress_end();
    if (dump->lost > 0)
        diagnostic("%s/%s: %" PRIu64 " records had expired before they were read", dump->tree.base, dump->tree.feed, dump->lost);
    shmw_deepwater_reader_close(dump->reader);
    dump->reader = NULL;
    return rc < 0 ? dump_error(dump, rc) : EXIT_OK;
}

static uint64_t end_of(const struct dump *dump)
{
    struct shmw_deepwater_feed feed;
    if (shmw_deepwater_reader_feed(dump->reader, &feed) != SHMW_OK || feed.last_sequence == SHMW_DEEPWATER_NONE)
        return 0;
    return feed.last_sequence + 1;
}

int tree_dump(const struct args *args)
{
    static struct dump dump; /* static: it outlives a jump out of the verb */
    uint64_t from = 0;
    dump = (struct dump){0};
    progress_begin(true);
    int rc = number_option(args, OPT_FROM, 0, UINT64_MAX, 0, &from);
    if (rc == EXIT_OK)
        rc = number_option(args, OPT_TO, 0, UINT64_MAX, UINT64_MAX, &dump.to);
    if (rc == EXIT_OK)
        rc = dump_open(args, &dump, given(args, OPT_FROM) ? SHMW_DEEPWATER_TIME : SHMW_DEEPWATER_OLDEST, from);
    if (rc != EXIT_OK)
        return rc;
    const uint64_t end = end_of(&dump);
    rc = print_until(&dump, end);
    return finish(&dump, rc == SHMW_EMPTY ? stopped_before(&dump, end) : rc);
}

/* Wait for what comes, until a signal or the end of the feed. */
static int follow(struct dump *dump)
{
    int rc = SHMW_EMPTY;
    while (!interrupted() && (rc == SHMW_EMPTY || rc == SHMW_TIMEOUT)) {
        struct shmw_deepwater_record record;
        rc = print_until(dump, UINT64_MAX);
        if (fflush(stdout) != 0)
            return SHMW_SYSTEM;
        if (rc != SHMW_EMPTY)
            break;
        rc = shmw_deepwater_wait_next(dump->reader, WAIT_NS, 0, &record);
        if (rc == SHMW_EXPIRED) {
            dump->lost += record.lost;
            rc = SHMW_EMPTY;
        } else if (rc == SHMW_OK) {
            print_record(dump, &record);
            rc = SHMW_EMPTY;
        }
    }
    return rc;
}

int tree_tail(const struct args *args)
{
    static struct dump dump; /* static: it outlives a jump out of the verb */
    uint64_t last = 0;
    dump = (struct dump){.to = UINT64_MAX};
    int rc = number_option(args, OPT_LAST, 0, UINT64_MAX, 10, &last);
    if (rc == EXIT_OK)
        rc = dump_open(args, &dump, SHMW_DEEPWATER_SEQUENCE, 0); /* which needs no row */
    if (rc != EXIT_OK)
        return rc;
    const uint64_t end = end_of(&dump);
    rc = shmw_deepwater_seek(dump.reader, SHMW_DEEPWATER_SEQUENCE, last < end ? end - last : 0);
    if (given(args, OPT_FOLLOW))
        interrupt_watch();
    if (rc == SHMW_OK)
        rc = given(args, OPT_FOLLOW) ? follow(&dump) : print_until(&dump, end);
    if (rc == SHMW_EMPTY && !given(args, OPT_FOLLOW))
        rc = stopped_before(&dump, end);
    return finish(&dump, rc);
}
