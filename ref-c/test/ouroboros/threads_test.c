/* SPDX-License-Identifier: MIT
 *
 * A writer thread and reader threads, over one mapping for ThreadSanitizer, which sees nothing between two, and over one
 * mapping each, as users have them. Nothing torn, nothing twice, nothing unaccounted for. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ouroboros/internal.h"
#include "support.h"

#define READERS 3
#define LONGEST 200

enum how { ONE_BY_ONE, IN_BATCHES, BY_VIEW };

struct stage {
    struct room room;
    uint64_t entries;
    size_t longest; /* payload */
};

struct actor {
    struct stage *stage;
    shmw_ouroboros_reader *reader;
    enum how how;
    uint64_t last;
    uint64_t taken;
    uint64_t skipped;
};

/* Of the longest lengths, some are longer than a chunk. */
static size_t length_of(const struct stage *stage, uint64_t sequence)
{
    return (size_t)(8 + sequence * 2654435761 % (stage->longest - 7));
}

static void *write_all(void *context)
{
    struct stage *stage = context;
    for (uint64_t i = 1; i <= stage->entries; i++) {
        put(&stage->room, i, length_of(stage, i));
        if (i % 64 == 0)
            sched_yield();
    }
    return NULL;
}

static void note(struct actor *self, const struct shmw_ouroboros_entry *entry, const unsigned char *payload)
{
    unsigned char want[LONGEST];
    CHECK(entry->sequence > self->last && entry->sequence <= self->stage->entries);
    CHECK_U64(entry->skipped, entry->sequence - self->last - 1);
    CHECK_U64(entry->length, length_of(self->stage, entry->sequence));
    fill(want, entry->sequence, entry->length);
    CHECK_BYTES(payload, want, entry->length);
    self->last = entry->sequence;
    self->skipped += entry->skipped;
    self->taken++;
}

/* The bytes of a view change under us when the writer comes round: copied like a reader copies them, and used only if the
 * check says so. */
static int take_view(struct actor *self)
{
    unsigned char payload[LONGEST];
    struct shmw_ouroboros_entry entry;
    const int rc = shmw_ouroboros_next_view(self->reader, &entry);
    if (rc != SHMW_OK)
        return rc;
    const bool fits = entry.length <= sizeof(payload);
    if (fits)
        shmw_copy_from_shared(payload, entry.data, entry.length);
    if (shmw_ouroboros_view_check(self->reader, &entry) == SHMW_OK) {
        CHECK(fits);
        note(self, &entry, payload);
    } else { /* passed, and lost */
        CHECK_U64(entry.skipped, entry.sequence - self->last - 1);
        self->skipped += entry.skipped + 1;
        self->last = entry.sequence;
    }
    return SHMW_OK;
}

static int take_some(struct actor *self)
{
    unsigned char payload[4 * LONGEST];
    struct shmw_ouroboros_entry entries[4];
    size_t count = 1;
    if (self->how == BY_VIEW)
        return take_view(self);
    const int rc = self->how == IN_BATCHES ? shmw_ouroboros_next_batch(self->reader, payload, sizeof(payload), entries, 4, &count)
                                           : shmw_ouroboros_next(self->reader, payload, sizeof(payload), &entries[0]);
    for (size_t i = 0; rc == SHMW_OK && i < count; i++)
        note(self, &entries[i], payload + entries[i].offset);
    return rc;
}

/* To the last entry, which everybody gets [ouroboros.read.last]. */
static void *read_all(void *context)
{
    struct actor *self = context;
    while (self->last < self->stage->entries) {
        const int rc = take_some(self);
        if (rc == SHMW_EMPTY)
            sched_yield();
        else
            CHECK_CODE(rc, SHMW_OK);
    }
    CHECK_U64(self->taken + self->skipped, self->stage->entries);
    return NULL;
}

static void *validate_all(void *context)
{
    struct actor *self = context;
    struct shmw_ouroboros_reader_info info;
    do {
        const char *finding = "";
        if (shmw_ouroboros_validate(self->reader, &finding, NULL) != SHMW_OK)
            fprintf(stderr, "finding: %s\n", finding);
        CHECK(finding == NULL);
        CHECK_CODE(shmw_ouroboros_seek(self->reader, SHMW_OUROBOROS_LATEST), SHMW_OK);
        unsigned char payload[LONGEST];
        while (shmw_ouroboros_next(self->reader, payload, sizeof(payload), NULL) == SHMW_OK) {
        }
        CHECK_CODE(shmw_ouroboros_reader_info(self->reader, &info), SHMW_OK);
        sched_yield();
    } while (info.next_sequence <= self->stage->entries);
    return NULL;
}

/* A reader over the writer's own mapping. */
static shmw_ouroboros_reader *share_mapping(const struct room *room)
{
    shmw_ouroboros_reader *reader = calloc(1, sizeof(*reader));
    CHECK(reader != NULL);
    reader->segment = room->writer->segment;
    CHECK_CODE(shmw_ouroboros_place(reader), SHMW_OK);
    return reader;
}

static void run_stage(uint32_t chunk_count, uint64_t target, size_t longest, uint64_t entries, bool one_mapping)
{
    struct stage stage = {.room = make_room(chunk_count, target, 0), .longest = longest, .entries = entries};
    struct actor actors[READERS + 1] = {{0}};
    pthread_t threads[READERS + 2];
    for (unsigned i = 0; i <= READERS; i++) {
        actors[i] = (struct actor){.stage = &stage, .how = (enum how)i};
        actors[i].reader = one_mapping ? share_mapping(&stage.room) : open_reader(&stage.room, SHMW_OUROBOROS_AUTO);
        CHECK(pthread_create(&threads[i], NULL, i < READERS ? read_all : validate_all, &actors[i]) == 0);
    }
    CHECK(pthread_create(&threads[READERS + 1], NULL, write_all, &stage) == 0);
    for (unsigned i = 0; i < READERS + 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    for (unsigned i = 0; i <= READERS; i++) {
        if (i < READERS)
            printf("  read %llu, skipped %llu\n", (unsigned long long)actors[i].taken, (unsigned long long)actors[i].skipped);
        if (one_mapping)
            free(actors[i].reader);
        else
            shmw_ouroboros_close_reader(actors[i].reader);
    }
    leave_room(&stage.room);
}

static void one_chunk_over_one_mapping(void)
{
    run_stage(1, 400, 60, 20000, true);
}

static void three_tiny_chunks_over_one_mapping(void)
{
    run_stage(3, 64, 100, 20000, true);
}

static void four_tiny_chunks_over_two_mappings(void)
{
    run_stage(4, 64, LONGEST, 40000, false);
}

static void many_chunks_over_one_mapping(void)
{
    run_stage(16, 1024, LONGEST, 40000, true);
}

static void many_chunks_over_two_mappings(void)
{
    run_stage(16, 1024, LONGEST, 60000, false);
}

RUN_TESTS(TEST(one_chunk_over_one_mapping), TEST(three_tiny_chunks_over_one_mapping), TEST(four_tiny_chunks_over_two_mappings),
          TEST(many_chunks_over_one_mapping), TEST(many_chunks_over_two_mappings))
