/* SPDX-License-Identifier: MIT */
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BARRIER_SIZE = 4096, BARRIER_STRIDE = 64, PAUSES = 64 };

static const char *const role_names[] = {"make", "write", "read", "ping", "pong"};

_Noreturn void bench_fail(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(2);
}

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: PEER make|write|read|ping|pong --seg PATH --count N --size B --batch K --cpu C --barrier PATH "
                    "--parties M --party P --readers R --room BYTES\n");
    exit(2);
}

/* Memory of this process that is not of files: what an endpoint costs beyond its ring. 0 where the kernel does not tell. */
static unsigned long anonymous_kb(void)
{
    char line[256];
    unsigned long kb = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "RssAnon: %lu", &kb) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return kb;
}

static unsigned long base_kb; /* when the arguments were read: nothing is open yet */

static enum bench_role parse_role(const char *word)
{
    for (size_t i = 0; i < sizeof role_names / sizeof role_names[0]; i++) {
        if (strcmp(word, role_names[i]) == 0)
            return (enum bench_role)i;
    }
    usage();
}

struct bench_args bench_parse(int argc, char **argv)
{
    if (argc < 3)
        usage();
    struct bench_args args = {.peer = argv[1], .role = parse_role(argv[2]), .seg = "", .barrier = "",
                              .count = 1, .size = 64, .batch = 1, .cpu = -1, .parties = 1, .readers = 1};
    for (int i = 3; i + 1 < argc; i += 2) {
        const char *name = argv[i];
        const char *value = argv[i + 1];
        unsigned long long number = strtoull(value, NULL, 10);
        if (strcmp(name, "--seg") == 0)
            args.seg = value;
        else if (strcmp(name, "--barrier") == 0)
            args.barrier = value;
        else if (strcmp(name, "--count") == 0)
            args.count = number;
        else if (strcmp(name, "--size") == 0)
            args.size = (size_t)number;
        else if (strcmp(name, "--batch") == 0)
            args.batch = (size_t)number;
        else if (strcmp(name, "--cpu") == 0)
            args.cpu = (int)number;
        else if (strcmp(name, "--parties") == 0)
            args.parties = (uint32_t)number;
        else if (strcmp(name, "--party") == 0)
            args.party = (uint32_t)number;
        else if (strcmp(name, "--readers") == 0)
            args.readers = (uint32_t)number;
        else if (strcmp(name, "--room") == 0)
            args.room = number;
        else
            usage();
    }
    args.crowded = (long)args.parties > sysconf(_SC_NPROCESSORS_ONLN);
    base_kb = anonymous_kb();
    return args;
}

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

uint64_t bench_now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t bench_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

void bench_pin(const struct bench_args *args)
{
    if (args->cpu < 0)
        return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)args->cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        bench_fail("sched_setaffinity");
}

void *bench_map(const char *path, size_t size, bool make)
{
    int fd = open(path, make ? O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC : O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 || (make && ftruncate(fd, (off_t)size) != 0))
        bench_fail(path);
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (map == MAP_FAILED)
        bench_fail("mmap");
    close(fd);
    return map;
}

void bench_relax(const struct bench_args *args)
{
    if (args->crowded)
        sched_yield();
#if defined(__x86_64__) || defined(__i386__)
    else
        __builtin_ia32_pause();
#endif
}

void bench_stand_back(const struct bench_args *args)
{
    for (int i = 0; i < (args->crowded ? 1 : PAUSES); i++)
        bench_relax(args);
}

uint64_t bench_barrier(const struct bench_args *args)
{
    unsigned char *map = bench_map(args->barrier, BARRIER_SIZE, false);
    if (args->parties * (size_t)BARRIER_STRIDE > BARRIER_SIZE || args->party >= args->parties)
        usage();
    atomic_store((_Atomic(uint32_t) *)(void *)(map + args->party * (size_t)BARRIER_STRIDE), 1);
    for (uint32_t other = 0; other < args->parties; other++) {
        _Atomic(uint32_t) *arrived = (void *)(map + other * (size_t)BARRIER_STRIDE);
        while (atomic_load(arrived) == 0)
            bench_relax(args);
    }
    return bench_now_ns();
}

uint64_t bench_sum(const void *payload, size_t size)
{
    const unsigned char *bytes = payload;
    uint64_t sums[4] = {0};
    uint64_t word;
    size_t at = 0;
    for (; size - at >= sizeof sums; at += sizeof sums)
        for (size_t i = 0; i < 4; i++) {
            memcpy(&word, bytes + at + i * sizeof word, sizeof word);
            sums[i] += word;
        }
    for (; at < size; at++)
        sums[0] += bytes[at];
    return sums[0] + sums[1] + sums[2] + sums[3];
}

uint64_t *bench_samples(uint64_t count)
{
    const int flags = MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE;
    void *samples = mmap(NULL, (count + 1) * sizeof(uint64_t), PROT_READ | PROT_WRITE, flags, -1, 0);
    if (samples == MAP_FAILED)
        bench_fail("samples");
    return samples;
}

void bench_samples_free(uint64_t *samples, uint64_t count)
{
    munmap(samples, (count + 1) * sizeof(uint64_t));
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void bench_percentiles(uint64_t *samples, size_t count, struct bench_result *result)
{
    if (count == 0)
        return;
    qsort(samples, count, sizeof *samples, compare_u64);
    result->least_ns = samples[0];
    result->p50_ns = samples[count / 2];
    result->p99_ns = samples[count - 1 - count / 100];
}

int bench_report(const struct bench_args *args, const struct bench_result *result)
{
    struct rusage usage_now;
    getrusage(RUSAGE_SELF, &usage_now);
    printf("{\"role\":\"%s\",\"messages\":%llu,\"ns\":%llu,\"bad\":%llu,\"skipped\":%llu,\"nivcsw\":%ld,\"min_ns\":%llu,"
           "\"p50_ns\":%llu,\"p99_ns\":%llu,\"base_kb\":%lu,\"anon_kb\":%lu,\"sum\":%llu}\n",
           role_names[args->role], (unsigned long long)result->messages, (unsigned long long)result->ns,
           (unsigned long long)result->bad, (unsigned long long)result->skipped, usage_now.ru_nivcsw,
           (unsigned long long)result->least_ns, (unsigned long long)result->p50_ns, (unsigned long long)result->p99_ns,
           base_kb, anonymous_kb(), (unsigned long long)result->sum);
    return 0;
}
