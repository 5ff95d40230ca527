/* SPDX-License-Identifier: MIT
 *
 * Profile slick, sections 1.3 and 5.1: readers, where they stand, waiting, and the cursors that consumers share. */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"

#define POLLS_A_LOOK 16 /* of a reader that spins: glances at its slot between two looks at the reservation */

/* Shared cursors --------------------------------------------------------------------------------------------------- */

static shmw_slick_cursor *new_cursor(void)
{
    shmw_slick_cursor *cursor = calloc(1, sizeof(*cursor));
    if (cursor != NULL)
        cursor->map.fd = -1;
    return cursor;
}

/* The word is at the start of the mapping. */
static int hand_over(shmw_slick_cursor *cursor, int rc, shmw_slick_cursor **out)
{
    if (rc == SHMW_OK) {
        cursor->next = &((struct shmw_slick_wire_cursor *)(void *)cursor->map.base)->next;
        *out = cursor;
        return SHMW_OK;
    }
    const int cause = errno;
    free(cursor);
    errno = cause;
    return rc;
}

int shmw_slick_cursor_create(const char *locator, const shmw_slick_queue *queue, enum shmw_slick_start start, uint64_t index,
                             shmw_slick_cursor **out)
{
    uint64_t next = 0;
    if (queue == NULL || out == NULL)
        return SHMW_INVALID_ARGUMENT;
    int rc = shmw_slick_find_start(queue, start, index, &next);
    if (rc != SHMW_OK)
        return rc;
    shmw_slick_cursor *cursor = new_cursor();
    if (cursor == NULL)
        return SHMW_SYSTEM;
    const uint64_t size = sizeof(struct shmw_slick_wire_cursor);
    rc = locator != NULL ? shmw_map_create(locator, size, size, SHMW_SLICK_DEFAULT_MODE, &cursor->map)
                         : shmw_map_anonymous(size, &cursor->map);
    rc = hand_over(cursor, rc, out);
    if (rc == SHMW_OK)
        shmw_store_release((*out)->next, next); /* R4: pairs with A4; the reservation that we saw */
    return rc;
}

int shmw_slick_cursor_open(const char *locator, shmw_slick_cursor **out)
{
    if (locator == NULL || out == NULL)
        return SHMW_INVALID_ARGUMENT;
    shmw_slick_cursor *cursor = new_cursor();
    if (cursor == NULL)
        return SHMW_SYSTEM;
    return hand_over(cursor, shmw_map_open(locator, false, sizeof(struct shmw_slick_wire_cursor), 0, &cursor->map), out);
}

int shmw_slick_cursor_at(void *memory, shmw_slick_cursor **out)
{
    if (memory == NULL || out == NULL || (uintptr_t)memory % _Alignof(struct shmw_slick_wire_cursor) != 0)
        return SHMW_INVALID_ARGUMENT;
    shmw_slick_cursor *cursor = new_cursor();
    if (cursor == NULL)
        return SHMW_SYSTEM;
    cursor->next = &((struct shmw_slick_wire_cursor *)memory)->next;
    *out = cursor;
    return SHMW_OK;
}

void shmw_slick_cursor_close(shmw_slick_cursor *cursor)
{
    if (cursor == NULL)
        return;
    if (cursor->map.base != NULL)
        shmw_map_close(&cursor->map);
    free(cursor);
}

/* Readers ---------------------------------------------------------------------------------------------------------- */

static uint64_t load_cursor(const shmw_slick_reader *reader)
{
    /* A4: pairs with R4; nothing but the place itself is asked */
    return reader->shared != NULL ? shmw_load_acquire(reader->shared->next) : reader->cursor;
}

int shmw_slick_reader_open(const shmw_slick_queue *queue, const struct shmw_slick_reader_options *options,
                           shmw_slick_reader **out)
{
    const struct shmw_slick_reader_options chosen = options != NULL ? *options : (struct shmw_slick_reader_options){0};
    if (queue == NULL || out == NULL)
        return SHMW_INVALID_ARGUMENT;
    uint64_t cursor = 0;
    const int rc = chosen.shared != NULL ? SHMW_OK : shmw_slick_find_start(queue, chosen.start, chosen.index, &cursor);
    if (rc != SHMW_OK)
        return rc;
    shmw_slick_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL)
        return SHMW_SYSTEM;
    reader->queue = queue;
    reader->shared = chosen.shared;
    reader->cursor = cursor;
    *out = reader;
    return SHMW_OK;
}

void shmw_slick_reader_close(shmw_slick_reader *reader)
{
    free(reader);
}

int shmw_slick_seek(shmw_slick_reader *reader, enum shmw_slick_start start, uint64_t index)
{
    uint64_t cursor = 0;
    if (reader == NULL)
        return SHMW_INVALID_ARGUMENT;
    const int rc = shmw_slick_find_start(reader->queue, start, index, &cursor);
    if (rc != SHMW_OK)
        return rc;
    if (reader->shared != NULL)
        shmw_store_release(reader->shared->next, cursor); /* R4: pairs with A4; the reservation that we saw */
    reader->cursor = cursor;
    reader->lost = 0;
    return SHMW_OK;
}

int shmw_slick_reader_info(const shmw_slick_reader *reader, struct shmw_slick_reader_info *info)
{
    if (reader == NULL || info == NULL)
        return SHMW_INVALID_ARGUMENT;
    *info = (struct shmw_slick_reader_info){
        .cursor = load_cursor(reader),
        .items_read = reader->items_read,
        .lost = reader->total_lost,
        .resets = reader->resets,
    };
    return SHMW_OK;
}

/* Waiting ---------------------------------------------------------------------------------------------------------- */

/* Spin until something has been published at the cursor, for a while. The item's first line comes side by side with the slot's and not after it. The reservation's is left to the producer, who needs it first. */
static void glance(const shmw_slick_reader *reader)
{
    const uint64_t cursor = load_cursor(reader);
    const struct shmw_slick_wire_slot *slot = shmw_slick_slot(reader->queue, cursor);
    for (unsigned polls = 0; polls < POLLS_A_LOOK; polls++) {
        shmw_pause_between_looks(); /* first, since a look has just been */
        const uint64_t found = shmw_load_relaxed(&slot->data_index);
        if (found >= cursor && found != SHMW_SLICK_NO_INDEX)
            return;
        shmw_prefetch_line_to_read(shmw_slick_element(reader->queue, cursor));
    }
}

int shmw_slick_wait_next(shmw_slick_reader *reader, void *buffer, size_t size, uint64_t timeout_ns, uint64_t spin_ns,
                         struct shmw_slick_item *item)
{
    int rc = shmw_slick_next(reader, buffer, size, item);
    if (rc != SHMW_EMPTY)
        return rc;
    if (spin_ns > 0 && timeout_ns > 0) {
        glance(reader); /* before the clock is asked: many a wait is over by then */
        rc = shmw_slick_next(reader, buffer, size, item);
        if (rc != SHMW_EMPTY)
            return rc;
    }
    const uint64_t deadline = shmw_deadline(timeout_ns);
    const uint64_t spin_until = shmw_min_u64(shmw_deadline(spin_ns), deadline);
    struct shmw_backoff backoff = {0};
    for (;;) {
        const bool last = shmw_expired(deadline); /* first, so that one look comes after it [slick.read.timeout] */
        rc = shmw_slick_next(reader, buffer, size, item);
        if (rc != SHMW_EMPTY)
            return rc;
        if (last)
            return SHMW_TIMEOUT;
        if (shmw_expired(spin_until))
            shmw_backoff_pause(&backoff, deadline); /* 1 ms at most */
        else
            glance(reader);
    }
}
