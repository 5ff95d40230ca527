/* SPDX-License-Identifier: MIT
 *
 * Profile ouroboros, section 4: making a log, becoming its writer, writing. The writer keeps its state in its handle: a write
 * touches the entry, the header behind it, and once a chunk a row. */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"
#include "resume.h"

#define NO_OFFSET UINT64_MAX

/* Rows ------------------------------------------------------------------------------------------------------------- */

static uint64_t row_offset(const shmw_ouroboros_writer *writer, uint32_t i)
{
    /* Nobody else stores here, so no order is needed. */
    return shmw_load_relaxed(&shmw_ouroboros_row(&writer->segment, i)->offset) & ~SHMW_OUROBOROS_ROW_COMMITTED;
}

/* Find the row from `first` on whose chunk begins lowest. Offsets ascend, so that is the first one that describes a chunk. */
static void find_guard(shmw_ouroboros_writer *writer, uint32_t first)
{
    writer->guard = NO_OFFSET;
    writer->guard_row = writer->segment.chunk_count;
    for (uint32_t i = writer->ordered ? first : writer->chunk + 1; i < writer->segment.chunk_count; i++) {
        const uint64_t offset = row_offset(writer, i);
        if (offset == 0 || offset >= writer->guard)
            continue;
        writer->guard = offset;
        writer->guard_row = i;
        if (writer->ordered)
            return;
    }
}

/* Begin a chunk at the cursor [ouroboros.write.begin]. Readers of the row's old chunk have to hear of it before any of its
 * bytes goes. */
static void begin_chunk(shmw_ouroboros_writer *writer, uint32_t chunk)
{
    struct shmw_ouroboros_wire_row *row = shmw_ouroboros_row(&writer->segment, chunk);
    shmw_store_release(&row->offset, writer->cursor);  /* R1: pairs with A1; uncommitted before it has the new token */
    shmw_store_release(&row->token, writer->entries);  /* R2: pairs with A2; the new token only with the new offset */
    shmw_fence_release();                              /* F4: pairs with F5; both before what overwrites the old lap */
    writer->chunk = chunk;
    writer->committed = false;
    const bool last = chunk + 1 == writer->segment.chunk_count;
    writer->limit = last ? NO_OFFSET : shmw_end_of(writer->cursor, writer->chunk_target_size, 1);
    if (chunk == 0)
        find_guard(writer, 1);
    else if (writer->guard_row == chunk || !writer->ordered)
        find_guard(writer, chunk + 1);
}

/* Clear every row above the current chunk that begins below `end` [ouroboros.write.clear]. */
static void clear_rows(shmw_ouroboros_writer *writer, uint64_t end)
{
    while (writer->guard < end) {
        struct shmw_ouroboros_wire_row *row = shmw_ouroboros_row(&writer->segment, writer->guard_row);
        shmw_store_release(&row->offset, 0); /* R1: pairs with A1 */
        shmw_store_release(&row->token, 0);  /* R2: pairs with A2 */
        find_guard(writer, writer->guard_row + 1);
    }
    shmw_fence_release(); /* F4: pairs with F5; no byte of those chunks goes before readers can know */
}

void shmw_ouroboros_commit_row(shmw_ouroboros_writer *writer, uint64_t offset)
{
    /* R1: pairs with A1; the chunk's first entry before its row [ouroboros.write.commit-row] */
    shmw_store_release(&shmw_ouroboros_row(&writer->segment, writer->chunk)->offset, offset | SHMW_OUROBOROS_ROW_COMMITTED);
    writer->committed = true;
}

void shmw_ouroboros_settle(shmw_ouroboros_writer *writer, uint64_t offset)
{
    const bool last = writer->chunk + 1 == writer->segment.chunk_count;
    writer->limit = last ? NO_OFFSET : shmw_end_of(offset, writer->chunk_target_size, 1);
    writer->max_payload = shmw_ouroboros_max_payload(&writer->segment);
    find_guard(writer, writer->chunk + 1);
}

/* Writing ---------------------------------------------------------------------------------------------------------- */

/* The entry does not fit before the end: on in chunk 0 [ouroboros.write.wrap]. */
static void wrap(shmw_ouroboros_writer *writer)
{
    const struct shmw_ouroboros_segment *segment = &writer->segment;
    if (shmw_ouroboros_header_fits(segment, writer->cursor)) {
        /* R3: pairs with A3; all entries of the lap before the mark */
        shmw_store_release(&shmw_ouroboros_entry_at(segment, writer->cursor)->header,
                           SHMW_OUROBOROS_LENGTH_WRAP | SHMW_OUROBOROS_ENTRY_COMMITTED);
    }
    writer->cursor = segment->data_offset;
    begin_chunk(writer, 0);
}

/* Steps 4 to 10: an entry of `length` bytes, header included, at the cursor, where it fits. */
static inline void append(shmw_ouroboros_writer *writer, const void *data, uint32_t length)
{
    const struct shmw_ouroboros_segment *segment = &writer->segment;
    const uint64_t cursor = writer->cursor;
    const uint64_t next = shmw_ouroboros_after(cursor, length);
    const bool header_fits = shmw_ouroboros_header_fits(segment, next);
    const uint64_t end = header_fits ? next + SHMW_OUROBOROS_ENTRY_HEADER_SIZE : next;
    if (writer->guard < end)
        clear_rows(writer, end);
    struct shmw_ouroboros_wire_entry *entry = shmw_ouroboros_entry_at(segment, cursor);
    shmw_store_release(&entry->header, length); /* not committed: what follows is not to be read yet */
    shmw_copy_to_shared(entry + 1, data, length - SHMW_OUROBOROS_ENTRY_HEADER_SIZE);
    if (header_fits) /* bytes of the lap before are no entry behind ours [ouroboros.write.next-header] */
        shmw_store_relaxed(&shmw_ouroboros_entry_at(segment, next)->header, SHMW_OUROBOROS_LENGTH_NONE);
    /* R3: pairs with A3; payload and next header before the header [ouroboros.write.commit] */
    shmw_store_release(&entry->header, length | SHMW_OUROBOROS_ENTRY_COMMITTED);
    if (!writer->committed)
        shmw_ouroboros_commit_row(writer, cursor);
    writer->cursor = next;
}

int shmw_ouroboros_write(shmw_ouroboros_writer *writer, const void *data, size_t length, uint64_t *sequence)
{
    if (writer == NULL || data == NULL || length == 0) /* [ouroboros.write.empty] */
        return SHMW_INVALID_ARGUMENT;
    if (length > writer->max_payload) /* [ouroboros.write.too-large] */
        return SHMW_TOO_LARGE;
    if (shmw_pid(writer->pid) != writer->owner)
        return SHMW_BUSY; /* a forked child: its parent is the writer [ouroboros.segment.one-writer] */
    const uint32_t whole = (uint32_t)(length + SHMW_OUROBOROS_ENTRY_HEADER_SIZE);
    if (writer->cursor + whole > writer->segment.map.size)
        wrap(writer);
    else if (writer->cursor >= writer->limit) /* [ouroboros.write.next-chunk] */
        begin_chunk(writer, writer->chunk + 1);
    append(writer, data, whole);
    writer->entries++;
    if (sequence != NULL)
        *sequence = writer->entries;
    return SHMW_OK;
}

int shmw_ouroboros_writer_info(const shmw_ouroboros_writer *writer, struct shmw_ouroboros_writer_info *info)
{
    if (writer == NULL || info == NULL)
        return SHMW_INVALID_ARGUMENT;
    *info = (struct shmw_ouroboros_writer_info){
        .size = writer->segment.map.size,
        .chunk_target_size = writer->chunk_target_size,
        .chunk_count = writer->segment.chunk_count,
        .max_payload = writer->max_payload,
        .entries_written = writer->entries,
    };
    return SHMW_OK;
}

/* Becoming a writer ------------------------------------------------------------------------------------------------ */

static int fill_in_options(struct shmw_ouroboros_create_options *options)
{
    if (options->chunk_count == 0)
        options->chunk_count = SHMW_OUROBOROS_DEFAULT_CHUNK_COUNT;
    if (options->chunk_target_size == 0)
        options->chunk_target_size = SHMW_OUROBOROS_DEFAULT_CHUNK_TARGET;
    const uint64_t table_end = shmw_ouroboros_table_end(options->chunk_count);
    if (options->size == 0)
        options->size = shmw_end_of(table_end, options->chunk_target_size, options->chunk_count);
    if (options->mode == 0)
        options->mode = SHMW_OUROBOROS_DEFAULT_MODE;
    const bool room = options->size >= table_end + SHMW_OUROBOROS_MIN_LENGTH && options->size <= INT64_MAX;
    return room && options->mode <= 0777 ? SHMW_OK : SHMW_INVALID_ARGUMENT;
}

/* The file is ours and full of zeroes: only what differs is stored [ouroboros.segment.init]. */
static void write_header(shmw_ouroboros_writer *writer)
{
    const struct shmw_ouroboros_segment *segment = &writer->segment;
    struct shmw_ouroboros_wire_header *header = shmw_ouroboros_header(segment);
    shmw_field_store(&header->version, SHMW_OUROBOROS_VERSION);
    shmw_field_store(&header->chunk_count, segment->chunk_count);
    shmw_ouroboros_commit_row(writer, segment->data_offset);
    /* R0: pairs with A0; version, chunk count and row 0 before the magic */
    shmw_store_release(&header->magic, SHMW_OUROBOROS_MAGIC);
}

static int create_log(shmw_ouroboros_writer *writer, const char *locator, const struct shmw_ouroboros_create_options *options)
{
    struct shmw_ouroboros_segment *segment = &writer->segment;
    int rc = shmw_map_create(locator, options->size, options->size, options->mode, &segment->map);
    if (rc != SHMW_OK)
        return rc;
    rc = shmw_map_claim(&segment->map, true); /* free: nobody asks for the lock before the magic is there */
    if (rc != SHMW_OK) {
        const int cause = errno;
        shmw_map_close(&segment->map);
        shmw_unlink(locator);
        errno = cause;
        return rc;
    }
    segment->chunk_count = options->chunk_count;
    segment->data_offset = shmw_ouroboros_table_end(options->chunk_count);
    writer->cursor = segment->data_offset;
    writer->chunk_target_size = options->chunk_target_size;
    shmw_map_prefault(&segment->map, 0, segment->map.size);
    shmw_ouroboros_settle(writer, writer->cursor);
    write_header(writer);
    return SHMW_OK;
}

/* size is what the segment leaves for entries: the target that the size formula gives. */
static uint64_t target_by_formula(const struct shmw_ouroboros_segment *segment)
{
    const uint64_t target = (segment->map.size - segment->data_offset) / segment->chunk_count;
    return target > 0 ? target : 1;
}

static int take_over(shmw_ouroboros_writer *writer, const char *locator, const struct shmw_ouroboros_resume_options *options)
{
    struct shmw_ouroboros_segment *segment = &writer->segment;
    int rc = shmw_ouroboros_attach(segment, locator, false, 0);
    if (rc != SHMW_OK)
        return rc;
    writer->chunk_target_size = options->chunk_target_size != 0 ? options->chunk_target_size : target_by_formula(segment);
    rc = shmw_map_claim(&segment->map, false); /* [ouroboros.segment.one-writer] */
    if (rc == SHMW_OK)
        rc = shmw_map_reserve(&segment->map, 0, segment->map.size);
    if (rc == SHMW_OK)
        rc = shmw_ouroboros_find_end(writer);
    if (rc == SHMW_OK) {
        shmw_map_prefault(&segment->map, 0, segment->map.size);
        return SHMW_OK;
    }
    const int cause = errno;
    shmw_map_close(&segment->map); /* the lock goes with it */
    errno = cause;
    return rc;
}

static shmw_ouroboros_writer *new_writer(void)
{
    shmw_ouroboros_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL)
        return NULL;
    writer->pid = shmw_pid_cache_new();
    writer->owner = shmw_pid(writer->pid);
    writer->ordered = true;
    return writer;
}

static int hand_over(shmw_ouroboros_writer *writer, int rc, shmw_ouroboros_writer **out)
{
    if (rc == SHMW_OK) {
        *out = writer;
        return SHMW_OK;
    }
    const int cause = errno;
    shmw_pid_cache_free(writer->pid);
    free(writer);
    errno = cause;
    return rc;
}

int shmw_ouroboros_create(const char *locator, const struct shmw_ouroboros_create_options *options, shmw_ouroboros_writer **out)
{
    if (locator == NULL || out == NULL)
        return SHMW_INVALID_ARGUMENT;
    struct shmw_ouroboros_create_options chosen = options != NULL ? *options : (struct shmw_ouroboros_create_options){0};
    const int rc = fill_in_options(&chosen);
    if (rc != SHMW_OK)
        return rc;
    shmw_ouroboros_writer *writer = new_writer();
    return writer != NULL ? hand_over(writer, create_log(writer, locator, &chosen), out) : SHMW_SYSTEM;
}

int shmw_ouroboros_resume(const char *locator, const struct shmw_ouroboros_resume_options *options, shmw_ouroboros_writer **out)
{
    if (locator == NULL || out == NULL)
        return SHMW_INVALID_ARGUMENT;
    const struct shmw_ouroboros_resume_options chosen = options != NULL ? *options : (struct shmw_ouroboros_resume_options){0};
    shmw_ouroboros_writer *writer = new_writer();
    return writer != NULL ? hand_over(writer, take_over(writer, locator, &chosen), out) : SHMW_SYSTEM;
}

void shmw_ouroboros_close_writer(shmw_ouroboros_writer *writer)
{
    if (writer == NULL)
        return;
    /* The lock goes at once, even if children forked meanwhile have the descriptor; but a child's close is no reason to take it
     * from its parent. */
    if (shmw_pid(writer->pid) == writer->owner)
        shmw_map_unclaim(&writer->segment.map);
    shmw_map_close(&writer->segment.map);
    shmw_pid_cache_free(writer->pid);
    free(writer);
}
