/* SPDX-License-Identifier: MIT
 *
 * Profile ouroboros behind the driver protocol: reading. */
#include "ouroboros.h"

#include <stdlib.h>
#include <string.h>

static cJSON *put_entry(struct request *rq, cJSON *items, const struct shmw_ouroboros_entry *entry, const void *data)
{
    cJSON *item = push_object(items);
    put_bytes(rq, item, "data", data, entry->length);
    put_u64(item, "seq", entry->sequence);
    put_number(item, "chunk", entry->chunk);
    put_u64(item, "token", entry->token);
    put_u64(item, "skipped", entry->skipped);
    return item;
}

/* Reading ---------------------------------------------------------------------------------------------------------- */

static int read_batch(struct request *rq, const struct ouroboros *log, struct reading *reading)
{
    struct shmw_ouroboros_entry *entries = request_alloc(rq, (size_t)reading->max * sizeof(*entries));
    size_t count = 0;
    const int rc =
        shmw_ouroboros_next_batch(log->reader, reading->buffer, reading->size, entries, (size_t)reading->max, &count);
    if (rc == SHMW_TOO_SMALL)
        rq->needed = entries[0].length;
    for (size_t i = 0; rc == SHMW_OK && i < count; i++)
        put_entry(rq, reading->items, &entries[i], reading->buffer + entries[i].offset);
    return rc;
}

static int read_view(struct request *rq, struct ouroboros *log, struct reading *reading)
{
    struct shmw_ouroboros_entry entry = {0};
    const int rc = shmw_ouroboros_next_view(log->reader, &entry);
    if (rc != SHMW_OK)
        return rc;
    struct shmw_ouroboros_entry *views = realloc(log->views, (log->view_count + 1) * sizeof(*views));
    if (views == NULL)
        return DRIVER_INTERNAL;
    log->views = views;
    views[log->view_count++] = entry;
    unsigned char *copy = request_alloc(rq, (size_t)entry.length + 1);
    memcpy(copy, entry.data, entry.length);
    put_number(put_entry(rq, reading->items, &entry, copy), "view", log->view_count);
    return SHMW_OK;
}

static int read_one(struct request *rq, const struct ouroboros *log, struct reading *reading, bool first)
{
    struct shmw_ouroboros_entry entry = {0};
    const int rc = reading->mode == READ_BLOCK && first
                       ? shmw_ouroboros_wait_next(log->reader, reading->buffer, reading->size, reading->timeout_ns, 0, &entry)
                       : shmw_ouroboros_next(log->reader, reading->buffer, reading->size, &entry);
    if (rc == SHMW_OK)
        put_entry(rq, reading->items, &entry, reading->buffer + entry.offset);
    if (rc == SHMW_TOO_SMALL)
        rq->needed = entry.length;
    return rc;
}

static int read_some(struct request *rq, void *context, struct reading *reading, bool first)
{
    struct ouroboros *log = context;
    if (reading->mode == READ_BATCH)
        return read_batch(rq, log, reading);
    if (reading->mode == READ_VIEW)
        return read_view(rq, log, reading);
    return read_one(rq, log, reading, first);
}

int ouroboros_read(struct request *rq, void *segment)
{
    struct ouroboros *log = segment;
    struct reading reading;
    int rc = ouroboros_need_reader(rq, log);
    if (rc == SHMW_OK)
        rc = reading_take(rq, ouroboros_largest(log), &reading);
    return rc == SHMW_OK ? reading_run(rq, &reading, &log->pending, read_some, log) : rc;
}

int ouroboros_seek(struct request *rq, void *segment)
{
    struct ouroboros *log = segment;
    enum shmw_ouroboros_start start = SHMW_OUROBOROS_AUTO;
    int rc = ouroboros_need_reader(rq, log);
    if (rc == SHMW_OK && field(rq->body, "to") == NULL)
        rc = request_fail(rq, DRIVER_BAD_REQUEST, "to is missing");
    if (rc == SHMW_OK)
        rc = ouroboros_take_start(rq, rq->body, "to", &start);
    if (rc != SHMW_OK)
        return rc;
    log->pending = (struct pending){0};
    return shmw_ouroboros_seek(log->reader, start);
}

int ouroboros_view_check(struct request *rq, struct ouroboros *log, const cJSON *args)
{
    uint64_t view = 0;
    int rc = ouroboros_need_reader(rq, log);
    if (rc == SHMW_OK)
        rc = need_u64(rq, args, "v", UINT64_MAX, &view);
    if (rc != SHMW_OK)
        return rc;
    if (view == 0 || view > log->view_count)
        return request_fail(rq, DRIVER_BAD_REQUEST, "v %llu is not a view of this handle", (unsigned long long)view);
    rc = shmw_ouroboros_view_check(log->reader, &log->views[view - 1]);
    if (rc >= 0)
        put_text(rq->ok, "st", answer_word(rc));
    return rc < 0 ? rc : SHMW_OK;
}

/* Live ------------------------------------------------------------------------------------------------------------- */

int ouroboros_live_receive(void *held, struct live_message *messages, size_t max, uint64_t timeout_ns, size_t *count)
{
    struct ouroboros_port *port = held;
    shmw_ouroboros_reader *reader = port->log->reader;
    int rc = SHMW_EMPTY;
    if (max > 1)
        rc = shmw_ouroboros_next_batch(reader, port->buffer, port->batch * port->largest, port->entries, max, count);
    if (rc == SHMW_EMPTY && (max == 1 || timeout_ns > 0)) {
        *count = 1;
        rc = timeout_ns > 0
                 ? shmw_ouroboros_wait_next(reader, port->buffer, port->largest, timeout_ns, 0, &port->entries[0])
                 : shmw_ouroboros_next(reader, port->buffer, port->largest, &port->entries[0]);
    }
    for (size_t i = 0; rc == SHMW_OK && i < *count; i++) {
        const struct shmw_ouroboros_entry *entry = &port->entries[i];
        memcpy(messages[i].data, port->buffer + entry->offset, entry->length);
        messages[i].length = entry->length;
        messages[i].position = entry->sequence;
        messages[i].skipped = entry->skipped;
    }
    return rc;
}
