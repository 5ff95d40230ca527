/* SPDX-License-Identifier: MIT
 *
 * ZeroMQ as a peer: PUSH/PULL for throughput, PAIR for round trips. Peers "ipc" and "tcp". The reading side binds; for tcp
 * it binds to a free port of the loopback interface and leaves the address in the file SEG.address.
 */
#define _DEFAULT_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "common.h"

/* STRIDE: of the barrier file; DONE: bytes behind a party's word there. */
enum { ADDRESS_SIZE = 256, WAIT_STEP_US = 1000, WAIT_STEPS = 5000, STRIDE = 64, DONE = 8 };

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
    if (strcmp(args->peer, "tcp") == 0)
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
    uint64_t *samples = calloc((size_t)args->count + 1, sizeof *samples);
    bool first = args->role == BENCH_WRITE || args->role == BENCH_PING;
    bool both = args->role == BENCH_PING || args->role == BENCH_PONG;
    for (uint64_t i = 0; samples != NULL && i < args->count; i++) {
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
    if (args->role == BENCH_PING && samples != NULL)
        bench_percentiles(samples, (size_t)args->count, result);
    free(samples);
}

/* Until the other side is done too, by a byte behind its word in the barrier file. A PULL socket that is at its high-water mark
 * when the other side closes loses what it has not read yet (libzmq 4.3), linger or not, and would wait for it for ever. */
static void await_other(const struct bench_args *args)
{
    const char one = 1;
    char seen = 0;
    const uint32_t other = 1 - args->party;
    const int fd = open(args->barrier, O_RDWR | O_CLOEXEC);
    if (fd < 0 || pwrite(fd, &one, 1, (off_t)(STRIDE * args->party + DONE)) != 1)
        bench_fail(args->barrier);
    while (pread(fd, &seen, 1, (off_t)(STRIDE * other + DONE)) == 1 && seen == 0)
        usleep(WAIT_STEP_US);
    close(fd);
}

int main(int argc, char **argv)
{
    struct bench_args args = bench_parse(argc, argv);
    if (args.role == BENCH_MAKE)
        return 0;
    int types[] = {[BENCH_WRITE] = ZMQ_PUSH, [BENCH_READ] = ZMQ_PULL, [BENCH_PING] = ZMQ_PAIR, [BENCH_PONG] = ZMQ_PAIR};
    void *context = zmq_ctx_new(); /* its I/O thread is not pinned: pinning comes after, and only for this thread */
    void *socket = zmq_socket(context, types[args.role]);
    check(socket != NULL, "socket");
    if (args.role == BENCH_READ || args.role == BENCH_PONG)
        bind_side(&args, socket);
    else
        connect_side(&args, socket);
    bench_pin(&args);
    unsigned char *payload = calloc(1, args.size + 8);
    if (payload == NULL)
        bench_fail("calloc");
    struct bench_result result = {.messages = args.count};
    uint64_t began = bench_barrier(&args);
    run(&args, socket, payload, &result);
    result.ns = bench_now_ns() - began;
    await_other(&args);
    zmq_close(socket);
    zmq_ctx_term(context);
    free(payload);
    return bench_report(&args, &result);
}
