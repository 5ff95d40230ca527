/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm, section 7.1: subscribers, and observers, who read as they do. Short messages are read ahead: what is there
 * is copied in one go, found whole by one look at tail, and handed out from private memory. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define START_LOOKS 8

/* Used inside this file only: we were overtaken; the cursor is where tail was. */
#define LOOK_AGAIN 100

/* Beginning ---------------------------------------------------------------------------------------------------------- */

/* [shmcomm.receive.start] */
void shmw_shmcomm_begin_reading(shmw_shmcomm *endpoint, bool oldest)
{
    const struct shmw_shmcomm_wire_header *header = endpoint->channel.header;
    unsigned char *ahead = endpoint->reader.ahead;
    struct shmw_shmcomm_reader reader = {.ahead = ahead};
    if (oldest) {
        reader.head = shmw_load_acquire(&header->tail); /* A3: pairs with R3; a head that is not below it */
    } else {
        reader.head = shmw_load_acquire(&header->head); /* A2: pairs with R2 */
        for (unsigned look = 0; look < START_LOOKS; look++) {
            reader.expected = shmw_load_relaxed(&header->message_count);
            const uint64_t now = shmw_load_acquire(&header->head); /* A2: pairs with R2 */
            if (now == reader.head)
                break;
            reader.head = now;
        }
        reader.counted = true;
    }
    /* it was when the segment was checked; whoever broke it since: not our place */
    reader.head &= ~(SHMW_SHMCOMM_FRAME_ALIGN - 1);
    reader.cursor = reader.head;
    reader.ahead_from = reader.cursor;
    reader.ahead_end = reader.cursor;
    endpoint->reader = reader;
}

int shmw_shmcomm_seek(shmw_shmcomm *endpoint, bool oldest)
{
    if (endpoint == NULL)
        return SHMW_INVALID_ARGUMENT;
    if (endpoint->role != SHMW_SHMCOMM_SUBSCRIBER && endpoint->role != SHMW_SHMCOMM_OBSERVER)
        return SHMW_UNSUPPORTED;
    shmw_shmcomm_begin_reading(endpoint, oldest);
    return SHMW_OK;
}

/* Parts of a look ---------------------------------------------------------------------------------------------------- */

/* Step 6 [shmcomm.receive.lapped]. */
static int overtaken(shmw_shmcomm *endpoint)
{
    struct shmw_shmcomm_reader *reader = &endpoint->reader;
    const struct shmw_shmcomm_wire_header *header = endpoint->channel.header;
    const uint64_t tail = shmw_load_acquire(&header->tail); /* A3: pairs with R3; a head that is not below it */
    const bool stuck = tail == reader->cursor && reader->head - tail > endpoint->channel.capacity;
    if (stuck || tail % SHMW_SHMCOMM_FRAME_ALIGN != 0)
        return SHMW_CORRUPT;
    const uint64_t head = shmw_load_acquire(&header->head); /* A2: pairs with R2 */
    reader->cursor = tail;
    reader->head = head;
    reader->ahead_from = tail;
    reader->ahead_end = tail;
    reader->overtaken = true;
    return LOOK_AGAIN;
}

/* Step 5: has the writer come to `position`, from which something was loaded? [shmcomm.receive.recheck] */
static inline bool is_overwritten(const shmw_shmcomm *endpoint, uint64_t position)
{
    shmw_fence_acquire(); /* F5: pairs with F5; our loads from the ring before tail */
    return (int64_t)(shmw_load_relaxed(&endpoint->channel.header->tail) - position) > 0;
}

/* What was lost before a message of this sequence [shmcomm.receive.lost]. A segment whose sequences fall loses nothing. */
static inline uint64_t lost_before(const struct shmw_shmcomm_reader *reader, uint64_t sequence)
{
    const bool counts = reader->known || (reader->counted && reader->overtaken);
    const uint64_t gap = sequence - reader->expected;
    return counts && (int64_t)gap > 0 ? gap : 0;
}

/* The message at the cursor is whole and is about to be given away. SHMW_LAPPED: first say what was lost. */
static inline int announce(shmw_shmcomm *endpoint, struct shmw_shmcomm_message *message)
{
    struct shmw_shmcomm_reader *reader = &endpoint->reader;
    message->lost = lost_before(reader, message->sequence);
    if (message->lost == 0 || !endpoint->tell_lost || reader->told)
        return SHMW_OK;
    reader->told = true;
    return SHMW_LAPPED;
}

static inline void deliver(shmw_shmcomm *endpoint, const struct shmw_shmcomm_message *message, uint64_t end)
{
    struct shmw_shmcomm_reader *reader = &endpoint->reader;
    reader->cursor = end;
    reader->expected = message->sequence + 1;
    reader->known = true;
    reader->overtaken = false;
    reader->told = false;
    endpoint->received++;
    endpoint->lost += message->lost;
}

/* From memory that has been read ahead ------------------------------------------------------------------------------- */

/* The frame of which the copy begins at `from`, and ends at or before `end`. SHMW_EMPTY: not all of it was copied. */
static inline int find_copied(const struct shmw_shmcomm_channel *channel, const unsigned char *from, uint64_t cursor,
                              uint64_t end, struct shmw_shmcomm_place *place)
{
    uint64_t size;
    if (end - cursor < sizeof(size))
        return SHMW_EMPTY;
    memcpy(&size, from, sizeof(size));
    if (size - SHMW_SHMCOMM_MESSAGE_HEADER_SIZE > SHMW_SHMCOMM_AHEAD_BYTES)
        return SHMW_EMPTY; /* a mark, or one that is too long, or impossible: the ring itself says */
    const uint64_t length = size - SHMW_SHMCOMM_MESSAGE_HEADER_SIZE;
    const uint64_t extent = shmw_shmcomm_extent(length);
    *place = (struct shmw_shmcomm_place){.at = cursor, .length = length, .end = cursor + extent};
    return extent <= end - cursor && extent <= channel->capacity / 2 ? SHMW_OK : SHMW_EMPTY;
}

/* SHMW_EMPTY: what was read ahead is used up. */
static inline int next_ahead(shmw_shmcomm *endpoint, const struct shmw_shmcomm_target *to, struct shmw_shmcomm_message *message)
{
    struct shmw_shmcomm_reader *reader = &endpoint->reader;
    struct shmw_shmcomm_place place;
    if (reader->cursor - reader->ahead_from >= reader->ahead_end - reader->ahead_from)
        return SHMW_EMPTY;
    const unsigned char *from = reader->ahead + (reader->cursor - reader->ahead_from);
    int rc = find_copied(&endpoint->channel, from, reader->cursor, reader->ahead_end, &place);
    if (rc != SHMW_OK) {
        reader->ahead_end = reader->cursor;
        return rc;
    }
    shmw_shmcomm_describe((const struct shmw_shmcomm_wire_frame *)(const void *)from, &place, message);
    rc = announce(endpoint, message);
    if (rc != SHMW_OK)
        return rc;
    if (place.length > to->size)
        return SHMW_TOO_SMALL; /* [shmcomm.receive.too-small] */
    memcpy(to->buffer, from + SHMW_SHMCOMM_FRAME_OVERHEAD, place.length);
    deliver(endpoint, message, place.end);
    return SHMW_OK;
}

/* Copy what is there from the frame at place.at on, and look once whether it is whole. */
static int read_ahead(shmw_shmcomm *endpoint, const struct shmw_shmcomm_place *place)
{
    struct shmw_shmcomm_reader *reader = &endpoint->reader;
    const struct shmw_shmcomm_channel *channel = &endpoint->channel;
    uint64_t length = shmw_min_u64(reader->head - place->at, SHMW_SHMCOMM_AHEAD_BYTES);
    length = shmw_min_u64(length, shmw_shmcomm_room(channel, place->at));
    shmw_copy_from_shared(reader->ahead, shmw_shmcomm_at(channel, place->at), (size_t)length);
    shmw_fence_acquire(); /* F5: pairs with F5; our copy before tail */
    const uint64_t tail = shmw_load_relaxed(&channel->header->tail);
    /* A2: pairs with R2; what came meanwhile: it stands in the line that tail has brought, and the next look would take that from
     * the writer again */
    reader->head = shmw_load_acquire(&channel->header->head);
    const bool whole = (int64_t)(tail - reader->cursor) <= 0; /* from the mark on, if one led here */
    const uint64_t passed = tail - place->at;
    if (!whole && (passed >= length || passed % SHMW_SHMCOMM_FRAME_ALIGN != 0))
        return overtaken(endpoint);
    reader->ahead_from = place->at;
    reader->ahead_end = place->at + length;
    reader->cursor = whole ? place->at : tail; /* what is at tail is a frame, and whole; what was overtaken is thrown away */
    reader->overtaken = reader->overtaken || !whole;
    return SHMW_OK;
}

/* From the ring ------------------------------------------------------------------------------------------------------ */

/* Step 1: SHMW_OK when head is above the cursor. */
static inline int look_at_head(shmw_shmcomm *endpoint)
{
    struct shmw_shmcomm_reader *reader = &endpoint->reader;
    if (reader->head == reader->cursor) {
        reader->head = shmw_load_acquire(&endpoint->channel.header->head); /* A2: pairs with R2; the frames below it */
        if (reader->head == reader->cursor) {
            const int rc = shmw_shmcomm_nothing(&endpoint->channel, reader->cursor); /* [shmcomm.receive.empty] */
            return rc == SHMW_OK ? LOOK_AGAIN : rc;
        }
    }
    return reader->head - reader->cursor <= endpoint->channel.capacity ? SHMW_OK : overtaken(endpoint);
}

/* A message that is not read ahead, straight to where it goes. */
static int next_in_ring(shmw_shmcomm *endpoint, const struct shmw_shmcomm_place *place, const struct shmw_shmcomm_target *to,
                        struct shmw_shmcomm_message *message)
{
    const struct shmw_shmcomm_channel *channel = &endpoint->channel;
    const bool fits = place->length <= to->size;
    shmw_shmcomm_describe(shmw_shmcomm_frame(channel, place->at), place, message);
    const unsigned char *payload = shmw_shmcomm_at(channel, place->at) + SHMW_SHMCOMM_FRAME_OVERHEAD;
    if (fits && to->buffer != NULL)
        shmw_copy_from_shared(to->buffer, payload, (size_t)place->length);
    if (is_overwritten(endpoint, endpoint->reader.cursor)) /* that of a mark, if one led here: it may be payload of a later lap */
        return overtaken(endpoint);
    const int rc = announce(endpoint, message);
    if (rc != SHMW_OK || !fits)
        return rc != SHMW_OK ? rc : SHMW_TOO_SMALL; /* [shmcomm.receive.too-small] */
    message->data = to->buffer == NULL ? payload : NULL;
    deliver(endpoint, message, place->end);
    return SHMW_OK;
}

static bool make_ahead(struct shmw_shmcomm_reader *reader)
{
    if (reader->ahead == NULL)
        reader->ahead = malloc(SHMW_SHMCOMM_AHEAD_BYTES);
    return reader->ahead != NULL;
}

/* Steps 1 to 6 once; LOOK_AGAIN after an overtaking. */
static int look_once(shmw_shmcomm *endpoint, const struct shmw_shmcomm_target *to, struct shmw_shmcomm_message *message)
{
    struct shmw_shmcomm_reader *reader = &endpoint->reader;
    struct shmw_shmcomm_place place;
    int rc = look_at_head(endpoint);
    if (rc != SHMW_OK)
        return rc;
    rc = shmw_shmcomm_find(&endpoint->channel, reader->cursor, reader->head, &place);
    if (rc != SHMW_OK) /* [shmcomm.receive.size] */
        return is_overwritten(endpoint, reader->cursor) ? overtaken(endpoint) : SHMW_CORRUPT;
    if (place.length > SHMW_SHMCOMM_AHEAD_FRAME || to->buffer == NULL || !make_ahead(reader))
        return next_in_ring(endpoint, &place, to, message);
    rc = read_ahead(endpoint, &place);
    if (rc != SHMW_OK)
        return rc;
    rc = next_ahead(endpoint, to, message);
    return rc == SHMW_EMPTY ? LOOK_AGAIN : rc;
}

int shmw_shmcomm_next(shmw_shmcomm *endpoint, const struct shmw_shmcomm_target *to, struct shmw_shmcomm_message *message)
{
    if (to->buffer != NULL) {
        const int rc = next_ahead(endpoint, to, message);
        if (rc != SHMW_EMPTY)
            return rc;
    }
    for (unsigned tries = 0; tries < SHMW_SHMCOMM_READ_TRIES; tries++) {
        const int rc = look_once(endpoint, to, message);
        if (rc != LOOK_AGAIN)
            return rc;
    }
    *message = (struct shmw_shmcomm_message){.position = endpoint->reader.cursor};
    return SHMW_LAPPED;
}

int shmw_shmcomm_view_check(const shmw_shmcomm *endpoint, const struct shmw_shmcomm_message *message)
{
    if (endpoint == NULL || message == NULL)
        return SHMW_INVALID_ARGUMENT;
    if (endpoint->role != SHMW_SHMCOMM_SUBSCRIBER && endpoint->role != SHMW_SHMCOMM_OBSERVER)
        return SHMW_UNSUPPORTED;
    return is_overwritten(endpoint, message->position) ? SHMW_LAPPED : SHMW_OK; /* [shmcomm.receive.view] */
}
