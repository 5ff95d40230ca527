/* SPDX-License-Identifier: MIT
 *
 * Profile slick: is there anything in the segment that no producer leaves? What is reserved and not published, yet or ever, is
 * no finding: recover tells how much of that there is. */
#include "internal.h"

#define NO_SLOT UINT32_MAX

/* An item that is still whole by `next`: n elements within the ring and the reservation, and nothing else published in them. */
static const char *check_whole(const shmw_slick_queue *queue, uint64_t index, uint64_t elements, uint64_t next)
{
    if (elements == 0)
        return "an item of 0 elements";
    if (elements > shmw_slick_room(queue, index))
        return "an item passes the end of the ring";
    if (elements > next - index)
        return "an item passes the reservation";
    for (uint64_t within = 1; within < elements; within++)
        if (shmw_load_acquire(&shmw_slick_slot(queue, index + within)->data_index) == index + within) /* A2: pairs with R2 */
            return "an item begins within another";
    return NULL;
}

static const char *check_slot(const shmw_slick_queue *queue, uint64_t place)
{
    const struct shmw_slick_wire_slot *slot = &queue->slots[place];
    const uint64_t found = shmw_load_acquire(&slot->data_index); /* A2: pairs with R2; the size after the index */
    const uint64_t elements = shmw_field_load(&slot->size);
    if (found == SHMW_SLICK_NO_INDEX)
        return NULL;
    const uint64_t next = shmw_slick_next_index(queue);
    if (found > next)
        return "a data_index is above the reservation"; /* [slick.read.uncovered] */
    const uint64_t beyond = (found - place) & (queue->size - 1);
    if (beyond > found)
        return "a mark that nobody can have made";
    if (beyond != 0 || shmw_slick_overtaken(queue, found, next))
        return NULL; /* a mark, or overwritten since */
    if (found == next)
        return "a data_index is not below the reservation";
    const char *finding = check_whole(queue, found, elements, next);
    shmw_fence_acquire(); /* F5: pairs with F5; what we found before the reservation */
    return shmw_slick_overtaken(queue, found, shmw_slick_next_index(queue)) ? NULL : finding;
}

/* header.reserved and last_published. */
static const char *check_indices(const shmw_slick_queue *queue)
{
    const struct shmw_slick_wire_header *header = shmw_slick_header(queue);
    /* A3: pairs with R3; the reservation after the item */
    const uint64_t last = shmw_load_acquire(&header->last_published);
    const uint64_t reserved = shmw_load_relaxed(&header->reserved);
    const uint64_t next = shmw_slick_index_of(reserved);
    const uint64_t elements = reserved & SHMW_SLICK_RESERVED_SIZE_MASK;
    if (elements > queue->size || elements > next)
        return "the last reservation is larger than the ring or the indices";
    if (queue->generation != SHMW_SLICK_1_4 || last == SHMW_SLICK_NO_INDEX)
        return NULL;
    if (last >= next)
        return "last_published is not below the reservation";
    /* A2: pairs with R2; A3 made it visible */
    const bool named = shmw_load_acquire(&shmw_slick_slot(queue, last)->data_index) == last;
    shmw_fence_acquire(); /* F5: pairs with F5; the slot before the reservation */
    if (named || shmw_slick_overtaken(queue, last, shmw_slick_next_index(queue)))
        return NULL;
    return "last_published names no item";
}

/* The header as it is now: nothing may have changed since the queue was opened. */
static int check_header_again(const shmw_slick_queue *queue, const char **finding)
{
    shmw_slick_queue again = *queue;
    const int rc = shmw_slick_check_header(&again, finding);
    if (rc != SHMW_OK || (again.size == queue->size && again.element_size == queue->element_size))
        return rc;
    *finding = "size or element_size has changed";
    return SHMW_BAD_GEOMETRY;
}

int shmw_slick_validate(const shmw_slick_queue *queue, const char **finding, uint32_t *slot)
{
    if (queue == NULL)
        return SHMW_INVALID_ARGUMENT;
    const char *first = NULL;
    uint32_t where = NO_SLOT;
    int rc = check_header_again(queue, &first);
    if (rc == SHMW_OK) {
        first = check_indices(queue);
        for (uint64_t place = 0; first == NULL && place < queue->size; place++) {
            first = check_slot(queue, place);
            where = first != NULL ? (uint32_t)place : NO_SLOT;
        }
        rc = first != NULL ? SHMW_CORRUPT : SHMW_OK;
    }
    if (finding != NULL)
        *finding = first;
    if (slot != NULL)
        *slot = where;
    return rc;
}
