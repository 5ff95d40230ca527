/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

static int try_create(const char *name, enum shmw_slick_generation generation, uint32_t size, uint32_t element_size)
{
    const struct shmw_slick_create_options options = {.generation = generation, .size = size, .element_size = element_size};
    shmw_slick_queue *queue;
    const int rc = shmw_slick_create(name, &options, &queue);
    if (rc == SHMW_OK)
        shmw_slick_close(queue);
    return rc;
}

static int try_open(const char *name, bool read_only)
{
    const struct shmw_slick_open_options options = {.read_only = read_only, .no_wait = true};
    shmw_slick_queue *queue;
    const int rc = shmw_slick_open(name, &options, &queue);
    if (rc == SHMW_OK)
        shmw_slick_close(queue);
    return rc;
}

static void store_u32(unsigned char *bytes, size_t offset, uint32_t value)
{
    memcpy(bytes + offset, &value, sizeof(value));
}

/* [slick.segment.init] */
static void a_new_segment_byte_for_byte(void)
{
    static const struct {
        enum shmw_slick_generation generation;
        uint32_t state;
    } made[] = {{SHMW_SLICK_1_2, 0}, {SHMW_SLICK_1_3, 1}, {SHMW_SLICK_1_4, 3}};
    for (unsigned i = 0; i < 3; i++) {
        struct room room = make_room_of(made[i].generation, 4, 7);
        unsigned char want[64 + 16 * 4 + 7 * 4] = {0};
        CHECK_U64(room.raw.size, sizeof(want));
        store_u32(want, 8, 4);
        store_u32(want, 12, 7);
        store_u32(want, 48, made[i].state);
        if (made[i].generation == SHMW_SLICK_1_4) {
            memset(want + 16, 0xff, 8);
            memcpy(want + 24, "1QLS", 4);
        }
        for (size_t k = 0; k < 4; k++) {
            memset(want + 64 + 16 * k, 0xff, 8);
            want[72 + 16 * k] = 1;
        }
        CHECK_BYTES(room.raw.bytes, want, sizeof(want));
        leave_room(&room);
    }
}

static void defaults_and_info(void)
{
    struct room room = make_room_of(0, 0, 24);
    struct shmw_slick_queue_info info;
    struct stat status;
    char path[128];
    CHECK_CODE(shmw_slick_info(room.queue, &info), SHMW_OK);
    CHECK_U64(info.generation, SHMW_SLICK_1_4);
    CHECK_U64(info.size, 1024);
    CHECK_U64(info.element_size, 24);
    CHECK_U64(info.length, 64 + 40 * 1024);
    CHECK_U64(info.next_index, 0);
    CHECK_U64(info.settled, 0);
    CHECK_CODE(shmw_path(room.name, path, sizeof(path)), SHMW_OK);
    CHECK(stat(path, &status) == 0);
    CHECK_U64(status.st_mode & 0777, 0600);
    CHECK_U64(status.st_size, info.length);
    leave_room(&room);
}

/* [slick.segment.create] */
static void an_existing_segment_is_left_alone(void)
{
    struct room room = make_room(4, 8);
    put(&room, 0, 2);
    unsigned char *before = raw_copy(&room.raw);
    CHECK_CODE(try_create(room.name, 0, 4, 8), SHMW_EXISTS);
    CHECK_UNCHANGED(&room.raw, before);
    leave_room(&room);
}

/* [slick.segment.argument] */
static void bad_arguments(void)
{
    const char *name = fresh_name();
    shmw_slick_queue *queue;
    const struct shmw_slick_create_options mode = {.element_size = 8, .mode = 01000};
    const struct shmw_slick_create_options good = {.element_size = 8};
    static const uint32_t sizes[] = {3, 5, 6, 7, 1023, 1025, UINT32_C(0x80000001), UINT32_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        CHECK_CODE(try_create(name, 0, sizes[i], 8), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(try_create(name, 0, 8, 0), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(try_create(name, (enum shmw_slick_generation)11, 8, 8), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(try_create(name, (enum shmw_slick_generation)15, 8, 8), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(try_create(name, 0, UINT32_C(0x80000000), UINT32_MAX), SHMW_INVALID_ARGUMENT); /* 2^63 bytes */
    CHECK_CODE(shmw_slick_create(name, &mode, &queue), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_create(name, NULL, &queue), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_create(name, &good, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_create("", &good, &queue), SHMW_INVALID_NAME);
    CHECK_CODE(try_open(name, true), SHMW_NOT_FOUND);
    CHECK_CODE(shmw_slick_open(NULL, NULL, &queue), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_open(name, NULL, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_info(NULL, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_reset(NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_recover(NULL, true, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_slick_validate(NULL, NULL, NULL), SHMW_INVALID_ARGUMENT);
    shmw_slick_close(NULL);
    shmw_slick_producer_close(NULL);
    shmw_slick_reader_close(NULL);
    shmw_slick_cursor_close(NULL);
    CHECK_CODE(try_create(name, 0, 1, 1), SHMW_OK); /* the smallest there is */
}

/* [slick.segment.name] [slick.segment.portable-name] */
static void names(void)
{
    char name[64];
    shmw_slick_queue *queue;
    shmw_slick_queue *again;
    struct shmw_slick_create_options options = {.element_size = 8, .portable_name = true};
    strcpy(name, fresh_name());
    CHECK_CODE(shmw_slick_create(name + 1, &options, &queue), SHMW_OK); /* without the slash */
    CHECK(strcmp(shmw_slick_shm_name(queue), name) == 0);
    CHECK_CODE(shmw_slick_open(name, NULL, &again), SHMW_OK);
    CHECK(strcmp(shmw_slick_shm_name(again), name) == 0);
    shmw_slick_close(again);
    shmw_slick_close(queue);
    while (strlen(name) < 32)
        strcat(name, "x");
    CHECK_CODE(shmw_slick_create(name, &options, &queue), SHMW_INVALID_NAME);
    CHECK_CODE(shmw_slick_create(name + 1, &options, &queue), SHMW_INVALID_NAME); /* the slash counts */
    name[31] = '\0';
    CHECK_CODE(shmw_slick_create(name + 1, &options, &queue), SHMW_OK);
    shmw_slick_close(queue);
    CHECK_CODE(shmw_unlink(name), SHMW_OK);
    CHECK(strcmp(shmw_slick_shm_name(NULL), "") == 0);
}

static void check_refused(const struct room *room, int want)
{
    unsigned char *before = raw_copy(&room->raw);
    CHECK_CODE(try_open(room->name, true), want);
    CHECK_CODE(try_open(room->name, false), want);
    CHECK_UNCHANGED(&room->raw, before);
}

/* [slick.segment.magic] [slick.segment.state] [slick.segment.geometry] [slick.segment.not-ready] */
static void headers_that_are_refused(void)
{
    struct room room = make_room(8, 8);
    struct shmw_slick_wire_header *header = raw_header(&room.raw);
    header->header_magic ^= 1;
    check_refused(&room, SHMW_BAD_MAGIC);
    header->init_state = 1; /* 1.3 has no magic */
    CHECK_CODE(try_open(room.name, true), SHMW_OK);
    header->init_state = 0;
    CHECK_CODE(try_open(room.name, true), SHMW_OK);
    header->header_magic ^= 1;
    header->init_state = 2;
    check_refused(&room, SHMW_NOT_READY);
    header->init_state = 4;
    check_refused(&room, SHMW_BAD_VERSION);
    header->init_state = 0;
    header->size = 0;
    check_refused(&room, SHMW_NOT_READY);
    header->init_state = 3;
    check_refused(&room, SHMW_BAD_GEOMETRY);
    static const uint32_t sizes[] = {3, 12, UINT32_C(0x80000001), UINT32_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        header->size = sizes[i];
        check_refused(&room, SHMW_BAD_GEOMETRY);
    }
    header->size = 8;
    header->element_size = 0;
    check_refused(&room, SHMW_BAD_GEOMETRY);
    header->element_size = 8;
    CHECK_CODE(try_open(room.name, true), SHMW_OK);
    leave_room(&room);
}

/* [slick.segment.size] */
static void segments_that_are_too_short(void)
{
    struct room room = make_room(8, 8);
    struct shmw_slick_wire_header *header = raw_header(&room.raw);
    char path[128];
    header->element_size = 9;
    check_refused(&room, SHMW_TRUNCATED);
    header->element_size = 8;
    header->size = 16;
    check_refused(&room, SHMW_TRUNCATED);
    header->size = UINT32_C(0x80000000);
    check_refused(&room, SHMW_TRUNCATED);
    header->element_size = UINT32_MAX;
    check_refused(&room, SHMW_TRUNCATED);
    header->size = 8;
    header->element_size = 8;
    CHECK_CODE(shmw_path(room.name, path, sizeof(path)), SHMW_OK);
    CHECK(truncate(path, (off_t)room.raw.size - 1) == 0);
    CHECK_CODE(try_open(room.name, true), SHMW_TRUNCATED);
    CHECK(truncate(path, 63) == 0);
    CHECK_CODE(try_open(room.name, true), SHMW_TRUNCATED);
    CHECK(truncate(path, 0) == 0);
    CHECK_CODE(try_open(room.name, true), SHMW_TRUNCATED);
    CHECK(truncate(path, (off_t)room.raw.size) == 0);
    CHECK_CODE(try_open(room.name, true), SHMW_NOT_READY);
    shmw_slick_producer_close(room.producer);
    shmw_slick_close(room.queue);
    raw_close(&room.raw);
}

struct late {
    struct raw *raw;
    uint32_t state;
};

static void publish_late(void *context)
{
    const struct late *late = context;
    nap_ms(20);
    raw_header(late->raw)->init_state = late->state;
}

/* An opener waits for a creator that is at work; 2 s unless it says otherwise. */
static void openers_wait_for_a_creator(void)
{
    struct room room = make_room(8, 8);
    const struct shmw_slick_open_options patient = {.ready_timeout_ns = 20000 * MS};
    const struct shmw_slick_open_options brief = {.ready_timeout_ns = 30 * MS};
    shmw_slick_queue *queue;
    raw_header(&room.raw)->init_state = 2;
    uint64_t start = now_ns();
    CHECK_CODE(shmw_slick_open(room.name, &brief, &queue), SHMW_NOT_READY);
    CHECK(now_ns() - start >= 30 * MS);
    struct late late = {&room.raw, 3};
    const int child = start_child(publish_late, &late);
    CHECK_CODE(shmw_slick_open(room.name, &patient, &queue), SHMW_OK);
    CHECK_U64(child_status(child), 0);
    shmw_slick_close(queue);
    leave_room(&room);
}

/* [slick.segment.readonly] */
static void a_reader_changes_nothing(void)
{
    struct room room = make_room(8, 8);
    const struct shmw_slick_open_options options = {.read_only = true};
    shmw_slick_queue *queue;
    shmw_slick_producer *producer;
    put(&room, 0, 3);
    put(&room, 3, 1);
    unsigned char *before = raw_copy(&room.raw);
    struct room other = room;
    CHECK_CODE(shmw_slick_open(room.name, &options, &queue), SHMW_OK);
    other.queue = queue;
    CHECK_CODE(shmw_slick_producer_open(queue, NULL, &producer), SHMW_PERMISSION);
    CHECK_CODE(shmw_slick_reset(queue), SHMW_PERMISSION);
    CHECK_CODE(shmw_slick_recover(queue, true, NULL), SHMW_PERMISSION);
    shmw_slick_reader *reader = open_oldest(&other);
    expect(reader, &room, 0, 3, 0);
    expect(reader, &room, 3, 1, 0);
    expect_none(reader, &room);
    CHECK_CODE(shmw_slick_validate(queue, NULL, NULL), SHMW_OK);
    shmw_slick_reader_close(reader);
    shmw_slick_close(queue);
    CHECK_UNCHANGED(&room.raw, before);
    leave_room(&room);
}

/* [slick.reset.clear] [slick.read.reset] */
static void a_reset_byte_for_byte(void)
{
    static const enum shmw_slick_generation generations[] = {SHMW_SLICK_1_2, SHMW_SLICK_1_3, SHMW_SLICK_1_4};
    for (unsigned i = 0; i < 3; i++) {
        struct room room = make_room_of(generations[i], 4, 8);
        struct shmw_slick_reader_info info;
        unsigned char *fresh = raw_copy(&room.raw);
        shmw_slick_reader *reader = open_oldest(&room);
        shmw_slick_producer *other = open_producer(&room, 0);
        for (uint64_t n = 0; n < 12; n++)
            put_by(n % 2 == 0 ? room.producer : other, &room, n, 1);
        expect(reader, &room, 8, 1, 8);
        CHECK(raw_header(&room.raw)->settled != 0);
        CHECK_CODE(shmw_slick_reset(room.queue), SHMW_OK);
        CHECK_BYTES(room.raw.bytes, fresh, 64 + 16 * 4);
        expect_none(reader, &room);
        CHECK_U64(cursor_of(reader), 0);
        put(&room, 0, 1);
        put_by(other, &room, 1, 1);
        expect(reader, &room, 0, 1, 0);
        CHECK_CODE(shmw_slick_reader_info(reader, &info), SHMW_OK);
        CHECK_U64(info.resets, 1);
        shmw_slick_producer_close(other);
        shmw_slick_reader_close(reader);
        free(fresh);
        leave_room(&room);
    }
}

/* Validation finds what no producer leaves, and where. */
static void findings(void)
{
    struct room room = make_room(8, 8);
    const char *finding = "";
    uint32_t slot = 0;
    put(&room, 0, 3);
    put(&room, 3, 1);
    CHECK_CODE(shmw_slick_validate(room.queue, &finding, &slot), SHMW_OK);
    CHECK(finding == NULL);
    CHECK_U64(slot, UINT32_MAX);
    static const struct {
        uint64_t index;
        uint64_t data_index;
        uint32_t size;
    } faults[] = {
        {3, 11, 1}, /* above the reservation */ {3, 3, 0}, {3, 3, 6}, {3, 3, 2}, /* past the reservation */
        {1, 1, 1}, /* within another */ {5, 4, 1}, /* nobody has reserved 4 - 7 */
    };
    raw_header(&room.raw)->last_published = 0;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        unsigned char *sound = raw_copy(&room.raw);
        raw_slot(&room, faults[i].index)->data_index = faults[i].data_index;
        raw_slot(&room, faults[i].index)->size = faults[i].size;
        CHECK_CODE(shmw_slick_validate(room.queue, &finding, &slot), SHMW_CORRUPT);
        CHECK(finding != NULL);
        CHECK_U64(slot, faults[i].index == 1 ? 0 : faults[i].index);
        memcpy(room.raw.bytes, sound, room.raw.size);
        free(sound);
    }
    raw_header(&room.raw)->last_published = 1;
    CHECK_CODE(shmw_slick_validate(room.queue, &finding, &slot), SHMW_CORRUPT);
    CHECK_U64(slot, UINT32_MAX);
    raw_header(&room.raw)->last_published = 4;
    CHECK_CODE(shmw_slick_validate(room.queue, NULL, NULL), SHMW_CORRUPT);
    raw_header(&room.raw)->last_published = 3;
    raw_header(&room.raw)->element_size = 4;
    CHECK_CODE(shmw_slick_validate(room.queue, &finding, NULL), SHMW_BAD_GEOMETRY);
    leave_room(&room);
}

/* Without a name, shared with children that are forked later. */
static void write_three(void *context)
{
    struct room *room = context;
    for (uint64_t n = 0; n < 3; n++)
        put(room, n, 1);
}

static void a_queue_without_a_name(void)
{
    struct room room = {.size = 8, .element_size = 8};
    const struct shmw_slick_create_options options = {.size = 8, .element_size = 8};
    uint64_t holes = 1;
    CHECK_CODE(shmw_slick_create(NULL, &options, &room.queue), SHMW_OK);
    CHECK(strcmp(shmw_slick_shm_name(room.queue), "") == 0);
    CHECK_CODE(shmw_slick_producer_open(room.queue, NULL, &room.producer), SHMW_OK);
    shmw_slick_reader *reader = open_oldest(&room);
    const int child = start_child(write_three, &room);
    CHECK_U64(child_status(child), 0);
    for (uint64_t n = 0; n < 3; n++)
        expect(reader, &room, n, 1, 0);
    expect_none(reader, &room);
    CHECK_CODE(shmw_slick_recover(room.queue, true, &holes), SHMW_OK);
    CHECK_U64(holes, 0);
    put(&room, 3, 2);
    expect(reader, &room, 3, 2, 0);
    shmw_slick_reader_close(reader);
    shmw_slick_producer_close(room.producer);
    shmw_slick_close(room.queue);
}

RUN_TESTS(TEST(a_new_segment_byte_for_byte), TEST(defaults_and_info), TEST(an_existing_segment_is_left_alone),
          TEST(bad_arguments), TEST(names), TEST(headers_that_are_refused), TEST(segments_that_are_too_short),
          TEST(openers_wait_for_a_creator),
          TEST(a_reader_changes_nothing), TEST(a_reset_byte_for_byte), TEST(findings), TEST(a_queue_without_a_name))
