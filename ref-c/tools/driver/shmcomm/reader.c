/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm behind the driver protocol: receiving and replying. */
#include <stdlib.h>
#include <string.h>

#include "atomic.h"
#include "shmcomm.h"

/* Items ------------------------------------------------------------------------------------------------------------ */

/* Keep a message for as long as the handle lives; gives its handle, or 0. */
static size_t keep(struct shmcomm *shmcomm, const struct shmw_shmcomm_message *message)
{
    struct shmw_shmcomm_message *kept = realloc(shmcomm->kept, (shmcomm->kept_count + 1) * sizeof(*kept));
    if (kept == NULL)
        return 0;
    shmcomm->kept = kept;
    kept[shmcomm->kept_count++] = *message;
    return shmcomm->kept_count;
}

static int take_kept(struct request *rq, const struct shmcomm *shmcomm, const cJSON *args, const char *key,
                     const struct shmw_shmcomm_message **out)
{
    uint64_t handle = 0;
    const int rc = need_u64(rq, args, key, UINT64_MAX, &handle);
    if (rc != SHMW_OK)
        return rc;
    if (handle == 0 || handle > shmcomm->kept_count)
        return request_fail(rq, DRIVER_BAD_REQUEST, "%s %llu is none of this handle", key, (unsigned long long)handle);
    *out = &shmcomm->kept[handle - 1];
    return SHMW_OK;
}

static int put_item(struct request *rq, struct shmcomm *shmcomm, cJSON *items, const struct shmw_shmcomm_message *message,
                    const void *data)
{
    cJSON *entry = push_object(items);
    put_bytes(rq, entry, "data", data, message->length);
    put_u64(entry, "seq", message->sequence);
    put_u64(entry, "lost", message->lost);
    cJSON *meta = put_object(entry, "meta");
    put_u64(meta, "timestamp_ns", message->timestamp_ns);
    put_u64(meta, "correlation_id", message->correlation_id);
    put_number(meta, "sender", message->sender);
    put_number(meta, "content_type", message->content_type);
    put_number(meta, "flags", message->flags);
    const bool view = message->data != NULL;
    if (!view && shmcomm->role != SHMW_SHMCOMM_REPLIER)
        return SHMW_OK;
    const size_t handle = keep(shmcomm, message);
    put_number(entry, view ? "view" : "request", handle);
    return handle != 0 ? SHMW_OK : DRIVER_INTERNAL;
}

/* Reading ---------------------------------------------------------------------------------------------------------- */

static int read_batch(struct request *rq, struct shmcomm *shmcomm, struct reading *reading)
{
    struct shmw_shmcomm_message *messages = request_alloc(rq, (size_t)reading->max * sizeof(*messages));
    size_t count = 0;
    int rc = shmw_shmcomm_receive_batch(shmcomm->endpoint, reading->buffer, reading->size, messages, (size_t)reading->max,
                                        reading->timeout_ns, 0, &count);
    if (rc == SHMW_TOO_SMALL)
        rq->needed = messages[0].length;
    if (rc == SHMW_LAPPED)
        shmcomm->lapped_lost = messages[0].lost;
    for (size_t i = 0; rc == SHMW_OK && i < count; i++)
        rc = put_item(rq, shmcomm, reading->items, &messages[i], reading->buffer + messages[i].offset);
    return rc;
}

static int read_view(struct request *rq, struct shmcomm *shmcomm, struct reading *reading)
{
    struct shmw_shmcomm_message message = {0};
    const int rc = shmw_shmcomm_view(shmcomm->endpoint, reading->timeout_ns, 0, &message);
    shmcomm->lapped_lost = message.lost;
    if (rc != SHMW_OK)
        return rc;
    unsigned char *copy = request_alloc(rq, message.length + 1);
    shmw_copy_from_shared(copy, message.data, message.length);
    return put_item(rq, shmcomm, reading->items, &message, copy);
}

static int read_one(struct request *rq, struct shmcomm *shmcomm, struct reading *reading, bool first)
{
    struct shmw_shmcomm_message message = {0};
    const uint64_t timeout_ns = reading->mode == READ_BLOCK && first ? reading->timeout_ns : 0;
    const int rc = shmw_shmcomm_receive(shmcomm->endpoint, reading->buffer, reading->size, timeout_ns, 0, &message);
    if (rc == SHMW_TOO_SMALL)
        rq->needed = message.length;
    shmcomm->lapped_lost = message.lost;
    return rc == SHMW_OK ? put_item(rq, shmcomm, reading->items, &message, reading->buffer) : rc;
}

static int read_some(struct request *rq, void *context, struct reading *reading, bool first)
{
    struct shmcomm *shmcomm = context;
    /* A requester has one reply to come: what it would be told behind it is no answer to this read. */
    if (!first && shmcomm->role == SHMW_SHMCOMM_REQUESTER)
        return SHMW_EMPTY;
    const int rc = reading->mode == READ_BATCH  ? read_batch(rq, shmcomm, reading)
                   : reading->mode == READ_VIEW ? read_view(rq, shmcomm, reading)
                                                : read_one(rq, shmcomm, reading, first);
    shmcomm->lapped = rc == SHMW_LAPPED;
    return rc;
}

static int answer_lapped(struct request *rq, struct shmcomm *shmcomm)
{
    shmcomm->lapped = false;
    put_text(rq->ok, "st", answer_word(SHMW_LAPPED));
    put_u64(rq->ok, "lost", shmcomm->lapped_lost);
    return SHMW_OK;
}

int shmcomm_read(struct request *rq, void *segment)
{
    struct shmcomm *shmcomm = segment;
    struct reading reading;
    int rc = reading_take(rq, shmcomm->largest, &reading);
    if (rc != SHMW_OK)
        return rc;
    if (reading.mode == READ_TRY)
        reading.timeout_ns = 0;
    if (shmcomm->lapped) { /* it was met behind items */
        put_array(rq->ok, "items");
        return answer_lapped(rq, shmcomm);
    }
    rc = reading_run(rq, &reading, &shmcomm->pending, read_some, shmcomm);
    const bool some = cJSON_GetArraySize(reading.items) > 0;
    if (rc != SHMW_OK || some || !shmcomm->lapped)
        return rc;
    cJSON_DeleteItemFromObjectCaseSensitive(rq->ok, "st");
    return answer_lapped(rq, shmcomm);
}

int shmcomm_seek(struct request *rq, void *segment)
{
    struct shmcomm *shmcomm = segment;
    static const char *const words[] = {"oldest", "latest"};
    unsigned word = 0;
    int rc = field(rq->body, "to") != NULL ? SHMW_OK : request_fail(rq, DRIVER_BAD_REQUEST, "to is missing");
    if (rc == SHMW_OK)
        rc = want_word(rq, rq->body, "to", words, 2, &word);
    if (rc == SHMW_OK)
        rc = shmw_shmcomm_seek(shmcomm->endpoint, word == 0);
    if (rc != SHMW_OK)
        return rc;
    shmcomm->pending = (struct pending){0};
    shmcomm->lapped = false;
    return SHMW_OK;
}

/* Verbs ------------------------------------------------------------------------------------------------------------ */

int shmcomm_reply(struct request *rq, struct shmcomm *shmcomm, const cJSON *args)
{
    const struct shmw_shmcomm_message *message = NULL;
    struct shmw_shmcomm_meta meta;
    struct bytes data = {0};
    uint64_t timeout_ms = 0;
    int rc = take_kept(rq, shmcomm, args, "request", &message);
    if (rc == SHMW_OK)
        rc = need_bytes(rq, args, "data", &data);
    if (rc == SHMW_OK)
        rc = shmcomm_take_meta(rq, NULL, args, &meta);
    if (rc == SHMW_OK)
        rc = want_u64(rq, args, "timeout_ms", UINT32_MAX, &timeout_ms);
    if (rc == SHMW_OK)
        rc = shmw_shmcomm_reply(shmcomm->endpoint, message, data.data, data.len, &meta, timeout_ms * UINT64_C(1000000));
    if (rc < 0)
        return rc;
    if (rc == SHMW_OK)
        shmcomm_count_sent(1);
    put_text(rq->ok, "st", answer_word(rc));
    return SHMW_OK;
}

int shmcomm_view_check(struct request *rq, struct shmcomm *shmcomm, const cJSON *args)
{
    const struct shmw_shmcomm_message *message = NULL;
    int rc = take_kept(rq, shmcomm, args, "v", &message);
    if (rc == SHMW_OK)
        rc = shmw_shmcomm_view_check(shmcomm->endpoint, message);
    if (rc < 0)
        return rc;
    put_text(rq->ok, "st", answer_word(rc));
    return SHMW_OK;
}
