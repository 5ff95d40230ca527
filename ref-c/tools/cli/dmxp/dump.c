/* SPDX-License-Identifier: MIT
 *
 * dump, and tail without -f: the published and unconsumed messages, without consuming any. */
#include <inttypes.h>
#include <stdio.h>

#include "../output.h"
#include "dmxp.h"
#include "message.h"

/* What stood in the way of printing a channel's positions. */
struct holes {
    uint64_t unpublished;
    uint64_t first_unpublished;
    uint64_t broken;
};

static int dump_position(const struct view *view, const struct printing *printing, const struct raw_channel *channel,
                         uint64_t position, struct holes *holes)
{
    struct raw_message message;
    uint64_t sequence = 0;
    switch (raw_copy(view, channel, position, &message, &sequence)) {
    case RAW_PUBLISHED:
        return print_message(printing, &message);
    case RAW_CLAIMED:
        if (holes->unpublished++ == 0)
            holes->first_unpublished = position;
        return EXIT_OK;
    case RAW_GONE:
        return EXIT_OK;
    case RAW_BROKEN:
        if (holes->broken++ == 0)
            diagnostic("channel %" PRIu32 " position %" PRIu64 ": sequence %" PRIu64
                       " is one that no rule produces [dmxp.consume.impossible]",
                       channel->id, position, sequence);
        return EXIT_FINDINGS;
    }
    return EXIT_OK;
}

int print_waiting(const struct view *view, const struct printing *printing, const struct raw_channel *channel, uint64_t last)
{
    struct holes holes = {0};
    uint64_t depth = 0;
    int rc = EXIT_OK;
    if (channel->geometry != GEOMETRY_GOOD || !raw_depth(channel, &depth)) {
        diagnostic("channel %" PRIu32 ": its %s impossible; `shmwire validate` tells more", channel->id,
                   channel->geometry == GEOMETRY_GOOD ? "cursors are" : "geometry is");
        return EXIT_FINDINGS;
    }
    for (uint64_t i = depth > last ? depth - last : 0; i < depth;
         i++) /* up to the tail of the start: it ends, whatever producers do */
        if (dump_position(view, printing, channel, channel->head + i, &holes) != EXIT_OK)
            rc = EXIT_FINDINGS;
    if (holes.unpublished > 0)
        diagnostic("channel %" PRIu32 ": %" PRIu64 " position%s claimed and not published, the first %" PRIu64 ": skipped",
                   channel->id, holes.unpublished, holes.unpublished == 1 ? "" : "s", holes.first_unpublished);
    if (holes.broken > 1)
        diagnostic("channel %" PRIu32 ": %" PRIu64 " broken positions in all", channel->id, holes.broken);
    return rc;
}

int dmxp_dump(const struct args *args, const struct view *view)
{
    struct printing printing;
    int rc = printing_from_args(args, view, &printing);
    if (rc == EXIT_USAGE)
        return rc;
    for (uint32_t id = printing.first_channel; id <= printing.last_channel && !ferror(stdout); id++) {
        const struct raw_channel channel = raw_load_channel(view, id);
        if (channel.capacity != 0 && print_waiting(view, &printing, &channel, UINT64_MAX) != EXIT_OK)
            rc = EXIT_FINDINGS;
    }
    return rc;
}
