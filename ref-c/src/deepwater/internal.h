/* SPDX-License-Identifier: MIT
 *
 * What the files of profile deepwater share. */
#ifndef SHMW_SRC_DEEPWATER_INTERNAL_H
#define SHMW_SRC_DEEPWATER_INTERNAL_H

#include <limits.h>
#include <stdio.h>

#include "../atomic.h"
#include "../bytes.h"
#include "../forks.h"
#include "../map.h"
#include "../ofd.h"
#include "../wait.h"
#include "layout.h"
#include "shmwire/deepwater.h"

#define SHMW_DEEPWATER_LOCK_BYTE UINT64_C(0) /* of a registry's file, on which its lock is held */
#define SHMW_DEEPWATER_NAME_ROOM 128         /* bytes of the name of a chunk, its end included */

struct shmw_deepwater_watch; /* watch.h */

/* A base directory, open. */
struct shmw_deepwater_base {
    int directory;   /* -1: not open */
    uint64_t hash;   /* of its real path */
};

/* A registry's file, mapped. */
struct shmw_deepwater_registry {
    struct shmw_map map;
    struct shmw_deepwater_wire_registry *header;
    struct shmw_deepwater_wire_feed *feeds;
    uint32_t capacity;
};

/* A feed: its entry as it was checked, its directory, its registry. */
struct shmw_deepwater_place {
    struct shmw_deepwater_base base;
    struct shmw_deepwater_registry registry;
    struct shmw_deepwater_wire_feed *entry;
    char name[64];
    char directory_name[96];
    uint32_t id;
    uint64_t chunk_size;
    uint32_t live_window;
    uint32_t record_size;
    uint64_t rotate_ns;
    bool persist;
    int directory;       /* of the feed; -1: not open */
    struct shmw_map map; /* of its registry; the descriptor is guard.fd */
    struct shmw_guarded guard;
    struct shmw_deepwater_wire_feed_registry *header;
    struct shmw_deepwater_wire_row *rows;
    uint32_t capacity; /* rows */
    const struct shmw_deepwater_watch *watch; /* told how far recovery is; NULL: nobody */
};

/* The fields of a row at one moment. */
struct shmw_deepwater_row {
    uint64_t id;
    uint32_t stamp;
    uint32_t state;
    uint64_t first_sequence;
    uint64_t record_count;
    uint64_t start_ns;
    uint64_t end_ns;
    uint64_t data_bytes;
    uint64_t data_capacity;
    uint32_t data_crc;
    uint32_t index_crc;
};

/* A chunk, mapped from shared memory or from its files. data.base NULL: none. */
struct shmw_deepwater_chunk_map {
    struct shmw_map data;
    struct shmw_map index;
    struct shmw_deepwater_wire_data *data_header;
    struct shmw_deepwater_wire_index *index_header;
    unsigned char *bytes;
    struct shmw_deepwater_wire_record *records;
    uint64_t id;
    uint64_t data_capacity;
    uint64_t index_capacity;
    uint64_t data_ready; /* of a writer: bytes of the segments, from their beginnings, that cost no page fault any more */
    uint64_t index_ready;
};

struct shmw_deepwater_writer {
    struct shmw_deepwater_place place;
    struct shmw_deepwater_chunk_map live; /* none before the first append */
    uint64_t row;                         /* of it */
    uint64_t used;                        /* bytes of it */
    uint64_t entries;                     /* records in it */
    struct shmw_deepwater_chunk_map kept[SHMW_DEEPWATER_REUSE_WINDOW + 1]; /* sealed ones in the window, by id, modulo that */
    struct shmw_deepwater_chunk_map *spare; /* one that left, under the name of the chunk to come; or NULL */
    uint64_t first_ns;                    /* timestamp of its first record */
    uint64_t last_ns;
    uint64_t next_sequence;
    uint64_t in_memory; /* rows below it are in shared memory no more */
    uint64_t beat_ns;   /* of the heartbeat last stored */
    uint64_t boot_ns;   /* instead of the clock; 0: ask */
    uint32_t unbeaten;  /* records since */
    uint32_t pid;
    uint32_t mode;
};

struct shmw_deepwater_reader {
    struct shmw_deepwater_place place;
    struct shmw_deepwater_wire_feed_registry *counts; /* where it counts itself when it sleeps; NULL: nowhere */
    struct shmw_deepwater_chunk_map held;
    uint64_t row;
    uint64_t first; /* sequence of the row's first record */
    uint64_t index; /* in the row */
    uint64_t next;  /* sequence */
    uint64_t known; /* entry_count as loaded last */
    uint64_t ahead; /* where the bytes of the next record begin, if nothing is wrong */
    bool end_with_writer;
};

/* tree.c: names and directories -------------------------------------------------------------------------------------- */

bool shmw_deepwater_name_good(const char *name, size_t length);

/* Resolve and open a base directory, making it if mode is not 0. */
int shmw_deepwater_base_open(const char *path, uint32_t mode, struct shmw_deepwater_base *base);
void shmw_deepwater_base_close(struct shmw_deepwater_base *base);

/* Open a directory below `at` component by component, never through a link, making it if mode is not 0 [deepwater.open.symlink]. */
int shmw_deepwater_directory_open(int at, const char *relative, uint32_t mode, int *fd);

/* openat(2) of a regular file that is no link. SHMW_PERMISSION for one that is. */
int shmw_deepwater_file_open(int directory, const char *name, int flags, uint32_t mode, int *fd);

/* Names of chunks: of shared memory, with the slash, and of files. suffix: "data" or "idx". */
void shmw_deepwater_memory_name(const struct shmw_deepwater_place *place, uint64_t id, const char *suffix, char *name);
void shmw_deepwater_file_name(uint64_t id, const char *suffix, char *name);

/* registry.c: the global registry ------------------------------------------------------------------------------------ */

/* Fill in place from the entry of that name: base, registry, entry; no registry of the feed yet. */
int shmw_deepwater_find(const char *base, const char *feed, bool writable, uint64_t wait_ns, struct shmw_deepwater_place *place);

/* The same, making base, registry and feed as options say. */
int shmw_deepwater_find_or_make(const char *base, const char *feed, const struct shmw_deepwater_feed_options *options,
                                struct shmw_deepwater_place *place);
void shmw_deepwater_place_close(struct shmw_deepwater_place *place);

/* feed.c: the registry of a feed ------------------------------------------------------------------------------------- */

/* Make the registry of a feed whose directory is open, unless it is there. The caller holds the global lock. */
int shmw_deepwater_feed_make(int directory, uint32_t id, const struct shmw_deepwater_feed_options *options);

/* Open and check it. */
int shmw_deepwater_feed_open(struct shmw_deepwater_place *place, bool writable, uint64_t wait_ns);

/* Take the writer's lock. SHMW_BUSY. */
int shmw_deepwater_lock(struct shmw_deepwater_place *place);

/* Does a writer other than this one live? When the system does not say: yes. */
bool shmw_deepwater_writer_lives(const struct shmw_deepwater_place *place);

/* A row below count, which is checked against capacity here, whoever stored it. SHMW_CORRUPT. SHMW_NOT_READY: a writer died while it
 * changed the row; id, first_sequence, start_ns and data_capacity, which are not under the stamp, are good all the same
 * [deepwater.read.row], [deepwater.read.odd]. */
int shmw_deepwater_row_load(const struct shmw_deepwater_place *place, uint64_t id, struct shmw_deepwater_row *row);

/* The same by who holds the lock and has recovered: nobody else changes a row, so that SHMW_CORRUPT is the answer to an odd stamp. */
int shmw_deepwater_row_own(const struct shmw_deepwater_place *place, uint64_t id, struct shmw_deepwater_row *row);

/* Store the fields that change, under the stamp; who holds the lock [deepwater.row.stamp]. */
void shmw_deepwater_row_store(const struct shmw_deepwater_place *place, const struct shmw_deepwater_row *row);

/* Rows, from the one whose count is loaded with acquire. */
uint64_t shmw_deepwater_rows(const struct shmw_deepwater_place *place);

/* Write a row and the header to the disk. */
int shmw_deepwater_rows_flush(const struct shmw_deepwater_place *place);

void shmw_deepwater_wake(struct shmw_deepwater_wire_feed_registry *header, bool always);
void shmw_deepwater_describe(const struct shmw_deepwater_place *place, struct shmw_deepwater_feed *feed);

/* segment.c: chunks -------------------------------------------------------------------------------------------------- */

/* Make chunk id in shared memory, complete; a name that is taken is unlinked first. */
int shmw_deepwater_chunk_make(const struct shmw_deepwater_place *place, uint64_t id, uint32_t mode, uint32_t pid,
                              struct shmw_deepwater_chunk_map *chunk);

/* The headers of a chunk whose segments are zeros, magics last. */
void shmw_deepwater_chunk_headers(struct shmw_deepwater_chunk_map *chunk, uint32_t pid);

/* Attach to it in shared memory, or in its files. SHMW_NOT_FOUND; the errors of section 3; SHMW_CORRUPT for another chunk's. */
int shmw_deepwater_chunk_memory(const struct shmw_deepwater_place *place, uint64_t id, bool writable,
                                struct shmw_deepwater_chunk_map *chunk);
int shmw_deepwater_chunk_files(const struct shmw_deepwater_place *place, uint64_t id, struct shmw_deepwater_chunk_map *chunk);
void shmw_deepwater_chunk_close(struct shmw_deepwater_chunk_map *chunk);
void shmw_deepwater_chunk_unlink(const struct shmw_deepwater_place *place, uint64_t id);

/* Record i, which entry_count covers, checked. SHMW_CORRUPT [deepwater.read.bounds, .sequence]. */
int shmw_deepwater_chunk_record(const struct shmw_deepwater_chunk_map *chunk, uint64_t first_sequence, uint64_t i,
                                struct shmw_deepwater_record *record);

/* entry_count with acquire; SHMW_CORRUPT above capacity. */
int shmw_deepwater_chunk_count(const struct shmw_deepwater_chunk_map *chunk, uint64_t *count);

static inline bool shmw_deepwater_chunk_sealed(const struct shmw_deepwater_chunk_map *chunk)
{
    /* A9: pairs with R9; all records, so that entry_count is final when it is loaded after this */
    return (shmw_load_acquire(&chunk->data_header->flags) & SHMW_DEEPWATER_DATA_SEALED) != 0;
}

/* reuse.c ------------------------------------------------------------------------------------------------------------ */

/* Take over the mapping of the chunk that has been sealed: to be used again when it leaves the window, or closed. */
void shmw_deepwater_keep(struct shmw_deepwater_writer *writer, struct shmw_deepwater_chunk_map *chunk);

/* Around expiry, which unlinks: the chunk that is about to leave gets the name of chunk `rows`, the next one; and loses it again if it
 * stayed. */
void shmw_deepwater_offer(struct shmw_deepwater_writer *writer, uint64_t rows);
void shmw_deepwater_settle(struct shmw_deepwater_writer *writer, uint64_t rows);

/* Make chunk id of what has left, if nobody else holds that any more. */
bool shmw_deepwater_take_spare(struct shmw_deepwater_writer *writer, uint64_t id, struct shmw_deepwater_chunk_map *chunk);

void shmw_deepwater_keep_nothing(struct shmw_deepwater_writer *writer);

/* persist.c ---------------------------------------------------------------------------------------------------------- */

/* Copy a sealed chunk to its files and say so in its row, which is filled in and stored [deepwater.persist.order]. */
int shmw_deepwater_persist(const struct shmw_deepwater_place *place, const struct shmw_deepwater_chunk_map *chunk, uint32_t mode,
                           struct shmw_deepwater_row *row);

/* CRCs of what the row says that the chunk holds. */
void shmw_deepwater_crcs(const struct shmw_deepwater_chunk_map *chunk, uint64_t bytes, uint64_t records, uint32_t *data_crc,
                         uint32_t *index_crc);

/* recover.c ---------------------------------------------------------------------------------------------------------- */

/* Section 8, by who holds the lock. keep: chunks that stay in shared memory. */
int shmw_deepwater_recover(const struct shmw_deepwater_place *place, uint32_t mode, uint64_t keep,
                           struct shmw_deepwater_recovered *report, uint64_t *next_sequence, uint64_t *last_ns);

/* Seal a chunk with so many records and bytes: the data's header and the row. */
void shmw_deepwater_seal(const struct shmw_deepwater_place *place, struct shmw_deepwater_chunk_map *chunk, uint64_t records,
                         uint64_t bytes, struct shmw_deepwater_row *row);

/* The chunks from *from on, but the last `keep` below `end`, leave shared memory [deepwater.expire.window]. One that cannot be
 * persisted stays, and those behind it leave. *from: the first that may be there still. The first error. */
int shmw_deepwater_expire(const struct shmw_deepwater_place *place, uint64_t end, uint64_t keep, uint32_t mode, uint64_t *from);

#endif
