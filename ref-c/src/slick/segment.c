/* SPDX-License-Identifier: MIT
 *
 * Profile slick, section 3 and the reset of section 6: making a queue, attaching to one, clearing it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* Handles ---------------------------------------------------------------------------------------------------------- */

/* The queue's parts in its mapping, once its geometry is known. */
static void lay_out(shmw_slick_queue *queue)
{
    const uint64_t table_end = shmw_end_of(SHMW_SLICK_SLOT_TABLE_OFFSET, sizeof(struct shmw_slick_wire_slot), queue->size);
    queue->slots = (struct shmw_slick_wire_slot *)(void *)(queue->map.base + SHMW_SLICK_SLOT_TABLE_OFFSET);
    queue->elements = queue->map.base + table_end;
}

static uint64_t length_of(uint64_t size, uint64_t element_size)
{
    const uint64_t table_end = shmw_end_of(SHMW_SLICK_SLOT_TABLE_OFFSET, sizeof(struct shmw_slick_wire_slot), size);
    return shmw_end_of(table_end, element_size, size);
}

/* [slick.segment.name] */
static char *name_of(const char *locator)
{
    const char *name = locator != NULL ? shmw_posix_name(locator) : NULL;
    const char *text = name != NULL ? name : locator != NULL ? locator : "";
    const size_t room = strlen(text) + 2;
    char *full = malloc(room);
    if (full != NULL)
        snprintf(full, room, "%s%s", name != NULL ? "/" : "", text);
    return full;
}

static shmw_slick_queue *new_queue(const char *locator)
{
    shmw_slick_queue *queue = calloc(1, sizeof(*queue));
    if (queue == NULL)
        return NULL;
    queue->map.fd = -1;
    queue->pid = shmw_pid_cache_new();
    queue->shm_name = name_of(locator);
    if (queue->shm_name != NULL)
        return queue;
    shmw_slick_close(queue);
    errno = ENOMEM;
    return NULL;
}

void shmw_slick_close(shmw_slick_queue *queue)
{
    if (queue == NULL)
        return;
    if (queue->map.base != NULL)
        shmw_map_close(&queue->map);
    shmw_pid_cache_free(queue->pid);
    free(queue->shm_name);
    free(queue);
}

static int hand_over(shmw_slick_queue *queue, int rc, shmw_slick_queue **out)
{
    if (rc == SHMW_OK) {
        *out = queue;
        return SHMW_OK;
    }
    const int cause = errno;
    shmw_slick_close(queue);
    errno = cause;
    return rc;
}

/* Creating --------------------------------------------------------------------------------------------------------- */

/* [slick.segment.portable-name]: the slash that is not in the name counts. */
static int check_name(const char *locator, bool portable)
{
#if defined(__APPLE__)
    portable = true;
#endif
    const char *name = locator != NULL && portable ? shmw_posix_name(locator) : NULL;
    return name == NULL || strlen(name) + 1 <= SHMW_SLICK_PORTABLE_NAME_MAX ? SHMW_OK : SHMW_INVALID_NAME;
}

static int fill_in_options(struct shmw_slick_create_options *options)
{
    if (options->generation == 0)
        options->generation = SHMW_SLICK_1_4;
    if (options->size == 0)
        options->size = SHMW_SLICK_DEFAULT_SIZE;
    if (options->mode == 0)
        options->mode = SHMW_SLICK_DEFAULT_MODE;
    const bool known = options->generation >= SHMW_SLICK_1_2 && options->generation <= SHMW_SLICK_1_4;
    const bool sized = shmw_is_power_of_two(options->size) && options->element_size != 0; /* [slick.segment.argument] */
    return known && sized && options->mode <= 0777 ? SHMW_OK : SHMW_INVALID_ARGUMENT;
}

/* Relaxed: what publishes them, a word or a caller's own means, comes after them. */
static void clear_slots(const shmw_slick_queue *queue)
{
    for (uint64_t k = 0; k < queue->size; k++) {
        shmw_field_store(&queue->slots[k].size, 1);
        shmw_store_relaxed(&queue->slots[k].data_index, SHMW_SLICK_NO_INDEX);
    }
}

/* The memory is ours and full of zeros: only what differs is stored [slick.segment.init]. */
static void write_header(const shmw_slick_queue *queue)
{
    struct shmw_slick_wire_header *header = shmw_slick_header(queue);
    const bool stated = queue->generation != SHMW_SLICK_1_2;
    if (stated)
        shmw_store_relaxed(&header->init_state, SHMW_SLICK_STATE_BEGUN);
    shmw_field_store(&header->element_size, (uint32_t)queue->element_size);
    clear_slots(queue);
    if (queue->generation == SHMW_SLICK_1_4) {
        shmw_store_relaxed(&header->last_published, SHMW_SLICK_NO_INDEX);
        shmw_field_store(&header->header_magic, SHMW_SLICK_MAGIC);
    }
    /* R0: pairs with A0; in generation 1.2 the publication, otherwise who sees the size sees a state that is not 0 */
    shmw_store_release(&header->size, (uint32_t)queue->size);
    const uint32_t ready = queue->generation == SHMW_SLICK_1_4 ? SHMW_SLICK_STATE_READY_14 : SHMW_SLICK_STATE_READY_13;
    if (stated)
        shmw_store_release(&header->init_state, ready); /* R0: pairs with A0; everything before it */
}

int shmw_slick_create(const char *locator, const struct shmw_slick_create_options *options, shmw_slick_queue **out)
{
    if (options == NULL || out == NULL)
        return SHMW_INVALID_ARGUMENT;
    struct shmw_slick_create_options chosen = *options;
    int rc = fill_in_options(&chosen);
    if (rc == SHMW_OK)
        rc = check_name(locator, chosen.portable_name);
    if (rc != SHMW_OK)
        return rc;
    shmw_slick_queue *queue = new_queue(locator);
    if (queue == NULL)
        return SHMW_SYSTEM;
    queue->size = chosen.size;
    queue->element_size = chosen.element_size;
    queue->generation = chosen.generation;
    queue->length = length_of(queue->size, queue->element_size);
    rc = locator != NULL ? shmw_map_create(locator, queue->length, queue->length, chosen.mode, &queue->map)
                         : shmw_map_anonymous(queue->length, &queue->map);
    if (rc == SHMW_OK) {
        lay_out(queue);
        shmw_map_prefault(&queue->map, 0, queue->map.size);
        write_header(queue);
    }
    return hand_over(queue, rc, out);
}

/* Attaching -------------------------------------------------------------------------------------------------------- */

/* Which generation has been published? SHMW_NOT_READY when none has been, yet. */
static int load_generation(const shmw_slick_queue *queue, enum shmw_slick_generation *generation)
{
    const struct shmw_slick_wire_header *header = shmw_slick_header(queue);
    /* The size first: creators from 1.3 on have left state 0 before they store it. */
    const uint32_t size = shmw_load_acquire(&header->size);        /* A0: pairs with R0 */
    const uint32_t state = shmw_load_acquire(&header->init_state); /* A0: pairs with R0; the header and the slots after it */
    *generation = state == SHMW_SLICK_STATE_READY_14 ? SHMW_SLICK_1_4 :
                  state == SHMW_SLICK_STATE_READY_13 ? SHMW_SLICK_1_3 : SHMW_SLICK_1_2; /* [slick.segment.generation] */
    if (state > SHMW_SLICK_STATE_READY_14) /* [slick.segment.state] */
        return SHMW_BAD_VERSION;
    const bool nothing = state == SHMW_SLICK_STATE_NONE && size == 0;
    return state == SHMW_SLICK_STATE_BEGUN || nothing ? SHMW_NOT_READY : SHMW_OK; /* [slick.segment.not-ready] */
}

static int await_ready(const shmw_slick_queue *queue, uint64_t deadline, enum shmw_slick_generation *generation)
{
    struct shmw_backoff backoff = {0};
    for (;;) {
        const bool last = shmw_expired(deadline);
        const int rc = load_generation(queue, generation);
        if (rc != SHMW_NOT_READY || last)
            return rc;
        shmw_backoff_pause(&backoff, deadline);
    }
}

int shmw_slick_check_header(shmw_slick_queue *queue, const char **finding)
{
    const struct shmw_slick_wire_header *header = shmw_slick_header(queue);
    *finding = "header_magic is not MAGIC";
    if (queue->generation == SHMW_SLICK_1_4 && shmw_field_load(&header->header_magic) != SHMW_SLICK_MAGIC)
        return SHMW_BAD_MAGIC; /* [slick.segment.magic] */
    queue->size = shmw_load_acquire(&header->size); /* A0: pairs with R0 */
    queue->element_size = shmw_field_load(&header->element_size);
    *finding = "size is not a power of two from 1 to 2^31";
    if (!shmw_is_power_of_two(queue->size)) /* [slick.segment.geometry] */
        return SHMW_BAD_GEOMETRY;
    *finding = "element_size is 0";
    if (queue->element_size == 0)
        return SHMW_BAD_GEOMETRY;
    queue->length = length_of(queue->size, queue->element_size);
    *finding = "the elements pass the end of the segment";
    if (queue->length > queue->map.size) /* [slick.segment.size] */
        return SHMW_TRUNCATED;
    *finding = NULL;
    return SHMW_OK;
}

static int attach(shmw_slick_queue *queue, const char *locator, const struct shmw_slick_open_options *options)
{
    const uint64_t wait = options->ready_timeout_ns != 0 ? options->ready_timeout_ns : SHMW_SLICK_DEFAULT_READY_TIMEOUT_NS;
    const uint64_t deadline = shmw_deadline(options->no_wait ? 0 : wait);
    const char *finding;
    int rc = shmw_map_open(locator, options->read_only, sizeof(struct shmw_slick_wire_header), deadline, &queue->map);
    if (rc == SHMW_OK)
        rc = await_ready(queue, deadline, &queue->generation);
    if (rc == SHMW_OK)
        rc = shmw_slick_check_header(queue, &finding);
    if (rc != SHMW_OK)
        return rc;
    lay_out(queue);
    shmw_map_prefault(&queue->map, 0, queue->length);
    return SHMW_OK;
}

int shmw_slick_open(const char *locator, const struct shmw_slick_open_options *options, shmw_slick_queue **out)
{
    if (locator == NULL || out == NULL)
        return SHMW_INVALID_ARGUMENT;
    const struct shmw_slick_open_options chosen = options != NULL ? *options : (struct shmw_slick_open_options){0};
    shmw_slick_queue *queue = new_queue(locator);
    return queue != NULL ? hand_over(queue, attach(queue, locator, &chosen), out) : SHMW_SYSTEM;
}

/* Looking and clearing --------------------------------------------------------------------------------------------- */

int shmw_slick_info(const shmw_slick_queue *queue, struct shmw_slick_queue_info *info)
{
    if (queue == NULL || info == NULL)
        return SHMW_INVALID_ARGUMENT;
    *info = (struct shmw_slick_queue_info){
        .generation = queue->generation,
        .size = (uint32_t)queue->size,
        .element_size = (uint32_t)queue->element_size,
        .length = queue->length,
        .settled = shmw_load_acquire(&shmw_slick_header(queue)->settled), /* A1: pairs with R1 */
        .next_index = shmw_slick_next_index(queue),
    };
    return SHMW_OK;
}

const char *shmw_slick_shm_name(const shmw_slick_queue *queue)
{
    return queue != NULL ? queue->shm_name : "";
}

int shmw_slick_reset(shmw_slick_queue *queue)
{
    if (queue == NULL)
        return SHMW_INVALID_ARGUMENT;
    if (!queue->map.writable)
        return SHMW_PERMISSION;
    struct shmw_slick_wire_header *header = shmw_slick_header(queue);
    clear_slots(queue); /* [slick.reset.clear] */
    if (queue->generation == SHMW_SLICK_1_4)
        shmw_store_release(&header->last_published, SHMW_SLICK_NO_INDEX); /* R3: pairs with A3 */
    shmw_store_release(&header->settled, 0); /* R1: pairs with A1 */
    shmw_fence_release();                    /* F5: pairs with F5; cleared slots before the index that sends readers to them */
    shmw_store_relaxed(&header->reserved, 0);
    return SHMW_OK;
}
