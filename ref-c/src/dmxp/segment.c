/* SPDX-License-Identifier: MIT
 *
 * Profile dmxp, section 3: making a segment, attaching to one. */
#include <errno.h>
#include <stdlib.h>

#include "../wait.h"
#include "internal.h"

static uint16_t runtime_or_default(uint16_t runtime)
{
    return runtime != SHMW_DMXP_RUNTIME_UNSPECIFIED ? runtime : SHMW_DMXP_RUNTIME_C;
}

struct shmw_dmxp_area shmw_dmxp_send_area(const shmw_dmxp_segment *segment)
{
    switch (segment->payload_layout) {
    case SHMW_DMXP_LAYOUT_DOCUMENT:
        return shmw_dmxp_area_document();
    case SHMW_DMXP_LAYOUT_CRATE:
        return shmw_dmxp_area_crate();
    default: /* undeclared: the caller's choice; auto writers use the crate layout */
        return segment->choice == SHMW_DMXP_CHOOSE_DOCUMENT ? shmw_dmxp_area_document() : shmw_dmxp_area_crate();
    }
}

/* Creation --------------------------------------------------------------------------------------------------------- */

static int fill_in_options(struct shmw_dmxp_create_options *options)
{
    if (options->size == 0)
        options->size = SHMW_DMXP_DEFAULT_SIZE;
    if (options->payload_layout == SHMW_DMXP_LAYOUT_UNSPECIFIED)
        options->payload_layout = SHMW_DMXP_LAYOUT_CRATE;
    if (options->mode == 0)
        options->mode = SHMW_DMXP_DEFAULT_MODE;
    options->sender_runtime = runtime_or_default(options->sender_runtime);
    const bool sane = options->size >= SHMW_DMXP_HEADER_SIZE && options->size <= INT64_MAX &&
                      options->payload_layout <= SHMW_DMXP_LAYOUT_CRATE && options->mode <= 0777;
    return sane ? SHMW_OK : SHMW_INVALID_ARGUMENT;
}

/* The file is ours and full of zeroes: only what differs is stored [dmxp.segment.fields]. */
static void write_header(shmw_dmxp_segment *segment)
{
    struct shmw_dmxp_wire_header *header = shmw_dmxp_header(segment);
    shmw_field_store(&header->version, SHMW_DMXP_VERSION);
    shmw_field_store(&header->max_channels, SHMW_DMXP_MAX_CHANNELS);
    shmw_field_store(&header->payload_layout, segment->payload_layout);
    /* R0: pairs with A0; the whole header before the magic [dmxp.segment.magic-last] */
    shmw_store_release(&header->magic, SHMW_DMXP_MAGIC);
}

int shmw_dmxp_create(const char *locator, const struct shmw_dmxp_create_options *options, shmw_dmxp_segment **out)
{
    if (locator == NULL || out == NULL)
        return SHMW_INVALID_ARGUMENT;
    struct shmw_dmxp_create_options chosen = options != NULL ? *options : (struct shmw_dmxp_create_options){0};
    int rc = fill_in_options(&chosen);
    if (rc != SHMW_OK)
        return rc;
    shmw_dmxp_segment *segment = calloc(1, sizeof(*segment));
    if (segment == NULL)
        return SHMW_SYSTEM;
    rc = shmw_map_create(locator, chosen.size, SHMW_DMXP_HEADER_SIZE, chosen.mode, &segment->map);
    if (rc != SHMW_OK) {
        free(segment);
        return rc;
    }
    segment->pid = shmw_pid_cache_new();
    segment->payload_layout = chosen.payload_layout;
    segment->sender_runtime = chosen.sender_runtime;
    write_header(segment);
    *out = segment;
    return SHMW_OK;
}

/* Attaching -------------------------------------------------------------------------------------------------------- */

/* Wait for the creator, then check the magic. */
static int await_magic(const shmw_dmxp_segment *segment, uint64_t deadline)
{
    struct shmw_backoff backoff = {0};
    for (;;) {
        const bool last = shmw_expired(deadline);
        /* A0: pairs with R0; the header's fields after the magic [dmxp.segment.magic] */
        const uint64_t magic = shmw_load_acquire(&shmw_dmxp_header(segment)->magic);
        if (magic != 0)
            return magic == SHMW_DMXP_MAGIC ? SHMW_OK : SHMW_BAD_MAGIC;
        if (last)
            return SHMW_NOT_READY;
        shmw_backoff_pause(&backoff, deadline);
    }
}

int shmw_dmxp_check_header(const shmw_dmxp_segment *segment, const char **finding)
{
    const struct shmw_dmxp_wire_header *header = shmw_dmxp_header(segment);
    *finding = "version is not 1";
    if (shmw_field_load(&header->version) != SHMW_DMXP_VERSION)
        return SHMW_BAD_VERSION;
    *finding = "max_channels is not 256";
    if (shmw_field_load(&header->max_channels) != SHMW_DMXP_MAX_CHANNELS)
        return SHMW_BAD_GEOMETRY;
    *finding = "payload_layout is above 2";
    if (shmw_field_load(&header->payload_layout) > SHMW_DMXP_LAYOUT_CRATE)
        return SHMW_BAD_GEOMETRY;
    *finding = NULL;
    return SHMW_OK;
}

static int attach_segment(shmw_dmxp_segment *segment, const char *locator, const struct shmw_dmxp_open_options *options)
{
    const uint64_t deadline = shmw_deadline(options->ready_timeout_ns);
    int rc = shmw_map_open(locator, options->read_only, SHMW_DMXP_HEADER_SIZE, deadline, &segment->map);
    if (rc != SHMW_OK)
        return rc;
    const char *finding;
    rc = await_magic(segment, deadline);
    if (rc == SHMW_OK)
        rc = shmw_dmxp_check_header(segment, &finding);
    if (rc != SHMW_OK)
        shmw_map_close(&segment->map);
    return rc;
}

int shmw_dmxp_open(const char *locator, const struct shmw_dmxp_open_options *options, shmw_dmxp_segment **out)
{
    const struct shmw_dmxp_open_options chosen = options != NULL ? *options : (struct shmw_dmxp_open_options){0};
    if (locator == NULL || out == NULL || (unsigned)chosen.payload_choice > SHMW_DMXP_CHOOSE_AUTO)
        return SHMW_INVALID_ARGUMENT;
    shmw_dmxp_segment *segment = calloc(1, sizeof(*segment));
    if (segment == NULL)
        return SHMW_SYSTEM;
    const int rc = attach_segment(segment, locator, &chosen);
    if (rc != SHMW_OK) {
        free(segment);
        return rc;
    }
    segment->payload_layout = shmw_field_load(&shmw_dmxp_header(segment)->payload_layout);
    segment->pid = chosen.read_only ? NULL : shmw_pid_cache_new();
    segment->choice = chosen.payload_choice;
    segment->sender_runtime = runtime_or_default(chosen.sender_runtime);
    *out = segment;
    return SHMW_OK;
}

void shmw_dmxp_close(shmw_dmxp_segment *segment)
{
    if (segment == NULL)
        return;
    shmw_pid_cache_free(segment->pid);
    shmw_map_close(&segment->map);
    free(segment);
}

int shmw_dmxp_info(const shmw_dmxp_segment *segment, struct shmw_dmxp_segment_info *info)
{
    if (segment == NULL || info == NULL)
        return SHMW_INVALID_ARGUMENT;
    const struct shmw_dmxp_wire_header *header = shmw_dmxp_header(segment);
    *info = (struct shmw_dmxp_segment_info){
        .size = segment->map.size,
        .version = shmw_field_load(&header->version),
        .max_channels = shmw_field_load(&header->max_channels),
        .channel_count = shmw_load_relaxed(&header->channel_count),
        .payload_layout = shmw_field_load(&header->payload_layout),
        .payload_capacity = shmw_dmxp_send_area(segment).capacity,
    };
    return SHMW_OK;
}
