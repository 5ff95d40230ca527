/* SPDX-License-Identifier: MIT
 *
 * Send each argument as one message: dmxp_send NAME TEXT... Makes the segment and its channel 0 when they are not there. */
#include <stdio.h>
#include <string.h>

#include <shmwire/dmxp.h>

static int give_up(const char *what, int code)
{
    fprintf(stderr, "dmxp_send: %s: %s\n", what, shmw_strerror(code));
    return 1;
}

/* Attach to the segment, or make a small one. Whoever comes second finds the first one's. */
static int open_or_create(const char *name, shmw_dmxp_segment **segment)
{
    const struct shmw_dmxp_create_options create = {.size = UINT64_C(4) << 20};
    const struct shmw_dmxp_open_options open = {.ready_timeout_ns = UINT64_C(1000000000)};
    const int code = shmw_dmxp_create(name, &create, segment);
    return code == SHMW_EXISTS ? shmw_dmxp_open(name, &open, segment) : code;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: dmxp_send NAME TEXT...\n");
        return 2;
    }
    shmw_dmxp_segment *segment;
    shmw_dmxp_channel *channel;
    /* Only consumers that count themselves will be here, so a send with nobody asleep costs no system call. */
    const struct shmw_dmxp_channel_options options = {.capacity = 256, .counted_waiters = true};
    int code = open_or_create(argv[1], &segment);
    if (code != SHMW_OK)
        return give_up(argv[1], code);
    code = shmw_dmxp_channel_create(segment, 0, &options);
    if (code != SHMW_OK && code != SHMW_EXISTS)
        return give_up("channel 0", code);
    code = shmw_dmxp_attach(segment, 0, &channel);
    if (code != SHMW_OK)
        return give_up("channel 0", code);
    for (int i = 2; i < argc; i++) {
        code = shmw_dmxp_send(channel, argv[i], strlen(argv[i]), NULL, UINT64_C(5000000000), NULL);
        if (code != SHMW_OK)
            return give_up(argv[i], code);
    }
    shmw_dmxp_detach(channel);
    shmw_dmxp_close(segment);
    return 0;
}
