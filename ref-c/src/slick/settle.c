/* SPDX-License-Identifier: MIT
 *
 * Profile slick, section 4.1: nobody reserves elements that another producer may still be writing. A producer that is alone never
 * comes here. */
#include <stdlib.h>

#include "internal.h"

/* Walking ---------------------------------------------------------------------------------------------------------- */

/* The item at *known: past it, if it is what its slot says. */
static int pass_item(const shmw_slick_queue *queue, uint64_t next, uint64_t *known)
{
    const uint64_t elements = shmw_field_load(&shmw_slick_slot(queue, *known)->size);
    shmw_fence_acquire(); /* F5: pairs with F5; a size of a later lap comes with its reservation */
    if (shmw_slick_overtaken(queue, *known, shmw_slick_next_index(queue)))
        return SHMW_SLICK_AGAIN;
    if (elements == 0 || elements > shmw_slick_room(queue, *known) || elements > next - *known)
        return SHMW_CORRUPT;
    *known += elements;
    return SHMW_OK;
}

int shmw_slick_walk(const shmw_slick_queue *queue, uint64_t next, uint64_t *known, uint64_t *found)
{
    while (*known < next) {
        /* A2: pairs with R2; its producer is done with the item */
        *found = shmw_load_acquire(&shmw_slick_slot(queue, *known)->data_index);
        if (*found == *known) {
            const int rc = pass_item(queue, next, known);
            if (rc != SHMW_OK)
                return rc;
        } else if (shmw_slick_leads_on(queue, *found, *known, next)) {
            *known = *found;
        } else {
            const uint64_t now = shmw_slick_next_index(queue);
            const bool later_lap = *found > *known && *found - *known >= queue->size && *found < now;
            return later_lap ? SHMW_SLICK_AGAIN : SHMW_EMPTY;
        }
    }
    return SHMW_OK;
}

void shmw_slick_tell_settled(const shmw_slick_queue *queue, uint64_t known)
{
    _Atomic(uint64_t) *settled = &shmw_slick_header(queue)->settled;
    for (;;) {
        /* A1: pairs with R1; who raised it had seen the reservation that covers it, and so do we */
        uint64_t told = shmw_load_acquire(settled);
        if (told >= known && told <= shmw_slick_next_index(queue))
            return; /* it never falls */
        if (shmw_cas_release(settled, &told, known)) /* R1: pairs with A1; the items below are done with [slick.reserve.told] */
            return;
    }
}

/* Giving up -------------------------------------------------------------------------------------------------------- */

/* Where readers go on that come to a reservation at known which is given up. */
static uint64_t end_of_hole(const shmw_slick_queue *queue, uint64_t reserved, uint64_t known)
{
    const uint64_t next = shmw_slick_index_of(reserved);
    const uint64_t last = reserved & SHMW_SLICK_RESERVED_SIZE_MASK;
    for (uint64_t index = known + 1; index < next; index++)
        if (shmw_slick_is_settled(queue, index, next))
            return index;
    return next - known > last ? next - last : next;
}

bool shmw_slick_give_up(const shmw_slick_queue *queue, uint64_t reserved, uint64_t found, uint64_t *known, uint64_t *marks)
{
    struct shmw_slick_wire_slot *slot = shmw_slick_slot(queue, *known);
    const uint64_t end = end_of_hole(queue, reserved, *known);
    if (end - *known < queue->size) { /* otherwise it would look like an item of the next lap */
        /* R2: pairs with A2; readers pass the hole, producers take it for settled. Its owner may be storing the size. */
        if (!shmw_cas_release(&slot->data_index, &found, end))
            return false;
        ++*marks;
    }
    *known = end;
    return true;
}

/* Step 4: pause; give the item up after the stall time, in which nothing was reserved either: others that are given up with it
 * are as old then [slick.reserve.give-up]. */
static void wait_or_give_up(shmw_slick_producer *producer, uint64_t reserved, uint64_t found, struct shmw_slick_wait *wait)
{
    uint64_t marks = 0;
    if (!wait->begun || wait->known != producer->known || wait->reserved != reserved) {
        *wait = (struct shmw_slick_wait){.begun = true, .known = producer->known, .reserved = reserved};
        wait->deadline = shmw_deadline(producer->stall_ns);
    } else if (shmw_expired(wait->deadline)) {
        if (shmw_slick_give_up(producer->queue, reserved, found, &producer->known, &marks))
            producer->given_up++;
        shmw_slick_tell_settled(producer->queue, producer->known);
        return;
    }
    shmw_backoff_pause(&wait->backoff, wait->deadline);
}

/* Where to walk from, with `told` in header.settled. */
static int take_known(shmw_slick_producer *producer, uint64_t reserved, uint64_t told)
{
    const shmw_slick_queue *queue = producer->queue;
    const uint64_t next = shmw_slick_index_of(reserved);
    const uint64_t last = reserved & SHMW_SLICK_RESERVED_SIZE_MASK;
    if (told > producer->known)
        producer->known = told;
    if (next - producer->known <= queue->size)
        return SHMW_OK;
    if (last == 0 || last > queue->size) /* no reservation leaves that behind; it would send us too far back */
        return SHMW_CORRUPT;
    producer->known = next - last; /* nothing but the last reservation can be unsettled */
    return SHMW_OK;
}

int shmw_slick_settle(shmw_slick_producer *producer, uint64_t reserved, uint64_t end, struct shmw_slick_wait *wait)
{
    const shmw_slick_queue *queue = producer->queue;
    const uint64_t next = shmw_slick_index_of(reserved);
    if (producer->known > next)
        producer->known = 0; /* the queue was reset */
    uint64_t told = shmw_load_acquire(&shmw_slick_header(queue)->settled); /* A1: pairs with R1 */
    if (told > next) {
        if (shmw_load_acquire(&shmw_slick_header(queue)->reserved) != reserved) /* A6: pairs with R6 */
            return SHMW_SLICK_AGAIN;
        told = 0; /* no producer left it */
    }
    if (end <= told + queue->size) /* [slick.reserve.settled] */
        return SHMW_OK;
    uint64_t found = SHMW_SLICK_NO_INDEX;
    int rc = take_known(producer, reserved, told);
    if (rc == SHMW_OK)
        rc = shmw_slick_walk(queue, next, &producer->known, &found);
    if (rc != SHMW_OK && rc != SHMW_EMPTY)
        return rc;
    shmw_slick_tell_settled(queue, producer->known);
    if (rc == SHMW_OK || end <= producer->known + queue->size)
        return SHMW_OK;
    wait_or_give_up(producer, reserved, found, wait);
    return SHMW_SLICK_AGAIN;
}
