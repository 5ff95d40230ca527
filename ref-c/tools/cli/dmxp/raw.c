/* SPDX-License-Identifier: MIT */
#include "raw.h"

#include "atomic.h"
#include "bytes.h"

#define SNAPSHOT_TRIES 1000

static const struct shmw_dmxp_wire_channel *wire_channel(const struct view *view, uint32_t id)
{
    const struct shmw_dmxp_wire_channel *table = (const void *)(view->base + SHMW_DMXP_CHANNEL_TABLE_OFFSET);
    return table + id;
}

struct raw_header raw_load_header(const struct view *view)
{
    struct raw_header header = {.present = view->size >= sizeof(struct shmw_dmxp_wire_header)};
    if (!header.present)
        return header;
    const struct shmw_dmxp_wire_header *wire = (const void *)view->base;
    header.magic = shmw_load_acquire(&wire->magic); /* A0: pairs with R0; the other fields after the magic */
    header.version = shmw_field_load(&wire->version);
    header.max_channels = shmw_field_load(&wire->max_channels);
    header.channel_count = shmw_load_relaxed(&wire->channel_count);
    header.payload_layout = shmw_field_load(&wire->payload_layout);
    return header;
}

static enum raw_geometry judge(const struct view *view, const struct raw_channel *channel)
{
    if (channel->capacity == 0)
        return GEOMETRY_ABSENT;
    if (!shmw_is_power_of_two(channel->capacity) || channel->capacity < SHMW_DMXP_MIN_CAPACITY)
        return GEOMETRY_CAPACITY;
    const uint64_t end = shmw_end_of(channel->band_offset, sizeof(struct shmw_dmxp_wire_slot), channel->capacity);
    if (channel->band_offset % SHMW_DMXP_BAND_ALIGN != 0 || channel->band_offset < SHMW_DMXP_HEADER_SIZE || end > view->size)
        return GEOMETRY_BAND;
    return GEOMETRY_GOOD;
}

void raw_load_cursors(const struct view *view, struct raw_channel *channel)
{
    const struct shmw_dmxp_wire_channel *wire = wire_channel(view, channel->id);
    /* A5: pairs with R5; a head seen brings at least the tail of its time. The acquire of tail keeps the second look at head
     * behind it, so that an unmoved head makes both of one moment [dmxp.channel.cursors]. */
    for (int i = 0; i < SNAPSHOT_TRIES; i++) {
        channel->head = shmw_load_acquire(&wire->head);
        channel->tail = shmw_load_acquire(&wire->tail);
        if (shmw_load_relaxed(&wire->head) == channel->head)
            return;
    }
    /* So busy that no two looks agreed: alive, and the distance between looks of two moments says nothing. */
    if (channel->tail - channel->head > channel->capacity)
        channel->head = channel->tail;
}

struct raw_channel raw_load_channel(const struct view *view, uint32_t id)
{
    struct raw_channel channel = {.id = id};
    const uint64_t end = shmw_end_of(SHMW_DMXP_CHANNEL_TABLE_OFFSET, sizeof(struct shmw_dmxp_wire_channel), (uint64_t)id + 1);
    channel.present = id < SHMW_DMXP_MAX_CHANNELS && end <= view->size;
    channel.geometry = GEOMETRY_ABSENT;
    if (!channel.present)
        return channel;
    const struct shmw_dmxp_wire_channel *wire = wire_channel(view, id);
    channel.capacity = shmw_load_acquire(&wire->capacity); /* A1: pairs with R1; the rest of the entry after it */
    channel.channel_id = shmw_field_load(&wire->channel_id);
    channel.flags = shmw_field_load(&wire->flags);
    channel.band_offset = shmw_field_load(&wire->band_offset);
    channel.signal = shmw_load_relaxed(&wire->signal);
    channel.waiters = shmw_load_relaxed(&wire->waiters);
    channel.retired_capacity = shmw_load_relaxed(&wire->retired_capacity);
    channel.removals = shmw_load_relaxed(&wire->removals);
    raw_load_cursors(view, &channel);
    channel.geometry = judge(view, &channel);
    return channel;
}

bool raw_depth(const struct raw_channel *channel, uint64_t *depth)
{
    *depth = channel->tail - channel->head; /* modulo 2^64 */
    return *depth <= channel->capacity;
}

const struct shmw_dmxp_wire_slot *raw_slot(const struct view *view, const struct raw_channel *channel, uint64_t position)
{
    const struct shmw_dmxp_wire_slot *band = (const void *)(view->base + channel->band_offset);
    return band + (position & (channel->capacity - 1));
}

uint64_t raw_sequence(const struct view *view, const struct raw_channel *channel, uint64_t position)
{
    return shmw_load_acquire(&raw_slot(view, channel, position)->sequence); /* A2: pairs with R2 */
}

/* Payloads --------------------------------------------------------------------------------------------------------- */

bool raw_is_document(uint32_t payload_layout, enum layout_choice choice, uint16_t sender_runtime)
{
    if (payload_layout == SHMW_DMXP_LAYOUT_DOCUMENT || payload_layout == SHMW_DMXP_LAYOUT_CRATE)
        return payload_layout == SHMW_DMXP_LAYOUT_DOCUMENT; /* [dmxp.layout.declared] */
    if (choice == CHOOSE_AUTO)
        return sender_runtime == SHMW_DMXP_RUNTIME_UNSPECIFIED; /* [dmxp.layout.auto] */
    return choice == CHOOSE_DOCUMENT;
}

uint64_t raw_payload_offset(bool document)
{
    return document ? SHMW_DMXP_PAYLOAD_OFFSET_DOCUMENT : SHMW_DMXP_PAYLOAD_OFFSET_CRATE;
}

uint64_t raw_payload_capacity(bool document)
{
    return document ? SHMW_DMXP_PAYLOAD_CAPACITY_DOCUMENT : SHMW_DMXP_PAYLOAD_CAPACITY_CRATE;
}

/* Messages --------------------------------------------------------------------------------------------------------- */

static void copy_fields(const struct shmw_dmxp_wire_slot *slot, struct raw_message *message)
{
    _Static_assert(sizeof(message->area) == sizeof(slot->payload), "the copy holds the whole payload area");
    message->message_id = shmw_field_load(&slot->message_id);
    message->timestamp_ns = shmw_field_load(&slot->timestamp_ns);
    message->channel_id = shmw_field_load(&slot->channel_id);
    message->message_type = shmw_field_load(&slot->message_type);
    message->sender_pid = shmw_field_load(&slot->sender_pid);
    message->sender_runtime = shmw_field_load(&slot->sender_runtime);
    message->flags = shmw_field_load(&slot->flags);
    message->payload_len = shmw_field_load(&slot->payload_len);
    shmw_copy_from_shared(message->area, slot->payload, sizeof(message->area));
}

enum raw_state raw_copy(const struct view *view, const struct raw_channel *channel, uint64_t position,
                        struct raw_message *message, uint64_t *sequence)
{
    const struct shmw_dmxp_wire_slot *slot = raw_slot(view, channel, position);
    struct raw_channel now = *channel;
    *sequence = shmw_load_acquire(&slot->sequence); /* A2: pairs with R2; the slot after its sequence */
    if (*sequence == position + 1) {
        message->channel = channel->id;
        message->position = position;
        copy_fields(slot, message);
        shmw_fence_acquire(); /* pairs with F6; the second look after the copy [dmxp.peek.whole] */
        if (shmw_load_relaxed(&slot->sequence) == position + 1)
            return RAW_PUBLISHED;
        return RAW_GONE;
    }
    raw_load_cursors(view, &now);
    if (now.head - channel->head > position - channel->head)
        return RAW_GONE;
    return *sequence == position ? RAW_CLAIMED : RAW_BROKEN;
}
