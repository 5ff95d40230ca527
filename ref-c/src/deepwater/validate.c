/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater: checking a feed, its rows and all chunks that can be reached, CRCs included. A writer may be at work: what is live
 * is checked as far as its entry_count goes. */
#include <inttypes.h>

#include "internal.h"
#include "reader.h"
#include "watch.h"

static int records_good(const struct shmw_deepwater_chunk_map *chunk, const struct shmw_deepwater_row *row, uint64_t count,
                        const char **finding)
{
    struct shmw_deepwater_record record;
    uint64_t before = 0;
    for (uint64_t i = 0; i < count; i++) {
        *finding = "an entry of the index has another sequence, or bytes past the data";
        if (shmw_deepwater_chunk_record(chunk, row->first_sequence, i, &record) != SHMW_OK)
            return SHMW_CORRUPT;
        *finding = "a timestamp is below the one before";
        if (record.timestamp_ns < before)
            return SHMW_CORRUPT;
        before = record.timestamp_ns;
    }
    return SHMW_OK;
}

static int sealed_good(const struct shmw_deepwater_chunk_map *chunk, const struct shmw_deepwater_row *row, uint64_t count,
                       const char **finding)
{
    *finding = "the row has another number of records than the index";
    if (row->record_count != count)
        return SHMW_CORRUPT;
    *finding = "the row has more bytes than the data";
    if (row->data_bytes > chunk->data_capacity)
        return SHMW_CORRUPT;
    if (row->state != SHMW_DEEPWATER_STATE_PERSISTED)
        return SHMW_OK;
    uint32_t data_crc;
    uint32_t index_crc;
    *finding = "the bytes or the index have another CRC than the row"; /* [deepwater.validate.crc] */
    shmw_deepwater_crcs(chunk, row->data_bytes, count, &data_crc, &index_crc);
    return data_crc == row->data_crc && index_crc == row->index_crc ? SHMW_OK : SHMW_CORRUPT;
}

static int chunk_good(const struct shmw_deepwater_place *place, uint64_t id, const char **finding)
{
    struct shmw_deepwater_row row;
    struct shmw_deepwater_chunk_map chunk;
    uint64_t count = 0;
    *finding = "the chunk is not where its row says, or its header is wrong";
    int rc = shmw_deepwater_attach(place, id, &row, &chunk);
    if (rc == SHMW_EXPIRED)
        return SHMW_OK;
    if (rc != SHMW_OK)
        return rc;
    *finding = "entry_count is above the index's capacity";
    rc = shmw_deepwater_chunk_count(&chunk, &count);
    if (rc == SHMW_OK)
        rc = records_good(&chunk, &row, count, finding);
    if (rc == SHMW_OK && row.state != SHMW_DEEPWATER_STATE_LIVE)
        rc = sealed_good(&chunk, &row, count, finding);
    shmw_deepwater_chunk_close(&chunk);
    return rc;
}

/* Rows in their order: sequences and times never fall. */
static int order_good(const struct shmw_deepwater_place *place, uint64_t id, struct shmw_deepwater_row *before, const char **finding)
{
    struct shmw_deepwater_row row;
    *finding = "the row is of another chunk, has no such state, or its stamp stays odd";
    const int rc = shmw_deepwater_row_load(place, id, &row);
    if (rc == SHMW_NOT_READY)
        *finding = "a writer died while it changed the row: the next one, or gc, mends it";
    if (rc != SHMW_OK)
        return rc;
    *finding = "first_sequence or start_ns is below that of the row before";
    if (id > 0 && (row.first_sequence < before->first_sequence + before->record_count || row.start_ns < before->start_ns))
        return SHMW_CORRUPT;
    *before = row;
    return SHMW_OK;
}

int shmw_deepwater_validate(const char *base, const char *feed, const char **finding, uint64_t *chunk_id)
{
    return shmw_deepwater_validate_watched(base, feed, NULL, finding, chunk_id);
}

int shmw_deepwater_validate_watched(const char *base, const char *feed, const struct shmw_deepwater_watch *watch,
                                    const char **finding, uint64_t *chunk_id)
{
    struct shmw_deepwater_place place;
    struct shmw_deepwater_row before = {0};
    const char *line = "the registry, the entry or the feed's registry cannot be used";
    uint64_t id = SHMW_DEEPWATER_NONE;
    int rc = shmw_deepwater_find(base, feed, false, 0, &place);
    if (rc == SHMW_OK)
        rc = shmw_deepwater_feed_open(&place, false, 0);
    const uint64_t rows = rc == SHMW_OK ? shmw_deepwater_rows(&place) : 0;
    for (uint64_t i = 0; rc == SHMW_OK && i < rows; i++) {
        id = i;
        shmw_deepwater_tell(watch, i, rows);
        rc = order_good(&place, i, &before, &line);
        if (rc == SHMW_OK)
            rc = chunk_good(&place, i, &line);
    }
    shmw_deepwater_place_close(&place);
    if (finding != NULL)
        *finding = rc == SHMW_OK ? NULL : line;
    if (chunk_id != NULL)
        *chunk_id = rc == SHMW_OK ? SHMW_DEEPWATER_NONE : id;
    return rc;
}
