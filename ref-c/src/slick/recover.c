/* SPDX-License-Identifier: MIT
 *
 * Profile slick, section 6: what dead producers reserved and never published. */
#include "internal.h"

/* Where the first hole can be. */
static uint64_t find_begin(const shmw_slick_queue *queue, uint64_t next)
{
    const uint64_t settled = shmw_load_acquire(&shmw_slick_header(queue)->settled); /* A1: pairs with R1 */
    if (settled >= shmw_slick_horizon(queue, next) && settled <= next)
        return settled;
    if (next <= queue->size)
        return 0;
    const uint64_t oldest = shmw_slick_find_settled(queue, next);
    return oldest != UINT64_MAX ? oldest : shmw_slick_horizon(queue, next);
}

/* [slick.recover.holes] */
static int mark_holes(const shmw_slick_queue *queue, uint64_t *holes)
{
    /* A6: pairs with R6; settled as it was raised for earlier reservations */
    const uint64_t reserved = shmw_load_acquire(&shmw_slick_header(queue)->reserved);
    const uint64_t next = shmw_slick_index_of(reserved);
    uint64_t known = find_begin(queue, next);
    int rc = SHMW_EMPTY;
    while (rc == SHMW_EMPTY) {
        uint64_t found = SHMW_SLICK_NO_INDEX;
        rc = shmw_slick_walk(queue, next, &known, &found);
        if (rc == SHMW_EMPTY && !shmw_slick_give_up(queue, reserved, found, &known, holes))
            return SHMW_BUSY; /* somebody publishes: not all producers are dead */
    }
    if (rc != SHMW_OK)
        return rc == SHMW_SLICK_AGAIN ? SHMW_BUSY : rc;
    shmw_slick_tell_settled(queue, known);
    return SHMW_OK;
}

int shmw_slick_recover(shmw_slick_queue *queue, bool all_dead, uint64_t *holes)
{
    uint64_t marked = 0;
    int lock = -1;
    if (queue == NULL)
        return SHMW_INVALID_ARGUMENT;
    if (!queue->map.writable)
        return SHMW_PERMISSION;
    int rc = queue->map.fd >= 0 ? shmw_map_lock(&queue->map, &lock) : SHMW_OK;
    if (rc != SHMW_OK)
        return rc;
    rc = all_dead ? SHMW_OK : shmw_map_exclusive(&queue->map); /* [slick.recover.dead] */
    if (rc == SHMW_OK)
        rc = mark_holes(queue, &marked);
    const uint64_t last = rc == SHMW_OK ? shmw_slick_find_last(queue, shmw_slick_next_index(queue)) : UINT64_MAX;
    if (last != UINT64_MAX)
        shmw_slick_raise_last(queue, last); /* [slick.recover.last] */
    if (lock >= 0)
        shmw_map_unlock(lock);
    if (holes != NULL)
        *holes = marked;
    return rc;
}
