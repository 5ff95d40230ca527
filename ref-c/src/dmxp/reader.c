/* SPDX-License-Identifier: MIT
 *
 * Profile dmxp, sections 6 to 8: consuming, looking, sleeping. The steps are those of the chapter, in its order. */
#include "../wait.h"
#include "internal.h"

/* Used inside this file only: the cursor moved under us, look again. */
#define LOOK_AGAIN 100

/* How often to look at an empty slot again before the answer is EMPTY: about 60 ns, which is what a call and a message in flight
 * cost each other anyway. */
#define LOOKS_BEFORE_EMPTY 4

static int check_consumer(const shmw_dmxp_channel *channel, const void *buffer, size_t size)
{
    if (channel == NULL || (buffer == NULL && size > 0))
        return SHMW_INVALID_ARGUMENT;
    return channel->writable ? SHMW_OK : SHMW_PERMISSION;
}

/* The cursor that led to something odd: has it moved? If so *position gets its new value. */
static bool head_moved(const shmw_dmxp_channel *channel, uint64_t *position)
{
    shmw_fence_acquire(); /* if what we read was a later lap's, head is seen to have moved (with F6, R3) */
    const uint64_t now = shmw_load_relaxed(&channel->entry->head);
    const bool moved = now != *position;
    *position = now;
    return moved;
}

/* Another consumer took what we were about to take: where to go on. */
static uint64_t head_after_loss(const shmw_dmxp_channel *channel, unsigned *turns)
{
    shmw_stand_back(turns);
    return shmw_load_relaxed(&channel->entry->head);
}

/* Does the slot change while we look a few times more? */
static bool changes_soon(const struct shmw_dmxp_wire_slot *slot, uint64_t sequence)
{
    for (int look = 0; look < LOOKS_BEFORE_EMPTY; look++) {
        shmw_relax();
        shmw_prefetch_to_read(slot);
        if (shmw_load_relaxed(&slot->sequence) != sequence)
            return true;
    }
    return false;
}

/* The slot of *head is not published: SHMW_EMPTY, SHMW_CLOSED, SHMW_CORRUPT or LOOK_AGAIN. A consumer that
 * does not sleep never touches the entry's first line, which producers write. */
static int not_published(const shmw_dmxp_channel *channel, uint64_t sequence, uint64_t *head)
{
    const uint64_t position = *head;
    const bool waiting = sequence == position || sequence == position - channel->capacity + 1;
    if (waiting ? changes_soon(shmw_dmxp_slot(channel, position), sequence) : head_moved(channel, head))
        return LOOK_AGAIN;
    if (shmw_dmxp_removed_for_consumers(channel)) /* [dmxp.channel.closed] */
        return SHMW_CLOSED;
    return waiting ? SHMW_EMPTY : SHMW_CORRUPT; /* [dmxp.consume.empty, .impossible] */
}

static inline void release(const shmw_dmxp_channel *channel, struct shmw_dmxp_wire_slot *slot, uint64_t position)
{
    /* R3: pairs with A3; our last load from the slot before the producer of the next lap [dmxp.consume.release] */
    shmw_store_release(&slot->sequence, position + channel->capacity);
}

/* From a claimed slot: nobody else touches it until it is released. */
static inline void copy_out(const shmw_dmxp_channel *channel, struct shmw_dmxp_wire_slot *slot, uint64_t position,
                            const struct shmw_dmxp_glance *seen, void *buffer, struct shmw_dmxp_message *message)
{
    if (message != NULL)
        *message = shmw_dmxp_read_message(channel, slot, position, seen);
    if (seen->length > 0)
        memcpy(buffer, shmw_dmxp_payload(slot, seen->area), seen->length);
}

/* Taking one ------------------------------------------------------------------------------------------------------- */

int shmw_dmxp_try_receive(shmw_dmxp_channel *channel, void *buffer, size_t size, struct shmw_dmxp_message *message)
{
    const int rc = check_consumer(channel, buffer, size);
    if (rc != SHMW_OK)
        return rc;
    unsigned turns = SHMW_STAND_BACK_FIRST;
    uint64_t head = shmw_load_relaxed(&channel->entry->head);
    for (;;) {
        struct shmw_dmxp_wire_slot *slot = shmw_dmxp_slot(channel, head);
        shmw_prefetch_to_read(slot); /* the payload's line on its way together with the sequence's: a third less round trip at 64 bytes */
        /* A2: pairs with R2; meta and payload after the sequence that publishes them [dmxp.consume.claim] */
        const uint64_t sequence = shmw_load_acquire(&slot->sequence);
        if (sequence != head + 1) {
            const int answer = not_published(channel, sequence, &head);
            if (answer == LOOK_AGAIN)
                continue;
            return answer;
        }
        const struct shmw_dmxp_glance seen = shmw_dmxp_glance_at(channel, slot);
        const bool possible = seen.length <= seen.area.capacity; /* [dmxp.consume.payload-len] */
        const bool tombstone = (seen.flags & SHMW_DMXP_MESSAGE_TOMBSTONE) != 0;
        if (possible && !tombstone && seen.length > size) {
            if (head_moved(channel, &head))
                continue;
            return shmw_dmxp_too_small(channel, head, &seen, message); /* [dmxp.consume.too-small] */
        }
        /* R5: pairs with A5; the tail behind this position for those who compare the cursors */
        if (!shmw_cas_release(&channel->entry->head, &head, head + 1)) {
            head = head_after_loss(channel, &turns);
            continue;
        }
        if (possible && !tombstone)
            copy_out(channel, slot, head, &seen, buffer, message);
        release(channel, slot, head);
        if (!possible)
            return SHMW_CORRUPT;
        if (!tombstone)
            return SHMW_OK;
        head++; /* [dmxp.consume.tombstone]: on to the next position */
    }
}

/* Taking many ------------------------------------------------------------------------------------------------------ */

/* How many messages from head on are published, deliverable and fit together. What was loaded is kept in messages. */
static size_t measure_run(const shmw_dmxp_channel *channel, uint64_t head, size_t size, struct shmw_dmxp_message *messages,
                          size_t max)
{
    size_t used = 0;
    size_t count = 0;
    while (count < max) {
        const uint64_t position = head + count;
        const struct shmw_dmxp_wire_slot *slot = shmw_dmxp_slot(channel, position);
        if (shmw_load_acquire(&slot->sequence) != position + 1) /* A2: pairs with R2 */
            break;
        const struct shmw_dmxp_glance seen = shmw_dmxp_glance_at(channel, slot);
        const bool tombstone = (seen.flags & SHMW_DMXP_MESSAGE_TOMBSTONE) != 0;
        if (tombstone || seen.length > seen.area.capacity || seen.length > size - used)
            break;
        messages[count].length = seen.length;
        messages[count].offset = used;
        messages[count].meta.sender_runtime = seen.sender_runtime;
        messages[count].meta.flags = seen.flags;
        used += seen.length;
        count++;
    }
    return count;
}

/* Copy out and release, one after the other, what has been claimed; producers can go on behind us. */
static void take_run(const shmw_dmxp_channel *channel, uint64_t head, unsigned char *buffer, struct shmw_dmxp_message *messages,
                     size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct shmw_dmxp_wire_slot *slot = shmw_dmxp_slot(channel, head + i);
        struct shmw_dmxp_message *message = &messages[i];
        const struct shmw_dmxp_glance seen = {
            .area = shmw_dmxp_area_for(channel, message->meta.sender_runtime),
            .length = message->length,
            .sender_runtime = message->meta.sender_runtime,
            .flags = message->meta.flags,
        };
        const size_t offset = message->offset;
        copy_out(channel, slot, head + i, &seen, buffer != NULL ? buffer + offset : NULL, message);
        message->offset = offset;
        release(channel, slot, head + i);
    }
}

int shmw_dmxp_try_receive_batch(shmw_dmxp_channel *channel, void *buffer, size_t size, struct shmw_dmxp_message *messages,
                                size_t max, size_t *count)
{
    int rc = check_consumer(channel, buffer, size);
    if (rc == SHMW_OK && (messages == NULL || count == NULL || max == 0))
        rc = SHMW_INVALID_ARGUMENT;
    if (rc != SHMW_OK)
        return rc;
    const size_t most = (size_t)shmw_min_u64(max, channel->capacity);
    unsigned turns = SHMW_STAND_BACK_FIRST;
    uint64_t head = shmw_load_relaxed(&channel->entry->head);
    for (;;) {
        const size_t run = measure_run(channel, head, size, messages, most);
        if (run == 0)
            break;
        if (shmw_cas_release(&channel->entry->head, &head, head + run)) { /* R5: pairs with A5 */
            take_run(channel, head, buffer, messages, run);
            *count = run;
            return SHMW_OK;
        }
        head = head_after_loss(channel, &turns);
    }
    /* Nothing plain in front: empty, a tombstone, too large for the buffer, or broken. The single call knows what to do. */
    rc = shmw_dmxp_try_receive(channel, buffer, size, &messages[0]);
    *count = rc == SHMW_OK ? 1 : 0;
    return rc;
}

/* Sleeping --------------------------------------------------------------------------------------------------------- */

/* Poll the slot of head, without touching what producers write for sleepers, until something is there or the time is up. */
static void spin(const shmw_dmxp_channel *channel, uint64_t until)
{
    do {
        const uint64_t head = shmw_load_relaxed(&channel->entry->head);
        const uint64_t sequence = shmw_load_relaxed(&shmw_dmxp_slot(channel, head)->sequence);
        if (sequence != head && sequence != head - channel->capacity + 1)
            return;
        shmw_relax();
    } while (!shmw_expired(until));
}

/* Be counted, and sleep unless something was published since value was loaded [dmxp.wait.count, .slice]. */
static int sleep_once(const shmw_dmxp_channel *channel, uint32_t value, uint64_t deadline)
{
    struct shmw_dmxp_wire_channel *entry = channel->entry;
    int rc = SHMW_OK;
    shmw_add_seqcst(&entry->waiters, 1); /* S5: before our look at signal; pairs with the producer's two operations */
    if (shmw_load_seqcst(&entry->signal) == value) /* S5 */
        rc = shmw_futex_wait(&entry->signal, value, shmw_remaining(deadline, SHMW_DMXP_WAIT_SLICE_NS));
    shmw_sub_seqcst(&entry->waiters, 1); /* S5 */
    return rc;
}

/* We were woken and leave. If that wake was meant for two messages, the next one's sleeper hears it from us [dmxp.wait.pass-on]. */
static void pass_on(const shmw_dmxp_channel *channel)
{
    const uint64_t head = shmw_load_relaxed(&channel->entry->head);
    if (shmw_load_acquire(&shmw_dmxp_slot(channel, head)->sequence) == head + 1) /* A2: pairs with R2 */
        shmw_futex_wake(&channel->entry->signal, 1);
}

int shmw_dmxp_receive(shmw_dmxp_channel *channel, void *buffer, size_t size, uint64_t timeout_ns, uint64_t spin_ns,
                      struct shmw_dmxp_message *message)
{
    int rc = shmw_dmxp_try_receive(channel, buffer, size, message);
    if (rc != SHMW_EMPTY)
        return rc;
    const uint64_t deadline = shmw_deadline(timeout_ns);
    if (spin_ns > 0)
        spin(channel, shmw_min_u64(shmw_deadline(spin_ns), deadline));
    for (bool slept = false;; slept = true) {
        const bool last = shmw_expired(deadline); /* first, so that one look comes after it [dmxp.wait.timeout] */
        /* A4: pairs with R4; what was published before this value is found below [dmxp.wait.load-first] */
        const uint32_t value = shmw_load_acquire(&channel->entry->signal);
        rc = shmw_dmxp_try_receive(channel, buffer, size, message);
        if (rc != SHMW_EMPTY && slept)
            pass_on(channel);
        if (rc != SHMW_EMPTY)
            return rc;
        if (last)
            return SHMW_TIMEOUT;
        if (channel->sleep_hook != NULL)
            channel->sleep_hook(channel->sleep_context);
        rc = sleep_once(channel, value, deadline);
        if (rc != SHMW_OK)
            return rc;
    }
}

void shmw_dmxp_set_sleep_hook(shmw_dmxp_channel *channel, shmw_dmxp_sleep_hook hook, void *context)
{
    if (channel == NULL)
        return;
    channel->sleep_hook = hook;
    channel->sleep_context = context;
}
