/* SPDX-License-Identifier: MIT
 *
 * Names of the bytes of a segment: header and rows by the layout, the data area by the chunks that can be entered. */
#include <stdio.h>

#include "../naming.h"
#include "bytes.h"
#include "ouroboros.h"
#include "raw.h"

static const struct field_row header_fields[] = {
    NUMBER(shmw_ouroboros_wire_header, magic),
    NUMBER(shmw_ouroboros_wire_header, version),
    NUMBER(shmw_ouroboros_wire_header, chunk_count),
};

static const struct field_row row_fields[] = {
    NUMBER(shmw_ouroboros_wire_row, offset),
    NUMBER(shmw_ouroboros_wire_row, token),
};

/* An entry of the data area: of which chunk, the how-manieth of it (from 0), and where. */
struct spot {
    uint32_t chunk;
    uint64_t index;
    uint64_t offset;
};

/* The first entry of the chunk whose committed row begins last at or below offset; false if there is none. *next gets where the
 * first chunk above offset begins. */
static bool find_chunk(const struct view *view, const struct log_header *header, uint64_t offset, struct spot *spot,
                       uint64_t *next)
{
    bool found = false;
    *next = UINT64_MAX;
    for (uint32_t i = 0; i < header->rows; i++) {
        const struct log_row row = log_load_row(view, i);
        if (!row.committed || !log_offset_good(view, header, row.offset))
            continue;
        if (row.offset > offset) {
            *next = shmw_min_u64(*next, row.offset);
        } else if (!found || row.offset > spot->offset) {
            *spot = (struct spot){.chunk = i, .offset = row.offset};
            found = true;
        }
    }
    return found;
}

/* Name a byte of what stands at spot, an entry of `length` bytes or what is no entry; offset is at or above spot->offset and
 * below the next entry. */
static struct named_range name_in_entry(const struct spot *spot, enum log_look look, uint32_t length, uint64_t offset)
{
    const uint64_t payload = spot->offset + SHMW_OUROBOROS_ENTRY_HEADER_SIZE;
    const uint64_t end = look == LOOK_ENTRY ? spot->offset + length : payload;
    struct named_range range = {.begin = spot->offset, .end = payload, .number = true};
    const char *part = "header";
    if (offset >= end) {
        range = (struct named_range){.begin = end, .end = log_after(spot->offset, length)};
        part = "pad";
    } else if (offset >= payload) {
        range = (struct named_range){.begin = payload, .end = end};
        part = "payload";
    }
    snprintf(range.name, sizeof(range.name), "chunk[%u].entry[%llu].%s", (unsigned)spot->chunk, (unsigned long long)spot->index,
             part);
    return range;
}

static struct named_range name_data(const struct view *view, const struct log_header *header, uint64_t offset)
{
    static struct spot spot; /* `diff` asks in ascending order: go on where the question before this one was answered */
    static uint64_t next;
    static const struct view *last_view;
    uint32_t length = 0;
    if (last_view != view || offset < spot.offset || offset >= next) {
        last_view = NULL;
        if (!find_chunk(view, header, offset, &spot, &next))
            return name_free(offset, next);
        last_view = view;
    }
    enum log_look look = log_look(view, spot.offset, &length);
    while (look == LOOK_ENTRY && log_after(spot.offset, length) <= offset) {
        spot.offset = log_after(spot.offset, length);
        spot.index++;
        look = log_look(view, spot.offset, &length);
    }
    if (look == LOOK_END || (look != LOOK_ENTRY && offset - spot.offset >= SHMW_OUROBOROS_ENTRY_HEADER_SIZE))
        return name_free(offset, next);
    return name_in_entry(&spot, look, length, offset);
}

struct named_range ouroboros_name_byte(const struct view *view, uint64_t offset)
{
    const struct log_header header = log_load_header(view);
    if (offset < SHMW_OUROBOROS_ROW_TABLE_OFFSET)
        return name_field(header_fields, ROWS(header_fields), "header", 0, offset);
    const uint64_t entry = sizeof(struct shmw_ouroboros_wire_row);
    const uint64_t inside = (offset - SHMW_OUROBOROS_ROW_TABLE_OFFSET) % entry;
    const uint64_t row = (offset - SHMW_OUROBOROS_ROW_TABLE_OFFSET) / entry;
    if (row >= header.chunk_count)
        return name_data(view, &header, offset);
    char prefix[48];
    snprintf(prefix, sizeof(prefix), "row[%llu]", (unsigned long long)row);
    return name_field(row_fields, ROWS(row_fields), prefix, offset - inside, inside);
}
