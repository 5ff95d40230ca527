/* SPDX-License-Identifier: MIT
 *
 * Writers and receivers as threads, each with an end of its own, for ThreadSanitizer, which sees nothing between two
 * processes. Nothing torn, nothing twice, nothing unaccounted for. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "atomic.h"
#include "support.h"

#define MOST_WRITERS 3
#define MOST_READERS 3
#define BATCH 5
#define LONGEST 600
#define LONG (60000 * MS)

struct stage {
    const char *name;
    enum shmw_shmcomm_role writer;
    enum shmw_shmcomm_role reader;
    unsigned writers;
    unsigned readers;
    uint32_t messages; /* of each writer */
    bool sole;
    _Atomic(uint32_t) *taken; /* of a pipeline: by writer and message */
};

struct actor {
    struct stage *stage;
    shmw_shmcomm *end;
    uint32_t number;
    uint64_t received;
    uint64_t lost;
};

/* Payloads: number of the writer, of the message, and bytes that tell both ------------------------------------------------ */

static size_t make_payload(unsigned char *payload, uint32_t writer, uint32_t message)
{
    const size_t length = 8 + (message * 37 + writer * 11) % (LONGEST - 8);
    memcpy(payload, &writer, 4);
    memcpy(payload + 4, &message, 4);
    for (size_t i = 8; i < length; i++)
        payload[i] = (unsigned char)(writer * 101 + message * 31 + i);
    return length;
}

static void check_payload(const unsigned char *payload, size_t length, uint32_t *writer, uint32_t *message)
{
    unsigned char wanted[LONGEST];
    CHECK(length >= 8);
    memcpy(writer, payload, 4);
    memcpy(message, payload + 4, 4);
    CHECK_U64(length, make_payload(wanted, *writer, *message));
    CHECK_BYTES(payload, wanted, length);
}

/* Writers ---------------------------------------------------------------------------------------------------------------- */

static void *write_all(void *context)
{
    const struct actor *actor = context;
    unsigned char payloads[BATCH][LONGEST];
    for (uint32_t n = 0; n < actor->stage->messages;) {
        struct shmw_shmcomm_part parts[BATCH];
        const uint32_t burst = n % 3 == 0 && n + BATCH <= actor->stage->messages ? BATCH : 1;
        for (uint32_t i = 0; i < burst; i++)
            parts[i] = (struct shmw_shmcomm_part){.data = payloads[i], .length = make_payload(payloads[i], actor->number, n + i)};
        size_t sent = 0;
        CHECK_CODE(shmw_shmcomm_send_batch(actor->end, parts, burst, NULL, LONG, &sent), SHMW_OK);
        CHECK_U64(sent, burst);
        n += burst;
    }
    return NULL;
}

/* Readers ---------------------------------------------------------------------------------------------------------------- */

static void note(struct actor *actor, const unsigned char *payload, const struct shmw_shmcomm_message *message, uint32_t *last)
{
    uint32_t writer = 0;
    uint32_t number = 0;
    check_payload(payload, message->length, &writer, &number);
    CHECK(writer < actor->stage->writers && number < actor->stage->messages);
    CHECK(last[writer] == 0 || number >= last[writer]); /* in the order of each writer */
    last[writer] = number + 1;
    actor->received++;
    actor->lost += message->lost;
    if (actor->stage->taken != NULL)
        shmw_add_relaxed(&actor->stage->taken[writer * actor->stage->messages + number], 1);
}

static void *read_all(void *context)
{
    struct actor *actor = context;
    uint32_t last[MOST_WRITERS] = {0};
    static const uint64_t spins[] = {0, 20000, SHMW_FOREVER};
    unsigned char buffer[BATCH * LONGEST];
    for (uint64_t calls = 0;; calls++) {
        struct shmw_shmcomm_message messages[BATCH];
        size_t count = 1;
        const uint64_t spin = spins[actor->number];
        messages[0].offset = 0;
        const int rc = calls % 4 == 0
                           ? shmw_shmcomm_receive_batch(actor->end, buffer, sizeof(buffer), messages, BATCH, LONG, spin, &count)
                           : shmw_shmcomm_receive(actor->end, buffer, sizeof(buffer), LONG, spin, messages);
        if (rc == SHMW_CLOSED)
            return NULL;
        if (ANSWER(rc, BIT(SHMW_OK) | BIT(SHMW_LAPPED)) == SHMW_OK)
            for (size_t i = 0; i < count; i++)
                note(actor, buffer + messages[i].offset, &messages[i], last);
    }
}

/* Scenes ----------------------------------------------------------------------------------------------------------------- */

static void play(struct stage *stage, struct actor *readers)
{
    struct actor writers[MOST_WRITERS];
    pthread_t threads[MOST_WRITERS + MOST_READERS];
    stage->name = fresh_name();
    for (uint32_t i = 0; i < stage->writers; i++)
        writers[i] = (struct actor){.stage = stage, .number = i,
                                    .end = enter_with(stage->writer, stage->name,
                                                      (struct shmw_shmcomm_options){.capacity = SMALL, .sole = stage->sole})};
    for (uint32_t i = 0; i < stage->readers; i++) {
        readers[i] = (struct actor){.stage = stage, .number = i, .end = enter(stage->reader, stage->name)};
        CHECK(pthread_create(&threads[i], NULL, read_all, &readers[i]) == 0);
    }
    for (unsigned i = 0; i < stage->writers; i++)
        CHECK(pthread_create(&threads[stage->readers + i], NULL, write_all, &writers[i]) == 0);
    for (unsigned i = 0; i < stage->writers; i++)
        CHECK(pthread_join(threads[stage->readers + i], NULL) == 0);
    for (unsigned i = 0; i < stage->writers; i++)
        shmw_shmcomm_close(writers[i].end);
    for (unsigned i = 0; i < stage->readers; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        shmw_shmcomm_close(readers[i].end);
    }
    CHECK(!has_name(stage->name));
}

/* Received and lost are all there was, for each subscriber. */
static void publishers_and_subscribers(void)
{
    for (unsigned writers = 0; writers <= MOST_WRITERS; writers++) {
        struct stage stage = {.writer = SHMW_SHMCOMM_PUBLISHER, .reader = SHMW_SHMCOMM_SUBSCRIBER,
                              .writers = writers == 0 ? 1 : writers, .readers = MOST_READERS,
                              .messages = 6000, .sole = writers == 0};
        struct actor readers[MOST_READERS];
        play(&stage, readers);
        for (unsigned i = 0; i < stage.readers; i++)
            CHECK_U64(readers[i].received + readers[i].lost, (uint64_t)stage.writers * stage.messages);
    }
}

/* Each message to one puller, once. */
static void pushers_and_pullers(void)
{
    for (unsigned writers = 0; writers <= MOST_WRITERS; writers++) {
        struct stage stage = {.writer = SHMW_SHMCOMM_PUSHER, .reader = SHMW_SHMCOMM_PULLER, .writers = writers == 0 ? 1 : writers,
                              .readers = writers == 0 ? 1 : MOST_READERS, .messages = 6000, .sole = writers == 0};
        const size_t all = (size_t)stage.writers * stage.messages;
        struct actor readers[MOST_READERS];
        stage.taken = calloc(all, sizeof(*stage.taken));
        CHECK(stage.taken != NULL);
        play(&stage, readers);
        for (size_t i = 0; i < all; i++)
            CHECK_U64(shmw_load_relaxed(&stage.taken[i]), 1);
        free((void *)stage.taken);
    }
}

static void *ask_all(void *context)
{
    const struct actor *actor = context;
    unsigned char payload[LONGEST];
    unsigned char answer[LONGEST];
    for (uint32_t n = 0; n < actor->stage->messages; n++) {
        struct shmw_shmcomm_message reply;
        const size_t length = make_payload(payload, actor->number, n);
        CHECK_CODE(shmw_shmcomm_send(actor->end, payload, length, NULL, LONG, NULL), SHMW_OK);
        CHECK_CODE(shmw_shmcomm_receive(actor->end, answer, sizeof(answer), LONG, 0, &reply), SHMW_OK);
        CHECK_U64(reply.length, length);
        CHECK_BYTES(answer, payload, length);
    }
    return NULL;
}

static void *answer_all(void *context)
{
    struct actor *actor = context;
    unsigned char buffer[LONGEST];
    for (;;) {
        struct shmw_shmcomm_message request;
        CHECK_CODE(shmw_shmcomm_receive(actor->end, buffer, sizeof(buffer), LONG, 0, &request), SHMW_OK);
        if (request.length == 0)
            return NULL;
        CHECK_CODE(shmw_shmcomm_reply(actor->end, &request, buffer, request.length, NULL, LONG), SHMW_OK);
        actor->received++;
    }
}

/* Several requesters and several repliers of one service. */
static void requesters_and_repliers(void)
{
    struct stage stage = {.name = fresh_name(), .writers = MOST_WRITERS, .messages = 1000};
    struct actor repliers[2];
    struct actor requesters[MOST_WRITERS];
    pthread_t threads[2 + MOST_WRITERS];
    for (uint32_t i = 0; i < 2; i++)
        repliers[i] = (struct actor){.stage = &stage, .number = i, .end = make(SHMW_SHMCOMM_REPLIER, stage.name)};
    for (uint32_t i = 0; i < MOST_WRITERS; i++)
        requesters[i] = (struct actor){.stage = &stage, .number = i, .end = enter(SHMW_SHMCOMM_REQUESTER, stage.name)};
    for (unsigned i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, answer_all, &repliers[i]) == 0);
    for (unsigned i = 0; i < MOST_WRITERS; i++)
        CHECK(pthread_create(&threads[2 + i], NULL, ask_all, &requesters[i]) == 0);
    for (unsigned i = 0; i < MOST_WRITERS; i++)
        CHECK(pthread_join(threads[2 + i], NULL) == 0);
    for (unsigned i = 0; i < 2; i++)
        CHECK_CODE(shmw_shmcomm_send(requesters[0].end, NULL, 0, NULL, LONG, NULL), SHMW_OK); /* each replier ends at one */
    for (unsigned i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK_U64(repliers[0].received + repliers[1].received, MOST_WRITERS * stage.messages);
    for (unsigned i = 0; i < MOST_WRITERS; i++)
        shmw_shmcomm_close(requesters[i].end);
    for (unsigned i = 0; i < 2; i++)
        shmw_shmcomm_close(repliers[i].end);
    CHECK(!has_name(stage.name));
}

/* Opening and closing at once: somebody always makes the channel, somebody always removes it, and nobody is left with half of
 * one. */
static void *come_and_go(void *context)
{
    const struct actor *actor = context;
    for (uint32_t n = 0; n < actor->stage->messages; n++) {
        shmw_shmcomm *end = make(SHMW_SHMCOMM_PUSHER, actor->stage->name);
        CHECK_CODE(shmw_shmcomm_send(end, "x", 1, NULL, 0, NULL), SHMW_OK);
        shmw_shmcomm *puller = enter(SHMW_SHMCOMM_PULLER, actor->stage->name);
        unsigned char byte;
        CHECK_CODE(shmw_shmcomm_receive(puller, &byte, 1, LONG, 0, NULL), SHMW_OK);
        shmw_shmcomm_close(n % 2 == 0 ? puller : end);
        shmw_shmcomm_close(n % 2 == 0 ? end : puller);
    }
    return NULL;
}

static void coming_and_going(void)
{
    struct stage stage = {.name = fresh_name(), .messages = 100};
    struct actor actors[3];
    pthread_t threads[3];
    for (uint32_t i = 0; i < 3; i++) {
        actors[i] = (struct actor){.stage = &stage, .number = i};
        CHECK(pthread_create(&threads[i], NULL, come_and_go, &actors[i]) == 0);
    }
    for (unsigned i = 0; i < 3; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(!has_name(stage.name));
}

RUN_TESTS(TEST(publishers_and_subscribers), TEST(pushers_and_pullers), TEST(requesters_and_repliers), TEST(coming_and_going))
