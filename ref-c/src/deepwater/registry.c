/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater: the global registry, which says what feeds there are. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

#define REGISTRY_FILE "registry.bin"

static uint64_t registry_size(uint32_t capacity)
{
    return sizeof(struct shmw_deepwater_wire_registry) + (uint64_t)capacity * sizeof(struct shmw_deepwater_wire_feed);
}

/* Opening ----------------------------------------------------------------------------------------------------------- */

static int check_header(struct shmw_deepwater_registry *registry)
{
    const struct shmw_deepwater_wire_registry *header = registry->header;
    const uint64_t magic = shmw_load_acquire(&header->magic); /* A0: pairs with R0; the header after it */
    if (magic == 0)
        return SHMW_NOT_READY; /* [deepwater.open.not-ready] */
    if (magic != SHMW_DEEPWATER_REGISTRY_MAGIC)
        return SHMW_BAD_MAGIC; /* [deepwater.open.magic] */
    if (shmw_field_load(&header->version) != SHMW_DEEPWATER_VERSION)
        return SHMW_BAD_VERSION; /* [deepwater.open.version] */
    registry->capacity = shmw_field_load(&header->capacity);
    if (shmw_field_load(&header->entry_size) != SHMW_DEEPWATER_FEED_SIZE || registry->capacity == 0 ||
        registry->capacity > SHMW_DEEPWATER_MAX_FEEDS)
        return SHMW_BAD_GEOMETRY; /* [deepwater.open.geometry] */
    if (registry_size(registry->capacity) > registry->map.size)
        return SHMW_TRUNCATED; /* [deepwater.open.size] */
    registry->feeds = (struct shmw_deepwater_wire_feed *)(void *)(registry->map.base + sizeof(*header));
    /* A1: pairs with R1; entries below it [deepwater.open.count] */
    return shmw_load_acquire(&header->count) <= registry->capacity ? SHMW_OK : SHMW_CORRUPT;
}

static void registry_close(struct shmw_deepwater_registry *registry)
{
    const int cause = errno;
    if (registry->map.base != NULL)
        munmap(registry->map.base, registry->map.size);
    if (registry->map.fd >= 0)
        close(registry->map.fd);
    *registry = (struct shmw_deepwater_registry){.map = {.fd = -1}};
    errno = cause;
}

/* Map an open file, which is the registry's from now on, and check it. */
static int registry_map(struct shmw_deepwater_registry *registry)
{
    struct stat status;
    if (fstat(registry->map.fd, &status) != 0)
        return SHMW_SYSTEM;
    if ((uint64_t)status.st_size < sizeof(struct shmw_deepwater_wire_registry))
        return SHMW_TRUNCATED;
    const int rc = shmw_map_file(&registry->map, (uint64_t)status.st_size);
    if (rc != SHMW_OK)
        return rc;
    registry->header = (struct shmw_deepwater_wire_registry *)(void *)registry->map.base;
    return check_header(registry);
}

static int registry_open(int directory, bool writable, struct shmw_deepwater_registry *registry)
{
    *registry = (struct shmw_deepwater_registry){.map = {.fd = -1, .writable = writable}};
    int rc = shmw_deepwater_file_open(directory, REGISTRY_FILE, writable ? O_RDWR : O_RDONLY, 0, &registry->map.fd);
    if (rc == SHMW_OK)
        rc = registry_map(registry);
    if (rc != SHMW_OK)
        registry_close(registry);
    return rc;
}

/* Making ------------------------------------------------------------------------------------------------------------ */

static int write_header(struct shmw_deepwater_registry *registry, uint32_t capacity)
{
    const uint64_t size = registry_size(capacity);
    if (ftruncate(registry->map.fd, 0) != 0 || ftruncate(registry->map.fd, (off_t)size) != 0)
        return SHMW_SYSTEM;
    int rc = shmw_map_reserve(&registry->map, 0, sizeof(*registry->header));
    if (rc == SHMW_OK)
        rc = shmw_map_file(&registry->map, size);
    if (rc != SHMW_OK)
        return rc;
    registry->header = (struct shmw_deepwater_wire_registry *)(void *)registry->map.base;
    shmw_field_store(&registry->header->version, SHMW_DEEPWATER_VERSION);
    shmw_field_store(&registry->header->entry_size, SHMW_DEEPWATER_FEED_SIZE);
    shmw_field_store(&registry->header->capacity, capacity);
    shmw_store_release(&registry->header->magic, SHMW_DEEPWATER_REGISTRY_MAGIC); /* R0: pairs with A0; the header */
    return check_header(registry);
}

/* Open the registry with its lock held, and make it if it is not there or its maker died. The lock goes with the descriptor. */
static int registry_lock(int directory, uint32_t mode, uint32_t capacity, struct shmw_deepwater_registry *registry)
{
    *registry = (struct shmw_deepwater_registry){.map = {.fd = -1, .writable = true}};
    int rc = shmw_deepwater_file_open(directory, REGISTRY_FILE, O_RDWR | (mode != 0 ? O_CREAT : 0), mode, &registry->map.fd);
    if (rc == SHMW_OK)
        rc = shmw_ofd_take_waiting(registry->map.fd, SHMW_DEEPWATER_LOCK_BYTE);
    if (rc != SHMW_OK)
        return rc;
    rc = registry_map(registry);
    if (mode == 0 || (rc != SHMW_NOT_READY && rc != SHMW_TRUNCATED))
        return rc;
    struct stat status;
    if (rc == SHMW_TRUNCATED && (fstat(registry->map.fd, &status) != 0 || (uint64_t)status.st_size >= sizeof(*registry->header)))
        return rc; /* published, and cut off: not ours to mend */
    if (registry->map.base != NULL)
        munmap(registry->map.base, registry->map.size);
    registry->map.base = NULL;
    return write_header(registry, capacity);
}

/* Entries ----------------------------------------------------------------------------------------------------------- */

/* Is there a zero in it? The first one ends the text. */
static bool ends(const uint8_t *text, size_t size)
{
    return memchr(text, 0, size) != NULL;
}

/* Copy and check an entry: from here on its copy counts [deepwater.open.entry]. */
static int take_entry(struct shmw_deepwater_wire_feed *entry, uint32_t id, struct shmw_deepwater_place *place)
{
    shmw_copy_from_shared(place->name, entry->name, sizeof(place->name));
    shmw_copy_from_shared(place->directory_name, entry->directory, sizeof(place->directory_name));
    place->entry = entry;
    place->id = id;
    place->chunk_size = shmw_field_load(&entry->chunk_size);
    place->live_window = shmw_field_load(&entry->live_window);
    place->record_size = shmw_field_load(&entry->record_size);
    place->rotate_ns = shmw_field_load(&entry->rotate_ns);
    place->persist = (shmw_load_acquire(&entry->flags) & SHMW_DEEPWATER_FLAG_PERSIST) != 0;
    if (!ends((const uint8_t *)place->name, sizeof(place->name)) ||
        !ends((const uint8_t *)place->directory_name, sizeof(place->directory_name)) || shmw_field_load(&entry->feed_id) != id)
        return SHMW_CORRUPT;
    if (!shmw_deepwater_name_good(place->name, strlen(place->name))) /* names of shared memory are made from it */
        return SHMW_CORRUPT;
    if (place->chunk_size < SHMW_DEEPWATER_MIN_CHUNK || place->chunk_size > SHMW_DEEPWATER_MAX_CHUNK || place->chunk_size % 8 != 0)
        return SHMW_CORRUPT;
    return place->live_window != 0 && place->record_size <= place->chunk_size ? SHMW_OK : SHMW_CORRUPT;
}

static int look_up(struct shmw_deepwater_place *place, const char *feed)
{
    const struct shmw_deepwater_registry *registry = &place->registry;
    const uint64_t count = shmw_load_acquire(&registry->header->count); /* A1: pairs with R1; entries below it */
    const size_t length = strlen(feed) + 1;
    for (uint32_t id = 0; id < count && id < registry->capacity; id++)
        if (memcmp(registry->feeds[id].name, feed, length) == 0)
            return take_entry(&registry->feeds[id], id, place);
    return SHMW_NOT_FOUND; /* [deepwater.base.registry] */
}

static int find_now(const char *base, const char *feed, bool writable, struct shmw_deepwater_place *place)
{
    *place = (struct shmw_deepwater_place){.base.directory = -1, .registry.map.fd = -1, .directory = -1, .guard.fd = -1};
    int rc = shmw_deepwater_base_open(base, 0, &place->base);
    if (rc == SHMW_OK)
        rc = registry_open(place->base.directory, writable, &place->registry);
    if (rc == SHMW_OK)
        rc = look_up(place, feed);
    if (rc == SHMW_OK)
        rc = shmw_deepwater_directory_open(place->base.directory, place->directory_name, 0, &place->directory);
    return rc;
}

/* Its maker may be at work: a base, registry or entry that is absent, empty or unpublished is waited for. */
int shmw_deepwater_find(const char *base, const char *feed, bool writable, uint64_t wait_ns, struct shmw_deepwater_place *place)
{
    const uint64_t deadline = shmw_deadline(wait_ns);
    struct shmw_backoff backoff = {0};
    *place = (struct shmw_deepwater_place){.base.directory = -1, .registry.map.fd = -1, .directory = -1, .guard.fd = -1};
    if (feed == NULL || !shmw_deepwater_name_good(feed, strlen(feed)))
        return SHMW_INVALID_NAME;
    for (;;) {
        const bool last = shmw_expired(deadline);
        const int rc = find_now(base, feed, writable, place);
        if (rc == SHMW_OK || last || (rc != SHMW_NOT_FOUND && rc != SHMW_NOT_READY && rc != SHMW_TRUNCATED))
            return rc;
        shmw_deepwater_place_close(place);
        shmw_backoff_pause(&backoff, deadline);
    }
}

/* Beyond count: nobody reads it yet. */
static void fill_entry(struct shmw_deepwater_wire_feed *entry, uint32_t id, const char *feed,
                       const struct shmw_deepwater_feed_options *options)
{
    const uint64_t now = options->identity.clock_ns;
    memset(entry, 0, sizeof(*entry));
    memcpy(entry->name, feed, strlen(feed));
    memcpy(entry->directory, feed, strlen(feed));
    entry->feed_id = id;
    entry->chunk_size = options->chunk_size;
    entry->live_window = options->live_window;
    entry->record_size = options->record_size;
    entry->created_ns = now != 0 ? now : shmw_wall_clock();
    entry->rotate_ns = options->rotate_ns;
    shmw_store_relaxed(&entry->flags, options->persist ? SHMW_DEEPWATER_FLAG_PERSIST : 0); /* published by R1 */
}

/* What the entry leads to, and the entry, on the disk before count covers it: chunks that persist are found by them alone. */
static int flush_entry(const struct shmw_deepwater_place *place, const struct shmw_deepwater_feed_options *options)
{
    if (!options->persist)
        return SHMW_OK;
    return fsync(place->base.directory) == 0 && fdatasync(place->registry.map.fd) == 0 ? SHMW_OK : SHMW_SYSTEM;
}

/* [deepwater.feed.entry]: the directory and the feed's registry first, the entry, and then the count. The place is at it. */
static int add_entry(struct shmw_deepwater_place *place, const char *feed, const struct shmw_deepwater_feed_options *options)
{
    struct shmw_deepwater_wire_registry *header = place->registry.header;
    const uint64_t count = shmw_load_acquire(&header->count); /* A1: pairs with R1 */
    if (count >= place->registry.capacity)
        return SHMW_FULL; /* [deepwater.feed.full] */
    int directory = -1;
    int rc = shmw_deepwater_directory_open(place->base.directory, feed, options->mode, &directory);
    if (rc == SHMW_OK)
        rc = shmw_deepwater_feed_make(directory, (uint32_t)count, options);
    if (directory >= 0)
        close(directory);
    struct shmw_deepwater_wire_feed *entry = &place->registry.feeds[count];
    if (rc == SHMW_OK)
        rc = shmw_map_reserve(&place->registry.map, (uint64_t)((unsigned char *)entry - place->registry.map.base), sizeof(*entry));
    if (rc != SHMW_OK)
        return rc;
    fill_entry(entry, (uint32_t)count, feed, options);
    rc = flush_entry(place, options);
    if (rc != SHMW_OK)
        return rc;
    shmw_store_release(&header->count, count + 1); /* R1: pairs with A1; the entry */
    shmw_add_release(&header->generation, 1);
    rc = flush_entry(place, options);
    return rc == SHMW_OK ? take_entry(entry, (uint32_t)count, place) : rc;
}

int shmw_deepwater_find_or_make(const char *base, const char *feed, const struct shmw_deepwater_feed_options *options,
                                struct shmw_deepwater_place *place)
{
    *place = (struct shmw_deepwater_place){.base.directory = -1, .registry.map.fd = -1, .directory = -1, .guard.fd = -1};
    if (feed == NULL || !shmw_deepwater_name_good(feed, strlen(feed)))
        return SHMW_INVALID_NAME; /* [deepwater.feed.name] */
    if (options->open_only)
        return shmw_deepwater_find(base, feed, true, 0, place);
    int rc = shmw_deepwater_base_open(base, options->mode, &place->base);
    if (rc == SHMW_OK)
        rc = registry_lock(place->base.directory, options->mode, options->feeds, &place->registry);
    if (rc == SHMW_OK)
        rc = look_up(place, feed);
    if (rc == SHMW_OK && options->create_only)
        rc = SHMW_EXISTS; /* [deepwater.feed.existing] */
    if (rc == SHMW_NOT_FOUND)
        rc = add_entry(place, feed, options);
    if (place->registry.map.fd >= 0)
        shmw_ofd_give(place->registry.map.fd, SHMW_DEEPWATER_LOCK_BYTE);
    if (rc == SHMW_OK)
        rc = shmw_deepwater_directory_open(place->base.directory, place->directory_name, 0, &place->directory);
    return rc;
}

void shmw_deepwater_place_close(struct shmw_deepwater_place *place)
{
    const int cause = errno;
    if (place->map.base != NULL)
        munmap(place->map.base, place->map.size);
    place->map.base = NULL;
    if (place->guard.listed || place->guard.fd >= 0)
        shmw_forks_close(&place->guard);
    if (place->directory >= 0)
        close(place->directory);
    place->directory = -1;
    registry_close(&place->registry);
    shmw_deepwater_base_close(&place->base);
    errno = cause;
}

/* Calls ------------------------------------------------------------------------------------------------------------- */

int shmw_deepwater_feed_at(const char *base, uint32_t index, struct shmw_deepwater_feed *feed)
{
    struct shmw_deepwater_place place = {.base.directory = -1, .registry.map.fd = -1, .directory = -1, .guard.fd = -1};
    if (feed == NULL)
        return SHMW_INVALID_ARGUMENT;
    int rc = shmw_deepwater_base_open(base, 0, &place.base);
    if (rc == SHMW_OK)
        rc = registry_open(place.base.directory, false, &place.registry);
    if (rc == SHMW_OK && index >= shmw_load_acquire(&place.registry.header->count)) /* A1: pairs with R1 */
        rc = SHMW_NOT_FOUND;
    if (rc == SHMW_OK)
        rc = take_entry(&place.registry.feeds[index], index, &place);
    if (rc == SHMW_OK)
        rc = shmw_deepwater_directory_open(place.base.directory, place.directory_name, 0, &place.directory);
    if (rc == SHMW_OK)
        rc = shmw_deepwater_feed_open(&place, false, 0);
    if (rc == SHMW_OK)
        shmw_deepwater_describe(&place, feed);
    shmw_deepwater_place_close(&place);
    return rc;
}

int shmw_deepwater_retire(const char *base, const char *feed)
{
    struct shmw_deepwater_place place;
    int rc = shmw_deepwater_find(base, feed, true, 0, &place);
    if (rc == SHMW_OK)
        rc = shmw_deepwater_feed_open(&place, true, 0);
    if (rc == SHMW_OK)
        rc = shmw_deepwater_lock(&place);
    if (rc == SHMW_OK)
        rc = shmw_ofd_take_waiting(place.registry.map.fd, SHMW_DEEPWATER_LOCK_BYTE);
    if (rc == SHMW_OK) { /* [deepwater.feed.retire] */
        const uint32_t flags = shmw_load_acquire(&place.entry->flags);
        shmw_store_release(&place.entry->flags, flags | SHMW_DEEPWATER_FLAG_RETIRED);
        shmw_add_release(&place.registry.header->generation, 1);
        shmw_ofd_give(place.registry.map.fd, SHMW_DEEPWATER_LOCK_BYTE);
        shmw_deepwater_wake(place.header, true);
    }
    shmw_deepwater_place_close(&place);
    return rc;
}
