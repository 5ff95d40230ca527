/* SPDX-License-Identifier: MIT
 *
 * Profile ouroboros: a log in shared memory. One writer, any number of readers; the oldest entries are overwritten.
 * Specification: spec/ouroboros.md. Rule ids in brackets name the rules that a function implements.
 *
 *     shmw_ouroboros_writer *log;
 *     shmw_ouroboros_create("/log", NULL, &log);
 *     shmw_ouroboros_write(log, "hello", 5, NULL); */
#ifndef SHMWIRE_OUROBOROS_H
#define SHMWIRE_OUROBOROS_H

#include <stdbool.h>

#include "shmwire.h"
#include "shmwire/ouroboros_layout.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Threads. A writer: one thread at a time. A reader: one thread at a time; open one for each thread, they cost a mapping each.
 * Readers and the writer may be in one process. shmw_ouroboros_view_check may be called from any thread while the reader is
 * open.
 *
 * Fork. A writer belongs to the process that made it: in a forked child shmw_ouroboros_write answers SHMW_BUSY. But the child
 * shares the lock with its parent for as long as it has the descriptor, so if the parent is killed, nobody can resume while
 * the child lives. A child that lives on calls shmw_ouroboros_close_writer, which gives up nothing of its parent's; execve
 * does the same. When the parent closes its writer, the lock is free at once, whoever shares it. A reader may be used after
 * fork() by parent and child alike: each has its own cursor from then on. */
typedef struct shmw_ouroboros_writer shmw_ouroboros_writer;
typedef struct shmw_ouroboros_reader shmw_ouroboros_reader;

/* Where a reader begins [ouroboros.read.start]. */
enum shmw_ouroboros_start {
    SHMW_OUROBOROS_AUTO = 0,   /* the first entry if it is still there, else latest */
    SHMW_OUROBOROS_LATEST = 1, /* the first entry of the newest chunk */
    SHMW_OUROBOROS_OLDEST = 2  /* the first entry of the oldest chunk that is whole */
};

struct shmw_ouroboros_create_options {
    uint32_t chunk_count;       /* 0 = SHMW_OUROBOROS_DEFAULT_CHUNK_COUNT */
    uint64_t chunk_target_size; /* bytes after which the next chunk begins; 0 = SHMW_OUROBOROS_DEFAULT_CHUNK_TARGET */
    uint64_t size;              /* bytes of the segment; 0 = 16 + 16 x chunk_count + chunk_count x chunk_target_size */
    uint32_t mode;              /* permission bits, before the umask; 0 = SHMW_OUROBOROS_DEFAULT_MODE */
};

struct shmw_ouroboros_resume_options {
    uint64_t chunk_target_size; /* not in the segment; 0 = what the size formula gives */
};

struct shmw_ouroboros_open_options {
    enum shmw_ouroboros_start start;
    uint64_t ready_timeout_ns; /* how long to wait for a creator that has not published the segment yet */
};

/* An entry as delivered. */
struct shmw_ouroboros_entry {
    uint64_t sequence; /* from 1, in the order of writing */
    uint64_t skipped;  /* sequences between the entry delivered before and this one that were overwritten unread */
    uint64_t token;    /* of its chunk */
    uint32_t chunk;    /* index of its row */
    uint32_t length;   /* payload bytes */
    size_t offset;     /* of the payload: in the buffer (copying calls), in the segment (views) */
    const void *data;  /* views: where it lies, lent until shmw_ouroboros_view_check says LAPPED; NULL otherwise */
};

struct shmw_ouroboros_writer_info {
    uint64_t size;
    uint64_t chunk_target_size;
    uint32_t chunk_count;
    uint64_t max_payload;     /* bytes */
    uint64_t entries_written; /* since the segment was made */
};

struct shmw_ouroboros_reader_info {
    uint64_t size;
    uint32_t chunk_count;
    uint64_t total_entries_read; /* delivered by this reader */
    uint64_t total_skipped;      /* overwritten before this reader came to them */
    uint64_t next_sequence;      /* expected next; 0 before a chunk was found */
};

/* Writer ------------------------------------------------------------------------------------------------------------ */

/* Make a log and become its writer. options may be NULL. SHMW_EXISTS when the name is taken, and then nothing is touched.
 * SHMW_INVALID_ARGUMENT (sizes that leave no room for one entry), SHMW_INVALID_NAME, SHMW_PERMISSION, SHMW_SYSTEM. */
SHMW_API int shmw_ouroboros_create(const char *locator, const struct shmw_ouroboros_create_options *options,
                                   shmw_ouroboros_writer **out);

/* Become the writer of a log that has none any more, behind its last entry [ouroboros.write.resume]. options may be NULL.
 * SHMW_BUSY while it has a writer [ouroboros.segment.one-writer]; the errors of shmw_ouroboros_open; SHMW_CORRUPT. */
SHMW_API int shmw_ouroboros_resume(const char *locator, const struct shmw_ouroboros_resume_options *options,
                                   shmw_ouroboros_writer **out);

/* Give the log up and unmap; in a forked child only unmap. The segment stays. NULL is allowed. */
SHMW_API void shmw_ouroboros_close_writer(shmw_ouroboros_writer *writer);

/* Append one entry of 1 to max_payload bytes. Never waits, never fails for want of room. SHMW_INVALID_ARGUMENT for 0 bytes,
 * SHMW_TOO_LARGE; SHMW_BUSY in a forked child. sequence may be NULL. */
SHMW_API int shmw_ouroboros_write(shmw_ouroboros_writer *writer, const void *data, size_t length, uint64_t *sequence);

SHMW_API int shmw_ouroboros_writer_info(const shmw_ouroboros_writer *writer, struct shmw_ouroboros_writer_info *info);

/* Reader ------------------------------------------------------------------------------------------------------------ */

/* Attach, read-only. options may be NULL: auto, no waiting. SHMW_NOT_FOUND, SHMW_TRUNCATED, SHMW_NOT_READY, SHMW_BAD_MAGIC,
 * SHMW_BAD_VERSION, SHMW_BAD_GEOMETRY, SHMW_PERMISSION. */
SHMW_API int shmw_ouroboros_open(const char *locator, const struct shmw_ouroboros_open_options *options,
                                 shmw_ouroboros_reader **out);

/* Unmap. Never removes or changes the segment. NULL is allowed. */
SHMW_API void shmw_ouroboros_close_reader(shmw_ouroboros_reader *reader);

/* The next entry, copied to buffer, or SHMW_EMPTY at once. SHMW_TOO_SMALL leaves it next and sets entry->length. SHMW_CORRUPT
 * for bytes that no writer leaves; the reader stays where it is. entry may be NULL. */
SHMW_API int shmw_ouroboros_next(shmw_ouroboros_reader *reader, void *buffer, size_t size, struct shmw_ouroboros_entry *entry);

/* The same, but polls up to timeout_ns for an entry (SHMW_TIMEOUT) [ouroboros.read.timeout]. spin_ns is how long to poll
 * without pausing. */
SHMW_API int shmw_ouroboros_wait_next(shmw_ouroboros_reader *reader, void *buffer, size_t size, uint64_t timeout_ns,
                                      uint64_t spin_ns, struct shmw_ouroboros_entry *entry);

/* Up to max entries, one after the other in buffer. SHMW_EMPTY; SHMW_TOO_SMALL when not even the first fits. *count gets how
 * many. */
SHMW_API int shmw_ouroboros_next_batch(shmw_ouroboros_reader *reader, void *buffer, size_t size,
                                       struct shmw_ouroboros_entry *entries, size_t max, size_t *count);

/* The next entry where it lies. What entry->data shows is an entry only if shmw_ouroboros_view_check answers SHMW_OK after it
 * was used [ouroboros.read.view]. */
SHMW_API int shmw_ouroboros_next_view(shmw_ouroboros_reader *reader, struct shmw_ouroboros_entry *entry);
SHMW_API int shmw_ouroboros_view_check(const shmw_ouroboros_reader *reader, const struct shmw_ouroboros_entry *entry);

/* Start over with another strategy; counters go on. */
SHMW_API int shmw_ouroboros_seek(shmw_ouroboros_reader *reader, enum shmw_ouroboros_start start);

SHMW_API int shmw_ouroboros_reader_info(const shmw_ouroboros_reader *reader, struct shmw_ouroboros_reader_info *info);

/* Check header, rows and every reachable entry. *finding (may be NULL) gets a line of text (static storage), *chunk the row or
 * UINT32_MAX. */
SHMW_API int shmw_ouroboros_validate(const shmw_ouroboros_reader *reader, const char **finding, uint32_t *chunk);

#ifdef __cplusplus
}
#endif

#endif
