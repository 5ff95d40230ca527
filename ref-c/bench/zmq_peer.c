/* SPDX-License-Identifier: MIT
 *
 * ZeroMQ as a peer. Peers "ipc" and "tcp": PUSH/PULL for throughput, PAIR for round trips; the reading side binds. "pub-ipc" and
 * "pub-tcp": PUB/SUB, where the publisher binds, waits for all subscribers and never drops. "req-ipc" and "req-tcp": REQ/REP. For
 * tcp a side binds to a free port of the loopback interface; it leaves its address in the file SEG.address.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "common.h"

/* STRIDE: of the barrier file; DONE: bytes behind a party's word there. */
enum { ADDRESS_SIZE = 256, WAIT_STEP_US = 1000, WAIT_STEPS = 5000, STRIDE = 64, DONE = 8, MOST_QUEUED = 1000 };

#define QUEUED_BYTES (UINT64_C(1) << 26)

static void check(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "bench: %s: %s\n", what, zmq_strerror(zmq_errno()));
        exit(2);
    }
}

static void bind_side(const struct bench_args *args, void *socket)
{
    char address[ADDRESS_SIZE];
    char path[ADDRESS_SIZE + 16];
    size_t size = sizeof address;
    if (strstr(args->peer, "tcp") != NULL)
        snprintf(address, sizeof address, "tcp://127.0.0.1:*");
    else
        snprintf(address, sizeof address, "ipc://%s.sock", args->seg);
    check(zmq_bind(socket, address) == 0, "bind");
    check(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, address, &size) == 0, "endpoint");
    snprintf(path, sizeof path, "%s.address.new", args->seg);
    FILE *file = fopen(path, "w");
    if (file == NULL || fputs(address, file) < 0 || fclose(file) != 0)
        bench_fail(path);
    char final_path[ADDRESS_SIZE + 16];
    snprintf(final_path, sizeof final_path, "%s.address", args->seg);
    if (rename(path, final_path) != 0)
        bench_fail("rename");
}

static void connect_side(const struct bench_args *args, void *socket)
{
    char path[ADDRESS_SIZE + 16];
    char address[ADDRESS_SIZE] = "";
    snprintf(path, sizeof path, "%s.address", args->seg);
    FILE *file = NULL;
    for (int i = 0; i < WAIT_STEPS && file == NULL; i++) {
        file = fopen(path, "r");
        if (file == NULL)
            usleep(WAIT_STEP_US);
    }
    if (file == NULL || fgets(address, sizeof address, file) == NULL)
        bench_fail(path);
    fclose(file);
    check(zmq_connect(socket, address) == 0, "connect");
}

static void run(const struct bench_args *args, void *socket, unsigned char *payload, struct bench_result *result)
{
    uint64_t *samples = bench_samples(args->count);
    bool first = args->role == BENCH_WRITE || args->role == BENCH_PING;
    bool both = args->role == BENCH_PING || args->role == BENCH_PONG;
    for (uint64_t i = 0; i < args->count; i++) {
        uint64_t began = bench_now_ns();
        if (first) {
            bench_fill(payload, args->size, i);
            check(zmq_send(socket, payload, args->size, 0) >= 0, "send");
        }
        if (!first || both)
            check(zmq_recv(socket, payload, args->size, 0) == (int)args->size, "receive");
        if (both && !first)
            check(zmq_send(socket, payload, args->size, 0) >= 0, "send");
        samples[i] = bench_now_ns() - began;
        result->bad += !bench_check(payload, args->size, i);
    }
    if (args->role == BENCH_PING)
        bench_percentiles(samples, (size_t)args->count, result);
    bench_samples_free(samples, args->count);
}

/* Until all others are done too, by a byte behind each party's word in the barrier file. A PULL socket that is at its high-water
 * mark when the other side closes loses what it has not read yet (libzmq 4.3), linger or not, and would wait for it for ever. */
static void await_others(const struct bench_args *args)
{
    const char one = 1;
    const int fd = open(args->barrier, O_RDWR | O_CLOEXEC);
    if (fd < 0 || pwrite(fd, &one, 1, (off_t)(STRIDE * args->party + DONE)) != 1)
        bench_fail(args->barrier);
    for (uint32_t other = 0; other < args->parties; other++) {
        char seen = 0;
        while (pread(fd, &seen, 1, (off_t)(STRIDE * other + DONE)) == 1 && seen == 0)
            usleep(WAIT_STEP_US);
    }
    close(fd);
}

static int type_of(const struct bench_args *args)
{
    static const int pipeline[] = {
        [BENCH_WRITE] = ZMQ_PUSH, [BENCH_READ] = ZMQ_PULL, [BENCH_PING] = ZMQ_PAIR, [BENCH_PONG] = ZMQ_PAIR};
    static const int request[] = {[BENCH_PING] = ZMQ_REQ, [BENCH_PONG] = ZMQ_REP};
    if (strncmp(args->peer, "pub", 3) == 0)
        return args->role == BENCH_WRITE ? ZMQ_XPUB : ZMQ_SUB;
    return strncmp(args->peer, "req", 3) == 0 ? request[args->role] : pipeline[args->role];
}

/* Queues as deep as by default, but not of more than 64 MiB; a publisher that waits instead of dropping. */
static void *make_socket(const struct bench_args *args, void *context)
{
    const int type = type_of(args);
    const int yes = 1;
    const uint64_t room = QUEUED_BYTES / (args->size + 1);
    const int queued = room > MOST_QUEUED ? MOST_QUEUED : room < 2 ? 2 : (int)room;
    void *socket = zmq_socket(context, type);
    check(socket != NULL, "socket");
    check(zmq_setsockopt(socket, ZMQ_SNDHWM, &queued, sizeof queued) == 0, "high-water mark");
    check(zmq_setsockopt(socket, ZMQ_RCVHWM, &queued, sizeof queued) == 0, "high-water mark");
    if (type == ZMQ_XPUB) {
        check(zmq_setsockopt(socket, ZMQ_XPUB_NODROP, &yes, sizeof yes) == 0, "no drop");
        check(zmq_setsockopt(socket, ZMQ_XPUB_VERBOSE, &yes, sizeof yes) == 0, "verbose"); /* each subscriber, not each new topic */
    }
    if (type == ZMQ_SUB)
        check(zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0) == 0, "subscribe");
    return socket;
}

/* A publisher's socket gets a message for each subscription. */
static void meet(const struct bench_args *args, void *socket)
{
    const int type = type_of(args);
    const bool binds = type == ZMQ_XPUB || type == ZMQ_PULL || args->role == BENCH_PONG;
    if (binds)
        bind_side(args, socket);
    else
        connect_side(args, socket);
    for (uint32_t reader = 0; type == ZMQ_XPUB && reader < args->readers; reader++) {
        char subscription[2];
        check(zmq_recv(socket, subscription, sizeof subscription, 0) >= 0, "subscription");
    }
}

int main(int argc, char **argv)
{
    struct bench_args args = bench_parse(argc, argv);
    if (args.role == BENCH_MAKE)
        return 0;
    void *context = zmq_ctx_new(); /* its I/O thread is not pinned: pinning comes after, and only for this thread */
    void *socket = make_socket(&args, context);
    meet(&args, socket);
    bench_pin(&args);
    unsigned char *payload = calloc(1, args.size + 8);
    if (payload == NULL)
        bench_fail("calloc");
    struct bench_result result = {.messages = args.count};
    uint64_t began = bench_barrier(&args);
    run(&args, socket, payload, &result);
    result.ns = bench_now_ns() - began;
    await_others(&args);
    zmq_close(socket);
    zmq_ctx_term(context);
    free(payload);
    return bench_report(&args, &result);
}
