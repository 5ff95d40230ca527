/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <stdlib.h>
#include <string.h>

#include "live.h"
#include "profile.h"

#define PROTOCOL 1

static const struct profile *const profiles[] = {&driver_dmxp, &driver_ouroboros, &driver_slick, &driver_shmcomm, &driver_deepwater};
#define PROFILE_COUNT (sizeof(profiles) / sizeof(profiles[0]))

/* A segment handle, or a claim that belongs to one. */
struct handle {
    struct handle *next;
    uint64_t id;
    const struct profile *profile;
    void *object;
    struct handle *owner; /* of a claim: its segment; NULL for segments */
};

struct injection injected;
static struct handle *handles;
static uint64_t last_id;
static struct live *armed;
static struct live *done; /* an actor that has answered and whose handle stays open */
static bool leaving;

/* Handles ------------------------------------------------------------------------------------------------------------ */

static struct handle *add_handle(const struct profile *profile, void *object, struct handle *owner)
{
    struct handle *handle = calloc(1, sizeof(*handle));
    if (handle == NULL)
        abort();
    *handle = (struct handle){.next = handles, .id = ++last_id, .profile = profile, .object = object, .owner = owner};
    handles = handle;
    return handle;
}

static void drop_handle(struct handle *handle)
{
    struct handle **link = &handles;
    while (*link != NULL) {
        struct handle *at = *link;
        if (at->owner == handle || at == handle) {
            *link = at->next;
            if (at != handle) { /* a claim of the segment that goes: its slot stays claimed */
                free(at->object);
                free(at);
            }
        } else {
            link = &at->next;
        }
    }
    if (handle->owner == NULL)
        handle->profile->close(handle->object);
    else
        free(handle->object);
    free(handle);
}

static int take_handle(struct request *rq, const char *key, bool claim, struct handle **out)
{
    uint64_t id = 0;
    const int rc = need_u64(rq, rq->body, key, UINT64_MAX, &id);
    if (rc != SHMW_OK)
        return rc;
    for (struct handle *at = handles; at != NULL; at = at->next) {
        if (at->id == id && (at->owner != NULL) == claim) {
            *out = at;
            return SHMW_OK;
        }
    }
    return request_fail(rq, DRIVER_BAD_REQUEST, "%s %llu is not a handle", key, (unsigned long long)id);
}

static int take_profile(struct request *rq, const struct profile **out)
{
    const char *name = NULL;
    const int rc = need_text(rq, rq->body, "profile", &name);
    if (rc != SHMW_OK)
        return rc;
    for (size_t i = 0; i < PROFILE_COUNT; i++) {
        if (strcmp(profiles[i]->name, name) == 0) {
            *out = profiles[i];
            return SHMW_OK;
        }
    }
    return request_fail(rq, SHMW_UNSUPPORTED, "profile %.60s", name);
}

/* Commands ----------------------------------------------------------------------------------------------------------- */

static int cmd_hello(struct request *rq)
{
    const cJSON *offered = field(rq->body, "proto");
    const cJSON *number;
    bool understood = offered == NULL;
    cJSON_ArrayForEach (number, offered)
        understood = understood || (cJSON_IsNumber(number) && number->valuedouble == PROTOCOL);
    if (!understood)
        return request_fail(rq, SHMW_UNSUPPORTED, "this driver speaks protocol %d", PROTOCOL);
    put_number(rq->ok, "proto", PROTOCOL);
    cJSON *driver = put_object(rq->ok, "driver");
    put_text(driver, "name", "shmwire-driver-c");
    put_text(driver, "version", SHMW_VERSION_STRING);
    cJSON *impl = put_object(rq->ok, "impl");
    put_text(impl, "name", "shmwire-c");
    put_text(impl, "version", shmw_version());
    put_text(impl, "language", "c");
    cJSON *list = put_object(rq->ok, "profiles");
    for (size_t i = 0; i < PROFILE_COUNT; i++) {
        cJSON *entry = put_object(list, profiles[i]->name);
        cJSON *classes = put_array(entry, "classes");
        for (const char *const *word = profiles[i]->classes; *word != NULL; word++)
            cJSON_AddItemToArray(classes, cJSON_CreateString(*word));
        cJSON *features = put_array(entry, "features");
        for (const char *const *word = profiles[i]->features; *word != NULL; word++)
            cJSON_AddItemToArray(features, cJSON_CreateString(*word));
    }
    return SHMW_OK;
}

void commands_drop_everything(void)
{
    live_end(armed);
    armed = NULL;
    live_end(done);
    done = NULL;
    for (struct handle *at = handles; at != NULL; at = handles) {
        while (at->owner != NULL) /* segments take their claims along */
            at = at->owner;
        drop_handle(at);
    }
    injected = (struct injection){0};
}

static int cmd_reset(struct request *rq)
{
    (void)rq;
    commands_drop_everything();
    return SHMW_OK;
}

static int cmd_inject(struct request *rq)
{
    struct injection next = injected;
    uint64_t pid = next.pid;
    uint64_t runtime = next.runtime;
    int rc = want_u64(rq, rq->body, "clock_ns", UINT64_MAX, &next.clock_ns);
    if (rc == SHMW_OK)
        rc = want_u64(rq, rq->body, "clock_step_ns", UINT64_MAX, &next.clock_step_ns);
    if (rc == SHMW_OK)
        rc = want_u64(rq, rq->body, "pid", UINT32_MAX, &pid);
    if (rc == SHMW_OK)
        rc = want_u64(rq, rq->body, "runtime", UINT16_MAX, &runtime);
    if (rc == SHMW_OK)
        rc = want_u64(rq, rq->body, "boot_ns", UINT64_MAX, &next.boot_ns);
    if (rc != SHMW_OK)
        return rc;
    next.has_clock = next.has_clock || field(rq->body, "clock_ns") != NULL;
    next.has_pid = next.has_pid || field(rq->body, "pid") != NULL;
    next.has_runtime = next.has_runtime || field(rq->body, "runtime") != NULL;
    next.pid = (uint32_t)pid;
    next.runtime = (uint16_t)runtime;
    injected = next;
    return SHMW_OK;
}

static int cmd_create(struct request *rq)
{
    const struct profile *profile = NULL;
    const char *seg = NULL;
    void *segment = NULL;
    int rc = take_profile(rq, &profile);
    if (rc == SHMW_OK)
        rc = need_text(rq, rq->body, "seg", &seg);
    if (rc == SHMW_OK)
        rc = profile->create(rq, seg, field(rq->body, "options"), &segment);
    if (rc == SHMW_OK)
        put_number(rq->ok, "h", add_handle(profile, segment, NULL)->id);
    return rc;
}

static int cmd_open(struct request *rq)
{
    const struct profile *profile = NULL;
    const char *seg = NULL;
    const char *mode = NULL;
    uint64_t timeout_ns = 0;
    void *segment = NULL;
    int rc = take_profile(rq, &profile);
    if (rc == SHMW_OK)
        rc = need_text(rq, rq->body, "seg", &seg);
    if (rc == SHMW_OK)
        rc = need_text(rq, rq->body, "mode", &mode);
    if (rc == SHMW_OK && strcmp(mode, "ro") != 0 && strcmp(mode, "rw") != 0)
        rc = request_fail(rq, DRIVER_BAD_REQUEST, "mode is not ro or rw");
    if (rc == SHMW_OK)
        rc = want_timeout(rq, &timeout_ns);
    if (rc == SHMW_OK)
        rc = profile->open(rq, seg, strcmp(mode, "ro") == 0, timeout_ns, field(rq->body, "options"), &segment);
    if (rc == SHMW_OK)
        put_number(rq->ok, "h", add_handle(profile, segment, NULL)->id);
    return rc;
}

static int cmd_inspect(struct request *rq)
{
    struct handle *handle = NULL;
    const int rc = take_handle(rq, "h", false, &handle);
    if (rc != SHMW_OK)
        return rc;
    return handle->profile->inspect(rq, handle->object, put_object(rq->ok, "fields"));
}

static int on_segment(struct request *rq, int (*operation)(struct request *, void *), const struct handle *handle)
{
    return operation != NULL ? operation(rq, handle->object) : request_fail(rq, SHMW_UNSUPPORTED, "%s", handle->profile->name);
}

static int cmd_write(struct request *rq)
{
    struct handle *handle = NULL;
    const int rc = take_handle(rq, "h", false, &handle);
    return rc == SHMW_OK ? on_segment(rq, handle->profile->write, handle) : rc;
}

static int cmd_read(struct request *rq)
{
    struct handle *handle = NULL;
    const int rc = take_handle(rq, "h", false, &handle);
    return rc == SHMW_OK ? on_segment(rq, handle->profile->read, handle) : rc;
}

static int cmd_seek(struct request *rq)
{
    struct handle *handle = NULL;
    const int rc = take_handle(rq, "h", false, &handle);
    return rc == SHMW_OK ? on_segment(rq, handle->profile->seek, handle) : rc;
}

static int cmd_claim(struct request *rq)
{
    struct handle *handle = NULL;
    void *claim = NULL;
    int rc = take_handle(rq, "h", false, &handle);
    if (rc == SHMW_OK && handle->profile->claim == NULL)
        rc = SHMW_UNSUPPORTED;
    if (rc == SHMW_OK)
        rc = handle->profile->claim(rq, handle->object, &claim);
    if (rc == SHMW_OK && claim != NULL)
        put_number(rq->ok, "c", add_handle(handle->profile, claim, handle)->id);
    return rc;
}

static int cmd_commit(struct request *rq)
{
    struct handle *claim = NULL;
    int rc = take_handle(rq, "c", true, &claim);
    if (rc == SHMW_OK)
        rc = claim->profile->commit(rq, claim->object);
    if (rc == SHMW_OK)
        drop_handle(claim);
    return rc;
}

static int cmd_abandon(struct request *rq)
{
    struct handle *claim = NULL;
    int rc = take_handle(rq, "c", true, &claim);
    if (rc == SHMW_OK)
        rc = claim->profile->abandon(rq, claim->object);
    if (rc == SHMW_OK)
        drop_handle(claim);
    return rc;
}

/* A verb without a handle: its profile is the one that it is named after. */
static int call_profile(struct request *rq, const char *verb)
{
    for (size_t i = 0; i < PROFILE_COUNT; i++) {
        const size_t length = strlen(profiles[i]->name);
        if (strncmp(verb, profiles[i]->name, length) == 0 && verb[length] == '.' && profiles[i]->calls_without_handle)
            return profiles[i]->call(rq, NULL, verb, field(rq->body, "args"));
    }
    return request_fail(rq, DRIVER_BAD_REQUEST, "h is missing");
}

static int cmd_call(struct request *rq)
{
    struct handle *handle = NULL;
    const char *verb = NULL;
    int rc = need_text(rq, rq->body, "verb", &verb);
    if (rc == SHMW_OK && field(rq->body, "h") == NULL)
        return call_profile(rq, verb);
    if (rc == SHMW_OK)
        rc = take_handle(rq, "h", false, &handle);
    return rc == SHMW_OK ? handle->profile->call(rq, handle->object, verb, field(rq->body, "args")) : rc;
}

static int cmd_arm(struct request *rq)
{
    const struct profile *profile = NULL;
    int rc = take_profile(rq, &profile);
    if (rc != SHMW_OK)
        return rc;
    live_end(armed);
    armed = NULL;
    live_end(done);
    done = NULL;
    rc = live_arm(rq, profile, &armed);
    if (rc != SHMW_OK) {
        live_end(armed);
        armed = NULL;
    }
    return rc;
}

static int cmd_go(struct request *rq)
{
    if (armed == NULL)
        return request_fail(rq, DRIVER_BAD_REQUEST, "go without arm");
    const int rc = live_go(rq, armed);
    live_end(done);
    done = live_stays(armed) ? armed : NULL;
    if (done == NULL)
        live_end(armed);
    armed = NULL;
    return rc;
}

static int cmd_close(struct request *rq)
{
    struct handle *handle = NULL;
    const int rc = take_handle(rq, "h", false, &handle);
    if (rc == SHMW_OK)
        drop_handle(handle);
    return rc;
}

static int cmd_bye(struct request *rq)
{
    (void)rq;
    leaving = true;
    return SHMW_OK;
}

int commands_run(struct request *rq)
{
    static const struct {
        const char *name;
        int (*run)(struct request *);
    } commands[] = {
        {"hello", cmd_hello},     {"reset", cmd_reset}, {"inject", cmd_inject}, {"create", cmd_create},   {"open", cmd_open},
        {"inspect", cmd_inspect}, {"write", cmd_write}, {"read", cmd_read},     {"seek", cmd_seek},       {"claim", cmd_claim},
        {"commit", cmd_commit},   {"call", cmd_call},   {"arm", cmd_arm},       {"abandon", cmd_abandon}, {"go", cmd_go},
        {"close", cmd_close},     {"bye", cmd_bye},
    };
    const char *name = NULL;
    const int rc = need_text(rq, rq->body, "cmd", &name);
    if (rc != SHMW_OK)
        return rc;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(rq);
    return request_fail(rq, DRIVER_UNKNOWN_COMMAND, "%.60s", name);
}

bool commands_leaving(void)
{
    return leaving;
}
