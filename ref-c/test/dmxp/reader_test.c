/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

static char buffer[4096];

static int take(const struct room *room, struct shmw_dmxp_message *message)
{
    return shmw_dmxp_try_receive(room->channel, buffer, sizeof(buffer), message);
}

/* Two bytes change: head, and the sequence that gives the slot back [dmxp.consume.release]. */
static void one_message_byte_for_byte(void)
{
    struct room room = make_room((struct room_options){0});
    const struct shmw_dmxp_meta meta = {.message_id = 11, .timestamp_ns = 12, .message_type = 13, .sender_pid = 14,
                                        .sender_runtime = 15, .flags = 16};
    CHECK_CODE(shmw_dmxp_try_send(room.channel, "hello", 5, &meta, NULL), SHMW_OK);
    unsigned char *want = raw_copy(&room.raw);
    struct shmw_dmxp_message message;
    memset(&message, 0xff, sizeof(message));
    CHECK_CODE(take(&room, &message), SHMW_OK);
    CHECK_BYTES(buffer, "hello", 5);
    CHECK_U64(message.position, 0);
    CHECK_U64(message.channel_id, 0);
    CHECK_U64(message.length, 5);
    CHECK_U64(message.offset, 0);
    CHECK_U64(message.meta.message_id, 11);
    CHECK_U64(message.meta.timestamp_ns, 12);
    CHECK_U64(message.meta.message_type, 13);
    CHECK_U64(message.meta.sender_pid, 14);
    CHECK_U64(message.meta.sender_runtime, 15);
    CHECK_U64(message.meta.flags, 16);
    want[128 + 256] = 1; /* head */
    want[98432] = 8;     /* sequence: position + capacity */
    CHECK_UNCHANGED(&room.raw, want);
    leave_room(&room);
}

static void empty_changes_nothing(void)
{
    struct room room = make_room((struct room_options){.capacity = 2});
    for (int i = 0; i < 6; i++) {
        unsigned char *before = raw_copy(&room.raw);
        CHECK_CODE(take(&room, NULL), SHMW_EMPTY);
        CHECK_UNCHANGED(&room.raw, before);
        put(room.channel, "x");
        expect(room.channel, "x");
    }
    leave_room(&room);
}

static void a_slot_that_was_taken_and_not_released_holds_us(void)
{
    struct room room = make_room((struct room_options){.capacity = 2});
    put(room.channel, "a");
    put(room.channel, "b");
    raw_channel(&room.raw, 0)->head = 2; /* as a consumer written from the source's document leaves it */
    CHECK_CODE(take(&room, NULL), SHMW_EMPTY);
    CHECK_CODE(shmw_dmxp_try_send(room.channel, "c", 1, NULL, NULL), SHMW_FULL);
    leave_room(&room);
}

static void arguments(void)
{
    struct room room = make_room((struct room_options){0});
    size_t count;
    struct shmw_dmxp_message message;
    CHECK_CODE(shmw_dmxp_try_receive(NULL, buffer, 1, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_dmxp_try_receive(room.channel, NULL, 1, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_dmxp_receive(room.channel, NULL, 1, 0, 0, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_dmxp_try_receive_batch(room.channel, buffer, 1, NULL, 1, &count), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_dmxp_try_receive_batch(room.channel, buffer, 1, &message, 0, &count), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_dmxp_try_receive_batch(room.channel, buffer, 1, &message, 1, NULL), SHMW_INVALID_ARGUMENT);
    put(room.channel, "");
    CHECK_CODE(shmw_dmxp_try_receive(room.channel, NULL, 0, NULL), SHMW_OK);
    put(room.channel, "");
    CHECK_CODE(shmw_dmxp_try_receive_batch(room.channel, NULL, 0, &message, 1, &count), SHMW_OK);
    CHECK_U64(count, 1);
    leave_room(&room);
}

static void too_small_leaves_the_message(void)
{
    struct room room = make_room((struct room_options){0});
    put(room.channel, "hello");
    unsigned char *before = raw_copy(&room.raw);
    struct shmw_dmxp_message message = {0};
    size_t count = 9;
    memset(buffer, 0x77, 8);
    CHECK_CODE(shmw_dmxp_try_receive(room.channel, buffer, 4, &message), SHMW_TOO_SMALL);
    CHECK_U64(message.length, 5);
    CHECK_CODE(shmw_dmxp_try_receive(room.channel, NULL, 0, NULL), SHMW_TOO_SMALL);
    CHECK_CODE(shmw_dmxp_receive(room.channel, buffer, 4, SHMW_FOREVER, 0, &message), SHMW_TOO_SMALL);
    message.length = 0;
    CHECK_CODE(shmw_dmxp_try_receive_batch(room.channel, buffer, 4, &message, 1, &count), SHMW_TOO_SMALL);
    CHECK_U64(message.length, 5);
    CHECK_U64(count, 0);
    CHECK_U64((unsigned char)buffer[0], 0x77);
    CHECK_UNCHANGED(&room.raw, before);
    CHECK_CODE(shmw_dmxp_try_receive(room.channel, buffer, 5, &message), SHMW_OK);
    leave_room(&room);
}

/* [dmxp.consume.payload-len]: CORRUPT, and the slot is given back, in every layout. */
static void an_impossible_length_is_corrupt(void)
{
    const struct {
        uint32_t layout, length;
        int want;
    } cases[] = {{SHMW_DMXP_LAYOUT_CRATE, 1024, SHMW_OK},
                 {SHMW_DMXP_LAYOUT_CRATE, 1025, SHMW_CORRUPT},
                 {SHMW_DMXP_LAYOUT_CRATE, UINT32_MAX, SHMW_CORRUPT},
                 {SHMW_DMXP_LAYOUT_DOCUMENT, 960, SHMW_OK},
                 {SHMW_DMXP_LAYOUT_DOCUMENT, 961, SHMW_CORRUPT}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct room room = make_room((struct room_options){.payload_layout = cases[i].layout});
        put(room.channel, "broken");
        put(room.channel, "whole");
        raw_slot(&room.raw, 0, 0)->payload_len = cases[i].length;
        CHECK_CODE(take(&room, NULL), cases[i].want);
        CHECK_U64(raw_channel(&room.raw, 0)->head, 1);
        CHECK_U64(raw_slot(&room.raw, 0, 0)->sequence, 8);
        expect(room.channel, "whole");
        leave_room(&room);
    }
}

static void make_tombstone(const struct room *room)
{
    struct shmw_dmxp_claim claim;
    CHECK_CODE(shmw_dmxp_claim(room->channel, &claim), SHMW_OK);
    CHECK_CODE(shmw_dmxp_abandon(room->channel, &claim), SHMW_OK);
}

static void tombstones_are_stepped_over(void)
{
    struct room room = make_room((struct room_options){.capacity = 4});
    make_tombstone(&room);
    make_tombstone(&room);
    put(room.channel, "alive");
    make_tombstone(&room);
    struct shmw_dmxp_message message;
    CHECK_CODE(take(&room, &message), SHMW_OK);
    CHECK_U64(message.position, 2);
    CHECK_CODE(take(&room, &message), SHMW_EMPTY);
    CHECK_U64(raw_channel(&room.raw, 0)->head, 4); /* taken ... */
    for (uint64_t i = 0; i < 4; i++)
        CHECK_U64(raw_slot(&room.raw, 0, i)->sequence, i + 4); /* ... and released */
    for (int i = 0; i < 4; i++)
        make_tombstone(&room);
    CHECK_CODE(take(&room, NULL), SHMW_EMPTY); /* a whole lap of them */
    leave_room(&room);
}

/* Whatever its length says, a tombstone is none of the caller's business, unless the length is impossible. */
static void tombstones_with_a_length(void)
{
    struct room room = make_room((struct room_options){0});
    make_tombstone(&room);
    raw_slot(&room.raw, 0, 0)->payload_len = 100;
    make_tombstone(&room);
    raw_slot(&room.raw, 0, 1)->payload_len = 1025;
    CHECK_CODE(shmw_dmxp_try_receive(room.channel, buffer, 10, NULL), SHMW_CORRUPT);
    CHECK_U64(raw_channel(&room.raw, 0)->head, 2);
    CHECK_CODE(shmw_dmxp_try_receive(room.channel, buffer, 10, NULL), SHMW_EMPTY);
    leave_room(&room);
}

static void batches(void)
{
    struct room room = make_room((struct room_options){.capacity = 4});
    struct shmw_dmxp_message messages[8];
    size_t count = 9;
    CHECK_CODE(shmw_dmxp_try_receive_batch(room.channel, buffer, sizeof(buffer), messages, 8, &count), SHMW_EMPTY);
    CHECK_U64(count, 0);
    const struct shmw_dmxp_meta meta = {.message_id = 5, .timestamp_ns = 6, .message_type = 7, .sender_pid = 8, .flags = 9};
    put(room.channel, "one");
    CHECK_CODE(shmw_dmxp_try_send(room.channel, "second", 6, &meta, NULL), SHMW_OK);
    put(room.channel, "");
    put(room.channel, "4");
    CHECK_CODE(shmw_dmxp_try_receive_batch(room.channel, buffer, 9, messages, 2, &count), SHMW_OK);
    CHECK_U64(count, 2); /* as many as asked for */
    CHECK_BYTES(buffer, "onesecond", 9);
    CHECK_U64(messages[0].length, 3);
    CHECK_U64(messages[0].offset, 0);
    CHECK_U64(messages[1].position, 1);
    CHECK_U64(messages[1].length, 6);
    CHECK_U64(messages[1].offset, 3);
    CHECK_U64(messages[1].meta.message_id, 5);
    CHECK_U64(messages[1].meta.timestamp_ns, 6);
    CHECK_U64(messages[1].meta.message_type, 7);
    CHECK_U64(messages[1].meta.sender_pid, 8);
    CHECK_U64(messages[1].meta.sender_runtime, SHMW_DMXP_RUNTIME_C);
    CHECK_U64(messages[1].meta.flags, 9);
    CHECK_U64(raw_channel(&room.raw, 0)->head, 2);
    CHECK_U64(raw_slot(&room.raw, 0, 1)->sequence, 5);
    put(room.channel, "five");
    CHECK_CODE(shmw_dmxp_try_receive_batch(room.channel, buffer, sizeof(buffer), messages, 8, &count), SHMW_OK);
    CHECK_U64(count, 3); /* as many as there are, across the end of the band */
    CHECK_BYTES(buffer, "4five", 5);
    CHECK_U64(messages[2].position, 4);
    leave_room(&room);
}

static void batches_take_what_fits(void)
{
    struct room room = make_room((struct room_options){0});
    struct shmw_dmxp_message messages[8];
    size_t count;
    put(room.channel, "abc");
    put(room.channel, "defg");
    CHECK_CODE(shmw_dmxp_try_receive_batch(room.channel, buffer, 6, messages, 8, &count), SHMW_OK);
    CHECK_U64(count, 1);
    CHECK_CODE(shmw_dmxp_try_receive_batch(room.channel, buffer, 3, messages, 8, &count), SHMW_TOO_SMALL);
    CHECK_U64(messages[0].length, 4);
    CHECK_U64(messages[0].position, 1);
    expect(room.channel, "defg");
    leave_room(&room);
}

static void batches_stop_before_trouble(void)
{
    struct room room = make_room((struct room_options){0});
    struct shmw_dmxp_message messages[8];
    size_t count;
    put(room.channel, "a");
    make_tombstone(&room);
    put(room.channel, "b");
    put(room.channel, "broken");
    put(room.channel, "c");
    raw_slot(&room.raw, 0, 3)->payload_len = 4000;
    CHECK_CODE(shmw_dmxp_try_receive_batch(room.channel, buffer, sizeof(buffer), messages, 8, &count), SHMW_OK);
    CHECK_U64(count, 1);
    CHECK_CODE(shmw_dmxp_try_receive_batch(room.channel, buffer, sizeof(buffer), messages, 8, &count), SHMW_OK);
    CHECK_U64(count, 1);
    CHECK_U64(messages[0].position, 2);
    CHECK_CODE(shmw_dmxp_try_receive_batch(room.channel, buffer, sizeof(buffer), messages, 8, &count), SHMW_CORRUPT);
    CHECK_U64(count, 0);
    CHECK_CODE(shmw_dmxp_try_receive_batch(room.channel, buffer, sizeof(buffer), messages, 8, &count), SHMW_OK);
    CHECK_U64(messages[0].position, 4);
    CHECK_CODE(shmw_dmxp_channel_remove(room.segment, 0), SHMW_OK);
    CHECK_CODE(shmw_dmxp_try_receive_batch(room.channel, buffer, sizeof(buffer), messages, 8, &count), SHMW_CLOSED);
    leave_room(&room);
}

/* [dmxp.layout.declared, .unspecified, .auto] */
static void undeclared_layouts(void)
{
    const struct {
        enum shmw_dmxp_payload_choice choice;
        uint16_t runtime;
        const char *want;
    } cases[] = {{SHMW_DMXP_CHOOSE_CRATE, 0, "crate"},   {SHMW_DMXP_CHOOSE_CRATE, 1, "crate"},
                 {SHMW_DMXP_CHOOSE_DOCUMENT, 0, "docum"}, {SHMW_DMXP_CHOOSE_DOCUMENT, 1, "docum"},
                 {SHMW_DMXP_CHOOSE_AUTO, 0, "docum"},     {SHMW_DMXP_CHOOSE_AUTO, 1, "crate"}};
    struct shmw_dmxp_message messages[2];
    size_t count;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct room room = make_room((struct room_options){.undeclared = true, .choice = cases[i].choice});
        for (uint64_t p = 0; p < 2; p++) {
            put(room.channel, "12345");
            struct shmw_dmxp_wire_slot *slot = raw_slot(&room.raw, 0, p);
            slot->sender_runtime = cases[i].runtime;
            memcpy((unsigned char *)slot + 48, "crate", 5);
            memcpy((unsigned char *)slot + 64, "docum", 5);
        }
        expect(room.channel, cases[i].want);
        CHECK_CODE(shmw_dmxp_try_receive_batch(room.channel, buffer, sizeof(buffer), messages, 2, &count), SHMW_OK);
        CHECK_BYTES(buffer, cases[i].want, 5);
        leave_room(&room);
    }
}

/* In mode auto the capacity, too, is that of the message's own layout. */
static void auto_judges_lengths_by_message(void)
{
    struct room room = make_room((struct room_options){.undeclared = true, .choice = SHMW_DMXP_CHOOSE_AUTO});
    for (uint64_t p = 0; p < 2; p++) {
        put(room.channel, "x");
        raw_slot(&room.raw, 0, p)->payload_len = 1000;
    }
    raw_slot(&room.raw, 0, 0)->sender_runtime = 0;
    CHECK_CODE(take(&room, NULL), SHMW_CORRUPT);
    CHECK_CODE(take(&room, NULL), SHMW_OK);
    leave_room(&room);
}

static void impossible_sequences(void)
{
    static const uint64_t odd[] = {2, 9, 1 + (UINT64_C(1) << 32), UINT64_C(1) << 63, UINT64_MAX};
    struct room room = make_room((struct room_options){0});
    struct shmw_dmxp_message message;
    size_t count;
    put(room.channel, "x");
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        raw_slot(&room.raw, 0, 0)->sequence = odd[i];
        unsigned char *before = raw_copy(&room.raw);
        CHECK_CODE(take(&room, NULL), SHMW_CORRUPT);
        CHECK_CODE(shmw_dmxp_receive(room.channel, buffer, sizeof(buffer), SHMW_FOREVER, 1000000, NULL), SHMW_CORRUPT);
        CHECK_CODE(shmw_dmxp_try_receive_batch(room.channel, buffer, sizeof(buffer), &message, 1, &count), SHMW_CORRUPT);
        CHECK_UNCHANGED(&room.raw, before);
    }
    leave_room(&room);
}

/* The handle works on what it checked when it attached: a cursor or a capacity that changes later leads nowhere outside. */
static void wild_cursors_stay_inside_the_band(void)
{
    struct room room = make_room((struct room_options){0});
    static const uint64_t wild[] = {UINT64_MAX, UINT64_C(1) << 63, 0x123456789abcdef0};
    for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
        raw_channel(&room.raw, 0)->head = wild[i];
        raw_channel(&room.raw, 0)->tail = wild[i];
        unsigned char *before = raw_copy(&room.raw);
        CHECK_CODE(take(&room, NULL), SHMW_CORRUPT);
        CHECK_CODE(shmw_dmxp_try_send(room.channel, "x", 1, NULL, NULL), SHMW_CORRUPT);
        CHECK_UNCHANGED(&room.raw, before);
    }
    leave_room(&room);
}

static void see_claimed_and_not_released(void *context)
{
    const struct room *room = context;
    CHECK_U64(raw_channel(&room->raw, 0)->head, 1);
    CHECK_U64(raw_slot(&room->raw, 0, 0)->sequence, 1);
    CHECK_CODE(shmw_dmxp_try_send(room->channel, "c", 1, NULL, NULL), SHMW_FULL); /* nobody overwrites it meanwhile */
}

/* [dmxp.consume.release]: after the last access to the slot. The trap springs when the payload is copied to the buffer. */
static void the_slot_is_released_after_the_copy(void)
{
    for (int batch = 0; batch < 2; batch++) {
        struct room room = make_room((struct room_options){.capacity = 2});
        put(room.channel, "a");
        put(room.channel, "b");
        unsigned char *page = trap_page(see_claimed_and_not_released, &room);
        struct shmw_dmxp_message message;
        size_t count;
        CHECK_CODE(batch ? shmw_dmxp_try_receive_batch(room.channel, page, 64, &message, 1, &count)
                         : shmw_dmxp_try_receive(room.channel, page, 64, &message), SHMW_OK);
        CHECK_U64(trap_hits(), 1);
        CHECK_BYTES(page, "a", 1);
        trap_drop();
        leave_room(&room);
    }
}

RUN_TESTS(TEST(one_message_byte_for_byte), TEST(empty_changes_nothing), TEST(a_slot_that_was_taken_and_not_released_holds_us),
          TEST(arguments), TEST(too_small_leaves_the_message), TEST(an_impossible_length_is_corrupt),
          TEST(tombstones_are_stepped_over), TEST(tombstones_with_a_length), TEST(batches), TEST(batches_take_what_fits),
          TEST(batches_stop_before_trouble), TEST(undeclared_layouts), TEST(auto_judges_lengths_by_message),
          TEST(impossible_sequences), TEST(wild_cursors_stay_inside_the_band),
          TEST(the_slot_is_released_after_the_copy))
