/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

static int try_create(const char *name, uint32_t chunk_count, uint64_t target, uint64_t size)
{
    const struct shmw_ouroboros_create_options options = {.chunk_count = chunk_count, .chunk_target_size = target, .size = size};
    shmw_ouroboros_writer *writer;
    const int rc = shmw_ouroboros_create(name, &options, &writer);
    if (rc == SHMW_OK)
        shmw_ouroboros_close_writer(writer);
    return rc;
}

static int try_open(const char *name, uint64_t ready_timeout_ns)
{
    const struct shmw_ouroboros_open_options options = {.ready_timeout_ns = ready_timeout_ns};
    shmw_ouroboros_reader *reader;
    const int rc = shmw_ouroboros_open(name, &options, &reader);
    if (rc == SHMW_OK)
        shmw_ouroboros_close_reader(reader);
    return rc;
}

static int try_resume(const char *name)
{
    shmw_ouroboros_writer *writer;
    const int rc = shmw_ouroboros_resume(name, NULL, &writer);
    if (rc == SHMW_OK)
        shmw_ouroboros_close_writer(writer);
    return rc;
}

/* [ouroboros.segment.init] */
static void a_new_segment_byte_for_byte(void)
{
    struct room room = make_room(3, 64, 0);
    CHECK_U64(room.raw.size, 16 + 16 * 3 + 3 * 64);
    unsigned char want[16 + 16 * 3 + 3 * 64] = {0};
    memcpy(want, "GOLBORUO", 8);
    want[8] = 1;
    want[12] = 3;
    want[16] = 64;
    want[23] = 0x80;
    CHECK_BYTES(room.raw.bytes, want, sizeof(want));
    struct stat status;
    char path[128];
    CHECK_CODE(shmw_path(room.name, path, sizeof(path)), SHMW_OK);
    CHECK(stat(path, &status) == 0);
    CHECK_U64(status.st_mode & 0777, 0600);
    leave_room(&room);
}

static void defaults(void)
{
    const char *name = fresh_name();
    shmw_ouroboros_writer *writer;
    struct shmw_ouroboros_writer_info info;
    CHECK_CODE(shmw_ouroboros_create(name, NULL, &writer), SHMW_OK);
    CHECK_CODE(shmw_ouroboros_writer_info(writer, &info), SHMW_OK);
    CHECK_U64(info.chunk_count, 4);
    CHECK_U64(info.chunk_target_size, 262144);
    CHECK_U64(info.size, 80 + 4 * 262144);
    CHECK_U64(info.max_payload, info.size - 80 - 4);
    CHECK_U64(info.entries_written, 0);
    shmw_ouroboros_close_writer(writer);
}

/* [ouroboros.segment.create] */
static void an_existing_segment_is_left_alone(void)
{
    struct room room = make_room(2, 64, 0);
    put(&room, 1, 20);
    unsigned char *before = raw_copy(&room.raw);
    CHECK_CODE(try_create(room.name, 2, 64, 0), SHMW_EXISTS);
    CHECK_UNCHANGED(&room.raw, before);
    leave_room(&room);
}

static void bad_arguments(void)
{
    const char *name = fresh_name();
    shmw_ouroboros_writer *writer;
    shmw_ouroboros_reader *reader;
    const struct shmw_ouroboros_create_options mode = {.mode = 01000};
    const struct shmw_ouroboros_open_options start = {.start = (enum shmw_ouroboros_start)3};
    CHECK_CODE(shmw_ouroboros_create(NULL, NULL, &writer), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_ouroboros_create(name, NULL, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_ouroboros_create(name, &mode, &writer), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_ouroboros_create("", NULL, &writer), SHMW_INVALID_NAME);
    CHECK_CODE(try_create(name, 1, 4, 0), SHMW_INVALID_ARGUMENT); /* no room for one byte */
    CHECK_CODE(try_create(name, 2, 0, 52), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(try_create(name, 3, UINT64_MAX / 2, 0), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(try_create(name, 1, UINT64_C(1) << 63, 0), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(try_open(name, 0), SHMW_NOT_FOUND);
    CHECK_CODE(try_resume(name), SHMW_NOT_FOUND);
    CHECK_CODE(try_create(name, 2, 0, 53), SHMW_OK); /* room for exactly one */
    CHECK_CODE(shmw_ouroboros_open(name, &start, &reader), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_ouroboros_open(NULL, NULL, &reader), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_ouroboros_open(name, NULL, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_ouroboros_resume(NULL, NULL, &writer), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_ouroboros_resume(name, NULL, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_ouroboros_writer_info(NULL, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_ouroboros_reader_info(NULL, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_ouroboros_validate(NULL, NULL, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_ouroboros_seek(NULL, SHMW_OUROBOROS_AUTO), SHMW_INVALID_ARGUMENT);
    shmw_ouroboros_close_writer(NULL);
    shmw_ouroboros_close_reader(NULL);
}

static void check_refused(struct room *room, int want)
{
    unsigned char *before = raw_copy(&room->raw);
    CHECK_CODE(try_open(room->name, 0), want);
    CHECK_CODE(try_resume(room->name), want);
    CHECK_UNCHANGED(&room->raw, before);
}

static void headers_that_are_refused(void)
{
    struct room room = make_room(2, 64, 0);
    struct shmw_ouroboros_wire_header *header = raw_header(&room.raw);
    shmw_ouroboros_close_writer(room.writer);
    room.writer = NULL;
    header->magic = SHMW_OUROBOROS_MAGIC ^ 1;
    check_refused(&room, SHMW_BAD_MAGIC);
    header->magic = SHMW_OUROBOROS_MAGIC;
    for (uint32_t version = 0; version < 4; version += 2) {
        header->version = version;
        check_refused(&room, SHMW_BAD_VERSION);
    }
    header->version = 1;
    header->chunk_count = 0;
    check_refused(&room, SHMW_BAD_GEOMETRY);
    static const uint32_t counts[] = {11, UINT32_C(1) << 28, UINT32_MAX}; /* 2^28 rows are 0 bytes in 32 bits */
    for (size_t i = 0; i < 3; i++) {
        header->chunk_count = counts[i];
        check_refused(&room, SHMW_TRUNCATED);
    }
    header->chunk_count = 2;
    CHECK_CODE(try_open(room.name, 0), SHMW_OK);
    leave_room(&room);
}

static void a_short_segment_is_refused(void)
{
    struct room room = make_room(2, 64, 0);
    char path[128];
    CHECK_CODE(shmw_path(room.name, path, sizeof(path)), SHMW_OK);
    shmw_ouroboros_close_writer(room.writer);
    room.writer = NULL;
    static const off_t sizes[] = {47, 16, 15, 0};
    for (size_t i = 0; i < 4; i++) {
        CHECK(truncate(path, sizes[i]) == 0);
        CHECK_CODE(try_open(room.name, 0), SHMW_TRUNCATED);
        CHECK_CODE(try_resume(room.name), SHMW_TRUNCATED);
    }
    leave_room(&room);
}

/* [ouroboros.segment.not-ready] */
static void an_unpublished_segment_is_waited_for(void)
{
    struct room room = make_room(2, 64, 0);
    raw_header(&room.raw)->magic = 0;
    CHECK_CODE(try_resume(room.name), SHMW_NOT_READY);
    const uint64_t start = now_ns();
    CHECK_CODE(try_open(room.name, 30000000), SHMW_NOT_READY);
    CHECK(now_ns() - start >= 30000000);
    leave_room(&room);
}

static void publish_late(void *context)
{
    const struct room *room = context;
    nap_ms(30);
    __atomic_store_n((uint64_t *)(void *)room->raw.bytes, SHMW_OUROBOROS_MAGIC, __ATOMIC_RELEASE);
}

static void a_late_publication_is_seen(void)
{
    struct room room = make_room(2, 64, 0);
    raw_header(&room.raw)->magic = 0;
    const int child = start_child(publish_late, &room);
    CHECK_CODE(try_open(room.name, UINT64_C(10000000000)), SHMW_OK);
    CHECK_U64(child_status(child), 0);
    leave_room(&room);
}

/* [ouroboros.segment.readonly] */
static void a_reader_changes_nothing(void)
{
    struct room room = make_room(3, 64, 0);
    for (uint64_t i = 1; i <= 20; i++)
        put(&room, i, 20);
    unsigned char *before = raw_copy(&room.raw);
    for (int start = 0; start < 3; start++) {
        shmw_ouroboros_reader *reader = open_reader(&room, (enum shmw_ouroboros_start)start);
        struct shmw_ouroboros_entry entry;
        char buffer[64];
        CHECK_CODE(shmw_ouroboros_next_view(reader, &entry), SHMW_OK);
        while (shmw_ouroboros_next(reader, buffer, sizeof(buffer), &entry) == SHMW_OK) {
        }
        CHECK_CODE(shmw_ouroboros_validate(reader, NULL, NULL), SHMW_OK);
        CHECK_CODE(shmw_ouroboros_seek(reader, SHMW_OUROBOROS_OLDEST), SHMW_OK);
        shmw_ouroboros_close_reader(reader);
    }
    CHECK_UNCHANGED(&room.raw, before);
    leave_room(&room);
}

/* One writer ------------------------------------------------------------------------------------------------------- */

/* [ouroboros.segment.one-writer] */
static void a_second_writer_is_refused(void)
{
    struct room room = make_room(2, 64, 0);
    put(&room, 1, 10);
    unsigned char *before = raw_copy(&room.raw);
    CHECK_CODE(try_resume(room.name), SHMW_BUSY);
    CHECK_CODE(try_resume(room.name), SHMW_BUSY); /* the refusal gave nothing up */
    CHECK_CODE(try_open(room.name, 0), SHMW_OK);  /* readers are welcome */
    CHECK_UNCHANGED(&room.raw, before);
    take_over(&room, 64);
    CHECK_CODE(try_resume(room.name), SHMW_BUSY);
    put(&room, 2, 10);
    leave_room(&room);
    CHECK_CODE(try_resume(room.name), SHMW_OK);
}

static void write_until_killed(void *context)
{
    struct room *room = context;
    for (uint64_t i = 1;; i++)
        put(room, i, 20);
}

/* The lock dies with its holder; what was written stays. */
static void a_killed_writer_is_followed(void)
{
    struct room room = make_room(3, 64, 0);
    shmw_ouroboros_close_writer(room.writer);
    room.writer = NULL;
    int ready[2];
    CHECK(pipe(ready) == 0);
    const int child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK_CODE(shmw_ouroboros_resume(room.name, NULL, &room.writer), SHMW_OK);
        CHECK(write(ready[1], "x", 1) == 1);
        write_until_killed(&room);
    }
    char byte;
    CHECK(read(ready[0], &byte, 1) == 1);
    CHECK_CODE(try_resume(room.name), SHMW_BUSY);
    nap_ms(20);
    CHECK(kill(child, SIGKILL) == 0);
    CHECK_U64(child_status(child), 128 + SIGKILL);
    CHECK_CODE(shmw_ouroboros_resume(room.name, NULL, &room.writer), SHMW_OK);
    struct shmw_ouroboros_writer_info info;
    CHECK_CODE(shmw_ouroboros_writer_info(room.writer, &info), SHMW_OK);
    put(&room, info.entries_written + 1, 20);
    shmw_ouroboros_reader *reader = open_reader(&room, SHMW_OUROBOROS_LATEST);
    struct shmw_ouroboros_entry entry;
    do
        entry = take(reader);
    while (entry.sequence < info.entries_written + 1);
    expect_none(reader);
    CHECK_CODE(shmw_ouroboros_validate(reader, NULL, NULL), SHMW_OK);
    shmw_ouroboros_close_reader(reader);
    close(ready[0]);
    close(ready[1]);
    leave_room(&room);
}

/* A child has the parent's handle, and the lock with it: it may neither write nor give the lock up. */
static void be_a_child(void *context)
{
    struct room *room = context;
    unsigned char *before = raw_copy(&room->raw);
    CHECK_CODE(shmw_ouroboros_write(room->writer, "child", 5, NULL), SHMW_BUSY);
    CHECK_UNCHANGED(&room->raw, before);
    shmw_ouroboros_close_writer(room->writer);
    CHECK_CODE(try_resume(room->name), SHMW_BUSY);
}

static void a_forked_child_is_no_writer(void)
{
    struct room room = make_room(2, 64, 0);
    put(&room, 1, 10);
    CHECK_U64(child_status(start_child(be_a_child, &room)), 0);
    CHECK_CODE(try_resume(room.name), SHMW_BUSY);
    put(&room, 2, 10);
    leave_room(&room);
}

static void wait_for_the_pipe(void *context)
{
    const int *fds = context;
    char byte;
    close(fds[1]);
    CHECK(read(fds[0], &byte, 1) == 0);
}

/* A child that lives on keeps nobody from writing once the parent closes. */
static void closing_frees_the_lock_of_children_too(void)
{
    struct room room = make_room(2, 64, 0);
    int fds[2];
    CHECK(pipe(fds) == 0);
    const int child = start_child(wait_for_the_pipe, fds);
    shmw_ouroboros_close_writer(room.writer);
    room.writer = NULL;
    CHECK_CODE(try_resume(room.name), SHMW_OK);
    close(fds[1]);
    CHECK_U64(child_status(child), 0);
    close(fds[0]);
    leave_room(&room);
}

static void a_path_is_as_good_as_a_name(void)
{
    char directory[] = "/tmp/shmw-refc-XXXXXX";
    CHECK(mkdtemp(directory) != NULL);
    char path[64];
    strcpy(path, directory);
    strcat(path, "/log.bin");
    struct room room = {.name = path};
    CHECK_CODE(shmw_ouroboros_create(path, NULL, &room.writer), SHMW_OK);
    room.raw = raw_open(path);
    shmw_ouroboros_reader *reader = open_reader(&room, SHMW_OUROBOROS_AUTO);
    put(&room, 1, 3);
    expect(reader, 1, 0);
    shmw_ouroboros_close_reader(reader);
    leave_room(&room);
    CHECK_CODE(shmw_unlink(path), SHMW_OK);
    CHECK(rmdir(directory) == 0);
}

RUN_TESTS(TEST(a_new_segment_byte_for_byte), TEST(defaults), TEST(an_existing_segment_is_left_alone), TEST(bad_arguments),
          TEST(headers_that_are_refused), TEST(a_short_segment_is_refused), TEST(an_unpublished_segment_is_waited_for),
          TEST(a_late_publication_is_seen), TEST(a_reader_changes_nothing), TEST(a_second_writer_is_refused),
          TEST(a_killed_writer_is_followed), TEST(a_forked_child_is_no_writer), TEST(closing_frees_the_lock_of_children_too),
          TEST(a_path_is_as_good_as_a_name))
