/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm behind the driver protocol: live actors. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "../live.h"
#include "bytes.h"
#include "shmcomm.h"
#include "wait.h"

#define TYPE_END UINT32_C(0xFFFFFFFF)    /* what live.c calls it */
#define CONTENT_END UINT16_C(0xFFFF)     /* what the channel carries */
#define BUFFER_BYTES (UINT64_C(4) << 20) /* of a batch; at least one message of any length fits */
#define CREDIT_SLICE_NS UINT64_C(50000000)  /* so that limit_ms is looked at while there is none */
#define REPLY_LIMIT_MS UINT64_C(1000)      /* that a requester waits for a reply if nothing else is said, and a replier for room */

void shmcomm_port_free(struct shmcomm_port *port)
{
    if (port == NULL)
        return;
    credit_close(&port->credit, true);
    free(port->messages);
    free(port->parts);
    free(port->buffer);
    free(port);
}

/* Opening ---------------------------------------------------------------------------------------------------------- */

int shmcomm_live_open(struct request *rq, const char *seg, bool writer, const cJSON *plan, void **segment)
{
    const char *as = writer ? "publisher" : "subscriber";
    uint64_t timeout_ns = 0;
    int rc = field(plan, "as") != NULL ? need_text(rq, plan, "as", &as) : SHMW_OK;
    if (rc == SHMW_OK)
        rc = want_timeout(rq, &timeout_ns);
    if (rc != SHMW_OK)
        return rc;
    const cJSON *given = field(plan, "open");
    cJSON *options = given != NULL ? cJSON_Duplicate(given, true) : cJSON_CreateObject();
    if (!cJSON_IsObject(options)) {
        cJSON_Delete(options);
        return request_fail(rq, DRIVER_BAD_REQUEST, "open is not an object");
    }
    cJSON_DeleteItemFromObjectCaseSensitive(options, "role");
    put_text(options, "role", as);
    rc = shmcomm_open(rq, seg, strcmp(as, "observer") == 0, timeout_ns, options, segment);
    cJSON_Delete(options);
    return rc;
}

static int make_room(struct shmcomm_port *port)
{
    const size_t largest = (size_t)port->shmcomm->largest;
    port->batch = LIVE_LARGEST_BATCH;
    port->size = largest > BUFFER_BYTES ? largest : BUFFER_BYTES;
    port->messages = calloc(port->batch, sizeof(*port->messages));
    port->parts = calloc(port->batch, sizeof(*port->parts));
    port->buffer = calloc(1, port->size);
    return port->messages != NULL && port->parts != NULL && port->buffer != NULL ? SHMW_OK : DRIVER_INTERNAL;
}

int shmcomm_live_attach(struct request *rq, void *segment, const cJSON *plan, void **out)
{
    struct shmcomm *shmcomm = segment;
    struct shmcomm_port *port = calloc(1, sizeof(*port));
    const char *role = NULL;
    if (port == NULL)
        return DRIVER_INTERNAL;
    shmcomm->port = port;
    port->shmcomm = shmcomm;
    port->ends = 1;
    *out = port;
    uint64_t reply_ms = REPLY_LIMIT_MS;
    int rc = make_room(port);
    if (rc == SHMW_OK)
        rc = want_u64(rq, plan, "limit_ms", UINT32_MAX, &reply_ms);
    if (rc == SHMW_OK)
        rc = want_u64(rq, plan, "reply_ms", UINT32_MAX, &reply_ms);
    port->reply_ns = reply_ms * UINT64_C(1000000);
    if (rc == SHMW_OK)
        rc = need_text(rq, plan, "role", &role);
    if (rc == SHMW_OK && strcmp(role, "write") == 0)
        return credit_open(rq, plan, true, &port->credit);
    if (rc == SHMW_OK && shmcomm->role == SHMW_SHMCOMM_SUBSCRIBER)
        rc = want_u64(rq, plan, "ends", UINT32_MAX, &port->ends);
    return rc;
}

size_t shmcomm_live_batch_limit(void *port)
{
    return ((struct shmcomm_port *)port)->batch;
}

size_t shmcomm_live_payload_limit(void *port)
{
    const struct shmcomm *shmcomm = ((struct shmcomm_port *)port)->shmcomm;
    return (size_t)shmw_min_u64(shmw_min_u64(shmcomm->info.max_payload, shmcomm->largest), DRIVER_LONGEST_DATA);
}

/* Sending ---------------------------------------------------------------------------------------------------------- */

/* Wait until the channel may be so many messages longer. */
static bool await_credit(const struct shmcomm_port *port, uint64_t count)
{
    const uint64_t deadline = shmw_deadline(CREDIT_SLICE_NS);
    for (;;) {
        struct shmw_shmcomm_info info;
        const bool last = shmw_expired(deadline);
        if (shmw_shmcomm_info(port->shmcomm->endpoint, &info) == SHMW_OK &&
            credit_allows(&port->credit, info.message_count + count))
            return true;
        if (last)
            return false;
        sched_yield();
    }
}

/* Another writer that is stopped for a while is no reason to end the run. */
static int retry_if_busy(int rc)
{
    return rc == SHMW_BUSY ? SHMW_TIMEOUT : rc;
}

static int ask(struct shmcomm_port *port, const struct live_message *message, uint64_t timeout_ns)
{
    static const struct shmw_shmcomm_meta meta = {.content_type = SHMW_SHMCOMM_CONTENT_RAW};
    shmw_shmcomm *endpoint = port->shmcomm->endpoint;
    struct shmw_shmcomm_message reply;
    int rc = shmw_shmcomm_send(endpoint, message->data, message->length, &meta, timeout_ns, NULL);
    if (rc != SHMW_OK)
        return retry_if_busy(rc);
    rc = shmw_shmcomm_receive(endpoint, port->buffer, port->size, port->reply_ns, 0, &reply);
    const bool same = rc == SHMW_OK && reply.length == message->length && memcmp(port->buffer, message->data, reply.length) == 0;
    port->replied += rc == SHMW_OK;
    port->timeouts += rc == SHMW_TIMEOUT;
    port->mismatched += rc == SHMW_OK && !same;
    return rc == SHMW_OK || rc == SHMW_TIMEOUT ? SHMW_OK : rc;
}

static int send_some(struct shmcomm_port *port, const struct live_message *messages, size_t count, uint64_t timeout_ns,
                     size_t *sent)
{
    static const struct shmw_shmcomm_meta meta = {.content_type = SHMW_SHMCOMM_CONTENT_RAW};
    shmw_shmcomm *endpoint = port->shmcomm->endpoint;
    if (count == 1) {
        const int rc = shmw_shmcomm_send(endpoint, messages[0].data, messages[0].length, &meta, timeout_ns, NULL);
        *sent = rc == SHMW_OK;
        return retry_if_busy(rc);
    }
    for (size_t i = 0; i < count; i++)
        port->parts[i] = (struct shmw_shmcomm_part){.data = messages[i].data, .length = messages[i].length};
    return retry_if_busy(shmw_shmcomm_send_batch(endpoint, port->parts, count, &meta, timeout_ns, sent));
}

/* A batch that stops half-way goes on where it stopped when the same messages are sent again. */
int shmcomm_live_send(void *held, const struct live_message *messages, size_t count, uint64_t timeout_ns)
{
    struct shmcomm_port *port = held;
    if (port->credit.map.base != NULL && !await_credit(port, count - port->done))
        return SHMW_TIMEOUT;
    while (port->done < count) {
        size_t sent = 0;
        int rc;
        if (port->shmcomm->role == SHMW_SHMCOMM_REQUESTER)
            sent = (rc = ask(port, &messages[port->done], timeout_ns)) == SHMW_OK;
        else
            rc = send_some(port, messages + port->done, count - port->done, timeout_ns, &sent);
        port->done += sent;
        if (rc != SHMW_OK)
            return rc;
    }
    port->done = 0;
    return SHMW_OK;
}

/* Receiving -------------------------------------------------------------------------------------------------------- */

static bool is_end(const struct shmw_shmcomm_message *message)
{
    return message->content_type == CONTENT_END;
}

/* Give a received message to live.c, or, of an END that is not the last one needed, nothing. */
static size_t hand_on(struct shmcomm_port *port, const struct shmw_shmcomm_message *from, struct live_message *to)
{
    const bool end = is_end(from);
    if (end && port->ends > 1) {
        port->ends--;
        return 0;
    }
    to->length = from->length;
    to->type = end ? TYPE_END : from->sender;
    to->position = from->sequence;
    to->next = from->sequence + 1;
    to->skipped = from->lost;
    to->sender_pid = 0;
    memcpy(to->data, port->buffer + from->offset, from->length);
    return 1;
}

/* A replier gives back what it was asked [END is not answered]. */
static int answer_requests(const struct shmcomm_port *port, size_t count)
{
    static const struct shmw_shmcomm_meta meta = {.content_type = SHMW_SHMCOMM_CONTENT_RAW};
    for (size_t i = 0; i < count; i++) {
        const struct shmw_shmcomm_message *message = &port->messages[i];
        if (is_end(message))
            continue;
        const int rc = shmw_shmcomm_reply(port->shmcomm->endpoint, message, port->buffer + message->offset, message->length, &meta,
                                          REPLY_LIMIT_MS * UINT64_C(1000000));
        if (rc < 0)
            return rc;
    }
    return SHMW_OK;
}

int shmcomm_live_receive(void *held, struct live_message *messages, size_t max, uint64_t timeout_ns, size_t *count)
{
    struct shmcomm_port *port = held;
    shmw_shmcomm *endpoint = port->shmcomm->endpoint;
    size_t got = 1;
    port->messages[0].offset = 0;
    int rc = max > 1 ? shmw_shmcomm_receive_batch(endpoint, port->buffer, port->size, port->messages, max, timeout_ns, 0, &got)
                     : shmw_shmcomm_receive(endpoint, port->buffer, port->size, timeout_ns, 0, &port->messages[0]);
    if (rc == SHMW_OK && port->shmcomm->role == SHMW_SHMCOMM_REPLIER)
        rc = answer_requests(port, got);
    if (rc != SHMW_OK)
        return rc;
    *count = 0;
    for (size_t i = 0; i < got; i++)
        *count += hand_on(port, &port->messages[i], &messages[*count]);
    return SHMW_OK;
}

void shmcomm_live_summary(struct request *rq, void *held)
{
    const struct shmcomm_port *port = held;
    struct shmw_shmcomm_info info;
    if (shmw_shmcomm_info(port->shmcomm->endpoint, &info) == SHMW_OK) { /* BUSY, taken for TIMEOUT above, was no want of room */
        cJSON_DeleteItemFromObject(rq->ok, "full");
        put_number(rq->ok, "full", info.refused);
    }
    if (port->shmcomm->role != SHMW_SHMCOMM_REQUESTER)
        return;
    put_number(rq->ok, "replied", port->replied);
    put_number(rq->ok, "timeouts", port->timeouts);
    put_number(rq->ok, "mismatched", port->mismatched);
}
