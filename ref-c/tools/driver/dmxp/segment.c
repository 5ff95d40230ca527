/* SPDX-License-Identifier: MIT
 *
 * Profile dmxp behind the driver protocol: handles, inspect, verbs. */
#include "dmxp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../live.h"
#include "dmxp/layout.h"

/* Segment ---------------------------------------------------------------------------------------------------------- */

static void port_free(struct dmxp_port *port);

static int wrap(shmw_dmxp_segment *inner, void **segment)
{
    struct dmxp *dmxp = calloc(1, sizeof(*dmxp));
    if (dmxp == NULL) {
        shmw_dmxp_close(inner);
        return DRIVER_INTERNAL;
    }
    dmxp->segment = inner;
    *segment = dmxp;
    return SHMW_OK;
}

static int dmxp_create(struct request *rq, const char *seg, const cJSON *options, void **segment)
{
    struct shmw_dmxp_create_options create = {0};
    uint64_t layout = 0;
    int rc = want_u64(rq, options, "size", UINT64_MAX, &create.size);
    if (rc == SHMW_OK)
        rc = want_u64(rq, options, "payload_layout", UINT32_MAX, &layout);
    if (rc != SHMW_OK)
        return rc;
    create.payload_layout = (uint32_t)layout;
    rc = want_mode(rq, options, &create.mode);
    if (rc != SHMW_OK)
        return rc;
    shmw_dmxp_segment *inner = NULL;
    rc = shmw_dmxp_create(seg, &create, &inner);
    return rc == SHMW_OK ? wrap(inner, segment) : rc;
}

static int take_payload_choice(struct request *rq, const cJSON *options, enum shmw_dmxp_payload_choice *choice)
{
    static const char *const words[] = {
        [SHMW_DMXP_CHOOSE_CRATE] = "crate", [SHMW_DMXP_CHOOSE_DOCUMENT] = "document", [SHMW_DMXP_CHOOSE_AUTO] = "auto"};
    unsigned word = *choice;
    const int rc = want_word(rq, options, "payload", words, sizeof(words) / sizeof(words[0]), &word);
    *choice = (enum shmw_dmxp_payload_choice)word;
    return rc;
}

int dmxp_open(struct request *rq, const char *seg, bool read_only, uint64_t timeout_ns, const cJSON *options, void **segment)
{
    struct shmw_dmxp_open_options open = {.read_only = read_only, .ready_timeout_ns = timeout_ns};
    int rc = take_payload_choice(rq, options, &open.payload_choice);
    if (rc != SHMW_OK)
        return rc;
    shmw_dmxp_segment *inner = NULL;
    rc = shmw_dmxp_open(seg, &open, &inner);
    return rc == SHMW_OK ? wrap(inner, segment) : rc;
}

void dmxp_close(void *segment)
{
    struct dmxp *dmxp = segment;
    for (size_t i = 0; i < SHMW_DMXP_MAX_CHANNELS; i++)
        if (dmxp->channels[i] != NULL)
            shmw_dmxp_detach(dmxp->channels[i]);
    shmw_dmxp_close(dmxp->segment);
    port_free(dmxp->port);
    free(dmxp);
}

int dmxp_take_channel(struct request *rq, struct dmxp *dmxp, const cJSON *object, uint32_t *id, shmw_dmxp_channel **channel)
{
    uint64_t number = 0;
    int rc = need_u64(rq, object, "channel", UINT32_MAX, &number);
    if (rc != SHMW_OK)
        return rc;
    if (number >= SHMW_DMXP_MAX_CHANNELS)
        return request_fail(rq, SHMW_INVALID_ARGUMENT, "channel %llu", (unsigned long long)number);
    *id = (uint32_t)number;
    if (dmxp->channels[number] == NULL)
        rc = shmw_dmxp_attach(dmxp->segment, *id, &dmxp->channels[number]);
    *channel = dmxp->channels[number];
    return rc;
}

/* Inspect ---------------------------------------------------------------------------------------------------------- */

static void put_channel_field(cJSON *fields, uint32_t id, const char *name, uint64_t value)
{
    char key[64];
    snprintf(key, sizeof(key), "channel[%u].%s", (unsigned)id, name);
    put_u64(fields, key, value);
}

static int put_channel(struct dmxp *dmxp, cJSON *fields, uint32_t id)
{
    struct shmw_dmxp_channel_info info;
    const int rc = shmw_dmxp_channel_info(dmxp->segment, id, &info);
    if (rc != SHMW_OK || info.capacity == 0)
        return rc;
    put_channel_field(fields, id, "channel_id", info.channel_id);
    put_channel_field(fields, id, "flags", info.flags);
    put_channel_field(fields, id, "capacity", info.capacity);
    put_channel_field(fields, id, "band_offset", info.band_offset);
    put_channel_field(fields, id, "signal", info.signal);
    put_channel_field(fields, id, "waiters", info.waiters);
    put_channel_field(fields, id, "retired_capacity", info.retired_capacity);
    put_channel_field(fields, id, "tail", info.tail);
    put_channel_field(fields, id, "head", info.head);
    put_channel_field(fields, id, "removals", info.removals);
    return SHMW_OK;
}

static int dmxp_inspect(struct request *rq, void *segment, cJSON *fields)
{
    struct dmxp *dmxp = segment;
    struct shmw_dmxp_segment_info info;
    (void)rq;
    int rc = shmw_dmxp_info(dmxp->segment, &info);
    if (rc != SHMW_OK)
        return rc;
    put_u64(fields, "header.magic", SHMW_DMXP_MAGIC); /* no other value gets past open */
    put_u64(fields, "header.version", info.version);
    put_u64(fields, "header.max_channels", info.max_channels);
    put_u64(fields, "header.channel_count", info.channel_count);
    put_u64(fields, "header.payload_layout", info.payload_layout);
    for (uint32_t id = 0; id < SHMW_DMXP_MAX_CHANNELS && rc == SHMW_OK; id++)
        rc = put_channel(dmxp, fields, id);
    return rc;
}

/* Verbs ------------------------------------------------------------------------------------------------------------ */

static int verb_channel_create(struct request *rq, struct dmxp *dmxp, const cJSON *args)
{
    struct shmw_dmxp_channel_options options = {0};
    uint64_t id = 0;
    int rc = need_u64(rq, args, "channel", UINT32_MAX, &id);
    if (rc == SHMW_OK)
        rc = want_u64(rq, args, "capacity", UINT64_MAX, &options.capacity);
    if (rc == SHMW_OK)
        rc = want_bool(rq, args, "counted_waiters", &options.counted_waiters);
    return rc == SHMW_OK ? shmw_dmxp_channel_create(dmxp->segment, (uint32_t)id, &options) : rc;
}

static int verb_channel_remove(struct request *rq, struct dmxp *dmxp, const cJSON *args)
{
    uint64_t id = 0;
    const int rc = need_u64(rq, args, "channel", UINT32_MAX, &id);
    return rc == SHMW_OK ? shmw_dmxp_channel_remove(dmxp->segment, (uint32_t)id) : rc;
}

static int verb_channels(struct request *rq, struct dmxp *dmxp, const cJSON *args)
{
    uint32_t ids[SHMW_DMXP_MAX_CHANNELS];
    size_t count = 0;
    (void)args;
    const int rc = shmw_dmxp_channel_list(dmxp->segment, ids, SHMW_DMXP_MAX_CHANNELS, &count);
    cJSON *list = put_array(rq->ok, "channels");
    for (size_t i = 0; rc == SHMW_OK && i < count && i < SHMW_DMXP_MAX_CHANNELS; i++)
        if (!cJSON_AddItemToArray(list, cJSON_CreateNumber(ids[i])))
            return DRIVER_INTERNAL;
    return rc;
}

static int verb_validate(struct request *rq, struct dmxp *dmxp, const cJSON *args)
{
    const char *finding = NULL;
    uint32_t channel = UINT32_MAX;
    (void)args;
    const int rc = shmw_dmxp_validate(dmxp->segment, &finding, &channel);
    if (rc == SHMW_OK || finding == NULL)
        return rc;
    if (channel == UINT32_MAX)
        return request_fail(rq, rc, "%s", finding);
    return request_fail(rq, rc, "channel %u: %s", (unsigned)channel, finding);
}

static int verb_recover(struct request *rq, struct dmxp *dmxp, const cJSON *args)
{
    struct shmw_dmxp_recovery report = {0};
    bool all_dead = false;
    int rc = want_bool(rq, args, "all_dead", &all_dead);
    if (rc == SHMW_OK)
        rc = shmw_dmxp_recover(dmxp->segment, all_dead, &report);
    if (rc != SHMW_OK)
        return rc;
    put_u64(rq->ok, "tombstones", report.tombstones);
    put_u64(rq->ok, "possibly_lost", report.possibly_lost);
    put_u64(rq->ok, "waiters_reset", report.waiters_reset);
    put_bool(rq->ok, "count_repaired", report.count_repaired);
    return SHMW_OK;
}

static int dmxp_call(struct request *rq, void *segment, const char *verb, const cJSON *args)
{
    static const struct {
        const char *name;
        int (*run)(struct request *, struct dmxp *, const cJSON *);
    } verbs[] = {
        {"dmxp.channel_create", verb_channel_create},
        {"dmxp.channel_remove", verb_channel_remove},
        {"dmxp.channels", verb_channels},
        {"dmxp.validate", verb_validate},
        {"dmxp.recover", verb_recover},
    };
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (strcmp(verb, verbs[i].name) == 0)
            return verbs[i].run(rq, segment, args);
    return request_fail(rq, DRIVER_UNKNOWN_COMMAND, "verb %.60s", verb);
}

/* Live ------------------------------------------------------------------------------------------------------------- */

static void port_free(struct dmxp_port *port)
{
    if (port == NULL)
        return;
    free(port->items);
    free(port->metas);
    free(port->messages);
    free(port->buffer);
    free(port);
}

static int port_new(struct dmxp_port **out)
{
    struct dmxp_port *port = calloc(1, sizeof(*port));
    *out = port;
    if (port == NULL)
        return DRIVER_INTERNAL;
    port->items = calloc(LIVE_LARGEST_BATCH, sizeof(*port->items));
    port->metas = calloc(LIVE_LARGEST_BATCH, sizeof(*port->metas));
    port->messages = calloc(LIVE_LARGEST_BATCH, sizeof(*port->messages));
    port->buffer = calloc(LIVE_LARGEST_BATCH, SHMW_DMXP_PAYLOAD_CAPACITY_CRATE);
    return port->items != NULL && port->metas != NULL && port->messages != NULL && port->buffer != NULL ? SHMW_OK
                                                                                                        : DRIVER_INTERNAL;
}

static int dmxp_live_attach(struct request *rq, void *segment, const cJSON *plan, void **out)
{
    struct dmxp *dmxp = segment;
    struct shmw_dmxp_channel_info info;
    uint32_t id = 0;
    int rc = port_new(&dmxp->port);
    if (rc == SHMW_OK)
        rc = dmxp_take_channel(rq, dmxp, plan, &id, &dmxp->port->channel);
    if (rc == SHMW_OK)
        rc = shmw_dmxp_channel_info(dmxp->segment, id, &info);
    if (rc != SHMW_OK)
        return rc;
    dmxp->port->capacity = info.capacity;
    *out = dmxp->port;
    return SHMW_OK;
}

static size_t dmxp_live_batch_limit(void *port)
{
    const uint64_t capacity = ((struct dmxp_port *)port)->capacity;
    return capacity < LIVE_LARGEST_BATCH ? (size_t)capacity : LIVE_LARGEST_BATCH;
}

static size_t dmxp_live_payload_limit(void *port)
{
    (void)port;
    return SHMW_DMXP_PAYLOAD_CAPACITY_CRATE;
}

/* Table ------------------------------------------------------------------------------------------------------------ */

static const char *const classes[] = {"inspect",  "read",     "write",    "write-exact", "live",
                                      "blocking", "hardened", "recovery", NULL};
static const char *const features[] = {"batch", "split", "inject", "sleep-hook", NULL};

const struct profile driver_dmxp = {
    .name = "dmxp",
    .classes = classes,
    .features = features,
    .create = dmxp_create,
    .open = dmxp_open,
    .close = dmxp_close,
    .inspect = dmxp_inspect,
    .write = dmxp_write,
    .read = dmxp_read,
    .call = dmxp_call,
    .claim = dmxp_claim_slot,
    .commit = dmxp_commit,
    .abandon = dmxp_abandon,
    .live_attach = dmxp_live_attach,
    .live_send = dmxp_live_send,
    .live_receive = dmxp_live_receive,
    .live_batch_limit = dmxp_live_batch_limit,
    .live_payload_limit = dmxp_live_payload_limit,
};
