/* SPDX-License-Identifier: MIT
 *
 * The command `read` in the profiles whose readers are never waited for: what it asks, and how it is answered. */
#ifndef SHMW_DRIVER_READING_H
#define SHMW_DRIVER_READING_H

#include "request.h"

enum read_mode { READ_TRY, READ_BLOCK, READ_BATCH, READ_VIEW };

struct reading {
    enum read_mode mode;
    uint64_t max; /* items, as many as a reply may hold */
    uint64_t timeout_ns;
    size_t size; /* of the buffer, bytes */
    unsigned char *buffer;
    cJSON *items; /* of the reply */
};

/* An error that a read met after its first item; the next read answers it. Of a reader; begins as {0}. */
struct pending {
    int rc;
    uint64_t needed; /* with SHMW_TOO_SMALL */
};

/* What rq asks for; `largest` is the size of its buffer where it does not say. */
int reading_take(struct request *rq, uint64_t largest, struct reading *reading);

/* Answer what is pending, or read: one(rq, context, reading, first) is called up to max times, for a batch or a view once; it
 * adds to reading->items and gives the library's answer. */
int reading_run(struct request *rq, struct reading *reading, struct pending *pending,
                int (*one)(struct request *, void *, struct reading *, bool), void *context);

#endif
