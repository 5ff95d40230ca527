/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm behind the driver protocol: sending. */
#include <stdlib.h>
#include <string.h>

#include "atomic.h"
#include "shmcomm.h"

/* Meta ------------------------------------------------------------------------------------------------------------- */

int shmcomm_take_meta(struct request *rq, const struct shmcomm *shmcomm, const cJSON *object, struct shmw_shmcomm_meta *meta)
{
    const cJSON *given = field(object, "meta");
    uint64_t content_type = shmcomm != NULL ? shmcomm->info.serializer : SHMW_SHMCOMM_CONTENT_RAW;
    uint64_t flags = 0;
    *meta = (struct shmw_shmcomm_meta){.timestamp_ns = injected.has_clock ? injected.clock_ns : 0};
    int rc = want_u64(rq, given, "timestamp_ns", UINT64_MAX, &meta->timestamp_ns);
    if (rc == SHMW_OK)
        rc = want_u64(rq, given, "content_type", UINT16_MAX, &content_type);
    if (rc == SHMW_OK)
        rc = want_u64(rq, given, "flags", UINT16_MAX, &flags);
    meta->content_type = (uint16_t)content_type;
    meta->flags = (uint16_t)flags;
    return rc;
}

void shmcomm_count_sent(uint64_t messages)
{
    injected.clock_ns += messages * injected.clock_step_ns;
}

/* Writing ---------------------------------------------------------------------------------------------------------- */

static void put_result(cJSON *results, int answer, uint64_t sequence)
{
    cJSON *result = push_object(results);
    put_text(result, "st", answer_word(answer));
    if (answer == SHMW_OK)
        put_u64(result, "seq", sequence);
}

static int write_each(struct request *rq, const struct shmcomm *shmcomm, const cJSON *items, uint64_t timeout_ns, cJSON *results)
{
    const cJSON *item;
    cJSON_ArrayForEach (item, items) {
        struct shmw_shmcomm_meta meta;
        struct bytes data = {0};
        uint64_t sequence = 0;
        int rc = need_bytes(rq, item, "data", &data);
        if (rc == SHMW_OK)
            rc = shmcomm_take_meta(rq, shmcomm, item, &meta);
        if (rc == SHMW_OK)
            rc = shmw_shmcomm_send(shmcomm->endpoint, data.data, data.len, &meta, timeout_ns, &sequence);
        if (rc < 0)
            return rc;
        put_result(results, rc, sequence);
        if (rc != SHMW_OK)
            break;
        shmcomm_count_sent(1);
    }
    return SHMW_OK;
}

/* One call, one time for all of them. The library does not say their sequences: they are the last ones, for who writes alone. */
static int write_batch(struct request *rq, const struct shmcomm *shmcomm, const cJSON *items, uint64_t timeout_ns, cJSON *results)
{
    const size_t count = (size_t)cJSON_GetArraySize(items);
    struct shmw_shmcomm_part *parts = request_alloc(rq, (count + 1) * sizeof(*parts));
    struct shmw_shmcomm_info info;
    struct shmw_shmcomm_meta meta;
    const cJSON *item;
    size_t n = 0;
    size_t sent = 0;
    int rc = shmcomm_take_meta(rq, shmcomm, NULL, &meta);
    cJSON_ArrayForEach (item, items) {
        struct bytes data = {0};
        if (rc == SHMW_OK)
            rc = need_bytes(rq, item, "data", &data);
        parts[n++] = (struct shmw_shmcomm_part){.data = data.data, .length = data.len};
    }
    if (rc != SHMW_OK)
        return rc;
    rc = shmw_shmcomm_send_batch(shmcomm->endpoint, parts, count, &meta, timeout_ns, &sent);
    if (rc < 0)
        return rc;
    shmcomm_count_sent(sent);
    const int answer = rc;
    rc = shmw_shmcomm_info(shmcomm->endpoint, &info);
    for (size_t i = 0; rc == SHMW_OK && i < sent; i++)
        put_result(results, SHMW_OK, info.message_count - sent + i);
    if (rc == SHMW_OK && answer != SHMW_OK)
        put_result(results, answer, 0);
    return rc;
}

int shmcomm_write(struct request *rq, void *segment)
{
    const struct shmcomm *shmcomm = segment;
    const char *mode = NULL;
    uint64_t timeout_ns = 0;
    int rc = need_text(rq, rq->body, "mode", &mode);
    if (rc == SHMW_OK && strcmp(mode, "try") != 0 && strcmp(mode, "block") != 0 && strcmp(mode, "batch") != 0)
        rc = request_fail(rq, DRIVER_BAD_REQUEST, "mode is not try, block or batch");
    if (rc == SHMW_OK && strcmp(mode, "try") != 0)
        rc = want_timeout(rq, &timeout_ns);
    const cJSON *items = field(rq->body, "items");
    if (rc == SHMW_OK && !cJSON_IsArray(items))
        rc = request_fail(rq, DRIVER_BAD_REQUEST, "items is missing or not an array");
    if (rc != SHMW_OK)
        return rc;
    cJSON *results = put_array(rq->ok, "results");
    return strcmp(mode, "batch") == 0 ? write_batch(rq, shmcomm, items, timeout_ns, results)
                                      : write_each(rq, shmcomm, items, timeout_ns, results);
}

/* Claims ----------------------------------------------------------------------------------------------------------- */

int shmcomm_claim(struct request *rq, void *segment, void **out)
{
    struct shmcomm *shmcomm = segment;
    struct shmw_shmcomm_meta meta;
    uint64_t length = 0;
    uint64_t timeout_ns = 0;
    int rc = need_u64(rq, rq->body, "len", SIZE_MAX, &length);
    if (rc == SHMW_OK)
        rc = shmcomm_take_meta(rq, shmcomm, rq->body, &meta);
    if (rc == SHMW_OK)
        rc = want_timeout(rq, &timeout_ns);
    if (rc != SHMW_OK)
        return rc;
    struct shmcomm_claim *claim = calloc(1, sizeof(*claim));
    if (claim == NULL)
        return DRIVER_INTERNAL;
    claim->shmcomm = shmcomm;
    rc = shmw_shmcomm_claim(shmcomm->endpoint, (size_t)length, &meta, timeout_ns, &claim->claim);
    if (rc >= 0)
        put_text(rq->ok, "st", answer_word(rc));
    if (rc != SHMW_OK) {
        free(claim);
        return rc < 0 ? rc : SHMW_OK;
    }
    put_u64(rq->ok, "capacity", claim->claim.length);
    *out = claim;
    return SHMW_OK;
}

int shmcomm_commit(struct request *rq, void *held)
{
    const struct shmcomm_claim *claim = held;
    struct bytes data = {0};
    uint64_t sequence = 0;
    int rc = need_bytes(rq, rq->body, "data", &data);
    if (rc == SHMW_OK && data.len != claim->claim.length)
        rc = request_fail(rq, DRIVER_BAD_REQUEST, "data has not the %zu bytes of the claim", claim->claim.length);
    if (rc != SHMW_OK)
        return rc;
    shmw_copy_to_shared(claim->claim.data, data.data, data.len);
    rc = shmw_shmcomm_commit(claim->shmcomm->endpoint, &sequence);
    if (rc < 0)
        return rc;
    shmcomm_count_sent(1);
    put_text(rq->ok, "st", answer_word(rc));
    put_u64(rq->ok, "seq", sequence);
    return SHMW_OK;
}

int shmcomm_abandon(struct request *rq, void *held)
{
    const struct shmcomm_claim *claim = held;
    (void)rq;
    return shmw_shmcomm_abandon(claim->shmcomm->endpoint);
}
