/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm, section 12: does a channel hold what no rule forbids? */
#include "internal.h"

/* What one walk over the held frames found. */
struct walk {
    uint64_t frames;
    uint64_t first; /* sequence */
    uint64_t last;
};

/* Has the position been given up since, so that nothing found there counts? */
static bool gone(const struct shmw_shmcomm_channel *channel, uint64_t position)
{
    shmw_fence_acquire(); /* F5: pairs with F5; our loads from the ring before tail */
    return (int64_t)(shmw_load_relaxed(&channel->header->tail) - position) > 0;
}

/* I2. SHMW_LAPPED: the channel moved on under the walk, begin again. */
static int walk_frames(const struct shmw_shmcomm_channel *channel, uint64_t tail, uint64_t head, struct walk *walk,
                       const char **finding, uint64_t *position)
{
    for (uint64_t at = tail; at != head; walk->frames++) {
        struct shmw_shmcomm_place place;
        const int rc = shmw_shmcomm_find(channel, at, head, &place);
        const uint64_t sequence = rc == SHMW_OK ? shmw_field_load(&shmw_shmcomm_frame(channel, place.at)->sequence) : 0;
        if (gone(channel, at))
            return SHMW_LAPPED;
        *position = at;
        *finding = "size of a frame is impossible";
        if (rc != SHMW_OK)
            return rc;
        *position = place.at;
        *finding = "sequences do not rise by 1";
        if (walk->frames > 0 && sequence != walk->last + 1)
            return SHMW_CORRUPT;
        if (walk->frames == 0)
            walk->first = sequence;
        walk->last = sequence;
        at = place.end;
    }
    *position = UINT64_MAX;
    *finding = NULL;
    return SHMW_OK;
}

/* I1 and I3, and the counts of a channel at rest: nobody held the lock, before and after. */
static int check_counts(const struct shmw_shmcomm_channel *channel, const struct walk *walk, uint64_t head, bool rests,
                        const char **finding)
{
    const struct shmw_shmcomm_wire_header *header = channel->header;
    const uint64_t count = shmw_load_relaxed(&header->message_count);
    const uint64_t dropped = shmw_load_relaxed(&header->dropped_count);
    shmw_fence_acquire(); /* F5: pairs with F5; the counts before head and the lock */
    const bool same = shmw_load_relaxed(&header->head) == head &&
                      (shmw_load_relaxed(&header->writer_lock) & ~SHMW_SHMCOMM_LOCK_WAITERS) == SHMW_SHMCOMM_LOCK_FREE;
    if (!rests || !same || walk->frames == 0)
        return SHMW_OK;
    *finding = "message_count is not the last sequence + 1";
    if (count != walk->last + 1)
        return SHMW_CORRUPT;
    *finding = "dropped_count is not the first sequence";
    if (channel->pattern == SHMW_SHMCOMM_PATTERN_PUBSUB && dropped != walk->first)
        return SHMW_CORRUPT;
    *finding = NULL;
    return SHMW_OK;
}

static int validate_once(const struct shmw_shmcomm_channel *channel, const char **finding, uint64_t *position)
{
    const struct shmw_shmcomm_wire_header *header = channel->header;
    struct walk walk = {0};
    /* A1: pairs with R1; the counts of the writer who freed it */
    const uint32_t word = shmw_load_acquire(&header->writer_lock);
    const uint64_t tail = shmw_load_acquire(&header->tail); /* A3: pairs with R3; a head that is not below it */
    const uint64_t head = shmw_load_acquire(&header->head); /* A2: pairs with R2; the frames */
    *position = UINT64_MAX;
    *finding = "head and tail are impossible";
    if (!shmw_shmcomm_possible(channel, head, tail))
        return gone(channel, tail) ? SHMW_LAPPED : SHMW_CORRUPT;
    const int rc = walk_frames(channel, tail, head, &walk, finding, position);
    if (rc != SHMW_OK)
        return rc;
    return check_counts(channel, &walk, head, (word & ~SHMW_SHMCOMM_LOCK_WAITERS) == SHMW_SHMCOMM_LOCK_FREE, finding);
}

int shmw_shmcomm_validate(const shmw_shmcomm *observer, const char **finding, uint64_t *position)
{
    const char *text = NULL;
    uint64_t at = UINT64_MAX;
    if (observer == NULL)
        return SHMW_INVALID_ARGUMENT;
    if (observer->role != SHMW_SHMCOMM_OBSERVER)
        return SHMW_UNSUPPORTED;
    struct shmw_shmcomm_channel seen = observer->channel;
    int rc = shmw_shmcomm_check(&seen, &text);
    for (unsigned tries = 0; rc == SHMW_OK && tries < SHMW_SHMCOMM_READ_TRIES; tries++) {
        rc = validate_once(&observer->channel, &text, &at);
        if (rc != SHMW_LAPPED)
            break;
        rc = SHMW_OK; /* what it looked at has gone; what has come is as good */
        text = NULL;
        at = UINT64_MAX;
    }
    if (finding != NULL)
        *finding = rc == SHMW_OK ? NULL : text;
    if (position != NULL)
        *position = rc == SHMW_OK ? UINT64_MAX : at;
    return rc;
}
