/* SPDX-License-Identifier: MIT
 *
 * Segments as files: names, creation, mapping, locking. Knows nothing of any profile. */
#ifndef SHMW_SRC_MAP_H
#define SHMW_SRC_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A mapped segment file. The descriptor stays open for locks, for reservation and to tell one segment from another. */
struct shmw_map {
    unsigned char *base; /* page-aligned */
    size_t size;         /* bytes */
    int fd;              /* -1: memory without a file */
    bool writable;
};

/* The name without its leading slash when the locator is a POSIX shared-memory name, NULL when it is a path. */
const char *shmw_posix_name(const char *locator);

/* The SHMW_ error for an errno value. */
int shmw_error_from_errno(int cause);

/* Make the file (SHMW_EXISTS when the name is taken), give it size bytes, reserve the first `reserve` of them and map it
 * read-write. After a failure the name is free again and errno holds the cause. */
int shmw_map_create(const char *locator, uint64_t size, uint64_t reserve, uint32_t mode, struct shmw_map *map);

/* Memory without a file or a name, of zeros, that children forked later share. SHMW_INVALID_ARGUMENT, SHMW_SYSTEM. */
int shmw_map_anonymous(uint64_t size, struct shmw_map *map);

/* Open a regular file of at least `least` bytes and map all of it. An empty file is one whose creator has not come further: it is
 * waited for until the deadline. SHMW_NOT_FOUND, SHMW_TRUNCATED, SHMW_PERMISSION, SHMW_INVALID_NAME, SHMW_SYSTEM. */
int shmw_map_open(const char *locator, bool read_only, uint64_t least, uint64_t deadline, struct shmw_map *map);

/* Give a segment a second name, as link(2) does. SHMW_EXISTS, SHMW_NOT_FOUND, SHMW_PERMISSION, SHMW_SYSTEM. */
int shmw_link(const char *locator, const char *second);

/* Parts of the above for who must look at a file before he maps it. open(2) on a locator, close-on-exec, never through a symbolic
 * link in the directory of shared memory. SHMW_NOT_FOUND, SHMW_EXISTS, SHMW_PERMISSION, SHMW_INVALID_NAME, SHMW_SYSTEM. */
int shmw_map_open_file(const char *locator, int flags, uint32_t mode, int *fd);

/* Map the first size bytes of map->fd, writable or not as map->writable says. SHMW_UNSUPPORTED, SHMW_SYSTEM. */
int shmw_map_file(struct shmw_map *map, uint64_t size);

void shmw_map_close(struct shmw_map *map);

/* Take flock(LOCK_EX) on the file; waits. *lock is to be given back to shmw_map_unlock. Each call locks anew, so that threads of
 * one process, and a parent and its child, exclude each other as strangers do. */
int shmw_map_lock(const struct shmw_map *map, int *lock);
void shmw_map_unlock(int lock);

/* Take flock(LOCK_EX) on the file for as long as the map is open: SHMW_OK, or SHMW_BUSY at once when another has it (wait:
 * then it waits). A child forked later has it too, until it closes its descriptor; shmw_map_unclaim takes it from all of them. */
int shmw_map_claim(const struct shmw_map *map, bool wait);
void shmw_map_unclaim(const struct shmw_map *map);

/* Make sure that [offset, offset + length) has memory behind it: a full file system answers SHMW_SYSTEM here instead of raising
 * SIGBUS at the first touch. */
int shmw_map_reserve(const struct shmw_map *map, uint64_t offset, uint64_t length);

/* Fill in the page tables for [offset, offset + length), so that the first messages pay no page faults. Best effort. */
void shmw_map_prefault(const struct shmw_map *map, uint64_t offset, uint64_t length);

#endif
