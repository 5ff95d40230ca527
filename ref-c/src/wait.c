/* SPDX-License-Identifier: MIT */
#include "wait.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "atomic.h"
#include "bytes.h"
#include "shmwire.h"

#define NS_PER_S UINT64_C(1000000000)
#define SPIN_ROUNDS 64
#define YIELD_ROUNDS 72
#define LONGEST_NAP_NS UINT64_C(1000000)

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static struct timespec to_timespec(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}

uint64_t shmw_now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t shmw_wall_clock(void)
{
    return read_clock(CLOCK_REALTIME);
}

uint64_t shmw_deadline(uint64_t timeout_ns)
{
    if (timeout_ns == 0 || timeout_ns == SHMW_FOREVER)
        return timeout_ns;
    const uint64_t now = shmw_now();
    return timeout_ns < SHMW_FOREVER - now ? now + timeout_ns : SHMW_FOREVER;
}

bool shmw_expired(uint64_t deadline)
{
    if (deadline == 0 || deadline == SHMW_FOREVER)
        return deadline == 0;
    return shmw_now() >= deadline;
}

uint64_t shmw_remaining(uint64_t deadline, uint64_t limit_ns)
{
    if (deadline == SHMW_FOREVER)
        return limit_ns;
    const uint64_t now = shmw_now();
    return now < deadline ? shmw_min_u64(deadline - now, limit_ns) : 0;
}

void shmw_sleep(uint64_t ns)
{
    const struct timespec time = to_timespec(ns);
    nanosleep(&time, NULL);
}

void shmw_backoff_pause(struct shmw_backoff *backoff, uint64_t deadline)
{
    const unsigned round = backoff->round;
    if (round < SPIN_ROUNDS) {
        backoff->round++;
        shmw_relax();
    } else if (round < YIELD_ROUNDS) {
        backoff->round++;
        sched_yield();
    } else {
        const unsigned doublings = round - YIELD_ROUNDS;
        const uint64_t nap = shmw_min_u64(UINT64_C(1000) << doublings, LONGEST_NAP_NS);
        if (nap < LONGEST_NAP_NS)
            backoff->round++;
        shmw_sleep(shmw_remaining(deadline, nap));
    }
}

int shmw_futex_wait(_Atomic(uint32_t) *word, uint32_t value, uint64_t timeout_ns)
{
    const struct timespec timeout = to_timespec(timeout_ns);
    /* No FUTEX_PRIVATE_FLAG: the other side is another process. */
    const long rc = syscall(SYS_futex, word, FUTEX_WAIT, value, &timeout, NULL, 0);
    if (rc == 0 || errno == EAGAIN || errno == EINTR || errno == ETIMEDOUT)
        return SHMW_OK;
    return SHMW_SYSTEM;
}

void shmw_futex_wake(_Atomic(uint32_t) *word, uint64_t count)
{
    const int most = (int)shmw_min_u64(count, INT_MAX);
    /* No FUTEX_PRIVATE_FLAG, as above. It can fail only for an address that is not mapped, and then nobody sleeps on it. */
    (void)syscall(SYS_futex, word, FUTEX_WAKE, most, NULL, NULL, 0);
}
