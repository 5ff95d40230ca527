/* SPDX-License-Identifier: MIT
 *
 * Append the words of the command line to a feed that persists, with the time of day: deepwater_append BASE FEED WORD... */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <shmwire/deepwater.h>

static uint64_t now(void)
{
    struct timespec time;
    timespec_get(&time, TIME_UTC);
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

int main(int argc, char **argv)
{
    const struct shmw_deepwater_feed_options options = {.persist = true};
    shmw_deepwater_writer *writer;
    if (argc < 4) {
        fprintf(stderr, "usage: %s BASE FEED WORD...\n", argv[0]);
        return 2;
    }
    int rc = shmw_deepwater_writer_open(argv[1], argv[2], &options, &writer);
    if (rc != SHMW_OK) {
        fprintf(stderr, "%s: %s\n", argv[2], shmw_strerror(rc));
        return 1;
    }
    for (int i = 3; rc == SHMW_OK && i < argc; i++)
        rc = shmw_deepwater_append(writer, now(), 0, argv[i], (uint32_t)strlen(argv[i]), NULL);
    const int closed = shmw_deepwater_writer_close(writer);
    if (rc == SHMW_OK)
        rc = closed;
    if (rc != SHMW_OK)
        fprintf(stderr, "%s: %s\n", argv[2], shmw_strerror(rc));
    return rc == SHMW_OK ? 0 : 1;
}
