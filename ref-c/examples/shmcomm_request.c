/* SPDX-License-Identifier: MIT
 *
 * Ask a service and print its reply: shmcomm_request NAME TEXT. */
#include <stdio.h>
#include <string.h>

#include <shmwire/shmcomm.h>

#define LONGEST 4096
#define LIMIT_NS UINT64_C(5000000000)

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: shmcomm_request NAME TEXT\n");
        return 2;
    }
    static char text[LONGEST];
    struct shmw_shmcomm_message reply;
    shmw_shmcomm *requester = NULL;
    int code = shmw_shmcomm_open(SHMW_SHMCOMM_REQUESTER, argv[1], NULL, &requester);
    if (code == SHMW_OK)
        code = shmw_shmcomm_send(requester, argv[2], strlen(argv[2]), NULL, LIMIT_NS, NULL);
    if (code == SHMW_OK)
        code = shmw_shmcomm_receive(requester, text, sizeof(text), LIMIT_NS, 0, &reply);
    if (code == SHMW_OK)
        printf("%.*s\n", (int)reply.length, text);
    else
        fprintf(stderr, "shmcomm_request: %s: %s\n", argv[1], shmw_strerror(code));
    shmw_shmcomm_close(requester);
    return code == SHMW_OK ? 0 : 1;
}
