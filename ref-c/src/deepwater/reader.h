/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater: what reading on (reader.c) and choosing (seek.c) have in common. */
#ifndef SHMW_SRC_DEEPWATER_READER_H
#define SHMW_SRC_DEEPWATER_READER_H

#include "internal.h"

/* Map the chunk of a row, wherever it is. SHMW_EXPIRED; SHMW_NOT_READY: its row is odd, and no writer lives. */
int shmw_deepwater_attach(const struct shmw_deepwater_place *place, uint64_t id, struct shmw_deepwater_row *row,
                          struct shmw_deepwater_chunk_map *chunk);

/* Hold the chunk of a row, at the record reader->next or its first one. After a failure the reader is where it was. */
int shmw_deepwater_enter(shmw_deepwater_reader *reader, uint64_t id);

#endif
