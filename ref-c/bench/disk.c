/* SPDX-License-Identifier: MIT
 *
 * What a feed is held against. Peers: "memread" (all of a region of memory read, for scans), "file" (records appended to a plain
 * file through a buffer, fsync for each CHUNK bytes and at the end; scanned with read). A record in the file is its time, its length
 * and its bytes. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common.h"

/* CHUNK: as deepwater's default. */
enum { BUFFER = 1 << 16, CHUNK = 4 << 20, STEP = 1 << 20, HEAD = 16, STEP_NS = 10 };

struct head {
    uint64_t timestamp_ns;
    uint64_t length;
};

_Static_assert(sizeof(struct head) == HEAD, "HEAD bytes in front of each record");

static bool is_file(const struct bench_args *args)
{
    return strcmp(args->peer, "file") == 0;
}

static size_t region(const struct bench_args *args)
{
    return (size_t)bench_scanned(args) * args->size;
}

/* The plain file --------------------------------------------------------------------------------------------------- */

static void put(FILE *file, const struct bench_args *args, unsigned char *payload, uint64_t i)
{
    const struct head head = {i * STEP_NS, args->size};
    bench_fill(payload, args->size, i);
    if (fwrite(&head, sizeof head, 1, file) != 1 || (args->size > 0 && fwrite(payload, args->size, 1, file) != 1))
        bench_fail("write");
}

static void to_disk(FILE *file)
{
    if (fflush(file) != 0 || fsync(fileno(file)) != 0)
        bench_fail("fsync");
}

static void write_file(const struct bench_args *args, const char *path, uint64_t records)
{
    unsigned char *payload = calloc(1, args->size + 8);
    FILE *file = fopen(path, "wb");
    if (file == NULL || payload == NULL || setvbuf(file, NULL, _IOFBF, BUFFER) != 0)
        bench_fail(path);
    size_t unsynced = 0;
    for (uint64_t i = 0; i < records; i++) {
        put(file, args, payload, i);
        unsynced += HEAD + args->size;
        if (unsynced >= CHUNK) {
            to_disk(file);
            unsynced = 0;
        }
    }
    to_disk(file);
    fclose(file);
    free(payload);
}

static void scan_file(const struct bench_args *args, const char *path, struct bench_result *result)
{
    const uint64_t records = bench_scanned(args);
    unsigned char *payload = calloc(1, args->size + 8);
    FILE *file = fopen(path, "rb");
    if (file == NULL || payload == NULL || setvbuf(file, NULL, _IOFBF, BUFFER) != 0)
        bench_fail(path);
    for (uint64_t i = 0, at = 0; i < args->count; i++, at++) {
        struct head head;
        if (at == records) {
            rewind(file);
            at = 0;
        }
        if (fread(&head, sizeof head, 1, file) != 1 || head.length != args->size || fread(payload, 1, args->size, file) != args->size)
            bench_fail("read");
        result->sum += bench_sum(payload, args->size);
        result->bad += !bench_check(payload, args->size, at);
    }
    fclose(file);
    free(payload);
}

/* Memory ----------------------------------------------------------------------------------------------------------- */

/* As many bytes as a scan of count records reads, in steps. */
static void read_memory(const struct bench_args *args, const unsigned char *map, struct bench_result *result)
{
    const size_t size = region(args);
    for (uint64_t left = args->count * args->size, at = 0; left > 0;) {
        uint64_t step = size - at < STEP ? size - at : STEP;
        step = step < left ? step : left;
        result->sum += bench_sum(map + at, step);
        left -= step;
        at = at + step < size ? at + step : 0;
    }
}

static void make_memory(const struct bench_args *args)
{
    unsigned char *map = bench_map(args->seg, region(args), true);
    memset(map, 1, region(args));
}

/* ------------------------------------------------------------------------------------------------------------------ */

int main(int argc, char **argv)
{
    struct bench_args args = bench_parse(argc, argv);
    char path[1024];
    snprintf(path, sizeof path, "%s.records", args.seg);
    if (args.role == BENCH_MAKE && !is_file(&args))
        make_memory(&args);
    else if (args.role == BENCH_MAKE)
        write_file(&args, path, bench_scanned(&args));
    if (args.role == BENCH_MAKE)
        return 0;
    bench_pin(&args);
    const bool scans = args.role == BENCH_READ;
    const unsigned char *map = is_file(&args) ? NULL : bench_map(args.seg, region(&args), false);
    struct bench_result result = {.messages = args.count};
    const uint64_t began = bench_barrier(&args);
    if (is_file(&args) && scans)
        scan_file(&args, path, &result);
    else if (is_file(&args))
        write_file(&args, path, args.count);
    else if (scans)
        read_memory(&args, map, &result);
    result.ns = bench_now_ns() - began;
    return bench_report(&args, &result);
}
