/* SPDX-License-Identifier: MIT */
#include "credit.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* Two lines each, since processors fetch lines in pairs. */
enum { ZONE = 128 };

struct bench_credit {
    _Alignas(ZONE) _Atomic(uint64_t) taken;
    unsigned char unused[ZONE - sizeof(uint64_t)];
};

struct bench_credit *bench_credit_map(const struct bench_args *args, bool make)
{
    char path[1024];
    snprintf(path, sizeof path, "%s.credit", args->seg);
    const uint32_t zones = args->readers > 0 ? args->readers : 1;
    return bench_map(path, zones * sizeof(struct bench_credit), make);
}

void bench_credit_give(struct bench_credit *credit, const struct bench_args *args, uint64_t taken)
{
    atomic_store_explicit(&credit[args->party].taken, taken, memory_order_release);
}

static uint64_t least(const struct bench_credit *credit, uint32_t readers, uint64_t otherwise)
{
    uint64_t found = otherwise;
    for (uint32_t r = 0; r < readers; r++) {
        const uint64_t taken = atomic_load_explicit(&credit[r].taken, memory_order_acquire);
        found = taken < found ? taken : found;
    }
    return found;
}

void bench_credit_look(const struct bench_credit *credit, const struct bench_args *args, uint64_t most, uint64_t *taken)
{
    *taken = least(credit, args->readers, most);
}

void bench_credit_wait_within(const struct bench_credit *credit, const struct bench_args *args, uint64_t window, uint64_t i,
                              uint64_t *taken)
{
    while (i - *taken >= window) {
        *taken = least(credit, args->readers, i);
        if (i - *taken >= window)
            bench_relax(args);
    }
}

void bench_credit_wait(const struct bench_credit *credit, const struct bench_args *args, uint64_t i, uint64_t *taken)
{
    bench_credit_wait_within(credit, args, BENCH_IN_FLIGHT, i, taken);
}
