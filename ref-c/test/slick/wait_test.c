/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "support.h"

/* [slick.read.timeout] */
static void waiting_ends_in_time(void)
{
    struct room room = make_room(8, 8);
    shmw_slick_reader *reader = open_oldest(&room);
    char buffer[64];
    CHECK_CODE(shmw_slick_wait_next(reader, buffer, sizeof(buffer), 0, 0, NULL), SHMW_TIMEOUT);
    for (uint64_t spin = 0; spin <= SHMW_FOREVER / 2; spin += SHMW_FOREVER / 2) {
        const uint64_t start = now_ns();
        CHECK_CODE(shmw_slick_wait_next(reader, buffer, sizeof(buffer), 30 * MS, spin, NULL), SHMW_TIMEOUT);
        CHECK(now_ns() - start >= 30 * MS);
    }
    CHECK_CODE(shmw_slick_wait_next(NULL, buffer, sizeof(buffer), 0, 0, NULL), SHMW_INVALID_ARGUMENT);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

static void what_is_there_is_not_waited_for(void)
{
    struct room room = make_room(8, 8);
    shmw_slick_reader *reader = open_oldest(&room);
    char buffer[8];
    struct shmw_slick_item item;
    put(&room, 0, 1);
    put(&room, 1, 2);
    CHECK_CODE(shmw_slick_wait_next(reader, buffer, sizeof(buffer), SHMW_FOREVER, 0, &item), SHMW_OK);
    CHECK_U64(item.index, 0);
    CHECK_CODE(shmw_slick_wait_next(reader, buffer, sizeof(buffer), SHMW_FOREVER, 0, &item), SHMW_TOO_SMALL);
    CHECK_U64(item.length, 16);
    raw_slot(&room, 1)->size = 0;
    CHECK_CODE(shmw_slick_wait_next(reader, buffer, sizeof(buffer), SHMW_FOREVER, 0, &item), SHMW_CORRUPT);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

struct late {
    const struct room *room;
    uint64_t index;
    bool reset;
};

static void write_late(void *context)
{
    const struct late *late = context;
    nap_ms(20);
    if (late->reset)
        CHECK_CODE(shmw_slick_reset(late->room->queue), SHMW_OK);
    put(late->room, late->index, 1);
}

/* From another process, with pauses and without, also where readers have to find their way first. */
static void a_late_item_ends_the_wait(void)
{
    struct room room = make_room(8, 8);
    shmw_slick_reader *reader = open_oldest(&room);
    for (uint64_t n = 0; n < 5; n++) {
        char buffer[64];
        struct shmw_slick_item item;
        const struct late late = {&room, n < 4 ? n : 0, n >= 4};
        const int child = start_child(write_late, (void *)(uintptr_t)&late);
        const uint64_t spin = n % 2 == 0 ? 0 : SHMW_FOREVER;
        CHECK_CODE(shmw_slick_wait_next(reader, buffer, sizeof(buffer), 20000 * MS, spin, &item), SHMW_OK);
        CHECK_U64(item.index, late.index);
        CHECK_U64(child_status(child), 0);
    }
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

RUN_TESTS(TEST(waiting_ends_in_time), TEST(what_is_there_is_not_waited_for), TEST(a_late_item_ends_the_wait))
