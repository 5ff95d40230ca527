/* SPDX-License-Identifier: MIT
 *
 * Producer threads and reader threads over one mapping, for ThreadSanitizer, which sees nothing between two. Nothing torn,
 * nothing twice, nothing unaccounted for. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "atomic.h"
#include "support.h"

#define ELEMENT 24
#define MOST_PRODUCERS 4
#define MOST_READERS 4
#define MOST_ELEMENTS 5
#define BATCH 3
#define LONGEST (MOST_ELEMENTS * ELEMENT)

enum how { ONE_BY_ONE, IN_BATCHES, BY_VIEW, SPLIT };

struct stage {
    struct room room;
    shmw_slick_cursor *shared; /* NULL: each reader has its own cursor */
    uint32_t longest;          /* elements */
    uint32_t items;            /* of each producer */
    unsigned producers;
    unsigned readers;
    _Atomic(uint32_t) over;
};

struct actor {
    struct stage *stage;
    uint32_t number;
    enum how how;
    shmw_slick_reader *reader;
    uint64_t end; /* behind the last item */
    uint64_t taken;
    uint64_t elements;
    uint64_t lost;
    uint64_t passed;
    uint64_t lapped;
    uint32_t last[MOST_PRODUCERS]; /* its number, from 1 */
    unsigned char *seen;           /* shared: by index */
};

/* Payloads: number of the producer, of the item, its elements, and bytes that tell all of them ------------------------ */

static uint32_t elements_of(const struct stage *stage, uint32_t producer, uint32_t item)
{
    return 1 + (item / BATCH * 7 + producer) % stage->longest; /* the items of a batch are of one length */
}

static void make_payload(unsigned char *payload, uint32_t producer, uint32_t item, uint32_t elements)
{
    memcpy(payload, &producer, 4);
    memcpy(payload + 4, &item, 4);
    memcpy(payload + 8, &elements, 4);
    for (uint32_t i = 12; i < elements * ELEMENT; i++)
        payload[i] = (unsigned char)(producer * 101 + item * 7 + i * 13 + elements);
}

static void check_payload(struct actor *self, const unsigned char *payload, const struct shmw_slick_item *item)
{
    unsigned char want[LONGEST];
    uint32_t producer;
    uint32_t number;
    memcpy(&producer, payload, 4);
    memcpy(&number, payload + 4, 4);
    CHECK(producer < self->stage->producers && number >= 1 && number <= self->stage->items);
    CHECK_U64(item->elements, elements_of(self->stage, producer, number));
    CHECK_U64(item->length, item->elements * ELEMENT);
    make_payload(want, producer, number, item->elements);
    CHECK_BYTES(payload, want, item->length);
    CHECK(number > self->last[producer]); /* in its producer's order */
    self->last[producer] = number;
}

/* Producers ---------------------------------------------------------------------------------------------------------- */

static void write_split(shmw_slick_producer *producer, const unsigned char *payload, uint32_t elements)
{
    struct shmw_slick_claim claim;
    CHECK_CODE(shmw_slick_reserve(producer, elements, &claim), SHMW_OK);
    shmw_copy_to_shared_any(claim.data, payload, claim.capacity);
    if (claim.index % 3 == 0)
        sched_yield(); /* the others go on meanwhile, and come round */
    CHECK_CODE(shmw_slick_publish(producer, &claim), SHMW_OK);
}

static void *write_all(void *context)
{
    struct actor *self = context;
    unsigned char payload[BATCH * LONGEST];
    struct shmw_slick_producer_info info;
    shmw_slick_producer *producer = open_producer(&self->stage->room, UINT64_C(60000) * MS); /* nobody dies here */
    for (uint32_t item = 1; item <= self->stage->items;) {
        const uint32_t elements = elements_of(self->stage, self->number, item);
        const size_t length = (size_t)elements * ELEMENT;
        uint32_t count = 0;
        do
            make_payload(payload + count++ * length, self->number, item, elements);
        while (++item % BATCH != 0 && self->how == IN_BATCHES && item <= self->stage->items);
        if (self->how == IN_BATCHES)
            CHECK_CODE(shmw_slick_write_batch(producer, payload, length, count, NULL, NULL), SHMW_OK);
        else if (self->how == SPLIT)
            write_split(producer, payload, elements);
        else
            CHECK_CODE(shmw_slick_write(producer, payload, length, NULL), SHMW_OK);
        if (item % 64 == 0)
            sched_yield();
    }
    CHECK_CODE(shmw_slick_producer_info(producer, &info), SHMW_OK);
    CHECK_U64(info.items_written, self->stage->items);
    CHECK_U64(info.given_up, 0);
    shmw_slick_producer_close(producer);
    return NULL;
}

/* Readers ------------------------------------------------------------------------------------------------------------ */

/* Between two items of a private cursor lie what is reported as lost, and the padding of the ring's ends that were passed. */
static void account(struct actor *self, const struct shmw_slick_item *item)
{
    const uint64_t size = self->stage->room.size;
    CHECK(item->index >= self->end + item->lost);
    const uint64_t passed = item->index - self->end - item->lost;
    const uint64_t ends = item->index / size - self->end / size;
    CHECK(passed <= ends * (self->stage->longest - 1));
    self->passed += passed;
    self->end = item->index + item->elements;
}

static void note(struct actor *self, const struct shmw_slick_item *item, const unsigned char *payload)
{
    check_payload(self, payload, item);
    if (self->stage->shared == NULL)
        account(self, item);
    else
        CHECK_U64(self->seen[item->index]++, 0);
    self->taken++;
    self->elements += item->elements;
    self->lost += item->lost;
}

/* The bytes of a view change under us when a producer comes round: copied like a reader copies them, and used only if the check
 * says so. */
static int take_view(struct actor *self)
{
    unsigned char payload[LONGEST];
    struct shmw_slick_item item;
    const int rc = shmw_slick_next_view(self->reader, &item);
    if (rc != SHMW_OK)
        return rc;
    CHECK(item.length <= sizeof(payload));
    shmw_copy_from_shared_any(payload, item.data, item.length);
    if (item.index % 5 == 0)
        sched_yield();
    if (shmw_slick_view_check(self->reader, &item) == SHMW_OK) {
        note(self, &item, payload);
        return SHMW_OK;
    }
    account(self, &item); /* lost as well */
    self->lost += item.lost + item.elements;
    return SHMW_OK;
}

static int take_some(struct actor *self)
{
    unsigned char payload[BATCH * LONGEST];
    struct shmw_slick_item items[BATCH];
    size_t count = 1;
    if (self->how == BY_VIEW)
        return take_view(self);
    const int rc = self->how == IN_BATCHES
                       ? shmw_slick_next_batch(self->reader, payload, sizeof(payload), items, BATCH, &count)
                       : shmw_slick_next(self->reader, payload, sizeof(payload), &items[0]);
    for (size_t i = 0; rc == SHMW_OK && i < count; i++)
        note(self, &items[i], payload + (self->how == IN_BATCHES ? items[i].offset : 0));
    return rc;
}

static void *read_all(void *context)
{
    struct actor *self = context;
    for (;;) {
        const bool over = shmw_load_acquire(&self->stage->over) != 0;
        const int rc = take_some(self);
        if (rc == SHMW_EMPTY && over)
            return NULL;
        if (rc == SHMW_EMPTY)
            sched_yield();
        else if (rc == SHMW_LAPPED)
            self->lapped++;
        else
            CHECK_CODE(rc, SHMW_OK);
    }
}

static void *watch(void *context)
{
    struct actor *self = context;
    unsigned char payload[LONGEST];
    struct shmw_slick_item item;
    while (shmw_load_acquire(&self->stage->over) == 0) {
        const char *finding = NULL;
        if (shmw_slick_validate(self->stage->room.queue, &finding, NULL) != SHMW_OK)
            fprintf(stderr, "finding: %s\n", finding);
        CHECK(finding == NULL);
        const int rc = shmw_slick_last(self->reader, payload, sizeof(payload), &item);
        CHECK(rc == SHMW_OK || rc == SHMW_EMPTY || rc == SHMW_LAPPED);
        memset(self->last, 0, sizeof(self->last));
        if (rc == SHMW_OK)
            check_payload(self, payload, &item);
        sched_yield();
    }
    return NULL;
}

/* Stages ------------------------------------------------------------------------------------------------------------- */

static void check_reader(const struct actor *self, uint64_t reserved)
{
    printf("    taken %llu, lost %llu, passed %llu, lapped %llu\n", (unsigned long long)self->taken,
           (unsigned long long)self->lost, (unsigned long long)self->passed, (unsigned long long)self->lapped);
    if (self->stage->shared != NULL)
        return;
    CHECK_U64(self->end, reserved); /* everybody comes to the last item */
    CHECK_U64(self->elements + self->lost + self->passed, reserved);
}

/* [slick.share.once] [slick.share.lost]: all items once, and what is lost is all the rest. */
static void check_shared(const struct stage *stage, const struct actor *actors, uint64_t reserved)
{
    uint64_t elements = 0;
    uint64_t lost = 0;
    for (unsigned i = 0; i < stage->readers; i++) {
        elements += actors[i].elements;
        lost += actors[i].lost;
    }
    uint64_t written = 0;
    for (uint32_t p = 0; p < stage->producers; p++)
        for (uint32_t item = 1; item <= stage->items; item++)
            written += elements_of(stage, p, item);
    CHECK(elements + lost <= reserved); /* the rest is padding */
    CHECK(elements + lost >= written);
}

static void start_readers(struct stage *stage, struct actor *actors, pthread_t *threads, unsigned char *seen)
{
    const struct shmw_slick_reader_options options = {.shared = stage->shared};
    for (unsigned i = 0; i <= stage->readers; i++) {
        actors[i] = (struct actor){.stage = stage, .how = stage->shared != NULL ? i % 2 : i % 3, .seen = seen};
        CHECK_CODE(shmw_slick_reader_open(stage->room.queue, i < stage->readers ? &options : NULL, &actors[i].reader), SHMW_OK);
        CHECK(pthread_create(&threads[i], NULL, i < stage->readers ? read_all : watch, &actors[i]) == 0);
    }
}

static void run_stage(uint32_t size, unsigned producers, unsigned readers, uint32_t longest, uint32_t items, bool share)
{
    struct stage stage = {.room = make_room_of(size == 4 ? SHMW_SLICK_1_2 : SHMW_SLICK_1_4, size, ELEMENT), .longest = longest,
                          .items = items, .producers = producers, .readers = readers};
    struct actor actors[MOST_READERS + 1];
    struct actor writers[MOST_PRODUCERS];
    pthread_t threads[MOST_READERS + 1];
    pthread_t writing[MOST_PRODUCERS];
    unsigned char *seen = calloc((size_t)producers * items * longest * 2 + size, 1); /* more than the indices there are */
    CHECK(seen != NULL);
    printf("  ring of %u, %u producers, %u readers%s\n", size, producers, readers, share ? " that share a cursor" : "");
    if (share)
        CHECK_CODE(shmw_slick_cursor_create(NULL, stage.room.queue, SHMW_SLICK_OLDEST, 0, &stage.shared), SHMW_OK);
    start_readers(&stage, actors, threads, seen);
    static const enum how ways[] = {SPLIT, IN_BATCHES, ONE_BY_ONE};
    for (unsigned i = 0; i < producers; i++) {
        writers[i] = (struct actor){.stage = &stage, .number = i, .how = ways[i % 3]};
        CHECK(pthread_create(&writing[i], NULL, write_all, &writers[i]) == 0);
    }
    for (unsigned i = 0; i < producers; i++)
        CHECK(pthread_join(writing[i], NULL) == 0);
    shmw_store_release(&stage.over, 1);
    struct shmw_slick_queue_info info;
    CHECK_CODE(shmw_slick_info(stage.room.queue, &info), SHMW_OK);
    for (unsigned i = 0; i <= readers; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        if (i < readers)
            check_reader(&actors[i], info.next_index);
        shmw_slick_reader_close(actors[i].reader);
    }
    if (share)
        check_shared(&stage, actors, info.next_index);
    shmw_slick_cursor_close(stage.shared);
    free(seen);
    leave_room(&stage.room);
}

#if defined(__SANITIZE_THREAD__)
#define SCALE 1
#else
#define SCALE 5
#endif

static void rings_of_2(void)
{
    run_stage(2, 1, 3, 2, 2000 * SCALE, false);
    run_stage(2, 3, 3, 2, 500 * SCALE, false);
}

static void rings_of_4(void)
{
    run_stage(4, 1, 3, 4, 2000 * SCALE, false);
    run_stage(4, 4, 3, 4, 500 * SCALE, false);
}

static void rings_of_1024(void)
{
    run_stage(1024, 1, 1, 5, 6000 * SCALE, false);
    run_stage(1024, 1, 4, 5, 6000 * SCALE, false);
    run_stage(1024, 4, 4, 5, 2000 * SCALE, false);
}

static void work_stealing(void)
{
    run_stage(4, 2, 4, 4, 500 * SCALE, true);
    run_stage(1024, 1, 4, 5, 6000 * SCALE, true);
    run_stage(1024, 4, 4, 5, 2000 * SCALE, true);
}

RUN_TESTS(TEST(rings_of_2), TEST(rings_of_4), TEST(rings_of_1024), TEST(work_stealing))
