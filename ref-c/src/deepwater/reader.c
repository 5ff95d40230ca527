/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater, section 6: reading on, from chunk to chunk. seek.c chooses where to begin. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "internal.h"
#include "reader.h"

#define POLL_NS UINT64_C(1000000) /* of a reader that nobody can wake */
#define SPIN_LOOKS 64             /* between two looks at the clock */

/* Chunks ------------------------------------------------------------------------------------------------------------ */

/* By the row's state; SHMW_EXPIRED if it is gone [deepwater.read.moved]. */
static int attach_by(const struct shmw_deepwater_place *place, const struct shmw_deepwater_row *row,
                     struct shmw_deepwater_chunk_map *chunk)
{
    if (row->state == SHMW_DEEPWATER_STATE_EXPIRED)
        return SHMW_EXPIRED;
    if (row->state == SHMW_DEEPWATER_STATE_PERSISTED) {
        const int rc = shmw_deepwater_chunk_files(place, row->id, chunk);
        return rc == SHMW_NOT_FOUND ? SHMW_CORRUPT : rc;
    }
    return shmw_deepwater_chunk_memory(place, row->id, false, chunk);
}

int shmw_deepwater_attach(const struct shmw_deepwater_place *place, uint64_t id, struct shmw_deepwater_row *row,
                          struct shmw_deepwater_chunk_map *chunk)
{
    struct shmw_backoff backoff = {0};
    for (unsigned look = 0; look < SHMW_DEEPWATER_ATTACH_TRIES; look++) {
        int rc = shmw_deepwater_row_load(place, id, row);
        if (rc != SHMW_OK)
            return rc;
        rc = attach_by(place, row, chunk);
        if (rc != SHMW_NOT_FOUND)
            return rc;
        /* Unlinked between our look at the row and now: the row says where it is, unless the machine lost it. */
        if (shmw_load_acquire(&place->rows[id].stamp) != row->stamp) /* A5: pairs with R5 */
            continue;
        rc = shmw_deepwater_chunk_files(place, id, chunk);
        if (rc != SHMW_NOT_FOUND)
            return rc;
        if (!shmw_deepwater_writer_lives(place))
            return SHMW_EXPIRED;
        shmw_backoff_pause(&backoff, SHMW_FOREVER);
    }
    return SHMW_CORRUPT;
}

/* Hold row id, and be at the sequence that is wanted, or at its first record. */
int shmw_deepwater_enter(shmw_deepwater_reader *reader, uint64_t id)
{
    struct shmw_deepwater_row row;
    struct shmw_deepwater_chunk_map chunk;
    const int rc = shmw_deepwater_attach(&reader->place, id, &row, &chunk);
    if (rc != SHMW_OK)
        return rc;
    shmw_deepwater_chunk_close(&reader->held);
    reader->held = chunk;
    reader->row = id;
    reader->first = row.first_sequence;
    reader->index = reader->next > row.first_sequence ? reader->next - row.first_sequence : 0;
    reader->known = 0;
    reader->ahead = 0;
    return SHMW_OK;
}

/* The row after this one, or the one that could not be entered yet. SHMW_EMPTY: there is none. */
static int enter_next(shmw_deepwater_reader *reader)
{
    const uint64_t id = reader->held.data.base != NULL ? reader->row + 1 : reader->row;
    if (id >= shmw_deepwater_rows(&reader->place)) /* A2 */
        return SHMW_EMPTY;
    const int rc = shmw_deepwater_enter(reader, id);
    if (rc == SHMW_EXPIRED) {
        shmw_deepwater_chunk_close(&reader->held);
        reader->row = id;
    }
    return rc;
}

/* Go behind what is gone: *lost records [deepwater.read.expired]. SHMW_EXPIRED, or SHMW_OK when nothing was lost. A row that a dead
 * writer left odd is where it ends: it is asked for again, and whether it is gone is known when it is mended. */
static int pass_expired(shmw_deepwater_reader *reader, uint64_t *lost)
{
    const struct shmw_deepwater_place *place = &reader->place;
    uint64_t end = reader->next;
    uint64_t id = reader->row;
    for (;; id++) {
        struct shmw_deepwater_row row;
        /* Before the rows are counted: what it numbers is below that count, and gone if all of them are. Behind it, a rotation
         * between the two would let us pass over records that are there. */
        const uint64_t last = shmw_load_acquire(&place->header->last_sequence);
        const uint64_t rows = shmw_deepwater_rows(place); /* A2 */
        if (id >= rows) { /* nothing is left: to the end of what was written */
            end = last != SHMW_DEEPWATER_NONE && last + 1 > end ? last + 1 : end;
            break;
        }
        id = shmw_max_u64(id, shmw_deepwater_expired_below(place, rows)); /* what is passed over is below its first_sequence */
        int rc = shmw_deepwater_row_load(place, id, &row);
        if (rc != SHMW_OK && rc != SHMW_NOT_READY)
            return rc;
        end = row.first_sequence > end ? row.first_sequence : end;
        if (rc == SHMW_OK)
            rc = shmw_deepwater_enter(reader, id);
        if (rc == SHMW_OK || rc == SHMW_NOT_READY)
            break;
        if (rc != SHMW_EXPIRED)
            return rc;
        end = row.first_sequence + row.record_count > end ? row.first_sequence + row.record_count : end;
    }
    reader->row = id;
    *lost = end - reader->next;
    reader->next = end;
    return *lost > 0 ? SHMW_EXPIRED : SHMW_OK;
}

/* Records ----------------------------------------------------------------------------------------------------------- */

/* SHMW_OK: the record at reader->index is there. Otherwise the answer, or SHMW_CLOSED for "the next row". */
static int look(shmw_deepwater_reader *reader)
{
    if (reader->index < reader->known)
        return SHMW_OK;
    int rc = shmw_deepwater_chunk_count(&reader->held, &reader->known); /* A4 */
    if (rc != SHMW_OK || reader->index < reader->known)
        return rc;
    if (!shmw_deepwater_chunk_sealed(&reader->held)) /* A9 [deepwater.read.sealed] */
        return SHMW_EMPTY;
    rc = shmw_deepwater_chunk_count(&reader->held, &reader->known);
    return rc != SHMW_OK || reader->index < reader->known ? rc : SHMW_CLOSED;
}

/* Come to a record, over the ends of chunks. SHMW_NOT_READY: the next row is odd, and no writer lives. */
static int advance(shmw_deepwater_reader *reader, struct shmw_deepwater_record *record)
{
    for (;;) {
        int rc = reader->held.data.base != NULL ? look(reader) : SHMW_CLOSED;
        if (rc != SHMW_CLOSED)
            return rc;
        rc = enter_next(reader);
        if (rc == SHMW_EXPIRED) {
            *record = (struct shmw_deepwater_record){.sequence = reader->next};
            rc = pass_expired(reader, &record->lost);
        }
        if (rc != SHMW_OK)
            return rc;
    }
}

static int take(shmw_deepwater_reader *reader, struct shmw_deepwater_record *record)
{
    /* The bytes of what has just been written are as far away as its entry, which says where they are: both are asked for at once. */
    shmw_prefetch_ahead(reader->held.bytes, reader->ahead);
    const int rc = shmw_deepwater_chunk_record(&reader->held, reader->first, reader->index, record);
    if (rc != SHMW_OK)
        return rc;
    reader->ahead = shmw_align_up((uint64_t)((const unsigned char *)record->data - reader->held.bytes) + record->length,
                                  SHMW_DEEPWATER_RECORD_ALIGN);
    reader->index++;
    reader->next = record->sequence + 1;
    return SHMW_OK;
}

static bool nothing(int rc)
{
    return rc == SHMW_EMPTY || rc == SHMW_NOT_READY;
}

/* [deepwater.read.end]: nothing more will come, when advance() said rc. Behind an odd row there may be records, which gc brings back
 * in a retired feed too. */
static bool ended(const shmw_deepwater_reader *reader, int rc)
{
    if (rc == SHMW_EMPTY && (shmw_load_acquire(&reader->place.entry->flags) & SHMW_DEEPWATER_FLAG_RETIRED) != 0)
        return true;
    return reader->end_with_writer && !shmw_deepwater_writer_lives(&reader->place);
}

int shmw_deepwater_next(shmw_deepwater_reader *reader, struct shmw_deepwater_record *record)
{
    if (reader == NULL || record == NULL)
        return SHMW_INVALID_ARGUMENT;
    int rc = advance(reader, record);
    if (nothing(rc) && ended(reader, rc)) {
        const int first = rc;
        rc = advance(reader, record); /* what came before the end */
        if (rc == SHMW_EMPTY || rc == first)
            return SHMW_CLOSED;
    }
    if (rc == SHMW_NOT_READY)
        return SHMW_EMPTY; /* [deepwater.read.odd] */
    return rc == SHMW_OK ? take(reader, record) : rc;
}

int shmw_deepwater_next_batch(shmw_deepwater_reader *reader, struct shmw_deepwater_record *records, size_t max, size_t *count)
{
    if (records == NULL || max == 0 || count == NULL)
        return SHMW_INVALID_ARGUMENT;
    *count = 0;
    int rc = shmw_deepwater_next(reader, &records[0]);
    if (rc != SHMW_OK)
        return rc;
    for (*count = 1; *count < max && reader->index < reader->known; ++*count) {
        rc = take(reader, &records[*count]);
        if (rc != SHMW_OK)
            break; /* the next call comes to it again */
    }
    return SHMW_OK;
}

/* Waiting ----------------------------------------------------------------------------------------------------------- */

/* Come back when there is more in the chunk that is held, or after a while. Only entry_count is looked at: whether the chunk is sealed
 * stands in a line that the writer stores to before each commit, and would have to take back first. */
static void watch_count(const shmw_deepwater_reader *reader)
{
    if (reader->held.data.base == NULL || reader->index < reader->known)
        return;
    for (unsigned i = 0; i < SPIN_LOOKS; i++) {
        if (shmw_load_relaxed(&reader->held.index_header->entry_count) != reader->known)
            return; /* relaxed: look() loads it with acquire (A4) */
        shmw_relax();
    }
}

static int spin(shmw_deepwater_reader *reader, uint64_t spin_ns, struct shmw_deepwater_record *record)
{
    const uint64_t end = shmw_deadline(spin_ns);
    int rc = SHMW_EMPTY;
    while (rc == SHMW_EMPTY && !shmw_expired(end)) {
        watch_count(reader);
        shmw_relax();
        rc = advance(reader, record);
        if (rc == SHMW_NOT_READY)
            return SHMW_EMPTY; /* it takes another writer: no time to spin for */
    }
    return rc == SHMW_OK ? take(reader, record) : rc;
}

/* Section 7, the sleeper's side. */
static uint32_t go_to_sleep(struct shmw_deepwater_wire_feed_registry *counts)
{
    /* A7: pairs with R7; what the writer committed before it moved the signal, and the waiters that it wiped out before */
    const uint32_t seen = shmw_load_acquire(&counts->signal);
    if (shmw_load_relaxed(&counts->waiters) == 0)
        shmw_add_relaxed(&counts->waiters, 1);
    /* S8: pairs with S8 of the writer that wakes; our count before the last look [deepwater.wait.count] */
    shmw_fence_seqcst();
    return seen;
}

int shmw_deepwater_wait_next(shmw_deepwater_reader *reader, uint64_t timeout_ns, uint64_t spin_ns,
                             struct shmw_deepwater_record *record)
{
    if (reader != NULL && spin_ns > 0 && timeout_ns > 0)
        watch_count(reader);
    int rc = shmw_deepwater_next(reader, record);
    if (rc != SHMW_EMPTY || timeout_ns == 0)
        return rc;
    const uint64_t deadline = shmw_deadline(timeout_ns); /* behind the first look: where there is a record no clock is read */
    rc = spin(reader, shmw_min_u64(spin_ns, timeout_ns), record);
    while (rc == SHMW_EMPTY) {
        const bool last = shmw_expired(deadline);
        struct shmw_deepwater_wire_feed_registry *counts = reader->counts;
        const uint32_t seen = counts != NULL ? go_to_sleep(counts) : 0;
        rc = shmw_deepwater_next(reader, record);
        if (rc != SHMW_EMPTY || last)
            break; /* [deepwater.wait.timeout] */
        if (counts == NULL)
            shmw_sleep(shmw_remaining(deadline, POLL_NS));
        else if (shmw_futex_wait(&counts->signal, seen, shmw_remaining(deadline, SHMW_DEEPWATER_WAIT_SLICE_NS)) != SHMW_OK)
            return SHMW_SYSTEM;
    }
    return rc == SHMW_EMPTY ? SHMW_TIMEOUT : rc;
}
