/* SPDX-License-Identifier: MIT */
#include "raw.h"

#include "atomic.h"
#include "bytes.h"

/* The generation that the published words say, or 0 [slick.segment.generation]. */
static unsigned generation_of(const struct ring_header *header)
{
    if (header->init_state == SHMW_SLICK_STATE_READY_14)
        return header->magic == SHMW_SLICK_MAGIC ? 14 : 0;
    if (header->init_state == SHMW_SLICK_STATE_READY_13)
        return 13;
    return header->init_state == SHMW_SLICK_STATE_NONE && header->size != 0 ? 12 : 0;
}

struct ring_header ring_load_header(const struct view *view)
{
    struct ring_header header = {.present = view->size >= sizeof(struct shmw_slick_wire_header)};
    if (!header.present)
        return header;
    const struct shmw_slick_wire_header *wire = (const void *)view->base;
    header.init_state = shmw_load_acquire(&wire->init_state); /* A0: pairs with R0; geometry and slots after it */
    header.size = shmw_load_acquire(&wire->size);             /* A0: the word that publishes generation 1.2 */
    header.element_size = shmw_field_load(&wire->element_size);
    header.magic = shmw_field_load(&wire->header_magic);
    header.last_published = shmw_load_acquire(&wire->last_published); /* A3: pairs with R3 */
    header.settled = shmw_load_acquire(&wire->settled);               /* A1: pairs with R1 */
    header.generation = generation_of(&header);
    header.data = shmw_end_of(SHMW_SLICK_SLOT_TABLE_OFFSET, sizeof(struct shmw_slick_wire_slot), header.size);
    header.length = shmw_end_of(header.data, header.element_size, header.size);
    const uint64_t room = (view->size - SHMW_SLICK_SLOT_TABLE_OFFSET) / sizeof(struct shmw_slick_wire_slot);
    header.slots = (uint32_t)shmw_min_u64(header.size, room);
    header.good = header.generation != 0 && shmw_is_power_of_two(header.size) && header.size <= SHMW_SLICK_MAX_SIZE &&
                  header.element_size != 0 && header.length <= view->size;
    ring_reload(view, &header);
    return header;
}

void ring_reload(const struct view *view, struct ring_header *header)
{
    const struct shmw_slick_wire_header *wire = (const void *)view->base;
    header->reserved = shmw_load_relaxed(&wire->reserved);
    header->index = header->reserved >> SHMW_SLICK_RESERVED_SIZE_BITS;
    header->last_elements = header->reserved & SHMW_SLICK_RESERVED_SIZE_MASK;
}

struct ring_slot ring_load_slot(const struct view *view, uint32_t slot)
{
    const struct shmw_slick_wire_slot *slots = (const void *)(view->base + SHMW_SLICK_SLOT_TABLE_OFFSET);
    struct ring_slot found = {.data_index = shmw_load_acquire(&slots[slot].data_index)}; /* A2: pairs with R2 */
    found.size = shmw_field_load(&slots[slot].size);
    return found;
}

enum ring_state ring_look(const struct view *view, const struct ring_header *header, uint64_t index, uint32_t *elements,
                          uint64_t *next)
{
    const struct ring_slot slot = ring_load_slot(view, (uint32_t)(index & (header->size - 1)));
    if (slot.data_index == SHMW_SLICK_NO_INDEX || slot.data_index < index || slot.data_index > header->index)
        return RING_NOTHING;
    *elements = slot.size;
    *next = slot.data_index;
    if (slot.data_index == index)
        return index < header->index ? RING_ITEM : RING_NOTHING;
    return slot.data_index - index < header->size ? RING_MARK : RING_OVERTAKEN;
}

uint64_t ring_low(const struct ring_header *header)
{
    return header->index > header->size ? header->index - header->size : 0;
}

uint64_t ring_next(const struct view *view, const struct ring_header *header, uint64_t from)
{
    uint32_t elements;
    uint64_t next;
    const uint64_t low = ring_low(header);
    for (uint64_t at = from > low ? from : low; at < header->index; at++) {
        const enum ring_state state = ring_look(view, header, at, &elements, &next);
        if (state == RING_ITEM || state == RING_MARK)
            return at;
    }
    return header->index;
}

bool ring_elements_good(const struct ring_header *header, uint64_t index, uint32_t elements)
{
    return elements >= 1 && elements <= header->size - (index & (header->size - 1)) && elements <= header->index - index;
}

/* An unpublished reservation at index; where the walk goes on. */
static uint64_t pass_hole(const struct view *view, const struct ring_header *header, uint64_t index, struct ring_walk *walk)
{
    if (walk->unpublished++ == 0)
        walk->first_hole = index;
    return ring_next(view, header, index + 1);
}

struct ring_walk ring_walk(const struct view *view, const struct ring_header *header)
{
    struct ring_walk walk = {.oldest = ring_next(view, header, 0), .newest = SHMW_SLICK_NO_INDEX};
    uint64_t at = header->index <= header->size ? 0 : walk.oldest; /* in the first lap the first item begins at 0 */
    while (at < header->index) {
        uint32_t elements = 0;
        uint64_t next = 0;
        switch (ring_look(view, header, at, &elements, &next)) {
        case RING_ITEM:
            walk.items++;
            walk.newest = at;
            next = at + (ring_elements_good(header, at, elements) ? elements : 1);
            walk.elements += next - at;
            break;
        case RING_MARK:
            walk.marks += (next & (header->size - 1)) != 0;
            break;
        case RING_OVERTAKEN: /* by a live producer, since the header was loaded */
            next = at + 1;
            break;
        default:
            next = pass_hole(view, header, at, &walk);
        }
        at = next;
    }
    return walk;
}
