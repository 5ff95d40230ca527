/* SPDX-License-Identifier: MIT
 *
 * gen: a ring with items that depend on the options alone. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../output.h"
#include "shmwire/slick.h"
#include "slick.h"

#define LARGEST_ELEMENT (UINT64_C(1) << 30) /* bytes */
#define LARGEST_SEGMENT (UINT64_C(1) << 40)

struct plan {
    uint64_t size;         /* elements of the ring */
    uint64_t element_size; /* bytes */
    uint64_t elements;     /* of an item */
    uint64_t count;        /* items */
    uint64_t seed;
    enum shmw_slick_generation generation;
};

static enum shmw_slick_generation generation_option(const struct args *args)
{
    const char *word = args->value[OPT_GENERATION];
    if (word == NULL || strcmp(word, "1.4") == 0)
        return SHMW_SLICK_1_4;
    return strcmp(word, "1.3") == 0 ? SHMW_SLICK_1_3 : SHMW_SLICK_1_2;
}

static int take_plan(const struct args *args, struct plan *plan)
{
    plan->generation = generation_option(args);
    int rc = number_option(args, OPT_CAPACITY, 1, SHMW_SLICK_MAX_SIZE, SHMW_SLICK_DEFAULT_SIZE, &plan->size);
    if (rc == EXIT_OK)
        rc = number_option(args, OPT_SIZE, 1, LARGEST_ELEMENT, 64, &plan->element_size);
    if (rc == EXIT_OK)
        rc = number_option(args, OPT_ELEMENTS, 1, SHMW_SLICK_MAX_ELEMENTS, 1, &plan->elements);
    if (rc == EXIT_OK)
        rc = number_option(args, OPT_COUNT, 0, UINT64_MAX, 0, &plan->count);
    if (rc == EXIT_OK)
        rc = number_option(args, OPT_SEED, 0, UINT64_MAX, 1, &plan->seed);
    if (rc != EXIT_OK)
        return rc;
    if (plan->size * plan->element_size > LARGEST_SEGMENT)
        return usage_error("gen: %" PRIu64 " elements of %" PRIu64 " bytes are more than %" PRIu64 " bytes", plan->size,
                           plan->element_size, LARGEST_SEGMENT);
    return EXIT_OK;
}

/* byte j of item i: (31 (seed + i) + 17 j + 101 (j >> 8)) mod 256, the pattern of the driver protocol */
static int write_items(shmw_slick_queue *queue, const struct plan *plan, unsigned char *data)
{
    const uint64_t length = plan->elements * plan->element_size;
    shmw_slick_producer *producer = NULL;
    int rc = shmw_slick_producer_open(queue, NULL, &producer);
    for (uint64_t i = 0; rc == SHMW_OK && i < plan->count; i++) {
        for (uint64_t j = 0; j < length; j++)
            data[j] = (unsigned char)(31 * (plan->seed + i) + 17 * j + 101 * (j >> 8));
        rc = shmw_slick_write(producer, data, (size_t)length, NULL);
    }
    shmw_slick_producer_close(producer);
    return rc;
}

static int make_ring(const char *locator, const struct plan *plan, unsigned char *data, struct shmw_slick_queue_info *info)
{
    const struct shmw_slick_create_options options = {
        .generation = plan->generation, .size = (uint32_t)plan->size, .element_size = (uint32_t)plan->element_size};
    shmw_slick_queue *queue = NULL;
    int rc = shmw_slick_create(locator, &options, &queue);
    if (rc != SHMW_OK)
        return rc;
    rc = write_items(queue, plan, data);
    if (rc == SHMW_OK)
        rc = shmw_slick_info(queue, info);
    shmw_slick_close(queue);
    if (rc != SHMW_OK)
        shmw_unlink(locator);
    return rc;
}

static void print_made(const struct args *args, const char *path, const struct plan *plan,
                       const struct shmw_slick_queue_info *info)
{
    if (!given(args, OPT_JSON)) {
        print_safe(stdout, path);
        printf(": %" PRIu64 " bytes, generation 1.%u, %" PRIu64 " elements of %" PRIu64 " bytes, %" PRIu64 " items of %" PRIu64
               " element%s\n",
               info->length, (unsigned)info->generation % 10, plan->size, plan->element_size, plan->count, plan->elements,
               plan->elements == 1 ? "" : "s");
        return;
    }
    struct json json;
    json_begin(&json, stdout);
    json_text(&json, "schema", "shmwire-gen/1");
    json_text(&json, "path", path);
    json_text(&json, "profile", "slick");
    json_u64(&json, "size", info->length);
    json_u64(&json, "capacity", info->size);
    json_u64(&json, "element_size", info->element_size);
    json_u64(&json, "messages", plan->count);
    json_end(&json);
}

int slick_gen(const struct args *args, const char *locator, const char *path)
{
    struct plan plan = {0};
    struct shmw_slick_queue_info info = {0};
    int rc = take_plan(args, &plan);
    if (rc != EXIT_OK)
        return rc;
    unsigned char *data = malloc((size_t)(plan.elements * plan.element_size));
    if (data == NULL)
        return io_error("out of memory");
    rc = make_ring(locator, &plan, data, &info);
    free(data);
    if (rc != SHMW_OK)
        return library_error(path, rc);
    print_made(args, path, &plan, &info);
    return EXIT_OK;
}
