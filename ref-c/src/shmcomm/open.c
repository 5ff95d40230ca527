/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm: handles. What each role joins, and with what. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define NUMBERS 16 /* that a requester tries, if living ones have reply channels of those that it drew */

static const struct {
    uint32_t pattern;
    bool endpoint;
    bool keeper;
} roles[] = {
    [SHMW_SHMCOMM_PUBLISHER] = {SHMW_SHMCOMM_PATTERN_PUBSUB, true, true},
    [SHMW_SHMCOMM_SUBSCRIBER] = {SHMW_SHMCOMM_PATTERN_PUBSUB, false, false},
    [SHMW_SHMCOMM_PUSHER] = {SHMW_SHMCOMM_PATTERN_PIPELINE, true, true},
    [SHMW_SHMCOMM_PULLER] = {SHMW_SHMCOMM_PATTERN_PIPELINE, true, false},
    [SHMW_SHMCOMM_REQUESTER] = {SHMW_SHMCOMM_PATTERN_REQUEST, true, false},
    [SHMW_SHMCOMM_REPLIER] = {SHMW_SHMCOMM_PATTERN_REQUEST, true, true},
    [SHMW_SHMCOMM_OBSERVER] = {0, false, false},
};

/* Options ----------------------------------------------------------------------------------------------------------- */

/* Fill in what is left open, and refuse what no channel can be. */
static int check_options(enum shmw_shmcomm_role role, struct shmw_shmcomm_options *options)
{
    const bool writes = role == SHMW_SHMCOMM_PUBLISHER || role == SHMW_SHMCOMM_PUSHER;
    if (options->mode == 0)
        options->mode = SHMW_SHMCOMM_DEFAULT_MODE;
    if (options->capacity == 0)
        options->capacity =
            role == SHMW_SHMCOMM_REQUESTER ? SHMW_SHMCOMM_DEFAULT_REPLY_CAPACITY : SHMW_SHMCOMM_DEFAULT_CAPACITY;
    if (options->ready_timeout_ns == 0)
        options->ready_timeout_ns = SHMW_SHMCOMM_DEFAULT_READY_TIMEOUT_NS;
    if (options->no_wait)
        options->ready_timeout_ns = 0;
    const bool sized = shmw_is_power_of_two(options->capacity) && options->capacity >= SHMW_SHMCOMM_MIN_CAPACITY &&
                       options->capacity <= SHMW_SHMCOMM_MAX_CAPACITY; /* [shmcomm.segment.argument] */
    const bool known = options->making >= SHMW_SHMCOMM_JOIN_OR_CREATE && options->making <= SHMW_SHMCOMM_JOIN_ONLY &&
                       options->identity.endpoint <= SHMW_SHMCOMM_MAX_ENDPOINT && options->mode <= 0777;
    return sized && known && (writes || !options->sole) ? SHMW_OK : SHMW_INVALID_ARGUMENT;
}

static struct shmw_shmcomm_joining joining_of(enum shmw_shmcomm_role role, const struct shmw_shmcomm_options *options)
{
    return (struct shmw_shmcomm_joining){
        .pattern = roles[role].pattern,
        .keeper = roles[role].keeper,
        .puller = role == SHMW_SHMCOMM_PULLER,
        .making = options->making,
        .capacity = options->capacity,
        .mode = options->mode,
        .serializer = options->serializer,
        .wish = options->identity.endpoint,
        .wish_only = options->identity.endpoint != 0,
        .wait_ns = options->ready_timeout_ns,
        .identity = &options->identity,
    };
}

/* Roles ------------------------------------------------------------------------------------------------------------- */

static int open_reader(shmw_shmcomm *endpoint, char *locator, const struct shmw_shmcomm_options *options)
{
    const bool subscriber = endpoint->role == SHMW_SHMCOMM_SUBSCRIBER;
    struct shmw_shmcomm_channel *channel = &endpoint->channel;
    channel->locator = locator;
    const int rc = shmw_shmcomm_attach(channel, locator, options->ready_timeout_ns, subscriber && !options->read_only);
    if (rc != SHMW_OK)
        return rc;
    if (subscriber && channel->pattern != SHMW_SHMCOMM_PATTERN_PUBSUB)
        return SHMW_UNSUPPORTED; /* [shmcomm.segment.pattern] */
    endpoint->tell_lost = subscriber && options->tell_lost;
    shmw_shmcomm_begin_reading(endpoint, !subscriber || options->oldest);
    return SHMW_OK;
}

/* Hold the writers' lock from here on. */
static int become_sole(struct shmw_shmcomm_channel *channel)
{
    uint64_t deadline = 0;
    const int rc = shmw_shmcomm_begin(channel, 0, &deadline);
    channel->sole = rc == SHMW_OK;
    return rc;
}

static int open_writer(shmw_shmcomm *endpoint, char *locator, const struct shmw_shmcomm_options *options)
{
    const struct shmw_shmcomm_joining joining = joining_of(endpoint->role, options);
    const int rc = shmw_shmcomm_join(&endpoint->channel, locator, &joining);
    return rc == SHMW_OK && options->sole ? become_sole(&endpoint->channel) : rc;
}

static int open_replier(shmw_shmcomm *endpoint, char *locator, const struct shmw_shmcomm_options *options)
{
    endpoint->routes = calloc(SHMW_SHMCOMM_ROUTES, sizeof(*endpoint->routes));
    endpoint->reply_prefix = shmw_shmcomm_reply_prefix(locator);
    const int rc = open_writer(endpoint, locator, options);
    if (rc == SHMW_OK && (endpoint->routes == NULL || endpoint->reply_prefix == NULL))
        return SHMW_SYSTEM;
    if (rc == SHMW_OK)
        shmw_shmcomm_sweep(endpoint->reply_prefix); /* [shmcomm.reply.sweep] */
    return rc;
}

/* The reply channel of the number that we have [shmcomm.request.number]. SHMW_BUSY: a living one has its name. */
static int make_replies(shmw_shmcomm *endpoint, const struct shmw_shmcomm_options *options)
{
    struct shmw_shmcomm_joining joining = joining_of(endpoint->role, options);
    joining.pattern = SHMW_SHMCOMM_PATTERN_REPLY;
    joining.keeper = true;
    joining.making = SHMW_SHMCOMM_CREATE_ONLY;
    joining.wish = endpoint->channel.number;
    joining.wish_only = true;
    for (unsigned tries = 0; tries < NUMBERS; tries++) {
        char *locator = shmw_shmcomm_reply_locator(endpoint->reply_prefix, endpoint->channel.number);
        if (locator == NULL)
            return SHMW_SYSTEM;
        int rc = shmw_shmcomm_join(&endpoint->replies, locator, &joining);
        if (rc != SHMW_EXISTS)
            return rc;
        locator = shmw_shmcomm_reply_locator(endpoint->reply_prefix, endpoint->channel.number);
        rc = locator != NULL ? shmw_shmcomm_remove_stale(locator, SHMW_SHMCOMM_PATTERN_REPLY, true) : SHMW_SYSTEM;
        free(locator);
        if (rc != SHMW_OK && rc != SHMW_NOT_FOUND)
            return rc;
    }
    return SHMW_BUSY;
}

static int open_requester(shmw_shmcomm *endpoint, char *locator, const struct shmw_shmcomm_options *options)
{
    const struct shmw_shmcomm_joining joining = joining_of(endpoint->role, options);
    const uint64_t first = options->identity.correlation_id;
    endpoint->correlation = (first != 0 ? first : shmw_shmcomm_random()) - 1;
    endpoint->reply_prefix = shmw_shmcomm_reply_prefix(locator);
    int rc = shmw_shmcomm_join(&endpoint->channel, locator, &joining);
    if (rc == SHMW_OK && endpoint->reply_prefix == NULL)
        rc = SHMW_SYSTEM;
    if (rc != SHMW_OK)
        return rc;
    for (unsigned tries = 0; tries < NUMBERS; tries++) {
        rc = make_replies(endpoint, options);
        if (rc != SHMW_BUSY || joining.wish_only)
            return rc;
        char *again = strdup(endpoint->channel.locator);
        shmw_shmcomm_leave(&endpoint->channel);
        rc = again != NULL ? shmw_shmcomm_join(&endpoint->channel, again, &joining) : SHMW_SYSTEM;
        if (rc != SHMW_OK)
            return rc;
    }
    return SHMW_BUSY;
}

static int open_role(shmw_shmcomm *endpoint, char *locator, const struct shmw_shmcomm_options *options)
{
    switch (endpoint->role) {
    case SHMW_SHMCOMM_SUBSCRIBER:
    case SHMW_SHMCOMM_OBSERVER:
        return open_reader(endpoint, locator, options);
    case SHMW_SHMCOMM_REQUESTER:
        return open_requester(endpoint, locator, options);
    case SHMW_SHMCOMM_REPLIER:
        return open_replier(endpoint, locator, options);
    default:
        return open_writer(endpoint, locator, options);
    }
}

/* Calls ------------------------------------------------------------------------------------------------------------- */

static shmw_shmcomm *new_endpoint(enum shmw_shmcomm_role role)
{
    shmw_shmcomm *endpoint = calloc(1, sizeof(*endpoint));
    if (endpoint == NULL)
        return NULL;
    endpoint->role = role;
    endpoint->channel.map.fd = -1;
    endpoint->channel.guard.fd = -1;
    endpoint->replies.map.fd = -1;
    endpoint->replies.guard.fd = -1;
    return endpoint;
}

int shmw_shmcomm_open(enum shmw_shmcomm_role role, const char *name, const struct shmw_shmcomm_options *options,
                      shmw_shmcomm **out)
{
    char *locator = NULL;
    if (name == NULL || out == NULL || role < SHMW_SHMCOMM_PUBLISHER || role > SHMW_SHMCOMM_OBSERVER)
        return SHMW_INVALID_ARGUMENT;
    struct shmw_shmcomm_options chosen = options != NULL ? *options : (struct shmw_shmcomm_options){0};
    int rc = check_options(role, &chosen);
    if (rc == SHMW_OK)
        rc = shmw_shmcomm_locate(roles[role].pattern, name, &locator);
    if (rc != SHMW_OK)
        return rc;
    shmw_shmcomm *endpoint = new_endpoint(role);
    if (endpoint == NULL) {
        free(locator);
        return SHMW_SYSTEM;
    }
    rc = open_role(endpoint, locator, &chosen);
    if (rc == SHMW_OK) {
        *out = endpoint;
        return SHMW_OK;
    }
    const int cause = errno;
    shmw_shmcomm_close(endpoint);
    errno = cause;
    return rc;
}

void shmw_shmcomm_close(shmw_shmcomm *endpoint)
{
    if (endpoint == NULL)
        return;
    const bool ours = shmw_shmcomm_usable(endpoint) == SHMW_OK && endpoint->channel.number != 0;
    if (ours && endpoint->role == SHMW_SHMCOMM_REPLIER)
        shmw_shmcomm_sweep(endpoint->reply_prefix); /* [shmcomm.reply.sweep] */
    shmw_shmcomm_forget_all(endpoint);
    shmw_shmcomm_leave(&endpoint->replies);
    shmw_shmcomm_leave(&endpoint->channel);
    free(endpoint->reader.ahead);
    free(endpoint->routes);
    free(endpoint->reply_prefix);
    free(endpoint);
}

const char *shmw_shmcomm_segment(const shmw_shmcomm *endpoint)
{
    return endpoint != NULL ? endpoint->channel.locator : "";
}

static void put_header(const struct shmw_shmcomm_channel *channel, struct shmw_shmcomm_info *info)
{
    const struct shmw_shmcomm_wire_header *header = channel->header;
    info->capacity = channel->capacity;
    info->max_payload = shmw_shmcomm_max_payload(channel);
    info->tail = shmw_load_acquire(&header->tail); /* A3: pairs with R3; a head that is not below it */
    info->head = shmw_load_acquire(&header->head); /* A2: pairs with R2 */
    info->message_count = shmw_load_relaxed(&header->message_count);
    info->dropped_count = shmw_load_relaxed(&header->dropped_count);
    info->instance = shmw_field_load(&header->instance);
    info->heartbeat_ns = shmw_load_relaxed(&header->heartbeat_ns);
    info->pattern = channel->pattern;
    info->state = shmw_load_acquire(&header->state); /* A7: pairs with R7 */
    info->writer_lock = shmw_load_relaxed(&header->writer_lock);
    info->lock_epoch = shmw_load_relaxed(&header->lock_epoch);
    info->data_waiters = shmw_load_relaxed(&header->data_waiters);
    info->space_waiters = shmw_load_relaxed(&header->space_waiters);
    info->owner_pid = shmw_load_relaxed(&header->owner_pid);
    info->owner_endpoint = shmw_load_relaxed(&header->owner_endpoint);
    info->serializer = channel->serializer;
    info->endpoint = channel->number;
}

int shmw_shmcomm_info(const shmw_shmcomm *endpoint, struct shmw_shmcomm_info *info)
{
    if (endpoint == NULL || info == NULL)
        return SHMW_INVALID_ARGUMENT;
    const int rc = shmw_shmcomm_usable(endpoint);
    if (rc != SHMW_OK)
        return rc;
    *info = (struct shmw_shmcomm_info){0};
    put_header(&endpoint->channel, info);
    info->keeper_lives = endpoint->channel.keeper || shmw_shmcomm_keeper_lives(endpoint->channel.guard.fd);
    info->sent = endpoint->sent;
    info->received = endpoint->received;
    info->lost = endpoint->lost;
    info->discarded = endpoint->discarded;
    info->unanswered = endpoint->unanswered;
    info->refused = endpoint->channel.refused + endpoint->refused_by_routes;
    info->takeovers = endpoint->channel.takeovers + endpoint->takeovers_of_routes;
    for (unsigned i = 0; endpoint->routes != NULL && i < SHMW_SHMCOMM_ROUTES; i++) {
        info->refused += endpoint->routes[i].channel.refused;
        info->takeovers += endpoint->routes[i].channel.takeovers;
    }
    return SHMW_OK;
}
