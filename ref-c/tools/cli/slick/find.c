/* SPDX-License-Identifier: MIT
 *
 * Findings of profile slick: every rule of the chapter that bytes alone can show to be broken. What looks odd is reported only if
 * the words that it was judged by stood still meanwhile: producers may be at work. */
#include <inttypes.h>
#include <stdio.h>

#include "atomic.h"
#include "bytes.h"
#include "raw.h"
#include "slick.h"

#define RECHECKS 8

/* Header ----------------------------------------------------------------------------------------------------------- */

static void header_error(struct findings *findings, const char *rule, const char *what, uint64_t value)
{
    findings_add(findings, ERROR, rule, NO_CHANNEL, NO_POSITION, "%s is %" PRIu64, what, value);
}

/* Is it published at all? */
static bool find_state(const struct ring_header *header, struct findings *findings)
{
    if (header->init_state > SHMW_SLICK_STATE_READY_14)
        header_error(findings, "slick.segment.state", "init_state", header->init_state);
    else if (header->init_state == SHMW_SLICK_STATE_READY_14 && header->magic != SHMW_SLICK_MAGIC)
        header_error(findings, "slick.segment.magic", "init_state is 3 and header_magic", header->magic);
    else if (header->generation == 0)
        header_error(findings, "slick.segment.not-ready", "not published by its creator: init_state", header->init_state);
    return header->generation != 0;
}

static void find_geometry(const struct view *view, const struct ring_header *header, struct findings *findings)
{
    if (!shmw_is_power_of_two(header->size) || header->size > SHMW_SLICK_MAX_SIZE)
        header_error(findings, "slick.segment.geometry", "size", header->size);
    else if (header->element_size == 0)
        header_error(findings, "slick.segment.geometry", "element_size", 0);
    else if (header->length > view->size)
        findings_add(findings, ERROR, "slick.segment.size", NO_CHANNEL, NO_POSITION,
                     "%zu bytes, %" PRIu32 " elements of %" PRIu32 " bytes need %" PRIu64, view->size, header->size,
                     header->element_size, header->length);
}

/* Of a header whose geometry is good. */
static void find_counters(const struct ring_header *header, const struct ring_walk *walk, struct findings *findings)
{
    if (header->last_elements > header->size || (header->index > 0 && header->last_elements == 0))
        header_error(findings, "slick.reserve.packed", "the size in reserved", header->last_elements);
    if (header->settled > header->index)
        header_error(findings, "slick.reserve.told", "above the index that is reserved next: settled", header->settled);
    if (header->generation < 14 && header->last_published != 0)
        header_error(findings, "slick.publish.last", "before generation 1.4 last_published", header->last_published);
    if (header->generation < 14 || header->last_published == SHMW_SLICK_NO_INDEX)
        return;
    if (header->last_published >= header->index)
        header_error(findings, "slick.publish.last", "not below the index that is reserved next: last_published",
                     header->last_published);
    else if (walk->newest != SHMW_SLICK_NO_INDEX && walk->newest > header->last_published)
        findings_add(findings, NOTE, "slick.recover.last", NO_CHANNEL, walk->newest, "published, and last_published is %" PRIu64,
                     header->last_published);
}

/* Slots ------------------------------------------------------------------------------------------------------------ */

struct problem {
    const char *rule; /* NULL = none */
    const char *what;
    uint64_t value;
    uint64_t position;
};

/* Judge what a slot holds against the reservation. */
static struct problem judge_slot(const struct ring_header *header, uint32_t slot, const struct ring_slot *found)
{
    const uint64_t mask = header->size - UINT64_C(1);
    const bool item = (found->data_index & mask) == slot;
    if (found->data_index == SHMW_SLICK_NO_INDEX)
        return (struct problem){0};
    if (found->data_index > header->index || (item && found->data_index == header->index))
        return (struct problem){"slick.read.uncovered", "data_index is not reserved:", found->data_index, NO_POSITION};
    const bool whole = item && header->index - found->data_index <= header->size;
    if (whole && !ring_elements_good(header, found->data_index, found->size))
        return (struct problem){"slick.read.bounds", "the item's size is", found->size, found->data_index};
    return (struct problem){0};
}

/* An item that is whole has no other one beginning within it. */
static struct problem judge_cover(const struct view *view, const struct ring_header *header, uint32_t slot,
                                  const struct ring_slot *found)
{
    const bool whole = (found->data_index & (header->size - UINT64_C(1))) == slot && found->data_index < header->index &&
                       header->index - found->data_index <= header->size;
    if (!whole || !ring_elements_good(header, found->data_index, found->size))
        return (struct problem){0};
    for (uint32_t i = 1; i < found->size; i++)
        if (ring_load_slot(view, slot + i).data_index == found->data_index + i)
            return (struct problem){"slick.publish.first-slot", "within another item: index", found->data_index + i,
                                    found->data_index};
    return (struct problem){0};
}

static void find_slot(const struct view *view, struct ring_header *header, uint32_t slot, struct findings *findings)
{
    for (int again = 0; again < RECHECKS; again++) {
        const struct ring_slot found = ring_load_slot(view, slot);
        struct problem problem = judge_slot(header, slot, &found);
        if (problem.rule == NULL)
            problem = judge_cover(view, header, slot, &found);
        if (problem.rule == NULL)
            return;
        const uint64_t judged_by = header->reserved;
        shmw_fence_acquire(); /* F5: the reservation after the slots */
        ring_reload(view, header);
        const struct ring_slot now = ring_load_slot(view, slot);
        if (header->reserved != judged_by || now.data_index != found.data_index || now.size != found.size)
            continue;
        findings_add(findings, ERROR, problem.rule, slot, problem.position, "%s %" PRIu64, problem.what, problem.value);
        return;
    }
}

int slick_find(const struct view *view, uint64_t stall_ms, struct findings *findings)
{
    struct ring_header header = ring_load_header(view);
    (void)stall_ms;
    if (!header.present) {
        findings_add(findings, ERROR, "slick.segment.size", NO_CHANNEL, NO_POSITION, "%zu bytes; the header needs %zu",
                     view->size, sizeof(struct shmw_slick_wire_header));
        return EXIT_OK;
    }
    if (!find_state(&header, findings))
        return EXIT_OK;
    find_geometry(view, &header, findings);
    if (!header.good)
        return EXIT_OK;
    const struct ring_walk walk = ring_walk(view, &header);
    find_counters(&header, &walk, findings);
    for (uint32_t slot = 0; slot < header.slots; slot++)
        find_slot(view, &header, slot, findings);
    if (walk.unpublished > 0)
        findings_add(findings, NOTE, "", NO_CHANNEL, walk.first_hole,
                     "%" PRIu64 " reservation%s not published, the first at index %" PRIu64, walk.unpublished,
                     walk.unpublished == 1 ? " is" : "s are", walk.first_hole);
    return EXIT_OK;
}
