/* SPDX-License-Identifier: MIT
 *
 * Names of the bytes of a segment, from the generated overlay structs. */
#include <stdio.h>

#include "../naming.h"
#include "bytes.h"
#include "dmxp.h"
#include "raw.h"

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

/* Of no field: up to the next band. */
static struct named_range name_between_bands(const struct view *view, uint64_t offset)
{
    uint64_t end = UINT64_MAX;
    for (uint32_t id = 0; id < SHMW_DMXP_MAX_CHANNELS; id++) {
        const struct raw_channel channel = raw_load_channel(view, id);
        if (channel.geometry == GEOMETRY_GOOD && channel.band_offset > offset && channel.band_offset < end)
            end = channel.band_offset;
    }
    return name_free(offset, end);
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
    return name_between_bands(view, offset);
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
