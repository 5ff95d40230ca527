/* SPDX-License-Identifier: MIT
 *
 * ouroboros_shm_generator: a log in shared memory with random entries, and the list of them, for tests of readers. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "options.h"
#include "ouroboros/layout.h"
#include "shmwire/ouroboros.h"

#define EXIT_FAILED 1
#define EXIT_WRONG_USAGE 2

#define CHUNKS 4u                /* of a segment that is large enough for them */
#define LEAST_DATA UINT64_C(1024) /* bytes that make it large enough */

static int failed(const char *what, const char *why)
{
    fprintf(stderr, "ouroboros_shm_generator: %s: %s\n", what, why);
    return EXIT_FAILED;
}

/* Signals ---------------------------------------------------------------------------------------------------------- */

static sigset_t stopping; /* SIGINT and its like, held back: they are taken between two entries only */

static void hold_signals(void)
{
    sigemptyset(&stopping);
    sigaddset(&stopping, SIGINT);
    sigaddset(&stopping, SIGTERM);
    sigaddset(&stopping, SIGHUP);
    sigprocmask(SIG_BLOCK, &stopping, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* Wait that long; false as soon as somebody wants us to stop. */
static bool go_on_after(uint64_t us)
{
    const struct timespec pause = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
    return sigtimedwait(&stopping, NULL, &pause) < 0;
}

/* Payloads --------------------------------------------------------------------------------------------------------- */

/* SplitMix64: the whole sequence of entries is a function of the seed and the two sizes. */
static uint64_t next_random(uint64_t *state)
{
    *state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static size_t next_payload(const struct options *options, uint64_t *state, unsigned char *payload)
{
    const size_t length = (size_t)(options->min_size + next_random(state) % (options->max_size - options->min_size + 1));
    for (size_t i = 0; i < length; i++)
        payload[i] = (unsigned char)(next_random(state) >> 56);
    return length;
}

/* Output ----------------------------------------------------------------------------------------------------------- */

static void print_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else if ((unsigned char)*text < ' ')
            fprintf(out, "\\u%04x", (unsigned char)*text);
        else
            fputc(*text, out);
    }
    fputc('"', out);
}

static bool announce(const struct options *options, const struct shmw_ouroboros_writer_info *info)
{
    printf("{\"shm_name\": ");
    print_string(stdout, options->name);
    printf(", \"buffer_size\": %" PRIu64 ", \"chunk_target_size\": %" PRIu64 ", \"chunk_count\": %" PRIu32
           ", \"max_entry_size\": %" PRIu64 "}\n",
           info->size, info->chunk_target_size, info->chunk_count, info->max_payload);
    return fflush(stdout) == 0;
}

static void print_records(FILE *out, const struct options *options, uint64_t written, unsigned char *payload)
{
    uint64_t state = options->seed;
    fputs("{\"records\": [", out);
    for (uint64_t i = 0; i < written; i++) {
        const size_t length = next_payload(options, &state, payload);
        fprintf(out, "%s\n  {\"index\": %" PRIu64 ", \"payload_size\": %zu, \"payload_hex\": \"", i == 0 ? "" : ",", i, length);
        for (size_t j = 0; j < length; j++)
            fprintf(out, "%02x", payload[j]);
        fputs("\"}", out);
    }
    fputs("]}\n", out);
}

static int write_records(const struct options *options, uint64_t written, unsigned char *payload)
{
    char draft[PATH_MAX]; /* a file appears complete or not at all: somebody may be waiting for it */
    struct stat status;
    const char *path = options->json_out;
    const bool device = stat(path, &status) == 0 && !S_ISREG(status.st_mode);
    if (snprintf(draft, sizeof(draft), "%s%s", path, device ? "" : ".part") >= (int)sizeof(draft))
        return failed(path, strerror(ENAMETOOLONG));
    FILE *out = fopen(draft, "we");
    if (out == NULL)
        return failed(path, strerror(errno));
    print_records(out, options, written, payload);
    bool good = fflush(out) == 0 && !ferror(out);
    good = fclose(out) == 0 && good;
    if (good && (device || rename(draft, path) == 0))
        return EXIT_SUCCESS;
    if (!device)
        unlink(draft);
    return failed(path, "not written");
}

/* Work ------------------------------------------------------------------------------------------------------------- */

/* How the source system's generator cuts a segment of that size. */
static struct shmw_ouroboros_create_options geometry(uint64_t size)
{
    const uint64_t row = sizeof(struct shmw_ouroboros_wire_row);
    const uint64_t table = SHMW_OUROBOROS_ROW_TABLE_OFFSET + CHUNKS * row;
    if (size >= table + LEAST_DATA)
        return (struct shmw_ouroboros_create_options){
            .chunk_count = CHUNKS, .chunk_target_size = (size - table) / CHUNKS, .size = size};
    const uint64_t least = SHMW_OUROBOROS_ROW_TABLE_OFFSET + row;
    return (struct shmw_ouroboros_create_options){.chunk_count = 1, .chunk_target_size = size - least, .size = size};
}

/* Write the entries; *written counts them. *stopped tells that a signal ended it. */
static int write_entries(shmw_ouroboros_writer *log, const struct options *options, unsigned char *payload, uint64_t *written,
                         bool *stopped)
{
    uint64_t state = options->seed;
    *stopped = !go_on_after(options->initial_delay_us);
    while (*written < options->count && !*stopped) {
        const size_t length = next_payload(options, &state, payload);
        const int rc = shmw_ouroboros_write(log, payload, length, NULL);
        if (rc != SHMW_OK)
            return failed(options->name, shmw_strerror(rc));
        ++*written;
        *stopped = !go_on_after(options->interval_us);
    }
    return EXIT_SUCCESS;
}

static int generate(shmw_ouroboros_writer *log, const struct options *options, unsigned char *payload, bool *stopped)
{
    struct shmw_ouroboros_writer_info info;
    uint64_t written = 0;
    int rc = shmw_ouroboros_writer_info(log, &info);
    if (rc != SHMW_OK)
        return failed(options->name, shmw_strerror(rc));
    if (options->max_size > info.max_payload) {
        failed("--max-size", "larger than an entry of the segment can be");
        return EXIT_WRONG_USAGE;
    }
    if (!announce(options, &info))
        return failed("standard output", strerror(errno));
    rc = write_entries(log, options, payload, &written, stopped);
    return rc == EXIT_SUCCESS ? write_records(options, written, payload) : rc;
}

int main(int argc, char **argv)
{
    struct options options;
    shmw_ouroboros_writer *log = NULL;
    bool stopped = false;
    if (!options_parse(argc, argv, &options))
        return EXIT_WRONG_USAGE;
    if (options.help) {
        options_help();
        return EXIT_SUCCESS;
    }
    const uint64_t least = SHMW_OUROBOROS_ROW_TABLE_OFFSET + sizeof(struct shmw_ouroboros_wire_row);
    if (options.size <= least + SHMW_OUROBOROS_ENTRY_HEADER_SIZE) {
        failed("--size", "too small for an entry");
        return EXIT_WRONG_USAGE;
    }
    unsigned char *payload = malloc((size_t)options.max_size);
    if (payload == NULL)
        return failed("memory", strerror(ENOMEM));
    hold_signals();
    const struct shmw_ouroboros_create_options create = geometry(options.size);
    int rc = shmw_ouroboros_create(options.name, &create, &log);
    if (rc != SHMW_OK) {
        free(payload);
        return failed(options.name, shmw_strerror(rc));
    }
    rc = generate(log, &options, payload, &stopped);
    shmw_ouroboros_close_writer(log);
    if (options.unlink_at_exit || stopped || rc != EXIT_SUCCESS)
        shmw_unlink(options.name);
    free(payload);
    return rc;
}
