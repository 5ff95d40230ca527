/* SPDX-License-Identifier: MIT
 *
 * Thin calls of the native engine into the C implementation of profile slick: what the public C API has no single call for. */
#ifndef SHMWPY_SLICK_CALLS_H
#define SHMWPY_SLICK_CALLS_H

#include "shmwire/slick.h"
#include "slick/internal.h"

/* What Python takes apart by itself (HEAD in shmwire/slick/item.py). */
_Static_assert(sizeof(struct shmw_slick_item) == 48 && offsetof(struct shmw_slick_item, index) == 0 &&
                   offsetof(struct shmw_slick_item, lost) == 8 && offsetof(struct shmw_slick_item, elements) == 16 &&
                   offsetof(struct shmw_slick_item, length) == 24 && offsetof(struct shmw_slick_item, offset) == 32 &&
                   offsetof(struct shmw_slick_item, data) == 40,
               "HEAD of item.py");

/* 1 if nobody has reserved the item's elements again; after this, loads of them that came before count. */
static int shmwpy_slick_holds(const shmw_slick_reader *reader, uint64_t index)
{
    const struct shmw_slick_item item = {.index = index};
    return shmw_slick_view_check(reader, &item) == SHMW_OK;
}

/* The header's fields and, of each slot, data_index and size, as they are: 7 + 2 x size words. */
static int shmwpy_slick_inspect(const shmw_slick_queue *queue, uint64_t *words)
{
    if (queue == NULL)
        return SHMW_INVALID_ARGUMENT;
    struct shmw_slick_wire_header *header = shmw_slick_header(queue);
    *words++ = shmw_load_relaxed(&header->reserved);
    *words++ = shmw_load_acquire(&header->size); /* A0: pairs with R0 */
    *words++ = shmw_field_load(&header->element_size);
    *words++ = shmw_load_acquire(&header->last_published); /* A3: pairs with R3 */
    *words++ = shmw_field_load(&header->header_magic);
    *words++ = shmw_load_acquire(&header->settled);    /* A1: pairs with R1 */
    *words++ = shmw_load_acquire(&header->init_state); /* A0: pairs with R0 */
    for (uint64_t index = 0; index < queue->size; index++) {
        *words++ = shmw_load_acquire(&shmw_slick_slot(queue, index)->data_index); /* A2: pairs with R2 */
        *words++ = shmw_field_load(&shmw_slick_slot(queue, index)->size);
    }
    return SHMW_OK;
}

#endif
