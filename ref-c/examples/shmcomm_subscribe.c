/* SPDX-License-Identifier: MIT
 *
 * Print what is published in a channel, from the oldest message that it still holds, until its last publisher leaves:
 * shmcomm_subscribe NAME. */
#include <inttypes.h>
#include <stdio.h>

#include <shmwire/shmcomm.h>

#define LONGEST 4096

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: shmcomm_subscribe NAME\n");
        return 2;
    }
    const struct shmw_shmcomm_options options = {.oldest = true};
    shmw_shmcomm *subscriber;
    int code = shmw_shmcomm_open(SHMW_SHMCOMM_SUBSCRIBER, argv[1], &options, &subscriber);
    if (code != SHMW_OK) {
        fprintf(stderr, "shmcomm_subscribe: %s: %s\n", argv[1], shmw_strerror(code));
        return 1;
    }
    for (;;) {
        static char text[LONGEST];
        struct shmw_shmcomm_message message;
        code = shmw_shmcomm_receive(subscriber, text, sizeof(text), SHMW_FOREVER, 0, &message);
        if (code == SHMW_LAPPED)
            continue; /* overtaken again and again: the next message says how many were lost */
        if (code != SHMW_OK)
            break;
        if (message.lost > 0)
            printf("(%" PRIu64 " lost)\n", message.lost);
        printf("%" PRIu64 " %.*s\n", message.sequence, (int)message.length, text);
        fflush(stdout);
    }
    shmw_shmcomm_close(subscriber);
    if (code == SHMW_CLOSED)
        return 0;
    fprintf(stderr, "shmcomm_subscribe: %s: %s\n", argv[1], shmw_strerror(code));
    return 1;
}
