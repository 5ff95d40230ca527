/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm, section 4: joining and leaving. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define DRAWS 1024 /* of a number; that all of them are taken means that somebody holds every byte */
#define NS_PER_S UINT64_C(1000000000)

/* Membership -------------------------------------------------------------------------------------------------------- */

static int open_again(int fd, struct shmw_guarded *lock)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    shmw_forks_hold(); /* a child that had it too would hold the lock on when we are killed */
    lock->fd = open(path, O_RDONLY | O_CLOEXEC);
    const int rc = lock->fd < 0 ? errno == EACCES ? SHMW_PERMISSION : SHMW_SYSTEM : shmw_forks_add(lock);
    shmw_forks_release();
    return rc;
}

int shmw_shmcomm_membership(int fd, struct shmw_guarded *lock, bool *named)
{
    struct stat status;
    *lock = (struct shmw_guarded){.fd = -1};
    *named = false;
    int rc = open_again(fd, lock);
    if (rc != SHMW_OK)
        return rc;
    do
        rc = flock(lock->fd, LOCK_EX);
    while (rc != 0 && errno == EINTR);
    if (rc != 0 || fstat(lock->fd, &status) != 0)
        return SHMW_SYSTEM;
    *named = status.st_nlink != 0;
    return SHMW_OK;
}

void shmw_shmcomm_membership_end(struct shmw_guarded *lock)
{
    shmw_forks_close(lock);
}

bool shmw_shmcomm_keeper_lives(int fd)
{
    return shmw_ofd_ask(fd, SHMW_SHMCOMM_KEEPER_BASE + 1, SHMW_SHMCOMM_MAX_ENDPOINT) != SHMW_OK;
}

/* Joining ----------------------------------------------------------------------------------------------------------- */

static uint64_t boot_clock(const struct shmw_shmcomm_channel *channel)
{
    struct timespec now;
    if (channel->boot_ns != 0)
        return channel->boot_ns;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* [shmcomm.join.heartbeat] */
void shmw_shmcomm_beat(struct shmw_shmcomm_channel *channel)
{
    shmw_store_relaxed(&channel->header->heartbeat_ns, boot_clock(channel));
    channel->unbeaten = 0;
}

/* Take byte n, and a keeper's; then look [shmcomm.endpoint.lock]. */
static int take_bytes(const struct shmw_shmcomm_channel *channel, uint32_t number)
{
    const int fd = channel->guard.fd;
    int rc = shmw_ofd_take(fd, number);
    if (rc == SHMW_OK && channel->keeper) {
        rc = shmw_ofd_take(fd, SHMW_SHMCOMM_KEEPER_BASE + number);
        if (rc != SHMW_OK)
            shmw_ofd_give(fd, number);
    }
    const uint32_t owner = shmw_load_relaxed(&channel->header->writer_lock) & ~SHMW_SHMCOMM_LOCK_WAITERS;
    if (rc != SHMW_OK || number != owner)
        return rc;
    shmw_ofd_give(fd, number); /* of a dead one: with us its lock would look held [shmcomm.endpoint.number] */
    if (channel->keeper)
        shmw_ofd_give(fd, SHMW_SHMCOMM_KEEPER_BASE + number);
    return SHMW_BUSY;
}

static int take_number(struct shmw_shmcomm_channel *channel, const struct shmw_shmcomm_joining *joining)
{
    uint32_t number = joining->wish;
    for (unsigned draw = 0; draw < DRAWS; draw++) {
        while (number == 0)
            number = (uint32_t)shmw_shmcomm_random() & SHMW_SHMCOMM_MAX_ENDPOINT;
        const int rc = take_bytes(channel, number);
        if (rc == SHMW_OK)
            channel->number = number;
        if (rc != SHMW_BUSY || joining->wish_only)
            return rc;
        number = 0;
    }
    return SHMW_BUSY;
}

/* Step 5: an open channel of ours, if it is nobody's [shmcomm.join.takeover, .owner]. */
static void settle_in(struct shmw_shmcomm_channel *channel)
{
    struct shmw_shmcomm_wire_header *header = channel->header;
    if (!channel->keeper)
        return;
    const bool closed = shmw_load_acquire(&header->state) == SHMW_SHMCOMM_STATE_CLOSED; /* A7: pairs with R7 */
    if (closed || shmw_load_relaxed(&header->owner_endpoint) == 0 || !shmw_shmcomm_keeper_lives(channel->guard.fd)) {
        shmw_store_release(&header->state, SHMW_SHMCOMM_STATE_OPEN); /* R7: pairs with A7 */
        shmw_store_relaxed(&header->owner_pid, channel->owner_pid != 0 ? channel->owner_pid : (uint32_t)getpid());
        shmw_store_relaxed(&header->owner_endpoint, channel->number);
    }
    channel->beat_ns = shmw_wall_clock();
    shmw_shmcomm_beat(channel);
}

static int open_for(struct shmw_shmcomm_channel *channel, const struct shmw_shmcomm_joining *joining, bool *created)
{
    const bool may_create = joining->keeper && joining->making != SHMW_SHMCOMM_JOIN_ONLY;
    int rc = SHMW_NOT_FOUND;
    shmw_forks_hold(); /* until the descriptor is on the list: no child is to keep our bytes locked */
    if (joining->making != SHMW_SHMCOMM_CREATE_ONLY || !joining->keeper)
        rc = shmw_map_open_file(channel->locator, O_RDWR, 0, &channel->guard.fd);
    if (rc == SHMW_NOT_FOUND && may_create) {
        rc = shmw_map_open_file(channel->locator, O_RDWR | O_CREAT | O_EXCL, joining->mode, &channel->guard.fd);
        *created = rc == SHMW_OK;
    }
    if (rc == SHMW_OK)
        rc = shmw_forks_add(&channel->guard);
    else
        channel->guard.fd = -1;
    shmw_forks_release();
    return rc;
}

/* Steps 3 to 5, with the membership lock of a file that has its name. */
static int enter(struct shmw_shmcomm_channel *channel, const struct shmw_shmcomm_joining *joining, bool created, bool *unfinished)
{
    int rc = created ? shmw_shmcomm_make(channel, joining)
                     : shmw_shmcomm_map(channel, channel->guard.fd, true, unfinished);
    if (rc == SHMW_OK && joining->pattern != 0 && channel->pattern != joining->pattern)
        rc = SHMW_UNSUPPORTED; /* [shmcomm.segment.pattern] */
    if (rc == SHMW_OK)
        rc = take_number(channel, joining);
    if (rc == SHMW_OK)
        settle_in(channel);
    if (rc == SHMW_OK && created)
        shmw_shmcomm_announce(channel);
    else if (created)
        shmw_unlink(channel->locator); /* ours, and not published */
    return rc;
}

enum outcome { DONE, AGAIN, WAIT };

/* One try. last: the waiting time is over. */
static enum outcome join_once(struct shmw_shmcomm_channel *channel, const struct shmw_shmcomm_joining *joining, bool last,
                              int *rc)
{
    const bool replaces = joining->keeper && joining->making == SHMW_SHMCOMM_JOIN_OR_CREATE;
    struct shmw_guarded lock;
    bool created = false;
    bool named = false;
    bool unfinished = false;
    *rc = open_for(channel, joining, &created);
    if (*rc == SHMW_EXISTS && joining->making != SHMW_SHMCOMM_CREATE_ONLY)
        return AGAIN; /* another one made it since we looked */
    if (*rc == SHMW_NOT_FOUND && !last)
        return WAIT;
    if (*rc != SHMW_OK)
        return DONE;
    *rc = shmw_shmcomm_membership(channel->guard.fd, &lock, &named);
    if (*rc == SHMW_OK && named)
        *rc = enter(channel, joining, created, &unfinished);
    if (unfinished && last && replaces)
        shmw_unlink(channel->locator); /* its creator is dead: it had the membership lock otherwise [shmcomm.join.unfinished] */
    const int cause = errno;
    shmw_shmcomm_membership_end(&lock);
    errno = cause;
    if (*rc == SHMW_OK)
        return named ? DONE : AGAIN;
    if (!unfinished)
        return DONE;
    return !last ? WAIT : replaces ? AGAIN : DONE;
}

/* What a try left behind that was not the last. */
static void undo(struct shmw_shmcomm_channel *channel)
{
    char *locator = channel->locator;
    channel->locator = NULL;
    shmw_shmcomm_unmap(channel);
    channel->locator = locator;
}

int shmw_shmcomm_join(struct shmw_shmcomm_channel *channel, char *locator, const struct shmw_shmcomm_joining *joining)
{
    const uint64_t deadline = shmw_deadline(joining->wait_ns);
    struct shmw_backoff backoff = {0};
    int rc;
    *channel = (struct shmw_shmcomm_channel){
        .map = {.fd = -1},
        .guard = {.fd = -1},
        .locator = locator,
        .keeper = joining->keeper,
        .puller = joining->puller,
        .owner_pid = joining->identity->pid,
        .boot_ns = joining->identity->boot_ns,
    };
    for (;;) {
        const bool last = shmw_expired(deadline);
        const enum outcome outcome = join_once(channel, joining, last, &rc);
        if (outcome == DONE)
            break;
        undo(channel);
        if (outcome == WAIT)
            shmw_backoff_pause(&backoff, deadline);
    }
    if (rc != SHMW_OK) {
        shmw_shmcomm_unmap(channel);
        return rc;
    }
    channel->seen_head = shmw_load_acquire(&channel->header->tail); /* A3: pairs with R3; nothing seen yet */
    shmw_map_prefault(&channel->map, 0, channel->map.size);
    return SHMW_OK;
}

/* Leaving ----------------------------------------------------------------------------------------------------------- */

void shmw_shmcomm_close_state(struct shmw_shmcomm_wire_header *header)
{
    shmw_store_release(&header->state, SHMW_SHMCOMM_STATE_CLOSED); /* R7: pairs with A7; all that was published */
    shmw_add_release(&header->data_signal, 1);                     /* R4: pairs with A4; the state */
    shmw_add_release(&header->space_signal, 1);                    /* R4: pairs with A4; the state */
    shmw_futex_wake(&header->data_signal, UINT64_MAX);
    shmw_futex_wake(&header->space_signal, UINT64_MAX);
}

static bool holds_messages(const struct shmw_shmcomm_channel *channel)
{
    const struct shmw_shmcomm_wire_header *header = channel->header;
    return shmw_load_acquire(&header->tail) != shmw_load_acquire(&header->head); /* A3, A2: pair with R3, R2 */
}

/* With the membership lock of a file that has its name: the last of a pipeline [shmcomm.leave.drained]. */
static void remove_drained(const struct shmw_shmcomm_channel *channel)
{
    const bool closed = shmw_load_acquire(&channel->header->state) == SHMW_SHMCOMM_STATE_CLOSED; /* A7: pairs with R7 */
    if (closed && !holds_messages(channel) && !shmw_shmcomm_keeper_lives(channel->guard.fd))
        shmw_unlink(channel->locator);
}

int shmw_shmcomm_drained(const struct shmw_shmcomm_channel *channel)
{
    struct shmw_guarded lock;
    bool named = false;
    const int cause = errno;
    int rc = shmw_shmcomm_membership(channel->guard.fd, &lock, &named);
    if (rc == SHMW_OK) {
        /* A keeper may have taken the channel over while we waited. A7: pairs with R7 */
        const bool closed = shmw_load_acquire(&channel->header->state) == SHMW_SHMCOMM_STATE_CLOSED;
        rc = closed && !holds_messages(channel) ? SHMW_CLOSED : SHMW_EMPTY;
        if (named && rc == SHMW_CLOSED)
            remove_drained(channel);
    }
    shmw_shmcomm_membership_end(&lock);
    if (rc >= 0)
        errno = cause;
    return rc;
}

static void give_bytes(const struct shmw_shmcomm_channel *channel)
{
    shmw_ofd_give(channel->guard.fd, channel->number);
    if (channel->keeper)
        shmw_ofd_give(channel->guard.fd, SHMW_SHMCOMM_KEEPER_BASE + channel->number);
}

/* Steps 3 to 5, under the membership lock. Our own bytes do not count when we ask; they are given back last, so that of two
 * that leave together the second finds the first one gone. */
static void go_out(struct shmw_shmcomm_channel *channel, bool named)
{
    if (channel->keeper && !shmw_shmcomm_keeper_lives(channel->guard.fd)) { /* [shmcomm.leave.last, .others] */
        shmw_shmcomm_close_state(channel->header);
        if (named && !(channel->pattern == SHMW_SHMCOMM_PATTERN_PIPELINE && holds_messages(channel)))
            shmw_unlink(channel->locator);
    } else if (named && channel->puller) {
        remove_drained(channel);
    }
    give_bytes(channel);
}

void shmw_shmcomm_leave(struct shmw_shmcomm_channel *channel)
{
    const int cause = errno;
    if (channel->number != 0 && !channel->guard.gone) {
        struct shmw_guarded lock;
        bool named = false;
        if (channel->holds)
            shmw_shmcomm_unlock(channel);
        if (shmw_shmcomm_membership(channel->guard.fd, &lock, &named) == SHMW_OK)
            go_out(channel, named);
        shmw_shmcomm_membership_end(&lock); /* without it nobody is told: the channel is stale, as if we had been killed */
    }
    shmw_shmcomm_unmap(channel);
    channel->number = 0;
    errno = cause;
}
