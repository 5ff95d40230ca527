/* SPDX-License-Identifier: MIT
 *
 * Profile dmxp behind the driver protocol: reading. */
#include "dmxp.h"

#include <string.h>

#define MOST_ITEMS 1024 /* of one reply, so that it stays below the protocol's 4 MiB */

/* Read ------------------------------------------------------------------------------------------------------------- */

static void put_message(struct request *rq, cJSON *items, const struct shmw_dmxp_message *message, const void *data)
{
    cJSON *item = push_object(items);
    put_bytes(rq, item, "data", data, message->length);
    put_u64(item, "pos", message->position);
    cJSON *meta = put_object(item, "meta");
    put_u64(meta, "message_id", message->meta.message_id);
    put_u64(meta, "timestamp_ns", message->meta.timestamp_ns);
    put_number(meta, "message_type", message->meta.message_type);
    put_number(meta, "sender_pid", message->meta.sender_pid);
    put_number(meta, "sender_runtime", message->meta.sender_runtime);
    put_number(meta, "flags", message->meta.flags);
}

enum read_mode { READ_TRY, READ_BLOCK, READ_BATCH, READ_PEEK };

struct reading {
    shmw_dmxp_channel *channel;
    uint32_t id;
    enum read_mode mode;
    uint64_t max;
    uint64_t timeout_ns;
    uint64_t buffer_size;
    void *buffer;
    cJSON *items;
    uint64_t peek_position;
};

struct sleeper { /* the second handle that `on_sleep` asks for */
    struct dmxp *other;
    shmw_dmxp_channel *channel;
    struct bytes data;
    struct shmw_dmxp_meta meta;
    bool sent;
    int rc;
};

static void send_before_sleep(void *context)
{
    struct sleeper *sleeper = context;
    if (sleeper->sent)
        return;
    sleeper->sent = true;
    sleeper->rc = shmw_dmxp_try_send(sleeper->channel, sleeper->data.data, sleeper->data.len, &sleeper->meta, NULL);
    if (sleeper->rc == SHMW_OK)
        dmxp_count_sent(1);
}

static int prepare_sleeper(struct request *rq, const cJSON *on_sleep, struct sleeper *sleeper)
{
    const char *seg = NULL;
    uint32_t id = 0;
    void *other = NULL;
    int rc = need_text(rq, on_sleep, "seg", &seg);
    if (rc == SHMW_OK)
        rc = need_bytes(rq, on_sleep, "data", &sleeper->data);
    if (rc == SHMW_OK)
        rc = dmxp_take_meta(rq, on_sleep, 0, &sleeper->meta);
    if (rc == SHMW_OK)
        rc = dmxp_open(rq, seg, false, 0, NULL, &other);
    if (rc == SHMW_OK) {
        sleeper->other = other;
        rc = dmxp_take_channel(rq, other, on_sleep, &id, &sleeper->channel);
    }
    return rc;
}

static int take_mode(struct request *rq, enum read_mode *mode)
{
    static const char *const words[] = {[READ_TRY] = "try", [READ_BLOCK] = "block", [READ_BATCH] = "batch", [READ_PEEK] = "peek"};
    const char *word = NULL;
    const int rc = need_text(rq, rq->body, "mode", &word);
    if (rc != SHMW_OK)
        return rc;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(word, words[i]) == 0) {
            *mode = (enum read_mode)i;
            return SHMW_OK;
        }
    }
    return request_fail(rq, DRIVER_BAD_REQUEST, "mode is not try, block, batch or peek");
}

static int take_reading(struct request *rq, struct dmxp *dmxp, struct reading *reading)
{
    int rc = dmxp_take_channel(rq, dmxp, rq->body, &reading->id, &reading->channel);
    if (rc == SHMW_OK)
        rc = take_mode(rq, &reading->mode);
    if (rc == SHMW_OK)
        rc = want_u64(rq, rq->body, "max", UINT64_MAX, &reading->max);
    if (rc == SHMW_OK)
        rc = want_timeout(rq, &reading->timeout_ns);
    if (rc != SHMW_OK)
        return rc;
    if (reading->max == 0)
        return request_fail(rq, DRIVER_BAD_REQUEST, "max is 0");
    reading->max = reading->max < MOST_ITEMS ? reading->max : MOST_ITEMS;
    reading->buffer_size = SHMW_DMXP_PAYLOAD_CAPACITY_CRATE * (reading->mode == READ_BATCH ? reading->max : 1);
    rc = want_u64(rq, rq->body, "buffer", DRIVER_LONGEST_DATA, &reading->buffer_size);
    if (rc == SHMW_OK)
        reading->buffer = request_alloc(rq, (size_t)reading->buffer_size + 1);
    return rc;
}

static int read_batch(struct request *rq, struct reading *reading)
{
    struct shmw_dmxp_message *messages = request_alloc(rq, (size_t)reading->max * sizeof(*messages));
    size_t count = 0;
    const int rc = shmw_dmxp_try_receive_batch(reading->channel, reading->buffer, (size_t)reading->buffer_size, messages,
                                               (size_t)reading->max, &count);
    if (rc == SHMW_TOO_SMALL)
        rq->needed = messages[0].length;
    for (size_t i = 0; rc == SHMW_OK && i < count; i++)
        put_message(rq, reading->items, &messages[i], (const unsigned char *)reading->buffer + messages[i].offset);
    return rc;
}

static int read_one(struct request *rq, struct reading *reading, bool first)
{
    struct shmw_dmxp_message message = {0};
    const size_t size = (size_t)reading->buffer_size;
    int rc;
    if (reading->mode == READ_PEEK)
        rc = shmw_dmxp_peek(reading->channel, &reading->peek_position, reading->buffer, size, &message);
    else if (reading->mode == READ_BLOCK && first)
        rc = shmw_dmxp_receive(reading->channel, reading->buffer, size, reading->timeout_ns, 0, &message);
    else
        rc = shmw_dmxp_try_receive(reading->channel, reading->buffer, size, &message);
    if (rc == SHMW_OK)
        put_message(rq, reading->items, &message, reading->buffer);
    if (rc == SHMW_TOO_SMALL)
        rq->needed = message.length;
    return rc;
}

static int read_all(struct request *rq, struct reading *reading)
{
    if (reading->mode == READ_BATCH)
        return read_batch(rq, reading);
    int rc = read_one(rq, reading, true);
    for (uint64_t n = 1; rc == SHMW_OK && n < reading->max; n++)
        rc = read_one(rq, reading, false);
    return rc;
}

static int read_with_sleeper(struct request *rq, struct reading *reading)
{
    const cJSON *on_sleep = field(rq->body, "on_sleep");
    if (on_sleep == NULL)
        return read_all(rq, reading);
    struct sleeper sleeper = {0};
    int rc = prepare_sleeper(rq, on_sleep, &sleeper);
    if (rc == SHMW_OK) {
        shmw_dmxp_set_sleep_hook(reading->channel, send_before_sleep, &sleeper);
        rc = read_all(rq, reading);
        shmw_dmxp_set_sleep_hook(reading->channel, NULL, NULL);
    }
    if (sleeper.other != NULL)
        dmxp_close(sleeper.other);
    if (rc >= 0 && sleeper.sent && sleeper.rc != SHMW_OK)
        return request_fail(rq, DRIVER_INTERNAL, "on_sleep: the message was not sent: %s", shmw_strerror(sleeper.rc));
    return rc;
}

int dmxp_read(struct request *rq, void *segment)
{
    struct dmxp *dmxp = segment;
    struct reading reading = {0};
    int rc = take_reading(rq, dmxp, &reading);
    if (rc != SHMW_OK)
        return rc;
    rc = dmxp->pending[reading.id];
    dmxp->pending[reading.id] = SHMW_OK;
    if (rc != SHMW_OK)
        return rc;
    reading.items = cJSON_CreateArray();
    if (reading.items == NULL || !cJSON_AddItemToObject(rq->ok, "items", reading.items))
        return DRIVER_INTERNAL;
    rc = read_with_sleeper(rq, &reading);
    const bool some = cJSON_GetArraySize(reading.items) > 0;
    if (rc < 0 && !some)
        return rc;
    if (rc < 0)
        dmxp->pending[reading.id] = rc;
    put_text(rq->ok, "st", answer_word(some ? SHMW_OK : rc));
    return SHMW_OK;
}

/* Live ------------------------------------------------------------------------------------------------------------- */

int dmxp_live_receive(void *held, struct live_message *messages, size_t max, uint64_t timeout_ns, size_t *count)
{
    struct dmxp_port *port = held;
    const size_t each = SHMW_DMXP_PAYLOAD_CAPACITY_CRATE;
    int rc = SHMW_EMPTY;
    if (max > 1)
        rc = shmw_dmxp_try_receive_batch(port->channel, port->buffer, max * each, port->messages, max, count);
    if (rc == SHMW_EMPTY && (max == 1 || timeout_ns > 0)) {
        *count = 1;
        rc = timeout_ns > 0 ? shmw_dmxp_receive(port->channel, port->buffer, each, timeout_ns, 0, &port->messages[0])
                            : shmw_dmxp_try_receive(port->channel, port->buffer, each, &port->messages[0]);
    }
    for (size_t i = 0; rc == SHMW_OK && i < *count; i++) {
        const struct shmw_dmxp_message *message = &port->messages[i];
        memcpy(messages[i].data, port->buffer + message->offset, message->length);
        messages[i].length = message->length;
        messages[i].position = message->position;
        messages[i].type = message->meta.message_type;
        messages[i].sender_pid = message->meta.sender_pid;
    }
    return rc;
}
