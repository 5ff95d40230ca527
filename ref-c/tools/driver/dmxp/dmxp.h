/* SPDX-License-Identifier: MIT
 *
 * What the files of this profile share: segment.c (handles, inspect, verbs), writer.c and reader.c. */
#ifndef SHMW_DRIVER_DMXP_H
#define SHMW_DRIVER_DMXP_H

#include "../profile.h"
#include "shmwire/dmxp.h"

/* A handle: an open segment with the channels that it has used so far. */
struct dmxp {
    shmw_dmxp_segment *segment;
    shmw_dmxp_channel *channels[SHMW_DMXP_MAX_CHANNELS]; /* attached at the first use */
    int pending[SHMW_DMXP_MAX_CHANNELS]; /* error that a read met after its first item; the next read answers it */
    struct dmxp_port *port;              /* of a live actor; NULL otherwise */
};

/* A live actor's channel, with room for the arrays that batch calls take. */
struct dmxp_port {
    shmw_dmxp_channel *channel;
    uint64_t capacity;
    struct shmw_dmxp_item *items;
    struct shmw_dmxp_meta *metas;
    struct shmw_dmxp_message *messages;
    unsigned char *buffer; /* LIVE_LARGEST_BATCH payloads */
};

/* segment.c */
int dmxp_open(struct request *rq, const char *seg, bool read_only, uint64_t timeout_ns, const cJSON *options, void **segment);
void dmxp_close(void *segment);

/* The channel that the object's field `channel` names, attached. */
int dmxp_take_channel(struct request *rq, struct dmxp *dmxp, const cJSON *object, uint32_t *id, shmw_dmxp_channel **channel);

/* writer.c. Meta of the nth message from now: what the item says, else what was injected, else the library's own. */
int dmxp_take_meta(struct request *rq, const cJSON *item, uint64_t nth, struct shmw_dmxp_meta *meta);
/* Move the injected clock on by that many messages. */
void dmxp_count_sent(uint64_t messages);
int dmxp_write(struct request *rq, void *segment);
int dmxp_claim_slot(struct request *rq, void *segment, void **claim);
int dmxp_commit(struct request *rq, void *claim);
int dmxp_abandon(struct request *rq, void *claim);
int dmxp_live_send(void *port, const struct live_message *messages, size_t count, uint64_t timeout_ns);

/* reader.c */
int dmxp_read(struct request *rq, void *segment);
int dmxp_live_receive(void *port, struct live_message *messages, size_t max, uint64_t timeout_ns, size_t *count);

#endif
