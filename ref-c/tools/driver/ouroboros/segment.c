/* SPDX-License-Identifier: MIT
 *
 * Profile ouroboros behind the driver protocol: handles, inspect, verbs. */
#include "ouroboros.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../live.h"
#include "atomic.h"
#include "bytes.h"
#include "ouroboros/layout.h"

/* Handles ---------------------------------------------------------------------------------------------------------- */

static void port_free(struct ouroboros_port *port)
{
    if (port == NULL)
        return;
    free(port->entries);
    free(port->buffer);
    free(port);
}

static void ouroboros_close(void *segment)
{
    struct ouroboros *log = segment;
    shmw_ouroboros_close_writer(log->writer);
    shmw_ouroboros_close_reader(log->reader);
    if (log->map.fd >= 0)
        shmw_map_close(&log->map);
    port_free(log->port);
    free(log->views);
    free(log->seg);
    free(log);
}

/* Make the handle of a writer or reader; it owns the one that is given, also after a failure. */
static int wrap(const char *seg, shmw_ouroboros_writer *writer, shmw_ouroboros_reader *reader, void **segment)
{
    struct ouroboros *log = calloc(1, sizeof(*log));
    if (log == NULL) {
        shmw_ouroboros_close_writer(writer);
        shmw_ouroboros_close_reader(reader);
        return DRIVER_INTERNAL;
    }
    log->writer = writer;
    log->reader = reader;
    log->map.fd = -1;
    log->seg = strdup(seg);
    struct shmw_map map;
    const int rc = log->seg == NULL ? DRIVER_INTERNAL
                                    : shmw_map_open(seg, true, sizeof(struct shmw_ouroboros_wire_header), 0, &map);
    if (rc != SHMW_OK) {
        ouroboros_close(log);
        return rc;
    }
    log->map = map;
    *segment = log;
    return SHMW_OK;
}

int ouroboros_need_reader(struct request *rq, const struct ouroboros *log)
{
    return log->reader != NULL ? SHMW_OK : request_fail(rq, SHMW_UNSUPPORTED, "this handle is a writer");
}

int ouroboros_need_writer(struct request *rq, const struct ouroboros *log)
{
    return log->writer != NULL ? SHMW_OK : request_fail(rq, SHMW_UNSUPPORTED, "this handle is a reader");
}

uint64_t ouroboros_largest(const struct ouroboros *log)
{
    return shmw_min_u64(log->map.size, DRIVER_LONGEST_DATA); /* the header and the table are more than an entry's header */
}

static int ouroboros_create(struct request *rq, const char *seg, const cJSON *options, void **segment)
{
    struct shmw_ouroboros_create_options create = {0};
    uint64_t chunk_count = 0;
    int rc = want_u64(rq, options, "chunk_count", UINT32_MAX, &chunk_count);
    if (rc == SHMW_OK)
        rc = want_u64(rq, options, "chunk_target_size", UINT64_MAX, &create.chunk_target_size);
    if (rc == SHMW_OK)
        rc = want_u64(rq, options, "size", UINT64_MAX, &create.size);
    if (rc != SHMW_OK)
        return rc;
    create.chunk_count = (uint32_t)chunk_count;
    shmw_ouroboros_writer *writer = NULL;
    rc = shmw_ouroboros_create(seg, &create, &writer);
    return rc == SHMW_OK ? wrap(seg, writer, NULL, segment) : rc;
}

int ouroboros_take_start(struct request *rq, const cJSON *object, const char *key, enum shmw_ouroboros_start *start)
{
    static const char *const words[] = {
        [SHMW_OUROBOROS_AUTO] = "auto", [SHMW_OUROBOROS_LATEST] = "latest", [SHMW_OUROBOROS_OLDEST] = "oldest"};
    unsigned word = *start;
    const int rc = want_word(rq, object, key, words, sizeof(words) / sizeof(words[0]), &word);
    *start = (enum shmw_ouroboros_start)word;
    return rc;
}

static int open_writer(struct request *rq, const char *seg, const cJSON *options, void **segment)
{
    struct shmw_ouroboros_resume_options resume = {0};
    shmw_ouroboros_writer *writer = NULL;
    bool wanted = true;
    int rc = want_bool(rq, options, "resume", &wanted);
    if (rc == SHMW_OK)
        rc = want_u64(rq, options, "chunk_target_size", UINT64_MAX, &resume.chunk_target_size);
    if (rc == SHMW_OK && !wanted)
        rc = request_fail(rq, SHMW_UNSUPPORTED, "a log is opened read-write to take it over: resume is false");
    if (rc == SHMW_OK)
        rc = shmw_ouroboros_resume(seg, &resume, &writer);
    return rc == SHMW_OK ? wrap(seg, writer, NULL, segment) : rc;
}

static int open_reader(struct request *rq, const char *seg, uint64_t timeout_ns, const cJSON *options, void **segment)
{
    struct shmw_ouroboros_open_options open = {.ready_timeout_ns = timeout_ns};
    shmw_ouroboros_reader *reader = NULL;
    int rc = ouroboros_take_start(rq, options, "from", &open.start);
    if (rc == SHMW_OK)
        rc = shmw_ouroboros_open(seg, &open, &reader);
    return rc == SHMW_OK ? wrap(seg, NULL, reader, segment) : rc;
}

static int ouroboros_open(struct request *rq, const char *seg, bool read_only, uint64_t timeout_ns, const cJSON *options,
                          void **segment)
{
    return read_only ? open_reader(rq, seg, timeout_ns, options, segment) : open_writer(rq, seg, options, segment);
}

/* Inspect ---------------------------------------------------------------------------------------------------------- */

static void put_row_field(cJSON *fields, uint32_t row, const char *name, uint64_t value)
{
    char key[64];
    snprintf(key, sizeof(key), "row[%u].%s", (unsigned)row, name);
    put_u64(fields, key, value);
}

/* From a mapping of the driver's own: the library shows entries, not rows. */
static int ouroboros_inspect(struct request *rq, void *segment, cJSON *fields)
{
    const struct ouroboros *log = segment;
    const struct shmw_ouroboros_wire_header *header = (const void *)log->map.base;
    const struct shmw_ouroboros_wire_row *rows = (const void *)(log->map.base + SHMW_OUROBOROS_ROW_TABLE_OFFSET);
    put_u64(fields, "header.magic", shmw_load_acquire(&header->magic)); /* A0: pairs with R0; the rest after the magic */
    put_u64(fields, "header.version", shmw_field_load(&header->version));
    const uint32_t chunk_count = shmw_field_load(&header->chunk_count);
    put_u64(fields, "header.chunk_count", chunk_count);
    if (shmw_end_of(SHMW_OUROBOROS_ROW_TABLE_OFFSET, sizeof(*rows), chunk_count) > log->map.size)
        return request_fail(rq, SHMW_TRUNCATED, "%u rows do not lie in %zu bytes", (unsigned)chunk_count, log->map.size);
    for (uint32_t i = 0; i < chunk_count; i++) {
        const uint64_t token = shmw_load_acquire(&rows[i].token);   /* A2: pairs with R2 */
        const uint64_t offset = shmw_load_acquire(&rows[i].offset); /* A1: pairs with R1; token first */
        put_row_field(fields, i, "offset", offset);
        put_row_field(fields, i, "token", token);
    }
    return SHMW_OK;
}

/* Verbs ------------------------------------------------------------------------------------------------------------ */

static int verb_info(struct request *rq, struct ouroboros *log, const cJSON *args)
{
    struct shmw_ouroboros_writer_info writer;
    struct shmw_ouroboros_reader_info reader;
    (void)args;
    int rc;
    if (log->writer != NULL) {
        rc = shmw_ouroboros_writer_info(log->writer, &writer);
        if (rc != SHMW_OK)
            return rc;
        put_u64(rq->ok, "entries_written", writer.entries_written);
        put_u64(rq->ok, "max_payload", writer.max_payload);
        put_u64(rq->ok, "chunk_target_size", writer.chunk_target_size);
        put_number(rq->ok, "chunk_count", writer.chunk_count);
        return SHMW_OK;
    }
    rc = shmw_ouroboros_reader_info(log->reader, &reader);
    if (rc != SHMW_OK)
        return rc;
    put_u64(rq->ok, "total_entries_read", reader.total_entries_read);
    put_u64(rq->ok, "total_skipped", reader.total_skipped);
    put_u64(rq->ok, "next_sequence", reader.next_sequence);
    put_number(rq->ok, "chunk_count", reader.chunk_count);
    return SHMW_OK;
}

/* Validation is a reader's; a writer's handle opens one for it. */
static int verb_validate(struct request *rq, struct ouroboros *log, const cJSON *args)
{
    const char *finding = NULL;
    uint32_t chunk = UINT32_MAX;
    shmw_ouroboros_reader *reader = log->reader;
    (void)args;
    int rc = SHMW_OK;
    if (reader == NULL)
        rc = shmw_ouroboros_open(log->seg, NULL, &reader);
    if (rc == SHMW_OK)
        rc = shmw_ouroboros_validate(reader, &finding, &chunk);
    if (reader != log->reader)
        shmw_ouroboros_close_reader(reader);
    if (rc == SHMW_OK || finding == NULL)
        return rc;
    if (chunk == UINT32_MAX)
        return request_fail(rq, rc, "%s", finding);
    return request_fail(rq, rc, "chunk %u: %s", (unsigned)chunk, finding);
}

static int ouroboros_call(struct request *rq, void *segment, const char *verb, const cJSON *args)
{
    static const struct {
        const char *name;
        int (*run)(struct request *, struct ouroboros *, const cJSON *);
    } verbs[] = {
        {"ouroboros.info", verb_info},
        {"ouroboros.validate", verb_validate},
        {"ouroboros.view_check", ouroboros_view_check},
    };
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (strcmp(verb, verbs[i].name) == 0)
            return verbs[i].run(rq, segment, args);
    return request_fail(rq, DRIVER_UNKNOWN_COMMAND, "verb %.60s", verb);
}

/* Live ------------------------------------------------------------------------------------------------------------- */

static int ouroboros_live_open(struct request *rq, const char *seg, bool writer, const cJSON *plan, void **segment)
{
    return writer ? open_writer(rq, seg, field(plan, "options"), segment) : open_reader(rq, seg, 0, plan, segment);
}

static int ouroboros_live_attach(struct request *rq, void *segment, const cJSON *plan, void **out)
{
    struct ouroboros *log = segment;
    struct ouroboros_port *port = calloc(1, sizeof(*port));
    (void)rq;
    (void)plan;
    if (port == NULL)
        return DRIVER_INTERNAL;
    log->port = port;
    port->log = log;
    port->largest = (size_t)ouroboros_largest(log);
    port->batch = (size_t)(DRIVER_LONGEST_DATA / port->largest);
    port->batch = port->batch < LIVE_LARGEST_BATCH ? port->batch : LIVE_LARGEST_BATCH;
    port->entries = calloc(port->batch, sizeof(*port->entries));
    port->buffer = calloc(port->batch, port->largest);
    *out = port;
    return port->entries != NULL && port->buffer != NULL ? SHMW_OK : DRIVER_INTERNAL;
}

static size_t ouroboros_live_batch_limit(void *port)
{
    return ((struct ouroboros_port *)port)->batch;
}

static size_t ouroboros_live_payload_limit(void *port)
{
    return ((struct ouroboros_port *)port)->largest;
}

/* Table ------------------------------------------------------------------------------------------------------------ */

static const char *const classes[] = {"inspect",  "read",     "write",    "write-exact", "live",
                                      "blocking", "hardened", "recovery", NULL};
static const char *const features[] = {"batch", "view", NULL};

const struct profile driver_ouroboros = {
    .name = "ouroboros",
    .classes = classes,
    .features = features,
    .loses = "skipped",
    .create = ouroboros_create,
    .open = ouroboros_open,
    .close = ouroboros_close,
    .inspect = ouroboros_inspect,
    .write = ouroboros_write,
    .read = ouroboros_read,
    .seek = ouroboros_seek,
    .call = ouroboros_call,
    .live_open = ouroboros_live_open,
    .live_attach = ouroboros_live_attach,
    .live_send = ouroboros_live_send,
    .live_receive = ouroboros_live_receive,
    .live_batch_limit = ouroboros_live_batch_limit,
    .live_payload_limit = ouroboros_live_payload_limit,
};
