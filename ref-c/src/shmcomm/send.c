/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm, section 6: the calls that send: one by one, in batches, and by claims. */
#include "internal.h"

static int check_sender(const shmw_shmcomm *endpoint, const void *data, size_t length, bool requests)
{
    if (endpoint == NULL || (data == NULL && length > 0))
        return SHMW_INVALID_ARGUMENT;
    const enum shmw_shmcomm_role role = endpoint->role;
    if (role != SHMW_SHMCOMM_PUBLISHER && role != SHMW_SHMCOMM_PUSHER && !(requests && role == SHMW_SHMCOMM_REQUESTER))
        return SHMW_UNSUPPORTED;
    if (endpoint->claimed)
        return SHMW_BUSY;
    return shmw_shmcomm_usable(endpoint);
}

int shmw_shmcomm_send(shmw_shmcomm *endpoint, const void *data, size_t length, const struct shmw_shmcomm_meta *meta,
                      uint64_t timeout_ns, uint64_t *sequence)
{
    int rc = check_sender(endpoint, data, length, true);
    if (rc != SHMW_OK)
        return rc;
    if (endpoint->role == SHMW_SHMCOMM_REQUESTER)
        return shmw_shmcomm_request(endpoint, data, length, meta, timeout_ns, sequence);
    struct shmw_shmcomm_letter letter = {.data = data, .length = length};
    shmw_shmcomm_address(&endpoint->channel, meta, &letter);
    rc = shmw_shmcomm_post(&endpoint->channel, &letter, timeout_ns, sequence);
    endpoint->sent += rc == SHMW_OK;
    return rc;
}

/* As many of the parts as belong into one piece, the first of which has its room: gives how many, and their end. */
static size_t put_piece(struct shmw_shmcomm_channel *channel, const struct shmw_shmcomm_part *parts, size_t count,
                        struct shmw_shmcomm_letter *letter, uint64_t *end)
{
    const uint64_t most = shmw_min_u64(SHMW_SHMCOMM_PIECE_BYTES, channel->capacity / 2);
    const uint64_t begin = channel->head;
    uint64_t at = begin;
    size_t done = 0;
    for (;;) {
        letter->data = parts[done].data;
        letter->length = parts[done].length;
        shmw_shmcomm_put_frame(channel, at, channel->count + done, letter);
        at = *end;
        if (++done == count)
            return done;
        const uint64_t next = at + shmw_shmcomm_need(channel, at, shmw_shmcomm_extent(parts[done].length));
        if (next - begin > most || shmw_shmcomm_make_room(channel, next) != SHMW_OK)
            return done; /* what stands in the way of the next one is its own affair */
        shmw_fence_release(); /* F5: pairs with F5; tail before our next stores to the ring */
        *end = next;
    }
}

static int check_parts(const struct shmw_shmcomm_channel *channel, const struct shmw_shmcomm_part *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (parts[i].data == NULL && parts[i].length > 0)
            return SHMW_INVALID_ARGUMENT;
        if (parts[i].length > shmw_shmcomm_max_payload(channel)) /* [shmcomm.send.too-large] */
            return SHMW_TOO_LARGE;
    }
    return SHMW_OK;
}

int shmw_shmcomm_send_batch(shmw_shmcomm *endpoint, const struct shmw_shmcomm_part *parts, size_t count,
                            const struct shmw_shmcomm_meta *meta, uint64_t timeout_ns, size_t *sent)
{
    size_t done = 0;
    if (sent != NULL)
        *sent = 0;
    int rc = check_sender(endpoint, parts, count, false);
    if (rc == SHMW_OK)
        rc = check_parts(&endpoint->channel, parts, count);
    if (rc != SHMW_OK || count == 0)
        return rc;
    struct shmw_shmcomm_channel *channel = &endpoint->channel;
    struct shmw_shmcomm_letter letter = {0};
    shmw_shmcomm_address(channel, meta, &letter);
    while (done < count) {
        uint64_t end = 0;
        rc = shmw_shmcomm_reserve(channel, parts[done].length, timeout_ns, &end);
        if (rc != SHMW_OK)
            break;
        const size_t piece = put_piece(channel, parts + done, count - done, &letter, &end);
        shmw_shmcomm_keep_alive(channel, letter.timestamp_ns);
        shmw_shmcomm_publish(channel, end, piece);
        done += piece;
    }
    endpoint->sent += done;
    if (sent != NULL)
        *sent = done;
    return rc;
}

/* Claims ------------------------------------------------------------------------------------------------------------- */

int shmw_shmcomm_claim(shmw_shmcomm *endpoint, size_t length, const struct shmw_shmcomm_meta *meta, uint64_t timeout_ns,
                       struct shmw_shmcomm_claim *claim)
{
    uint64_t end = 0;
    int rc = claim != NULL ? check_sender(endpoint, claim, 0, false) : SHMW_INVALID_ARGUMENT;
    if (rc == SHMW_OK)
        rc = shmw_shmcomm_reserve(&endpoint->channel, length, timeout_ns, &end);
    if (rc != SHMW_OK)
        return rc;
    const struct shmw_shmcomm_channel *channel = &endpoint->channel;
    const uint64_t at = end - shmw_shmcomm_extent(length);
    endpoint->claimed = true;
    endpoint->claim_length = length;
    endpoint->claim_meta = meta != NULL ? *meta : (struct shmw_shmcomm_meta){.content_type = channel->serializer};
    *claim = (struct shmw_shmcomm_claim){.data = shmw_shmcomm_at(channel, at) + SHMW_SHMCOMM_FRAME_OVERHEAD, .length = length};
    return SHMW_OK;
}

static int check_claim(const shmw_shmcomm *endpoint)
{
    if (endpoint == NULL)
        return SHMW_INVALID_ARGUMENT;
    return endpoint->claimed ? shmw_shmcomm_usable(endpoint) : SHMW_OUT_OF_ORDER;
}

int shmw_shmcomm_commit(shmw_shmcomm *endpoint, uint64_t *sequence)
{
    const int rc = check_claim(endpoint);
    if (rc != SHMW_OK)
        return rc;
    struct shmw_shmcomm_channel *channel = &endpoint->channel;
    struct shmw_shmcomm_letter letter = {.length = (size_t)endpoint->claim_length};
    const uint64_t need = shmw_shmcomm_need(channel, channel->head, shmw_shmcomm_extent(letter.length));
    shmw_shmcomm_address(channel, &endpoint->claim_meta, &letter);
    if (sequence != NULL)
        *sequence = channel->count;
    shmw_shmcomm_put_padding(shmw_shmcomm_put_header(channel, channel->head, channel->count, &letter), letter.length);
    endpoint->claimed = false;
    shmw_shmcomm_keep_alive(channel, letter.timestamp_ns);
    shmw_shmcomm_publish(channel, channel->head + need, 1);
    endpoint->sent++;
    return SHMW_OK;
}

int shmw_shmcomm_abandon(shmw_shmcomm *endpoint)
{
    const int rc = check_claim(endpoint);
    if (rc != SHMW_OK)
        return rc;
    endpoint->claimed = false;
    shmw_shmcomm_end(&endpoint->channel); /* nothing was visible [shmcomm.send.claim] */
    return SHMW_OK;
}
