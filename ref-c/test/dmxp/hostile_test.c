/* SPDX-License-Identifier: MIT
 *
 * Every call on segments with a few broken bytes: a documented answer, no crash, no hang, and from read-only handles no change.
 * The mutations come from a fixed seed, so that a failure is repeated by running the test again; run it under ASan and UBSan. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

#define ROUNDS 5000
#define SEED UINT64_C(0x5eed0f0d0a0b0c0d)
#define LIMIT_S 25 /* SIGALRM ends a hang */

/* 16 + 8 + 4 + 2 slots end at 131,072 bytes, a page boundary: one byte too far is a fault. */
static const uint64_t capacities[4] = {16, 8, 4, 2};

static uint64_t state;

/* A sound segment in which every state occurs: free, claimed, published, taken, tombstone, wrapped. */
static void build(const char *name)
{
    const struct shmw_dmxp_create_options options = {.size = size_for(30)};
    shmw_dmxp_segment *segment;
    CHECK_CODE(shmw_dmxp_create(name, &options, &segment), SHMW_OK);
    for (uint32_t id = 0; id < 4; id++) {
        const struct shmw_dmxp_channel_options channel_options = {.capacity = capacities[id], .counted_waiters = id % 2 != 0};
        CHECK_CODE(shmw_dmxp_channel_create(segment, id, &channel_options), SHMW_OK);
        shmw_dmxp_channel *channel;
        CHECK_CODE(shmw_dmxp_attach(segment, id, &channel), SHMW_OK);
        for (uint64_t i = 0; i < capacities[id] + id; i++) {
            put(channel, "consumed");
            expect(channel, "consumed");
        }
        struct shmw_dmxp_claim claim;
        put(channel, "waiting");
        CHECK_CODE(shmw_dmxp_claim(channel, &claim), SHMW_OK);
        if (id < 2)
            CHECK_CODE(shmw_dmxp_abandon(channel, &claim), SHMW_OK);
        shmw_dmxp_detach(channel);
    }
    shmw_dmxp_close(segment);
}

/* Mutations -------------------------------------------------------------------------------------------------------- */

/* Somewhere in the header, in one of the four entries or a fifth, or in the first line of a slot. */
static size_t draw_offset(void)
{
    switch (draw(&state, 8)) {
    case 0:
        return (size_t)draw(&state, 24);
    case 1:
    case 2:
    case 3:
        return (size_t)(SHMW_DMXP_CHANNEL_TABLE_OFFSET + 384 * draw(&state, 5) + draw(&state, 40));
    case 4:
        return (size_t)(SHMW_DMXP_CHANNEL_TABLE_OFFSET + 384 * draw(&state, 4) + 128 + 128 * draw(&state, 2));
    default:
        return (size_t)(SHMW_DMXP_HEADER_SIZE + SLOT_SIZE * draw(&state, 30) + draw(&state, 48));
    }
}

static uint64_t draw_value(void)
{
    static const uint64_t edges[] = {0, 1, 2, 3, 4, 8, 16, 30, 48, 64, 127, 128, 960, 961, 1024, 1025, 1088, 98432, 131072,
                                     131200, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_C(1) << 63, UINT64_MAX, UINT64_MAX - 1,
                                     UINT64_MAX - 127, UINT64_MAX - 1087, UINT64_MAX / 1088, UINT64_C(1) << 60};
    return draw(&state, 4) == 0 ? draw(&state, UINT64_MAX) : edges[draw(&state, sizeof(edges) / sizeof(edges[0]))];
}

static void mutate(struct raw *raw)
{
    static const size_t widths[] = {1, 2, 4, 8, 8, 8};
    for (uint64_t n = 1 + draw(&state, 3); n > 0; n--) {
        const size_t width = widths[draw(&state, 6)];
        const size_t offset = draw_offset() & ~(width - 1);
        const uint64_t value = draw_value();
        memcpy(raw->bytes + offset, &value, width);
    }
}

/* Calls ------------------------------------------------------------------------------------------------------------ */

#define REFUSALS (BIT(SHMW_OK) | BIT(SHMW_BAD_GEOMETRY) | BIT(SHMW_CORRUPT))
#define SENDS (BIT(SHMW_OK) | BIT(SHMW_FULL) | BIT(SHMW_CLOSED) | BIT(SHMW_CORRUPT))
#define RECEIVES (BIT(SHMW_OK) | BIT(SHMW_EMPTY) | BIT(SHMW_CLOSED) | BIT(SHMW_CORRUPT) | BIT(SHMW_TOO_SMALL))

static void peek_all(shmw_dmxp_channel *channel, size_t size)
{
    char *buffer = malloc(size);
    CHECK(buffer != NULL);
    struct shmw_dmxp_message message;
    uint64_t position = 0;
    unsigned looks = 0;
    for (;;) {
        const int rc = ANSWER(shmw_dmxp_peek(channel, &position, buffer, size, &message), RECEIVES);
        if (rc != SHMW_OK && rc != SHMW_CORRUPT)
            break;
        CHECK(++looks <= 20); /* no more than the largest channel can hold, and some */
    }
    free(buffer);
}

static void produce_all(shmw_dmxp_channel *channel)
{
    const struct shmw_dmxp_item items[2] = {{"a", 1, NULL}, {"bb", 2, NULL}};
    struct shmw_dmxp_claim claim;
    ANSWER(shmw_dmxp_try_send(channel, "text", 4, NULL, NULL), SENDS);
    ANSWER(shmw_dmxp_try_send_batch(channel, items, 2, NULL), SENDS);
    ANSWER(shmw_dmxp_send(channel, "text", 4, NULL, 0, NULL), (SENDS & ~BIT(SHMW_FULL)) | BIT(SHMW_TIMEOUT));
    if (ANSWER(shmw_dmxp_claim(channel, &claim), SENDS) != SHMW_OK)
        return;
    memset(claim.payload, 'p', claim.capacity);
    CHECK_CODE(shmw_dmxp_commit(channel, &claim, claim.capacity, NULL), SHMW_OK);
}

/* Buffers of exactly the size given, so that ASan sees one byte too much. */
static void consume_all(shmw_dmxp_channel *channel, size_t size)
{
    char *buffer = malloc(size);
    CHECK(buffer != NULL);
    struct shmw_dmxp_message messages[4];
    size_t count;
    ANSWER(shmw_dmxp_receive(channel, buffer, size, 0, 0, messages), (RECEIVES & ~BIT(SHMW_EMPTY)) | BIT(SHMW_TIMEOUT));
    ANSWER(shmw_dmxp_try_receive_batch(channel, buffer, size, messages, 4, &count), RECEIVES);
    unsigned taken = 0;
    for (;;) {
        const int rc = ANSWER(shmw_dmxp_try_receive(channel, buffer, size, messages), RECEIVES);
        if (rc != SHMW_OK)
            break;
        CHECK(messages[0].length <= size);
        CHECK(++taken <= 20);
    }
    free(buffer);
}

static void look_around(const shmw_dmxp_segment *segment)
{
    struct shmw_dmxp_segment_info info;
    struct shmw_dmxp_channel_info channel_info;
    uint32_t ids[4];
    size_t count;
    CHECK_CODE(shmw_dmxp_info(segment, &info), SHMW_OK);
    CHECK_CODE(shmw_dmxp_channel_list(segment, ids, 4, &count), SHMW_OK);
    CHECK_CODE(shmw_dmxp_channel_info(segment, 4, &channel_info), SHMW_OK);
    ANSWER(shmw_dmxp_validate(segment, NULL, NULL), REFUSALS);
}

static void use_channels(shmw_dmxp_segment *segment, bool read_only)
{
    static const size_t sizes[] = {0, 4, 960, 1024};
    for (uint32_t id = 0; id < 5; id++) {
        shmw_dmxp_channel *channel;
        if (ANSWER(shmw_dmxp_attach(segment, id, &channel), REFUSALS | BIT(SHMW_NOT_FOUND)) != SHMW_OK)
            continue;
        const size_t size = sizes[draw(&state, 4)];
        peek_all(channel, size);
        if (!read_only) {
            consume_all(channel, size);
            produce_all(channel);
            consume_all(channel, 1024);
        }
        shmw_dmxp_detach(channel);
    }
}

static void change_channels(shmw_dmxp_segment *segment)
{
    const struct shmw_dmxp_channel_options two = {.capacity = 2};
    ANSWER(shmw_dmxp_recover(segment, true, NULL), REFUSALS);
    ANSWER(shmw_dmxp_channel_remove(segment, (uint32_t)draw(&state, 5)), BIT(SHMW_OK) | BIT(SHMW_NOT_FOUND));
    ANSWER(shmw_dmxp_channel_create(segment, (uint32_t)draw(&state, 6), &two), BIT(SHMW_OK) | BIT(SHMW_EXISTS) | BIT(SHMW_TOO_LARGE) | BIT(SHMW_CORRUPT));
}

static void try_everything(const char *name, bool read_only)
{
    const struct shmw_dmxp_open_options options = {.read_only = read_only,
                                                   .payload_choice = (enum shmw_dmxp_payload_choice)draw(&state, 3)};
    shmw_dmxp_segment *segment;
    const unsigned allowed = BIT(SHMW_OK) | BIT(SHMW_BAD_MAGIC) | BIT(SHMW_BAD_VERSION) | BIT(SHMW_NOT_READY) |
                             BIT(SHMW_BAD_GEOMETRY);
    if (ANSWER(shmw_dmxp_open(name, &options, &segment), allowed) != SHMW_OK)
        return;
    look_around(segment);
    use_channels(segment, read_only);
    if (!read_only) {
        change_channels(segment);
        use_channels(segment, read_only);
    }
    shmw_dmxp_close(segment);
}

static void broken_bytes_get_documented_answers(void)
{
    const char *name = fresh_name();
    build(name);
    struct raw raw = raw_open(name);
    CHECK_U64(raw.size, 131072);
    unsigned char *sound = raw_copy(&raw);
    printf("seed 0x%" PRIx64 ", %d rounds\n", SEED, ROUNDS);
    state = SEED;
    alarm(LIMIT_S);
    for (int round = 0; round < ROUNDS; round++) {
        memcpy(raw.bytes, sound, raw.size);
        mutate(&raw);
        unsigned char *broken = raw_copy(&raw);
        try_everything(name, true);
        CHECK_UNCHANGED(&raw, broken);
        try_everything(name, false);
    }
    alarm(0);
    free(sound);
    raw_close(&raw);
}

RUN_TESTS(TEST(broken_bytes_get_documented_answers))
