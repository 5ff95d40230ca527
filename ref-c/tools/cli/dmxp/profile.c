/* SPDX-License-Identifier: MIT */
#include "../profile.h"

#include "dmxp.h"
#include "raw.h"

static bool recognise(const struct view *view)
{
    const struct raw_header header = raw_load_header(view);
    return header.present && header.magic == SHMW_DMXP_MAGIC;
}

static void summarise(const struct view *view, struct segment_summary *summary)
{
    summary->counts_published = true;
    for (uint32_t id = 0; id < SHMW_DMXP_MAX_CHANNELS; id++) {
        const struct raw_channel channel = raw_load_channel(view, id);
        uint64_t depth = 0;
        summary->channels += channel.capacity != 0;
        if (channel.geometry == GEOMETRY_GOOD && raw_depth(&channel, &depth))
            summary->waiting += depth;
        summary->published += channel.tail;
    }
}

const struct cli_profile cli_dmxp = {
    .name = "dmxp",
    .title = "multi-channel bounded MPMC queue",
    .revision = 1,
    .part = "channel",
    .recognise = recognise,
    .summarise = summarise,
    .find = dmxp_find,
    .inspect = dmxp_inspect,
    .dump = dmxp_dump,
    .tail = dmxp_tail,
    .gen = dmxp_gen,
    .recover = dmxp_recover,
    .bench = dmxp_bench,
    .name_byte = dmxp_name_byte,
};
