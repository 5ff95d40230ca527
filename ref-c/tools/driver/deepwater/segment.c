/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater behind the driver protocol: handles and verbs. */
#include <stdlib.h>
#include <string.h>

#include "deepwater.h"

#define DEFAULT_FEED "feed"
#define DEFAULT_CHUNK UINT64_C(4096)

/* Options ---------------------------------------------------------------------------------------------------------- */

int deepwater_feed_name(struct request *rq, const cJSON *object, const char **feed)
{
    *feed = DEFAULT_FEED;
    return field(object, "feed") != NULL ? need_text(rq, object, "feed", feed) : SHMW_OK;
}

static int take_u32(struct request *rq, const cJSON *object, const char *key, uint32_t *out)
{
    uint64_t value = *out;
    const int rc = want_u64(rq, object, key, UINT32_MAX, &value);
    *out = (uint32_t)value;
    return rc;
}

static int take_feed_options(struct request *rq, const cJSON *options, struct shmw_deepwater_feed_options *feed)
{
    *feed = (struct shmw_deepwater_feed_options){
        .chunk_size = DEFAULT_CHUNK,
        .identity = {.pid = injected.has_pid ? injected.pid : 0,
                     .clock_ns = injected.has_clock ? injected.clock_ns : 0,
                     .boot_ns = injected.boot_ns},
    };
    int rc = want_bool(rq, options, "persist", &feed->persist);
    if (rc == SHMW_OK)
        rc = want_u64(rq, options, "chunk_size", UINT64_MAX, &feed->chunk_size);
    if (rc == SHMW_OK)
        rc = take_u32(rq, options, "live_window", &feed->live_window);
    if (rc == SHMW_OK)
        rc = take_u32(rq, options, "record_size", &feed->record_size);
    if (rc == SHMW_OK)
        rc = want_u64(rq, options, "rotate_ns", UINT64_MAX, &feed->rotate_ns);
    if (rc == SHMW_OK)
        rc = take_u32(rq, options, "rows", &feed->rows);
    if (rc == SHMW_OK)
        rc = take_u32(rq, options, "feeds", &feed->feeds);
    return rc == SHMW_OK ? want_mode(rq, options, &feed->mode) : rc;
}

int deepwater_take_start(struct request *rq, const cJSON *object, const char *word_key, enum shmw_deepwater_start *start,
                         uint64_t *at)
{
    static const char *const words[] = {"oldest", "latest"};
    unsigned word = 0;
    *start = SHMW_DEEPWATER_OLDEST;
    if (field(object, "time") != NULL) {
        *start = SHMW_DEEPWATER_TIME;
        return need_u64(rq, object, "time", UINT64_MAX, at);
    }
    if (field(object, "sequence") != NULL) {
        *start = SHMW_DEEPWATER_SEQUENCE;
        return need_u64(rq, object, "sequence", UINT64_MAX, at);
    }
    const int rc = want_word(rq, object, word_key, words, 2, &word);
    *start = word == 0 ? SHMW_DEEPWATER_OLDEST : SHMW_DEEPWATER_LATEST;
    return rc;
}

/* Handles ---------------------------------------------------------------------------------------------------------- */

static void deepwater_close(void *segment)
{
    struct deepwater *handle = segment;
    deepwater_port_free(handle->port);
    (void)shmw_deepwater_writer_close(handle->writer);
    shmw_deepwater_reader_close(handle->reader);
    free(handle->base);
    free(handle->feed);
    free(handle);
}

static struct deepwater *new_handle(const char *seg, const char *feed)
{
    struct deepwater *handle = calloc(1, sizeof(*handle));
    if (handle == NULL)
        return NULL;
    handle->base = strdup(seg);
    handle->feed = strdup(feed);
    if (handle->base != NULL && handle->feed != NULL)
        return handle;
    deepwater_close(handle);
    return NULL;
}

int deepwater_open_writer(struct request *rq, const char *seg, const cJSON *options, bool create, void **segment)
{
    struct shmw_deepwater_feed_options open;
    const char *feed = NULL;
    bool any = false;
    int rc = deepwater_feed_name(rq, options, &feed);
    if (rc == SHMW_OK)
        rc = take_feed_options(rq, options, &open);
    if (rc == SHMW_OK)
        rc = want_bool(rq, options, "any", &any);
    if (rc != SHMW_OK)
        return rc;
    open.create_only = create;
    open.open_only = !create && !any;
    struct deepwater *handle = new_handle(seg, feed);
    if (handle == NULL)
        return DRIVER_INTERNAL;
    rc = shmw_deepwater_writer_open(seg, feed, &open, &handle->writer);
    if (rc != SHMW_OK)
        deepwater_close(handle);
    else
        *segment = handle;
    return rc;
}

int deepwater_open_reader(struct request *rq, const char *seg, uint64_t timeout_ns, const cJSON *options, void **segment)
{
    struct shmw_deepwater_reader_options open = {.ready_timeout_ns = timeout_ns};
    const char *feed = NULL;
    int rc = deepwater_feed_name(rq, options, &feed);
    if (rc == SHMW_OK)
        rc = deepwater_take_start(rq, options, "from", &open.start, &open.at);
    if (rc == SHMW_OK)
        rc = want_bool(rq, options, "end_with_writer", &open.end_with_writer);
    if (rc == SHMW_OK)
        rc = want_bool(rq, options, "read_only", &open.read_only);
    if (rc != SHMW_OK)
        return rc;
    struct deepwater *handle = new_handle(seg, feed);
    if (handle == NULL)
        return DRIVER_INTERNAL;
    rc = shmw_deepwater_reader_open(seg, feed, &open, &handle->reader);
    if (rc != SHMW_OK)
        deepwater_close(handle);
    else
        *segment = handle;
    return rc;
}

static int deepwater_create(struct request *rq, const char *seg, const cJSON *options, void **segment)
{
    return deepwater_open_writer(rq, seg, options, true, segment);
}

static int deepwater_open(struct request *rq, const char *seg, bool read_only, uint64_t timeout_ns, const cJSON *options,
                          void **segment)
{
    return read_only ? deepwater_open_reader(rq, seg, timeout_ns, options, segment)
                     : deepwater_open_writer(rq, seg, options, false, segment);
}

/* Verbs of a handle ------------------------------------------------------------------------------------------------ */

static int need_reader(struct request *rq, const struct deepwater *handle)
{
    return handle->reader != NULL ? SHMW_OK : request_fail(rq, SHMW_UNSUPPORTED, "a writer does not read");
}

static int verb_rotate(struct request *rq, struct deepwater *handle, const cJSON *args)
{
    (void)args;
    if (handle->writer == NULL)
        return request_fail(rq, SHMW_UNSUPPORTED, "a reader does not rotate");
    return shmw_deepwater_rotate(handle->writer);
}

static int verb_latest_chunk(struct request *rq, struct deepwater *handle, const cJSON *args)
{
    struct shmw_deepwater_chunk chunk;
    char data_name[128];
    char index_name[128];
    (void)args;
    int rc = need_reader(rq, handle);
    if (rc == SHMW_OK)
        rc = shmw_deepwater_latest_chunk(handle->reader, &chunk, data_name, index_name);
    if (rc != SHMW_OK)
        return rc;
    put_u64(rq->ok, "chunk", chunk.chunk_id);
    put_number(rq->ok, "state", chunk.state);
    put_u64(rq->ok, "first_sequence", chunk.first_sequence);
    put_u64(rq->ok, "start_ns", chunk.start_ns);
    put_text(rq->ok, "data_name", data_name);
    put_text(rq->ok, "index_name", index_name);
    return SHMW_OK;
}

static int verb_has_data_since(struct request *rq, struct deepwater *handle, const cJSON *args)
{
    uint64_t time = 0;
    bool has = false;
    int rc = need_reader(rq, handle);
    if (rc == SHMW_OK)
        rc = need_u64(rq, args, "time", UINT64_MAX, &time);
    if (rc == SHMW_OK)
        rc = shmw_deepwater_has_data_since(handle->reader, time, &has);
    if (rc == SHMW_OK)
        put_bool(rq->ok, "has", has);
    return rc;
}

static int verb_range(struct request *rq, struct deepwater *handle, const cJSON *args)
{
    const int rc = need_reader(rq, handle);
    return rc == SHMW_OK ? deepwater_range(rq, handle, args) : rc;
}

static int verb_cursor(struct request *rq, struct deepwater *handle, const cJSON *args)
{
    struct shmw_deepwater_cursor cursor;
    (void)args;
    int rc = need_reader(rq, handle);
    if (rc == SHMW_OK)
        rc = shmw_deepwater_save(handle->reader, &cursor);
    if (rc != SHMW_OK)
        return rc;
    put_u64(rq->ok, "chunk", cursor.chunk_id);
    put_u64(rq->ok, "sequence", cursor.sequence);
    return SHMW_OK;
}

static int verb_restore(struct request *rq, struct deepwater *handle, const cJSON *args)
{
    struct shmw_deepwater_cursor cursor = {0};
    int rc = need_reader(rq, handle);
    if (rc == SHMW_OK)
        rc = need_u64(rq, args, "chunk", UINT64_MAX, &cursor.chunk_id);
    if (rc == SHMW_OK)
        rc = need_u64(rq, args, "sequence", UINT64_MAX, &cursor.sequence);
    if (rc == SHMW_OK)
        rc = shmw_deepwater_restore(handle->reader, &cursor);
    if (rc == SHMW_OK) {
        handle->pending = (struct pending){0};
        handle->expired = false;
    }
    return rc;
}

/* Verbs of a base -------------------------------------------------------------------------------------------------- */

static int need_place(struct request *rq, const cJSON *args, const char **seg, const char **feed)
{
    const int rc = need_text(rq, args, "seg", seg);
    return rc == SHMW_OK ? deepwater_feed_name(rq, args, feed) : rc;
}

static int verb_feeds(struct request *rq, struct deepwater *handle, const cJSON *args)
{
    struct shmw_deepwater_feed feed;
    const char *seg = NULL;
    (void)handle;
    int rc = need_text(rq, args, "seg", &seg);
    cJSON *feeds = rc == SHMW_OK ? put_array(rq->ok, "feeds") : NULL;
    for (uint32_t i = 0; rc == SHMW_OK; i++) {
        rc = shmw_deepwater_feed_at(seg, i, &feed);
        if (rc == SHMW_OK)
            cJSON_AddItemToArray(feeds, cJSON_CreateString(feed.name));
        else if (rc == SHMW_NOT_FOUND && i > 0)
            return SHMW_OK;
    }
    return rc;
}

static int verb_validate(struct request *rq, struct deepwater *handle, const cJSON *args)
{
    const char *seg = NULL;
    const char *feed = NULL;
    const char *finding = NULL;
    uint64_t chunk = 0;
    (void)handle;
    int rc = need_place(rq, args, &seg, &feed);
    if (rc == SHMW_OK)
        rc = shmw_deepwater_validate(seg, feed, &finding, &chunk);
    if (rc == SHMW_OK || finding == NULL)
        return rc;
    return chunk == SHMW_DEEPWATER_NONE ? request_fail(rq, rc, "%s", finding)
                                        : request_fail(rq, rc, "chunk %llu: %s", (unsigned long long)chunk, finding);
}

static int verb_retire(struct request *rq, struct deepwater *handle, const cJSON *args)
{
    const char *seg = NULL;
    const char *feed = NULL;
    (void)handle;
    const int rc = need_place(rq, args, &seg, &feed);
    return rc == SHMW_OK ? shmw_deepwater_retire(seg, feed) : rc;
}

static int verb_gc(struct request *rq, struct deepwater *handle, const cJSON *args)
{
    struct shmw_deepwater_recovered found = {0};
    const char *seg = NULL;
    const char *feed = NULL;
    (void)handle;
    int rc = need_place(rq, args, &seg, &feed);
    if (rc == SHMW_OK)
        rc = shmw_deepwater_gc(seg, feed, &found);
    if (rc != SHMW_OK)
        return rc;
    put_u64(rq->ok, "sealed", found.sealed);
    put_u64(rq->ok, "persisted", found.persisted);
    put_u64(rq->ok, "adopted", found.adopted);
    put_u64(rq->ok, "expired", found.expired);
    put_u64(rq->ok, "removed", found.removed);
    return SHMW_OK;
}

static int deepwater_call(struct request *rq, void *segment, const char *verb, const cJSON *args)
{
    static const struct {
        const char *name;
        bool handle;
        int (*run)(struct request *, struct deepwater *, const cJSON *);
    } verbs[] = {
        {"deepwater.rotate", true, verb_rotate},       {"deepwater.latest_chunk", true, verb_latest_chunk},
        {"deepwater.range", true, verb_range},         {"deepwater.has_data_since", true, verb_has_data_since},
        {"deepwater.cursor", true, verb_cursor},       {"deepwater.restore", true, verb_restore},
        {"deepwater.feeds", false, verb_feeds},        {"deepwater.validate", false, verb_validate},
        {"deepwater.retire", false, verb_retire},      {"deepwater.gc", false, verb_gc},
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
static const char *const features[] = {"batch", NULL};

const struct profile driver_deepwater = {
    .name = "deepwater",
    .classes = classes,
    .features = features,
    .loses = "lost",
    .from_zero = true,
    .writer_stays = true,
    .calls_without_handle = true,
    .create = deepwater_create,
    .open = deepwater_open,
    .close = deepwater_close,
    .inspect = deepwater_inspect,
    .write = deepwater_write,
    .read = deepwater_read,
    .seek = deepwater_seek,
    .call = deepwater_call,
    .live_open = deepwater_live_open,
    .live_attach = deepwater_live_attach,
    .live_send = deepwater_live_send,
    .live_receive = deepwater_live_receive,
    .live_batch_limit = deepwater_live_batch_limit,
    .live_payload_limit = deepwater_live_payload_limit,
    .live_sent = deepwater_live_sent,
};
