/* SPDX-License-Identifier: MIT
 *
 * Profile ouroboros, section 3 and the loading of rows: what writers and readers both need of a segment. */
#include "../wait.h"
#include "internal.h"

/* A row that changes between two loads this often is written anew faster than we can look. */
#define ROW_TRIES 16

/* Header ----------------------------------------------------------------------------------------------------------- */

/* Wait for the creator, then check the magic. */
static int await_magic(const struct shmw_ouroboros_segment *segment, uint64_t deadline)
{
    struct shmw_backoff backoff = {0};
    for (;;) {
        const bool last = shmw_expired(deadline);
        /* A0: pairs with R0; the header's fields and row 0 after the magic [ouroboros.segment.magic] */
        const uint64_t magic = shmw_load_acquire(&shmw_ouroboros_header(segment)->magic);
        if (magic != 0)
            return magic == SHMW_OUROBOROS_MAGIC ? SHMW_OK : SHMW_BAD_MAGIC;
        if (last)
            return SHMW_NOT_READY; /* [ouroboros.segment.not-ready] */
        shmw_backoff_pause(&backoff, deadline);
    }
}

int shmw_ouroboros_check_header(const struct shmw_ouroboros_segment *segment, uint32_t *chunk_count, const char **finding)
{
    const struct shmw_ouroboros_wire_header *header = shmw_ouroboros_header(segment);
    *finding = "version is not 1";
    if (shmw_field_load(&header->version) != SHMW_OUROBOROS_VERSION) /* [ouroboros.segment.version] */
        return SHMW_BAD_VERSION;
    const uint32_t count = shmw_field_load(&header->chunk_count);
    *finding = "chunk_count is 0";
    if (count == 0) /* [ouroboros.segment.chunk-count] */
        return SHMW_BAD_GEOMETRY;
    *finding = "the chunk table passes the end of the segment";
    if (shmw_ouroboros_table_end(count) > segment->map.size)
        return SHMW_TRUNCATED; /* [ouroboros.segment.size] */
    *chunk_count = count;
    *finding = NULL;
    return SHMW_OK;
}

int shmw_ouroboros_attach(struct shmw_ouroboros_segment *segment, const char *locator, bool read_only, uint64_t deadline)
{
    int rc = shmw_map_open(locator, read_only, sizeof(struct shmw_ouroboros_wire_header), deadline, &segment->map);
    if (rc != SHMW_OK)
        return rc;
    const char *finding;
    rc = await_magic(segment, deadline);
    if (rc == SHMW_OK)
        rc = shmw_ouroboros_check_header(segment, &segment->chunk_count, &finding);
    if (rc != SHMW_OK)
        shmw_map_close(&segment->map);
    else
        segment->data_offset = shmw_ouroboros_table_end(segment->chunk_count);
    return rc;
}

uint64_t shmw_ouroboros_max_payload(const struct shmw_ouroboros_segment *segment)
{
    const uint64_t least = segment->data_offset + SHMW_OUROBOROS_ENTRY_HEADER_SIZE;
    const uint64_t room = segment->map.size > least ? segment->map.size - least : 0;
    return shmw_min_u64(room, SHMW_OUROBOROS_MAX_LENGTH - SHMW_OUROBOROS_ENTRY_HEADER_SIZE);
}

/* Rows ------------------------------------------------------------------------------------------------------------- */

struct shmw_ouroboros_row shmw_ouroboros_load_row(const struct shmw_ouroboros_segment *segment, uint32_t i)
{
    const struct shmw_ouroboros_wire_row *row = shmw_ouroboros_row(segment, i);
    /* The writer stores the offset first and the token second, so the token is loaded first: a token of the new lap comes with
     * an offset of the new lap. An old token with a new offset is what the third load finds out [ouroboros.read.token-first]. */
    uint64_t token = shmw_load_acquire(&row->token); /* A2: pairs with R2 */
    for (int tries = 0; tries < ROW_TRIES; tries++) {
        const uint64_t offset = shmw_load_acquire(&row->offset); /* A1: pairs with R1; entries of the chunk after it */
        const uint64_t again = shmw_load_acquire(&row->token);   /* A2: pairs with R2 */
        if (again == token) {
            /* Cleared rows share the token 0: it tells no lap from another, and is row 0's only. */
            const bool committed = (offset & SHMW_OUROBOROS_ROW_COMMITTED) != 0 && (token != 0 || i == 0);
            return (struct shmw_ouroboros_row){
                .offset = offset & ~SHMW_OUROBOROS_ROW_COMMITTED, .token = token, .committed = committed};
        }
        token = again;
    }
    return (struct shmw_ouroboros_row){.committed = false};
}

static uint32_t find_row(const struct shmw_ouroboros_segment *segment, bool highest, struct shmw_ouroboros_row *found)
{
    uint32_t chunk = SHMW_OUROBOROS_NO_CHUNK;
    for (uint32_t i = 0; i < segment->chunk_count; i++) {
        const struct shmw_ouroboros_row row = shmw_ouroboros_load_row(segment, i);
        if (!row.committed)
            continue;
        const bool better = highest ? row.token > found->token : row.token < found->token;
        if (chunk != SHMW_OUROBOROS_NO_CHUNK && !better)
            continue;
        chunk = i;
        *found = row;
    }
    return chunk;
}

uint32_t shmw_ouroboros_newest(const struct shmw_ouroboros_segment *segment, struct shmw_ouroboros_row *row)
{
    return find_row(segment, true, row);
}

uint32_t shmw_ouroboros_oldest(const struct shmw_ouroboros_segment *segment, struct shmw_ouroboros_row *row)
{
    return find_row(segment, false, row);
}
