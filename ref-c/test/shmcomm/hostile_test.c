/* SPDX-License-Identifier: MIT
 *
 * Segments of which any word may be anything: no crash, no hang, a named answer, and nothing outside the ring is touched. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

#define ROUNDS 4000

static const uint64_t odd_values[] = {0,         1,          4,         7,          8,         31,        32,
                                      33,        2040,       2041,      4096,       4104,      8192,      UINT64_C(1) << 31,
                                      UINT64_C(1) << 32, UINT64_C(1) << 38, UINT64_C(1) << 63, UINT64_MAX, UINT64_MAX - 7,
                                      UINT64_MAX - 8};

/* One word of the segment, mostly of the header's or of a frame's, becomes something else. */
static void spoil(const struct raw *raw, uint64_t *seed)
{
    const size_t words = draw(seed, 3) == 0 ? 16 : raw->size / 8;
    const uint64_t value = draw(seed, 2) == 0 ? odd_values[draw(seed, sizeof(odd_values) / 8)]
                           : draw(seed, 2) == 0 ? draw(seed, UINT64_MAX) : draw(seed, 600) * 8;
    size_t word = draw(seed, words);
    if (draw(seed, 4) == 0)
        word = 2 + draw(seed, 2); /* head and tail */
    if (word == 4) /* whose byte nobody holds is dead; each try would wait for 10 ms */
        return;
    memcpy(raw->bytes + word * 8, &value, 8);
}

#define ANSWERS                                                                                                           \
    (BIT(SHMW_OK) | BIT(SHMW_EMPTY) | BIT(SHMW_FULL) | BIT(SHMW_LAPPED) | BIT(SHMW_CLOSED) | BIT(SHMW_CORRUPT) | \
     BIT(SHMW_TOO_SMALL))
#define REFUSALS                                                                                                             \
    (BIT(SHMW_BAD_MAGIC) | BIT(SHMW_BAD_VERSION) | BIT(SHMW_NOT_READY) | BIT(SHMW_TRUNCATED) | BIT(SHMW_BAD_GEOMETRY) | \
     BIT(SHMW_UNSUPPORTED))

static void receive_some(shmw_shmcomm *end, uint64_t *seed)
{
    unsigned char buffer[LARGEST];
    struct shmw_shmcomm_message messages[4];
    size_t count;
    ANSWER(shmw_shmcomm_receive(end, buffer, draw(seed, LARGEST), 0, 0, messages), ANSWERS);
    ANSWER(shmw_shmcomm_receive_batch(end, buffer, sizeof(buffer), messages, 4, 0, 0, &count), ANSWERS);
    ANSWER(shmw_shmcomm_view(end, 0, 0, messages), ANSWERS | BIT(SHMW_UNSUPPORTED));
}

static void one_round(const char *name, enum shmw_shmcomm_role sender, enum shmw_shmcomm_role receiver, uint64_t *seed)
{
    static unsigned char payload[LARGEST];
    shmw_shmcomm *ends[] = {make(sender, name), enter(receiver, name), enter(SHMW_SHMCOMM_OBSERVER, name)};
    struct raw raw = raw_open(name);
    for (unsigned n = 0; n < 12; n++)
        (void)shmw_shmcomm_send(ends[0], payload, draw(seed, 500), NULL, 0, NULL);
    receive_some(ends[1], seed);
    for (unsigned n = 0; n < 4; n++) {
        spoil(&raw, seed);
        receive_some(ends[1], seed);
        receive_some(ends[2], seed);
        ANSWER(shmw_shmcomm_send(ends[0], payload, draw(seed, LARGEST), NULL, 0, NULL), ANSWERS);
        ANSWER(shmw_shmcomm_validate(ends[2], NULL, NULL), ANSWERS | REFUSALS);
    }
    shmw_shmcomm *late = NULL;
    const struct shmw_shmcomm_options options = {.no_wait = true, .making = SHMW_SHMCOMM_JOIN_ONLY};
    if (ANSWER(shmw_shmcomm_open(receiver, name, &options, &late), ANSWERS | REFUSALS) == SHMW_OK)
        receive_some(late, seed);
    shmw_shmcomm_close(late);
    raw_close(&raw);
    for (unsigned i = 0; i < 3; i++)
        shmw_shmcomm_close(ends[i]);
    shmw_unlink(name);
}

static void any_word_may_be_anything(void)
{
    const char *given = getenv("SHMW_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 0x5eed0006;
    const char *name = fresh_name();
    printf("  seed %llu\n", (unsigned long long)seed);
    for (unsigned round = 0; round < ROUNDS; round++) {
        if (round % 2 == 0)
            one_round(name, SHMW_SHMCOMM_PUBLISHER, SHMW_SHMCOMM_SUBSCRIBER, &seed);
        else
            one_round(name, SHMW_SHMCOMM_PUSHER, SHMW_SHMCOMM_PULLER, &seed);
    }
}

RUN_TESTS(TEST(any_word_may_be_anything))
