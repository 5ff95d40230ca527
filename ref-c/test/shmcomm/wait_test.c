/* SPDX-License-Identifier: MIT
 *
 * Section 8: who sleeps, who wakes whom, and when it ends. */
#include <signal.h>
#include <sys/time.h>

#include "atomic.h"
#include "support.h"

#define LONG (20000 * MS) /* what no test waits for */

struct scene {
    const char *name;
    enum shmw_shmcomm_role role;
    bool counted; /* the receiver's mapping lets it count itself */
};

static const struct {
    enum shmw_shmcomm_role sender;
    enum shmw_shmcomm_role receiver;
} pairs[] = {{SHMW_SHMCOMM_PUBLISHER, SHMW_SHMCOMM_SUBSCRIBER}, {SHMW_SHMCOMM_PUSHER, SHMW_SHMCOMM_PULLER}};

/* [shmcomm.wait.timeout] */
static void waiting_ends_in_time(void)
{
    for (size_t i = 0; i < 2; i++) {
        const char *name = fresh_name();
        shmw_shmcomm *end = make(pairs[i].sender, name);
        shmw_shmcomm *reader = enter(pairs[i].receiver, name);
        unsigned char buffer[8];
        static const uint64_t spins[] = {0, 1, 5 * MS, SHMW_FOREVER};
        for (size_t s = 0; s < 4; s++) {
            const uint64_t start = now_ns();
            CHECK_CODE(shmw_shmcomm_receive(reader, buffer, 8, 30 * MS, spins[s], NULL), SHMW_TIMEOUT);
            CHECK(now_ns() - start >= 30 * MS);
        }
        shmw_shmcomm_close(reader);
        shmw_shmcomm_close(end);
    }
}

/* Until somebody sleeps on a signal, or is about to: what comes then is what wakes it. */
static void await_sleeper(const struct scene *scene, bool writer)
{
    struct raw raw = raw_open(scene->name);
    struct shmw_shmcomm_wire_header *header = raw_header(&raw);
    const uint64_t limit = now_ns() + LONG;
    while (shmw_load_relaxed(writer ? &header->space_waiters : &header->data_waiters) == 0) {
        CHECK(now_ns() < limit);
        nap_ms(1);
    }
    raw_close(&raw);
}

static void send_late(void *context)
{
    const struct scene *scene = context;
    if (scene->counted)
        await_sleeper(scene, false);
    nap_ms(20);
    shmw_shmcomm *end = enter(scene->role, scene->name);
    put(end, 0, 5);
    shmw_shmcomm_close(end);
}

/* A sleeper is woken by the message: well before its slice of a second is over [shmcomm.wait.wake, .shared]. */
static void a_late_message_ends_the_wait(void)
{
    for (size_t i = 0; i < 2; i++) {
        for (int how = 0; how < 3; how++) {
            const bool counted = !(how == 2 && i == 0);
            struct scene scene = {.name = fresh_name(), .role = pairs[i].sender, .counted = counted};
            shmw_shmcomm *keeper = make(pairs[i].sender, scene.name);
            shmw_shmcomm *reader = enter_with(pairs[i].receiver, scene.name,
                                              (struct shmw_shmcomm_options){.read_only = !counted});
            struct raw raw = raw_open(scene.name);
            unsigned char buffer[8];
            const int child = start_child(send_late, &scene);
            CHECK_CODE(shmw_shmcomm_receive(reader, buffer, 8, LONG, how == 1 ? 10 * MS : 0, NULL), SHMW_OK);
            CHECK_U64(child_status(child), 0);
            CHECK_U64(raw_header(&raw)->data_signal, counted);
            CHECK_U64(raw_header(&raw)->data_waiters, 0);
            raw_close(&raw);
            shmw_shmcomm_close(reader);
            shmw_shmcomm_close(keeper);
        }
    }
}

/* [shmcomm.wait.no-call], [shmcomm.wait.wake]: the count is wiped out once, and one that was killed costs one wake. */
static void the_signal_moves_for_waiters_only(void)
{
    for (size_t i = 0; i < 2; i++) {
        const char *name = fresh_name();
        shmw_shmcomm *end = make(pairs[i].sender, name);
        struct raw raw = raw_open(name);
        put(end, 0, 5);
        CHECK_U64(raw_header(&raw)->data_signal, 0);
        raw_header(&raw)->data_waiters = 3;
        put(end, 1, 5);
        CHECK_U64(raw_header(&raw)->data_signal, 1);
        CHECK_U64(raw_header(&raw)->data_waiters, 0);
        put(end, 2, 5);
        CHECK_U64(raw_header(&raw)->data_signal, 1);
        if (i == 1) {
            shmw_shmcomm *puller = enter(SHMW_SHMCOMM_PULLER, name);
            expect(puller, 0, 5, 0);
            CHECK_U64(raw_header(&raw)->space_signal, 0);
            raw_header(&raw)->space_waiters = 2;
            expect(puller, 1, 5, 0);
            CHECK_U64(raw_header(&raw)->space_signal, 1);
            CHECK_U64(raw_header(&raw)->space_waiters, 0);
            expect(puller, 2, 5, 0);
            CHECK_U64(raw_header(&raw)->space_signal, 1);
            shmw_shmcomm_close(puller);
        }
        raw_close(&raw);
        shmw_shmcomm_close(end);
    }
}

static void pull_late(void *context)
{
    const struct scene *scene = context;
    await_sleeper(scene, true);
    nap_ms(20);
    shmw_shmcomm *puller = enter(SHMW_SHMCOMM_PULLER, scene->name);
    expect(puller, 0, 1500, 0);
    shmw_shmcomm_close(puller);
}

static void a_puller_ends_the_wait_for_room(void)
{
    struct scene scene = {.name = fresh_name()};
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUSHER, scene.name);
    struct raw raw = raw_open(scene.name);
    static unsigned char payload[1500];
    put(end, 0, 1500);
    put(end, 1, 1500);
    const int child = start_child(pull_late, &scene);
    CHECK_CODE(shmw_shmcomm_send(end, payload, sizeof(payload), NULL, LONG, NULL), SHMW_OK);
    CHECK_U64(child_status(child), 0);
    CHECK_U64(raw_header(&raw)->space_signal, 1);
    CHECK_U64(raw_header(&raw)->dropped_count, 0);
    raw_close(&raw);
    shmw_shmcomm_close(end);
    CHECK_CODE(shmw_shmcomm_remove(scene.name, true), SHMW_OK);
}

/* [shmcomm.receive.closed]: the close of the last keeper wakes sleepers, of either kind. */

static void leave_late(void *context)
{
    const struct scene *scene = context;
    shmw_shmcomm *end = make(scene->role, scene->name);
    nap_ms(100);
    shmw_shmcomm_close(end);
}

static void a_close_ends_the_wait(void)
{
    for (size_t i = 0; i < 2; i++) {
        for (uint64_t spin = 0; spin <= SHMW_FOREVER / 2; spin += SHMW_FOREVER / 2) {
            struct scene scene = {.name = fresh_name(), .role = pairs[i].sender};
            const struct shmw_shmcomm_options options = {.ready_timeout_ns = LONG};
            shmw_shmcomm *reader = NULL;
            unsigned char buffer[8];
            const int child = start_child(leave_late, &scene);
            CHECK_CODE(shmw_shmcomm_open(pairs[i].receiver, scene.name, &options, &reader), SHMW_OK);
            CHECK_CODE(shmw_shmcomm_receive(reader, buffer, 8, LONG, spin, NULL), SHMW_CLOSED);
            CHECK_U64(child_status(child), 0);
            CHECK(!has_name(scene.name));
            shmw_shmcomm_close(reader);
        }
    }
}

static volatile sig_atomic_t rings;

static void ring(int number)
{
    (void)number;
    rings++;
}

/* A signal wakes a sleeper; that is no answer. */
static void a_signal_does_not_end_the_wait(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUBLISHER, name);
    shmw_shmcomm *reader = enter(SHMW_SHMCOMM_SUBSCRIBER, name);
    const struct sigaction action = {.sa_handler = ring};
    const struct itimerval every = {.it_interval = {.tv_usec = 5000}, .it_value = {.tv_usec = 5000}};
    const struct itimerval never = {.it_interval = {.tv_usec = 0}};
    unsigned char buffer[8];
    CHECK(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &every, NULL) == 0);
    const uint64_t start = now_ns();
    CHECK_CODE(shmw_shmcomm_receive(reader, buffer, 8, 60 * MS, 0, NULL), SHMW_TIMEOUT);
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
    CHECK(now_ns() - start >= 60 * MS && rings > 0);
    shmw_shmcomm_close(reader);
    shmw_shmcomm_close(end);
}

RUN_TESTS(TEST(waiting_ends_in_time), TEST(a_late_message_ends_the_wait), TEST(the_signal_moves_for_waiters_only),
          TEST(a_puller_ends_the_wait_for_room), TEST(a_close_ends_the_wait), TEST(a_signal_does_not_end_the_wait))
