/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

static int reopen(const char *name, uint64_t ready_timeout_ns)
{
    const struct shmw_dmxp_open_options options = {.ready_timeout_ns = ready_timeout_ns};
    shmw_dmxp_segment *segment = NULL;
    const int rc = shmw_dmxp_open(name, &options, &segment);
    if (rc == SHMW_OK)
        shmw_dmxp_close(segment);
    return rc;
}

/* The header as literal bytes, independent of every layout file; zero in all the rest [dmxp.segment.fields]. */
static void a_new_segment_byte_for_byte(void)
{
    static const unsigned char want[24] = {
        'M', 'E', 'M', '_', 'P', 'X', 'M', 'D', 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0,
    };
    const struct shmw_dmxp_create_options options = {.size = 100000, .payload_layout = SHMW_DMXP_LAYOUT_DOCUMENT};
    shmw_dmxp_segment *segment;
    const char *name = fresh_name();
    CHECK_CODE(shmw_dmxp_create(name, &options, &segment), SHMW_OK);
    struct raw raw = raw_open(name);
    CHECK_U64(raw.size, 100000);
    CHECK_BYTES(raw.bytes, want, sizeof(want));
    for (size_t i = sizeof(want); i < raw.size; i++)
        CHECK_U64(raw.bytes[i], 0);
    raw_close(&raw);
    shmw_dmxp_close(segment);
}

static void defaults(void)
{
    shmw_dmxp_segment *segment;
    const char *name = fresh_name();
    CHECK_CODE(shmw_dmxp_create(name, NULL, &segment), SHMW_OK);
    char path[128];
    struct stat status;
    CHECK_CODE(shmw_path(name, path, sizeof(path)), SHMW_OK);
    CHECK(stat(path, &status) == 0);
    CHECK_U64(status.st_size, 134217728);
    CHECK_U64(status.st_mode & 0777, 0600); /* [dmxp.segment.mode] */
    CHECK((uint64_t)status.st_blocks * 512 < 1048576); /* bands take memory when they are made */
    struct shmw_dmxp_segment_info info;
    CHECK_CODE(shmw_dmxp_info(segment, &info), SHMW_OK);
    CHECK_U64(info.size, SHMW_DMXP_DEFAULT_SIZE);
    CHECK_U64(info.version, 1);
    CHECK_U64(info.max_channels, 256);
    CHECK_U64(info.channel_count, 0);
    CHECK_U64(info.payload_layout, SHMW_DMXP_LAYOUT_CRATE);
    CHECK_U64(info.payload_capacity, 1024);
    shmw_dmxp_close(segment);
}

static void an_existing_segment_is_left_alone(void)
{
    const char *name = fresh_name();
    const struct shmw_dmxp_create_options options = {.size = size_for(0), .mode = 0640};
    shmw_dmxp_segment *segment;
    shmw_dmxp_segment *second;
    CHECK_CODE(shmw_dmxp_create(name, &options, &segment), SHMW_OK);
    struct raw raw = raw_open(name);
    unsigned char *before = raw_copy(&raw);
    CHECK_CODE(shmw_dmxp_create(name, NULL, &second), SHMW_EXISTS);
    CHECK_UNCHANGED(&raw, before);
    raw_close(&raw);
    shmw_dmxp_close(segment);
}

static void bad_arguments(void)
{
    const struct shmw_dmxp_create_options small = {.size = SHMW_DMXP_HEADER_SIZE - 1};
    const struct shmw_dmxp_create_options large = {.size = UINT64_MAX};
    const struct shmw_dmxp_create_options layout = {.payload_layout = 3};
    const struct shmw_dmxp_create_options mode = {.mode = 01000};
    const struct shmw_dmxp_create_options *const bad[] = {&small, &large, &layout, &mode};
    const char *name = fresh_name();
    shmw_dmxp_segment *segment;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK_CODE(shmw_dmxp_create(name, bad[i], &segment), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_unlink(name), SHMW_NOT_FOUND);
    CHECK_CODE(shmw_dmxp_create(NULL, NULL, &segment), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_dmxp_create(name, NULL, NULL), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_dmxp_create("/", NULL, &segment), SHMW_INVALID_NAME);
    CHECK_CODE(shmw_dmxp_open("/", NULL, &segment), SHMW_INVALID_NAME);
    CHECK_CODE(shmw_dmxp_open(name, NULL, &segment), SHMW_NOT_FOUND);
    shmw_dmxp_close(NULL);
}

static void headers_that_are_refused(void)
{
    struct room room = make_room((struct room_options){0});
    struct shmw_dmxp_wire_header *header = raw_header(&room.raw);
    header->magic ^= 1;
    CHECK_CODE(reopen(room.name, 0), SHMW_BAD_MAGIC);
    header->magic ^= 1;
    header->version = 2;
    CHECK_CODE(reopen(room.name, 0), SHMW_BAD_VERSION);
    CHECK_CODE(shmw_dmxp_validate(room.segment, NULL, NULL), SHMW_BAD_VERSION);
    header->version = 1;
    header->max_channels = 255;
    CHECK_CODE(reopen(room.name, 0), SHMW_BAD_GEOMETRY);
    header->max_channels = 256;
    header->payload_layout = 3;
    CHECK_CODE(reopen(room.name, 0), SHMW_BAD_GEOMETRY);
    header->payload_layout = 2;
    CHECK_CODE(reopen(room.name, 0), SHMW_OK);
    leave_room(&room);
}

static void an_unpublished_segment_is_waited_for(void)
{
    struct room room = make_room((struct room_options){0});
    raw_header(&room.raw)->magic = 0;
    CHECK_CODE(reopen(room.name, 0), SHMW_NOT_READY);
    const uint64_t start = now_ns();
    CHECK_CODE(reopen(room.name, 30000000), SHMW_NOT_READY);
    CHECK(now_ns() - start >= 30000000);
    leave_room(&room);
}

static void publish_later(void *context)
{
    nap_ms(30);
    *(_Atomic(uint64_t) *)context = SHMW_DMXP_MAGIC;
}

static void a_late_publication_is_seen(void)
{
    struct room room = make_room((struct room_options){0});
    raw_header(&room.raw)->magic = 0;
    const int child = start_child(publish_later, &raw_header(&room.raw)->magic);
    CHECK_CODE(reopen(room.name, SHMW_FOREVER), SHMW_OK);
    CHECK_U64(child_status(child), 0);
    leave_room(&room);
}

static void a_short_segment_is_refused(void)
{
    struct room room = make_room((struct room_options){0});
    char path[128];
    CHECK_CODE(shmw_path(room.name, path, sizeof(path)), SHMW_OK);
    CHECK(truncate(path, (off_t)SHMW_DMXP_HEADER_SIZE - 1) == 0);
    CHECK_CODE(reopen(room.name, 0), SHMW_TRUNCATED);
    CHECK(truncate(path, 0) == 0);
    CHECK_CODE(reopen(room.name, 0), SHMW_TRUNCATED);
    leave_room(&room);
}

/* Every changing call is refused, nothing is written, and what may be read can be. */
static void a_read_only_handle(void)
{
    struct room room = make_room((struct room_options){0});
    put(room.channel, "stays");
    unsigned char *before = raw_copy(&room.raw);
    shmw_dmxp_segment *segment;
    shmw_dmxp_channel *channel = attach_again(&room, true, &segment);
    char buffer[64];
    size_t count;
    struct shmw_dmxp_claim claim;
    struct shmw_dmxp_message message;
    const struct shmw_dmxp_item item = {"x", 1, NULL};
    CHECK_CODE(shmw_dmxp_try_send(channel, "x", 1, NULL, NULL), SHMW_PERMISSION);
    CHECK_CODE(shmw_dmxp_send(channel, "x", 1, NULL, 0, NULL), SHMW_PERMISSION);
    CHECK_CODE(shmw_dmxp_try_send_batch(channel, &item, 1, NULL), SHMW_PERMISSION);
    CHECK_CODE(shmw_dmxp_claim(channel, &claim), SHMW_PERMISSION);
    CHECK_CODE(shmw_dmxp_try_receive(channel, buffer, sizeof(buffer), NULL), SHMW_PERMISSION);
    CHECK_CODE(shmw_dmxp_receive(channel, buffer, sizeof(buffer), 0, 0, NULL), SHMW_PERMISSION);
    CHECK_CODE(shmw_dmxp_try_receive_batch(channel, buffer, sizeof(buffer), &message, 1, &count), SHMW_PERMISSION);
    CHECK_CODE(shmw_dmxp_channel_create(segment, 1, NULL), SHMW_PERMISSION);
    CHECK_CODE(shmw_dmxp_channel_remove(segment, 0), SHMW_PERMISSION);
    CHECK_CODE(shmw_dmxp_recover(segment, true, NULL), SHMW_PERMISSION);
    uint64_t position = 0;
    CHECK_CODE(shmw_dmxp_peek(channel, &position, buffer, sizeof(buffer), &message), SHMW_OK);
    CHECK_BYTES(buffer, "stays", 5);
    CHECK_CODE(shmw_dmxp_validate(segment, NULL, NULL), SHMW_OK);
    CHECK_UNCHANGED(&room.raw, before);
    shmw_dmxp_detach(channel);
    shmw_dmxp_close(segment);
    leave_room(&room);
}

static void a_path_is_as_good_as_a_name(void)
{
    char directory[] = "/tmp/shmw-refc-XXXXXX";
    CHECK(mkdtemp(directory) != NULL);
    char path[64];
    strcpy(path, directory);
    strcat(path, "/segment.bin");
    const struct shmw_dmxp_create_options options = {.size = size_for(8)};
    const struct shmw_dmxp_channel_options eight = {.capacity = 8};
    shmw_dmxp_segment *segment;
    shmw_dmxp_channel *channel;
    CHECK_CODE(shmw_dmxp_create(path, &options, &segment), SHMW_OK);
    CHECK_CODE(shmw_dmxp_channel_create(segment, 0, &eight), SHMW_OK);
    CHECK_CODE(shmw_dmxp_attach(segment, 0, &channel), SHMW_OK);
    put(channel, "on disk");
    expect(channel, "on disk");
    shmw_dmxp_detach(channel);
    shmw_dmxp_close(segment);
    CHECK_CODE(shmw_unlink(path), SHMW_OK);
    CHECK(rmdir(directory) == 0);
}

RUN_TESTS(TEST(a_new_segment_byte_for_byte), TEST(defaults), TEST(an_existing_segment_is_left_alone), TEST(bad_arguments),
          TEST(headers_that_are_refused), TEST(an_unpublished_segment_is_waited_for), TEST(a_late_publication_is_seen),
          TEST(a_short_segment_is_refused), TEST(a_read_only_handle), TEST(a_path_is_as_good_as_a_name))
