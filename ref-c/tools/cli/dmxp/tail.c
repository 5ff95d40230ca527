/* SPDX-License-Identifier: MIT
 *
 * tail: the last messages, and with -f those that come, by looking only. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "../interrupt.h"
#include "../output.h"
#include "dmxp.h"
#include "message.h"

#define SHORTEST_PAUSE_NS 1000000L
#define LONGEST_PAUSE_NS 50000000L
#define REPORT_EVERY_S 1

/* One channel that is followed. */
struct follower {
    bool known;        /* seen alive since it was made */
    uint64_t capacity; /* what it was when it was first seen: another pair is another channel */
    uint64_t band_offset;
    uint64_t next;    /* position to look at */
    uint64_t skipped; /* consumed before we saw them, not reported yet */
    bool waiting;     /* the diagnostic about an unpublished position has been given */
};

struct following {
    const struct view *view;
    struct printing printing;
    uint64_t last;
    struct follower channels[SHMW_DMXP_MAX_CHANNELS];
    time_t reported;
    bool unlinked; /* the diagnostic about a removed name has been given */
    int rc;
};

/* Once: the name is gone, so nobody new will find the segment that we follow. */
static void say_unlinked(struct following *following)
{
    struct stat status;
    if (following->unlinked || fstat(following->view->fd, &status) != 0 || status.st_nlink > 0)
        return;
    following->unlinked = true;
    diagnostic("%s has been removed or replaced; still following the old segment", following->view->path);
}

static void report(struct following *following, bool now)
{
    struct timespec clock;
    clock_gettime(CLOCK_MONOTONIC, &clock);
    if (!now && clock.tv_sec - following->reported < REPORT_EVERY_S)
        return;
    following->reported = clock.tv_sec;
    say_unlinked(following);
    for (uint32_t id = 0; id < SHMW_DMXP_MAX_CHANNELS; id++) {
        if (following->channels[id].skipped > 0)
            diagnostic("channel %" PRIu32 ": %" PRIu64 " consumed before they were seen", id, following->channels[id].skipped);
        following->channels[id].skipped = 0;
    }
}

static void meet(struct following *following, struct follower *follower, const struct raw_channel *channel, bool from_the_start)
{
    uint64_t depth = channel->tail - channel->head;
    const uint64_t wanted = from_the_start || depth < following->last ? depth : following->last;
    *follower = (struct follower){
        .known = true, .capacity = channel->capacity, .band_offset = channel->band_offset, .next = channel->tail - wanted};
}

static void say_waiting(struct follower *follower, uint32_t id)
{
    if (!follower->waiting)
        diagnostic("channel %" PRIu32 " position %" PRIu64 ": claimed and not published: waiting for it", id, follower->next);
    follower->waiting = true;
}

/* Look at the positions from next up to the tail. true if there was anything. */
static bool advance(struct following *following, struct follower *follower, const struct raw_channel *channel)
{
    const uint64_t began = follower->next;
    const uint64_t behind = channel->head - follower->next;
    if (behind <= channel->tail - follower->next) { /* else next lies in (head, tail], and behind wrapped */
        follower->skipped += behind;
        follower->next = channel->head;
    }
    if (channel->tail - follower->next > channel->capacity) {
        diagnostic("channel %" PRIu32 ": its cursors went back", channel->id);
        meet(following, follower, channel, true);
    }
    while (follower->next != channel->tail && !interrupted()) {
        struct raw_message message;
        uint64_t sequence = 0;
        const enum raw_state state = raw_copy(following->view, channel, follower->next, &message, &sequence);
        if (state == RAW_CLAIMED) {
            say_waiting(follower, channel->id);
            break;
        }
        follower->waiting = false;
        if (state == RAW_PUBLISHED && print_message(&following->printing, &message) != EXIT_OK)
            following->rc = EXIT_FINDINGS;
        if (state == RAW_BROKEN) {
            diagnostic("channel %" PRIu32 " position %" PRIu64 ": sequence %" PRIu64
                       " is one that no rule produces [dmxp.consume.impossible]",
                       channel->id, follower->next, sequence);
            following->rc = EXIT_FINDINGS;
        }
        follower->skipped += state == RAW_GONE;
        follower->next++;
    }
    return follower->next != began;
}

static bool follow_channel(struct following *following, uint32_t id, bool first_pass)
{
    const struct raw_channel channel = raw_load_channel(following->view, id);
    struct follower *follower = &following->channels[id];
    uint64_t depth = 0;
    if (follower->known && (channel.capacity != follower->capacity || channel.band_offset != follower->band_offset)) {
        diagnostic("channel %" PRIu32 " was removed", id);
        follower->known = false;
    }
    if (channel.geometry != GEOMETRY_GOOD || !raw_depth(&channel, &depth)) {
        if (channel.geometry != GEOMETRY_ABSENT && following->rc == EXIT_OK) {
            diagnostic("channel %" PRIu32 ": impossible geometry or cursors; `shmwire validate` tells more", id);
            following->rc = EXIT_FINDINGS;
        }
        return false;
    }
    if (!follower->known)
        meet(following, follower, &channel, !first_pass);
    return advance(following, follower, &channel);
}

static int follow(struct following *following)
{
    long pause_ns = SHORTEST_PAUSE_NS;
    interrupt_watch();
    for (bool first_pass = true; !interrupted(); first_pass = false) {
        bool some = false;
        for (uint32_t id = following->printing.first_channel; id <= following->printing.last_channel; id++)
            some = follow_channel(following, id, first_pass) || some;
        if (fflush(stdout) != 0)
            return EXIT_USAGE; /* main says why */
        report(following, false);
        pause_ns = some ? SHORTEST_PAUSE_NS : pause_ns * 2 < LONGEST_PAUSE_NS ? pause_ns * 2 : LONGEST_PAUSE_NS;
        nanosleep(&(struct timespec){.tv_nsec = pause_ns}, NULL);
    }
    report(following, true);
    return following->rc;
}

int dmxp_tail(const struct args *args, const struct view *view)
{
    static struct following following;
    int rc = printing_from_args(args, view, &following.printing);
    const int last_rc = number_option(args, OPT_LAST, 0, UINT64_MAX, 10, &following.last);
    if (rc == EXIT_USAGE || last_rc != EXIT_OK)
        return EXIT_USAGE;
    following.view = view;
    following.rc = rc;
    if (given(args, OPT_FOLLOW))
        return follow(&following);
    for (uint32_t id = following.printing.first_channel; id <= following.printing.last_channel; id++) {
        const struct raw_channel channel = raw_load_channel(view, id);
        if (channel.capacity != 0 && print_waiting(view, &following.printing, &channel, following.last) != EXIT_OK)
            rc = EXIT_FINDINGS;
    }
    return rc;
}
