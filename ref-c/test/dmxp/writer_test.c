/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

/* A whole slot as literal bytes, and not one byte beside it [dmxp.produce.meta, .extent, .publish]. */
static void one_message_byte_for_byte(void)
{
    struct room room = make_room((struct room_options){.capacity = 2});
    memset(raw_slot(&room.raw, 0, 0)->pad, 0xaa, 1044); /* pad and payload: what is not to be written stays */
    memset(raw_slot(&room.raw, 0, 1)->pad, 0xaa, 1044);
    unsigned char *want = raw_copy(&room.raw);
    const struct shmw_dmxp_meta meta = {.message_id = 0x1122334455667788, .timestamp_ns = 1700000000000000000, .message_type = 7,
                                        .sender_pid = 4242, .sender_runtime = 99, .flags = 0x7fff};
    uint64_t position = 5;
    CHECK_CODE(shmw_dmxp_try_send(room.channel, "hello", 5, &meta, &position), SHMW_OK);
    CHECK_U64(position, 0);
    static const unsigned char head[44] = {1, 0, 0, 0, 0, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x00, 0x00,
                                           0x2a, 0x36, 0xfe, 0x9c, 0x97, 0x17, 0, 0, 0, 0, 7, 0, 0, 0, 0x92, 0x10, 0, 0, 99, 0,
                                           0xff, 0x7f, 5, 0, 0, 0};
    memcpy(want + 98432, head, sizeof(head));
    memcpy(want + 98432 + 48, "hello", 5);
    want[128 + 24] = 1;  /* signal */
    want[128 + 128] = 1; /* tail */
    CHECK_UNCHANGED(&room.raw, want);
    leave_room(&room);
}

static void the_document_layout_has_its_payload_later(void)
{
    struct room room = make_room((struct room_options){.payload_layout = SHMW_DMXP_LAYOUT_DOCUMENT});
    put(room.channel, "hello");
    CHECK_BYTES(room.raw.bytes + 98432 + 64, "hello", 5);
    CHECK_U64(raw_slot(&room.raw, 0, 0)->sender_runtime, SHMW_DMXP_RUNTIME_C); /* declared: the runtime is free */
    char payload[961] = {0};
    CHECK_CODE(shmw_dmxp_try_send(room.channel, payload, 960, NULL, NULL), SHMW_OK);
    CHECK_CODE(shmw_dmxp_try_send(room.channel, payload, 961, NULL, NULL), SHMW_TOO_LARGE);
    leave_room(&room);
}

static uint64_t unix_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void what_the_caller_leaves_out_is_filled_in(void)
{
    struct room room = make_room((struct room_options){0});
    const struct shmw_dmxp_meta zero = {.message_id = SHMW_DMXP_ID_POSITION};
    const uint64_t before = unix_ns();
    put(room.channel, "a");
    CHECK_CODE(shmw_dmxp_try_send(room.channel, NULL, 0, &zero, NULL), SHMW_OK);
    const uint64_t after = unix_ns();
    for (uint64_t i = 0; i < 2; i++) {
        const struct shmw_dmxp_wire_slot *slot = raw_slot(&room.raw, 0, i);
        CHECK_U64(slot->sequence, i + 1);
        CHECK_U64(slot->message_id, i);
        CHECK(slot->timestamp_ns >= before && slot->timestamp_ns <= after);
        CHECK_U64(slot->channel_id, 0);
        CHECK_U64(slot->message_type, 0);
        CHECK_U64(slot->sender_pid, getpid());
        CHECK_U64(slot->sender_runtime, SHMW_DMXP_RUNTIME_C);
        CHECK_U64(slot->flags, 0);
        CHECK_U64(slot->payload_len, 1 - i);
    }
    leave_room(&room);
}

static void the_largest_payload_fits_exactly(void)
{
    struct room room = make_room((struct room_options){.capacity = 2});
    char payload[1025];
    memset(payload, 'x', sizeof(payload));
    unsigned char *before = raw_copy(&room.raw);
    CHECK_CODE(shmw_dmxp_try_send(room.channel, payload, 1025, NULL, NULL), SHMW_TOO_LARGE);
    CHECK_CODE(shmw_dmxp_try_send(room.channel, payload, SIZE_MAX, NULL, NULL), SHMW_TOO_LARGE);
    CHECK_UNCHANGED(&room.raw, before);
    CHECK_CODE(shmw_dmxp_try_send(room.channel, payload, 1024, NULL, NULL), SHMW_OK);
    const unsigned char *slot = room.raw.bytes + 98432;
    CHECK_BYTES(slot + 48, payload, 1024);
    for (size_t i = 48 + 1024; i < 1088; i++)
        CHECK_U64(slot[i], 0);
    CHECK_U64(slot[1088], 1); /* the neighbour's sequence */
    leave_room(&room);
}

static void refused_arguments_change_nothing(void)
{
    struct room room = make_room((struct room_options){0});
    const struct shmw_dmxp_meta tombstone = {.flags = SHMW_DMXP_MESSAGE_TOMBSTONE};
    const struct shmw_dmxp_item bad[2] = {{"a", 1, NULL}, {"b", 1, &tombstone}};
    unsigned char *before = raw_copy(&room.raw);
    CHECK_CODE(shmw_dmxp_try_send(room.channel, "a", 1, &tombstone, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_dmxp_try_send(room.channel, NULL, 1, NULL, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_dmxp_try_send(NULL, "a", 1, NULL, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_dmxp_try_send_batch(room.channel, bad, 2, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_dmxp_try_send_batch(room.channel, bad, 0, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_dmxp_try_send_batch(room.channel, NULL, 1, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_dmxp_claim(room.channel, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_UNCHANGED(&room.raw, before);
    leave_room(&room);
}

static void full_and_free_again(void)
{
    struct room room = make_room((struct room_options){.capacity = 2});
    for (uint64_t lap = 0; lap < 5; lap++) {
        put(room.channel, "a");
        put(room.channel, "b");
        unsigned char *before = raw_copy(&room.raw);
        CHECK_CODE(shmw_dmxp_try_send(room.channel, "c", 1, NULL, NULL), SHMW_FULL);
        CHECK_CODE(shmw_dmxp_send(room.channel, "c", 1, NULL, 0, NULL), SHMW_TIMEOUT);
        CHECK_UNCHANGED(&room.raw, before);
        expect(room.channel, "a");
        CHECK_U64(raw_slot(&room.raw, 0, 0)->sequence, 2 * lap + 2);
        expect(room.channel, "b");
        CHECK_U64(raw_channel(&room.raw, 0)->head, 2 * lap + 2);
        CHECK_U64(raw_channel(&room.raw, 0)->tail, 2 * lap + 2);
    }
    leave_room(&room);
}

static void a_claimed_slot_of_the_last_lap_is_full_too(void)
{
    struct room room = make_room((struct room_options){.capacity = 2});
    struct shmw_dmxp_claim claim;
    CHECK_CODE(shmw_dmxp_claim(room.channel, &claim), SHMW_OK);
    put(room.channel, "b");
    CHECK_CODE(shmw_dmxp_try_send(room.channel, "c", 1, NULL, NULL), SHMW_FULL);
    CHECK_CODE(shmw_dmxp_abandon(room.channel, &claim), SHMW_OK);
    leave_room(&room);
}

static void drain_later(void *context)
{
    nap_ms(30);
    expect(context, "a");
}

static void send_waits_for_room(void)
{
    struct room room = make_room((struct room_options){.capacity = 2});
    put(room.channel, "a");
    put(room.channel, "b");
    const uint64_t start = now_ns();
    CHECK_CODE(shmw_dmxp_send(room.channel, "c", 1, NULL, 20000000, NULL), SHMW_TIMEOUT);
    CHECK(now_ns() - start >= 20000000);
    const int child = start_child(drain_later, room.channel);
    uint64_t position;
    CHECK_CODE(shmw_dmxp_send(room.channel, "c", 1, NULL, SHMW_FOREVER, &position), SHMW_OK);
    CHECK_U64(position, 2);
    CHECK_U64(child_status(child), 0);
    leave_room(&room);
}

/* All or none, one addition to signal, positions in a row [dmxp.produce.batch-claim]. */
static void batches(void)
{
    struct room room = make_room((struct room_options){.capacity = 4});
    char large[1025] = {0};
    const struct shmw_dmxp_meta meta = {.message_id = 50, .timestamp_ns = 60, .message_type = 70};
    const struct shmw_dmxp_item items[5] = {{"aa", 2, NULL}, {"b", 1, &meta}, {NULL, 0, NULL}, {"d", 1, NULL}, {"e", 1, NULL}};
    const struct shmw_dmxp_item too_large[2] = {{"a", 1, NULL}, {large, 1025, NULL}};
    unsigned char *before = raw_copy(&room.raw);
    CHECK_CODE(shmw_dmxp_try_send_batch(room.channel, items, 5, NULL), SHMW_INVALID_ARGUMENT); /* more than capacity */
    CHECK_CODE(shmw_dmxp_try_send_batch(room.channel, too_large, 2, NULL), SHMW_TOO_LARGE);
    CHECK_UNCHANGED(&room.raw, before);
    uint64_t position = 9;
    CHECK_CODE(shmw_dmxp_try_send_batch(room.channel, items, 3, &position), SHMW_OK);
    CHECK_U64(position, 0);
    CHECK_U64(raw_channel(&room.raw, 0)->tail, 3);
    CHECK_U64(raw_channel(&room.raw, 0)->signal, 3);
    CHECK_U64(raw_slot(&room.raw, 0, 1)->message_id, 50);
    CHECK_U64(raw_slot(&room.raw, 0, 1)->timestamp_ns, 60);
    CHECK_U64(raw_slot(&room.raw, 0, 2)->message_id, 2);
    CHECK(raw_slot(&room.raw, 0, 2)->timestamp_ns == raw_slot(&room.raw, 0, 0)->timestamp_ns);
    before = raw_copy(&room.raw);
    CHECK_CODE(shmw_dmxp_try_send_batch(room.channel, items, 2, NULL), SHMW_FULL); /* one free slot is not two */
    CHECK_UNCHANGED(&room.raw, before);
    expect(room.channel, "aa");
    CHECK_CODE(shmw_dmxp_try_send_batch(room.channel, items, 2, &position), SHMW_OK);
    CHECK_U64(position, 3);
    expect(room.channel, "b");
    expect(room.channel, "");
    expect(room.channel, "aa");
    expect(room.channel, "b");
    CHECK_CODE(shmw_dmxp_try_send_batch(room.channel, items, 4, &position), SHMW_OK);
    leave_room(&room);
}

static void claim_and_commit(void)
{
    struct room room = make_room((struct room_options){0});
    struct shmw_dmxp_claim claim;
    CHECK_CODE(shmw_dmxp_claim(room.channel, &claim), SHMW_OK);
    CHECK_U64(claim.position, 0);
    CHECK_U64(claim.capacity, 1024);
    CHECK_U64(raw_slot(&room.raw, 0, 0)->sequence, 0); /* claimed shows in tail only */
    CHECK_U64(raw_channel(&room.raw, 0)->tail, 1);
    CHECK_U64(raw_channel(&room.raw, 0)->signal, 0);
    put(room.channel, "second");
    char buffer[16];
    CHECK_CODE(shmw_dmxp_try_receive(room.channel, buffer, sizeof(buffer), NULL), SHMW_EMPTY); /* stops at the claim */
    memcpy(claim.payload, "first", 5);
    CHECK_CODE(shmw_dmxp_commit(room.channel, &claim, 1025, NULL), SHMW_TOO_LARGE);
    const struct shmw_dmxp_meta meta = {.message_id = 3, .timestamp_ns = 4, .message_type = 5, .flags = 6};
    CHECK_CODE(shmw_dmxp_commit(room.channel, &claim, 5, &meta), SHMW_OK); /* the claim stayed */
    CHECK_U64(raw_channel(&room.raw, 0)->signal, 2);
    CHECK(claim.payload == NULL);
    CHECK_CODE(shmw_dmxp_commit(room.channel, &claim, 5, NULL), SHMW_OUT_OF_ORDER);
    CHECK_CODE(shmw_dmxp_abandon(room.channel, &claim), SHMW_OUT_OF_ORDER);
    expect(room.channel, "first");
    expect(room.channel, "second");
    leave_room(&room);
}

static void claims_of_others_are_refused(void)
{
    struct room room = make_room((struct room_options){0});
    struct room other = make_room((struct room_options){0});
    struct shmw_dmxp_claim claim;
    CHECK_CODE(shmw_dmxp_claim(room.channel, &claim), SHMW_OK);
    CHECK_CODE(shmw_dmxp_commit(other.channel, &claim, 0, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_dmxp_abandon(other.channel, &claim), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_dmxp_abandon(room.channel, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_dmxp_recover(room.segment, true, NULL), SHMW_OK); /* ends it behind our back */
    CHECK_CODE(shmw_dmxp_commit(room.channel, &claim, 0, NULL), SHMW_OUT_OF_ORDER);
    leave_room(&other);
    leave_room(&room);
}

static void an_abandoned_claim_is_a_tombstone(void)
{
    struct room room = make_room((struct room_options){0});
    struct shmw_dmxp_claim claim;
    CHECK_CODE(shmw_dmxp_claim(room.channel, &claim), SHMW_OK);
    CHECK_CODE(shmw_dmxp_abandon(room.channel, &claim), SHMW_OK);
    const struct shmw_dmxp_wire_slot *slot = raw_slot(&room.raw, 0, 0);
    CHECK_U64(slot->sequence, 1);
    CHECK_U64(slot->payload_len, 0);
    CHECK_U64(slot->flags, 0x8000);
    CHECK_U64(slot->message_id, 0);
    CHECK_U64(slot->sender_pid, getpid());
    CHECK_U64(slot->sender_runtime, SHMW_DMXP_RUNTIME_C);
    CHECK(slot->timestamp_ns != 0);
    CHECK_U64(raw_channel(&room.raw, 0)->signal, 1); /* who waits for what comes behind it must look */
    leave_room(&room);
}

/* [dmxp.layout.runtime, .unspecified]: in an undeclared segment the runtime says where the payload is. */
static void undeclared_layouts(void)
{
    const struct shmw_dmxp_meta meta = {.sender_runtime = 5};
    const struct {
        enum shmw_dmxp_payload_choice choice;
        size_t offset;
        uint16_t by_default, by_meta;
    } cases[] = {{SHMW_DMXP_CHOOSE_CRATE, 48, SHMW_DMXP_RUNTIME_C, 5},
                 {SHMW_DMXP_CHOOSE_AUTO, 48, SHMW_DMXP_RUNTIME_C, 5},
                 {SHMW_DMXP_CHOOSE_DOCUMENT, 64, 0, 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct room room = make_room((struct room_options){.undeclared = true, .choice = cases[i].choice});
        put(room.channel, "hello");
        CHECK_CODE(shmw_dmxp_try_send(room.channel, "again", 5, &meta, NULL), SHMW_OK);
        CHECK_BYTES((unsigned char *)raw_slot(&room.raw, 0, 0) + cases[i].offset, "hello", 5);
        CHECK_U64(raw_slot(&room.raw, 0, 0)->sender_runtime, cases[i].by_default);
        CHECK_U64(raw_slot(&room.raw, 0, 1)->sender_runtime, cases[i].by_meta);
        expect(room.channel, "hello");
        leave_room(&room);
    }
}

/* A sequence that no rule leads to, tail unmoved: an answer, at once, and nothing changed [dmxp.consume.impossible]. */
static void impossible_sequences(void)
{
    static const uint64_t odd[] = {3, 1, 9, UINT64_C(1) << 63, UINT64_MAX - 100};
    struct room room = make_room((struct room_options){0});
    struct shmw_dmxp_claim claim;
    const struct shmw_dmxp_item items[2] = {{"a", 1, NULL}, {"b", 1, NULL}};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        raw_slot(&room.raw, 0, 0)->sequence = odd[i];
        unsigned char *before = raw_copy(&room.raw);
        CHECK_CODE(shmw_dmxp_try_send(room.channel, "x", 1, NULL, NULL), SHMW_CORRUPT);
        CHECK_CODE(shmw_dmxp_send(room.channel, "x", 1, NULL, SHMW_FOREVER, NULL), SHMW_CORRUPT);
        CHECK_CODE(shmw_dmxp_claim(room.channel, &claim), SHMW_CORRUPT);
        CHECK_CODE(shmw_dmxp_try_send_batch(room.channel, items, 2, NULL), SHMW_CORRUPT);
        CHECK_UNCHANGED(&room.raw, before);
    }
    raw_slot(&room.raw, 0, 0)->sequence = 0;
    raw_slot(&room.raw, 0, 1)->sequence = 77;
    CHECK_CODE(shmw_dmxp_try_send_batch(room.channel, items, 2, NULL), SHMW_CORRUPT);
    CHECK_CODE(shmw_dmxp_try_send(room.channel, "x", 1, NULL, NULL), SHMW_OK);
    leave_room(&room);
}

static void send_from_a_child(void *context)
{
    put(context, "child");
}

static void a_forked_child_sends_under_its_own_pid(void)
{
    struct room room = make_room((struct room_options){0});
    put(room.channel, "parent");
    const int child = start_child(send_from_a_child, room.channel);
    CHECK_U64(child_status(child), 0);
    CHECK_U64(raw_slot(&room.raw, 0, 0)->sender_pid, getpid());
    CHECK_U64(raw_slot(&room.raw, 0, 1)->sender_pid, child);
    leave_room(&room);
}

static void see_one_published(void *context)
{
    const struct room *room = context;
    CHECK_U64(raw_channel(&room->raw, 0)->tail, 3);
    CHECK_U64(raw_channel(&room->raw, 0)->signal, 0);
    CHECK_U64(raw_slot(&room->raw, 0, 0)->sequence, 1);
    CHECK_U64(raw_slot(&room->raw, 0, 1)->sequence, 1);
    CHECK_U64(raw_slot(&room->raw, 0, 2)->sequence, 2);
}

/* [dmxp.produce.batch-order, .publish]: the trap springs when the second of three payloads is read. */
static void a_batch_is_published_in_order(void)
{
    struct room room = make_room((struct room_options){0});
    unsigned char *page = trap_page(see_one_published, &room);
    const struct shmw_dmxp_item items[3] = {{"a", 1, NULL}, {page, 1, NULL}, {"c", 1, NULL}};
    CHECK_CODE(shmw_dmxp_try_send_batch(room.channel, items, 3, NULL), SHMW_OK);
    CHECK_U64(trap_hits(), 1);
    CHECK_U64(raw_slot(&room.raw, 0, 1)->sequence, 2);
    trap_drop();
    leave_room(&room);
}

static void see_none_published(void *context)
{
    const struct room *room = context;
    CHECK_U64(raw_channel(&room->raw, 0)->tail, 1);
    CHECK_U64(raw_slot(&room->raw, 0, 0)->sequence, 0);
}

static void a_message_is_published_after_its_payload(void)
{
    struct room room = make_room((struct room_options){0});
    unsigned char *page = trap_page(see_none_published, &room);
    CHECK_CODE(shmw_dmxp_try_send(room.channel, page, 1, NULL, NULL), SHMW_OK);
    CHECK_U64(trap_hits(), 1);
    trap_drop();
    leave_room(&room);
}

RUN_TESTS(TEST(one_message_byte_for_byte), TEST(the_document_layout_has_its_payload_later),
          TEST(what_the_caller_leaves_out_is_filled_in), TEST(the_largest_payload_fits_exactly),
          TEST(refused_arguments_change_nothing), TEST(full_and_free_again), TEST(a_claimed_slot_of_the_last_lap_is_full_too),
          TEST(send_waits_for_room), TEST(batches),
          TEST(claim_and_commit), TEST(claims_of_others_are_refused), TEST(an_abandoned_claim_is_a_tombstone),
          TEST(undeclared_layouts), TEST(impossible_sequences), TEST(a_forked_child_sends_under_its_own_pid),
          TEST(a_batch_is_published_in_order), TEST(a_message_is_published_after_its_payload))
