/* SPDX-License-Identifier: MIT
 *
 * Time limits, back-off and process-shared futexes: the parts of waiting that are the same in every profile. */
#ifndef SHMW_SRC_WAIT_H
#define SHMW_SRC_WAIT_H

#include <stdbool.h>
#include <stdint.h>

/* Nanoseconds of CLOCK_MONOTONIC, and of CLOCK_REALTIME (since the Unix epoch). */
uint64_t shmw_now(void);
uint64_t shmw_wall_clock(void);

/* The moment at which a time limit ends. 0 and SHMW_FOREVER stay what they are: over at once, and never. */
uint64_t shmw_deadline(uint64_t timeout_ns);

/* Has the moment come? */
bool shmw_expired(uint64_t deadline);

/* Nanoseconds until the deadline, at most limit_ns. */
uint64_t shmw_remaining(uint64_t deadline, uint64_t limit_ns);

/* Sleep for up to ns, less when a signal comes. */
void shmw_sleep(uint64_t ns);

/* Polling where the format has no word to sleep on: spin, then yield, then sleep up to 1 ms at a time. Start from {0}. */
struct shmw_backoff {
    unsigned round;
};
void shmw_backoff_pause(struct shmw_backoff *backoff, uint64_t deadline);

/* FUTEX_WAIT, process-shared, for up to timeout_ns. SHMW_OK when woken, when *word was not value, after a signal or when the time
 * was up: the caller looks again in every case. SHMW_SYSTEM when the kernel refuses. */
int shmw_futex_wait(_Atomic(uint32_t) *word, uint32_t value, uint64_t timeout_ns);

/* FUTEX_WAKE, process-shared, for up to count sleepers. */
void shmw_futex_wake(_Atomic(uint32_t) *word, uint64_t count);

#endif
