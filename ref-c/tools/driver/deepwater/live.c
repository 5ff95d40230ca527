/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater behind the driver protocol: live actors. */
#include <stdlib.h>
#include <string.h>

#include "../live.h"
#include "deepwater.h"

#define STEP_NS UINT64_C(1000) /* between the timestamps of two messages */
#define LARGEST_PAYLOAD (UINT64_C(1) << 20)

struct deepwater_port {
    struct deepwater *handle;
    struct shmw_deepwater_part *parts;
    struct shmw_deepwater_record *records;
    size_t batch;
    uint64_t sent;
    uint64_t rotate_every; /* 0: never on purpose */
    uint64_t largest;      /* payload bytes */
    uint64_t lost;         /* before the next record */
    bool failed;
};

void deepwater_port_free(struct deepwater_port *port)
{
    if (port == NULL)
        return;
    free(port->parts);
    free(port->records);
    free(port);
}

/* A writer makes the feed if it is not there; a reader waits for it as long as the plan's limit. */
int deepwater_live_open(struct request *rq, const char *seg, bool writer, const cJSON *plan, void **segment)
{
    uint64_t limit_ms = 0;
    int rc = want_u64(rq, plan, "limit_ms", UINT32_MAX, &limit_ms);
    if (rc != SHMW_OK)
        return rc;
    cJSON *options = field(plan, "open") != NULL ? cJSON_Duplicate(field(plan, "open"), true) : cJSON_CreateObject();
    if (!cJSON_IsObject(options)) {
        cJSON_Delete(options);
        return request_fail(rq, DRIVER_BAD_REQUEST, "open is not an object");
    }
    static const char *const starts[] = {"from", "sequence"};
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
        if (!writer && field(plan, starts[i]) != NULL && field(options, starts[i]) == NULL)
            cJSON_AddItemToObject(options, starts[i], cJSON_Duplicate(field(plan, starts[i]), true));
    if (writer && field(options, "any") == NULL)
        cJSON_AddTrueToObject(options, "any");
    rc = writer ? deepwater_open_writer(rq, seg, options, false, segment)
                : deepwater_open_reader(rq, seg, limit_ms * UINT64_C(1000000), options, segment);
    cJSON_Delete(options);
    return rc;
}

int deepwater_live_attach(struct request *rq, void *segment, const cJSON *plan, void **out)
{
    struct deepwater *handle = segment;
    struct shmw_deepwater_feed feed;
    uint64_t batch = 1;
    uint64_t rotate_every = 0;
    int rc = want_u64(rq, plan, "batch", LIVE_LARGEST_BATCH, &batch);
    if (rc == SHMW_OK)
        rc = want_u64(rq, plan, "rotate_every", UINT64_MAX, &rotate_every);
    if (rc == SHMW_OK)
        rc = handle->writer != NULL ? shmw_deepwater_writer_feed(handle->writer, &feed)
                                    : shmw_deepwater_reader_feed(handle->reader, &feed);
    if (rc != SHMW_OK)
        return rc;
    struct deepwater_port *port = calloc(1, sizeof(*port));
    if (port == NULL)
        return DRIVER_INTERNAL;
    handle->port = port; /* freed with the handle */
    *port = (struct deepwater_port){.handle = handle, .batch = (size_t)(batch > 0 ? batch : 1), .rotate_every = rotate_every};
    port->largest = feed.chunk_size < LARGEST_PAYLOAD ? feed.chunk_size : LARGEST_PAYLOAD;
    port->parts = calloc(port->batch, sizeof(*port->parts));
    port->records = calloc(port->batch, sizeof(*port->records));
    if (port->parts == NULL || port->records == NULL)
        return DRIVER_INTERNAL;
    *out = port;
    return SHMW_OK;
}

/* Timestamps are those of the feed's sequences: a writer that takes over goes on behind the one before. */
static uint64_t first_sequence(const struct deepwater_port *port)
{
    struct shmw_deepwater_feed feed;
    if (shmw_deepwater_writer_feed(port->handle->writer, &feed) != SHMW_OK || feed.last_sequence == SHMW_DEEPWATER_NONE)
        return 0;
    return feed.last_sequence + 1;
}

int deepwater_live_send(void *held, const struct live_message *messages, size_t count, uint64_t timeout_ns)
{
    struct deepwater_port *port = held;
    const uint64_t first = first_sequence(port);
    size_t done = 0;
    (void)timeout_ns;
    for (size_t i = 0; i < count; i++)
        port->parts[i] = (struct shmw_deepwater_part){.timestamp_ns = STEP_NS * (first + i),
                                                      .data = messages[i].data,
                                                      .length = (uint32_t)messages[i].length,
                                                      .type = messages[i].type};
    int rc = SHMW_OK;
    if (count == 1) {
        rc = shmw_deepwater_append(port->handle->writer, port->parts[0].timestamp_ns, port->parts[0].type, port->parts[0].data,
                                   port->parts[0].length, NULL);
        done = rc == SHMW_OK;
    } else {
        rc = shmw_deepwater_append_batch(port->handle->writer, port->parts, count, &done);
    }
    const uint64_t before = port->sent;
    port->sent += done;
    if (rc == SHMW_OK && port->rotate_every > 0 && before / port->rotate_every != port->sent / port->rotate_every)
        rc = shmw_deepwater_rotate(port->handle->writer);
    return rc;
}

uint64_t deepwater_live_sent(struct request *rq, void *held)
{
    const struct deepwater_port *port = held;
    (void)rq;
    return port->sent;
}

static void take_record(struct deepwater_port *port, const struct shmw_deepwater_record *record, struct live_message *message)
{
    const size_t length = record->length < port->largest ? record->length : (size_t)port->largest;
    memcpy(message->data, record->data, length);
    message->length = length;
    message->position = record->sequence;
    message->next = record->sequence + 1;
    message->type = record->type;
    message->sender_pid = (uint32_t)record->chunk_id; /* where this profile's records have the chunk */
    message->skipped = port->lost;
    port->lost = 0;
}

int deepwater_live_receive(void *held, struct live_message *messages, size_t max, uint64_t timeout_ns, size_t *count)
{
    struct deepwater_port *port = held;
    shmw_deepwater_reader *reader = port->handle->reader;
    *count = 0;
    int rc = max > 1 ? shmw_deepwater_next_batch(reader, port->records, max, count) : SHMW_EMPTY;
    if (rc == SHMW_EMPTY && (max == 1 || timeout_ns > 0)) {
        rc = timeout_ns > 0 ? shmw_deepwater_wait_next(reader, timeout_ns, 0, port->records)
                            : shmw_deepwater_next(reader, port->records);
        *count = rc == SHMW_OK;
    }
    if (rc == SHMW_EXPIRED) { /* counted with the record that comes next */
        port->lost += port->records[0].lost;
        *count = 0;
        return SHMW_EMPTY;
    }
    for (size_t i = 0; rc == SHMW_OK && i < *count; i++)
        take_record(port, &port->records[i], &messages[i]);
    return rc;
}

size_t deepwater_live_batch_limit(void *held)
{
    const struct deepwater_port *port = held;
    return port->batch;
}

size_t deepwater_live_payload_limit(void *held)
{
    const struct deepwater_port *port = held;
    return (size_t)port->largest;
}
