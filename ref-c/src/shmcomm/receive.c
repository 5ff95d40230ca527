/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm, sections 7 and 8: the calls that receive, and their waiting. */
#include <string.h>

#include "internal.h"

#define LOOKS_PER_CLOCK 16
#define POLL_NS UINT64_C(1000000) /* of one that cannot be woken */

/* What a call wants, and what it got. */
struct order {
    struct shmw_shmcomm_target to;
    struct shmw_shmcomm_message *messages;
    size_t max;   /* 0: one message, in messages[0] */
    size_t count; /* of a batch */
};

static inline bool takes(const shmw_shmcomm *endpoint)
{
    return endpoint->role != SHMW_SHMCOMM_SUBSCRIBER && endpoint->role != SHMW_SHMCOMM_OBSERVER;
}

static inline struct shmw_shmcomm_channel *inbox(shmw_shmcomm *endpoint)
{
    return endpoint->role == SHMW_SHMCOMM_REQUESTER ? &endpoint->replies : &endpoint->channel;
}

/* One try ----------------------------------------------------------------------------------------------------------- */

static inline int take_one(shmw_shmcomm *endpoint, const struct order *order)
{
    const bool asked = endpoint->role == SHMW_SHMCOMM_REQUESTER;
    const int rc = shmw_shmcomm_pull(inbox(endpoint), &order->to, asked ? &endpoint->correlation : NULL, &endpoint->discarded,
                                     order->messages);
    if (rc != SHMW_OK)
        return rc;
    if (asked)
        endpoint->outstanding = false;
    if (endpoint->role == SHMW_SHMCOMM_REPLIER)
        order->messages[0].taken_ns = shmw_now();
    endpoint->received++;
    return SHMW_OK;
}

static int take_batch(shmw_shmcomm *endpoint, struct order *order)
{
    const int rc = shmw_shmcomm_pull_batch(&endpoint->channel, &order->to, order->messages, order->max, &order->count);
    if (rc != SHMW_OK)
        return rc;
    const uint64_t now = endpoint->role == SHMW_SHMCOMM_REPLIER ? shmw_now() : 0;
    for (size_t i = 0; i < order->count; i++)
        order->messages[i].taken_ns = now;
    endpoint->received += order->count;
    return SHMW_OK;
}

/* Subscribers have what comes next in private memory anyway. */
static int read_batch(shmw_shmcomm *endpoint, struct order *order)
{
    size_t used = 0;
    int rc = SHMW_OK;
    for (order->count = 0; order->count < order->max; order->count++) {
        struct shmw_shmcomm_message *message = &order->messages[order->count];
        const struct shmw_shmcomm_target rest = {.buffer = order->to.buffer + used, .size = order->to.size - used};
        rc = shmw_shmcomm_next(endpoint, &rest, message);
        if (rc != SHMW_OK)
            break;
        message->offset = used;
        used = (size_t)shmw_min_u64(shmw_align_up(used + message->length, SHMW_SHMCOMM_FRAME_ALIGN), order->to.size);
    }
    return order->count > 0 ? SHMW_OK : rc;
}

static inline int try_once(shmw_shmcomm *endpoint, struct order *order)
{
    if (order->max > 0)
        return takes(endpoint) ? take_batch(endpoint, order) : read_batch(endpoint, order);
    return takes(endpoint) ? take_one(endpoint, order) : shmw_shmcomm_next(endpoint, &order->to, order->messages);
}

/* Waiting ----------------------------------------------------------------------------------------------------------- */

/* Spin, looking at nothing but head, and now and then at the state. True: there is something to look at. */
static bool spin(shmw_shmcomm *endpoint, uint64_t deadline)
{
    const struct shmw_shmcomm_wire_header *header = inbox(endpoint)->header;
    const bool taker = takes(endpoint);
    for (;;) {
        for (unsigned look = 0; look < LOOKS_PER_CLOCK; look++) {
            const uint64_t position = taker ? shmw_load_relaxed(&header->tail) : endpoint->reader.cursor;
            if (shmw_load_relaxed(&header->head) != position)
                return true; /* the next try loads it with acquire (A2) */
            shmw_pause_between_looks();
        }
        if (shmw_load_relaxed(&header->state) == SHMW_SHMCOMM_STATE_CLOSED)
            return true; /* the next try loads it with acquire (A7) */
        if (shmw_expired(deadline))
            return false;
    }
}

/* Step 5, with a page to be counted in or without. */
static int sleep_on(shmw_shmcomm *endpoint, uint32_t seen, uint64_t deadline)
{
    const struct shmw_shmcomm_channel *channel = inbox(endpoint);
    if (channel->counts != NULL)
        return shmw_futex_wait(&channel->counts->data_signal, seen, shmw_remaining(deadline, SHMW_SHMCOMM_WAIT_SLICE_NS));
    shmw_sleep(shmw_remaining(deadline, POLL_NS));
    return SHMW_OK;
}

static int sleep_until(shmw_shmcomm *endpoint, struct order *order, uint64_t deadline)
{
    struct shmw_shmcomm_wire_header *counts = inbox(endpoint)->counts;
    for (;;) {
        const bool last = shmw_expired(deadline);
        /* before it counts itself: who was woken finds something, and costs no further wake */
        int rc = try_once(endpoint, order);
        if (rc != SHMW_EMPTY)
            return rc;
        const uint32_t seen = counts != NULL ? shmw_shmcomm_go_to_sleep(&counts->data_signal, &counts->data_waiters) : 0;
        rc = try_once(endpoint, order);
        if (rc != SHMW_EMPTY)
            return rc;
        if (last)
            return SHMW_TIMEOUT; /* [shmcomm.wait.timeout] */
        const uint64_t before = endpoint->role == SHMW_SHMCOMM_REPLIER ? shmw_now() : 0;
        rc = sleep_on(endpoint, seen, deadline);
        if (rc != SHMW_OK)
            return rc;
        if (before != 0 && shmw_now() - before >= SHMW_SHMCOMM_WAIT_SLICE_NS) { /* [shmcomm.reply.sweep] */
            shmw_shmcomm_forget_closed(endpoint);
            shmw_shmcomm_sweep(endpoint->reply_prefix);
        }
    }
}

static inline int receive(shmw_shmcomm *endpoint, struct order *order, uint64_t timeout_ns, uint64_t spin_ns)
{
    int rc = try_once(endpoint, order);
    if (rc != SHMW_EMPTY || timeout_ns == 0)
        return rc;
    const uint64_t deadline = shmw_deadline(timeout_ns);
    if (spin_ns > 0) {
        const uint64_t spun = shmw_deadline(shmw_min_u64(spin_ns, timeout_ns));
        while (rc == SHMW_EMPTY && spin(endpoint, spun)) /* another puller may be faster */
            rc = try_once(endpoint, order);
        if (rc != SHMW_EMPTY)
            return rc;
    }
    return sleep_until(endpoint, order, deadline);
}

/* Calls ------------------------------------------------------------------------------------------------------------- */

static int check_receiver(const shmw_shmcomm *endpoint)
{
    if (endpoint->role == SHMW_SHMCOMM_PUBLISHER || endpoint->role == SHMW_SHMCOMM_PUSHER)
        return SHMW_UNSUPPORTED;
    const int rc = shmw_shmcomm_usable(endpoint);
    if (rc != SHMW_OK)
        return rc;
    /* [shmcomm.request.order] */
    return endpoint->role == SHMW_SHMCOMM_REQUESTER && !endpoint->outstanding ? SHMW_OUT_OF_ORDER : SHMW_OK;
}

int shmw_shmcomm_receive(shmw_shmcomm *endpoint, void *buffer, size_t size, uint64_t timeout_ns, uint64_t spin_ns,
                         struct shmw_shmcomm_message *message)
{
    unsigned char nothing;
    struct shmw_shmcomm_message ignored;
    if (endpoint == NULL || (buffer == NULL && size > 0))
        return SHMW_INVALID_ARGUMENT;
    const int rc = check_receiver(endpoint);
    if (rc != SHMW_OK)
        return rc;
    struct order order = {
        .to = {.buffer = buffer != NULL ? buffer : &nothing, .size = size},
        .messages = message != NULL ? message : &ignored,
    };
    return receive(endpoint, &order, timeout_ns, spin_ns);
}

int shmw_shmcomm_receive_batch(shmw_shmcomm *endpoint, void *buffer, size_t size, struct shmw_shmcomm_message *messages,
                               size_t max, uint64_t timeout_ns, uint64_t spin_ns, size_t *count)
{
    if (endpoint == NULL || buffer == NULL || messages == NULL || max == 0 || count == NULL)
        return SHMW_INVALID_ARGUMENT;
    *count = 0;
    if (endpoint->role == SHMW_SHMCOMM_REQUESTER)
        return SHMW_UNSUPPORTED;
    int rc = check_receiver(endpoint);
    if (rc != SHMW_OK)
        return rc;
    struct order order = {.to = {.buffer = buffer, .size = size}, .messages = messages, .max = max};
    rc = receive(endpoint, &order, timeout_ns, spin_ns);
    *count = rc == SHMW_OK ? order.count : 0;
    return rc;
}

int shmw_shmcomm_view(shmw_shmcomm *endpoint, uint64_t timeout_ns, uint64_t spin_ns, struct shmw_shmcomm_message *message)
{
    if (endpoint == NULL || message == NULL)
        return SHMW_INVALID_ARGUMENT;
    if (takes(endpoint))
        return SHMW_UNSUPPORTED;
    struct order order = {.to = {.buffer = NULL, .size = SIZE_MAX}, .messages = message};
    return receive(endpoint, &order, timeout_ns, spin_ns);
}
