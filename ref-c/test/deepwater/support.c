/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

const char *fresh_base(void)
{
    static char base[64];
    snprintf(base, sizeof(base), "/tmp/shmw-refc-base-XXXXXX");
    CHECK(mkdtemp(base) != NULL);
    return base;
}

void drop_base(const char *base)
{
    struct shmw_deepwater_place place = {.base.directory = -1};
    CHECK_CODE(shmw_deepwater_base_open(base, 0, &place.base), SHMW_OK);
    snprintf(place.name, sizeof(place.name), "feed");
    for (uint64_t id = 0; id < 64; id++)
        shmw_deepwater_chunk_unlink(&place, id);
    shmw_deepwater_base_close(&place.base);
    CHECK(nftw(base, remove_entry, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

shmw_deepwater_writer *open_writer(const char *base, bool persist, uint32_t live_window)
{
    const struct shmw_deepwater_feed_options options = {.persist = persist, .chunk_size = 4096, .live_window = live_window, .rows = 64};
    shmw_deepwater_writer *writer;
    CHECK_CODE(shmw_deepwater_writer_open(base, "feed", &options, &writer), SHMW_OK);
    return writer;
}

shmw_deepwater_reader *open_reader(const char *base, enum shmw_deepwater_start start, uint64_t at)
{
    const struct shmw_deepwater_reader_options options = {.start = start, .at = at};
    shmw_deepwater_reader *reader;
    CHECK_CODE(shmw_deepwater_reader_open(base, "feed", &options, &reader), SHMW_OK);
    return reader;
}

static void fill(unsigned char *data, uint64_t i)
{
    for (size_t j = 0; j < LENGTH; j++)
        data[j] = (unsigned char)(i * 31 + j * 7);
}

void put(shmw_deepwater_writer *writer, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        unsigned char data[LENGTH];
        uint64_t sequence = 0;
        fill(data, i);
        CHECK_CODE(shmw_deepwater_append(writer, 1000 + 10 * i, (uint32_t)i, data, LENGTH, &sequence), SHMW_OK);
        CHECK_U64(sequence, i);
    }
}

void expect(shmw_deepwater_reader *reader, uint64_t i)
{
    unsigned char data[LENGTH];
    struct shmw_deepwater_record record;
    fill(data, i);
    CHECK_CODE(shmw_deepwater_next(reader, &record), SHMW_OK);
    CHECK_U64(record.sequence, i);
    CHECK_U64(record.timestamp_ns, 1000 + 10 * i);
    CHECK_U64(record.type, i);
    CHECK_U64(record.length, LENGTH);
    CHECK_BYTES(record.data, data, LENGTH);
}

void expect_all(shmw_deepwater_reader *reader, uint64_t first, uint64_t end)
{
    struct shmw_deepwater_record record;
    for (uint64_t i = first; i < end; i++)
        expect(reader, i);
    CHECK_CODE(shmw_deepwater_next(reader, &record), SHMW_EMPTY);
}

void die(shmw_deepwater_writer *writer)
{
    shmw_deepwater_keep_nothing(writer);
    shmw_deepwater_chunk_close(&writer->live);
    shmw_deepwater_place_close(&writer->place);
    free(writer);
}

const char *file_of(const char *base, const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/feed/%s", base, name);
    return path;
}

bool in_memory(const char *base, uint64_t chunk)
{
    struct shmw_deepwater_place place = {.base.directory = -1, .name = "feed"};
    char name[SHMW_DEEPWATER_NAME_ROOM];
    char path[SHMW_DEEPWATER_NAME_ROOM + 16];
    CHECK_CODE(shmw_deepwater_base_open(base, 0, &place.base), SHMW_OK);
    shmw_deepwater_memory_name(&place, chunk, "data", name);
    shmw_deepwater_base_close(&place.base);
    CHECK_CODE(shmw_path(name, path, sizeof(path)), SHMW_OK);
    return access(path, F_OK) == 0;
}

struct shmw_deepwater_chunk chunk_of(const char *base, uint64_t id)
{
    struct shmw_deepwater_chunk chunk;
    shmw_deepwater_reader *reader = open_reader(base, SHMW_DEEPWATER_OLDEST, 0);
    CHECK_CODE(shmw_deepwater_reader_chunk(reader, id, &chunk), SHMW_OK);
    shmw_deepwater_reader_close(reader);
    return chunk;
}
