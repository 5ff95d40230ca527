/* SPDX-License-Identifier: MIT
 *
 * Sections 5 and 10: the writers' lock, its dead owners, repair and removal. Whose byte nobody holds is dead: the tests say so
 * by a number in writer_lock. */
#include <string.h>

#include "support.h"

#define DEAD 4711

static struct raw hang_lock(const char *name)
{
    struct raw raw = raw_open(name);
    raw_header(&raw)->writer_lock = DEAD;
    return raw;
}

/* [shmcomm.lock.busy], [shmcomm.lock.alive]: not before the patience is over. */
static void a_living_owner_keeps_it(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *owner =
        enter_with(SHMW_SHMCOMM_PUBLISHER, name, 
                   (struct shmw_shmcomm_options){.capacity = SMALL, .sole = true, .identity = {.endpoint = 5}});
    shmw_shmcomm *other = enter(SHMW_SHMCOMM_PUBLISHER, name);
    shmw_shmcomm *reader = enter(SHMW_SHMCOMM_SUBSCRIBER, name);
    struct raw raw = raw_open(name);
    put(owner, 0, 10);
    CHECK_U64(raw_header(&raw)->writer_lock, 5);
    unsigned char *before = raw_copy(&raw);
    uint64_t start = now_ns();
    CHECK_CODE(shmw_shmcomm_send(other, "x", 1, NULL, 0, NULL), SHMW_BUSY);
    CHECK(now_ns() - start >= SHMW_SHMCOMM_LOCK_PATIENCE_NS);
    start = now_ns();
    CHECK_CODE(shmw_shmcomm_send(other, "x", 1, NULL, 150 * MS, NULL), SHMW_BUSY);
    CHECK(now_ns() - start >= 150 * MS);
    CHECK_CODE(try_enter(SHMW_SHMCOMM_PUBLISHER, name, (struct shmw_shmcomm_options){.sole = true}), SHMW_BUSY);
    CHECK_CODE(shmw_shmcomm_recover(name, NULL), SHMW_BUSY);
    CHECK_CODE(shmw_shmcomm_remove(name, true), SHMW_BUSY); /* [shmcomm.remove.alive] */
    CHECK_U64(raw_header(&raw)->writer_lock, 5 | SHMW_SHMCOMM_LOCK_WAITERS);
    raw_header(&raw)->writer_lock = 5;
    memcpy(before + 96, raw.bytes + 96, 8); /* heartbeat of the keeper that came */
    CHECK_UNCHANGED(&raw, before);
    put(owner, 1, 10);
    shmw_shmcomm_close(owner);
    CHECK_U64(raw_header(&raw)->writer_lock, 0);
    put(other, 2, 10);
    for (uint64_t n = 0; n < 3; n++)
        expect(reader, n, 10, 0);
    CHECK_U64(raw_header(&raw)->lock_epoch, 0);
    raw_close(&raw);
    shmw_shmcomm_close(other);
    shmw_shmcomm_close(reader);
}

/* [shmcomm.lock.dead], [shmcomm.recover.count], [shmcomm.recover.held], [shmcomm.recover.wake] */
static void a_dead_owner_is_replaced(void)
{
    for (uint64_t counted = 2; counted <= 3; counted++) {
        const char *name = fresh_name();
        shmw_shmcomm *end = make(SHMW_SHMCOMM_PUSHER, name);
        shmw_shmcomm *puller = enter(SHMW_SHMCOMM_PULLER, name);
        for (uint64_t n = 0; n < 3; n++)
            put(end, n, 10);
        struct raw raw = hang_lock(name);
        raw_header(&raw)->message_count = counted;
        raw_header(&raw)->data_waiters = 1;
        put(end, 3, 20);
        CHECK_U64(raw_header(&raw)->lock_epoch, 1);
        CHECK_U64(raw_header(&raw)->writer_lock, 0);
        CHECK_U64(raw_header(&raw)->message_count, 4);
        CHECK_U64(raw_header(&raw)->data_signal, 1);
        CHECK_U64(info_of(end).takeovers, 1);
        for (uint64_t n = 0; n < 3; n++)
            expect(puller, n, 10, 0);
        expect(puller, 3, 20, 0);
        raw_close(&raw);
        shmw_shmcomm_close(end);
        shmw_shmcomm_close(puller);
    }
}

/* [shmcomm.recover.dropped]: it died between the count of what it evicted and the tail, or before the count of what it
 * published. */
static void a_dead_publishers_counts_are_repaired(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUBLISHER, name);
    struct shmw_shmcomm_recovered found;
    for (uint64_t n = 0; n < 20; n++)
        put(end, n, 440);
    struct raw raw = hang_lock(name);
    unsigned char *before = raw_copy(&raw);
    raw_header(&raw)->dropped_count += 3;
    raw_header(&raw)->message_count -= 1;
    CHECK_CODE(shmw_shmcomm_recover(name, &found), SHMW_OK);
    CHECK(found.lock_taken && found.count_repaired && found.swept == 0);
    CHECK_U64(raw_header(&raw)->lock_epoch, 1);
    CHECK_U64(raw_header(&raw)->writer_lock, 0);
    memset(before + 32, 0, 4);
    before[36] = 1;
    CHECK_UNCHANGED(&raw, before); /* [shmcomm.recover.held] */
    CHECK_CODE(shmw_shmcomm_recover(name, &found), SHMW_OK);
    CHECK(!found.lock_taken && !found.count_repaired);
    raw_header(&raw)->writer_lock = DEAD | SHMW_SHMCOMM_LOCK_WAITERS;
    CHECK_CODE(shmw_shmcomm_recover(name, &found), SHMW_OK);
    CHECK(found.lock_taken && !found.count_repaired);
    raw_header(&raw)->writer_lock = DEAD;
    raw_header(&raw)->tail = raw_header(&raw)->head; /* nothing held */
    shmw_shmcomm *sole = enter_with(SHMW_SHMCOMM_PUBLISHER, name, (struct shmw_shmcomm_options){.sole = true});
    CHECK_U64(raw_header(&raw)->dropped_count, 20);
    shmw_shmcomm_close(sole);
    raw_close(&raw);
    shmw_shmcomm_close(end);
}

/* A chain that is broken is not repaired, and the lock is free for the next one to find out. */
static void what_cannot_be_repaired(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUBLISHER, name);
    put(end, 0, 10);
    put(end, 1, 10);
    struct raw raw = hang_lock(name);
    raw_frame(&raw, 56)->size = 3;
    CHECK_CODE(shmw_shmcomm_send(end, "x", 1, NULL, 0, NULL), SHMW_CORRUPT);
    CHECK_U64(raw_header(&raw)->writer_lock, 0);
    CHECK_U64(raw_header(&raw)->message_count, 2);
    raw_header(&raw)->writer_lock = DEAD;
    CHECK_CODE(shmw_shmcomm_recover(name, NULL), SHMW_CORRUPT);
    raw_close(&raw);
    shmw_shmcomm_close(end);
}

/* [shmcomm.remove.state], [shmcomm.remove.undelivered] */
static void a_stale_channel_is_removed(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUSHER, name);
    shmw_shmcomm *puller = enter(SHMW_SHMCOMM_PULLER, name);
    struct raw raw = raw_open(name);
    put(end, 0, 10);
    shmw_shmcomm_close(end);
    raw_header(&raw)->state = SHMW_SHMCOMM_STATE_OPEN; /* as if it had been killed */
    raw_header(&raw)->data_signal = 0;
    raw_header(&raw)->space_signal = 0;
    unsigned char *before = raw_copy(&raw);
    CHECK_CODE(shmw_shmcomm_remove(name, false), SHMW_FULL);
    CHECK_UNCHANGED(&raw, before);
    CHECK(has_name(name));
    CHECK_CODE(shmw_shmcomm_remove(name, true), SHMW_OK);
    CHECK(!has_name(name));
    CHECK_U64(raw_header(&raw)->state, SHMW_SHMCOMM_STATE_CLOSED);
    CHECK_U64(raw_header(&raw)->data_signal, 1);
    CHECK_U64(raw_header(&raw)->space_signal, 1);
    expect(puller, 0, 10, 0);
    expect_answer(puller, SHMW_CLOSED);
    CHECK_CODE(shmw_shmcomm_remove(name, true), SHMW_NOT_FOUND);
    CHECK_CODE(shmw_shmcomm_recover(name, NULL), SHMW_NOT_FOUND);
    CHECK_CODE(shmw_shmcomm_remove(NULL, true), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_shmcomm_recover(NULL, NULL), SHMW_INVALID_ARGUMENT);
    raw_close(&raw);
    shmw_shmcomm_close(puller);
}

/* I2, I3 and the counts of a channel at rest. */
static void an_observer_finds_what_is_wrong(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUBLISHER, name);
    shmw_shmcomm *observer = enter(SHMW_SHMCOMM_OBSERVER, name);
    struct raw raw = raw_open(name);
    const char *finding = "?";
    uint64_t position = 0;
    CHECK_CODE(shmw_shmcomm_validate(observer, &finding, &position), SHMW_OK);
    CHECK(finding == NULL && position == UINT64_MAX);
    for (uint64_t n = 0; n < 20; n++)
        put(end, n, 440);
    CHECK_CODE(shmw_shmcomm_validate(observer, NULL, NULL), SHMW_OK);
    raw_header(&raw)->message_count = 19;
    CHECK_CODE(shmw_shmcomm_validate(observer, &finding, &position), SHMW_CORRUPT);
    CHECK(finding != NULL && position == UINT64_MAX);
    raw_header(&raw)->writer_lock = DEAD; /* a holder died, or is at work */
    CHECK_CODE(shmw_shmcomm_validate(observer, NULL, NULL), SHMW_OK);
    raw_header(&raw)->writer_lock = 0;
    raw_header(&raw)->message_count = 20;
    raw_header(&raw)->dropped_count--;
    CHECK_CODE(shmw_shmcomm_validate(observer, NULL, NULL), SHMW_CORRUPT);
    raw_header(&raw)->dropped_count++;
    const uint64_t second = raw_header(&raw)->tail + 480;
    raw_frame(&raw, second)->sequence++;
    CHECK_CODE(shmw_shmcomm_validate(observer, NULL, &position), SHMW_CORRUPT);
    CHECK_U64(position, second);
    raw_frame(&raw, second)->sequence--;
    raw_header(&raw)->version = 1;
    CHECK_CODE(shmw_shmcomm_validate(observer, &finding, NULL), SHMW_BAD_VERSION);
    raw_header(&raw)->version = 2;
    raw_header(&raw)->head += 4;
    CHECK_CODE(shmw_shmcomm_validate(observer, &finding, NULL), SHMW_CORRUPT);
    CHECK_CODE(shmw_shmcomm_validate(end, NULL, NULL), SHMW_UNSUPPORTED);
    CHECK_CODE(shmw_shmcomm_validate(NULL, NULL, NULL), SHMW_INVALID_ARGUMENT);
    raw_close(&raw);
    shmw_shmcomm_close(observer);
    shmw_shmcomm_close(end);
}

RUN_TESTS(TEST(a_living_owner_keeps_it), TEST(a_dead_owner_is_replaced), TEST(a_dead_publishers_counts_are_repaired),
          TEST(what_cannot_be_repaired), TEST(a_stale_channel_is_removed), TEST(an_observer_finds_what_is_wrong))
