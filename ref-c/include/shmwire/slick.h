/* SPDX-License-Identifier: MIT
 *
 * Profile slick: a lossy ring in shared memory. Any number of producers write items of one or more elements of one size, any
 * number of readers follow, nobody waits for a reader; readers that share a cursor share the work.
 * Specification: spec/slick.md. Rule ids in brackets name the rules that a function implements.
 *
 *     shmw_slick_queue *queue;
 *     shmw_slick_producer *producer;
 *     shmw_slick_create("/ticks", &(struct shmw_slick_create_options){.element_size = 24}, &queue);
 *     shmw_slick_producer_open(queue, NULL, &producer);
 *     shmw_slick_write(producer, &tick, sizeof(tick), NULL); */
#ifndef SHMWIRE_SLICK_H
#define SHMWIRE_SLICK_H

#include <stdbool.h>

#include "shmwire.h"
#include "shmwire/slick_layout.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Threads. A queue and a cursor: any number of threads at once. A producer and a reader: one thread at a time; open one for
 * each thread, they cost a few words and no mapping. Queues and cursors must outlive the producers and readers made from them.
 *
 * Fork. All handles may be used by parent and child alike: each has its own copy of a reader's cursor and of a producer's
 * state from then on. A claim that is open at fork() belongs to the parent; the child closes its copy of that producer, which
 * there (and only there: the process id is compared) abandons nothing. */
typedef struct shmw_slick_queue shmw_slick_queue;
typedef struct shmw_slick_producer shmw_slick_producer;
typedef struct shmw_slick_reader shmw_slick_reader;
typedef struct shmw_slick_cursor shmw_slick_cursor;

/* Which releases of the source system understand the segment [slick.segment.generation]. */
enum shmw_slick_generation {
    SHMW_SLICK_1_2 = 12,
    SHMW_SLICK_1_3 = 13,
    SHMW_SLICK_1_4 = 14
};

/* Where a reader, or a shared cursor, begins [slick.read.start]. */
enum shmw_slick_start {
    SHMW_SLICK_OLDEST = 0, /* the oldest item that is whole */
    SHMW_SLICK_LATEST = 1, /* what is reserved from now on */
    SHMW_SLICK_INDEX = 2   /* the index given beside it */
};

struct shmw_slick_create_options {
    enum shmw_slick_generation generation; /* 0 = SHMW_SLICK_1_4 */
    uint32_t size;                         /* elements, a power of two up to 2^31; 0 = SHMW_SLICK_DEFAULT_SIZE */
    uint32_t element_size;                 /* bytes; must be given */
    uint32_t mode;                         /* permission bits, before the umask; 0 = SHMW_SLICK_DEFAULT_MODE */
    bool portable_name;                    /* refuse a POSIX name of more than 31 characters; always so on macOS */
};

struct shmw_slick_open_options {
    bool read_only;            /* readers need no more; producers, reset and recover do */
    bool no_wait;              /* do not wait for a creator that is at work */
    uint64_t ready_timeout_ns; /* how long to wait for one; 0 = SHMW_SLICK_DEFAULT_READY_TIMEOUT_NS */
};

struct shmw_slick_producer_options {
    uint64_t stall_ns; /* wait for an unpublished item, one lap ago, before giving it up; 0 = SHMW_SLICK_DEFAULT_STALL_NS */
};

struct shmw_slick_reader_options {
    enum shmw_slick_start start;
    uint64_t index;            /* with SHMW_SLICK_INDEX */
    shmw_slick_cursor *shared; /* take items by this cursor, each for one consumer; start and index then count for nothing */
};

struct shmw_slick_queue_info {
    enum shmw_slick_generation generation;
    uint32_t size;         /* elements */
    uint32_t element_size; /* bytes */
    uint64_t length;       /* bytes that the format uses of the segment */
    uint64_t next_index;   /* index that is reserved next */
    uint64_t settled;      /* header.settled */
};

struct shmw_slick_producer_info {
    uint64_t items_written; /* published by this producer */
    uint64_t given_up;      /* reservations of others that this producer waited for in vain */
};

struct shmw_slick_reader_info {
    uint64_t cursor;     /* index of the next item; of a shared cursor, as it is now */
    uint64_t items_read; /* delivered by this reader */
    uint64_t lost;       /* indices that were overwritten before this reader came to them */
    uint64_t resets;     /* resets of the queue that this reader noticed */
};

/* A reservation: elements bytes to be filled at data, then published or abandoned. */
struct shmw_slick_claim {
    uint64_t index;
    uint32_t elements;
    size_t capacity; /* elements x element_size, bytes */
    void *data;      /* in the segment, aligned only as element_size and size make it */
};

/* An item as delivered. */
struct shmw_slick_item {
    uint64_t index;
    uint64_t lost;     /* indices lost between the item delivered before and this one */
    uint32_t elements;
    size_t length;     /* elements x element_size, bytes */
    size_t offset;     /* copying calls: of its bytes in the buffer; views: in the segment */
    const void *data;  /* views: where it lies, lent until shmw_slick_view_check says LAPPED; NULL otherwise */
};

/* Queue ------------------------------------------------------------------------------------------------------------- */

/* Make a queue. locator NULL makes one without a name, for the threads and forked children of this process. SHMW_EXISTS when the
 * name is taken, and then nothing is touched. SHMW_INVALID_ARGUMENT [slick.segment.argument], SHMW_INVALID_NAME
 * [slick.segment.portable-name], SHMW_PERMISSION, SHMW_SYSTEM. */
SHMW_API int shmw_slick_create(const char *locator, const struct shmw_slick_create_options *options, shmw_slick_queue **out);

/* Attach. options may be NULL: read-write, 2 s for a creator at work. SHMW_NOT_FOUND, SHMW_TRUNCATED, SHMW_NOT_READY,
 * SHMW_BAD_MAGIC, SHMW_BAD_VERSION, SHMW_BAD_GEOMETRY, SHMW_PERMISSION, SHMW_SYSTEM. */
SHMW_API int shmw_slick_open(const char *locator, const struct shmw_slick_open_options *options, shmw_slick_queue **out);

/* Unmap. The segment stays. NULL is allowed. */
SHMW_API void shmw_slick_close(shmw_slick_queue *queue);

SHMW_API int shmw_slick_info(const shmw_slick_queue *queue, struct shmw_slick_queue_info *info);

/* The name that other programs, in other languages too, open: with the leading slash, or the path [slick.segment.name]. Static
 * for the life of the queue; "" for one without a name. */
SHMW_API const char *shmw_slick_shm_name(const shmw_slick_queue *queue);

/* Forget everything: index 0 comes next. Only for a queue at rest. SHMW_PERMISSION for a read-only one [slick.reset.clear]. */
SHMW_API int shmw_slick_reset(shmw_slick_queue *queue);

/* Mark what dead producers reserved and never published. all_dead says that no producer lives; otherwise SHMW_BUSY unless it is
 * seen that nobody else has the segment mapped. *holes (may be NULL) gets how many marks were made [slick.recover.holes]. */
SHMW_API int shmw_slick_recover(shmw_slick_queue *queue, bool all_dead, uint64_t *holes);

/* Check header and slots. *finding (may be NULL) gets a line of text (static storage), *slot its slot or UINT32_MAX. Of a queue that
 * is written meanwhile it may report what is only half done. */
SHMW_API int shmw_slick_validate(const shmw_slick_queue *queue, const char **finding, uint32_t *slot);

/* Producer ---------------------------------------------------------------------------------------------------------- */

/* Begin to produce. options may be NULL. SHMW_PERMISSION for a queue opened read-only. */
SHMW_API int shmw_slick_producer_open(shmw_slick_queue *queue, const struct shmw_slick_producer_options *options,
                                      shmw_slick_producer **out);

/* Abandons an open claim. NULL is allowed. */
SHMW_API void shmw_slick_producer_close(shmw_slick_producer *producer);

/* Reserve elements that lie side by side. Never waits for readers; waits, up to the stall time, while another producer has an
 * item unpublished that lies one lap before [slick.reserve.settled]. SHMW_INVALID_ARGUMENT (0), SHMW_TOO_LARGE (more than the ring
 * or 65,535), SHMW_BUSY (a claim of this producer is open), SHMW_CLOSED (indices used up), SHMW_CORRUPT. */
SHMW_API int shmw_slick_reserve(shmw_slick_producer *producer, uint32_t elements, struct shmw_slick_claim *claim);

/* Publish what was reserved and filled. SHMW_LAPPED when somebody gave the item up meanwhile: it is not published.
 * SHMW_OUT_OF_ORDER when claim is not this producer's open claim. */
SHMW_API int shmw_slick_publish(shmw_slick_producer *producer, const struct shmw_slick_claim *claim);

/* Give the reservation up: readers pass it. The same answers, and SHMW_UNSUPPORTED (the claim stays) for one of the whole ring. */
SHMW_API int shmw_slick_abandon(shmw_slick_producer *producer, const struct shmw_slick_claim *claim);

/* Reserve, copy length bytes, publish. length is a multiple of element_size (SHMW_INVALID_ARGUMENT); the answers of the three.
 * index may be NULL. */
SHMW_API int shmw_slick_write(shmw_slick_producer *producer, const void *data, size_t length, uint64_t *index);

/* The same for count items of length bytes each that lie side by side in data: few reservations, and all in order. indices (may be
 * NULL) gets the index of each. *written (may be NULL) gets how many were published when an answer other than SHMW_OK ended it. */
SHMW_API int shmw_slick_write_batch(shmw_slick_producer *producer, const void *data, size_t length, size_t count,
                                    uint64_t *indices, size_t *written);

SHMW_API int shmw_slick_producer_info(const shmw_slick_producer *producer, struct shmw_slick_producer_info *info);

/* Shared cursor ----------------------------------------------------------------------------------------------------- */

/* Make a cursor in a segment of its own (locator NULL: in this process), standing where start says in queue. SHMW_EXISTS and the
 * errors of shmw_slick_create. */
SHMW_API int shmw_slick_cursor_create(const char *locator, const shmw_slick_queue *queue, enum shmw_slick_start start,
                                      uint64_t index, shmw_slick_cursor **out);

/* Attach to one. SHMW_NOT_FOUND, SHMW_TRUNCATED (below 8 bytes), SHMW_PERMISSION, SHMW_SYSTEM. */
SHMW_API int shmw_slick_cursor_open(const char *locator, shmw_slick_cursor **out);

/* Use a cursor that the application keeps: 8 bytes, 8-aligned (SHMW_INVALID_ARGUMENT), in memory of all consumers. */
SHMW_API int shmw_slick_cursor_at(void *memory, shmw_slick_cursor **out);

SHMW_API void shmw_slick_cursor_close(shmw_slick_cursor *cursor);

/* Reader ------------------------------------------------------------------------------------------------------------ */

/* Begin to read. options may be NULL: from the oldest item. */
SHMW_API int shmw_slick_reader_open(const shmw_slick_queue *queue, const struct shmw_slick_reader_options *options,
                                    shmw_slick_reader **out);
SHMW_API void shmw_slick_reader_close(shmw_slick_reader *reader);

/* The next item, copied to buffer and proved whole [slick.read.recheck], or SHMW_EMPTY at once. SHMW_LAPPED: overtaken again and
 * again, ask again. SHMW_TOO_SMALL leaves it next and sets item->length. SHMW_CORRUPT: the reader stays. item may be NULL. */
SHMW_API int shmw_slick_next(shmw_slick_reader *reader, void *buffer, size_t size, struct shmw_slick_item *item);

/* The same, but polls up to timeout_ns for an item (SHMW_TIMEOUT) [slick.read.timeout]. spin_ns is how long to poll without
 * pausing. */
SHMW_API int shmw_slick_wait_next(shmw_slick_reader *reader, void *buffer, size_t size, uint64_t timeout_ns, uint64_t spin_ns,
                                  struct shmw_slick_item *item);

/* Up to max items, one after the other in buffer, proved whole by one look at the reservation [slick.read.batch]. SHMW_EMPTY;
 * SHMW_LAPPED; SHMW_TOO_SMALL when not even the first fits. *count gets how many. */
SHMW_API int shmw_slick_next_batch(shmw_slick_reader *reader, void *buffer, size_t size, struct shmw_slick_item *items, size_t max,
                                   size_t *count);

/* The next item where it lies. What item->data shows is an item only if shmw_slick_view_check answers SHMW_OK after it was
 * used [slick.read.view]. By a shared cursor it is taken before that is known. */
SHMW_API int shmw_slick_next_view(shmw_slick_reader *reader, struct shmw_slick_item *item);
SHMW_API int shmw_slick_view_check(const shmw_slick_reader *reader, const struct shmw_slick_item *item);

/* The published item with the highest index, copied and proved whole; the cursor stays [slick.read.last]. SHMW_EMPTY,
 * SHMW_LAPPED, SHMW_TOO_SMALL, SHMW_CORRUPT. */
SHMW_API int shmw_slick_last(shmw_slick_reader *reader, void *buffer, size_t size, struct shmw_slick_item *item);

/* Go elsewhere; counters go on, and nothing counts as lost. A shared cursor is stored to. */
SHMW_API int shmw_slick_seek(shmw_slick_reader *reader, enum shmw_slick_start start, uint64_t index);

SHMW_API int shmw_slick_reader_info(const shmw_slick_reader *reader, struct shmw_slick_reader_info *info);

#ifdef __cplusplus
}
#endif

#endif
