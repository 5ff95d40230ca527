/* SPDX-License-Identifier: MIT
 *
 * Findings of profile shmcomm: every rule of the chapter that bytes alone can show to be broken. Writers may be at work: a frame
 * that looks wrong is reported only if tail shows that it was held while it was looked at. */
#include <inttypes.h>
#include <stdio.h>

#include "atomic.h"
#include "bytes.h"
#include "raw.h"
#include "shmcomm.h"

static void header_error(struct findings *findings, const char *rule, const char *what, uint64_t value)
{
    findings_add(findings, ERROR, rule, NO_CHANNEL, NO_POSITION, "%s is %" PRIu64, what, value);
}

/* Header ----------------------------------------------------------------------------------------------------------- */

/* Is it published, and of a version whose fields mean what we think? */
static bool find_identity(const struct channel_header *header, struct findings *findings)
{
    if (header->magic == 0)
        findings_add(findings, ERROR, "shmcomm.segment.not-ready", NO_CHANNEL, NO_POSITION,
                     "not published by its creator: magic is 0");
    else if (header->magic != SHMW_SHMCOMM_MAGIC)
        findings_add(findings, ERROR, "shmcomm.segment.magic", NO_CHANNEL, NO_POSITION, "magic is 0x%016" PRIX64, header->magic);
    else if (header->version == 1)
        findings_add(findings, ERROR, "shmcomm.segment.version", NO_CHANNEL, NO_POSITION,
                     "version is 1: of another package with the same magic and other bytes");
    else if (header->version != SHMW_SHMCOMM_VERSION)
        header_error(findings, "shmcomm.segment.version", "version", header->version);
    else
        return true;
    return false;
}

static void find_geometry(const struct view *view, const struct channel_header *header, struct findings *findings)
{
    if (!shmw_is_power_of_two(header->capacity) || header->capacity < SHMW_SHMCOMM_MIN_CAPACITY ||
        header->capacity > SHMW_SHMCOMM_MAX_CAPACITY)
        header_error(findings, "shmcomm.segment.geometry", "capacity", header->capacity);
    else if (!header->room)
        findings_add(findings, ERROR, "shmcomm.segment.size", NO_CHANNEL, NO_POSITION,
                     "%zu bytes, a ring of %" PRIu64 " bytes needs %" PRIu64, view->size, header->capacity,
                     SHMW_SHMCOMM_RING_OFFSET + header->capacity);
    if (header->pattern < SHMW_SHMCOMM_PATTERN_PUBSUB || header->pattern > SHMW_SHMCOMM_PATTERN_REPLY)
        header_error(findings, "shmcomm.segment.geometry", "pattern", header->pattern);
    if (header->state != SHMW_SHMCOMM_STATE_OPEN && header->state != SHMW_SHMCOMM_STATE_CLOSED)
        header_error(findings, "shmcomm.segment.geometry", "state", header->state);
    if (header->serializer > UINT16_MAX)
        header_error(findings, "shmcomm.segment.geometry", "serializer", header->serializer);
    if (header->room && !header->good)
        findings_add(findings, ERROR, "shmcomm.segment.positions", NO_CHANNEL, NO_POSITION,
                     "head is %" PRIu64 ", tail %" PRIu64 ", capacity %" PRIu64, header->head, header->tail, header->capacity);
}

static void find_reserved(const struct view *view, struct findings *findings)
{
    const struct shmw_shmcomm_wire_header *wire = (const void *)view->base;
    for (size_t i = 0; i < sizeof(wire->reserved); i++)
        if (shmw_field_load(&wire->reserved[i]) != 0) {
            findings_add(findings, ERROR, "shmcomm.segment.init", NO_CHANNEL, NO_POSITION, "reserved[%zu] is not 0", i);
            return;
        }
}

/* Frames ----------------------------------------------------------------------------------------------------------- */

/* The first byte between payload and extent that is not 0, or the extent. */
static uint64_t padding_end(const struct view *view, const struct channel_frame *frame)
{
    uint64_t at = sizeof(uint64_t) + frame->size;
    const unsigned char *base = view->base + frame->payload - sizeof(struct shmw_shmcomm_wire_frame);
    while (at < frame->extent && shmw_field_load(base + at) == 0)
        at++;
    return at;
}

/* Report what is wrong with a frame; false if the walk cannot go on behind it. */
static bool find_frame(const struct view *view, const struct channel_frame *frame, uint64_t expected, bool first,
                       struct findings *findings)
{
    const bool padded = !frame->good || padding_end(view, frame) == frame->extent;
    const bool in_order = !frame->good || first || frame->sequence == expected;
    if (frame->good && padded && in_order)
        return true;
    if (channel_reload_tail(view) > frame->position)
        return false; /* overwritten meanwhile, and so is what lies behind it by and by */
    if (!frame->good)
        findings_add(findings, ERROR, "shmcomm.receive.size", NO_CHANNEL, frame->position,
                     "the frame's size is %" PRIu64, frame->size);
    if (!padded)
        findings_add(findings, ERROR, "shmcomm.send.frame", NO_CHANNEL, frame->position, "bytes behind the payload are not 0");
    if (!in_order)
        findings_add(findings, ERROR, "shmcomm.send.sequence", NO_CHANNEL, frame->position,
                     "the sequence is %" PRIu64 ", not %" PRIu64, frame->sequence, expected);
    return frame->good;
}

static void find_frames(const struct view *view, const struct channel_header *header, struct findings *findings)
{
    uint64_t expected = 0;
    bool first = true;
    for (uint64_t at = header->tail; at != header->head; first = false) {
        const struct channel_frame frame = channel_load_frame(view, header, at);
        if (!find_frame(view, &frame, expected, first, findings))
            return;
        expected = frame.sequence + 1;
        at = channel_next(&frame);
    }
}

/* Counts and members ----------------------------------------------------------------------------------------------- */

static void find_counts(const struct view *view, const struct channel_header *header, struct findings *findings)
{
    const struct channel_walk walk = channel_walk(view, header);
    if (!walk.whole || walk.messages == 0 || channel_reload_tail(view) != header->tail)
        return;
    if (header->message_count > walk.last + 1)
        header_error(findings, "shmcomm.send.order", "above the newest message's sequence: message_count", header->message_count);
    else if (header->message_count <= walk.last && header->writer_lock != SHMW_SHMCOMM_LOCK_FREE)
        findings_add(findings, NOTE, "shmcomm.recover.count", NO_CHANNEL, NO_POSITION,
                     "message_count is %" PRIu64 ", the newest message has sequence %" PRIu64 
                     ": a publication is under way or was cut short", header->message_count, walk.last);
    else if (header->message_count <= walk.last)
        header_error(findings, "shmcomm.send.order", "behind the newest message, and the lock is free: message_count",
                     header->message_count);
}

static void find_members(const struct view *view, const struct channel_header *header, struct findings *findings)
{
    const enum keeper keeper = shmcomm_keeper(view);
    if (keeper == KEEPER_DEAD)
        findings_add(findings, NOTE, "", NO_CHANNEL, NO_POSITION, 
                     "stale: no keeper lives; the next one takes it over, `shmwire gc` removes it");
    if (keeper == KEEPER_DEAD && (header->writer_lock & SHMW_SHMCOMM_MAX_ENDPOINT) != 0)
        findings_add(findings, NOTE, "shmcomm.lock.dead", NO_CHANNEL, NO_POSITION,
                     "writer_lock names endpoint %" PRIu32 "; if it is dead the next writer takes the lock over",
                     header->writer_lock & SHMW_SHMCOMM_MAX_ENDPOINT);
    if (header->state == SHMW_SHMCOMM_STATE_CLOSED)
        findings_add(findings, NOTE, "", NO_CHANNEL, NO_POSITION, "closed by its last keeper");
}

int shmcomm_find(const struct view *view, uint64_t stall_ms, struct findings *findings)
{
    const struct channel_header header = channel_load_header(view);
    (void)stall_ms;
    if (!header.present) {
        findings_add(findings, ERROR, "shmcomm.segment.size", NO_CHANNEL, NO_POSITION,
                     "%zu bytes; the header needs %zu", view->size, sizeof(struct shmw_shmcomm_wire_header));
        return EXIT_OK;
    }
    if (!find_identity(&header, findings))
        return EXIT_OK;
    find_geometry(view, &header, findings);
    find_reserved(view, findings);
    if (!header.good)
        return EXIT_OK;
    find_frames(view, &header, findings);
    find_counts(view, &header, findings);
    find_members(view, &header, findings);
    return EXIT_OK;
}
