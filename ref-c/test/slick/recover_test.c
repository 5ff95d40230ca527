/* SPDX-License-Identifier: MIT
 *
 * What dead producers leave [slick.recover.holes] [slick.recover.last] [slick.recover.dead]. Producers die by being let go: a
 * claim whose handle is freed without closing it is that of a process that was killed. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

static uint64_t recover(const struct room *room)
{
    uint64_t holes = UINT64_MAX;
    CHECK_CODE(shmw_slick_recover(room->queue, true, &holes), SHMW_OK);
    return holes;
}

static void die_with(const struct room *room, uint64_t index, uint32_t elements)
{
    shmw_slick_producer *producer = open_producer(room, 0);
    claim_at(producer, room, index, elements);
    free(producer);
}

static void nothing_to_recover(void)
{
    struct room room = make_room(8, 8);
    CHECK_U64(recover(&room), 0);
    put(&room, 0, 3);
    put(&room, 3, 3);
    put(&room, 8, 3);
    CHECK_U64(recover(&room), 0);
    CHECK_U64(raw_header(&room.raw)->last_published, 8);
    CHECK_U64(raw_header(&room.raw)->settled, 11);
    leave_room(&room);
}

static void holes_become_marks(void)
{
    struct room room = make_room(16, 8);
    shmw_slick_reader *reader = open_oldest(&room);
    put(&room, 0, 1);
    die_with(&room, 1, 2);
    put(&room, 3, 1);
    die_with(&room, 4, 1);
    die_with(&room, 5, 3); /* the last two: their sizes are known by the reservation alone */
    expect(reader, &room, 0, 1, 0);
    expect_none(reader, &room);
    CHECK_U64(recover(&room), 3);
    CHECK_SLOT(&room, 1, 3, 1);
    CHECK_SLOT(&room, 4, 5, 1);
    CHECK_SLOT(&room, 5, 8, 1);
    CHECK_U64(raw_header(&room.raw)->settled, 8);
    expect(reader, &room, 3, 1, 0);
    expect_none(reader, &room);
    put(&room, 8, 2);
    expect(reader, &room, 8, 2, 0);
    CHECK_U64(recover(&room), 0);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

static void a_producer_dead_before_its_mark(void)
{
    struct room room = make_room(8, 8);
    shmw_slick_reader *reader = open_oldest(&room);
    put(&room, 0, 6);
    set_reserved(&room, 8, 2); /* the padding is reserved, and not marked */
    expect(reader, &room, 0, 6, 0);
    CHECK_U64(recover(&room), 1);
    CHECK_SLOT(&room, 6, 8, 1);
    put(&room, 8, 3);
    expect(reader, &room, 8, 3, 0);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

/* Later laps, where settled says where to begin, or does not. */
static void holes_of_later_laps(void)
{
    for (int told = 0; told < 2; told++) {
        struct room room = make_room(8, 8);
        shmw_slick_producer *other = open_producer(&room, MS);
        for (uint64_t n = 0; n < 20; n++)
            put_by(told && n % 2 != 0 ? other : room.producer, &room, n, 1);
        CHECK(told ? raw_header(&room.raw)->settled >= 12 : raw_header(&room.raw)->settled == 0);
        die_with(&room, 20, 2);
        raw_header(&room.raw)->settled = told ? raw_header(&room.raw)->settled : 0;
        CHECK_U64(recover(&room), 1);
        CHECK_SLOT(&room, 20, 22, 1);
        CHECK_U64(raw_header(&room.raw)->settled, 22);
        put(&room, 22, 1);
        shmw_slick_producer_close(other);
        leave_room(&room);
    }
}

static void last_published_is_raised(void)
{
    struct room room = make_room(8, 8);
    put(&room, 0, 3);
    put(&room, 3, 1);
    raw_header(&room.raw)->last_published = 0; /* died between steps 8 and 9 */
    CHECK_U64(recover(&room), 0);
    CHECK_U64(raw_header(&room.raw)->last_published, 3);
    leave_room(&room);
    room = make_room_of(SHMW_SLICK_1_3, 8, 8);
    put(&room, 0, 3);
    CHECK_U64(recover(&room), 0);
    CHECK_U64(raw_header(&room.raw)->last_published, 0);
    leave_room(&room);
}

/* A reservation of the whole ring cannot be marked; there is nothing else in the ring either. */
static void the_whole_ring(void)
{
    struct room room = make_room(4, 8);
    die_with(&room, 0, 4);
    CHECK_U64(recover(&room), 0);
    CHECK_U64(raw_header(&room.raw)->settled, 4);
    put(&room, 4, 2);
    leave_room(&room);
}

static void impossible_items(void)
{
    struct room room = make_room(8, 8);
    uint64_t holes = 7;
    put(&room, 0, 3);
    put(&room, 3, 1);
    raw_slot(&room, 0)->size = 5;
    unsigned char *before = raw_copy(&room.raw);
    CHECK_CODE(shmw_slick_recover(room.queue, true, &holes), SHMW_CORRUPT);
    CHECK_U64(holes, 0);
    CHECK_UNCHANGED(&room.raw, before);
    leave_room(&room);
}

static void hold_open(void *context)
{
    const struct room *room = context;
    shmw_slick_queue *queue;
    CHECK_CODE(shmw_slick_open(room->name, NULL, &queue), SHMW_OK);
    CHECK_CODE(shmw_slick_recover(queue, false, NULL), SHMW_BUSY); /* our parent has it */
    shmw_slick_close(queue);
}

static void somebody_else_is_there(void)
{
    struct room room = make_room(8, 8);
    uint64_t holes = 7;
    die_with(&room, 0, 1);
    unsigned char *before = raw_copy(&room.raw);
    const int child = start_child(hold_open, &room);
    CHECK_U64(child_status(child), 0);
    CHECK_UNCHANGED(&room.raw, before);
    const int rc = shmw_slick_recover(room.queue, false, &holes); /* alone, as far as can be seen */
    CHECK(rc == SHMW_OK ? holes == 1 : rc == SHMW_BUSY && holes == 0);
    leave_room(&room);
}

RUN_TESTS(TEST(nothing_to_recover), TEST(holes_become_marks), TEST(a_producer_dead_before_its_mark), TEST(holes_of_later_laps),
          TEST(last_published_is_raised), TEST(the_whole_ring), TEST(impossible_items), TEST(somebody_else_is_there))
