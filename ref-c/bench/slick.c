/* SPDX-License-Identifier: MIT
 *
 * Benchmark actor of the C implementation, profile slick: one element an item. Peers: "credit" (writers wait for the slowest
 * reader, so that nothing is lost; generation 1.4), "credit-12" and "credit-13" (the same in those generations), "view" (items
 * looked at where they lie, and checked afterwards), "free" and "free-view" (writers never wait; what a reader missed it counts
 * as skipped). Ping writes PATH, pong PATH.back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "credit.h"
#include "shmwire/slick.h"

enum { ELEMENTS = 1024, LINE = 64, MOST_WRITERS = 16, WRITER_SHIFT = 56, TELL = BENCH_IN_FLIGHT / 8, SPIN_NS = 1000000 };

struct place {
    char path[512];
    char back[520];
    bool lossless;
    bool views;
};

/* What a reader has seen. */
struct tally {
    uint64_t end;                /* index behind the last item */
    uint64_t told;               /* `end` as the writers know it */
    uint64_t next[MOST_WRITERS]; /* number of the item that each writer writes next */
    uint64_t messages;
    uint64_t bad;
};

/* One that writes, and where it is. */
struct source {
    shmw_slick_producer *producer;
    const struct bench_credit *credit;
    unsigned char *payload;
    uint64_t end;   /* index behind the item that it wrote last */
    uint64_t taken; /* what it knows of the readers */
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
    struct place place = {.lossless = strstr(args->peer, "free") == NULL, .views = strstr(args->peer, "view") != NULL};
    snprintf(place.path, sizeof place.path, "%s", args->seg);
    snprintf(place.back, sizeof place.back, "%s.back", place.path);
    return place;
}

static uint32_t writers_of(const struct bench_args *args)
{
    return args->parties - args->readers;
}

/* Making ----------------------------------------------------------------------------------------------------------- */

/* A power of two that fits in the room. */
static uint32_t ring_size(const struct bench_args *args)
{
    uint32_t size = args->room > 0 ? 1 : ELEMENTS;
    while (args->room / args->size / 2 >= size)
        size *= 2;
    return size;
}

static enum shmw_slick_generation generation_of(const struct bench_args *args)
{
    if (strstr(args->peer, "-12") != NULL)
        return SHMW_SLICK_1_2;
    return strstr(args->peer, "-13") != NULL ? SHMW_SLICK_1_3 : SHMW_SLICK_1_4;
}

static int make(const struct bench_args *args, const struct place *place)
{
    const struct shmw_slick_create_options options = {
        .generation = generation_of(args), .size = ring_size(args), .element_size = (uint32_t)args->size};
    shmw_slick_queue *queue;
    check(shmw_slick_create(place->path, &options, &queue), "create");
    shmw_slick_close(queue);
    check(shmw_slick_create(place->back, &options, &queue), "create");
    shmw_slick_close(queue);
    bench_credit_map(args, true);
    return 0;
}

static shmw_slick_queue *attach(const char *path)
{
    shmw_slick_queue *queue;
    check(shmw_slick_open(path, NULL, &queue), "open");
    return queue;
}

/* Writing ---------------------------------------------------------------------------------------------------------- */

/* Number i of this writer: its first word says whose it is. */
static inline void fill(const struct bench_args *args, unsigned char *payload, uint64_t i)
{
    bench_fill(payload, args->size, (uint64_t)(args->party - args->readers) << WRITER_SHIFT | i);
}

/* Until `count` more are within the window. Where there are several writers each knows its own last index and is at most one
 * call past the window, so that what is in flight stays well within the ring. */
static inline void wait_for_readers(const struct bench_args *args, struct source *source, uint64_t count)
{
    if (source->credit != NULL)
        bench_credit_wait(source->credit, args, source->end + count - 1, &source->taken);
}

static void write_all(const struct bench_args *args, struct source *source)
{
    for (uint64_t i = 0; i < args->count; i++) {
        uint64_t index;
        wait_for_readers(args, source, 1);
        fill(args, source->payload, i);
        check(shmw_slick_write(source->producer, source->payload, args->size, &index), "write");
        source->end = index + 1;
    }
}

static void write_batches(const struct bench_args *args, struct source *source)
{
    uint64_t *indices = calloc(args->batch, sizeof *indices);
    for (uint64_t i = 0; indices != NULL && i < args->count; i += args->batch) {
        wait_for_readers(args, source, args->batch);
        for (size_t k = 0; k < args->batch; k++)
            fill(args, source->payload + k * args->size, i + k);
        check(shmw_slick_write_batch(source->producer, source->payload, args->size, args->batch, indices, NULL), "write batch");
        source->end = indices[args->batch - 1] + 1;
    }
    free(indices);
}

/* Reading ---------------------------------------------------------------------------------------------------------- */

/* The first word that the item should have: of one writer its index. */
static inline uint64_t word_of(const struct bench_args *args, const unsigned char *payload, uint64_t index)
{
    uint64_t word = index;
    if (writers_of(args) > 1 && args->size >= sizeof word)
        memcpy(&word, payload, sizeof word);
    return word;
}

/* Of several writers each one's items come in its order, and the order between them is free. */
static inline bool follows(const struct bench_args *args, const struct place *place, struct tally *tally, uint64_t word)
{
    if (writers_of(args) == 1)
        return true;
    const uint64_t writer = word >> WRITER_SHIFT;
    const uint64_t i = word & ((UINT64_C(1) << WRITER_SHIFT) - 1);
    if (writer >= MOST_WRITERS || writer >= writers_of(args) || i < tally->next[writer])
        return false;
    const bool next = i == tally->next[writer];
    tally->next[writer] = i + 1;
    return next || !place->lossless;
}

/* One item, copied or looked at where it lies: its content is good, or it was overwritten meanwhile. */
static inline int read_one(const struct bench_args *args, const struct place *place, shmw_slick_reader *reader,
                           unsigned char *payload, struct tally *tally)
{
    struct shmw_slick_item item;
    const int code = place->views ? shmw_slick_next_view(reader, &item) : shmw_slick_next(reader, payload, args->size, &item);
    check(code, "read");
    if (code != SHMW_OK)
        return code;
    const unsigned char *content = place->views ? item.data : payload;
    const uint64_t word = word_of(args, content, item.index);
    const bool good = item.length == args->size && bench_check(content, args->size, word);
    tally->end = item.index + 1;
    if (place->views && shmw_slick_view_check(reader, &item) != SHMW_OK)
        return SHMW_OK; /* what was looked at was no item */
    tally->bad += !(good && follows(args, place, tally, word));
    tally->messages++;
    return SHMW_OK;
}

static int read_batch(const struct bench_args *args, const struct place *place, shmw_slick_reader *reader,
                      unsigned char *payload, struct shmw_slick_item *items, struct tally *tally)
{
    size_t got = 0;
    const int code = shmw_slick_next_batch(reader, payload, args->batch * args->size, items, args->batch, &got);
    check(code, "read batch");
    for (size_t k = 0; k < got; k++) {
        const unsigned char *content = payload + items[k].offset;
        const uint64_t word = word_of(args, content, items[k].index);
        const bool good = items[k].length == args->size && bench_check(content, args->size, word);
        tally->bad += !(good && follows(args, place, tally, word));
    }
    tally->messages += got;
    if (got > 0)
        tally->end = items[got - 1].index + 1;
    return code;
}

/* To the last item of all writers: there is one index for each. */
static void read_all(const struct bench_args *args, shmw_slick_reader *reader, const struct place *place,
                     struct bench_credit *credit, unsigned char *payload, struct bench_result *result)
{
    struct shmw_slick_item *items = calloc(args->batch, sizeof *items);
    struct tally tally = {0};
    while (items != NULL && tally.end < args->count) {
        const int code = args->batch > 1 ? read_batch(args, place, reader, payload, items, &tally)
                                         : read_one(args, place, reader, payload, &tally);
        /* Published every eighth of the window, and before waiting, so that the line is not fought for. */
        if (credit != NULL && tally.told != tally.end && (code != SHMW_OK || tally.end - tally.told >= TELL)) {
            bench_credit_give(credit, args, tally.end);
            tally.told = tally.end;
        }
        if (code == SHMW_EMPTY)
            bench_stand_back(args);
    }
    free(items);
    result->messages = tally.messages;
    result->skipped = args->count - tally.messages;
    result->bad = tally.bad + (place->lossless ? result->skipped : 0);
}

/* Round trips ------------------------------------------------------------------------------------------------------ */

static void exchange(const struct bench_args *args, shmw_slick_producer *out, shmw_slick_reader *in, unsigned char *payload,
                     struct bench_result *result)
{
    uint64_t *samples = bench_samples(args->count);
    const bool pings = args->role == BENCH_PING;
    for (uint64_t i = 0; i < args->count; i++) {
        const uint64_t began = bench_now_ns();
        if (pings) {
            bench_fill(payload, args->size, i);
            check(shmw_slick_write(out, payload, args->size, NULL), "ping");
        }
        int code; /* the library spins on the slot, and looks at the header but now and then */
        while ((code = shmw_slick_wait_next(in, payload, args->size, SPIN_NS, SPIN_NS, NULL)) == SHMW_TIMEOUT)
            bench_relax(args);
        check(code, "read");
        result->bad += !bench_check(payload, args->size, i);
        if (!pings)
            check(shmw_slick_write(out, payload, args->size, NULL), "pong");
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
    const bool answers = args.role == BENCH_PONG;
    shmw_slick_queue *queue = attach(answers ? place.back : place.path);
    shmw_slick_queue *other = attach(answers ? place.path : place.back);
    struct source source = {.credit = place.lossless ? bench_credit_map(&args, false) : NULL,
                            .payload = calloc(args.batch + 1, args.size + LINE)};
    shmw_slick_reader *reader;
    check(shmw_slick_producer_open(queue, NULL, &source.producer), "producer");
    check(shmw_slick_reader_open(args.role == BENCH_READ ? queue : other, NULL, &reader), "reader");
    if (source.payload == NULL)
        bench_fail("calloc");
    struct bench_result result = {.messages = args.count};
    const uint64_t began = bench_barrier(&args);
    if (args.role == BENCH_WRITE)
        (args.batch > 1 ? write_batches : write_all)(&args, &source);
    else if (args.role == BENCH_READ)
        read_all(&args, reader, &place, place.lossless ? bench_credit_map(&args, false) : NULL, source.payload, &result);
    else
        exchange(&args, source.producer, reader, source.payload, &result);
    result.ns = bench_now_ns() - began;
    shmw_slick_reader_close(reader);
    shmw_slick_producer_close(source.producer);
    shmw_slick_close(other);
    shmw_slick_close(queue);
    free(source.payload);
    return bench_report(&args, &result);
}
