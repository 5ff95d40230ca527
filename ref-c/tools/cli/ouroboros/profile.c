/* SPDX-License-Identifier: MIT */
#include "../profile.h"

#include "../output.h"
#include "ouroboros.h"
#include "raw.h"

static bool recognise(const struct view *view)
{
    const struct log_header header = log_load_header(view);
    return header.present && header.magic == SHMW_OUROBOROS_MAGIC;
}

/* One log; what waits in it is what a reader that begins with the oldest chunk can come to. */
static void summarise(const struct view *view, struct segment_summary *summary)
{
    const struct log_header header = log_load_header(view);
    struct log_ends ends;
    summary->channels = 1;
    if (!log_find_ends(view, &header, &ends) || !log_offset_good(view, &header, ends.latest.offset))
        return;
    const uint64_t entries = log_walk(view, ends.latest.offset, UINT64_MAX).entries;
    summary->waiting = ends.latest.token - ends.oldest.token + entries;
    summary->counts_published = true;
    summary->published = ends.latest.token + entries;
}

static int recover(const struct args *args, const struct view *view)
{
    (void)args;
    return unsupported_error("%s: UNSUPPORTED: a log has nothing to recover; a new writer resumes behind the last entry",
                             view->path);
}

const struct cli_profile cli_ouroboros = {
    .name = "ouroboros",
    .title = "single-writer chunked log with commit bits",
    .revision = 1,
    .part = "chunk",
    .recognise = recognise,
    .summarise = summarise,
    .find = ouroboros_find,
    .inspect = ouroboros_inspect,
    .dump = ouroboros_dump,
    .tail = ouroboros_tail,
    .gen = ouroboros_gen,
    .recover = recover,
    .name_byte = ouroboros_name_byte,
};
