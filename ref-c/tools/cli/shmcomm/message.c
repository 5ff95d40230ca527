/* SPDX-License-Identifier: MIT */
#include "message.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../output.h"
#include "raw.h"

#define FIRST_ROOM ((size_t)65536)
#define TIME_ROOM 64

int watcher_open(const struct args *args, const struct view *view, struct watcher *watcher)
{
    const struct shmw_shmcomm_options options = {.no_wait = true};
    *watcher = (struct watcher){.view = view};
    int rc = format_option(args, &watcher->format);
    if (rc != EXIT_OK)
        return rc;
    watcher->buffer = malloc(FIRST_ROOM);
    if (watcher->buffer == NULL)
        return io_error("out of memory");
    watcher->room = FIRST_ROOM;
    rc = shmw_shmcomm_open(SHMW_SHMCOMM_OBSERVER, view->path, &options, &watcher->observer);
    return rc == SHMW_OK ? EXIT_OK : open_error(view->path, rc);
}

void watcher_close(struct watcher *watcher)
{
    shmw_shmcomm_close(watcher->observer);
    free(watcher->buffer);
    *watcher = (struct watcher){0};
}

int watcher_next(struct watcher *watcher, struct shmw_shmcomm_message *message)
{
    for (;;) { /* a message that is overtaken may be followed by a longer one; none is longer than half of the ring */
        const int rc = shmw_shmcomm_receive(watcher->observer, watcher->buffer, watcher->room, 0, 0, message);
        if (rc != SHMW_TOO_SMALL)
            return rc;
        unsigned char *buffer = realloc(watcher->buffer, message->length);
        if (buffer == NULL)
            return SHMW_SYSTEM;
        watcher->buffer = buffer;
        watcher->room = message->length;
    }
}

static void print_text(const struct shmw_shmcomm_message *message, const unsigned char *payload)
{
    char when[TIME_ROOM];
    format_time(when, sizeof(when), message->timestamp_ns);
    printf("%ssequence %-8" PRIu64 "%s %s  sender %-10" PRIu32 " %-8s length %zu", style_bold(), message->sequence, style_plain(),
           when, message->sender, channel_content_word(message->content_type), message->length);
    if (message->correlation_id != 0)
        printf("  correlation %" PRIu64, message->correlation_id);
    if (message->flags != 0)
        printf("  flags 0x%04x", (unsigned)message->flags);
    putchar('\n');
    print_payload(payload, message->length);
}

void watcher_print(const struct watcher *watcher, const struct shmw_shmcomm_message *message)
{
    const unsigned char *payload = watcher->buffer + message->offset;
    if (watcher->format == FORMAT_RAW) {
        fwrite(payload, 1, message->length, stdout);
        return;
    }
    if (watcher->format == FORMAT_TEXT) {
        print_text(message, payload);
        return;
    }
    struct json json;
    json_begin(&json, stdout);
    json_u64(&json, "sequence", message->sequence);
    json_u64(&json, "timestamp_ns", message->timestamp_ns);
    json_number(&json, "sender", message->sender);
    json_text(&json, "content_type", channel_content_word(message->content_type));
    json_u64(&json, "correlation_id", message->correlation_id);
    if (message->flags != 0)
        json_number(&json, "flags", message->flags);
    json_hex(&json, "payload", payload, message->length);
    json_end(&json);
}

int watcher_failed(const struct watcher *watcher, int code)
{
    if (code != SHMW_CORRUPT)
        return library_error(watcher->view->path, code);
    diagnostic("%s: CORRUPT: %s; `shmwire validate` tells more", watcher->view->path, shmw_strerror(code));
    return EXIT_FINDINGS;
}
