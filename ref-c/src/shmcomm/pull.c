/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm, section 7.2: pullers, and repliers and requesters, who take as they do. */
#include "internal.h"

/* Used inside this file only: tail has moved under us. */
#define LOOK_AGAIN 100

int shmw_shmcomm_nothing(const struct shmw_shmcomm_channel *channel, uint64_t position)
{
    const struct shmw_shmcomm_wire_header *header = channel->header;
    /* A7: pairs with R7; what was published before the close */
    if (shmw_load_acquire(&header->state) != SHMW_SHMCOMM_STATE_CLOSED)
        return SHMW_EMPTY;
    if (shmw_load_acquire(&header->head) != position) /* A2: pairs with R2 */
        return SHMW_OK;
    return channel->puller ? shmw_shmcomm_drained(channel) : SHMW_CLOSED; /* [shmcomm.receive.closed] */
}

/* Has another one moved tail from `tail`, so that what we saw means nothing? */
static bool tail_moved(const struct shmw_shmcomm_channel *channel, uint64_t tail)
{
    shmw_fence_acquire(); /* F5: pairs with F5; our loads from the ring before tail */
    return shmw_load_relaxed(&channel->header->tail) != tail;
}

/* Step 1: SHMW_OK when there is something at *tail. anew: all that is there by now is wanted, not what was there at the last
 * look. */
static inline int look(struct shmw_shmcomm_channel *channel, uint64_t *tail, bool anew)
{
    const struct shmw_shmcomm_wire_header *header = channel->header;
    *tail = shmw_load_acquire(&header->tail); /* A3: pairs with R3; a head that is not below it */
    if (anew || (int64_t)(channel->seen_head - *tail) <= 0) {
        channel->seen_head = shmw_load_acquire(&header->head); /* A2: pairs with R2; the frames below it */
        if (channel->seen_head == *tail) {
            const int rc = shmw_shmcomm_nothing(channel, *tail); /* [shmcomm.receive.empty] */
            return rc == SHMW_OK ? LOOK_AGAIN : rc;
        }
    }
    if (shmw_shmcomm_possible(channel, channel->seen_head, *tail))
        return SHMW_OK;
    channel->seen_head = *tail;
    return tail_moved(channel, *tail) ? LOOK_AGAIN : SHMW_CORRUPT;
}

/* Steps 2 and 3 at a position of [tail, head): find, describe, and copy what fits and is wanted. */
static inline int copy_at(const struct shmw_shmcomm_channel *channel, uint64_t position, const struct shmw_shmcomm_target *to,
                          const uint64_t *wanted, struct shmw_shmcomm_place *place, struct shmw_shmcomm_message *message)
{
    if (shmw_shmcomm_find(channel, position, channel->seen_head, place) != SHMW_OK)
        return SHMW_CORRUPT; /* [shmcomm.receive.size] */
    shmw_shmcomm_describe(shmw_shmcomm_frame(channel, place->at), place, message);
    if (wanted != NULL && message->correlation_id != *wanted)
        return SHMW_OK;
    if (place->length > to->size)
        return SHMW_TOO_SMALL; /* [shmcomm.receive.too-small] */
    const unsigned char *payload = shmw_shmcomm_at(channel, place->at) + SHMW_SHMCOMM_FRAME_OVERHEAD;
    shmw_copy_from_shared(to->buffer, payload, (size_t)place->length);
    return SHMW_OK;
}

/* Steps 3 and 4: the messages from tail to `end`, the last of which is `last`, are ours if tail is where it was. */
static inline int claim(struct shmw_shmcomm_channel *channel, uint64_t tail, uint64_t end, uint64_t last)
{
    struct shmw_shmcomm_wire_header *header = channel->header;
    if (shmw_load_relaxed(&header->message_count) <= last) { /* [shmcomm.pull.count] */
        if (tail_moved(channel, tail))
            return LOOK_AGAIN;
        shmw_shmcomm_raise_count(channel, last + 1);
    }
    /* R3: pairs with A3; the end of our copy before a writer uses the bytes again [shmcomm.pull.claim] */
    return shmw_cas_release(&header->tail, &tail, end) ? SHMW_OK : LOOK_AGAIN;
}

static int pull_once(struct shmw_shmcomm_channel *channel, const struct shmw_shmcomm_target *to, const uint64_t *wanted,
                     struct shmw_shmcomm_message *message)
{
    struct shmw_shmcomm_place place;
    uint64_t tail = 0;
    int rc = look(channel, &tail, false);
    if (rc != SHMW_OK)
        return rc;
    rc = copy_at(channel, tail, to, wanted, &place, message);
    if (rc != SHMW_OK)
        return tail_moved(channel, tail) ? LOOK_AGAIN : rc;
    rc = claim(channel, tail, place.end, message->sequence);
    if (rc == SHMW_OK)
        shmw_shmcomm_wake_writers(channel);
    return rc;
}

int shmw_shmcomm_pull(struct shmw_shmcomm_channel *channel, const struct shmw_shmcomm_target *to, const uint64_t *wanted,
                      uint64_t *discarded, struct shmw_shmcomm_message *message)
{
    unsigned turns = SHMW_STAND_BACK_FIRST;
    for (;;) { /* as long as others take what we were about to take */
        const int rc = pull_once(channel, to, wanted, message);
        if (rc == LOOK_AGAIN) {
            shmw_stand_back(&turns);
        } else if (rc == SHMW_OK && wanted != NULL && message->correlation_id != *wanted) {
            (*discarded)++; /* [shmcomm.request.late] */
        } else {
            return rc;
        }
    }
}

/* Steps 2 and 3, one behind the other; gives how many, and the end of the last. *rc says why there are none. */
static size_t gather(const struct shmw_shmcomm_channel *channel, uint64_t tail, const struct shmw_shmcomm_target *to,
                     struct shmw_shmcomm_message *messages, size_t max, uint64_t *end, int *rc)
{
    uint64_t at = tail;
    size_t used = 0;
    size_t count = 0;
    while (count < max && at != channel->seen_head) {
        const struct shmw_shmcomm_target rest = {.buffer = to->buffer + used, .size = to->size - used};
        struct shmw_shmcomm_place place;
        *rc = copy_at(channel, at, &rest, NULL, &place, &messages[count]);
        if (*rc != SHMW_OK)
            break;
        messages[count++].offset = used;
        used = (size_t)shmw_min_u64(shmw_align_up(used + place.length, SHMW_SHMCOMM_FRAME_ALIGN), to->size);
        at = place.end;
    }
    *end = at;
    return count;
}

int shmw_shmcomm_pull_batch(struct shmw_shmcomm_channel *channel, const struct shmw_shmcomm_target *to,
                            struct shmw_shmcomm_message *messages, size_t max, size_t *count)
{
    unsigned turns = SHMW_STAND_BACK_FIRST;
    for (;;) {
        uint64_t tail = 0;
        uint64_t end = 0;
        int rc = look(channel, &tail, true);
        if (rc != SHMW_OK && rc != LOOK_AGAIN)
            return rc;
        *count = rc == SHMW_OK ? gather(channel, tail, to, messages, max, &end, &rc) : 0;
        if (*count > 0 && claim(channel, tail, end, messages[*count - 1].sequence) == SHMW_OK) {
            shmw_shmcomm_wake_writers(channel);
            return SHMW_OK;
        }
        if (*count == 0 && rc != LOOK_AGAIN && !tail_moved(channel, tail))
            return rc;
        *count = 0;
        shmw_stand_back(&turns);
    }
}
