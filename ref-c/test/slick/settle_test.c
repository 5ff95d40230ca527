/* SPDX-License-Identifier: MIT
 *
 * Section 4.1: several producers, one of which is slow or dead. */
#include <stdlib.h>
#include <string.h>

#include "slick/internal.h"
#include "support.h"

/* [slick.reserve.alone] */
static void a_producer_alone_leaves_settled(void)
{
    struct room room = make_room(8, 8);
    for (uint64_t n = 0; n < 100; n++)
        put(&room, n, 1);
    CHECK_U64(raw_header(&room.raw)->settled, 0);
    leave_room(&room);
}

/* [slick.reserve.told]: settled is raised when a reservation comes that needs it, and not before. */
static void two_producers_tell_each_other(void)
{
    struct room room = make_room(8, 8);
    shmw_slick_producer *other = open_producer(&room, 0);
    for (uint64_t n = 0; n < 8; n++) {
        put_by(n % 2 == 0 ? room.producer : other, &room, n, 1);
        CHECK_U64(raw_header(&room.raw)->settled, 0);
    }
    put(&room, 8, 1);
    CHECK_U64(raw_header(&room.raw)->settled, 8);
    put_by(other, &room, 9, 3);
    CHECK_U64(raw_header(&room.raw)->settled, 8);
    put(&room, 12, 4);
    put_by(other, &room, 16, 1);
    CHECK_U64(raw_header(&room.raw)->settled, 16);
    shmw_slick_producer_close(other);
    leave_room(&room);
}

/* A producer that comes to a ring that another has written for long: nothing but the last reservation can be unsettled. */
static void a_newcomer(void)
{
    struct room room = make_room(8, 8);
    for (uint64_t n = 0; n < 20; n += 2)
        put(&room, n, 2);
    shmw_slick_producer *other = open_producer(&room, 0);
    put_by(other, &room, 20, 1);
    CHECK_U64(raw_header(&room.raw)->settled, 20);
    shmw_slick_producer_close(other);
    leave_room(&room);
}

/* [slick.reserve.settled] [slick.reserve.give-up] */
static void a_hole_is_waited_for_and_given_up(void)
{
    struct room room = make_room(8, 8);
    shmw_slick_producer *other = open_producer(&room, 30 * MS);
    shmw_slick_reader *reader = open_oldest(&room);
    struct shmw_slick_producer_info info;
    put(&room, 0, 1);
    const struct shmw_slick_claim claim = claim_at(room.producer, &room, 1, 2);
    for (uint64_t n = 3; n < 9; n++)
        put_by(other, &room, n, 1); /* 8 lies over 0, which is settled */
    CHECK_SLOT(&room, 1, NEVER, 1);
    CHECK_U64(raw_header(&room.raw)->settled, 1);
    expect(reader, &room, 8, 1, 8);
    const uint64_t start = now_ns();
    put_by(other, &room, 9, 1);
    CHECK(now_ns() - start >= 30 * MS);
    CHECK_SLOT(&room, 9, 9, 1);
    CHECK_U64(raw_header(&room.raw)->settled, 3); /* the hole, up to what is published */
    CHECK_CODE(shmw_slick_producer_info(other, &info), SHMW_OK);
    CHECK_U64(info.given_up, 1);
    expect(reader, &room, 9, 1, 0);
    CHECK_CODE(shmw_slick_publish(room.producer, &claim), SHMW_LAPPED); /* [slick.publish.given-up] */
    CHECK_SLOT(&room, 9, 9, 1);
    put(&room, 10, 1);
    CHECK_U64(raw_header(&room.raw)->last_published, 10);
    shmw_slick_reader_close(reader);
    shmw_slick_producer_close(other);
    leave_room(&room);
}

/* The stall time begins anew whenever something was reserved, or settled. */
static void the_stall_time_begins_anew(void)
{
    struct room room = make_room(8, 8);
    shmw_slick_producer *other = open_producer(&room, 5 * MS);
    struct shmw_slick_wait wait = {0};
    put(&room, 0, 1);
    put(&room, 1, 1);
    claim_at(room.producer, &room, 2, 1);
    put_by(other, &room, 3, 3);
    for (int round = 0; round < 3; round++) {
        const uint64_t reserved = raw_header(&room.raw)->reserved;
        CHECK_CODE(shmw_slick_settle(other, reserved, 11, &wait), SHMW_SLICK_AGAIN);
        nap_ms(6);
        if (round < 2)
            put_by(other, &room, 6 + (uint64_t)round, 1); /* what is waited for was due, but this came between */
        CHECK_SLOT(&room, 2, NEVER, 1);
    }
    CHECK_CODE(shmw_slick_settle(other, raw_header(&room.raw)->reserved, 11, &wait), SHMW_SLICK_AGAIN);
    CHECK_SLOT(&room, 2, 3, 1);
    CHECK_CODE(shmw_slick_settle(other, raw_header(&room.raw)->reserved, 11, &wait), SHMW_OK);
    shmw_slick_producer_close(other);
    leave_room(&room);
}

/* Readers pass the mark of who gave up; its size is left alone. */
static void the_mark_of_a_hole(void)
{
    struct room room = make_room(8, 8);
    shmw_slick_producer *other = open_producer(&room, MS);
    shmw_slick_reader *reader = open_reader(&room, 1);
    put(&room, 0, 1);
    const struct shmw_slick_claim claim = claim_at(room.producer, &room, 1, 3);
    put_by(other, &room, 4, 4);
    expect_none(reader, &room);
    const struct shmw_slick_claim next = claim_at(other, &room, 8, 3); /* gives 1 up, which it lies over */
    CHECK_SLOT(&room, 1, 4, 1);
    expect(reader, &room, 4, 4, 0); /* not lost: passed */
    CHECK_CODE(shmw_slick_publish(room.producer, &claim), SHMW_LAPPED);
    CHECK_SLOT(&room, 1, 4, 1);
    CHECK_CODE(shmw_slick_publish(other, &next), SHMW_OK);
    expect(reader, &room, 8, 3, 0);
    shmw_slick_reader_close(reader);
    shmw_slick_producer_close(other);
    leave_room(&room);
}

/* Several holes one after the other, of which nothing but the last reservation tells the length. */
static void holes_side_by_side(void)
{
    struct room room = make_room(8, 8);
    shmw_slick_producer *dead[3];
    struct shmw_slick_producer_info info;
    for (unsigned i = 0; i < 3; i++) {
        dead[i] = open_producer(&room, 0);
        claim_at(dead[i], &room, 2 * i, 2);
    }
    shmw_slick_producer *other = open_producer(&room, 5 * MS);
    put_by(other, &room, 6, 2);
    struct shmw_slick_claim claim;
    CHECK_CODE(shmw_slick_reserve(other, 4, &claim), SHMW_OK);
    CHECK_U64(claim.index, 8);
    CHECK_SLOT(&room, 0, 6, 1);
    CHECK_CODE(shmw_slick_producer_info(other, &info), SHMW_OK);
    CHECK_U64(info.given_up, 1);
    CHECK_U64(raw_header(&room.raw)->settled, 6);
    CHECK_CODE(shmw_slick_publish(other, &claim), SHMW_OK);
    for (unsigned i = 0; i < 3; i++)
        shmw_slick_producer_close(dead[i]);
    shmw_slick_producer_close(other);
    leave_room(&room);
}

/* A hole of the whole ring cannot be marked: it is passed all the same. */
static void a_hole_of_the_whole_ring(void)
{
    struct room room = make_room(4, 8);
    shmw_slick_producer *other = open_producer(&room, MS);
    const struct shmw_slick_claim claim = claim_at(room.producer, &room, 0, 4);
    put_by(other, &room, 4, 1);
    CHECK_U64(raw_header(&room.raw)->settled, 4);
    CHECK_SLOT(&room, 0, 4, 1);
    CHECK_CODE(shmw_slick_publish(room.producer, &claim), SHMW_LAPPED);
    shmw_slick_producer_close(other);
    leave_room(&room);
}

/* Fields that no producer leaves: an answer in bounded time, and no reservation over what may be unsettled. */
static void impossible_fields(void)
{
    struct room room = make_room(8, 8);
    static const unsigned char payload[64];
    shmw_slick_producer *producer = open_producer(&room, 2 * MS);
    static const uint32_t sizes[] = {0, 9, UINT32_MAX, 6};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) { /* an item that cannot be */
        set_reserved(&room, 8, 1);
        raw_slot(&room, 3)->data_index = 3;
        raw_slot(&room, 3)->size = sizes[i];
        for (uint64_t x = 0; x < 3; x++)
            raw_slot(&room, x)->data_index = x;
        unsigned char *before = raw_copy(&room.raw);
        CHECK_CODE(shmw_slick_write(producer, payload, 64, NULL), SHMW_CORRUPT);
        CHECK_UNCHANGED(&room.raw, before);
    }
    static const uint64_t last[] = {0, 9, 65535}; /* a last reservation that cannot be */
    for (size_t i = 0; i < sizeof(last) / sizeof(last[0]); i++) {
        set_reserved(&room, 100, last[i]);
        CHECK_CODE(shmw_slick_write(producer, payload, 8, NULL), SHMW_CORRUPT);
    }
    for (uint64_t x = 0; x < 8; x++) {
        raw_slot(&room, x)->data_index = NEVER;
        raw_slot(&room, x)->size = 1;
    }
    raw_header(&room.raw)->settled = UINT64_MAX; /* counts as 0 */
    set_reserved(&room, 8, 8);
    shmw_slick_producer_close(producer);
    producer = open_producer(&room, 2 * MS);
    put_by(producer, &room, 8, 1);
    CHECK_U64(raw_header(&room.raw)->settled, 8);
    shmw_slick_producer_close(producer);
    leave_room(&room);
}

RUN_TESTS(TEST(a_producer_alone_leaves_settled), TEST(two_producers_tell_each_other), TEST(a_newcomer),
          TEST(a_hole_is_waited_for_and_given_up), TEST(the_stall_time_begins_anew),
          TEST(the_mark_of_a_hole), TEST(holes_side_by_side),
          TEST(a_hole_of_the_whole_ring), TEST(impossible_fields))
