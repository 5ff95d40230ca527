/* SPDX-License-Identifier: MIT
 *
 * Benchmark actor of the C implementation, profile shmcomm. Peers are words joined by dashes: "pub" (publish and subscribe, a
 * sole publisher, with credit so that nothing is lost), "push" (a pipeline), "req" (round trips by request and reply); "lock" (no
 * sole writer: the lock is taken for each message), "view" (messages looked at where they lie), "free" (publishers never wait;
 * what a subscriber missed it counts as skipped), "sleep" (receivers sleep instead of spinning), "clock" (the library reads the
 * clock for each message; otherwise the actor says the time, which it reads once for 16: the references have no clock). Ping writes
 * PATH, pong PATH.back; a channel lives as long as its keeper, so whoever writes makes it and nothing is made beforehand. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "credit.h"
#include "shmwire/shmcomm.h"

/* STAMPED: messages that go out with one reading of the clock. */
enum { MOST_WRITERS = 16, WRITER_SHIFT = 56, SPIN_NS = 1000000, WAIT_NS = 1000000000, STAND_BACK_NS = 2000, HEADROOM = 64,
       STAMPED = 16 };

#define MOST_RING (UINT64_C(1) << 26) /* bytes; what 256 messages in flight take at most */
#define READY_NS UINT64_C(10000000000)

struct bench {
    const struct bench_args *args;
    char path[512];
    char back[520];
    bool push;
    bool request;
    bool sole;
    bool views;
    bool lossless;
    bool sleeps;
    bool clocked; /* the library reads the clock for each message */
    uint64_t capacity;
    uint64_t window; /* messages in flight */
    uint64_t share;  /* of them, of each writer */
    shmw_shmcomm *out;
    shmw_shmcomm *in;
    struct bench_credit *credit;
    unsigned char *payload;
    struct shmw_shmcomm_message *messages;
};

static void check(int code, const char *what)
{
    if (code >= 0)
        return;
    fprintf(stderr, "bench: %s: %s\n", what, shmw_strerror(code));
    exit(2);
}

static uint32_t writers_of(const struct bench_args *args)
{
    return args->parties - args->readers;
}

/* A ring for twice what is in flight, so that the publisher never evicts what a subscriber with credit has yet to read. */
static void plan_ring(struct bench *bench)
{
    const uint64_t frame = bench->args->size + HEADROOM;
    bench->capacity = bench->args->room > 0 ? SHMW_SHMCOMM_MIN_CAPACITY : 2 * SHMW_SHMCOMM_MIN_CAPACITY;
    const uint64_t wanted = bench->args->room > 0 ? bench->args->room : 2 * BENCH_IN_FLIGHT * frame;
    while (bench->capacity < wanted && (bench->capacity < MOST_RING || bench->capacity < 4 * frame))
        bench->capacity *= 2;
    bench->window = bench->capacity / 2 / frame;
    if (bench->window > BENCH_IN_FLIGHT)
        bench->window = BENCH_IN_FLIGHT;
}

static struct bench bench_of(const struct bench_args *args)
{
    struct bench bench = {.args = args,
                          .push = strstr(args->peer, "push") != NULL,
                          .request = strstr(args->peer, "req") != NULL,
                          .views = strstr(args->peer, "view") != NULL,
                          .lossless = strstr(args->peer, "free") == NULL,
                          .sleeps = strstr(args->peer, "sleep") != NULL,
                          .clocked = strstr(args->peer, "clock") != NULL};
    bench.sole = strstr(args->peer, "lock") == NULL && writers_of(args) == 1 && !bench.request;
    snprintf(bench.path, sizeof bench.path, "%s", args->seg);
    snprintf(bench.back, sizeof bench.back, "%s.back", bench.path);
    plan_ring(&bench);
    bench.share = writers_of(args) > 1 ? bench.window / writers_of(args) : bench.window;
    bench.payload = calloc(args->batch + 1, args->size + HEADROOM);
    bench.messages = calloc(args->batch, sizeof *bench.messages);
    if (bench.payload == NULL || bench.messages == NULL)
        bench_fail("calloc");
    return bench;
}

static shmw_shmcomm *attach(const struct bench *bench, enum shmw_shmcomm_role role, const char *path)
{
    const bool writes = role == SHMW_SHMCOMM_PUBLISHER || role == SHMW_SHMCOMM_PUSHER;
    const struct shmw_shmcomm_options options = {.capacity = bench->capacity, .sole = writes && bench->sole,
                                                 .ready_timeout_ns = READY_NS};
    shmw_shmcomm *endpoint;
    check(shmw_shmcomm_open(role, path, &options, &endpoint), "open");
    return endpoint;
}

/* Throughput ------------------------------------------------------------------------------------------------------- */

/* Number i of this writer: its first word says whose it is. */
static inline void fill(const struct bench *bench, unsigned char *payload, uint64_t i)
{
    const struct bench_args *args = bench->args;
    bench_fill(payload, args->size, (uint64_t)(args->party - args->readers) << WRITER_SHIFT | i);
}

/* Of several publishers each knows only its own count: what all have sent is at most so many times that. */
static inline void wait_for_readers(const struct bench *bench, uint64_t next, uint64_t *taken)
{
    if (bench->credit != NULL && next - 1 - *taken >= bench->share)
        bench_credit_wait_within(bench->credit, bench->args, bench->share, next - 1, taken);
}

/* What goes with message i: a time that is read once for 16, or NULL, and then the library reads one for each. */
static inline const struct shmw_shmcomm_meta *stamp(const struct bench *bench, struct shmw_shmcomm_meta *meta, uint64_t i)
{
    if (bench->clocked)
        return NULL;
    if (i % STAMPED == 0)
        meta->timestamp_ns = bench_wall_ns();
    return meta;
}

static void write_all(const struct bench *bench)
{
    const uint64_t forever = SHMW_FOREVER;
    struct shmw_shmcomm_meta meta = {0};
    uint64_t taken = 0;
    for (uint64_t i = 0; i < bench->args->count; i++) {
        wait_for_readers(bench, i + 1, &taken);
        fill(bench, bench->payload, i);
        check(shmw_shmcomm_send(bench->out, bench->payload, bench->args->size, stamp(bench, &meta, i), forever, NULL), "send");
    }
}

static void write_batches(const struct bench *bench)
{
    const struct bench_args *args = bench->args;
    struct shmw_shmcomm_part *parts = calloc(args->batch, sizeof *parts);
    uint64_t taken = 0;
    for (uint64_t i = 0; parts != NULL && i < args->count; i += args->batch) {
        size_t sent = 0;
        wait_for_readers(bench, i + args->batch, &taken);
        for (size_t k = 0; k < args->batch; k++) {
            parts[k] = (struct shmw_shmcomm_part){bench->payload + k * args->size, args->size};
            fill(bench, bench->payload + k * args->size, i + k);
        }
        check(shmw_shmcomm_send_batch(bench->out, parts, args->batch, NULL, SHMW_FOREVER, &sent), "send batch");
        if (sent != args->batch)
            bench_fail("send batch");
    }
    free(parts);
}

/* What a receiver has seen. */
struct tally {
    uint64_t end;                /* subscribers: the sequence behind the last message */
    uint64_t told;               /* `end` as the writers know it */
    uint64_t next[MOST_WRITERS]; /* number of the message that each writer writes next */
    uint64_t messages;
    uint64_t bad;
};

/* Each writer's messages come in its order; all of them, unless they may be lost or go to others. */
static inline bool follows(const struct bench *bench, struct tally *tally, const unsigned char *payload)
{
    uint64_t word = 0;
    if (bench->args->size < sizeof word)
        return true;
    memcpy(&word, payload, sizeof word);
    const uint64_t writer = word >> WRITER_SHIFT;
    const uint64_t i = word & ((UINT64_C(1) << WRITER_SHIFT) - 1);
    if (writer >= MOST_WRITERS || writer >= writers_of(bench->args) || i < tally->next[writer])
        return false;
    const bool next = i == tally->next[writer];
    tally->next[writer] = i + 1;
    return next || !bench->lossless || (bench->push && bench->args->readers > 1);
}

static inline void count(const struct bench *bench, struct tally *tally, const struct shmw_shmcomm_message *message,
                         const unsigned char *payload)
{
    uint64_t word = 0;
    memcpy(&word, payload, bench->args->size < sizeof word ? bench->args->size : sizeof word);
    tally->bad += !(message->length == bench->args->size && bench_check(payload, bench->args->size, word) &&
                    follows(bench, tally, payload));
    tally->messages++;
    tally->end = message->sequence + 1;
}

static inline uint64_t timeout_of(const struct bench *bench)
{
    return bench->sleeps ? WAIT_NS : 0;
}

static inline int read_one(const struct bench *bench, struct tally *tally)
{
    struct shmw_shmcomm_message message;
    if (bench->views) {
        const int code = shmw_shmcomm_view(bench->in, timeout_of(bench), 0, &message);
        if (code != SHMW_OK)
            return code;
        struct tally seen = *tally;
        count(bench, &seen, &message, message.data);
        if (shmw_shmcomm_view_check(bench->in, &message) == SHMW_OK)
            *tally = seen; /* otherwise what was looked at was no message */
        tally->end = message.sequence + 1;
        return SHMW_OK;
    }
    const int code = shmw_shmcomm_receive(bench->in, bench->payload, bench->args->size, timeout_of(bench), 0, &message);
    if (code == SHMW_OK)
        count(bench, tally, &message, bench->payload + message.offset);
    return code;
}

static int read_batch(const struct bench *bench, struct tally *tally)
{
    size_t got = 0;
    const size_t room = bench->args->batch * (bench->args->size + HEADROOM);
    const int code = shmw_shmcomm_receive_batch(bench->in, bench->payload, room, bench->messages, bench->args->batch,
                                                timeout_of(bench), 0, &got);
    for (size_t k = 0; k < got; k++)
        count(bench, tally, &bench->messages[k], bench->payload + bench->messages[k].offset);
    return code;
}

/* Nothing there: let the writers get ahead. Each look takes from them the line that they store head to. By the clock, since a
 * pause is 4 ns on one processor and 50 ns on another. */
static void stand_back(const struct bench *bench)
{
    const uint64_t until = bench_now_ns() + STAND_BACK_NS;
    do
        bench_relax(bench->args);
    while (!bench->args->crowded && bench_now_ns() < until);
}

/* Told every eighth of the window, and before waiting, so that the line is not fought for. */
static void tell(const struct bench *bench, struct tally *tally, bool waits)
{
    if (bench->credit == NULL || tally->told == tally->end || (!waits && tally->end - tally->told < bench->window / 8 + 1))
        return;
    /* In units of one writer's messages, as these count: the slowest one's. */
    bench_credit_give(bench->credit, bench->args, tally->end / writers_of(bench->args));
    tally->told = tally->end;
}

static bool done(const struct bench *bench, const struct tally *tally)
{
    return bench->push ? tally->messages >= bench->args->count : tally->end >= bench->args->count;
}

static void read_all(const struct bench *bench, struct bench_result *result)
{
    struct tally tally = {0};
    while (!done(bench, &tally)) {
        const int code = bench->args->batch > 1 ? read_batch(bench, &tally) : read_one(bench, &tally);
        check(code, "receive");
        tell(bench, &tally, code != SHMW_OK);
        if (code == SHMW_EMPTY)
            stand_back(bench);
        if (code == SHMW_CLOSED)
            break;
    }
    result->messages = tally.messages;
    result->skipped = bench->args->count - tally.messages;
    result->bad = tally.bad + (bench->lossless ? result->skipped : 0);
}

/* Round trips ------------------------------------------------------------------------------------------------------ */

static void await_message(const struct bench *bench, shmw_shmcomm *in, struct shmw_shmcomm_message *message)
{
    int code;
    const uint64_t spin_ns = bench->sleeps ? 0 : SPIN_NS;
    while ((code = shmw_shmcomm_receive(in, bench->payload, bench->args->size, WAIT_NS, spin_ns, message)) == SHMW_TIMEOUT)
        bench_relax(bench->args);
    check(code, "receive");
    if (code != SHMW_OK)
        bench_fail("receive");
}

static void answer(const struct bench *bench, const struct shmw_shmcomm_message *message, const struct shmw_shmcomm_meta *meta)
{
    const size_t size = bench->args->size;
    if (bench->request)
        check(shmw_shmcomm_reply(bench->in, message, bench->payload, size, meta, SHMW_FOREVER), "reply");
    else
        check(shmw_shmcomm_send(bench->out, bench->payload, size, meta, SHMW_FOREVER, NULL), "pong");
}

static void exchange(const struct bench *bench, struct bench_result *result)
{
    const struct bench_args *args = bench->args;
    uint64_t *samples = bench_samples(args->count);
    const bool pings = args->role == BENCH_PING;
    shmw_shmcomm *in = bench->request && pings ? bench->out : bench->in;
    struct shmw_shmcomm_meta times = {0};
    for (uint64_t i = 0; i < args->count; i++) {
        struct shmw_shmcomm_message message;
        const struct shmw_shmcomm_meta *meta = stamp(bench, &times, i);
        const uint64_t began = bench_now_ns();
        if (pings) {
            bench_fill(bench->payload, args->size, i);
            check(shmw_shmcomm_send(bench->out, bench->payload, args->size, meta, SHMW_FOREVER, NULL), "ping");
        }
        await_message(bench, in, &message);
        result->bad += !(message.length == args->size && bench_check(bench->payload, args->size, i));
        if (!pings)
            answer(bench, &message, meta);
        samples[i] = bench_now_ns() - began;
    }
    if (pings)
        bench_percentiles(samples, (size_t)args->count, result);
    bench_samples_free(samples, args->count);
}

/* Make what this role keeps, then wait for what the other one keeps. */
static void join(struct bench *bench)
{
    const enum bench_role role = bench->args->role;
    const enum shmw_shmcomm_role writer = bench->push ? SHMW_SHMCOMM_PUSHER : SHMW_SHMCOMM_PUBLISHER;
    const enum shmw_shmcomm_role reader = bench->push ? SHMW_SHMCOMM_PULLER : SHMW_SHMCOMM_SUBSCRIBER;
    if (bench->request && role == BENCH_PING)
        bench->out = attach(bench, SHMW_SHMCOMM_REQUESTER, bench->path);
    else if (bench->request)
        bench->in = attach(bench, SHMW_SHMCOMM_REPLIER, bench->path);
    else if (role == BENCH_WRITE || role == BENCH_PING)
        bench->out = attach(bench, writer, bench->path);
    else if (role == BENCH_PONG)
        bench->out = attach(bench, writer, bench->back);
    if (bench->request)
        return;
    if (role == BENCH_READ || role == BENCH_PONG)
        bench->in = attach(bench, reader, bench->path);
    else if (role == BENCH_PING)
        bench->in = attach(bench, reader, bench->back);
}

int main(int argc, char **argv)
{
    struct bench_args args = bench_parse(argc, argv);
    if (args.role == BENCH_MAKE) {
        bench_credit_map(&args, true);
        return 0;
    }
    struct bench bench = bench_of(&args);
    bench_pin(&args);
    join(&bench);
    if (!bench.push && !bench.request && bench.lossless)
        bench.credit = bench_credit_map(&args, false);
    struct bench_result result = {.messages = args.count};
    const uint64_t began = bench_barrier(&args);
    if (args.role == BENCH_WRITE)
        (args.batch > 1 ? write_batches : write_all)(&bench);
    else if (args.role == BENCH_READ)
        read_all(&bench, &result);
    else
        exchange(&bench, &result);
    result.ns = bench_now_ns() - began;
    const int code = bench_report(&args, &result);
    shmw_shmcomm_close(bench.in);
    shmw_shmcomm_close(bench.out);
    free(bench.messages);
    free(bench.payload);
    return code;
}
