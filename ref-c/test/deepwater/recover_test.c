/* SPDX-License-Identifier: MIT
 *
 * What a dead writer leaves, after a kill and after a power failure, and what the next one makes of it. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

static struct shmw_deepwater_recovered collect(const char *base)
{
    struct shmw_deepwater_recovered found;
    CHECK_CODE(shmw_deepwater_gc(base, "feed", &found), SHMW_OK);
    return found;
}

static void nothing_visible_is_lost(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_writer(base, true, 2);
    put(writer, 0, PER_CHUNK + 10);
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_OLDEST, 0);
    expect(reader, 0);
    die(writer);
    writer = open_writer(base, true, 2);
    CHECK_U64(chunk_of(base, 1).state, SHMW_DEEPWATER_STATE_PERSISTED);
    put(writer, PER_CHUNK + 10, 5);
    for (uint64_t i = 1; i < PER_CHUNK + 15; i++)
        expect(reader, i);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    CHECK_CODE(shmw_deepwater_validate(base, "feed", NULL, NULL), SHMW_OK);
    shmw_deepwater_reader_close(reader);
    drop_base(base);
}

/* A record that was put and never committed, an odd stamp, temporary files. */
static void half_made_things_go(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_writer(base, true, 2);
    put(writer, 0, 3);
    writer->live.records[3].sequence = 77;
    shmw_store_relaxed(&writer->live.data_header->write_pos, 999);
    shmw_store_relaxed(&writer->place.rows[0].stamp, 1);
    die(writer);
    close(open(file_of(base, "chunk_00000000.data.tmp"), O_WRONLY | O_CREAT, 0600));
    const struct shmw_deepwater_recovered found = collect(base);
    CHECK_U64(found.sealed, 1);
    CHECK_U64(found.persisted, 1);
    CHECK_U64(found.removed, 1);
    CHECK(access(file_of(base, "chunk_00000000.data.tmp"), F_OK) != 0);
    CHECK(!in_memory(base, 0));
    CHECK_U64(chunk_of(base, 0).record_count, 3);
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_OLDEST, 0);
    expect_all(reader, 0, 3);
    shmw_deepwater_reader_close(reader);
    drop_base(base);
}

/* A feed of three chunks whose writer dies over the row of the one in the middle; nothing else happens to it. */
static const char *base_with_odd_row(uint32_t live_window, bool persist)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_writer(base, persist, live_window);
    put(writer, 0, 2 * PER_CHUNK + 10);
    const uint32_t stamp = shmw_load_relaxed(&writer->place.rows[1].stamp);
    shmw_store_relaxed(&writer->place.rows[1].stamp, stamp + 1);
    die(writer);
    return base;
}

/* [deepwater.read.odd]: who needs the row is told to come again, who does not goes on, and nobody loses anything. */
static void an_odd_row_is_no_damage(void)
{
    const char *base = base_with_odd_row(4, true);
    struct shmw_deepwater_record record;
    struct shmw_deepwater_chunk chunk;
    const char *finding = NULL;
    uint64_t where = 0;
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_OLDEST, 0);
    expect_all(reader, 0, PER_CHUNK);
    CHECK_CODE(shmw_deepwater_wait_next(reader, 3000000, 1000000, &record), SHMW_TIMEOUT);
    CHECK_CODE(shmw_deepwater_reader_chunk(reader, 1, &chunk), SHMW_NOT_READY);
    CHECK(chunk.chunk_id == 1 && chunk.first_sequence == PER_CHUNK && chunk.start_ns == 1000 + 10 * PER_CHUNK && chunk.state == 0);
    CHECK_CODE(shmw_deepwater_seek(reader, SHMW_DEEPWATER_TIME, 1005 + 10 * PER_CHUNK), SHMW_NOT_READY);
    CHECK_CODE(shmw_deepwater_next(reader, &record), SHMW_EMPTY); /* it stayed */
    CHECK_CODE(shmw_deepwater_seek(reader, SHMW_DEEPWATER_SEQUENCE, 2 * PER_CHUNK), SHMW_OK);
    expect_all(reader, 2 * PER_CHUNK, 2 * PER_CHUNK + 10);
    CHECK_CODE(shmw_deepwater_restore(reader, &(struct shmw_deepwater_cursor){1, PER_CHUNK + 3}), SHMW_OK);
    CHECK_CODE(shmw_deepwater_next(reader, &record), SHMW_EMPTY);
    CHECK_CODE(shmw_deepwater_validate(base, "feed", &finding, &where), SHMW_NOT_READY);
    CHECK(where == 1 && finding != NULL);
    collect(base);
    expect_all(reader, PER_CHUNK + 3, 2 * PER_CHUNK + 10);
    CHECK_CODE(shmw_deepwater_validate(base, "feed", NULL, NULL), SHMW_OK);
    shmw_deepwater_reader_close(reader);
    drop_base(base);
}

/* Rows before it are gone, and it may be too: the reader is told of each loss when it is known. */
static void an_odd_row_behind_expired_ones(void)
{
    const char *base = base_with_odd_row(1, false);
    struct shmw_deepwater_record record;
    shmw_deepwater_reader *reader = NULL;
    CHECK_CODE(shmw_deepwater_reader_open(base, "feed", NULL, &reader), SHMW_NOT_READY);
    reader = open_reader(base, SHMW_DEEPWATER_SEQUENCE, 0);
    CHECK_CODE(shmw_deepwater_next(reader, &record), SHMW_EXPIRED);
    CHECK_U64(record.lost, PER_CHUNK);
    CHECK_CODE(shmw_deepwater_next(reader, &record), SHMW_EMPTY);
    collect(base);
    CHECK_CODE(shmw_deepwater_next(reader, &record), SHMW_EXPIRED);
    CHECK_U64(record.lost, PER_CHUNK);
    expect_all(reader, 2 * PER_CHUNK, 2 * PER_CHUNK + 10);
    shmw_deepwater_reader_close(reader);
    drop_base(base);
}

/* [deepwater.read.end]: with the writer, but not because the feed is retired. */
static void an_odd_row_and_the_end(void)
{
    const char *base = base_with_odd_row(4, false);
    const struct shmw_deepwater_reader_options ending = {.end_with_writer = true};
    struct shmw_deepwater_record record;
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_OLDEST, 0);
    shmw_deepwater_reader *ends;
    CHECK_CODE(shmw_deepwater_reader_open(base, "feed", &ending, &ends), SHMW_OK);
    for (uint64_t i = 0; i < PER_CHUNK; i++)
        expect(ends, i);
    CHECK_CODE(shmw_deepwater_next(ends, &record), SHMW_CLOSED);
    CHECK_CODE(shmw_deepwater_retire(base, "feed"), SHMW_OK);
    expect_all(reader, 0, PER_CHUNK);
    collect(base);
    for (uint64_t i = PER_CHUNK; i < 2 * PER_CHUNK + 10; i++)
        expect(reader, i);
    CHECK_CODE(shmw_deepwater_next(reader, &record), SHMW_CLOSED);
    shmw_deepwater_reader_close(ends);
    shmw_deepwater_reader_close(reader);
    drop_base(base);
}

/* The chunk of a rotation that ended before count: nobody else would take its names away. */
static void a_chunk_without_a_row_goes(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_writer(base, true, 2);
    struct shmw_deepwater_chunk_map chunk;
    put(writer, 0, 3);
    CHECK_CODE(shmw_deepwater_chunk_make(&writer->place, 1, 0600, 1, &chunk), SHMW_OK);
    shmw_deepwater_chunk_close(&chunk);
    die(writer);
    CHECK(in_memory(base, 1));
    collect(base);
    CHECK(!in_memory(base, 1));
    drop_base(base);
}

static void a_living_writer_is_left_alone(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_writer(base, true, 2);
    put(writer, 0, 3);
    CHECK_CODE(shmw_deepwater_gc(base, "feed", NULL), SHMW_BUSY);
    CHECK(in_memory(base, 0));
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    drop_base(base);
}

/* The machine was switched off: shared memory is gone, the rows say live, one chunk had reached its files. */
static void after_a_power_failure(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_writer(base, true, 8);
    put(writer, 0, PER_CHUNK + 4);
    struct shmw_deepwater_place place = {.base = writer->place.base, .name = "feed"};
    shmw_store_relaxed(&writer->place.rows[0].state, SHMW_DEEPWATER_STATE_LIVE); /* its change did not reach the disk */
    shmw_store_relaxed(&writer->place.rows[0].record_count, 0);
    shmw_deepwater_chunk_unlink(&place, 0);
    shmw_deepwater_chunk_unlink(&place, 1);
    die(writer);
    const struct shmw_deepwater_recovered found = collect(base);
    CHECK_U64(found.adopted, 1);
    CHECK_U64(found.expired, 1);
    CHECK_U64(chunk_of(base, 0).state, SHMW_DEEPWATER_STATE_PERSISTED);
    CHECK_U64(chunk_of(base, 0).record_count, PER_CHUNK);
    CHECK_U64(chunk_of(base, 1).state, SHMW_DEEPWATER_STATE_EXPIRED);
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_OLDEST, 0);
    for (uint64_t i = 0; i < PER_CHUNK; i++)
        expect(reader, i);
    struct shmw_deepwater_record record;
    CHECK_CODE(shmw_deepwater_next(reader, &record), SHMW_EXPIRED);
    CHECK_U64(record.lost, 4);
    writer = open_writer(base, true, 8);
    put(writer, PER_CHUNK + 4, 1); /* no sequence is used twice */
    expect_all(reader, PER_CHUNK + 4, PER_CHUNK + 5);
    shmw_deepwater_reader_close(reader);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    drop_base(base);
}

static void half_of_a_persisted_chunk_is_none(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_writer(base, true, 8);
    put(writer, 0, PER_CHUNK + 4);
    struct shmw_deepwater_place place = {.base = writer->place.base, .name = "feed"};
    shmw_store_relaxed(&writer->place.rows[0].state, SHMW_DEEPWATER_STATE_SEALED);
    shmw_deepwater_chunk_unlink(&place, 0);
    die(writer);
    CHECK(unlink(file_of(base, "chunk_00000000.idx")) == 0);
    const struct shmw_deepwater_recovered found = collect(base);
    CHECK_U64(found.expired, 1);
    CHECK_U64(found.persisted, 1);
    CHECK_U64(found.removed, 1);
    CHECK(access(file_of(base, "chunk_00000000.data"), F_OK) != 0);
    drop_base(base);
}

/* Files that cannot be opened now (here: a link stands in their place, which is refused) are not given up. */
static void files_that_cannot_be_opened_are_not_lost(void)
{
    const char *base = fresh_base();
    char aside[256];
    shmw_deepwater_writer *writer = open_writer(base, true, 8);
    put(writer, 0, PER_CHUNK + 4);
    struct shmw_deepwater_place place = {.base = writer->place.base, .name = "feed"};
    shmw_store_relaxed(&writer->place.rows[0].state, SHMW_DEEPWATER_STATE_SEALED);
    shmw_deepwater_chunk_unlink(&place, 0);
    die(writer);
    snprintf(aside, sizeof(aside), "%s", file_of(base, "aside"));
    CHECK(rename(file_of(base, "chunk_00000000.data"), aside) == 0);
    CHECK(symlink("aside", file_of(base, "chunk_00000000.data")) == 0);
    CHECK_CODE(shmw_deepwater_gc(base, "feed", NULL), SHMW_PERMISSION);
    CHECK(rename(aside, file_of(base, "chunk_00000000.data")) == 0);
    CHECK_U64(collect(base).adopted, 1);
    drop_base(base);
}

static void write_for_ever(void *context)
{
    shmw_deepwater_writer *writer = open_writer(context, true, 2);
    for (uint64_t i = 0;; i++)
        put(writer, i, 1);
}

/* Killed wherever it happens to be, again and again: what a reader saw is there, in order, and the next writer goes on behind it. */
static void killed_anywhere(void)
{
    for (int round = 0; round < 10; round++) {
        const char *base = fresh_base();
        CHECK_CODE(shmw_deepwater_writer_close(open_writer(base, true, 2)), SHMW_OK);
        shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_OLDEST, 0);
        const int child = start_child(write_for_ever, (void *)(uintptr_t)base);
        struct shmw_deepwater_record record;
        uint64_t seen = 0;
        const uint64_t enough = (uint64_t)(PER_CHUNK * 2 + round * 13);
        while (seen < enough && shmw_deepwater_wait_next(reader, SHMW_FOREVER, 0, &record) == SHMW_OK)
            CHECK_U64(record.sequence, seen++);
        CHECK(kill(child, SIGKILL) == 0);
        CHECK_U64(child_status(child), 128 + SIGKILL);
        collect(base);
        while (shmw_deepwater_next(reader, &record) == SHMW_OK)
            CHECK_U64(record.sequence, seen++);
        shmw_deepwater_reader_close(reader);
        CHECK_CODE(shmw_deepwater_validate(base, "feed", NULL, NULL), SHMW_OK);
        reader = open_reader(base, SHMW_DEEPWATER_OLDEST, 0);
        expect_all(reader, 0, seen);
        shmw_deepwater_reader_close(reader);
        shmw_deepwater_writer *writer;
        CHECK_CODE(shmw_deepwater_writer_open(base, "feed", NULL, &writer), SHMW_OK);
        put(writer, seen, 1);
        CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
        drop_base(base);
    }
}

static void child_of_a_writer(void *context)
{
    shmw_deepwater_writer *writer = context;
    CHECK_CODE(shmw_deepwater_append(writer, 99999, 0, "x", 1, NULL), SHMW_OUT_OF_ORDER);
    CHECK_CODE(shmw_deepwater_rotate(writer), SHMW_OUT_OF_ORDER);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    nap_ms(20);
}

/* The lock goes with the parent's writer, whatever its children do. */
static void a_forked_child_holds_no_lock(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_writer(base, true, 2);
    put(writer, 0, 3);
    const int child = start_child(child_of_a_writer, writer);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    writer = open_writer(base, true, 2);
    put(writer, 3, 1);
    CHECK_U64(child_status(child), 0);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    drop_base(base);
}

static void sleep_on(void *context)
{
    (void)context;
    nap_ms(3000);
}

static void fork_and_wait(void *context)
{
    shmw_deepwater_writer *writer = open_writer(context, true, 2);
    put(writer, 0, 3);
    start_child(sleep_on, NULL);
    nap_ms(3000);
}

/* The mapping is inherited; what holds the lock must not be. */
static void a_killed_writer_lets_go_although_its_child_lives(void)
{
    const char *base = fresh_base();
    CHECK_CODE(shmw_deepwater_writer_close(open_writer(base, true, 2)), SHMW_OK);
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_OLDEST, 0);
    const int child = start_child(fork_and_wait, (void *)(uintptr_t)base);
    struct shmw_deepwater_record record;
    for (int i = 0; i < 3; i++)
        CHECK_CODE(shmw_deepwater_wait_next(reader, SHMW_FOREVER, 0, &record), SHMW_OK);
    nap_ms(50); /* it has forked by now, or the test is the weaker for it */
    CHECK(kill(child, SIGKILL) == 0);
    CHECK_U64(child_status(child), 128 + SIGKILL);
    shmw_deepwater_writer *writer;
    CHECK_CODE(shmw_deepwater_writer_open(base, "feed", NULL, &writer), SHMW_OK);
    put(writer, 3, 1);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    shmw_deepwater_reader_close(reader);
    drop_base(base);
}

/* A directory in the way of a temporary file stands for a full disk: what could not be persisted is neither expired nor lost. */
static void what_cannot_be_persisted_stays(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_writer(base, true, 1);
    put(writer, 0, PER_CHUNK);
    CHECK(mkdir(file_of(base, "chunk_00000000.data.tmp"), 0700) == 0);
    CHECK_CODE(shmw_deepwater_rotate(writer), SHMW_EXISTS);
    put(writer, PER_CHUNK, 3);
    CHECK(in_memory(base, 0));
    CHECK_U64(chunk_of(base, 0).state, SHMW_DEEPWATER_STATE_SEALED);
    CHECK_CODE(shmw_deepwater_rotate(writer), SHMW_EXISTS); /* those behind it leave as ever */
    CHECK(in_memory(base, 0) && !in_memory(base, 1) && in_memory(base, 2));
    CHECK_U64(chunk_of(base, 1).state, SHMW_DEEPWATER_STATE_PERSISTED);
    put(writer, PER_CHUNK + 3, 1);
    CHECK(rmdir(file_of(base, "chunk_00000000.data.tmp")) == 0);
    CHECK_CODE(shmw_deepwater_rotate(writer), SHMW_OK);
    CHECK_U64(chunk_of(base, 0).state, SHMW_DEEPWATER_STATE_PERSISTED);
    CHECK(!in_memory(base, 0));
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_OLDEST, 0);
    expect_all(reader, 0, PER_CHUNK + 4);
    shmw_deepwater_reader_close(reader);
    drop_base(base);
}

/* A count that was good when the reader opened, and is not any more. */
static void a_count_above_capacity_reads_nothing(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_writer(base, false, 2);
    put(writer, 0, 3);
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_OLDEST, 0);
    struct shmw_deepwater_chunk chunk;
    shmw_store_relaxed(&writer->place.header->count, UINT64_C(1) << 40);
    CHECK_CODE(shmw_deepwater_reader_chunk(reader, UINT64_C(1) << 30, &chunk), SHMW_CORRUPT);
    CHECK_CODE(shmw_deepwater_seek(reader, SHMW_DEEPWATER_TIME, 5000), SHMW_CORRUPT);
    CHECK_CODE(shmw_deepwater_seek(reader, SHMW_DEEPWATER_LATEST, 0), SHMW_CORRUPT);
    shmw_deepwater_reader_close(reader);
    shmw_store_relaxed(&writer->place.header->count, 1);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    drop_base(base);
}

RUN_TESTS(TEST(a_killed_writer_lets_go_although_its_child_lives), TEST(nothing_visible_is_lost), TEST(half_made_things_go),
          TEST(an_odd_row_is_no_damage), TEST(an_odd_row_behind_expired_ones), TEST(an_odd_row_and_the_end),
          TEST(a_chunk_without_a_row_goes), TEST(a_living_writer_is_left_alone), TEST(after_a_power_failure),
          TEST(half_of_a_persisted_chunk_is_none), TEST(files_that_cannot_be_opened_are_not_lost), TEST(killed_anywhere),
          TEST(a_forked_child_holds_no_lock), TEST(what_cannot_be_persisted_stays),
          TEST(a_count_above_capacity_reads_nothing))
