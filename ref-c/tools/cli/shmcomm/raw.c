/* SPDX-License-Identifier: MIT */
#include "raw.h"

#include <stdio.h>

#include "atomic.h"
#include "bytes.h"

static bool geometry_good(const struct view *view, const struct channel_header *header)
{
    return header->magic == SHMW_SHMCOMM_MAGIC && header->version == SHMW_SHMCOMM_VERSION &&
           shmw_is_power_of_two(header->capacity) && header->capacity >= SHMW_SHMCOMM_MIN_CAPACITY &&
           header->capacity <= SHMW_SHMCOMM_MAX_CAPACITY && header->capacity <= view->size - SHMW_SHMCOMM_RING_OFFSET;
}

/* tail before head, and tail again: writers and pullers go on with both. */
static void load_positions(const struct shmw_shmcomm_wire_header *wire, struct channel_header *header)
{
    do {
        header->tail = shmw_load_acquire(&wire->tail); /* A3: pairs with R3 */
        header->head = shmw_load_acquire(&wire->head); /* A2: pairs with R2 */
    } while (shmw_load_acquire(&wire->tail) != header->tail);
}

struct channel_header channel_load_header(const struct view *view)
{
    struct channel_header header = {.present = view->size >= sizeof(struct shmw_shmcomm_wire_header)};
    if (!header.present)
        return header;
    const struct shmw_shmcomm_wire_header *wire = (const void *)view->base;
    header.magic = shmw_load_acquire(&wire->magic); /* A0: pairs with R0; what the creator wrote after it */
    header.version = shmw_field_load(&wire->version);
    header.capacity = shmw_field_load(&wire->capacity);
    header.pattern = shmw_field_load(&wire->pattern);
    header.serializer = shmw_field_load(&wire->serializer);
    header.instance = shmw_field_load(&wire->instance);
    header.state = shmw_load_acquire(&wire->state); /* A7: pairs with R7; head after it */
    header.writer_lock = shmw_load_relaxed(&wire->writer_lock);
    header.lock_epoch = shmw_load_relaxed(&wire->lock_epoch);
    header.message_count = shmw_load_relaxed(&wire->message_count);
    header.dropped_count = shmw_load_relaxed(&wire->dropped_count);
    header.data_signal = shmw_load_relaxed(&wire->data_signal);
    header.data_waiters = shmw_load_relaxed(&wire->data_waiters);
    header.space_signal = shmw_load_relaxed(&wire->space_signal);
    header.space_waiters = shmw_load_relaxed(&wire->space_waiters);
    header.owner_pid = shmw_load_relaxed(&wire->owner_pid);
    header.owner_endpoint = shmw_load_relaxed(&wire->owner_endpoint);
    header.heartbeat_ns = shmw_load_relaxed(&wire->heartbeat_ns);
    load_positions(wire, &header);
    header.room = geometry_good(view, &header);
    header.good = header.room && header.head % SHMW_SHMCOMM_FRAME_ALIGN == 0 && header.tail % SHMW_SHMCOMM_FRAME_ALIGN == 0 &&
                  header.head - header.tail <= header.capacity;
    return header;
}

uint64_t channel_reload_tail(const struct view *view)
{
    const struct shmw_shmcomm_wire_header *wire = (const void *)view->base;
    shmw_fence_acquire(); /* F5: tail after the bytes that were looked at */
    return shmw_load_relaxed(&wire->tail);
}

const char *channel_pattern_word(uint32_t pattern)
{
    static const char *const words[] = {[SHMW_SHMCOMM_PATTERN_PUBSUB] = "pubsub",
                                        [SHMW_SHMCOMM_PATTERN_PIPELINE] = "pipeline",
                                        [SHMW_SHMCOMM_PATTERN_REQUEST] = "request",
                                        [SHMW_SHMCOMM_PATTERN_REPLY] = "reply"};
    return pattern >= SHMW_SHMCOMM_PATTERN_PUBSUB && pattern <= SHMW_SHMCOMM_PATTERN_REPLY ? words[pattern] : "none";
}

const char *channel_content_word(uint16_t content_type)
{
    static const char *const words[] = {[SHMW_SHMCOMM_CONTENT_RAW] = "raw",
                                        [SHMW_SHMCOMM_CONTENT_PICKLE] = "pickle",
                                        [SHMW_SHMCOMM_CONTENT_MSGPACK] = "msgpack",
                                        [SHMW_SHMCOMM_CONTENT_JSON] = "json",
                                        [SHMW_SHMCOMM_CONTENT_NDARRAY] = "ndarray"};
    static char number[8];
    if (content_type <= SHMW_SHMCOMM_CONTENT_NDARRAY)
        return words[content_type];
    snprintf(number, sizeof(number), "%u", (unsigned)content_type);
    return number;
}

static uint64_t load_size(const struct view *view, const struct channel_header *header, uint64_t position)
{
    const uint64_t at = SHMW_SHMCOMM_RING_OFFSET + (position & (header->capacity - 1));
    return shmw_field_load(&((const struct shmw_shmcomm_wire_frame *)(const void *)(view->base + at))->size);
}

static void load_message(const struct view *view, const struct channel_header *header, struct channel_frame *frame)
{
    const uint64_t at = SHMW_SHMCOMM_RING_OFFSET + (frame->position & (header->capacity - 1));
    const struct shmw_shmcomm_wire_frame *wire = (const void *)(view->base + at);
    frame->sequence = shmw_field_load(&wire->sequence);
    frame->timestamp_ns = shmw_field_load(&wire->timestamp_ns);
    frame->correlation_id = shmw_field_load(&wire->correlation_id);
    frame->sender = shmw_field_load(&wire->sender);
    frame->content_type = shmw_field_load(&wire->content_type);
    frame->flags = shmw_field_load(&wire->flags);
    frame->payload = at + sizeof(*wire);
    frame->payload_length = frame->size - SHMW_SHMCOMM_MESSAGE_HEADER_SIZE;
}

struct channel_frame channel_load_frame(const struct view *view, const struct channel_header *header, uint64_t position)
{
    struct channel_frame frame = {.position = position, .size = load_size(view, header, position)};
    const uint64_t inside = position & (header->capacity - 1);
    if (frame.size == SHMW_SHMCOMM_SKIP && inside != 0 && header->capacity - inside < header->head - position) {
        frame.skipped = header->capacity - inside;
        frame.position += frame.skipped;
        frame.size = load_size(view, header, frame.position);
    }
    const uint64_t to_end = header->capacity - (frame.position & (header->capacity - 1));
    const uint64_t room = shmw_min_u64(shmw_min_u64(header->head - frame.position, to_end), header->capacity / 2);
    if (frame.size < SHMW_SHMCOMM_MESSAGE_HEADER_SIZE || frame.size > room)
        return frame;
    frame.extent = shmw_align_up(sizeof(uint64_t) + frame.size, SHMW_SHMCOMM_FRAME_ALIGN);
    frame.good = frame.extent <= room;
    if (frame.good)
        load_message(view, header, &frame);
    return frame;
}

uint64_t channel_next(const struct channel_frame *frame)
{
    return frame->position + frame->extent;
}

struct channel_walk channel_walk(const struct view *view, const struct channel_header *header)
{
    struct channel_walk walk = {.whole = header->good};
    for (uint64_t at = header->tail; header->good && at != header->head;) {
        const struct channel_frame frame = channel_load_frame(view, header, at);
        walk.whole = frame.good;
        if (!frame.good)
            break;
        if (walk.messages++ == 0)
            walk.first = frame.sequence;
        walk.last = frame.sequence;
        at = channel_next(&frame);
    }
    return walk;
}
