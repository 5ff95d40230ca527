/* SPDX-License-Identifier: MIT
 *
 * Names of the bytes of a segment: header and slots by the layout, the ring by its elements. */
#include <stddef.h>
#include <stdio.h>

#include "../naming.h"
#include "bytes.h"
#include "raw.h"
#include "slick.h"

static const struct field_row header_fields[] = {
    NUMBER(shmw_slick_wire_header, reserved),       NUMBER(shmw_slick_wire_header, size),
    NUMBER(shmw_slick_wire_header, element_size),   NUMBER(shmw_slick_wire_header, last_published),
    NUMBER(shmw_slick_wire_header, header_magic),   NUMBER(shmw_slick_wire_header, padding_28),
    NUMBER(shmw_slick_wire_header, settled),        NUMBER(shmw_slick_wire_header, padding_40),
    NUMBER(shmw_slick_wire_header, init_state),     NUMBER(shmw_slick_wire_header, padding_52),
    NUMBER(shmw_slick_wire_header, padding_56),
};

static const struct field_row slot_fields[] = {
    NUMBER(shmw_slick_wire_slot, data_index),
    NUMBER(shmw_slick_wire_slot, size),
    NUMBER(shmw_slick_wire_slot, padding_12),
};

static struct named_range name_element(const struct ring_header *header, uint64_t offset)
{
    const uint64_t element = (offset - header->data) / header->element_size;
    struct named_range range = {.begin = header->data + element * header->element_size};
    range.end = range.begin + header->element_size;
    snprintf(range.name, sizeof(range.name), "element[%llu]", (unsigned long long)element);
    return range;
}

struct named_range slick_name_byte(const struct view *view, uint64_t offset)
{
    const struct ring_header header = ring_load_header(view);
    if (offset < SHMW_SLICK_SLOT_TABLE_OFFSET)
        return name_field(header_fields, ROWS(header_fields), "header", 0, offset);
    if (offset < header.data) {
        const uint64_t slot = sizeof(struct shmw_slick_wire_slot);
        const uint64_t inside = (offset - SHMW_SLICK_SLOT_TABLE_OFFSET) % slot;
        char prefix[48];
        snprintf(prefix, sizeof(prefix), "slot[%llu]", (unsigned long long)((offset - SHMW_SLICK_SLOT_TABLE_OFFSET) / slot));
        return name_field(slot_fields, ROWS(slot_fields), prefix, offset - inside, inside);
    }
    if (offset < header.length)
        return name_element(&header, offset);
    return name_free(offset, UINT64_MAX);
}
