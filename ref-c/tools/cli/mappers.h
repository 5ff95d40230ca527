/* SPDX-License-Identifier: MIT
 *
 * Which processes map which files, as far as this user may see it. */
#ifndef SHMW_CLI_MAPPERS_H
#define SHMW_CLI_MAPPERS_H

#include <stdbool.h>
#include <stddef.h>

struct mapping {
    unsigned major; /* device and inode as /proc/PID/maps has them */
    unsigned minor;
    unsigned long inode;
    long pid;
    unsigned long start; /* address, of this process's own mappings */
};

struct mappers {
    struct mapping *list;
    size_t count;
    size_t room;
    bool complete; /* every process could be seen */
};

/* Look through /proc. false when memory ran out; *mappers can be freed all the same. */
bool mappers_scan(struct mappers *mappers);
void mappers_free(struct mappers *mappers);

/* The next process after *at (begin with 0) that maps the file which this process has mapped at base; 0 at the end. */
long mappers_next(const struct mappers *mappers, const void *base, size_t *at);

#endif
