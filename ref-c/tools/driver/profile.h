/* SPDX-License-Identifier: MIT
 *
 * What a profile gives to the driver: one file per profile defines one of these, and main.c lists it.
 *
 * Every operation returns SHMW_OK with rq->ok filled, or an error (or DRIVER_ code), with rq->detail if it has more to say.
 * Answers (EMPTY, FULL, ...) are not errors: they stand as `st` in rq->ok. A NULL operation is answered UNSUPPORTED. */
#ifndef SHMW_DRIVER_PROFILE_H
#define SHMW_DRIVER_PROFILE_H

#include "request.h"

/* What messages carry that do not say otherwise themselves; set by `inject`, cleared by `reset`. */
struct injection {
    bool has_clock;
    bool has_pid;
    bool has_runtime;
    uint64_t clock_ns; /* of the next message that is sent */
    uint64_t clock_step_ns;
    uint64_t boot_ns; /* 0: none */
    uint32_t pid;
    uint16_t runtime;
};
extern struct injection injected;

/* A message of a live run. */
struct live_message {
    unsigned char *data;
    size_t length;
    uint64_t position; /* of a received one */
    uint64_t next;     /* behind a received one, where positions are not counted one by one */
    uint64_t skipped;  /* positions before a received one that were overwritten unread; 0 in profiles that lose nothing */
    uint32_t type;     /* of a received one where payloads have none: the elements of the item */
    uint32_t sender_pid; /* of a received one */
};

struct profile {
    const char *name;
    const char *const *classes;  /* NULL-ended */
    const char *const *features; /* NULL-ended */
    const char *loses; /* a reader may be overtaken: the word for what live readers missed; NULL where nothing is lost */
    bool calls_without_handle; /* some verbs need none: `call` then gets segment NULL */
    bool writer_stays; /* a live writer's handle stays open until `reset`: what it leaves behind is not what it had */
    bool from_zero; /* positions begin at 0, so that a live reader ends at `count` - 1 */
    bool ends_by_message; /* a live reader ends at an END even so, and not at a position */

    int (*create)(struct request *rq, const char *seg, const cJSON *options, void **segment);
    int (*open)(struct request *rq, const char *seg, bool read_only, uint64_t timeout_ns, const cJSON *options, void **segment);
    void (*close)(void *segment);
    int (*inspect)(struct request *rq, void *segment, cJSON *fields);
    int (*write)(struct request *rq, void *segment);
    int (*read)(struct request *rq, void *segment);
    int (*seek)(struct request *rq, void *segment);
    int (*call)(struct request *rq, void *segment, const char *verb, const cJSON *args);

    /* *claim is NULL unless `st` is "ok"; it is freed by main.c, after a commit or abandon that succeeded or with its segment. */
    int (*claim)(struct request *rq, void *segment, void **claim);
    int (*commit)(struct request *rq, void *claim);
    int (*abandon)(struct request *rq, void *claim);

    /* Live actors. open: NULL where `open` read-write serves both roles. send: all of the messages or none; waits up to
     * timeout_ns where the profile can. receive: up to max messages into messages[].data (live_payload_limit bytes each);
     * *count gets how many when the answer is SHMW_OK. */
    int (*live_open)(struct request *rq, const char *seg, bool writer, const cJSON *plan, void **segment);
    int (*live_attach)(struct request *rq, void *segment, const cJSON *plan, void **port);
    int (*live_send)(void *port, const struct live_message *messages, size_t count, uint64_t timeout_ns);
    int (*live_receive)(void *port, struct live_message *messages, size_t max, uint64_t timeout_ns, size_t *count);
    size_t (*live_batch_limit)(void *port);   /* the most messages that one call can ever take */
    size_t (*live_payload_limit)(void *port); /* the most bytes of a message */

    /* Of a writer that may stop early: messages that were sent, and what else its summary says. NULL elsewhere. */
    uint64_t (*live_sent)(struct request *rq, void *port);

    /* What else a writer's summary says. NULL elsewhere. */
    void (*live_summary)(struct request *rq, void *port);
};

extern const struct profile driver_dmxp;
extern const struct profile driver_ouroboros;
extern const struct profile driver_slick;
extern const struct profile driver_shmcomm;
extern const struct profile driver_deepwater;

#endif
