/* SPDX-License-Identifier: MIT
 *
 * Geometries here: 3 chunks of 64 bytes, so entries begin at 64 and the segment ends at 256. */
#include <stdlib.h>

#include "support.h"

#define BASE 64
#define END 256

static void refusals_change_nothing(void)
{
    struct room room = make_room(3, 64, 0);
    struct shmw_ouroboros_writer_info info;
    static unsigned char payload[1024];
    put(&room, 1, 10);
    unsigned char *before = raw_copy(&room.raw);
    CHECK_CODE(shmw_ouroboros_writer_info(room.writer, &info), SHMW_OK);
    CHECK_U64(info.max_payload, END - BASE - 4);
    CHECK_CODE(shmw_ouroboros_write(room.writer, payload, 0, NULL), SHMW_INVALID_ARGUMENT); /* [ouroboros.write.empty] */
    CHECK_CODE(shmw_ouroboros_write(room.writer, NULL, 1, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_ouroboros_write(NULL, payload, 1, NULL), SHMW_INVALID_ARGUMENT);
    /* [ouroboros.write.too-large] */
    CHECK_CODE(shmw_ouroboros_write(room.writer, payload, END - BASE - 3, NULL), SHMW_TOO_LARGE);
    CHECK_CODE(shmw_ouroboros_write(room.writer, payload, (size_t)INT32_MAX - 3, NULL), SHMW_TOO_LARGE);
    CHECK_CODE(shmw_ouroboros_write(room.writer, payload, SIZE_MAX, NULL), SHMW_TOO_LARGE);
    CHECK_UNCHANGED(&room.raw, before);
    put(&room, 2, END - BASE - 4); /* the largest there is */
    CHECK_ROW(&room.raw, 0, BASE | ROW_C, 1);
    leave_room(&room);
}

static void entries_and_rows_byte_for_byte(void)
{
    struct room room = make_room(3, 64, 0);
    unsigned char payload[64];
    put(&room, 1, 5); /* 64..73, next at 76 */
    fill(payload, 1, 5);
    CHECK_U64(raw_word(&room.raw, 64), 9 | ENTRY_C);
    CHECK_BYTES(room.raw.bytes + 68, payload, 5);
    CHECK_U64(room.raw.bytes[73], 0); /* exactly the payload's bytes */
    CHECK_U64(raw_word(&room.raw, 76), 0);
    put(&room, 2, 48); /* 76..128: exactly the target */
    CHECK_ROW(&room.raw, 1, 0, 0);
    put(&room, 3, 100); /* [ouroboros.write.next-chunk]: row 1 at 128; 128..232 */
    CHECK_ROW(&room.raw, 0, BASE | ROW_C, 0);
    CHECK_ROW(&room.raw, 1, 128 | ROW_C, 2);
    CHECK_ROW(&room.raw, 2, 0, 0);
    put(&room, 4, 8); /* row 2 at 232; 232..244 */
    CHECK_ROW(&room.raw, 2, 232 | ROW_C, 3);
    CHECK_U64(raw_word(&room.raw, 244), 0);
    leave_room(&room);
}

/* [ouroboros.write.wrap] [ouroboros.write.clear] */
static void a_wrap_with_a_mark(void)
{
    struct room room = make_room(3, 64, 0);
    put(&room, 1, 60);
    put(&room, 2, 60);
    put(&room, 3, 40); /* 192..236 */
    put(&room, 4, 20); /* 24 bytes do not fit in 20: mark at 236; 64..88, next header to 92 */
    CHECK_U64(raw_word(&room.raw, 236), WRAP_MARK);
    CHECK_ROW(&room.raw, 0, BASE | ROW_C, 3);
    CHECK_ROW(&room.raw, 1, 128 | ROW_C, 1); /* nothing of it is overwritten */
    put(&room, 5, 32); /* 88..124, next header to 128: not a byte of chunk 1 */
    CHECK_ROW(&room.raw, 1, 128 | ROW_C, 1);
    put(&room, 6, 1); /* 124..129, next header 132..136: chunk 1 goes, chunk 2 stays */
    CHECK_ROW(&room.raw, 1, 0, 0);
    CHECK_ROW(&room.raw, 2, 192 | ROW_C, 2);
    put(&room, 7, 4); /* the chunk holds 68 bytes: row 1 at 132 */
    CHECK_ROW(&room.raw, 1, 132 | ROW_C, 6);
    leave_room(&room);
}

static void the_next_header_counts_as_overwritten(void)
{
    struct room room = make_room(3, 64, 0);
    put(&room, 1, 60);
    put(&room, 2, 60);
    put(&room, 3, 60);
    CHECK_ROW(&room.raw, 1, 128 | ROW_C, 1);
    put(&room, 4, 60); /* ends at 128, where chunk 1 begins: its first header is to be cleared */
    CHECK_ROW(&room.raw, 1, 0, 0);
    CHECK_ROW(&room.raw, 2, 192 | ROW_C, 2);
    CHECK_U64(raw_word(&room.raw, 128), 0);
    leave_room(&room);
}

static void a_wrap_without_a_mark(void)
{
    struct room room = make_room(3, 64, 255); /* ends 3 bytes behind 252 */
    put(&room, 1, 60);
    put(&room, 2, 60);
    put(&room, 3, 55); /* 192..251, next at 252: no header fits */
    unsigned char *before = raw_copy(&room.raw);
    put(&room, 4, 8);
    CHECK_BYTES(room.raw.bytes + 128, before + 128, 255 - 128);
    CHECK_ROW(&room.raw, 0, BASE | ROW_C, 3);
    free(before);
    leave_room(&room);
}

static void one_chunk(void)
{
    struct room room = make_room(1, 96, 0); /* 32..128 */
    put(&room, 1, 40);
    put(&room, 2, 40); /* 76..120 */
    CHECK_ROW(&room.raw, 0, 32 | ROW_C, 0);
    put(&room, 3, 5);
    CHECK_U64(raw_word(&room.raw, 120), WRAP_MARK);
    CHECK_ROW(&room.raw, 0, 32 | ROW_C, 2);
    CHECK_U64(raw_word(&room.raw, 44), 0);
    leave_room(&room);
}

/* Order, seen from inside: the payload lies in a page whose first touch calls us -------------------------------------- */

struct sight {
    const struct room *room;
    bool beginning; /* a chunk begins */
    uint64_t next;  /* header behind the entry */
    uint64_t at;
    shmw_ouroboros_reader *reader;
};

/* Steps 3 to 5 are done, 6 to 9 are not [ouroboros.write.begin] [ouroboros.write.commit]. */
static void look_inside(void *context)
{
    const struct sight *sight = context;
    const struct raw *raw = &sight->room->raw;
    CHECK_U64(raw_word(raw, sight->at), 4 + 100);
    CHECK_ROW(raw, 0, sight->beginning ? BASE : BASE | ROW_C, sight->beginning ? 3 : 0);
    if (sight->beginning) {
        CHECK_ROW(raw, 1, 0, 0);
        CHECK_ROW(raw, 2, 192 | ROW_C, 2);
        CHECK(raw_word(raw, sight->next) != 0); /* what was there before */
    }
    /* The reader that stood in chunk 0 cannot be given anything of it any more; it goes on at the newest chunk there is. */
    if (sight->beginning)
        expect(sight->reader, 3, 1);
    else
        expect_none(sight->reader);
}

static void a_write_from_inside(void)
{
    for (int beginning = 0; beginning < 2; beginning++) {
        struct room room = make_room(3, 64, 0);
        struct sight sight = {.room = &room, .beginning = beginning != 0, .at = BASE, .next = BASE + 104};
        sight.reader = open_reader(&room, SHMW_OUROBOROS_AUTO);
        for (uint64_t i = 1; beginning != 0 && i <= 3; i++)
            put(&room, i, 60);
        if (beginning != 0) {
            expect(sight.reader, 1, 0);
            set_raw_word(&room.raw, sight.next, 0x5a5a5a5a);
        }
        unsigned char *page = trap_page(look_inside, &sight);
        CHECK_CODE(shmw_ouroboros_write(room.writer, page, 100, NULL), SHMW_OK);
        CHECK_U64(trap_hits(), 1);
        trap_drop();
        CHECK_ROW(&room.raw, 0, BASE | ROW_C, beginning != 0 ? 3 : 0);
        CHECK_U64(raw_word(&room.raw, BASE), 104 | ENTRY_C);
        CHECK_U64(raw_word(&room.raw, BASE + 104), 0); /* [ouroboros.write.next-header] */
        shmw_ouroboros_close_reader(sight.reader);
        leave_room(&room);
    }
}

/* Rows are judged by their own offsets, also where a segment from elsewhere has them out of order. */
static void rows_out_of_order(void)
{
    struct room room = make_room(4, 64, 0); /* 80..336 */
    put(&room, 1, 20);
    shmw_ouroboros_close_writer(room.writer);
    raw_row(&room.raw, 1)->offset = 300 | ROW_C;
    raw_row(&room.raw, 2)->offset = 120;
    raw_row(&room.raw, 3)->offset = 200 | ROW_C;
    CHECK_CODE(shmw_ouroboros_resume(room.name, NULL, &room.writer), SHMW_OK);
    put(&room, 2, 12); /* 104..120, next header to 124 */
    CHECK_ROW(&room.raw, 1, 300 | ROW_C, 0);
    CHECK_ROW(&room.raw, 2, 0, 0);
    CHECK_ROW(&room.raw, 3, 200 | ROW_C, 0);
    put(&room, 3, 76); /* 120..200, next header to 204 */
    CHECK_ROW(&room.raw, 1, 300 | ROW_C, 0);
    CHECK_ROW(&room.raw, 3, 0, 0);
    leave_room(&room);
}

RUN_TESTS(TEST(refusals_change_nothing), TEST(entries_and_rows_byte_for_byte), TEST(a_wrap_with_a_mark),
          TEST(the_next_header_counts_as_overwritten), TEST(a_wrap_without_a_mark), TEST(one_chunk), TEST(a_write_from_inside),
          TEST(rows_out_of_order))
