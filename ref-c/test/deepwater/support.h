/* SPDX-License-Identifier: MIT
 *
 * What the tests of profile deepwater share: a base directory that goes away, and records whose content says what they are. */
#ifndef SHMW_TEST_DEEPWATER_SUPPORT_H
#define SHMW_TEST_DEEPWATER_SUPPORT_H

#include "../check.h"
#include "deepwater/internal.h"

#define LENGTH 100 /* bytes of a record of `put`; 39 of them go into a chunk of 4,096 */
#define PER_CHUNK 39

/* A fresh base, removed with the shared memory of its feeds by drop_base. */
const char *fresh_base(void);
void drop_base(const char *base);

shmw_deepwater_writer *open_writer(const char *base, bool persist, uint32_t live_window);
shmw_deepwater_reader *open_reader(const char *base, enum shmw_deepwater_start start, uint64_t at);

/* Append records first to first + count - 1: timestamp 1000 + 10 i, type i. */
void put(shmw_deepwater_writer *writer, uint64_t first, uint64_t count);

/* The next record is number i. */
void expect(shmw_deepwater_reader *reader, uint64_t i);
void expect_all(shmw_deepwater_reader *reader, uint64_t first, uint64_t end);

/* Forget a writer as a kill would: nothing is stored, the lock is dropped. */
void die(shmw_deepwater_writer *writer);

/* The path of a file of the feed, in static storage. */
const char *file_of(const char *base, const char *name);

/* Is there shared memory of that chunk? */
bool in_memory(const char *base, uint64_t chunk);

struct shmw_deepwater_chunk chunk_of(const char *base, uint64_t id);

#endif
