/* SPDX-License-Identifier: MIT
 *
 * gen: a channel with messages that depend on the options alone. A channel goes with its last keeper, so it is made under another
 * name and copied while that one lives: what stays is a stale channel, which can be read, drained and taken over. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../output.h"
#include "shmcomm.h"
#include "shmcomm/layout.h"
#include "shmwire/shmcomm.h"

#define DEFAULT_RING UINT64_C(65536)
#define CLOCK_START_NS UINT64_C(1700000000000000000) /* of message 0; a millisecond more for each that follows */
#define CLOCK_STEP_NS UINT64_C(1000000)
#define ENDPOINT 1
#define INSTANCE UINT64_C(1)
#define CHUNK ((size_t)65536)

struct plan {
    uint64_t capacity; /* bytes of the ring */
    uint64_t size;     /* payload bytes */
    uint64_t count;    /* messages */
    uint64_t seed;
    bool pipeline;
};

static int take_plan(const struct args *args, struct plan *plan)
{
    const char *pattern = args->value[OPT_PATTERN];
    plan->pipeline = pattern != NULL && strcmp(pattern, "pipeline") == 0;
    int rc = number_option(args, OPT_CAPACITY, SHMW_SHMCOMM_MIN_CAPACITY, SHMW_SHMCOMM_MAX_CAPACITY, DEFAULT_RING,
                           &plan->capacity);
    if (rc == EXIT_OK)
        rc = number_option(args, OPT_SIZE, 0, plan->capacity / 2 - SHMW_SHMCOMM_FRAME_OVERHEAD, 64, &plan->size);
    if (rc == EXIT_OK)
        rc = number_option(args, OPT_COUNT, 0, UINT64_MAX, 0, &plan->count);
    if (rc == EXIT_OK)
        rc = number_option(args, OPT_SEED, 0, UINT64_MAX, 1, &plan->seed);
    return rc;
}

/* byte j of message i: (31 (seed + i) + 17 j + 101 (j >> 8)) mod 256, the pattern of the driver protocol */
static int write_messages(shmw_shmcomm *writer, const struct plan *plan, unsigned char *data)
{
    int rc = SHMW_OK;
    for (uint64_t i = 0; rc == SHMW_OK && i < plan->count; i++) {
        const struct shmw_shmcomm_meta meta = {.timestamp_ns = CLOCK_START_NS + i * CLOCK_STEP_NS,
                                               .content_type = SHMW_SHMCOMM_CONTENT_RAW};
        for (uint64_t j = 0; j < plan->size; j++)
            data[j] = (unsigned char)(31 * (plan->seed + i) + 17 * j + 101 * (j >> 8));
        rc = shmw_shmcomm_send(writer, data, (size_t)plan->size, &meta, 0, NULL);
    }
    return rc;
}

/* Copy all of `from` to the new file `to`. SHMW_EXISTS, SHMW_SYSTEM. */
static int copy_file(const char *from, const char *to)
{
    static unsigned char chunk[CHUNK];
    const int in = open(from, O_RDONLY | O_CLOEXEC);
    const int out = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, SHMW_SHMCOMM_DEFAULT_MODE);
    int rc = out >= 0 ? SHMW_OK : errno == EEXIST ? SHMW_EXISTS : SHMW_SYSTEM;
    ssize_t length = 0;
    while (rc == SHMW_OK && (length = read(in, chunk, sizeof(chunk))) > 0)
        if (write(out, chunk, (size_t)length) != length)
            rc = SHMW_SYSTEM;
    if (length < 0)
        rc = SHMW_SYSTEM;
    if (rc != SHMW_OK && out >= 0)
        unlink(to);
    if (out >= 0)
        close(out);
    if (in >= 0)
        close(in);
    return rc;
}

static int make_channel(const char *path, const struct plan *plan, unsigned char *data)
{
    char made[PATH_ROOM];
    const struct shmw_shmcomm_options options = {.capacity = plan->capacity,
                                                 .making = SHMW_SHMCOMM_CREATE_ONLY,
                                                 .identity = {.endpoint = ENDPOINT, .pid = 1, .instance = INSTANCE,
                                                              .boot_ns = 1}};
    if (access(path, F_OK) == 0)
        return SHMW_EXISTS;
    if (snprintf(made, sizeof(made), "%s.%ld.new", path, (long)getpid()) >= (int)sizeof(made))
        return SHMW_INVALID_NAME;
    shmw_shmcomm *writer = NULL;
    int rc = shmw_shmcomm_open(plan->pipeline ? SHMW_SHMCOMM_PUSHER : SHMW_SHMCOMM_PUBLISHER, made, &options, &writer);
    if (rc != SHMW_OK)
        return rc;
    rc = write_messages(writer, plan, data);
    if (rc == SHMW_OK)
        rc = copy_file(made, path);
    shmw_shmcomm_close(writer);
    shmw_unlink(made); /* a pipeline with messages keeps its name */
    return rc;
}

static void print_made(const struct args *args, const char *path, const struct plan *plan)
{
    const uint64_t size = SHMW_SHMCOMM_RING_OFFSET + plan->capacity;
    if (!given(args, OPT_JSON)) {
        print_safe(stdout, path);
        printf(": %" PRIu64 " bytes, %s, ring of %" PRIu64 " bytes, %" PRIu64 " messages\n", size,
               plan->pipeline ? "pipeline" : "pubsub", plan->capacity, plan->count);
        return;
    }
    struct json json;
    json_begin(&json, stdout);
    json_text(&json, "schema", "shmwire-gen/1");
    json_text(&json, "path", path);
    json_text(&json, "profile", "shmcomm");
    json_u64(&json, "size", size);
    json_u64(&json, "capacity", plan->capacity);
    json_text(&json, "pattern", plan->pipeline ? "pipeline" : "pubsub");
    json_u64(&json, "messages", plan->count);
    json_end(&json);
}

int shmcomm_gen(const struct args *args, const char *locator, const char *path)
{
    struct plan plan = {0};
    int rc = take_plan(args, &plan);
    (void)locator;
    if (rc != EXIT_OK)
        return rc;
    unsigned char *data = malloc((size_t)plan.size + 1);
    if (data == NULL)
        return io_error("out of memory");
    rc = make_channel(path, &plan, data);
    free(data);
    if (rc == SHMW_FULL)
        return io_error("%s: a pipeline of %" PRIu64 " bytes does not hold %" PRIu64 " messages", path, plan.capacity,
                        plan.count);
    if (rc != SHMW_OK)
        return library_error(path, rc);
    print_made(args, path, &plan);
    return EXIT_OK;
}
