/* SPDX-License-Identifier: MIT
 *
 * Locks of open file descriptions (F_OFD_SETLK) on single bytes of a file, which may lie behind its end. The kernel drops them
 * with the last descriptor of the description that took them, whatever the process id, thread or pid namespace of its owner. */
#ifndef SHMW_SRC_OFD_H
#define SHMW_SRC_OFD_H

#include <stdint.h>

/* Take a write lock on the byte: SHMW_OK, SHMW_BUSY at once when another description has it, SHMW_SYSTEM. */
int shmw_ofd_take(int fd, uint64_t byte);

/* The same, but wait for it. SHMW_OK, SHMW_SYSTEM. */
int shmw_ofd_take_waiting(int fd, uint64_t byte);

/* Give it back. */
void shmw_ofd_give(int fd, uint64_t byte);

/* Does another description have a write lock on any of [first, first + count)? SHMW_BUSY: yes. SHMW_OK: no. SHMW_SYSTEM. */
int shmw_ofd_ask(int fd, uint64_t first, uint64_t count);

#endif
