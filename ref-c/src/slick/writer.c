/* SPDX-License-Identifier: MIT
 *
 * Profile slick, section 4: producing. A producer that is alone touches header.reserved, the slot and the elements, and in
 * generation 1.4 last_published. */
#include <stdlib.h>

#include "internal.h"

/* A reservation: items of `elements` each, side by side from index on. */
struct run {
    uint64_t index;
    uint64_t elements;
    uint64_t items;
};

/* Reserving -------------------------------------------------------------------------------------------------------- */

static int check_elements(const shmw_slick_queue *queue, uint64_t elements)
{
    if (elements == 0)
        return SHMW_INVALID_ARGUMENT;
    return elements > queue->size || elements > SHMW_SLICK_MAX_ELEMENTS ? SHMW_TOO_LARGE : SHMW_OK;
}

/* A claim that was open at fork() is the parent's. */
static bool claim_is_open(const shmw_slick_producer *producer)
{
    return producer->elements != 0 && producer->owner == shmw_pid(producer->queue->pid);
}

/* Has somebody marked the slot of an index that is reserved for us? Then it is not ours any more [slick.publish.given-up]. */
static inline bool was_given_up(const shmw_slick_queue *queue, const struct shmw_slick_wire_slot *slot, uint64_t index)
{
    const uint64_t found = shmw_load_relaxed(&slot->data_index);
    return found > index && found != SHMW_SLICK_NO_INDEX && found <= shmw_slick_next_index(queue);
}

/* Size and data_index of the slot of `index`. False when it was given up. */
static inline bool store_slot(const shmw_slick_queue *queue, uint64_t index, uint64_t elements, uint64_t data_index)
{
    struct shmw_slick_wire_slot *slot = shmw_slick_slot(queue, index);
    if (was_given_up(queue, slot, index))
        return false;
    shmw_field_store(&slot->size, (uint32_t)elements);
    shmw_store_release(&slot->data_index, data_index); /* R2: pairs with A2; elements and size [slick.publish.order] */
    return true;
}

/* Step 6: [next, end) is ours and no item fits in it: send readers past it. */
static void mark_padding(shmw_slick_producer *producer, uint64_t next, uint64_t end, uint64_t elements)
{
    store_slot(producer->queue, next, elements, end); /* [slick.reserve.mark] */
    if (producer->known == next)
        producer->known = end;
}

/* Steps 2 to 5: up to `most` items of run->elements each, and at least one. items 0: what was reserved is the rest of the ring,
 * up to *end, since not even one fits there [slick.reserve.wrap]. The lines that this item will lie in are not asked for: a
 * reader that polls takes them back before they are of use, and a round trip is a sixth longer. */
static inline int reserve_once(shmw_slick_producer *producer, uint64_t most, struct run *run, uint64_t *end,
                               struct shmw_slick_wait *wait)
{
    const shmw_slick_queue *queue = producer->queue;
    _Atomic(uint64_t) *field = &shmw_slick_header(queue)->reserved;
    uint64_t reserved = shmw_load_acquire(field); /* A6: pairs with R6; settled as it was raised for earlier reservations */
    const uint64_t next = shmw_slick_index_of(reserved);
    const uint64_t room = shmw_slick_room(queue, next);
    const bool fits = run->elements <= room;
    run->index = next;
    run->items = !fits ? 0 : most == 1 ? 1 : shmw_min_u64(most, room / run->elements);
    *end = next + (fits ? run->elements * run->items : room);
    if (*end + (fits ? 0 : run->elements) >= SHMW_SLICK_INDEX_LIMIT) /* [slick.reserve.exhausted] */
        return SHMW_CLOSED;
    const int rc = producer->known == next ? SHMW_OK : shmw_slick_settle(producer, reserved, *end, wait);
    if (rc != SHMW_OK)
        return rc;
    /* R6: pairs with A6; what we found settled, and told, before the reservation [slick.reserve.packed] */
    if (!shmw_cas_release(field, &reserved, *end << SHMW_SLICK_RESERVED_SIZE_BITS | (*end - next)))
        return SHMW_SLICK_AGAIN;
    /* F5: pairs with F5; who copies a byte that we store from here on finds the reservation [slick.reserve.fence] */
    shmw_fence_release();
    return SHMW_OK;
}

static inline int reserve_run(shmw_slick_producer *producer, uint64_t most, struct run *run)
{
    struct shmw_slick_wait wait = {0};
    uint64_t end = 0;
    for (;;) {
        const int rc = reserve_once(producer, most, run, &end, &wait);
        if (rc == SHMW_OK && run->items > 0)
            break;
        if (rc == SHMW_OK)
            mark_padding(producer, run->index, end, run->elements);
        else if (rc != SHMW_SLICK_AGAIN)
            return rc;
    }
    return SHMW_OK;
}

int shmw_slick_reserve(shmw_slick_producer *producer, uint32_t elements, struct shmw_slick_claim *claim)
{
    if (producer == NULL || claim == NULL)
        return SHMW_INVALID_ARGUMENT;
    const shmw_slick_queue *queue = producer->queue;
    struct run run = {.elements = elements};
    int rc = check_elements(queue, elements); /* [slick.reserve.argument] */
    if (rc == SHMW_OK && claim_is_open(producer))
        rc = SHMW_BUSY; /* [slick.reserve.one-claim] */
    if (rc == SHMW_OK)
        rc = reserve_run(producer, 1, &run);
    if (rc != SHMW_OK)
        return rc;
    producer->index = run.index;
    producer->elements = elements;
    producer->owner = shmw_pid(queue->pid);
    *claim = (struct shmw_slick_claim){
        .index = run.index,
        .elements = elements,
        .capacity = (size_t)(elements * queue->element_size),
        .data = shmw_slick_element(queue, run.index),
    };
    return SHMW_OK;
}

/* Publishing ------------------------------------------------------------------------------------------------------- */

/* Step 9 [slick.publish.last] */
void shmw_slick_raise_last(const shmw_slick_queue *queue, uint64_t index)
{
    if (queue->generation != SHMW_SLICK_1_4)
        return;
    _Atomic(uint64_t) *field = &shmw_slick_header(queue)->last_published;
    uint64_t last = shmw_load_relaxed(field);
    while (last == SHMW_SLICK_NO_INDEX || last < index)
        if (shmw_cas_release(field, &last, index)) /* R3: pairs with A3; the item */
            return;
}

/* Steps 7 and 8. */
static inline int publish_item(shmw_slick_producer *producer, uint64_t index, uint64_t elements, uint64_t data_index)
{
    if (!store_slot(producer->queue, index, elements, data_index))
        return SHMW_LAPPED;
    if (producer->known == index)
        producer->known = index + elements;
    return SHMW_OK;
}

static inline int publish_one(shmw_slick_producer *producer, uint64_t index, uint64_t elements)
{
    const int rc = publish_item(producer, index, elements, index);
    if (rc != SHMW_OK)
        return rc;
    shmw_slick_raise_last(producer->queue, index);
    producer->items_written++;
    return SHMW_OK;
}

/* [slick.publish.abandon]: as published, but that readers go on behind it. */
static int abandon_item(shmw_slick_producer *producer, uint64_t index, uint64_t elements)
{
    return publish_item(producer, index, elements, index + elements);
}

static int check_claim(const shmw_slick_producer *producer, const struct shmw_slick_claim *claim)
{
    if (producer == NULL || claim == NULL)
        return SHMW_INVALID_ARGUMENT;
    const bool ours = claim_is_open(producer) && claim->index == producer->index && claim->elements == producer->elements;
    return ours ? SHMW_OK : SHMW_OUT_OF_ORDER;
}

int shmw_slick_publish(shmw_slick_producer *producer, const struct shmw_slick_claim *claim)
{
    const int rc = check_claim(producer, claim);
    if (rc != SHMW_OK)
        return rc;
    const uint32_t elements = producer->elements;
    producer->elements = 0;
    return publish_one(producer, producer->index, elements);
}

int shmw_slick_abandon(shmw_slick_producer *producer, const struct shmw_slick_claim *claim)
{
    const int rc = check_claim(producer, claim);
    if (rc != SHMW_OK)
        return rc;
    const uint32_t elements = producer->elements;
    if (elements == producer->queue->size)
        return SHMW_UNSUPPORTED; /* the mark would say that an item of the next lap is there */
    producer->elements = 0;
    return abandon_item(producer, producer->index, elements);
}

/* Writing ---------------------------------------------------------------------------------------------------------- */

/* Elements of an item of so many bytes, 0 when they are no whole number [slick.reserve.length]. */
static inline uint64_t elements_of(const shmw_slick_queue *queue, size_t length)
{
    if (length == queue->element_size)
        return 1;
    return length % queue->element_size == 0 ? length / queue->element_size : 0;
}

static inline int begin_write(const shmw_slick_producer *producer, const void *data, size_t length, struct run *run)
{
    if (producer == NULL || data == NULL)
        return SHMW_INVALID_ARGUMENT;
    run->elements = elements_of(producer->queue, length);
    const int rc = check_elements(producer->queue, run->elements); /* [slick.reserve.argument] */
    if (rc != SHMW_OK)
        return rc;
    return producer->elements != 0 && claim_is_open(producer) ? SHMW_BUSY : SHMW_OK; /* [slick.reserve.one-claim] */
}

/* The elements of an item. The lines of one some way ahead are asked for now: the next reservation
 * waits until all stores before it are done. Beyond the end there is no ring. */
static inline void fill_item(const shmw_slick_queue *queue, uint64_t index, const void *data, size_t length)
{
    unsigned char *to = shmw_slick_element(queue, index);
    shmw_prefetch_lines_to_write((const void *)((uintptr_t)to + SHMW_FETCH_AHEAD), length);
    shmw_copy_to_shared_any(to, data, length);
}

int shmw_slick_write(shmw_slick_producer *producer, const void *data, size_t length, uint64_t *index)
{
    struct run run = {0};
    int rc = begin_write(producer, data, length, &run);
    if (rc == SHMW_OK)
        rc = reserve_run(producer, 1, &run);
    if (rc != SHMW_OK)
        return rc;
    fill_item(producer->queue, run.index, data, length);
    rc = publish_one(producer, run.index, run.elements);
    if (rc == SHMW_OK && index != NULL)
        *index = run.index;
    return rc;
}

/* Fill and publish the items of a run. What is left of it when one was given up is passed over. */
static int write_run(shmw_slick_producer *producer, const struct run *run, const unsigned char *data, size_t length,
                     uint64_t *indices, uint64_t *written)
{
    for (uint64_t item = 0; item < run->items; item++) {
        const uint64_t index = run->index + item * run->elements;
        fill_item(producer->queue, index, data + item * length, length);
        const int rc = publish_item(producer, index, run->elements, index);
        if (rc != SHMW_OK) {
            if (item + 1 < run->items)
                abandon_item(producer, index + run->elements, (run->items - item - 1) * run->elements);
            return rc;
        }
        producer->items_written++;
        if (indices != NULL)
            indices[item] = index;
        ++*written;
    }
    return SHMW_OK;
}

int shmw_slick_write_batch(shmw_slick_producer *producer, const void *data, size_t length, size_t count, uint64_t *indices,
                           size_t *written)
{
    struct run run = {0};
    uint64_t done = 0;
    int rc = count == 0 ? SHMW_INVALID_ARGUMENT : begin_write(producer, data, length, &run);
    while (rc == SHMW_OK && done < count) {
        const uint64_t most = shmw_min_u64(count - done, SHMW_SLICK_MAX_ELEMENTS / run.elements);
        const uint64_t before = done;
        rc = reserve_run(producer, most, &run);
        if (rc == SHMW_OK)
            rc = write_run(producer, &run, (const unsigned char *)data + before * length, length,
                           indices != NULL ? indices + before : NULL, &done);
        if (done > before) /* once for them all: the last of them is the highest */
            shmw_slick_raise_last(producer->queue, run.index + (done - before - 1) * run.elements);
    }
    if (written != NULL)
        *written = (size_t)done;
    return rc;
}

/* Producers -------------------------------------------------------------------------------------------------------- */

int shmw_slick_producer_open(shmw_slick_queue *queue, const struct shmw_slick_producer_options *options,
                             shmw_slick_producer **out)
{
    if (queue == NULL || out == NULL)
        return SHMW_INVALID_ARGUMENT;
    if (!queue->map.writable)
        return SHMW_PERMISSION;
    shmw_slick_producer *producer = calloc(1, sizeof(*producer));
    if (producer == NULL)
        return SHMW_SYSTEM;
    producer->queue = queue;
    producer->stall_ns = options != NULL && options->stall_ns != 0 ? options->stall_ns : SHMW_SLICK_DEFAULT_STALL_NS;
    *out = producer;
    return SHMW_OK;
}

void shmw_slick_producer_close(shmw_slick_producer *producer)
{
    if (producer == NULL)
        return;
    if (claim_is_open(producer) && producer->elements < producer->queue->size)
        (void)abandon_item(producer, producer->index, producer->elements); /* given up already, or given up now */
    free(producer);
}

int shmw_slick_producer_info(const shmw_slick_producer *producer, struct shmw_slick_producer_info *info)
{
    if (producer == NULL || info == NULL)
        return SHMW_INVALID_ARGUMENT;
    *info = (struct shmw_slick_producer_info){.items_written = producer->items_written, .given_up = producer->given_up};
    return SHMW_OK;
}
