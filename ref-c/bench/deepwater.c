/* SPDX-License-Identifier: MIT
 *
 * Benchmark actor of the C implementation, profile deepwater. Peers: "live" (a feed in shared memory alone, the writer with credit),
 * "persist" (chunks go to files, too), "scan" (all of a feed that the other party has written and holds in shared memory),
 * "scan-disk" (the same from files), "scan-disk-all" (the same of count records, however many these are), "seek-N" (places in a
 * persisted feed of N chunks). Feeds lie in the directory PATH.base. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common.h"
#include "credit.h"
#include "shmwire/deepwater.h"

enum { SPIN_NS = 1000000, STEP_NS = 10, SEEK_RECORDS = 4, SEEK_CHUNK = 4096, MOST_BATCH = 256, WAIT_STEP_US = 1000 };

#define SCAN_CHUNK (UINT64_C(1) << 24)

struct place {
    char base[512];
    bool persists;
    bool scans;
    uint64_t seek_chunks; /* 0 = nothing is sought */
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
    struct place place = {
        .persists = strstr(args->peer, "persist") != NULL || strstr(args->peer, "disk") != NULL,
        .scans = strncmp(args->peer, "scan", 4) == 0,
    };
    if (sscanf(args->peer, "seek-%" SCNu64, &place.seek_chunks) == 1)
        place.persists = true;
    snprintf(place.base, sizeof place.base, "%s.base", args->seg);
    return place;
}

static struct shmw_deepwater_feed_options options_of(const struct bench_args *args, const struct place *place)
{
    struct shmw_deepwater_feed_options options = {.persist = place->persists, .feeds = 2};
    if (place->scans) {
        options.chunk_size = SCAN_CHUNK;
        if (!place->persists)
            options.live_window = (uint32_t)(2 * bench_scanned(args) * (args->size + 8) / SCAN_CHUNK + 2);
    }
    if (place->seek_chunks > 0)
        options.chunk_size = SEEK_CHUNK;
    if (place->seek_chunks > SHMW_DEEPWATER_DEFAULT_ROWS)
        options.rows = (uint32_t)place->seek_chunks;
    return options;
}

static shmw_deepwater_writer *become_writer(const struct bench_args *args, const struct place *place, const char *feed)
{
    const struct shmw_deepwater_feed_options options = options_of(args, place);
    shmw_deepwater_writer *writer;
    check(shmw_deepwater_writer_open(place->base, feed, &options, &writer), "open for writing");
    return writer;
}

static shmw_deepwater_reader *become_reader(const struct place *place, const char *feed)
{
    shmw_deepwater_reader *reader;
    check(shmw_deepwater_reader_open(place->base, feed, NULL, &reader), "open for reading");
    return reader;
}

static uint64_t time_of(uint64_t i)
{
    return i * STEP_NS;
}

static void append(shmw_deepwater_writer *writer, const struct bench_args *args, unsigned char *payload, uint64_t i)
{
    bench_fill(payload, args->size, i);
    check(shmw_deepwater_append(writer, time_of(i), 0, payload, (uint32_t)args->size, NULL), "append");
}

static unsigned char *new_payload(size_t size)
{
    unsigned char *payload = calloc(1, size + 8);
    if (payload == NULL)
        bench_fail("calloc");
    return payload;
}

/* What is read later: the records of a scan, or chunks of a few records to seek in. */
static void write_before(const struct bench_args *args, const struct place *place, shmw_deepwater_writer *writer)
{
    unsigned char *payload = new_payload(args->size);
    const uint64_t records = place->seek_chunks > 0 ? place->seek_chunks * SEEK_RECORDS : bench_scanned(args);
    for (uint64_t i = 0; i < records; i++) {
        append(writer, args, payload, i);
        if (place->seek_chunks > 0 && i % SEEK_RECORDS == SEEK_RECORDS - 1)
            check(shmw_deepwater_rotate(writer), "rotate");
    }
    free(payload);
}

static int make(const struct bench_args *args, const struct place *place)
{
    if (mkdir(place->base, 0700) != 0)
        bench_fail(place->base);
    const char *const feeds[] = {"there", "back"};
    for (size_t i = 0; i < sizeof feeds / sizeof feeds[0]; i++) {
        shmw_deepwater_writer *writer = become_writer(args, place, feeds[i]);
        if (i == 0 && (place->seek_chunks > 0 || (place->scans && place->persists)))
            write_before(args, place, writer);
        check(shmw_deepwater_writer_close(writer), "close");
    }
    bench_credit_map(args, true);
    return 0;
}

/* Throughput ------------------------------------------------------------------------------------------------------- */

static void write_each(const struct bench_args *args, shmw_deepwater_writer *writer, const struct bench_credit *credit)
{
    unsigned char *payload = new_payload(args->size);
    uint64_t taken = 0;
    for (uint64_t i = 0; i < args->count; i++) {
        bench_credit_wait(credit, args, i, &taken);
        append(writer, args, payload, i);
    }
    free(payload);
}

static void write_batches(const struct bench_args *args, shmw_deepwater_writer *writer, const struct bench_credit *credit)
{
    struct shmw_deepwater_part parts[MOST_BATCH];
    const size_t stride = args->size + 8;
    unsigned char *payloads = new_payload(stride * args->batch);
    uint64_t taken = 0;
    for (uint64_t i = 0; i < args->count; i += args->batch) {
        bench_credit_wait(credit, args, i + args->batch - 1, &taken);
        for (size_t k = 0; k < args->batch; k++) {
            bench_fill(payloads + k * stride, args->size, i + k);
            parts[k] = (struct shmw_deepwater_part){time_of(i + k), payloads + k * stride, (uint32_t)args->size, 0};
        }
        check(shmw_deepwater_append_batch(writer, parts, args->batch, NULL), "append");
    }
    free(payloads);
}

static uint64_t count_bad(const struct bench_args *args, const struct shmw_deepwater_record *records, size_t count, uint64_t first)
{
    uint64_t bad = 0;
    for (size_t k = 0; k < count; k++)
        bad += records[k].sequence != first + k || records[k].length != args->size ||
               !bench_check(records[k].data, args->size, first + k);
    return bad;
}

/* Each record where it lies: there is no lap, so nothing has to be checked again. */
static void follow(const struct bench_args *args, shmw_deepwater_reader *reader, struct bench_credit *credit, struct bench_result *result)
{
    struct shmw_deepwater_record records[MOST_BATCH];
    uint64_t i = 0;
    uint64_t given = 0;
    while (i < args->count) {
        size_t got = 1;
        const int code = args->batch > 1 ? shmw_deepwater_next_batch(reader, records, args->batch, &got)
                                         : shmw_deepwater_next(reader, records);
        check(code, "read");
        if (code == SHMW_OK) {
            result->bad += count_bad(args, records, got, i);
            i += got;
        }
        if (code != SHMW_OK || i - given >= BENCH_IN_FLIGHT / 8) {
            bench_credit_give(credit, args, i);
            given = i;
        }
        if (code == SHMW_EMPTY)
            bench_stand_back(args);
    }
    bench_credit_give(credit, args, i);
}

/* Scanning and seeking --------------------------------------------------------------------------------------------- */

/* All of the feed, again from its beginning until count records are read, and every byte of them. */
static void scan(const struct bench_args *args, shmw_deepwater_reader *reader, struct bench_result *result)
{
    struct shmw_deepwater_record records[MOST_BATCH];
    const uint64_t scanned = bench_scanned(args);
    size_t got = 1;
    for (uint64_t i = 0, at = 0; i < args->count; i += got, at += got) {
        const uint64_t left = args->count - i;
        if (at == scanned) {
            check(shmw_deepwater_seek(reader, SHMW_DEEPWATER_OLDEST, 0), "seek");
            at = 0;
        }
        const int code = args->batch > 1
                             ? shmw_deepwater_next_batch(reader, records, left < args->batch ? left : args->batch, &got)
                             : shmw_deepwater_next(reader, records);
        check(code, "read");
        if (code != SHMW_OK) {
            result->bad++;
            return;
        }
        for (size_t k = 0; k < got; k++)
            result->sum += bench_sum(records[k].data, records[k].length);
        result->bad += count_bad(args, records, got, at);
    }
}

static void seek(const struct bench_args *args, const struct place *place, shmw_deepwater_reader *reader, struct bench_result *result)
{
    const uint64_t records = place->seek_chunks * SEEK_RECORDS;
    uint64_t *samples = bench_samples(args->count);
    uint64_t state = 1;
    for (uint64_t i = 0; i < args->count; i++) {
        struct shmw_deepwater_record record;
        const uint64_t wanted = bench_anywhere(&state, records);
        const uint64_t began = bench_now_ns();
        check(shmw_deepwater_seek(reader, SHMW_DEEPWATER_TIME, time_of(wanted)), "seek");
        const int code = shmw_deepwater_next(reader, &record);
        samples[i] = bench_now_ns() - began;
        check(code, "read");
        result->bad += code != SHMW_OK || count_bad(args, &record, 1, wanted) != 0;
    }
    bench_percentiles(samples, (size_t)args->count, result);
    bench_samples_free(samples, args->count);
}

/* Round trips ------------------------------------------------------------------------------------------------------ */

static void exchange(const struct bench_args *args, shmw_deepwater_writer *out, shmw_deepwater_reader *in, struct bench_result *result)
{
    unsigned char *payload = new_payload(args->size);
    uint64_t *samples = bench_samples(args->count);
    const bool pings = args->role == BENCH_PING;
    for (uint64_t i = 0; i < args->count; i++) {
        struct shmw_deepwater_record record;
        const uint64_t began = bench_now_ns();
        if (pings)
            append(out, args, payload, i);
        int code;
        while ((code = shmw_deepwater_wait_next(in, SPIN_NS, SPIN_NS, &record)) == SHMW_TIMEOUT)
            bench_relax(args);
        check(code, "read");
        result->bad += count_bad(args, &record, 1, i);
        if (!pings)
            append(out, args, payload, i);
        samples[i] = bench_now_ns() - began;
    }
    if (pings)
        bench_percentiles(samples, (size_t)args->count, result);
    bench_samples_free(samples, args->count);
    free(payload);
}

/* ------------------------------------------------------------------------------------------------------------------ */

/* A writer that leaves takes along what is in shared memory alone: it stays until all readers are through. */
static void outlast(const struct bench_args *args, const struct bench_credit *credit)
{
    uint64_t taken = 0;
    while (args->readers > 0 && taken < args->count) {
        bench_credit_look(credit, args, args->count, &taken);
        if (taken < args->count)
            usleep(WAIT_STEP_US);
    }
}

/* This one is through. Of round trips pong is the reader by number, 0: it keeps its last record until ping has it. */
static void give_all(struct bench_credit *credit, const struct bench_args *args)
{
    struct bench_args reader = *args;
    if (args->role == BENCH_PING)
        reader.party = 0;
    bench_credit_give(credit, &reader, args->count);
}

static void run(const struct bench_args *args, const struct place *place, shmw_deepwater_writer *writer, shmw_deepwater_reader *reader,
                struct bench_credit *credit, struct bench_result *result)
{
    if (args->role == BENCH_PING || args->role == BENCH_PONG)
        exchange(args, writer, reader, result);
    else if (args->role == BENCH_WRITE && !place->scans)
        (args->batch > 1 ? write_batches : write_each)(args, writer, credit);
    else if (args->role == BENCH_READ && place->seek_chunks > 0)
        seek(args, place, reader, result);
    else if (args->role == BENCH_READ && place->scans)
        scan(args, reader, result);
    else if (args->role == BENCH_READ)
        follow(args, reader, credit, result);
}

int main(int argc, char **argv)
{
    struct bench_args args = bench_parse(argc, argv);
    const struct place place = place_of(&args);
    if (args.batch > MOST_BATCH)
        bench_fail("batch");
    if (args.role == BENCH_MAKE)
        return make(&args, &place);
    bench_pin(&args);
    const bool writes = args.role != BENCH_READ;
    shmw_deepwater_writer *writer = writes ? become_writer(&args, &place, args.role == BENCH_PONG ? "back" : "there") : NULL;
    if (place.scans && !place.persists && writes)
        write_before(&args, &place, writer);
    shmw_deepwater_reader *reader = args.role == BENCH_WRITE ? NULL : become_reader(&place, args.role == BENCH_PING ? "back" : "there");
    struct bench_credit *credit = bench_credit_map(&args, false);
    struct bench_result result = {.messages = args.count};
    const uint64_t began = bench_barrier(&args);
    run(&args, &place, writer, reader, credit, &result);
    if (args.role == BENCH_READ || args.role == BENCH_PING)
        give_all(credit, &args);
    if (args.role == BENCH_WRITE && place.persists) {
        check(shmw_deepwater_writer_close(writer), "close"); /* all of it is on the disk: this counts */
        writer = NULL;
    }
    result.ns = bench_now_ns() - began;
    if (args.role == BENCH_WRITE || args.role == BENCH_PONG)
        outlast(&args, credit);
    shmw_deepwater_reader_close(reader);
    check(shmw_deepwater_writer_close(writer), "close");
    return bench_report(&args, &result);
}
