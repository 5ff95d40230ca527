/* SPDX-License-Identifier: MIT
 *
 * Take pieces of work from a pipeline, shared with others that do so, until its pushers have left and nothing is left:
 * shmcomm_pull NAME. */
#include <stdio.h>

#include <shmwire/shmcomm.h>

#define LONGEST 4096

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: shmcomm_pull NAME\n");
        return 2;
    }
    shmw_shmcomm *puller = NULL;
    int code = shmw_shmcomm_open(SHMW_SHMCOMM_PULLER, argv[1], NULL, &puller);
    while (code == SHMW_OK) {
        static char text[LONGEST];
        struct shmw_shmcomm_message message;
        code = shmw_shmcomm_receive(puller, text, sizeof(text), SHMW_FOREVER, 0, &message);
        if (code == SHMW_OK)
            printf("%.*s\n", (int)message.length, text);
    }
    if (code != SHMW_CLOSED)
        fprintf(stderr, "shmcomm_pull: %s: %s\n", argv[1], shmw_strerror(code));
    shmw_shmcomm_close(puller);
    return code == SHMW_CLOSED ? 0 : 1;
}
