/* SPDX-License-Identifier: MIT
 *
 * Profile slick behind the driver protocol: handles, inspect, verbs. */
#include "slick.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../live.h"
#include "atomic.h"
#include "bytes.h"
#include "slick/layout.h"

static const char *const generations[] = {"1.2", "1.3", "1.4"}; /* from SHMW_SLICK_1_2 on */

/* Handles ---------------------------------------------------------------------------------------------------------- */

static void port_free(struct slick_port *port)
{
    if (port == NULL)
        return;
    credit_close(&port->credit, true);
    free(port->items);
    free(port->buffer);
    free(port);
}

static void slick_close(void *segment)
{
    struct slick *slick = segment;
    shmw_slick_producer_close(slick->producer);
    shmw_slick_reader_close(slick->reader);
    shmw_slick_cursor_close(slick->cursor);
    shmw_slick_close(slick->queue);
    if (slick->map.base != NULL)
        shmw_map_close(&slick->map);
    port_free(slick->port);
    free(slick->views);
    free(slick->shared);
    free(slick);
}

/* from (or to) and index; neither: from stays as it is. */
int slick_take_start(struct request *rq, const cJSON *object, const char *key, enum shmw_slick_start *start, uint64_t *index)
{
    static const char *const words[] = {[SHMW_SLICK_OLDEST] = "oldest", [SHMW_SLICK_LATEST] = "latest"};
    unsigned word = *start;
    int rc = want_word(rq, object, key, words, sizeof(words) / sizeof(words[0]), &word);
    if (rc == SHMW_OK)
        rc = want_u64(rq, object, "index", UINT64_MAX, index);
    *start = field(object, "index") != NULL ? SHMW_SLICK_INDEX : (enum shmw_slick_start)word;
    return rc;
}

/* The options of open, which say what producer and reader become. */
static int take_options(struct request *rq, const cJSON *options, struct slick *slick)
{
    const char *shared = NULL;
    uint64_t stall_ms = 0;
    int rc = slick_take_start(rq, options, "from", &slick->reading.start, &slick->reading.index);
    if (rc == SHMW_OK)
        rc = want_u64(rq, options, "stall_ms", UINT32_MAX, &stall_ms);
    if (rc == SHMW_OK && field(options, "cursor") != NULL)
        rc = need_text(rq, options, "cursor", &shared);
    if (rc != SHMW_OK)
        return rc;
    slick->producing.stall_ns = stall_ms * UINT64_C(1000000);
    slick->shared = shared != NULL ? strdup(shared) : NULL;
    return shared == NULL || slick->shared != NULL ? SHMW_OK : DRIVER_INTERNAL;
}

/* Make the handle of a queue, which it owns, also after a failure. */
static int wrap(struct request *rq, const char *seg, shmw_slick_queue *queue, const cJSON *options, void **segment)
{
    struct slick *slick = calloc(1, sizeof(*slick));
    if (slick == NULL) {
        shmw_slick_close(queue);
        return DRIVER_INTERNAL;
    }
    slick->queue = queue;
    int rc = take_options(rq, options, slick);
    if (rc == SHMW_OK)
        rc = shmw_slick_info(queue, &slick->info);
    if (rc == SHMW_OK)
        rc = shmw_map_open(seg, true, sizeof(struct shmw_slick_wire_header), 0, &slick->map);
    if (rc == SHMW_OK)
        *segment = slick;
    else
        slick_close(slick);
    return rc;
}

int slick_need_producer(struct slick *slick)
{
    return slick->producer != NULL ? SHMW_OK : shmw_slick_producer_open(slick->queue, &slick->producing, &slick->producer);
}

int slick_need_reader(struct slick *slick)
{
    if (slick->reader != NULL)
        return SHMW_OK;
    int rc = SHMW_OK;
    if (slick->shared != NULL && slick->cursor == NULL)
        rc = shmw_slick_cursor_open(slick->shared, &slick->cursor);
    slick->reading.shared = slick->cursor;
    return rc == SHMW_OK ? shmw_slick_reader_open(slick->queue, &slick->reading, &slick->reader) : rc;
}

uint64_t slick_largest(const struct slick *slick)
{
    const uint64_t elements = shmw_min_u64(slick->info.size, SHMW_SLICK_MAX_ELEMENTS);
    return shmw_min_u64(elements * slick->info.element_size, DRIVER_LONGEST_DATA);
}

static int slick_create(struct request *rq, const char *seg, const cJSON *options, void **segment)
{
    struct shmw_slick_create_options create = {0};
    uint64_t size = 0;
    uint64_t element_size = 0;
    unsigned generation = SHMW_SLICK_1_4 - SHMW_SLICK_1_2;
    int rc = want_u64(rq, options, "size", UINT32_MAX, &size);
    if (rc == SHMW_OK)
        rc = want_u64(rq, options, "element_size", UINT32_MAX, &element_size);
    if (rc == SHMW_OK)
        rc = want_word(rq, options, "generation", generations, sizeof(generations) / sizeof(generations[0]), &generation);
    if (rc == SHMW_OK)
        rc = want_bool(rq, options, "portable_name", &create.portable_name);
    if (rc == SHMW_OK)
        rc = want_mode(rq, options, &create.mode);
    if (rc == SHMW_OK && field(options, "size") != NULL && size == 0) /* asked for; the library takes 0 for its default */
        rc = request_fail(rq, SHMW_INVALID_ARGUMENT, "size 0");
    if (rc != SHMW_OK)
        return rc;
    create.size = (uint32_t)size;
    create.element_size = (uint32_t)element_size;
    create.generation = (enum shmw_slick_generation)(SHMW_SLICK_1_2 + generation);
    shmw_slick_queue *queue = NULL;
    rc = shmw_slick_create(seg, &create, &queue);
    return rc == SHMW_OK ? wrap(rq, seg, queue, options, segment) : rc;
}

static int slick_open(struct request *rq, const char *seg, bool read_only, uint64_t timeout_ns, const cJSON *options,
                      void **segment)
{
    const struct shmw_slick_open_options open = {
        .read_only = read_only, .no_wait = timeout_ns == 0, .ready_timeout_ns = timeout_ns};
    shmw_slick_queue *queue = NULL;
    const int rc = shmw_slick_open(seg, &open, &queue);
    return rc == SHMW_OK ? wrap(rq, seg, queue, options, segment) : rc;
}

/* Inspect ---------------------------------------------------------------------------------------------------------- */

static void put_header(cJSON *fields, const struct shmw_slick_wire_header *header)
{
    put_u64(fields, "header.init_state", shmw_load_acquire(&header->init_state)); /* A0: pairs with R0; the rest after it */
    put_u64(fields, "header.settled", shmw_load_acquire(&header->settled));       /* A1: pairs with R1 */
    put_u64(fields, "header.last_published", shmw_load_acquire(&header->last_published)); /* A3: pairs with R3 */
    put_u64(fields, "header.reserved", shmw_load_acquire(&header->reserved));             /* A6: pairs with R6 */
    put_u64(fields, "header.size", shmw_load_acquire(&header->size));                     /* A0: pairs with R0 */
    put_u64(fields, "header.element_size", shmw_field_load(&header->element_size));
    put_u64(fields, "header.header_magic", shmw_field_load(&header->header_magic));
}

/* From a mapping of the driver's own: the library shows items, not slots. */
static int slick_inspect(struct request *rq, void *segment, cJSON *fields)
{
    const struct slick *slick = segment;
    const struct shmw_slick_wire_header *header = (const void *)slick->map.base;
    const struct shmw_slick_wire_slot *slots = (const void *)(slick->map.base + SHMW_SLICK_SLOT_TABLE_OFFSET);
    const uint64_t size = shmw_load_acquire(&header->size); /* A0: pairs with R0 */
    put_header(fields, header);
    if (shmw_end_of(SHMW_SLICK_SLOT_TABLE_OFFSET, sizeof(*slots), size) > slick->map.size)
        return request_fail(rq, SHMW_TRUNCATED, "the slots do not lie in %zu bytes", slick->map.size);
    for (uint64_t k = 0; k < size; k++) {
        char key[64];
        snprintf(key, sizeof(key), "slot[%u].data_index", (unsigned)k);
        put_u64(fields, key, shmw_load_acquire(&slots[k].data_index)); /* A2: pairs with R2 */
        snprintf(key, sizeof(key), "slot[%u].size", (unsigned)k);
        put_u64(fields, key, shmw_field_load(&slots[k].size));
    }
    return SHMW_OK;
}

/* Verbs ------------------------------------------------------------------------------------------------------------ */

static int verb_info(struct request *rq, struct slick *slick, const cJSON *args)
{
    struct shmw_slick_queue_info queue;
    struct shmw_slick_producer_info producer = {0};
    struct shmw_slick_reader_info reader = {0};
    (void)args;
    int rc = shmw_slick_info(slick->queue, &queue);
    if (rc == SHMW_OK && slick->producer != NULL)
        rc = shmw_slick_producer_info(slick->producer, &producer);
    if (rc == SHMW_OK && slick->reader != NULL)
        rc = shmw_slick_reader_info(slick->reader, &reader);
    if (rc != SHMW_OK)
        return rc;
    put_text(rq->ok, "generation", generations[queue.generation - SHMW_SLICK_1_2]);
    put_text(rq->ok, "shm_name", shmw_slick_shm_name(slick->queue));
    put_number(rq->ok, "size", queue.size);
    put_number(rq->ok, "element_size", queue.element_size);
    put_u64(rq->ok, "next_index", queue.next_index);
    put_u64(rq->ok, "settled", queue.settled);
    put_u64(rq->ok, "items_written", producer.items_written);
    put_u64(rq->ok, "given_up", producer.given_up);
    put_u64(rq->ok, "cursor", reader.cursor);
    put_u64(rq->ok, "items_read", reader.items_read);
    put_u64(rq->ok, "lost", reader.lost);
    put_u64(rq->ok, "resets", reader.resets);
    return SHMW_OK;
}

static int verb_validate(struct request *rq, struct slick *slick, const cJSON *args)
{
    const char *finding = NULL;
    uint32_t slot = UINT32_MAX;
    (void)args;
    const int rc = shmw_slick_validate(slick->queue, &finding, &slot);
    if (rc == SHMW_OK || finding == NULL)
        return rc;
    return slot == UINT32_MAX ? request_fail(rq, rc, "%s", finding)
                              : request_fail(rq, rc, "slot %u: %s", (unsigned)slot, finding);
}

static int verb_reset(struct request *rq, struct slick *slick, const cJSON *args)
{
    (void)rq;
    (void)args;
    return shmw_slick_reset(slick->queue);
}

static int verb_recover(struct request *rq, struct slick *slick, const cJSON *args)
{
    bool all_dead = false;
    uint64_t holes = 0;
    int rc = want_bool(rq, args, "all_dead", &all_dead);
    if (rc == SHMW_OK)
        rc = shmw_slick_recover(slick->queue, all_dead, &holes);
    if (rc == SHMW_OK)
        put_u64(rq->ok, "holes", holes);
    return rc;
}

static int verb_cursor_create(struct request *rq, struct slick *slick, const cJSON *args)
{
    enum shmw_slick_start start = SHMW_SLICK_OLDEST;
    const char *locator = NULL;
    uint64_t index = 0;
    shmw_slick_cursor *cursor = NULL;
    int rc = need_text(rq, args, "cursor", &locator);
    if (rc == SHMW_OK)
        rc = slick_take_start(rq, args, "from", &start, &index);
    if (rc == SHMW_OK)
        rc = shmw_slick_cursor_create(locator, slick->queue, start, index, &cursor);
    shmw_slick_cursor_close(cursor);
    return rc;
}

static int slick_call(struct request *rq, void *segment, const char *verb, const cJSON *args)
{
    static const struct {
        const char *name;
        int (*run)(struct request *, struct slick *, const cJSON *);
    } verbs[] = {
        {"slick.info", verb_info},         {"slick.validate", verb_validate},
        {"slick.last", slick_last},        {"slick.reset", verb_reset},
        {"slick.recover", verb_recover},   {"slick.view_check", slick_view_check},
        {"slick.cursor_create", verb_cursor_create},
    };
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (strcmp(verb, verbs[i].name) == 0)
            return verbs[i].run(rq, segment, args);
    return request_fail(rq, DRIVER_UNKNOWN_COMMAND, "verb %.60s", verb);
}

/* Live ------------------------------------------------------------------------------------------------------------- */

static int slick_live_open(struct request *rq, const char *seg, bool writer, const cJSON *plan, void **segment)
{
    return slick_open(rq, seg, false, 0, writer ? field(plan, "open") : plan, segment);
}

static int slick_live_attach(struct request *rq, void *segment, const cJSON *plan, void **out)
{
    struct slick *slick = segment;
    const char *role = NULL;
    struct slick_port *port = calloc(1, sizeof(*port));
    if (port == NULL)
        return DRIVER_INTERNAL;
    slick->port = port;
    port->slick = slick;
    port->largest = (size_t)slick_largest(slick);
    port->batch = (size_t)(DRIVER_LONGEST_DATA / port->largest);
    port->batch = port->batch < LIVE_LARGEST_BATCH ? port->batch : LIVE_LARGEST_BATCH;
    port->items = calloc(port->batch, sizeof(*port->items));
    port->buffer = calloc(port->batch, port->largest);
    *out = port;
    if (port->items == NULL || port->buffer == NULL)
        return DRIVER_INTERNAL;
    int rc = need_text(rq, plan, "role", &role);
    if (rc != SHMW_OK || strcmp(role, "write") != 0)
        return rc == SHMW_OK ? slick_need_reader(slick) : rc;
    rc = slick_need_producer(slick);
    return rc == SHMW_OK ? credit_open(rq, plan, true, &port->credit) : rc;
}

static size_t slick_live_batch_limit(void *port)
{
    return ((struct slick_port *)port)->batch;
}

static size_t slick_live_payload_limit(void *port)
{
    return ((struct slick_port *)port)->largest;
}

/* Table ------------------------------------------------------------------------------------------------------------ */

static const char *const classes[] = {"inspect",  "read",     "write",    "write-exact", "live",
                                      "blocking", "hardened", "recovery", NULL};
static const char *const features[] = {"batch", "split", "view", "share", NULL};

const struct profile driver_slick = {
    .name = "slick",
    .classes = classes,
    .features = features,
    .loses = "lost",
    .create = slick_create,
    .open = slick_open,
    .close = slick_close,
    .inspect = slick_inspect,
    .write = slick_write,
    .read = slick_read,
    .seek = slick_seek,
    .call = slick_call,
    .claim = slick_claim_elements,
    .commit = slick_commit,
    .abandon = slick_abandon,
    .live_open = slick_live_open,
    .live_attach = slick_live_attach,
    .live_send = slick_live_send,
    .live_receive = slick_live_receive,
    .live_batch_limit = slick_live_batch_limit,
    .live_payload_limit = slick_live_payload_limit,
    .live_sent = slick_live_sent,
};
