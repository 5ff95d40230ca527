/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "atomic.h"
#include "support.h"

static void put_many(const struct room *room, uint64_t first, uint64_t end)
{
    for (uint64_t n = first; n < end; n++)
        put(room, n, 1);
}

/* [slick.read.empty] [slick.read.deliver] */
static void items_in_order(void)
{
    struct room room = make_room(16, 24);
    shmw_slick_reader *reader = open_oldest(&room);
    struct shmw_slick_reader_info info;
    expect_none(reader, &room);
    put(&room, 0, 1);
    put(&room, 1, 3);
    expect(reader, &room, 0, 1, 0);
    expect(reader, &room, 1, 3, 0);
    expect_none(reader, &room);
    const struct shmw_slick_claim claim = claim_at(room.producer, &room, 4, 2);
    expect_none(reader, &room);
    CHECK_U64(cursor_of(reader), 4);
    CHECK_CODE(shmw_slick_publish(room.producer, &claim), SHMW_OK);
    expect(reader, &room, 4, 2, 0);
    CHECK_CODE(shmw_slick_reader_info(reader, &info), SHMW_OK);
    CHECK_U64(info.items_read, 3);
    CHECK_U64(info.cursor, 6);
    CHECK_U64(info.lost, 0);
    CHECK_U64(info.resets, 0);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

/* [slick.read.mark]: padding is not lost. */
static void marks_are_followed(void)
{
    struct room room = make_room(8, 8);
    shmw_slick_reader *reader = open_oldest(&room);
    put(&room, 0, 3);
    put(&room, 3, 3);
    expect(reader, &room, 0, 3, 0);
    expect(reader, &room, 3, 3, 0);
    put(&room, 8, 3);
    expect(reader, &room, 8, 3, 0);
    put(&room, 11, 5);
    expect(reader, &room, 11, 5, 0);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

/* [slick.read.lapped] */
static void a_later_lap(void)
{
    struct room room = make_room(4, 8);
    shmw_slick_reader *reader = open_oldest(&room);
    struct shmw_slick_reader_info info;
    put_many(&room, 0, 11);
    expect(reader, &room, 8, 1, 8);
    expect(reader, &room, 9, 1, 0);
    expect(reader, &room, 10, 1, 0);
    expect_none(reader, &room);
    put_many(&room, 11, 16);
    expect(reader, &room, 15, 1, 4);
    CHECK_CODE(shmw_slick_reader_info(reader, &info), SHMW_OK);
    CHECK_U64(info.lost, 12);
    CHECK_U64(info.items_read, 4);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

/* By a mark of a later lap, too: the whole laps are lost, what the mark passes is not. */
static void a_mark_of_a_later_lap(void)
{
    struct room room = make_room(8, 8);
    shmw_slick_reader *reader = open_reader(&room, 6);
    for (uint64_t lap = 0; lap < 5; lap++) {
        put(&room, 8 * lap, 3);
        put(&room, 8 * lap + 3, 3);
    }
    CHECK_SLOT(&room, 6, 32, 3);
    expect(reader, &room, 32, 3, 24);
    expect(reader, &room, 35, 3, 0);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

/* [slick.read.stale] [slick.read.oldest]: the slot still names an item that a longer one has covered. */
static void a_stale_item(void)
{
    struct room room = make_room(8, 8);
    put_many(&room, 0, 8);
    put(&room, 8, 3); /* over 0, 1 and 2; slots 1 and 2 keep their indices */
    CHECK_SLOT(&room, 1, 1, 1);
    for (uint64_t from = 1; from <= 3; from++) {
        shmw_slick_reader *reader = open_reader(&room, from);
        expect(reader, &room, 3, 1, 3 - from);
        shmw_slick_reader_close(reader);
    }
    shmw_slick_reader *reader = open_reader(&room, 0);
    expect(reader, &room, 8, 3, 8);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

/* A reader whose next index was never published, and is overtaken, goes on at what is left. */
static void overtaken_at_a_hole(void)
{
    struct room room = make_room(8, 8);
    shmw_slick_producer *other = open_producer(&room, MS);
    shmw_slick_reader *reader = open_reader(&room, 1);
    put(&room, 0, 1);
    claim_at(room.producer, &room, 1, 2);
    for (uint64_t n = 3; n < 10; n++)
        put_by(other, &room, n, 1);
    raw_slot(&room, 1)->data_index = NEVER; /* as if 9 had been reserved and were not there yet */
    expect(reader, &room, 3, 1, 2);
    shmw_slick_reader_close(reader);
    shmw_slick_producer_close(other);
    leave_room(&room);
}

/* Overtaken while the copy is made: the buffer is a page whose first touch calls us ----------------------------------- */

static const struct room *stage;
static uint64_t stage_until;

static void write_on(void *context)
{
    (void)context;
    put_many(stage, 8, stage_until);
}

/* [slick.read.recheck] [slick.read.oldest] */
static void a_copy_that_is_overtaken(void)
{
    for (uint64_t until = 8; until <= 14; until++) {
        struct room room = make_room(8, 8);
        shmw_slick_reader *reader = open_reader(&room, 2);
        struct shmw_slick_item item;
        unsigned char want[8];
        put_many(&room, 0, 8);
        stage = &room;
        stage_until = until;
        unsigned char *page = trap_page(write_on, NULL);
        CHECK_CODE(shmw_slick_next(reader, page, 64, &item), SHMW_OK);
        CHECK_U64(trap_hits(), 1);
        const uint64_t index = until <= 10 ? 2 : until - 8; /* 2 is whole as long as r <= 10 */
        CHECK_U64(item.index, index);
        CHECK_U64(item.lost, index - 2);
        fill(want, index, 8);
        CHECK_BYTES(page, want, 8);
        trap_drop();
        shmw_slick_reader_close(reader);
        leave_room(&room);
    }
}

/* [slick.read.bounds]: whole by the reservation, and impossible. */
static void impossible_sizes(void)
{
    struct room room = make_room(8, 8);
    unsigned char buffer[128];
    put_many(&room, 0, 6);
    static const uint32_t sizes[] = {0, 4, 6, 8, UINT32_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        shmw_slick_reader *reader = open_reader(&room, 3);
        raw_slot(&room, 3)->size = sizes[i];
        CHECK_CODE(shmw_slick_next(reader, buffer, sizeof(buffer), NULL), SHMW_CORRUPT);
        CHECK_CODE(shmw_slick_next(reader, buffer, sizeof(buffer), NULL), SHMW_CORRUPT);
        CHECK_U64(cursor_of(reader), 3);
        raw_slot(&room, 3)->size = 1;
        expect(reader, &room, 3, 1, 0);
        shmw_slick_reader_close(reader);
    }
    leave_room(&room);
}

/* [slick.read.uncovered]: what no reservation covers is not there. */
static void what_is_not_reserved(void)
{
    struct room room = make_room(8, 8);
    shmw_slick_reader *reader = open_oldest(&room);
    static const uint64_t found[] = {0, 8, 3, 5, UINT64_MAX - 1, UINT64_C(1) << 48};
    for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++) {
        raw_slot(&room, 0)->data_index = found[i];
        expect_none(reader, &room);
        CHECK_U64(cursor_of(reader), 0);
    }
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

/* [slick.read.bounded]: marks that lead from slot to slot. */
static void marks_without_end(void)
{
    struct room room = make_room(8, 8);
    shmw_slick_reader *reader = open_oldest(&room);
    unsigned char buffer[64];
    set_reserved(&room, UINT64_C(1) << 40, 1);
    for (uint64_t k = 0; k < 8; k++)
        raw_slot(&room, k)->data_index = (UINT64_C(1) << 39) + k + 1;
    const int rc = shmw_slick_next(reader, buffer, sizeof(buffer), NULL);
    CHECK(rc == SHMW_EMPTY || rc == SHMW_LAPPED);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

/* [slick.read.start] */
static void where_readers_start(void)
{
    struct room room = make_room(8, 8);
    struct shmw_slick_reader_options options = {.start = SHMW_SLICK_LATEST};
    shmw_slick_reader *latest;
    put(&room, 0, 3);
    put(&room, 3, 4);
    CHECK_CODE(shmw_slick_reader_open(room.queue, &options, &latest), SHMW_OK);
    CHECK_U64(cursor_of(latest), 7);
    shmw_slick_reader *oldest = open_oldest(&room);
    CHECK_U64(cursor_of(oldest), 0);
    put(&room, 8, 2); /* over 0 and 1; 7 is padding */
    expect(latest, &room, 8, 2, 0);
    CHECK_CODE(shmw_slick_seek(oldest, SHMW_SLICK_OLDEST, 0), SHMW_OK);
    CHECK_U64(cursor_of(oldest), 3);
    expect(oldest, &room, 3, 4, 0);
    CHECK_CODE(shmw_slick_seek(oldest, SHMW_SLICK_INDEX, 8), SHMW_OK);
    expect(oldest, &room, 8, 2, 0);
    CHECK_CODE(shmw_slick_seek(oldest, SHMW_SLICK_LATEST, 0), SHMW_OK);
    expect_none(oldest, &room);
    CHECK_CODE(shmw_slick_seek(oldest, SHMW_SLICK_INDEX, UINT64_C(1) << 48), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_seek(oldest, (enum shmw_slick_start)3, 0), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_seek(NULL, SHMW_SLICK_OLDEST, 0), SHMW_INVALID_ARGUMENT);
    options.start = (enum shmw_slick_start)3;
    shmw_slick_reader *none;
    CHECK_CODE(shmw_slick_reader_open(room.queue, &options, &none), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_reader_open(NULL, NULL, &none), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_reader_open(room.queue, NULL, NULL), SHMW_INVALID_ARGUMENT);
    shmw_slick_reader_close(latest);
    shmw_slick_reader_close(oldest);
    leave_room(&room);
}

/* The lowest index that is published or marked; without one, the lowest that is in the ring. */
static void the_oldest_of_a_ring_with_holes(void)
{
    struct room room = make_room(8, 8);
    set_reserved(&room, 20, 1);
    shmw_slick_reader *reader = open_oldest(&room);
    CHECK_U64(cursor_of(reader), 12);
    raw_slot(&room, 15)->data_index = 16; /* a mark */
    raw_slot(&room, 17)->data_index = 17;
    raw_slot(&room, 12)->data_index = 4; /* the lap before */
    CHECK_CODE(shmw_slick_seek(reader, SHMW_SLICK_OLDEST, 0), SHMW_OK);
    CHECK_U64(cursor_of(reader), 15);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

/* [slick.read.reset] */
static void a_cursor_above_the_reservation(void)
{
    struct room room = make_room(8, 8);
    struct shmw_slick_reader_info info;
    shmw_slick_reader *reader = open_reader(&room, 5);
    expect_none(reader, &room);
    CHECK_CODE(shmw_slick_reader_info(reader, &info), SHMW_OK);
    CHECK_U64(info.resets, 1);
    CHECK_U64(info.cursor, 0);
    put_many(&room, 0, 3);
    expect(reader, &room, 0, 1, 0);
    CHECK_CODE(shmw_slick_seek(reader, SHMW_SLICK_INDEX, UINT64_C(0xffffffffffff)), SHMW_OK);
    expect(reader, &room, 0, 1, 0);
    CHECK_CODE(shmw_slick_reader_info(reader, &info), SHMW_OK);
    CHECK_U64(info.resets, 2);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

static void buffers_that_are_too_small(void)
{
    struct room room = make_room(8, 8);
    shmw_slick_reader *reader = open_oldest(&room);
    unsigned char buffer[32];
    struct shmw_slick_item item = {0};
    put(&room, 0, 3);
    CHECK_CODE(shmw_slick_next(reader, buffer, 23, &item), SHMW_TOO_SMALL);
    CHECK_U64(item.length, 24);
    CHECK_CODE(shmw_slick_next(reader, NULL, 0, &item), SHMW_TOO_SMALL);
    CHECK_CODE(shmw_slick_next(reader, NULL, 1, &item), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_next(NULL, buffer, 1, &item), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_next(reader, buffer, 24, &item), SHMW_OK);
    CHECK_U64(item.length, 24);
    CHECK(item.data == NULL);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

/* [slick.read.view] */
static void views(void)
{
    struct room room = make_room(8, 8);
    shmw_slick_reader *reader = open_oldest(&room);
    struct shmw_slick_item item;
    CHECK_CODE(shmw_slick_next_view(reader, &item), SHMW_EMPTY);
    put(&room, 0, 3);
    CHECK_CODE(shmw_slick_next_view(reader, &item), SHMW_OK);
    CHECK_U64(item.index, 0);
    CHECK_U64(item.offset, 64 + 16 * 8);
    check_item(&room, &item, item.data);
    CHECK_CODE(shmw_slick_view_check(reader, &item), SHMW_OK);
    put_many(&room, 3, 8);
    CHECK_CODE(shmw_slick_view_check(reader, &item), SHMW_OK);
    const struct shmw_slick_claim claim = claim_at(room.producer, &room, 8, 1);
    CHECK_CODE(shmw_slick_view_check(reader, &item), SHMW_LAPPED);
    CHECK_CODE(shmw_slick_publish(room.producer, &claim), SHMW_OK);
    for (uint64_t n = 3; n < 9; n++) {
        CHECK_CODE(shmw_slick_next_view(reader, &item), SHMW_OK);
        CHECK_U64(item.index, n);
        CHECK_U64(item.lost, 0);
    }
    CHECK_CODE(shmw_slick_next_view(reader, &item), SHMW_EMPTY);
    CHECK_CODE(shmw_slick_reset(room.queue), SHMW_OK);
    CHECK_CODE(shmw_slick_view_check(reader, &item), SHMW_LAPPED);
    CHECK_CODE(shmw_slick_next_view(NULL, &item), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_view_check(reader, NULL), SHMW_INVALID_ARGUMENT);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

static void expect_last(shmw_slick_reader *reader, const struct room *room, uint64_t index, uint32_t elements)
{
    unsigned char buffer[64];
    struct shmw_slick_item item;
    const uint64_t before = cursor_of(reader);
    CHECK_CODE(shmw_slick_last(reader, buffer, sizeof(buffer), &item), SHMW_OK);
    CHECK_U64(item.index, index);
    CHECK_U64(item.elements, elements);
    CHECK_U64(item.lost, 0);
    check_item(room, &item, buffer);
    CHECK_U64(cursor_of(reader), before);
}

/* [slick.read.last] */
static void the_last_item(void)
{
    static const enum shmw_slick_generation generations[] = {SHMW_SLICK_1_2, SHMW_SLICK_1_3, SHMW_SLICK_1_4};
    for (unsigned i = 0; i < 3; i++) {
        struct room room = make_room_of(generations[i], 8, 8);
        shmw_slick_reader *reader = open_oldest(&room);
        struct shmw_slick_item item;
        unsigned char buffer[64];
        CHECK_CODE(shmw_slick_last(reader, buffer, sizeof(buffer), &item), SHMW_EMPTY);
        put(&room, 0, 3);
        expect_last(reader, &room, 0, 3);
        put_many(&room, 3, 30);
        expect_last(reader, &room, 29, 1);
        const struct shmw_slick_claim claim = claim_at(room.producer, &room, 32, 3); /* 30 and 31 are padding */
        expect_last(reader, &room, 29, 1);
        CHECK_CODE(shmw_slick_last(reader, buffer, 7, &item), SHMW_TOO_SMALL);
        CHECK_U64(item.length, 8);
        CHECK_CODE(shmw_slick_publish(room.producer, &claim), SHMW_OK);
        expect_last(reader, &room, 32, 3);
        raw_header(&room.raw)->last_published = 27; /* a producer died before it raised it */
        expect_last(reader, &room, generations[i] == SHMW_SLICK_1_4 ? 27 : 32, generations[i] == SHMW_SLICK_1_4 ? 1 : 3);
        raw_header(&room.raw)->last_published = 1000; /* no producer left that */
        expect_last(reader, &room, 32, 3);
        raw_slot(&room, 32)->size = 0;
        CHECK_CODE(shmw_slick_last(reader, buffer, sizeof(buffer), &item), SHMW_CORRUPT);
        CHECK_CODE(shmw_slick_last(NULL, buffer, 8, NULL), SHMW_INVALID_ARGUMENT);
        shmw_slick_reader_close(reader);
        leave_room(&room);
    }
}

RUN_TESTS(TEST(items_in_order), TEST(marks_are_followed), TEST(a_later_lap), TEST(a_mark_of_a_later_lap), TEST(a_stale_item),
          TEST(overtaken_at_a_hole), TEST(a_copy_that_is_overtaken), TEST(impossible_sizes), TEST(what_is_not_reserved),
          TEST(marks_without_end), TEST(where_readers_start), TEST(the_oldest_of_a_ring_with_holes),
          TEST(a_cursor_above_the_reservation), TEST(buffers_that_are_too_small), TEST(views), TEST(the_last_item))
