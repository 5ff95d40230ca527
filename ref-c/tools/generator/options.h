/* SPDX-License-Identifier: MIT
 *
 * The command line of ouroboros_shm_generator. Its words are those of the source system's generator, so that test suites written
 * for that one can drive this one. */
#ifndef SHMW_GENERATOR_OPTIONS_H
#define SHMW_GENERATOR_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define NAME_ROOM 256

struct options {
    char name[NAME_ROOM]; /* with its leading slash */
    const char *json_out; /* path */
    uint64_t size;        /* bytes of the segment */
    uint64_t count;       /* entries */
    uint64_t min_size;    /* payload bytes */
    uint64_t max_size;
    uint64_t seed;
    uint64_t interval_us; /* pause after each entry */
    uint64_t initial_delay_us;
    bool unlink_at_exit;
    bool help;
};

/* false after a line on standard error. */
bool options_parse(int argc, char **argv, struct options *options);

void options_help(void);

#endif
