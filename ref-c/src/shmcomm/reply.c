/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm, section 9: requests and replies. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* Requesters -------------------------------------------------------------------------------------------------------- */

/* What still stands in the reply ring belongs to requests that were given up [shmcomm.request.late]. */
static void empty_replies(shmw_shmcomm *requester)
{
    static const uint64_t none = 0; /* no request has it */
    unsigned char nothing;
    const struct shmw_shmcomm_target nowhere = {.buffer = &nothing, .size = 0};
    struct shmw_shmcomm_message message;
    int rc;
    do /* a reply that says 0 is one for nobody, too */
        rc = shmw_shmcomm_pull(&requester->replies, &nowhere, &none, &requester->discarded, &message);
    while (rc == SHMW_OK);
}

int shmw_shmcomm_request(shmw_shmcomm *requester, const void *data, size_t length, const struct shmw_shmcomm_meta *meta,
                         uint64_t timeout_ns, uint64_t *sequence)
{
    struct shmw_shmcomm_letter letter = {.data = data, .length = length};
    requester->outstanding = false;
    empty_replies(requester);
    const uint64_t next = requester->correlation + 1; /* [shmcomm.request.correlation] */
    letter.correlation_id = next != 0 ? next : 1;
    shmw_shmcomm_address(&requester->channel, meta, &letter);
    const int rc = shmw_shmcomm_post(&requester->channel, &letter, timeout_ns, sequence);
    if (rc != SHMW_OK)
        return rc;
    requester->correlation = letter.correlation_id;
    requester->outstanding = true;
    requester->sent++;
    return SHMW_OK;
}

/* Reply channels of the dead ---------------------------------------------------------------------------------------- */

static void remove_if_dead(const char *locator, void *context)
{
    if (shmw_shmcomm_remove_stale(locator, SHMW_SHMCOMM_PATTERN_REPLY, true) == SHMW_OK)
        ++*(uint32_t *)context;
}

uint32_t shmw_shmcomm_sweep(const char *prefix)
{
    uint32_t removed = 0;
    shmw_shmcomm_each_reply(prefix, remove_if_dead, &removed);
    return removed;
}

/* A replier's ways to its requesters -------------------------------------------------------------------------------- */

static void forget(shmw_shmcomm *replier, struct shmw_shmcomm_route *route)
{
    replier->takeovers_of_routes += route->channel.takeovers;
    replier->refused_by_routes += route->channel.refused;
    shmw_shmcomm_leave(&route->channel);
    route->requester = 0;
}

void shmw_shmcomm_forget_all(shmw_shmcomm *replier)
{
    for (unsigned i = 0; replier->routes != NULL && i < SHMW_SHMCOMM_ROUTES; i++)
        if (replier->routes[i].requester != 0)
            forget(replier, &replier->routes[i]);
}

static bool is_open(const struct shmw_shmcomm_route *route)
{
    return shmw_load_acquire(&route->channel.header->state) == SHMW_SHMCOMM_STATE_OPEN; /* A7: pairs with R7 */
}

void shmw_shmcomm_forget_closed(shmw_shmcomm *replier)
{
    for (unsigned i = 0; i < SHMW_SHMCOMM_ROUTES; i++)
        if (replier->routes[i].requester != 0 && !is_open(&replier->routes[i]))
            forget(replier, &replier->routes[i]);
}

/* The way to this requester, or one to be made: a free one, or the one that was used the longest time ago. */
static struct shmw_shmcomm_route *find_route(shmw_shmcomm *replier, uint32_t requester)
{
    struct shmw_shmcomm_route *oldest = &replier->routes[0];
    for (unsigned i = 0; i < SHMW_SHMCOMM_ROUTES; i++) {
        struct shmw_shmcomm_route *route = &replier->routes[i];
        if (route->requester == requester)
            return route;
        if (route->requester == 0 || (oldest->requester != 0 && route->used < oldest->used))
            oldest = route;
    }
    if (oldest->requester != 0)
        forget(replier, oldest);
    return oldest;
}

/* Join a reply channel by name. SHMW_CLOSED: there is none, or none of a living requester. */
static int make_route(const shmw_shmcomm *replier, struct shmw_shmcomm_route *route, uint32_t requester)
{
    static const struct shmw_shmcomm_identity nobody;
    const struct shmw_shmcomm_joining joining = {
        .pattern = SHMW_SHMCOMM_PATTERN_REPLY, .wish = replier->channel.number, .identity = &nobody};
    char *locator = shmw_shmcomm_reply_locator(replier->reply_prefix, requester);
    if (locator == NULL)
        return SHMW_SYSTEM;
    const int rc = shmw_shmcomm_join(&route->channel, locator, &joining);
    if (rc == SHMW_OK)
        route->requester = requester;
    const bool absent = rc == SHMW_NOT_FOUND || rc == SHMW_UNSUPPORTED || rc == SHMW_NOT_READY || rc == SHMW_TRUNCATED;
    return absent ? SHMW_CLOSED : rc;
}

/* Step 2: nobody will ever read it. The one who sees it clears it away. */
static int bury(shmw_shmcomm *replier, struct shmw_shmcomm_route *route)
{
    char *locator = shmw_shmcomm_reply_locator(replier->reply_prefix, route->requester);
    forget(replier, route);
    if (locator != NULL)
        (void)shmw_shmcomm_remove_stale(locator, SHMW_SHMCOMM_PATTERN_REPLY, true);
    free(locator);
    return SHMW_CLOSED;
}

/* Steps 1 and 2 [shmcomm.reply.vanished, .recreated]. */
static int open_route(shmw_shmcomm *replier, const struct shmw_shmcomm_message *request, struct shmw_shmcomm_route **out)
{
    if (request->sender == 0 || request->sender > SHMW_SHMCOMM_MAX_ENDPOINT)
        return SHMW_CLOSED; /* nobody can have such a number */
    struct shmw_shmcomm_route *route = find_route(replier, request->sender);
    if (route->requester != 0 && !is_open(route))
        forget(replier, route);
    const bool joined_now = route->requester == 0;
    if (joined_now) {
        const int rc = make_route(replier, route, request->sender);
        if (rc != SHMW_OK)
            return rc;
    }
    route->used = ++replier->route_rank;
    *out = route;
    if (!is_open(route)) {
        forget(replier, route);
        return SHMW_CLOSED;
    }
    if (!joined_now && shmw_now() - request->taken_ns < SHMW_SHMCOMM_LIVENESS_AGE_NS)
        return SHMW_OK;
    return shmw_shmcomm_keeper_lives(route->channel.guard.fd) ? SHMW_OK : bury(replier, route);
}

static int check_replier(const shmw_shmcomm *replier, const struct shmw_shmcomm_message *request, const void *data, size_t length)
{
    if (replier == NULL || request == NULL || (data == NULL && length > 0))
        return SHMW_INVALID_ARGUMENT;
    return replier->role == SHMW_SHMCOMM_REPLIER ? shmw_shmcomm_usable(replier) : SHMW_UNSUPPORTED;
}

int shmw_shmcomm_reply(shmw_shmcomm *replier, const struct shmw_shmcomm_message *request, const void *data, size_t length,
                       const struct shmw_shmcomm_meta *meta, uint64_t timeout_ns)
{
    struct shmw_shmcomm_route *route = NULL;
    int rc = check_replier(replier, request, data, length);
    if (rc != SHMW_OK)
        return rc;
    rc = open_route(replier, request, &route);
    if (rc == SHMW_OK) {
        struct shmw_shmcomm_letter letter = {.data = data, .length = length, .correlation_id = request->correlation_id};
        shmw_shmcomm_address(&route->channel, meta, &letter);
        shmw_shmcomm_keep_alive(&replier->channel, letter.timestamp_ns);
        rc = shmw_shmcomm_post(&route->channel, &letter, timeout_ns, NULL); /* [shmcomm.reply.pair] */
    }
    replier->sent += rc == SHMW_OK;
    replier->unanswered += rc == SHMW_CLOSED;
    return rc;
}
