/* SPDX-License-Identifier: MIT
 *
 * Print COUNT texts of a queue from the oldest on, one a line with its index, waiting up to five seconds for each:
 * slick_read NAME COUNT [CURSOR]. Those who name the same cursor share the texts: each is printed by one of them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <shmwire/slick.h>

static int give_up(const char *what, int code)
{
    fprintf(stderr, "slick_read: %s: %s\n", what, shmw_strerror(code));
    return 1;
}

/* Whoever comes first makes the cursor. */
static int share_cursor(const char *name, const shmw_slick_queue *queue, shmw_slick_cursor **cursor)
{
    const int code = shmw_slick_cursor_create(name, queue, SHMW_SLICK_OLDEST, 0, cursor);
    return code == SHMW_EXISTS ? shmw_slick_cursor_open(name, cursor) : code;
}

static int print_next(shmw_slick_reader *reader)
{
    char text[4096];
    struct shmw_slick_item item;
    const int code = shmw_slick_wait_next(reader, text, sizeof(text) - 1, UINT64_C(5000000000), 0, &item);
    if (code != SHMW_OK)
        return code;
    text[item.length] = '\0';
    if (item.lost > 0)
        printf("(%" PRIu64 " elements overwritten)\n", item.lost);
    printf("%" PRIu64 " %s\n", item.index, text);
    return SHMW_OK;
}

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: slick_read NAME COUNT [CURSOR]\n");
        return 2;
    }
    const struct shmw_slick_open_options options = {.read_only = true};
    struct shmw_slick_reader_options reading = {.start = SHMW_SLICK_OLDEST};
    shmw_slick_queue *queue;
    shmw_slick_reader *reader;
    int code = shmw_slick_open(argv[1], &options, &queue);
    if (code == SHMW_OK && argc == 4)
        code = share_cursor(argv[3], queue, &reading.shared);
    if (code == SHMW_OK)
        code = shmw_slick_reader_open(queue, &reading, &reader);
    if (code != SHMW_OK)
        return give_up(argv[1], code);
    for (long left = strtol(argv[2], NULL, 10); left > 0; left--) {
        code = print_next(reader);
        if (code != SHMW_OK && code != SHMW_LAPPED)
            return give_up("next", code);
    }
    shmw_slick_reader_close(reader);
    shmw_slick_cursor_close(reading.shared);
    shmw_slick_close(queue);
    return 0;
}
