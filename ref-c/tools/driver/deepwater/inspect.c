/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater behind the driver protocol: registries as the bytes say them, from mappings of the driver's own. */
#include <stdio.h>
#include <string.h>

#include "atomic.h"
#include "deepwater.h"
#include "deepwater/layout.h"
#include "map.h"

#define MOST_ROWS 4096

static int map_file(struct request *rq, const char *directory, const char *name, uint64_t least, struct shmw_map *map)
{
    char *path = request_alloc(rq, strlen(directory) + strlen(name) + 2);
    sprintf(path, "%s/%s", directory, name);
    return shmw_map_open(path, true, least, 0, map);
}

static void put_registry(cJSON *fields, const struct shmw_deepwater_wire_registry *header)
{
    put_u64(fields, "registry.magic", shmw_load_acquire(&header->magic)); /* A0: pairs with R0; the rest after it */
    put_u64(fields, "registry.version", header->version);
    put_u64(fields, "registry.entry_size", header->entry_size);
    put_u64(fields, "registry.capacity", header->capacity);
    put_u64(fields, "registry.count", shmw_load_acquire(&header->count)); /* A1: pairs with R1 */
    put_u64(fields, "registry.generation", shmw_load_acquire(&header->generation));
}

static void put_feed(cJSON *fields, const struct shmw_deepwater_wire_feed *entry)
{
    char text[sizeof(entry->directory) + 1] = "";
    memcpy(text, entry->name, sizeof(entry->name));
    text[sizeof(entry->name)] = '\0';
    put_text(fields, "feed.name", text);
    memcpy(text, entry->directory, sizeof(entry->directory));
    text[sizeof(entry->directory)] = '\0';
    put_text(fields, "feed.directory", text);
    put_u64(fields, "feed.feed_id", entry->feed_id);
    put_u64(fields, "feed.flags", shmw_load_acquire(&entry->flags));
    put_u64(fields, "feed.chunk_size", entry->chunk_size);
    put_u64(fields, "feed.live_window", entry->live_window);
    put_u64(fields, "feed.record_size", entry->record_size);
    put_u64(fields, "feed.created_ns", entry->created_ns);
    put_u64(fields, "feed.rotate_ns", entry->rotate_ns);
}

static void put_header(cJSON *fields, const struct shmw_deepwater_wire_feed_registry *header)
{
    put_u64(fields, "feed_registry.magic", shmw_load_acquire(&header->magic)); /* A0: pairs with R0; the rest after it */
    put_u64(fields, "feed_registry.version", header->version);
    put_u64(fields, "feed_registry.row_size", header->row_size);
    put_u64(fields, "feed_registry.capacity", header->capacity);
    put_u64(fields, "feed_registry.writer_pid", shmw_load_relaxed(&header->writer_pid));
    put_u64(fields, "feed_registry.count", shmw_load_acquire(&header->count));   /* A2: pairs with R2 */
    put_u64(fields, "feed_registry.latest", shmw_load_acquire(&header->latest)); /* A3: pairs with R3 */
    put_u64(fields, "feed_registry.last_timestamp_ns", shmw_load_relaxed(&header->last_timestamp_ns));
    put_u64(fields, "feed_registry.last_sequence", shmw_load_acquire(&header->last_sequence));
    put_u64(fields, "feed_registry.heartbeat_ns", shmw_load_relaxed(&header->heartbeat_ns));
    put_u64(fields, "feed_registry.signal", shmw_load_acquire(&header->signal)); /* A7: pairs with R7 */
    put_u64(fields, "feed_registry.waiters", shmw_load_relaxed(&header->waiters));
    put_u64(fields, "feed_registry.feed_id", header->feed_id);
}

static void put_field(cJSON *fields, uint64_t row, const char *name, uint64_t value)
{
    char key[64];
    snprintf(key, sizeof(key), "row[%llu].%s", (unsigned long long)row, name);
    put_u64(fields, key, value);
}

static void put_row(cJSON *fields, uint64_t i, const struct shmw_deepwater_wire_row *row)
{
    put_field(fields, i, "chunk_id", row->chunk_id);
    put_field(fields, i, "stamp", shmw_load_acquire(&row->stamp)); /* A5: pairs with R5 */
    put_field(fields, i, "state", shmw_load_relaxed(&row->state));
    put_field(fields, i, "first_sequence", row->first_sequence);
    put_field(fields, i, "record_count", shmw_load_relaxed(&row->record_count));
    put_field(fields, i, "start_ns", shmw_load_relaxed(&row->start_ns));
    put_field(fields, i, "end_ns", shmw_load_relaxed(&row->end_ns));
    put_field(fields, i, "data_bytes", shmw_load_relaxed(&row->data_bytes));
    put_field(fields, i, "data_capacity", row->data_capacity);
    put_field(fields, i, "data_crc", shmw_load_relaxed(&row->data_crc));
    put_field(fields, i, "index_crc", shmw_load_relaxed(&row->index_crc));
}

static int inspect_feed(struct request *rq, const struct deepwater *handle, const struct shmw_deepwater_feed *feed, cJSON *fields)
{
    struct shmw_map map;
    char *directory = request_alloc(rq, strlen(handle->base) + strlen(feed->directory) + 2);
    sprintf(directory, "%s/%s", handle->base, feed->directory);
    const int rc = map_file(rq, directory, "feed_registry.bin", sizeof(struct shmw_deepwater_wire_feed_registry), &map);
    if (rc != SHMW_OK)
        return rc;
    const struct shmw_deepwater_wire_feed_registry *header = (const void *)map.base;
    const struct shmw_deepwater_wire_row *rows = (const void *)(header + 1);
    const uint64_t room = (map.size - sizeof(*header)) / sizeof(*rows);
    const uint64_t count = shmw_load_acquire(&header->count); /* A2: pairs with R2; the rows below it */
    put_header(fields, header);
    for (uint64_t i = 0; i < count && i < room && i < MOST_ROWS; i++)
        put_row(fields, i, &rows[i]);
    shmw_map_close(&map);
    return SHMW_OK;
}

int deepwater_inspect(struct request *rq, void *segment, cJSON *fields)
{
    const struct deepwater *handle = segment;
    struct shmw_deepwater_feed feed;
    struct shmw_map map;
    int rc = handle->writer != NULL ? shmw_deepwater_writer_feed(handle->writer, &feed)
                                    : shmw_deepwater_reader_feed(handle->reader, &feed);
    if (rc == SHMW_OK)
        rc = map_file(rq, handle->base, "registry.bin", sizeof(struct shmw_deepwater_wire_registry), &map);
    if (rc != SHMW_OK)
        return rc;
    const struct shmw_deepwater_wire_registry *header = (const void *)map.base;
    const struct shmw_deepwater_wire_feed *entries = (const void *)(header + 1);
    put_registry(fields, header);
    if (feed.feed_id < (map.size - sizeof(*header)) / sizeof(*entries))
        put_feed(fields, &entries[feed.feed_id]);
    shmw_map_close(&map);
    return inspect_feed(rq, handle, &feed, fields);
}
