/* SPDX-License-Identifier: MIT
 *
 * Profile dmxp, section 5: producing. The steps are those of the chapter, in its order. */
#include "../wait.h"
#include "internal.h"

/* Checks that need no look at the segment -------------------------------------------------------------------------- */

static int check_message(const shmw_dmxp_channel *channel, const void *data, size_t length, const struct shmw_dmxp_meta *meta)
{
    if (data == NULL && length > 0)
        return SHMW_INVALID_ARGUMENT;
    if (meta != NULL && (meta->flags & SHMW_DMXP_MESSAGE_TOMBSTONE) != 0)
        return SHMW_INVALID_ARGUMENT;
    return length <= channel->area.capacity ? SHMW_OK : SHMW_TOO_LARGE; /* [dmxp.produce.too-large] */
}

static int check_producer(const shmw_dmxp_channel *channel)
{
    if (channel == NULL)
        return SHMW_INVALID_ARGUMENT;
    return channel->writable ? SHMW_OK : SHMW_PERMISSION;
}

/* Claiming --------------------------------------------------------------------------------------------------------- */

enum run { RUN_FREE, RUN_FULL, RUN_ODD };

/* Are the slots of [position, position + count) free? RUN_ODD: one of them shows something that tail rules out. */
static inline enum run look_at_run(const shmw_dmxp_channel *channel, uint64_t position, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t p = position + i;
        /* A3: pairs with R3; the last consumer is done with the slot before we write to it */
        const uint64_t sequence = shmw_load_acquire(&shmw_dmxp_slot(channel, p)->sequence);
        if (sequence == p)
            continue;
        const uint64_t previous = p - channel->capacity; /* the position that had the slot before */
        return sequence == previous || sequence == previous + 1 ? RUN_FULL : RUN_ODD;
    }
    return RUN_FREE;
}

/* Take positions [*first, *first + count) [dmxp.produce.claim, .batch-claim, .full]. SHMW_FULL, SHMW_CLOSED, SHMW_CORRUPT.
 * Loops only while other producers move tail. */
static inline int claim_run(const shmw_dmxp_channel *channel, uint64_t count, uint64_t *first)
{
    if (shmw_dmxp_removed_for_producers(channel))
        return SHMW_CLOSED;
    unsigned turns = SHMW_STAND_BACK_FIRST;
    uint64_t position = shmw_load_relaxed(&channel->entry->tail);
    for (;;) {
        const enum run run = look_at_run(channel, position, count);
        if (run == RUN_FULL)
            return SHMW_FULL;
        if (run == RUN_FREE) {
            if (shmw_cas_relaxed(&channel->entry->tail, &position, position + count))
                break;
            shmw_stand_back(&turns);
            position = shmw_load_relaxed(&channel->entry->tail);
        } else {
            const uint64_t now = shmw_load_relaxed(&channel->entry->tail);
            if (now == position) /* nobody moved: no rule leads here [dmxp.consume.impossible] */
                return shmw_dmxp_removed_for_producers(channel) ? SHMW_CLOSED : SHMW_CORRUPT;
            position = now;
        }
    }
    /* F6: a look that sees our stores below also sees the sequence of this lap [dmxp.produce.fence, dmxp.peek.whole] */
    shmw_fence_release();
    *first = position;
    return SHMW_OK;
}

/* Filling and publishing ------------------------------------------------------------------------------------------- */

static uint16_t runtime_of(const shmw_dmxp_channel *channel, const struct shmw_dmxp_meta *meta)
{
    if (channel->runtime_fixed)
        return SHMW_DMXP_RUNTIME_UNSPECIFIED; /* [dmxp.layout.runtime] */
    return meta != NULL && meta->sender_runtime != 0 ? meta->sender_runtime : channel->sender_runtime;
}

/* Every meta field of the slot [dmxp.produce.meta]. now is the time to use where meta has none. */
static inline void fill_meta(const shmw_dmxp_channel *channel, uint64_t position, size_t length,
                             const struct shmw_dmxp_meta *meta, uint16_t flags, uint64_t now)
{
    struct shmw_dmxp_wire_slot *slot = shmw_dmxp_slot(channel, position);
    const bool own_id = meta != NULL && meta->message_id != SHMW_DMXP_ID_POSITION;
    shmw_field_store(&slot->message_id, own_id ? meta->message_id : position);
    shmw_field_store(&slot->timestamp_ns, now);
    shmw_field_store(&slot->channel_id, channel->id);
    shmw_field_store(&slot->message_type, meta != NULL ? meta->message_type : 0);
    shmw_field_store(&slot->sender_pid, meta != NULL && meta->sender_pid != 0 ? meta->sender_pid : shmw_pid(channel->pid));
    shmw_field_store(&slot->sender_runtime, runtime_of(channel, meta));
    shmw_field_store(&slot->flags, flags);
    shmw_field_store(&slot->payload_len, (uint32_t)length);
}

/* The payload, as far as it lies beyond the slot's first line, before the rest. Consumers poll the first line: once our first store
 * has taken it from them, publishing should be no further away than a few stores to the same line. */
static inline void fill_payload(const shmw_dmxp_channel *channel, uint64_t position, const void *data, size_t length)
{
    const unsigned char *from = data;
    unsigned char *to = shmw_dmxp_payload(shmw_dmxp_slot(channel, position), channel->area);
    const size_t in_first = channel->area.offset < SHMW_CACHE_LINE ? SHMW_CACHE_LINE - channel->area.offset : 0;
    if (length > in_first)
        shmw_copy_to_shared(to + in_first, from + in_first, length - in_first);
    shmw_copy_to_shared(to, from, length < in_first ? length : in_first);
}

static inline uint64_t time_of(const struct shmw_dmxp_meta *meta)
{
    return meta != NULL && meta->timestamp_ns != 0 ? meta->timestamp_ns : shmw_wall_clock();
}

static inline uint16_t flags_of(const struct shmw_dmxp_meta *meta)
{
    return meta != NULL ? meta->flags : 0;
}

static inline void publish(const shmw_dmxp_channel *channel, uint64_t position)
{
    /* R2: pairs with A2; meta and payload before the sequence [dmxp.produce.publish] */
    shmw_store_release(&shmw_dmxp_slot(channel, position)->sequence, position + 1);
}

/* Tell sleepers of count publications [dmxp.wait.signal, .wake]. */
static inline void announce(const shmw_dmxp_channel *channel, uint64_t count)
{
    /* R4: pairs with A4; the publications before the signal. S5: this store before the load of waiters below */
    shmw_add_seqcst(&channel->entry->signal, (uint32_t)count);
    /* S5: pairs with the sleeper's increment of waiters and look at signal: one of us sees the other */
    if (channel->counted_waiters && shmw_load_seqcst(&channel->entry->waiters) == 0)
        return;
    shmw_futex_wake(&channel->entry->signal, count);
}

/* Sending ---------------------------------------------------------------------------------------------------------- */

int shmw_dmxp_try_send(shmw_dmxp_channel *channel, const void *data, size_t length, const struct shmw_dmxp_meta *meta,
                       uint64_t *position)
{
    int rc = check_producer(channel);
    if (rc == SHMW_OK)
        rc = check_message(channel, data, length, meta);
    uint64_t claimed;
    if (rc == SHMW_OK)
        rc = claim_run(channel, 1, &claimed);
    if (rc != SHMW_OK)
        return rc;
    fill_payload(channel, claimed, data, length);
    fill_meta(channel, claimed, length, meta, flags_of(meta), time_of(meta));
    publish(channel, claimed);
    announce(channel, 1);
    shmw_prefetch_to_write(shmw_dmxp_slot(channel, claimed + 2)); /* the one after our next: it has time to come */
    if (position != NULL)
        *position = claimed;
    return SHMW_OK;
}

int shmw_dmxp_send(shmw_dmxp_channel *channel, const void *data, size_t length, const struct shmw_dmxp_meta *meta,
                   uint64_t timeout_ns, uint64_t *position)
{
    int rc = shmw_dmxp_try_send(channel, data, length, meta, position);
    if (rc != SHMW_FULL)
        return rc;
    const uint64_t deadline = shmw_deadline(timeout_ns);
    struct shmw_backoff backoff = {0};
    for (;;) {
        const bool last = shmw_expired(deadline);
        rc = shmw_dmxp_try_send(channel, data, length, meta, position);
        if (rc != SHMW_FULL)
            return rc;
        if (last)
            return SHMW_TIMEOUT;
        shmw_backoff_pause(&backoff, deadline);
    }
}

int shmw_dmxp_try_send_batch(shmw_dmxp_channel *channel, const struct shmw_dmxp_item *items, size_t count, uint64_t *position)
{
    int rc = check_producer(channel);
    if (rc == SHMW_OK && (items == NULL || count == 0 || count > channel->capacity))
        rc = SHMW_INVALID_ARGUMENT;
    for (size_t i = 0; rc == SHMW_OK && i < count; i++)
        rc = check_message(channel, items[i].data, items[i].length, items[i].meta);
    uint64_t first;
    if (rc == SHMW_OK)
        rc = claim_run(channel, count, &first);
    if (rc != SHMW_OK)
        return rc;
    uint64_t now = 0; /* one clock call for all messages that bring no time */
    for (size_t i = 0; i < count; i++) {
        const struct shmw_dmxp_item *item = &items[i];
        const bool own_time = item->meta != NULL && item->meta->timestamp_ns != 0;
        if (!own_time && now == 0)
            now = shmw_wall_clock();
        fill_payload(channel, first + i, item->data, item->length);
        fill_meta(channel, first + i, item->length, item->meta, flags_of(item->meta), own_time ? item->meta->timestamp_ns : now);
        publish(channel, first + i); /* one by one, in order [dmxp.produce.batch-order] */
    }
    announce(channel, count);
    if (position != NULL)
        *position = first;
    return SHMW_OK;
}

/* Filling in place ------------------------------------------------------------------------------------------------- */

int shmw_dmxp_claim(shmw_dmxp_channel *channel, struct shmw_dmxp_claim *claim)
{
    int rc = check_producer(channel);
    if (rc == SHMW_OK && claim == NULL)
        rc = SHMW_INVALID_ARGUMENT;
    uint64_t position;
    if (rc == SHMW_OK)
        rc = claim_run(channel, 1, &position);
    if (rc != SHMW_OK)
        return rc;
    *claim = (struct shmw_dmxp_claim){
        .payload = shmw_dmxp_payload(shmw_dmxp_slot(channel, position), channel->area),
        .capacity = channel->area.capacity,
        .position = position,
    };
    return SHMW_OK;
}

/* Is this a claim of this channel that has not been ended? */
static int check_claim(const shmw_dmxp_channel *channel, const struct shmw_dmxp_claim *claim)
{
    const int rc = check_producer(channel);
    if (rc != SHMW_OK)
        return rc;
    if (claim == NULL)
        return SHMW_INVALID_ARGUMENT;
    if (claim->payload == NULL)
        return SHMW_OUT_OF_ORDER;
    struct shmw_dmxp_wire_slot *slot = shmw_dmxp_slot(channel, claim->position);
    if (claim->payload != shmw_dmxp_payload(slot, channel->area))
        return SHMW_INVALID_ARGUMENT;
    return shmw_load_relaxed(&slot->sequence) == claim->position ? SHMW_OK : SHMW_OUT_OF_ORDER;
}

static void end_claim(const shmw_dmxp_channel *channel, struct shmw_dmxp_claim *claim)
{
    publish(channel, claim->position);
    announce(channel, 1);
    claim->payload = NULL;
}

int shmw_dmxp_commit(shmw_dmxp_channel *channel, struct shmw_dmxp_claim *claim, size_t length, const struct shmw_dmxp_meta *meta)
{
    int rc = check_claim(channel, claim);
    if (rc == SHMW_OK)
        rc = check_message(channel, claim->payload, length, meta);
    if (rc != SHMW_OK)
        return rc;
    fill_meta(channel, claim->position, length, meta, flags_of(meta), time_of(meta));
    end_claim(channel, claim);
    return SHMW_OK;
}

int shmw_dmxp_abandon(shmw_dmxp_channel *channel, struct shmw_dmxp_claim *claim)
{
    const int rc = check_claim(channel, claim);
    if (rc != SHMW_OK)
        return rc;
    fill_meta(channel, claim->position, 0, NULL, SHMW_DMXP_MESSAGE_TOMBSTONE, shmw_wall_clock()); /* [dmxp.produce.abandon] */
    end_claim(channel, claim);
    return SHMW_OK;
}
