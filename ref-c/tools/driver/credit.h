/* SPDX-License-Identifier: MIT
 *
 * Files beside a live run in which its actors tell each other how far they are. Little-endian u64 at 64 x n: the index behind the
 * last item that reader n was given, 2^64 - 1 when it has ended; a writer with credit stays within a window of the slowest. And
 * a byte that tells readers to end. */
#ifndef SHMW_DRIVER_CREDIT_H
#define SHMW_DRIVER_CREDIT_H

#include "map.h"
#include "request.h"

struct credit {
    struct shmw_map map; /* base NULL: unlimited, or nobody asks */
    uint64_t window;     /* of a writer, indices */
    uint64_t slot;       /* of a reader */
};

/* Open what `credit` of the plan names; nothing when it has none. */
int credit_open(struct request *rq, const cJSON *plan, bool writer, struct credit *credit);

/* May a writer write up to `end`? */
bool credit_allows(const struct credit *credit, uint64_t end);

/* A reader was given everything below `index`. */
void credit_give(const struct credit *credit, uint64_t index);

/* Tells the writers of a reader that it has ended. */
void credit_close(struct credit *credit, bool writer);

/* `until` of the plan: a file, or base NULL. */
int until_open(struct request *rq, const cJSON *plan, struct shmw_map *map);
bool until_over(const struct shmw_map *map);
void until_close(struct shmw_map *map);

#endif
