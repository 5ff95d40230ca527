/* SPDX-License-Identifier: MIT
 *
 * A service that answers with the request in capitals: shmcomm_reply NAME COUNT. Ends after so many requests. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include <shmwire/shmcomm.h>

#define LONGEST 4096
#define LIMIT_NS UINT64_C(1000000000)

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: shmcomm_reply NAME COUNT\n");
        return 2;
    }
    shmw_shmcomm *replier = NULL;
    int code = shmw_shmcomm_open(SHMW_SHMCOMM_REPLIER, argv[1], NULL, &replier);
    for (long left = strtol(argv[2], NULL, 10); left > 0 && code >= SHMW_OK; left--) {
        static char text[LONGEST];
        struct shmw_shmcomm_message request;
        code = shmw_shmcomm_receive(replier, text, sizeof(text), SHMW_FOREVER, 0, &request);
        if (code != SHMW_OK)
            break;
        for (size_t i = 0; i < request.length; i++)
            text[i] = (char)toupper((unsigned char)text[i]);
        code = shmw_shmcomm_reply(replier, &request, text, request.length, NULL, LIMIT_NS); /* SHMW_CLOSED: it did not wait */
    }
    if (code < SHMW_OK)
        fprintf(stderr, "shmcomm_reply: %s: %s\n", argv[1], shmw_strerror(code));
    shmw_shmcomm_close(replier);
    return code < SHMW_OK ? 1 : 0;
}
