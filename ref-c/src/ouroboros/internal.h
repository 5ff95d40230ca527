/* SPDX-License-Identifier: MIT
 *
 * What the files of profile ouroboros share. */
#ifndef SHMW_SRC_OUROBOROS_INTERNAL_H
#define SHMW_SRC_OUROBOROS_INTERNAL_H

#include "../atomic.h"
#include "../bytes.h"
#include "../map.h"
#include "../process.h"
#include "layout.h"
#include "shmwire/ouroboros.h"

#define SHMW_OUROBOROS_NO_CHUNK UINT32_MAX

/* A mapping and the values of its header, checked once. */
struct shmw_ouroboros_segment {
    struct shmw_map map;
    uint64_t data_offset; /* end of the chunk table */
    uint32_t chunk_count;
};

/* All that the writer knows of its log; it reads nothing back from the segment but rows of the lap before. */
struct shmw_ouroboros_writer {
    struct shmw_ouroboros_segment segment;
    uint64_t cursor;      /* where the next entry goes, at most 3 past the end; the size: it wraps, and the mark is there */
    uint64_t entries;     /* written since the segment was made */
    uint64_t limit;       /* the next chunk begins with the first entry at or after this offset; UINT64_MAX in the last chunk */
    uint64_t guard;       /* least offset of a row above the current chunk; UINT64_MAX when there is none */
    uint64_t max_payload; /* bytes */
    struct shmw_pid_cache *pid;
    uint32_t owner; /* process that holds the lock */
    uint32_t chunk;
    uint32_t guard_row; /* the row of guard */
    bool committed;     /* is the current chunk's row? */
    bool ordered;       /* offsets of rows ascend, as all writers leave them; a segment that was taken over may differ */
    uint64_t chunk_target_size;
};

/* A row as one pair of loads found it. */
struct shmw_ouroboros_row {
    uint64_t offset; /* without the commit bit */
    uint64_t token;
    bool committed;
};

struct shmw_ouroboros_reader {
    struct shmw_ouroboros_segment segment;
    uint64_t cursor;  /* header of the next entry */
    uint64_t next;    /* its sequence */
    uint64_t token;   /* of the current chunk, as loaded */
    uint64_t offset;  /* the same */
    uint64_t skipped; /* since the entry delivered last */
    uint64_t total_read;
    uint64_t total_skipped;
    enum shmw_ouroboros_start start;
    uint32_t chunk;
    bool placed; /* is there a current chunk? */
    bool behind; /* the writer is in a later chunk: what comes next here has long been written */
};

static inline struct shmw_ouroboros_wire_header *shmw_ouroboros_header(const struct shmw_ouroboros_segment *segment)
{
    return (struct shmw_ouroboros_wire_header *)(void *)segment->map.base;
}

/* End of a table of so many rows, which is where entries begin: a multiple of 16. Cannot overflow. */
static inline uint64_t shmw_ouroboros_table_end(uint32_t chunk_count)
{
    return SHMW_OUROBOROS_ROW_TABLE_OFFSET + sizeof(struct shmw_ouroboros_wire_row) * (uint64_t)chunk_count;
}

/* Row i; i < chunk_count is the caller's to see to. */
static inline struct shmw_ouroboros_wire_row *shmw_ouroboros_row(const struct shmw_ouroboros_segment *segment, uint32_t i)
{
    return (struct shmw_ouroboros_wire_row *)(void *)(segment->map.base + SHMW_OUROBOROS_ROW_TABLE_OFFSET) + i;
}

/* Entry at an offset that is 4-aligned and leaves 4 bytes to the end. */
static inline struct shmw_ouroboros_wire_entry *shmw_ouroboros_entry_at(const struct shmw_ouroboros_segment *segment,
                                                                        uint64_t offset)
{
    return (struct shmw_ouroboros_wire_entry *)(void *)(segment->map.base + offset);
}

/* Does a header fit between the offset and the end of the segment? */
static inline bool shmw_ouroboros_header_fits(const struct shmw_ouroboros_segment *segment, uint64_t offset)
{
    return offset + SHMW_OUROBOROS_ENTRY_HEADER_SIZE <= segment->map.size;
}

/* Is this the header of an entry that ends within the segment? [ouroboros.read.length] */
static inline bool shmw_ouroboros_is_entry(const struct shmw_ouroboros_segment *segment, uint64_t offset, uint32_t header)
{
    const uint64_t length = header & SHMW_OUROBOROS_MAX_LENGTH;
    return (header & SHMW_OUROBOROS_ENTRY_COMMITTED) != 0 && length >= SHMW_OUROBOROS_MIN_LENGTH &&
           length <= segment->map.size - offset;
}

static inline uint64_t shmw_ouroboros_after(uint64_t offset, uint64_t length)
{
    return (offset + length + SHMW_OUROBOROS_ENTRY_ALIGN - 1) & ~(SHMW_OUROBOROS_ENTRY_ALIGN - 1);
}

/* May a chunk begin here? [ouroboros.read.row-offset] */
static inline bool shmw_ouroboros_offset_possible(const struct shmw_ouroboros_segment *segment, uint64_t offset)
{
    return offset % SHMW_OUROBOROS_ENTRY_ALIGN == 0 && offset >= segment->data_offset &&
           offset <= segment->map.size - SHMW_OUROBOROS_ENTRY_HEADER_SIZE;
}

/* Row i, offset and token of one lap, or "not committed" when it would not hold still. */
struct shmw_ouroboros_row shmw_ouroboros_load_row(const struct shmw_ouroboros_segment *segment, uint32_t i);

/* The committed row with the highest (or lowest) token; SHMW_OUROBOROS_NO_CHUNK when no row is committed. */
uint32_t shmw_ouroboros_newest(const struct shmw_ouroboros_segment *segment, struct shmw_ouroboros_row *row);
uint32_t shmw_ouroboros_oldest(const struct shmw_ouroboros_segment *segment, struct shmw_ouroboros_row *row);

/* Check version and chunk count against the size of the mapping. *finding gets a line of text, NULL with SHMW_OK. */
int shmw_ouroboros_check_header(const struct shmw_ouroboros_segment *segment, uint32_t *chunk_count, const char **finding);

/* Map the file of a log and check its header; waits for the creator until the deadline. */
int shmw_ouroboros_attach(struct shmw_ouroboros_segment *segment, const char *locator, bool read_only, uint64_t deadline);

/* Put a reader with a mapping where its strategy says. SHMW_EMPTY, and nothing has changed, while no row is committed. */
int shmw_ouroboros_place(shmw_ouroboros_reader *reader);

/* Fill in what a writer derives from its segment, its cursor and its chunk, which begins at `offset`. */
void shmw_ouroboros_settle(shmw_ouroboros_writer *writer, uint64_t offset);

/* Commit the row of the writer's current chunk, which begins at `offset`. */
void shmw_ouroboros_commit_row(shmw_ouroboros_writer *writer, uint64_t offset);

/* Largest payload that the segment's size allows, bytes. */
uint64_t shmw_ouroboros_max_payload(const struct shmw_ouroboros_segment *segment);

#endif
