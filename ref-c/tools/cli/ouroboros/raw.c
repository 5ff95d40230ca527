/* SPDX-License-Identifier: MIT */
#include "raw.h"

#include "atomic.h"
#include "bytes.h"

#define ROW_TRIES 1000

struct log_header log_load_header(const struct view *view)
{
    struct log_header header = {.present = view->size >= sizeof(struct shmw_ouroboros_wire_header)};
    if (!header.present)
        return header;
    const struct shmw_ouroboros_wire_header *wire = (const void *)view->base;
    header.magic = shmw_load_acquire(&wire->magic); /* A0: pairs with R0; the other fields after the magic */
    header.version = shmw_field_load(&wire->version);
    header.chunk_count = shmw_field_load(&wire->chunk_count);
    const uint64_t room = (view->size - SHMW_OUROBOROS_ROW_TABLE_OFFSET) / sizeof(struct shmw_ouroboros_wire_row);
    header.rows = (uint32_t)shmw_min_u64(header.chunk_count, room);
    header.data_offset = shmw_align_up(
        shmw_end_of(SHMW_OUROBOROS_ROW_TABLE_OFFSET, sizeof(struct shmw_ouroboros_wire_row), header.chunk_count),
        SHMW_OUROBOROS_ENTRY_ALIGN);
    return header;
}

struct log_row log_load_row(const struct view *view, uint32_t index)
{
    const struct shmw_ouroboros_wire_row *rows = (const void *)(view->base + SHMW_OUROBOROS_ROW_TABLE_OFFSET);
    const struct shmw_ouroboros_wire_row *wire = rows + index;
    struct log_row row = {0};
    for (int i = 0; i < ROW_TRIES; i++) {
        row.token = shmw_load_acquire(&wire->token); /* A2: pairs with R2; token first [ouroboros.read.token-first] */
        const uint64_t offset = shmw_load_acquire(&wire->offset); /* A1: pairs with R1 */
        row.committed = (offset & SHMW_OUROBOROS_ROW_COMMITTED) != 0;
        row.offset = offset & ~SHMW_OUROBOROS_ROW_COMMITTED;
        if (shmw_load_acquire(&wire->token) == row.token) /* A2: the pair is of one lap */
            return row;
    }
    row.committed = false;
    return row;
}

bool log_same_row(const struct log_row *a, const struct log_row *b)
{
    return a->committed == b->committed && a->offset == b->offset && a->token == b->token;
}

bool log_offset_good(const struct view *view, const struct log_header *header, uint64_t offset)
{
    return offset % SHMW_OUROBOROS_ENTRY_ALIGN == 0 && offset >= header->data_offset && offset <= view->size &&
           view->size - offset >= SHMW_OUROBOROS_ENTRY_HEADER_SIZE;
}

enum log_look log_look(const struct view *view, uint64_t offset, uint32_t *length)
{
    *length = 0;
    if (offset > view->size || view->size - offset < SHMW_OUROBOROS_ENTRY_HEADER_SIZE)
        return LOOK_END;
    const struct shmw_ouroboros_wire_entry *entry = (const void *)(view->base + offset);
    const uint32_t header = shmw_load_acquire(&entry->header); /* A3: pairs with R3; the payload after its header */
    *length = header & ~SHMW_OUROBOROS_ENTRY_COMMITTED;
    if ((header & SHMW_OUROBOROS_ENTRY_COMMITTED) == 0)
        return header == SHMW_OUROBOROS_LENGTH_NONE ? LOOK_NOTHING : LOOK_WRITING;
    if (*length == SHMW_OUROBOROS_LENGTH_WRAP)
        return LOOK_WRAP;
    return *length < SHMW_OUROBOROS_MIN_LENGTH || *length > view->size - offset ? LOOK_BROKEN : LOOK_ENTRY;
}

uint64_t log_after(uint64_t offset, uint32_t length)
{
    return shmw_align_up(shmw_end_of(offset, length, 1), SHMW_OUROBOROS_ENTRY_ALIGN);
}

struct log_walk log_walk(const struct view *view, uint64_t offset, uint64_t limit)
{
    static const struct view *walked;
    static uint64_t left; /* bytes */
    struct log_walk walk = {.end = offset, .stop = LOOK_SPENT};
    if (walked != view)
        left = shmw_end_of(0, view->size, MOST_LAPS);
    walked = view;
    while (left > 0) { /* each entry moves the offset on, and none passes the end of the segment */
        walk.stop = walk.end < limit ? log_look(view, walk.end, &walk.length) : LOOK_LIMIT;
        if (walk.stop != LOOK_ENTRY)
            break;
        walk.end = log_after(walk.end, walk.length);
        walk.entries++;
    }
    left -= shmw_min_u64(left, walk.end - offset);
    return walk;
}

bool log_find_ends(const struct view *view, const struct log_header *header, struct log_ends *ends)
{
    bool some = false;
    for (uint32_t i = 0; i < header->rows; i++) {
        const struct log_row row = log_load_row(view, i);
        if (!row.committed)
            continue;
        if (!some || row.token < ends->oldest.token)
            ends->oldest = row;
        if (!some || row.token > ends->latest.token) {
            ends->latest = row;
            ends->latest_index = i;
        }
        some = true;
    }
    return some;
}
