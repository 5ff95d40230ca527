/* SPDX-License-Identifier: MIT
 *
 * Publish each argument in a channel, for whoever subscribes: shmcomm_publish NAME TEXT... Makes the channel when it is not there, and
 * stays until its standard input ends: a channel lives as long as somebody keeps it. */
#include <stdio.h>
#include <string.h>

#include <shmwire/shmcomm.h>

static int give_up(const char *what, int code)
{
    fprintf(stderr, "shmcomm_publish: %s: %s\n", what, shmw_strerror(code));
    return 1;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: shmcomm_publish NAME TEXT...\n");
        return 2;
    }
    shmw_shmcomm *publisher;
    int code = shmw_shmcomm_open(SHMW_SHMCOMM_PUBLISHER, argv[1], NULL, &publisher);
    if (code != SHMW_OK)
        return give_up(argv[1], code);
    for (int i = 2; i < argc && code == SHMW_OK; i++)
        code = shmw_shmcomm_send(publisher, argv[i], strlen(argv[i]), NULL, 0, NULL);
    while (code == SHMW_OK && getchar() != EOF)
        continue;
    shmw_shmcomm_close(publisher);
    return code == SHMW_OK ? 0 : give_up("send", code);
}
