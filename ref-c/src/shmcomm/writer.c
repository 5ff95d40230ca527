/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm, section 6: sending. The steps are those of the chapter, in its order. */
#include <string.h>

#include "internal.h"

#define BEAT_EVERY 256         /* messages, whatever their timestamps say */
#define LOOKS_BEFORE_SLEEP 256 /* at the tail of a ring that is full */

/* Locking and loading ------------------------------------------------------------------------------------------------ */

/* Step 4. */
static inline int load_positions(struct shmw_shmcomm_channel *channel)
{
    const struct shmw_shmcomm_wire_header *header = channel->header;
    channel->head = shmw_load_relaxed(&header->head);  /* only holders of the lock store it: A1 has carried it here */
    channel->tail = shmw_load_acquire(&header->tail);  /* A3: pairs with R3; pullers have done with the bytes below */
    channel->count = shmw_load_relaxed(&header->message_count);
    channel->dropped = shmw_load_relaxed(&header->dropped_count);
    return shmw_shmcomm_possible(channel, channel->head, channel->tail) ? SHMW_OK : SHMW_CORRUPT; /* [shmcomm.send.corrupt] */
}

static inline bool is_closed(const struct shmw_shmcomm_channel *channel)
{
    return channel->pattern != SHMW_SHMCOMM_PATTERN_PUBSUB &&
           shmw_load_acquire(&channel->header->state) == SHMW_SHMCOMM_STATE_CLOSED; /* A7: pairs with R7 */
}

void shmw_shmcomm_end(struct shmw_shmcomm_channel *channel)
{
    if (!channel->sole)
        shmw_shmcomm_unlock(channel);
}

/* *deadline: that of the time limit once it has been needed, 0 before. A limit begins with the first obstacle. */
SHMW_SHMCOMM_HOT int begin(struct shmw_shmcomm_channel *channel, uint64_t timeout_ns, uint64_t *deadline)
{
    int rc = SHMW_OK;
    if (!channel->sole && !shmw_shmcomm_lock_at_once(channel)) {
        if (*deadline == 0)
            *deadline = shmw_deadline(timeout_ns);
        rc = shmw_shmcomm_lock_slowly(channel, *deadline);
        if (rc != SHMW_OK)
            return rc;
    }
    if (is_closed(channel))
        rc = SHMW_CLOSED; /* [shmcomm.push.closed] */
    else if (!channel->sole)
        rc = load_positions(channel);
    if (rc != SHMW_OK)
        shmw_shmcomm_end(channel);
    return rc;
}

int shmw_shmcomm_begin(struct shmw_shmcomm_channel *channel, uint64_t timeout_ns, uint64_t *deadline)
{
    return begin(channel, timeout_ns, deadline);
}

/* Making room -------------------------------------------------------------------------------------------------------- */

/* Step 5 of a publisher: whole frames, oldest first, no further than needed [shmcomm.publish.evict, .dropped]. */
static int evict(struct shmw_shmcomm_channel *channel, uint64_t end)
{
    struct shmw_shmcomm_wire_header *header = channel->header;
    uint64_t tail = channel->tail;
    uint64_t frames = 0;
    while (end - tail > channel->capacity) {
        struct shmw_shmcomm_place place = {.at = tail};
        if (tail == channel->head || shmw_shmcomm_find(channel, tail, channel->head, &place) != SHMW_OK)
            return SHMW_CORRUPT; /* [shmcomm.send.corrupt] */
        if (place.at != tail && end - place.at <= channel->capacity) {
            tail = place.at; /* the mark alone was in the way */
            break;
        }
        tail = place.end;
        frames++;
    }
    channel->dropped += frames;
    channel->tail = tail;
    shmw_store_relaxed(&header->dropped_count, channel->dropped);
    shmw_store_release(&header->tail, tail); /* R3: pairs with A3; the head that subscribers who go there must see */
    return SHMW_OK;
}

/* Step 5 of the others. */
static int look_at_tail(struct shmw_shmcomm_channel *channel, uint64_t end)
{
    channel->tail = shmw_load_acquire(&channel->header->tail); /* A3: pairs with R3; pullers have done with the bytes below */
    if (!shmw_shmcomm_possible(channel, channel->head, channel->tail))
        return SHMW_CORRUPT;
    return end - channel->tail <= channel->capacity ? SHMW_OK : SHMW_FULL; /* [shmcomm.push.full] */
}

SHMW_SHMCOMM_HOT int make_room(struct shmw_shmcomm_channel *channel, uint64_t end)
{
    if (end - channel->tail <= channel->capacity)
        return SHMW_OK;
    return channel->pattern == SHMW_SHMCOMM_PATTERN_PUBSUB ? evict(channel, end) : look_at_tail(channel, end);
}

int shmw_shmcomm_make_room(struct shmw_shmcomm_channel *channel, uint64_t end)
{
    return make_room(channel, end);
}

/* Frames ------------------------------------------------------------------------------------------------------------- */

SHMW_SHMCOMM_HOT unsigned char *put_header(const struct shmw_shmcomm_channel *channel, uint64_t position, uint64_t sequence,
                                           const struct shmw_shmcomm_letter *letter)
{
    const uint64_t room = shmw_shmcomm_room(channel, position);
    struct shmw_shmcomm_wire_frame *frame = shmw_shmcomm_frame(channel, position);
    if (shmw_shmcomm_extent(letter->length) > room) { /* [shmcomm.send.frame] */
        shmw_field_store(&frame->size, SHMW_SHMCOMM_SKIP);
        frame = shmw_shmcomm_frame(channel, position + room);
    }
    shmw_field_store(&frame->size, SHMW_SHMCOMM_MESSAGE_HEADER_SIZE + letter->length);
    shmw_field_store(&frame->sequence, sequence);
    shmw_field_store(&frame->timestamp_ns, letter->timestamp_ns);
    shmw_field_store(&frame->correlation_id, letter->correlation_id);
    shmw_field_store(&frame->sender, channel->number);
    shmw_field_store(&frame->content_type, letter->content_type);
    shmw_field_store(&frame->flags, letter->flags);
    return (unsigned char *)frame + SHMW_SHMCOMM_FRAME_OVERHEAD;
}

unsigned char *shmw_shmcomm_put_header(const struct shmw_shmcomm_channel *channel, uint64_t position, uint64_t sequence,
                                       const struct shmw_shmcomm_letter *letter)
{
    return put_header(channel, position, sequence, letter);
}

/* [shmcomm.send.frame, .extent] */
SHMW_SHMCOMM_HOT void put_padding(unsigned char *payload, uint64_t length)
{
    for (; (length & (SHMW_SHMCOMM_FRAME_ALIGN - 1)) != 0; length++)
        shmw_field_store(payload + length, 0);
}

void shmw_shmcomm_put_padding(unsigned char *payload, uint64_t length)
{
    put_padding(payload, length);
}

/* The lines that a message some way ahead will lie in are asked for now: the fence of each message (S6) waits until all its
 * stores are done, and a line that receivers have read takes longer to come than a message to be written. Beyond the end there
 * is no ring. */
static inline void fetch_ahead(const struct shmw_shmcomm_channel *channel, uint64_t position, uint64_t length)
{
    const uint64_t size = length + SHMW_SHMCOMM_FRAME_OVERHEAD;
    shmw_prefetch_lines_to_write(shmw_shmcomm_at(channel, position + SHMW_FETCH_AHEAD), (size_t)size);
}

SHMW_SHMCOMM_HOT void put_frame(const struct shmw_shmcomm_channel *channel, uint64_t position, uint64_t sequence,
                                const struct shmw_shmcomm_letter *letter)
{
    fetch_ahead(channel, position, letter->length);
    unsigned char *payload = put_header(channel, position, sequence, letter);
    shmw_copy_to_shared(payload, letter->data, letter->length);
    put_padding(payload, letter->length);
}

void shmw_shmcomm_put_frame(const struct shmw_shmcomm_channel *channel, uint64_t position, uint64_t sequence,
                            const struct shmw_shmcomm_letter *letter)
{
    put_frame(channel, position, sequence, letter);
}

/* Steps 8 to 11: frames up to `head` are complete, `count` of them [shmcomm.send.order]. The lock is freed before the wake: a
 * system call is no place to hold it. */
SHMW_SHMCOMM_HOT void publish(struct shmw_shmcomm_channel *channel, uint64_t head, uint64_t count)
{
    struct shmw_shmcomm_wire_header *header = channel->header;
    channel->head = head;
    channel->count += count;
    shmw_store_release(&header->head, head); /* R2: pairs with A2; the frames below */
    shmw_store_relaxed(&header->message_count, channel->count);
    shmw_shmcomm_end(channel);
    shmw_shmcomm_wake_receivers(channel);
}

void shmw_shmcomm_publish(struct shmw_shmcomm_channel *channel, uint64_t head, uint64_t count)
{
    publish(channel, head, count);
}

SHMW_SHMCOMM_HOT void keep_alive(struct shmw_shmcomm_channel *channel, uint64_t timestamp_ns)
{
    const bool due = timestamp_ns - channel->beat_ns >= SHMW_SHMCOMM_HEARTBEAT_NS; /* also for a clock that was set back */
    if (!channel->keeper || (!due && ++channel->unbeaten < BEAT_EVERY))
        return;
    channel->beat_ns = timestamp_ns;
    shmw_shmcomm_beat(channel);
}

void shmw_shmcomm_keep_alive(struct shmw_shmcomm_channel *channel, uint64_t timestamp_ns)
{
    keep_alive(channel, timestamp_ns);
}

/* One message -------------------------------------------------------------------------------------------------------- */

void shmw_shmcomm_address(const struct shmw_shmcomm_channel *channel, const struct shmw_shmcomm_meta *meta,
                          struct shmw_shmcomm_letter *letter)
{
    letter->timestamp_ns = meta != NULL && meta->timestamp_ns != 0 ? meta->timestamp_ns : shmw_wall_clock();
    letter->content_type = meta != NULL ? meta->content_type : channel->serializer; /* [shmcomm.send.content] */
    letter->flags = meta != NULL ? meta->flags : 0;
}

/* Steps 2 to 5: on SHMW_OK the lock is held and there is room up to *end; otherwise it is free. */
SHMW_SHMCOMM_HOT int reserve(struct shmw_shmcomm_channel *channel, uint64_t length, uint64_t timeout_ns, uint64_t *deadline,
                          uint64_t *end)
{
    int rc = begin(channel, timeout_ns, deadline);
    if (rc != SHMW_OK)
        return rc;
    *end = channel->head + shmw_shmcomm_need(channel, channel->head, shmw_shmcomm_extent(length));
    rc = make_room(channel, *end);
    if (rc != SHMW_OK)
        shmw_shmcomm_end(channel);
    else
        /* F5: pairs with F5; tail, as loaded or moved, before our stores to the ring [shmcomm.send.fence] */
        shmw_fence_release();
    return rc;
}

/* Pullers are often about to make room. */
static bool room_comes(const struct shmw_shmcomm_channel *channel)
{
    const uint64_t tail = shmw_load_relaxed(&channel->header->tail);
    for (unsigned look = 0; look < LOOKS_BEFORE_SLEEP; look++) {
        if (shmw_load_relaxed(&channel->header->tail) != tail)
            return true;
        shmw_relax();
    }
    return false;
}

/* The ring was full: sleep until there is room or the time is over (section 8). */
SHMW_SHMCOMM_COLD int await_room(struct shmw_shmcomm_channel *channel, uint64_t length, uint64_t timeout_ns, uint64_t *deadline,
                      uint64_t *end)
{
    struct shmw_shmcomm_wire_header *header = channel->header;
    if (*deadline == 0)
        *deadline = shmw_deadline(timeout_ns);
    for (;;) {
        const bool last = shmw_expired(*deadline);
        if (room_comes(channel)) {
            const int rc = reserve(channel, length, timeout_ns, deadline, end);
            if (rc != SHMW_FULL)
                return rc;
        }
        const uint32_t seen = shmw_shmcomm_go_to_sleep(&header->space_signal, &header->space_waiters);
        const int rc = reserve(channel, length, timeout_ns, deadline, end);
        if (rc != SHMW_FULL || last)
            return rc == SHMW_FULL ? SHMW_TIMEOUT : rc; /* [shmcomm.wait.timeout] */
        if (shmw_futex_wait(&header->space_signal, seen, shmw_remaining(*deadline, SHMW_SHMCOMM_WAIT_SLICE_NS)) != SHMW_OK)
            return SHMW_SYSTEM;
    }
}

/* What the time limit allows then. */
SHMW_SHMCOMM_COLD int found_full(struct shmw_shmcomm_channel *channel, uint64_t length, uint64_t timeout_ns, uint64_t *deadline,
                                 uint64_t *end)
{
    const int rc = timeout_ns != 0 ? await_room(channel, length, timeout_ns, deadline, end) : SHMW_FULL;
    if (rc == SHMW_FULL || rc == SHMW_TIMEOUT) {
        shmw_add_relaxed(&channel->header->dropped_count, 1); /* [shmcomm.push.full] */
        channel->refused++;
    }
    return rc;
}

SHMW_SHMCOMM_HOT int reserve_in_time(struct shmw_shmcomm_channel *channel, uint64_t length, uint64_t timeout_ns, uint64_t *end)
{
    uint64_t deadline = 0;
    if (length > shmw_shmcomm_max_payload(channel)) /* [shmcomm.send.too-large] */
        return SHMW_TOO_LARGE;
    const int rc = reserve(channel, length, timeout_ns, &deadline, end);
    return rc != SHMW_FULL ? rc : found_full(channel, length, timeout_ns, &deadline, end);
}

int shmw_shmcomm_reserve(struct shmw_shmcomm_channel *channel, uint64_t length, uint64_t timeout_ns, uint64_t *end)
{
    return reserve_in_time(channel, length, timeout_ns, end);
}

int shmw_shmcomm_post(struct shmw_shmcomm_channel *channel, const struct shmw_shmcomm_letter *letter, uint64_t timeout_ns,
                      uint64_t *sequence)
{
    uint64_t end = 0;
    const int rc = reserve_in_time(channel, letter->length, timeout_ns, &end);
    if (rc != SHMW_OK)
        return rc;
    if (sequence != NULL)
        *sequence = channel->count; /* [shmcomm.send.sequence] */
    put_frame(channel, channel->head, channel->count, letter);
    keep_alive(channel, letter->timestamp_ns);
    publish(channel, end, 1);
    return SHMW_OK;
}
