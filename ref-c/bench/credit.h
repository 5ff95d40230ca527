/* SPDX-License-Identifier: MIT
 *
 * Credit: how far the readers of a lossy format are, in a file beside the segment, so that a writer can stay behind them and
 * nothing is lost. The format knows nothing of it. bench/README.md describes the file. */
#ifndef SHMW_BENCH_CREDIT_H
#define SHMW_BENCH_CREDIT_H

#include "common.h"

enum { BENCH_IN_FLIGHT = 256 /* messages that a writer may be ahead of the slowest reader */ };

struct bench_credit;

/* Map PATH.credit for all readers, making it when make is set. Exits 2 on failure. */
struct bench_credit *bench_credit_map(const struct bench_args *args, bool make);

/* A reader has taken so many messages. */
void bench_credit_give(struct bench_credit *credit, const struct bench_args *args, uint64_t taken);

/* Wait until writing message i leaves every reader at most BENCH_IN_FLIGHT behind. *taken is what was known last, from 0. */
void bench_credit_wait(const struct bench_credit *credit, const struct bench_args *args, uint64_t i, uint64_t *taken);

/* Look once: *taken is what the slowest reader has taken, at most `most`. */
void bench_credit_look(const struct bench_credit *credit, const struct bench_args *args, uint64_t most, uint64_t *taken);

/* bench_credit_wait with another window than BENCH_IN_FLIGHT. */
void bench_credit_wait_within(const struct bench_credit *credit, const struct bench_args *args, uint64_t window, uint64_t i,
                              uint64_t *taken);

#endif
