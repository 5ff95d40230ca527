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
#define SEED UINT64_C(0x0b5e55ed0d0a0c0e)
#define LIMIT_S 25 /* SIGALRM ends a hang */
#define BASES 4

/* Each segment ends at a page boundary: one byte too far is a fault. */
static const struct {
    uint32_t chunk_count;
    uint64_t target;
    unsigned entries;
} bases[BASES] = {{1, 4064, 150}, {3, 1344, 40}, {5, 800, 137}, {4, 900, 3}};

static uint64_t state;

static struct room build(unsigned which)
{
    struct room room = make_room(bases[which].chunk_count, bases[which].target, 4096);
    for (uint64_t i = 1; i <= bases[which].entries; i++)
        put(&room, i, (size_t)(1 + draw(&state, 90)));
    shmw_ouroboros_close_writer(room.writer);
    room.writer = NULL;
    return room;
}

/* In the header, in a row, at a header (half of the time), or anywhere. */
static size_t draw_offset(const struct raw *raw)
{
    switch (draw(&state, 8)) {
    case 0:
        return (size_t)draw(&state, 16);
    case 1:
    case 2:
    case 3:
        return (size_t)(16 + 8 * draw(&state, 10));
    case 4:
        return (size_t)draw(&state, raw->size);
    default:
        break;
    }
    uint64_t at = (raw_row(raw, 0)->offset & ~ROW_C) % (raw->size - 3) & ~UINT64_C(3); /* in a sound segment: the first entry */
    for (uint64_t steps = draw(&state, 40); steps > 0 && at + 4 <= raw->size; steps--) {
        const uint32_t length = raw_word(raw, at) & SHMW_OUROBOROS_MAX_LENGTH;
        const uint64_t next = (at + length + 3) / 4 * 4;
        if (length < 5 || next + 4 > raw->size)
            break;
        at = next;
    }
    return (size_t)at;
}

static uint64_t draw_value(void)
{
    static const uint64_t edges[] = {0, 1, 2, 3, 4, 5, 16, 32, 64, 80, 96, 4088, 4092, 4093, 4096, 4100, INT32_MAX, UINT32_MAX,
                                     WRAP_MARK, ENTRY_C, ENTRY_C | 2, ENTRY_C | 4, ENTRY_C | 5, ENTRY_C | 4096, ROW_C, ROW_C | 32,
                                     ROW_C | 64, ROW_C | 65, ROW_C | 2000, ROW_C | 4092, ROW_C | 4096, UINT64_MAX, UINT64_MAX - 1,
                                     UINT64_MAX - 3, INT64_MAX, UINT64_C(1) << 32};
    return draw(&state, 5) == 0 ? draw(&state, UINT64_MAX) : edges[draw(&state, sizeof(edges) / sizeof(edges[0]))];
}

static void mutate(const struct raw *raw)
{
    static const size_t widths[] = {1, 2, 4, 4, 8, 8};
    for (uint64_t n = 1 + draw(&state, 3); n > 0; n--) {
        const size_t width = widths[draw(&state, 6)];
        const size_t offset = draw_offset(raw) & ~(width == 8 ? (size_t)3 : width - 1);
        const uint64_t value = draw_value();
        memcpy(raw->bytes + offset, &value, offset + width <= raw->size ? width : 1);
    }
}

/* Calls ------------------------------------------------------------------------------------------------------------ */

#define HEADER_FAULTS (BIT(SHMW_BAD_MAGIC) | BIT(SHMW_BAD_VERSION) | BIT(SHMW_BAD_GEOMETRY) | BIT(SHMW_TRUNCATED))
#define ATTACHES (BIT(SHMW_OK) | BIT(SHMW_NOT_READY) | HEADER_FAULTS)
#define READS (BIT(SHMW_OK) | BIT(SHMW_EMPTY) | BIT(SHMW_CORRUPT) | BIT(SHMW_TOO_SMALL))

/* Buffers of exactly the size given, so that ASan sees one byte too much. Sequences ascend, whatever the bytes say. */
static void read_some(shmw_ouroboros_reader *reader, size_t size)
{
    unsigned char *buffer = malloc(size);
    CHECK(buffer != NULL);
    struct shmw_ouroboros_entry entries[4];
    size_t count;
    uint64_t last = 0;
    for (unsigned n = 0; n < 600; n++) {
        if (ANSWER(shmw_ouroboros_next(reader, buffer, size, &entries[0]), READS) != SHMW_OK)
            break;
        CHECK(entries[0].length <= size);
        CHECK(n == 0 || entries[0].sequence - last < UINT64_MAX / 2);
        last = entries[0].sequence;
    }
    ANSWER(shmw_ouroboros_next_batch(reader, buffer, size, entries, 4, &count), READS);
    ANSWER(shmw_ouroboros_wait_next(reader, buffer, size, 0, 0, entries), (READS & ~BIT(SHMW_EMPTY)) | BIT(SHMW_TIMEOUT));
    free(buffer);
}

static void view_some(shmw_ouroboros_reader *reader, size_t segment_size)
{
    struct shmw_ouroboros_entry entry;
    uint64_t sum = 0;
    for (unsigned n = 0; n < 600; n++) {
        if (ANSWER(shmw_ouroboros_next_view(reader, &entry), READS & ~BIT(SHMW_TOO_SMALL)) != SHMW_OK)
            break;
        CHECK(entry.offset + entry.length <= segment_size);
        const unsigned char *bytes = entry.data;
        for (uint32_t i = 0; i < entry.length; i++)
            sum += bytes[i];
        ANSWER(shmw_ouroboros_view_check(reader, &entry), BIT(SHMW_OK) | BIT(SHMW_LAPPED));
    }
    CHECK(sum < UINT64_MAX);
}

static void use_reader(const struct room *room)
{
    static const size_t sizes[] = {1, 4, 60, 4096};
    const struct shmw_ouroboros_open_options options = {.start = (enum shmw_ouroboros_start)draw(&state, 3)};
    struct shmw_ouroboros_reader_info info;
    shmw_ouroboros_reader *reader;
    if (ANSWER(shmw_ouroboros_open(room->name, &options, &reader), ATTACHES) != SHMW_OK)
        return;
    ANSWER(shmw_ouroboros_validate(reader, NULL, NULL), BIT(SHMW_OK) | BIT(SHMW_CORRUPT));
    read_some(reader, sizes[draw(&state, 4)]);
    CHECK_CODE(shmw_ouroboros_seek(reader, (enum shmw_ouroboros_start)draw(&state, 3)), SHMW_OK);
    view_some(reader, room->raw.size);
    CHECK_CODE(shmw_ouroboros_reader_info(reader, &info), SHMW_OK);
    shmw_ouroboros_close_reader(reader);
}

/* A writer that takes over whatever is there: a refusal changes nothing, and what it writes can be read. */
static void use_writer(struct room *room)
{
    unsigned char *broken = raw_copy(&room->raw);
    struct shmw_ouroboros_writer_info info;
    shmw_ouroboros_reader *reader;
    if (ANSWER(shmw_ouroboros_resume(room->name, NULL, &room->writer), ATTACHES | BIT(SHMW_CORRUPT)) != SHMW_OK) {
        CHECK_UNCHANGED(&room->raw, broken);
        return;
    }
    free(broken);
    CHECK_CODE(shmw_ouroboros_writer_info(room->writer, &info), SHMW_OK);
    for (uint64_t n = 1; n <= 30 && info.max_payload >= 100; n++)
        put(room, info.entries_written + n, (size_t)(1 + draw(&state, draw(&state, 10) == 0 ? info.max_payload : 100)));
    CHECK_CODE(shmw_ouroboros_open(room->name, NULL, &reader), SHMW_OK);
    read_some(reader, room->raw.size);
    shmw_ouroboros_close_reader(reader);
    shmw_ouroboros_close_writer(room->writer);
    room->writer = NULL;
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
        mutate(&room->raw);
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
