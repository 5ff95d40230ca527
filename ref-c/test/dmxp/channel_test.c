/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "support.h"

#define BAND_8 UINT64_C(98432) /* where the first band of a segment begins */
#define SIZE_8 UINT64_C(8704)  /* bytes of eight slots */

static shmw_dmxp_segment *make_segment(const char *name, uint64_t slots)
{
    const struct shmw_dmxp_create_options options = {.size = size_for(slots)};
    shmw_dmxp_segment *segment;
    CHECK_CODE(shmw_dmxp_create(name, &options, &segment), SHMW_OK);
    return segment;
}

static int make_channel(shmw_dmxp_segment *segment, uint32_t id, uint64_t capacity)
{
    const struct shmw_dmxp_channel_options options = {.capacity = capacity};
    return shmw_dmxp_channel_create(segment, id, &options);
}

static int attach(shmw_dmxp_segment *segment, uint32_t id)
{
    shmw_dmxp_channel *channel;
    const int rc = shmw_dmxp_attach(segment, id, &channel);
    if (rc == SHMW_OK)
        shmw_dmxp_detach(channel);
    return rc;
}

/* Literal offsets: the entry and its slots as the chapter draws them [dmxp.channel.commit]. */
static void a_new_channel_byte_for_byte(void)
{
    const char *name = fresh_name();
    shmw_dmxp_segment *segment = make_segment(name, 8);
    const struct shmw_dmxp_channel_options options = {.capacity = 4, .counted_waiters = true};
    CHECK_CODE(shmw_dmxp_channel_create(segment, 3, &options), SHMW_OK);
    struct raw raw = raw_open(name);
    unsigned char want[98432 + 8 * 1088] = {0};
    memcpy(want, raw.bytes, 16);
    want[16] = 1; /* channel_count */
    want[20] = 2; /* payload_layout */
    const size_t entry = 128 + 3 * 384;
    want[entry] = 3;             /* channel_id */
    want[entry + 4] = 1;         /* flags: counted waiters */
    want[entry + 8] = 4;         /* capacity */
    want[entry + 16] = 0x80;     /* band_offset 98,432 */
    want[entry + 17] = 0x80;
    want[entry + 18] = 0x01;
    for (unsigned char slot = 0; slot < 4; slot++)
        want[98432 + 1088 * slot] = slot;
    CHECK_U64(raw.size, sizeof(want));
    CHECK_BYTES(raw.bytes, want, sizeof(want));
    raw_close(&raw);
    shmw_dmxp_close(segment);
}

static void arguments_of_creation(void)
{
    shmw_dmxp_segment *segment = make_segment(fresh_name(), 8);
    CHECK_CODE(make_channel(segment, 0, 1), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(make_channel(segment, 0, 6), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(make_channel(segment, 256, 2), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(make_channel(NULL, 0, 2), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(make_channel(segment, 0, 16), SHMW_TOO_LARGE);
    CHECK_CODE(make_channel(segment, 0, UINT64_C(1) << 63), SHMW_TOO_LARGE);
    CHECK_CODE(shmw_dmxp_channel_create(segment, 0, NULL), SHMW_TOO_LARGE); /* 1024 slots by default */
    CHECK_CODE(make_channel(segment, 255, 8), SHMW_OK);
    CHECK_CODE(make_channel(segment, 255, 2), SHMW_EXISTS);
    CHECK_CODE(make_channel(segment, 0, 2), SHMW_TOO_LARGE);
    CHECK_CODE(attach(segment, 0), SHMW_NOT_FOUND);
    CHECK_CODE(attach(segment, 256), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(attach(NULL, 0), SHMW_INVALID_ARGUMENT);
    shmw_dmxp_detach(NULL);
    shmw_dmxp_close(segment);
}

static uint64_t band_of(const shmw_dmxp_segment *segment, uint32_t id)
{
    struct shmw_dmxp_channel_info info;
    CHECK_CODE(shmw_dmxp_channel_info(segment, id, &info), SHMW_OK);
    return info.band_offset;
}

/* [dmxp.channel.placement]: above every live and every retired band, aligned to 128; 2 slots are 2,176 bytes = 17 x 128. */
static void bands_are_placed_above_all_others(void)
{
    const char *name = fresh_name();
    shmw_dmxp_segment *segment = make_segment(name, 64);
    CHECK_CODE(make_channel(segment, 9, 8), SHMW_OK);
    CHECK_CODE(make_channel(segment, 1, 2), SHMW_OK);
    CHECK_CODE(make_channel(segment, 5, 8), SHMW_OK);
    CHECK_U64(band_of(segment, 9), BAND_8);
    CHECK_U64(band_of(segment, 1), BAND_8 + SIZE_8);
    CHECK_U64(band_of(segment, 5), BAND_8 + SIZE_8 + 2176);
    const uint64_t top = BAND_8 + SIZE_8 + 2176 + SIZE_8;
    CHECK_CODE(shmw_dmxp_channel_remove(segment, 5), SHMW_OK);
    CHECK_CODE(make_channel(segment, 6, 2), SHMW_OK);
    CHECK_U64(band_of(segment, 6), top); /* not in the retired band */
    CHECK_CODE(make_channel(segment, 5, 2), SHMW_OK);
    CHECK_U64(band_of(segment, 5), top + 2176); /* made anew: above its own old one */
    struct raw raw = raw_open(name);
    struct shmw_dmxp_wire_channel *dead = raw_channel(&raw, 7);
    dead->band_offset = BAND_8 + 100 * 128; /* a creator that died before the commit: never there */
    CHECK_CODE(make_channel(segment, 8, 2), SHMW_OK);
    CHECK_U64(band_of(segment, 8), top + 2 * 2176);
    dead->retired_capacity = UINT64_MAX; /* hostile: no room above it, and no wrap either */
    CHECK_CODE(make_channel(segment, 10, 2), SHMW_TOO_LARGE);
    CHECK_U64(raw_header(&raw)->channel_count, 5);
    raw_close(&raw);
    shmw_dmxp_close(segment);
}

static void removal(void)
{
    struct room room = make_room((struct room_options){0});
    put(room.channel, "gone");
    const uint32_t signal = raw_channel(&room.raw, 0)->signal;
    CHECK_CODE(shmw_dmxp_channel_remove(room.segment, 0), SHMW_OK);
    const struct shmw_dmxp_wire_channel *entry = raw_channel(&room.raw, 0);
    CHECK_U64(entry->capacity, 0);
    CHECK_U64(entry->retired_capacity, 8);
    CHECK_U64(entry->band_offset, BAND_8);
    CHECK_U64(entry->signal, signal + 1);
    CHECK_U64(raw_header(&room.raw)->channel_count, 0);
    CHECK_CODE(shmw_dmxp_channel_remove(room.segment, 0), SHMW_NOT_FOUND);
    CHECK_CODE(shmw_dmxp_channel_remove(room.segment, 256), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(attach(room.segment, 0), SHMW_NOT_FOUND);
    CHECK_CODE(shmw_dmxp_try_send(room.channel, "x", 1, NULL, NULL), SHMW_CLOSED);
    leave_room(&room);
}

/* [dmxp.channel.closed]: the entry's capacity may be the same again; the band is not. */
static void users_of_a_channel_made_anew_are_told(void)
{
    const char *name = fresh_name();
    shmw_dmxp_segment *segment = make_segment(name, 64);
    CHECK_CODE(make_channel(segment, 0, 8), SHMW_OK);
    shmw_dmxp_channel *old;
    CHECK_CODE(shmw_dmxp_attach(segment, 0, &old), SHMW_OK);
    CHECK_CODE(shmw_dmxp_channel_remove(segment, 0), SHMW_OK);
    CHECK_CODE(make_channel(segment, 0, 8), SHMW_OK);
    struct raw raw = raw_open(name);
    CHECK_U64(raw_channel(&raw, 0)->retired_capacity, 0);
    CHECK_U64(raw_channel(&raw, 0)->band_offset, BAND_8 + SIZE_8);
    unsigned char *before = raw_copy(&raw);
    char buffer[8];
    struct shmw_dmxp_claim claim;
    uint64_t position = 0;
    CHECK_CODE(shmw_dmxp_try_send(old, "x", 1, NULL, NULL), SHMW_CLOSED);
    CHECK_CODE(shmw_dmxp_send(old, "x", 1, NULL, SHMW_FOREVER, NULL), SHMW_CLOSED);
    CHECK_CODE(shmw_dmxp_claim(old, &claim), SHMW_CLOSED);
    CHECK_CODE(shmw_dmxp_try_receive(old, buffer, sizeof(buffer), NULL), SHMW_CLOSED);
    CHECK_CODE(shmw_dmxp_receive(old, buffer, sizeof(buffer), SHMW_FOREVER, 0, NULL), SHMW_CLOSED);
    CHECK_CODE(shmw_dmxp_peek(old, &position, buffer, sizeof(buffer), NULL), SHMW_CLOSED);
    CHECK_UNCHANGED(&raw, before);
    raw_close(&raw);
    shmw_dmxp_detach(old);
    shmw_dmxp_close(segment);
}

static void the_list_of_channels(void)
{
    shmw_dmxp_segment *segment = make_segment(fresh_name(), 16);
    CHECK_CODE(make_channel(segment, 200, 2), SHMW_OK);
    CHECK_CODE(make_channel(segment, 7, 2), SHMW_OK);
    CHECK_CODE(make_channel(segment, 0, 2), SHMW_OK);
    CHECK_CODE(shmw_dmxp_channel_remove(segment, 0), SHMW_OK);
    uint32_t ids[3] = {99, 99, 99};
    size_t count;
    CHECK_CODE(shmw_dmxp_channel_list(segment, ids, 3, &count), SHMW_OK);
    CHECK_U64(count, 2);
    CHECK_U64(ids[0], 7);
    CHECK_U64(ids[1], 200);
    CHECK_U64(ids[2], 99);
    ids[0] = 99;
    CHECK_CODE(shmw_dmxp_channel_list(segment, NULL, 0, &count), SHMW_OK);
    CHECK_U64(count, 2);
    CHECK_CODE(shmw_dmxp_channel_list(segment, NULL, 1, &count), SHMW_INVALID_ARGUMENT);
    shmw_dmxp_close(segment);
}

static void channel_info_is_a_plain_look(void)
{
    struct room room = make_room((struct room_options){.counted_waiters = true});
    put(room.channel, "a");
    put(room.channel, "b");
    expect(room.channel, "a");
    raw_channel(&room.raw, 0)->waiters = 5;
    struct shmw_dmxp_channel_info info;
    CHECK_CODE(shmw_dmxp_channel_info(room.segment, 0, &info), SHMW_OK);
    CHECK_U64(info.channel_id, 0);
    CHECK_U64(info.flags, SHMW_DMXP_CHANNEL_COUNTED_WAITERS);
    CHECK_U64(info.capacity, 8);
    CHECK_U64(info.band_offset, BAND_8);
    CHECK_U64(info.retired_capacity, 0);
    CHECK_U64(info.head, 1);
    CHECK_U64(info.tail, 2);
    CHECK_U64(info.signal, 2);
    CHECK_U64(info.waiters, 5);
    CHECK_CODE(shmw_dmxp_channel_info(room.segment, 256, &info), SHMW_INVALID_ARGUMENT);
    leave_room(&room);
}

/* One broken field at a time; each is refused on attaching, found by validate, and harms nobody. */
static void entries_that_are_refused(void)
{
    const char *name = fresh_name();
    shmw_dmxp_segment *segment = make_segment(name, 32);
    CHECK_CODE(make_channel(segment, 0, 8), SHMW_OK);
    CHECK_CODE(make_channel(segment, 1, 8), SHMW_OK);
    struct raw raw = raw_open(name);
    struct shmw_dmxp_wire_channel *entry = raw_channel(&raw, 0);
    const struct {
        uint64_t capacity, band_offset;
        uint32_t id;
        uint64_t head, tail;
        int want;
    } cases[] = {
        {8, BAND_8, 0, 0, 0, SHMW_OK},
        {1, BAND_8, 0, 0, 0, SHMW_BAD_GEOMETRY},
        {6, BAND_8, 0, 0, 0, SHMW_BAD_GEOMETRY},
        {UINT64_C(1) << 63, BAND_8, 0, 0, 0, SHMW_BAD_GEOMETRY},
        {UINT64_MAX, BAND_8, 0, 0, 0, SHMW_BAD_GEOMETRY},
        {8, BAND_8 + 64, 0, 0, 0, SHMW_BAD_GEOMETRY},
        {8, BAND_8 - 128, 0, 0, 0, SHMW_BAD_GEOMETRY},
        {8, 0, 0, 0, 0, SHMW_BAD_GEOMETRY},
        {8, UINT64_MAX - 127, 0, 0, 0, SHMW_BAD_GEOMETRY},
        {8, BAND_8 + 3 * SIZE_8 + 128, 0, 0, 0, SHMW_BAD_GEOMETRY}, /* ends past the segment */
        {8, BAND_8 + 3 * SIZE_8, 0, 0, 0, SHMW_OK},                 /* ends with it */
        {16, BAND_8, 0, 0, 0, SHMW_BAD_GEOMETRY},                   /* reaches into channel 1 */
        {8, BAND_8 + 128, 0, 0, 0, SHMW_BAD_GEOMETRY},
        {8, BAND_8 + 2 * SIZE_8, 0, 0, 0, SHMW_OK}, /* begins where channel 1 ends */
        {8, BAND_8, 1, 0, 0, SHMW_BAD_GEOMETRY},
        {8, BAND_8, 0, 0, 9, SHMW_CORRUPT},
        {8, BAND_8, 0, 1, 0, SHMW_CORRUPT},
        {8, BAND_8, 0, 3, 11, SHMW_OK},
        {8, BAND_8, 0, UINT64_MAX - 2, 4, SHMW_OK}, /* seven, modulo 2^64 */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        entry->capacity = cases[i].capacity;
        entry->band_offset = cases[i].band_offset;
        entry->channel_id = cases[i].id;
        entry->head = cases[i].head;
        entry->tail = cases[i].tail;
        CHECK_CODE(attach(segment, 0), cases[i].want);
        uint32_t channel = 77;
        const char *finding = NULL;
        const int verdict = shmw_dmxp_validate(segment, &finding, &channel);
        if (cases[i].want != SHMW_OK) {
            CHECK_CODE(verdict, cases[i].want);
            CHECK_U64(channel, 0);
        }
        CHECK(finding != NULL && strlen(finding) > 5);
    }
    raw_close(&raw);
    shmw_dmxp_close(segment);
}

static void make_second_channel(void *context)
{
    CHECK_CODE(make_channel(context, 1, 2), SHMW_OK);
}

/* [dmxp.channel.lock]: while another holds the file's lock, nothing is made. */
static void creation_waits_for_the_lock(void)
{
    const char *name = fresh_name();
    shmw_dmxp_segment *segment = make_segment(name, 16);
    struct raw raw = raw_open(name);
    char path[128];
    CHECK_CODE(shmw_path(name, path, sizeof(path)), SHMW_OK);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0 && flock(fd, LOCK_EX) == 0);
    const int child = start_child(make_second_channel, segment);
    nap_ms(50);
    CHECK_U64(raw_channel(&raw, 1)->capacity, 0);
    CHECK(flock(fd, LOCK_UN) == 0);
    CHECK_U64(child_status(child), 0);
    CHECK_U64(raw_channel(&raw, 1)->capacity, 2);
    CHECK(flock(fd, LOCK_EX | LOCK_NB) == 0); /* and given back afterwards */
    close(fd);
    raw_close(&raw);
    shmw_dmxp_close(segment);
}

RUN_TESTS(TEST(a_new_channel_byte_for_byte), TEST(arguments_of_creation), TEST(bands_are_placed_above_all_others), TEST(removal),
          TEST(users_of_a_channel_made_anew_are_told), TEST(the_list_of_channels), TEST(channel_info_is_a_plain_look),
          TEST(entries_that_are_refused), TEST(creation_waits_for_the_lock))
