/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static struct shmw_dmxp_recovery recover(const struct room *room)
{
    struct shmw_dmxp_recovery report;
    memset(&report, 0xff, sizeof(report));
    CHECK_CODE(shmw_dmxp_recover(room->segment, true, &report), SHMW_OK);
    return report;
}

static void check_report(struct shmw_dmxp_recovery report, uint64_t tombstones, uint64_t lost, uint64_t waiters, bool count)
{
    CHECK_U64(report.tombstones, tombstones);
    CHECK_U64(report.possibly_lost, lost);
    CHECK_U64(report.waiters_reset, waiters);
    CHECK_U64(report.count_repaired, count);
}

/* Wait until the child has stopped itself, kill it there, and reap it. */
static void kill_stopped(int child)
{
    int status;
    CHECK(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
    CHECK(kill(child, SIGKILL) == 0);
    CHECK_U64(child_status(child), 128 + SIGKILL);
}

/* [dmxp.recover.idle]: empty, half full, full, wrapped. */
static void a_sound_segment_stays_as_it_is(void)
{
    struct room room = make_room((struct room_options){.capacity = 4});
    for (int step = 0; step < 12; step++) {
        unsigned char *before = raw_copy(&room.raw);
        check_report(recover(&room), 0, 0, 0, false);
        CHECK_UNCHANGED(&room.raw, before);
        put(room.channel, "x");
        if (step >= 3)
            expect(room.channel, "x");
    }
    leave_room(&room);
}

static void claim_and_stop(void *context)
{
    struct shmw_dmxp_claim claim;
    CHECK_CODE(shmw_dmxp_claim(context, &claim), SHMW_OK);
    memset(claim.payload, 'h', 20); /* half a message */
    raise(SIGSTOP);
}

/* A producer is killed between claim and publication [dmxp.recover.producer]. */
static void a_killed_producer(void)
{
    struct room room = make_room((struct room_options){0});
    put(room.channel, "before");
    kill_stopped(start_child(claim_and_stop, room.channel));
    put(room.channel, "after");
    expect(room.channel, "before");
    char buffer[64];
    CHECK_CODE(shmw_dmxp_try_receive(room.channel, buffer, sizeof(buffer), NULL), SHMW_EMPTY); /* stalled */
    check_report(recover(&room), 1, 0, 0, false);
    const struct shmw_dmxp_wire_slot *slot = raw_slot(&room.raw, 0, 1);
    CHECK_U64(slot->sequence, 2);
    CHECK_U64(slot->flags, SHMW_DMXP_MESSAGE_TOMBSTONE);
    CHECK_U64(slot->payload_len, 0);
    check_report(recover(&room), 0, 0, 0, false);
    expect(room.channel, "after");
    CHECK_CODE(shmw_dmxp_try_receive(room.channel, buffer, sizeof(buffer), NULL), SHMW_EMPTY);
    CHECK_CODE(shmw_dmxp_validate(room.segment, NULL, NULL), SHMW_OK);
    leave_room(&room);
}

/* A consumer dies between claim and release [dmxp.recover.consumer]; so does every document-style consumer, in effect. */
static void a_killed_consumer(void)
{
    struct room room = make_room((struct room_options){.capacity = 4});
    for (int i = 0; i < 5; i++) {
        put(room.channel, "x");
        expect(room.channel, "x");
    }
    put(room.channel, "taken 5");
    put(room.channel, "taken 6");
    put(room.channel, "there 7");
    raw_channel(&room.raw, 0)->head = 7;
    check_report(recover(&room), 0, 2, 0, false);
    CHECK_U64(raw_slot(&room.raw, 0, 1)->sequence, 9);
    CHECK_U64(raw_slot(&room.raw, 0, 2)->sequence, 10);
    CHECK_U64(raw_slot(&room.raw, 0, 3)->sequence, 8);
    CHECK_CODE(shmw_dmxp_validate(room.segment, NULL, NULL), SHMW_OK);
    expect(room.channel, "there 7");
    for (int i = 0; i < 4; i++)
        put(room.channel, "y");
    leave_room(&room);
}

static void a_wedged_channel_works_again(void)
{
    struct room room = make_room((struct room_options){.capacity = 2});
    put(room.channel, "a");
    put(room.channel, "b");
    raw_channel(&room.raw, 0)->head = 2;
    CHECK_CODE(shmw_dmxp_try_send(room.channel, "c", 1, NULL, NULL), SHMW_FULL);
    check_report(recover(&room), 0, 2, 0, false);
    put(room.channel, "c");
    expect(room.channel, "c");
    leave_room(&room);
}

static void half_a_batch(void)
{
    struct room room = make_room((struct room_options){.capacity = 4});
    struct shmw_dmxp_claim claims[3];
    for (int i = 0; i < 3; i++)
        CHECK_CODE(shmw_dmxp_claim(room.channel, &claims[i]), SHMW_OK);
    CHECK_CODE(shmw_dmxp_commit(room.channel, &claims[0], 0, NULL), SHMW_OK);
    check_report(recover(&room), 2, 0, 0, false);
    expect(room.channel, "");
    char buffer[8];
    CHECK_CODE(shmw_dmxp_try_receive(room.channel, buffer, sizeof(buffer), NULL), SHMW_EMPTY);
    CHECK_U64(raw_channel(&room.raw, 0)->head, 3);
    leave_room(&room);
}

static void stop_now(void *context)
{
    (void)context;
    raise(SIGSTOP);
}

static void sleep_and_stop(void *context)
{
    char buffer[8];
    shmw_dmxp_set_sleep_hook(context, stop_now, NULL);
    shmw_dmxp_receive(context, buffer, sizeof(buffer), SHMW_FOREVER, 0, NULL);
}

/* A sleeper is killed while it is counted; the count stays, and costs every producer a wake, until recovery. */
static void a_killed_sleeper(void)
{
    struct room room = make_room((struct room_options){.counted_waiters = true});
    const int child = start_child(sleep_and_stop, room.channel);
    int status;
    CHECK(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
    for (int tries = 0; tries < 100 && raw_channel(&room.raw, 0)->waiters == 0; tries++) { /* stopped inside the sleep? */
        CHECK(kill(child, SIGCONT) == 0);
        for (int i = 0; i < 500 && raw_channel(&room.raw, 0)->waiters == 0; i++)
            nap_ms(1);
        CHECK(kill(child, SIGSTOP) == 0 && waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
    }
    CHECK(kill(child, SIGKILL) == 0);
    CHECK_U64(child_status(child), 128 + SIGKILL);
    CHECK_U64(raw_channel(&room.raw, 0)->waiters, 1);
    check_report(recover(&room), 0, 0, 1, false);
    CHECK_U64(raw_channel(&room.raw, 0)->waiters, 0);
    leave_room(&room);
}

static void the_count_of_channels(void)
{
    struct room room = make_room((struct room_options){0});
    raw_header(&room.raw)->channel_count = 9;
    check_report(recover(&room), 0, 0, 0, true);
    CHECK_U64(raw_header(&room.raw)->channel_count, 1);
    leave_room(&room);
}

/* A broken entry: its error, and nothing is touched, in other channels neither. */
static void broken_entries_stop_it(void)
{
    struct room room = make_room((struct room_options){0});
    struct shmw_dmxp_claim claim;
    CHECK_CODE(shmw_dmxp_claim(room.channel, &claim), SHMW_OK);
    raw_channel(&room.raw, 200)->capacity = 3;
    unsigned char *before = raw_copy(&room.raw);
    struct shmw_dmxp_recovery report;
    CHECK_CODE(shmw_dmxp_recover(room.segment, true, &report), SHMW_BAD_GEOMETRY);
    check_report(report, 0, 0, 0, false);
    CHECK_UNCHANGED(&room.raw, before);
    raw_channel(&room.raw, 200)->capacity = 0;
    raw_channel(&room.raw, 0)->tail = 9;
    CHECK_CODE(shmw_dmxp_recover(room.segment, true, NULL), SHMW_CORRUPT);
    CHECK_CODE(shmw_dmxp_recover(NULL, true, NULL), SHMW_INVALID_ARGUMENT);
    leave_room(&room);
}

/* [dmxp.recover.exclusive]: another process maps the segment, so only its caller's word helps. */
static void others_are_respected(void)
{
    struct room room = make_room((struct room_options){0});
    const int child = start_child(claim_and_stop, room.channel);
    int status;
    CHECK(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
    unsigned char *before = raw_copy(&room.raw);
    CHECK_CODE(shmw_dmxp_recover(room.segment, false, NULL), SHMW_BUSY);
    CHECK_UNCHANGED(&room.raw, before);
    CHECK(kill(child, SIGKILL) == 0);
    CHECK_U64(child_status(child), 128 + SIGKILL);
    check_report(recover(&room), 1, 0, 0, false);
    leave_room(&room);
}

static void validation_sees_slots(void)
{
    struct room room = make_room((struct room_options){.capacity = 4});
    for (int i = 0; i < 6; i++) {
        CHECK_CODE(shmw_dmxp_validate(room.segment, NULL, NULL), SHMW_OK);
        put(room.channel, "x");
        if (i >= 2)
            expect(room.channel, "x");
    }
    /* head 4, tail 6: slots 0 and 1 published, 2 and 3 free for 6 and 7, or taken and not released (3, 4) */
    const struct {
        uint64_t slot, sequence;
        uint32_t length;
        int want;
    } cases[] = {{0, 5, 1, SHMW_OK},       {0, 4, 1, SHMW_OK},      {0, 8, 1, SHMW_CORRUPT}, {0, 1, 1, SHMW_CORRUPT},
                 {0, 5, 1025, SHMW_CORRUPT}, {0, 4, 1025, SHMW_OK}, {2, 6, 1025, SHMW_OK},   {2, 3, 1, SHMW_OK},
                 {2, 3, 1025, SHMW_OK},    {2, 7, 1, SHMW_CORRUPT}, {2, 10, 1, SHMW_CORRUPT}, {3, UINT64_MAX, 1, SHMW_CORRUPT}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct shmw_dmxp_wire_slot *slot = raw_slot(&room.raw, 0, cases[i].slot);
        const uint64_t sequence = slot->sequence;
        const uint32_t length = slot->payload_len;
        slot->sequence = cases[i].sequence;
        slot->payload_len = cases[i].length;
        const char *finding = NULL;
        uint32_t channel = 5;
        CHECK_CODE(shmw_dmxp_validate(room.segment, &finding, &channel), cases[i].want);
        CHECK_U64(channel, cases[i].want == SHMW_OK ? UINT32_MAX : 0);
        CHECK(finding != NULL && strlen(finding) > 5);
        slot->sequence = sequence;
        slot->payload_len = length;
    }
    CHECK_CODE(shmw_dmxp_validate(NULL, NULL, NULL), SHMW_INVALID_ARGUMENT);
    leave_room(&room);
}

RUN_TESTS(TEST(a_sound_segment_stays_as_it_is), TEST(a_killed_producer), TEST(a_killed_consumer),
          TEST(a_wedged_channel_works_again), TEST(half_a_batch), TEST(a_killed_sleeper), TEST(the_count_of_channels),
          TEST(broken_entries_stop_it), TEST(others_are_respected), TEST(validation_sees_slots))
