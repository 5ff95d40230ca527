/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater, section 6: opening a reader, choosing where it begins, and the questions that are answered without reading. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "internal.h"
#include "reader.h"

/* Searching --------------------------------------------------------------------------------------------------------- */

/* Be between chunks: row `id` comes next, and the record `next` in it. */
static void go_to(shmw_deepwater_reader *reader, uint64_t id, uint64_t next)
{
    shmw_deepwater_chunk_close(&reader->held);
    reader->row = id;
    reader->next = next;
    reader->index = 0;
    reader->known = 0;
}

/* The first record that is left in the rows from `id` on. Expired rows come first, but for what a power failure took. */
static int seek_left(shmw_deepwater_reader *reader, uint64_t id)
{
    const struct shmw_deepwater_place *place = &reader->place;
    for (;; id++) {
        struct shmw_deepwater_row row;
        /* Before the rows are counted, as in pass_expired: it is of rows below that count. */
        const uint64_t last = shmw_load_acquire(&place->header->last_sequence);
        const uint64_t rows = shmw_deepwater_rows(place); /* A2 */
        if (id >= rows) { /* nothing is left */
            go_to(reader, id, last == SHMW_DEEPWATER_NONE ? 0 : last + 1);
            return SHMW_OK;
        }
        id = shmw_max_u64(id, shmw_deepwater_expired_below(place, rows));
        const int rc = shmw_deepwater_row_load(place, id, &row);
        if (rc != SHMW_OK)
            return rc;
        if (row.state != SHMW_DEEPWATER_STATE_EXPIRED) {
            go_to(reader, id, row.first_sequence);
            return SHMW_OK;
        }
    }
}

static int seek_oldest(shmw_deepwater_reader *reader)
{
    return seek_left(reader, 0);
}

/* The number of rows with key(row) <= value (or < value), of those below `rows`: keys never fall, and are not under the stamp. */
static int count_rows(const struct shmw_deepwater_place *place, uint64_t rows, uint64_t value, bool by_time, uint64_t *count)
{
    uint64_t low = 0;
    uint64_t high = rows;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        struct shmw_deepwater_row row;
        const int rc = shmw_deepwater_row_load(place, middle, &row);
        if (rc != SHMW_OK && rc != SHMW_NOT_READY) /* [deepwater.read.odd] */
            return rc;
        if (by_time ? row.start_ns < value : row.first_sequence <= value)
            low = middle + 1;
        else
            high = middle;
    }
    *count = low;
    return SHMW_OK;
}

/* Behind the last record of row `id`, the last one: what its chunk says, which is ahead of the header between two stores of a writer,
 * or for good if it died between them. *end stays if the chunk cannot be reached: then the header counts. SHMW_NOT_READY: the row
 * will say. */
static int end_of_row(const struct shmw_deepwater_place *place, uint64_t id, uint64_t *end)
{
    struct shmw_deepwater_row row;
    struct shmw_deepwater_chunk_map chunk;
    uint64_t count = 0;
    int rc = shmw_deepwater_attach(place, id, &row, &chunk);
    if (rc != SHMW_OK)
        return rc == SHMW_NOT_READY ? rc : SHMW_OK;
    rc = shmw_deepwater_chunk_count(&chunk, &count); /* A4 */
    shmw_deepwater_chunk_close(&chunk);
    if (rc == SHMW_OK && row.first_sequence + count > *end)
        *end = row.first_sequence + count;
    return SHMW_OK;
}

/* [deepwater.read.seek-sequence] */
static int seek_sequence(shmw_deepwater_reader *reader, uint64_t sequence)
{
    uint64_t count;
    const uint64_t rows = shmw_deepwater_rows(&reader->place);
    const uint64_t last = shmw_load_acquire(&reader->place.header->last_sequence);
    int rc = count_rows(&reader->place, rows, sequence, false, &count);
    uint64_t end = last == SHMW_DEEPWATER_NONE ? 0 : last + 1;
    if (rc == SHMW_OK && sequence > end && count > 0)
        rc = end_of_row(&reader->place, count - 1, &end);
    if (rc != SHMW_OK)
        return rc;
    /* Behind the last one that is there, if it is not there yet. */
    go_to(reader, count > 0 ? count - 1 : 0, sequence < end ? sequence : end);
    return SHMW_OK;
}

static int seek_latest(shmw_deepwater_reader *reader)
{
    return seek_sequence(reader, SHMW_DEEPWATER_NONE);
}

/* The first of the chunk's records with that time or a later one; count if there is none. */
static uint64_t first_at(const struct shmw_deepwater_chunk_map *chunk, uint64_t count, uint64_t time)
{
    uint64_t low = 0;
    uint64_t high = count;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (shmw_field_load(&chunk->records[middle].timestamp_ns) < time)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* [deepwater.read.seek-time]: in the last row that begins before that time, or behind it. */
static int seek_time(shmw_deepwater_reader *reader, uint64_t time)
{
    const struct shmw_deepwater_place *place = &reader->place;
    const uint64_t rows = shmw_deepwater_rows(place);
    struct shmw_deepwater_row row;
    struct shmw_deepwater_chunk_map chunk;
    uint64_t before = 0;
    uint64_t count = 0;
    int rc = count_rows(place, rows, time, true, &before);
    if (rc != SHMW_OK)
        return rc;
    if (before == 0)
        return seek_oldest(reader);
    rc = shmw_deepwater_attach(place, before - 1, &row, &chunk);
    if (rc == SHMW_EXPIRED) /* rows behind it begin at that time or later; those before it are too early */
        return seek_left(reader, before);
    if (rc != SHMW_OK)
        return rc;
    rc = shmw_deepwater_chunk_count(&chunk, &count); /* A4 */
    if (rc == SHMW_OK)
        go_to(reader, before - 1, row.first_sequence + first_at(&chunk, count, time));
    shmw_deepwater_chunk_close(&chunk);
    return rc;
}

int shmw_deepwater_seek(shmw_deepwater_reader *reader, enum shmw_deepwater_start start, uint64_t at)
{
    if (reader == NULL)
        return SHMW_INVALID_ARGUMENT;
    switch (start) {
    case SHMW_DEEPWATER_OLDEST:
        return seek_oldest(reader);
    case SHMW_DEEPWATER_LATEST:
        return seek_latest(reader);
    case SHMW_DEEPWATER_TIME:
        return seek_time(reader, at);
    case SHMW_DEEPWATER_SEQUENCE:
        return seek_sequence(reader, at);
    }
    return SHMW_INVALID_ARGUMENT;
}

/* Cursors ----------------------------------------------------------------------------------------------------------- */

int shmw_deepwater_save(const shmw_deepwater_reader *reader, struct shmw_deepwater_cursor *cursor)
{
    if (reader == NULL || cursor == NULL)
        return SHMW_INVALID_ARGUMENT;
    *cursor = (struct shmw_deepwater_cursor){.chunk_id = reader->row, .sequence = reader->next};
    return SHMW_OK;
}

/* [deepwater.read.cursor]: the chunk is a hint, the sequence counts. */
int shmw_deepwater_restore(shmw_deepwater_reader *reader, const struct shmw_deepwater_cursor *cursor)
{
    if (reader == NULL || cursor == NULL)
        return SHMW_INVALID_ARGUMENT;
    const uint64_t rows = shmw_deepwater_rows(&reader->place);
    struct shmw_deepwater_row row;
    if (cursor->chunk_id < rows && shmw_deepwater_row_load(&reader->place, cursor->chunk_id, &row) == SHMW_OK &&
        row.first_sequence <= cursor->sequence && row.state >= SHMW_DEEPWATER_STATE_SEALED &&
        cursor->sequence - row.first_sequence < row.record_count) {
        go_to(reader, cursor->chunk_id, cursor->sequence);
        return SHMW_OK;
    }
    return seek_sequence(reader, cursor->sequence);
}

/* Opening ----------------------------------------------------------------------------------------------------------- */

/* The first page once more, to be counted in when it sleeps; none if the mode does not let us [deepwater.open.readonly]. */
static void map_counts(shmw_deepwater_reader *reader)
{
    char path[64];
    const int cause = errno;
    struct shmw_map map = {.fd = -1, .writable = true};
    snprintf(path, sizeof(path), "/proc/self/fd/%d", reader->place.guard.fd);
    if (shmw_map_open(path, false, sizeof(*reader->counts), 0, &map) == SHMW_OK) {
        if (map.size > sizeof(*reader->counts))
            munmap(map.base, map.size);
        struct shmw_map page = {.fd = map.fd, .writable = true};
        if (shmw_map_file(&page, sizeof(*reader->counts)) == SHMW_OK)
            reader->counts = (struct shmw_deepwater_wire_feed_registry *)(void *)page.base;
        shmw_map_close(&(struct shmw_map){.base = NULL, .size = 0, .fd = map.fd});
    }
    errno = cause;
}

/* Choose where to begin, waiting for a writer that mends the row that says it. */
static int seek_within(shmw_deepwater_reader *reader, const struct shmw_deepwater_reader_options *options)
{
    const uint64_t deadline = shmw_deadline(options->ready_timeout_ns);
    struct shmw_backoff backoff = {0};
    for (;;) {
        const bool last = shmw_expired(deadline);
        const int rc = shmw_deepwater_seek(reader, options->start, options->at);
        if (rc != SHMW_NOT_READY || last)
            return rc;
        shmw_backoff_pause(&backoff, deadline);
    }
}

int shmw_deepwater_reader_open(const char *base, const char *feed, const struct shmw_deepwater_reader_options *options,
                               shmw_deepwater_reader **out)
{
    const struct shmw_deepwater_reader_options none = {0};
    const struct shmw_deepwater_reader_options *asked = options != NULL ? options : &none;
    if (base == NULL || feed == NULL || out == NULL)
        return SHMW_INVALID_ARGUMENT;
    *out = NULL;
    shmw_deepwater_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL)
        return SHMW_SYSTEM;
    reader->held = (struct shmw_deepwater_chunk_map){.data = {.fd = -1}, .index = {.fd = -1}};
    reader->end_with_writer = asked->end_with_writer;
    int rc = shmw_deepwater_find(base, feed, false, asked->ready_timeout_ns, &reader->place);
    if (rc == SHMW_OK)
        rc = shmw_deepwater_feed_open(&reader->place, false, asked->ready_timeout_ns);
    if (rc == SHMW_OK)
        rc = seek_within(reader, asked);
    if (rc == SHMW_OK && !asked->read_only)
        map_counts(reader);
    if (rc == SHMW_OK) {
        *out = reader;
        return SHMW_OK;
    }
    const int cause = errno;
    shmw_deepwater_reader_close(reader);
    errno = cause;
    return rc;
}

void shmw_deepwater_reader_close(shmw_deepwater_reader *reader)
{
    if (reader == NULL)
        return;
    if (reader->counts != NULL)
        munmap(reader->counts, sizeof(*reader->counts));
    shmw_deepwater_chunk_close(&reader->held);
    shmw_deepwater_place_close(&reader->place);
    free(reader);
}

/* Questions --------------------------------------------------------------------------------------------------------- */

/* A row for people and programs; of a live chunk with what its index says, if it can be reached. */
static void tell_chunk(const struct shmw_deepwater_place *place, const struct shmw_deepwater_row *row,
                       struct shmw_deepwater_chunk *chunk)
{
    *chunk = (struct shmw_deepwater_chunk){
        .chunk_id = row->id,
        .first_sequence = row->first_sequence,
        .record_count = row->record_count,
        .start_ns = row->start_ns,
        .end_ns = row->end_ns,
        .data_bytes = row->data_bytes,
        .data_capacity = row->data_capacity,
        .state = row->state,
        .data_crc = row->data_crc,
        .index_crc = row->index_crc,
    };
    struct shmw_deepwater_chunk_map map;
    uint64_t count = 0;
    if (row->state != SHMW_DEEPWATER_STATE_LIVE || shmw_deepwater_chunk_memory(place, row->id, false, &map) != SHMW_OK)
        return;
    if (shmw_deepwater_chunk_count(&map, &count) == SHMW_OK && count > 0) {
        chunk->record_count = count;
        chunk->end_ns = shmw_field_load(&map.records[count - 1].timestamp_ns);
        chunk->data_bytes = shmw_load_relaxed(&map.data_header->write_pos);
    }
    shmw_deepwater_chunk_close(&map);
}

int shmw_deepwater_reader_chunk(const shmw_deepwater_reader *reader, uint64_t chunk_id, struct shmw_deepwater_chunk *chunk)
{
    struct shmw_deepwater_row row;
    if (reader == NULL || chunk == NULL)
        return SHMW_INVALID_ARGUMENT;
    if (chunk_id >= shmw_deepwater_rows(&reader->place))
        return SHMW_NOT_FOUND;
    const int rc = shmw_deepwater_row_load(&reader->place, chunk_id, &row);
    if (rc == SHMW_NOT_READY)
        *chunk = (struct shmw_deepwater_chunk){.chunk_id = row.id,
                                               .first_sequence = row.first_sequence,
                                               .start_ns = row.start_ns,
                                               .data_capacity = row.data_capacity};
    if (rc == SHMW_OK)
        tell_chunk(&reader->place, &row, chunk);
    return rc;
}

/* [deepwater.read.latest-chunk] */
int shmw_deepwater_latest_chunk(const shmw_deepwater_reader *reader, struct shmw_deepwater_chunk *chunk, char *data_name,
                                char *index_name)
{
    if (reader == NULL || chunk == NULL)
        return SHMW_INVALID_ARGUMENT;
    const uint64_t latest = shmw_load_acquire(&reader->place.header->latest); /* A3: pairs with R3; the row that it names */
    if (latest == SHMW_DEEPWATER_NONE)
        return SHMW_NOT_FOUND;
    if (latest >= shmw_deepwater_rows(&reader->place))
        return SHMW_CORRUPT;
    if (data_name != NULL)
        shmw_deepwater_memory_name(&reader->place, latest, "data", data_name);
    if (index_name != NULL)
        shmw_deepwater_memory_name(&reader->place, latest, "idx", index_name);
    return shmw_deepwater_reader_chunk(reader, latest, chunk);
}

/* [deepwater.read.has-data] */
int shmw_deepwater_has_data_since(const shmw_deepwater_reader *reader, uint64_t timestamp_ns, bool *has)
{
    if (reader == NULL || has == NULL)
        return SHMW_INVALID_ARGUMENT;
    const struct shmw_deepwater_wire_feed_registry *header = reader->place.header;
    const bool any = shmw_load_acquire(&header->last_sequence) != SHMW_DEEPWATER_NONE; /* stored behind the timestamp */
    *has = any && shmw_load_relaxed(&header->last_timestamp_ns) >= timestamp_ns;
    return SHMW_OK;
}

int shmw_deepwater_reader_feed(const shmw_deepwater_reader *reader, struct shmw_deepwater_feed *feed)
{
    if (reader == NULL || feed == NULL)
        return SHMW_INVALID_ARGUMENT;
    shmw_deepwater_describe(&reader->place, feed);
    return SHMW_OK;
}
