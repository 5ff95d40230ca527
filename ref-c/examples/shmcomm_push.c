/* SPDX-License-Identifier: MIT
 *
 * Put each argument into a pipeline as a piece of work: shmcomm_push NAME TEXT... What is not pulled yet stays when it ends. */
#include <stdio.h>
#include <string.h>

#include <shmwire/shmcomm.h>

#define LIMIT_NS UINT64_C(5000000000)

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: shmcomm_push NAME TEXT...\n");
        return 2;
    }
    shmw_shmcomm *pusher = NULL;
    int code = shmw_shmcomm_open(SHMW_SHMCOMM_PUSHER, argv[1], NULL, &pusher);
    for (int i = 2; i < argc && code == SHMW_OK; i++)
        code = shmw_shmcomm_send(pusher, argv[i], strlen(argv[i]), NULL, LIMIT_NS, NULL); /* SHMW_TIMEOUT: nobody pulls */
    if (code != SHMW_OK)
        fprintf(stderr, "shmcomm_push: %s: %s\n", argv[1], shmw_strerror(code));
    shmw_shmcomm_close(pusher);
    return code == SHMW_OK ? 0 : 1;
}
