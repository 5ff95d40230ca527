/* SPDX-License-Identifier: MIT
 *
 * Profile slick in the command: the segment as it lies there. Every shared word is loaded once; every slot is checked against the
 * size of the mapping. Nothing here writes. */
#ifndef SHMW_CLI_SLICK_RAW_H
#define SHMW_CLI_SLICK_RAW_H

#include <stdbool.h>
#include <stdint.h>

#include "../view.h"
#include "slick/layout.h"

/* The header as its loads found it. present: the mapping is long enough for it. */
struct ring_header {
    bool present;
    uint64_t reserved;
    uint64_t index;         /* of reserved: r */
    uint64_t last_elements; /* of reserved: m */
    uint32_t size;
    uint32_t element_size;
    uint64_t last_published;
    uint32_t magic;
    uint64_t settled;
    uint32_t init_state;
    unsigned generation; /* 12, 13 or 14; 0 while the segment is not published */
    bool good;           /* published, the geometry is possible and lies in the mapping */
    uint64_t length;     /* bytes that the geometry needs */
    uint64_t data;       /* offset of element 0 */
    uint32_t slots;      /* of size, those that lie in the mapping */
};

struct ring_header ring_load_header(const struct view *view);

/* Load the reservation anew: other processes go on with theirs. */
void ring_reload(const struct view *view, struct ring_header *header);

struct ring_slot {
    uint64_t data_index;
    uint32_t size;
};
struct ring_slot ring_load_slot(const struct view *view, uint32_t slot); /* below ring_header.slots */

/* What the slot of an index says of it. Headers passed here are good. */
enum ring_state {
    RING_NOTHING,   /* not published, or not the first of an item */
    RING_ITEM,      /* *elements has its size, unchecked */
    RING_MARK,      /* *next has where to go on */
    RING_OVERTAKEN, /* a later lap stands there */
};
enum ring_state ring_look(const struct view *view, const struct ring_header *header, uint64_t index, uint32_t *elements,
                          uint64_t *next);

/* The lowest index of the ring: r - size, or 0 in the first lap. */
uint64_t ring_low(const struct ring_header *header);

/* The lowest index from `from` to r - 1 that is published or marked, or r [slick.read.oldest]. */
uint64_t ring_next(const struct view *view, const struct ring_header *header, uint64_t from);

/* May an item of that size stand there [slick.read.bounds]? */
bool ring_elements_good(const struct ring_header *header, uint64_t index, uint32_t elements);

/* A walk over the ring, from the oldest index that is published or marked. */
struct ring_walk {
    uint64_t oldest; /* r if there is none */
    uint64_t items;
    uint64_t elements;
    uint64_t unpublished; /* reservations, as far as they can be told apart */
    uint64_t first_hole;  /* index of the first of them */
    uint64_t newest;      /* highest index published; NO_INDEX if there is none */
    uint64_t marks;       /* but those at the end of the ring: reservations given up */
};
struct ring_walk ring_walk(const struct view *view, const struct ring_header *header);

#endif
