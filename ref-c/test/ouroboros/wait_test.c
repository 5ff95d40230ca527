/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "support.h"

#define MS UINT64_C(1000000)

/* [ouroboros.read.timeout] */
static void waiting_ends_in_time(void)
{
    struct room room = make_room(3, 64, 0);
    shmw_ouroboros_reader *reader = open_reader(&room, SHMW_OUROBOROS_AUTO);
    char buffer[64];
    CHECK_CODE(shmw_ouroboros_wait_next(reader, buffer, sizeof(buffer), 0, 0, NULL), SHMW_TIMEOUT);
    for (uint64_t spin = 0; spin <= SHMW_FOREVER / 2; spin += SHMW_FOREVER / 2) {
        const uint64_t start = now_ns();
        CHECK_CODE(shmw_ouroboros_wait_next(reader, buffer, sizeof(buffer), 30 * MS, spin, NULL), SHMW_TIMEOUT);
        CHECK(now_ns() - start >= 30 * MS);
    }
    CHECK_CODE(shmw_ouroboros_wait_next(NULL, buffer, sizeof(buffer), 0, 0, NULL), SHMW_INVALID_ARGUMENT);
    shmw_ouroboros_close_reader(reader);
    leave_room(&room);
}

static void what_is_there_is_not_waited_for(void)
{
    struct room room = make_room(3, 64, 0);
    shmw_ouroboros_reader *reader = open_reader(&room, SHMW_OUROBOROS_AUTO);
    char buffer[8];
    struct shmw_ouroboros_entry entry;
    put(&room, 1, 8);
    put(&room, 2, 9);
    CHECK_CODE(shmw_ouroboros_wait_next(reader, buffer, sizeof(buffer), SHMW_FOREVER, 0, &entry), SHMW_OK);
    CHECK_U64(entry.sequence, 1);
    CHECK_CODE(shmw_ouroboros_wait_next(reader, buffer, sizeof(buffer), SHMW_FOREVER, 0, &entry), SHMW_TOO_SMALL);
    CHECK_U64(entry.length, 9);
    shmw_ouroboros_close_reader(reader);
    leave_room(&room);
}

struct late {
    const char *name;
    uint64_t first;
};

static void write_late(void *context)
{
    const struct late *late = context;
    struct room room = {.name = late->name};
    nap_ms(20);
    CHECK_CODE(shmw_ouroboros_resume(room.name, NULL, &room.writer), SHMW_OK);
    put(&room, late->first, 20);
    shmw_ouroboros_close_writer(room.writer);
}

/* From another process, with pauses and without [ouroboros.read.last]. */
static void a_late_entry_ends_the_wait(void)
{
    struct room room = make_room(3, 64, 0);
    shmw_ouroboros_reader *reader = open_reader(&room, SHMW_OUROBOROS_AUTO);
    shmw_ouroboros_close_writer(room.writer);
    room.writer = NULL;
    for (uint64_t i = 1; i <= 4; i++) {
        char buffer[64];
        struct shmw_ouroboros_entry entry;
        struct late late = {room.name, i};
        const int child = start_child(write_late, &late);
        CHECK_CODE(shmw_ouroboros_wait_next(reader, buffer, sizeof(buffer), 20000 * MS, i % 2 * 5 * MS, &entry), SHMW_OK);
        CHECK_U64(entry.sequence, i);
        CHECK_U64(child_status(child), 0);
    }
    shmw_ouroboros_close_reader(reader);
    leave_room(&room);
}

RUN_TESTS(TEST(waiting_ends_in_time), TEST(what_is_there_is_not_waited_for), TEST(a_late_entry_ends_the_wait))
