/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater, section 5: the writer. It is alone: what it stores it remembers, and it loads nothing that it stored. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define BEAT_EVERY 4096            /* records without a look at the clock */
#define READY_STEP UINT64_C(65536) /* bytes; a multiple of the page size */

/* Opening ----------------------------------------------------------------------------------------------------------- */

static struct shmw_deepwater_feed_options with_defaults(const struct shmw_deepwater_feed_options *options)
{
    struct shmw_deepwater_feed_options full = options != NULL ? *options : (struct shmw_deepwater_feed_options){0};
    if (full.chunk_size == 0)
        full.chunk_size = SHMW_DEEPWATER_DEFAULT_CHUNK;
    if (full.live_window == 0)
        full.live_window = SHMW_DEEPWATER_DEFAULT_WINDOW;
    if (full.rows == 0)
        full.rows = SHMW_DEEPWATER_DEFAULT_ROWS;
    if (full.feeds == 0)
        full.feeds = SHMW_DEEPWATER_DEFAULT_FEEDS;
    if (full.mode == 0)
        full.mode = SHMW_DEEPWATER_DEFAULT_MODE;
    return full;
}

/* [deepwater.feed.argument] */
static bool options_good(const struct shmw_deepwater_feed_options *options)
{
    return options->chunk_size >= SHMW_DEEPWATER_MIN_CHUNK && options->chunk_size <= SHMW_DEEPWATER_MAX_CHUNK &&
           options->chunk_size % SHMW_DEEPWATER_RECORD_ALIGN == 0 && options->record_size <= options->chunk_size &&
           options->rows <= SHMW_DEEPWATER_MAX_ROWS && options->feeds <= SHMW_DEEPWATER_MAX_FEEDS && (options->mode & ~0777U) == 0 &&
           !(options->create_only && options->open_only);
}

static uint64_t boot_clock(const struct shmw_deepwater_writer *writer)
{
    struct timespec now;
    if (writer->boot_ns != 0)
        return writer->boot_ns;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void beat(struct shmw_deepwater_writer *writer)
{
    writer->unbeaten = 0;
    const uint64_t now = boot_clock(writer);
    if (now - writer->beat_ns < SHMW_DEEPWATER_HEARTBEAT_NS)
        return;
    writer->beat_ns = now;
    shmw_store_relaxed(&writer->place.header->heartbeat_ns, now);
}

/* The lock is ours: mend what a dead writer left, and go on behind it. */
static int begin(struct shmw_deepwater_writer *writer)
{
    struct shmw_deepwater_place *place = &writer->place;
    if ((shmw_load_acquire(&place->entry->flags) & SHMW_DEEPWATER_FLAG_RETIRED) != 0)
        return SHMW_CLOSED; /* [deepwater.feed.retired] */
    const int rc = shmw_deepwater_recover(place, writer->mode, place->live_window, NULL, &writer->next_sequence,
                                          &writer->last_ns);
    if (rc != SHMW_OK)
        return rc;
    const uint64_t rows = shmw_deepwater_rows(place);
    writer->in_memory = rows > place->live_window ? rows - place->live_window : 0;
    shmw_store_relaxed(&place->header->writer_pid, writer->pid);
    writer->beat_ns = boot_clock(writer);
    shmw_store_relaxed(&place->header->heartbeat_ns, writer->beat_ns);
    return SHMW_OK;
}

int shmw_deepwater_writer_open(const char *base, const char *feed, const struct shmw_deepwater_feed_options *options,
                               shmw_deepwater_writer **out)
{
    const struct shmw_deepwater_feed_options full = with_defaults(options);
    if (base == NULL || feed == NULL || out == NULL || !options_good(&full))
        return SHMW_INVALID_ARGUMENT;
    *out = NULL;
    shmw_deepwater_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL)
        return SHMW_SYSTEM;
    writer->live = (struct shmw_deepwater_chunk_map){.data = {.fd = -1}, .index = {.fd = -1}};
    shmw_deepwater_keep_nothing(writer);
    writer->mode = full.mode;
    writer->boot_ns = full.identity.boot_ns;
    writer->pid = full.identity.pid != 0 ? full.identity.pid : (uint32_t)getpid();
    int rc = shmw_deepwater_find_or_make(base, feed, &full, &writer->place);
    if (rc == SHMW_OK)
        rc = shmw_deepwater_feed_open(&writer->place, true, 0);
    if (rc == SHMW_OK)
        rc = shmw_deepwater_lock(&writer->place);
    if (rc == SHMW_OK)
        rc = begin(writer);
    if (rc == SHMW_OK) {
        *out = writer;
        return SHMW_OK;
    }
    const int cause = errno;
    shmw_deepwater_place_close(&writer->place);
    free(writer);
    errno = cause;
    return rc;
}

/* Rotating ---------------------------------------------------------------------------------------------------------- */

static int fill_row(struct shmw_deepwater_writer *writer, uint64_t id)
{
    const struct shmw_deepwater_place *place = &writer->place;
    struct shmw_deepwater_wire_row *wire = &place->rows[id];
    const uint64_t offset = (uint64_t)((const unsigned char *)wire - place->map.base);
    const struct shmw_map file = {.fd = place->guard.fd};
    const int rc = shmw_map_reserve(&file, offset, sizeof(*wire)); /* a full disk answers here and not by SIGBUS */
    if (rc != SHMW_OK)
        return rc;
    memset(wire, 0, sizeof(*wire)); /* beyond count: nobody reads it yet */
    wire->chunk_id = id;
    wire->first_sequence = writer->next_sequence;
    wire->data_capacity = place->chunk_size;
    shmw_store_relaxed(&wire->state, SHMW_DEEPWATER_STATE_LIVE); /* published by R2, as all of this */
    shmw_store_relaxed(&wire->start_ns, writer->last_ns);
    return SHMW_OK;
}

/* Seal the chunk that was live, and persist it if the feed does. */
static int finish_live(struct shmw_deepwater_writer *writer, struct shmw_deepwater_chunk_map *chunk, uint64_t id)
{
    struct shmw_deepwater_row row;
    int rc = shmw_deepwater_row_own(&writer->place, id, &row);
    if (rc == SHMW_OK) {
        shmw_deepwater_seal(&writer->place, chunk, writer->entries, writer->used, &row);
        if (writer->place.persist)
            rc = shmw_deepwater_persist(&writer->place, chunk, writer->mode, &row);
    }
    shmw_deepwater_keep(writer, chunk);
    return rc;
}

/* [deepwater.rotate.order]: chunk, row, count, latest, and the old chunk last. */
static int rotate(struct shmw_deepwater_writer *writer)
{
    struct shmw_deepwater_place *place = &writer->place;
    struct shmw_deepwater_chunk_map old = writer->live;
    struct shmw_deepwater_chunk_map new;
    const uint64_t id = shmw_deepwater_rows(place);
    if (id >= place->capacity)
        return SHMW_FULL; /* [deepwater.rotate.full] */
    int rc = fill_row(writer, id);
    if (rc == SHMW_OK) /* on the disk before count covers it: a power failure must not leave a row of zeros below count */
        rc = shmw_deepwater_rows_flush(place);
    if (rc != SHMW_OK)
        return rc;
    if (!shmw_deepwater_take_spare(writer, id, &new))
        rc = shmw_deepwater_chunk_make(place, id, writer->mode, writer->pid, &new);
    if (rc != SHMW_OK)
        return rc;
    shmw_store_release(&place->header->count, id + 1); /* R2: pairs with A2; the row, and the chunk that it names */
    shmw_store_release(&place->header->latest, id);    /* R3: pairs with A3; the count */
    const uint64_t old_row = writer->row;
    if (old.data.base != NULL) {
        const int finished = finish_live(writer, &old, old_row);
        rc = rc == SHMW_OK ? finished : rc;
    }
    writer->live = new;
    writer->row = id;
    writer->used = 0;
    writer->entries = 0;
    writer->first_ns = 0;
    shmw_deepwater_offer(writer, id + 1);
    const int expired = shmw_deepwater_expire(place, id + 1, place->live_window, writer->mode, &writer->in_memory);
    shmw_deepwater_settle(writer, id + 1);
    return rc == SHMW_OK ? expired : rc;
}

int shmw_deepwater_rotate(shmw_deepwater_writer *writer)
{
    if (writer == NULL)
        return SHMW_INVALID_ARGUMENT;
    if (writer->place.guard.gone)
        return SHMW_OUT_OF_ORDER;
    return writer->live.data.base != NULL && writer->entries > 0 ? rotate(writer) : SHMW_OK;
}

/* Appending --------------------------------------------------------------------------------------------------------- */

static uint64_t offset_for_next(const struct shmw_deepwater_writer *writer)
{
    return writer->place.record_size != 0 ? writer->used : shmw_align_up(writer->used, SHMW_DEEPWATER_RECORD_ALIGN);
}

/* [deepwater.rotate.when] */
static bool fits(const struct shmw_deepwater_writer *writer, uint64_t timestamp_ns, uint32_t length)
{
    const struct shmw_deepwater_chunk_map *live = &writer->live;
    const uint64_t offset = offset_for_next(writer);
    if (live->data.base == NULL || writer->entries >= live->index_capacity || offset > live->data_capacity ||
        length > live->data_capacity - offset)
        return false;
    return writer->place.rotate_ns == 0 || writer->entries == 0 || timestamp_ns - writer->first_ns < writer->place.rotate_ns;
}

/* Steps 1 and 2. */
static int prepare(struct shmw_deepwater_writer *writer, uint64_t timestamp_ns, const void *data, uint32_t length)
{
    if (data == NULL && length > 0)
        return SHMW_INVALID_ARGUMENT;
    if (writer->place.record_size != 0 && length != writer->place.record_size)
        return SHMW_INVALID_ARGUMENT; /* [deepwater.append.size] */
    if (length > writer->place.chunk_size)
        return SHMW_TOO_LARGE;
    if (timestamp_ns < writer->last_ns)
        return SHMW_OUT_OF_ORDER; /* [deepwater.append.time] */
    return fits(writer, timestamp_ns, length) ? SHMW_OK : rotate(writer);
}

/* Pages are fetched a step at a time, just before they are written: all at once would hold up the record that rotates, and fetch what
 * a short-lived chunk or its index never fills. A step is what a reader's page fault maps at once. */
static void make_ready(const struct shmw_map *map, uint64_t end, uint64_t *ready)
{
    if (end <= *ready)
        return;
    const uint64_t upto = shmw_min_u64(shmw_align_up(end, READY_STEP), map->size);
    shmw_map_prefault(map, *ready, upto - *ready);
    *ready = upto;
}

/* Steps 3 to 5: everything of a record but what commits it. */
static void put(struct shmw_deepwater_writer *writer, uint64_t timestamp_ns, uint32_t type, const void *data, uint32_t length)
{
    struct shmw_deepwater_chunk_map *live = &writer->live;
    const uint64_t offset = offset_for_next(writer);
    struct shmw_deepwater_wire_record *record = &live->records[writer->entries];
    if (writer->entries == 0) {
        writer->first_ns = timestamp_ns;
        shmw_store_relaxed(&writer->place.rows[writer->row].start_ns, timestamp_ns); /* R4 publishes it */
    }
    make_ready(&live->data, sizeof(*live->data_header) + offset + length, &live->data_ready);
    make_ready(&live->index, sizeof(*live->index_header) + (writer->entries + 1) * sizeof(*record), &live->index_ready);
    if (offset > writer->used)
        memset(live->bytes + writer->used, 0, (size_t)(offset - writer->used)); /* the memory may be that of an earlier chunk */
    if (length > 0)
        memcpy(live->bytes + offset, data, length);
    record->timestamp_ns = timestamp_ns;
    record->offset = offset;
    record->length = length;
    record->type = type;
    record->sequence = writer->next_sequence++; /* [deepwater.append.sequence] */
    writer->used = offset + length;
    writer->entries++;
    writer->last_ns = timestamp_ns;
}

/* Steps 6 to 8 [deepwater.append.commit], [deepwater.append.header]. */
static void commit(struct shmw_deepwater_writer *writer)
{
    struct shmw_deepwater_wire_feed_registry *header = writer->place.header;
    shmw_store_relaxed(&writer->live.data_header->write_pos, writer->used);
    /* R4: pairs with A4; bytes, entries and start_ns of the records below it */
    shmw_store_release(&writer->live.index_header->entry_count, writer->entries);
    shmw_store_relaxed(&header->last_timestamp_ns, writer->last_ns);
    shmw_store_release(&header->last_sequence, writer->next_sequence - 1);
    if (++writer->unbeaten >= BEAT_EVERY)
        beat(writer);
    shmw_deepwater_wake(header, false);
}

int shmw_deepwater_append(shmw_deepwater_writer *writer, uint64_t timestamp_ns, uint32_t type, const void *data, uint32_t length,
                          uint64_t *sequence)
{
    if (writer == NULL)
        return SHMW_INVALID_ARGUMENT;
    if (writer->place.guard.gone)
        return SHMW_OUT_OF_ORDER;
    const int rc = prepare(writer, timestamp_ns, data, length);
    if (rc != SHMW_OK)
        return rc;
    if (sequence != NULL)
        *sequence = writer->next_sequence;
    put(writer, timestamp_ns, type, data, length);
    commit(writer);
    return SHMW_OK;
}

int shmw_deepwater_append_batch(shmw_deepwater_writer *writer, const struct shmw_deepwater_part *parts, size_t count, size_t *done)
{
    size_t i = 0;
    if (done != NULL)
        *done = 0;
    if (writer == NULL || (parts == NULL && count > 0))
        return SHMW_INVALID_ARGUMENT;
    if (writer->place.guard.gone)
        return SHMW_OUT_OF_ORDER;
    int rc = SHMW_OK;
    uint64_t uncommitted = 0;
    for (; i < count; i++) {
        const struct shmw_deepwater_part *part = &parts[i];
        if (uncommitted > 0 && !fits(writer, part->timestamp_ns, part->length)) {
            commit(writer); /* before the chunk is left */
            uncommitted = 0;
        }
        rc = prepare(writer, part->timestamp_ns, part->data, part->length);
        if (rc != SHMW_OK)
            break;
        put(writer, part->timestamp_ns, part->type, part->data, part->length);
        uncommitted++;
    }
    if (uncommitted > 0)
        commit(writer);
    if (done != NULL)
        *done = i;
    return rc;
}

/* Leaving ----------------------------------------------------------------------------------------------------------- */

/* [deepwater.leave.flush] */
static int leave(struct shmw_deepwater_writer *writer)
{
    struct shmw_deepwater_place *place = &writer->place;
    int rc = shmw_deepwater_rows_flush(place); /* the count that covers the live chunk, before its files */
    if (writer->live.data.base != NULL) {
        const int finished = finish_live(writer, &writer->live, writer->row);
        rc = rc == SHMW_OK ? finished : rc;
    }
    const int expired = shmw_deepwater_expire(place, shmw_deepwater_rows(place), 0, writer->mode, &writer->in_memory);
    if (writer->spare != NULL)
        shmw_deepwater_chunk_unlink(place, shmw_deepwater_rows(place));
    shmw_store_release(&place->header->latest, SHMW_DEEPWATER_NONE); /* R3: pairs with A3 */
    shmw_store_relaxed(&place->header->writer_pid, 0);
    const int flushed = shmw_deepwater_rows_flush(place);
    shmw_ofd_give(place->guard.fd, SHMW_DEEPWATER_LOCK_BYTE);
    shmw_deepwater_wake(place->header, false); /* readers that end with the writer, which they must find gone */
    return rc != SHMW_OK ? rc : expired != SHMW_OK ? expired : flushed;
}

int shmw_deepwater_writer_close(shmw_deepwater_writer *writer)
{
    if (writer == NULL)
        return SHMW_OK;
    int rc = SHMW_OK;
    if (!writer->place.guard.gone) /* in a forked child the parent goes on */
        rc = leave(writer);
    shmw_deepwater_keep_nothing(writer);
    shmw_deepwater_chunk_close(&writer->live);
    shmw_deepwater_place_close(&writer->place);
    free(writer);
    return rc;
}

int shmw_deepwater_writer_feed(const shmw_deepwater_writer *writer, struct shmw_deepwater_feed *feed)
{
    if (writer == NULL || feed == NULL)
        return SHMW_INVALID_ARGUMENT;
    shmw_deepwater_describe(&writer->place, feed);
    feed->writer_lives = !writer->place.guard.gone; /* our own lock does not show */
    return SHMW_OK;
}
