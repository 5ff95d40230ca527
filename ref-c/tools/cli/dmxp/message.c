/* SPDX-License-Identifier: MIT */
#include "message.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../output.h"

/* What an opener would refuse [dmxp.segment.*]. */
static int check_header(const struct view *view)
{
    const struct raw_header header = raw_load_header(view);
    if (view->size < SHMW_DMXP_HEADER_SIZE)
        diagnostic("%s: %zu bytes are less than header and channel table need [dmxp.segment.size]", view->path, view->size);
    else if (header.magic == 0)
        diagnostic("%s: not published by its creator [dmxp.segment.not-ready]", view->path);
    else if (header.magic != SHMW_DMXP_MAGIC)
        diagnostic("%s: the magic is another one [dmxp.segment.magic]", view->path);
    else if (header.version != SHMW_DMXP_VERSION)
        diagnostic("%s: version %" PRIu32 " [dmxp.segment.version]", view->path, header.version);
    else if (header.max_channels != SHMW_DMXP_MAX_CHANNELS || header.payload_layout > SHMW_DMXP_LAYOUT_CRATE)
        diagnostic("%s: max_channels %" PRIu32 ", payload_layout %" PRIu32 " [dmxp.segment.header]", view->path,
                   header.max_channels, header.payload_layout);
    else
        return EXIT_OK;
    return EXIT_FINDINGS;
}

int printing_from_args(const struct args *args, const struct view *view, struct printing *printing)
{
    const char *layout = args->value[OPT_PAYLOAD_LAYOUT];
    uint64_t channel = UINT64_MAX;
    int rc = number_option(args, OPT_CHANNEL, 0, SHMW_DMXP_MAX_CHANNELS - 1, UINT64_MAX, &channel);
    if (rc == EXIT_OK)
        rc = format_option(args, &printing->format);
    if (rc != EXIT_OK)
        return rc;
    printing->choice = layout == NULL || strcmp(layout, "auto") == 0 ? CHOOSE_AUTO
                       : strcmp(layout, "crate") == 0                ? CHOOSE_CRATE
                                                                     : CHOOSE_DOCUMENT;
    printing->tombstones = given(args, OPT_ALL);
    printing->payload_layout = raw_load_header(view).payload_layout;
    printing->first_channel = channel == UINT64_MAX ? 0 : (uint32_t)channel;
    printing->last_channel = channel == UINT64_MAX ? SHMW_DMXP_MAX_CHANNELS - 1 : (uint32_t)channel;
    if (channel != UINT64_MAX && raw_load_channel(view, (uint32_t)channel).capacity == 0)
        return io_error("%s: there is no channel %" PRIu64, view->path, channel);
    return check_header(view);
}

static void print_jsonl(const struct raw_message *message, const unsigned char *payload)
{
    struct json json;
    json_begin(&json, stdout);
    json_number(&json, "channel", message->channel);
    json_u64(&json, "position", message->position);
    json_u64(&json, "message_id", message->message_id);
    json_u64(&json, "timestamp_ns", message->timestamp_ns);
    json_number(&json, "message_type", message->message_type);
    json_number(&json, "sender_pid", message->sender_pid);
    json_number(&json, "sender_runtime", message->sender_runtime);
    json_number(&json, "flags", message->flags);
    json_hex(&json, "payload", payload, message->payload_len);
    json_end(&json);
}

static const char *runtime_word(uint16_t runtime)
{
    switch (runtime) {
    case SHMW_DMXP_RUNTIME_UNSPECIFIED:
        return "unspecified";
    case SHMW_DMXP_RUNTIME_CRATE:
        return "crate";
    case SHMW_DMXP_RUNTIME_C:
        return "c";
    case SHMW_DMXP_RUNTIME_GO:
        return "go";
    case SHMW_DMXP_RUNTIME_RUST:
        return "rust";
    case SHMW_DMXP_RUNTIME_PYTHON:
        return "python";
    default:
        return "?";
    }
}

static void print_text(const struct raw_message *message, const unsigned char *payload)
{
    char when[64];
    format_time(when, sizeof(when), message->timestamp_ns);
    printf("%schannel %-3" PRIu32 " position %-8" PRIu64 "%s id %-8" PRIu64 " %s type %-4" PRIu32 " pid %-7" PRIu32
           " runtime %u (%s) flags 0x%04x length %" PRIu32 "%s\n",
           style_bold(), message->channel, message->position, style_plain(), message->message_id, when, message->message_type,
           message->sender_pid, (unsigned)message->sender_runtime, runtime_word(message->sender_runtime),
           (unsigned)message->flags, message->payload_len,
           (message->flags & SHMW_DMXP_MESSAGE_TOMBSTONE) != 0 ? " tombstone" : "");
    print_payload(payload, message->payload_len);
}

int print_message(const struct printing *printing, const struct raw_message *message)
{
    const bool document = raw_is_document(printing->payload_layout, printing->choice, message->sender_runtime);
    const unsigned char *payload = message->area + (raw_payload_offset(document) - SHMW_DMXP_PAYLOAD_OFFSET_CRATE);
    if ((message->flags & SHMW_DMXP_MESSAGE_TOMBSTONE) != 0 && !printing->tombstones)
        return EXIT_OK;
    if (message->payload_len > raw_payload_capacity(document)) {
        diagnostic("channel %" PRIu32 " position %" PRIu64 ": payload_len %" PRIu32 " is above the layout's capacity of %" PRIu64
                   " [dmxp.consume.payload-len]",
                   message->channel, message->position, message->payload_len, raw_payload_capacity(document));
        return EXIT_FINDINGS;
    }
    if (printing->format == FORMAT_JSONL)
        print_jsonl(message, payload);
    else if (printing->format == FORMAT_RAW)
        fwrite(payload, 1, message->payload_len, stdout);
    else
        print_text(message, payload);
    return EXIT_OK;
}
