/* SPDX-License-Identifier: MIT
 *
 * Many threads over one mapping: for ThreadSanitizer, which sees nothing between processes, and for the counts. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

#define PRODUCERS 2
#define CONSUMERS 2
#define MESSAGES 20000 /* of each producer */
#define BATCH 4

struct body {
    uint32_t producer;
    uint32_t number;
    uint64_t fill[6]; /* all equal to producer << 32 | number: a torn payload shows */
};

struct stage {
    struct room room;
    bool batches;
    bool sleeps;
    _Atomic(unsigned) received;
    _Atomic(unsigned) seen[PRODUCERS][MESSAGES];
    _Atomic(bool) over;
};

struct actor {
    struct stage *stage;
    uint32_t number;
};

static struct body make_body(uint32_t producer, uint32_t number)
{
    struct body body = {.producer = producer, .number = number};
    for (size_t i = 0; i < 6; i++)
        body.fill[i] = (uint64_t)producer << 32 | number;
    return body;
}

static void check_body(const struct body *body)
{
    CHECK(body->producer < PRODUCERS && body->number < MESSAGES);
    const struct body want = make_body(body->producer, body->number);
    CHECK_BYTES(body, &want, sizeof(want));
}

static void send_batch(struct stage *stage, uint32_t producer, uint32_t first)
{
    struct body bodies[BATCH];
    struct shmw_dmxp_item items[BATCH];
    for (uint32_t i = 0; i < BATCH; i++) {
        bodies[i] = make_body(producer, first + i);
        items[i] = (struct shmw_dmxp_item){&bodies[i], sizeof(bodies[i]), NULL};
    }
    int rc;
    while ((rc = shmw_dmxp_try_send_batch(stage->room.channel, items, BATCH, NULL)) == SHMW_FULL)
        sched_yield();
    CHECK_CODE(rc, SHMW_OK);
}

static void *produce(void *context)
{
    const struct actor *self = context;
    const uint32_t step = self->stage->batches ? BATCH : 1;
    for (uint32_t i = 0; i < MESSAGES; i += step) {
        struct shmw_dmxp_claim claim;
        const struct body body = make_body(self->number, i);
        if (self->stage->batches)
            send_batch(self->stage, self->number, i);
        else
            CHECK_CODE(shmw_dmxp_send(self->stage->room.channel, &body, sizeof(body), NULL, SHMW_FOREVER, NULL), SHMW_OK);
        if (i % 512 == 0 && shmw_dmxp_claim(self->stage->room.channel, &claim) == SHMW_OK)
            CHECK_CODE(shmw_dmxp_abandon(self->stage->room.channel, &claim), SHMW_OK);
    }
    return NULL;
}

/* One message is seen once, and those of one producer by one consumer in order [dmxp.consume.order]. */
static void note(struct stage *stage, const struct body *body, int64_t last[PRODUCERS])
{
    check_body(body);
    CHECK(last[body->producer] < (int64_t)body->number);
    last[body->producer] = body->number;
    CHECK_U64(atomic_fetch_add(&stage->seen[body->producer][body->number], 1), 0);
    atomic_fetch_add(&stage->received, 1);
}

static void *consume(void *context)
{
    const struct actor *self = context;
    struct stage *stage = self->stage;
    shmw_dmxp_channel *channel = stage->room.channel;
    int64_t last[PRODUCERS] = {-1, -1};
    struct body bodies[BATCH];
    struct shmw_dmxp_message messages[BATCH];
    while (atomic_load(&stage->received) < PRODUCERS * MESSAGES) {
        size_t count = 1;
        int rc;
        if (stage->batches)
            rc = shmw_dmxp_try_receive_batch(channel, bodies, sizeof(bodies), messages, BATCH, &count);
        else if (stage->sleeps)
            rc = shmw_dmxp_receive(channel, bodies, sizeof(bodies[0]), 1000000, 0, &messages[0]);
        else
            rc = shmw_dmxp_try_receive(channel, bodies, sizeof(bodies[0]), &messages[0]);
        if (rc == SHMW_EMPTY)
            sched_yield();
        CHECK(rc == SHMW_OK || rc == SHMW_EMPTY || rc == SHMW_TIMEOUT);
        for (size_t i = 0; rc == SHMW_OK && i < count; i++)
            note(stage, &bodies[i], last);
    }
    return NULL;
}

/* Looks while all others work: what it gets is whole, and in ascending positions [dmxp.peek.whole]. */
static void *look(void *context)
{
    const struct actor *self = context;
    struct stage *stage = self->stage;
    struct body body;
    struct shmw_dmxp_message message;
    while (!atomic_load(&stage->over)) {
        uint64_t position = 0;
        uint64_t after = 0;
        int rc;
        while ((rc = shmw_dmxp_peek(stage->room.channel, &position, &body, sizeof(body), &message)) == SHMW_OK) {
            CHECK(message.position >= after);
            after = message.position + 1;
            CHECK_U64(message.length, sizeof(body));
            check_body(&body);
        }
        CHECK_CODE(rc, SHMW_EMPTY);
        CHECK_CODE(shmw_dmxp_validate(stage->room.segment, NULL, NULL), SHMW_OK);
        sched_yield();
    }
    return NULL;
}

static void run_stage(struct room_options options, bool batches, bool sleeps)
{
    struct stage *stage = calloc(1, sizeof(*stage));
    CHECK(stage != NULL);
    stage->room = make_room(options);
    stage->batches = batches;
    stage->sleeps = sleeps;
    pthread_t threads[PRODUCERS + CONSUMERS + 1];
    struct actor actors[PRODUCERS + CONSUMERS + 1];
    for (uint32_t i = 0; i < PRODUCERS + CONSUMERS + 1; i++) {
        actors[i] = (struct actor){stage, i < PRODUCERS ? i : i - PRODUCERS};
        void *(*const role)(void *) = i < PRODUCERS ? produce : i < PRODUCERS + CONSUMERS ? consume : look;
        CHECK(pthread_create(&threads[i], NULL, role, &actors[i]) == 0);
    }
    for (uint32_t i = 0; i < PRODUCERS + CONSUMERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    atomic_store(&stage->over, true);
    CHECK(pthread_join(threads[PRODUCERS + CONSUMERS], NULL) == 0);
    for (uint32_t p = 0; p < PRODUCERS; p++) {
        for (uint32_t i = 0; i < MESSAGES; i++)
            CHECK_U64(stage->seen[p][i], 1);
    }
    leave_room(&stage->room);
    free(stage);
}

static void a_tiny_ring_one_by_one(void)
{
    run_stage((struct room_options){.capacity = 2}, false, false);
}

static void a_small_ring_in_batches(void)
{
    run_stage((struct room_options){.capacity = 16}, true, false);
}

static void sleepers_that_are_counted(void)
{
    run_stage((struct room_options){.capacity = 4, .counted_waiters = true}, false, true);
}

static void sleepers_that_are_not(void)
{
    run_stage((struct room_options){.capacity = 4}, false, true);
}

static void *make_and_remove(void *context)
{
    const struct actor *self = context;
    const struct shmw_dmxp_channel_options two = {.capacity = 2};
    for (int i = 0; i < 20; i++) {
        int rc = shmw_dmxp_channel_create(self->stage->room.segment, 7, &two);
        CHECK(rc == SHMW_OK || rc == SHMW_EXISTS || rc == SHMW_TOO_LARGE);
        rc = shmw_dmxp_channel_remove(self->stage->room.segment, 7);
        CHECK(rc == SHMW_OK || rc == SHMW_NOT_FOUND);
        shmw_dmxp_channel *channel;
        rc = shmw_dmxp_attach(self->stage->room.segment, 7, &channel);
        if (rc == SHMW_OK)
            shmw_dmxp_detach(channel);
        else
            CHECK(rc == SHMW_NOT_FOUND || rc == SHMW_BAD_GEOMETRY || rc == SHMW_CORRUPT);
    }
    return NULL;
}

/* The segment lock holds between threads of one handle as well: no two bands in one place, a true count. */
static void one_handle_makes_channels_in_two_threads(void)
{
    struct stage *stage = calloc(1, sizeof(*stage));
    CHECK(stage != NULL);
    stage->room = make_room((struct room_options){.capacity = 64});
    CHECK_CODE(shmw_dmxp_channel_remove(stage->room.segment, 0), SHMW_OK);
    raw_channel(&stage->room.raw, 0)->retired_capacity = 0; /* room for 32 bands of two */
    pthread_t threads[2];
    struct actor actor = {stage, 0};
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, make_and_remove, &actor) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK_U64(raw_header(&stage->room.raw)->channel_count, raw_channel(&stage->room.raw, 7)->capacity != 0);
    CHECK_CODE(shmw_dmxp_validate(stage->room.segment, NULL, NULL), SHMW_OK);
    leave_room(&stage->room);
    free(stage);
}

RUN_TESTS(TEST(a_tiny_ring_one_by_one), TEST(a_small_ring_in_batches), TEST(sleepers_that_are_counted),
          TEST(sleepers_that_are_not), TEST(one_handle_makes_channels_in_two_threads))
