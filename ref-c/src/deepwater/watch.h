/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater: the long scans of a feed, for callers that show how far they are. The same as without `watched`, which are for
 * everybody else. */
#ifndef SHMW_SRC_DEEPWATER_WATCH_H
#define SHMW_SRC_DEEPWATER_WATCH_H

#include "shmwire/deepwater.h"

/* Told before each chunk: its number, of so many. */
struct shmw_deepwater_watch {
    void (*at)(void *context, uint64_t chunk, uint64_t chunks);
    void *context;
};

int shmw_deepwater_gc_watched(const char *base, const char *feed, const struct shmw_deepwater_watch *watch,
                              struct shmw_deepwater_recovered *report);
int shmw_deepwater_validate_watched(const char *base, const char *feed, const struct shmw_deepwater_watch *watch,
                                    const char **finding, uint64_t *chunk_id);

static inline void shmw_deepwater_tell(const struct shmw_deepwater_watch *watch, uint64_t chunk, uint64_t chunks)
{
    if (watch != NULL)
        watch->at(watch->context, chunk, chunks);
}

#endif
