/* SPDX-License-Identifier: MIT
 *
 * Profile slick behind the driver protocol: reading. */
#include "slick.h"

#include <stdlib.h>
#include <string.h>

#include "atomic.h"

static cJSON *put_item(struct request *rq, cJSON *items, const struct shmw_slick_item *item, const void *data)
{
    cJSON *entry = push_object(items);
    put_bytes(rq, entry, "data", data, item->length);
    put_u64(entry, "pos", item->index);
    put_number(entry, "elements", item->elements);
    return entry;
}

static cJSON *put_next(struct request *rq, cJSON *items, const struct shmw_slick_item *item, const void *data)
{
    cJSON *entry = put_item(rq, items, item, data);
    put_u64(entry, "lost", item->lost);
    return entry;
}

/* Reading ---------------------------------------------------------------------------------------------------------- */

static int read_batch(struct request *rq, const struct slick *slick, struct reading *reading)
{
    struct shmw_slick_item *items = request_alloc(rq, (size_t)reading->max * sizeof(*items));
    size_t count = 0;
    const int rc =
        shmw_slick_next_batch(slick->reader, reading->buffer, reading->size, items, (size_t)reading->max, &count);
    if (rc == SHMW_TOO_SMALL)
        rq->needed = items[0].length;
    for (size_t i = 0; rc == SHMW_OK && i < count; i++)
        put_next(rq, reading->items, &items[i], reading->buffer + items[i].offset);
    return rc;
}

static int read_view(struct request *rq, struct slick *slick, struct reading *reading)
{
    struct shmw_slick_item item = {0};
    const int rc = shmw_slick_next_view(slick->reader, &item);
    if (rc != SHMW_OK)
        return rc;
    struct shmw_slick_item *views = realloc(slick->views, (slick->view_count + 1) * sizeof(*views));
    if (views == NULL)
        return DRIVER_INTERNAL;
    slick->views = views;
    views[slick->view_count++] = item;
    unsigned char *copy = request_alloc(rq, item.length + 1);
    shmw_copy_from_shared_any(copy, item.data, item.length);
    put_number(put_next(rq, reading->items, &item, copy), "view", slick->view_count);
    return SHMW_OK;
}

static int read_one(struct request *rq, const struct slick *slick, struct reading *reading, bool first)
{
    struct shmw_slick_item item = {0};
    const int rc = reading->mode == READ_BLOCK && first
                       ? shmw_slick_wait_next(slick->reader, reading->buffer, reading->size, reading->timeout_ns, 0, &item)
                       : shmw_slick_next(slick->reader, reading->buffer, reading->size, &item);
    if (rc == SHMW_OK)
        put_next(rq, reading->items, &item, reading->buffer);
    if (rc == SHMW_TOO_SMALL)
        rq->needed = item.length;
    return rc;
}

static int read_some(struct request *rq, void *context, struct reading *reading, bool first)
{
    struct slick *slick = context;
    if (reading->mode == READ_BATCH)
        return read_batch(rq, slick, reading);
    if (reading->mode == READ_VIEW)
        return read_view(rq, slick, reading);
    return read_one(rq, slick, reading, first);
}

int slick_read(struct request *rq, void *segment)
{
    struct slick *slick = segment;
    struct reading reading;
    int rc = slick_need_reader(slick);
    if (rc == SHMW_OK)
        rc = reading_take(rq, slick_largest(slick), &reading);
    return rc == SHMW_OK ? reading_run(rq, &reading, &slick->pending, read_some, slick) : rc;
}

int slick_seek(struct request *rq, void *segment)
{
    struct slick *slick = segment;
    enum shmw_slick_start start = SHMW_SLICK_OLDEST;
    struct shmw_slick_reader_info info;
    uint64_t index = 0;
    int rc = slick_need_reader(slick);
    if (rc == SHMW_OK && field(rq->body, "to") == NULL && field(rq->body, "index") == NULL)
        rc = request_fail(rq, DRIVER_BAD_REQUEST, "to and index are missing");
    if (rc == SHMW_OK)
        rc = slick_take_start(rq, rq->body, "to", &start, &index);
    if (rc == SHMW_OK)
        rc = shmw_slick_seek(slick->reader, start, index);
    if (rc == SHMW_OK)
        rc = shmw_slick_reader_info(slick->reader, &info);
    if (rc != SHMW_OK)
        return rc;
    slick->pending = (struct pending){0};
    put_u64(rq->ok, "cursor", info.cursor);
    return SHMW_OK;
}

int slick_last(struct request *rq, struct slick *slick, const cJSON *args)
{
    struct shmw_slick_item item = {0};
    const size_t size = (size_t)slick_largest(slick);
    unsigned char *buffer = request_alloc(rq, size + 1);
    (void)args;
    int rc = slick_need_reader(slick);
    if (rc == SHMW_OK)
        rc = shmw_slick_last(slick->reader, buffer, size, &item);
    if (rc < 0)
        return rc;
    put_text(rq->ok, "st", answer_word(rc));
    cJSON *items = put_array(rq->ok, "items");
    if (rc == SHMW_OK)
        put_item(rq, items, &item, buffer);
    return SHMW_OK;
}

int slick_view_check(struct request *rq, struct slick *slick, const cJSON *args)
{
    uint64_t view = 0;
    int rc = slick_need_reader(slick);
    if (rc == SHMW_OK)
        rc = need_u64(rq, args, "v", UINT64_MAX, &view);
    if (rc != SHMW_OK)
        return rc;
    if (view == 0 || view > slick->view_count)
        return request_fail(rq, DRIVER_BAD_REQUEST, "v %llu is not a view of this handle", (unsigned long long)view);
    rc = shmw_slick_view_check(slick->reader, &slick->views[view - 1]);
    if (rc >= 0)
        put_text(rq->ok, "st", answer_word(rc));
    return rc < 0 ? rc : SHMW_OK;
}

/* Live ------------------------------------------------------------------------------------------------------------- */

int slick_live_receive(void *held, struct live_message *messages, size_t max, uint64_t timeout_ns, size_t *count)
{
    struct slick_port *port = held;
    shmw_slick_reader *reader = port->slick->reader;
    int rc = SHMW_EMPTY;
    if (max > 1)
        rc = shmw_slick_next_batch(reader, port->buffer, port->batch * port->largest, port->items, max, count);
    if (rc == SHMW_EMPTY && (max == 1 || timeout_ns > 0)) {
        *count = 1;
        rc = timeout_ns > 0 ? shmw_slick_wait_next(reader, port->buffer, port->largest, timeout_ns, 0, &port->items[0])
                            : shmw_slick_next(reader, port->buffer, port->largest, &port->items[0]);
    }
    for (size_t i = 0; rc == SHMW_OK && i < *count; i++) {
        const struct shmw_slick_item *item = &port->items[i];
        memcpy(messages[i].data, port->buffer + item->offset, item->length);
        messages[i].length = item->length;
        messages[i].type = item->elements;
        messages[i].position = item->index;
        messages[i].next = item->index + item->elements;
        messages[i].skipped = item->lost;
    }
    return rc;
}
