/* SPDX-License-Identifier: MIT */
#include "../profile.h"

#include <stdio.h>

#include "raw.h"
#include "shmcomm.h"
#include "shmwire/shmcomm.h"

static bool recognise(const struct view *view)
{
    return channel_load_header(view).magic == SHMW_SHMCOMM_MAGIC; /* version 1, too: what is wrong with it is a finding */
}

/* By the path of the file: the locator may be that of a listing, which has none. */
enum keeper shmcomm_keeper(const struct view *view)
{
    const struct shmw_shmcomm_options options = {.no_wait = true};
    struct shmw_shmcomm_info info = {0};
    shmw_shmcomm *observer = NULL;
    int rc = shmw_shmcomm_open(SHMW_SHMCOMM_OBSERVER, view->path, &options, &observer);
    if (rc == SHMW_OK)
        rc = shmw_shmcomm_info(observer, &info);
    shmw_shmcomm_close(observer);
    if (rc != SHMW_OK)
        return KEEPER_UNKNOWN;
    return info.keeper_lives ? KEEPER_LIVES : KEEPER_DEAD;
}

static void summarise(const struct view *view, struct segment_summary *summary)
{
    const struct channel_header header = channel_load_header(view);
    summary->channels = 1;
    summary->has_members = header.room;
    if (!header.room)
        return;
    summary->counts_published = true;
    summary->published = header.message_count;
    summary->waiting = channel_walk(view, &header).messages;
    summary->dropped = header.dropped_count;
    summary->asleep = (uint64_t)header.data_waiters + header.space_waiters;
    summary->owner_pid = header.owner_pid;
    summary->keeper = shmcomm_keeper(view);
    snprintf(summary->kind, sizeof(summary->kind), "%s", channel_pattern_word(header.pattern));
}

const struct cli_profile cli_shmcomm = {
    .name = "shmcomm",
    .title = "named channels: publish/subscribe, pipeline, request/reply",
    .revision = 1,
    .part = "frame",
    .recognise = recognise,
    .summarise = summarise,
    .find = shmcomm_find,
    .inspect = shmcomm_inspect,
    .dump = shmcomm_dump,
    .tail = shmcomm_tail,
    .gen = shmcomm_gen,
    .recover = shmcomm_recover,
    .collect = shmcomm_collect,
    .name_byte = shmcomm_name_byte,
};
