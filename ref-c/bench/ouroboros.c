/* SPDX-License-Identifier: MIT
 *
 * Benchmark actor of the C implementation, profile ouroboros. Peers: "credit" and "credit-view" (the writer waits for the
 * slowest reader, so that nothing is lost), "free" and "free-view" (the writer never waits; what a reader missed it counts as
 * skipped). Views are checked before the reader goes on, copies are what next delivers. Ping writes PATH, pong PATH.back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "credit.h"
#include "shmwire/ouroboros.h"

enum { CHUNKS = 4, LINE = 64, SPIN_NS = 1000000 };

struct place {
    char path[512];
    char back[520];
    bool lossless;
    bool views;
};

static void check(int code, const char *what)
{
    if (code >= 0)
        return;
    fprintf(stderr, "bench: %s: %s\n", what, shmw_strerror(code));
    exit(2);
}

static struct place place_of(const struct bench_args *args)
{
    struct place place = {.lossless = strncmp(args->peer, "credit", 6) == 0, .views = strstr(args->peer, "-view") != NULL};
    snprintf(place.path, sizeof place.path, "%s", args->seg);
    snprintf(place.back, sizeof place.back, "%s.back", place.path);
    return place;
}

/* Entries in flight stay within one lap, and a chunk is left over: the writer with credit overwrites nothing unread. */
static uint64_t chunk_target(const struct bench_args *args)
{
    return args->room > 0 ? args->room / CHUNKS : (args->size + 8) * (uint64_t)BENCH_IN_FLIGHT / (CHUNKS - 2);
}

static int make(const struct bench_args *args, const struct place *place)
{
    const struct shmw_ouroboros_create_options options = {.chunk_count = CHUNKS, .chunk_target_size = chunk_target(args)};
    shmw_ouroboros_writer *writer;
    check(shmw_ouroboros_create(place->path, &options, &writer), "create");
    shmw_ouroboros_close_writer(writer);
    check(shmw_ouroboros_create(place->back, &options, &writer), "create");
    shmw_ouroboros_close_writer(writer);
    bench_credit_map(args, true);
    return 0;
}

static shmw_ouroboros_writer *become_writer(const char *path)
{
    shmw_ouroboros_writer *writer;
    check(shmw_ouroboros_resume(path, NULL, &writer), "resume");
    return writer;
}

static shmw_ouroboros_reader *become_reader(const char *path)
{
    shmw_ouroboros_reader *reader;
    check(shmw_ouroboros_open(path, NULL, &reader), "open");
    return reader;
}

/* Throughput ------------------------------------------------------------------------------------------------------- */

static void write_all(const struct bench_args *args, shmw_ouroboros_writer *writer, const struct bench_credit *credit,
                      unsigned char *payload)
{
    uint64_t taken = 0;
    for (uint64_t i = 0; i < args->count; i++) {
        if (credit != NULL)
            bench_credit_wait(credit, args, i, &taken);
        bench_fill(payload, args->size, i);
        check(shmw_ouroboros_write(writer, payload, args->size, NULL), "write");
    }
}

/* One message, copied or looked at where it lies: its content is good, or it was overwritten meanwhile. */
static int read_one(const struct bench_args *args, shmw_ouroboros_reader *reader, bool view, unsigned char *payload, bool *good,
                    uint64_t *sequence)
{
    struct shmw_ouroboros_entry entry;
    int code = view ? shmw_ouroboros_next_view(reader, &entry) : shmw_ouroboros_next(reader, payload, args->size, &entry);
    check(code, "read");
    if (code != SHMW_OK)
        return code;
    *sequence = entry.sequence;
    *good = bench_check(view ? entry.data : payload, args->size, entry.sequence - 1);
    return view ? shmw_ouroboros_view_check(reader, &entry) : SHMW_OK;
}

/* To the last message that the writer writes. A view that was overwritten while it was looked at counts as skipped. */
static void read_all(const struct bench_args *args, shmw_ouroboros_reader *reader, const struct place *place,
                     struct bench_credit *credit, unsigned char *payload, struct bench_result *result)
{
    uint64_t sequence = 0;
    result->messages = 0;
    while (sequence < args->count) {
        bool good = false;
        const int code = read_one(args, reader, place->views, payload, &good, &sequence);
        if (code == SHMW_OK) {
            result->bad += !good;
            result->messages++;
        }
        /* Published every eighth of the window, and before waiting, so that the line is not fought for. */
        if (credit != NULL && (code != SHMW_OK || sequence % (BENCH_IN_FLIGHT / 8) == 0))
            bench_credit_give(credit, args, sequence);
        if (code == SHMW_EMPTY)
            bench_stand_back(args);
    }
    result->skipped = args->count - result->messages;
    if (place->lossless)
        result->bad += result->skipped;
}

/* Round trips ------------------------------------------------------------------------------------------------------ */

static void exchange(const struct bench_args *args, shmw_ouroboros_writer *out, shmw_ouroboros_reader *in, unsigned char *payload,
                     struct bench_result *result)
{
    uint64_t *samples = bench_samples(args->count);
    const bool pings = args->role == BENCH_PING;
    for (uint64_t i = 0; i < args->count; i++) {
        const uint64_t began = bench_now_ns();
        if (pings) {
            bench_fill(payload, args->size, i);
            check(shmw_ouroboros_write(out, payload, args->size, NULL), "ping");
        }
        int code;
        while ((code = shmw_ouroboros_wait_next(in, payload, args->size, SPIN_NS, SPIN_NS, NULL)) == SHMW_TIMEOUT)
            bench_relax(args);
        check(code, "read");
        result->bad += !bench_check(payload, args->size, i);
        if (!pings)
            check(shmw_ouroboros_write(out, payload, args->size, NULL), "pong");
        samples[i] = bench_now_ns() - began;
    }
    if (pings)
        bench_percentiles(samples, (size_t)args->count, result);
    bench_samples_free(samples, args->count);
}

int main(int argc, char **argv)
{
    struct bench_args args = bench_parse(argc, argv);
    const struct place place = place_of(&args);
    if (args.role == BENCH_MAKE)
        return make(&args, &place);
    bench_pin(&args);
    const bool writes = args.role != BENCH_READ;
    const bool reads = args.role != BENCH_WRITE;
    const bool answers = args.role == BENCH_PONG;
    shmw_ouroboros_writer *writer = writes ? become_writer(answers ? place.back : place.path) : NULL;
    shmw_ouroboros_reader *reader = reads ? become_reader(args.role == BENCH_PING ? place.back : place.path) : NULL;
    struct bench_credit *credit = place.lossless ? bench_credit_map(&args, false) : NULL;
    unsigned char *payload = calloc(1, args.size + LINE);
    if (payload == NULL)
        bench_fail("calloc");
    struct bench_result result = {.messages = args.count};
    const uint64_t began = bench_barrier(&args);
    if (args.role == BENCH_WRITE)
        write_all(&args, writer, credit, payload);
    else if (args.role == BENCH_READ)
        read_all(&args, reader, &place, credit, payload, &result);
    else
        exchange(&args, writer, reader, payload, &result);
    result.ns = bench_now_ns() - began;
    shmw_ouroboros_close_reader(reader);
    shmw_ouroboros_close_writer(writer);
    free(payload);
    return bench_report(&args, &result);
}
