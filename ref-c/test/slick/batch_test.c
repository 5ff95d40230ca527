/* SPDX-License-Identifier: MIT
 *
 * Several items by one look at the reservation [slick.read.batch]. */
#include <stdlib.h>
#include <string.h>

#include "support.h"

#define MOST 32

struct batch {
    unsigned char buffer[MOST * 64];
    struct shmw_slick_item items[MOST];
    size_t count;
};

static struct batch *take_batch(shmw_slick_reader *reader, const struct room *room, size_t max, size_t count)
{
    static struct batch batch;
    CHECK_CODE(shmw_slick_next_batch(reader, batch.buffer, sizeof(batch.buffer), batch.items, max, &batch.count), SHMW_OK);
    CHECK_U64(batch.count, count);
    for (size_t i = 0; i < count; i++) {
        check_item(room, &batch.items[i], batch.buffer + batch.items[i].offset);
        CHECK(i == 0 || batch.items[i].lost == 0);
    }
    return &batch;
}

static void expect_no_batch(shmw_slick_reader *reader)
{
    struct batch batch;
    batch.count = 7;
    CHECK_CODE(shmw_slick_next_batch(reader, batch.buffer, sizeof(batch.buffer), batch.items, MOST, &batch.count), SHMW_EMPTY);
    CHECK_U64(batch.count, 0);
}

static void one_behind_the_other(void)
{
    struct room room = make_room(8, 8);
    shmw_slick_reader *reader = open_oldest(&room);
    expect_no_batch(reader);
    put(&room, 0, 3);
    put(&room, 3, 1);
    const struct shmw_slick_claim claim = claim_at(room.producer, &room, 4, 1);
    const struct batch *batch = take_batch(reader, &room, MOST, 2);
    CHECK_U64(batch->items[0].index, 0);
    CHECK_U64(batch->items[1].index, 3);
    CHECK_U64(batch->items[1].offset, 24);
    expect_no_batch(reader);
    CHECK_CODE(shmw_slick_publish(room.producer, &claim), SHMW_OK);
    put(&room, 5, 1);
    take_batch(reader, &room, 1, 1);
    take_batch(reader, &room, 1, 1);
    CHECK_U64(cursor_of(reader), 6);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

static void over_the_end_of_the_ring(void)
{
    struct room room = make_room(8, 8);
    shmw_slick_reader *reader = open_oldest(&room);
    put(&room, 0, 3);
    put(&room, 3, 3);
    expect(reader, &room, 0, 3, 0);
    put(&room, 8, 3);
    const struct batch *batch = take_batch(reader, &room, MOST, 2);
    CHECK_U64(batch->items[0].index, 3);
    CHECK_U64(batch->items[1].index, 8);
    CHECK_U64(cursor_of(reader), 11);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

static void after_some_laps(void)
{
    struct room room = make_room(8, 8);
    shmw_slick_reader *reader = open_reader(&room, 3);
    for (uint64_t n = 0; n < 30; n++)
        put(&room, n, 1);
    const struct batch *batch = take_batch(reader, &room, MOST, 3);
    CHECK_U64(batch->items[0].index, 27);
    CHECK_U64(batch->items[0].lost, 24);
    expect_no_batch(reader);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

/* Overtaken while the copies are made: what is whole is delivered, and it is the last ones ---------------------------- */

static const struct room *stage;
static uint64_t stage_until;

static void write_on(void *context)
{
    (void)context;
    for (uint64_t n = 8; n < stage_until; n++)
        put(stage, n, 1);
}

static void a_batch_that_is_overtaken(void)
{
    for (uint64_t until = 8; until <= 20; until++) {
        struct room room = make_room(8, 8);
        shmw_slick_reader *reader = open_oldest(&room);
        struct shmw_slick_item items[MOST];
        size_t count = 0;
        for (uint64_t n = 0; n < 8; n++)
            put(&room, n, 1);
        stage = &room;
        stage_until = until;
        unsigned char *page = trap_page(write_on, NULL); /* touched when 0 has been found and not been copied */
        CHECK_CODE(shmw_slick_next_batch(reader, page, 4096, items, MOST, &count), SHMW_OK);
        CHECK_U64(trap_hits(), 1);
        const uint64_t first = until - 8;
        CHECK_U64(items[0].index, first);
        CHECK_U64(items[0].lost, first);
        for (size_t i = 0; i < count; i++) {
            CHECK_U64(items[i].index, first + i);
            CHECK(i == 0 || items[i].lost == 0);
            check_item(&room, &items[i], page + items[i].offset);
        }
        CHECK_U64(cursor_of(reader), first + count);
        trap_drop();
        for (uint64_t n = first + count; n < until; n++)
            expect(reader, &room, n, 1, 0);
        expect_none(reader, &room);
        shmw_slick_reader_close(reader);
        leave_room(&room);
    }
}

static void buffers_and_arguments(void)
{
    struct room room = make_room(8, 8);
    shmw_slick_reader *reader = open_oldest(&room);
    unsigned char buffer[40];
    struct shmw_slick_item items[4];
    size_t count = 9;
    put(&room, 0, 2);
    put(&room, 2, 2);
    put(&room, 4, 3);
    CHECK_CODE(shmw_slick_next_batch(reader, buffer, 15, items, 4, &count), SHMW_TOO_SMALL);
    CHECK_U64(items[0].length, 16);
    CHECK_U64(count, 0);
    CHECK_CODE(shmw_slick_next_batch(reader, buffer, 40, items, 4, &count), SHMW_OK); /* as many as fit */
    CHECK_U64(count, 2);
    CHECK_CODE(shmw_slick_next_batch(reader, buffer, 23, items, 4, &count), SHMW_TOO_SMALL);
    CHECK_U64(items[0].length, 24);
    CHECK_CODE(shmw_slick_next_batch(reader, buffer, 24, items, 4, &count), SHMW_OK);
    CHECK_CODE(shmw_slick_next_batch(NULL, buffer, 8, items, 4, &count), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_next_batch(reader, NULL, 8, items, 4, &count), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_next_batch(reader, buffer, 8, NULL, 4, &count), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_next_batch(reader, buffer, 8, items, 0, &count), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_next_batch(reader, buffer, 8, items, 4, NULL), SHMW_INVALID_ARGUMENT);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

/* What is before an impossible item is delivered; then CORRUPT, and the reader stays. */
static void an_impossible_item(void)
{
    static const uint32_t sizes[] = {0, 7, 5, UINT32_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct room room = make_room(8, 8);
        shmw_slick_reader *reader = open_oldest(&room);
        struct batch batch;
        for (uint64_t n = 0; n < 6; n++)
            put(&room, n, 1);
        raw_slot(&room, 2)->size = sizes[i];
        take_batch(reader, &room, MOST, 2);
        for (int n = 0; n < 2; n++) {
            const int rc =
                shmw_slick_next_batch(reader, batch.buffer, sizeof(batch.buffer), batch.items, MOST, &batch.count);
            CHECK_CODE(rc, SHMW_CORRUPT);
            CHECK_U64(batch.count, 0);
            CHECK_U64(cursor_of(reader), 2);
        }
        shmw_slick_reader_close(reader);
        leave_room(&room);
    }
}

RUN_TESTS(TEST(one_behind_the_other), TEST(over_the_end_of_the_ring), TEST(after_some_laps), TEST(a_batch_that_is_overtaken),
          TEST(buffers_and_arguments), TEST(an_impossible_item))
