/* SPDX-License-Identifier: MIT
 *
 * Profile ouroboros, section 4, resuming: where a writer that died, at whatever instruction, left its log. */
#include "resume.h"

/* Where a walk from entry to entry stands. */
struct walk {
    uint32_t chunk;
    uint64_t offset;  /* of the chunk */
    uint64_t cursor;
    uint64_t entries; /* since the segment was made */
    bool committed;   /* is the chunk's row, or may it be now? */
    bool lap_ended;   /* at a wrap mark, or where no header fits */
};

/* Pass the entry at the cursor. SHMW_EMPTY: the walk ends here. SHMW_CORRUPT: and not as a writer leaves it. */
static int pass_entry(const struct shmw_ouroboros_segment *segment, struct walk *walk)
{
    walk->lap_ended = !shmw_ouroboros_header_fits(segment, walk->cursor);
    if (walk->lap_ended)
        return SHMW_EMPTY;
    const uint32_t header = shmw_load_acquire(&shmw_ouroboros_entry_at(segment, walk->cursor)->header); /* A3: pairs with R3 */
    if ((header & SHMW_OUROBOROS_ENTRY_COMMITTED) == 0)
        return SHMW_EMPTY;
    const uint32_t length = header & SHMW_OUROBOROS_MAX_LENGTH;
    walk->lap_ended = length == SHMW_OUROBOROS_LENGTH_WRAP;
    if (walk->lap_ended)
        return SHMW_EMPTY;
    if (!shmw_ouroboros_is_entry(segment, walk->cursor, header))
        return SHMW_CORRUPT;
    walk->cursor = shmw_ouroboros_after(walk->cursor, length);
    walk->entries++;
    walk->committed = true;
    return SHMW_OK;
}

/* Row 0 was begun and not committed: its offset is stored, its token perhaps not yet. If chunk 0 ends at a header without C,
 * the new lap has been written to, after the token. If the lap in chunk 0 is whole, the token may be that lap's own; the
 * newest row knows then how many entries it has, if it describes a part of it. If it does not, the entries count twice at
 * worst: sequences are left out, and none comes again. */
static int walk_from_row_zero(const struct shmw_ouroboros_segment *segment, uint64_t token, struct walk *walk)
{
    struct shmw_ouroboros_row newest;
    const bool known = shmw_ouroboros_newest(segment, &newest) != SHMW_OUROBOROS_NO_CHUNK;
    int rc = SHMW_OK;
    bool passed = false;
    uint64_t before_newest = 0;
    *walk = (struct walk){.offset = segment->data_offset, .cursor = segment->data_offset, .entries = token};
    while (rc == SHMW_OK) {
        const struct walk here = *walk;
        rc = pass_entry(segment, walk);
        if (rc == SHMW_OK && known && here.cursor == newest.offset) {
            passed = true;
            before_newest = here.entries;
        }
    }
    if (rc == SHMW_CORRUPT || !walk->lap_ended)
        return rc;
    if (known && !shmw_ouroboros_offset_possible(segment, newest.offset))
        return SHMW_CORRUPT;
    if (passed)
        walk->entries = newest.token + (walk->entries - before_newest);
    walk->committed = false; /* the lap that is there is not the one that row 0 describes by now */
    return rc;
}

/* The next row, when the writer had begun its chunk right here. One with another token is left to the next write. */
static void enter_next_row(const struct shmw_ouroboros_segment *segment, struct walk *walk)
{
    if (walk->chunk + 1 >= segment->chunk_count)
        return;
    const struct shmw_ouroboros_row row = shmw_ouroboros_load_row(segment, walk->chunk + 1);
    if (row.committed || row.offset != walk->cursor || row.token != walk->entries)
        return;
    walk->chunk++;
    walk->offset = row.offset;
    walk->committed = false;
}

static int walk_from_newest(const struct shmw_ouroboros_segment *segment, struct walk *walk)
{
    struct shmw_ouroboros_row newest;
    const uint32_t chunk = shmw_ouroboros_newest(segment, &newest);
    if (chunk == SHMW_OUROBOROS_NO_CHUNK || !shmw_ouroboros_offset_possible(segment, newest.offset))
        return SHMW_CORRUPT;
    *walk = (struct walk){
        .chunk = chunk, .offset = newest.offset, .cursor = newest.offset, .entries = newest.token, .committed = true};
    int rc;
    do {
        enter_next_row(segment, walk);
        rc = pass_entry(segment, walk);
    } while (rc == SHMW_OK); /* bounded: each entry takes 8 bytes, and no step goes back */
    return rc;
}

static int find_end(const struct shmw_ouroboros_segment *segment, struct walk *walk)
{
    const struct shmw_ouroboros_row zero = shmw_ouroboros_load_row(segment, 0);
    const bool begun = !zero.committed && zero.offset != 0;
    if (!shmw_ouroboros_offset_possible(segment, segment->data_offset) || (begun && zero.offset != segment->data_offset))
        return SHMW_CORRUPT;
    const int rc = begun ? walk_from_row_zero(segment, zero.token, walk) : walk_from_newest(segment, walk);
    return rc == SHMW_EMPTY ? SHMW_OK : rc;
}

/* Do the offsets of rows ascend, as every conforming writer leaves them? */
static bool rows_ascend(const struct shmw_ouroboros_segment *segment)
{
    uint64_t highest = 0;
    for (uint32_t i = 1; i < segment->chunk_count; i++) {
        const uint64_t offset = shmw_ouroboros_load_row(segment, i).offset;
        if (offset != 0 && offset < highest)
            return false;
        highest = offset != 0 ? offset : highest;
    }
    return true;
}

int shmw_ouroboros_find_end(shmw_ouroboros_writer *writer)
{
    const struct shmw_ouroboros_segment *segment = &writer->segment;
    struct walk walk;
    const int rc = find_end(segment, &walk);
    if (rc != SHMW_OK)
        return rc;
    writer->chunk = walk.chunk;
    writer->entries = walk.entries;
    writer->committed = walk.committed;
    writer->cursor = walk.lap_ended ? segment->map.size : walk.cursor; /* the mark is there; the next entry wraps */
    writer->ordered = rows_ascend(segment);
    shmw_ouroboros_settle(writer, walk.offset);
    if (walk.committed && !shmw_ouroboros_load_row(segment, walk.chunk).committed)
        shmw_ouroboros_commit_row(writer, walk.offset); /* its first entry is there: a caught-up reader may have had it already */
    return SHMW_OK;
}
