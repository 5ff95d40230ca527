/* SPDX-License-Identifier: MIT
 *
 * Profile dmxp, section 9: checking a segment as a whole, and repairing what dead processes left. */
#include "internal.h"

#define LOOKS_AT_A_SLOT 16

/* Validation ------------------------------------------------------------------------------------------------------- */

/* A channel under validation: its slots, and the latest look at its cursors. */
struct examined {
    const struct shmw_dmxp_wire_channel *entry;
    struct shmw_dmxp_wire_slot *slots;
    struct shmw_dmxp_geometry now;
};

/* The last position below tail that has the slot. */
static uint64_t owner_of(const struct shmw_dmxp_geometry *now, uint64_t index)
{
    return now->tail - now->capacity + ((index - now->tail) & (now->capacity - 1));
}

/* Is the position in [head, tail)? */
static bool pending(const struct shmw_dmxp_geometry *now, uint64_t position)
{
    return position - now->head < now->tail - now->head;
}

/* Can the slot show this sequence while the cursors stand where they were seen? */
static bool possible_sequence(const struct shmw_dmxp_geometry *now, uint64_t index, uint64_t sequence)
{
    const uint64_t owner = owner_of(now, index);
    if (sequence == owner + 1)
        return true; /* published, or taken and not released */
    return sequence == (pending(now, owner) ? owner : owner + now->capacity); /* claimed, or free for the next lap */
}

static int examine_payload(const shmw_dmxp_segment *segment, const struct examined *channel, uint64_t index, uint64_t sequence,
                           const char **finding)
{
    const struct shmw_dmxp_wire_slot *slot = &channel->slots[index];
    const uint64_t owner = owner_of(&channel->now, index);
    const uint32_t length = shmw_field_load(&slot->payload_len);
    const uint16_t runtime = shmw_field_load(&slot->sender_runtime);
    shmw_dmxp_channel view = {.area = shmw_dmxp_send_area(segment)};
    view.area_by_message = segment->payload_layout == SHMW_DMXP_LAYOUT_UNSPECIFIED && segment->choice == SHMW_DMXP_CHOOSE_AUTO;
    const bool unread = sequence == owner + 1 && pending(&channel->now, owner);
    if (!unread || length <= shmw_dmxp_area_for(&view, runtime).capacity)
        return SHMW_OK;
    shmw_fence_acquire(); /* with F6: a length of a later lap comes with a later sequence */
    if (shmw_load_relaxed(&slot->sequence) != sequence)
        return SHMW_OK;
    *finding = "payload_len is above the capacity of the payload layout";
    return SHMW_CORRUPT;
}

/* On a live segment slots change under us: a slot is wrong only if it is so while both cursors stand still. */
static int examine_slot(const shmw_dmxp_segment *segment, struct examined *channel, uint64_t index, const char **finding)
{
    struct shmw_dmxp_wire_slot *slot = &channel->slots[index];
    for (int look = 0; look < LOOKS_AT_A_SLOT; look++) {
        const uint64_t sequence = shmw_load_acquire(&slot->sequence); /* A2: pairs with R2; A3: pairs with R3 */
        if (possible_sequence(&channel->now, index, sequence))
            return examine_payload(segment, channel, index, sequence, finding);
        const struct shmw_dmxp_geometry before = channel->now;
        if (shmw_dmxp_cursors(channel->entry, before.capacity, &channel->now.head, &channel->now.tail) != SHMW_OK) {
            *finding = "tail is more than capacity ahead of head";
            return SHMW_CORRUPT;
        }
        if (channel->now.head == before.head && channel->now.tail == before.tail &&
            shmw_load_acquire(&slot->sequence) == sequence) {
            *finding = "a slot's sequence fits no state of its position";
            return SHMW_CORRUPT;
        }
    }
    return SHMW_OK; /* busy, and so alive */
}

static int examine_channel(const shmw_dmxp_segment *segment, uint32_t id, const char **finding)
{
    struct examined channel = {.entry = shmw_dmxp_entry(segment, id)};
    int rc = shmw_dmxp_check_entry(segment, id, &channel.now, finding);
    if (rc == SHMW_NOT_FOUND)
        return SHMW_OK;
    if (rc != SHMW_OK)
        return rc;
    channel.slots = shmw_dmxp_slots(segment, channel.now.band_offset);
    for (uint64_t index = 0; rc == SHMW_OK && index < channel.now.capacity; index++)
        rc = examine_slot(segment, &channel, index, finding);
    const bool removed = shmw_load_acquire(&channel.entry->capacity) != channel.now.capacity; /* A1: pairs with R1 */
    return removed ? SHMW_OK : rc;
}

int shmw_dmxp_validate(const shmw_dmxp_segment *segment, const char **finding, uint32_t *channel)
{
    if (segment == NULL)
        return SHMW_INVALID_ARGUMENT;
    const char *text = NULL;
    uint32_t where = SHMW_DMXP_NO_CHANNEL;
    int rc = shmw_dmxp_check_header(segment, &text);
    for (uint32_t id = 0; rc == SHMW_OK && id < SHMW_DMXP_MAX_CHANNELS; id++) {
        rc = examine_channel(segment, id, &text);
        if (rc != SHMW_OK)
            where = id;
    }
    if (finding != NULL)
        *finding = rc == SHMW_OK ? "no findings" : text;
    if (channel != NULL)
        *channel = where;
    return rc;
}

/* Recovery --------------------------------------------------------------------------------------------------------- */

/* All entries must be sound before anything is touched. */
static int check_all(const shmw_dmxp_segment *segment)
{
    for (uint32_t id = 0; id < SHMW_DMXP_MAX_CHANNELS; id++) {
        struct shmw_dmxp_geometry geometry;
        const int rc = shmw_dmxp_check_entry(segment, id, &geometry, NULL);
        if (rc != SHMW_OK && rc != SHMW_NOT_FOUND)
            return rc;
    }
    return SHMW_OK;
}

/* Positions below head that were taken and never released [dmxp.recover.consumer]. */
static uint64_t release_taken(struct shmw_dmxp_wire_slot *slots, const struct shmw_dmxp_geometry *at)
{
    uint64_t released = 0;
    for (uint64_t back = shmw_min_u64(at->capacity, at->head); back > 0; back--) {
        const uint64_t position = at->head - back;
        struct shmw_dmxp_wire_slot *slot = &slots[position & (at->capacity - 1)];
        if (shmw_load_acquire(&slot->sequence) != position + 1) /* A2: pairs with R2 */
            continue;
        shmw_store_release(&slot->sequence, position + at->capacity); /* R3: pairs with A3 */
        released++;
    }
    return released;
}

/* Positions that were claimed and never published become tombstones [dmxp.recover.producer]. */
static uint64_t bury_claimed(struct shmw_dmxp_wire_slot *slots, const struct shmw_dmxp_geometry *at)
{
    uint64_t buried = 0;
    for (uint64_t ahead = 0; ahead < at->tail - at->head; ahead++) {
        const uint64_t position = at->head + ahead;
        struct shmw_dmxp_wire_slot *slot = &slots[position & (at->capacity - 1)];
        if (shmw_load_acquire(&slot->sequence) != position) /* A3: pairs with R3 */
            continue;
        shmw_field_store(&slot->flags, SHMW_DMXP_MESSAGE_TOMBSTONE);
        shmw_field_store(&slot->payload_len, 0);
        shmw_store_release(&slot->sequence, position + 1); /* R2: pairs with A2; the tombstone before its sequence */
        buried++;
    }
    return buried;
}

static void repair_channel(shmw_dmxp_segment *segment, uint32_t id, struct shmw_dmxp_recovery *report)
{
    struct shmw_dmxp_wire_channel *entry = shmw_dmxp_entry(segment, id);
    struct shmw_dmxp_geometry at;
    if (shmw_dmxp_check_entry(segment, id, &at, NULL) != SHMW_OK)
        return;
    struct shmw_dmxp_wire_slot *slots = shmw_dmxp_slots(segment, at.band_offset);
    report->possibly_lost += release_taken(slots, &at);
    report->tombstones += bury_claimed(slots, &at);
    if (shmw_load_relaxed(&entry->waiters) == 0)
        return;
    shmw_store_relaxed(&entry->waiters, 0);
    report->waiters_reset++;
}

static void repair_count(shmw_dmxp_segment *segment, struct shmw_dmxp_recovery *report)
{
    struct shmw_dmxp_wire_header *header = shmw_dmxp_header(segment);
    const uint32_t count = shmw_dmxp_count_channels(segment);
    if (shmw_load_relaxed(&header->channel_count) == count)
        return;
    shmw_store_relaxed(&header->channel_count, count);
    report->count_repaired = true;
}

/* With the segment lock held [dmxp.recover.exclusive, .idle]. */
static int recover_locked(shmw_dmxp_segment *segment, bool all_dead, struct shmw_dmxp_recovery *report)
{
    int rc = all_dead ? SHMW_OK : shmw_map_exclusive(&segment->map);
    if (rc == SHMW_OK)
        rc = check_all(segment);
    if (rc != SHMW_OK)
        return rc;
    for (uint32_t id = 0; id < SHMW_DMXP_MAX_CHANNELS; id++)
        repair_channel(segment, id, report);
    repair_count(segment, report);
    return SHMW_OK;
}

int shmw_dmxp_recover(shmw_dmxp_segment *segment, bool all_dead, struct shmw_dmxp_recovery *report)
{
    if (segment == NULL)
        return SHMW_INVALID_ARGUMENT;
    if (!segment->map.writable)
        return SHMW_PERMISSION;
    struct shmw_dmxp_recovery done = {0};
    int lock;
    int rc = shmw_map_lock(&segment->map, &lock);
    if (rc != SHMW_OK)
        return rc;
    rc = recover_locked(segment, all_dead, &done);
    shmw_map_unlock(lock);
    if (report != NULL)
        *report = done;
    return rc;
}
