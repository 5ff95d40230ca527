/* SPDX-License-Identifier: MIT
 *
 * What every benchmark actor shares: arguments, pinning, the barrier, the clock, content checks, the result line.
 * bench/README.md describes the protocol.
 */
#ifndef SHMW_BENCH_COMMON_H
#define SHMW_BENCH_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum bench_role { BENCH_MAKE, BENCH_WRITE, BENCH_READ, BENCH_PING, BENCH_PONG };

struct bench_args {
    const char *peer;
    enum bench_role role;
    const char *seg;
    const char *barrier;
    uint64_t count;  /* messages this actor writes, reads or exchanges */
    size_t size;     /* payload bytes */
    size_t batch;    /* messages per call */
    int cpu;         /* -1 = do not pin */
    uint32_t parties;
    uint32_t party;  /* which of the parties this is, from 0: the readers come first */
    uint32_t readers;
    uint64_t room;   /* bytes of the segment where the peer can choose; 0 = as it likes */
    bool crowded;    /* more actors than CPUs: yield instead of spinning */
};

struct bench_result {
    uint64_t messages;
    uint64_t ns;
    uint64_t bad;
    uint64_t skipped; /* messages overwritten before this reader came to them */
    uint64_t least_ns; /* of round trips: the shortest */
    uint64_t p50_ns;
    uint64_t p99_ns;
    uint64_t sum; /* of a scan: of all words read, printed so that no compiler leaves the reading out */
};

/* Parse the actor's command line; prints the usage to stderr and exits 2 when it is wrong. */
struct bench_args bench_parse(int argc, char **argv);

/* CLOCK_MONOTONIC, and CLOCK_REALTIME. */
uint64_t bench_now_ns(void);
uint64_t bench_wall_ns(void);

/* Pin to args->cpu. */
void bench_pin(const struct bench_args *args);

/* Wait until all parties have arrived; returns the time at which this one went on. */
uint64_t bench_barrier(const struct bench_args *args);

/* Called in every turn of a loop that found nothing to do. */
void bench_relax(const struct bench_args *args);

/* Called by a reader of ouroboros or slick that found nothing: let the writers get ahead. Each look takes from them the line at
 * which they meet, so that a reader who looks at once goes in lockstep with them, at a third of the pace. */
void bench_stand_back(const struct bench_args *args);

/* Fill or check the content of message number i: its first word (8 bytes or fewer) and its last byte. Inline: a call would
 * weigh as much as the fastest peer. */
static inline void bench_fill(void *payload, size_t size, uint64_t i)
{
    if (size > 0)
        ((unsigned char *)payload)[size - 1] = (unsigned char)i;
    memcpy(payload, &i, size < sizeof i ? size : sizeof i);
}

static inline bool bench_check(const void *payload, size_t size, uint64_t i)
{
    uint64_t first = i;
    if (size >= sizeof first)
        memcpy(&first, payload, sizeof first);
    return first == i && (size <= sizeof i || ((const unsigned char *)payload)[size - 1] == (unsigned char)i);
}

/* How many records a scan goes over, again and again: what they take, with 32 bytes each for an index, is far beyond the caches.
 * Peers whose names end in "all": all of count, once. */
static inline uint64_t bench_scanned(const struct bench_args *args)
{
    const uint64_t records = (UINT64_C(1) << 28) / (args->size + 32);
    const size_t end = strlen(args->peer);
    const bool all = end > 4 && strcmp(args->peer + end - 4, "-all") == 0;
    return all || args->count < records ? args->count : records;
}

/* A place below `end`, anywhere and not in order: Knuth's generator. *state is 1 at first. */
static inline uint64_t bench_anywhere(uint64_t *state, uint64_t end)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*state >> 33) % end;
}

/* The sum of all 8-byte words of a payload, and of the bytes behind the last one: each byte is loaded. */
uint64_t bench_sum(const void *payload, size_t size);

/* Least, median and 99th percentile of samples; sorts them. */
void bench_percentiles(uint64_t *samples, size_t count, struct bench_result *result);

/* Room for so many samples, mapped beforehand and shared: the result line says how much anonymous memory an endpoint takes. Exits 2
 * on failure. */
uint64_t *bench_samples(uint64_t count);
void bench_samples_free(uint64_t *samples, uint64_t count);

/* Print the result line. Returns the exit code. */
int bench_report(const struct bench_args *args, const struct bench_result *result);

/* Map size bytes of the file at path shared and writable, making it of that size when make is set. Exits 2 on failure. */
void *bench_map(const char *path, size_t size, bool make);

/* Say on stderr what went wrong and exit 2. */
_Noreturn void bench_fail(const char *what);

#endif
