/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm behind the driver protocol: handles and verbs. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "shmcomm.h"
#include "shmcomm/layout.h"

static const char *const roles[] = {
    [SHMW_SHMCOMM_PUBLISHER] = "publisher", [SHMW_SHMCOMM_SUBSCRIBER] = "subscriber", [SHMW_SHMCOMM_PUSHER] = "pusher",
    [SHMW_SHMCOMM_PULLER] = "puller",       [SHMW_SHMCOMM_REQUESTER] = "requester",   [SHMW_SHMCOMM_REPLIER] = "replier",
    [SHMW_SHMCOMM_OBSERVER] = "observer",   [0] = "",
};

/* Options ---------------------------------------------------------------------------------------------------------- */

static int take_role(struct request *rq, const cJSON *options, bool read_only, enum shmw_shmcomm_role *role)
{
    unsigned word = read_only ? SHMW_SHMCOMM_OBSERVER : 0;
    const int rc = want_word(rq, options, "role", roles, sizeof(roles) / sizeof(roles[0]), &word);
    if (rc != SHMW_OK)
        return rc;
    const bool reads = word == SHMW_SHMCOMM_OBSERVER || word == SHMW_SHMCOMM_SUBSCRIBER;
    if (word == 0 || (read_only && !reads) || (!read_only && word == SHMW_SHMCOMM_OBSERVER))
        return request_fail(rq, DRIVER_BAD_REQUEST, "role is missing, or none of this mode");
    *role = (enum shmw_shmcomm_role)word;
    return SHMW_OK;
}

static int take_identity(struct request *rq, const cJSON *options, struct shmw_shmcomm_identity *identity)
{
    const cJSON *given = field(options, "identity");
    uint64_t endpoint = 0;
    int rc = want_u64(rq, given, "endpoint", SHMW_SHMCOMM_MAX_ENDPOINT, &endpoint);
    if (rc == SHMW_OK)
        rc = want_u64(rq, given, "instance", UINT64_MAX, &identity->instance);
    if (rc == SHMW_OK)
        rc = want_u64(rq, given, "correlation_id", UINT64_MAX, &identity->correlation_id);
    identity->endpoint = (uint32_t)endpoint;
    identity->pid = injected.has_pid ? injected.pid : 0;
    identity->boot_ns = injected.boot_ns;
    return rc;
}

/* making and from, and what is true or false. */
static int take_choices(struct request *rq, const cJSON *options, struct shmw_shmcomm_options *open)
{
    static const char *const makings[] = {"join", "any"};
    static const char *const froms[] = {"latest", "oldest"};
    unsigned making = 0;
    unsigned from = 0;
    int rc = want_word(rq, options, "making", makings, 2, &making);
    if (rc == SHMW_OK)
        rc = want_word(rq, options, "from", froms, 2, &from);
    if (rc == SHMW_OK)
        rc = want_bool(rq, options, "sole", &open->sole);
    if (rc == SHMW_OK)
        rc = want_bool(rq, options, "tell_lost", &open->tell_lost);
    if (rc == SHMW_OK)
        rc = want_bool(rq, options, "read_only", &open->read_only);
    open->making = making == 0 ? SHMW_SHMCOMM_JOIN_ONLY : SHMW_SHMCOMM_JOIN_OR_CREATE;
    open->oldest = from == 1;
    return rc;
}

static int take_options(struct request *rq, const cJSON *options, struct shmw_shmcomm_options *open)
{
    uint64_t serializer = 0;
    int rc = want_u64(rq, options, "capacity", UINT64_MAX, &open->capacity);
    if (rc == SHMW_OK)
        rc = want_u64(rq, options, "serializer", UINT16_MAX, &serializer);
    if (rc == SHMW_OK)
        rc = want_mode(rq, options, &open->mode);
    if (rc == SHMW_OK)
        rc = take_choices(rq, options, open);
    if (rc == SHMW_OK)
        rc = take_identity(rq, options, &open->identity);
    /* asked for; the library takes 0 for its default */
    if (rc == SHMW_OK && field(options, "capacity") != NULL && open->capacity == 0)
        rc = request_fail(rq, SHMW_INVALID_ARGUMENT, "capacity 0");
    open->serializer = (uint16_t)serializer;
    return rc;
}

/* Handles ---------------------------------------------------------------------------------------------------------- */

static void shmcomm_close(void *segment)
{
    struct shmcomm *shmcomm = segment;
    shmw_shmcomm_close(shmcomm->endpoint);
    if (shmcomm->map.base != NULL)
        shmw_map_close(&shmcomm->map);
    shmcomm_port_free(shmcomm->port);
    free(shmcomm->kept);
    free(shmcomm);
}

/* Requesters receive from another ring than they send to. */
static uint64_t largest_of(const struct shmcomm *shmcomm, uint64_t capacity)
{
    const uint64_t replies = capacity != 0 ? capacity : SHMW_SHMCOMM_DEFAULT_REPLY_CAPACITY;
    const bool requester = shmcomm->role == SHMW_SHMCOMM_REQUESTER;
    const uint64_t largest = requester ? replies / 2 - SHMW_SHMCOMM_FRAME_OVERHEAD : shmcomm->info.max_payload;
    return shmw_min_u64(largest, DRIVER_LONGEST_DATA);
}

static int open_as(struct request *rq, const char *seg, enum shmw_shmcomm_role role, const cJSON *options,
                   const struct shmw_shmcomm_options *open, void **segment)
{
    const char *name = seg;
    int rc = field(options, "name") != NULL ? need_text(rq, options, "name", &name) : SHMW_OK;
    if (rc != SHMW_OK)
        return rc;
    struct shmcomm *shmcomm = calloc(1, sizeof(*shmcomm));
    if (shmcomm == NULL)
        return DRIVER_INTERNAL;
    shmcomm->role = role;
    rc = shmw_shmcomm_open(role, name, open, &shmcomm->endpoint);
    if (rc == SHMW_OK)
        rc = shmw_shmcomm_info(shmcomm->endpoint, &shmcomm->info);
    if (rc == SHMW_OK)
        rc = shmw_map_open(shmw_shmcomm_segment(shmcomm->endpoint), true, sizeof(struct shmw_shmcomm_wire_header), 0,
                           &shmcomm->map);
    if (rc != SHMW_OK) {
        shmcomm->map.base = NULL;
        shmcomm_close(shmcomm);
        return rc;
    }
    shmcomm->largest = largest_of(shmcomm, open->capacity);
    *segment = shmcomm;
    return SHMW_OK;
}

static int shmcomm_create(struct request *rq, const char *seg, const cJSON *options, void **segment)
{
    struct shmw_shmcomm_options open = {.no_wait = true};
    enum shmw_shmcomm_role role = SHMW_SHMCOMM_OBSERVER;
    int rc = take_role(rq, options, false, &role);
    if (rc == SHMW_OK && role != SHMW_SHMCOMM_PUBLISHER && role != SHMW_SHMCOMM_PUSHER && role != SHMW_SHMCOMM_REPLIER)
        rc = request_fail(rq, DRIVER_BAD_REQUEST, "a %s makes no channel", roles[role]);
    if (rc == SHMW_OK)
        rc = take_options(rq, options, &open);
    open.making = SHMW_SHMCOMM_CREATE_ONLY;
    return rc == SHMW_OK ? open_as(rq, seg, role, options, &open, segment) : rc;
}

int shmcomm_open(struct request *rq, const char *seg, bool read_only, uint64_t timeout_ns, const cJSON *options, void **segment)
{
    struct shmw_shmcomm_options open = {.no_wait = timeout_ns == 0, .ready_timeout_ns = timeout_ns};
    enum shmw_shmcomm_role role = SHMW_SHMCOMM_OBSERVER;
    int rc = take_role(rq, options, read_only, &role);
    if (rc == SHMW_OK)
        rc = take_options(rq, options, &open);
    open.read_only = open.read_only || read_only;
    return rc == SHMW_OK ? open_as(rq, seg, role, options, &open, segment) : rc;
}

/* Verbs ------------------------------------------------------------------------------------------------------------ */

static void put_info(cJSON *ok, const struct shmw_shmcomm_info *info)
{
    put_u64(ok, "capacity", info->capacity);
    put_u64(ok, "max_payload", info->max_payload);
    put_u64(ok, "head", info->head);
    put_u64(ok, "tail", info->tail);
    put_u64(ok, "message_count", info->message_count);
    put_u64(ok, "dropped_count", info->dropped_count);
    put_u64(ok, "instance", info->instance);
    put_u64(ok, "heartbeat_ns", info->heartbeat_ns);
    put_number(ok, "pattern", info->pattern);
    put_number(ok, "state", info->state);
    put_number(ok, "writer_lock", info->writer_lock);
    put_number(ok, "lock_epoch", info->lock_epoch);
    put_number(ok, "data_waiters", info->data_waiters);
    put_number(ok, "space_waiters", info->space_waiters);
    put_number(ok, "owner_pid", info->owner_pid);
    put_number(ok, "owner_endpoint", info->owner_endpoint);
    put_number(ok, "serializer", info->serializer);
    put_number(ok, "endpoint", info->endpoint);
    put_bool(ok, "keeper_lives", info->keeper_lives);
    put_u64(ok, "sent", info->sent);
    put_u64(ok, "received", info->received);
    put_u64(ok, "lost", info->lost);
    put_u64(ok, "refused", info->refused);
    put_u64(ok, "discarded", info->discarded);
    put_u64(ok, "unanswered", info->unanswered);
    put_u64(ok, "takeovers", info->takeovers);
}

static int verb_info(struct request *rq, struct shmcomm *shmcomm, const cJSON *args)
{
    struct shmw_shmcomm_info info;
    (void)args;
    const int rc = shmw_shmcomm_info(shmcomm->endpoint, &info);
    if (rc != SHMW_OK)
        return rc;
    put_info(rq->ok, &info);
    put_text(rq->ok, "segment", shmw_shmcomm_segment(shmcomm->endpoint));
    return SHMW_OK;
}

static int verb_validate(struct request *rq, struct shmcomm *shmcomm, const cJSON *args)
{
    const char *finding = NULL;
    uint64_t position = UINT64_MAX;
    (void)args;
    const int rc = shmw_shmcomm_validate(shmcomm->endpoint, &finding, &position);
    if (rc == SHMW_OK || finding == NULL)
        return rc;
    return position == UINT64_MAX ? request_fail(rq, rc, "%s", finding)
                                  : request_fail(rq, rc, "position %llu: %s", (unsigned long long)position, finding);
}

static int verb_recover(struct request *rq, struct shmcomm *shmcomm, const cJSON *args)
{
    struct shmw_shmcomm_recovered found = {0};
    const char *seg = NULL;
    (void)shmcomm;
    int rc = need_text(rq, args, "seg", &seg);
    if (rc == SHMW_OK)
        rc = shmw_shmcomm_recover(seg, &found);
    if (rc != SHMW_OK)
        return rc;
    put_bool(rq->ok, "lock_taken", found.lock_taken);
    put_bool(rq->ok, "count_repaired", found.count_repaired);
    put_number(rq->ok, "swept", found.swept);
    return SHMW_OK;
}

static int verb_remove(struct request *rq, struct shmcomm *shmcomm, const cJSON *args)
{
    const char *seg = NULL;
    bool insist = false;
    (void)shmcomm;
    int rc = need_text(rq, args, "seg", &seg);
    if (rc == SHMW_OK)
        rc = want_bool(rq, args, "insist", &insist);
    if (rc == SHMW_OK)
        rc = shmw_shmcomm_remove(seg, insist);
    if (rc < 0)
        return rc;
    put_text(rq->ok, "st", answer_word(rc));
    return SHMW_OK;
}

static int shmcomm_call(struct request *rq, void *segment, const char *verb, const cJSON *args)
{
    static const struct {
        const char *name;
        bool handle;
        int (*run)(struct request *, struct shmcomm *, const cJSON *);
    } verbs[] = {
        {"shmcomm.info", true, verb_info},         {"shmcomm.validate", true, verb_validate},
        {"shmcomm.reply", true, shmcomm_reply},    {"shmcomm.view_check", true, shmcomm_view_check},
        {"shmcomm.recover", false, verb_recover},  {"shmcomm.remove", false, verb_remove},
    };
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(verb, verbs[i].name) != 0)
            continue;
        if (verbs[i].handle && segment == NULL)
            return request_fail(rq, DRIVER_BAD_REQUEST, "h is missing");
        return verbs[i].run(rq, segment, args);
    }
    return request_fail(rq, DRIVER_UNKNOWN_COMMAND, "verb %.60s", verb);
}

/* Table ------------------------------------------------------------------------------------------------------------ */

static const char *const classes[] = {"inspect",  "read",     "write",    "write-exact", "live",
                                      "blocking", "hardened", "recovery", NULL};
static const char *const features[] = {"batch", "split", "view", "lapped", NULL};

const struct profile driver_shmcomm = {
    .name = "shmcomm",
    .classes = classes,
    .features = features,
    .loses = "lost",
    .calls_without_handle = true,
    .ends_by_message = true,
    .create = shmcomm_create,
    .open = shmcomm_open,
    .close = shmcomm_close,
    .inspect = shmcomm_inspect,
    .write = shmcomm_write,
    .read = shmcomm_read,
    .seek = shmcomm_seek,
    .call = shmcomm_call,
    .claim = shmcomm_claim,
    .commit = shmcomm_commit,
    .abandon = shmcomm_abandon,
    .live_open = shmcomm_live_open,
    .live_attach = shmcomm_live_attach,
    .live_send = shmcomm_live_send,
    .live_receive = shmcomm_live_receive,
    .live_batch_limit = shmcomm_live_batch_limit,
    .live_payload_limit = shmcomm_live_payload_limit,
    .live_summary = shmcomm_live_summary,
};
