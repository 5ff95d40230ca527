/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm, section 3: making a segment, checking one, looking into one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define POSITION_LOOKS 64 /* at a tail that moves under them */

/* Checks ------------------------------------------------------------------------------------------------------------ */

/* [shmcomm.segment.positions]: of a moment at which both were so. */
static int check_positions(const struct shmw_shmcomm_channel *channel, const char **finding)
{
    const struct shmw_shmcomm_wire_header *header = channel->header;
    uint64_t tail = shmw_load_acquire(&header->tail); /* A3: pairs with R3; no head from before it */
    uint64_t head = 0;
    for (unsigned look = 0;; look++) {
        head = shmw_load_acquire(&header->head);               /* A2: pairs with R2 */
        const uint64_t now = shmw_load_acquire(&header->tail); /* A3: pairs with R3 */
        if (now == tail)
            break;
        if (look == POSITION_LOOKS)
            return SHMW_OK; /* they move: whoever uses them checks them again */
        tail = now;
    }
    *finding = "head or tail is no multiple of 8";
    if (((head | tail) & (SHMW_SHMCOMM_FRAME_ALIGN - 1)) != 0)
        return SHMW_CORRUPT;
    *finding = "head and tail are further apart than the ring is long";
    return head - tail <= channel->capacity ? SHMW_OK : SHMW_CORRUPT;
}

/* [shmcomm.segment.geometry], [shmcomm.segment.size] */
static int check_geometry(struct shmw_shmcomm_channel *channel, const char **finding)
{
    const struct shmw_shmcomm_wire_header *header = channel->header;
    channel->capacity = shmw_field_load(&header->capacity);
    channel->pattern = shmw_field_load(&header->pattern);
    const uint32_t serializer = shmw_field_load(&header->serializer);
    const uint32_t state = shmw_load_acquire(&header->state); /* A7: pairs with R7 */
    *finding = "capacity is not a power of two from 4,096 to 2^38";
    if (!shmw_is_power_of_two(channel->capacity) || channel->capacity < SHMW_SHMCOMM_MIN_CAPACITY ||
        channel->capacity > SHMW_SHMCOMM_MAX_CAPACITY)
        return SHMW_BAD_GEOMETRY;
    *finding = "pattern is not 1 to 4";
    if (channel->pattern < SHMW_SHMCOMM_PATTERN_PUBSUB || channel->pattern > SHMW_SHMCOMM_PATTERN_REPLY)
        return SHMW_BAD_GEOMETRY;
    *finding = "state is not 1 or 2";
    if (state != SHMW_SHMCOMM_STATE_OPEN && state != SHMW_SHMCOMM_STATE_CLOSED)
        return SHMW_BAD_GEOMETRY;
    *finding = "serializer is above 65,535";
    if (serializer > UINT16_MAX)
        return SHMW_BAD_GEOMETRY;
    channel->serializer = (uint16_t)serializer;
    *finding = "the ring passes the end of the segment";
    return shmw_shmcomm_segment_size(channel->capacity) <= channel->map.size ? SHMW_OK : SHMW_TRUNCATED;
}

int shmw_shmcomm_check(struct shmw_shmcomm_channel *channel, const char **finding)
{
    const struct shmw_shmcomm_wire_header *header = channel->header;
    const uint64_t magic = shmw_load_acquire(&header->magic); /* A0: pairs with R0; the header after it */
    *finding = "magic is 0: the segment is being made";
    if (magic == 0)
        return SHMW_NOT_READY; /* [shmcomm.segment.not-ready] */
    *finding = "magic is not MAGIC";
    if (magic != SHMW_SHMCOMM_MAGIC)
        return SHMW_BAD_MAGIC; /* [shmcomm.segment.magic] */
    *finding = "version is not 2";
    if (shmw_field_load(&header->version) != SHMW_SHMCOMM_VERSION)
        return SHMW_BAD_VERSION; /* [shmcomm.segment.version] */
    int rc = check_geometry(channel, finding);
    if (rc == SHMW_OK)
        rc = check_positions(channel, finding);
    if (rc != SHMW_OK)
        return rc;
    channel->ring = channel->map.base + SHMW_SHMCOMM_RING_OFFSET;
    *finding = NULL;
    return SHMW_OK;
}

/* Mapping ----------------------------------------------------------------------------------------------------------- */

static int open_again(int fd, int flags)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* the same file, whatever has its name by now */
    return open(path, flags | O_CLOEXEC);
}

/* Through a description of its own: a mapping keeps the one that it was made from, and a child forked later has the mapping.
 * What holds our bytes must end with us [shmcomm.endpoint.fork]. */
static int map_bytes(struct shmw_shmcomm_channel *channel, int fd, bool writable, uint64_t size)
{
    channel->map = (struct shmw_map){.fd = open_again(fd, writable ? O_RDWR : O_RDONLY), .writable = writable};
    if (channel->map.fd < 0)
        return errno == EACCES ? SHMW_PERMISSION : SHMW_SYSTEM;
    const int rc = shmw_map_file(&channel->map, size);
    const int cause = errno;
    close(channel->map.fd);
    errno = cause;
    channel->map.fd = -1;
    channel->header = rc == SHMW_OK ? (struct shmw_shmcomm_wire_header *)(void *)channel->map.base : NULL;
    if (writable)
        channel->counts = channel->header;
    return rc;
}

static void unmap_bytes(struct shmw_shmcomm_channel *channel)
{
    const int cause = errno;
    if (channel->counts != NULL && channel->counts != channel->header)
        munmap(channel->counts, sizeof(*channel->counts));
    if (channel->map.base != NULL)
        munmap(channel->map.base, channel->map.size);
    channel->map = (struct shmw_map){.fd = -1};
    channel->header = NULL;
    channel->counts = NULL;
    errno = cause;
}

int shmw_shmcomm_map(struct shmw_shmcomm_channel *channel, int fd, bool writable, bool *unfinished)
{
    struct stat status;
    const char *finding;
    *unfinished = false;
    if (fstat(fd, &status) != 0)
        return SHMW_SYSTEM;
    if (!S_ISREG(status.st_mode))
        return SHMW_INVALID_NAME;
    *unfinished = (uint64_t)status.st_size < sizeof(struct shmw_shmcomm_wire_header);
    if (*unfinished)
        return SHMW_TRUNCATED; /* [shmcomm.segment.size] */
    int rc = map_bytes(channel, fd, writable, (uint64_t)status.st_size);
    if (rc == SHMW_OK)
        rc = shmw_shmcomm_check(channel, &finding);
    *unfinished = rc == SHMW_NOT_READY;
    if (rc != SHMW_OK)
        unmap_bytes(channel);
    return rc;
}

void shmw_shmcomm_unmap(struct shmw_shmcomm_channel *channel)
{
    const int cause = errno;
    unmap_bytes(channel);
    if (channel->guard.listed || channel->guard.fd >= 0)
        shmw_forks_close(&channel->guard);
    free(channel->locator);
    channel->locator = NULL;
    errno = cause;
}

/* Making ------------------------------------------------------------------------------------------------------------ */

uint64_t shmw_shmcomm_random(void)
{
    uint64_t number = 0;
    while (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
        continue; /* fails only while the system starts, or for a signal */
    return number;
}

/* The memory is ours and full of zeros: only what differs is stored [shmcomm.segment.init]. */
static void write_header(const struct shmw_shmcomm_channel *channel, const struct shmw_shmcomm_joining *joining)
{
    struct shmw_shmcomm_wire_header *header = channel->header;
    uint64_t instance = joining->identity->instance;
    while (instance == 0)
        instance = shmw_shmcomm_random();
    shmw_field_store(&header->version, SHMW_SHMCOMM_VERSION);
    shmw_field_store(&header->capacity, joining->capacity);
    shmw_field_store(&header->pattern, joining->pattern);
    shmw_field_store(&header->serializer, joining->serializer);
    shmw_field_store(&header->instance, instance);
    shmw_store_relaxed(&header->state, SHMW_SHMCOMM_STATE_OPEN); /* published by R0, as everything here */
}

int shmw_shmcomm_make(struct shmw_shmcomm_channel *channel, const struct shmw_shmcomm_joining *joining)
{
    const uint64_t size = shmw_shmcomm_segment_size(joining->capacity);
    const struct shmw_map file = {.fd = channel->guard.fd};
    if (ftruncate(file.fd, (off_t)size) != 0)
        return SHMW_SYSTEM;
    int rc = shmw_map_reserve(&file, 0, size);
    if (rc == SHMW_OK)
        rc = map_bytes(channel, file.fd, true, size);
    if (rc != SHMW_OK)
        return rc;
    channel->ring = channel->map.base + SHMW_SHMCOMM_RING_OFFSET;
    channel->capacity = joining->capacity;
    channel->pattern = joining->pattern;
    channel->serializer = joining->serializer;
    shmw_map_prefault(&channel->map, 0, channel->map.size);
    write_header(channel, joining);
    return SHMW_OK;
}

void shmw_shmcomm_announce(const struct shmw_shmcomm_channel *channel)
{
    /* R0: pairs with A0; the whole header [shmcomm.segment.init] */
    shmw_store_release(&channel->header->magic, SHMW_SHMCOMM_MAGIC);
}

/* Looking ----------------------------------------------------------------------------------------------------------- */

/* One more mapping of the header, to be counted in when we sleep; none if the mode does not let us [shmcomm.segment.readonly]. */
static void map_counts(struct shmw_shmcomm_channel *channel)
{
    const int cause = errno;
    const int fd = open_again(channel->guard.fd, O_RDWR);
    if (fd >= 0) {
        void *header = mmap(NULL, sizeof(*channel->counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        channel->counts = header != MAP_FAILED ? header : NULL;
        close(fd);
    }
    errno = cause;
}

static int attach_once(struct shmw_shmcomm_channel *channel, const char *locator, bool *wait)
{
    int rc = shmw_map_open_file(locator, O_RDONLY, 0, &channel->guard.fd);
    *wait = rc == SHMW_NOT_FOUND;
    if (rc != SHMW_OK)
        return rc;
    rc = shmw_shmcomm_map(channel, channel->guard.fd, false, wait);
    if (rc == SHMW_OK)
        return rc;
    const int cause = errno;
    close(channel->guard.fd);
    channel->guard.fd = -1;
    errno = cause;
    return rc;
}

int shmw_shmcomm_attach(struct shmw_shmcomm_channel *channel, const char *locator, uint64_t wait_ns, bool count)
{
    const uint64_t deadline = shmw_deadline(wait_ns);
    struct shmw_backoff backoff = {0};
    for (;;) {
        bool wait = false;
        const bool last = shmw_expired(deadline);
        const int rc = attach_once(channel, locator, &wait);
        if (rc == SHMW_OK && count)
            map_counts(channel);
        if (!wait || last)
            return rc;
        shmw_backoff_pause(&backoff, deadline);
    }
}
