/* SPDX-License-Identifier: MIT
 *
 * inspect: header and frames by the names of the layout, and how the channel is. */
#include <inttypes.h>
#include <stdio.h>

#include "../output.h"
#include "raw.h"
#include "shmcomm.h"

#define FRAMES_SHOWN 32 /* in text; --json has all */

static const char *state_word(uint32_t state)
{
    return state == SHMW_SHMCOMM_STATE_OPEN ? "open" : state == SHMW_SHMCOMM_STATE_CLOSED ? "closed" : "?";
}

static const char *keeper_word(enum keeper keeper)
{
    return keeper == KEEPER_LIVES ? "lives" : keeper == KEEPER_DEAD ? "none lives: stale" : "not known";
}

/* Text ------------------------------------------------------------------------------------------------------------- */

static void print_members(const struct view *view, const struct channel_header *header)
{
    const uint32_t owner = header->writer_lock & SHMW_SHMCOMM_MAX_ENDPOINT;
    printf("  owner           pid %" PRIu32 ", endpoint %" PRIu32 "; keeper: %s\n", header->owner_pid, header->owner_endpoint,
           keeper_word(shmcomm_keeper(view)));
    printf("  heartbeat_ns    %" PRIu64 "\n", header->heartbeat_ns);
    printf("  instance        %016" PRIx64 "\n", header->instance);
    if (owner == 0)
        printf("  writer_lock     free");
    else
        printf("  writer_lock     endpoint %" PRIu32 "%s", owner,
               (header->writer_lock & SHMW_SHMCOMM_LOCK_WAITERS) != 0 ? ", others wait" : "");
    printf("; taken from the dead %" PRIu32 " time%s\n", header->lock_epoch, header->lock_epoch == 1 ? "" : "s");
    printf("  asleep          %" PRIu32 " receiver%s, %" PRIu32 " writer%s since the last wake\n", header->data_waiters,
           header->data_waiters == 1 ? "" : "s", header->space_waiters, header->space_waiters == 1 ? "" : "s");
}

static void print_header(const struct view *view, const struct channel_header *header)
{
    print_safe(stdout, view->path);
    printf(": %zu bytes, mode %04o, owner %u\n", view->size, (unsigned)(view->status.st_mode & 07777),
           (unsigned)view->status.st_uid);
    if (!header->present)
        return;
    printf("%sheader%s\n", style_bold(), style_plain());
    printf("  magic           0x%016" PRIX64 "\n", header->magic);
    printf("  version         %" PRIu64 "\n", header->version);
    if (header->version != SHMW_SHMCOMM_VERSION)
        return;
    printf("  pattern         %" PRIu32 " (%s)\n", header->pattern, channel_pattern_word(header->pattern));
    printf("  state           %" PRIu32 " (%s)\n", header->state, state_word(header->state));
    printf("  serializer      %" PRIu32 " (%s)\n", header->serializer, channel_content_word((uint16_t)header->serializer));
    printf("  capacity        %" PRIu64 "\n", header->capacity);
    printf("  head, tail      %" PRIu64 ", %" PRIu64 "\n", header->head, header->tail);
    printf("  message_count   %" PRIu64 "\n", header->message_count);
    printf("  dropped_count   %" PRIu64 "\n", header->dropped_count);
    print_members(view, header);
}

static void print_frame(const struct channel_frame *frame)
{
    if (!frame->good) {
        printf("  position %" PRIu64 "  %simpossible size %" PRIu64 "%s\n", frame->position, style_bad(), frame->size,
               style_plain());
        return;
    }
    printf("  frame[%" PRIu64 "]  position %" PRIu64 ", %" PRIu64 " bytes of %s from endpoint %" PRIu32, frame->sequence,
           frame->position, frame->payload_length, channel_content_word(frame->content_type), frame->sender);
    if (frame->correlation_id != 0)
        printf(", correlation %" PRIu64, frame->correlation_id);
    putchar('\n');
}

static void print_frames(const struct view *view, const struct channel_header *header, const struct findings *findings)
{
    const struct channel_walk walk = channel_walk(view, header);
    printf("%sframes%s\n", style_bold(), style_plain());
    printf("  health: %" PRIu64 " messages in %" PRIu64 " of %" PRIu64 " bytes; %s\n", walk.messages, header->head - header->tail,
           header->capacity, findings->errors == 0 ? "good" : "see below");
    uint64_t shown = 0;
    for (uint64_t at = header->tail; at != header->head && shown < FRAMES_SHOWN; shown++) {
        const struct channel_frame frame = channel_load_frame(view, header, at);
        print_frame(&frame);
        if (!frame.good)
            return;
        at = channel_next(&frame);
    }
    if (walk.messages > FRAMES_SHOWN)
        printf("  and %" PRIu64 " more (--json)\n", walk.messages - FRAMES_SHOWN);
}

/* JSON ------------------------------------------------------------------------------------------------------------- */

static void header_json(struct json *json, const struct channel_header *header)
{
    const struct {
        const char *name;
        uint64_t value;
    } fields[] = {
        {"header.magic", header->magic},
        {"header.version", header->version},
        {"header.head", header->head},
        {"header.tail", header->tail},
        {"header.writer_lock", header->writer_lock},
        {"header.lock_epoch", header->lock_epoch},
        {"header.message_count", header->message_count},
        {"header.dropped_count", header->dropped_count},
        {"header.capacity", header->capacity},
        {"header.pattern", header->pattern},
        {"header.state", header->state},
        {"header.data_signal", header->data_signal},
        {"header.data_waiters", header->data_waiters},
        {"header.space_signal", header->space_signal},
        {"header.space_waiters", header->space_waiters},
        {"header.owner_pid", header->owner_pid},
        {"header.serializer", header->serializer},
        {"header.heartbeat_ns", header->heartbeat_ns},
        {"header.instance", header->instance},
        {"header.owner_endpoint", header->owner_endpoint},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        json_u64(json, fields[i].name, fields[i].value);
}

static void frame_field(struct json *json, const struct channel_frame *frame, const char *name, uint64_t value)
{
    char key[64];
    snprintf(key, sizeof(key), "frame[%" PRIu64 "].%s", frame->sequence, name);
    json_u64(json, key, value);
}

static void frames_json(struct json *json, const struct view *view, const struct channel_header *header)
{
    for (uint64_t at = header->tail; at != header->head;) {
        const struct channel_frame frame = channel_load_frame(view, header, at);
        if (!frame.good)
            return;
        frame_field(json, &frame, "position", frame.position);
        frame_field(json, &frame, "size", frame.size);
        frame_field(json, &frame, "sequence", frame.sequence);
        frame_field(json, &frame, "timestamp_ns", frame.timestamp_ns);
        frame_field(json, &frame, "correlation_id", frame.correlation_id);
        frame_field(json, &frame, "sender", frame.sender);
        frame_field(json, &frame, "content_type", frame.content_type);
        frame_field(json, &frame, "flags", frame.flags);
        at = channel_next(&frame);
    }
}

static void channel_json(struct json *json, const struct view *view, const struct channel_header *header,
                         const struct findings *findings)
{
    static const char *const keepers[] = {[KEEPER_UNKNOWN] = "unknown", [KEEPER_LIVES] = "lives", [KEEPER_DEAD] = "dead"};
    const struct channel_walk walk = channel_walk(view, header);
    json_object(json, "channel");
    json_text(json, "pattern", channel_pattern_word(header->pattern));
    json_text(json, "state", state_word(header->state));
    json_text(json, "keeper", keepers[shmcomm_keeper(view)]);
    json_u64(json, "messages", walk.messages);
    json_u64(json, "bytes", header->good ? header->head - header->tail : 0);
    json_bool(json, "good", findings->errors == 0);
    json_close(json);
}

static void inspect_json(const struct view *view, const struct channel_header *header, const struct findings *findings)
{
    struct json json;
    json_begin(&json, stdout);
    json_text(&json, "schema", "shmwire-inspect/1");
    json_text(&json, "path", view->path);
    json_text(&json, "profile", view->profile->name);
    json_u64(&json, "size", view->size);
    json_object(&json, "fields");
    if (header->present)
        header_json(&json, header);
    if (header->good)
        frames_json(&json, view, header);
    json_close(&json);
    channel_json(&json, view, header, findings);
    findings_json(findings, &json);
    json_end(&json);
}

int shmcomm_inspect(const struct args *args, const struct view *view, const struct findings *findings)
{
    const struct channel_header header = channel_load_header(view);
    if (given(args, OPT_JSON)) {
        inspect_json(view, &header, findings);
        return EXIT_OK;
    }
    print_header(view, &header);
    if (header.good)
        print_frames(view, &header, findings);
    findings_print(findings);
    return EXIT_OK;
}
