/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm behind the driver protocol: what a segment holds, from a mapping of the driver's own, as the bytes say it. */
#include <stdio.h>

#include "atomic.h"
#include "bytes.h"
#include "shmcomm.h"
#include "shmcomm/layout.h"

#define MOST_FRAMES 2048 /* of one reply, so that it stays below the protocol's 4 MiB */
#define PAYLOAD_SHOWN 64

static void put_header(cJSON *fields, const struct shmw_shmcomm_wire_header *header)
{
    put_u64(fields, "header.magic", shmw_load_acquire(&header->magic)); /* A0: pairs with R0; the rest after it */
    put_u64(fields, "header.version", shmw_field_load(&header->version));
    put_u64(fields, "header.tail", shmw_load_acquire(&header->tail)); /* A3: pairs with R3 */
    put_u64(fields, "header.head", shmw_load_acquire(&header->head)); /* A2: pairs with R2 */
    put_u64(fields, "header.writer_lock", shmw_load_relaxed(&header->writer_lock));
    put_u64(fields, "header.lock_epoch", shmw_load_relaxed(&header->lock_epoch));
    put_u64(fields, "header.message_count", shmw_load_relaxed(&header->message_count));
    put_u64(fields, "header.dropped_count", shmw_load_relaxed(&header->dropped_count));
    put_u64(fields, "header.capacity", shmw_field_load(&header->capacity));
    put_u64(fields, "header.pattern", shmw_field_load(&header->pattern));
    put_u64(fields, "header.state", shmw_load_acquire(&header->state));             /* A7: pairs with R7 */
    put_u64(fields, "header.data_signal", shmw_load_acquire(&header->data_signal)); /* A4: pairs with R4 */
    put_u64(fields, "header.data_waiters", shmw_load_relaxed(&header->data_waiters));
    put_u64(fields, "header.space_signal", shmw_load_acquire(&header->space_signal)); /* A4: pairs with R4 */
    put_u64(fields, "header.space_waiters", shmw_load_relaxed(&header->space_waiters));
    put_u64(fields, "header.owner_pid", shmw_load_relaxed(&header->owner_pid));
    put_u64(fields, "header.serializer", shmw_field_load(&header->serializer));
    put_u64(fields, "header.heartbeat_ns", shmw_load_relaxed(&header->heartbeat_ns));
    put_u64(fields, "header.instance", shmw_field_load(&header->instance));
    put_u64(fields, "header.owner_endpoint", shmw_load_relaxed(&header->owner_endpoint));
}

static void put_field(cJSON *fields, uint64_t sequence, const char *name, uint64_t value)
{
    char key[64];
    snprintf(key, sizeof(key), "frame[%llu].%s", (unsigned long long)sequence, name);
    put_u64(fields, key, value);
}

static void put_payload(cJSON *fields, uint64_t sequence, const unsigned char *payload, uint64_t length)
{
    char key[64];
    char hex[2 * PAYLOAD_SHOWN + 1] = "";
    for (uint64_t i = 0; i < length && i < PAYLOAD_SHOWN; i++)
        snprintf(hex + 2 * i, 3, "%02x", (unsigned)shmw_field_load(payload + i));
    snprintf(key, sizeof(key), "frame[%llu].payload", (unsigned long long)sequence);
    put_text(fields, key, hex);
}

static void put_frame(cJSON *fields, const struct shmw_shmcomm_wire_frame *frame, uint64_t position, uint64_t size)
{
    const uint64_t sequence = shmw_field_load(&frame->sequence);
    put_field(fields, sequence, "position", position);
    put_field(fields, sequence, "size", size);
    put_field(fields, sequence, "sequence", sequence);
    put_field(fields, sequence, "timestamp_ns", shmw_field_load(&frame->timestamp_ns));
    put_field(fields, sequence, "correlation_id", shmw_field_load(&frame->correlation_id));
    put_field(fields, sequence, "sender", shmw_field_load(&frame->sender));
    put_field(fields, sequence, "content_type", shmw_field_load(&frame->content_type));
    put_field(fields, sequence, "flags", shmw_field_load(&frame->flags));
    put_payload(fields, sequence, (const unsigned char *)frame + sizeof(*frame), size - SHMW_SHMCOMM_MESSAGE_HEADER_SIZE);
}

/* Frames from tail on, as far as they make sense: what does not is for shmcomm.validate to name. */
int shmcomm_inspect(struct request *rq, void *segment, cJSON *fields)
{
    const struct shmcomm *shmcomm = segment;
    const struct shmw_shmcomm_wire_header *header = (const void *)shmcomm->map.base;
    const unsigned char *ring = shmcomm->map.base + SHMW_SHMCOMM_RING_OFFSET;
    const uint64_t capacity = shmw_field_load(&header->capacity);
    put_header(fields, header);
    if (!shmw_is_power_of_two(capacity) || shmw_end_of(SHMW_SHMCOMM_RING_OFFSET, capacity, 1) > shmcomm->map.size)
        return request_fail(rq, SHMW_TRUNCATED, "the ring does not lie in %zu bytes", shmcomm->map.size);
    uint64_t at = shmw_load_acquire(&header->tail);         /* A3: pairs with R3 */
    const uint64_t head = shmw_load_acquire(&header->head); /* A2: pairs with R2; the frames below it */
    if (((at | head) & (SHMW_SHMCOMM_FRAME_ALIGN - 1)) != 0 || head - at > capacity)
        return SHMW_OK;
    for (unsigned frames = 0; at != head && frames < MOST_FRAMES;) {
        const struct shmw_shmcomm_wire_frame *frame = (const void *)(ring + (at & (capacity - 1)));
        const uint64_t room = capacity - (at & (capacity - 1));
        const uint64_t left = shmw_min_u64(room, head - at);
        const uint64_t size = shmw_field_load(&frame->size);
        if (size == SHMW_SHMCOMM_SKIP && room < capacity && room < head - at) {
            at += room;
            continue;
        }
        if (size < SHMW_SHMCOMM_MESSAGE_HEADER_SIZE || left < sizeof(size) || size > left - sizeof(size))
            break;
        put_frame(fields, frame, at, size);
        at += shmw_align_up(size + sizeof(size), SHMW_SHMCOMM_FRAME_ALIGN);
        frames++;
    }
    return SHMW_OK;
}
