/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater behind the driver protocol: reading. */
#include "deepwater.h"

#define MOST_ITEMS 1024 /* of a range, so that a reply stays below the protocol's 4 MiB */

void deepwater_put_record(struct request *rq, cJSON *items, const struct shmw_deepwater_record *record)
{
    cJSON *item = push_object(items);
    put_bytes(rq, item, "data", record->data, record->length);
    put_u64(item, "seq", record->sequence);
    put_u64(item, "ts", record->timestamp_ns);
    put_number(item, "type", record->type);
    put_u64(item, "chunk", record->chunk_id);
}

static int read_batch(struct request *rq, struct deepwater *handle, struct reading *reading)
{
    struct shmw_deepwater_record *records = request_alloc(rq, (size_t)reading->max * sizeof(*records));
    size_t count = 0;
    const int rc = shmw_deepwater_next_batch(handle->reader, records, (size_t)reading->max, &count);
    if (rc == SHMW_EXPIRED)
        handle->expired_lost = records[0].lost;
    for (size_t i = 0; rc == SHMW_OK && i < count; i++)
        deepwater_put_record(rq, reading->items, &records[i]);
    return rc;
}

static int read_one(struct request *rq, struct deepwater *handle, struct reading *reading, bool first)
{
    struct shmw_deepwater_record record = {0};
    const int rc = reading->mode == READ_BLOCK && first
                       ? shmw_deepwater_wait_next(handle->reader, reading->timeout_ns, 0, &record)
                       : shmw_deepwater_next(handle->reader, &record);
    if (rc == SHMW_EXPIRED)
        handle->expired_lost = record.lost;
    if (rc == SHMW_OK)
        deepwater_put_record(rq, reading->items, &record);
    return rc;
}

/* EXPIRED is an error of the library and an answer of the protocol: it ends the reading as an answer does. */
static int read_some(struct request *rq, void *context, struct reading *reading, bool first)
{
    struct deepwater *handle = context;
    int rc = SHMW_UNSUPPORTED;
    if (reading->mode == READ_BATCH)
        rc = read_batch(rq, handle, reading);
    else if (reading->mode != READ_VIEW)
        rc = read_one(rq, handle, reading, first);
    handle->expired = rc == SHMW_EXPIRED;
    return handle->expired ? SHMW_LAPPED : rc;
}

static int answer_expired(struct request *rq, struct deepwater *handle)
{
    handle->expired = false;
    put_text(rq->ok, "st", "expired");
    put_u64(rq->ok, "lost", handle->expired_lost);
    return SHMW_OK;
}

int deepwater_read(struct request *rq, void *segment)
{
    struct deepwater *handle = segment;
    struct reading reading;
    if (handle->reader == NULL)
        return request_fail(rq, SHMW_UNSUPPORTED, "a writer does not read");
    int rc = reading_take(rq, 0, &reading);
    if (rc != SHMW_OK)
        return rc;
    if (handle->expired) { /* it was met behind items */
        put_array(rq->ok, "items");
        return answer_expired(rq, handle);
    }
    rc = reading_run(rq, &reading, &handle->pending, read_some, handle);
    if (rc != SHMW_OK || cJSON_GetArraySize(reading.items) > 0 || !handle->expired)
        return rc;
    cJSON_DeleteItemFromObjectCaseSensitive(rq->ok, "st");
    return answer_expired(rq, handle);
}

int deepwater_seek(struct request *rq, void *segment)
{
    struct deepwater *handle = segment;
    enum shmw_deepwater_start start;
    uint64_t at = 0;
    if (handle->reader == NULL)
        return request_fail(rq, SHMW_UNSUPPORTED, "a writer does not seek");
    int rc = deepwater_take_start(rq, rq->body, "to", &start, &at);
    if (rc == SHMW_OK)
        rc = shmw_deepwater_seek(handle->reader, start, at);
    if (rc != SHMW_OK)
        return rc;
    handle->pending = (struct pending){0};
    handle->expired = false;
    return SHMW_OK;
}

/* The next record that is there now. SHMW_NOT_READY if it cannot be reached: only an odd row hides what last_sequence numbers, which
 * is loaded before the last look, since a writer may be at work [deepwater.read.odd]. */
static int next_there(shmw_deepwater_reader *reader, struct shmw_deepwater_record *record)
{
    struct shmw_deepwater_feed feed;
    struct shmw_deepwater_cursor cursor;
    int rc = shmw_deepwater_next(reader, record);
    if (rc != SHMW_EMPTY && rc != SHMW_CLOSED)
        return rc;
    shmw_deepwater_reader_feed(reader, &feed);
    rc = shmw_deepwater_next(reader, record);
    if ((rc != SHMW_EMPTY && rc != SHMW_CLOSED) || feed.last_sequence == SHMW_DEEPWATER_NONE)
        return rc;
    shmw_deepwater_save(reader, &cursor);
    return cursor.sequence <= feed.last_sequence ? SHMW_NOT_READY : rc;
}

/* [deepwater.read.range]: both ends included. */
int deepwater_range(struct request *rq, struct deepwater *handle, const cJSON *args)
{
    struct shmw_deepwater_record record;
    uint64_t from = 0;
    uint64_t to = 0;
    int rc = need_u64(rq, args, "from", UINT64_MAX, &from);
    if (rc == SHMW_OK)
        rc = need_u64(rq, args, "to", UINT64_MAX, &to);
    if (rc == SHMW_OK)
        rc = shmw_deepwater_seek(handle->reader, SHMW_DEEPWATER_TIME, from);
    if (rc != SHMW_OK)
        return rc;
    cJSON *items = put_array(rq->ok, "items");
    for (unsigned n = 0; n < MOST_ITEMS; n++) {
        rc = next_there(handle->reader, &record);
        if (rc != SHMW_OK || record.timestamp_ns > to)
            break;
        deepwater_put_record(rq, items, &record);
    }
    return rc >= 0 ? SHMW_OK : rc;
}
