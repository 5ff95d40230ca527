/* SPDX-License-Identifier: MIT */
#include "../profile.h"

#include "raw.h"
#include "slick.h"

#define SLOTS_LOOKED_AT 64
#define LARGEST_PAGE 65536 /* bytes that a system may have rounded the segment up by */

/* Could a producer have left this? Data or a mark in its own slot, and no byte in the padding. */
static bool slot_plausible(const struct view *view, const struct ring_header *header, uint32_t slot)
{
    const struct shmw_slick_wire_slot *slots = (const void *)(view->base + SHMW_SLICK_SLOT_TABLE_OFFSET);
    const struct ring_slot found = ring_load_slot(view, slot);
    return slots[slot].padding_12 == 0 && found.size <= header->size &&
           (found.data_index == SHMW_SLICK_NO_INDEX || found.data_index <= header->index);
}

/* Generations before 1.4 carry no magic: the geometry has to fit the file, bytes that nobody writes have to be 0, and the first
 * slots must be such as producers leave. */
static bool fits_without_magic(const struct view *view, const struct ring_header *header)
{
    const struct shmw_slick_wire_header *wire = (const void *)view->base;
    if (!header->good || header->magic != 0 || header->last_published != 0 || header->settled > header->index)
        return false;
    if (wire->padding_28 != 0 || wire->padding_40 != 0 || wire->padding_52 != 0 || wire->padding_56 != 0)
        return false;
    if (view->size - header->length >= LARGEST_PAGE)
        return false;
    for (uint32_t slot = 0; slot < header->slots && slot < SLOTS_LOOKED_AT; slot++)
        if (!slot_plausible(view, header, slot))
            return false;
    return true;
}

static bool recognise(const struct view *view)
{
    const struct ring_header header = ring_load_header(view);
    if (!header.present)
        return false;
    return header.magic == SHMW_SLICK_MAGIC || fits_without_magic(view, &header);
}

/* One ring; what waits in it is what a reader that begins with the oldest item can come to. */
static void summarise(const struct view *view, struct segment_summary *summary)
{
    const struct ring_header header = ring_load_header(view);
    summary->channels = 1;
    summary->counts_published = header.good;
    summary->published = header.index;
    if (header.good)
        summary->waiting = ring_walk(view, &header).items;
}

const struct cli_profile cli_slick = {
    .name = "slick",
    .title = "lossy multi-producer broadcast ring with packed reservations",
    .revision = 1,
    .part = "slot",
    .recognise = recognise,
    .summarise = summarise,
    .find = slick_find,
    .inspect = slick_inspect,
    .dump = slick_dump,
    .tail = slick_tail,
    .gen = slick_gen,
    .recover = slick_recover,
    .name_byte = slick_name_byte,
};
