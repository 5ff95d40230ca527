/* SPDX-License-Identifier: MIT
 *
 * Print entries of a log from the oldest on, one a line with its sequence, until entry LAST, waiting up to five seconds for each:
 * ouroboros_read NAME LAST */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <shmwire/ouroboros.h>

static int give_up(const char *what, int code)
{
    fprintf(stderr, "ouroboros_read: %s: %s\n", what, shmw_strerror(code));
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: ouroboros_read NAME LAST\n");
        return 2;
    }
    const struct shmw_ouroboros_open_options options = {.start = SHMW_OUROBOROS_OLDEST};
    shmw_ouroboros_reader *log;
    int code = shmw_ouroboros_open(argv[1], &options, &log);
    if (code != SHMW_OK)
        return give_up(argv[1], code);
    const uint64_t last = strtoull(argv[2], NULL, 10);
    struct shmw_ouroboros_entry entry = {0};
    while (entry.sequence < last) {
        char text[4096];
        code = shmw_ouroboros_wait_next(log, text, sizeof(text), UINT64_C(5000000000), 0, &entry);
        if (code != SHMW_OK)
            return give_up("next", code);
        if (entry.skipped > 0)
            printf("(%" PRIu64 " overwritten)\n", entry.skipped);
        printf("%" PRIu64 " %.*s\n", entry.sequence, (int)entry.length, text);
    }
    shmw_ouroboros_close_reader(log);
    return 0;
}
