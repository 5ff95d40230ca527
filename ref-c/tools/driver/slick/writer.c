/* SPDX-License-Identifier: MIT
 *
 * Profile slick behind the driver protocol: producing. */
#include "slick.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "wait.h"

/* Writing ---------------------------------------------------------------------------------------------------------- */

static void put_result(cJSON *results, int answer, uint64_t index)
{
    cJSON *result = push_object(results);
    put_text(result, "st", answer_word(answer));
    if (answer == SHMW_OK)
        put_u64(result, "pos", index);
}

static int write_each(struct request *rq, const struct slick *slick, const cJSON *items, cJSON *results)
{
    const cJSON *item;
    cJSON_ArrayForEach (item, items) {
        struct bytes data = {0};
        uint64_t index = 0;
        int rc = need_bytes(rq, item, "data", &data);
        if (rc == SHMW_OK)
            rc = shmw_slick_write(slick->producer, data.data, data.len, &index);
        if (rc < 0)
            return rc;
        put_result(results, rc, index);
        if (rc != SHMW_OK)
            break;
    }
    return SHMW_OK;
}

/* The items side by side in a new block; all of one length. */
static int join_items(struct request *rq, const cJSON *items, size_t count, unsigned char **block, size_t *length)
{
    const cJSON *item;
    size_t n = 0;
    cJSON_ArrayForEach (item, items) {
        struct bytes data = {0};
        const int rc = need_bytes(rq, item, "data", &data);
        if (rc != SHMW_OK)
            return rc;
        if (n == 0) {
            *length = data.len;
            *block = request_alloc(rq, count * data.len + 1);
        }
        if (data.len != *length)
            return request_fail(rq, DRIVER_BAD_REQUEST, "the items of a batch are not of one length");
        memcpy(*block + n * data.len, data.data, data.len);
        n++;
    }
    return SHMW_OK;
}

static int write_batch(struct request *rq, const struct slick *slick, const cJSON *items, cJSON *results)
{
    const size_t count = (size_t)cJSON_GetArraySize(items);
    unsigned char *block = NULL;
    size_t length = 0;
    size_t written = 0;
    int rc = join_items(rq, items, count, &block, &length);
    if (rc != SHMW_OK || count == 0)
        return rc;
    uint64_t *indices = request_alloc(rq, count * sizeof(*indices));
    rc = shmw_slick_write_batch(slick->producer, block, length, count, indices, &written);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < written; i++)
        put_result(results, SHMW_OK, indices[i]);
    if (rc != SHMW_OK)
        put_result(results, rc, 0);
    return SHMW_OK;
}

int slick_write(struct request *rq, void *segment)
{
    struct slick *slick = segment;
    const char *mode = NULL;
    int rc = need_text(rq, rq->body, "mode", &mode);
    if (rc == SHMW_OK && strcmp(mode, "try") != 0 && strcmp(mode, "block") != 0 && strcmp(mode, "batch") != 0)
        rc = request_fail(rq, DRIVER_BAD_REQUEST, "mode is not try, block or batch");
    if (rc == SHMW_OK)
        rc = slick_need_producer(slick);
    const cJSON *items = field(rq->body, "items");
    if (rc == SHMW_OK && !cJSON_IsArray(items))
        rc = request_fail(rq, DRIVER_BAD_REQUEST, "items is missing or not an array");
    if (rc != SHMW_OK)
        return rc;
    cJSON *results = put_array(rq->ok, "results");
    return strcmp(mode, "batch") == 0 ? write_batch(rq, slick, items, results) : write_each(rq, slick, items, results);
}

/* Claims ----------------------------------------------------------------------------------------------------------- */

int slick_claim_elements(struct request *rq, void *segment, void **out)
{
    struct slick *slick = segment;
    uint64_t elements = 0;
    int rc = need_u64(rq, rq->body, "elements", UINT32_MAX, &elements);
    if (rc == SHMW_OK)
        rc = slick_need_producer(slick);
    if (rc != SHMW_OK)
        return rc;
    struct slick_claim *claim = calloc(1, sizeof(*claim));
    if (claim == NULL)
        return DRIVER_INTERNAL;
    claim->slick = slick;
    rc = shmw_slick_reserve(slick->producer, (uint32_t)elements, &claim->claim);
    if (rc >= 0)
        put_text(rq->ok, "st", answer_word(rc));
    if (rc != SHMW_OK) {
        free(claim);
        return rc < 0 ? rc : SHMW_OK;
    }
    *out = claim;
    put_u64(rq->ok, "pos", claim->claim.index);
    put_u64(rq->ok, "capacity", claim->claim.capacity);
    return SHMW_OK;
}

int slick_commit(struct request *rq, void *held)
{
    struct slick_claim *claim = held;
    struct bytes data = {0};
    int rc = need_bytes(rq, rq->body, "data", &data);
    if (rc == SHMW_OK && data.len != claim->claim.capacity)
        rc = request_fail(rq, DRIVER_BAD_REQUEST, "data has not the %zu bytes of the claim", claim->claim.capacity);
    if (rc != SHMW_OK)
        return rc;
    memcpy(claim->claim.data, data.data, data.len);
    rc = shmw_slick_publish(claim->slick->producer, &claim->claim);
    if (rc >= 0)
        put_text(rq->ok, "st", answer_word(rc));
    return rc < 0 ? rc : SHMW_OK;
}

int slick_abandon(struct request *rq, void *held)
{
    struct slick_claim *claim = held;
    const int rc = shmw_slick_abandon(claim->slick->producer, &claim->claim);
    if (rc >= 0)
        put_text(rq->ok, "st", answer_word(rc));
    return rc < 0 ? rc : SHMW_OK;
}

/* Live ------------------------------------------------------------------------------------------------------------- */

/* Wait until all of the messages are within the credit, wherever they fall, if they are reserved next. */
static bool await_credit(const struct slick_port *port, const struct live_message *messages, size_t count, uint64_t limit_ns)
{
    const uint64_t element = port->slick->info.element_size;
    const uint64_t deadline = shmw_deadline(limit_ns);
    uint64_t elements = 0;
    uint64_t most = 1;
    for (size_t i = 0; i < count; i++) {
        const uint64_t n = messages[i].length / element;
        elements += n;
        most = n > most ? n : most;
    }
    for (;;) {
        struct shmw_slick_queue_info info;
        const bool last = shmw_expired(deadline);
        if (shmw_slick_info(port->slick->queue, &info) == SHMW_OK &&
            credit_allows(&port->credit, info.next_index + elements + most - 1)) /* the end of the ring may lie between */
            return true;
        if (last)
            return false;
        sched_yield();
    }
}

/* So many of the messages, from the first on, are of one length. */
static size_t same_length(const struct live_message *messages, size_t count)
{
    size_t n = 1;
    while (n < count && messages[n].length == messages[0].length)
        n++;
    return n;
}

static int send_together(const struct slick_port *port, const struct live_message *messages, size_t count)
{
    const size_t length = messages[0].length;
    if (count == 1)
        return shmw_slick_write(port->slick->producer, messages[0].data, length, NULL);
    for (size_t i = 0; i < count; i++)
        memcpy(port->buffer + i * length, messages[i].data, length);
    return shmw_slick_write_batch(port->slick->producer, port->buffer, length, count, NULL, NULL);
}

#define CREDIT_SLICE_NS UINT64_C(50000000) /* so that limit_ms is looked at while there is none */

int slick_live_send(void *held, const struct live_message *messages, size_t count, uint64_t timeout_ns)
{
    const struct slick_port *port = held;
    (void)timeout_ns;
    if (port->credit.map.base != NULL && !await_credit(port, messages, count, CREDIT_SLICE_NS))
        return SHMW_TIMEOUT;
    int rc = SHMW_OK;
    for (size_t done = 0; rc == SHMW_OK && done < count;) {
        const size_t n = same_length(messages + done, count - done);
        rc = send_together(port, messages + done, n);
        done += n;
    }
    return rc;
}

uint64_t slick_live_sent(struct request *rq, void *held)
{
    const struct slick_port *port = held;
    struct shmw_slick_producer_info info = {0};
    shmw_slick_producer_info(port->slick->producer, &info);
    put_number(rq->ok, "given_up", info.given_up);
    return info.items_written;
}
