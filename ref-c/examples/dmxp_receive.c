/* SPDX-License-Identifier: MIT
 *
 * Print COUNT messages of channel 0, one a line, waiting up to five seconds for each: dmxp_receive NAME COUNT */
#include <stdio.h>
#include <stdlib.h>

#include <shmwire/dmxp.h>

static int give_up(const char *what, int code)
{
    fprintf(stderr, "dmxp_receive: %s: %s\n", what, shmw_strerror(code));
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: dmxp_receive NAME COUNT\n");
        return 2;
    }
    shmw_dmxp_segment *segment;
    shmw_dmxp_channel *channel;
    int code = shmw_dmxp_open(argv[1], NULL, &segment);
    if (code != SHMW_OK)
        return give_up(argv[1], code);
    code = shmw_dmxp_attach(segment, 0, &channel);
    if (code != SHMW_OK)
        return give_up("channel 0", code);
    for (long left = strtol(argv[2], NULL, 10); left > 0; left--) {
        char text[SHMW_DMXP_PAYLOAD_CAPACITY_CRATE];
        struct shmw_dmxp_message message;
        code = shmw_dmxp_receive(channel, text, sizeof(text), UINT64_C(5000000000), 0, &message);
        if (code != SHMW_OK)
            return give_up("receive", code);
        printf("%.*s\n", (int)message.length, text);
    }
    shmw_dmxp_detach(channel);
    shmw_dmxp_close(segment);
    return 0;
}
