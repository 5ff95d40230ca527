/* SPDX-License-Identifier: MIT
 *
 * Profile slick, section 5, steps 1 to 3 and 7: where a reader goes on. Reads slots and the reservation, stores nothing. */
#include "internal.h"

/* The ring as a whole ---------------------------------------------------------------------------------------------- */

uint64_t shmw_slick_find_settled(const shmw_slick_queue *queue, uint64_t next)
{
    for (uint64_t index = shmw_slick_horizon(queue, next); index < next; index++)
        if (shmw_slick_is_settled(queue, index, next))
            return index;
    return UINT64_MAX;
}

uint64_t shmw_slick_find_last(const shmw_slick_queue *queue, uint64_t next)
{
    for (uint64_t index = next; index > shmw_slick_horizon(queue, next); index--) {
        /* A2: pairs with R2; who finds the item may read its size and elements */
        if (shmw_load_acquire(&shmw_slick_slot(queue, index - 1)->data_index) == index - 1)
            return index - 1;
    }
    return UINT64_MAX;
}

int shmw_slick_find_start(const shmw_slick_queue *queue, enum shmw_slick_start start, uint64_t index, uint64_t *cursor)
{
    const uint64_t next = shmw_slick_next_index(queue);
    const uint64_t oldest = start == SHMW_SLICK_OLDEST ? shmw_slick_find_settled(queue, next) : UINT64_MAX;
    switch (start) {
    case SHMW_SLICK_OLDEST:
        *cursor = oldest != UINT64_MAX ? oldest : shmw_slick_horizon(queue, next);
        return SHMW_OK;
    case SHMW_SLICK_LATEST:
        *cursor = next;
        return SHMW_OK;
    case SHMW_SLICK_INDEX:
        *cursor = index;
        return index < SHMW_SLICK_INDEX_LIMIT ? SHMW_OK : SHMW_INVALID_ARGUMENT;
    default:
        return SHMW_INVALID_ARGUMENT;
    }
}

/* Going on --------------------------------------------------------------------------------------------------------- */

/* Step 7: on at the oldest item that is still whole [slick.read.oldest]. */
static int go_to_oldest(const shmw_slick_queue *queue, struct shmw_slick_look *look)
{
    const uint64_t next = shmw_slick_next_index(queue);
    if (shmw_slick_overtaken(queue, look->cursor, next)) { /* or it was reset meanwhile */
        const uint64_t index = shmw_slick_find_settled(queue, next);
        if (index == UINT64_MAX)
            return SHMW_EMPTY;
        look->lost += index - look->cursor;
        look->cursor = index;
    }
    return ++look->overtaken < SHMW_SLICK_READ_TRIES ? SHMW_SLICK_AGAIN : SHMW_LAPPED; /* [slick.read.bounded] */
}

/* Step 2: nothing is published at the cursor. */
static int unpublished(const shmw_slick_queue *queue, struct shmw_slick_look *look, uint64_t next)
{
    if (next < look->cursor)
        return SHMW_SLICK_RESET; /* [slick.read.reset] */
    if (shmw_slick_overtaken(queue, look->cursor, next))
        return go_to_oldest(queue, look);
    return SHMW_EMPTY; /* [slick.read.empty] */
}

int shmw_slick_find(const shmw_slick_queue *queue, struct shmw_slick_look *look)
{
    for (uint64_t marks = 0; marks <= queue->size;) {
        /* A2: pairs with R2; size and elements after the index that publishes them */
        const uint64_t found = shmw_load_acquire(&shmw_slick_slot(queue, look->cursor)->data_index);
        if (found == look->cursor)
            return SHMW_OK;
        const uint64_t next = shmw_slick_next_index(queue);
        if (found < look->cursor || found > next) { /* NO_INDEX is above any reservation [slick.read.uncovered] */
            const int rc = unpublished(queue, look, next);
            if (rc != SHMW_SLICK_AGAIN)
                return rc;
            continue;
        }
        const uint64_t beyond = (found - look->cursor) & (queue->size - 1);
        look->lost += found - beyond - look->cursor; /* whole laps [slick.read.lapped] */
        look->cursor = found;
        if (beyond == 0)
            return SHMW_OK;
        marks++; /* [slick.read.mark] */
    }
    return SHMW_LAPPED; /* marks that lead round and round [slick.read.bounded] */
}

int shmw_slick_not_whole(const shmw_slick_queue *queue, struct shmw_slick_look *look, uint64_t next)
{
    if (shmw_slick_overtaken(queue, look->cursor, next))
        return go_to_oldest(queue, look); /* [slick.read.stale] */
    return next <= look->cursor ? unpublished(queue, look, next) : SHMW_CORRUPT; /* [slick.read.bounds] */
}
