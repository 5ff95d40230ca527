/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater, section 8: what the next writer does about what a dead one left; sealing and expiring, which living ones do too. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"
#include "watch.h"

void shmw_deepwater_seal(const struct shmw_deepwater_place *place, struct shmw_deepwater_chunk_map *chunk, uint64_t records,
                         uint64_t bytes, struct shmw_deepwater_row *row)
{
    shmw_store_relaxed(&chunk->data_header->write_pos, bytes);
    shmw_store_relaxed(&chunk->data_header->record_count, records);
    /* R9: pairs with A9; entry_count, which is final [deepwater.rotate.seal] */
    shmw_store_release(&chunk->data_header->flags, SHMW_DEEPWATER_DATA_SEALED);
    row->state = SHMW_DEEPWATER_STATE_SEALED;
    row->record_count = records;
    row->data_bytes = bytes;
    row->start_ns = shmw_load_relaxed(&place->rows[row->id].start_ns);
    row->end_ns = records > 0 ? shmw_field_load(&chunk->records[records - 1].timestamp_ns) : row->start_ns;
    shmw_deepwater_row_store(place, row);
}

/* A chunk that is about to lose its shared memory. In a feed that persists one that is not in its files yet (the disk was full) is
 * tried again, and stays if that fails [deepwater.expire.window]. */
static int leave_memory(const struct shmw_deepwater_place *place, uint32_t mode, struct shmw_deepwater_row *row)
{
    struct shmw_deepwater_chunk_map chunk;
    int rc = place->persist ? shmw_deepwater_chunk_memory(place, row->id, false, &chunk) : SHMW_NOT_FOUND;
    if (rc == SHMW_OK) {
        rc = shmw_deepwater_persist(place, &chunk, mode, row);
        shmw_deepwater_chunk_close(&chunk);
        return rc;
    }
    if (rc != SHMW_NOT_FOUND)
        return rc;
    row->state = SHMW_DEEPWATER_STATE_EXPIRED; /* first its row, then its name [deepwater.expire.state] */
    shmw_deepwater_row_store(place, row);
    return SHMW_OK;
}

int shmw_deepwater_expire(const struct shmw_deepwater_place *place, uint64_t end, uint64_t keep, uint32_t mode, uint64_t *from)
{
    int first = SHMW_OK;
    if (end > place->capacity)
        return SHMW_CORRUPT; /* a count that somebody else stored */
    for (uint64_t id = *from; id + keep < end; id++) {
        struct shmw_deepwater_row row;
        int rc = shmw_deepwater_row_own(place, id, &row);
        if (rc == SHMW_OK && row.state < SHMW_DEEPWATER_STATE_PERSISTED)
            rc = first == SHMW_OK ? leave_memory(place, mode, &row) : first; /* one failure says enough about the disk */
        if (rc == SHMW_OK)
            shmw_deepwater_chunk_unlink(place, id); /* also behind one that has to stay */
        first = first == SHMW_OK ? rc : first;
        *from += first == SHMW_OK;
    }
    return first;
}

/* One row ----------------------------------------------------------------------------------------------------------- */

/* Every record that entry_count covers is what it should be; *bytes: the end of the last one. */
static int check_records(const struct shmw_deepwater_chunk_map *chunk, uint64_t first_sequence, uint64_t count, uint64_t *bytes)
{
    struct shmw_deepwater_record record = {0};
    uint64_t before = 0;
    *bytes = 0;
    for (uint64_t i = 0; i < count; i++) {
        const int rc = shmw_deepwater_chunk_record(chunk, first_sequence, i, &record);
        if (rc != SHMW_OK || record.timestamp_ns < before)
            return SHMW_CORRUPT;
        before = record.timestamp_ns;
        *bytes = (uint64_t)((const unsigned char *)record.data - chunk->bytes) + record.length;
    }
    return SHMW_OK;
}

/* The row as it lies there, whatever its stamp: only we may write it. */
static struct shmw_deepwater_row raw_row(const struct shmw_deepwater_place *place, uint64_t id)
{
    struct shmw_deepwater_wire_row *wire = &place->rows[id];
    return (struct shmw_deepwater_row){
        .id = id,
        .stamp = shmw_load_relaxed(&wire->stamp),
        .state = shmw_load_relaxed(&wire->state),
        .first_sequence = shmw_field_load(&wire->first_sequence),
        .record_count = shmw_load_relaxed(&wire->record_count),
        .start_ns = shmw_load_relaxed(&wire->start_ns),
        .end_ns = shmw_load_relaxed(&wire->end_ns),
        .data_bytes = shmw_load_relaxed(&wire->data_bytes),
        .data_capacity = shmw_field_load(&wire->data_capacity),
        .data_crc = shmw_load_relaxed(&wire->data_crc),
        .index_crc = shmw_load_relaxed(&wire->index_crc),
    };
}

/* Files must not be older than the count that covers them: whoever finds a row gone makes it, and its files, anew. */
static int persist_flushed(const struct shmw_deepwater_place *place, const struct shmw_deepwater_chunk_map *chunk, uint32_t mode,
                           struct shmw_deepwater_row *row)
{
    const int rc = shmw_deepwater_rows_flush(place);
    return rc == SHMW_OK ? shmw_deepwater_persist(place, chunk, mode, row) : rc;
}

static int mend_in_memory(const struct shmw_deepwater_place *place, struct shmw_deepwater_chunk_map *chunk, uint32_t mode,
                          struct shmw_deepwater_row *row, struct shmw_deepwater_recovered *report)
{
    uint64_t count;
    uint64_t bytes;
    int rc = shmw_deepwater_chunk_count(chunk, &count);
    if (rc == SHMW_OK)
        rc = check_records(chunk, row->first_sequence, count, &bytes);
    if (rc != SHMW_OK)
        return rc;
    if (row->state != SHMW_DEEPWATER_STATE_SEALED || (row->stamp & 1) != 0) {
        shmw_deepwater_seal(place, chunk, count, bytes, row); /* [deepwater.recover.sealed] */
        report->sealed++;
    }
    if (!place->persist)
        return SHMW_OK;
    rc = persist_flushed(place, chunk, mode, row); /* [deepwater.recover.persist] */
    report->persisted += rc == SHMW_OK;
    return rc;
}

/* Both files are whole: what the row should have said [deepwater.recover.adopt]. */
static int adopt(const struct shmw_deepwater_place *place, struct shmw_deepwater_row *row)
{
    struct shmw_deepwater_chunk_map chunk;
    uint64_t count = 0;
    uint64_t bytes = 0;
    int rc = shmw_deepwater_chunk_files(place, row->id, &chunk);
    if (rc == SHMW_OK && !shmw_deepwater_chunk_sealed(&chunk))
        rc = SHMW_CORRUPT;
    if (rc == SHMW_OK)
        rc = shmw_deepwater_chunk_count(&chunk, &count);
    if (rc == SHMW_OK)
        rc = check_records(&chunk, row->first_sequence, count, &bytes);
    if (rc == SHMW_OK) {
        row->state = SHMW_DEEPWATER_STATE_PERSISTED;
        row->record_count = count;
        row->data_bytes = bytes;
        row->end_ns = count > 0 ? shmw_field_load(&chunk.records[count - 1].timestamp_ns) : row->start_ns;
        if (count > 0) /* the row may have come to the disk before its first record */
            shmw_store_relaxed(&place->rows[row->id].start_ns, shmw_field_load(&chunk.records[0].timestamp_ns));
        shmw_deepwater_crcs(&chunk, bytes, count, &row->data_crc, &row->index_crc);
        shmw_deepwater_row_store(place, row);
    }
    shmw_deepwater_chunk_close(&chunk);
    return rc;
}

/* Of a chunk with one file only: the power failed between two renames, and the other one is gone. */
static void remove_half(const struct shmw_deepwater_place *place, uint64_t id, uint64_t *removed)
{
    char data[SHMW_DEEPWATER_NAME_ROOM];
    char index[SHMW_DEEPWATER_NAME_ROOM];
    shmw_deepwater_file_name(id, "data", data);
    shmw_deepwater_file_name(id, "idx", index);
    const bool no_data = faccessat(place->directory, data, F_OK, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
    const bool no_index = faccessat(place->directory, index, F_OK, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
    if (no_data != no_index)
        *removed += unlinkat(place->directory, no_data ? index : data, 0) == 0;
}

static int mend_row(const struct shmw_deepwater_place *place, uint64_t id, uint32_t mode, struct shmw_deepwater_recovered *report)
{
    struct shmw_deepwater_row row = raw_row(place, id);
    struct shmw_deepwater_chunk_map chunk;
    if (shmw_field_load(&place->rows[id].chunk_id) != id)
        return SHMW_CORRUPT;
    if ((row.stamp & 1) == 0 && row.state >= SHMW_DEEPWATER_STATE_PERSISTED)
        return row.state <= SHMW_DEEPWATER_STATE_EXPIRED ? SHMW_OK : SHMW_CORRUPT;
    int rc = shmw_deepwater_chunk_memory(place, id, true, &chunk);
    if (rc == SHMW_OK) {
        rc = mend_in_memory(place, &chunk, mode, &row, report);
        shmw_deepwater_chunk_close(&chunk);
        return rc;
    }
    if (rc != SHMW_NOT_FOUND && rc != SHMW_BAD_MAGIC)
        return rc;
    rc = adopt(place, &row);
    report->adopted += rc == SHMW_OK;
    if (rc == SHMW_OK || rc == SHMW_SYSTEM || rc == SHMW_PERMISSION)
        return rc; /* files that we could not look at are not lost */
    remove_half(place, id, &report->removed);
    row.state = SHMW_DEEPWATER_STATE_EXPIRED;
    shmw_deepwater_row_store(place, &row);
    report->expired++;
    return SHMW_OK;
}

/* All of it --------------------------------------------------------------------------------------------------------- */

/* [deepwater.recover.half-made] */
static int remove_temporary(const struct shmw_deepwater_place *place, uint64_t *removed)
{
    const int fd = openat(place->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (directory == NULL) {
        if (fd >= 0)
            close(fd);
        return SHMW_SYSTEM;
    }
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        const size_t length = strlen(entry->d_name);
        if (strncmp(entry->d_name, "chunk_", 6) == 0 && length > 4 && strcmp(entry->d_name + length - 4, ".tmp") == 0)
            *removed += unlinkat(place->directory, entry->d_name, 0) == 0;
    }
    closedir(directory);
    return SHMW_OK;
}

/* The first chunk of the feed that shared memory has, by the names there: a feed may have had 2^20 chunks, and few are left. */
static int first_in_memory(const struct shmw_deepwater_place *place, uint64_t rows, uint64_t *first)
{
    char path[PATH_MAX];
    char name[SHMW_DEEPWATER_NAME_ROOM];
    *first = rows;
    shmw_deepwater_memory_name(place, 0, "", name);
    int rc = shmw_path(name, path, sizeof(path));
    if (rc != SHMW_OK)
        return rc;
    char *slash = strrchr(path, '/');
    *slash = '\0';
    const size_t prefix = strlen(slash + 1) - strlen("0.");
    DIR *directory = opendir(path);
    if (directory == NULL)
        return SHMW_SYSTEM;
    for (const struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        if (strncmp(entry->d_name, slash + 1, prefix) != 0)
            continue;
        const uint64_t id = strtoull(entry->d_name + prefix, NULL, 10);
        *first = id < *first ? id : *first;
    }
    closedir(directory);
    return SHMW_OK;
}

/* Where the next record goes: behind the last one that anybody can have seen [deepwater.recover.sequence]. */
static void find_end(const struct shmw_deepwater_place *place, uint64_t *next_sequence, uint64_t *last_ns)
{
    struct shmw_deepwater_wire_feed_registry *header = place->header;
    const uint64_t last = shmw_load_acquire(&header->last_sequence);
    *next_sequence = last == SHMW_DEEPWATER_NONE ? 0 : last + 1;
    *last_ns = shmw_load_relaxed(&header->last_timestamp_ns);
    const uint64_t rows = shmw_deepwater_rows(place);
    for (uint64_t id = rows; id > 0; id--) {
        const struct shmw_deepwater_row row = raw_row(place, id - 1);
        const uint64_t end = row.first_sequence + row.record_count;
        *next_sequence = end > *next_sequence ? end : *next_sequence;
        *last_ns = row.end_ns > *last_ns ? row.end_ns : *last_ns;
        if (row.record_count > 0)
            break;
    }
    shmw_store_relaxed(&header->last_timestamp_ns, *last_ns);
    shmw_store_release(&header->last_sequence, *next_sequence == 0 ? SHMW_DEEPWATER_NONE : *next_sequence - 1);
}

int shmw_deepwater_recover(const struct shmw_deepwater_place *place, uint32_t mode, uint64_t keep,
                           struct shmw_deepwater_recovered *report, uint64_t *next_sequence, uint64_t *last_ns)
{
    struct shmw_deepwater_recovered found = {0};
    uint64_t from = 0;
    uint64_t next = 0;
    uint64_t last = 0;
    const uint64_t rows = shmw_deepwater_rows(place);
    int rc = rows <= place->capacity ? remove_temporary(place, &found.removed) : SHMW_CORRUPT;
    for (uint64_t id = 0; rc == SHMW_OK && id < rows; id++) {
        shmw_deepwater_tell(place->watch, id, rows);
        rc = mend_row(place, id, mode, &found);
    }
    if (rc != SHMW_OK)
        return rc;
    shmw_deepwater_chunk_unlink(place, rows); /* of a writer that died before it stored count */
    find_end(place, &next, &last);
    shmw_store_release(&place->header->latest, SHMW_DEEPWATER_NONE); /* R3: pairs with A3 */
    rc = first_in_memory(place, rows, &from);
    if (rc == SHMW_OK && from < rows)
        rc = shmw_deepwater_expire(place, rows, keep, mode, &from);
    if (report != NULL)
        *report = found;
    if (next_sequence != NULL)
        *next_sequence = next;
    if (last_ns != NULL)
        *last_ns = last;
    return rc == SHMW_OK ? shmw_deepwater_rows_flush(place) : rc;
}

int shmw_deepwater_gc(const char *base, const char *feed, struct shmw_deepwater_recovered *report)
{
    return shmw_deepwater_gc_watched(base, feed, NULL, report);
}

int shmw_deepwater_gc_watched(const char *base, const char *feed, const struct shmw_deepwater_watch *watch,
                              struct shmw_deepwater_recovered *report)
{
    struct shmw_deepwater_place place;
    if (base == NULL || feed == NULL)
        return SHMW_INVALID_ARGUMENT;
    int rc = shmw_deepwater_find(base, feed, true, 0, &place);
    if (rc == SHMW_OK)
        rc = shmw_deepwater_feed_open(&place, true, 0);
    if (rc == SHMW_OK)
        rc = shmw_deepwater_lock(&place); /* [deepwater.recover.busy] */
    place.watch = watch;
    if (rc == SHMW_OK)
        rc = shmw_deepwater_recover(&place, SHMW_DEEPWATER_DEFAULT_MODE, place.persist ? 0 : place.live_window, report, NULL, NULL);
    if (rc == SHMW_OK)
        shmw_store_relaxed(&place.header->writer_pid, 0);
    shmw_deepwater_place_close(&place);
    return rc;
}
