/* SPDX-License-Identifier: MIT
 *
 * Feeds, appending, rotating, persisting, expiring, leaving. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

static void a_feed_is_made_once(void)
{
    const char *base = fresh_base();
    const struct shmw_deepwater_feed_options only = {.create_only = true};
    const struct shmw_deepwater_feed_options open = {.open_only = true};
    shmw_deepwater_writer *writer;
    shmw_deepwater_writer *other;
    CHECK_CODE(shmw_deepwater_writer_open(base, "feed", &open, &writer), SHMW_NOT_FOUND);
    CHECK_CODE(shmw_deepwater_writer_open(base, "feed", &only, &writer), SHMW_OK);
    CHECK_CODE(shmw_deepwater_writer_open(base, "feed", NULL, &other), SHMW_BUSY);
    CHECK_CODE(shmw_deepwater_writer_open(base, "feed", &only, &other), SHMW_EXISTS);
    CHECK_CODE(shmw_deepwater_writer_open(base, "other", NULL, &other), SHMW_OK);
    struct shmw_deepwater_feed feed;
    CHECK_CODE(shmw_deepwater_writer_feed(other, &feed), SHMW_OK);
    CHECK_U64(feed.feed_id, 1);
    CHECK_U64(feed.chunk_size, SHMW_DEEPWATER_DEFAULT_CHUNK);
    CHECK_CODE(shmw_deepwater_writer_close(other), SHMW_OK);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    CHECK_CODE(shmw_deepwater_writer_open(base, "feed", &open, &writer), SHMW_OK);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    drop_base(base);
}

static void arguments_are_refused(void)
{
    const char *base = fresh_base();
    static const struct shmw_deepwater_feed_options bad[] = {
        {.chunk_size = 4095}, {.chunk_size = 4100}, {.chunk_size = 4096, .record_size = 4097}, {.mode = 01777},
        {.rows = SHMW_DEEPWATER_MAX_ROWS + 1}, {.create_only = true, .open_only = true}};
    static const char *const names[] = {"", ".", "..", "a/b", "\xc3\xa4", "a b",
                                        "0123456789012345678901234567890123456789012345678901234567890123"};
    shmw_deepwater_writer *writer;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK_CODE(shmw_deepwater_writer_open(base, "feed", &bad[i], &writer), SHMW_INVALID_ARGUMENT);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        CHECK_CODE(shmw_deepwater_writer_open(base, names[i], NULL, &writer), SHMW_INVALID_NAME);
    drop_base(base);
}

static void records_are_refused_and_nothing_changes(void)
{
    const char *base = fresh_base();
    const struct shmw_deepwater_feed_options options = {.chunk_size = 4096, .record_size = 8};
    shmw_deepwater_writer *fixed;
    char data[5000] = "";
    CHECK_CODE(shmw_deepwater_writer_open(base, "fixed", &options, &fixed), SHMW_OK);
    CHECK_CODE(shmw_deepwater_append(fixed, 1, 0, data, 7, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_deepwater_append(fixed, 1, 0, NULL, 8, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_deepwater_append(fixed, 1, 0, data, 8, NULL), SHMW_OK);
    CHECK_CODE(shmw_deepwater_writer_close(fixed), SHMW_OK);
    shmw_deepwater_writer *writer = open_writer(base, false, 2);
    put(writer, 0, 1);
    CHECK_CODE(shmw_deepwater_append(writer, 2000, 0, data, 4097, NULL), SHMW_TOO_LARGE);
    CHECK_CODE(shmw_deepwater_append(writer, 999, 0, data, 1, NULL), SHMW_OUT_OF_ORDER);
    put(writer, 1, 1);
    CHECK_CODE(shmw_deepwater_append(writer, 1010, 0, data, 4096, NULL), SHMW_OK); /* a chunk of its own */
    struct shmw_deepwater_feed feed;
    CHECK_CODE(shmw_deepwater_writer_feed(writer, &feed), SHMW_OK);
    CHECK_U64(feed.last_sequence, 2);
    CHECK_U64(feed.chunks, 2);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    drop_base(base);
}

static void batches_stop_at_what_fails(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_writer(base, false, 8);
    struct shmw_deepwater_part parts[100];
    size_t done = 0;
    for (uint64_t i = 0; i < 100; i++)
        parts[i] = (struct shmw_deepwater_part){.timestamp_ns = 10 + i, .data = "0123456789", .length = 10};
    parts[90].timestamp_ns = 5;
    CHECK_CODE(shmw_deepwater_append_batch(writer, parts, 100, &done), SHMW_OUT_OF_ORDER);
    CHECK_U64(done, 90);
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_OLDEST, 0);
    struct shmw_deepwater_record records[128];
    size_t count = 0;
    CHECK_CODE(shmw_deepwater_next_batch(reader, records, 128, &count), SHMW_OK);
    CHECK_U64(count, 90);
    CHECK_U64(records[89].timestamp_ns, 99);
    shmw_deepwater_reader_close(reader);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    drop_base(base);
}

static void chunks_rotate_by_size_and_age(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_writer(base, false, 8);
    put(writer, 0, PER_CHUNK + 1);
    CHECK_U64(chunk_of(base, 0).state, SHMW_DEEPWATER_STATE_SEALED);
    CHECK_U64(chunk_of(base, 0).record_count, PER_CHUNK);
    CHECK_U64(chunk_of(base, 1).state, SHMW_DEEPWATER_STATE_LIVE);
    CHECK_U64(chunk_of(base, 1).first_sequence, PER_CHUNK);
    CHECK_CODE(shmw_deepwater_rotate(writer), SHMW_OK);
    CHECK_CODE(shmw_deepwater_rotate(writer), SHMW_OK); /* nothing in it: nothing to do */
    CHECK_U64(chunk_of(base, 2).record_count, 0);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    drop_base(base);
    base = fresh_base();
    const struct shmw_deepwater_feed_options options = {.chunk_size = 4096, .rotate_ns = 100};
    CHECK_CODE(shmw_deepwater_writer_open(base, "feed", &options, &writer), SHMW_OK);
    for (uint64_t time = 0; time <= 250; time += 50)
        CHECK_CODE(shmw_deepwater_append(writer, time, 0, "x", 1, NULL), SHMW_OK);
    CHECK_U64(chunk_of(base, 0).record_count, 2);
    CHECK_U64(chunk_of(base, 1).record_count, 2);
    CHECK_U64(chunk_of(base, 2).record_count, 2);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    drop_base(base);
}

static void rows_run_out(void)
{
    const char *base = fresh_base();
    const struct shmw_deepwater_feed_options options = {.chunk_size = 4096, .rows = 2};
    shmw_deepwater_writer *writer;
    CHECK_CODE(shmw_deepwater_writer_open(base, "feed", &options, &writer), SHMW_OK);
    put(writer, 0, 2 * PER_CHUNK);
    CHECK_CODE(shmw_deepwater_append(writer, 99999, 0, "x", LENGTH > 1, NULL), SHMW_OK); /* a short one still fits */
    char data[LENGTH] = "";
    CHECK_CODE(shmw_deepwater_append(writer, 99999, 0, data, LENGTH, NULL), SHMW_FULL);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    drop_base(base);
}

static void what_does_not_persist_expires(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_writer(base, false, 2);
    put(writer, 0, 4 * PER_CHUNK);
    CHECK_U64(chunk_of(base, 1).state, SHMW_DEEPWATER_STATE_EXPIRED);
    CHECK_U64(chunk_of(base, 2).state, SHMW_DEEPWATER_STATE_SEALED);
    CHECK(!in_memory(base, 1) && in_memory(base, 2) && in_memory(base, 3));
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    CHECK_U64(chunk_of(base, 3).state, SHMW_DEEPWATER_STATE_EXPIRED);
    CHECK(!in_memory(base, 2) && !in_memory(base, 3));
    drop_base(base);
}

static void what_persists_is_in_files(void)
{
    const char *base = fresh_base();
    struct stat status;
    shmw_deepwater_writer *writer = open_writer(base, true, 2);
    put(writer, 0, 3 * PER_CHUNK + 5);
    CHECK_U64(chunk_of(base, 0).state, SHMW_DEEPWATER_STATE_PERSISTED);
    CHECK(!in_memory(base, 1) && in_memory(base, 2) && in_memory(base, 3));
    CHECK(stat(file_of(base, "chunk_00000000.data"), &status) == 0);
    CHECK_U64(status.st_size, 64 + 104 * (PER_CHUNK - 1) + LENGTH);
    CHECK(stat(file_of(base, "chunk_00000000.idx"), &status) == 0);
    CHECK_U64(status.st_size, 64 + 32 * PER_CHUNK);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    CHECK_U64(chunk_of(base, 3).state, SHMW_DEEPWATER_STATE_PERSISTED);
    CHECK_CODE(shmw_deepwater_validate(base, "feed", NULL, NULL), SHMW_OK);
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_OLDEST, 0);
    expect_all(reader, 0, 3 * PER_CHUNK + 5);
    shmw_deepwater_reader_close(reader);
    drop_base(base);
}

static void a_retired_feed_takes_no_more(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_writer(base, true, 2);
    put(writer, 0, 3);
    CHECK_CODE(shmw_deepwater_retire(base, "feed"), SHMW_BUSY);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_OLDEST, 0);
    expect_all(reader, 0, 3);
    CHECK_CODE(shmw_deepwater_retire(base, "feed"), SHMW_OK);
    struct shmw_deepwater_record record;
    CHECK_CODE(shmw_deepwater_next(reader, &record), SHMW_CLOSED);
    CHECK_CODE(shmw_deepwater_writer_open(base, "feed", NULL, &writer), SHMW_CLOSED);
    shmw_deepwater_reader_close(reader);
    drop_base(base);
}

RUN_TESTS(TEST(a_feed_is_made_once), TEST(arguments_are_refused), TEST(records_are_refused_and_nothing_changes),
          TEST(batches_stop_at_what_fails), TEST(chunks_rotate_by_size_and_age), TEST(rows_run_out),
          TEST(what_does_not_persist_expires), TEST(what_persists_is_in_files), TEST(a_retired_feed_takes_no_more))
