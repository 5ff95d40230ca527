/* SPDX-License-Identifier: MIT
 *
 * Profile dmxp, section 4: the channel table. Entries are made and removed under the segment lock; they are checked from values
 * loaded once, and users keep the checked values. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "../wait.h"
#include "internal.h"

#define HANDLE_ALIGN 128
#define CURSOR_LOOKS 64

/* Checking --------------------------------------------------------------------------------------------------------- */

static int fail(int code, const char *text, const char **finding)
{
    if (finding != NULL)
        *finding = text;
    return code;
}

static uint64_t band_end(uint64_t band_offset, uint64_t capacity)
{
    return shmw_end_of(band_offset, sizeof(struct shmw_dmxp_wire_slot), capacity);
}

/* Does another live channel claim a byte of [start, end)? [dmxp.channel.overlap] */
static bool overlaps_another(const shmw_dmxp_segment *segment, uint32_t id, uint64_t start, uint64_t end)
{
    for (uint32_t other = 0; other < SHMW_DMXP_MAX_CHANNELS; other++) {
        const struct shmw_dmxp_wire_channel *entry = shmw_dmxp_entry(segment, other);
        const uint64_t capacity = shmw_load_acquire(&entry->capacity); /* A1: pairs with R1 */
        if (other == id || capacity == 0)
            continue;
        const uint64_t offset = shmw_field_load(&entry->band_offset);
        if (shmw_overlap(start, end, offset, band_end(offset, capacity)))
            return true;
    }
    return false;
}

int shmw_dmxp_cursors(const struct shmw_dmxp_wire_channel *entry, uint64_t capacity, uint64_t *head, uint64_t *tail)
{
    *head = shmw_load_acquire(&entry->head); /* A5: pairs with R5; the tail of every position below head */
    for (int look = 0; look < CURSOR_LOOKS; look++) {
        *tail = shmw_load_acquire(&entry->tail);
        const uint64_t again = shmw_load_acquire(&entry->head);
        if (again == *head)
            return *tail - *head <= capacity ? SHMW_OK : SHMW_CORRUPT;
        *head = again;
    }
    /* Consumers so busy that no two looks agreed: the channel is alive. tail may be older than head; then the queue was empty. */
    if (*tail - *head > capacity)
        *tail = *head;
    return SHMW_OK;
}

int shmw_dmxp_check_entry(const shmw_dmxp_segment *segment, uint32_t id, struct shmw_dmxp_geometry *geometry,
                           const char **finding)
{
    const struct shmw_dmxp_wire_channel *entry = shmw_dmxp_entry(segment, id);
    /* A6: pairs with R6; before the capacity, so that a removal in between is noticed later [dmxp.channel.closed] */
    const uint64_t removals = shmw_load_acquire(&entry->removals);
    /* A1: pairs with R1; the entry's fields after the capacity that commits them [dmxp.channel.absent] */
    const uint64_t capacity = shmw_load_acquire(&entry->capacity);
    if (capacity == 0)
        return fail(SHMW_NOT_FOUND, "no such channel", finding);
    if (capacity < SHMW_DMXP_MIN_CAPACITY || !shmw_is_power_of_two(capacity))
        return fail(SHMW_BAD_GEOMETRY, "capacity is not a power of two of at least 2", finding);
    const uint64_t offset = shmw_field_load(&entry->band_offset);
    const uint64_t end = band_end(offset, capacity);
    if (offset % SHMW_DMXP_BAND_ALIGN != 0)
        return fail(SHMW_BAD_GEOMETRY, "band_offset is not a multiple of 128", finding);
    if (offset < SHMW_DMXP_HEADER_SIZE)
        return fail(SHMW_BAD_GEOMETRY, "the band begins inside the header", finding);
    if (end > segment->map.size)
        return fail(SHMW_BAD_GEOMETRY, "the band ends past the segment", finding);
    if (overlaps_another(segment, id, offset, end))
        return fail(SHMW_BAD_GEOMETRY, "the band overlaps another channel's", finding);
    if (shmw_field_load(&entry->channel_id) != id)
        return fail(SHMW_BAD_GEOMETRY, "channel_id is not the index of the entry", finding);
    geometry->removals = removals;
    geometry->capacity = capacity;
    geometry->band_offset = offset;
    if (shmw_dmxp_cursors(entry, capacity, &geometry->head, &geometry->tail) != SHMW_OK)
        return fail(SHMW_CORRUPT, "tail is more than capacity ahead of head", finding);
    return SHMW_OK;
}

uint32_t shmw_dmxp_count_channels(const shmw_dmxp_segment *segment)
{
    uint32_t count = 0;
    for (uint32_t id = 0; id < SHMW_DMXP_MAX_CHANNELS; id++)
        count += shmw_load_relaxed(&shmw_dmxp_entry(segment, id)->capacity) != 0;
    return count;
}

/* Making ----------------------------------------------------------------------------------------------------------- */

/* Where a new band begins: above every live and every retired band [dmxp.channel.placement]. UINT64_MAX: nowhere. */
static uint64_t place_band(const shmw_dmxp_segment *segment)
{
    uint64_t top = SHMW_DMXP_HEADER_SIZE;
    for (uint32_t id = 0; id < SHMW_DMXP_MAX_CHANNELS; id++) {
        const struct shmw_dmxp_wire_channel *entry = shmw_dmxp_entry(segment, id);
        uint64_t capacity = shmw_load_relaxed(&entry->capacity);
        if (capacity == 0)
            capacity = shmw_load_relaxed(&entry->retired_capacity);
        if (capacity == 0)
            continue; /* never used, or its creator died before the commit */
        const uint64_t end = band_end(shmw_field_load(&entry->band_offset), capacity);
        top = end > top ? end : top;
    }
    return shmw_align_up(top, SHMW_DMXP_BAND_ALIGN);
}

/* A new band's bytes are zero or left by a creator that died: only the sequences count. */
static void initialise_band(struct shmw_dmxp_wire_slot *slots, uint64_t capacity, uint64_t start)
{
    for (uint64_t i = 0; i < capacity; i++)
        shmw_store_relaxed(&slots[i].sequence, start + i);
}

/* First position of a new channel: above all that the entry's channels have had [dmxp.channel.start]. UINT64_MAX: none is left. */
static uint64_t first_position(const struct shmw_dmxp_wire_channel *entry, uint64_t capacity)
{
    const uint64_t used = shmw_end_of(shmw_load_relaxed(&entry->tail), 1, shmw_load_relaxed(&entry->retired_capacity));
    return shmw_align_up(used, capacity);
}

static void write_entry(shmw_dmxp_segment *segment, uint32_t id, uint64_t offset, const struct shmw_dmxp_channel_options *options)
{
    struct shmw_dmxp_wire_channel *entry = shmw_dmxp_entry(segment, id);
    const uint64_t start = first_position(entry, options->capacity);
    initialise_band(shmw_dmxp_slots(segment, offset), options->capacity, start);
    shmw_field_store(&entry->channel_id, id);
    shmw_field_store(&entry->flags, options->counted_waiters ? SHMW_DMXP_CHANNEL_COUNTED_WAITERS : 0);
    shmw_store_relaxed(&entry->tail, start);
    shmw_store_relaxed(&entry->head, start);
    /* The new band first, then the end of the retired one: who dies in between leaves an entry that still keeps the room below. */
    shmw_field_store(&entry->band_offset, offset);
    shmw_store_relaxed(&entry->retired_capacity, 0);
    shmw_store_relaxed(&shmw_dmxp_header(segment)->channel_count, shmw_dmxp_count_channels(segment) + 1);
    /* R1: pairs with A1; slots, cursors and description before the capacity [dmxp.channel.commit] */
    shmw_store_release(&entry->capacity, options->capacity);
}

/* With the segment lock held. */
static int create_locked(shmw_dmxp_segment *segment, uint32_t id, const struct shmw_dmxp_channel_options *options)
{
    if (shmw_load_relaxed(&shmw_dmxp_entry(segment, id)->capacity) != 0)
        return SHMW_EXISTS;
    if (first_position(shmw_dmxp_entry(segment, id), options->capacity) == UINT64_MAX)
        return SHMW_CORRUPT; /* no entry comes this far in its life */
    const uint64_t offset = place_band(segment);
    const uint64_t end = band_end(offset, options->capacity);
    if (end > segment->map.size)
        return SHMW_TOO_LARGE;
    const int rc = shmw_map_reserve(&segment->map, offset, end - offset);
    if (rc != SHMW_OK)
        return rc;
    shmw_map_prefault(&segment->map, offset, end - offset);
    write_entry(segment, id, offset, options);
    return SHMW_OK;
}

int shmw_dmxp_channel_create(shmw_dmxp_segment *segment, uint32_t id, const struct shmw_dmxp_channel_options *options)
{
    struct shmw_dmxp_channel_options chosen = options != NULL ? *options : (struct shmw_dmxp_channel_options){0};
    if (chosen.capacity == 0)
        chosen.capacity = SHMW_DMXP_DEFAULT_CAPACITY;
    if (segment == NULL || id >= SHMW_DMXP_MAX_CHANNELS || chosen.capacity < SHMW_DMXP_MIN_CAPACITY ||
        !shmw_is_power_of_two(chosen.capacity))
        return SHMW_INVALID_ARGUMENT;
    if (!segment->map.writable)
        return SHMW_PERMISSION;
    int lock;
    int rc = shmw_map_lock(&segment->map, &lock); /* [dmxp.channel.lock] */
    if (rc != SHMW_OK)
        return rc;
    rc = create_locked(segment, id, &chosen);
    shmw_map_unlock(lock);
    return rc;
}

/* Removing --------------------------------------------------------------------------------------------------------- */

/* With the segment lock held. Order: [dmxp.channel.remove]. */
static int remove_locked(shmw_dmxp_segment *segment, uint32_t id)
{
    struct shmw_dmxp_wire_channel *entry = shmw_dmxp_entry(segment, id);
    const uint64_t capacity = shmw_load_relaxed(&entry->capacity);
    if (capacity == 0)
        return SHMW_NOT_FOUND;
    shmw_store_relaxed(&entry->retired_capacity, capacity);
    /* R1: pairs with A1; the band counts as retired before it stops counting as live */
    shmw_store_release(&entry->capacity, 0);
    shmw_add_release(&entry->removals, 1); /* R6: pairs with A6; whoever attaches and sees it finds no capacity either */
    shmw_store_relaxed(&shmw_dmxp_header(segment)->channel_count, shmw_dmxp_count_channels(segment));
    shmw_add_seqcst(&entry->signal, 1); /* R4, S5: pairs with A4; sleepers find removals changed */
    shmw_futex_wake(&entry->signal, INT_MAX);
    return SHMW_OK;
}

int shmw_dmxp_channel_remove(shmw_dmxp_segment *segment, uint32_t id)
{
    if (segment == NULL || id >= SHMW_DMXP_MAX_CHANNELS)
        return SHMW_INVALID_ARGUMENT;
    if (!segment->map.writable)
        return SHMW_PERMISSION;
    int lock;
    int rc = shmw_map_lock(&segment->map, &lock); /* [dmxp.channel.lock] */
    if (rc != SHMW_OK)
        return rc;
    rc = remove_locked(segment, id);
    shmw_map_unlock(lock);
    return rc;
}

/* Looking ---------------------------------------------------------------------------------------------------------- */

int shmw_dmxp_channel_info(const shmw_dmxp_segment *segment, uint32_t id, struct shmw_dmxp_channel_info *info)
{
    if (segment == NULL || info == NULL || id >= SHMW_DMXP_MAX_CHANNELS)
        return SHMW_INVALID_ARGUMENT;
    const struct shmw_dmxp_wire_channel *entry = shmw_dmxp_entry(segment, id);
    info->capacity = shmw_load_acquire(&entry->capacity); /* A1: pairs with R1 */
    info->channel_id = shmw_field_load(&entry->channel_id);
    info->flags = shmw_field_load(&entry->flags);
    info->band_offset = shmw_field_load(&entry->band_offset);
    info->removals = shmw_load_relaxed(&entry->removals);
    info->retired_capacity = shmw_load_relaxed(&entry->retired_capacity);
    info->head = shmw_load_acquire(&entry->head);
    info->tail = shmw_load_acquire(&entry->tail);
    info->signal = shmw_load_acquire(&entry->signal);
    info->waiters = shmw_load_relaxed(&entry->waiters);
    return SHMW_OK;
}

int shmw_dmxp_channel_list(const shmw_dmxp_segment *segment, uint32_t *ids, size_t max, size_t *count)
{
    if (segment == NULL || count == NULL || (ids == NULL && max > 0))
        return SHMW_INVALID_ARGUMENT;
    *count = 0;
    for (uint32_t id = 0; id < SHMW_DMXP_MAX_CHANNELS; id++) {
        if (shmw_load_acquire(&shmw_dmxp_entry(segment, id)->capacity) == 0) /* A1: pairs with R1 */
            continue;
        if (*count < max)
            ids[*count] = id;
        (*count)++;
    }
    return SHMW_OK;
}

/* Attaching -------------------------------------------------------------------------------------------------------- */

static void fill_handle(shmw_dmxp_channel *channel, shmw_dmxp_segment *segment, uint32_t id,
                        const struct shmw_dmxp_geometry *geometry)
{
    const bool undeclared = segment->payload_layout == SHMW_DMXP_LAYOUT_UNSPECIFIED;
    struct shmw_dmxp_wire_channel *entry = shmw_dmxp_entry(segment, id);
    *channel = (shmw_dmxp_channel){
        .entry = entry,
        .slots = shmw_dmxp_slots(segment, geometry->band_offset),
        .capacity = geometry->capacity,
        .mask = geometry->capacity - 1,
        .band_offset = geometry->band_offset,
        .removals = geometry->removals,
        .pid = segment->pid,
        .area = shmw_dmxp_send_area(segment),
        .id = id,
        .sender_runtime = segment->sender_runtime,
        .runtime_fixed = undeclared && segment->choice == SHMW_DMXP_CHOOSE_DOCUMENT,
        .area_by_message = undeclared && segment->choice == SHMW_DMXP_CHOOSE_AUTO,
        .counted_waiters = (shmw_field_load(&entry->flags) & SHMW_DMXP_CHANNEL_COUNTED_WAITERS) != 0,
        .writable = segment->map.writable,
    };
}

int shmw_dmxp_attach(shmw_dmxp_segment *segment, uint32_t id, shmw_dmxp_channel **out)
{
    if (segment == NULL || out == NULL || id >= SHMW_DMXP_MAX_CHANNELS)
        return SHMW_INVALID_ARGUMENT;
    struct shmw_dmxp_geometry geometry;
    const int rc = shmw_dmxp_check_entry(segment, id, &geometry, NULL);
    if (rc != SHMW_OK)
        return rc;
    const size_t size = (size_t)shmw_align_up(sizeof(shmw_dmxp_channel), HANDLE_ALIGN);
    shmw_dmxp_channel *channel = aligned_alloc(HANDLE_ALIGN, size);
    if (channel == NULL)
        return SHMW_SYSTEM;
    fill_handle(channel, segment, id, &geometry);
    shmw_map_prefault(&segment->map, geometry.band_offset, band_end(0, geometry.capacity));
    *out = channel;
    return SHMW_OK;
}

void shmw_dmxp_detach(shmw_dmxp_channel *channel)
{
    free(channel);
}
