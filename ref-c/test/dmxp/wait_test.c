/* SPDX-License-Identifier: MIT
 *
 * Sleeping and waking. The sleep hook runs between a receiver's last look and its sleep: what happens there is
 * no matter of luck. */

#include <stdio.h>

#include "support.h"
#include "wait.h"

#define MS UINT64_C(1000000)
#define SLICE (1000 * MS)

static char buffer[1024];

struct hook {
    struct room *room;
    unsigned calls;
    void (*act)(struct hook *hook);
};

static void call_hook(void *context)
{
    struct hook *hook = context;
    hook->calls++;
    CHECK_U64(raw_channel(&hook->room->raw, 0)->waiters, 0); /* not yet counted */
    if (hook->act != NULL)
        hook->act(hook);
}

static void act_send(struct hook *hook)
{
    put(hook->room->channel, "in between");
}

static void act_remove(struct hook *hook)
{
    CHECK_CODE(shmw_dmxp_channel_remove(hook->room->segment, 0), SHMW_OK);
}

static int receive_with(struct room *room, struct hook *hook, uint64_t timeout_ns)
{
    hook->room = room;
    shmw_dmxp_set_sleep_hook(room->channel, call_hook, hook);
    const int rc = shmw_dmxp_receive(room->channel, buffer, sizeof(buffer), timeout_ns, 0, NULL);
    shmw_dmxp_set_sleep_hook(room->channel, NULL, NULL);
    CHECK_U64(raw_channel(&room->raw, 0)->waiters, 0); /* [dmxp.wait.count]: and counted down again */
    return rc;
}

/* [dmxp.wait.load-first]: a receiver that loads signal after its last look sleeps here for a whole slice. */
static void a_message_between_look_and_sleep_is_found(void)
{
    for (int counted = 0; counted < 2; counted++) {
        struct room room = make_room((struct room_options){.counted_waiters = counted != 0});
        struct hook hook = {.act = act_send};
        const uint64_t start = now_ns();
        CHECK_CODE(receive_with(&room, &hook, SHMW_FOREVER), SHMW_OK);
        CHECK(now_ns() - start < SLICE / 2);
        CHECK_BYTES(buffer, "in between", 10);
        CHECK_U64(hook.calls, 1);
        leave_room(&room);
    }
}

static void a_removal_between_look_and_sleep_is_found(void)
{
    struct room room = make_room((struct room_options){0});
    struct hook hook = {.act = act_remove};
    const uint64_t start = now_ns();
    CHECK_CODE(receive_with(&room, &hook, SHMW_FOREVER), SHMW_CLOSED);
    CHECK(now_ns() - start < SLICE / 2);
    leave_room(&room);
}

/* The hook of a document-style producer: it publishes and does not signal, so that only the last look finds the message. */
static void act_send_silently(struct hook *hook)
{
    const uint32_t signal = raw_channel(&hook->room->raw, 0)->signal;
    put(hook->room->channel, "silent");
    raw_channel(&hook->room->raw, 0)->signal = signal;
}

/* [dmxp.wait.timeout]: one look after the time is up. */
static void the_last_look_comes_after_the_limit(void)
{
    struct room room = make_room((struct room_options){0});
    struct hook hook = {.act = act_send_silently};
    const uint64_t start = now_ns();
    CHECK_CODE(receive_with(&room, &hook, 30 * MS), SHMW_OK);
    CHECK(now_ns() - start >= 30 * MS);
    CHECK_U64(hook.calls, 1);
    leave_room(&room);
}

/* [dmxp.wait.slice]: without any signal it is found within the slice. */
static void a_single_sleep_is_bounded(void)
{
    struct room room = make_room((struct room_options){0});
    struct hook hook = {.act = act_send_silently};
    const uint64_t start = now_ns();
    CHECK_CODE(receive_with(&room, &hook, SHMW_FOREVER), SHMW_OK);
    CHECK(now_ns() - start >= SLICE / 2 && now_ns() - start < 4 * SLICE);
    leave_room(&room);
}

static void time_limits(void)
{
    struct room room = make_room((struct room_options){0});
    struct hook hook = {0};
    unsigned char *before = raw_copy(&room.raw);
    CHECK_CODE(receive_with(&room, &hook, 0), SHMW_TIMEOUT);
    CHECK_U64(hook.calls, 0);
    uint64_t start = now_ns();
    CHECK_CODE(receive_with(&room, &hook, 30 * MS), SHMW_TIMEOUT);
    CHECK(now_ns() - start >= 30 * MS);
    CHECK(hook.calls >= 1);
    start = now_ns();
    CHECK_CODE(shmw_dmxp_receive(room.channel, buffer, sizeof(buffer), 20 * MS, SHMW_FOREVER, NULL), SHMW_TIMEOUT);
    CHECK(now_ns() - start >= 20 * MS); /* spinning, too, ends with the time limit */
    CHECK_UNCHANGED(&room.raw, before);
    leave_room(&room);
}

static void receive_one(void *context)
{
    char text[64];
    CHECK_CODE(shmw_dmxp_receive(context, text, sizeof(text), SHMW_FOREVER, 0, NULL), SHMW_OK);
}

static void await_waiters(const struct room *room, uint32_t count)
{
    for (int i = 0; i < 10000 && raw_channel(&room->raw, 0)->waiters != count; i++)
        nap_ms(1);
    CHECK_U64(raw_channel(&room->raw, 0)->waiters, count);
    nap_ms(20); /* from being counted to being asleep */
}

/* [dmxp.wait.wake, .shared, .count]: processes asleep, with and without counting, are woken well before their slice ends. */
static void sleepers_in_other_processes_are_woken(void)
{
    for (int counted = 0; counted < 2; counted++) {
        struct room room = make_room((struct room_options){.counted_waiters = counted != 0});
        const int first = start_child(receive_one, room.channel);
        const int second = start_child(receive_one, room.channel);
        await_waiters(&room, 2);
        const struct shmw_dmxp_item items[2] = {{"a", 1, NULL}, {"b", 1, NULL}};
        const uint64_t start = now_ns();
        CHECK_CODE(shmw_dmxp_try_send_batch(room.channel, items, 2, NULL), SHMW_OK); /* one wake for both */
        CHECK_U64(child_status(first), 0);
        CHECK_U64(child_status(second), 0);
        CHECK(now_ns() - start < SLICE / 2);
        CHECK_U64(raw_channel(&room.raw, 0)->waiters, 0);
        leave_room(&room);
    }
}

/* Sleeps on signal as the crate's consumers do: without being counted. */
static void sleep_uncounted(void *context)
{
    struct shmw_dmxp_wire_channel *entry = context;
    entry->pad3[0] = 1; /* about to sleep */
    const uint64_t start = now_ns();
    while (entry->signal == 0)
        CHECK_CODE(shmw_futex_wait(&entry->signal, 0, 20 * SLICE), SHMW_OK);
    CHECK(now_ns() - start < 10 * SLICE);
}

/* Until the kernel says that the process sleeps: its state in /proc/PID/stat, after the name. */
static void await_sleep(int pid)
{
    char path[64];
    char state = '?';
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    for (int i = 0; i < 10000 && state != 'S'; i++) {
        nap_ms(1);
        FILE *file = fopen(path, "re");
        CHECK(file != NULL && fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
        fclose(file);
    }
    CHECK(state == 'S');
}

/* [dmxp.wait.wake]: without the promise that all count themselves, waiters = 0 says nothing. */
static void sleepers_that_do_not_count_themselves_are_woken(void)
{
    struct room room = make_room((struct room_options){0});
    struct shmw_dmxp_wire_channel *entry = raw_channel(&room.raw, 0);
    const int child = start_child(sleep_uncounted, entry);
    for (int i = 0; i < 10000 && *(volatile uint8_t *)&entry->pad3[0] == 0; i++)
        nap_ms(1);
    await_sleep(child);
    CHECK_U64(entry->waiters, 0);
    put(room.channel, "x");
    CHECK_U64(child_status(child), 0);
    leave_room(&room);
}

static void receive_closed(void *context)
{
    char text[64];
    CHECK_CODE(shmw_dmxp_receive(context, text, sizeof(text), SHMW_FOREVER, 0, NULL), SHMW_CLOSED);
}

/* [dmxp.channel.remove]: every sleeper, not just one. */
static void removal_wakes_every_sleeper(void)
{
    struct room room = make_room((struct room_options){0});
    const int first = start_child(receive_closed, room.channel);
    const int second = start_child(receive_closed, room.channel);
    await_waiters(&room, 2);
    const uint64_t start = now_ns();
    CHECK_CODE(shmw_dmxp_channel_remove(room.segment, 0), SHMW_OK);
    CHECK_U64(child_status(first), 0);
    CHECK_U64(child_status(second), 0);
    CHECK(now_ns() - start < SLICE / 2);
    leave_room(&room);
}

static void commit_and_abandon_wake(void)
{
    for (int abandon = 0; abandon < 2; abandon++) {
        struct room room = make_room((struct room_options){.counted_waiters = true});
        struct shmw_dmxp_claim claim;
        CHECK_CODE(shmw_dmxp_claim(room.channel, &claim), SHMW_OK);
        if (abandon)
            put(room.channel, "behind the tombstone");
        const int child = start_child(receive_one, room.channel);
        await_waiters(&room, 1);
        const uint64_t start = now_ns();
        CHECK_CODE(abandon ? shmw_dmxp_abandon(room.channel, &claim) : shmw_dmxp_commit(room.channel, &claim, 0, NULL), SHMW_OK);
        CHECK_U64(child_status(child), 0);
        CHECK(now_ns() - start < SLICE / 2);
        leave_room(&room);
    }
}

/* [dmxp.wait.signal]: one per message, and it wraps. */
static void signal_counts_publications(void)
{
    struct room room = make_room((struct room_options){.counted_waiters = true});
    raw_channel(&room.raw, 0)->signal = UINT32_MAX;
    put(room.channel, "a");
    CHECK_U64(raw_channel(&room.raw, 0)->signal, 0);
    const struct shmw_dmxp_item items[3] = {{"a", 1, NULL}, {"b", 1, NULL}, {"c", 1, NULL}};
    CHECK_CODE(shmw_dmxp_try_send_batch(room.channel, items, 3, NULL), SHMW_OK);
    CHECK_U64(raw_channel(&room.raw, 0)->signal, 3);
    leave_room(&room);
}

static void spinning_finds_messages_without_sleeping(void)
{
    struct room room = make_room((struct room_options){0});
    struct hook hook = {.room = &room};
    shmw_dmxp_set_sleep_hook(room.channel, call_hook, &hook);
    put(room.channel, "there");
    CHECK_CODE(shmw_dmxp_receive(room.channel, buffer, sizeof(buffer), SHMW_FOREVER, 5000, NULL), SHMW_OK);
    CHECK_U64(hook.calls, 0);
    shmw_dmxp_set_sleep_hook(room.channel, NULL, NULL);
    shmw_dmxp_set_sleep_hook(NULL, NULL, NULL);
    leave_room(&room);
}

RUN_TESTS(TEST(a_message_between_look_and_sleep_is_found), TEST(a_removal_between_look_and_sleep_is_found),
          TEST(the_last_look_comes_after_the_limit), TEST(a_single_sleep_is_bounded), TEST(time_limits),
          TEST(sleepers_in_other_processes_are_woken), TEST(sleepers_that_do_not_count_themselves_are_woken),
          TEST(removal_wakes_every_sleeper), TEST(commit_and_abandon_wake),
          TEST(signal_counts_publications), TEST(spinning_finds_messages_without_sleeping))
