/* SPDX-License-Identifier: MIT
 *
 * Every call on segments with a few broken bytes: a documented answer, no crash, no hang, and from readers no change. The
 * mutations come from a fixed seed, so that a failure is repeated by running the test again; run it under ASan and UBSan. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

#define ROUNDS 6000
#define SEED UINT64_C(0x511c40de5ea1ed00)
#define LIMIT_S 25 /* SIGALRM ends a hang */
#define BASES 5
#define LARGEST 8192

/* Each segment ends at a page boundary: one byte too far is a fault. */
static const struct {
    enum shmw_slick_generation generation;
    uint32_t size;
    uint32_t element_size;
    unsigned items;
} bases[BASES] = {{SHMW_SLICK_1_4, 2, 2000, 9},
                  {SHMW_SLICK_1_4, 8, 488, 3},
                  {SHMW_SLICK_1_2, 16, 236, 40},
                  {SHMW_SLICK_1_3, 32, 110, 25},
                  {SHMW_SLICK_1_4, 64, 47, 90}};

static uint64_t state;

static struct room build(unsigned which)
{
    struct room room = make_room_of(bases[which].generation, bases[which].size, bases[which].element_size);
    const uint32_t longest = room.size < 4 ? room.size : 4;
    unsigned char payload[LARGEST];
    for (unsigned n = 0; n < bases[which].items; n++) {
        const size_t length = (1 + (size_t)draw(&state, longest)) * room.element_size;
        fill(payload, n, length);
        CHECK_CODE(shmw_slick_write(room.producer, payload, length, NULL), SHMW_OK);
    }
    shmw_slick_producer_close(room.producer);
    shmw_slick_close(room.queue);
    room.producer = NULL;
    room.queue = NULL;
    return room;
}

/* In the header, in a slot (most of the time), or anywhere. */
static size_t draw_offset(const struct room *room)
{
    switch (draw(&state, 8)) {
    case 0:
    case 1:
        return (size_t)(8 * draw(&state, 8));
    case 2:
        return (size_t)draw(&state, room->raw.size);
    default:
        return (size_t)(64 + 8 * draw(&state, 2 * (uint64_t)room->size));
    }
}

/* Edges of types and of this ring, near the reservation as it is. */
static uint64_t draw_value(const struct room *room)
{
    static const uint64_t edges[] = {0, 1, 2, 3, 4, 7, 8, 9, 16, 32, 64, 4096, INT32_MAX, UINT32_MAX, UINT64_C(1) << 31,
                                     UINT64_C(1) << 32, UINT64_C(1) << 47, (UINT64_C(1) << 48) - 1, UINT64_C(1) << 48,
                                     UINT64_C(1) << 63, INT64_MAX, UINT64_MAX - 1, UINT64_MAX};
    const uint64_t next = raw_header(&room->raw)->reserved >> 16;
    switch (draw(&state, 4)) {
    case 0:
        return draw(&state, UINT64_MAX);
    case 1:
        return next - 2 * room->size + draw(&state, 4 * (uint64_t)room->size);
    case 2:
        return (next - 2 * room->size + draw(&state, 4 * (uint64_t)room->size)) << 16 | draw(&state, 70);
    default:
        return edges[draw(&state, sizeof(edges) / sizeof(edges[0]))];
    }
}

static void mutate(const struct room *room)
{
    static const size_t widths[] = {1, 2, 4, 8, 8, 8};
    for (uint64_t n = 1 + draw(&state, 3); n > 0; n--) {
        const size_t width = widths[draw(&state, 6)];
        const size_t offset = draw_offset(room) & ~(width - 1);
        const uint64_t value = draw_value(room);
        memcpy(room->raw.bytes + offset, &value, width);
    }
}

/* Calls ------------------------------------------------------------------------------------------------------------ */

#define HEADER_FAULTS (BIT(SHMW_BAD_MAGIC) | BIT(SHMW_BAD_VERSION) | BIT(SHMW_BAD_GEOMETRY) | BIT(SHMW_TRUNCATED))
#define ATTACHES (BIT(SHMW_OK) | BIT(SHMW_NOT_READY) | HEADER_FAULTS)
#define READS (BIT(SHMW_OK) | BIT(SHMW_EMPTY) | BIT(SHMW_LAPPED) | BIT(SHMW_CORRUPT) | BIT(SHMW_TOO_SMALL))
#define WRITES (BIT(SHMW_OK) | BIT(SHMW_LAPPED) | BIT(SHMW_CORRUPT) | BIT(SHMW_CLOSED))

/* Buffers of exactly the size given, so that ASan sees one byte too much. Indices ascend, whatever the bytes say, but for one
 * reset a call. */
static void read_some(shmw_slick_reader *reader, size_t size)
{
    unsigned char *buffer = malloc(size);
    CHECK(buffer != NULL);
    struct shmw_slick_item items[4];
    struct shmw_slick_reader_info info = {0};
    size_t count;
    uint64_t end = 0;
    for (unsigned n = 0; n < 300; n++) {
        const uint64_t resets = info.resets;
        if (ANSWER(shmw_slick_next(reader, buffer, size, &items[0]), READS) != SHMW_OK)
            break;
        CHECK_CODE(shmw_slick_reader_info(reader, &info), SHMW_OK);
        CHECK(items[0].length <= size && items[0].elements > 0);
        CHECK(items[0].index >= end || info.resets > resets);
        end = items[0].index + items[0].elements;
    }
    ANSWER(shmw_slick_next_batch(reader, buffer, size, items, 4, &count), READS);
    ANSWER(shmw_slick_last(reader, buffer, size, &items[0]), READS);
    const unsigned waits = (READS & ~BIT(SHMW_EMPTY)) | BIT(SHMW_TIMEOUT);
    ANSWER(shmw_slick_wait_next(reader, buffer, size, 0, 0, items), waits);
    free(buffer);
}

static void view_some(shmw_slick_reader *reader, size_t segment_size)
{
    struct shmw_slick_item item;
    uint64_t sum = 0;
    for (unsigned n = 0; n < 300; n++) {
        if (ANSWER(shmw_slick_next_view(reader, &item), READS & ~BIT(SHMW_TOO_SMALL)) != SHMW_OK)
            break;
        CHECK(item.offset + item.length <= segment_size);
        const unsigned char *bytes = item.data;
        for (size_t i = 0; i < item.length; i++)
            sum += bytes[i];
        ANSWER(shmw_slick_view_check(reader, &item), BIT(SHMW_OK) | BIT(SHMW_LAPPED));
    }
    CHECK(sum < UINT64_MAX);
}

static void share_some(const shmw_slick_queue *queue)
{
    unsigned char buffer[4096];
    _Alignas(8) uint64_t word = draw(&state, 2) == 0 ? draw(&state, 200) : draw(&state, UINT64_MAX);
    struct shmw_slick_reader_options options = {0};
    struct shmw_slick_item items[4];
    size_t count;
    shmw_slick_reader *reader;
    CHECK_CODE(shmw_slick_cursor_at(&word, &options.shared), SHMW_OK);
    CHECK_CODE(shmw_slick_reader_open(queue, &options, &reader), SHMW_OK);
    for (unsigned n = 0; n < 10; n++) {
        ANSWER(shmw_slick_next(reader, buffer, sizeof(buffer), items), READS);
        ANSWER(shmw_slick_next_batch(reader, buffer, sizeof(buffer), items, 4, &count), READS);
    }
    shmw_slick_reader_close(reader);
    shmw_slick_cursor_close(options.shared);
}

static void use_reader(const struct room *room)
{
    static const size_t sizes[] = {1, 47, 500, 4096};
    const struct shmw_slick_open_options options = {.read_only = true, .no_wait = true};
    const struct shmw_slick_reader_options start = {.start = (enum shmw_slick_start)draw(&state, 3), .index = draw(&state, 200)};
    shmw_slick_queue *queue;
    shmw_slick_reader *reader;
    if (ANSWER(shmw_slick_open(room->name, &options, &queue), ATTACHES) != SHMW_OK)
        return;
    ANSWER(shmw_slick_validate(queue, NULL, NULL), BIT(SHMW_OK) | BIT(SHMW_CORRUPT));
    CHECK_CODE(shmw_slick_reader_open(queue, &start, &reader), SHMW_OK);
    read_some(reader, sizes[draw(&state, 4)]);
    CHECK_CODE(shmw_slick_seek(reader, (enum shmw_slick_start)draw(&state, 3), draw(&state, UINT64_C(1) << 48)), SHMW_OK);
    view_some(reader, room->raw.size);
    share_some(queue);
    shmw_slick_reader_close(reader);
    shmw_slick_close(queue);
}

static void write_some(shmw_slick_producer *producer, const struct shmw_slick_queue_info *info)
{
    static unsigned char payload[1 << 16];
    const uint64_t longest = info->size < 4 ? info->size : 4;
    struct shmw_slick_claim claim;
    for (unsigned n = 0; n < 20; n++) {
        const uint64_t elements = 1 + draw(&state, longest);
        const size_t length = (size_t)(elements * info->element_size);
        if (length * 3 > sizeof(payload))
            return;
        ANSWER(shmw_slick_write(producer, payload, length, NULL), WRITES);
        ANSWER(shmw_slick_write_batch(producer, payload, length, 3, NULL, NULL), WRITES);
        if (ANSWER(shmw_slick_reserve(producer, (uint32_t)elements, &claim), WRITES) != SHMW_OK)
            continue;
        memset(claim.data, 1, claim.capacity);
        ANSWER(draw(&state, 2) == 0 ? shmw_slick_publish(producer, &claim) : shmw_slick_abandon(producer, &claim),
               WRITES | BIT(SHMW_UNSUPPORTED));
        if (shmw_slick_abandon(producer, &claim) == SHMW_UNSUPPORTED)
            ANSWER(shmw_slick_publish(producer, &claim), WRITES);
    }
}

/* A producer that goes on whatever is there, and gives up at once what it would wait for. */
static void use_writer(const struct room *room)
{
    const struct shmw_slick_open_options options = {.no_wait = true};
    const struct shmw_slick_producer_options hasty = {.stall_ns = 1};
    struct shmw_slick_queue_info info;
    shmw_slick_queue *queue;
    shmw_slick_producer *producer;
    uint64_t holes;
    if (ANSWER(shmw_slick_open(room->name, &options, &queue), ATTACHES) != SHMW_OK)
        return;
    CHECK_CODE(shmw_slick_info(queue, &info), SHMW_OK);
    if (draw(&state, 2) == 0) {
        ANSWER(shmw_slick_recover(queue, true, &holes), BIT(SHMW_OK) | BIT(SHMW_CORRUPT) | BIT(SHMW_BUSY));
        CHECK(holes <= info.size);
    }
    CHECK_CODE(shmw_slick_producer_open(queue, &hasty, &producer), SHMW_OK);
    write_some(producer, &info);
    shmw_slick_producer_close(producer);
    CHECK_CODE(shmw_slick_reset(queue), SHMW_OK);
    CHECK_CODE(shmw_slick_validate(queue, NULL, NULL), SHMW_OK);
    shmw_slick_close(queue);
}

static void broken_bytes_get_documented_answers(void)
{
    printf("seed 0x%" PRIx64 ", %d rounds\n", SEED, ROUNDS);
    state = SEED;
    struct room rooms[BASES];
    unsigned char *sound[BASES];
    for (unsigned i = 0; i < BASES; i++) {
        rooms[i] = build(i);
        sound[i] = raw_copy(&rooms[i].raw);
        CHECK_U64(rooms[i].raw.size, 4096);
    }
    alarm(LIMIT_S);
    for (int round = 0; round < ROUNDS; round++) {
        struct room *room = &rooms[round % BASES];
        memcpy(room->raw.bytes, sound[round % BASES], room->raw.size);
        mutate(room);
        unsigned char *broken = raw_copy(&room->raw);
        use_reader(room);
        CHECK_UNCHANGED(&room->raw, broken);
        use_writer(room);
    }
    alarm(0);
    for (unsigned i = 0; i < BASES; i++) {
        free(sound[i]);
        raw_close(&rooms[i].raw);
    }
}

RUN_TESTS(TEST(broken_bytes_get_documented_answers))
