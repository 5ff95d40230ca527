/* SPDX-License-Identifier: MIT
 *
 * Append each argument to a log: ouroboros_write NAME TEXT... Makes the log when it is not there, and goes on behind its last
 * entry when it is. */
#include <stdio.h>
#include <string.h>

#include <shmwire/ouroboros.h>

static int give_up(const char *what, int code)
{
    fprintf(stderr, "ouroboros_write: %s: %s\n", what, shmw_strerror(code));
    return 1;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: ouroboros_write NAME TEXT...\n");
        return 2;
    }
    shmw_ouroboros_writer *log;
    int code = shmw_ouroboros_create(argv[1], NULL, &log);
    if (code == SHMW_EXISTS)
        code = shmw_ouroboros_resume(argv[1], NULL, &log);
    if (code != SHMW_OK)
        return give_up(argv[1], code);
    for (int i = 2; i < argc; i++) {
        code = shmw_ouroboros_write(log, argv[i], strlen(argv[i]), NULL);
        if (code != SHMW_OK)
            return give_up(argv[i], code);
    }
    shmw_ouroboros_close_writer(log);
    return 0;
}
