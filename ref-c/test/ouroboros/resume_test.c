/* SPDX-License-Identifier: MIT
 *
 * The cases of resuming one by one, byte for byte; model_test.c kills a writer after every store. 3 chunks of 64 bytes:
 * 64..256. */
#include <stdlib.h>
#include <string.h>

#include "support.h"

#define BASE 64

static uint64_t entries_of(const struct room *room)
{
    struct shmw_ouroboros_writer_info info;
    CHECK_CODE(shmw_ouroboros_writer_info(room->writer, &info), SHMW_OK);
    return info.entries_written;
}

/* Take over: so many entries are there, and but for `row`, which gets committed (or -1), no byte changes. */
static void check_resumed(struct room *room, uint64_t entries, int row)
{
    unsigned char *want = raw_copy(&room->raw);
    if (row >= 0)
        want[16 + 16 * row + 7] |= 0x80;
    take_over(room, 64);
    CHECK_U64(entries_of(room), entries);
    CHECK_UNCHANGED(&room->raw, want);
}

static struct room lap(void)
{
    struct room room = make_room(3, 64, 0);
    put(&room, 1, 60);
    put(&room, 2, 60);
    put(&room, 3, 40); /* 192..236 */
    return room;
}

static void at_rest(void)
{
    struct room room = make_room(3, 64, 0);
    check_resumed(&room, 0, -1);
    put(&room, 1, 10);
    check_resumed(&room, 1, -1);
    put(&room, 2, 60);
    put(&room, 3, 10);
    CHECK_ROW(&room.raw, 1, 144 | ROW_C, 2);
    check_resumed(&room, 3, -1);
    put(&room, 4, 10);
    CHECK_ROW(&room.raw, 2, 0, 0); /* the chunk's fill was known */
    leave_room(&room);
}

static void the_target_by_the_formula(void)
{
    struct room room = make_room(3, 64, 0);
    struct shmw_ouroboros_writer_info info;
    shmw_ouroboros_close_writer(room.writer);
    CHECK_CODE(shmw_ouroboros_resume(room.name, NULL, &room.writer), SHMW_OK);
    CHECK_CODE(shmw_ouroboros_writer_info(room.writer, &info), SHMW_OK);
    CHECK_U64(info.chunk_target_size, 64);
    CHECK_U64(info.chunk_count, 3);
    CHECK_U64(info.max_payload, 256 - 64 - 4);
    leave_room(&room);
}

static void an_entry_in_the_making_is_overwritten(void)
{
    struct room room = make_room(3, 64, 0);
    put(&room, 1, 10);
    set_raw_word(&room.raw, 80, 0x7fffffff);
    check_resumed(&room, 1, -1);
    put(&room, 2, 10);
    CHECK_U64(raw_word(&room.raw, 80), 14 | ENTRY_C);
    leave_room(&room);
}

static void a_chunk_that_was_begun(void)
{
    struct room room = make_room(3, 64, 0);
    put(&room, 1, 60);
    raw_row(&room.raw, 1)->offset = 128; /* the token is not there yet: 0, not 1 */
    check_resumed(&room, 1, -1);
    raw_row(&room.raw, 1)->token = 1;
    check_resumed(&room, 1, -1);
    put(&room, 2, 10);
    CHECK_ROW(&room.raw, 1, 128 | ROW_C, 1);
    raw_row(&room.raw, 1)->offset = 128; /* killed between entry and row: a caught-up reader may have had the entry */
    check_resumed(&room, 2, 1);
    leave_room(&room);
}

static void a_chunk_begun_under_another_token(void)
{
    struct room room = make_room(3, 64, 0);
    put(&room, 1, 60);
    raw_row(&room.raw, 1)->offset = 128;
    raw_row(&room.raw, 1)->token = 7;
    check_resumed(&room, 1, -1);
    put(&room, 2, 10);
    CHECK_ROW(&room.raw, 1, 128 | ROW_C, 1);
    leave_room(&room);
}

/* The mark is there, row 0 is not begun; then begun with the old token, then with the new one. */
static void between_the_mark_and_chunk_0(void)
{
    for (int stores = 0; stores < 3; stores++) {
        struct room room = lap();
        set_raw_word(&room.raw, 236, WRAP_MARK);
        if (stores > 0)
            raw_row(&room.raw, 0)->offset = BASE;
        if (stores > 1)
            raw_row(&room.raw, 0)->token = 3;
        check_resumed(&room, 3, -1);
        put(&room, 4, 5); /* would fit before the mark, and does not go there */
        CHECK_U64(raw_word(&room.raw, 236), WRAP_MARK);
        CHECK_U64(raw_word(&room.raw, BASE), 9 | ENTRY_C);
        CHECK_ROW(&room.raw, 0, BASE | ROW_C, 3);
        leave_room(&room);
    }
}

/* An old lap in chunk 0 is never taken for the new one, not even when nothing else is left to tell. */
static void an_old_lap_does_not_come_again(void)
{
    struct room room = make_room(1, 96, 0); /* 32..128: two entries of 40 a lap */
    put(&room, 1, 40);
    put(&room, 2, 40);
    set_raw_word(&room.raw, 120, WRAP_MARK);
    raw_row(&room.raw, 0)->offset = 32;
    check_resumed(&room, 2, -1); /* the old token, 0, and two entries */
    raw_row(&room.raw, 0)->token = 2;
    check_resumed(&room, 4, -1); /* the new token looks the same: two sequences are left out */
    shmw_ouroboros_reader *reader = open_reader(&room, SHMW_OUROBOROS_AUTO);
    expect_none(reader);
    put(&room, 5, 40);
    expect(reader, 5, 0);
    shmw_ouroboros_close_reader(reader);
    leave_room(&room);
}

/* Chunk 0 has been written to: its token is the new one. */
static void a_new_lap_that_has_begun(void)
{
    struct room room = lap();
    put(&room, 4, 20); /* 64..88 */
    const uint32_t header = raw_word(&room.raw, BASE);
    raw_row(&room.raw, 0)->offset = BASE;
    set_raw_word(&room.raw, BASE, header & ~ENTRY_C);
    check_resumed(&room, 3, -1);
    put(&room, 4, 20);
    raw_row(&room.raw, 0)->offset = BASE;
    check_resumed(&room, 4, 0); /* the entry stands there, and the row is committed */
    shmw_ouroboros_reader *reader = open_reader(&room, SHMW_OUROBOROS_LATEST);
    expect(reader, 4, 0);
    put(&room, 5, 10);
    expect(reader, 5, 0);
    shmw_ouroboros_close_reader(reader);
    leave_room(&room);
}

static void refuse(struct room *room)
{
    unsigned char *before = raw_copy(&room->raw);
    CHECK_CODE(shmw_ouroboros_resume(room->name, NULL, &room->writer), SHMW_CORRUPT);
    CHECK_UNCHANGED(&room->raw, before);
}

static void segments_that_are_refused(void)
{
    struct room room = lap();
    shmw_ouroboros_close_writer(room.writer);
    static const uint64_t offsets[] = {65, 60, 16, 0, 256, UINT64_C(0x7ffffffffffffffc)};
    for (size_t i = 0; i < 6; i++) {
        raw_row(&room.raw, 2)->offset = offsets[i] | ROW_C;
        refuse(&room);
    }
    raw_row(&room.raw, 2)->offset = 192 | ROW_C;
    static const uint32_t lengths[] = {0, 2, 4, 65, 0x7fffffff};
    for (size_t i = 0; i < 5; i++) {
        set_raw_word(&room.raw, 192, lengths[i] | ENTRY_C);
        refuse(&room);
    }
    set_raw_word(&room.raw, 192, 44 | ENTRY_C);
    raw_row(&room.raw, 0)->offset = 68; /* begun where chunk 0 never begins */
    refuse(&room);
    for (uint32_t i = 0; i < 3; i++)
        raw_row(&room.raw, i)->offset = 0;
    refuse(&room);
    room.writer = NULL;
    leave_room(&room);
}

RUN_TESTS(TEST(at_rest), TEST(the_target_by_the_formula), TEST(an_entry_in_the_making_is_overwritten),
          TEST(a_chunk_that_was_begun), TEST(a_chunk_begun_under_another_token), TEST(between_the_mark_and_chunk_0), TEST(an_old_lap_does_not_come_again),
          TEST(a_new_lap_that_has_begun), TEST(segments_that_are_refused))
