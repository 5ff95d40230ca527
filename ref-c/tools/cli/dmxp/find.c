/* SPDX-License-Identifier: MIT
 *
 * Findings of profile dmxp: every rule of the chapter that bytes alone can show to be broken. On a live segment what looks odd is
 * looked at again before it is reported. */
#include <stdlib.h>
#include <time.h>

#include "bytes.h"
#include "dmxp.h"
#include "raw.h"

/* A slot below head is reported when it stays so for this long: a live consumer releases it in less, even if preempted. */
#define PATIENCE_MS 200
#define LOOK_AGAIN_MS 20
#define RECHECKS 8

/* One channel under observation. */
struct watch {
    struct raw_channel channel;
    uint64_t first_sequence; /* of the slot of head, at the first look */
    bool waiting;            /* it had messages at the first look */
    uint64_t *unreleased;    /* per slot: the sequence that stands below head, 0 = none. NULL if there is none */
};

/* Header ----------------------------------------------------------------------------------------------------------- */

static void find_header(const struct view *view, const struct raw_header *header, struct findings *findings)
{
    if (view->size < SHMW_DMXP_HEADER_SIZE)
        findings_add(findings, ERROR, "dmxp.segment.size", NO_CHANNEL, NO_POSITION,
                     "%zu bytes; header and channel table need %llu", view->size, (unsigned long long)SHMW_DMXP_HEADER_SIZE);
    if (!header->present)
        return;
    if (header->magic == 0) { /* the other fields are not there yet */
        findings_add(findings, ERROR, "dmxp.segment.not-ready", NO_CHANNEL, NO_POSITION,
                     "magic is 0: not published by its creator");
        return;
    }
    if (header->magic != SHMW_DMXP_MAGIC)
        findings_add(findings, ERROR, "dmxp.segment.magic", NO_CHANNEL, NO_POSITION, "magic is 0x%016llX",
                     (unsigned long long)header->magic);
    if (header->version != SHMW_DMXP_VERSION)
        findings_add(findings, ERROR, "dmxp.segment.version", NO_CHANNEL, NO_POSITION, "version is %u",
                     (unsigned)header->version);
    if (header->max_channels != SHMW_DMXP_MAX_CHANNELS)
        findings_add(findings, ERROR, "dmxp.segment.header", NO_CHANNEL, NO_POSITION, "max_channels is %u",
                     (unsigned)header->max_channels);
    if (header->payload_layout > SHMW_DMXP_LAYOUT_CRATE)
        findings_add(findings, ERROR, "dmxp.segment.header", NO_CHANNEL, NO_POSITION, "payload_layout is %u",
                     (unsigned)header->payload_layout);
    else if (header->payload_layout == SHMW_DMXP_LAYOUT_UNSPECIFIED)
        findings_add(findings, NOTE, "dmxp.layout.unspecified", NO_CHANNEL, NO_POSITION,
                     "payload_layout is unspecified: the segment does not say where its payloads are");
}

/* Entries ---------------------------------------------------------------------------------------------------------- */

static void find_absent(const struct raw_channel *channel, struct findings *findings)
{
    if (channel->band_offset != 0 && channel->retired_capacity == 0)
        findings_add(findings, NOTE, "", channel->id, NO_POSITION,
                     "creation was begun and never committed; the channel is not there");
}

static void find_entry(const struct view *view, const struct raw_channel *channel, struct findings *findings)
{
    uint64_t depth = 0;
    if (channel->channel_id != channel->id)
        findings_add(findings, ERROR, "dmxp.channel.id", channel->id, NO_POSITION, "channel_id is %u",
                     (unsigned)channel->channel_id);
    if (channel->geometry == GEOMETRY_CAPACITY)
        findings_add(findings, ERROR, "dmxp.channel.capacity", channel->id, NO_POSITION, "capacity is %llu",
                     (unsigned long long)channel->capacity);
    if (channel->geometry == GEOMETRY_BAND)
        findings_add(findings, ERROR, "dmxp.channel.band", channel->id, NO_POSITION,
                     "%llu slots from byte %llu on do not lie in the %zu bytes of the segment as they must",
                     (unsigned long long)channel->capacity, (unsigned long long)channel->band_offset, view->size);
    if (!raw_depth(channel, &depth))
        findings_add(findings, ERROR, "dmxp.channel.cursors", channel->id, NO_POSITION, "head is %llu, tail %llu, capacity %llu",
                     (unsigned long long)channel->head, (unsigned long long)channel->tail, (unsigned long long)channel->capacity);
    if ((channel->flags & ~SHMW_DMXP_CHANNEL_COUNTED_WAITERS) != 0)
        findings_add(findings, NOTE, "", channel->id, NO_POSITION, "flags 0x%x has bits without a meaning",
                     (unsigned)channel->flags);
}

static void find_overlaps(const struct raw_channel *channels, struct findings *findings)
{
    const uint64_t slot = sizeof(struct shmw_dmxp_wire_slot);
    for (uint32_t i = 0; i < SHMW_DMXP_MAX_CHANNELS; i++) {
        if (channels[i].capacity == 0)
            continue;
        const uint64_t end = shmw_end_of(channels[i].band_offset, slot, channels[i].capacity);
        for (uint32_t j = i + 1; j < SHMW_DMXP_MAX_CHANNELS; j++) {
            const uint64_t other_end = shmw_end_of(channels[j].band_offset, slot, channels[j].capacity);
            if (channels[j].capacity != 0 && shmw_overlap(channels[i].band_offset, end, channels[j].band_offset, other_end))
                findings_add(findings, ERROR, "dmxp.channel.overlap", i, NO_POSITION,
                             "its band shares bytes with that of channel %u", (unsigned)j);
        }
    }
}

/* Slots ------------------------------------------------------------------------------------------------------------ */

enum verdict { SLOT_GOOD, SLOT_PUBLISHED, SLOT_UNRELEASED, SLOT_IMPOSSIBLE };

/* What slot i may be, from its sequence and from cursors that were loaded around it. *position is the one that the sequence
 * names. */
static enum verdict judge_slot(const struct raw_channel *channel, uint64_t i, uint64_t sequence, uint64_t *position)
{
    const uint64_t mask = channel->capacity - 1;
    if (((sequence - i) & mask) == 0) { /* free for, or claimed at, position `sequence`: in [head, head + capacity) */
        *position = sequence;
        return sequence - channel->head < channel->capacity ? SLOT_GOOD : SLOT_IMPOSSIBLE;
    }
    *position = sequence - 1;
    if (((*position - i) & mask) != 0)
        return SLOT_IMPOSSIBLE;
    const uint64_t depth = channel->tail - channel->head;
    if (*position - channel->head < depth)
        return SLOT_PUBLISHED;
    /* Below head by one lap at most, and only where no later position has been claimed. Nothing is below a head of 0. */
    if (*position >= channel->head)
        return SLOT_IMPOSSIBLE;
    return channel->head - 1 - *position < channel->capacity - depth ? SLOT_UNRELEASED : SLOT_IMPOSSIBLE;
}

/* Judge slot i against cursors that did not move meanwhile, if there is such a moment. */
static enum verdict look_at_slot(const struct view *view, struct raw_channel *channel, uint64_t i, uint64_t *sequence,
                                 uint64_t *position)
{
    enum verdict verdict = SLOT_GOOD;
    for (int again = 0; again < RECHECKS; again++) {
        *sequence = raw_sequence(view, channel, i);
        verdict = judge_slot(channel, i, *sequence, position);
        if (verdict != SLOT_IMPOSSIBLE)
            return verdict;
        const struct raw_channel before = *channel;
        raw_load_cursors(view, channel);
        if (before.head == channel->head && before.tail == channel->tail && raw_sequence(view, channel, i) == *sequence)
            return verdict;
    }
    return SLOT_GOOD; /* too busy to be judged */
}

static void find_message(const struct view *view, const struct raw_header *header, const struct raw_channel *channel,
                         uint64_t position, struct findings *findings)
{
    struct raw_message message;
    uint64_t sequence = 0;
    if (raw_copy(view, channel, position, &message, &sequence) != RAW_PUBLISHED)
        return;
    const bool document = raw_is_document(header->payload_layout, CHOOSE_AUTO, message.sender_runtime);
    if (message.payload_len > raw_payload_capacity(document))
        findings_add(findings, ERROR, "dmxp.consume.payload-len", channel->id, position,
                     "payload_len is %u, the layout's capacity %llu", (unsigned)message.payload_len,
                     (unsigned long long)raw_payload_capacity(document));
    if (message.channel_id != channel->id)
        findings_add(findings, ERROR, "dmxp.produce.meta", channel->id, position, "channel_id of the message is %u",
                     (unsigned)message.channel_id);
    if ((message.flags & SHMW_DMXP_MESSAGE_TOMBSTONE) != 0 && message.payload_len != 0)
        findings_add(findings, ERROR, "dmxp.produce.abandon", channel->id, position, "a tombstone with payload_len %u",
                     (unsigned)message.payload_len);
}

static void find_slots(const struct view *view, const struct raw_header *header, struct watch *watch, struct findings *findings)
{
    struct raw_channel *channel = &watch->channel;
    for (uint64_t i = 0; i < channel->capacity; i++) {
        uint64_t sequence = 0;
        uint64_t position = 0;
        switch (look_at_slot(view, channel, i, &sequence, &position)) {
        case SLOT_PUBLISHED:
            find_message(view, header, channel, position, findings);
            break;
        case SLOT_UNRELEASED:
            if (watch->unreleased == NULL)
                watch->unreleased = calloc((size_t)channel->capacity, sizeof(*watch->unreleased));
            if (watch->unreleased != NULL)
                watch->unreleased[i] = sequence;
            break;
        case SLOT_IMPOSSIBLE:
            findings_add(findings, ERROR, "dmxp.consume.impossible", channel->id, NO_POSITION,
                         "slot %llu has sequence %llu, which no rule produces with head %llu and tail %llu",
                         (unsigned long long)i, (unsigned long long)sequence, (unsigned long long)channel->head,
                         (unsigned long long)channel->tail);
            break;
        case SLOT_GOOD:
            break;
        }
    }
}

/* The second look -------------------------------------------------------------------------------------------------- */

/* Forget the slots that have changed since they were seen below head. How many are left, and the oldest position of them. */
static uint64_t still_unreleased(const struct view *view, const struct watch *watch, uint64_t *oldest)
{
    uint64_t count = 0;
    *oldest = UINT64_MAX;
    for (uint64_t i = 0; watch->unreleased != NULL && i < watch->channel.capacity; i++) {
        uint64_t *sequence = &watch->unreleased[i];
        if (*sequence == 0)
            continue;
        if (raw_sequence(view, &watch->channel, i) != *sequence) {
            *sequence = 0;
            continue;
        }
        count++;
        *oldest = *sequence - 1 < *oldest ? *sequence - 1 : *oldest;
    }
    return count;
}

static void find_unreleased(const struct view *view, const struct watch *watch, struct findings *findings)
{
    uint64_t oldest = 0;
    const uint64_t count = still_unreleased(view, watch, &oldest);
    if (count > 0)
        findings_add(findings, ERROR, "dmxp.consume.release", watch->channel.id, oldest,
                     "wedged: %llu published position%s below head, the oldest this one, never released: producers will find the "
                     "channel full",
                     (unsigned long long)count, count == 1 ? "" : "s");
}

static void find_stall(const struct view *view, const struct watch *watch, uint64_t stall_ms, struct findings *findings)
{
    struct raw_channel now = watch->channel;
    if (!watch->waiting)
        return;
    raw_load_cursors(view, &now);
    const uint64_t head = watch->channel.head;
    if (now.head != head || raw_sequence(view, &watch->channel, head) != watch->first_sequence)
        return;
    findings_add(findings, ERROR, "stalled-slot", watch->channel.id, head, "%s; the slot of head has not changed for %llu ms",
                 watch->first_sequence == head       ? "claimed and not published"
                 : watch->first_sequence == head + 1 ? "published and not consumed"
                                                     : "neither claimed nor published",
                 (unsigned long long)stall_ms);
}

static void pause_ms(uint64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&left, NULL);
}

/* Wait stall_ms, and for as long as there are slots below head, up to PATIENCE_MS. */
static void wait_and_look(const struct view *view, const struct watch *watches, size_t count, uint64_t stall_ms)
{
    uint64_t waited = 0;
    for (bool suspects = true; suspects && waited < PATIENCE_MS;) {
        suspects = false;
        for (size_t i = 0; i < count; i++) {
            uint64_t oldest = 0;
            suspects = still_unreleased(view, &watches[i], &oldest) > 0 || suspects;
        }
        if (suspects) {
            pause_ms(LOOK_AGAIN_MS);
            waited += LOOK_AGAIN_MS;
        }
    }
    if (waited < stall_ms)
        pause_ms(stall_ms - waited);
}

static void second_look(const struct view *view, const struct watch *watches, size_t count, uint64_t stall_ms,
                        struct findings *findings)
{
    wait_and_look(view, watches, count, stall_ms);
    for (size_t i = 0; i < count; i++) {
        find_unreleased(view, &watches[i], findings);
        if (stall_ms > 0)
            find_stall(view, &watches[i], stall_ms, findings);
    }
}

/* All -------------------------------------------------------------------------------------------------------------- */

static void find_count(const struct raw_header *header, const struct raw_channel *channels, struct findings *findings)
{
    uint32_t live = 0;
    for (uint32_t id = 0; id < SHMW_DMXP_MAX_CHANNELS; id++)
        live += channels[id].capacity != 0;
    if (header->present && header->channel_count != live)
        findings_add(findings, NOTE, "", NO_CHANNEL, NO_POSITION, "channel_count is %u, live entries are %u",
                     (unsigned)header->channel_count, (unsigned)live);
}

static void watch_channel(const struct view *view, const struct raw_header *header, const struct raw_channel *channel,
                          struct watch *watch, struct findings *findings)
{
    uint64_t depth = 0;
    *watch = (struct watch){.channel = *channel};
    raw_depth(channel, &depth);
    watch->waiting = depth > 0;
    watch->first_sequence = raw_sequence(view, channel, channel->head);
    find_slots(view, header, watch, findings);
    watch->channel.head = channel->head; /* the slots were judged against later cursors; a stall is judged against the first */
}

int dmxp_find(const struct view *view, uint64_t stall_ms, struct findings *findings)
{
    static struct raw_channel channels[SHMW_DMXP_MAX_CHANNELS];
    static struct watch watches[SHMW_DMXP_MAX_CHANNELS];
    size_t watched = 0;
    const struct raw_header header = raw_load_header(view);
    find_header(view, &header, findings);
    for (uint32_t id = 0; id < SHMW_DMXP_MAX_CHANNELS; id++) {
        uint64_t depth = 0;
        channels[id] = raw_load_channel(view, id);
        if (channels[id].capacity == 0) {
            find_absent(&channels[id], findings);
            continue;
        }
        find_entry(view, &channels[id], findings);
        if (channels[id].geometry == GEOMETRY_GOOD && raw_depth(&channels[id], &depth))
            watch_channel(view, &header, &channels[id], &watches[watched++], findings);
    }
    find_overlaps(channels, findings);
    find_count(&header, channels, findings);
    second_look(view, watches, watched, stall_ms, findings);
    for (size_t i = 0; i < watched; i++)
        free(watches[i].unreleased);
    return EXIT_OK;
}
