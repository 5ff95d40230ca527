/* SPDX-License-Identifier: MIT
 *
 * Print so many records of a feed, from the oldest that is left, and wait for those that are not there yet:
 * deepwater_follow BASE FEED COUNT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <shmwire/deepwater.h>

int main(int argc, char **argv)
{
    struct shmw_deepwater_record record;
    shmw_deepwater_reader *reader;
    if (argc != 4) {
        fprintf(stderr, "usage: %s BASE FEED COUNT\n", argv[0]);
        return 2;
    }
    int rc = shmw_deepwater_reader_open(argv[1], argv[2], NULL, &reader);
    for (unsigned long left = strtoul(argv[3], NULL, 10); rc == SHMW_OK && left > 0;) {
        rc = shmw_deepwater_wait_next(reader, SHMW_FOREVER, 0, &record);
        if (rc == SHMW_EXPIRED) { /* we were too slow: how much is gone? */
            fprintf(stderr, "%" PRIu64 " records expired\n", record.lost);
            rc = SHMW_OK;
        } else if (rc == SHMW_OK) {
            printf("%" PRIu64 " %.*s\n", record.sequence, (int)record.length, (const char *)record.data);
            left--;
        }
    }
    if (rc != SHMW_OK)
        fprintf(stderr, "%s: %s\n", argv[2], shmw_strerror(rc));
    shmw_deepwater_reader_close(reader);
    return rc == SHMW_OK ? 0 : 1;
}
