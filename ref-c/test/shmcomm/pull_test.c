/* SPDX-License-Identifier: MIT
 *
 * Section 7.2: pullers. */
#include "support.h"

static void everything_comes_once(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUSHER, name);
    shmw_shmcomm *pullers[] = {enter(SHMW_SHMCOMM_PULLER, name), enter(SHMW_SHMCOMM_PULLER, name)};
    shmw_shmcomm *observer = enter(SHMW_SHMCOMM_OBSERVER, name);
    uint64_t seed = 0x5eed0005;
    expect_answer(pullers[0], SHMW_EMPTY);
    for (uint64_t n = 0; n < 3000;) {
        size_t lengths[5] = {0};
        const size_t burst = 1 + draw(&seed, 5);
        for (size_t i = 0; i < burst; i++)
            put(end, n + i, lengths[i] = draw(&seed, burst == 1 ? LARGEST + 1 : 300));
        expect(observer, n, lengths[0], 0);
        for (size_t i = 0; i < burst; i++)
            expect(pullers[draw(&seed, 2)], n + i, lengths[i], 0);
        CHECK_CODE(shmw_shmcomm_seek(observer, false), SHMW_OK);
        expect_answer(pullers[draw(&seed, 2)], SHMW_EMPTY);
        n += burst;
        CHECK_U64(info_of(observer).head, info_of(observer).tail);
    }
    CHECK_U64(info_of(pullers[0]).received + info_of(pullers[1]).received, info_of(end).sent);
    CHECK_U64(info_of(end).dropped_count, 0);
    shmw_shmcomm_close(observer);
    shmw_shmcomm_close(pullers[1]);
    shmw_shmcomm_close(end);
    expect_answer(pullers[0], SHMW_CLOSED);
    shmw_shmcomm_close(pullers[0]);
}

/* One claim for all of them. */
static void batches(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUSHER, name);
    shmw_shmcomm *puller = enter(SHMW_SHMCOMM_PULLER, name);
    struct shmw_shmcomm_message messages[8];
    unsigned char buffer[2000];
    unsigned char wanted[600];
    uint64_t next = 0;
    size_t count = 9;
    CHECK_CODE(shmw_shmcomm_receive_batch(puller, buffer, sizeof(buffer), messages, 8, 0, 0, &count), SHMW_EMPTY);
    CHECK_U64(count, 0);
    for (uint64_t n = 0; n < 600;) {
        for (unsigned i = 0; i < 6; i++, n++)
            put(end, n, 401 + n % 7);
        while (next < n) {
            CHECK_CODE(shmw_shmcomm_receive_batch(puller, buffer, sizeof(buffer), messages, 8, 0, 0, &count), SHMW_OK);
            CHECK(count >= 1 && count <= 4);
            CHECK_U64(info_of(puller).message_count, n);
            for (size_t i = 0; i < count; i++, next++) {
                CHECK_U64(messages[i].sequence, next);
                CHECK_U64(messages[i].length, 401 + next % 7);
                fill(wanted, next, messages[i].length);
                CHECK_BYTES(buffer + messages[i].offset, wanted, messages[i].length);
            }
        }
    }
    CHECK_U64(info_of(puller).received, 600);
    shmw_shmcomm_close(end);
    shmw_shmcomm_close(puller);
}

/* [shmcomm.receive.too-small] */
static void a_small_buffer_changes_nothing(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUSHER, name);
    shmw_shmcomm *puller = enter(SHMW_SHMCOMM_PULLER, name);
    struct raw raw = raw_open(name);
    struct shmw_shmcomm_message message;
    size_t count = 9;
    unsigned char buffer[99];
    put(end, 0, 100);
    unsigned char *before = raw_copy(&raw);
    CHECK_CODE(shmw_shmcomm_receive(puller, buffer, 99, 0, 0, &message), SHMW_TOO_SMALL);
    CHECK_U64(message.length, 100);
    CHECK_CODE(shmw_shmcomm_receive_batch(puller, buffer, 99, &message, 1, SHMW_FOREVER, 0, &count), SHMW_TOO_SMALL);
    CHECK(message.length == 100 && count == 0);
    CHECK_UNCHANGED(&raw, before);
    expect(puller, 0, 100, 0);
    CHECK_CODE(shmw_shmcomm_view(puller, 0, 0, &message), SHMW_UNSUPPORTED);
    raw_close(&raw);
    shmw_shmcomm_close(end);
    shmw_shmcomm_close(puller);
}

/* [shmcomm.pull.count]: the writer died between head and message_count. */
static void the_count_is_raised(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUSHER, name);
    shmw_shmcomm *puller = enter(SHMW_SHMCOMM_PULLER, name);
    struct raw raw = raw_open(name);
    struct shmw_shmcomm_message messages[2];
    unsigned char buffer[64];
    size_t count = 0;
    for (uint64_t n = 0; n < 4; n++)
        put(end, n, 8);
    raw_header(&raw)->message_count = 2;
    expect(puller, 0, 8, 0);
    CHECK_U64(raw_header(&raw)->message_count, 2);
    expect(puller, 1, 8, 0);
    CHECK_U64(raw_header(&raw)->message_count, 2);
    expect(puller, 2, 8, 0);
    CHECK_U64(raw_header(&raw)->message_count, 3);
    put(end, 3, 8); /* what no writer can do; it makes a sequence that stands twice */
    raw_header(&raw)->message_count = 0;
    CHECK_CODE(shmw_shmcomm_receive_batch(puller, buffer, sizeof(buffer), messages, 2, 0, 0, &count), SHMW_OK);
    CHECK_U64(count, 2);
    CHECK_U64(raw_header(&raw)->message_count, 4);
    raw_close(&raw);
    shmw_shmcomm_close(end);
    shmw_shmcomm_close(puller);
}

/* Another puller is faster while we copy: by a trap in our buffer [shmcomm.pull.claim]. */
struct rival {
    shmw_shmcomm *puller;
    shmw_shmcomm *pusher;
    uint64_t takes;
};

static void be_faster(void *context)
{
    const struct rival *rival = context;
    for (uint64_t n = 0; n < rival->takes; n++)
        expect(rival->puller, n, 300, 0);
    for (uint64_t n = 6; n < 6 + rival->takes; n++)
        put(rival->pusher, n, 300); /* over what is being copied */
}

static void another_puller_is_faster(void)
{
    for (uint64_t takes = 1; takes <= 6; takes += 5) {
        for (int batch = 0; batch < 2; batch++) {
            const char *name = fresh_name();
            shmw_shmcomm *end = make(SHMW_SHMCOMM_PUSHER, name);
            shmw_shmcomm *slow = enter(SHMW_SHMCOMM_PULLER, name);
            struct rival rival = {.puller = enter(SHMW_SHMCOMM_PULLER, name), .pusher = end, .takes = takes};
            struct shmw_shmcomm_message message;
            unsigned char wanted[300];
            size_t count = 0;
            for (uint64_t n = 0; n < 6; n++)
                put(end, n, 300);
            unsigned char *trap = trap_page(be_faster, &rival);
            CHECK_CODE(batch ? shmw_shmcomm_receive_batch(slow, trap, 300, &message, 1, 0, 0, &count)
                             : shmw_shmcomm_receive(slow, trap, 300, 0, 0, &message),
                       SHMW_OK);
            CHECK_U64(trap_hits(), 1);
            CHECK_U64(message.sequence, takes);
            fill(wanted, takes, 300);
            CHECK_BYTES(trap, wanted, 300);
            trap_drop();
            for (uint64_t n = takes + 1; n < 6 + takes; n++)
                expect(slow, n, 300, 0);
            expect_answer(slow, SHMW_EMPTY);
            shmw_shmcomm_close(end);
            shmw_shmcomm_close(rival.puller);
            shmw_shmcomm_close(slow);
        }
    }
}

/* [shmcomm.receive.size], [shmcomm.pull.readonly] */
static void impossible_sizes(void)
{
    static const uint64_t sizes[] = {0, 31, 2041, UINT64_C(1) << 40, 1033, SHMW_SHMCOMM_SKIP - 1, SHMW_SHMCOMM_SKIP};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const char *name = fresh_name();
        shmw_shmcomm *end = make(SHMW_SHMCOMM_PUSHER, name);
        shmw_shmcomm *puller = enter(SHMW_SHMCOMM_PULLER, name);
        struct raw raw = raw_open(name);
        unsigned char buffer[LARGEST];
        struct shmw_shmcomm_message messages[4];
        size_t count = 0;
        put(end, 0, 100);
        put(end, 1, 600);
        raw_frame(&raw, 144)->size = sizes[i];
        CHECK_CODE(shmw_shmcomm_receive_batch(puller, buffer, sizeof(buffer), messages, 4, 0, 0, &count), SHMW_OK);
        CHECK_U64(count, 1);
        unsigned char *before = raw_copy(&raw);
        expect_answer(puller, SHMW_CORRUPT);
        CHECK_CODE(shmw_shmcomm_receive_batch(puller, buffer, sizeof(buffer), messages, 4, 0, 0, &count), SHMW_CORRUPT);
        CHECK_UNCHANGED(&raw, before);
        raw_header(&raw)->tail = raw_header(&raw)->head + 8;
        expect_answer(puller, SHMW_CORRUPT);
        raw_header(&raw)->tail = 4;
        expect_answer(puller, SHMW_CORRUPT);
        raw_header(&raw)->tail = raw_header(&raw)->head;
        raw_close(&raw);
        shmw_shmcomm_close(end);
        shmw_shmcomm_close(puller);
    }
}

RUN_TESTS(TEST(everything_comes_once), TEST(batches), TEST(a_small_buffer_changes_nothing), TEST(the_count_is_raised),
          TEST(another_puller_is_faster), TEST(impossible_sizes))
