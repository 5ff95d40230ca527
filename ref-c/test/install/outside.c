/* SPDX-License-Identifier: MIT
 *
 * A user of an installed library: a message through a segment of each kind, with installed headers only. */
#include <shmwire/dmxp.h>
#include <shmwire/slick.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int through_a_queue(void)
{
    char text[8] = "";
    shmw_slick_queue *queue;
    shmw_slick_producer *producer;
    shmw_slick_reader *reader;
    const struct shmw_slick_create_options options = {.element_size = sizeof(text)};
    if (shmw_slick_create(NULL, &options, &queue) != SHMW_OK || shmw_slick_producer_open(queue, NULL, &producer) != SHMW_OK ||
        shmw_slick_reader_open(queue, NULL, &reader) != SHMW_OK)
        return 1;
    const int written = shmw_slick_write(producer, "inside\0", sizeof(text), NULL);
    const int read = shmw_slick_next(reader, text, sizeof(text), NULL);
    shmw_slick_reader_close(reader);
    shmw_slick_producer_close(producer);
    shmw_slick_close(queue);
    return written == SHMW_OK && read == SHMW_OK && strcmp(text, "inside") == 0 ? 0 : 1;
}

int main(void)
{
    char name[64];
    char text[8] = "";
    shmw_dmxp_segment *segment;
    shmw_dmxp_channel *channel;
    const struct shmw_dmxp_create_options options = {.size = UINT64_C(1) << 20};
    const struct shmw_dmxp_channel_options eight = {.capacity = 8};
    snprintf(name, sizeof(name), "/shmw-refc-outside-%d", (int)getpid());
    if (strcmp(shmw_version(), SHMW_VERSION_STRING) != 0 || shmw_dmxp_create(name, &options, &segment) != SHMW_OK)
        return 1;
    shmw_unlink(name);
    if (shmw_dmxp_channel_create(segment, 0, &eight) != SHMW_OK || shmw_dmxp_attach(segment, 0, &channel) != SHMW_OK)
        return 1;
    if (shmw_dmxp_try_send(channel, "outside", 8, NULL, NULL) != SHMW_OK)
        return 1;
    const int code = shmw_dmxp_try_receive(channel, text, sizeof(text), NULL);
    shmw_dmxp_detach(channel);
    shmw_dmxp_close(segment);
    puts(text);
    return code == SHMW_OK && strcmp(text, "outside") == 0 ? through_a_queue() : 1;
}
