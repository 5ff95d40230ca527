/* SPDX-License-Identifier: MIT
 *
 * The segments of known profiles in a directory, for ls, top and gc. */
#ifndef SHMW_CLI_LISTING_H
#define SHMW_CLI_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "mappers.h"
#include "view.h"

#define SHM_DIRECTORY "/dev/shm"

struct row {
    char *name;
    struct view *view; /* kept open, so that the scan of /proc can tell its mapping */
    struct segment_summary summary;
    bool readable; /* not shortened under us */
    bool rated;
    double rate; /* messages per second between two listings */
};

struct listing {
    const char *directory;
    struct row *rows; /* by name */
    size_t count;
    size_t unreadable; /* files that may not be opened */
    struct mappers mappers;
    struct timespec taken; /* CLOCK_MONOTONIC */
};

/* Fill a listing that holds nothing but its directory. EXIT_USAGE after a diagnostic. The caller frees it in every case. */
int listing_collect(struct listing *listing, bool with_mappers);
void listing_free(struct listing *listing); /* keeps the directory */

/* Give the rows of `now` their rates. */
void listing_rates(const struct listing *before, struct listing *now);

/* Seconds since the last change of the file's status. */
uint64_t listing_age(const struct row *row);

/* ls.c: print, with a head line if there are rows, or as the members of a JSON object. */
void listing_table(const struct listing *listing);
void listing_json(const struct listing *listing, struct json *json);

#endif
