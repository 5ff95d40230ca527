/* SPDX-License-Identifier: MIT
 *
 * What the files of this profile share: segment.c (handles, inspect, verbs), writer.c and reader.c. */
#ifndef SHMW_DRIVER_OUROBOROS_H
#define SHMW_DRIVER_OUROBOROS_H

#include "../profile.h"
#include "../reading.h"
#include "map.h"
#include "shmwire/ouroboros.h"

/* A handle: the writer of a log or a reader of it. */
struct ouroboros {
    shmw_ouroboros_writer *writer; /* NULL in a reader's handle, and the other way round */
    shmw_ouroboros_reader *reader;
    char *seg;                          /* the locator that it was opened by */
    struct shmw_map map;                /* the same segment once more, read-only, for inspect; fd -1 without one */
    struct pending pending;
    struct shmw_ouroboros_entry *views; /* handed out so far; handle v is views[v - 1] */
    size_t view_count;
    struct ouroboros_port *port; /* of a live actor; NULL otherwise */
};

/* A live actor's half of the log, with room for what batch calls fill. */
struct ouroboros_port {
    struct ouroboros *log;
    size_t largest; /* payload bytes of one entry */
    size_t batch;   /* entries per call */
    struct shmw_ouroboros_entry *entries;
    unsigned char *buffer; /* batch x largest bytes */
};

/* segment.c */
int ouroboros_take_start(struct request *rq, const cJSON *object, const char *key, enum shmw_ouroboros_start *start);

/* The handle's half; UNSUPPORTED where it is the other one. */
int ouroboros_need_reader(struct request *rq, const struct ouroboros *log);
int ouroboros_need_writer(struct request *rq, const struct ouroboros *log);

/* The most payload bytes that an entry of this segment can have, as far as the driver handles them. */
uint64_t ouroboros_largest(const struct ouroboros *log);

/* writer.c */
int ouroboros_write(struct request *rq, void *segment);
int ouroboros_live_send(void *port, const struct live_message *messages, size_t count, uint64_t timeout_ns);

/* reader.c */
int ouroboros_read(struct request *rq, void *segment);
int ouroboros_seek(struct request *rq, void *segment);
int ouroboros_view_check(struct request *rq, struct ouroboros *log, const cJSON *args);
int ouroboros_live_receive(void *port, struct live_message *messages, size_t max, uint64_t timeout_ns, size_t *count);

#endif
