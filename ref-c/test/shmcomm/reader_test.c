/* SPDX-License-Identifier: MIT
 *
 * Section 7.1: what subscribers and observers are given. */
#include "support.h"

#define OLDEST ((struct shmw_shmcomm_options){.oldest = true})

/* [shmcomm.receive.start] */
static void a_subscriber_begins_where_it_says(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUBLISHER, name);
    for (uint64_t n = 0; n < 3; n++)
        put(end, n, 10 + n);
    shmw_shmcomm *late = enter(SHMW_SHMCOMM_SUBSCRIBER, name);
    shmw_shmcomm *early = enter_with(SHMW_SHMCOMM_SUBSCRIBER, name, OLDEST);
    shmw_shmcomm *observer = enter(SHMW_SHMCOMM_OBSERVER, name);
    expect_answer(late, SHMW_EMPTY);
    put(end, 3, 50);
    expect(late, 3, 50, 0);
    expect_answer(late, SHMW_EMPTY);
    for (uint64_t n = 0; n < 3; n++) {
        expect(early, n, 10 + n, 0);
        expect(observer, n, 10 + n, 0);
    }
    CHECK_CODE(shmw_shmcomm_seek(late, true), SHMW_OK);
    expect(late, 0, 10, 0);
    CHECK_CODE(shmw_shmcomm_seek(late, false), SHMW_OK);
    expect_answer(late, SHMW_EMPTY);
    put(end, 4, 50);
    expect(late, 4, 50, 0);
    CHECK_U64(info_of(late).received, 3);
    CHECK_U64(info_of(late).lost, 0);
    shmw_shmcomm_close(observer);
    shmw_shmcomm_close(early);
    shmw_shmcomm_close(late);
    shmw_shmcomm_close(end);
}

/* Every message, whole and in order, of any length and across every end of the ring [shmcomm.receive.skip]. */
static void everything_comes(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUBLISHER, name);
    shmw_shmcomm *readers[] = {enter(SHMW_SHMCOMM_SUBSCRIBER, name), enter(SHMW_SHMCOMM_OBSERVER, name)};
    uint64_t seed = 0x5eed0002;
    for (uint64_t n = 0; n < 5000;) {
        size_t lengths[4] = {0};
        const size_t burst = 1 + draw(&seed, 4);
        for (size_t i = 0; i < burst; i++) {
            lengths[i] = draw(&seed, 16) == 0 && burst == 1 ? draw(&seed, LARGEST + 1) : draw(&seed, 300);
            put(end, n + i, lengths[i]);
        }
        for (size_t i = 0; i < burst; i++)
            for (size_t r = 0; r < 2; r++)
                expect(readers[r], n + i, lengths[i], 0);
        n += burst;
        expect_answer(readers[0], SHMW_EMPTY);
    }
    for (size_t r = 0; r < 2; r++)
        shmw_shmcomm_close(readers[r]);
    shmw_shmcomm_close(end);
}

static void large_messages_come_straight(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = enter_with(SHMW_SHMCOMM_PUBLISHER, name, (struct shmw_shmcomm_options){.capacity = 1 << 20});
    shmw_shmcomm *reader = enter(SHMW_SHMCOMM_SUBSCRIBER, name);
    uint64_t seed = 0x5eed0003;
    for (uint64_t n = 0; n < 300; n++) {
        const size_t length = n == 7 ? (1 << 19) - 40 : draw(&seed, n % 2 == 0 ? 20000 : 400000);
        put(end, n, length);
        expect(reader, n, length, 0);
    }
    shmw_shmcomm_close(reader);
    shmw_shmcomm_close(end);
}

/* [shmcomm.receive.lapped], [shmcomm.receive.lost] */
static void what_was_lost_is_counted(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUBLISHER, name);
    shmw_shmcomm *fresh = enter(SHMW_SHMCOMM_SUBSCRIBER, name);
    shmw_shmcomm *oldest = enter_with(SHMW_SHMCOMM_SUBSCRIBER, name, OLDEST);
    shmw_shmcomm *teller = enter_with(SHMW_SHMCOMM_SUBSCRIBER, name, (struct shmw_shmcomm_options){.tell_lost = true});
    for (uint64_t n = 0; n < 20; n++)
        put(end, n, 440); /* 480 bytes: 8 are held */
    CHECK_U64(info_of(end).dropped_count, 12);
    expect(fresh, 12, 440, 12);
    expect(oldest, 12, 440, 0);
    struct shmw_shmcomm_message message;
    unsigned char payload[440];
    CHECK_CODE(shmw_shmcomm_receive(teller, payload, sizeof(payload), 0, 0, &message), SHMW_LAPPED);
    CHECK_U64(message.lost, 12);
    expect(teller, 12, 440, 12);
    for (uint64_t n = 13; n < 20; n++) {
        expect(fresh, n, 440, 0);
        expect(oldest, n, 440, 0);
        expect(teller, n, 440, 0);
    }
    for (uint64_t n = 20; n < 50; n++)
        put(end, n, 440);
    expect(fresh, 42, 440, 22);
    expect(oldest, 42, 440, 22);
    CHECK_CODE(shmw_shmcomm_receive(teller, payload, sizeof(payload), 0, 0, &message), SHMW_LAPPED);
    CHECK_U64(message.lost, 22);
    for (uint64_t n = 50; n < 60; n++)
        put(end, n, 440);
    struct shmw_shmcomm_message messages[4];
    static unsigned char batch[4096];
    size_t count = 0;
    CHECK_CODE(shmw_shmcomm_receive_batch(teller, batch, sizeof(batch), messages, 4, 0, 0, &count), SHMW_OK);
    CHECK(count > 0 && messages[0].sequence == 20 + messages[0].lost);
    CHECK_U64(info_of(fresh).lost, 34);
    shmw_shmcomm_close(teller);
    shmw_shmcomm_close(oldest);
    shmw_shmcomm_close(fresh);
    shmw_shmcomm_close(end);
}

/* What is read ahead stays whole, and losses are told where they are. */
static void reading_ahead_loses_nothing_twice(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUBLISHER, name);
    shmw_shmcomm *reader = enter(SHMW_SHMCOMM_SUBSCRIBER, name);
    uint64_t seed = 0x5eed0004;
    uint64_t next = 0;
    uint64_t sum = 0;
    for (uint64_t n = 0; n < 20000;) {
        for (uint64_t burst = draw(&seed, 60); burst > 0; burst--, n++)
            put(end, n, 60 + n % 5);
        for (uint64_t reads = draw(&seed, 60); reads > 0; reads--) {
            unsigned char payload[64];
            unsigned char wanted[64];
            struct shmw_shmcomm_message message;
            if (shmw_shmcomm_receive(reader, payload, sizeof(payload), 0, 0, &message) != SHMW_OK)
                break;
            CHECK_U64(message.sequence, next + message.lost);
            CHECK_U64(message.length, 60 + message.sequence % 5);
            fill(wanted, message.sequence, message.length);
            CHECK_BYTES(payload, wanted, message.length);
            next = message.sequence + 1;
            sum += message.lost;
        }
    }
    CHECK_U64(info_of(reader).lost, sum);
    CHECK(sum > 100 && info_of(reader).received + sum == next);
    shmw_shmcomm_close(reader);
    shmw_shmcomm_close(end);
}

/* [shmcomm.receive.too-small] */
static void a_small_buffer_changes_nothing(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = enter_with(SHMW_SHMCOMM_PUBLISHER, name, (struct shmw_shmcomm_options){.capacity = 1 << 16});
    shmw_shmcomm *reader = enter(SHMW_SHMCOMM_SUBSCRIBER, name);
    static const size_t lengths[] = {100, 20000};
    static unsigned char payload[20000];
    for (uint64_t n = 0; n < 2; n++) {
        struct shmw_shmcomm_message message;
        struct shmw_shmcomm_message messages[2];
        size_t count;
        put(end, n, lengths[n]);
        for (int again = 0; again < 2; again++) {
            CHECK_CODE(shmw_shmcomm_receive(reader, payload, lengths[n] - 1, 0, 0, &message), SHMW_TOO_SMALL);
            CHECK_U64(message.length, lengths[n]);
            CHECK_CODE(shmw_shmcomm_receive(reader, NULL, 0, SHMW_FOREVER, 0, &message), SHMW_TOO_SMALL);
            CHECK_CODE(shmw_shmcomm_receive_batch(reader, payload, 99, messages, 2, 0, 0, &count), SHMW_TOO_SMALL);
            CHECK(messages[0].length == lengths[n] && count == 0);
        }
        expect(reader, n, lengths[n], 0);
    }
    put(end, 2, 0);
    CHECK_CODE(shmw_shmcomm_receive(reader, NULL, 0, 0, 0, NULL), SHMW_OK);
    CHECK_CODE(shmw_shmcomm_receive(reader, NULL, 1, 0, 0, NULL), SHMW_INVALID_ARGUMENT);
    shmw_shmcomm_close(reader);
    shmw_shmcomm_close(end);
}

static void batches(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUBLISHER, name);
    shmw_shmcomm *reader = enter(SHMW_SHMCOMM_SUBSCRIBER, name);
    struct shmw_shmcomm_message messages[8];
    unsigned char buffer[160];
    unsigned char wanted[64];
    size_t count = 9;
    CHECK_CODE(shmw_shmcomm_receive_batch(reader, buffer, sizeof(buffer), messages, 8, 0, 0, &count), SHMW_EMPTY);
    CHECK_U64(count, 0);
    CHECK_CODE(shmw_shmcomm_receive_batch(reader, buffer, sizeof(buffer), messages, 8, 10 * MS, 0, &count), SHMW_TIMEOUT);
    for (uint64_t n = 0; n < 6; n++)
        put(end, n, 41 + n);
    CHECK_CODE(shmw_shmcomm_receive_batch(reader, buffer, sizeof(buffer), messages, 8, 0, 0, &count), SHMW_OK);
    CHECK_U64(count, 3); /* 48 bytes each, and then 44 of 16 */
    CHECK_CODE(shmw_shmcomm_receive_batch(reader, buffer, sizeof(buffer), messages, 2, 0, 0, &count), SHMW_OK);
    CHECK_U64(count, 2);
    for (size_t i = 0; i < count; i++) {
        CHECK_U64(messages[i].sequence, 3 + i);
        CHECK_U64(messages[i].offset % 8, 0);
        fill(wanted, 3 + i, 44 + i);
        CHECK_BYTES(buffer + messages[i].offset, wanted, 44 + i);
    }
    expect(reader, 5, 46, 0);
    CHECK_CODE(shmw_shmcomm_receive_batch(reader, buffer, sizeof(buffer), messages, 0, 0, 0, &count), SHMW_INVALID_ARGUMENT);
    shmw_shmcomm_close(reader);
    shmw_shmcomm_close(end);
}

/* [shmcomm.receive.view] */
static void views(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUBLISHER, name);
    shmw_shmcomm *reader = enter(SHMW_SHMCOMM_SUBSCRIBER, name);
    struct shmw_shmcomm_message view;
    unsigned char wanted[200];
    for (uint64_t n = 0; n < 4; n++)
        put(end, n, 200);
    expect(reader, 0, 200, 0); /* and has read the others ahead */
    CHECK_CODE(shmw_shmcomm_view(reader, 0, 0, &view), SHMW_OK);
    fill(wanted, 1, 200);
    CHECK_U64(view.sequence, 1);
    CHECK_BYTES(view.data, wanted, 200);
    CHECK_CODE(shmw_shmcomm_view_check(reader, &view), SHMW_OK);
    expect(reader, 2, 200, 0);
    for (uint64_t n = 4; n < 18; n++)
        put(end, n, 200); /* 240 bytes each: 17 in the ring */
    CHECK_CODE(shmw_shmcomm_view_check(reader, &view), SHMW_OK); /* still held: it is the oldest */
    put(end, 18, 200);
    CHECK_CODE(shmw_shmcomm_view_check(reader, &view), SHMW_LAPPED);
    expect(reader, 3, 200, 0);
    CHECK_CODE(shmw_shmcomm_seek(reader, false), SHMW_OK);
    CHECK_CODE(shmw_shmcomm_view(reader, 0, 0, &view), SHMW_EMPTY);
    CHECK_CODE(shmw_shmcomm_view(reader, 10 * MS, 0, &view), SHMW_TIMEOUT);
    CHECK_CODE(shmw_shmcomm_view(end, 0, 0, &view), SHMW_UNSUPPORTED);
    CHECK_CODE(shmw_shmcomm_view_check(end, &view), SHMW_UNSUPPORTED);
    shmw_shmcomm_close(reader);
    shmw_shmcomm_close(end);
}

/* A writer that comes round while we copy, by a trap in the caller's buffer. */
struct intruder {
    shmw_shmcomm *end;
    uint64_t first;
    uint64_t count;
    size_t length;
};

static void come_round(void *context)
{
    const struct intruder *intruder = context;
    for (uint64_t n = 0; n < intruder->count; n++)
        put(intruder->end, intruder->first + n, intruder->length);
}

/* [shmcomm.receive.recheck]: long messages go straight to the buffer. */
static void a_torn_copy_is_thrown_away(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = enter_with(SHMW_SHMCOMM_PUBLISHER, name, (struct shmw_shmcomm_options){.capacity = 1 << 16});
    shmw_shmcomm *reader = enter(SHMW_SHMCOMM_SUBSCRIBER, name);
    struct intruder intruder = {.end = end, .first = 1, .count = 8, .length = 20000};
    struct shmw_shmcomm_message message;
    static unsigned char wanted[20000];
    put(end, 0, 20000);
    unsigned char *trap = trap_pages(5, come_round, &intruder);
    CHECK_CODE(shmw_shmcomm_receive(reader, trap, 19999, 0, 0, &message), SHMW_TOO_SMALL);
    CHECK_U64(trap_hits(), 0);
    CHECK_CODE(shmw_shmcomm_receive(reader, trap, 20000, 0, 0, &message), SHMW_OK);
    CHECK_U64(trap_hits(), 1);
    CHECK(message.sequence > 0);
    CHECK_U64(message.lost, message.sequence);
    fill(wanted, message.sequence, 20000);
    CHECK_BYTES(trap, wanted, 20000);
    trap_drop();
    shmw_shmcomm_close(reader);
    shmw_shmcomm_close(end);
}

/* Short ones are whole in private memory before the buffer is touched. */
static void what_was_read_ahead_stays(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUBLISHER, name);
    shmw_shmcomm *reader = enter(SHMW_SHMCOMM_SUBSCRIBER, name);
    struct intruder intruder = {.end = end, .first = 2, .count = 40, .length = 300};
    struct shmw_shmcomm_message message;
    unsigned char wanted[300];
    put(end, 0, 300);
    put(end, 1, 300);
    unsigned char *trap = trap_page(come_round, &intruder);
    CHECK_CODE(shmw_shmcomm_receive(reader, trap, 300, 0, 0, &message), SHMW_OK);
    CHECK_U64(trap_hits(), 1);
    CHECK_U64(message.sequence, 0);
    fill(wanted, 0, 300);
    CHECK_BYTES(trap, wanted, 300);
    expect(reader, 1, 300, 0);
    trap_drop();
    const uint64_t held = info_of(end).message_count - info_of(end).dropped_count;
    expect(reader, 42 - held, 300, 40 - held);
    shmw_shmcomm_close(reader);
    shmw_shmcomm_close(end);
}

/* [shmcomm.receive.closed] */
static void closed_after_the_last_message(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUBLISHER, name);
    shmw_shmcomm *reader = enter(SHMW_SHMCOMM_SUBSCRIBER, name);
    put(end, 0, 10);
    put(end, 1, 10);
    shmw_shmcomm_close(end);
    expect(reader, 0, 10, 0);
    expect(reader, 1, 10, 0);
    expect_answer(reader, SHMW_CLOSED);
    unsigned char payload[1];
    CHECK_CODE(shmw_shmcomm_receive(reader, payload, 1, SHMW_FOREVER, SHMW_FOREVER, NULL), SHMW_CLOSED);
    shmw_shmcomm_close(reader);
}

/* [shmcomm.segment.readonly] */
static void a_subscriber_changes_nothing(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUBLISHER, name);
    struct raw raw = raw_open(name);
    put(end, 0, 10);
    unsigned char *before = raw_copy(&raw);
    for (int read_only = 0; read_only < 2; read_only++) {
        shmw_shmcomm *reader =
            enter_with(SHMW_SHMCOMM_SUBSCRIBER, name, (struct shmw_shmcomm_options){.oldest = true, .read_only = read_only == 1});
        unsigned char payload[10];
        CHECK_CODE(shmw_shmcomm_receive(reader, payload, 10, 0, 0, NULL), SHMW_OK);
        CHECK_CODE(shmw_shmcomm_receive(reader, payload, 10, 5 * MS, 0, NULL), SHMW_TIMEOUT);
        CHECK_U64(raw_header(&raw)->data_waiters, read_only == 0);
        raw_header(&raw)->data_waiters = 0;
        shmw_shmcomm_close(reader);
    }
    CHECK_UNCHANGED(&raw, before);
    raw_close(&raw);
    shmw_shmcomm_close(end);
}

/* [shmcomm.receive.size]: CORRUPT, and it stays, for one who is not overtaken; whatever the size says, nothing is followed. */
static void impossible_sizes(void)
{
    static const uint64_t sizes[] = {0,    1,    31,   2041, 2048,           4096,           UINT64_C(1) << 40,
                                     3000, 1000, 1033, SHMW_SHMCOMM_SKIP - 1, SHMW_SHMCOMM_SKIP, SHMW_SHMCOMM_SKIP - 7};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const char *name = fresh_name();
        shmw_shmcomm *end = make(SHMW_SHMCOMM_PUBLISHER, name);
        shmw_shmcomm *readers[] = {enter(SHMW_SHMCOMM_SUBSCRIBER, name), enter(SHMW_SHMCOMM_OBSERVER, name)};
        struct raw raw = raw_open(name);
        put(end, 0, 100);
        put(end, 1, 600); /* head is 144 + 640 */
        raw_frame(&raw, 144)->size = sizes[i];
        unsigned char *before = raw_copy(&raw);
        for (size_t r = 0; r < 2; r++) {
            struct shmw_shmcomm_message view;
            expect(readers[r], 0, 100, 0);
            expect_answer(readers[r], SHMW_CORRUPT);
            expect_answer(readers[r], SHMW_CORRUPT);
            CHECK_CODE(shmw_shmcomm_view(readers[r], 0, 0, &view), SHMW_CORRUPT);
        }
        const char *finding = NULL;
        uint64_t position = 0;
        CHECK_CODE(shmw_shmcomm_validate(readers[1], &finding, &position), SHMW_CORRUPT);
        CHECK(finding != NULL && position == 144);
        CHECK_UNCHANGED(&raw, before);
        for (size_t r = 0; r < 2; r++)
            shmw_shmcomm_close(readers[r]);
        raw_close(&raw);
        shmw_shmcomm_close(end);
    }
}

RUN_TESTS(TEST(a_subscriber_begins_where_it_says), TEST(everything_comes), TEST(large_messages_come_straight),
          TEST(what_was_lost_is_counted), TEST(reading_ahead_loses_nothing_twice), TEST(a_small_buffer_changes_nothing),
          TEST(batches), TEST(views), TEST(a_torn_copy_is_thrown_away), TEST(what_was_read_ahead_stays),
          TEST(closed_after_the_last_message), TEST(a_subscriber_changes_nothing), TEST(impossible_sizes))
