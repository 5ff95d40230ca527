/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm, section 10: repair after a dead writer, and the removal of channels that nobody keeps. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

/* Repair ------------------------------------------------------------------------------------------------------------ */

void shmw_shmcomm_raise_count(struct shmw_shmcomm_channel *channel, uint64_t count)
{
    _Atomic(uint64_t) *field = &channel->header->message_count;
    uint64_t now = shmw_load_relaxed(field);
    while (now < count && !shmw_cas_relaxed(field, &now, count))
        continue;
}

/* Walk the frames of [tail, head): none of them is overwritten, we hold the lock. *count: how many; *first and *last:
 * sequences. */
static int walk(const struct shmw_shmcomm_channel *channel, uint64_t tail, uint64_t head, uint64_t *count, uint64_t *first,
                uint64_t *last)
{
    for (uint64_t at = tail; at != head; (*count)++) {
        struct shmw_shmcomm_place place;
        const int rc = shmw_shmcomm_find(channel, at, head, &place);
        if (rc != SHMW_OK)
            return rc;
        *last = shmw_field_load(&shmw_shmcomm_frame(channel, place.at)->sequence);
        if (*count == 0)
            *first = *last;
        at = place.end;
    }
    return SHMW_OK;
}

int shmw_shmcomm_repair(struct shmw_shmcomm_channel *channel)
{
    struct shmw_shmcomm_wire_header *header = channel->header;
    /* A3: pairs with R3; the count that a puller raised before its claim */
    const uint64_t tail = shmw_load_acquire(&header->tail);
    const uint64_t head = shmw_load_acquire(&header->head); /* A2: pairs with R2; the frames */
    uint64_t frames = 0;
    uint64_t first = 0;
    uint64_t last = 0;
    if (!shmw_shmcomm_possible(channel, head, tail))
        return SHMW_CORRUPT;
    const int rc = walk(channel, tail, head, &frames, &first, &last);
    if (rc != SHMW_OK)
        return rc;
    if (frames > 0)
        shmw_shmcomm_raise_count(channel, last + 1); /* [shmcomm.recover.count] */
    if (channel->pattern == SHMW_SHMCOMM_PATTERN_PUBSUB) /* [shmcomm.recover.dropped] */
        shmw_store_relaxed(&header->dropped_count, frames > 0 ? first : shmw_load_relaxed(&header->message_count));
    shmw_shmcomm_wake_receivers(channel); /* the dead one may not have come to it [shmcomm.recover.wake] */
    return SHMW_OK;
}

/* Removal ----------------------------------------------------------------------------------------------------------- */

/* With the membership lock of a file that has a name still. */
static int remove_named(const char *locator, int fd, uint32_t pattern, bool insist)
{
    struct shmw_shmcomm_channel channel = {.map = {.fd = -1}, .guard = {.fd = -1}};
    bool unfinished = false;
    int rc = shmw_shmcomm_map(&channel, fd, true, &unfinished);
    if (unfinished)
        return shmw_unlink(locator);
    if (rc != SHMW_OK)
        return rc;
    struct shmw_shmcomm_wire_header *header = channel.header;
    if (pattern != 0 && channel.pattern != pattern)
        rc = SHMW_UNSUPPORTED;
    else if (shmw_shmcomm_keeper_lives(fd))
        rc = SHMW_BUSY; /* [shmcomm.remove.alive] */
    else if (channel.pattern == SHMW_SHMCOMM_PATTERN_PIPELINE && !insist &&
             shmw_load_acquire(&header->tail) != shmw_load_acquire(&header->head)) /* A3, A2: pair with R3, R2 */
        rc = SHMW_FULL; /* [shmcomm.remove.undelivered] */
    if (rc == SHMW_OK) {
        shmw_shmcomm_close_state(header); /* [shmcomm.remove.state] */
        rc = shmw_unlink(locator);
    }
    shmw_shmcomm_unmap(&channel);
    return rc;
}

int shmw_shmcomm_remove_stale(const char *locator, uint32_t pattern, bool insist)
{
    for (;;) {
        struct shmw_guarded lock;
        bool named = false;
        int fd;
        int rc = shmw_map_open_file(locator, O_RDWR, 0, &fd);
        if (rc != SHMW_OK)
            return rc;
        rc = shmw_shmcomm_membership(fd, &lock, &named);
        if (rc == SHMW_OK && named)
            rc = remove_named(locator, fd, pattern, insist);
        const int cause = errno;
        shmw_shmcomm_membership_end(&lock);
        close(fd);
        errno = cause;
        if (rc != SHMW_OK || named) /* else its name is another file's by now, or nobody's */
            return rc;
    }
}

int shmw_shmcomm_remove(const char *locator, bool insist)
{
    return locator != NULL ? shmw_shmcomm_remove_stale(locator, 0, insist) : SHMW_INVALID_ARGUMENT;
}

/* Recovery on demand ------------------------------------------------------------------------------------------------ */

/* The lock of a dead owner is taken, which repairs; one that is free is left alone. */
static int recover_lock(struct shmw_shmcomm_channel *channel, struct shmw_shmcomm_recovered *report)
{
    const struct shmw_shmcomm_wire_header *header = channel->header;
    if ((shmw_load_relaxed(&header->writer_lock) & ~SHMW_SHMCOMM_LOCK_WAITERS) == SHMW_SHMCOMM_LOCK_FREE)
        return SHMW_OK;
    const uint64_t counted = shmw_load_relaxed(&header->message_count);
    const uint64_t dropped = shmw_load_relaxed(&header->dropped_count);
    const int rc = shmw_shmcomm_lock_slowly(channel, 0);
    if (rc != SHMW_OK)
        return rc;
    report->lock_taken = channel->takeovers > 0;
    report->count_repaired = report->lock_taken && (counted != shmw_load_relaxed(&header->message_count) ||
                                                    dropped != shmw_load_relaxed(&header->dropped_count));
    shmw_shmcomm_unlock(channel);
    return SHMW_OK;
}

static int sweep_service(const char *locator, struct shmw_shmcomm_recovered *report)
{
    char *prefix = shmw_shmcomm_reply_prefix(locator);
    if (prefix == NULL)
        return SHMW_SYSTEM;
    report->swept = shmw_shmcomm_sweep(prefix);
    free(prefix);
    return SHMW_OK;
}

int shmw_shmcomm_recover(const char *locator, struct shmw_shmcomm_recovered *report)
{
    static const struct shmw_shmcomm_identity nobody;
    const struct shmw_shmcomm_joining joining = {.identity = &nobody};
    struct shmw_shmcomm_channel channel = {.map = {.fd = -1}, .guard = {.fd = -1}};
    struct shmw_shmcomm_recovered found = {0};
    char *own = NULL;
    if (locator == NULL)
        return SHMW_INVALID_ARGUMENT;
    int rc = (own = malloc(strlen(locator) + 1)) != NULL ? SHMW_OK : SHMW_SYSTEM;
    if (rc != SHMW_OK)
        return rc;
    rc = shmw_shmcomm_join(&channel, strcpy(own, locator), &joining);
    if (rc != SHMW_OK)
        return rc;
    rc = recover_lock(&channel, &found);
    if (rc == SHMW_OK && channel.pattern == SHMW_SHMCOMM_PATTERN_REQUEST)
        rc = sweep_service(locator, &found);
    shmw_shmcomm_leave(&channel);
    if (report != NULL)
        *report = found;
    return rc;
}
