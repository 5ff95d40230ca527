/* SPDX-License-Identifier: MIT
 *
 * Who we are, and who else is there. */
#ifndef SHMW_SRC_PROCESS_H
#define SHMW_SRC_PROCESS_H

#include <stdint.h>

#include "atomic.h"
#include "map.h"

/* The process id, looked up once per process: a page of its own, which the kernel zeroes in a forked child. */
struct shmw_pid_cache {
    _Atomic(uint32_t) pid; /* 0 = not looked up in this process */
};

/* NULL when the kernel cannot wipe a page on fork; shmw_pid then asks the kernel each time. */
struct shmw_pid_cache *shmw_pid_cache_new(void);
void shmw_pid_cache_free(struct shmw_pid_cache *cache);
uint32_t shmw_pid_lookup(struct shmw_pid_cache *cache);

static inline uint32_t shmw_pid(struct shmw_pid_cache *cache)
{
    const uint32_t pid = cache != NULL ? shmw_load_relaxed(&cache->pid) : 0;
    return pid != 0 ? pid : shmw_pid_lookup(cache);
}

/* SHMW_OK when no other process maps the file behind map; SHMW_BUSY when one does, or when there are processes whose maps
 * cannot be read. Processes in other pid namespaces cannot be seen from here. */
int shmw_map_exclusive(const struct shmw_map *map);

/* The same, with another process table than the one at /proc. */
int shmw_map_exclusive_in(const struct shmw_map *map, const char *proc);

#endif
