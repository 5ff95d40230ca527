/* SPDX-License-Identifier: MIT */
#include "message.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../output.h"
#include "raw.h"

#define FIRST_ROOM ((size_t)65536)
#define TIME_ROOM 64

int taker_open(const struct args *args, const struct view *view, struct taker *taker)
{
    const struct shmw_shmcomm_options options = {.no_wait = true};
    *taker = (struct taker){.view = view};
    int rc = format_option(args, &taker->format);
    if (rc != EXIT_OK)
        return rc;
    taker->buffer = malloc(FIRST_ROOM);
    if (taker->buffer == NULL)
        return io_error("out of memory");
    taker->room = FIRST_ROOM;
    rc = shmw_shmcomm_open(SHMW_SHMCOMM_OBSERVER, view->path, &options, &taker->observer);
    return rc == SHMW_OK ? EXIT_OK : open_error(view->path, rc);
}

void taker_close(struct taker *taker)
{
    shmw_shmcomm_close(taker->observer);
    free(taker->buffer);
    *taker = (struct taker){0};
}

int taker_next(struct taker *taker, struct shmw_shmcomm_message *message)
{
    for (;;) { /* a message that is overtaken may be followed by a longer one; none is longer than half of the ring */
        const int rc = shmw_shmcomm_receive(taker->observer, taker->buffer, taker->room, 0, 0, message);
        if (rc != SHMW_TOO_SMALL)
            return rc;
        unsigned char *buffer = realloc(taker->buffer, message->length);
        if (buffer == NULL)
            return SHMW_SYSTEM;
        taker->buffer = buffer;
        taker->room = message->length;
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

void taker_print(const struct taker *taker, const struct shmw_shmcomm_message *message)
{
    const unsigned char *payload = taker->buffer + message->offset;
    if (taker->format == FORMAT_RAW) {
        fwrite(payload, 1, message->length, stdout);
        return;
    }
    if (taker->format == FORMAT_TEXT) {
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

int taker_failed(const struct taker *taker, int code)
{
    if (code != SHMW_CORRUPT)
        return library_error(taker->view->path, code);
    diagnostic("%s: CORRUPT: %s; `shmwire validate` tells more", taker->view->path, shmw_strerror(code));
    return EXIT_FINDINGS;
}
