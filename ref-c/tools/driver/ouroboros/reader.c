/* SPDX-License-Identifier: MIT
 *
 * Profile ouroboros behind the driver protocol: reading. */
#include "ouroboros.h"

#include <stdlib.h>
#include <string.h>

#define MOST_ITEMS 1024 /* of one reply, so that it stays below the protocol's 4 MiB */

enum read_mode { READ_TRY, READ_BLOCK, READ_BATCH, READ_VIEW, READ_PEEK };

struct reading {
    struct ouroboros *log;
    enum read_mode mode;
    uint64_t max;
    uint64_t timeout_ns;
    uint64_t buffer_size;
    unsigned char *buffer;
    cJSON *items;
};

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

/* Asking ----------------------------------------------------------------------------------------------------------- */

static int take_mode(struct request *rq, enum read_mode *mode)
{
    static const char *const words[] = {
        [READ_TRY] = "try", [READ_BLOCK] = "block", [READ_BATCH] = "batch", [READ_VIEW] = "view", [READ_PEEK] = "peek"};
    const char *word = NULL;
    const int rc = need_text(rq, rq->body, "mode", &word);
    if (rc != SHMW_OK)
        return rc;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(word, words[i]) == 0) {
            *mode = (enum read_mode)i;
            return i == READ_PEEK ? request_fail(rq, SHMW_UNSUPPORTED, "peek: readers take nothing away, reading is looking")
                                  : SHMW_OK;
        }
    }
    return request_fail(rq, DRIVER_BAD_REQUEST, "mode is not try, block, batch or view");
}

static int take_reading(struct request *rq, struct ouroboros *log, struct reading *reading)
{
    reading->log = log;
    reading->max = 1;
    reading->buffer_size = ouroboros_largest(log);
    int rc = ouroboros_need_reader(rq, log);
    if (rc == SHMW_OK)
        rc = take_mode(rq, &reading->mode);
    if (rc == SHMW_OK)
        rc = want_u64(rq, rq->body, "max", UINT64_MAX, &reading->max);
    if (rc == SHMW_OK)
        rc = want_timeout(rq, &reading->timeout_ns);
    if (rc == SHMW_OK)
        rc = want_u64(rq, rq->body, "buffer", DRIVER_LONGEST_DATA, &reading->buffer_size);
    if (rc != SHMW_OK)
        return rc;
    if (reading->max == 0)
        return request_fail(rq, DRIVER_BAD_REQUEST, "max is 0");
    reading->max = reading->max < MOST_ITEMS ? reading->max : MOST_ITEMS;
    reading->buffer = request_alloc(rq, (size_t)reading->buffer_size + 1);
    return SHMW_OK;
}

/* Reading ---------------------------------------------------------------------------------------------------------- */

static int read_batch(struct request *rq, struct reading *reading)
{
    struct shmw_ouroboros_entry *entries = request_alloc(rq, (size_t)reading->max * sizeof(*entries));
    size_t count = 0;
    const int rc = shmw_ouroboros_next_batch(reading->log->reader, reading->buffer, (size_t)reading->buffer_size, entries,
                                             (size_t)reading->max, &count);
    if (rc == SHMW_TOO_SMALL)
        rq->needed = entries[0].length;
    for (size_t i = 0; rc == SHMW_OK && i < count; i++)
        put_entry(rq, reading->items, &entries[i], reading->buffer + entries[i].offset);
    return rc;
}

static int read_view(struct request *rq, struct reading *reading)
{
    struct ouroboros *log = reading->log;
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

static int read_one(struct request *rq, struct reading *reading, bool first)
{
    struct shmw_ouroboros_entry entry = {0};
    const size_t size = (size_t)reading->buffer_size;
    const int rc = reading->mode == READ_BLOCK && first
                       ? shmw_ouroboros_wait_next(reading->log->reader, reading->buffer, size, reading->timeout_ns, 0, &entry)
                       : shmw_ouroboros_next(reading->log->reader, reading->buffer, size, &entry);
    if (rc == SHMW_OK)
        put_entry(rq, reading->items, &entry, reading->buffer + entry.offset);
    if (rc == SHMW_TOO_SMALL)
        rq->needed = entry.length;
    return rc;
}

static int read_all(struct request *rq, struct reading *reading)
{
    if (reading->mode == READ_BATCH)
        return read_batch(rq, reading);
    if (reading->mode == READ_VIEW)
        return read_view(rq, reading);
    int rc = read_one(rq, reading, true);
    for (uint64_t n = 1; rc == SHMW_OK && n < reading->max; n++)
        rc = read_one(rq, reading, false);
    return rc;
}

int ouroboros_read(struct request *rq, void *segment)
{
    struct ouroboros *log = segment;
    struct reading reading = {0};
    int rc = take_reading(rq, log, &reading);
    if (rc != SHMW_OK)
        return rc;
    rc = log->pending;
    log->pending = SHMW_OK;
    rq->needed = log->pending_needed;
    if (rc != SHMW_OK)
        return rc;
    reading.items = put_array(rq->ok, "items");
    rc = read_all(rq, &reading);
    const bool some = cJSON_GetArraySize(reading.items) > 0;
    if (rc < 0 && !some)
        return rc;
    if (rc < 0) {
        log->pending = rc;
        log->pending_needed = rq->needed;
    }
    put_text(rq->ok, "st", answer_word(some ? SHMW_OK : rc));
    return SHMW_OK;
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
    log->pending = SHMW_OK;
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
