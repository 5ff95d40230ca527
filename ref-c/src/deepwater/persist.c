/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater: copying a sealed chunk to files, so that neither a crash nor a power failure leaves half of one under its name. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "internal.h"

#define CRC_STEP UINT64_C(0x40000000) /* bytes; what zlib takes at once has 32 bits */

static uint32_t crc_of(const void *bytes, uint64_t length)
{
    const unsigned char *at = bytes;
    uLong crc = crc32(0, NULL, 0);
    while (length > 0) {
        const uint64_t step = shmw_min_u64(length, CRC_STEP);
        crc = crc32(crc, at, (uInt)step);
        at += step;
        length -= step;
    }
    return (uint32_t)crc;
}

void shmw_deepwater_crcs(const struct shmw_deepwater_chunk_map *chunk, uint64_t bytes, uint64_t records, uint32_t *data_crc,
                         uint32_t *index_crc)
{
    *data_crc = crc_of(chunk->bytes, bytes);
    *index_crc = crc_of(chunk->records, records * sizeof(struct shmw_deepwater_wire_record));
}

static int write_all(int fd, const void *bytes, uint64_t length)
{
    const unsigned char *at = bytes;
    while (length > 0) {
        const ssize_t done = write(fd, at, (size_t)shmw_min_u64(length, CRC_STEP));
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return SHMW_SYSTEM;
        at += done;
        length -= (uint64_t)done;
    }
    return SHMW_OK;
}

/* Write header and body to NAME.tmp, whole and on the disk, or leave nothing. */
static int write_file(int directory, const char *name, uint32_t mode, const void *header, const void *body, uint64_t length)
{
    char temporary[SHMW_DEEPWATER_NAME_ROOM + 8];
    int fd;
    snprintf(temporary, sizeof(temporary), "%s.tmp", name);
    (void)unlinkat(directory, temporary, 0); /* of a writer that died */
    int rc = shmw_deepwater_file_open(directory, temporary, O_WRONLY | O_CREAT | O_EXCL, mode, &fd);
    if (rc != SHMW_OK)
        return rc;
    rc = write_all(fd, header, sizeof(struct shmw_deepwater_wire_data));
    if (rc == SHMW_OK)
        rc = write_all(fd, body, length);
    if (rc == SHMW_OK && fsync(fd) != 0)
        rc = SHMW_SYSTEM;
    const int cause = errno;
    close(fd);
    if (rc != SHMW_OK)
        (void)unlinkat(directory, temporary, 0);
    errno = cause;
    return rc;
}

static int give_name(int directory, const char *name)
{
    char temporary[SHMW_DEEPWATER_NAME_ROOM + 8];
    snprintf(temporary, sizeof(temporary), "%s.tmp", name);
    return renameat(directory, temporary, directory, name) == 0 ? SHMW_OK : shmw_error_from_errno(errno);
}

/* Headers as they are in files: trimmed to what there is [deepwater.persist.content]. */
static void file_headers(const struct shmw_deepwater_chunk_map *chunk, const struct shmw_deepwater_row *row,
                         struct shmw_deepwater_wire_data *data, struct shmw_deepwater_wire_index *index)
{
    memset(data, 0, sizeof(*data));
    memset(index, 0, sizeof(*index));
    shmw_store_relaxed(&data->magic, SHMW_DEEPWATER_DATA_MAGIC); /* private memory: R0 is the rename */
    data->version = SHMW_DEEPWATER_VERSION;
    shmw_store_relaxed(&data->flags, SHMW_DEEPWATER_DATA_SEALED);
    data->chunk_id = row->id;
    shmw_store_relaxed(&data->write_pos, row->data_bytes);
    shmw_store_relaxed(&data->record_count, row->record_count);
    data->capacity = row->data_bytes;
    data->writer_pid = shmw_field_load(&chunk->data_header->writer_pid);
    shmw_store_relaxed(&index->magic, SHMW_DEEPWATER_INDEX_MAGIC);
    index->version = SHMW_DEEPWATER_VERSION;
    index->entry_size = SHMW_DEEPWATER_RECORD_SIZE;
    index->chunk_id = row->id;
    shmw_store_relaxed(&index->entry_count, row->record_count);
    index->capacity = row->record_count;
}

_Static_assert(sizeof(struct shmw_deepwater_wire_data) == sizeof(struct shmw_deepwater_wire_index), "write_file writes either");

int shmw_deepwater_persist(const struct shmw_deepwater_place *place, const struct shmw_deepwater_chunk_map *chunk, uint32_t mode,
                           struct shmw_deepwater_row *row)
{
    struct shmw_deepwater_wire_data data;
    struct shmw_deepwater_wire_index index;
    char data_name[SHMW_DEEPWATER_NAME_ROOM];
    char index_name[SHMW_DEEPWATER_NAME_ROOM];
    const uint64_t index_bytes = row->record_count * sizeof(struct shmw_deepwater_wire_record);
    shmw_deepwater_file_name(row->id, "data", data_name);
    shmw_deepwater_file_name(row->id, "idx", index_name);
    file_headers(chunk, row, &data, &index);
    int rc = write_file(place->directory, data_name, mode, &data, chunk->bytes, row->data_bytes);
    if (rc == SHMW_OK)
        rc = write_file(place->directory, index_name, mode, &index, chunk->records, index_bytes);
    if (rc == SHMW_OK)
        rc = give_name(place->directory, data_name);
    if (rc == SHMW_OK)
        rc = give_name(place->directory, index_name);
    if (rc == SHMW_OK && fsync(place->directory) != 0)
        rc = SHMW_SYSTEM;
    if (rc != SHMW_OK)
        return rc;
    shmw_deepwater_crcs(chunk, row->data_bytes, row->record_count, &row->data_crc, &row->index_crc);
    row->state = SHMW_DEEPWATER_STATE_PERSISTED;
    shmw_deepwater_row_store(place, row);
    return shmw_deepwater_rows_flush(place);
}
