/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater: a registry of 10,000 feeds. That nothing here takes long is what the time limit of the test says. Feeds of
 * 100,000 chunks are for conformance/tests/test_deepwater_scale.py, in every language. */
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

#define FEEDS 10000
#define MADE 9800 /* from this one on by the library */

static const struct shmw_deepwater_feed_options small = {
    .chunk_size = 4096, .live_window = 1, .rows = 1, .feeds = FEEDS, .mode = 0600};

static const char *name_of(uint32_t number)
{
    static char name[32];
    snprintf(name, sizeof(name), "feed-%05" PRIu32, number);
    return name;
}

/* As a writer does before it takes the feed's lock: under the lock of the global registry. */
static int make(const char *base, const char *name)
{
    struct shmw_deepwater_place place;
    const int rc = shmw_deepwater_find_or_make(base, name, &small, &place);
    shmw_deepwater_place_close(&place);
    return rc;
}

static void check_found(const char *base, uint32_t number)
{
    struct shmw_deepwater_feed feed;
    shmw_deepwater_reader *reader;
    CHECK_CODE(shmw_deepwater_reader_open(base, name_of(number), NULL, &reader), SHMW_OK);
    CHECK_CODE(shmw_deepwater_reader_feed(reader, &feed), SHMW_OK);
    shmw_deepwater_reader_close(reader);
    CHECK_U64(feed.feed_id, number);
    CHECK_CODE(shmw_deepwater_feed_at(base, number, &feed), SHMW_OK);
    CHECK_BYTES(feed.name, name_of(number), 11);
}

/* Entries as the first one, without a directory: what making all of them takes is the file system's. */
static void add_entries(const char *base, uint32_t first, uint32_t end)
{
    char path[128];
    struct shmw_deepwater_wire_feed entry;
    const off_t header = sizeof(struct shmw_deepwater_wire_registry);
    const uint64_t count = end;
    snprintf(path, sizeof(path), "%s/registry.bin", base);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    CHECK(pread(fd, &entry, sizeof(entry), header) == (ssize_t)sizeof(entry));
    for (uint32_t i = first; i < end; i++) {
        memcpy(entry.name, name_of(i), 11);
        memcpy(entry.directory, name_of(i), 11);
        entry.feed_id = i;
        CHECK(pwrite(fd, &entry, sizeof(entry), header + (off_t)(i * sizeof(entry))) == (ssize_t)sizeof(entry));
    }
    CHECK(pwrite(fd, &count, sizeof(count), offsetof(struct shmw_deepwater_wire_registry, count)) == (ssize_t)sizeof(count));
    close(fd);
}

static void ten_thousand_feeds_are_made_and_found(void)
{
    const char *base = fresh_base();
    struct shmw_deepwater_feed feed;
    shmw_deepwater_reader *reader;
    CHECK_CODE(make(base, name_of(0)), SHMW_OK);
    add_entries(base, 1, MADE);
    for (uint32_t i = MADE; i < FEEDS; i++)
        CHECK_CODE(make(base, name_of(i)), SHMW_OK);
    check_found(base, 0);
    for (uint32_t i = MADE; i < FEEDS; i++)
        check_found(base, i);
    CHECK_CODE(make(base, "one-more"), SHMW_FULL);
    CHECK_CODE(make(base, name_of(FEEDS - 1)), SHMW_OK); /* it is there */
    CHECK_CODE(shmw_deepwater_reader_open(base, "one-more", NULL, &reader), SHMW_NOT_FOUND);
    CHECK_CODE(shmw_deepwater_feed_at(base, FEEDS, &feed), SHMW_NOT_FOUND);
    drop_base(base);
}

/* A feed is found by its entry alone: directories of others are not looked at. */
static void others_do_not_matter(void)
{
    const char *base = fresh_base();
    char path[128];
    for (uint32_t i = 0; i < 8; i++)
        CHECK_CODE(make(base, name_of(i)), SHMW_OK);
    for (uint32_t i = 0; i < 7; i++) {
        snprintf(path, sizeof(path), "%s/%s", base, name_of(i));
        CHECK(chmod(path, 0) == 0);
        snprintf(path, sizeof(path), "%s/%s/feed_registry.bin", base, name_of(i));
        CHECK(truncate(path, 0) == 0 || geteuid() != 0);
    }
    check_found(base, 7);
    for (uint32_t i = 0; i < 7; i++) {
        snprintf(path, sizeof(path), "%s/%s", base, name_of(i));
        CHECK(chmod(path, 0700) == 0);
    }
    drop_base(base);
}

RUN_TESTS(TEST(ten_thousand_feeds_are_made_and_found), TEST(others_do_not_matter))
