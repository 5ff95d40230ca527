/* SPDX-License-Identifier: MIT
 *
 * recover: the library's repair, or with --dry-run a count of what it would do. */
#include <inttypes.h>
#include <stdio.h>

#include "../output.h"
#include "dmxp.h"
#include "raw.h"
#include "shmwire/dmxp.h"

static void count_channel(const struct view *view, const struct raw_channel *channel, struct shmw_dmxp_recovery *report)
{
    uint64_t depth = 0;
    report->waiters_reset += channel->waiters != 0;
    if (channel->geometry != GEOMETRY_GOOD || !raw_depth(channel, &depth))
        return;
    for (uint64_t i = 0; i < depth; i++)
        report->tombstones += raw_sequence(view, channel, channel->head + i) == channel->head + i;
    const uint64_t below = channel->head < channel->capacity ? channel->head : channel->capacity;
    for (uint64_t i = 1; i <= below; i++)
        report->possibly_lost += raw_sequence(view, channel, channel->head - i) == channel->head - i + 1;
}

static void count_repairs(const struct view *view, struct shmw_dmxp_recovery *report)
{
    uint32_t live = 0;
    for (uint32_t id = 0; id < SHMW_DMXP_MAX_CHANNELS; id++) {
        const struct raw_channel channel = raw_load_channel(view, id);
        if (channel.capacity == 0)
            continue;
        live++;
        count_channel(view, &channel, report);
    }
    report->count_repaired = raw_load_header(view).channel_count != live;
}

/* The library's own check of every live channel. */
static int check_channels(shmw_dmxp_segment *segment)
{
    uint32_t ids[SHMW_DMXP_MAX_CHANNELS];
    size_t count = 0;
    int rc = shmw_dmxp_channel_list(segment, ids, SHMW_DMXP_MAX_CHANNELS, &count);
    for (size_t i = 0; i < count && rc == SHMW_OK; i++) {
        shmw_dmxp_channel *channel = NULL;
        rc = shmw_dmxp_attach(segment, ids[i], &channel);
        shmw_dmxp_detach(channel);
    }
    return rc;
}

/* --dry-run: refuses what the repair would refuse, but for segments in use. */
static int dry_run(const struct view *view, struct shmw_dmxp_recovery *report)
{
    const struct shmw_dmxp_open_options options = {.read_only = true};
    shmw_dmxp_segment *segment = NULL;
    int rc = shmw_dmxp_open(view->locator, &options, &segment);
    if (rc == SHMW_OK)
        rc = check_channels(segment);
    if (rc == SHMW_OK)
        count_repairs(view, report);
    shmw_dmxp_close(segment);
    return rc;
}

static int repair(const struct view *view, bool all_dead, struct shmw_dmxp_recovery *report)
{
    shmw_dmxp_segment *segment = NULL;
    int rc = shmw_dmxp_open(view->locator, NULL, &segment);
    if (rc == SHMW_OK)
        rc = shmw_dmxp_recover(segment, all_dead, report);
    shmw_dmxp_close(segment);
    return rc;
}

static void print_report(const struct args *args, const struct view *view, const struct shmw_dmxp_recovery *report)
{
    const bool dry = given(args, OPT_DRY_RUN);
    if (!given(args, OPT_JSON)) {
        print_safe(stdout, view->path);
        printf(": %s%" PRIu64 " tombstones, %" PRIu64 " possibly lost, waiters reset in %" PRIu64 " channels, channel_count %s\n",
               dry ? "would be " : "", report->tombstones, report->possibly_lost, report->waiters_reset,
               report->count_repaired ? "repaired" : "right");
        return;
    }
    struct json json;
    json_begin(&json, stdout);
    json_text(&json, "schema", "shmwire-recover/1");
    json_text(&json, "path", view->path);
    json_text(&json, "profile", view->profile->name);
    json_bool(&json, "dry_run", dry);
    json_u64(&json, "tombstones", report->tombstones);
    json_u64(&json, "possibly_lost", report->possibly_lost);
    json_u64(&json, "waiters_reset", report->waiters_reset);
    json_bool(&json, "count_repaired", report->count_repaired);
    json_end(&json);
}

int dmxp_recover(const struct args *args, const struct view *view)
{
    struct shmw_dmxp_recovery report = {0};
    const bool dry = given(args, OPT_DRY_RUN);
    const int rc = dry ? dry_run(view, &report) : repair(view, given(args, OPT_ALL_DEAD), &report);
    if (rc == SHMW_BUSY)
        return busy_error(view->path);
    if (rc != SHMW_OK)
        return library_error(view->path, rc);
    print_report(args, view, &report);
    const bool any = report.tombstones + report.possibly_lost + report.waiters_reset > 0 || report.count_repaired;
    return dry && any ? EXIT_FINDINGS : EXIT_OK;
}
