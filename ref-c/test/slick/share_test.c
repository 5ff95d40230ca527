/* SPDX-License-Identifier: MIT
 *
 * Shared cursors (section 5.1) in one thread; threads_test and process_test have the rest. */
#include <stdlib.h>
#include <string.h>

#include "support.h"

static shmw_slick_reader *join(const struct room *room, shmw_slick_cursor *cursor)
{
    const struct shmw_slick_reader_options options = {.shared = cursor};
    shmw_slick_reader *reader;
    CHECK_CODE(shmw_slick_reader_open(room->queue, &options, &reader), SHMW_OK);
    return reader;
}

/* [slick.share.once] */
static void each_item_once(void)
{
    struct room room = make_room(8, 8);
    const char *name = fresh_name();
    shmw_slick_cursor *cursors[2];
    shmw_slick_reader *readers[2];
    CHECK_CODE(shmw_slick_cursor_create(name, room.queue, SHMW_SLICK_OLDEST, 0, &cursors[0]), SHMW_OK);
    CHECK_CODE(shmw_slick_cursor_open(name, &cursors[1]), SHMW_OK);
    struct raw raw = raw_open(name);
    CHECK_U64(raw.size, 8);
    for (unsigned i = 0; i < 2; i++)
        readers[i] = join(&room, cursors[i]);
    expect_none(readers[0], &room);
    put(&room, 0, 3);
    put(&room, 3, 2);
    put(&room, 8, 4);
    expect(readers[0], &room, 8, 4, 8); /* 0 is overtaken */
    expect_none(readers[1], &room);
    put(&room, 12, 1);
    put(&room, 13, 1);
    expect(readers[1], &room, 12, 1, 0);
    CHECK_U64(raw.bytes[0], 13);
    expect(readers[0], &room, 13, 1, 0);
    CHECK_U64(cursor_of(readers[1]), 14);
    raw_close(&raw);
    for (unsigned i = 0; i < 2; i++) {
        shmw_slick_reader_close(readers[i]);
        shmw_slick_cursor_close(cursors[i]);
    }
    leave_room(&room);
}

/* Nothing is stored before something is taken, not even the place that a mark leads to. */
static void a_look_stores_nothing(void)
{
    struct room room = make_room(8, 8);
    _Alignas(8) uint64_t word = 6;
    shmw_slick_cursor *cursor;
    unsigned char buffer[64];
    CHECK_CODE(shmw_slick_cursor_at(&word, &cursor), SHMW_OK);
    shmw_slick_reader *reader = join(&room, cursor);
    put(&room, 0, 3);
    put(&room, 3, 3);
    const struct shmw_slick_claim claim = claim_at(room.producer, &room, 8, 3);
    expect_none(reader, &room); /* 6 leads to 8, where nothing is yet */
    CHECK_U64(word, 6);
    CHECK_CODE(shmw_slick_publish(room.producer, &claim), SHMW_OK);
    CHECK_CODE(shmw_slick_next(reader, buffer, 8, NULL), SHMW_TOO_SMALL);
    CHECK_U64(word, 6);
    expect(reader, &room, 8, 3, 0);
    CHECK_U64(word, 11);
    CHECK_CODE(shmw_slick_seek(reader, SHMW_SLICK_INDEX, 3), SHMW_OK);
    CHECK_U64(word, 3);
    expect(reader, &room, 3, 3, 0);
    shmw_slick_reader_close(reader);
    shmw_slick_cursor_close(cursor);
    leave_room(&room);
}

/* Another consumer takes the item between our look and our compare-and-swap: the buffer's first touch calls it -------- */

struct rival {
    const struct room *room;
    shmw_slick_reader *reader;
};

static void take_first(void *context)
{
    const struct rival *rival = context;
    expect(rival->reader, rival->room, 0, 1, 0);
}

static void the_slower_consumer_begins_again(void)
{
    for (int batch = 0; batch < 2; batch++) {
        struct room room = make_room(8, 8);
        shmw_slick_cursor *cursor;
        struct shmw_slick_item items[4];
        size_t count = 1;
        CHECK_CODE(shmw_slick_cursor_create(NULL, room.queue, SHMW_SLICK_LATEST, 0, &cursor), SHMW_OK);
        shmw_slick_reader *reader = join(&room, cursor);
        struct rival rival = {&room, join(&room, cursor)};
        for (uint64_t n = 0; n < 3; n++)
            put(&room, n, 1);
        unsigned char *page = trap_page(take_first, &rival);
        const int rc = batch ? shmw_slick_next_batch(reader, page, 64, items, 4, &count)
                             : shmw_slick_next(reader, page, 64, &items[0]);
        CHECK_CODE(rc, SHMW_OK);
        CHECK_U64(trap_hits(), 1);
        CHECK_U64(items[0].index, 1);
        CHECK_U64(items[0].lost, 0);
        CHECK_U64(count, batch ? 2 : 1);
        check_item(&room, &items[0], page + items[0].offset);
        trap_drop();
        shmw_slick_reader_close(rival.reader);
        shmw_slick_reader_close(reader);
        shmw_slick_cursor_close(cursor);
        leave_room(&room);
    }
}

/* [slick.share.lost]: who takes the item reports what was lost before it; the other reports nothing. */
static void losses_are_reported_once(void)
{
    struct room room = make_room(4, 8);
    shmw_slick_cursor *cursor;
    struct shmw_slick_reader_info info[2];
    shmw_slick_reader *readers[2];
    CHECK_CODE(shmw_slick_cursor_create(NULL, room.queue, SHMW_SLICK_OLDEST, 0, &cursor), SHMW_OK);
    for (unsigned i = 0; i < 2; i++)
        readers[i] = join(&room, cursor);
    for (uint64_t n = 0; n < 10; n++)
        put(&room, n, 1);
    expect(readers[0], &room, 8, 1, 8);
    expect(readers[1], &room, 9, 1, 0);
    for (unsigned i = 0; i < 2; i++) {
        CHECK_CODE(shmw_slick_reader_info(readers[i], &info[i]), SHMW_OK);
        shmw_slick_reader_close(readers[i]);
    }
    CHECK_U64(info[0].lost, 8);
    CHECK_U64(info[1].lost, 0);
    shmw_slick_cursor_close(cursor);
    leave_room(&room);
}

/* A reset is taken by one of them. */
static void a_reset_is_taken_once(void)
{
    struct room room = make_room(8, 8);
    struct shmw_slick_reader_info info[2];
    shmw_slick_cursor *cursor;
    shmw_slick_reader *readers[2];
    CHECK_CODE(shmw_slick_cursor_create(NULL, room.queue, SHMW_SLICK_INDEX, 70, &cursor), SHMW_OK);
    for (unsigned i = 0; i < 2; i++)
        readers[i] = join(&room, cursor);
    put(&room, 0, 1);
    expect(readers[0], &room, 0, 1, 0);
    expect_none(readers[1], &room);
    for (unsigned i = 0; i < 2; i++) {
        CHECK_CODE(shmw_slick_reader_info(readers[i], &info[i]), SHMW_OK);
        CHECK_U64(info[i].resets, i == 0);
        shmw_slick_reader_close(readers[i]);
    }
    shmw_slick_cursor_close(cursor);
    leave_room(&room);
}

static void where_cursors_start(void)
{
    struct room room = make_room(8, 8);
    const char *name = fresh_name();
    shmw_slick_cursor *cursor;
    _Alignas(8) unsigned char bytes[16] = {0};
    put(&room, 0, 3);
    put(&room, 3, 5);
    put(&room, 8, 1);
    CHECK_CODE(shmw_slick_cursor_create(name, room.queue, SHMW_SLICK_OLDEST, 0, &cursor), SHMW_OK);
    struct raw raw = raw_open(name);
    CHECK_U64(raw.bytes[0], 3);
    shmw_slick_cursor *second;
    CHECK_CODE(shmw_slick_cursor_create(name, room.queue, SHMW_SLICK_LATEST, 0, &second), SHMW_EXISTS);
    CHECK_U64(raw.bytes[0], 3);
    shmw_slick_cursor_close(cursor);
    raw_close(&raw);
    CHECK_CODE(shmw_slick_cursor_create(fresh_name(), NULL, SHMW_SLICK_LATEST, 0, &second), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_cursor_create(fresh_name(), room.queue, SHMW_SLICK_INDEX, UINT64_MAX, &second), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_cursor_open(fresh_name(), &second), SHMW_NOT_FOUND);
    CHECK_CODE(shmw_slick_cursor_open(NULL, &second), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_cursor_at(bytes + 4, &second), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_cursor_at(NULL, &second), SHMW_INVALID_ARGUMENT);
    leave_room(&room);
}

RUN_TESTS(TEST(each_item_once), TEST(a_look_stores_nothing), TEST(the_slower_consumer_begins_again),
          TEST(losses_are_reported_once), TEST(a_reset_is_taken_once), TEST(where_cursors_start))
