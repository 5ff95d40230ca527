/* SPDX-License-Identifier: MIT
 *
 * Section 6: the bytes of frames, eviction, refusal, batches and claims. */
#include <string.h>

#include "support.h"

static const struct shmw_shmcomm_meta at_noon = {.timestamp_ns = 1000, .content_type = 77, .flags = 0x8001};

static void check_frame(const struct raw *raw, uint64_t position, uint64_t sequence, uint64_t length, uint32_t sender)
{
    const struct shmw_shmcomm_wire_frame *frame = raw_frame(raw, position);
    unsigned char wanted[LARGEST];
    CHECK_U64(frame->size, 32 + length);
    CHECK_U64(frame->sequence, sequence);
    CHECK_U64(frame->correlation_id, 0);
    CHECK_U64(frame->sender, sender);
    fill(wanted, sequence, length);
    CHECK_BYTES((const unsigned char *)frame + 40, wanted, length);
    for (uint64_t i = 40 + length; i % 8 != 0; i++)
        CHECK_U64(((const unsigned char *)frame)[i], 0);
}

/* [shmcomm.send.frame, .extent, .sequence, .sender, .content] */
static void frames_have_these_bytes(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = enter_with(SHMW_SHMCOMM_PUBLISHER, name,

(struct shmw_shmcomm_options){.capacity = SMALL, .serializer = 3, .identity = {.endpoint = 5}});
    struct raw raw = raw_open(name);
    uint64_t sequence = 99;
    memset(raw.bytes + 128, 0xee, SMALL); /* what is free means nothing, and stays */
    for (uint64_t n = 0; n < 10; n++) {
        unsigned char payload[9];
        fill(payload, n, n);
        CHECK_CODE(shmw_shmcomm_send(end, payload, n, n == 0 ? &at_noon : NULL, 0, &sequence), SHMW_OK);
        CHECK_U64(sequence, n);
    }
    for (uint64_t n = 0; n < 10; n++)
        check_frame(&raw, n == 0 ? 0 : 40 + (n - 1) * 48, n, n, 5);
    const struct shmw_shmcomm_wire_frame *first = raw_frame(&raw, 0);
    CHECK(first->timestamp_ns == 1000 && first->content_type == 77 && first->flags == 0x8001);
    const struct shmw_shmcomm_wire_frame *second = raw_frame(&raw, 40);
    CHECK(second->timestamp_ns > 1000 && second->content_type == 3 && second->flags == 0);
    const uint64_t head = 40 + 8 * 48 + 56;
    CHECK_U64(raw_header(&raw)->head, head);
    CHECK_U64(raw_header(&raw)->tail, 0);
    CHECK_U64(raw_header(&raw)->message_count, 10);
    CHECK_U64(raw_header(&raw)->writer_lock, 0);
    CHECK_U64(raw_header(&raw)->data_signal, 0); /* [shmcomm.wait.no-call] */
    for (size_t i = 128 + head; i < raw.size; i++)
        CHECK_U64(raw.bytes[i], 0xee);
    raw_close(&raw);
    shmw_shmcomm_close(end);
}

/* [shmcomm.send.too-large] */
static void too_large(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUSHER, name);
    struct raw raw = raw_open(name);
    static unsigned char payload[LARGEST + 1];
    const struct shmw_shmcomm_part parts[] = {{payload, 1}, {payload, LARGEST + 1}};
    struct shmw_shmcomm_claim claim;
    size_t sent = 9;
    unsigned char *before = raw_copy(&raw);
    CHECK_CODE(shmw_shmcomm_send(end, payload, LARGEST + 1, NULL, 0, NULL), SHMW_TOO_LARGE);
    CHECK_CODE(shmw_shmcomm_send(end, payload, SIZE_MAX, NULL, 0, NULL), SHMW_TOO_LARGE);
    CHECK_CODE(shmw_shmcomm_send_batch(end, parts, 2, NULL, 0, &sent), SHMW_TOO_LARGE);
    CHECK_U64(sent, 0);
    CHECK_CODE(shmw_shmcomm_claim(end, LARGEST + 1, NULL, 0, &claim), SHMW_TOO_LARGE);
    CHECK_CODE(shmw_shmcomm_claim(end, SIZE_MAX - 20, NULL, 0, &claim), SHMW_TOO_LARGE);
    CHECK_CODE(shmw_shmcomm_send(end, NULL, 1, NULL, 0, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_UNCHANGED(&raw, before);
    CHECK_U64(info_of(end).max_payload, LARGEST);
    put(end, 0, LARGEST);
    put(end, 1, LARGEST);
    CHECK_U64(raw_header(&raw)->head, SMALL);
    raw_close(&raw);
    shmw_shmcomm_close(end);
}

/* The model of a publisher's ring: where frames lie, and which are held. */
struct model {
    uint64_t head;
    uint64_t tail;
    uint64_t count;
    uint64_t dropped;
    uint64_t starts[4096]; /* by sequence: where the frame, or the mark before it, begins */
    uint64_t frames[4096]; /* where the frame itself begins */
    uint64_t ends[4096];
    size_t lengths[4096];
};

static void model_send(struct model *model, size_t length)
{
    const uint64_t extent = (40 + length + 7) / 8 * 8;
    const uint64_t left = SMALL - model->head % SMALL;
    const uint64_t frame = extent <= left ? model->head : model->head + left;
    const uint64_t n = model->count++;
    model->starts[n] = model->head;
    model->frames[n] = frame;
    model->ends[n] = model->head = frame + extent;
    model->lengths[n] = length;
    while (model->head - model->tail > SMALL) {
        const uint64_t oldest = model->dropped;
        if (model->tail < model->frames[oldest]) { /* the mark first, which is no message */
            model->tail = model->frames[oldest];
            continue;
        }
        model->tail = model->ends[oldest];
        model->dropped++;
    }
}

static void compare(const struct raw *raw, const struct model *model, uint32_t sender)
{
    const struct shmw_shmcomm_wire_header *header = raw_header(raw);
    CHECK_U64(header->head, model->head);
    CHECK_U64(header->tail, model->tail);
    CHECK_U64(header->message_count, model->count);
    CHECK_U64(header->dropped_count, model->dropped);
    for (uint64_t n = model->dropped; n < model->count; n++) {
        if (model->frames[n] != model->starts[n] && model->tail <= model->starts[n])
            CHECK_U64(raw_frame(raw, model->starts[n])->size, SHMW_SHMCOMM_SKIP);
        check_frame(raw, model->frames[n], n, model->lengths[n], sender);
    }
}

/* [shmcomm.publish.evict, .dropped]: no further than needed, one by one and in batches, with and without the lock. */
static void a_publisher_evicts_what_is_in_the_way(void)
{
    static struct model model;
    static unsigned char payloads[8][LARGEST];
    for (int sole = 0; sole < 2; sole++) {
        const char *name = fresh_name();
        shmw_shmcomm *end = enter_with(
            SHMW_SHMCOMM_PUBLISHER, name,
            (struct shmw_shmcomm_options){.capacity = SMALL, .sole = sole == 1, .identity = {.endpoint = 5}});
        shmw_shmcomm *observer = enter(SHMW_SHMCOMM_OBSERVER, name);
        struct raw raw = raw_open(name);
        uint64_t seed = 0x5eed0001;
        memset(&model, 0, sizeof(model));
        while (model.count < 4000) {
            const size_t burst = 1 + draw(&seed, 8);
            struct shmw_shmcomm_part parts[8];
            size_t sent = 0;
            for (size_t i = 0; i < burst; i++) {
                const size_t length = draw(&seed, 8) == 0 ? draw(&seed, LARGEST + 1) : draw(&seed, 200);
                fill(payloads[i], model.count, length);
                parts[i] = (struct shmw_shmcomm_part){.data = payloads[i], .length = length};
                model_send(&model, length);
            }
            if (burst == 1)
                CHECK_CODE(shmw_shmcomm_send(end, parts[0].data, parts[0].length, NULL, 0, NULL), SHMW_OK);
            else
                CHECK_CODE(shmw_shmcomm_send_batch(end, parts, burst, NULL, 0, &sent), SHMW_OK);
            CHECK(burst == 1 || sent == burst);
            compare(&raw, &model, 5);
            CHECK_CODE(shmw_shmcomm_validate(observer, NULL, NULL), SHMW_OK);
        }
        CHECK_U64(info_of(end).sent, model.count);
        raw_close(&raw);
        shmw_shmcomm_close(observer);
        shmw_shmcomm_close(end);
    }
}

/* [shmcomm.push.full] */
static void a_pusher_is_refused(void)
{
    for (int sole = 0; sole < 2; sole++) {
        const char *name = fresh_name();
        shmw_shmcomm *end =
            enter_with(SHMW_SHMCOMM_PUSHER, name, (struct shmw_shmcomm_options){.capacity = SMALL, .sole = sole == 1});
        shmw_shmcomm *puller = enter(SHMW_SHMCOMM_PULLER, name);
        struct raw raw = raw_open(name);
        unsigned char payload[1000] = {0};
        for (uint64_t n = 0; n < 3; n++)
            put(end, n, 1000);
        unsigned char *before = raw_copy(&raw);
        CHECK_CODE(shmw_shmcomm_send(end, payload, 1000, NULL, 0, NULL), SHMW_FULL);
        const uint64_t start = now_ns();
        CHECK_CODE(shmw_shmcomm_send(end, payload, 1000, NULL, 30 * MS, NULL), SHMW_TIMEOUT);
        CHECK(now_ns() - start >= 30 * MS);
        CHECK_U64(raw_header(&raw)->dropped_count, 2);
        CHECK_U64(info_of(end).refused, 2);
        raw_header(&raw)->dropped_count = 0;
        raw_header(&raw)->space_waiters = 0;
        CHECK_UNCHANGED(&raw, before);
        const struct shmw_shmcomm_part parts[] = {{payload, 800}, {payload, 8}, {payload, 100}, {payload, 8}};
        size_t sent = 0;
        CHECK_CODE(shmw_shmcomm_send_batch(end, parts, 4, NULL, 0, &sent), SHMW_FULL);
        CHECK_U64(sent, 2);
        CHECK_U64(raw_header(&raw)->dropped_count, 1);
        CHECK_U64(raw_header(&raw)->message_count, 5);
        expect(puller, 0, 1000, 0);
        put(end, 5, 900);
        raw_close(&raw);
        shmw_shmcomm_close(end);
        shmw_shmcomm_close(puller);
        CHECK_CODE(shmw_shmcomm_remove(name, false), SHMW_FULL);
        CHECK_CODE(shmw_shmcomm_remove(name, true), SHMW_OK);
    }
}

/* [shmcomm.send.claim] */
static void claims(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = enter_with(SHMW_SHMCOMM_PUBLISHER, name,
                                   (struct shmw_shmcomm_options){.capacity = SMALL, .identity = {.endpoint = 5}});
    shmw_shmcomm *other = enter(SHMW_SHMCOMM_PUBLISHER, name);
    shmw_shmcomm *reader = enter(SHMW_SHMCOMM_SUBSCRIBER, name);
    struct raw raw = raw_open(name);
    struct shmw_shmcomm_claim claim;
    uint64_t sequence = 99;
    put(end, 0, 1990); /* 2032 bytes; the next large one does not fit behind the one after it */
    put(end, 1, 1000);
    unsigned char *before = raw_copy(&raw);
    CHECK_CODE(shmw_shmcomm_commit(end, NULL), SHMW_OUT_OF_ORDER);
    CHECK_CODE(shmw_shmcomm_abandon(end), SHMW_OUT_OF_ORDER);
    CHECK_CODE(shmw_shmcomm_claim(end, 101, &at_noon, 0, &claim), SHMW_OK);
    CHECK_U64(claim.length, 101);
    CHECK_U64((uintptr_t)claim.data % 8, 0);
    CHECK_U64(raw_header(&raw)->writer_lock, 5);
    CHECK_CODE(shmw_shmcomm_claim(end, 1, NULL, 0, &claim), SHMW_BUSY);
    CHECK_CODE(shmw_shmcomm_send(end, "x", 1, NULL, 0, NULL), SHMW_BUSY);
    CHECK_CODE(shmw_shmcomm_send(other, "x", 1, NULL, 0, NULL), SHMW_BUSY); /* [shmcomm.lock.busy, .alive] */
    CHECK_U64(raw_header(&raw)->writer_lock, 5 | SHMW_SHMCOMM_LOCK_WAITERS);
    CHECK_CODE(shmw_shmcomm_abandon(end), SHMW_OK);
    CHECK_UNCHANGED(&raw, before);
    CHECK_CODE(shmw_shmcomm_claim(end, 1500, &at_noon, 0, &claim), SHMW_OK); /* behind a mark */
    fill(claim.data, 2, 1500);
    CHECK_U64(raw_header(&raw)->message_count, 2);
    CHECK_CODE(shmw_shmcomm_commit(end, &sequence), SHMW_OK);
    CHECK_U64(sequence, 2);
    CHECK_U64(raw_frame(&raw, SMALL)->timestamp_ns, 1000);
    check_frame(&raw, SMALL, 2, 1500, 5);
    expect(reader, 1, 1000, 1);
    expect(reader, 2, 1500, 0);
    CHECK_CODE(shmw_shmcomm_claim(end, 10, NULL, 0, &claim), SHMW_OK);
    shmw_shmcomm_close(end); /* gives it up */
    put(other, 3, 5);
    expect(reader, 3, 5, 0);
    raw_close(&raw);
    shmw_shmcomm_close(other);
    shmw_shmcomm_close(reader);
}

static void only_writers_write(void)
{
    const char *name = fresh_name();
    const char *service = fresh_name();
    shmw_shmcomm *ends[] = {make(SHMW_SHMCOMM_PUBLISHER, name), enter(SHMW_SHMCOMM_SUBSCRIBER, name),
                            enter(SHMW_SHMCOMM_OBSERVER, name), make(SHMW_SHMCOMM_REPLIER, service)};
    struct shmw_shmcomm_part part = {"x", 1};
    struct shmw_shmcomm_claim claim;
    for (size_t i = 1; i < 4; i++) {
        CHECK_CODE(shmw_shmcomm_send(ends[i], "x", 1, NULL, 0, NULL), SHMW_UNSUPPORTED);
        CHECK_CODE(shmw_shmcomm_send_batch(ends[i], &part, 1, NULL, 0, NULL), SHMW_UNSUPPORTED);
        CHECK_CODE(shmw_shmcomm_claim(ends[i], 1, NULL, 0, &claim), SHMW_UNSUPPORTED);
    }
    CHECK_CODE(shmw_shmcomm_send_batch(ends[0], NULL, 0, NULL, 0, NULL), SHMW_OK);
    CHECK_CODE(shmw_shmcomm_claim(ends[0], 1, NULL, 0, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_shmcomm_receive(ends[0], NULL, 0, 0, 0, NULL), SHMW_UNSUPPORTED);
    CHECK_CODE(shmw_shmcomm_seek(ends[0], true), SHMW_UNSUPPORTED);
    for (size_t i = 0; i < 4; i++)
        shmw_shmcomm_close(ends[i]);
}

/* [shmcomm.send.corrupt] */
static void impossible_positions_and_frames(void)
{
    static const struct {
        size_t offset; /* of a u64 */
        uint64_t value;
        enum shmw_shmcomm_role role;
    } cases[] = {
        {16, 12, SHMW_SHMCOMM_PUBLISHER},       {16, 8, SHMW_SHMCOMM_PUSHER},          {24, 3288, SHMW_SHMCOMM_PUSHER},
        {24, 9000, SHMW_SHMCOMM_PUBLISHER},     {128, 31, SHMW_SHMCOMM_PUBLISHER},     {128, 2048, SHMW_SHMCOMM_PUBLISHER},
        {128, UINT64_MAX, SHMW_SHMCOMM_PUBLISHER}, {128, UINT64_MAX - 8, SHMW_SHMCOMM_PUBLISHER},
        {128, 0, SHMW_SHMCOMM_PUBLISHER},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *name = fresh_name();
        static unsigned char payload[1600];
        shmw_shmcomm *end = make(cases[i].role, name);
        struct raw raw = raw_open(name);
        put(end, 0, 1600);
        put(end, 1, 1600);
        if (cases[i].offset == 16)
            raw_header(&raw)->tail = 3288;
        memcpy(raw.bytes + cases[i].offset, &cases[i].value, 8);
        unsigned char *before = raw_copy(&raw);
        CHECK_CODE(shmw_shmcomm_send(end, payload, sizeof(payload), NULL, 0, NULL), SHMW_CORRUPT);
        CHECK_CODE(shmw_shmcomm_send(end, payload, sizeof(payload), NULL, 20 * MS, NULL), SHMW_CORRUPT);
        CHECK_UNCHANGED(&raw, before);
        raw_close(&raw);
        shmw_shmcomm_close(end);
    }
}

/* [shmcomm.push.closed] */
static void a_closed_channel_takes_nothing(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUSHER, name);
    struct raw raw = raw_open(name);
    put(end, 0, 10);
    raw_header(&raw)->state = SHMW_SHMCOMM_STATE_CLOSED;
    unsigned char *before = raw_copy(&raw);
    CHECK_CODE(shmw_shmcomm_send(end, "x", 1, NULL, 20 * MS, NULL), SHMW_CLOSED);
    CHECK_UNCHANGED(&raw, before);
    raw_close(&raw);
    shmw_shmcomm_close(end);
    CHECK_CODE(shmw_shmcomm_remove(name, true), SHMW_OK);
}

/* [shmcomm.join.heartbeat] */
static void a_keeper_shows_that_it_lives(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *end = enter_with(SHMW_SHMCOMM_PUBLISHER, name,
                                   (struct shmw_shmcomm_options){.capacity = SMALL, .identity = {.boot_ns = 50}});
    struct raw raw = raw_open(name);
    struct shmw_shmcomm_meta meta = {.timestamp_ns = UINT64_C(1000000000000)};
    CHECK_U64(raw_header(&raw)->heartbeat_ns, 50);
    CHECK_CODE(shmw_shmcomm_send(end, "x", 1, &meta, 0, NULL), SHMW_OK);
    raw_header(&raw)->heartbeat_ns = 0;
    meta.timestamp_ns += UINT64_C(999999999);
    CHECK_CODE(shmw_shmcomm_send(end, "x", 1, &meta, 0, NULL), SHMW_OK);
    CHECK_U64(raw_header(&raw)->heartbeat_ns, 0);
    meta.timestamp_ns += 1;
    CHECK_CODE(shmw_shmcomm_send(end, "x", 1, &meta, 0, NULL), SHMW_OK);
    CHECK_U64(raw_header(&raw)->heartbeat_ns, 50);
    raw_close(&raw);
    shmw_shmcomm_close(end);
}

RUN_TESTS(TEST(frames_have_these_bytes), TEST(too_large), TEST(a_publisher_evicts_what_is_in_the_way), TEST(a_pusher_is_refused),
          TEST(claims), TEST(only_writers_write), TEST(impossible_positions_and_frames), TEST(a_closed_channel_takes_nothing),
          TEST(a_keeper_shows_that_it_lives))
