/* SPDX-License-Identifier: MIT
 *
 * Names of the bytes of a segment: the header by the layout, the ring by the frames that are held. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "../naming.h"
#include "raw.h"
#include "shmcomm.h"

static const struct field_row header_fields[] = {
    NUMBER(shmw_shmcomm_wire_header, magic),         NUMBER(shmw_shmcomm_wire_header, version),
    NUMBER(shmw_shmcomm_wire_header, head),          NUMBER(shmw_shmcomm_wire_header, tail),
    NUMBER(shmw_shmcomm_wire_header, writer_lock),   NUMBER(shmw_shmcomm_wire_header, lock_epoch),
    NUMBER(shmw_shmcomm_wire_header, message_count), NUMBER(shmw_shmcomm_wire_header, dropped_count),
    NUMBER(shmw_shmcomm_wire_header, capacity),      NUMBER(shmw_shmcomm_wire_header, pattern),
    NUMBER(shmw_shmcomm_wire_header, state),         NUMBER(shmw_shmcomm_wire_header, data_signal),
    NUMBER(shmw_shmcomm_wire_header, data_waiters),  NUMBER(shmw_shmcomm_wire_header, space_signal),
    NUMBER(shmw_shmcomm_wire_header, space_waiters), NUMBER(shmw_shmcomm_wire_header, owner_pid),
    NUMBER(shmw_shmcomm_wire_header, serializer),    NUMBER(shmw_shmcomm_wire_header, heartbeat_ns),
    NUMBER(shmw_shmcomm_wire_header, instance),      NUMBER(shmw_shmcomm_wire_header, owner_endpoint),
    BYTES(shmw_shmcomm_wire_header, reserved),
};

static const struct field_row frame_fields[] = {
    NUMBER(shmw_shmcomm_wire_frame, size),           NUMBER(shmw_shmcomm_wire_frame, sequence),
    NUMBER(shmw_shmcomm_wire_frame, timestamp_ns),   NUMBER(shmw_shmcomm_wire_frame, correlation_id),
    NUMBER(shmw_shmcomm_wire_frame, sender),         NUMBER(shmw_shmcomm_wire_frame, content_type),
    NUMBER(shmw_shmcomm_wire_frame, flags),
};

static struct named_range name_in_frame(const struct channel_frame *frame, uint64_t offset)
{
    const uint64_t begin = frame->payload - sizeof(struct shmw_shmcomm_wire_frame);
    char prefix[48];
    snprintf(prefix, sizeof(prefix), "frame[%" PRIu64 "]", frame->sequence);
    if (offset < frame->payload)
        return name_field(frame_fields, ROWS(frame_fields), prefix, begin, offset - begin);
    const bool padding = offset >= frame->payload + frame->payload_length;
    struct named_range range = {.begin = padding ? frame->payload + frame->payload_length : frame->payload,
                                .end = padding ? begin + frame->extent : frame->payload + frame->payload_length};
    snprintf(range.name, sizeof(range.name), "%s.%s", prefix, padding ? "padding" : "payload");
    return range;
}

/* A byte of the ring: of the held frame that covers it, of a SKIP, or free. */
static struct named_range name_in_ring(const struct view *view, const struct channel_header *header, uint64_t offset)
{
    for (uint64_t at = header->tail; at != header->head;) {
        const struct channel_frame frame = channel_load_frame(view, header, at);
        if (!frame.good)
            break;
        const uint64_t begin = frame.payload - sizeof(struct shmw_shmcomm_wire_frame);
        const uint64_t skip = SHMW_SHMCOMM_RING_OFFSET + (at & (header->capacity - 1));
        if (offset >= begin && offset - begin < frame.extent)
            return name_in_frame(&frame, offset);
        if (frame.skipped > 0 && offset >= skip && offset - skip < sizeof(uint64_t)) {
            struct named_range range = {.begin = skip, .end = skip + sizeof(uint64_t), .number = true};
            snprintf(range.name, sizeof(range.name), "skip[%" PRIu64 "]", frame.sequence);
            return range;
        }
        at = channel_next(&frame);
    }
    return name_free(offset, offset + 1);
}

struct named_range shmcomm_name_byte(const struct view *view, uint64_t offset)
{
    const struct channel_header header = channel_load_header(view);
    if (offset < SHMW_SHMCOMM_RING_OFFSET)
        return name_field(header_fields, ROWS(header_fields), "header", 0, offset);
    if (header.good && offset - SHMW_SHMCOMM_RING_OFFSET < header.capacity)
        return name_in_ring(view, &header, offset);
    return name_free(offset, UINT64_MAX);
}
