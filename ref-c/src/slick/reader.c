/* SPDX-License-Identifier: MIT
 *
 * Profile slick, section 5: reading. A reader touches the slot and the elements of its item, and header.reserved once a call,
 * after it has copied, or while there is nothing to copy. */
#include <stdlib.h>

#include "internal.h"

/* Looks ------------------------------------------------------------------------------------------------------------ */

static inline struct shmw_slick_look begin_look(const shmw_slick_reader *reader)
{
    /* A4: pairs with R4; the reservations that the items taken so far rest on */
    const uint64_t cursor = reader->shared != NULL ? shmw_load_acquire(reader->shared->next) : reader->cursor;
    return (struct shmw_slick_look){.begin = cursor, .cursor = cursor};
}

/* A look is over and took nothing. A shared cursor stays where it is. */
static void keep_place(shmw_slick_reader *reader, const struct shmw_slick_look *look)
{
    if (reader->shared != NULL)
        return;
    reader->cursor = look->cursor;
    reader->lost += look->lost;
    reader->total_lost += look->lost;
}

/* Take what lies between the place of the look and `end`. False when another consumer was faster [slick.share.once]. */
static inline bool take(shmw_slick_reader *reader, const struct shmw_slick_look *look, uint64_t end)
{
    uint64_t begin = look->begin;
    if (reader->shared == NULL)
        reader->cursor = end;
    else if (!shmw_cas_release(reader->shared->next, &begin, end)) /* R4: pairs with A4; the reservation that we saw */
        return false;
    reader->lost += look->lost; /* [slick.share.lost] */
    reader->total_lost += look->lost;
    return true;
}

/* Back to 0, once a call [slick.read.reset]. */
static int go_back(shmw_slick_reader *reader, struct shmw_slick_look *look)
{
    if (look->reset)
        return SHMW_EMPTY;
    uint64_t begin = look->begin;
    if (reader->shared == NULL)
        reader->cursor = 0;
    if (reader->shared == NULL || shmw_cas_release(reader->shared->next, &begin, 0)) /* R4: pairs with A4; nothing but itself */
        reader->resets++;
    *look = begin_look(reader);
    look->reset = true;
    return SHMW_SLICK_AGAIN;
}

/* Another consumer was faster: the copy is thrown away. */
static int start_over(const shmw_slick_reader *reader, struct shmw_slick_look *look)
{
    const bool reset = look->reset;
    *look = begin_look(reader);
    look->reset = reset;
    return SHMW_SLICK_AGAIN;
}

/* Step 6, after the copy: is the item at the cursor whole, and possible? [slick.read.recheck] */
static inline int check_item(const shmw_slick_queue *queue, struct shmw_slick_look *look, uint64_t elements)
{
    shmw_fence_acquire(); /* F5: pairs with F5; our loads of the elements before the reservation */
    const uint64_t next = shmw_slick_next_index(queue);
    const uint64_t ahead = next - look->cursor; /* wraps when next is lower: then it is above size */
    const bool whole = ahead - 1 < queue->size;
    if (whole && elements - 1 < shmw_slick_room(queue, look->cursor) && elements <= ahead)
        return SHMW_OK;
    return shmw_slick_not_whole(queue, look, next);
}

/* One item --------------------------------------------------------------------------------------------------------- */

static inline void describe(const shmw_slick_reader *reader, uint64_t index, uint64_t elements, size_t offset,
                            struct shmw_slick_item *item)
{
    if (item == NULL)
        return;
    *item = (struct shmw_slick_item){
        .index = index,
        .lost = reader->lost,
        .elements = (uint32_t)elements,
        .length = (size_t)(elements * reader->queue->element_size),
        .offset = offset,
    };
}

/* Where a copy goes; buffer NULL: to look without copying, whatever the size. */
struct target {
    unsigned char *buffer;
    size_t size;
};

/* Steps 4 and 5: copy the item at the cursor, if its size is possible and it fits. */
static inline uint64_t copy_item(const shmw_slick_queue *queue, uint64_t cursor, const struct target *to)
{
    const uint64_t elements = shmw_field_load(&shmw_slick_slot(queue, cursor)->size);
    const uint64_t length = elements * queue->element_size;
    if (to->buffer != NULL && elements - 1 < shmw_slick_room(queue, cursor) && length <= to->size)
        shmw_copy_from_shared_any(to->buffer, shmw_slick_element(queue, cursor), (size_t)length);
    return elements;
}

/* Steps 1 to 6 once: SHMW_OK when the item at the place of the look was copied whole. */
static inline int look_once(const shmw_slick_queue *queue, struct shmw_slick_look *look, const struct target *to,
                            uint64_t *elements)
{
    /* A2: pairs with R2; size and elements after the index that publishes them. The way of most looks. */
    if (shmw_load_acquire(&shmw_slick_slot(queue, look->cursor)->data_index) != look->cursor) {
        const int rc = shmw_slick_find(queue, look);
        if (rc != SHMW_OK)
            return rc;
    }
    *elements = copy_item(queue, look->cursor, to);
    return check_item(queue, look, *elements);
}

/* An item that does not fit stays next. */
static int refuse(shmw_slick_reader *reader, const struct shmw_slick_look *look, uint64_t elements, struct shmw_slick_item *item)
{
    keep_place(reader, look);
    describe(reader, look->cursor, elements, 0, item);
    return SHMW_TOO_SMALL;
}

static inline int next_item(shmw_slick_reader *reader, const struct target *to, struct shmw_slick_item *item)
{
    const shmw_slick_queue *queue = reader->queue;
    struct shmw_slick_look look = begin_look(reader);
    for (;;) {
        uint64_t elements = 0;
        int rc = look_once(queue, &look, to, &elements);
        if (rc == SHMW_OK) {
            if (elements * queue->element_size > to->size)
                return refuse(reader, &look, elements, item);
            if (take(reader, &look, look.cursor + elements)) {
                describe(reader, look.cursor, elements, 0, item);
                reader->lost = 0;
                reader->items_read++;
                return SHMW_OK;
            }
            rc = start_over(reader, &look);
        } else if (rc == SHMW_SLICK_RESET) {
            rc = go_back(reader, &look);
        }
        if (rc != SHMW_SLICK_AGAIN) {
            keep_place(reader, &look);
            return rc;
        }
    }
}

int shmw_slick_next(shmw_slick_reader *reader, void *buffer, size_t size, struct shmw_slick_item *item)
{
    if (reader == NULL || (buffer == NULL && size > 0))
        return SHMW_INVALID_ARGUMENT;
    const struct target to = {.buffer = buffer, .size = size};
    return next_item(reader, &to, item);
}

int shmw_slick_next_view(shmw_slick_reader *reader, struct shmw_slick_item *item)
{
    static const struct target nowhere = {.buffer = NULL, .size = SIZE_MAX};
    if (reader == NULL || item == NULL)
        return SHMW_INVALID_ARGUMENT;
    const int rc = next_item(reader, &nowhere, item);
    if (rc == SHMW_OK) {
        item->data = shmw_slick_element(reader->queue, item->index);
        item->offset = (size_t)((const unsigned char *)item->data - reader->queue->map.base);
    }
    return rc;
}

int shmw_slick_view_check(const shmw_slick_reader *reader, const struct shmw_slick_item *item)
{
    if (reader == NULL || item == NULL)
        return SHMW_INVALID_ARGUMENT;
    shmw_fence_acquire(); /* F5: pairs with F5; the caller's use of the view before the reservation [slick.read.view] */
    const uint64_t next = shmw_slick_next_index(reader->queue);
    return next > item->index && next - item->index <= reader->queue->size ? SHMW_OK : SHMW_LAPPED;
}

/* Batches ---------------------------------------------------------------------------------------------------------- */

/* Where a mark in the slot of `cursor` leads to; cursor itself when what is found there is no mark. */
static uint64_t follow_mark(const shmw_slick_queue *queue, uint64_t cursor, uint64_t found)
{
    return shmw_slick_leads_on(queue, found, cursor, shmw_slick_next_index(queue)) ? found : cursor;
}

/* Steps 1 to 5, one item behind the other from `cursor` on; gives how many. What needs more than a mark to be followed is for
 * the next call. */
static size_t gather(const shmw_slick_queue *queue, uint64_t cursor, const struct target *to, struct shmw_slick_item *items,
                     size_t max)
{
    size_t count = 0;
    size_t used = 0;
    while (count < max) {
        const struct shmw_slick_wire_slot *slot = shmw_slick_slot(queue, cursor);
        const uint64_t found = shmw_load_acquire(&slot->data_index); /* A2: pairs with R2; size and elements after the index */
        if (found != cursor) {
            const uint64_t on = follow_mark(queue, cursor, found);
            if (on == cursor)
                break;
            cursor = on;
            continue;
        }
        const uint64_t elements = shmw_field_load(&slot->size);
        const uint64_t length = elements * queue->element_size;
        if (elements - 1 >= shmw_slick_room(queue, cursor) || length > to->size - used)
            break;
        shmw_copy_from_shared_any(to->buffer + used, shmw_slick_element(queue, cursor), (size_t)length);
        items[count++] = (struct shmw_slick_item){
            .index = cursor, .elements = (uint32_t)elements, .length = (size_t)length, .offset = used};
        used += (size_t)length;
        cursor += elements;
    }
    return count;
}

/* Step 6 for all of them. Those of items [0, count) that are whole begin at *first; gives where they end. */
static size_t select_whole(const shmw_slick_queue *queue, const struct shmw_slick_item *items, size_t count, size_t *first)
{
    shmw_fence_acquire(); /* F5: pairs with F5; our loads of the elements before the reservation [slick.read.batch] */
    const uint64_t next = shmw_slick_next_index(queue);
    size_t from = 0;
    while (from < count && shmw_slick_overtaken(queue, items[from].index, next))
        from++;
    size_t end = from;
    while (end < count && items[end].index < next && items[end].elements <= next - items[end].index)
        end++;
    *first = from;
    return end;
}

/* Nothing was gathered from the place of the look: the first item does not fit, or what is there is none. */
static int look_again(shmw_slick_reader *reader, struct shmw_slick_look *look, struct shmw_slick_item *item)
{
    const shmw_slick_queue *queue = reader->queue;
    const uint64_t elements = shmw_field_load(&shmw_slick_slot(queue, look->cursor)->size);
    const int rc = check_item(queue, look, elements);
    if (rc != SHMW_OK)
        return rc;
    describe(reader, look->cursor, elements, 0, item);
    return SHMW_TOO_SMALL;
}

static int next_items(shmw_slick_reader *reader, struct shmw_slick_look *look, const struct target *to,
                      struct shmw_slick_item *items, size_t max, size_t *count)
{
    const shmw_slick_queue *queue = reader->queue;
    size_t first = 0;
    int rc = shmw_slick_find(queue, look);
    if (rc != SHMW_OK)
        return rc == SHMW_SLICK_RESET ? go_back(reader, look) : rc;
    const size_t gathered = gather(queue, look->cursor, to, items, max);
    const size_t end = select_whole(queue, items, gathered, &first);
    if (first == end) {
        rc = look_again(reader, look, &items[0]);
        if (rc == SHMW_TOO_SMALL && gathered > 0)
            return SHMW_SLICK_AGAIN; /* impossible as a batch saw it, and possible now: reserved meanwhile */
        return rc == SHMW_SLICK_RESET ? go_back(reader, look) : rc;
    }
    const struct shmw_slick_item *last = &items[end - 1];
    look->lost += items[first].index - look->cursor;
    if (!take(reader, look, last->index + last->elements))
        return start_over(reader, look);
    *count = end - first;
    for (size_t i = 0; first > 0 && i < *count; i++)
        items[i] = items[first + i];
    items[0].lost = reader->lost;
    reader->lost = 0;
    reader->items_read += *count;
    return SHMW_OK;
}

int shmw_slick_next_batch(shmw_slick_reader *reader, void *buffer, size_t size, struct shmw_slick_item *items, size_t max,
                          size_t *count)
{
    if (reader == NULL || buffer == NULL || items == NULL || count == NULL || max == 0)
        return SHMW_INVALID_ARGUMENT;
    const struct target to = {.buffer = buffer, .size = size};
    struct shmw_slick_look look = begin_look(reader);
    int rc;
    *count = 0;
    do
        rc = next_items(reader, &look, &to, items, max, count);
    while (rc == SHMW_SLICK_AGAIN);
    if (rc != SHMW_OK)
        keep_place(reader, &look);
    return rc;
}

/* The last item ---------------------------------------------------------------------------------------------------- */

/* The published item with the highest index, whatever the cursor; UINT64_MAX: there is none. */
static uint64_t find_candidate(const shmw_slick_queue *queue)
{
    const struct shmw_slick_wire_header *header = shmw_slick_header(queue);
    const uint64_t reserved = shmw_load_relaxed(&header->reserved);
    const uint64_t next = shmw_slick_index_of(reserved);
    const uint64_t elements = reserved & SHMW_SLICK_RESERVED_SIZE_MASK;
    const bool told = queue->generation == SHMW_SLICK_1_4;
    const uint64_t last = told ? shmw_load_acquire(&header->last_published) /* A3: pairs with R3 */ : next - elements;
    if (last < next && last >= shmw_slick_horizon(queue, next)) {
        const struct shmw_slick_wire_slot *slot = shmw_slick_slot(queue, last);
        /* A2: pairs with R2; size and elements after the index. A reservation may be of several items: a batch. */
        if (shmw_load_acquire(&slot->data_index) == last && (told || shmw_field_load(&slot->size) == elements))
            return last;
    }
    return shmw_slick_find_last(queue, next);
}

int shmw_slick_last(shmw_slick_reader *reader, void *buffer, size_t size, struct shmw_slick_item *item)
{
    if (reader == NULL || (buffer == NULL && size > 0))
        return SHMW_INVALID_ARGUMENT;
    const shmw_slick_queue *queue = reader->queue;
    const struct target to = {.buffer = buffer, .size = size};
    for (unsigned tries = 0; tries < SHMW_SLICK_READ_TRIES; tries++) {
        struct shmw_slick_look look = {.cursor = find_candidate(queue)};
        if (look.cursor == UINT64_MAX)
            return SHMW_EMPTY; /* [slick.read.last] */
        const uint64_t elements = copy_item(queue, look.cursor, &to);
        const int rc = check_item(queue, &look, elements);
        if (rc == SHMW_CORRUPT)
            return rc;
        if (rc != SHMW_OK)
            continue;
        describe(reader, look.cursor, elements, 0, item);
        if (item != NULL)
            item->lost = 0;
        return elements * queue->element_size <= size ? SHMW_OK : SHMW_TOO_SMALL;
    }
    return SHMW_LAPPED;
}
