/* SPDX-License-Identifier: MIT
 *
 * Profile dmxp behind the driver protocol: writing. */
#include "dmxp.h"

#include <stdlib.h>
#include <string.h>

struct dmxp_claim {
    shmw_dmxp_channel *channel;
    struct shmw_dmxp_claim claim;
};

/* Meta ------------------------------------------------------------------------------------------------------------- */

int dmxp_take_meta(struct request *rq, const cJSON *item, uint64_t nth, struct shmw_dmxp_meta *meta)
{
    *meta = (struct shmw_dmxp_meta){.message_id = SHMW_DMXP_ID_POSITION};
    if (injected.has_clock)
        meta->timestamp_ns = injected.clock_ns + nth * injected.clock_step_ns;
    if (injected.has_pid)
        meta->sender_pid = injected.pid;
    if (injected.has_runtime)
        meta->sender_runtime = injected.runtime;
    const cJSON *given = field(item, "meta");
    uint64_t type = 0;
    uint64_t pid = meta->sender_pid;
    uint64_t runtime = meta->sender_runtime;
    uint64_t flags = 0;
    int rc = want_u64(rq, given, "message_id", UINT64_MAX, &meta->message_id);
    if (rc == SHMW_OK)
        rc = want_u64(rq, given, "timestamp_ns", UINT64_MAX, &meta->timestamp_ns);
    if (rc == SHMW_OK)
        rc = want_u64(rq, given, "message_type", UINT32_MAX, &type);
    if (rc == SHMW_OK)
        rc = want_u64(rq, given, "sender_pid", UINT32_MAX, &pid);
    if (rc == SHMW_OK)
        rc = want_u64(rq, given, "sender_runtime", UINT16_MAX, &runtime);
    if (rc == SHMW_OK)
        rc = want_u64(rq, given, "flags", UINT16_MAX, &flags);
    meta->message_type = (uint32_t)type;
    meta->sender_pid = (uint32_t)pid;
    meta->sender_runtime = (uint16_t)runtime;
    meta->flags = (uint16_t)flags;
    return rc;
}

void dmxp_count_sent(uint64_t messages)
{
    injected.clock_ns += messages * injected.clock_step_ns;
}

/* Write ------------------------------------------------------------------------------------------------------------ */

static void put_result(cJSON *results, int answer, uint64_t position)
{
    cJSON *result = push_object(results);
    put_text(result, "st", answer_word(answer));
    if (answer == SHMW_OK)
        put_u64(result, "pos", position);
}

static int write_each(struct request *rq, shmw_dmxp_channel *channel, const cJSON *items, bool block, cJSON *results)
{
    uint64_t timeout_ns = 0;
    int rc = want_timeout(rq, &timeout_ns);
    const cJSON *item;
    cJSON_ArrayForEach (item, items) {
        struct shmw_dmxp_meta meta;
        struct bytes data = {0};
        uint64_t position = 0;
        if (rc == SHMW_OK)
            rc = need_bytes(rq, item, "data", &data);
        if (rc == SHMW_OK)
            rc = dmxp_take_meta(rq, item, 0, &meta);
        if (rc != SHMW_OK)
            return rc;
        rc = block ? shmw_dmxp_send(channel, data.data, data.len, &meta, timeout_ns, &position)
                   : shmw_dmxp_try_send(channel, data.data, data.len, &meta, &position);
        if (rc < 0)
            return rc;
        put_result(results, rc, position);
        if (rc != SHMW_OK)
            return SHMW_OK;
        dmxp_count_sent(1);
    }
    return rc;
}

static int write_batch(struct request *rq, shmw_dmxp_channel *channel, const cJSON *items, cJSON *results)
{
    const size_t count = (size_t)cJSON_GetArraySize(items);
    struct shmw_dmxp_item *batch = request_alloc(rq, count * sizeof(*batch));
    struct shmw_dmxp_meta *metas = request_alloc(rq, count * sizeof(*metas));
    size_t n = 0;
    int rc = SHMW_OK;
    const cJSON *item;
    cJSON_ArrayForEach (item, items) {
        struct bytes data = {0};
        rc = need_bytes(rq, item, "data", &data);
        if (rc == SHMW_OK)
            rc = dmxp_take_meta(rq, item, n, &metas[n]);
        if (rc != SHMW_OK)
            return rc;
        batch[n] = (struct shmw_dmxp_item){.data = data.data, .length = data.len, .meta = &metas[n]};
        n++;
    }
    uint64_t position = 0;
    rc = shmw_dmxp_try_send_batch(channel, batch, n, &position);
    if (rc < 0)
        return rc;
    put_result(results, rc, position);
    if (rc == SHMW_OK)
        dmxp_count_sent(n);
    return SHMW_OK;
}

int dmxp_write(struct request *rq, void *segment)
{
    shmw_dmxp_channel *channel = NULL;
    const char *mode = NULL;
    uint32_t id = 0;
    int rc = dmxp_take_channel(rq, segment, rq->body, &id, &channel);
    if (rc == SHMW_OK)
        rc = need_text(rq, rq->body, "mode", &mode);
    if (rc != SHMW_OK)
        return rc;
    const cJSON *items = field(rq->body, "items");
    if (!cJSON_IsArray(items))
        return request_fail(rq, DRIVER_BAD_REQUEST, "items is missing or not an array");
    cJSON *results = put_array(rq->ok, "results");
    if (strcmp(mode, "batch") == 0)
        return write_batch(rq, channel, items, results);
    if (strcmp(mode, "try") != 0 && strcmp(mode, "block") != 0)
        return request_fail(rq, DRIVER_BAD_REQUEST, "mode is not try, block or batch");
    return write_each(rq, channel, items, strcmp(mode, "block") == 0, results);
}

int dmxp_claim_slot(struct request *rq, void *segment, void **out)
{
    shmw_dmxp_channel *channel = NULL;
    uint32_t id = 0;
    int rc = dmxp_take_channel(rq, segment, rq->body, &id, &channel);
    if (rc != SHMW_OK)
        return rc;
    struct dmxp_claim *claim = calloc(1, sizeof(*claim));
    if (claim == NULL)
        return DRIVER_INTERNAL;
    claim->channel = channel;
    rc = shmw_dmxp_claim(channel, &claim->claim);
    if (rc != SHMW_OK) {
        free(claim);
        if (rc > 0)
            put_text(rq->ok, "st", answer_word(rc));
        return rc > 0 ? SHMW_OK : rc;
    }
    *out = claim;
    put_text(rq->ok, "st", answer_word(rc));
    put_u64(rq->ok, "pos", claim->claim.position);
    put_number(rq->ok, "capacity", claim->claim.capacity);
    return SHMW_OK;
}

int dmxp_commit(struct request *rq, void *held)
{
    struct dmxp_claim *claim = held;
    struct shmw_dmxp_meta meta;
    struct bytes data = {0};
    int rc = need_bytes(rq, rq->body, "data", &data);
    if (rc == SHMW_OK)
        rc = dmxp_take_meta(rq, rq->body, 0, &meta);
    if (rc != SHMW_OK)
        return rc;
    if (data.len <= claim->claim.capacity) /* otherwise commit itself must refuse the length */
        memcpy(claim->claim.payload, data.data, data.len);
    rc = shmw_dmxp_commit(claim->channel, &claim->claim, data.len, &meta);
    if (rc == SHMW_OK)
        dmxp_count_sent(1);
    return rc;
}

int dmxp_abandon(struct request *rq, void *held)
{
    struct dmxp_claim *claim = held;
    (void)rq;
    return shmw_dmxp_abandon(claim->channel, &claim->claim);
}

/* Live ------------------------------------------------------------------------------------------------------------- */

int dmxp_live_send(void *held, const struct live_message *messages, size_t count, uint64_t timeout_ns)
{
    struct dmxp_port *port = held;
    for (size_t i = 0; i < count; i++) {
        port->metas[i] = (struct shmw_dmxp_meta){.message_id = SHMW_DMXP_ID_POSITION, .message_type = messages[i].type};
        port->items[i] = (struct shmw_dmxp_item){.data = messages[i].data, .length = messages[i].length, .meta = &port->metas[i]};
    }
    if (count > 1)
        return shmw_dmxp_try_send_batch(port->channel, port->items, count, NULL);
    if (timeout_ns == 0)
        return shmw_dmxp_try_send(port->channel, messages[0].data, messages[0].length, &port->metas[0], NULL);
    return shmw_dmxp_send(port->channel, messages[0].data, messages[0].length, &port->metas[0], timeout_ns, NULL);
}
