/* SPDX-License-Identifier: MIT
 *
 * Profile ouroboros in the command: the segment as it lies there. Every shared word is loaded once; every offset is checked
 * against the size of the mapping. Nothing here writes. */
#ifndef SHMW_CLI_OUROBOROS_RAW_H
#define SHMW_CLI_OUROBOROS_RAW_H

#include <stdbool.h>
#include <stdint.h>

#include "../view.h"
#include "ouroboros/layout.h"

/* The header as its loads found it. present: the mapping is long enough for it. */
struct log_header {
    bool present;
    uint64_t magic;
    uint32_t version;
    uint32_t chunk_count;
    uint32_t rows;        /* of chunk_count, those that lie in the mapping */
    uint64_t data_offset; /* of the first entry; may lie past the end of the mapping */
};

/* A row: offset and token of one lap, unless the writer kept changing them. */
struct log_row {
    bool committed;
    uint64_t offset; /* commit bit aside */
    uint64_t token;
};

struct log_header log_load_header(const struct view *view);
struct log_row log_load_row(const struct view *view, uint32_t index); /* index below log_header.rows */
bool log_same_row(const struct log_row *a, const struct log_row *b);

/* May a chunk begin there [ouroboros.read.row-offset]? */
bool log_offset_good(const struct view *view, const struct log_header *header, uint64_t offset);

/* What stands at a 4-aligned offset. */
enum log_look {
    LOOK_ENTRY,   /* committed; *length has header and payload */
    LOOK_NOTHING, /* header 0 */
    LOOK_WRITING, /* an entry without its commit bit */
    LOOK_WRAP,
    LOOK_END,    /* fewer than 4 bytes to the end of the segment */
    LOOK_BROKEN, /* a committed header with an impossible length, which *length has */
    LOOK_LIMIT,  /* log_walk: came to its limit, or past it */
    LOOK_SPENT,  /* log_walk: gave up, see there */
};
enum log_look log_look(const struct view *view, uint64_t offset, uint32_t *length);

/* Where the entry after that one begins. */
uint64_t log_after(uint64_t offset, uint32_t length);

/* The committed entries from offset on that begin below limit. A hostile table sends us over the same bytes for each of its rows:
 * when the walks over a view have covered MOST_LAPS times its size, further ones stop where they begin. */
#define MOST_LAPS 64
struct log_walk {
    uint64_t entries;
    uint64_t end; /* where it stopped, for the reason `stop` */
    enum log_look stop;
    uint32_t length; /* found there */
};
struct log_walk log_walk(const struct view *view, uint64_t offset, uint64_t limit);

/* The committed rows with the lowest and the highest token; false if there is none. */
struct log_ends {
    struct log_row oldest;
    struct log_row latest;
    uint32_t latest_index;
};
bool log_find_ends(const struct view *view, const struct log_header *header, struct log_ends *ends);

#endif
