/* SPDX-License-Identifier: MIT
 *
 * Profile ouroboros, section 4, resuming: where a writer that died, at whatever instruction, left its log. */
#include "resume.h"

/* A walk from entry to entry along the log. */
struct walk {
    uint32_t chunk;
    uint64_t offset;  /* of the chunk */
    uint64_t cursor;
    uint64_t entries; /* since the segment was made */
    bool committed;   /* is the chunk's row? */
    bool lap_ended;   /* at a wrap mark, or where no header fits */
};

/* The next row, when the writer had begun its chunk right here. */
static void enter_next_row(const struct shmw_ouroboros_segment *segment, struct walk *walk)
{
    if (!walk->committed || walk->chunk + 1 >= segment->chunk_count)
        return;
    const struct shmw_ouroboros_row row = shmw_ouroboros_load_row(segment, walk->chunk + 1);
    if (row.committed || row.offset != walk->cursor || row.token != walk->entries)
        return;
    walk->chunk++;
    walk->offset = row.offset;
    walk->committed = false;
}

/* Pass the entry at the cursor. false: there is none, or not an end of the log that a writer leaves; *rc says which. */
static bool pass_entry(const struct shmw_ouroboros_segment *segment, struct walk *walk, int *rc)
{
    *rc = SHMW_OK;
    walk->lap_ended = !shmw_ouroboros_header_fits(segment, walk->cursor);
    if (walk->lap_ended)
        return false;
    enter_next_row(segment, walk);
    const uint32_t header = shmw_load_acquire(&shmw_ouroboros_entry_at(segment, walk->cursor)->header); /* A3: pairs with R3 */
    if ((header & SHMW_OUROBOROS_ENTRY_COMMITTED) == 0)
        return false;
    const uint32_t length = header & SHMW_OUROBOROS_MAX_LENGTH;
    walk->lap_ended = length == SHMW_OUROBOROS_LENGTH_WRAP;
    if (walk->lap_ended)
        return false;
    if (!shmw_ouroboros_is_entry(segment, walk->cursor, header)) {
        *rc = SHMW_CORRUPT;
        return false;
    }
    walk->cursor = shmw_ouroboros_after(walk->cursor, length);
    walk->entries++;
    return true;
}

/* Bounded: each step goes on by 8 bytes at least, and none goes back. */
static int walk_to_end(const struct shmw_ouroboros_segment *segment, struct walk *walk)
{
    int rc;
    while (pass_entry(segment, walk, &rc)) {
    }
    return rc;
}

/* Row 0 was begun, and not committed: its offset is stored, its token perhaps not yet. Nothing in chunk 0 can be read, and what lies there
 * may be the lap before's, so nothing there is taken for an entry. With a token that the walk did not confirm: if the lap in chunk 0 is whole,
 * the token may be that lap's, and its entries count; too high a count skips sequences, too low a one would repeat them. */
static int take_row_zero(const struct shmw_ouroboros_segment *segment, uint64_t token, bool confirmed, struct walk *walk)
{
    const struct walk begun = {.offset = segment->data_offset, .cursor = segment->data_offset, .entries = token};
    struct walk lap = begun;
    const int rc = confirmed ? SHMW_OK : walk_to_end(segment, &lap);
    *walk = lap.lap_ended ? lap : begun;
    return rc;
}

static int find_end(const struct shmw_ouroboros_segment *segment, struct walk *walk)
{
    struct shmw_ouroboros_row newest;
    const uint32_t chunk = shmw_ouroboros_newest(segment, &newest);
    const struct shmw_ouroboros_row zero = shmw_ouroboros_load_row(segment, 0);
    const bool zero_begun = !zero.committed && zero.offset == segment->data_offset;
    if (!shmw_ouroboros_offset_possible(segment, segment->data_offset))
        return SHMW_CORRUPT; /* no room for an entry */
    if (chunk == SHMW_OUROBOROS_NO_CHUNK)
        return zero_begun ? take_row_zero(segment, zero.token, false, walk) : SHMW_CORRUPT;
    if (!shmw_ouroboros_offset_possible(segment, newest.offset))
        return SHMW_CORRUPT;
    *walk = (struct walk){.chunk = chunk, .offset = newest.offset, .cursor = newest.offset, .entries = newest.token, .committed = true};
    const int rc = walk_to_end(segment, walk);
    if (rc != SHMW_OK)
        return rc;
    /* Above: the rows of the lap before are cleared already, and the newest row is older still. */
    return zero_begun && zero.token >= walk->entries ? take_row_zero(segment, zero.token, zero.token == walk->entries, walk) : SHMW_OK;
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
    if (!walk.committed && walk.cursor > walk.offset && walk.chunk != 0) /* in chunk 0 it was none of that row's entries */
        shmw_ouroboros_commit_row(writer, walk.offset);
    return SHMW_OK;
}
