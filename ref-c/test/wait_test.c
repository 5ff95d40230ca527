/* SPDX-License-Identifier: MIT */
#include "wait.h"

#include <sys/mman.h>

#include "atomic.h"
#include "check.h"
#include "shmwire.h"

#define MS UINT64_C(1000000)

static void deadlines(void)
{
    CHECK_U64(shmw_deadline(0), 0);
    CHECK_U64(shmw_deadline(SHMW_FOREVER), SHMW_FOREVER);
    CHECK_U64(shmw_deadline(SHMW_FOREVER - 1), SHMW_FOREVER); /* the sum would wrap */
    const uint64_t before = shmw_now();
    const uint64_t deadline = shmw_deadline(MS);
    CHECK(deadline >= before + MS && deadline <= shmw_now() + MS);
    CHECK(shmw_expired(0));
    CHECK(!shmw_expired(SHMW_FOREVER));
    CHECK(shmw_expired(before));
    CHECK(!shmw_expired(before + 1000 * MS * 1000));
    CHECK_U64(shmw_remaining(SHMW_FOREVER, 5), 5);
    CHECK_U64(shmw_remaining(before, 5), 0);
    CHECK_U64(shmw_remaining(0, 5), 0);
    CHECK_U64(shmw_remaining(before + 1000 * MS * 1000, 5), 5);
}

static void the_wall_clock_is_unix_time(void)
{
    CHECK(shmw_wall_clock() > UINT64_C(1600000000) * 1000 * MS);
    CHECK(shmw_wall_clock() < UINT64_C(4000000000) * 1000 * MS);
}

/* Spins and yields cost little; then naps double up to 1 ms and never reach past the deadline. */
static void backoff_grows_and_keeps_the_deadline(void)
{
    struct shmw_backoff backoff = {0};
    for (int i = 0; i < 100; i++)
        shmw_backoff_pause(&backoff, SHMW_FOREVER);
    uint64_t start = shmw_now();
    shmw_backoff_pause(&backoff, SHMW_FOREVER);
    CHECK(shmw_now() - start >= MS);
    start = shmw_now();
    for (int i = 0; i < 1000; i++)
        shmw_backoff_pause(&backoff, start);
    CHECK(shmw_now() - start < 1000 * MS); /* a thousand naps of 1 ms would take longer */
}

static void futex_wait_ends_at_once_when_the_value_differs(void)
{
    _Atomic(uint32_t) word = 3;
    const uint64_t start = shmw_now();
    CHECK_CODE(shmw_futex_wait(&word, 4, 5000 * MS), SHMW_OK);
    CHECK(shmw_now() - start < 1000 * MS);
    CHECK_CODE(shmw_futex_wait(&word, 3, 10 * MS), SHMW_OK);
    CHECK(shmw_now() - start >= 10 * MS);
}

static void wake_from_a_child(void *context)
{
    _Atomic(uint32_t) *words = context;
    while (shmw_load_acquire(&words[1]) == 0)
        nap_ms(1);
    nap_ms(20);
    shmw_store_release(&words[0], 1);
    shmw_futex_wake(&words[0], 1);
}

/* Between processes, at different addresses even: [dmxp.wait.shared]. */
static void futex_wakes_another_process(void)
{
    _Atomic(uint32_t) *words = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(words != MAP_FAILED);
    const int child = start_child(wake_from_a_child, words);
    const uint64_t start = shmw_now();
    shmw_store_release(&words[1], 1);
    while (shmw_load_acquire(&words[0]) == 0)
        CHECK_CODE(shmw_futex_wait(&words[0], 0, 20000 * MS), SHMW_OK);
    CHECK(shmw_now() - start < 10000 * MS);
    CHECK_U64(child_status(child), 0);
    munmap(words, 4096);
}

static void futex_errors_are_reported(void)
{
    _Atomic(uint32_t) *words = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(words != MAP_FAILED);
    munmap(words, 4096);
    CHECK_CODE(shmw_futex_wait(words, 0, MS), SHMW_SYSTEM);
}

RUN_TESTS(TEST(deadlines), TEST(the_wall_clock_is_unix_time), TEST(backoff_grows_and_keeps_the_deadline),
          TEST(futex_wait_ends_at_once_when_the_value_differs), TEST(futex_wakes_another_process),
          TEST(futex_errors_are_reported))
