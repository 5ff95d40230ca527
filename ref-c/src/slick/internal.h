/* SPDX-License-Identifier: MIT
 *
 * What the files of profile slick share. */
#ifndef SHMW_SRC_SLICK_INTERNAL_H
#define SHMW_SRC_SLICK_INTERNAL_H

#include "../atomic.h"
#include "../bytes.h"
#include "../map.h"
#include "../process.h"
#include "../wait.h"
#include "layout.h"
#include "shmwire/slick.h"

/* A mapping and the values of its header, checked once. Elements are counted in 64 bits throughout: no product overflows. */
struct shmw_slick_queue {
    struct shmw_map map;
    struct shmw_slick_wire_slot *slots;
    unsigned char *elements;
    uint64_t size; /* elements, a power of two */
    uint64_t element_size;
    uint64_t length; /* bytes, up to the end of the last element */
    enum shmw_slick_generation generation;
    struct shmw_pid_cache *pid;
    char *shm_name;
};

struct shmw_slick_producer {
    shmw_slick_queue *queue;
    uint64_t known;   /* every index below is settled */
    uint64_t index;   /* of the open claim */
    uint64_t stall_ns;
    uint64_t items_written;
    uint64_t given_up;
    uint32_t elements; /* of the open claim; 0 = there is none */
    uint32_t owner;    /* process that made the claim */
};

struct shmw_slick_cursor {
    _Atomic(uint64_t) *next;
    struct shmw_map map; /* base NULL: the application's memory */
};

struct shmw_slick_reader {
    const shmw_slick_queue *queue;
    shmw_slick_cursor *shared; /* NULL: the cursor is our own */
    uint64_t cursor;
    uint64_t lost; /* since the item delivered last */
    uint64_t items_read;
    uint64_t total_lost;
    uint64_t resets;
};

/* Answers inside the profile that no call gives away. */
#define SHMW_SLICK_AGAIN SHMW_FULL    /* things have changed: begin again from what was loaded first */
#define SHMW_SLICK_RESET SHMW_CLOSED  /* the queue was reset: back to index 0 */

static inline struct shmw_slick_wire_header *shmw_slick_header(const shmw_slick_queue *queue)
{
    return (struct shmw_slick_wire_header *)(void *)queue->map.base;
}

static inline uint64_t shmw_slick_place(const shmw_slick_queue *queue, uint64_t index)
{
    return index & (queue->size - 1);
}

static inline struct shmw_slick_wire_slot *shmw_slick_slot(const shmw_slick_queue *queue, uint64_t index)
{
    return &queue->slots[shmw_slick_place(queue, index)];
}

static inline unsigned char *shmw_slick_element(const shmw_slick_queue *queue, uint64_t index)
{
    return queue->elements + shmw_slick_place(queue, index) * queue->element_size;
}

/* Elements from the place of an index to the end of the ring: at least 1. */
static inline uint64_t shmw_slick_room(const shmw_slick_queue *queue, uint64_t index)
{
    return queue->size - shmw_slick_place(queue, index);
}

static inline uint64_t shmw_slick_index_of(uint64_t reserved)
{
    return reserved >> SHMW_SLICK_RESERVED_SIZE_BITS;
}

/* header.reserved's index, r in the specification. Relaxed: a reader's, which has a fence before it where it decides (F5). */
static inline uint64_t shmw_slick_next_index(const shmw_slick_queue *queue)
{
    return shmw_slick_index_of(shmw_load_relaxed(&shmw_slick_header(queue)->reserved));
}

/* The lowest index that can still be in the ring when next is reserved next. */
static inline uint64_t shmw_slick_horizon(const shmw_slick_queue *queue, uint64_t next)
{
    return next > queue->size ? next - queue->size : 0;
}

/* Has the ring come round over index, so that its elements are reserved again? Takes any numbers. */
static inline bool shmw_slick_overtaken(const shmw_slick_queue *queue, uint64_t index, uint64_t next)
{
    return next > index && next - index > queue->size;
}

/* Is a data_index of the slot of `index` a mark that the producer made who reserved index, with `next` as reserved's index? */
static inline bool shmw_slick_leads_on(const shmw_slick_queue *queue, uint64_t data_index, uint64_t index, uint64_t next)
{
    return data_index > index && data_index - index < queue->size && data_index <= next;
}

/* Does the slot of index say so itself, by the item or by a mark of who reserved index? */
static inline bool shmw_slick_is_settled(const shmw_slick_queue *queue, uint64_t index, uint64_t next)
{
    const uint64_t data_index = shmw_load_acquire(&shmw_slick_slot(queue, index)->data_index); /* A2: pairs with R2 */
    return data_index == index || shmw_slick_leads_on(queue, data_index, index, next);
}

/* find.c: the lowest index from the horizon on that is settled, and the highest that is published. UINT64_MAX: none. */
uint64_t shmw_slick_find_settled(const shmw_slick_queue *queue, uint64_t next);
uint64_t shmw_slick_find_last(const shmw_slick_queue *queue, uint64_t next);

/* Where start says in the queue as it is [slick.read.start]. */
int shmw_slick_find_start(const shmw_slick_queue *queue, enum shmw_slick_start start, uint64_t index, uint64_t *cursor);

/* A look for the next item: how far it has come. Nothing is stored to the reader or its cursor before it is over. */
struct shmw_slick_look {
    uint64_t begin;     /* cursor that it began with */
    uint64_t cursor;    /* where it is */
    uint64_t lost;      /* indices */
    unsigned overtaken; /* times */
    bool reset;         /* has it gone back to 0? */
};

/* find.c: steps 1 to 3. SHMW_OK when the slot at the cursor names its index; SHMW_EMPTY, SHMW_LAPPED, SHMW_SLICK_RESET. */
int shmw_slick_find(const shmw_slick_queue *queue, struct shmw_slick_look *look);

/* find.c: what step 6 says of an item at the cursor that is not whole, or impossible, `next` being the reservation's index.
 * SHMW_SLICK_AGAIN: step 1; the answers of shmw_slick_find; SHMW_CORRUPT. */
int shmw_slick_not_whole(const shmw_slick_queue *queue, struct shmw_slick_look *look, uint64_t next);

/* settle.c: section 4.1, step 2. Raise *known, step by step, to `next` (SHMW_OK) or to an index that is not settled (SHMW_EMPTY;
 * *found gets the data_index in its slot). SHMW_SLICK_AGAIN: `next` is out of date. SHMW_CORRUPT. */
int shmw_slick_walk(const shmw_slick_queue *queue, uint64_t next, uint64_t *known, uint64_t *found);

/* settle.c: step 4, the item at *known, whose slot holds `found`, is given up: reserved is the whole word. Raises *known. True
 * unless its producer was faster, and then *known stays. *marks counts what was stored; may be NULL. */
bool shmw_slick_give_up(const shmw_slick_queue *queue, uint64_t reserved, uint64_t found, uint64_t *known, uint64_t *marks);

/* settle.c: step 3. */
void shmw_slick_tell_settled(const shmw_slick_queue *queue, uint64_t known);

/* A producer's wait for one item of another. Begins as {0}. */
struct shmw_slick_wait {
    bool begun;
    uint64_t known;    /* the item */
    uint64_t reserved; /* header.reserved since then */
    uint64_t deadline;
    struct shmw_backoff backoff;
};

/* settle.c: may a reservation that ends at `end` be made while header.reserved is `reserved`? SHMW_OK; SHMW_SLICK_AGAIN: load
 * reserved anew; SHMW_CORRUPT. */
int shmw_slick_settle(shmw_slick_producer *producer, uint64_t reserved, uint64_t end, struct shmw_slick_wait *wait);

/* settle.c: generation 1.4: raise last_published to index. */
void shmw_slick_raise_last(const shmw_slick_queue *queue, uint64_t index);

/* segment.c: check the header against the size of the mapping, once it is published. *finding gets a line of text. */
int shmw_slick_check_header(shmw_slick_queue *queue, const char **finding);

#endif
