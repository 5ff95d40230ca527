/* SPDX-License-Identifier: MIT
 *
 * What the source system wrote (fixtures/slick/captured), written again: the same bytes, and read: the same items. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

#define ELEMENT 24

struct step {
    uint64_t index;
    uint32_t elements; /* 0: the end */
    bool published;
};

struct sequence {
    const char *name;
    uint32_t size;
    struct step steps[16];
    uint64_t oldest; /* index of the first item that is still whole */
};

static const struct sequence sequences[] = {
    {"first-lap", 16, {{0, 1, true}, {1, 1, true}, {2, 1, true}, {3, 3, true}, {6, 1, true}, {7, 2, true}}, 0},
    {"lapped",
     8,
     {{0, 1, true}, {1, 1, true}, {2, 1, true}, {3, 1, true}, {4, 1, true}, {5, 1, true}, {6, 1, true}, {7, 1, true},
      {8, 1, true}, {9, 1, true}, {10, 1, true}},
     3},
    {"wrap-mark", 8, {{0, 3, true}, {3, 3, true}, {8, 3, true}, {11, 1, true}}, 6},
    {"unpublished", 8, {{0, 1, true}, {1, 1, true}, {2, 1, false}}, 0},
};

static const struct {
    const char *prefix;
    enum shmw_slick_generation generation;
} releases[] = {{"v120", SHMW_SLICK_1_2}, {"v123", SHMW_SLICK_1_2}, {"v13", SHMW_SLICK_1_3}, {"v14", SHMW_SLICK_1_4}};

/* Its payloads: element k of all that were written begins with byte 7 k. */
static void capture_fill(unsigned char *payload, unsigned first, uint32_t elements)
{
    for (uint32_t e = 0; e < elements; e++)
        for (unsigned j = 0; j < ELEMENT; j++)
            payload[e * ELEMENT + j] = (unsigned char)(7 * (first + e) + j);
}

static unsigned char *load_capture(const char *prefix, const char *name, size_t *size, char *path, size_t room)
{
    snprintf(path, room, "%s/slick/captured/%s-%s/seg.bin", SHMW_FIXTURES, prefix, name);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fprintf(stderr, "cannot open %s\n", path);
    CHECK(fd >= 0);
    struct stat status;
    CHECK(fstat(fd, &status) == 0);
    *size = (size_t)status.st_size;
    unsigned char *bytes = malloc(*size);
    CHECK(bytes != NULL && read(fd, bytes, *size) == status.st_size);
    close(fd);
    return bytes;
}

static void write_again(const struct room *room, const struct sequence *sequence)
{
    unsigned element = 0;
    for (const struct step *step = sequence->steps; step->elements > 0; step++) {
        unsigned char payload[4 * ELEMENT];
        uint64_t index = NEVER;
        capture_fill(payload, element, step->elements);
        element += step->elements;
        const size_t length = (size_t)step->elements * ELEMENT;
        if (step->published) {
            CHECK_CODE(shmw_slick_write(room->producer, payload, length, &index), SHMW_OK);
            CHECK_U64(index, step->index);
            continue;
        }
        struct shmw_slick_claim claim;
        CHECK_CODE(shmw_slick_reserve(room->producer, step->elements, &claim), SHMW_OK);
        CHECK_U64(claim.index, step->index);
        memcpy(claim.data, payload, length);
    }
}

/* [slick.segment.init] [slick.reserve.packed] [slick.reserve.mark] [slick.publish.first-slot] [slick.publish.last]
 * [slick.reserve.alone] */
static void the_same_bytes(void)
{
    for (size_t r = 0; r < sizeof(releases) / sizeof(releases[0]); r++) {
        for (size_t s = 0; s < sizeof(sequences) / sizeof(sequences[0]); s++) {
            char path[512];
            size_t size = 0;
            unsigned char *want = load_capture(releases[r].prefix, sequences[s].name, &size, path, sizeof(path));
            struct room room = make_room_of(releases[r].generation, sequences[s].size, ELEMENT);
            write_again(&room, &sequences[s]);
            printf("  %s-%s\n", releases[r].prefix, sequences[s].name);
            CHECK_U64(room.raw.size, size);
            CHECK_BYTES(room.raw.bytes, want, size);
            free(want);
            leave_room(&room);
        }
    }
}

static void read_capture(const char *path, const struct sequence *sequence, enum shmw_slick_generation generation)
{
    const struct shmw_slick_open_options options = {.read_only = true, .no_wait = true};
    struct shmw_slick_queue_info info;
    shmw_slick_queue *queue;
    shmw_slick_reader *reader;
    CHECK_CODE(shmw_slick_open(path, &options, &queue), SHMW_OK);
    CHECK_CODE(shmw_slick_info(queue, &info), SHMW_OK);
    CHECK_U64(info.generation, generation);
    CHECK_U64(info.size, sequence->size);
    CHECK_CODE(shmw_slick_validate(queue, NULL, NULL), SHMW_OK);
    CHECK_CODE(shmw_slick_reader_open(queue, NULL, &reader), SHMW_OK);
    unsigned element = 0;
    for (const struct step *step = sequence->steps; step->elements > 0; step++) {
        unsigned char want[4 * ELEMENT];
        unsigned char got[4 * ELEMENT];
        struct shmw_slick_item item;
        capture_fill(want, element, step->elements);
        element += step->elements;
        if (!step->published || step->index < sequence->oldest)
            continue;
        CHECK_CODE(shmw_slick_next(reader, got, sizeof(got), &item), SHMW_OK);
        CHECK_U64(item.index, step->index);
        CHECK_U64(item.elements, step->elements);
        CHECK_U64(item.lost, 0);
        CHECK_BYTES(got, want, item.length);
    }
    unsigned char nothing[4 * ELEMENT];
    CHECK_CODE(shmw_slick_next(reader, nothing, sizeof(nothing), NULL), SHMW_EMPTY);
    shmw_slick_reader_close(reader);
    shmw_slick_close(queue);
}

/* [slick.segment.generation] [slick.read.start] [slick.read.mark] [slick.read.deliver] */
static void the_same_items(void)
{
    for (size_t r = 0; r < sizeof(releases) / sizeof(releases[0]); r++) {
        for (size_t s = 0; s < sizeof(sequences) / sizeof(sequences[0]); s++) {
            char path[512];
            size_t size = 0;
            free(load_capture(releases[r].prefix, sequences[s].name, &size, path, sizeof(path)));
            read_capture(path, &sequences[s], releases[r].generation);
        }
    }
}

RUN_TESTS(TEST(the_same_bytes), TEST(the_same_items))
