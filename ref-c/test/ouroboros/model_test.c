/* SPDX-License-Identifier: MIT
 *
 * The library against the model: every byte after every write, over random geometries and lengths; readers of every kind
 * beside it; and the model killed after every single store, with a writer of the library that takes over. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "support.h"

#define SEED UINT64_C(0x0b0e0d0a0c0f0807)
#define GEOMETRIES 60
#define WRITES 150
#define LARGEST 2048
#define READERS 5

static uint64_t state;

/* One chunk; 3 x 64; 4 x 64; then any; with and without bytes beyond the formula. */
static struct model draw_model(int number)
{
    static const uint32_t counts[] = {1, 3, 4, 6};
    const uint32_t count = number < 8 ? counts[number % 4] : (uint32_t)(1 + draw(&state, 9));
    const uint64_t target = number < 8 ? 64 : 1 + draw(&state, 200);
    size_t size = (size_t)(16 + 16 * (uint64_t)count + count * target);
    if (number >= 8 && draw(&state, 2) == 0)
        size += (size_t)draw(&state, 40);
    if (size < 16 + 16 * (size_t)count + 24)
        size += 24;
    return model_new(count, target, size);
}

/* Mostly short, some to the last byte of the segment. */
static size_t draw_length(const struct model *model)
{
    const uint64_t most = model->size - model_data_offset(model) - 4;
    const uint64_t likely = most < 40 ? most : 40;
    return (size_t)(1 + (draw(&state, 6) == 0 ? draw(&state, most) : draw(&state, likely)));
}

/* Readers ---------------------------------------------------------------------------------------------------------- */

struct follower {
    shmw_ouroboros_reader *reader;
    uint64_t last;    /* sequence delivered last */
    uint64_t skipped; /* by its own count */
    uint64_t taken;
    unsigned laziness; /* reads after every so many writes */
};

/* Take all there is: sequences ascend, and the skipped ones are exactly those between. */
static void follow(struct follower *follower)
{
    unsigned char payload[LARGEST];
    unsigned char want[LARGEST];
    struct shmw_ouroboros_entry entry;
    int rc;
    while ((rc = shmw_ouroboros_next(follower->reader, payload, sizeof(payload), &entry)) == SHMW_OK) {
        CHECK(entry.sequence > follower->last);
        CHECK_U64(entry.skipped, entry.sequence - follower->last - 1);
        fill(want, entry.sequence, entry.length);
        CHECK_BYTES(payload, want, entry.length);
        follower->skipped += entry.skipped;
        follower->last = entry.sequence;
        follower->taken++;
    }
    CHECK_CODE(rc, SHMW_EMPTY);
}

static void check_follower(const struct follower *follower, uint64_t written)
{
    struct shmw_ouroboros_reader_info info;
    CHECK_CODE(shmw_ouroboros_reader_info(follower->reader, &info), SHMW_OK);
    CHECK_U64(follower->last, written);
    CHECK_U64(follower->taken + follower->skipped, written);
    CHECK_U64(info.total_entries_read, follower->taken);
    CHECK_U64(info.total_skipped, follower->skipped);
    CHECK_U64(info.next_sequence, written + 1);
}

static struct follower new_follower(const struct room *room, enum shmw_ouroboros_start start)
{
    struct follower follower = {.reader = open_reader(room, start)};
    struct shmw_ouroboros_reader_info info;
    CHECK_CODE(shmw_ouroboros_reader_info(follower.reader, &info), SHMW_OK);
    CHECK(info.next_sequence != 0);
    follower.last = info.next_sequence - 1;
    return follower;
}

/* A reader that comes now finds what a walk from its row finds: whole entries without a gap, up to the newest when it starts
 * at the newest row. */
static void check_newcomer(const struct room *room, enum shmw_ouroboros_start start, uint64_t written)
{
    struct follower late = new_follower(room, start);
    follow(&late);
    CHECK_U64(late.last, written);
    CHECK_CODE(shmw_ouroboros_validate(late.reader, NULL, NULL), SHMW_OK);
    shmw_ouroboros_close_reader(late.reader);
}

/* Byte by byte ----------------------------------------------------------------------------------------------------- */

static void write_both(const struct room *room, struct model *model)
{
    unsigned char payload[LARGEST];
    const size_t length = draw_length(model);
    fill(payload, model->entries + 1, length);
    model_write(model, payload, length);
    put(room, model->entries, length);
    CHECK_BYTES(room->raw.bytes, model->bytes, model->size);
}

static void run_geometry(int number)
{
    struct model model = draw_model(number);
    struct room room = make_room(model.chunk_count, model.target, model.size);
    CHECK_BYTES(room.raw.bytes, model.bytes, model.size);
    struct follower followers[READERS] = {{0}};
    for (unsigned i = 0; i < READERS; i++)
        followers[i] = (struct follower){.reader = open_reader(&room, (enum shmw_ouroboros_start)(i % 3)),
                                         .laziness = 1 + i * i * i};
    for (unsigned n = 1; n <= WRITES; n++) {
        write_both(&room, &model);
        for (unsigned i = 0; i < READERS; i++) {
            if (n % followers[i].laziness == 0)
                follow(&followers[i]);
        }
        check_newcomer(&room, (enum shmw_ouroboros_start)(n % 3), n);
        if (n % 40 == 0)
            take_over(&room, model.target); /* at rest: nothing changes */
    }
    for (unsigned i = 0; i < READERS; i++) {
        follow(&followers[i]);
        check_follower(&followers[i], WRITES);
        CHECK(i != 0 || followers[i].skipped == 0);
        shmw_ouroboros_close_reader(followers[i].reader);
    }
    leave_room(&room);
    shmw_unlink(room.name);
    model_free(&model);
}

static void every_byte_and_every_reader(void)
{
    state = SEED;
    printf("seed 0x%" PRIx64 ", %d geometries\n", state, GEOMETRIES);
    for (int number = 0; number < GEOMETRIES; number++)
        run_geometry(number);
}

/* Killed ----------------------------------------------------------------------------------------------------------- */

struct stage {
    struct room room;
    struct model model;
    struct follower caught_up; /* has read all that could be read before the killed write, and looks again after its death */
};

static void copy_to_room(struct stage *stage)
{
    memcpy(stage->room.raw.bytes, stage->model.bytes, stage->model.size);
}

/* All that newcomers can read: bit i of the mask for sequence newest - i. */
static uint64_t readable(const struct room *room, uint64_t newest)
{
    unsigned char payload[LARGEST];
    struct shmw_ouroboros_entry entry;
    shmw_ouroboros_reader *reader = open_reader(room, SHMW_OUROBOROS_OLDEST);
    uint64_t mask = 0;
    while (shmw_ouroboros_next(reader, payload, sizeof(payload), &entry) == SHMW_OK) {
        CHECK(entry.sequence <= newest);
        if (newest - entry.sequence < 64)
            mask |= UINT64_C(1) << (newest - entry.sequence);
    }
    shmw_ouroboros_close_reader(reader);
    return mask;
}

/* The writer is dead after `stores` stores of its last write. Whoever takes over changes nothing that can be read, gives no
 * sequence twice, counts no entry that was not there but in the one case that the specification names, and its next entry
 * reaches everybody. */
static bool check_death(struct stage *stage, uint64_t before, uint64_t generous)
{
    const uint64_t newest = before + 1;
    struct shmw_ouroboros_writer_info info;
    follow(&stage->caught_up);
    const uint64_t seen = readable(&stage->room, newest);
    const struct shmw_ouroboros_resume_options options = {.chunk_target_size = stage->model.target};
    CHECK_CODE(shmw_ouroboros_resume(stage->room.name, &options, &stage->room.writer), SHMW_OK);
    CHECK_CODE(shmw_ouroboros_writer_info(stage->room.writer, &info), SHMW_OK);
    CHECK((readable(&stage->room, newest) & seen) == seen);
    CHECK(info.entries_written >= before && info.entries_written >= stage->caught_up.last);
    const bool exact = info.entries_written <= newest;
    CHECK(exact || generous != 0);
    CHECK(info.entries_written <= newest + generous);
    for (uint64_t n = 1; n <= 6; n++) {
        put(&stage->room, info.entries_written + n, draw_length(&stage->model) % 24 + 1);
        check_newcomer(&stage->room, (enum shmw_ouroboros_start)(n % 3), info.entries_written + n);
    }
    follow(&stage->caught_up);
    CHECK_U64(stage->caught_up.last, info.entries_written + 6);
    CHECK_CODE(shmw_ouroboros_validate(stage->caught_up.reader, NULL, NULL), SHMW_OK);
    shmw_ouroboros_close_writer(stage->room.writer);
    stage->room.writer = NULL;
    return exact;
}

/* Write with a copy of the model that dies after so many stores. false: it came to the end. */
static bool write_and_die(const struct stage *stage, unsigned stores, const unsigned char *payload, size_t length)
{
    struct model doomed = stage->model;
    doomed.bytes = malloc(doomed.size);
    CHECK(doomed.bytes != NULL);
    memcpy(doomed.bytes, stage->model.bytes, doomed.size);
    doomed.stores = 0;
    doomed.last_store = stores;
    model_write(&doomed, payload, length);
    memcpy(stage->room.raw.bytes, doomed.bytes, doomed.size);
    free(doomed.bytes);
    return doomed.stores == stores;
}

/* Die at each store of one write. Returns how often the count was too generous. */
static unsigned die_everywhere(struct stage *stage, const unsigned char *payload, size_t length)
{
    unsigned generous = 0;
    const bool wraps = stage->model.cursor + 4 + length > stage->model.size;
    for (unsigned stores = 0;; stores++) {
        copy_to_room(stage);
        stage->caught_up = new_follower(&stage->room, SHMW_OUROBOROS_OLDEST);
        follow(&stage->caught_up);
        const bool died = write_and_die(stage, stores, payload, length);
        generous += !check_death(stage, stage->model.entries, wraps ? stage->model.entries : 0);
        shmw_ouroboros_close_reader(stage->caught_up.reader);
        if (!died)
            return generous;
    }
}

static void a_writer_dies_after_every_store(void)
{
    state = SEED + 1;
    unsigned generous = 0;
    printf("seed 0x%" PRIx64 "\n", state);
    for (int number = 0; number < 24; number++) {
        struct stage stage = {.model = draw_model(number)};
        stage.room = make_room(stage.model.chunk_count, stage.model.target, stage.model.size);
        shmw_ouroboros_close_writer(stage.room.writer);
        for (int n = 0; n < 40; n++) {
            unsigned char payload[LARGEST];
            const size_t length = draw_length(&stage.model);
            fill(payload, stage.model.entries + 1, length);
            generous += die_everywhere(&stage, payload, length);
            model_write(&stage.model, payload, length);
        }
        raw_close(&stage.room.raw);
        shmw_unlink(stage.room.name);
        model_free(&stage.model);
    }
    printf("sequences left out after %u deaths\n", generous);
    CHECK(generous > 0); /* the one case was among them */
}

RUN_TESTS(TEST(every_byte_and_every_reader), TEST(a_writer_dies_after_every_store))
