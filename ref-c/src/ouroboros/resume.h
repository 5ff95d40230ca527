/* SPDX-License-Identifier: MIT */
#ifndef SHMW_SRC_OUROBOROS_RESUME_H
#define SHMW_SRC_OUROBOROS_RESUME_H

#include "internal.h"

/* Put a writer that holds the lock behind the last entry of its segment; commit a row that the writer before left uncommitted
 * although its first entry can be read [ouroboros.write.resume]. SHMW_CORRUPT, and nothing has changed. */
int shmw_ouroboros_find_end(shmw_ouroboros_writer *writer);

#endif
