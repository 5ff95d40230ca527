/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "support.h"

#define BASE3 64 /* data offset with 3 chunks */

static struct shmw_ouroboros_reader_info info_of(const shmw_ouroboros_reader *reader)
{
    struct shmw_ouroboros_reader_info info;
    CHECK_CODE(shmw_ouroboros_reader_info(reader, &info), SHMW_OK);
    return info;
}

/* Starting --------------------------------------------------------------------------------------------------------- */

static void expect_start(const struct room *room, enum shmw_ouroboros_start start, uint64_t sequence)
{
    shmw_ouroboros_reader *reader = open_reader(room, start);
    expect(reader, sequence, 0);
    shmw_ouroboros_close_reader(reader);
}

/* [ouroboros.read.start] */
static void where_readers_start(void)
{
    struct room room = make_room(3, 64, 0);
    put(&room, 1, 60);
    put(&room, 2, 60);
    put(&room, 3, 60);
    expect_start(&room, SHMW_OUROBOROS_AUTO, 1);
    expect_start(&room, SHMW_OUROBOROS_LATEST, 3);
    expect_start(&room, SHMW_OUROBOROS_OLDEST, 1);
    put(&room, 4, 50); /* chunk 0 again, and chunk 1 still there */
    expect_start(&room, SHMW_OUROBOROS_AUTO, 4);
    expect_start(&room, SHMW_OUROBOROS_LATEST, 4);
    expect_start(&room, SHMW_OUROBOROS_OLDEST, 2);
    leave_room(&room);
}

static void a_reader_before_the_first_chunk(void)
{
    struct room room = make_room(3, 64, 0);
    raw_row(&room.raw, 0)->offset = BASE3;
    shmw_ouroboros_reader *reader = open_reader(&room, SHMW_OUROBOROS_AUTO);
    CHECK_U64(info_of(reader).next_sequence, 0);
    expect_none(reader); /* [ouroboros.read.empty] */
    raw_row(&room.raw, 0)->offset = BASE3 | ROW_C;
    expect_none(reader);
    CHECK_U64(info_of(reader).next_sequence, 1);
    put(&room, 1, 10);
    expect(reader, 1, 0);
    shmw_ouroboros_close_reader(reader);
    leave_room(&room);
}

static void seeking(void)
{
    struct room room = make_room(3, 64, 0);
    for (uint64_t i = 1; i <= 3; i++)
        put(&room, i, 60);
    shmw_ouroboros_reader *reader = open_reader(&room, SHMW_OUROBOROS_LATEST);
    expect(reader, 3, 0);
    CHECK_CODE(shmw_ouroboros_seek(reader, SHMW_OUROBOROS_OLDEST), SHMW_OK);
    expect(reader, 1, 0);
    CHECK_CODE(shmw_ouroboros_seek(reader, SHMW_OUROBOROS_LATEST), SHMW_OK);
    expect(reader, 3, 0);
    CHECK_U64(info_of(reader).total_entries_read, 3);
    CHECK_U64(info_of(reader).total_skipped, 0);
    CHECK_CODE(shmw_ouroboros_seek(reader, (enum shmw_ouroboros_start)3), SHMW_INVALID_ARGUMENT);
    expect_none(reader);
    shmw_ouroboros_close_reader(reader);
    leave_room(&room);
}

/* Following -------------------------------------------------------------------------------------------------------- */

/* Chunk and token are those of the entry's own row [ouroboros.read.sequence]. */
static void rows_are_adopted_on_the_way(void)
{
    struct room room = make_room(3, 64, 0);
    shmw_ouroboros_reader *reader = open_reader(&room, SHMW_OUROBOROS_AUTO);
    for (uint64_t i = 1; i <= 12; i++) {
        put(&room, i, 28);
        const struct shmw_ouroboros_entry entry = take(reader);
        CHECK_U64(entry.sequence, i);
        CHECK_U64(entry.skipped, 0);
        CHECK_U64(entry.chunk, (i - 1) % 6 / 2);
        CHECK_U64(entry.token, (i - 1) / 2 * 2);
        CHECK(entry.data == NULL);
    }
    shmw_ouroboros_close_reader(reader);
    leave_room(&room);
}

/* An entry is committed before its chunk's row: a reader that was caught up passes under the old row, and adopts the new one
 * late; at the wrap it does not read the last chunk again [ouroboros.read.no-repeat]. */
static void a_boundary_passed_under_the_old_row(void)
{
    struct room room = make_room(3, 64, 0);
    shmw_ouroboros_reader *reader = open_reader(&room, SHMW_OUROBOROS_AUTO);
    put(&room, 1, 60);
    expect(reader, 1, 0);
    put(&room, 2, 28);
    raw_row(&room.raw, 1)->offset = 128; /* as it is for a moment */
    struct shmw_ouroboros_entry entry = take(reader);
    CHECK_U64(entry.sequence, 2);
    CHECK_U64(entry.chunk, 0);
    expect_none(reader);
    put(&room, 3, 28);
    raw_row(&room.raw, 1)->offset = 128 | ROW_C;
    entry = take(reader);
    CHECK_U64(entry.sequence, 3);
    CHECK_U64(entry.chunk, 1);
    CHECK_U64(entry.token, 1);
    put(&room, 4, 60);
    raw_row(&room.raw, 2)->offset = 192;
    expect(reader, 4, 0);
    put(&room, 5, 60);
    raw_row(&room.raw, 0)->offset = BASE3; /* between two chunks: chunk 1 is the newest row, and behind the reader */
    expect_none(reader);
    expect_none(reader);
    raw_row(&room.raw, 0)->offset = BASE3 | ROW_C;
    raw_row(&room.raw, 2)->offset = 192 | ROW_C;
    expect(reader, 5, 0);
    shmw_ouroboros_close_reader(reader);
    leave_room(&room);
}

/* [ouroboros.read.wrap] */
static void the_wrap_waits_for_row_0(void)
{
    for (uint64_t size = 255; size <= 256; size++) { /* without and with a mark */
        struct room room = make_room(3, 64, size);
        shmw_ouroboros_reader *reader = open_reader(&room, SHMW_OUROBOROS_AUTO);
        put(&room, 1, 60);
        put(&room, 2, 60);
        put(&room, 3, 54); /* ends at 250, next at 252 */
        for (uint64_t i = 1; i <= 3; i++)
            expect(reader, i, 0);
        expect_none(reader);
        put(&room, 4, 8);
        const uint64_t row = raw_row(&room.raw, 0)->offset;
        raw_row(&room.raw, 0)->offset = BASE3;
        expect_none(reader);
        raw_row(&room.raw, 0)->offset = row;
        const struct shmw_ouroboros_entry entry = take(reader);
        CHECK_U64(entry.sequence, 4);
        CHECK_U64(entry.chunk, 0);
        CHECK_U64(entry.token, 3);
        shmw_ouroboros_close_reader(reader);
        leave_room(&room);
    }
}

/* [ouroboros.read.skipped] */
static void overtaken_readers_count(void)
{
    struct room room = make_room(4, 64, 0);
    shmw_ouroboros_reader *reader = open_reader(&room, SHMW_OUROBOROS_AUTO);
    for (uint64_t i = 1; i <= 3; i++)
        put(&room, i, 28);
    expect(reader, 1, 0);
    for (uint64_t i = 4; i <= 23; i++)
        put(&room, i, 28); /* two entries a chunk, eight a lap: 23 is the first of chunk 3 */
    expect(reader, 23, 21);
    CHECK_U64(info_of(reader).total_skipped, 21);
    CHECK_U64(info_of(reader).total_entries_read, 2);
    CHECK_U64(info_of(reader).next_sequence, 24);
    for (uint64_t i = 24; i <= 40; i++)
        put(&room, i, 28);
    expect(reader, 39, 15);
    expect(reader, 40, 0);
    expect_none(reader);
    CHECK_U64(info_of(reader).total_skipped, 36);
    shmw_ouroboros_close_reader(reader);
    leave_room(&room);
}

/* Skipped twice before anything is delivered: both gaps are in the next entry's count. */
static void skips_add_up(void)
{
    struct room room = make_room(1, 96, 0); /* 32..128, two entries a lap */
    shmw_ouroboros_reader *reader = open_reader(&room, SHMW_OUROBOROS_AUTO);
    char small[1];
    struct shmw_ouroboros_entry entry;
    for (uint64_t i = 1; i <= 3; i++)
        put(&room, i, 40);
    CHECK_CODE(shmw_ouroboros_next(reader, small, sizeof(small), &entry), SHMW_TOO_SMALL);
    CHECK_U64(entry.sequence, 3);
    CHECK_U64(entry.skipped, 2);
    CHECK_U64(entry.length, 40);
    CHECK_CODE(shmw_ouroboros_next(reader, NULL, 0, NULL), SHMW_TOO_SMALL);
    for (uint64_t i = 4; i <= 7; i++)
        put(&room, i, 40);
    expect(reader, 7, 6);
    shmw_ouroboros_close_reader(reader);
    leave_room(&room);
}

/* The writer comes by while a copy is being made: the buffer is a page whose first touch calls us ------------------------ */

struct race {
    struct room *room;
    uint64_t from;
    uint64_t to;
    size_t length;
};

static void write_meanwhile(void *context)
{
    const struct race *race = context;
    for (uint64_t i = race->from; i <= race->to; i++)
        put(race->room, i, race->length);
}

/* [ouroboros.read.recheck] */
static void a_copy_that_was_overtaken_is_thrown_away(void)
{
    struct room room = make_room(1, 128, 0); /* 32..160: one entry of 100 a lap */
    struct race race = {&room, 2, 4, 100};
    shmw_ouroboros_reader *reader = open_reader(&room, SHMW_OUROBOROS_AUTO);
    put(&room, 1, 100);
    unsigned char *page = trap_page(write_meanwhile, &race);
    unsigned char want[100];
    struct shmw_ouroboros_entry entry;
    CHECK_CODE(shmw_ouroboros_next(reader, page, 100, &entry), SHMW_OK);
    CHECK_U64(trap_hits(), 1);
    CHECK_U64(entry.sequence, 4);
    CHECK_U64(entry.skipped, 3);
    fill(want, 4, 100);
    CHECK_BYTES(page, want, 100);
    trap_drop();
    shmw_ouroboros_close_reader(reader);
    leave_room(&room);
}

/* What was written behind it does not touch the entry that is being copied. */
static void a_copy_that_was_not_stays(void)
{
    struct room room = make_room(3, 64, 0);
    struct race race = {&room, 2, 3, 50};
    shmw_ouroboros_reader *reader = open_reader(&room, SHMW_OUROBOROS_AUTO);
    put(&room, 1, 50);
    unsigned char *page = trap_page(write_meanwhile, &race);
    struct shmw_ouroboros_entry entry;
    CHECK_CODE(shmw_ouroboros_next(reader, page, 100, &entry), SHMW_OK);
    CHECK_U64(trap_hits(), 1);
    CHECK_U64(entry.sequence, 1);
    trap_drop();
    expect(reader, 2, 0);
    shmw_ouroboros_close_reader(reader);
    leave_room(&room);
}

/* Views and batches ------------------------------------------------------------------------------------------------ */

/* [ouroboros.read.view] */
static void views(void)
{
    struct room room = make_room(3, 64, 0);
    shmw_ouroboros_reader *reader = open_reader(&room, SHMW_OUROBOROS_AUTO);
    unsigned char want[60];
    struct shmw_ouroboros_entry first;
    struct shmw_ouroboros_entry second;
    CHECK_CODE(shmw_ouroboros_next_view(reader, &first), SHMW_EMPTY);
    put(&room, 1, 60);
    put(&room, 2, 60);
    CHECK_CODE(shmw_ouroboros_next_view(reader, &first), SHMW_OK);
    CHECK_CODE(shmw_ouroboros_next_view(reader, &second), SHMW_OK);
    CHECK_U64(first.sequence, 1);
    CHECK_U64(first.offset, BASE3 + 4);
    CHECK_U64(second.offset, 132);
    fill(want, 1, 60);
    CHECK_BYTES(first.data, want, 60);
    CHECK_CODE(shmw_ouroboros_view_check(reader, &first), SHMW_OK);
    put(&room, 3, 60);
    CHECK_CODE(shmw_ouroboros_view_check(reader, &first), SHMW_OK);
    put(&room, 4, 20);
    CHECK_CODE(shmw_ouroboros_view_check(reader, &first), SHMW_LAPPED);
    CHECK_CODE(shmw_ouroboros_view_check(reader, &second), SHMW_OK);
    put(&room, 5, 60);
    CHECK_CODE(shmw_ouroboros_view_check(reader, &second), SHMW_LAPPED);
    CHECK_U64(info_of(reader).total_entries_read, 2);
    second.chunk = 3;
    CHECK_CODE(shmw_ouroboros_view_check(reader, &second), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_ouroboros_view_check(reader, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_ouroboros_next_view(NULL, &second), SHMW_INVALID_ARGUMENT);
    shmw_ouroboros_close_reader(reader);
    leave_room(&room);
}

static void batches(void)
{
    struct room room = make_room(4, 64, 0);
    shmw_ouroboros_reader *reader = open_reader(&room, SHMW_OUROBOROS_AUTO);
    unsigned char buffer[64];
    unsigned char want[64];
    struct shmw_ouroboros_entry entries[8];
    size_t count = 99;
    CHECK_CODE(shmw_ouroboros_next_batch(reader, buffer, sizeof(buffer), entries, 8, &count), SHMW_EMPTY);
    CHECK_U64(count, 0);
    for (uint64_t i = 1; i <= 6; i++)
        put(&room, i, 20);
    CHECK_CODE(shmw_ouroboros_next_batch(reader, buffer, 10, entries, 8, &count), SHMW_TOO_SMALL);
    CHECK_U64(count, 0);
    CHECK_U64(entries[0].length, 20);
    CHECK_CODE(shmw_ouroboros_next_batch(reader, buffer, sizeof(buffer), entries, 2, &count), SHMW_OK);
    CHECK_U64(count, 2);
    CHECK_CODE(shmw_ouroboros_next_batch(reader, buffer, sizeof(buffer), entries, 8, &count), SHMW_OK);
    CHECK_U64(count, 3); /* three fit */
    for (uint64_t i = 0; i < 3; i++) {
        CHECK_U64(entries[i].sequence, 3 + i);
        CHECK_U64(entries[i].offset, 20 * i);
        fill(want, 3 + i, 20);
        CHECK_BYTES(buffer + entries[i].offset, want, 20);
    }
    CHECK_CODE(shmw_ouroboros_next_batch(reader, buffer, sizeof(buffer), entries, 8, &count), SHMW_OK);
    CHECK_U64(count, 1);
    CHECK_CODE(shmw_ouroboros_next_batch(reader, buffer, sizeof(buffer), entries, 0, &count), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_ouroboros_next_batch(reader, buffer, sizeof(buffer), NULL, 1, &count), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_ouroboros_next_batch(reader, NULL, 0, entries, 1, &count), SHMW_INVALID_ARGUMENT);
    shmw_ouroboros_close_reader(reader);
    leave_room(&room);
}

/* Hostile bytes ---------------------------------------------------------------------------------------------------- */

/* [ouroboros.read.length] The reader stays where it is, and goes on when the bytes are right again. */
static void impossible_lengths(void)
{
    struct room room = make_room(3, 64, 0);
    put(&room, 1, 20);
    put(&room, 2, 20);
    shmw_ouroboros_reader *reader = open_reader(&room, SHMW_OUROBOROS_AUTO);
    const char *finding = "";
    uint32_t chunk;
    char buffer[256];
    expect(reader, 1, 0);
    const uint32_t sound = raw_word(&room.raw, 88);
    static const uint32_t lengths[] = {0, 2, 3, 4, 256 - 88 + 1, 0x7ffffffc, 0x7fffffff};
    for (size_t i = 0; i < 7; i++) {
        set_raw_word(&room.raw, 88, lengths[i] | ENTRY_C);
        CHECK_CODE(shmw_ouroboros_next(reader, buffer, sizeof(buffer), NULL), SHMW_CORRUPT);
        CHECK_CODE(shmw_ouroboros_validate(reader, &finding, &chunk), SHMW_CORRUPT);
        CHECK(finding != NULL);
        CHECK_U64(chunk, 0);
        set_raw_word(&room.raw, 88, lengths[i]); /* not committed: nothing yet */
        expect_none(reader);
    }
    set_raw_word(&room.raw, 88, (256 - 88) | ENTRY_C); /* to the last byte */
    CHECK_CODE(shmw_ouroboros_next(reader, buffer, 100, NULL), SHMW_TOO_SMALL);
    set_raw_word(&room.raw, 88, sound);
    expect(reader, 2, 0);
    CHECK_CODE(shmw_ouroboros_validate(reader, &finding, &chunk), SHMW_OK);
    CHECK(finding == NULL);
    CHECK_U64(chunk, UINT32_MAX);
    shmw_ouroboros_close_reader(reader);
    leave_room(&room);
}

/* [ouroboros.read.row-offset] */
static void impossible_rows(void)
{
    struct room room = make_room(3, 64, 0);
    put(&room, 1, 20);
    char buffer[256];
    static const uint64_t offsets[] = {65, 66, 67, 0, 16, 60, 253, 254, 256, 260, UINT64_C(0x7ffffffffffffffc),
                                       UINT64_C(0x7fffffffffffffff), (UINT64_C(1) << 32) + 64};
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        raw_row(&room.raw, 0)->offset = offsets[i] | ROW_C;
        for (int start = 0; start < 3; start++) {
            shmw_ouroboros_reader *reader = open_reader(&room, (enum shmw_ouroboros_start)start);
            struct shmw_ouroboros_entry entry;
            CHECK_CODE(shmw_ouroboros_next(reader, buffer, sizeof(buffer), NULL), SHMW_CORRUPT);
            CHECK_CODE(shmw_ouroboros_next_view(reader, &entry), SHMW_CORRUPT);
            CHECK_CODE(shmw_ouroboros_validate(reader, NULL, NULL), SHMW_CORRUPT);
            shmw_ouroboros_close_reader(reader);
        }
    }
    raw_row(&room.raw, 0)->offset = 252 | ROW_C; /* the last place for a header */
    shmw_ouroboros_reader *reader = open_reader(&room, SHMW_OUROBOROS_AUTO);
    expect_none(reader);
    shmw_ouroboros_close_reader(reader);
    leave_room(&room);
}

/* [ouroboros.read.wrap-loop] */
static void a_wrap_mark_that_leads_to_itself(void)
{
    struct room room = make_room(3, 64, 0);
    put(&room, 1, 20);
    set_raw_word(&room.raw, 64, WRAP_MARK);
    shmw_ouroboros_reader *reader = open_reader(&room, SHMW_OUROBOROS_AUTO);
    char buffer[64];
    CHECK_CODE(shmw_ouroboros_next(reader, buffer, sizeof(buffer), NULL), SHMW_CORRUPT);
    CHECK_CODE(shmw_ouroboros_next(reader, buffer, sizeof(buffer), NULL), SHMW_CORRUPT);
    CHECK_CODE(shmw_ouroboros_wait_next(reader, buffer, sizeof(buffer), SHMW_FOREVER, 0, NULL), SHMW_CORRUPT);
    shmw_ouroboros_close_reader(reader);
    leave_room(&room);
}

static void findings_of_validate(void)
{
    struct room room = make_room(3, 64, 0);
    for (uint64_t i = 1; i <= 5; i++)
        put(&room, i, 28);
    shmw_ouroboros_reader *reader = open_reader(&room, SHMW_OUROBOROS_AUTO);
    const char *finding;
    uint32_t chunk;
    CHECK_CODE(shmw_ouroboros_validate(reader, &finding, &chunk), SHMW_OK);
    raw_row(&room.raw, 1)->token = 3;
    CHECK_CODE(shmw_ouroboros_validate(reader, &finding, &chunk), SHMW_CORRUPT);
    CHECK_U64(chunk, 0);
    raw_row(&room.raw, 1)->token = 2;
    raw_row(&room.raw, 1)->offset = (128 + 4) | ROW_C;
    CHECK_CODE(shmw_ouroboros_validate(reader, &finding, &chunk), SHMW_CORRUPT);
    raw_row(&room.raw, 1)->offset = 128 | ROW_C;
    set_raw_word(&room.raw, 192, 0); /* the only entry of chunk 2 */
    CHECK_CODE(shmw_ouroboros_validate(reader, &finding, &chunk), SHMW_CORRUPT);
    CHECK_U64(chunk, 2);
    set_raw_word(&room.raw, 192, 32 | ENTRY_C);
    CHECK_CODE(shmw_ouroboros_validate(reader, &finding, &chunk), SHMW_OK);
    raw_header(&room.raw)->chunk_count = 2;
    CHECK_CODE(shmw_ouroboros_validate(reader, &finding, &chunk), SHMW_BAD_GEOMETRY);
    raw_header(&room.raw)->version = 2;
    CHECK_CODE(shmw_ouroboros_validate(reader, NULL, NULL), SHMW_BAD_VERSION);
    shmw_ouroboros_close_reader(reader);
    leave_room(&room);
}

RUN_TESTS(TEST(where_readers_start), TEST(a_reader_before_the_first_chunk), TEST(seeking), TEST(rows_are_adopted_on_the_way),
          TEST(a_boundary_passed_under_the_old_row), TEST(the_wrap_waits_for_row_0), TEST(overtaken_readers_count),
          TEST(skips_add_up), TEST(a_copy_that_was_overtaken_is_thrown_away), TEST(a_copy_that_was_not_stays), TEST(views),
          TEST(batches), TEST(impossible_lengths), TEST(impossible_rows), TEST(a_wrap_mark_that_leads_to_itself),
          TEST(findings_of_validate))
