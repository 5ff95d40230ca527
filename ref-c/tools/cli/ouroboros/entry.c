/* SPDX-License-Identifier: MIT */
#include "entry.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../output.h"

#define FIRST_ROOM ((size_t)65536)

int source_open(const struct args *args, const struct view *view, enum shmw_ouroboros_start start, struct source *source)
{
    const struct shmw_ouroboros_open_options options = {.start = start};
    *source = (struct source){.view = view};
    int rc = format_option(args, &source->format);
    if (rc != EXIT_OK)
        return rc;
    source->buffer = malloc(FIRST_ROOM);
    if (source->buffer == NULL)
        return io_error("out of memory");
    source->room = FIRST_ROOM;
    rc = shmw_ouroboros_open(view->locator, &options, &source->reader);
    return rc == SHMW_OK ? EXIT_OK : open_error(view->path, rc);
}

void source_close(struct source *source)
{
    shmw_ouroboros_close_reader(source->reader);
    free(source->buffer);
    source->reader = NULL;
    source->buffer = NULL;
}

int source_next(struct source *source, struct shmw_ouroboros_entry *entry)
{
    for (;;) { /* an entry that is overtaken may be followed by a longer one; none is longer than the segment */
        const int rc = shmw_ouroboros_next(source->reader, source->buffer, source->room, entry);
        if (rc == SHMW_OK)
            source->last = entry->sequence;
        if (rc != SHMW_TOO_SMALL)
            return rc;
        unsigned char *buffer = realloc(source->buffer, entry->length);
        if (buffer == NULL)
            return SHMW_SYSTEM;
        source->buffer = buffer;
        source->room = entry->length;
    }
}

void source_print(const struct source *source, const struct shmw_ouroboros_entry *entry)
{
    const unsigned char *payload = source->buffer + entry->offset;
    if (source->format == FORMAT_RAW) {
        fwrite(payload, 1, entry->length, stdout);
        return;
    }
    if (source->format == FORMAT_TEXT) {
        printf("%ssequence %-8" PRIu64 "%s chunk %-3" PRIu32 " token %-8" PRIu64 " length %" PRIu32 "\n", style_bold(),
               entry->sequence, style_plain(), entry->chunk, entry->token, entry->length);
        print_payload(payload, entry->length);
        return;
    }
    struct json json;
    json_begin(&json, stdout);
    json_u64(&json, "sequence", entry->sequence);
    json_number(&json, "chunk", entry->chunk);
    json_u64(&json, "token", entry->token);
    json_hex(&json, "payload", payload, entry->length);
    json_end(&json);
}

int source_failed(const struct source *source, int code)
{
    if (code != SHMW_CORRUPT)
        return library_error(source->view->path, code);
    diagnostic("%s: after sequence %" PRIu64 ": CORRUPT: %s; `shmwire validate` tells more", source->view->path, source->last,
               shmw_strerror(code));
    return EXIT_FINDINGS;
}

uint64_t newest_sequence(const struct view *view)
{
    const struct shmw_ouroboros_open_options options = {.start = SHMW_OUROBOROS_LATEST};
    struct shmw_ouroboros_entry entry = {0};
    shmw_ouroboros_reader *reader = NULL;
    uint64_t newest = 0;
    uint64_t token = 0;
    int rc = shmw_ouroboros_open(view->locator, &options, &reader);
    while (rc == SHMW_OK && (rc = shmw_ouroboros_next_view(reader, &entry)) == SHMW_OK) {
        if (newest != 0 && entry.token != token) /* the next chunk: the writer is at work, and one chunk's entries are enough */
            break;
        newest = entry.sequence;
        token = entry.token;
    }
    shmw_ouroboros_close_reader(reader);
    return rc == SHMW_CORRUPT ? UINT64_MAX : newest;
}
