/* SPDX-License-Identifier: MIT
 *
 * bench: a quick probe of this machine. Two processes that are not pinned; the benchmark of the source tree measures properly. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../output.h"
#include "dmxp.h"
#include "shmwire/dmxp.h"

#define PAYLOAD 64
#define CAPACITY 1024
#define MOST_ROUNDS 1000000
#define STOP UINT32_C(0xFFFFFFFF) /* message_type of the last message */
#define LOOK_AT_CLOCK 256
#define PATIENCE_NS UINT64_C(5000000000) /* a peer that takes longer is dead */
#define SPIN_NS UINT64_C(1000000)

enum { THERE, BACK };

struct probe {
    shmw_dmxp_segment *segment;
    shmw_dmxp_channel *channel[2];
    uint64_t length_ns;
    double messages_per_second;
    double round_trip_p50_ns;
    double round_trip_p99_ns;
    uint64_t rounds;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static int send_one(shmw_dmxp_channel *channel, uint32_t type)
{
    const unsigned char payload[PAYLOAD] = {0};
    const struct shmw_dmxp_meta meta = {.message_id = SHMW_DMXP_ID_POSITION, .timestamp_ns = 1, .message_type = type};
    return shmw_dmxp_send(channel, payload, sizeof(payload), &meta, PATIENCE_NS, NULL);
}

static int receive_one(shmw_dmxp_channel *channel, uint32_t *type)
{
    unsigned char payload[PAYLOAD];
    struct shmw_dmxp_message message;
    const int rc = shmw_dmxp_receive(channel, payload, sizeof(payload), PATIENCE_NS, SPIN_NS, &message);
    *type = rc == SHMW_OK ? message.meta.message_type : STOP;
    return rc;
}

/* The other process: takes messages from THERE; answers each on BACK if `echo`, only the last otherwise. */
static void peer(const struct probe *probe, bool echo)
{
    uint32_t type = 0;
    while (type != STOP) {
        int rc = receive_one(probe->channel[THERE], &type);
        if (rc == SHMW_OK && (echo || type == STOP))
            rc = send_one(probe->channel[BACK], type);
        if (rc != SHMW_OK)
            _exit(1);
    }
    _exit(0);
}

static int measure_throughput(struct probe *probe)
{
    const uint64_t begin = now_ns();
    uint64_t sent = 0;
    uint32_t type = 0;
    int rc = SHMW_OK;
    while (rc == SHMW_OK && (++sent % LOOK_AT_CLOCK != 0 || now_ns() - begin < probe->length_ns))
        rc = send_one(probe->channel[THERE], 1);
    if (rc == SHMW_OK)
        rc = send_one(probe->channel[THERE], STOP);
    if (rc == SHMW_OK)
        rc = receive_one(probe->channel[BACK], &type);
    probe->messages_per_second = (double)sent * 1e9 / (double)(now_ns() - begin);
    return rc;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int measure_round_trip(struct probe *probe)
{
    uint64_t *times = malloc(MOST_ROUNDS * sizeof(*times));
    const uint64_t begin = now_ns();
    uint64_t at = begin;
    uint32_t type = 0;
    int rc = times != NULL ? SHMW_OK : SHMW_SYSTEM;
    while (rc == SHMW_OK && probe->rounds < MOST_ROUNDS && at - begin < probe->length_ns) {
        rc = send_one(probe->channel[THERE], 1);
        if (rc == SHMW_OK)
            rc = receive_one(probe->channel[BACK], &type);
        const uint64_t end = now_ns();
        times[probe->rounds++] = end - at;
        at = end;
    }
    if (rc == SHMW_OK)
        rc = send_one(probe->channel[THERE], STOP);
    if (rc == SHMW_OK)
        rc = receive_one(probe->channel[BACK], &type);
    if (rc == SHMW_OK) {
        qsort(times, probe->rounds, sizeof(*times), by_value);
        probe->round_trip_p50_ns = (double)times[probe->rounds / 2];
        probe->round_trip_p99_ns = (double)times[probe->rounds * 99 / 100];
    }
    free(times);
    return rc;
}

/* One measurement against a fresh peer, which never outlives us. */
static int with_peer(struct probe *probe, bool echo, int (*measure)(struct probe *))
{
    fflush(NULL);
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child < 0)
        return SHMW_SYSTEM;
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        peer(probe, echo);
    }
    const int rc = measure(probe);
    if (rc != SHMW_OK)
        kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return rc;
}

/* A segment whose name is gone before anything can go wrong: nothing is ever left behind. */
static int set_up(struct probe *probe)
{
    char name[64];
    const struct shmw_dmxp_create_options options = {.size = UINT64_C(4) << 20};
    const struct shmw_dmxp_channel_options channel = {.capacity = CAPACITY, .counted_waiters = true};
    snprintf(name, sizeof(name), "/shmwire-bench-%ld", (long)getpid());
    int rc = shmw_dmxp_create(name, &options, &probe->segment);
    if (rc != SHMW_OK)
        return rc;
    for (uint32_t id = THERE; id <= BACK && rc == SHMW_OK; id++) {
        rc = shmw_dmxp_channel_create(probe->segment, id, &channel);
        if (rc == SHMW_OK)
            rc = shmw_dmxp_attach(probe->segment, id, &probe->channel[id]);
    }
    shmw_unlink(name);
    return rc;
}

static void print_probe(const struct args *args, const struct probe *probe)
{
    if (!given(args, OPT_JSON)) {
        printf("probe, not a benchmark: dmxp, 2 processes, not pinned, %d bytes, %ld processors\n", PAYLOAD,
               sysconf(_SC_NPROCESSORS_ONLN));
        printf("throughput  %12.0f messages/s\n", probe->messages_per_second);
        printf("round trip  %12.0f ns p50  %.0f ns p99  (%" PRIu64 " rounds)\n", probe->round_trip_p50_ns,
               probe->round_trip_p99_ns, probe->rounds);
        return;
    }
    struct json json;
    json_begin(&json, stdout);
    json_text(&json, "schema", "shmwire-bench/1");
    json_text(&json, "kind", "probe");
    json_text(&json, "profile", "dmxp");
    json_number(&json, "payload_bytes", PAYLOAD);
    json_number(&json, "processors", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
    json_real(&json, "messages_per_second", probe->messages_per_second);
    json_real(&json, "round_trip_p50_ns", probe->round_trip_p50_ns);
    json_real(&json, "round_trip_p99_ns", probe->round_trip_p99_ns);
    json_u64(&json, "rounds", probe->rounds);
    json_end(&json);
}

int dmxp_bench(const struct args *args)
{
    struct probe probe = {0};
    uint64_t ms = 0;
    int rc = number_option(args, OPT_MILLISECONDS, 10, 60000, 300, &ms);
    if (rc != EXIT_OK)
        return rc;
    probe.length_ns = ms * UINT64_C(1000000);
    rc = set_up(&probe);
    if (rc == SHMW_OK)
        rc = with_peer(&probe, false, measure_throughput);
    if (rc == SHMW_OK)
        rc = with_peer(&probe, true, measure_round_trip);
    for (int id = THERE; id <= BACK; id++)
        if (probe.channel[id] != NULL)
            shmw_dmxp_detach(probe.channel[id]);
    shmw_dmxp_close(probe.segment);
    if (rc == SHMW_TIMEOUT)
        return io_error("bench: the other process did not answer within 5 s");
    if (rc != SHMW_OK)
        return library_error("bench", rc);
    print_probe(args, &probe);
    return EXIT_OK;
}
