/* SPDX-License-Identifier: MIT
 *
 * Names of the bytes of a segment, from the generated overlay structs. */
#include <stddef.h>
#include <stdio.h>

#include "bytes.h"
#include "dmxp.h"
#include "raw.h"

struct field_row {
    const char *name;
    size_t offset;
    size_t size;
    bool number;
};

#define ROW(type, member, number) {#member, offsetof(struct type, member), sizeof(((struct type *)0)->member), number}
#define NUMBER(type, member) ROW(type, member, true)
#define BYTES(type, member) ROW(type, member, false)
#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static const struct field_row header_fields[] = {
    NUMBER(shmw_dmxp_wire_header, magic),          NUMBER(shmw_dmxp_wire_header, version),
    NUMBER(shmw_dmxp_wire_header, max_channels),   NUMBER(shmw_dmxp_wire_header, channel_count),
    NUMBER(shmw_dmxp_wire_header, payload_layout), BYTES(shmw_dmxp_wire_header, pad),
};

static const struct field_row channel_fields[] = {
    NUMBER(shmw_dmxp_wire_channel, channel_id),
    NUMBER(shmw_dmxp_wire_channel, flags),
    NUMBER(shmw_dmxp_wire_channel, capacity),
    NUMBER(shmw_dmxp_wire_channel, band_offset),
    NUMBER(shmw_dmxp_wire_channel, signal),
    NUMBER(shmw_dmxp_wire_channel, waiters),
    NUMBER(shmw_dmxp_wire_channel, retired_capacity),
    BYTES(shmw_dmxp_wire_channel, pad1),
    NUMBER(shmw_dmxp_wire_channel, tail),
    BYTES(shmw_dmxp_wire_channel, pad2),
    NUMBER(shmw_dmxp_wire_channel, head),
    NUMBER(shmw_dmxp_wire_channel, removals),
    BYTES(shmw_dmxp_wire_channel, pad3),
};

static const struct field_row slot_fields[] = {
    NUMBER(shmw_dmxp_wire_slot, sequence),       NUMBER(shmw_dmxp_wire_slot, message_id),
    NUMBER(shmw_dmxp_wire_slot, timestamp_ns),   NUMBER(shmw_dmxp_wire_slot, channel_id),
    NUMBER(shmw_dmxp_wire_slot, message_type),   NUMBER(shmw_dmxp_wire_slot, sender_pid),
    NUMBER(shmw_dmxp_wire_slot, sender_runtime), NUMBER(shmw_dmxp_wire_slot, flags),
    NUMBER(shmw_dmxp_wire_slot, payload_len),    BYTES(shmw_dmxp_wire_slot, pad),
    BYTES(shmw_dmxp_wire_slot, payload),
};

/* The field of a struct at `base` that holds the byte `inside` bytes on. The tables tile their structs: a layout that grows a
 * field which no table has makes the byte "?", and the test that compares with the layout file fails. */
static struct named_range name_field(const struct field_row *rows, size_t count, const char *prefix, uint64_t base,
                                     uint64_t inside)
{
    struct named_range range = {.begin = base + inside, .end = base + inside + 1};
    const char *name = "?";
    for (size_t i = 0; i < count; i++) {
        if (inside >= rows[i].offset && inside - rows[i].offset < rows[i].size) {
            name = rows[i].name;
            range.begin = base + rows[i].offset;
            range.end = range.begin + rows[i].size;
            range.number = rows[i].number;
        }
    }
    snprintf(range.name, sizeof(range.name), "%s.%s", prefix, name);
    return range;
}

/* Of no field: up to the next band. */
static struct named_range name_free(const struct view *view, uint64_t offset)
{
    struct named_range range = {.begin = offset, .end = UINT64_MAX};
    for (uint32_t id = 0; id < SHMW_DMXP_MAX_CHANNELS; id++) {
        const struct raw_channel channel = raw_load_channel(view, id);
        if (channel.geometry == GEOMETRY_GOOD && channel.band_offset > offset && channel.band_offset < range.end)
            range.end = channel.band_offset;
    }
    snprintf(range.name, sizeof(range.name), "free[%llu]", (unsigned long long)offset);
    return range;
}

static struct named_range name_slot(const struct view *view, uint64_t offset)
{
    const uint64_t slot = sizeof(struct shmw_dmxp_wire_slot);
    for (uint32_t id = 0; id < SHMW_DMXP_MAX_CHANNELS; id++) {
        const struct raw_channel channel = raw_load_channel(view, id);
        if (channel.geometry != GEOMETRY_GOOD || offset < channel.band_offset ||
            offset >= shmw_end_of(channel.band_offset, slot, channel.capacity))
            continue;
        char prefix[48];
        const uint64_t inside = offset - channel.band_offset;
        snprintf(prefix, sizeof(prefix), "channel[%u].slot[%llu]", (unsigned)id, (unsigned long long)(inside / slot));
        return name_field(slot_fields, ROWS(slot_fields), prefix, offset - inside % slot, inside % slot);
    }
    return name_free(view, offset);
}

struct named_range dmxp_name_byte(const struct view *view, uint64_t offset)
{
    if (offset < SHMW_DMXP_CHANNEL_TABLE_OFFSET)
        return name_field(header_fields, ROWS(header_fields), "header", 0, offset);
    if (offset >= SHMW_DMXP_HEADER_SIZE)
        return name_slot(view, offset);
    const uint64_t entry = sizeof(struct shmw_dmxp_wire_channel);
    const uint64_t inside = (offset - SHMW_DMXP_CHANNEL_TABLE_OFFSET) % entry;
    char prefix[48];
    snprintf(prefix, sizeof(prefix), "channel[%u]", (unsigned)((offset - SHMW_DMXP_CHANNEL_TABLE_OFFSET) / entry));
    return name_field(channel_fields, ROWS(channel_fields), prefix, offset - inside, inside);
}
