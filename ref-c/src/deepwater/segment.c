/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater: chunks, in shared memory and in files. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

#define LEAST_ENTRIES UINT64_C(64)
#define BYTES_PER_ENTRY UINT64_C(32)

static uint64_t data_size(uint64_t capacity)
{
    return shmw_end_of(sizeof(struct shmw_deepwater_wire_data), 1, capacity);
}

static uint64_t index_size(uint64_t capacity)
{
    return shmw_end_of(sizeof(struct shmw_deepwater_wire_index), sizeof(struct shmw_deepwater_wire_record), capacity);
}

static struct shmw_deepwater_chunk_map nothing(void)
{
    return (struct shmw_deepwater_chunk_map){.data = {.fd = -1}, .index = {.fd = -1}};
}

static void unmap(struct shmw_map *map)
{
    if (map->base != NULL)
        munmap(map->base, map->size);
    if (map->fd >= 0)
        close(map->fd);
    *map = (struct shmw_map){.fd = -1};
}

void shmw_deepwater_chunk_close(struct shmw_deepwater_chunk_map *chunk)
{
    const int cause = errno;
    if (chunk->data.base != NULL || chunk->index.base != NULL) {
        unmap(&chunk->data);
        unmap(&chunk->index);
    }
    *chunk = nothing();
    errno = cause;
}

static void take_pointers(struct shmw_deepwater_chunk_map *chunk)
{
    chunk->data_header = (struct shmw_deepwater_wire_data *)(void *)chunk->data.base;
    chunk->index_header = (struct shmw_deepwater_wire_index *)(void *)chunk->index.base;
    chunk->bytes = chunk->data.base + sizeof(struct shmw_deepwater_wire_data);
    chunk->records = (struct shmw_deepwater_wire_record *)(void *)(chunk->index.base + sizeof(struct shmw_deepwater_wire_index));
}

/* Checking ---------------------------------------------------------------------------------------------------------- */

static int check_data(struct shmw_deepwater_chunk_map *chunk)
{
    const struct shmw_deepwater_wire_data *header = chunk->data_header;
    if (shmw_load_acquire(&header->magic) != SHMW_DEEPWATER_DATA_MAGIC) /* A0: pairs with R0; the header after it */
        return SHMW_BAD_MAGIC;
    if (shmw_field_load(&header->version) != SHMW_DEEPWATER_VERSION)
        return SHMW_BAD_VERSION;
    chunk->data_capacity = shmw_field_load(&header->capacity);
    if (chunk->data_capacity > SHMW_DEEPWATER_MAX_CHUNK)
        return SHMW_BAD_GEOMETRY; /* [deepwater.open.geometry] */
    if (data_size(chunk->data_capacity) > chunk->data.size)
        return SHMW_TRUNCATED; /* [deepwater.open.size] */
    return shmw_field_load(&header->chunk_id) == chunk->id ? SHMW_OK : SHMW_CORRUPT; /* [deepwater.read.bounds] */
}

static int check_index(struct shmw_deepwater_chunk_map *chunk)
{
    const struct shmw_deepwater_wire_index *header = chunk->index_header;
    if (shmw_load_acquire(&header->magic) != SHMW_DEEPWATER_INDEX_MAGIC) /* A0: pairs with R0; the header after it */
        return SHMW_BAD_MAGIC;
    if (shmw_field_load(&header->version) != SHMW_DEEPWATER_VERSION)
        return SHMW_BAD_VERSION;
    chunk->index_capacity = shmw_field_load(&header->capacity);
    if (shmw_field_load(&header->entry_size) != SHMW_DEEPWATER_RECORD_SIZE || chunk->index_capacity > SHMW_DEEPWATER_MAX_CHUNK)
        return SHMW_BAD_GEOMETRY;
    if (index_size(chunk->index_capacity) > chunk->index.size)
        return SHMW_TRUNCATED;
    return shmw_field_load(&header->chunk_id) == chunk->id ? SHMW_OK : SHMW_CORRUPT;
}

int shmw_deepwater_chunk_count(const struct shmw_deepwater_chunk_map *chunk, uint64_t *count)
{
    /* A4: pairs with R4; bytes, entries and start_ns of the records below it [deepwater.read.commit] */
    *count = shmw_load_acquire(&chunk->index_header->entry_count);
    return *count <= chunk->index_capacity ? SHMW_OK : SHMW_CORRUPT;
}

static int check(struct shmw_deepwater_chunk_map *chunk)
{
    uint64_t count;
    take_pointers(chunk);
    int rc = check_data(chunk);
    if (rc == SHMW_OK)
        rc = check_index(chunk);
    return rc == SHMW_OK ? shmw_deepwater_chunk_count(chunk, &count) : rc;
}

int shmw_deepwater_chunk_record(const struct shmw_deepwater_chunk_map *chunk, uint64_t first_sequence, uint64_t i,
                                struct shmw_deepwater_record *record)
{
    const struct shmw_deepwater_wire_record *wire = &chunk->records[i];
    const uint64_t offset = shmw_field_load(&wire->offset);
    const uint32_t length = shmw_field_load(&wire->length);
    *record = (struct shmw_deepwater_record){
        .sequence = shmw_field_load(&wire->sequence),
        .timestamp_ns = shmw_field_load(&wire->timestamp_ns),
        .chunk_id = chunk->id,
        .length = length,
        .type = shmw_field_load(&wire->type),
    };
    if (record->sequence != first_sequence + i || offset > chunk->data_capacity || length > chunk->data_capacity - offset)
        return SHMW_CORRUPT;
    record->data = chunk->bytes + offset;
    return SHMW_OK;
}

/* Shared memory ----------------------------------------------------------------------------------------------------- */

static uint64_t entries_for(const struct shmw_deepwater_place *place)
{
    if (place->record_size != 0)
        return place->chunk_size / place->record_size;
    const uint64_t entries = place->chunk_size / BYTES_PER_ENTRY;
    return entries > LEAST_ENTRIES ? entries : LEAST_ENTRIES;
}

/* A name that is taken is of a writer long dead: the feed's lock is ours. */
static int make_memory(const struct shmw_deepwater_place *place, uint64_t id, const char *suffix, uint64_t size, uint32_t mode,
                       struct shmw_map *map)
{
    char name[SHMW_DEEPWATER_NAME_ROOM];
    shmw_deepwater_memory_name(place, id, suffix, name);
    int rc = shmw_map_create(name, size, size, mode, map);
    if (rc == SHMW_EXISTS && shmw_unlink(name) == SHMW_OK)
        rc = shmw_map_create(name, size, size, mode, map);
    if (rc != SHMW_OK)
        *map = (struct shmw_map){.fd = -1};
    return rc;
}

void shmw_deepwater_chunk_headers(struct shmw_deepwater_chunk_map *chunk, uint32_t pid)
{
    chunk->data_header->version = SHMW_DEEPWATER_VERSION;
    chunk->data_header->chunk_id = chunk->id;
    chunk->data_header->capacity = chunk->data_capacity;
    chunk->data_header->writer_pid = pid;
    chunk->index_header->version = SHMW_DEEPWATER_VERSION;
    chunk->index_header->entry_size = SHMW_DEEPWATER_RECORD_SIZE;
    chunk->index_header->chunk_id = chunk->id;
    chunk->index_header->capacity = chunk->index_capacity;
    shmw_store_release(&chunk->data_header->magic, SHMW_DEEPWATER_DATA_MAGIC);    /* R0: pairs with A0; the header */
    shmw_store_release(&chunk->index_header->magic, SHMW_DEEPWATER_INDEX_MAGIC); /* R0: the same */
}

int shmw_deepwater_chunk_make(const struct shmw_deepwater_place *place, uint64_t id, uint32_t mode, uint32_t pid,
                              struct shmw_deepwater_chunk_map *chunk)
{
    *chunk = nothing();
    chunk->id = id;
    chunk->data_capacity = place->chunk_size;
    chunk->index_capacity = entries_for(place);
    int rc = make_memory(place, id, "data", data_size(chunk->data_capacity), mode, &chunk->data);
    if (rc == SHMW_OK)
        rc = make_memory(place, id, "idx", index_size(chunk->index_capacity), mode, &chunk->index);
    if (rc != SHMW_OK) {
        const int cause = errno;
        shmw_deepwater_chunk_close(chunk);
        shmw_deepwater_chunk_unlink(place, id);
        errno = cause;
        return rc;
    }
    take_pointers(chunk);
    shmw_deepwater_chunk_headers(chunk, pid);
    return SHMW_OK;
}

int shmw_deepwater_chunk_memory(const struct shmw_deepwater_place *place, uint64_t id, bool writable,
                                struct shmw_deepwater_chunk_map *chunk)
{
    char name[SHMW_DEEPWATER_NAME_ROOM];
    *chunk = nothing();
    chunk->id = id;
    shmw_deepwater_memory_name(place, id, "data", name);
    int rc = shmw_map_open(name, !writable, sizeof(struct shmw_deepwater_wire_data), 0, &chunk->data);
    if (rc != SHMW_OK)
        chunk->data = (struct shmw_map){.fd = -1};
    shmw_deepwater_memory_name(place, id, "idx", name);
    if (rc == SHMW_OK)
        rc = shmw_map_open(name, !writable, sizeof(struct shmw_deepwater_wire_index), 0, &chunk->index);
    if (rc != SHMW_OK)
        chunk->index = (struct shmw_map){.fd = -1};
    if (rc == SHMW_OK)
        rc = check(chunk);
    if (rc != SHMW_OK)
        shmw_deepwater_chunk_close(chunk);
    return rc;
}

void shmw_deepwater_chunk_unlink(const struct shmw_deepwater_place *place, uint64_t id)
{
    char name[SHMW_DEEPWATER_NAME_ROOM];
    shmw_deepwater_memory_name(place, id, "data", name);
    (void)shmw_unlink(name);
    shmw_deepwater_memory_name(place, id, "idx", name);
    (void)shmw_unlink(name);
}

/* Files ------------------------------------------------------------------------------------------------------------- */

static int map_file(const struct shmw_deepwater_place *place, uint64_t id, const char *suffix, uint64_t least, struct shmw_map *map)
{
    char name[SHMW_DEEPWATER_NAME_ROOM];
    struct stat status;
    *map = (struct shmw_map){.fd = -1};
    shmw_deepwater_file_name(id, suffix, name);
    int rc = shmw_deepwater_file_open(place->directory, name, O_RDONLY, 0, &map->fd);
    if (rc != SHMW_OK)
        return rc;
    rc = fstat(map->fd, &status) == 0 ? SHMW_OK : SHMW_SYSTEM;
    if (rc == SHMW_OK && (uint64_t)status.st_size < least)
        rc = SHMW_TRUNCATED;
    if (rc == SHMW_OK)
        rc = shmw_map_file(map, (uint64_t)status.st_size);
    const int cause = errno;
    close(map->fd); /* the mapping is enough */
    map->fd = -1;
    errno = cause;
    return rc;
}

int shmw_deepwater_chunk_files(const struct shmw_deepwater_place *place, uint64_t id, struct shmw_deepwater_chunk_map *chunk)
{
    *chunk = nothing();
    chunk->id = id;
    int rc = map_file(place, id, "data", sizeof(struct shmw_deepwater_wire_data), &chunk->data);
    if (rc == SHMW_OK)
        rc = map_file(place, id, "idx", sizeof(struct shmw_deepwater_wire_index), &chunk->index);
    if (rc == SHMW_OK)
        rc = check(chunk);
    if (rc != SHMW_OK)
        shmw_deepwater_chunk_close(chunk);
    return rc;
}
