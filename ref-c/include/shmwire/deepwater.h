/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater: feeds of records in chunks, live in shared memory and persisted in files. One writer for each feed, any number
 * of readers, who need no lock and no writer.
 * Specification: spec/deepwater.md. Rule ids in brackets name the rules that a function implements.
 *
 *     shmw_deepwater_writer *writer;
 *     shmw_deepwater_writer_open("/var/feeds", "coinbase-BTC-USD", &(struct shmw_deepwater_feed_options){.persist = true}, &writer);
 *     shmw_deepwater_append(writer, timestamp_ns, 0, &trade, sizeof(trade), NULL);
 *
 *     shmw_deepwater_reader *reader;
 *     struct shmw_deepwater_record record;
 *     shmw_deepwater_reader_open("/var/feeds", "coinbase-BTC-USD", NULL, &reader);
 *     while (shmw_deepwater_wait_next(reader, SHMW_FOREVER, 0, &record) == SHMW_OK) ... */
#ifndef SHMWIRE_DEEPWATER_H
#define SHMWIRE_DEEPWATER_H

#include <stdbool.h>

#include "shmwire.h"
#include "shmwire/deepwater_layout.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Threads: each handle one at a time. Fork: a child closes its parent's writers (they answer SHMW_OUT_OF_ORDER there); readers go on
 * in both, each with its own place. Base directories are paths; all of them are resolved when they are opened. */
typedef struct shmw_deepwater_writer shmw_deepwater_writer;
typedef struct shmw_deepwater_reader shmw_deepwater_reader;

/* What is otherwise asked of the system: for tests and replays. 0 = as always. */
struct shmw_deepwater_identity {
    uint32_t pid;
    uint64_t clock_ns; /* for created_ns */
    uint64_t boot_ns;  /* for heartbeat_ns */
};

/* How a feed is made; of one that is there already only the last four count. */
struct shmw_deepwater_feed_options {
    bool persist;
    uint64_t chunk_size;  /* bytes of records, a multiple of 8; 0 = SHMW_DEEPWATER_DEFAULT_CHUNK */
    uint32_t live_window; /* chunks kept in shared memory; 0 = SHMW_DEEPWATER_DEFAULT_WINDOW */
    uint32_t record_size; /* bytes of each record; 0 = they vary */
    uint64_t rotate_ns;   /* age at which chunks are rotated; 0 = by size only */
    uint32_t rows;        /* chunks that the feed can ever have; 0 = SHMW_DEEPWATER_DEFAULT_ROWS */
    uint32_t feeds;       /* feeds that the base can ever have, if it is made; 0 = SHMW_DEEPWATER_DEFAULT_FEEDS */
    uint32_t mode;        /* of files, segments and, with search permission, directories; 0 = SHMW_DEEPWATER_DEFAULT_MODE */
    bool create_only;     /* SHMW_EXISTS if the feed is there */
    bool open_only;       /* SHMW_NOT_FOUND if it is not */
    struct shmw_deepwater_identity identity;
};

/* A record to append, in a batch. */
struct shmw_deepwater_part {
    uint64_t timestamp_ns;
    const void *data;
    uint32_t length;
    uint32_t type;
};

/* A record as read. data is lent until the next call on the reader. */
struct shmw_deepwater_record {
    uint64_t sequence;
    uint64_t timestamp_ns;
    uint64_t chunk_id;
    const void *data;
    uint32_t length;
    uint32_t type;
    uint64_t lost; /* with SHMW_EXPIRED: records that are gone */
};

/* Where a reader begins. */
enum shmw_deepwater_start {
    SHMW_DEEPWATER_OLDEST = 0,   /* the first record that is left */
    SHMW_DEEPWATER_LATEST = 1,   /* behind the last one */
    SHMW_DEEPWATER_TIME = 2,     /* the first record with that timestamp or a later one */
    SHMW_DEEPWATER_SEQUENCE = 3  /* that record */
};

struct shmw_deepwater_reader_options {
    enum shmw_deepwater_start start;
    uint64_t at;               /* the timestamp or sequence */
    bool end_with_writer;      /* answer SHMW_CLOSED at the end when no writer lives [deepwater.read.end] */
    bool read_only;            /* map nothing writable; waiting then polls */
    uint64_t ready_timeout_ns; /* how long to wait for the registry and the feed; 0 = not at all */
};

/* A place to come back to [deepwater.read.cursor]. Plain data, to be stored as the application likes. */
struct shmw_deepwater_cursor {
    uint64_t chunk_id;
    uint64_t sequence; /* of the record that comes next */
};

/* A row. */
struct shmw_deepwater_chunk {
    uint64_t chunk_id;
    uint64_t first_sequence;
    uint64_t record_count; /* of a live chunk as its index has it; 0 if that cannot be reached */
    uint64_t start_ns;
    uint64_t end_ns;
    uint64_t data_bytes;
    uint64_t data_capacity;
    uint32_t state; /* SHMW_DEEPWATER_STATE_ */
    uint32_t data_crc;
    uint32_t index_crc;
};

/* A feed, as its entry and its registry have it. */
struct shmw_deepwater_feed {
    char name[64];
    char directory[96];
    uint32_t feed_id;
    uint32_t flags; /* SHMW_DEEPWATER_FLAG_ */
    uint64_t chunk_size;
    uint32_t live_window;
    uint32_t record_size;
    uint64_t created_ns;
    uint64_t rotate_ns;
    uint64_t chunks;         /* rows */
    uint64_t latest;         /* SHMW_DEEPWATER_NONE */
    uint64_t last_sequence;  /* SHMW_DEEPWATER_NONE */
    uint64_t last_timestamp_ns;
    uint64_t heartbeat_ns;
    uint32_t writer_pid;
    uint32_t waiters;
    bool writer_lives;
};

struct shmw_deepwater_recovered {
    uint64_t sealed;    /* chunks */
    uint64_t persisted;
    uint64_t adopted;   /* found whole in files although their row did not say so */
    uint64_t expired;   /* nowhere to be found */
    uint64_t removed;   /* temporary files, segments outside the window */
};

/* Writing ----------------------------------------------------------------------------------------------------------- */

/* Make or find the feed, take its lock, recover what a dead writer left. options may be NULL. SHMW_BUSY: another writer lives.
 * SHMW_EXISTS, SHMW_NOT_FOUND, SHMW_FULL (no room in the global registry), SHMW_CLOSED (retired), SHMW_INVALID_NAME,
 * SHMW_INVALID_ARGUMENT, SHMW_TRUNCATED, SHMW_BAD_MAGIC, SHMW_BAD_VERSION, SHMW_BAD_GEOMETRY, SHMW_CORRUPT, SHMW_PERMISSION,
 * SHMW_SYSTEM. */
SHMW_API int shmw_deepwater_writer_open(const char *base, const char *feed, const struct shmw_deepwater_feed_options *options,
                                        shmw_deepwater_writer **out);

/* Flush and leave [deepwater.leave.flush]. The first error of flushing; the handle is gone in every case. NULL is allowed. */
SHMW_API int shmw_deepwater_writer_close(shmw_deepwater_writer *writer);

/* Append a record [deepwater.append.commit]. *sequence may be NULL. SHMW_OUT_OF_ORDER (earlier than the record before),
 * SHMW_INVALID_ARGUMENT (not record_size), SHMW_TOO_LARGE, SHMW_FULL (no row left), SHMW_SYSTEM (shared memory or disk). */
SHMW_API int shmw_deepwater_append(shmw_deepwater_writer *writer, uint64_t timestamp_ns, uint32_t type, const void *data,
                                   uint32_t length, uint64_t *sequence);

/* Append count records in order. *done (may be NULL) gets how many were appended, also when the answer is an error. */
SHMW_API int shmw_deepwater_append_batch(shmw_deepwater_writer *writer, const struct shmw_deepwater_part *parts, size_t count,
                                         size_t *done);

/* Begin a new chunk now; the old one is sealed, and persisted if the feed persists. Nothing to do without a live chunk or records in it. */
SHMW_API int shmw_deepwater_rotate(shmw_deepwater_writer *writer);

SHMW_API int shmw_deepwater_writer_feed(const shmw_deepwater_writer *writer, struct shmw_deepwater_feed *feed);

/* Reading ----------------------------------------------------------------------------------------------------------- */

/* options may be NULL: from the oldest record. SHMW_NOT_FOUND, SHMW_NOT_READY (its maker is at work; or the row that says where to begin
 * is one that a writer died over, until the next one or shmw_deepwater_gc has mended it [deepwater.read.odd]) and the errors above. */
SHMW_API int shmw_deepwater_reader_open(const char *base, const char *feed, const struct shmw_deepwater_reader_options *options,
                                        shmw_deepwater_reader **out);
SHMW_API void shmw_deepwater_reader_close(shmw_deepwater_reader *reader);

/* The next record, where it lies, or SHMW_EMPTY at once. SHMW_EXPIRED: record->lost records are gone; ask again. SHMW_CLOSED
 * [deepwater.read.end]. SHMW_CORRUPT: the reader stays. SHMW_EMPTY also at a row that a writer died over: it goes on when the next
 * writer, or shmw_deepwater_gc, has mended it [deepwater.read.odd]. */
SHMW_API int shmw_deepwater_next(shmw_deepwater_reader *reader, struct shmw_deepwater_record *record);

/* The same, waiting up to timeout_ns (SHMW_TIMEOUT), the first spin_ns of it without sleeping. */
SHMW_API int shmw_deepwater_wait_next(shmw_deepwater_reader *reader, uint64_t timeout_ns, uint64_t spin_ns,
                                      struct shmw_deepwater_record *record);

/* Up to max records, all of one chunk. *count gets how many. Answers as for shmw_deepwater_next. */
SHMW_API int shmw_deepwater_next_batch(shmw_deepwater_reader *reader, struct shmw_deepwater_record *records, size_t max,
                                       size_t *count);

/* Go elsewhere; nothing counts as lost. SHMW_NOT_READY as at opening: the reader stays. */
SHMW_API int shmw_deepwater_seek(shmw_deepwater_reader *reader, enum shmw_deepwater_start start, uint64_t at);

/* Save the place, and come back to it, in this or another reader of the feed. */
SHMW_API int shmw_deepwater_save(const shmw_deepwater_reader *reader, struct shmw_deepwater_cursor *cursor);
SHMW_API int shmw_deepwater_restore(shmw_deepwater_reader *reader, const struct shmw_deepwater_cursor *cursor);

/* The chunk that is being written [deepwater.read.latest-chunk]: SHMW_NOT_FOUND if there is none. data_name and index_name (may be
 * NULL, at least 128 bytes each) get the names of its shared memory. */
SHMW_API int shmw_deepwater_latest_chunk(const shmw_deepwater_reader *reader, struct shmw_deepwater_chunk *chunk, char *data_name,
                                         char *index_name);

/* Has a record of that time or later been written [deepwater.read.has-data]? */
SHMW_API int shmw_deepwater_has_data_since(const shmw_deepwater_reader *reader, uint64_t timestamp_ns, bool *has);

SHMW_API int shmw_deepwater_reader_feed(const shmw_deepwater_reader *reader, struct shmw_deepwater_feed *feed);

/* Row number chunk_id. SHMW_NOT_FOUND. SHMW_NOT_READY: a writer died while it changed the row; chunk then has what it did not change:
 * chunk_id, first_sequence, start_ns and data_capacity, and a state of 0 [deepwater.read.odd]. */
SHMW_API int shmw_deepwater_reader_chunk(const shmw_deepwater_reader *reader, uint64_t chunk_id, struct shmw_deepwater_chunk *chunk);

/* Looking after ----------------------------------------------------------------------------------------------------- */

/* Feed number index of a base, from 0. SHMW_NOT_FOUND behind the last one. */
SHMW_API int shmw_deepwater_feed_at(const char *base, uint32_t index, struct shmw_deepwater_feed *feed);

/* Nothing more will be written [deepwater.feed.retire]. SHMW_BUSY while a writer lives. */
SHMW_API int shmw_deepwater_retire(const char *base, const char *feed);

/* Recover what a dead writer left, and keep nothing in shared memory that is persisted [deepwater.recover.busy]. report may be NULL. */
SHMW_API int shmw_deepwater_gc(const char *base, const char *feed, struct shmw_deepwater_recovered *report);

/* Check registries, rows, and every chunk that can be reached, CRCs included. *finding (may be NULL) gets a line of text (static storage),
 * *chunk_id its chunk or SHMW_DEEPWATER_NONE. SHMW_NOT_READY: nothing is damaged, but a writer died while it changed a row. */
SHMW_API int shmw_deepwater_validate(const char *base, const char *feed, const char **finding, uint64_t *chunk_id);

#ifdef __cplusplus
}
#endif

#endif
