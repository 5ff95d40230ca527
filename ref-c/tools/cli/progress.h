/* SPDX-License-Identifier: MIT
 *
 * How far a long scan is: one line on standard error, for people. Only on a terminal, only of a scan that takes longer than a second,
 * and gone before anything else is printed and at the end. Never when standard output goes to a pipe, whose reader may draw on the
 * same terminal. */
#ifndef SHMW_CLI_PROGRESS_H
#define SHMW_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* A scan begins. prints: it prints lines as it goes on, which would mingle with this one where standard output is a terminal, too. */
void progress_begin(bool prints);

/* It comes to part number `part`, from 0, of so many: feeds. Without such a call there is one. */
void progress_part(uint64_t part, uint64_t parts);

/* So many of all, in this part. all may be 0: not known. unit: "chunks"; static storage. Cheap enough to be called for each. */
void progress_at(uint64_t done, uint64_t all, const char *unit);

/* Make room for what is about to be printed; the line comes back with a later call of the above. */
void progress_hide(void);

/* The scan is over. */
void progress_end(void);

#endif
