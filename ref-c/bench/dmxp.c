/* SPDX-License-Identifier: MIT
 *
 * Benchmark actor of the C implementation, profile dmxp. Peers: "counted" (the channel counts its waiters: no wake while
 * nobody sleeps) and "wake" (a wake per send). Throughput uses channel 0; ping sends on 0 and pong answers on 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "shmwire/dmxp.h"

enum { SLOTS = 256, CHANNELS = 2 };

static void check(int code, const char *what)
{
    if (code >= 0)
        return;
    fprintf(stderr, "bench: %s: %s\n", what, shmw_strerror(code));
    exit(2);
}

static int make(const struct bench_args *args)
{
    struct shmw_dmxp_create_options options = {.size = SHMW_DMXP_HEADER_SIZE + CHANNELS * (uint64_t)SLOTS * 1100};
    struct shmw_dmxp_channel_options channel = {.capacity = SLOTS, .counted_waiters = strcmp(args->peer, "counted") == 0};
    shmw_dmxp_segment *segment;
    check(shmw_dmxp_create(args->seg, &options, &segment), "create");
    for (uint32_t id = 0; id < CHANNELS; id++)
        check(shmw_dmxp_channel_create(segment, id, &channel), "channel create");
    shmw_dmxp_close(segment);
    return 0;
}

static void write_single(const struct bench_args *args, shmw_dmxp_channel *channel, unsigned char *payload)
{
    struct shmw_dmxp_meta meta = {.message_id = SHMW_DMXP_ID_POSITION, .timestamp_ns = 1};
    for (uint64_t i = 0; i < args->count; i++) {
        bench_fill(payload, args->size, i);
        int code;
        while ((code = shmw_dmxp_try_send(channel, payload, args->size, &meta, NULL)) == SHMW_FULL)
            bench_relax(args);
        check(code, "send");
    }
}

static void write_batch(const struct bench_args *args, shmw_dmxp_channel *channel, unsigned char *payload)
{
    struct shmw_dmxp_meta meta = {.message_id = SHMW_DMXP_ID_POSITION, .timestamp_ns = 1};
    struct shmw_dmxp_item *items = calloc(args->batch, sizeof *items);
    for (size_t k = 0; items != NULL && k < args->batch; k++)
        items[k] = (struct shmw_dmxp_item){payload + k * args->size, args->size, &meta};
    for (uint64_t i = 0; items != NULL && i < args->count; i += args->batch) {
        for (size_t k = 0; k < args->batch; k++)
            bench_fill(payload + k * args->size, args->size, i + k);
        int code;
        while ((code = shmw_dmxp_try_send_batch(channel, items, args->batch, NULL)) == SHMW_FULL)
            bench_relax(args);
        check(code, "send batch");
    }
    free(items);
}

/* With several writers the order between them is free, so only the content's own consistency is checked then. */
static bool content_good(const struct bench_args *args, const unsigned char *payload, uint64_t expected)
{
    uint64_t first = expected;
    if (args->parties > 2 && args->size >= sizeof first)
        memcpy(&first, payload, sizeof first);
    return bench_check(payload, args->size, first);
}

static uint64_t read_single(const struct bench_args *args, shmw_dmxp_channel *channel, unsigned char *payload)
{
    uint64_t bad = 0;
    for (uint64_t i = 0; i < args->count; i++) {
        int code;
        while ((code = shmw_dmxp_try_receive(channel, payload, SHMW_DMXP_PAYLOAD_CAPACITY_CRATE, NULL)) == SHMW_EMPTY)
            bench_relax(args);
        check(code, "receive");
        bad += !content_good(args, payload, i);
    }
    return bad;
}

static uint64_t read_batch(const struct bench_args *args, shmw_dmxp_channel *channel, unsigned char *payload)
{
    struct shmw_dmxp_message *messages = calloc(args->batch, sizeof *messages);
    uint64_t bad = 0;
    for (uint64_t i = 0; messages != NULL && i < args->count;) {
        size_t got = 0;
        size_t want = args->count - i < args->batch ? (size_t)(args->count - i) : args->batch;
        int code = shmw_dmxp_try_receive_batch(channel, payload, args->batch * SHMW_DMXP_PAYLOAD_CAPACITY_CRATE, messages, want, &got);
        check(code, "receive batch");
        if (code == SHMW_EMPTY)
            bench_relax(args);
        for (size_t k = 0; code == SHMW_OK && k < got; k++)
            bad += !content_good(args, payload + messages[k].offset, i++);
    }
    free(messages);
    return bad;
}

static void exchange(const struct bench_args *args, shmw_dmxp_channel *out, shmw_dmxp_channel *in, unsigned char *payload,
                     struct bench_result *result)
{
    struct shmw_dmxp_meta meta = {.message_id = SHMW_DMXP_ID_POSITION, .timestamp_ns = 1};
    uint64_t *samples = bench_samples(args->count);
    bool pings = args->role == BENCH_PING;
    for (uint64_t i = 0; i < args->count; i++) {
        uint64_t began = bench_now_ns();
        if (pings) {
            bench_fill(payload, args->size, i);
            check(shmw_dmxp_try_send(out, payload, args->size, &meta, NULL), "ping");
        }
        int code;
        while ((code = shmw_dmxp_try_receive(in, payload, SHMW_DMXP_PAYLOAD_CAPACITY_CRATE, NULL)) == SHMW_EMPTY)
            bench_relax(args);
        check(code, "receive");
        result->bad += !bench_check(payload, args->size, i);
        if (!pings)
            check(shmw_dmxp_try_send(out, payload, args->size, &meta, NULL), "pong");
        samples[i] = bench_now_ns() - began;
    }
    if (pings)
        bench_percentiles(samples, (size_t)args->count, result);
    bench_samples_free(samples, args->count);
}

int main(int argc, char **argv)
{
    struct bench_args args = bench_parse(argc, argv);
    if (args.role == BENCH_MAKE)
        return make(&args);
    bench_pin(&args);
    shmw_dmxp_segment *segment;
    shmw_dmxp_channel *channel[CHANNELS];
    check(shmw_dmxp_open(args.seg, NULL, &segment), "open");
    for (uint32_t id = 0; id < CHANNELS; id++)
        check(shmw_dmxp_attach(segment, id, &channel[id]), "attach");
    unsigned char *payload = calloc(args.batch, SHMW_DMXP_PAYLOAD_CAPACITY_CRATE);
    if (payload == NULL)
        bench_fail("calloc");
    struct bench_result result = {.messages = args.count};
    uint64_t began = bench_barrier(&args);
    if (args.role == BENCH_WRITE)
        (args.batch > 1 ? write_batch : write_single)(&args, channel[0], payload);
    else if (args.role == BENCH_READ)
        result.bad = (args.batch > 1 ? read_batch : read_single)(&args, channel[0], payload);
    else
        exchange(&args, channel[args.role == BENCH_PING ? 0 : 1], channel[args.role == BENCH_PING ? 1 : 0], payload, &result);
    result.ns = bench_now_ns() - began;
    for (uint32_t id = 0; id < CHANNELS; id++)
        shmw_dmxp_detach(channel[id]);
    shmw_dmxp_close(segment);
    free(payload);
    return bench_report(&args, &result);
}
