/* SPDX-License-Identifier: MIT */
#include "live.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "credit.h"

#define PAYLOAD_MAGIC UINT32_C(0x57524853) /* "SHRW" */
#define PAYLOAD_HEAD 24u                   /* bytes before the pattern */
#define RECORD_BYTES 40
#define TYPE_DATA UINT32_C(1)
#define TYPE_END UINT32_C(0xFFFFFFFF)
#define STUTTER_EVERY 64
#define SPINS_BEFORE_YIELD 64
#define LOOK_AT_CLOCK 64                  /* calls */
#define SLEEP_SLICE_NS UINT64_C(50000000) /* so that limit_ms is looked at while blocked */

struct live {
    const struct profile *profile;
    void *segment;
    void *port;
    bool writer;
    bool block; /* wait in the kernel instead of spinning */
    bool to_position; /* a reader ends when it has read position `count` */
    uint32_t actor;
    uint32_t seed;
    uint64_t count; /* messages to write; in lossy profiles also the position that a reader ends at */
    size_t batch;   /* messages per call */
    size_t size_count;
    size_t *sizes;
    uint64_t stutter_us;
    uint64_t slow_us; /* a reader's pause after each message */
    uint64_t limit_ns;
    struct credit credit;
    struct shmw_map until; /* a reader ends when this says so and there is nothing left to read */
    FILE *history;
    struct live_message *messages; /* batch of them, each with its own buffer */
    unsigned char *buffers;
};

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* Little-endian numbers, whatever the host. */
static void store(unsigned char *at, uint64_t value, size_t width)
{
    for (size_t i = 0; i < width; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t load(const unsigned char *at, size_t width)
{
    uint64_t value = 0;
    for (size_t i = 0; i < width; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

/* Payloads --------------------------------------------------------------------------------------------------------- */

static unsigned char pattern_byte(uint64_t base, uint64_t j)
{
    return (unsigned char)(31 * base + 17 * j + 101 * (j >> 8));
}

static void fill_payload(const struct live *live, uint64_t sequence, struct live_message *message)
{
    unsigned char *data = message->data;
    const uint64_t base = (uint64_t)live->actor + sequence + live->seed;
    message->length = live->sizes[sequence % live->size_count];
    message->type = TYPE_DATA;
    store(data, PAYLOAD_MAGIC, 4);
    store(data + 4, live->actor, 4);
    store(data + 8, sequence, 8);
    store(data + 16, message->length, 4);
    store(data + 20, live->seed, 4);
    for (size_t j = PAYLOAD_HEAD; j < message->length; j++)
        data[j] = pattern_byte(base, j);
}

static bool payload_whole(const struct live_message *message)
{
    const unsigned char *data = message->data;
    if (message->length < PAYLOAD_HEAD || load(data, 4) != PAYLOAD_MAGIC || load(data + 16, 4) != message->length)
        return false;
    const uint64_t base = load(data + 4, 4) + load(data + 8, 8) + load(data + 20, 4);
    for (size_t j = PAYLOAD_HEAD; j < message->length; j++)
        if (data[j] != pattern_byte(base, j))
            return false;
    return true;
}

static bool write_record(FILE *history, const struct live_message *message)
{
    unsigned char record[RECORD_BYTES] = {0};
    const bool named = message->length >= PAYLOAD_HEAD;
    store(record, named ? load(message->data + 4, 4) : 0, 4);
    store(record + 4, message->type, 4);
    store(record + 8, named ? load(message->data + 8, 8) : 0, 8);
    store(record + 16, message->position, 8);
    store(record + 24, message->length, 4);
    store(record + 28, message->sender_pid, 4);
    store(record + 32, crc32(0, message->data, (uInt)message->length), 4);
    store(record + 36, message->skipped < UINT32_MAX ? message->skipped : UINT32_MAX, 4);
    return fwrite(record, sizeof(record), 1, history) == 1;
}

/* Arming ----------------------------------------------------------------------------------------------------------- */

static int take_sizes(struct request *rq, struct live *live)
{
    const cJSON *sizes = field(rq->body, "sizes");
    const int count = cJSON_GetArraySize(sizes);
    if (!cJSON_IsArray(sizes) || count == 0)
        return request_fail(rq, DRIVER_BAD_REQUEST, "sizes is missing or empty");
    live->sizes = calloc((size_t)count, sizeof(*live->sizes));
    if (live->sizes == NULL)
        return DRIVER_INTERNAL;
    const cJSON *size;
    cJSON_ArrayForEach (size, sizes) {
        const double value = cJSON_IsNumber(size) ? size->valuedouble : -1.0;
        if (!(value >= PAYLOAD_HEAD && value <= (double)DRIVER_LONGEST_DATA))
            return request_fail(rq, DRIVER_BAD_REQUEST, "sizes holds something else than %u and more", PAYLOAD_HEAD);
        live->sizes[live->size_count++] = (size_t)value;
    }
    return SHMW_OK;
}

static int take_plan(struct request *rq, struct live *live)
{
    const char *role = NULL;
    const char *wait = "spin";
    uint64_t actor = 0;
    uint64_t seed = 0;
    uint64_t batch = 1;
    uint64_t limit_ms = 0;
    int rc = need_text(rq, rq->body, "role", &role);
    if (rc == SHMW_OK && field(rq->body, "wait") != NULL)
        rc = need_text(rq, rq->body, "wait", &wait);
    if (rc == SHMW_OK)
        rc = want_u64(rq, rq->body, "actor", UINT32_MAX, &actor);
    if (rc == SHMW_OK)
        rc = want_u64(rq, rq->body, "seed", UINT32_MAX, &seed);
    if (rc == SHMW_OK)
        rc = want_u64(rq, rq->body, "count", UINT64_MAX, &live->count);
    if (rc == SHMW_OK)
        rc = want_u64(rq, rq->body, "batch", LIVE_LARGEST_BATCH, &batch);
    if (rc == SHMW_OK)
        rc = want_u64(rq, rq->body, "stutter_us", UINT32_MAX, &live->stutter_us);
    if (rc == SHMW_OK)
        rc = want_u64(rq, rq->body, "slow_us", UINT32_MAX, &live->slow_us);
    if (rc == SHMW_OK)
        rc = need_u64(rq, rq->body, "limit_ms", UINT32_MAX, &limit_ms);
    if (rc != SHMW_OK)
        return rc;
    live->writer = strcmp(role, "write") == 0;
    live->block = strcmp(wait, "block") == 0;
    if ((!live->writer && strcmp(role, "read") != 0) || (!live->block && strcmp(wait, "spin") != 0))
        return request_fail(rq, DRIVER_BAD_REQUEST, "role is not write or read, or wait not spin or block");
    live->actor = (uint32_t)actor;
    live->seed = (uint32_t)seed;
    live->batch = batch == 0 ? 1 : (size_t)batch;
    live->limit_ns = limit_ms * UINT64_C(1000000);
    return live->writer ? take_sizes(rq, live) : SHMW_OK;
}

static int open_history(struct request *rq, struct live *live)
{
    const char *path = NULL;
    if (live->writer || field(rq->body, "history") == NULL)
        return SHMW_OK;
    const int rc = need_text(rq, rq->body, "history", &path);
    if (rc != SHMW_OK)
        return rc;
    bool flush = false; /* the actor may be killed: what it has taken is to stand in the file */
    const int asked = want_bool(rq, rq->body, "flush", &flush);
    if (asked != SHMW_OK)
        return asked;
    live->history = fopen(path, "wbe");
    if (live->history != NULL && flush)
        setvbuf(live->history, NULL, _IONBF, 0);
    return live->history != NULL ? SHMW_OK : request_fail(rq, SHMW_SYSTEM, "%s: %s", path, strerror(errno));
}

static int make_buffers(struct request *rq, struct live *live)
{
    const size_t each = live->profile->live_payload_limit(live->port);
    for (size_t i = 0; i < live->size_count; i++)
        if (live->sizes[i] > each)
            return request_fail(rq, DRIVER_BAD_REQUEST, "sizes holds %zu, above %zu", live->sizes[i], each);
    live->messages = calloc(live->batch, sizeof(*live->messages));
    live->buffers = calloc(live->batch, each);
    if (live->messages == NULL || live->buffers == NULL)
        return DRIVER_INTERNAL;
    for (size_t i = 0; i < live->batch; i++)
        live->messages[i].data = live->buffers + i * each;
    return SHMW_OK;
}

int live_arm(struct request *rq, const struct profile *profile, struct live **out)
{
    const char *seg = NULL;
    struct live *live = calloc(1, sizeof(*live));
    if (live == NULL)
        return DRIVER_INTERNAL;
    *out = live; /* from here on the caller ends it, also after a failure */
    live->profile = profile;
    int rc = need_text(rq, rq->body, "seg", &seg);
    if (rc == SHMW_OK)
        rc = take_plan(rq, live);
    live->to_position = profile->loses != NULL && !profile->ends_by_message && live->count > 0;
    if (rc == SHMW_OK)
        rc = profile->live_open != NULL ? profile->live_open(rq, seg, live->writer, rq->body, &live->segment)
                                        : profile->open(rq, seg, false, 0, field(rq->body, "options"), &live->segment);
    if (rc == SHMW_OK)
        rc = profile->live_attach(rq, live->segment, rq->body, &live->port);
    if (rc == SHMW_OK)
        rc = open_history(rq, live);
    if (rc == SHMW_OK && !live->writer)
        rc = credit_open(rq, rq->body, false, &live->credit);
    if (rc == SHMW_OK && !live->writer)
        rc = until_open(rq, rq->body, &live->until);
    if (rc != SHMW_OK)
        return rc;
    /* A batch that the channel can never take at once would be FULL for ever. */
    const size_t most = profile->live_batch_limit(live->port);
    live->batch = live->batch < most ? live->batch : most;
    return make_buffers(rq, live);
}

void live_end(struct live *live)
{
    if (live == NULL)
        return;
    if (live->segment != NULL)
        live->profile->close(live->segment);
    if (live->history != NULL)
        fclose(live->history);
    credit_close(&live->credit, false);
    until_close(&live->until);
    free(live->sizes);
    free(live->messages);
    free(live->buffers);
    free(live);
}

/* Running ---------------------------------------------------------------------------------------------------------- */

static void pause_us(uint64_t us)
{
    const struct timespec pause = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
    if (us > 0)
        nanosleep(&pause, NULL);
}

static void stutter(const struct live *live, uint64_t done_before, uint64_t done)
{
    if (done_before / STUTTER_EVERY != done / STUTTER_EVERY)
        pause_us(live->stutter_us);
}

/* After an answer that changed nothing: let others run now and then. With fewer processors than actors nobody else moves
 * the segment while we spin. */
static void spin(uint64_t *spins)
{
    if (++*spins % SPINS_BEFORE_YIELD == 0)
        sched_yield();
}

/* How long one call may wait. Where a waiter is woken, short slices would hide a wake-up that is lost. */
static uint64_t slice_of(const struct live *live)
{
    if (!live->block)
        return 0;
    return live->profile->ends_by_message ? live->limit_ns : SLEEP_SLICE_NS;
}

static int run_writer(struct request *rq, struct live *live)
{
    const uint64_t end = monotonic_ns() + live->limit_ns;
    const uint64_t wait = slice_of(live);
    uint64_t sent = 0;
    uint64_t full = 0;
    uint64_t spins = 0;
    int rc = SHMW_OK;
    for (uint64_t calls = 1; sent < live->count; calls++) {
        const uint64_t left = live->count - sent;
        const size_t n = left < live->batch ? (size_t)left : live->batch;
        for (size_t i = 0; i < n; i++)
            fill_payload(live, sent + i, &live->messages[i]);
        while ((rc = live->profile->live_send(live->port, live->messages, n, wait)) == SHMW_FULL || rc == SHMW_TIMEOUT) {
            full++;
            if (monotonic_ns() > end)
                break;
            spin(&spins);
        }
        if (rc != SHMW_OK)
            break;
        stutter(live, sent, sent + n);
        sent += n;
        if (calls % LOOK_AT_CLOCK == 0 && monotonic_ns() > end)
            break;
    }
    if (rc < 0)
        return request_fail(rq, rc, "after %llu messages", (unsigned long long)sent);
    if (live->profile->live_sent != NULL) { /* and what it waited for is no channel that was full */
        sent = live->profile->live_sent(rq, live->port);
        full = 0;
    }
    put_number(rq->ok, "sent", sent);
    put_number(rq->ok, "full", full);
    if (live->profile->live_summary != NULL)
        live->profile->live_summary(rq, live->port);
    return SHMW_OK;
}

struct tally {
    uint64_t received;
    uint64_t torn;
    uint64_t empty;
    uint64_t corrupt;
    uint64_t lapped;
    uint64_t skipped;
    bool ended;
};

/* Judge what one call returned. Messages that stand behind END in the same batch are judged as well: they have been consumed. */
static int take_messages(struct request *rq, struct live *live, size_t count, struct tally *tally)
{
    for (size_t i = 0; i < count; i++) {
        const struct live_message *message = &live->messages[i];
        if (message->type == TYPE_END) {
            tally->ended = true;
            continue;
        }
        tally->received++;
        tally->skipped += message->skipped;
        tally->ended = tally->ended || (live->to_position && message->position + live->profile->from_zero >= live->count);
        if (!payload_whole(message))
            tally->torn++;
        if (live->history != NULL && !write_record(live->history, message))
            return request_fail(rq, SHMW_SYSTEM, "history: %s", strerror(errno));
        pause_us(live->slow_us);
        credit_give(&live->credit, message->next);
    }
    return SHMW_OK;
}

static int read_until_end(struct request *rq, struct live *live, struct tally *tally)
{
    const uint64_t end = monotonic_ns() + live->limit_ns;
    const uint64_t wait = slice_of(live);
    uint64_t spins = 0;
    for (uint64_t calls = 1; !tally->ended; calls++) {
        const uint64_t before = tally->received;
        const bool over = until_over(&live->until); /* before the look that finds nothing */
        size_t count = 0;
        int rc = live->profile->live_receive(live->port, live->messages, live->batch, wait, &count);
        if (rc == SHMW_CLOSED)
            return SHMW_OK;
        if (rc == SHMW_CORRUPT) {
            tally->corrupt++;
        } else if (rc == SHMW_EMPTY || rc == SHMW_TIMEOUT) {
            tally->empty++;
            tally->ended = over;
            spin(&spins);
        } else if (rc == SHMW_LAPPED) {
            tally->lapped++;
        } else if (rc == SHMW_OK) {
            rc = take_messages(rq, live, count, tally);
            stutter(live, before, tally->received);
        }
        if (rc < 0 && rc != SHMW_CORRUPT)
            return rc;
        if ((rc != SHMW_OK || live->slow_us > 0 || calls % LOOK_AT_CLOCK == 0) && monotonic_ns() > end)
            return SHMW_OK;
    }
    return SHMW_OK;
}

static int run_reader(struct request *rq, struct live *live)
{
    struct tally tally = {0};
    const int rc = read_until_end(rq, live, &tally);
    if (rc != SHMW_OK)
        return rc;
    if (live->history != NULL && fflush(live->history) != 0)
        return request_fail(rq, SHMW_SYSTEM, "history: %s", strerror(errno));
    put_number(rq->ok, "received", tally.received);
    put_number(rq->ok, "torn", tally.torn);
    put_number(rq->ok, "empty", tally.empty);
    put_number(rq->ok, "corrupt", tally.corrupt);
    put_bool(rq->ok, "ended", tally.ended);
    if (live->profile->loses != NULL) {
        put_number(rq->ok, "lapped", tally.lapped);
        put_number(rq->ok, live->profile->loses, tally.skipped);
    }
    return SHMW_OK;
}

int live_go(struct request *rq, struct live *live)
{
    return live->writer ? run_writer(rq, live) : run_reader(rq, live);
}

bool live_stays(const struct live *live)
{
    return live->writer && live->profile->writer_stays;
}
