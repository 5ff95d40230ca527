/* SPDX-License-Identifier: MIT
 *
 * Sections 1.5, 3 and 4: names, what a creator leaves, what an opener refuses, who keeps a channel. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

#define ANY ((struct shmw_shmcomm_options){0})
#define JOIN ((struct shmw_shmcomm_options){.making = SHMW_SHMCOMM_JOIN_ONLY})
#define NEW ((struct shmw_shmcomm_options){.making = SHMW_SHMCOMM_CREATE_ONLY, .capacity = SMALL})

static const enum shmw_shmcomm_role all_roles[] = {
    SHMW_SHMCOMM_PUBLISHER, SHMW_SHMCOMM_SUBSCRIBER, SHMW_SHMCOMM_PUSHER,  SHMW_SHMCOMM_PULLER,
    SHMW_SHMCOMM_REQUESTER, SHMW_SHMCOMM_REPLIER,    SHMW_SHMCOMM_OBSERVER};
#define ROLES (sizeof(all_roles) / sizeof(all_roles[0]))

/* [shmcomm.name.valid] */
static void names_are_checked(void)
{
    char longest[202];
    char name[300];
    memset(longest, 'x', 200);
    longest[200] = '\0';
    CHECK_CODE(shmw_shmcomm_segment_name(SHMW_SHMCOMM_PATTERN_PUBSUB, longest, 0, name, sizeof(name)), SHMW_OK);
    CHECK(strncmp(name, "/shmcomm_pub_xxx", 16) == 0 && strlen(name) == 13 + 200);
    longest[200] = 'x';
    longest[201] = '\0';
    CHECK_CODE(shmw_shmcomm_segment_name(SHMW_SHMCOMM_PATTERN_PUBSUB, longest, 0, name, sizeof(name)), SHMW_INVALID_NAME);
    static const char *const bad[] = {"", "a b", "a/b", "\xc3\xa4", "a:b", "a\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK_CODE(shmw_shmcomm_segment_name(SHMW_SHMCOMM_PATTERN_PIPELINE, bad[i], 0, name, sizeof(name)), SHMW_INVALID_NAME);
    CHECK_CODE(shmw_shmcomm_segment_name(SHMW_SHMCOMM_PATTERN_REPLY, "a.b-c_D9", 2147483647, name, sizeof(name)), SHMW_OK);
    CHECK(strcmp(name, "/shmcomm_rep_a.b-c_D9_2147483647") == 0);
    CHECK_CODE(shmw_shmcomm_segment_name(SHMW_SHMCOMM_PATTERN_REPLY, "a", 0, name, sizeof(name)), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_shmcomm_segment_name(SHMW_SHMCOMM_PATTERN_REQUEST, "a", 0, name, 14), SHMW_TOO_SMALL);
    CHECK_CODE(shmw_shmcomm_segment_name(SHMW_SHMCOMM_PATTERN_REQUEST, "a", 0, name, 15), SHMW_OK);
    CHECK(strcmp(name, "/shmcomm_req_a") == 0);
    CHECK_CODE(shmw_shmcomm_segment_name(5, "a", 0, name, sizeof(name)), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(try_enter(SHMW_SHMCOMM_PUBLISHER, "no name", ANY), SHMW_INVALID_NAME);
    CHECK_CODE(try_enter(SHMW_SHMCOMM_OBSERVER, "name", ANY), SHMW_INVALID_NAME); /* of which pattern? */
}

/* [shmcomm.segment.init], [shmcomm.segment.mode] */
static void a_creator_leaves_these_bytes(void)
{
    const char *name = fresh_name();
    char path[512];
    struct stat status;
    shmw_shmcomm *end = enter_with(SHMW_SHMCOMM_PUSHER, name,
                                   (struct shmw_shmcomm_options){
                                       .capacity = SMALL,
                                       .serializer = SHMW_SHMCOMM_CONTENT_JSON,
                                       .identity = {.endpoint = 7, .pid = 8, .instance = 9, .boot_ns = 10}});
    struct raw raw = raw_open(name);
    CHECK_U64(raw.size, 128 + SMALL);
    static const unsigned char magic[8] = "1MMOCMHS";
    CHECK_BYTES(raw.bytes, magic, 8);
    struct shmw_shmcomm_wire_header wanted = {.magic = SHMW_SHMCOMM_MAGIC,
                                              .version = 2,
                                              .capacity = SMALL,
                                              .pattern = SHMW_SHMCOMM_PATTERN_PIPELINE,
                                              .state = SHMW_SHMCOMM_STATE_OPEN,
                                              .owner_pid = 8,
                                              .serializer = SHMW_SHMCOMM_CONTENT_JSON,
                                              .heartbeat_ns = 10,
                                              .instance = 9,
                                              .owner_endpoint = 7};
    CHECK_BYTES(raw.bytes, &wanted, sizeof(wanted));
    for (size_t i = sizeof(wanted); i < raw.size; i++)
        CHECK(raw.bytes[i] == 0);
    CHECK_CODE(shmw_path(name, path, sizeof(path)), SHMW_OK);
    CHECK(stat(path, &status) == 0 && (status.st_mode & 0777) == 0600);
    CHECK(strcmp(shmw_shmcomm_segment(end), name) == 0);
    raw_close(&raw);
    shmw_shmcomm_close(end);
    end = make(SHMW_SHMCOMM_PUBLISHER, name);
    const uint64_t instance = info_of(end).instance;
    CHECK(instance != 0 && info_of(end).owner_pid == (uint32_t)getpid() && info_of(end).heartbeat_ns != 0);
    shmw_shmcomm_close(end);
    end = make(SHMW_SHMCOMM_PUBLISHER, name);
    CHECK(info_of(end).instance != instance);
    shmw_shmcomm_close(end);
}

/* [shmcomm.segment.argument], [shmcomm.segment.exists] */
static void a_creator_refuses(void)
{
    const char *name = fresh_name();
    static const uint64_t capacities[] = {1, 4095, 2048, 4097, 12288, UINT64_C(1) << 39, UINT64_MAX};
    for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++)
        CHECK_CODE(try_enter(SHMW_SHMCOMM_PUBLISHER, name, (struct shmw_shmcomm_options){.capacity = capacities[i]}),
                   SHMW_INVALID_ARGUMENT);
    CHECK_CODE(try_enter(SHMW_SHMCOMM_PUBLISHER, name, (struct shmw_shmcomm_options){.mode = 01777}), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(try_enter(SHMW_SHMCOMM_SUBSCRIBER, name, (struct shmw_shmcomm_options){.sole = true}), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(try_enter(SHMW_SHMCOMM_PUBLISHER, name,
                         (struct shmw_shmcomm_options){.identity = {.endpoint = UINT32_C(1) << 31}}),
               SHMW_INVALID_ARGUMENT);
    CHECK(!has_name(name));
    for (size_t i = 0; i < ROLES; i++)
        CHECK_CODE(try_enter(all_roles[i], name, JOIN), SHMW_NOT_FOUND);
    CHECK(!has_name(name));
    shmw_shmcomm *end = enter_with(SHMW_SHMCOMM_PUBLISHER, name, NEW);
    put(end, 0, 10);
    struct raw raw = raw_open(name);
    unsigned char *before = raw_copy(&raw);
    CHECK_CODE(try_enter(SHMW_SHMCOMM_PUBLISHER, name, NEW), SHMW_EXISTS);
    CHECK_CODE(try_enter(SHMW_SHMCOMM_PUSHER, name, NEW), SHMW_EXISTS);
    CHECK_UNCHANGED(&raw, before);
    raw_close(&raw);
    shmw_shmcomm_close(end);
    CHECK_CODE(shmw_shmcomm_open(SHMW_SHMCOMM_PUBLISHER, NULL, NULL, &end), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_shmcomm_open(SHMW_SHMCOMM_PUBLISHER, name, NULL, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_shmcomm_open((enum shmw_shmcomm_role)0, name, NULL, &end), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_shmcomm_open((enum shmw_shmcomm_role)8, name, NULL, &end), SHMW_INVALID_ARGUMENT);
    shmw_shmcomm_close(NULL);
}

/* [shmcomm.segment.pattern] */
static void only_the_roles_of_a_pattern_join(void)
{
    static const struct {
        enum shmw_shmcomm_role maker;
        unsigned joiners; /* bits of roles */
    } cases[] = {
        {SHMW_SHMCOMM_PUBLISHER, 1u << SHMW_SHMCOMM_PUBLISHER | 1u << SHMW_SHMCOMM_SUBSCRIBER | 1u << SHMW_SHMCOMM_OBSERVER},
        {SHMW_SHMCOMM_PUSHER, 1u << SHMW_SHMCOMM_PUSHER | 1u << SHMW_SHMCOMM_PULLER | 1u << SHMW_SHMCOMM_OBSERVER},
        {SHMW_SHMCOMM_REPLIER, 1u << SHMW_SHMCOMM_REPLIER | 1u << SHMW_SHMCOMM_REQUESTER | 1u << SHMW_SHMCOMM_OBSERVER},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *name = fresh_name();
        shmw_shmcomm *end = make(cases[i].maker, name);
        struct raw raw = raw_open(name);
        unsigned char *before = raw_copy(&raw);
        for (size_t k = 0; k < ROLES; k++)
            if ((cases[i].joiners & 1u << all_roles[k]) == 0)
                CHECK_CODE(try_enter(all_roles[k], name, ANY), SHMW_UNSUPPORTED);
        CHECK_UNCHANGED(&raw, before);
        for (size_t k = 0; k < ROLES; k++)
            if ((cases[i].joiners & 1u << all_roles[k]) != 0)
                CHECK_CODE(try_enter(all_roles[k], name, ANY), SHMW_OK);
        CHECK(has_name(name)); /* [shmcomm.leave.others] */
        raw_close(&raw);
        shmw_shmcomm_close(end);
        CHECK(!has_name(name)); /* [shmcomm.leave.last] */
    }
}

/* One defect at a time in a segment that is whole otherwise; every role refuses it and leaves it alone. */
struct defect {
    size_t offset;
    uint64_t value;
    size_t width;
    int answer;
};

static void foreign_segments_are_refused(void)
{
    static const struct defect defects[] = {
        {0, UINT64_C(0x53484D434F4D4D32), 8, SHMW_BAD_MAGIC}, {0, UINT64_C(0x31), 1, SHMW_OK},
        {8, 1, 8, SHMW_BAD_VERSION},        {8, 3, 8, SHMW_BAD_VERSION},       {8, UINT64_MAX, 8, SHMW_BAD_VERSION},
        {56, 0, 8, SHMW_BAD_GEOMETRY},      {56, 4095, 8, SHMW_BAD_GEOMETRY},  {56, 2048, 8, SHMW_BAD_GEOMETRY},
        {56, UINT64_C(1) << 39, 8, SHMW_BAD_GEOMETRY},                         {56, UINT64_C(1) << 63, 8, SHMW_BAD_GEOMETRY},
        {56, 8192, 8, SHMW_TRUNCATED},      {56, UINT64_C(1) << 38, 8, SHMW_TRUNCATED},
        {64, 0, 4, SHMW_BAD_GEOMETRY},      {64, 5, 4, SHMW_BAD_GEOMETRY},     {68, 0, 4, SHMW_BAD_GEOMETRY},
        {68, 3, 4, SHMW_BAD_GEOMETRY},      {92, 65536, 4, SHMW_BAD_GEOMETRY}, {16, 4, 8, SHMW_CORRUPT},
        {16, 4104, 8, SHMW_CORRUPT},        {24, 8, 8, SHMW_CORRUPT},          {24, 4, 8, SHMW_CORRUPT},
        {16, UINT64_MAX - 7, 8, SHMW_CORRUPT},
    };
    const char *name = fresh_name();
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUBLISHER, name);
    struct raw raw = raw_open(name);
    for (size_t i = 0; i < sizeof(defects) / sizeof(defects[0]); i++) {
        unsigned char kept[8];
        memcpy(kept, raw.bytes + defects[i].offset, 8);
        memcpy(raw.bytes + defects[i].offset, &defects[i].value, defects[i].width);
        unsigned char *before = raw_copy(&raw);
        for (size_t k = 0; k < ROLES && defects[i].answer != SHMW_OK; k++)
            CHECK_CODE(try_enter(all_roles[k], name, ANY), defects[i].answer);
        CHECK_CODE(shmw_shmcomm_recover(name, NULL), defects[i].answer);
        if (defects[i].answer != SHMW_OK)
            CHECK_CODE(shmw_shmcomm_remove(name, true), defects[i].answer);
        CHECK_UNCHANGED(&raw, before); /* [shmcomm.join.foreign] */
        CHECK(has_name(name));
        memcpy(raw.bytes + defects[i].offset, kept, 8);
    }
    raw_close(&raw);
    shmw_shmcomm_close(end);
}

static void leave_file(const char *name, size_t size)
{
    char path[512];
    CHECK_CODE(shmw_path(name, path, sizeof(path)), SHMW_OK);
    const int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    close(fd);
}

/* [shmcomm.segment.not-ready], [shmcomm.segment.size], [shmcomm.join.unfinished] */
static void unfinished_segments(void)
{
    static const size_t sizes[] = {0, 1, 127, 128, 128 + SMALL};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const char *name = fresh_name();
        const int answer = sizes[i] < 128 ? SHMW_TRUNCATED : SHMW_NOT_READY;
        leave_file(name, sizes[i]);
        for (size_t k = 0; k < ROLES; k++)
            CHECK_CODE(try_enter(all_roles[k], name, JOIN), answer);
        const uint64_t start = now_ns();
        CHECK_CODE(try_enter(SHMW_SHMCOMM_SUBSCRIBER, name, (struct shmw_shmcomm_options){.ready_timeout_ns = 30 * MS}), answer);
        CHECK(now_ns() - start >= 30 * MS);
        CHECK_CODE(try_enter(SHMW_SHMCOMM_PUSHER, name, NEW), SHMW_EXISTS);
        shmw_shmcomm *end = enter_with(SHMW_SHMCOMM_PUSHER, name,
                                       (struct shmw_shmcomm_options){.capacity = 8192, .identity = {.endpoint = 12}});
        CHECK_U64(info_of(end).capacity, 8192);
        CHECK_U64(info_of(end).owner_endpoint, 12);
        put(end, 0, 5);
        shmw_shmcomm_close(end);
        CHECK_CODE(shmw_shmcomm_remove(name, true), SHMW_OK);
    }
    const char *name = fresh_name();
    leave_file(name, 40);
    CHECK_CODE(shmw_shmcomm_remove(name, false), SHMW_OK);
    CHECK(!has_name(name));
    CHECK_CODE(shmw_shmcomm_remove(name, false), SHMW_NOT_FOUND);
}

struct creation {
    const char *name;
};

static void create_late(void *context)
{
    const struct creation *creation = context;
    nap_ms(20);
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUBLISHER, creation->name);
    put(end, 0, 3);
    nap_ms(200);
    shmw_shmcomm_close(end);
}

static void an_opener_waits_for_the_channel(void)
{
    struct creation creation = {.name = fresh_name()};
    const int child = start_child(create_late, &creation);
    shmw_shmcomm *end = NULL;
    const struct shmw_shmcomm_options options = {.oldest = true, .ready_timeout_ns = 20000 * MS};
    unsigned char buffer[3];
    CHECK_CODE(shmw_shmcomm_open(SHMW_SHMCOMM_SUBSCRIBER, creation.name, &options, &end), SHMW_OK);
    CHECK_CODE(shmw_shmcomm_receive(end, buffer, sizeof(buffer), 20000 * MS, 0, NULL), SHMW_OK);
    CHECK_CODE(shmw_shmcomm_receive(end, buffer, sizeof(buffer), 20000 * MS, 0, NULL), SHMW_CLOSED);
    shmw_shmcomm_close(end);
    CHECK_U64(child_status(child), 0);
}

/* [shmcomm.endpoint.number] */
static void numbers_are_taken_once(void)
{
    const char *name = fresh_name();
    const struct shmw_shmcomm_options five = {.capacity = SMALL, .identity = {.endpoint = 5}};
    shmw_shmcomm *first = enter_with(SHMW_SHMCOMM_PUSHER, name, five);
    CHECK_U64(info_of(first).endpoint, 5);
    CHECK_CODE(try_enter(SHMW_SHMCOMM_PUSHER, name, five), SHMW_BUSY);
    CHECK_CODE(try_enter(SHMW_SHMCOMM_PULLER, name, five), SHMW_BUSY);
    shmw_shmcomm *second = enter(SHMW_SHMCOMM_PULLER, name);
    const uint32_t drawn = info_of(second).endpoint;
    CHECK(drawn != 5 && drawn >= 1 && drawn <= SHMW_SHMCOMM_MAX_ENDPOINT);
    struct raw raw = raw_open(name);
    raw_header(&raw)->writer_lock = 6; /* of a dead one */
    CHECK_CODE(try_enter(SHMW_SHMCOMM_PULLER, name, (struct shmw_shmcomm_options){.identity = {.endpoint = 6}}), SHMW_BUSY);
    raw_header(&raw)->writer_lock = 0;
    CHECK_CODE(try_enter(SHMW_SHMCOMM_PULLER, name, (struct shmw_shmcomm_options){.identity = {.endpoint = 6}}), SHMW_OK);
    raw_close(&raw);
    shmw_shmcomm_close(second);
    shmw_shmcomm_close(first);
}

/* [shmcomm.join.takeover], [shmcomm.join.owner], [shmcomm.leave.drained] */
static void a_pipeline_outlives_its_keepers(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *first = enter_with(SHMW_SHMCOMM_PUSHER, name,
                                     (struct shmw_shmcomm_options){.capacity = SMALL, .identity = {.endpoint = 5}});
    shmw_shmcomm *second = enter_with(SHMW_SHMCOMM_PUSHER, name,
                                      (struct shmw_shmcomm_options){.identity = {.endpoint = 6, .pid = 77}});
    shmw_shmcomm *puller = enter(SHMW_SHMCOMM_PULLER, name);
    put(first, 0, 10);
    CHECK_U64(info_of(puller).owner_endpoint, 5);
    CHECK(info_of(puller).owner_pid != 77);
    shmw_shmcomm_close(first);
    CHECK_U64(info_of(puller).state, SHMW_SHMCOMM_STATE_OPEN);
    CHECK(info_of(puller).keeper_lives);
    shmw_shmcomm_close(second);
    CHECK_U64(info_of(puller).state, SHMW_SHMCOMM_STATE_CLOSED);
    CHECK(!info_of(puller).keeper_lives);
    CHECK(has_name(name));
    first = enter_with(SHMW_SHMCOMM_PUSHER, name, (struct shmw_shmcomm_options){.identity = {.endpoint = 8, .pid = 99}});
    CHECK_U64(info_of(first).state, SHMW_SHMCOMM_STATE_OPEN);
    CHECK_U64(info_of(first).owner_endpoint, 8);
    CHECK_U64(info_of(first).owner_pid, 99);
    CHECK_U64(info_of(first).message_count, 1);
    put(first, 1, 20);
    shmw_shmcomm_close(first);
    expect(puller, 0, 10, 0);
    expect(puller, 1, 20, 0);
    CHECK(has_name(name));
    expect_answer(puller, SHMW_CLOSED);
    CHECK(!has_name(name));
    expect_answer(puller, SHMW_CLOSED);
    shmw_shmcomm_close(puller);
    first = make(SHMW_SHMCOMM_PUSHER, name);
    puller = enter(SHMW_SHMCOMM_PULLER, name);
    put(first, 0, 10);
    shmw_shmcomm_close(first);
    expect(puller, 0, 10, 0);
    shmw_shmcomm_close(puller); /* and when it leaves */
    CHECK(!has_name(name));
}

/* A name that is another segment's by now is not removed by who leaves the old one. */
static void a_recreated_channel_is_left_alone(void)
{
    const char *name = fresh_name();
    shmw_shmcomm *old = make(SHMW_SHMCOMM_PUBLISHER, name);
    shmw_shmcomm *reader = enter(SHMW_SHMCOMM_SUBSCRIBER, name);
    CHECK_CODE(shmw_unlink(name), SHMW_OK);
    shmw_shmcomm *young = make(SHMW_SHMCOMM_PUBLISHER, name);
    put(young, 0, 9);
    shmw_shmcomm_close(old);
    expect_answer(reader, SHMW_CLOSED);
    CHECK(has_name(name));
    shmw_shmcomm_close(young);
    CHECK(!has_name(name));
    shmw_shmcomm_close(reader);
}

RUN_TESTS(TEST(names_are_checked), TEST(a_creator_leaves_these_bytes), TEST(a_creator_refuses),
          TEST(only_the_roles_of_a_pattern_join), TEST(foreign_segments_are_refused), TEST(unfinished_segments),
          TEST(an_opener_waits_for_the_channel), TEST(numbers_are_taken_once), TEST(a_pipeline_outlives_its_keepers), TEST(a_recreated_channel_is_left_alone))
