/* SPDX-License-Identifier: MIT
 *
 * Profile ouroboros, section 5: reading. A reader touches the header and payload of the entry, the row of its chunk, which the
 * writer writes once a chunk, and the token of the next row, mostly in the same line. */
#include <stdlib.h>

#include "../wait.h"
#include "internal.h"

/* Times to follow a writer that overtakes us before the answer is "nothing now"; each one costs a look at all rows. */
#define ROUNDS 64

/* How far a reader that is behind reads ahead, if the entries to come are like this one. */
#define ENTRIES_AHEAD 4

#define LOOKS_A_SPIN 16 /* of a reader that waits without going to sleep: between two looks at the clock */

/* Inside this file SHMW_LAPPED says: the reader stands elsewhere now, look again. */

/* Rows ------------------------------------------------------------------------------------------------------------- */

/* Is the row of chunk i still committed with this token? The token is compared with one that is known and not paired with the
 * offset, so one load of each suffices. */
static inline bool holds(const struct shmw_ouroboros_segment *segment, uint32_t i, uint64_t token)
{
    const struct shmw_ouroboros_wire_row *row = shmw_ouroboros_row(segment, i);
    if (shmw_load_acquire(&row->token) != token) /* A2: pairs with R2 */
        return false;
    return (shmw_load_acquire(&row->offset) & SHMW_OUROBOROS_ROW_COMMITTED) != 0; /* A1: pairs with R1 */
}

static void stand_at(shmw_ouroboros_reader *reader, uint32_t chunk, const struct shmw_ouroboros_row *row)
{
    reader->chunk = chunk;
    reader->token = row->token;
    reader->offset = row->offset;
    reader->cursor = row->offset;
    reader->next = row->token + 1;
}

/* Go on at a committed row whose token is next - 1 or above: what lies between was overwritten [ouroboros.read.skipped]. */
static int enter(shmw_ouroboros_reader *reader, uint32_t chunk, const struct shmw_ouroboros_row *row)
{
    if (!shmw_ouroboros_offset_possible(&reader->segment, row->offset))
        return SHMW_CORRUPT; /* [ouroboros.read.row-offset] */
    const uint64_t gap = row->token + 1 - reader->next;
    reader->skipped += gap;
    reader->total_skipped += gap;
    stand_at(reader, chunk, row);
    return SHMW_LAPPED;
}

/* The writer overtook us: on at the newest chunk, if that is not behind us [ouroboros.read.no-repeat]. */
static int lapped(shmw_ouroboros_reader *reader)
{
    struct shmw_ouroboros_row row;
    const uint32_t chunk = shmw_ouroboros_newest(&reader->segment, &row);
    if (chunk == SHMW_OUROBOROS_NO_CHUNK || row.token < reader->next - 1)
        return SHMW_EMPTY; /* the writer is between two chunks */
    return enter(reader, chunk, &row);
}

/* The end of the lap [ouroboros.read.wrap]. */
static int wrap(shmw_ouroboros_reader *reader)
{
    const struct shmw_ouroboros_row zero = shmw_ouroboros_load_row(&reader->segment, 0);
    if (!zero.committed || zero.token < reader->next - 1)
        return SHMW_EMPTY; /* the writer has not come round yet */
    if (reader->chunk == 0 && zero.token == reader->token)
        return SHMW_CORRUPT; /* chunk 0 begins with a wrap mark [ouroboros.read.wrap-loop] */
    return enter(reader, 0, &zero);
}

/* Adopt the rows of the chunks that the cursor is in by now, without moving. */
static int adopt(shmw_ouroboros_reader *reader)
{
    while (reader->chunk + 1 < reader->segment.chunk_count) {
        const struct shmw_ouroboros_row row = shmw_ouroboros_load_row(&reader->segment, reader->chunk + 1);
        if (!row.committed || row.token <= reader->token || row.token > reader->next - 1)
            break;
        if (row.offset <= reader->offset || row.offset > reader->cursor)
            break;
        if (!shmw_ouroboros_offset_possible(&reader->segment, row.offset))
            return SHMW_CORRUPT; /* [ouroboros.read.row-offset] */
        reader->chunk++;
        reader->token = row.token;
        reader->offset = row.offset;
    }
    return SHMW_OK;
}

/* Is there anything to adopt? One load, of a line that changes as seldom as our own row's. Notes whether we are behind. */
static inline bool next_chunk_reached(shmw_ouroboros_reader *reader)
{
    reader->behind = false;
    if (reader->chunk + 1 >= reader->segment.chunk_count)
        return false;
    /* A2: pairs with R2; adopt loads the row properly */
    const uint64_t token = shmw_load_acquire(&shmw_ouroboros_row(&reader->segment, reader->chunk + 1)->token);
    reader->behind = token > reader->next - 1;
    return token > reader->token && !reader->behind;
}

/* Starting --------------------------------------------------------------------------------------------------------- */

/* [ouroboros.read.start] */
static uint32_t find_start(const shmw_ouroboros_reader *reader, struct shmw_ouroboros_row *row)
{
    if (reader->start == SHMW_OUROBOROS_OLDEST)
        return shmw_ouroboros_oldest(&reader->segment, row);
    if (reader->start == SHMW_OUROBOROS_AUTO) {
        *row = shmw_ouroboros_load_row(&reader->segment, 0);
        if (row->committed && row->token == 0)
            return 0;
    }
    return shmw_ouroboros_newest(&reader->segment, row);
}

int shmw_ouroboros_place(shmw_ouroboros_reader *reader)
{
    struct shmw_ouroboros_row row;
    const uint32_t chunk = find_start(reader, &row);
    if (chunk == SHMW_OUROBOROS_NO_CHUNK)
        return SHMW_EMPTY; /* [ouroboros.read.empty] */
    if (!shmw_ouroboros_offset_possible(&reader->segment, row.offset))
        return SHMW_CORRUPT; /* [ouroboros.read.row-offset] */
    stand_at(reader, chunk, &row);
    reader->placed = true;
    return SHMW_OK;
}

int shmw_ouroboros_open(const char *locator, const struct shmw_ouroboros_open_options *options, shmw_ouroboros_reader **out)
{
    const struct shmw_ouroboros_open_options chosen = options != NULL ? *options : (struct shmw_ouroboros_open_options){0};
    if (locator == NULL || out == NULL || (unsigned)chosen.start > SHMW_OUROBOROS_OLDEST)
        return SHMW_INVALID_ARGUMENT;
    shmw_ouroboros_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL)
        return SHMW_SYSTEM;
    const int rc = shmw_ouroboros_attach(&reader->segment, locator, true, shmw_deadline(chosen.ready_timeout_ns));
    if (rc != SHMW_OK) {
        free(reader);
        return rc;
    }
    reader->start = chosen.start;
    (void)shmw_ouroboros_place(reader); /* now if it can be; otherwise the first call for an entry says why not */
    *out = reader;
    return SHMW_OK;
}

void shmw_ouroboros_close_reader(shmw_ouroboros_reader *reader)
{
    if (reader == NULL)
        return;
    shmw_map_close(&reader->segment.map);
    free(reader);
}

int shmw_ouroboros_seek(shmw_ouroboros_reader *reader, enum shmw_ouroboros_start start)
{
    if (reader == NULL || (unsigned)start > SHMW_OUROBOROS_OLDEST)
        return SHMW_INVALID_ARGUMENT;
    reader->start = start;
    reader->placed = false;
    reader->skipped = 0;
    (void)shmw_ouroboros_place(reader); /* as in open */
    return SHMW_OK;
}

/* One entry -------------------------------------------------------------------------------------------------------- */

/* What is at the cursor is no entry: find out what it is, now that it is known whether the header was the writer's next lap. */
static int no_entry(shmw_ouroboros_reader *reader, uint32_t header)
{
    if (!holds(&reader->segment, reader->chunk, reader->token))
        return lapped(reader);
    if ((header & SHMW_OUROBOROS_ENTRY_COMMITTED) == 0) {
        /* What comes next mostly reaches into the line behind: when we look again, both are on their way together. Costs a
         * quarter of a round trip if left out. */
        shmw_prefetch_to_read(shmw_ouroboros_entry_at(&reader->segment, reader->cursor));
        return SHMW_EMPTY; /* [ouroboros.read.empty] */
    }
    if ((header & SHMW_OUROBOROS_MAX_LENGTH) == SHMW_OUROBOROS_LENGTH_WRAP)
        return wrap(reader);
    return SHMW_CORRUPT; /* [ouroboros.read.length] */
}

/* Steps 1 to 5: SHMW_OK and the header of what is an entry if the row still holds after it was used. The row is asked before
 * that only where the header alone would give another answer. */
static inline int look(shmw_ouroboros_reader *reader, uint32_t *header)
{
    if (!reader->placed) {
        const int rc = shmw_ouroboros_place(reader);
        if (rc != SHMW_OK)
            return rc;
    }
    if (next_chunk_reached(reader)) {
        const int rc = adopt(reader);
        if (rc != SHMW_OK)
            return rc;
    }
    if (!shmw_ouroboros_header_fits(&reader->segment, reader->cursor))
        return wrap(reader);
    /* A3: pairs with R3; the payload after the header that commits it */
    *header = shmw_load_acquire(&shmw_ouroboros_entry_at(&reader->segment, reader->cursor)->header);
    return shmw_ouroboros_is_entry(&reader->segment, reader->cursor, *header) ? SHMW_OK : no_entry(reader, *header);
}

/* Steps 7 and 8, after the payload was copied or pointed to: nothing of it had been overwritten [ouroboros.read.recheck] */
static inline bool was_whole(const struct shmw_ouroboros_segment *segment, uint32_t chunk, uint64_t token)
{
    shmw_fence_acquire(); /* F5: pairs with F4; our loads of the payload before the row */
    return holds(segment, chunk, token);
}

static inline void describe(const shmw_ouroboros_reader *reader, uint32_t length, size_t offset, const void *data,
                            struct shmw_ouroboros_entry *entry)
{
    if (entry == NULL)
        return;
    *entry = (struct shmw_ouroboros_entry){
        .sequence = reader->next,
        .skipped = reader->skipped,
        .token = reader->token,
        .chunk = reader->chunk,
        .length = length,
        .offset = offset,
        .data = data,
    };
}

/* Step 9. A reader that is behind reads ahead, or it never catches up: lines come from far away, and one at a time it would wait for
 * each. One that is not leaves them alone: the writer is about to write there. */
static inline void pass(shmw_ouroboros_reader *reader, uint32_t payload)
{
    const uint64_t next = shmw_ouroboros_after(reader->cursor, payload + SHMW_OUROBOROS_ENTRY_HEADER_SIZE);
    if (reader->behind)
        shmw_prefetch_ahead(reader->segment.map.base, next + ENTRIES_AHEAD * (next - reader->cursor));
    reader->cursor = next;
    reader->next++;
    reader->skipped = 0;
    reader->total_read++;
}

static inline const void *payload_at_cursor(const shmw_ouroboros_reader *reader)
{
    return shmw_ouroboros_entry_at(&reader->segment, reader->cursor) + 1;
}

static inline uint32_t payload_of(uint32_t header)
{
    return (header & SHMW_OUROBOROS_MAX_LENGTH) - (uint32_t)SHMW_OUROBOROS_ENTRY_HEADER_SIZE;
}

/* The next entry to buffer + offset. */
static inline int copy_next(shmw_ouroboros_reader *reader, unsigned char *buffer, size_t offset, size_t size,
                            struct shmw_ouroboros_entry *entry)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint32_t header = 0;
        int rc = look(reader, &header);
        if (rc == SHMW_OK) {
            const uint32_t length = payload_of(header);
            const bool fits = length <= size - offset;
            if (fits)
                shmw_copy_from_shared(buffer + offset, payload_at_cursor(reader), length);
            if (was_whole(&reader->segment, reader->chunk, reader->token)) {
                describe(reader, length, offset, NULL, entry);
                if (!fits)
                    return SHMW_TOO_SMALL;
                pass(reader, length);
                return SHMW_OK;
            }
            rc = lapped(reader);
        }
        if (rc != SHMW_LAPPED)
            return rc;
    }
    return SHMW_EMPTY;
}

int shmw_ouroboros_next(shmw_ouroboros_reader *reader, void *buffer, size_t size, struct shmw_ouroboros_entry *entry)
{
    static unsigned char nothing[1];
    if (reader == NULL || (buffer == NULL && size > 0))
        return SHMW_INVALID_ARGUMENT;
    return copy_next(reader, buffer != NULL ? buffer : nothing, 0, size, entry);
}

/* Look for the next entry now and then, for a while. */
static int spin(shmw_ouroboros_reader *reader, void *buffer, size_t size, struct shmw_ouroboros_entry *entry)
{
    int rc = SHMW_EMPTY;
    for (unsigned looks = 0; looks < LOOKS_A_SPIN && rc == SHMW_EMPTY; looks++) {
        shmw_pause_between_looks(); /* first, since a look has just been */
        rc = shmw_ouroboros_next(reader, buffer, size, entry);
    }
    return rc;
}

int shmw_ouroboros_wait_next(shmw_ouroboros_reader *reader, void *buffer, size_t size, uint64_t timeout_ns, uint64_t spin_ns,
                             struct shmw_ouroboros_entry *entry)
{
    int rc = shmw_ouroboros_next(reader, buffer, size, entry);
    if (rc != SHMW_EMPTY)
        return rc;
    if (spin_ns > 0 && timeout_ns > 0)
        rc = spin(reader, buffer, size, entry); /* before the clock is asked: many a wait is over by then */
    if (rc != SHMW_EMPTY)
        return rc;
    const uint64_t deadline = shmw_deadline(timeout_ns);
    const uint64_t spin_until = shmw_min_u64(shmw_deadline(spin_ns), deadline);
    struct shmw_backoff backoff = {0};
    for (;;) {
        const bool last = shmw_expired(deadline); /* first, so that one look comes after it [ouroboros.read.timeout] */
        const bool spins = !last && !shmw_expired(spin_until);
        rc = spins ? spin(reader, buffer, size, entry) : shmw_ouroboros_next(reader, buffer, size, entry);
        if (rc != SHMW_EMPTY)
            return rc;
        if (last)
            return SHMW_TIMEOUT;
        if (!spins)
            shmw_backoff_pause(&backoff, deadline); /* 1 ms at most */
    }
}

int shmw_ouroboros_next_batch(shmw_ouroboros_reader *reader, void *buffer, size_t size, struct shmw_ouroboros_entry *entries,
                              size_t max, size_t *count)
{
    if (reader == NULL || buffer == NULL || entries == NULL || count == NULL || max == 0)
        return SHMW_INVALID_ARGUMENT;
    size_t used = 0;
    size_t got = 0;
    int rc = SHMW_OK;
    while (got < max) {
        rc = copy_next(reader, buffer, used, size, &entries[got]);
        if (rc != SHMW_OK)
            break;
        used += entries[got].length;
        got++;
    }
    *count = got;
    return got > 0 ? SHMW_OK : rc; /* what stopped us comes again in the next call */
}

int shmw_ouroboros_next_view(shmw_ouroboros_reader *reader, struct shmw_ouroboros_entry *entry)
{
    if (reader == NULL || entry == NULL)
        return SHMW_INVALID_ARGUMENT;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint32_t header = 0;
        int rc = look(reader, &header);
        if (rc == SHMW_OK) {
            if (was_whole(&reader->segment, reader->chunk, reader->token)) {
                const size_t offset = (size_t)(reader->cursor + SHMW_OUROBOROS_ENTRY_HEADER_SIZE);
                describe(reader, payload_of(header), offset, payload_at_cursor(reader), entry);
                pass(reader, entry->length);
                return SHMW_OK;
            }
            rc = lapped(reader);
        }
        if (rc != SHMW_LAPPED)
            return rc;
    }
    return SHMW_EMPTY;
}

int shmw_ouroboros_view_check(const shmw_ouroboros_reader *reader, const struct shmw_ouroboros_entry *entry)
{
    if (reader == NULL || entry == NULL || entry->chunk >= reader->segment.chunk_count)
        return SHMW_INVALID_ARGUMENT;
    return was_whole(&reader->segment, entry->chunk, entry->token) ? SHMW_OK : SHMW_LAPPED; /* [ouroboros.read.view] */
}

int shmw_ouroboros_reader_info(const shmw_ouroboros_reader *reader, struct shmw_ouroboros_reader_info *info)
{
    if (reader == NULL || info == NULL)
        return SHMW_INVALID_ARGUMENT;
    *info = (struct shmw_ouroboros_reader_info){
        .size = reader->segment.map.size,
        .chunk_count = reader->segment.chunk_count,
        .total_entries_read = reader->total_read,
        .total_skipped = reader->total_skipped,
        .next_sequence = reader->placed ? reader->next : 0,
    };
    return SHMW_OK;
}
