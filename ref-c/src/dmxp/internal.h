/* SPDX-License-Identifier: MIT
 *
 * What the files of profile dmxp share. */
#ifndef SHMW_SRC_DMXP_INTERNAL_H
#define SHMW_SRC_DMXP_INTERNAL_H

#include "../atomic.h"
#include "../bytes.h"
#include "../map.h"
#include "../process.h"
#include "layout.h"
#include "shmwire/dmxp.h"

#define SHMW_DMXP_NO_CHANNEL UINT32_MAX

struct shmw_dmxp_segment {
    struct shmw_map map;
    struct shmw_pid_cache *pid;
    uint32_t payload_layout; /* as the header said when it was checked */
    enum shmw_dmxp_payload_choice choice;
    uint16_t sender_runtime;
};

/* Where the payload of a message lies in its slot, bytes. */
struct shmw_dmxp_area {
    uint32_t offset;
    uint32_t capacity;
};

/* The values of an entry that attaching checked. Nothing here is written after attach (but for the hook), so threads share the
 * handle without sharing a line that changes. */
struct shmw_dmxp_channel {
    struct shmw_dmxp_wire_channel *entry;
    struct shmw_dmxp_wire_slot *slots;
    uint64_t capacity;
    uint64_t mask; /* capacity - 1 */
    uint64_t band_offset;
    uint64_t removals; /* of the entry before we attached */
    struct shmw_pid_cache *pid;
    struct shmw_dmxp_area area; /* of messages sent, and of those received unless area_by_message */
    uint32_t id;
    uint16_t sender_runtime;
    bool runtime_fixed;    /* undeclared document layout: sender_runtime must be 0 [dmxp.layout.runtime] */
    bool area_by_message;  /* undeclared layout in mode auto [dmxp.layout.auto] */
    bool counted_waiters;
    bool writable;
    shmw_dmxp_sleep_hook sleep_hook;
    void *sleep_context;
};

/* An entry with its geometry checked. */
struct shmw_dmxp_geometry {
    uint64_t removals; /* loaded before the rest */
    uint64_t capacity;
    uint64_t band_offset;
    uint64_t head; /* a snapshot: head did not change while tail was read */
    uint64_t tail;
};

static inline struct shmw_dmxp_wire_header *shmw_dmxp_header(const shmw_dmxp_segment *segment)
{
    return (struct shmw_dmxp_wire_header *)(void *)segment->map.base;
}

/* Entry id; id < SHMW_DMXP_MAX_CHANNELS is the caller's to see to. */
static inline struct shmw_dmxp_wire_channel *shmw_dmxp_entry(const shmw_dmxp_segment *segment, uint32_t id)
{
    return (struct shmw_dmxp_wire_channel *)(void *)(segment->map.base + SHMW_DMXP_CHANNEL_TABLE_OFFSET) + id;
}

static inline struct shmw_dmxp_wire_slot *shmw_dmxp_slots(const shmw_dmxp_segment *segment, uint64_t band_offset)
{
    return (struct shmw_dmxp_wire_slot *)(void *)(segment->map.base + band_offset);
}

/* Slot of a position. The mask keeps any position, however hostile the cursor, inside the checked band. */
static inline struct shmw_dmxp_wire_slot *shmw_dmxp_slot(const shmw_dmxp_channel *channel, uint64_t position)
{
    return &channel->slots[position & channel->mask];
}

static inline struct shmw_dmxp_area shmw_dmxp_area_crate(void)
{
    return (struct shmw_dmxp_area){(uint32_t)SHMW_DMXP_PAYLOAD_OFFSET_CRATE, (uint32_t)SHMW_DMXP_PAYLOAD_CAPACITY_CRATE};
}

static inline struct shmw_dmxp_area shmw_dmxp_area_document(void)
{
    return (struct shmw_dmxp_area){(uint32_t)SHMW_DMXP_PAYLOAD_OFFSET_DOCUMENT, (uint32_t)SHMW_DMXP_PAYLOAD_CAPACITY_DOCUMENT};
}

static inline void *shmw_dmxp_payload(struct shmw_dmxp_wire_slot *slot, struct shmw_dmxp_area area)
{
    return (unsigned char *)slot + area.offset;
}

/* Has the channel been removed, perhaps made anew, since we attached? [dmxp.channel.closed] Producers ask the line that they write
 * anyway, consumers and lookers that of head. */
static inline bool shmw_dmxp_removed_for_consumers(const shmw_dmxp_channel *channel)
{
    return shmw_load_relaxed(&channel->entry->removals) != channel->removals;
}

static inline bool shmw_dmxp_removed_for_producers(const shmw_dmxp_channel *channel)
{
    /* A1: pairs with R1; band_offset was stored before the capacity that names it. */
    const uint64_t capacity = shmw_load_acquire(&channel->entry->capacity);
    const uint64_t band_offset = shmw_field_load(&channel->entry->band_offset);
    return capacity != channel->capacity || band_offset != channel->band_offset;
}

/* What a reader has to know of a slot before it takes or copies the message: loaded once, all from the slot's first line. */
struct shmw_dmxp_glance {
    struct shmw_dmxp_area area;
    uint32_t length;
    uint16_t sender_runtime;
    uint16_t flags;
};

/* [dmxp.layout.declared, .unspecified, .auto] */
static inline struct shmw_dmxp_area shmw_dmxp_area_for(const shmw_dmxp_channel *channel, uint16_t sender_runtime)
{
    if (!channel->area_by_message)
        return channel->area;
    return sender_runtime == SHMW_DMXP_RUNTIME_UNSPECIFIED ? shmw_dmxp_area_document() : shmw_dmxp_area_crate();
}

static inline struct shmw_dmxp_glance shmw_dmxp_glance_at(const shmw_dmxp_channel *channel,
                                                          const struct shmw_dmxp_wire_slot *slot)
{
    const uint16_t sender_runtime = shmw_field_load(&slot->sender_runtime);
    return (struct shmw_dmxp_glance){
        .area = shmw_dmxp_area_for(channel, sender_runtime),
        .length = shmw_field_load(&slot->payload_len),
        .sender_runtime = sender_runtime,
        .flags = shmw_field_load(&slot->flags),
    };
}

/* The rest of the meta, beside what the glance loaded. */
static inline struct shmw_dmxp_message shmw_dmxp_read_message(const shmw_dmxp_channel *channel,
                                                              const struct shmw_dmxp_wire_slot *slot, uint64_t position,
                                                              const struct shmw_dmxp_glance *seen)
{
    return (struct shmw_dmxp_message){
        .position = position,
        .channel_id = channel->id,
        .length = seen->length,
        .meta = {
            .message_id = shmw_field_load(&slot->message_id),
            .timestamp_ns = shmw_field_load(&slot->timestamp_ns),
            .message_type = shmw_field_load(&slot->message_type),
            .sender_pid = shmw_field_load(&slot->sender_pid),
            .sender_runtime = seen->sender_runtime,
            .flags = seen->flags,
        },
    };
}

/* SHMW_TOO_SMALL, with the length that is needed. */
static inline int shmw_dmxp_too_small(const shmw_dmxp_channel *channel, uint64_t position, const struct shmw_dmxp_glance *seen,
                                      struct shmw_dmxp_message *message)
{
    if (message != NULL)
        *message = (struct shmw_dmxp_message){.position = position, .channel_id = channel->id, .length = seen->length};
    return SHMW_TOO_SMALL;
}

/* Which area the handle sends to, by the header's payload_layout and the caller's choice [dmxp.layout.*]. */
struct shmw_dmxp_area shmw_dmxp_send_area(const shmw_dmxp_segment *segment);

/* Check the header's plain fields [dmxp.segment.version, .header]; the magic has been seen. */
int shmw_dmxp_check_header(const shmw_dmxp_segment *segment, const char **finding);

/* Check entry id against the rules of section 4, from values loaded once. When it fails *finding (may be NULL) says why. */
int shmw_dmxp_check_entry(const shmw_dmxp_segment *segment, uint32_t id, struct shmw_dmxp_geometry *geometry,
                          const char **finding);

/* Look at both cursors: SHMW_OK with a snapshot in which tail - head is possible, or SHMW_CORRUPT [dmxp.channel.cursors]. */
int shmw_dmxp_cursors(const struct shmw_dmxp_wire_channel *entry, uint64_t capacity, uint64_t *head, uint64_t *tail);

/* How many entries have a capacity. The caller holds the segment lock. */
uint32_t shmw_dmxp_count_channels(const shmw_dmxp_segment *segment);

#endif
