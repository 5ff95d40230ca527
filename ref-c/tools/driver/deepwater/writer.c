/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater behind the driver protocol: appending. */
#include <string.h>

#include "deepwater.h"

static void put_result(cJSON *results, uint64_t sequence)
{
    cJSON *result = push_object(results);
    put_text(result, "st", answer_word(SHMW_OK));
    put_u64(result, "seq", sequence);
}

static int take_part(struct request *rq, const cJSON *item, struct shmw_deepwater_part *part)
{
    struct bytes data = {0};
    uint64_t type = 0;
    *part = (struct shmw_deepwater_part){0};
    int rc = need_bytes(rq, item, "data", &data);
    if (rc == SHMW_OK)
        rc = need_u64(rq, item, "ts", UINT64_MAX, &part->timestamp_ns);
    if (rc == SHMW_OK)
        rc = want_u64(rq, item, "type", UINT32_MAX, &type);
    part->data = data.data;
    part->length = (uint32_t)data.len;
    part->type = (uint32_t)type;
    return rc;
}

/* The error of an item; `done`: those before it. */
static int stopped(struct request *rq, int rc, size_t done)
{
    put_number(rq->ok, "done", done);
    return rq->detail[0] != '\0' ? rc : request_fail(rq, rc, "done %zu", done);
}

static int write_each(struct request *rq, const struct deepwater *handle, const cJSON *items, cJSON *results)
{
    const cJSON *item;
    size_t done = 0;
    cJSON_ArrayForEach (item, items) {
        struct shmw_deepwater_part part;
        uint64_t sequence = 0;
        int rc = take_part(rq, item, &part);
        if (rc == SHMW_OK)
            rc = shmw_deepwater_append(handle->writer, part.timestamp_ns, part.type, part.data, part.length, &sequence);
        if (rc != SHMW_OK)
            return stopped(rq, rc, done);
        put_result(results, sequence);
        done++;
    }
    return SHMW_OK;
}

static int write_batch(struct request *rq, const struct deepwater *handle, const cJSON *items, cJSON *results)
{
    const size_t count = (size_t)cJSON_GetArraySize(items);
    struct shmw_deepwater_part *parts = request_alloc(rq, (count + 1) * sizeof(*parts));
    struct shmw_deepwater_feed feed;
    const cJSON *item;
    size_t n = 0;
    size_t done = 0;
    int rc = SHMW_OK;
    cJSON_ArrayForEach (item, items)
        rc = rc == SHMW_OK ? take_part(rq, item, &parts[n++]) : rc;
    if (rc != SHMW_OK)
        return rc;
    rc = shmw_deepwater_append_batch(handle->writer, parts, count, &done);
    if (rc != SHMW_OK)
        return stopped(rq, rc, done);
    rc = shmw_deepwater_writer_feed(handle->writer, &feed);
    for (size_t i = 0; rc == SHMW_OK && i < done; i++)
        put_result(results, feed.last_sequence + 1 - done + i);
    return rc;
}

int deepwater_write(struct request *rq, void *segment)
{
    const struct deepwater *handle = segment;
    const char *mode = NULL;
    if (handle->writer == NULL)
        return request_fail(rq, SHMW_UNSUPPORTED, "a reader does not write");
    int rc = need_text(rq, rq->body, "mode", &mode);
    if (rc == SHMW_OK && strcmp(mode, "try") != 0 && strcmp(mode, "batch") != 0)
        rc = request_fail(rq, DRIVER_BAD_REQUEST, "mode is not try or batch");
    const cJSON *items = field(rq->body, "items");
    if (rc == SHMW_OK && !cJSON_IsArray(items))
        rc = request_fail(rq, DRIVER_BAD_REQUEST, "items is missing or not an array");
    if (rc != SHMW_OK)
        return rc;
    cJSON *results = put_array(rq->ok, "results");
    return strcmp(mode, "batch") == 0 ? write_batch(rq, handle, items, results) : write_each(rq, handle, items, results);
}
