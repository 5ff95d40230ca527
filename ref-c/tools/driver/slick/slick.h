/* SPDX-License-Identifier: MIT
 *
 * What the files of this profile share: segment.c (handles, inspect, verbs), writer.c and reader.c. */
#ifndef SHMW_DRIVER_SLICK_H
#define SHMW_DRIVER_SLICK_H

#include "../credit.h"
#include "../profile.h"
#include "../reading.h"
#include "map.h"
#include "shmwire/slick.h"

/* A handle: a queue, and a producer and a reader of it, each made at its first use. */
struct slick {
    shmw_slick_queue *queue;
    shmw_slick_producer *producer;
    shmw_slick_reader *reader;
    shmw_slick_cursor *cursor; /* that the reader shares */
    struct shmw_slick_queue_info info;
    struct shmw_map map; /* the same segment once more, read-only, for inspect */
    struct shmw_slick_producer_options producing;
    struct shmw_slick_reader_options reading;
    char *shared; /* locator of the cursor; NULL without one */
    struct pending pending;
    struct shmw_slick_item *views; /* handed out so far; handle v is views[v - 1] */
    size_t view_count;
    struct slick_port *port; /* of a live actor; NULL otherwise */
};

struct slick_claim {
    struct slick *slick;
    struct shmw_slick_claim claim;
};

/* A live actor's half of the queue, with room for what batch calls take. */
struct slick_port {
    struct slick *slick;
    struct credit credit; /* of a writer */
    size_t largest;       /* bytes of an item */
    size_t batch;         /* items per call */
    struct shmw_slick_item *items;
    unsigned char *buffer; /* batch x largest bytes */
};

/* segment.c */
int slick_need_reader(struct slick *slick);
int slick_need_producer(struct slick *slick);

/* `from`, `to` or `index`: where a reader begins. */
int slick_take_start(struct request *rq, const cJSON *object, const char *key, enum shmw_slick_start *start, uint64_t *index);

/* The most bytes that an item of this queue can have, as far as the driver handles them. */
uint64_t slick_largest(const struct slick *slick);

/* writer.c */
int slick_write(struct request *rq, void *segment);
int slick_claim_elements(struct request *rq, void *segment, void **claim);
int slick_commit(struct request *rq, void *claim);
int slick_abandon(struct request *rq, void *claim);
int slick_live_send(void *port, const struct live_message *messages, size_t count, uint64_t timeout_ns);
uint64_t slick_live_sent(struct request *rq, void *port);

/* reader.c */
int slick_read(struct request *rq, void *segment);
int slick_seek(struct request *rq, void *segment);
int slick_last(struct request *rq, struct slick *slick, const cJSON *args);
int slick_view_check(struct request *rq, struct slick *slick, const cJSON *args);
int slick_live_receive(void *port, struct live_message *messages, size_t max, uint64_t timeout_ns, size_t *count);

#endif
