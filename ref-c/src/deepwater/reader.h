/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater: what reading on (reader.c) and choosing (seek.c) have in common. */
#ifndef SHMW_SRC_DEEPWATER_READER_H
#define SHMW_SRC_DEEPWATER_READER_H

#include "internal.h"

/* Map the chunk of a row, wherever it is. SHMW_EXPIRED; SHMW_NOT_READY: its row is odd, and no writer lives. */
int shmw_deepwater_attach(const struct shmw_deepwater_place *place, uint64_t id, struct shmw_deepwater_row *row,
                          struct shmw_deepwater_chunk_map *chunk);

/* Rows below it, of so many, have expired: nobody has to look at them. In a feed that does not persist the writer keeps live_window
 * chunks, and in a rotation, or if it died there, one more [deepwater.expire.window]. In one that persists only a power failure takes
 * any, here and there. */
static inline uint64_t shmw_deepwater_expired_below(const struct shmw_deepwater_place *place, uint64_t rows)
{
    const uint64_t kept = (uint64_t)place->live_window + 1;
    return !place->persist && rows > kept ? rows - kept : 0;
}

/* Hold the chunk of a row, at the record reader->next or its first one. After a failure the reader is where it was. */
int shmw_deepwater_enter(shmw_deepwater_reader *reader, uint64_t id);

#endif
