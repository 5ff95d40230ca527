/* SPDX-License-Identifier: MIT
 *
 * Reading across chunks, choosing where to begin, what has expired, cursors, questions. */
#include <unistd.h>

#include "support.h"

static void a_reader_follows_across_chunks(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_writer(base, true, 2);
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_OLDEST, 0);
    expect_all(reader, 0, 0);
    for (uint64_t i = 0; i < 5; i++) {
        put(writer, i * 30, 30);
        expect_all(reader, i * 30, (i + 1) * 30);
    }
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    writer = open_writer(base, true, 2);
    put(writer, 150, 10);
    expect_all(reader, 150, 160);
    shmw_deepwater_reader_close(reader);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    drop_base(base);
}

static void a_held_chunk_stays_readable(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_writer(base, false, 1);
    put(writer, 0, PER_CHUNK);
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_OLDEST, 0);
    expect(reader, 0);
    put(writer, PER_CHUNK, 2 * PER_CHUNK + 1);
    CHECK(!in_memory(base, 0));
    for (uint64_t i = 1; i < PER_CHUNK; i++)
        expect(reader, i);
    struct shmw_deepwater_record record; /* two chunks went by meanwhile */
    CHECK_CODE(shmw_deepwater_next(reader, &record), SHMW_EXPIRED);
    CHECK_U64(record.lost, 2 * PER_CHUNK);
    expect_all(reader, 3 * PER_CHUNK, 3 * PER_CHUNK + 1);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    CHECK_CODE(shmw_deepwater_next(reader, &record), SHMW_EMPTY);
    shmw_deepwater_reader_close(reader);
    drop_base(base);
}

/* A power failure took the chunk in the middle: a time in it leads behind it, and not back to the oldest. */
static void a_time_in_a_hole_leads_behind_it(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_writer(base, true, 8);
    put(writer, 0, 2 * PER_CHUNK + 3);
    shmw_store_relaxed(&writer->place.rows[1].state, SHMW_DEEPWATER_STATE_EXPIRED);
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_TIME, 1000 + 10 * (PER_CHUNK + 5));
    expect_all(reader, 2 * PER_CHUNK, 2 * PER_CHUNK + 3);
    shmw_deepwater_reader_close(reader);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    drop_base(base);
}

/* A writer that dies between entry_count and last_sequence leaves a header that is behind what readers have seen. */
static void a_cursor_counts_for_more_than_the_header(void)
{
    const char *base = fresh_base();
    struct shmw_deepwater_record record;
    struct shmw_deepwater_cursor cursor;
    shmw_deepwater_writer *writer = open_writer(base, false, 2);
    put(writer, 0, 3);
    shmw_store_relaxed(&writer->place.header->last_sequence, 0);
    die(writer);
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_OLDEST, 0);
    expect_all(reader, 0, 3);
    CHECK_CODE(shmw_deepwater_save(reader, &cursor), SHMW_OK);
    CHECK_CODE(shmw_deepwater_restore(reader, &cursor), SHMW_OK);
    CHECK_CODE(shmw_deepwater_next(reader, &record), SHMW_EMPTY);
    CHECK_CODE(shmw_deepwater_seek(reader, SHMW_DEEPWATER_LATEST, 0), SHMW_OK);
    CHECK_CODE(shmw_deepwater_next(reader, &record), SHMW_EMPTY);
    CHECK_CODE(shmw_deepwater_seek(reader, SHMW_DEEPWATER_SEQUENCE, 100), SHMW_OK); /* behind the last one, not at 100 */
    writer = open_writer(base, false, 2);
    put(writer, 3, 1);
    expect_all(reader, 3, 4);
    shmw_deepwater_reader_close(reader);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    drop_base(base);
}

static void everything_may_have_expired(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_writer(base, false, 1);
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_OLDEST, 0);
    put(writer, 0, 3 * PER_CHUNK);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    struct shmw_deepwater_record record;
    CHECK_CODE(shmw_deepwater_next(reader, &record), SHMW_EXPIRED);
    CHECK_U64(record.lost, 3 * PER_CHUNK);
    CHECK_CODE(shmw_deepwater_next(reader, &record), SHMW_EMPTY);
    writer = open_writer(base, false, 1);
    put(writer, 3 * PER_CHUNK, 2);
    expect_all(reader, 3 * PER_CHUNK, 3 * PER_CHUNK + 2);
    shmw_deepwater_reader_close(reader);
    reader = open_reader(base, SHMW_DEEPWATER_OLDEST, 0);
    expect_all(reader, 3 * PER_CHUNK, 3 * PER_CHUNK + 2);
    shmw_deepwater_reader_close(reader);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    drop_base(base);
}

static void readers_begin_where_they_are_told(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_writer(base, true, 2);
    put(writer, 0, 200);
    for (uint64_t i = 0; i < 200; i += 7) {
        shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_SEQUENCE, i);
        expect(reader, i);
        CHECK_CODE(shmw_deepwater_seek(reader, SHMW_DEEPWATER_TIME, 1000 + 10 * i), SHMW_OK);
        expect(reader, i);
        CHECK_CODE(shmw_deepwater_seek(reader, SHMW_DEEPWATER_TIME, 1000 + 10 * i - 9), SHMW_OK);
        expect(reader, i);
        shmw_deepwater_reader_close(reader);
    }
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_LATEST, 0);
    expect_all(reader, 200, 200);
    CHECK_CODE(shmw_deepwater_seek(reader, SHMW_DEEPWATER_TIME, 1000 + 10 * 199 + 1), SHMW_OK);
    expect_all(reader, 200, 200);
    CHECK_CODE(shmw_deepwater_seek(reader, SHMW_DEEPWATER_SEQUENCE, 100000), SHMW_OK);
    put(writer, 200, 1);
    expect_all(reader, 200, 201);
    CHECK_CODE(shmw_deepwater_seek(reader, SHMW_DEEPWATER_OLDEST, 0), SHMW_OK);
    expect(reader, 0);
    shmw_deepwater_reader_close(reader);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    drop_base(base);
}

/* Records of one time lie on both sides of the end of a chunk. */
static void equal_times_across_chunks(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_writer(base, true, 4);
    struct shmw_deepwater_record record;
    CHECK_CODE(shmw_deepwater_append(writer, 5, 0, "a", 1, NULL), SHMW_OK);
    for (int i = 0; i < 3; i++) {
        CHECK_CODE(shmw_deepwater_append(writer, 7, 0, "b", 1, NULL), SHMW_OK);
        CHECK_CODE(shmw_deepwater_rotate(writer), SHMW_OK);
    }
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_TIME, 7);
    CHECK_CODE(shmw_deepwater_next(reader, &record), SHMW_OK);
    CHECK_U64(record.sequence, 1);
    CHECK_CODE(shmw_deepwater_seek(reader, SHMW_DEEPWATER_TIME, 6), SHMW_OK);
    CHECK_CODE(shmw_deepwater_next(reader, &record), SHMW_OK);
    CHECK_U64(record.sequence, 1);
    shmw_deepwater_reader_close(reader);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    drop_base(base);
}

static void cursors_come_back(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_writer(base, true, 2);
    struct shmw_deepwater_cursor cursor;
    put(writer, 0, 100);
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_SEQUENCE, 41);
    expect(reader, 41);
    CHECK_CODE(shmw_deepwater_save(reader, &cursor), SHMW_OK);
    CHECK_U64(cursor.sequence, 42);
    CHECK_U64(cursor.chunk_id, 1);
    shmw_deepwater_reader_close(reader);
    put(writer, 100, 50);
    reader = open_reader(base, SHMW_DEEPWATER_OLDEST, 0);
    CHECK_CODE(shmw_deepwater_restore(reader, &cursor), SHMW_OK);
    expect_all(reader, 42, 150);
    cursor.chunk_id = 999; /* a hint that helps nobody */
    CHECK_CODE(shmw_deepwater_restore(reader, &cursor), SHMW_OK);
    expect(reader, 42);
    shmw_deepwater_reader_close(reader);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    drop_base(base);
}

static void questions_are_answered_from_the_registry(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_writer(base, true, 2);
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_OLDEST, 0);
    struct shmw_deepwater_chunk chunk;
    char data_name[128];
    char index_name[128];
    bool has = true;
    CHECK_CODE(shmw_deepwater_latest_chunk(reader, &chunk, data_name, index_name), SHMW_NOT_FOUND);
    CHECK_CODE(shmw_deepwater_has_data_since(reader, 0, &has), SHMW_OK);
    CHECK(!has);
    put(writer, 0, PER_CHUNK + 3);
    CHECK_CODE(shmw_deepwater_latest_chunk(reader, &chunk, data_name, index_name), SHMW_OK);
    CHECK_U64(chunk.chunk_id, 1);
    CHECK_U64(chunk.record_count, 3);
    char path[160];
    CHECK_CODE(shmw_path(index_name, path, sizeof(path)), SHMW_OK);
    CHECK(access(path, F_OK) == 0);
    const uint64_t last = 1000 + 10 * (PER_CHUNK + 2);
    CHECK_CODE(shmw_deepwater_has_data_since(reader, last, &has), SHMW_OK);
    CHECK(has);
    CHECK_CODE(shmw_deepwater_has_data_since(reader, last + 1, &has), SHMW_OK);
    CHECK(!has);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    CHECK_CODE(shmw_deepwater_latest_chunk(reader, &chunk, NULL, NULL), SHMW_NOT_FOUND);
    shmw_deepwater_reader_close(reader);
    drop_base(base);
}

static void a_reader_may_end_with_the_writer(void)
{
    const char *base = fresh_base();
    const struct shmw_deepwater_reader_options options = {.end_with_writer = true};
    shmw_deepwater_writer *writer = open_writer(base, true, 2);
    shmw_deepwater_reader *reader;
    struct shmw_deepwater_record record;
    put(writer, 0, 2);
    CHECK_CODE(shmw_deepwater_reader_open(base, "feed", &options, &reader), SHMW_OK);
    expect_all(reader, 0, 2);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    CHECK_CODE(shmw_deepwater_next(reader, &record), SHMW_CLOSED);
    shmw_deepwater_reader_close(reader);
    drop_base(base);
}

static void append_one(void *context)
{
    nap_ms(30);
    put(context, 0, 1);
}

/* The child's writer is closed there; so the parent's base and a writer of the child's own. */
static void write_later(void *context)
{
    shmw_deepwater_writer *writer = open_writer(context, true, 2);
    append_one(writer);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
}

static void a_reader_sleeps_and_is_woken(void)
{
    const char *base = fresh_base();
    struct shmw_deepwater_record record;
    CHECK_CODE(shmw_deepwater_writer_close(open_writer(base, true, 2)), SHMW_OK);
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_LATEST, 0);
    CHECK_CODE(shmw_deepwater_wait_next(reader, 1000000, 0, &record), SHMW_TIMEOUT);
    const int child = start_child(write_later, (void *)(uintptr_t)base);
    CHECK_CODE(shmw_deepwater_wait_next(reader, SHMW_FOREVER, 0, &record), SHMW_OK);
    CHECK_U64(record.sequence, 0);
    CHECK_U64(child_status(child), 0);
    shmw_deepwater_reader_close(reader);
    drop_base(base);
}

RUN_TESTS(TEST(a_reader_follows_across_chunks), TEST(a_held_chunk_stays_readable), TEST(everything_may_have_expired),
          TEST(a_time_in_a_hole_leads_behind_it), TEST(a_cursor_counts_for_more_than_the_header),
          TEST(readers_begin_where_they_are_told), TEST(equal_times_across_chunks), TEST(cursors_come_back),
          TEST(questions_are_answered_from_the_registry), TEST(a_reader_may_end_with_the_writer),
          TEST(a_reader_sleeps_and_is_woken))
