/* SPDX-License-Identifier: MIT
 *
 * The references: what the machine can do at all. Peers ff, cur, memcpy, pingpong, pingpong-apart and pipe.
 *
 * ff and cur are single-producer single-consumer rings of 256 slots, of fewer where these would take more than 32 MiB. In ff
 * each slot carries a sequence word (p: free for position p, p + 1: published, p + slots: free again), and nothing else is
 * shared. In cur the slots carry payload only; head and tail are shared, and each side caches the other's until it runs dry.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common.h"

enum { MOST_SLOTS = 256, MOST_BYTES = 1 << 25, LINE = 64, ZONE = 128, PINGPONG_LINES = 64, PINGPONG_STAY = 64, PINGPONG_PLACES = 3 };

struct ring_cursors {
    _Alignas(ZONE) _Atomic(uint64_t) tail;
    _Alignas(ZONE) _Atomic(uint64_t) head;
};

static size_t ff_stride(size_t size)
{
    return (sizeof(uint64_t) + size + LINE - 1) / LINE * LINE;
}

static size_t cur_stride(size_t size)
{
    return (size + LINE - 1) / LINE * LINE;
}

/* A power of two, at least 2: with one slot "published" and "free again" would be the same number. */
static size_t slots_of(const struct bench_args *args)
{
    size_t slots = MOST_SLOTS;
    while (slots > 2 && slots * ff_stride(args->size) > MOST_BYTES)
        slots /= 2;
    return slots;
}

/* Of a ring, or of the places of pingpong. */
static size_t map_bytes(const struct bench_args *args)
{
    const size_t ring = sizeof(struct ring_cursors) + slots_of(args) * ff_stride(args->size);
    const size_t table = (size_t)PINGPONG_PLACES * PINGPONG_LINES * ZONE;
    return ring > table ? ring : table;
}

static int make(const struct bench_args *args)
{
    if (strcmp(args->peer, "pipe") == 0) {
        char path[512];
        for (int i = 0; i < 2; i++) {
            snprintf(path, sizeof path, "%s.%d", args->seg, i);
            if (mkfifo(path, 0600) != 0)
                bench_fail(path);
        }
        return 0;
    }
    unsigned char *map = bench_map(args->seg, map_bytes(args), true);
    for (uint64_t i = 0; i < slots_of(args) && strcmp(args->peer, "ff") == 0; i++)
        memcpy(map + i * ff_stride(args->size), &i, sizeof i);
    return 0;
}

/* ff --------------------------------------------------------------------------------------------------------------- */

static inline _Atomic(uint64_t) *ff_slot(unsigned char *map, size_t stride, size_t slots, uint64_t position)
{
    return (_Atomic(uint64_t) *)(void *)(map + (position & (slots - 1)) * stride);
}

static void ff_write(const struct bench_args *args, unsigned char *map, unsigned char *payload)
{
    size_t stride = ff_stride(args->size);
    const size_t slots = slots_of(args);
    for (uint64_t p = 0; p < args->count; p++) {
        _Atomic(uint64_t) *word = ff_slot(map, stride, slots, p);
        while (atomic_load_explicit(word, memory_order_acquire) != p)
            bench_relax(args);
        bench_fill(payload, args->size, p);
        memcpy((void *)(word + 1), payload, args->size);
        atomic_store_explicit(word, p + 1, memory_order_release);
    }
}

static uint64_t ff_read(const struct bench_args *args, unsigned char *map, unsigned char *payload)
{
    size_t stride = ff_stride(args->size);
    const size_t slots = slots_of(args);
    uint64_t bad = 0;
    for (uint64_t p = 0; p < args->count; p++) {
        _Atomic(uint64_t) *word = ff_slot(map, stride, slots, p);
        while (atomic_load_explicit(word, memory_order_acquire) != p + 1)
            bench_relax(args);
        memcpy(payload, (const void *)(word + 1), args->size);
        atomic_store_explicit(word, p + slots, memory_order_release);
        bad += !bench_check(payload, args->size, p);
    }
    return bad;
}

/* cur -------------------------------------------------------------------------------------------------------------- */

static void cur_write(const struct bench_args *args, unsigned char *map, unsigned char *payload)
{
    struct ring_cursors *ring = (void *)map;
    unsigned char *cells = map + sizeof *ring;
    const size_t slots = slots_of(args);
    size_t stride = cur_stride(args->size);
    uint64_t seen_head = 0;
    for (uint64_t p = 0; p < args->count; p++) {
        while (p - seen_head == slots) {
            seen_head = atomic_load_explicit(&ring->head, memory_order_acquire);
            if (p - seen_head == slots)
                bench_relax(args);
        }
        bench_fill(payload, args->size, p);
        memcpy(cells + (p & (slots - 1)) * stride, payload, args->size);
        atomic_store_explicit(&ring->tail, p + 1, memory_order_release);
    }
}

static uint64_t cur_read(const struct bench_args *args, unsigned char *map, unsigned char *payload)
{
    struct ring_cursors *ring = (void *)map;
    unsigned char *cells = map + sizeof *ring;
    const size_t slots = slots_of(args);
    size_t stride = cur_stride(args->size);
    uint64_t seen_tail = 0;
    uint64_t bad = 0;
    for (uint64_t p = 0; p < args->count; p++) {
        while (p == seen_tail) {
            seen_tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
            if (p == seen_tail)
                bench_relax(args);
        }
        memcpy(payload, cells + (p & (slots - 1)) * stride, args->size);
        atomic_store_explicit(&ring->head, p + 1, memory_order_release);
        bad += !bench_check(payload, args->size, p);
    }
    return bad;
}

/* memcpy ----------------------------------------------------------------------------------------------------------- */

static uint64_t memcpy_run(const struct bench_args *args, unsigned char *map, unsigned char *payload)
{
    size_t stride = cur_stride(args->size);
    const size_t slots = slots_of(args);
    uint64_t bad = 0;
    for (uint64_t p = 0; p < args->count; p++) {
        unsigned char *slot = map + (p & (slots - 1)) * stride;
        bench_fill(payload, args->size, p);
        memcpy(slot, payload, args->size);
        atomic_signal_fence(memory_order_seq_cst); /* keeps the compiler from seeing through the copy */
        bad += !bench_check(slot, args->size, p);
    }
    return bad;
}

/* pingpong: one line, handed over by a counter. Now and then another line: how long a hand-over takes depends on which part of the
 * shared cache a line's address belongs to (here 230 to 340 ns), and everything else in this benchmark uses many lines.
 *
 * pingpong-apart: with each turn goes a message of one line that lies apart from the counter, each direction's in a place of its own.
 * So much a round trip takes in any format whose counter is not within the message, before anything is checked. ---- */

struct table {
    unsigned char *map;
    bool apart;
    uint64_t wrong; /* bits of what came that were not those that were sent: every word has to be read */
};

static unsigned char *pingpong_line(const struct table *table, uint64_t i, unsigned which)
{
    return table->map + (which * PINGPONG_LINES + i / PINGPONG_STAY % PINGPONG_LINES) * ZONE;
}

static void serve(struct table *table, uint64_t i, uint64_t turn)
{
    if (table->apart) {
        uint64_t *message = (uint64_t *)(void *)pingpong_line(table, i, 1 + (unsigned)(turn & 1));
        for (size_t k = 0; k < LINE / sizeof *message; k++)
            message[k] = turn + k;
    }
    atomic_store_explicit((_Atomic(uint64_t) *)(void *)pingpong_line(table, i, 0), turn, memory_order_release);
}

static void await_turn(struct table *table, const struct bench_args *args, uint64_t i, uint64_t turn)
{
    const _Atomic(uint64_t) *word = (const _Atomic(uint64_t) *)(const void *)pingpong_line(table, i, 0);
    while (atomic_load_explicit(word, memory_order_acquire) != turn)
        bench_relax(args);
    if (table->apart) {
        const uint64_t *message = (const uint64_t *)(const void *)pingpong_line(table, i, 1 + (unsigned)(turn & 1));
        for (size_t k = 0; k < LINE / sizeof *message; k++)
            table->wrong |= message[k] ^ (turn + k);
    }
}

static uint64_t pingpong(const struct bench_args *args, unsigned char *map, struct bench_result *result)
{
    struct table table = {.map = map, .apart = strcmp(args->peer, "pingpong-apart") == 0};
    const bool pings = args->role == BENCH_PING;
    uint64_t *samples = bench_samples(args->count);
    for (uint64_t i = 0; i < args->count; i++) {
        const uint64_t began = bench_now_ns();
        if (pings)
            serve(&table, i, 2 * i + 1);
        await_turn(&table, args, i, pings ? 2 * i + 2 : 2 * i + 1);
        if (!pings)
            serve(&table, i, 2 * i + 2);
        samples[i] = bench_now_ns() - began;
    }
    if (pings)
        bench_percentiles(samples, (size_t)args->count, result);
    bench_samples_free(samples, args->count);
    return table.wrong != 0;
}

/* pipe ------------------------------------------------------------------------------------------------------------- */

static int pipe_open(const struct bench_args *args, int which)
{
    char path[512];
    snprintf(path, sizeof path, "%s.%d", args->seg, which);
    int fd = open(path, O_RDWR | O_CLOEXEC); /* read-write, so that neither side waits for the other to open */
    if (fd < 0)
        bench_fail(path);
    return fd;
}

static void pipe_all(int fd, unsigned char *bytes, size_t size, bool out)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = out ? write(fd, bytes + done, size - done) : read(fd, bytes + done, size - done);
        if (n <= 0)
            bench_fail("pipe");
        done += (size_t)n;
    }
}

/* Opened before the barrier: what a writer that is done has written is lost unless its reader has the pipe open by then. */
static int pipes[2];

static void pipe_attach(const struct bench_args *args)
{
    for (int which = 0; which < 2; which++)
        pipes[which] = pipe_open(args, which);
}

static void pipe_run(const struct bench_args *args, unsigned char *payload, struct bench_result *result)
{
    const int forth = pipes[0];
    const int back = pipes[1];
    uint64_t *samples = bench_samples(args->count);
    bool first = args->role == BENCH_WRITE || args->role == BENCH_PING;
    bool both = args->role == BENCH_PING || args->role == BENCH_PONG;
    for (uint64_t i = 0; i < args->count; i++) {
        uint64_t began = bench_now_ns();
        if (first)
            bench_fill(payload, args->size, i);
        pipe_all(forth, payload, args->size, first);
        if (both)
            pipe_all(back, payload, args->size, !first);
        samples[i] = bench_now_ns() - began;
        result->bad += !bench_check(payload, args->size, i);
    }
    if (args->role == BENCH_PING)
        bench_percentiles(samples, (size_t)args->count, result);
    bench_samples_free(samples, args->count);
}

/* ------------------------------------------------------------------------------------------------------------------ */

static void run(const struct bench_args *args, unsigned char *map, unsigned char *payload, struct bench_result *result)
{
    bool writes = args->role == BENCH_WRITE;
    if (strcmp(args->peer, "pipe") == 0)
        pipe_run(args, payload, result);
    else if (strcmp(args->peer, "memcpy") == 0)
        result->bad = memcpy_run(args, map, payload);
    else if (strcmp(args->peer, "pingpong") == 0 || strcmp(args->peer, "pingpong-apart") == 0)
        result->bad = pingpong(args, map, result);
    else if (strcmp(args->peer, "ff") == 0 && writes)
        ff_write(args, map, payload);
    else if (strcmp(args->peer, "ff") == 0)
        result->bad = ff_read(args, map, payload);
    else if (writes)
        cur_write(args, map, payload);
    else
        result->bad = cur_read(args, map, payload);
}

int main(int argc, char **argv)
{
    struct bench_args args = bench_parse(argc, argv);
    if (args.role == BENCH_MAKE)
        return make(&args);
    bench_pin(&args);
    bool mapped = strcmp(args.peer, "pipe") != 0;
    unsigned char *map = mapped ? bench_map(args.seg, map_bytes(&args), false) : NULL;
    if (!mapped)
        pipe_attach(&args);
    unsigned char *payload = calloc(1, args.size + LINE);
    if (payload == NULL)
        bench_fail("calloc");
    struct bench_result result = {.messages = args.count};
    uint64_t began = bench_barrier(&args);
    run(&args, map, payload, &result);
    result.ns = bench_now_ns() - began;
    free(payload);
    return bench_report(&args, &result);
}
