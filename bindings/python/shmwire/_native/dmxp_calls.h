/* SPDX-License-Identifier: MIT
 *
 * Thin calls of the native engine into the C implementation: one crossing for each operation of the Python API, results in one
 * word and one buffer, so that Python has as little as possible to take apart.
 *
 * A call that returns uint64_t returns what it is asked for (a position, a length, a count), or, from SHMWPY_FAILED on, an error of
 * the registry as 2^64 + code and a result of the registry as 2^64 - 1000 - code. Positions up there exist only in hostile segments.
 */
#ifndef SHMWPY_DMXP_CALLS_H
#define SHMWPY_DMXP_CALLS_H

#include <stdlib.h>
#include <string.h>

#include "dmxp/internal.h"
#include "shmwire/dmxp.h"
#include "wait.h"

#define SHMWPY_FAILED (UINT64_MAX - 4095)
#define SHMWPY_ITEMS_ON_STACK 64

static uint64_t shmwpy_fold(int rc)
{
    return rc < 0 ? (uint64_t)(int64_t)rc : (uint64_t)(-1000 - (int64_t)rc);
}

/* What Python knows of a message (BATCH_HEAD in shmwire/dmxp/message.py), in front of the payload or of a batch's blob. */
struct shmwpy_head {
    uint64_t position;
    uint64_t message_id;
    uint64_t timestamp_ns;
    uint32_t channel_id;
    uint32_t message_type;
    uint32_t sender_pid;
    uint16_t sender_runtime;
    uint16_t flags;
    uint32_t length;
    uint32_t offset; /* of the payload in the blob of a batch */
};
_Static_assert(sizeof(struct shmwpy_head) == 48, "BATCH_HEAD of message.py");

static void shmwpy_put_head(struct shmwpy_head *head, const struct shmw_dmxp_message *message)
{
    head->position = message->position;
    head->message_id = message->meta.message_id;
    head->timestamp_ns = message->meta.timestamp_ns;
    head->channel_id = message->channel_id;
    head->message_type = message->meta.message_type;
    head->sender_pid = message->meta.sender_pid;
    head->sender_runtime = message->meta.sender_runtime;
    head->flags = message->meta.flags;
    head->length = message->length;
    head->offset = (uint32_t)message->offset;
}

/* Sending ---------------------------------------------------------------------------------------------------------- */

static uint64_t shmwpy_dmxp_send(shmw_dmxp_channel *channel, const void *data, size_t length, uint64_t timeout_ns, uint64_t message_id,
                                 uint64_t timestamp_ns, uint32_t message_type, uint32_t sender_pid, uint16_t sender_runtime,
                                 uint16_t flags)
{
    const struct shmw_dmxp_meta meta = {.message_id = message_id,
                                        .timestamp_ns = timestamp_ns,
                                        .message_type = message_type,
                                        .sender_pid = sender_pid,
                                        .sender_runtime = sender_runtime,
                                        .flags = flags};
    uint64_t position;
    const int rc = timeout_ns == 0 ? shmw_dmxp_try_send(channel, data, length, &meta, &position)
                                   : shmw_dmxp_send(channel, data, length, &meta, timeout_ns, &position);
    return rc == SHMW_OK ? position : shmwpy_fold(rc);
}

/* What Python packs for each message of a batch. */
_Static_assert(sizeof(struct shmw_dmxp_meta) == 32 && offsetof(struct shmw_dmxp_meta, message_id) == 0 &&
                   offsetof(struct shmw_dmxp_meta, timestamp_ns) == 8 && offsetof(struct shmw_dmxp_meta, message_type) == 16 &&
                   offsetof(struct shmw_dmxp_meta, sender_pid) == 20 && offsetof(struct shmw_dmxp_meta, sender_runtime) == 24 &&
                   offsetof(struct shmw_dmxp_meta, flags) == 26,
               "_META of native.py");

/* The payloads lie one behind the other in blob, each as long as lengths says, or, where that is NULL, `each` bytes; packed is empty,
 * or one struct shmw_dmxp_meta per item. */
static uint64_t shmwpy_dmxp_send_batch(shmw_dmxp_channel *channel, const char *blob, const size_t *lengths, size_t each,
                                       size_t count, const char *packed, size_t packed_size)
{
    /* The data of a bytes object is aligned to 8 bytes wherever CPython runs; elsewhere this would be refused. */
    const struct shmw_dmxp_meta *metas = packed_size > 0 ? (const struct shmw_dmxp_meta *)(const void *)packed : NULL;
    if ((uintptr_t)metas % _Alignof(struct shmw_dmxp_meta) != 0 || (metas != NULL && packed_size != count * sizeof(*metas)))
        return shmwpy_fold(SHMW_INVALID_ARGUMENT);
    if (count == 0)
        return shmwpy_fold(SHMW_INVALID_ARGUMENT);
    struct shmw_dmxp_item on_stack[SHMWPY_ITEMS_ON_STACK];
    struct shmw_dmxp_item *items = on_stack;
    if (count > SHMWPY_ITEMS_ON_STACK) {
        items = (struct shmw_dmxp_item *)malloc(count * sizeof(*items));
        if (items == NULL)
            return shmwpy_fold(SHMW_SYSTEM);
    }
    size_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        items[i].data = blob + offset;
        items[i].length = lengths != NULL ? lengths[i] : each;
        items[i].meta = metas != NULL ? &metas[i] : NULL;
        offset += items[i].length;
    }
    uint64_t position;
    const int rc = shmw_dmxp_try_send_batch(channel, items, count, &position);
    if (items != on_stack)
        free(items);
    return rc == SHMW_OK ? position : shmwpy_fold(rc);
}

/* Receiving: buffer holds a head and then size bytes. The length of the payload; TOO_SMALL leaves the size needed in the head. ------ */

static uint64_t shmwpy_dmxp_received(int rc, char *buffer, const struct shmw_dmxp_message *message)
{
    if (rc != SHMW_OK && rc != SHMW_TOO_SMALL)
        return shmwpy_fold(rc);
    struct shmwpy_head head;
    shmwpy_put_head(&head, message);
    memcpy(buffer, &head, sizeof(head));
    return rc == SHMW_OK ? message->length : shmwpy_fold(rc);
}

static uint64_t shmwpy_dmxp_receive(shmw_dmxp_channel *channel, char *buffer, size_t size, uint64_t timeout_ns, uint64_t spin_ns)
{
    struct shmw_dmxp_message message;
    message.offset = 0;
    const int rc = shmw_dmxp_receive(channel, buffer + sizeof(struct shmwpy_head), size, timeout_ns, spin_ns, &message);
    return shmwpy_dmxp_received(rc, buffer, &message);
}

/* What shmw_dmxp_receive does after a sleep of its own, for a sleep that an earlier call made [dmxp.wait.pass-on]. */
static void shmwpy_dmxp_pass_on(shmw_dmxp_channel *channel)
{
    const uint64_t head = shmw_load_relaxed(&channel->entry->head);
    if (shmw_load_acquire(&shmw_dmxp_slot(channel, head)->sequence) == head + 1) /* A2: pairs with R2 */
        shmw_futex_wake(&channel->entry->signal, 1);
}

static uint64_t shmwpy_dmxp_peek(shmw_dmxp_channel *channel, uint64_t *position, char *buffer, size_t size)
{
    struct shmw_dmxp_message message;
    message.offset = 0;
    return shmwpy_dmxp_received(shmw_dmxp_peek(channel, position, buffer + sizeof(struct shmwpy_head), size, &message), buffer,
                                &message);
}

/* How many messages; their heads go to heads, which has room for max, and their payloads one behind the other to blob. messages is
 * scratch. TOO_SMALL leaves the size needed in the first head. */
static uint64_t shmwpy_dmxp_receive_batch(shmw_dmxp_channel *channel, struct shmwpy_head *heads, char *blob, size_t size,
                                          struct shmw_dmxp_message *messages, size_t max)
{
    size_t count = 0;
    const int rc = shmw_dmxp_try_receive_batch(channel, blob, size, messages, max, &count);
    if (rc == SHMW_TOO_SMALL)
        heads[0].length = messages[0].length;
    if (rc != SHMW_OK)
        return shmwpy_fold(rc);
    for (size_t i = 0; i < count; i++)
        shmwpy_put_head(&heads[i], &messages[i]);
    return count;
}

#endif
