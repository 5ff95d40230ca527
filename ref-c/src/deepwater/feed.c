/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater: the registry of one feed, which says where its chunks are. One writer changes it, under its lock; readers map it
 * and ask nobody. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

#define FEED_FILE "feed_registry.bin"

static uint64_t feed_size(uint32_t capacity)
{
    return sizeof(struct shmw_deepwater_wire_feed_registry) + (uint64_t)capacity * sizeof(struct shmw_deepwater_wire_row);
}

/* Making ------------------------------------------------------------------------------------------------------------ */

static int write_header(struct shmw_map *map, uint32_t id, uint32_t capacity)
{
    const uint64_t size = feed_size(capacity);
    if (ftruncate(map->fd, 0) != 0 || ftruncate(map->fd, (off_t)size) != 0)
        return SHMW_SYSTEM;
    int rc = shmw_map_reserve(map, 0, sizeof(struct shmw_deepwater_wire_feed_registry));
    if (rc == SHMW_OK)
        rc = shmw_map_file(map, sizeof(struct shmw_deepwater_wire_feed_registry));
    if (rc != SHMW_OK)
        return rc;
    struct shmw_deepwater_wire_feed_registry *header = (void *)map->base;
    header->version = SHMW_DEEPWATER_VERSION;
    header->row_size = SHMW_DEEPWATER_ROW_SIZE;
    header->capacity = capacity;
    header->feed_id = id;
    shmw_store_relaxed(&header->latest, SHMW_DEEPWATER_NONE); /* published by R0, as all of this */
    shmw_store_relaxed(&header->last_sequence, SHMW_DEEPWATER_NONE);
    shmw_store_release(&header->magic, SHMW_DEEPWATER_FEED_MAGIC); /* R0: pairs with A0; the header */
    munmap(map->base, map->size);
    return SHMW_OK;
}

int shmw_deepwater_feed_make(int directory, uint32_t id, const struct shmw_deepwater_feed_options *options)
{
    struct shmw_map map = {.fd = -1, .writable = true};
    struct stat status;
    int rc = shmw_deepwater_file_open(directory, FEED_FILE, O_RDWR | O_CREAT, options->mode, &map.fd);
    if (rc != SHMW_OK)
        return rc;
    /* One that is there is of a maker that died before it made the entry: nobody can have found it. */
    rc = fstat(map.fd, &status) == 0 ? write_header(&map, id, options->rows) : SHMW_SYSTEM;
    if (rc == SHMW_OK && options->persist && (fsync(map.fd) != 0 || fsync(directory) != 0))
        rc = SHMW_SYSTEM;
    const int cause = errno;
    close(map.fd);
    errno = cause;
    return rc;
}

/* Opening ----------------------------------------------------------------------------------------------------------- */

static int check_header(struct shmw_deepwater_place *place)
{
    const struct shmw_deepwater_wire_feed_registry *header = place->header;
    const uint64_t magic = shmw_load_acquire(&header->magic); /* A0: pairs with R0; the header after it */
    if (magic == 0)
        return SHMW_NOT_READY; /* [deepwater.open.not-ready] */
    if (magic != SHMW_DEEPWATER_FEED_MAGIC)
        return SHMW_BAD_MAGIC; /* [deepwater.open.magic] */
    if (shmw_field_load(&header->version) != SHMW_DEEPWATER_VERSION)
        return SHMW_BAD_VERSION; /* [deepwater.open.version] */
    place->capacity = shmw_field_load(&header->capacity);
    if (shmw_field_load(&header->row_size) != SHMW_DEEPWATER_ROW_SIZE || place->capacity == 0 ||
        place->capacity > SHMW_DEEPWATER_MAX_ROWS)
        return SHMW_BAD_GEOMETRY; /* [deepwater.open.geometry] */
    if (feed_size(place->capacity) > place->map.size)
        return SHMW_TRUNCATED; /* [deepwater.open.size] */
    place->rows = (struct shmw_deepwater_wire_row *)(void *)(place->map.base + sizeof(*header));
    return shmw_deepwater_rows(place) <= place->capacity ? SHMW_OK : SHMW_CORRUPT; /* [deepwater.open.count] */
}

/* Map the file of the guard through a description of its own: a mapping keeps the description that it was made from, a forked child has
 * the mapping, and the lock would outlive the writer. */
static int map_again(struct shmw_deepwater_place *place, uint64_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", place->guard.fd);
    int rc = shmw_map_open_file(path, place->map.writable ? O_RDWR : O_RDONLY, 0, &place->map.fd);
    if (rc != SHMW_OK)
        return rc;
    rc = shmw_map_file(&place->map, size);
    const int cause = errno;
    close(place->map.fd);
    place->map.fd = -1;
    errno = cause;
    return rc;
}

static int map_registry(struct shmw_deepwater_place *place)
{
    struct stat status;
    if (fstat(place->guard.fd, &status) != 0)
        return SHMW_SYSTEM;
    if ((uint64_t)status.st_size < sizeof(*place->header))
        return SHMW_TRUNCATED;
    int rc = map_again(place, (uint64_t)status.st_size);
    if (rc != SHMW_OK)
        return rc;
    place->header = (struct shmw_deepwater_wire_feed_registry *)(void *)place->map.base;
    rc = check_header(place);
    if (rc != SHMW_OK) {
        munmap(place->map.base, place->map.size);
        place->map.base = NULL;
        place->header = NULL;
    }
    return rc;
}

/* A writer's descriptor is on the list of those that a forked child closes: the lock must not outlive the writer. */
static int open_file(struct shmw_deepwater_place *place, bool writable)
{
    if (!writable)
        return shmw_deepwater_file_open(place->directory, FEED_FILE, O_RDONLY, 0, &place->guard.fd);
    shmw_forks_hold();
    int rc = shmw_deepwater_file_open(place->directory, FEED_FILE, O_RDWR, 0, &place->guard.fd);
    if (rc == SHMW_OK)
        rc = shmw_forks_add(&place->guard);
    shmw_forks_release();
    return rc;
}

int shmw_deepwater_feed_open(struct shmw_deepwater_place *place, bool writable, uint64_t wait_ns)
{
    const uint64_t deadline = shmw_deadline(wait_ns);
    struct shmw_backoff backoff = {0};
    place->map = (struct shmw_map){.fd = -1, .writable = writable};
    for (;;) {
        const bool last = shmw_expired(deadline);
        int rc = open_file(place, writable);
        if (rc == SHMW_OK)
            rc = map_registry(place);
        if (rc == SHMW_OK || last || (rc != SHMW_NOT_FOUND && rc != SHMW_NOT_READY && rc != SHMW_TRUNCATED))
            return rc;
        shmw_forks_close(&place->guard);
        shmw_backoff_pause(&backoff, deadline);
    }
}

/* Lock -------------------------------------------------------------------------------------------------------------- */

int shmw_deepwater_lock(struct shmw_deepwater_place *place)
{
    return shmw_ofd_take(place->guard.fd, SHMW_DEEPWATER_LOCK_BYTE); /* [deepwater.feed.one-writer] */
}

bool shmw_deepwater_writer_lives(const struct shmw_deepwater_place *place)
{
    return shmw_ofd_ask(place->guard.fd, SHMW_DEEPWATER_LOCK_BYTE, 1) != SHMW_OK;
}

/* Rows -------------------------------------------------------------------------------------------------------------- */

uint64_t shmw_deepwater_rows(const struct shmw_deepwater_place *place)
{
    return shmw_load_acquire(&place->header->count); /* A2: pairs with R2; the rows below it */
}

static void load_fields(struct shmw_deepwater_wire_row *wire, struct shmw_deepwater_row *row)
{
    row->id = shmw_field_load(&wire->chunk_id);
    row->state = shmw_load_relaxed(&wire->state);
    row->first_sequence = shmw_field_load(&wire->first_sequence);
    row->record_count = shmw_load_relaxed(&wire->record_count);
    row->start_ns = shmw_load_relaxed(&wire->start_ns);
    row->end_ns = shmw_load_relaxed(&wire->end_ns);
    row->data_bytes = shmw_load_relaxed(&wire->data_bytes);
    row->data_capacity = shmw_field_load(&wire->data_capacity);
    row->data_crc = shmw_load_relaxed(&wire->data_crc);
    row->index_crc = shmw_load_relaxed(&wire->index_crc);
}

int shmw_deepwater_row_load(const struct shmw_deepwater_place *place, uint64_t id, struct shmw_deepwater_row *row)
{
    if (id >= place->capacity)
        return SHMW_CORRUPT; /* a count that was good at opening may be bad now [deepwater.open.count] */
    struct shmw_deepwater_wire_row *wire = &place->rows[id];
    struct shmw_backoff backoff = {0};
    bool alone = false; /* no writer lived before this look */
    for (unsigned look = 0; look < SHMW_DEEPWATER_ROW_LOOKS; look++) {
        row->stamp = shmw_load_acquire(&wire->stamp); /* A5: pairs with R5; the fields of the change before */
        load_fields(wire, row);
        shmw_fence_acquire(); /* F6: pairs with F6; if a field is of a change under way, the stamp below shows it */
        if ((row->stamp & 1) == 0 && shmw_load_relaxed(&wire->stamp) == row->stamp)
            return row->id == id && row->state >= SHMW_DEEPWATER_STATE_LIVE && row->state <= SHMW_DEEPWATER_STATE_EXPIRED
                       ? SHMW_OK
                       : SHMW_CORRUPT;
        if (row->id != id)
            return SHMW_CORRUPT; /* no change touches it */
        if (alone && (row->stamp & 1) != 0)
            return SHMW_NOT_READY; /* its writer died within the change: the next one, or gc, mends it */
        alone = look >= SHMW_DEEPWATER_ATTACH_TRIES && !shmw_deepwater_writer_lives(place);
        shmw_backoff_pause(&backoff, SHMW_FOREVER);
    }
    return SHMW_CORRUPT;
}

int shmw_deepwater_row_own(const struct shmw_deepwater_place *place, uint64_t id, struct shmw_deepwater_row *row)
{
    const int rc = shmw_deepwater_row_load(place, id, row);
    return rc == SHMW_NOT_READY ? SHMW_CORRUPT : rc;
}

void shmw_deepwater_row_store(const struct shmw_deepwater_place *place, const struct shmw_deepwater_row *row)
{
    struct shmw_deepwater_wire_row *wire = &place->rows[row->id];
    const uint32_t stamp = shmw_load_relaxed(&wire->stamp) & ~UINT32_C(1); /* of a writer that died within a change: odd */
    shmw_store_relaxed(&wire->stamp, stamp + 1);
    shmw_fence_release(); /* F6: pairs with F6; the odd stamp before the fields */
    shmw_store_relaxed(&wire->state, row->state);
    shmw_store_relaxed(&wire->record_count, row->record_count);
    shmw_store_relaxed(&wire->end_ns, row->end_ns);
    shmw_store_relaxed(&wire->data_bytes, row->data_bytes);
    shmw_store_relaxed(&wire->data_crc, row->data_crc);
    shmw_store_relaxed(&wire->index_crc, row->index_crc);
    shmw_store_release(&wire->stamp, stamp + 2); /* R5: pairs with A5; the fields */
}

int shmw_deepwater_rows_flush(const struct shmw_deepwater_place *place)
{
    return fdatasync(place->guard.fd) == 0 ? SHMW_OK : SHMW_SYSTEM;
}

/* Waking and telling ------------------------------------------------------------------------------------------------ */

/* [deepwater.wait.wake], [deepwater.wait.no-call] */
void shmw_deepwater_wake(struct shmw_deepwater_wire_feed_registry *header, bool always)
{
    /* S8: pairs with S8 of a reader that goes to sleep; our commit before the load of waiters: we see it, or it sees the commit */
    shmw_fence_seqcst();
    if (!always && shmw_load_relaxed(&header->waiters) == 0)
        return;
    shmw_store_relaxed(&header->waiters, 0);
    shmw_add_release(&header->signal, 1); /* R7: pairs with A7; the waiters wiped out, and the commit, before the signal */
    shmw_futex_wake(&header->signal, UINT64_MAX);
}

void shmw_deepwater_describe(const struct shmw_deepwater_place *place, struct shmw_deepwater_feed *feed)
{
    const struct shmw_deepwater_wire_feed_registry *header = place->header;
    *feed = (struct shmw_deepwater_feed){
        .feed_id = place->id,
        .flags = shmw_load_acquire(&place->entry->flags),
        .chunk_size = place->chunk_size,
        .live_window = place->live_window,
        .record_size = place->record_size,
        .created_ns = shmw_field_load(&place->entry->created_ns),
        .rotate_ns = place->rotate_ns,
        .chunks = shmw_deepwater_rows(place),
        .latest = shmw_load_acquire(&header->latest), /* A3: pairs with R3; the row that it names */
        .last_sequence = shmw_load_acquire(&header->last_sequence),
        .last_timestamp_ns = shmw_load_relaxed(&header->last_timestamp_ns),
        .heartbeat_ns = shmw_load_relaxed(&header->heartbeat_ns),
        .writer_pid = shmw_load_relaxed(&header->writer_pid),
        .waiters = shmw_load_relaxed(&header->waiters),
        .writer_lives = shmw_deepwater_writer_lives(place),
    };
    memcpy(feed->name, place->name, sizeof(feed->name));
    memcpy(feed->directory, place->directory_name, sizeof(feed->directory));
}
