/* SPDX-License-Identifier: MIT
 *
 * What leaves the window becomes the next chunk, unless somebody still reads it [deepwater.rotate.reuse]. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

#define CHUNK SHMW_DEEPWATER_REUSE_CHUNK
#define WINDOW 2
#define PIECE 1021  /* bytes of a record: three are skipped behind it */
#define LONGER 1023 /* one is: a PIECE in the same memory later skips two bytes of it */
#define EACH 1000  /* records of a chunk, of 1,024 that go into it */

static shmw_deepwater_writer *open_large(const char *base, bool persist)
{
    const struct shmw_deepwater_feed_options options = {.persist = persist, .chunk_size = CHUNK, .live_window = WINDOW, .rows = 64};
    shmw_deepwater_writer *writer = NULL;
    CHECK_CODE(shmw_deepwater_writer_open(base, "feed", &options, &writer), SHMW_OK);
    return writer;
}

static void fill(unsigned char *record, size_t length, uint64_t number)
{
    memset(record, (int)(1 + number % 255), length);
    memcpy(record, &number, sizeof(number));
}

/* One chunk of `count` records, numbered from *next, and the beginning of the one behind it. */
static void write_chunk_of(shmw_deepwater_writer *writer, uint64_t *next, unsigned count, size_t length)
{
    unsigned char record[LONGER];
    for (unsigned i = 0; i < count; i++, ++*next) {
        fill(record, length, *next);
        CHECK_CODE(shmw_deepwater_append(writer, *next, 0, record, (uint32_t)length, NULL), SHMW_OK);
    }
    CHECK_CODE(shmw_deepwater_rotate(writer), SHMW_OK);
}

static void write_chunk(shmw_deepwater_writer *writer, uint64_t *next, unsigned count)
{
    write_chunk_of(writer, next, count, PIECE);
}

static void expect_records(shmw_deepwater_reader *reader, uint64_t first, uint64_t end, size_t length)
{
    unsigned char wanted[LONGER];
    struct shmw_deepwater_record record;
    for (uint64_t i = first; i < end; i++) {
        fill(wanted, length, i);
        CHECK_CODE(shmw_deepwater_next(reader, &record), SHMW_OK);
        CHECK_U64(record.sequence, i);
        CHECK(record.length == length && memcmp(record.data, wanted, length) == 0);
    }
}

static void expect_pieces(shmw_deepwater_reader *reader, uint64_t first, uint64_t end)
{
    expect_records(reader, first, end, PIECE);
}

/* Which file the chunk's bytes are; 0: none. */
static ino_t inode(shmw_deepwater_writer *writer, uint64_t id)
{
    char name[SHMW_DEEPWATER_NAME_ROOM];
    struct stat status;
    int fd;
    shmw_deepwater_memory_name(&writer->place, id, "data", name);
    if (shmw_map_open_file(name, O_RDONLY, 0, &fd) != SHMW_OK)
        return 0;
    CHECK(fstat(fd, &status) == 0);
    close(fd);
    return status.st_ino;
}

static bool skipped_are_zeros(const struct shmw_deepwater_chunk_map *chunk, uint64_t records, size_t length)
{
    static const unsigned char zeros[8];
    for (uint64_t i = 0; i + 1 < records; i++)
        if (memcmp(chunk->bytes + chunk->records[i].offset + length, zeros, 1024 - length) != 0)
            return false;
    return true;
}

/* Chunks take turns with the memory of a few; shorter ones between longer ones leave nothing behind in those that come later. */
static void what_left_is_used_again(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_large(base, false);
    uint64_t next = 0;
    ino_t files[10];
    static const unsigned counts[10] = {EACH, EACH, EACH, 7, EACH, 1, EACH, EACH, 500, EACH};
    for (unsigned chunk = 0; chunk < 10; chunk++) {
        const uint64_t first = next;
        const size_t length = chunk % 2 == 0 ? PIECE : LONGER;
        write_chunk_of(writer, &next, counts[chunk], length);
        CHECK(skipped_are_zeros(&writer->kept[chunk % (SHMW_DEEPWATER_REUSE_WINDOW + 1)], counts[chunk], length));
        files[chunk] = inode(writer, chunk);
        CHECK(files[chunk] != 0);
        CHECK(chunk <= WINDOW || files[chunk] == files[chunk - WINDOW - 1]);
        shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_SEQUENCE, first);
        expect_records(reader, first, next, length);
        shmw_deepwater_reader_close(reader);
    }
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    for (uint64_t chunk = 0; chunk < 14; chunk++)
        CHECK(!in_memory(base, chunk));
    drop_base(base);
}

/* A reader that holds a chunk keeps its memory, whatever is written meanwhile. */
static void what_is_held_is_not(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_large(base, false);
    uint64_t next = 0;
    write_chunk(writer, &next, EACH);
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_OLDEST, 0);
    expect_pieces(reader, 0, 10);
    const ino_t held = inode(writer, 0);
    for (uint64_t chunk = 1; chunk < 8; chunk++) {
        write_chunk(writer, &next, EACH);
        CHECK(inode(writer, chunk) != held);
    }
    expect_pieces(reader, 10, EACH);
    struct shmw_deepwater_record record;
    CHECK_CODE(shmw_deepwater_next(reader, &record), SHMW_EXPIRED);
    shmw_deepwater_reader_close(reader);
    CHECK_CODE(shmw_deepwater_writer_close(writer), SHMW_OK);
    drop_base(base);
}

/* The chunk to come has a name already; the next writer takes it away. */
static void a_dead_writer_leaves_no_name(void)
{
    const char *base = fresh_base();
    shmw_deepwater_writer *writer = open_large(base, true);
    uint64_t next = 0;
    for (unsigned chunk = 0; chunk < 5; chunk++)
        write_chunk(writer, &next, EACH);
    CHECK(in_memory(base, 6)); /* 5 is live */
    die(writer);
    struct shmw_deepwater_recovered report;
    CHECK_CODE(shmw_deepwater_gc(base, "feed", &report), SHMW_OK);
    for (uint64_t chunk = 0; chunk < 10; chunk++)
        CHECK(!in_memory(base, chunk));
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_OLDEST, 0);
    expect_pieces(reader, 0, next);
    shmw_deepwater_reader_close(reader);
    drop_base(base);
}

RUN_TESTS(TEST(what_left_is_used_again), TEST(what_is_held_is_not), TEST(a_dead_writer_leaves_no_name))
