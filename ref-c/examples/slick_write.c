/* SPDX-License-Identifier: MIT
 *
 * Publish each argument in a queue of text elements, for whoever reads: slick_write NAME TEXT... Makes the queue when it is not
 * there. A text takes as many elements as it needs. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <shmwire/slick.h>

#define ELEMENT 16 /* bytes */
#define LONGEST 1024

static int give_up(const char *what, int code)
{
    fprintf(stderr, "slick_write: %s: %s\n", what, shmw_strerror(code));
    return 1;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: slick_write NAME TEXT...\n");
        return 2;
    }
    const struct shmw_slick_create_options options = {.size = 256, .element_size = ELEMENT};
    shmw_slick_queue *queue;
    shmw_slick_producer *producer;
    int code = shmw_slick_create(argv[1], &options, &queue);
    if (code == SHMW_EXISTS)
        code = shmw_slick_open(argv[1], NULL, &queue);
    if (code == SHMW_OK)
        code = shmw_slick_producer_open(queue, NULL, &producer);
    if (code != SHMW_OK)
        return give_up(argv[1], code);
    for (int i = 2; i < argc; i++) {
        char text[LONGEST] = {0}; /* the rest of the last element is zero */
        uint64_t index;
        snprintf(text, sizeof(text), "%s", argv[i]);
        const size_t elements = strlen(text) / ELEMENT + 1;
        code = shmw_slick_write(producer, text, elements * ELEMENT, &index);
        if (code != SHMW_OK)
            return give_up(argv[i], code);
        printf("%" PRIu64 "\n", index);
    }
    shmw_slick_producer_close(producer);
    shmw_slick_close(queue);
    return 0;
}
