/* SPDX-License-Identifier: MIT */
#include "item.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../output.h"

#define FIRST_ROOM ((size_t)65536)

int taker_open(const struct args *args, const struct view *view, struct taker *taker)
{
    const struct shmw_slick_open_options options = {.read_only = true, .no_wait = true};
    *taker = (struct taker){.view = view};
    int rc = format_option(args, &taker->format);
    if (rc != EXIT_OK)
        return rc;
    taker->buffer = malloc(FIRST_ROOM);
    if (taker->buffer == NULL)
        return io_error("out of memory");
    taker->room = FIRST_ROOM;
    rc = shmw_slick_open(view->locator, &options, &taker->queue);
    if (rc == SHMW_OK)
        rc = shmw_slick_reader_open(taker->queue, NULL, &taker->reader);
    return rc == SHMW_OK ? EXIT_OK : open_error(view->path, rc);
}

void taker_close(struct taker *taker)
{
    shmw_slick_reader_close(taker->reader);
    shmw_slick_close(taker->queue);
    free(taker->buffer);
    *taker = (struct taker){0};
}

int taker_next(struct taker *taker, struct shmw_slick_item *item)
{
    for (;;) { /* an item that is overtaken may be followed by a longer one; none is longer than the ring */
        const int rc = shmw_slick_next(taker->reader, taker->buffer, taker->room, item);
        if (rc != SHMW_TOO_SMALL)
            return rc;
        unsigned char *buffer = realloc(taker->buffer, item->length);
        if (buffer == NULL)
            return SHMW_SYSTEM;
        taker->buffer = buffer;
        taker->room = item->length;
    }
}

uint64_t taker_cursor(const struct taker *taker)
{
    struct shmw_slick_reader_info info = {0};
    shmw_slick_reader_info(taker->reader, &info);
    return info.cursor;
}

void taker_print(const struct taker *taker, const struct shmw_slick_item *item)
{
    const unsigned char *data = taker->buffer + item->offset;
    if (taker->format == FORMAT_RAW) {
        fwrite(data, 1, item->length, stdout);
        return;
    }
    if (taker->format == FORMAT_TEXT) {
        printf("%sindex %-8" PRIu64 "%s elements %-4" PRIu32 " length %zu\n", style_bold(), item->index, style_plain(),
               item->elements, item->length);
        print_payload(data, item->length);
        return;
    }
    struct json json;
    json_begin(&json, stdout);
    json_u64(&json, "index", item->index);
    json_number(&json, "elements", item->elements);
    json_hex(&json, "data", data, item->length);
    json_end(&json);
}

int taker_failed(const struct taker *taker, int code)
{
    if (code != SHMW_CORRUPT)
        return library_error(taker->view->path, code);
    diagnostic("%s: at index %" PRIu64 ": CORRUPT: %s; `shmwire validate` tells more", taker->view->path, taker_cursor(taker),
               shmw_strerror(code));
    return EXIT_FINDINGS;
}
