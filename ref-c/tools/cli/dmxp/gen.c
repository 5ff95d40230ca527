/* SPDX-License-Identifier: MIT
 *
 * gen: a segment with messages that depend on the options alone. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../output.h"
#include "bytes.h"
#include "dmxp.h"
#include "dmxp/layout.h"
#include "shmwire/dmxp.h"

#define LARGEST_SEGMENT (UINT64_C(1) << 40)
#define FIRST_TIMESTAMP_NS UINT64_C(1700000000000000000)
#define STEP_NS UINT64_C(1000)
#define SENDER_PID 4711

struct plan {
    uint64_t channels;
    uint64_t capacity;
    uint64_t count; /* messages per channel */
    uint64_t size;  /* payload bytes */
    uint64_t seed;
    bool document;
};

static int take_plan(const struct args *args, struct plan *plan)
{
    const char *layout = args->value[OPT_NEW_LAYOUT];
    plan->document = layout != NULL && strcmp(layout, "document") == 0;
    const uint64_t largest = plan->document ? SHMW_DMXP_PAYLOAD_CAPACITY_DOCUMENT : SHMW_DMXP_PAYLOAD_CAPACITY_CRATE;
    int rc = number_option(args, OPT_CHANNELS, 0, SHMW_DMXP_MAX_CHANNELS, 1, &plan->channels);
    if (rc == EXIT_OK)
        rc = number_option(args, OPT_CAPACITY, SHMW_DMXP_MIN_CAPACITY, UINT64_C(1) << 30, SHMW_DMXP_DEFAULT_CAPACITY,
                           &plan->capacity);
    if (rc == EXIT_OK && !shmw_is_power_of_two(plan->capacity))
        rc = usage_error("gen: --capacity is a power of two");
    if (rc == EXIT_OK)
        rc = number_option(args, OPT_COUNT, 0, plan->capacity, 0, &plan->count);
    if (rc == EXIT_OK)
        rc = number_option(args, OPT_SIZE, 0, largest, 64, &plan->size);
    if (rc == EXIT_OK)
        rc = number_option(args, OPT_SEED, 0, UINT64_MAX, 1, &plan->seed);
    return rc;
}

/* Bytes that header and bands need, or UINT64_MAX. A band begins 128-aligned; its length is a multiple of 128 when the capacity
 * is. */
static uint64_t segment_size(const struct plan *plan)
{
    const uint64_t band = shmw_align_up(shmw_end_of(0, sizeof(struct shmw_dmxp_wire_slot), plan->capacity), SHMW_DMXP_BAND_ALIGN);
    return shmw_end_of(SHMW_DMXP_HEADER_SIZE, band, plan->channels);
}

/* byte j of message i of a channel: (31 (seed + channel + i) + 17 j + 101 (j >> 8)) mod 256, the pattern of the driver protocol
 */
static void fill_payload(unsigned char *payload, const struct plan *plan, uint64_t channel, uint64_t i)
{
    for (uint64_t j = 0; j < plan->size; j++)
        payload[j] = (unsigned char)(31 * (plan->seed + channel + i) + 17 * j + 101 * (j >> 8));
}

static int send_messages(shmw_dmxp_channel *channel, const struct plan *plan, uint64_t id)
{
    unsigned char payload[SHMW_DMXP_PAYLOAD_CAPACITY_CRATE];
    for (uint64_t i = 0; i < plan->count; i++) {
        const struct shmw_dmxp_meta meta = {
            .message_id = SHMW_DMXP_ID_POSITION,
            .timestamp_ns = FIRST_TIMESTAMP_NS + STEP_NS * (id * plan->count + i),
            .message_type = 1,
            .sender_pid = SENDER_PID,
            .sender_runtime = SHMW_DMXP_RUNTIME_C,
        };
        fill_payload(payload, plan, id, i);
        const int rc = shmw_dmxp_try_send(channel, payload, (size_t)plan->size, &meta, NULL);
        if (rc != SHMW_OK)
            return rc;
    }
    return SHMW_OK;
}

static int make_channel(shmw_dmxp_segment *segment, const struct plan *plan, uint32_t id)
{
    const struct shmw_dmxp_channel_options options = {.capacity = plan->capacity};
    shmw_dmxp_channel *channel = NULL;
    int rc = shmw_dmxp_channel_create(segment, id, &options);
    if (rc == SHMW_OK)
        rc = shmw_dmxp_attach(segment, id, &channel);
    if (rc != SHMW_OK)
        return rc;
    rc = send_messages(channel, plan, id);
    shmw_dmxp_detach(channel);
    return rc;
}

static int make_segment(const char *locator, const struct plan *plan, uint64_t size, bool *made)
{
    const struct shmw_dmxp_create_options options = {
        .size = size, .payload_layout = plan->document ? SHMW_DMXP_LAYOUT_DOCUMENT : SHMW_DMXP_LAYOUT_CRATE};
    shmw_dmxp_segment *segment = NULL;
    int rc = shmw_dmxp_create(locator, &options, &segment);
    *made = rc == SHMW_OK;
    for (uint32_t id = 0; id < plan->channels && rc == SHMW_OK; id++)
        rc = make_channel(segment, plan, id);
    shmw_dmxp_close(segment);
    return rc;
}

int dmxp_gen(const struct args *args, const char *locator, const char *path)
{
    struct plan plan = {0};
    bool made = false;
    int rc = take_plan(args, &plan);
    if (rc != EXIT_OK)
        return rc;
    const uint64_t size = segment_size(&plan);
    if (size > LARGEST_SEGMENT)
        return usage_error("gen: the segment would have more than 2^40 bytes");
    rc = make_segment(locator, &plan, size, &made);
    if (rc != SHMW_OK) {
        rc = library_error(path, rc);
        if (made)
            shmw_unlink(locator);
        return rc;
    }
    if (!given(args, OPT_JSON)) {
        print_safe(stdout, path);
        printf(": %" PRIu64 " bytes, %" PRIu64 " channel%s of %" PRIu64 " slots, %" PRIu64 " messages of %" PRIu64
               " bytes in each\n",
               size, plan.channels, plan.channels == 1 ? "" : "s", plan.capacity, plan.count, plan.size);
        return EXIT_OK;
    }
    struct json json;
    json_begin(&json, stdout);
    json_text(&json, "schema", "shmwire-gen/1");
    json_text(&json, "path", path);
    json_text(&json, "profile", "dmxp");
    json_u64(&json, "size", size);
    json_number(&json, "channels", plan.channels);
    json_u64(&json, "capacity", plan.capacity);
    json_u64(&json, "messages", plan.channels * plan.count);
    json_end(&json);
    return EXIT_OK;
}
