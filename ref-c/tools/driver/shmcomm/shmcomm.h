/* SPDX-License-Identifier: MIT
 *
 * What the files of this profile share: segment.c (handles and verbs), inspect.c, writer.c, reader.c and live.c. */
#ifndef SHMW_DRIVER_SHMCOMM_H
#define SHMW_DRIVER_SHMCOMM_H

#include "../credit.h"
#include "../profile.h"
#include "../reading.h"
#include "map.h"
#include "shmwire/shmcomm.h"

/* A handle: one endpoint. */
struct shmcomm {
    shmw_shmcomm *endpoint;
    enum shmw_shmcomm_role role;
    struct shmw_shmcomm_info info; /* as it was at the beginning */
    uint64_t largest;              /* payload that it can receive, as far as the driver handles them */
    struct shmw_map map;           /* the same segment once more, read-only, for inspect */
    struct pending pending;
    bool lapped;           /* an answer LAPPED that came behind items; the next read gives it */
    uint64_t lapped_lost;
    struct shmw_shmcomm_message *kept; /* views and requests handed out so far; handle k is kept[k - 1] */
    size_t kept_count;
    struct shmcomm_port *port; /* of a live actor; NULL otherwise */
};

struct shmcomm_claim {
    struct shmcomm *shmcomm;
    struct shmw_shmcomm_claim claim;
};

/* A live actor's end of the channel, with room for what batch calls take. */
struct shmcomm_port {
    struct shmcomm *shmcomm;
    struct credit credit; /* of a writer */
    size_t batch;         /* messages per call */
    struct shmw_shmcomm_message *messages;
    struct shmw_shmcomm_part *parts;
    unsigned char *buffer;
    size_t size;      /* of the buffer */
    size_t done;      /* of a call that stopped half-way: messages that were sent */
    uint64_t ends;     /* that a subscriber still waits for */
    uint64_t reply_ns; /* for which a requester waits for a reply */
    uint64_t replied;  /* of a requester */
    uint64_t timeouts;
    uint64_t mismatched;
};

/* segment.c */
int shmcomm_open(struct request *rq, const char *seg, bool read_only, uint64_t timeout_ns, const cJSON *options, void **segment);

/* inspect.c */
int shmcomm_inspect(struct request *rq, void *segment, cJSON *fields);

/* writer.c: what a message is to carry; injections and `meta` of the object, which may be NULL. shmcomm NULL: for a reply, whose
 * channel's serializer the driver does not see; it is raw then. */
int shmcomm_take_meta(struct request *rq, const struct shmcomm *shmcomm, const cJSON *object, struct shmw_shmcomm_meta *meta);
void shmcomm_count_sent(uint64_t messages);
int shmcomm_write(struct request *rq, void *segment);
int shmcomm_claim(struct request *rq, void *segment, void **claim);
int shmcomm_commit(struct request *rq, void *claim);
int shmcomm_abandon(struct request *rq, void *claim);

/* reader.c */
int shmcomm_read(struct request *rq, void *segment);
int shmcomm_seek(struct request *rq, void *segment);
int shmcomm_reply(struct request *rq, struct shmcomm *shmcomm, const cJSON *args);
int shmcomm_view_check(struct request *rq, struct shmcomm *shmcomm, const cJSON *args);

/* live.c */
void shmcomm_port_free(struct shmcomm_port *port);
int shmcomm_live_open(struct request *rq, const char *seg, bool writer, const cJSON *plan, void **segment);
int shmcomm_live_attach(struct request *rq, void *segment, const cJSON *plan, void **out);
int shmcomm_live_send(void *port, const struct live_message *messages, size_t count, uint64_t timeout_ns);
int shmcomm_live_receive(void *port, struct live_message *messages, size_t max, uint64_t timeout_ns, size_t *count);
size_t shmcomm_live_batch_limit(void *port);
size_t shmcomm_live_payload_limit(void *port);
void shmcomm_live_summary(struct request *rq, void *port);

#endif
