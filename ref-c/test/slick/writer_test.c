/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "atomic.h"
#include "support.h"

/* [slick.reserve.argument] [slick.reserve.length] [slick.reserve.one-claim] */
static void refusals_change_nothing(void)
{
    struct room room = make_room(8, 4);
    static const unsigned char payload[64];
    struct shmw_slick_claim claim;
    size_t written = 9;
    put(&room, 0, 2);
    unsigned char *before = raw_copy(&room.raw);
    CHECK_CODE(shmw_slick_reserve(room.producer, 0, &claim), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_reserve(room.producer, 9, &claim), SHMW_TOO_LARGE);
    CHECK_CODE(shmw_slick_reserve(room.producer, UINT32_MAX, &claim), SHMW_TOO_LARGE);
    CHECK_CODE(shmw_slick_reserve(NULL, 1, &claim), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_reserve(room.producer, 1, NULL), SHMW_INVALID_ARGUMENT);
    static const size_t lengths[] = {0, 1, 3, 5, 7, 33, SIZE_MAX};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        CHECK_CODE(shmw_slick_write(room.producer, payload, lengths[i], NULL), SHMW_INVALID_ARGUMENT);
        CHECK_CODE(shmw_slick_write_batch(room.producer, payload, lengths[i], 1, NULL, &written), SHMW_INVALID_ARGUMENT);
        CHECK_U64(written, 0);
    }
    CHECK_CODE(shmw_slick_write(room.producer, payload, 36, NULL), SHMW_TOO_LARGE);
    CHECK_CODE(shmw_slick_write_batch(room.producer, payload, 36, 1, NULL, NULL), SHMW_TOO_LARGE);
    CHECK_CODE(shmw_slick_write_batch(room.producer, payload, 4, 0, NULL, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_write(room.producer, NULL, 4, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_UNCHANGED(&room.raw, before);
    claim = claim_at(room.producer, &room, 2, 3);
    before = raw_copy(&room.raw);
    struct shmw_slick_claim second;
    CHECK_CODE(shmw_slick_reserve(room.producer, 1, &second), SHMW_BUSY);
    CHECK_CODE(shmw_slick_write(room.producer, payload, 4, NULL), SHMW_BUSY);
    CHECK_CODE(shmw_slick_write_batch(room.producer, payload, 4, 2, NULL, NULL), SHMW_BUSY);
    CHECK_CODE(shmw_slick_reserve(room.producer, 9, &second), SHMW_TOO_LARGE); /* arguments first */
    second = claim;
    second.index++;
    CHECK_CODE(shmw_slick_publish(room.producer, &second), SHMW_OUT_OF_ORDER);
    CHECK_CODE(shmw_slick_abandon(room.producer, &second), SHMW_OUT_OF_ORDER);
    CHECK_CODE(shmw_slick_publish(room.producer, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_UNCHANGED(&room.raw, before);
    CHECK_CODE(shmw_slick_publish(room.producer, &claim), SHMW_OK);
    CHECK_CODE(shmw_slick_publish(room.producer, &claim), SHMW_OUT_OF_ORDER);
    leave_room(&room);
}

/* A reservation of 65,535 elements is the largest, also of a larger ring. */
static void the_largest_reservation(void)
{
    struct room room = make_room(UINT32_C(1) << 17, 1);
    struct shmw_slick_claim claim;
    CHECK_CODE(shmw_slick_reserve(room.producer, 65536, &claim), SHMW_TOO_LARGE);
    CHECK_RESERVED(&room, 0, 0);
    CHECK_CODE(shmw_slick_reserve(room.producer, 65535, &claim), SHMW_OK);
    CHECK_U64(claim.capacity, 65535);
    CHECK_RESERVED(&room, 65535, 65535);
    CHECK_CODE(shmw_slick_publish(room.producer, &claim), SHMW_OK);
    CHECK_SLOT(&room, 0, 0, 65535);
    leave_room(&room);
}

/* [slick.reserve.packed] [slick.publish.order] [slick.publish.first-slot] [slick.publish.last] */
static void a_claim_byte_for_byte(void)
{
    struct room room = make_room(8, 8);
    struct shmw_slick_claim claim = claim_at(room.producer, &room, 0, 3);
    CHECK(claim.data != NULL);
    CHECK_RESERVED(&room, 3, 3);
    CHECK_SLOT(&room, 0, NEVER, 1);
    CHECK_U64(raw_header(&room.raw)->last_published, NEVER);
    CHECK_CODE(shmw_slick_publish(room.producer, &claim), SHMW_OK);
    CHECK_SLOT(&room, 0, 0, 3);
    for (uint64_t k = 1; k < 8; k++)
        CHECK_SLOT(&room, k, NEVER, 1);
    CHECK_U64(raw_header(&room.raw)->last_published, 0);
    put(&room, 3, 1);
    CHECK_RESERVED(&room, 4, 1);
    CHECK_U64(raw_header(&room.raw)->last_published, 3);
    CHECK_U64(raw_header(&room.raw)->settled, 0);
    leave_room(&room);
}

/* last_published is raised and never lowered. */
static void published_out_of_order(void)
{
    struct room room = make_room(8, 8);
    shmw_slick_producer *other = open_producer(&room, 0);
    const struct shmw_slick_claim early = claim_at(other, &room, 0, 2);
    put(&room, 2, 1);
    CHECK_U64(raw_header(&room.raw)->last_published, 2);
    CHECK_CODE(shmw_slick_publish(other, &early), SHMW_OK);
    CHECK_U64(raw_header(&room.raw)->last_published, 2);
    CHECK_SLOT(&room, 0, 0, 2);
    shmw_slick_producer_close(other);
    leave_room(&room);
}

/* [slick.reserve.wrap] [slick.reserve.mark]: the padding is a reservation of its own. */
static void padding_and_mark(void)
{
    struct room room = make_room(8, 8);
    put(&room, 0, 3);
    put(&room, 3, 3);
    put(&room, 8, 3); /* 6 and 7 are padding */
    CHECK_RESERVED(&room, 11, 3);
    CHECK_SLOT(&room, 6, 8, 3);
    CHECK_SLOT(&room, 7, NEVER, 1);
    CHECK_SLOT(&room, 0, 8, 3);
    CHECK_SLOT(&room, 3, 3, 3);
    put(&room, 11, 5); /* up to the end */
    CHECK_SLOT(&room, 11, 11, 5);
    put(&room, 16, 8); /* the whole ring */
    CHECK_SLOT(&room, 16, 16, 8);
    put(&room, 24, 8);
    CHECK_SLOT(&room, 24, 24, 8);
    put(&room, 32, 1);
    put(&room, 40, 8); /* 33 to 39 are padding */
    CHECK_SLOT(&room, 33, 40, 8);
    CHECK_U64(raw_header(&room.raw)->settled, 0); /* [slick.reserve.alone] */
    leave_room(&room);
}

/* The exact bytes of the ring's end, of elements whose size is no multiple of anything. */
static void elements_of_seven_bytes(void)
{
    for (uint32_t element = 1; element <= 33; element++) {
        struct room room = make_room(8, element);
        unsigned char payload[3 * 33];
        for (uint64_t n = 0; n < 13; n++) {
            put(&room, 3 * n + n / 2 * 2, 3); /* 0 3 8 11 16 19 ... */
            fill(payload, 3 * n + n / 2 * 2, 3 * (size_t)element);
            CHECK_BYTES(raw_element(&room, 3 * n + n / 2 * 2), payload, 3 * (size_t)element);
        }
        CHECK_U64(room.raw.size, 64 + 16 * 8 + 8 * (uint64_t)element);
        leave_room(&room);
    }
}

/* [slick.reserve.exhausted] */
static void indices_used_up(void)
{
    struct room room = make_room(8, 8);
    static const unsigned char payload[64];
    struct shmw_slick_claim claim;
    const uint64_t limit = SHMW_SLICK_INDEX_LIMIT;
    set_reserved(&room, limit - 3, 1);
    for (uint64_t x = limit - 8; x < limit - 3; x++) {
        raw_slot(&room, x)->data_index = x;
        raw_slot(&room, x)->size = 1;
    }
    unsigned char *before = raw_copy(&room.raw);
    CHECK_CODE(shmw_slick_reserve(room.producer, 3, &claim), SHMW_CLOSED);
    CHECK_CODE(shmw_slick_reserve(room.producer, 4, &claim), SHMW_CLOSED);
    CHECK_CODE(shmw_slick_write(room.producer, payload, 64, NULL), SHMW_CLOSED);
    CHECK_CODE(shmw_slick_write_batch(room.producer, payload, 8, 3, NULL, NULL), SHMW_CLOSED);
    CHECK_UNCHANGED(&room.raw, before);
    put(&room, limit - 3, 2);
    CHECK_CODE(shmw_slick_reserve(room.producer, 1, &claim), SHMW_CLOSED);
    CHECK_RESERVED(&room, limit - 1, 2);
    set_reserved(&room, limit - 9, 1); /* behind the padding there is no room for the item */
    CHECK_CODE(shmw_slick_reserve(room.producer, 8, &claim), SHMW_CLOSED);
    CHECK_RESERVED(&room, limit - 9, 1);
    leave_room(&room);
}

/* [slick.publish.abandon] */
static void abandoned_claims(void)
{
    struct room room = make_room(8, 8);
    shmw_slick_reader *reader = open_oldest(&room);
    put(&room, 0, 1);
    struct shmw_slick_claim claim = claim_at(room.producer, &room, 1, 3);
    CHECK_CODE(shmw_slick_abandon(room.producer, &claim), SHMW_OK);
    CHECK_SLOT(&room, 1, 4, 3);
    CHECK_U64(raw_header(&room.raw)->last_published, 0);
    CHECK_CODE(shmw_slick_abandon(room.producer, &claim), SHMW_OUT_OF_ORDER);
    put(&room, 4, 1);
    expect(reader, &room, 0, 1, 0);
    expect(reader, &room, 4, 1, 0);
    shmw_slick_producer *other = open_producer(&room, 0);
    claim = claim_at(other, &room, 5, 2);
    shmw_slick_producer_close(other); /* abandons it */
    CHECK_SLOT(&room, 5, 7, 2);
    put(&room, 7, 1);
    expect(reader, &room, 7, 1, 0);
    claim = claim_at(room.producer, &room, 8, 8);
    CHECK_CODE(shmw_slick_abandon(room.producer, &claim), SHMW_UNSUPPORTED);
    CHECK_SLOT(&room, 8, 0, 1); /* what the lap before left */
    CHECK_CODE(shmw_slick_publish(room.producer, &claim), SHMW_OK);
    expect(reader, &room, 8, 8, 0);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

/* [slick.publish.given-up] */
static void what_was_given_up_is_not_published(void)
{
    struct room room = make_room(8, 8);
    struct shmw_slick_claim claim = claim_at(room.producer, &room, 0, 2);
    raw_slot(&room, 0)->data_index = 2; /* marked by another */
    CHECK_CODE(shmw_slick_publish(room.producer, &claim), SHMW_LAPPED);
    CHECK_SLOT(&room, 0, 2, 1);
    CHECK_U64(raw_header(&room.raw)->last_published, NEVER);
    CHECK_CODE(shmw_slick_publish(room.producer, &claim), SHMW_OUT_OF_ORDER);
    claim = claim_at(room.producer, &room, 2, 1);
    raw_slot(&room, 2)->data_index = 3;
    CHECK_CODE(shmw_slick_abandon(room.producer, &claim), SHMW_LAPPED);
    CHECK_SLOT(&room, 2, 3, 1);
    claim = claim_at(room.producer, &room, 3, 1);
    raw_slot(&room, 3)->data_index = 12; /* no reservation covers it: nobody's mark */
    CHECK_CODE(shmw_slick_publish(room.producer, &claim), SHMW_OK);
    CHECK_SLOT(&room, 3, 3, 1);
    leave_room(&room);
}

static void batches_byte_for_byte(void)
{
    struct room room = make_room(8, 8);
    unsigned char payload[64 * 8];
    uint64_t indices[64];
    size_t written = 0;
    shmw_slick_reader *reader = open_oldest(&room);
    static const uint64_t want[] = {0, 3, 8, 11, 16};
    for (size_t i = 0; i < 5; i++)
        fill(payload + 24 * i, want[i], 24);
    CHECK_CODE(shmw_slick_write_batch(room.producer, payload, 24, 2, indices, &written), SHMW_OK);
    CHECK_U64(written, 2);
    CHECK_RESERVED(&room, 6, 6); /* one reservation */
    CHECK_SLOT(&room, 0, 0, 3);
    CHECK_SLOT(&room, 3, 3, 3);
    CHECK_U64(raw_header(&room.raw)->last_published, 3);
    CHECK_CODE(shmw_slick_write_batch(room.producer, payload + 48, 24, 3, indices + 2, NULL), SHMW_OK);
    CHECK_RESERVED(&room, 19, 3);
    CHECK_SLOT(&room, 14, 16, 3); /* where the mark from 6 to 8 was */
    for (size_t i = 0; i < 5; i++)
        CHECK_U64(indices[i], want[i]);
    CHECK_U64(raw_header(&room.raw)->last_published, 16);
    expect(reader, &room, 16, 3, 16);
    CHECK_CODE(shmw_slick_write_batch(room.producer, payload, 8, 60, indices, &written), SHMW_OK); /* some laps */
    CHECK_U64(written, 60);
    CHECK_U64(indices[0], 19);
    CHECK_U64(indices[59], 78);
    CHECK_U64(raw_header(&room.raw)->last_published, 78);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

/* Items of a batch behind one that was given up are passed over, and readers with them. */
static void spoil(void *context)
{
    const struct room *room = context;
    raw_slot(room, 1)->data_index = 2;
}

static void a_batch_that_is_given_up(void)
{
    struct room room = make_room(8, 8);
    size_t written = 9;
    unsigned char *page = trap_page(spoil, &room); /* touched when the first item is copied */
    CHECK_CODE(shmw_slick_write_batch(room.producer, page, 8, 4, NULL, &written), SHMW_LAPPED);
    CHECK_U64(trap_hits(), 1);
    trap_drop();
    CHECK_U64(written, 1);
    CHECK_RESERVED(&room, 4, 4);
    CHECK_SLOT(&room, 0, 0, 1);
    CHECK_SLOT(&room, 1, 2, 1);
    CHECK_SLOT(&room, 2, 4, 2);
    CHECK_U64(raw_header(&room.raw)->last_published, 0);
    leave_room(&room);
}

/* Order, seen from inside: the payload lies in a page whose first touch calls us -------------------------------------- */

struct sight {
    const struct room *room;
    shmw_slick_reader *reader;
};

static void look_inside(void *context)
{
    const struct sight *sight = context;
    CHECK_RESERVED(sight->room, 11, 3);
    CHECK_SLOT(sight->room, 6, 8, 3); /* the mark is there, the item is not */
    CHECK_SLOT(sight->room, 8, 0, 3);
    CHECK_U64(raw_header(&sight->room->raw)->last_published, 3);
    expect(sight->reader, sight->room, 3, 3, 3); /* [slick.read.stale]: 0 is reserved again, and not whole */
    expect_none(sight->reader, sight->room);
}

static void a_write_from_inside(void)
{
    struct room room = make_room(8, 8);
    struct sight sight = {&room, open_oldest(&room)};
    put(&room, 0, 3);
    put(&room, 3, 3);
    unsigned char *page = trap_page(look_inside, &sight);
    CHECK_CODE(shmw_slick_write(room.producer, page, 24, NULL), SHMW_OK);
    CHECK_U64(trap_hits(), 1);
    trap_drop();
    CHECK_SLOT(&room, 8, 8, 3);
    CHECK_U64(raw_header(&room.raw)->last_published, 8);
    shmw_slick_reader_close(sight.reader);
    leave_room(&room);
}

static void generations_before_1_4_leave_last_published(void)
{
    static const enum shmw_slick_generation generations[] = {SHMW_SLICK_1_2, SHMW_SLICK_1_3};
    for (unsigned i = 0; i < 2; i++) {
        struct room room = make_room_of(generations[i], 4, 8);
        unsigned char payload[32] = {1};
        raw_header(&room.raw)->last_published = 0x5a5a;
        put(&room, 0, 1);
        CHECK_CODE(shmw_slick_write_batch(room.producer, payload, 8, 3, NULL, NULL), SHMW_OK);
        CHECK_U64(raw_header(&room.raw)->last_published, 0x5a5a);
        leave_room(&room);
    }
}

static void counters(void)
{
    struct room room = make_room(8, 8);
    struct shmw_slick_producer_info info;
    unsigned char payload[32] = {1};
    put(&room, 0, 2);
    CHECK_CODE(shmw_slick_write_batch(room.producer, payload, 8, 3, NULL, NULL), SHMW_OK);
    const struct shmw_slick_claim claim = claim_at(room.producer, &room, 5, 1);
    CHECK_CODE(shmw_slick_abandon(room.producer, &claim), SHMW_OK);
    CHECK_CODE(shmw_slick_producer_info(room.producer, &info), SHMW_OK);
    CHECK_U64(info.items_written, 4);
    CHECK_U64(info.given_up, 0);
    CHECK_CODE(shmw_slick_producer_info(NULL, &info), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_producer_open(NULL, NULL, NULL), SHMW_INVALID_ARGUMENT);
    leave_room(&room);
}

RUN_TESTS(TEST(refusals_change_nothing), TEST(the_largest_reservation), TEST(a_claim_byte_for_byte), TEST(published_out_of_order),
          TEST(padding_and_mark), TEST(elements_of_seven_bytes), TEST(indices_used_up), TEST(abandoned_claims),
          TEST(what_was_given_up_is_not_published), TEST(batches_byte_for_byte), TEST(a_batch_that_is_given_up),
          TEST(a_write_from_inside), TEST(generations_before_1_4_leave_last_published), TEST(counters))
