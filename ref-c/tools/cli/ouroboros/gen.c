/* SPDX-License-Identifier: MIT
 *
 * gen: a log with entries that depend on the options alone. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../output.h"
#include "ouroboros.h"
#include "shmwire/ouroboros.h"

#define LARGEST_CHUNK (UINT64_C(1) << 40) /* bytes */
#define MOST_CHUNKS (UINT64_C(1) << 20)
#define LARGEST_PAYLOAD (UINT64_C(1) << 30)

struct plan {
    uint64_t chunks;
    uint64_t chunk_target;
    uint64_t count; /* entries */
    uint64_t size;  /* payload bytes */
    uint64_t seed;
};

static int take_plan(const struct args *args, struct plan *plan)
{
    int rc = number_option(args, OPT_CHUNKS, 1, MOST_CHUNKS, SHMW_OUROBOROS_DEFAULT_CHUNK_COUNT, &plan->chunks);
    if (rc == EXIT_OK)
        rc = number_option(args, OPT_CHUNK_TARGET, 1, LARGEST_CHUNK, SHMW_OUROBOROS_DEFAULT_CHUNK_TARGET, &plan->chunk_target);
    if (rc == EXIT_OK)
        rc = number_option(args, OPT_COUNT, 0, UINT64_MAX, 0, &plan->count);
    if (rc == EXIT_OK)
        rc = number_option(args, OPT_SIZE, 1, LARGEST_PAYLOAD, 64, &plan->size);
    if (rc == EXIT_OK)
        rc = number_option(args, OPT_SEED, 0, UINT64_MAX, 1, &plan->seed);
    return rc;
}

/* byte j of entry i: (31 (seed + i) + 17 j + 101 (j >> 8)) mod 256, the pattern of the driver protocol */
static int write_entries(shmw_ouroboros_writer *log, const struct plan *plan, unsigned char *payload)
{
    for (uint64_t i = 0; i < plan->count; i++) {
        for (uint64_t j = 0; j < plan->size; j++)
            payload[j] = (unsigned char)(31 * (plan->seed + i) + 17 * j + 101 * (j >> 8));
        const int rc = shmw_ouroboros_write(log, payload, (size_t)plan->size, NULL);
        if (rc != SHMW_OK)
            return rc;
    }
    return SHMW_OK;
}

static int make_log(const char *locator, const struct plan *plan, unsigned char *payload,
                    struct shmw_ouroboros_writer_info *info)
{
    const struct shmw_ouroboros_create_options options = {.chunk_count = (uint32_t)plan->chunks,
                                                          .chunk_target_size = plan->chunk_target};
    shmw_ouroboros_writer *log = NULL;
    int rc = shmw_ouroboros_create(locator, &options, &log);
    if (rc != SHMW_OK)
        return rc;
    rc = write_entries(log, plan, payload);
    if (rc == SHMW_OK)
        rc = shmw_ouroboros_writer_info(log, info);
    shmw_ouroboros_close_writer(log);
    if (rc != SHMW_OK)
        shmw_unlink(locator);
    return rc;
}

static void print_made(const struct args *args, const char *path, const struct plan *plan,
                       const struct shmw_ouroboros_writer_info *info)
{
    if (!given(args, OPT_JSON)) {
        print_safe(stdout, path);
        printf(": %" PRIu64 " bytes, %" PRIu64 " chunk%s of %" PRIu64 " bytes, %" PRIu64 " entries of %" PRIu64 " bytes\n",
               info->size, plan->chunks, plan->chunks == 1 ? "" : "s", plan->chunk_target, plan->count, plan->size);
        return;
    }
    struct json json;
    json_begin(&json, stdout);
    json_text(&json, "schema", "shmwire-gen/1");
    json_text(&json, "path", path);
    json_text(&json, "profile", "ouroboros");
    json_u64(&json, "size", info->size);
    json_number(&json, "chunks", plan->chunks);
    json_u64(&json, "chunk_target_size", plan->chunk_target);
    json_u64(&json, "messages", info->entries_written);
    json_end(&json);
}

int ouroboros_gen(const struct args *args, const char *locator, const char *path)
{
    struct plan plan = {0};
    struct shmw_ouroboros_writer_info info = {0};
    int rc = take_plan(args, &plan);
    if (rc != EXIT_OK)
        return rc;
    unsigned char *payload = malloc((size_t)plan.size);
    if (payload == NULL)
        return io_error("out of memory");
    rc = make_log(locator, &plan, payload, &info);
    free(payload);
    if (rc != SHMW_OK)
        return library_error(path, rc);
    print_made(args, path, &plan, &info);
    return EXIT_OK;
}
