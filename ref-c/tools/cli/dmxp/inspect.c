/* SPDX-License-Identifier: MIT
 *
 * inspect: header and channels by the names of the layout, and how each channel is. */
#include <inttypes.h>
#include <stdio.h>

#include "../output.h"
#include "dmxp.h"
#include "raw.h"

/* What the slots of a channel say, counted once. */
struct census {
    bool counted;
    uint64_t depth;
    uint64_t published; /* of the positions in [head, tail) */
    uint64_t unpublished;
};

static struct census count_slots(const struct view *view, const struct raw_channel *channel)
{
    struct census census = {0};
    if (channel->geometry != GEOMETRY_GOOD || !raw_depth(channel, &census.depth))
        return census;
    census.counted = true;
    for (uint64_t i = 0; i < census.depth; i++) {
        const uint64_t position = channel->head + i;
        const uint64_t sequence = raw_sequence(view, channel, position);
        census.published += sequence == position + 1;
        census.unpublished += sequence == position;
    }
    return census;
}

static const char *layout_word(uint32_t layout)
{
    switch (layout) {
    case SHMW_DMXP_LAYOUT_UNSPECIFIED:
        return "unspecified";
    case SHMW_DMXP_LAYOUT_DOCUMENT:
        return "document";
    case SHMW_DMXP_LAYOUT_CRATE:
        return "crate";
    default:
        return "?";
    }
}

/* "" when all is well; else the rules of the channel's errors. */
static void print_problems(const struct findings *findings, uint32_t channel)
{
    for (size_t i = 0; i < findings->count; i++)
        if (findings->list[i].severity == ERROR && findings->list[i].channel == channel)
            printf("  %s%s%s", style_bad(), findings->list[i].rule, style_plain());
}

/* Text ------------------------------------------------------------------------------------------------------------- */

static void print_header(const struct view *view, const struct raw_header *header)
{
    print_safe(stdout, view->path);
    printf(": %zu bytes, mode %04o, owner %u\n", view->size, (unsigned)(view->status.st_mode & 07777),
           (unsigned)view->status.st_uid);
    if (!header->present)
        return;
    printf("%sheader%s\n", style_bold(), style_plain());
    printf("  magic          0x%016" PRIX64 "\n", header->magic);
    printf("  version        %" PRIu32 "\n", header->version);
    printf("  max_channels   %" PRIu32 "\n", header->max_channels);
    printf("  channel_count  %" PRIu32 "\n", header->channel_count);
    printf("  payload_layout %" PRIu32 " (%s)\n", header->payload_layout, layout_word(header->payload_layout));
}

static void print_channel(const struct raw_channel *channel, const struct census *census, const struct findings *findings)
{
    printf("%schannel[%" PRIu32 "]%s\n", style_bold(), channel->id, style_plain());
    printf("  channel_id %" PRIu32 "  flags 0x%" PRIx32 "%s  capacity %" PRIu64 "  band_offset %" PRIu64 "\n",
           channel->channel_id, channel->flags,
           (channel->flags & SHMW_DMXP_CHANNEL_COUNTED_WAITERS) != 0 ? " (counted waiters)" : "", channel->capacity,
           channel->band_offset);
    printf("  tail %" PRIu64 "  head %" PRIu64 "  signal %" PRIu32 "  waiters %" PRIu32 "\n", channel->tail, channel->head,
           channel->signal, channel->waiters);
    printf("  retired_capacity %" PRIu64 "  removals %" PRIu64 "\n", channel->retired_capacity, channel->removals);
    if (channel->capacity == 0) {
        printf("  removed\n");
        return;
    }
    printf("  health:");
    if (census->counted)
        printf(" depth %" PRIu64 " of %" PRIu64 ", %" PRIu64 " published, %" PRIu64 " claimed and not published, %" PRIu32
               " waiter%s;",
               census->depth, channel->capacity, census->published, census->unpublished, channel->waiters,
               channel->waiters == 1 ? "" : "s");
    if (findings_of_channel(findings, channel->id) == 0)
        printf(" good");
    print_problems(findings, channel->id);
    putchar('\n');
}

/* JSON ------------------------------------------------------------------------------------------------------------- */

static void field_json(struct json *json, uint32_t id, const char *name, uint64_t value)
{
    char key[64];
    snprintf(key, sizeof(key), "channel[%" PRIu32 "].%s", id, name);
    json_u64(json, key, value);
}

static void fields_json(struct json *json, const struct raw_channel *channel)
{
    field_json(json, channel->id, "channel_id", channel->channel_id);
    field_json(json, channel->id, "flags", channel->flags);
    field_json(json, channel->id, "capacity", channel->capacity);
    field_json(json, channel->id, "band_offset", channel->band_offset);
    field_json(json, channel->id, "signal", channel->signal);
    field_json(json, channel->id, "waiters", channel->waiters);
    field_json(json, channel->id, "retired_capacity", channel->retired_capacity);
    field_json(json, channel->id, "tail", channel->tail);
    field_json(json, channel->id, "head", channel->head);
    field_json(json, channel->id, "removals", channel->removals);
}

static void health_json(struct json *json, const struct raw_channel *channel, const struct census *census,
                        const struct findings *findings)
{
    json_object(json, NULL);
    json_number(json, "channel", channel->id);
    json_u64(json, "capacity", channel->capacity);
    if (census->counted) {
        json_u64(json, "depth", census->depth);
        json_u64(json, "published", census->published);
        json_u64(json, "unpublished", census->unpublished);
    }
    json_number(json, "waiters", channel->waiters);
    json_bool(json, "good", findings_of_channel(findings, channel->id) == 0);
    json_close(json);
}

static void header_json(struct json *json, const struct raw_header *header)
{
    if (!header->present)
        return;
    json_u64(json, "header.magic", header->magic);
    json_u64(json, "header.version", header->version);
    json_u64(json, "header.max_channels", header->max_channels);
    json_u64(json, "header.channel_count", header->channel_count);
    json_u64(json, "header.payload_layout", header->payload_layout);
}

/* Both ------------------------------------------------------------------------------------------------------------- */

/* Entries that say something: live, removed, or half made. */
static bool shown(const struct raw_channel *channel)
{
    return channel->present && (channel->capacity != 0 || channel->retired_capacity != 0 || channel->band_offset != 0);
}

static void inspect_text(const struct view *view, const struct raw_header *header, const struct findings *findings)
{
    print_header(view, header);
    for (uint32_t id = 0; id < SHMW_DMXP_MAX_CHANNELS; id++) {
        const struct raw_channel channel = raw_load_channel(view, id);
        if (!shown(&channel))
            continue;
        const struct census census = count_slots(view, &channel);
        print_channel(&channel, &census, findings);
    }
    findings_print(findings);
}

static void inspect_json(const struct view *view, const struct raw_header *header, const struct findings *findings)
{
    struct json json;
    json_begin(&json, stdout);
    json_text(&json, "schema", "shmwire-inspect/1");
    json_text(&json, "path", view->path);
    json_text(&json, "profile", view->profile->name);
    json_u64(&json, "size", view->size);
    json_object(&json, "fields");
    header_json(&json, header);
    for (uint32_t id = 0; id < SHMW_DMXP_MAX_CHANNELS; id++) {
        const struct raw_channel channel = raw_load_channel(view, id);
        if (shown(&channel))
            fields_json(&json, &channel);
    }
    json_close(&json);
    json_array(&json, "channels");
    for (uint32_t id = 0; id < SHMW_DMXP_MAX_CHANNELS; id++) {
        const struct raw_channel channel = raw_load_channel(view, id);
        const struct census census = count_slots(view, &channel);
        if (channel.capacity != 0)
            health_json(&json, &channel, &census, findings);
    }
    json_close(&json);
    findings_json(findings, &json);
    json_end(&json);
}

int dmxp_inspect(const struct args *args, const struct view *view, const struct findings *findings)
{
    const struct raw_header header = raw_load_header(view);
    if (given(args, OPT_JSON))
        inspect_json(view, &header, findings);
    else
        inspect_text(view, &header, findings);
    return EXIT_OK;
}
