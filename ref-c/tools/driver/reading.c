/* SPDX-License-Identifier: MIT */
#include "reading.h"

#define MOST_ITEMS 1024 /* of one reply, so that it stays below the protocol's 4 MiB */

static int take_mode(struct request *rq, enum read_mode *mode)
{
    static const char *const words[] = {
        [READ_TRY] = "try", [READ_BLOCK] = "block", [READ_BATCH] = "batch", [READ_VIEW] = "view", [READ_VIEW + 1] = "peek"};
    unsigned word = 0;
    if (field(rq->body, "mode") == NULL)
        return request_fail(rq, DRIVER_BAD_REQUEST, "mode is missing");
    const int rc = want_word(rq, rq->body, "mode", words, READ_VIEW + 2, &word);
    if (rc == SHMW_OK && word > READ_VIEW)
        return request_fail(rq, SHMW_UNSUPPORTED, "peek: readers take nothing away, reading is looking");
    *mode = (enum read_mode)word;
    return rc;
}

int reading_take(struct request *rq, uint64_t largest, struct reading *reading)
{
    uint64_t size = largest;
    *reading = (struct reading){.max = 1};
    int rc = take_mode(rq, &reading->mode);
    if (rc == SHMW_OK)
        rc = want_u64(rq, rq->body, "max", UINT64_MAX, &reading->max);
    if (rc == SHMW_OK)
        rc = want_timeout(rq, &reading->timeout_ns);
    if (rc == SHMW_OK)
        rc = want_u64(rq, rq->body, "buffer", DRIVER_LONGEST_DATA, &size);
    if (rc != SHMW_OK)
        return rc;
    if (reading->max == 0)
        return request_fail(rq, DRIVER_BAD_REQUEST, "max is 0");
    reading->max = reading->max < MOST_ITEMS ? reading->max : MOST_ITEMS;
    reading->size = (size_t)size;
    reading->buffer = request_alloc(rq, reading->size + 1);
    return SHMW_OK;
}

int reading_run(struct request *rq, struct reading *reading, struct pending *pending,
                int (*one)(struct request *, void *, struct reading *, bool), void *context)
{
    const struct pending before = *pending;
    *pending = (struct pending){0};
    rq->needed = before.needed;
    if (before.rc != SHMW_OK)
        return before.rc;
    reading->items = put_array(rq->ok, "items");
    const bool once = reading->mode == READ_BATCH || reading->mode == READ_VIEW;
    int rc = one(rq, context, reading, true);
    for (uint64_t n = 1; rc == SHMW_OK && n < reading->max && !once; n++)
        rc = one(rq, context, reading, false);
    const bool some = cJSON_GetArraySize(reading->items) > 0;
    if (rc < 0 && !some)
        return rc;
    if (rc < 0)
        *pending = (struct pending){.rc = rc, .needed = rq->needed};
    put_text(rq->ok, "st", answer_word(some ? SHMW_OK : rc));
    return SHMW_OK;
}
