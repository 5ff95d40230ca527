/* SPDX-License-Identifier: MIT
 *
 * Profile dmxp, end of section 7: looking without taking. Loads only, so that a read-only mapping serves [dmxp.peek.readonly]. */
#include "internal.h"

/* Used inside this file only: nothing to deliver at this position, go on to the next. */
#define LOOK_ON 100

/* Where every loop over peek ends, however hostile the cursors: no message has this position. */
#define NO_POSITION UINT64_MAX

/* Are the bytes copied since the sequence was found published all of this position's message? [dmxp.peek.whole] */
static bool still_published(const struct shmw_dmxp_wire_slot *slot, uint64_t position)
{
    shmw_fence_acquire(); /* pairs with F6: a copy with a later producer's bytes in it comes with a later sequence */
    return shmw_load_relaxed(&slot->sequence) == position + 1;
}

/* A sequence that does not belong to the position: consumed since we looked at head, or impossible [dmxp.consume.impossible]. */
static int odd_sequence(const shmw_dmxp_channel *channel, uint64_t position)
{
    if (shmw_load_acquire(&channel->entry->head) > position)
        return LOOK_ON;
    return shmw_dmxp_removed_for_consumers(channel) ? SHMW_CLOSED : SHMW_CORRUPT;
}

static int look_at(const shmw_dmxp_channel *channel, uint64_t position, void *buffer, size_t size,
                   struct shmw_dmxp_message *message)
{
    struct shmw_dmxp_wire_slot *slot = shmw_dmxp_slot(channel, position);
    /* A2: pairs with R2; meta and payload after the sequence that publishes them */
    const uint64_t sequence = shmw_load_acquire(&slot->sequence);
    if (sequence == position)
        return LOOK_ON; /* claimed, not published */
    if (sequence != position + 1)
        return odd_sequence(channel, position);
    const struct shmw_dmxp_glance seen = shmw_dmxp_glance_at(channel, slot);
    const bool possible = seen.length <= seen.area.capacity;
    const bool tombstone = (seen.flags & SHMW_DMXP_MESSAGE_TOMBSTONE) != 0;
    struct shmw_dmxp_message copy = {0};
    if (possible && !tombstone && seen.length <= size) {
        copy = shmw_dmxp_read_message(channel, slot, position, &seen);
        shmw_copy_from_shared(buffer, shmw_dmxp_payload(slot, seen.area), seen.length);
    }
    if (!still_published(slot, position))
        return LOOK_ON; /* consumed meanwhile */
    if (!possible)
        return SHMW_CORRUPT;
    if (tombstone)
        return LOOK_ON;
    if (seen.length > size)
        return shmw_dmxp_too_small(channel, position, &seen, message);
    if (message != NULL)
        *message = copy;
    return SHMW_OK;
}

int shmw_dmxp_peek(shmw_dmxp_channel *channel, uint64_t *position, void *buffer, size_t size, struct shmw_dmxp_message *message)
{
    if (channel == NULL || position == NULL || (buffer == NULL && size > 0))
        return SHMW_INVALID_ARGUMENT;
    uint64_t head = NO_POSITION;
    uint64_t tail = NO_POSITION;
    if (*position != NO_POSITION && shmw_dmxp_cursors(channel->entry, channel->capacity, &head, &tail) != SHMW_OK) {
        *position = NO_POSITION; /* nothing behind such cursors can be trusted */
        return shmw_dmxp_removed_for_consumers(channel) ? SHMW_CLOSED : SHMW_CORRUPT;
    }
    /* A tail that has wrapped is hostile: then the end is before the wrap. */
    const uint64_t end = tail >= head ? tail : NO_POSITION;
    for (uint64_t p = *position > head ? *position : head; p < end; p++) {
        const int rc = look_at(channel, p, buffer, size, message);
        if (rc == LOOK_ON)
            continue;
        if (rc == SHMW_OK || rc == SHMW_CORRUPT)
            *position = p + 1;
        return rc;
    }
    return shmw_dmxp_removed_for_consumers(channel) ? SHMW_CLOSED : SHMW_EMPTY;
}
