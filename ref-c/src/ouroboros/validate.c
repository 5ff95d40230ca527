/* SPDX-License-Identifier: MIT
 *
 * Profile ouroboros: is there anything in the segment that no writer leaves? */
#include "internal.h"

/* How often a chunk is looked at anew because its row changed meanwhile; after that its writer is left to it. */
#define CHUNK_TRIES 8

/* The chunk after this one in the same lap, if its row is committed: where the walk has to come out. */
static bool load_successor(const struct shmw_ouroboros_segment *segment, uint32_t chunk, const struct shmw_ouroboros_row *row,
                           struct shmw_ouroboros_row *successor)
{
    if (chunk + 1 >= segment->chunk_count)
        return false;
    *successor = shmw_ouroboros_load_row(segment, chunk + 1);
    return successor->committed && successor->token > row->token;
}

/* Walk the entries of a chunk to its end. Bounded: each step goes on by 8 bytes at least. */
static const char *walk_chunk(const struct shmw_ouroboros_segment *segment, uint32_t chunk, const struct shmw_ouroboros_row *row)
{
    struct shmw_ouroboros_row successor;
    const bool followed = load_successor(segment, chunk, row, &successor);
    uint64_t cursor = row->offset;
    uint64_t entries = row->token;
    for (;;) {
        if (followed && cursor >= successor.offset)
            return cursor != successor.offset ? "an entry runs into the next chunk" :
                   entries != successor.token ? "the next row's token is not the number of entries before it" : NULL;
        if (!shmw_ouroboros_header_fits(segment, cursor))
            break;
        const uint32_t header = shmw_load_acquire(&shmw_ouroboros_entry_at(segment, cursor)->header); /* A3: pairs with R3 */
        const uint32_t length = header & SHMW_OUROBOROS_MAX_LENGTH;
        if ((header & SHMW_OUROBOROS_ENTRY_COMMITTED) == 0 || length == SHMW_OUROBOROS_LENGTH_WRAP)
            break;
        if (!shmw_ouroboros_is_entry(segment, cursor, header))
            return "an entry has an impossible length"; /* [ouroboros.read.length] */
        cursor = shmw_ouroboros_after(cursor, length);
        entries++;
    }
    if (entries == row->token && row->token != 0)
        return "a committed chunk holds no entry";
    return followed ? "a chunk ends before the next one begins" : NULL;
}

static const char *check_row(const struct shmw_ouroboros_segment *segment, uint32_t chunk, const struct shmw_ouroboros_row *row)
{
    if (!row->committed)
        return NULL; /* it leads nowhere, whatever it says */
    if (!shmw_ouroboros_offset_possible(segment, row->offset))
        return "a row's offset is impossible"; /* [ouroboros.read.row-offset] */
    return walk_chunk(segment, chunk, row);
}

/* A finding counts if the row is still what it was when the look began: otherwise the writer was at work there. */
static const char *check_chunk(const struct shmw_ouroboros_segment *segment, uint32_t chunk)
{
    for (int tries = 0; tries < CHUNK_TRIES; tries++) {
        const struct shmw_ouroboros_row row = shmw_ouroboros_load_row(segment, chunk);
        const char *finding = check_row(segment, chunk, &row);
        if (finding == NULL)
            return NULL;
        shmw_fence_acquire(); /* F5: pairs with F4; what we found before the row */
        const struct shmw_ouroboros_row again = shmw_ouroboros_load_row(segment, chunk);
        if (again.offset == row.offset && again.token == row.token && again.committed == row.committed)
            return finding;
    }
    return NULL;
}

int shmw_ouroboros_validate(const shmw_ouroboros_reader *reader, const char **finding, uint32_t *chunk)
{
    if (reader == NULL)
        return SHMW_INVALID_ARGUMENT;
    const struct shmw_ouroboros_segment *segment = &reader->segment;
    const char *first = NULL;
    uint32_t where = SHMW_OUROBOROS_NO_CHUNK;
    uint32_t count = 0;
    int rc = shmw_ouroboros_check_header(segment, &count, &first);
    if (rc == SHMW_OK && count != segment->chunk_count) {
        rc = SHMW_BAD_GEOMETRY;
        first = "chunk_count has changed";
    }
    for (uint32_t i = 0; rc == SHMW_OK && i < segment->chunk_count; i++) {
        first = check_chunk(segment, i);
        if (first == NULL)
            continue;
        rc = SHMW_CORRUPT;
        where = i;
    }
    if (finding != NULL)
        *finding = first;
    if (chunk != NULL)
        *chunk = where;
    return rc;
}
