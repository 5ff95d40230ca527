/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#define LARGEST 8192

struct room make_room(uint32_t chunk_count, uint64_t chunk_target_size, uint64_t size)
{
    struct room room = {.name = fresh_name()};
    const struct shmw_ouroboros_create_options options = {
        .chunk_count = chunk_count, .chunk_target_size = chunk_target_size, .size = size};
    CHECK_CODE(shmw_ouroboros_create(room.name, &options, &room.writer), SHMW_OK);
    room.raw = raw_open(room.name);
    return room;
}

void leave_room(struct room *room)
{
    shmw_ouroboros_close_writer(room->writer);
    raw_close(&room->raw);
}

shmw_ouroboros_reader *open_reader(const struct room *room, enum shmw_ouroboros_start start)
{
    const struct shmw_ouroboros_open_options options = {.start = start};
    shmw_ouroboros_reader *reader;
    CHECK_CODE(shmw_ouroboros_open(room->name, &options, &reader), SHMW_OK);
    return reader;
}

void take_over(struct room *room, uint64_t chunk_target_size)
{
    const struct shmw_ouroboros_resume_options options = {.chunk_target_size = chunk_target_size};
    shmw_ouroboros_close_writer(room->writer);
    CHECK_CODE(shmw_ouroboros_resume(room->name, &options, &room->writer), SHMW_OK);
}

struct shmw_ouroboros_wire_header *raw_header(const struct raw *raw)
{
    return (struct shmw_ouroboros_wire_header *)(void *)raw->bytes;
}

struct shmw_ouroboros_wire_row *raw_row(const struct raw *raw, uint32_t i)
{
    return (struct shmw_ouroboros_wire_row *)(void *)(raw->bytes + SHMW_OUROBOROS_ROW_TABLE_OFFSET) + i;
}

uint32_t raw_word(const struct raw *raw, uint64_t offset)
{
    uint32_t value;
    CHECK(offset + sizeof(value) <= raw->size);
    memcpy(&value, raw->bytes + offset, sizeof(value));
    return value;
}

void set_raw_word(const struct raw *raw, uint64_t offset, uint32_t value)
{
    CHECK(offset + sizeof(value) <= raw->size);
    memcpy(raw->bytes + offset, &value, sizeof(value));
}

void fill(unsigned char *payload, uint64_t sequence, size_t length)
{
    for (size_t i = 0; i < length; i++)
        payload[i] = (unsigned char)(0x80 | (sequence * 31 + i * 7 + length));
}

void put(const struct room *room, uint64_t sequence, size_t length)
{
    unsigned char payload[LARGEST];
    uint64_t got = 0;
    CHECK(length <= sizeof(payload));
    fill(payload, sequence, length);
    CHECK_CODE(shmw_ouroboros_write(room->writer, payload, length, &got), SHMW_OK);
    CHECK_U64(got, sequence);
}

struct shmw_ouroboros_entry take(shmw_ouroboros_reader *reader)
{
    unsigned char payload[LARGEST];
    unsigned char want[LARGEST];
    struct shmw_ouroboros_entry entry = {0};
    CHECK_CODE(shmw_ouroboros_next(reader, payload, sizeof(payload), &entry), SHMW_OK);
    CHECK(entry.length <= sizeof(payload));
    fill(want, entry.sequence, entry.length);
    CHECK_BYTES(payload, want, entry.length);
    return entry;
}

void expect(shmw_ouroboros_reader *reader, uint64_t sequence, uint64_t skipped)
{
    const struct shmw_ouroboros_entry entry = take(reader);
    CHECK_U64(entry.sequence, sequence);
    CHECK_U64(entry.skipped, skipped);
}

void expect_none(shmw_ouroboros_reader *reader)
{
    unsigned char payload[LARGEST];
    CHECK_CODE(shmw_ouroboros_next(reader, payload, sizeof(payload), NULL), SHMW_EMPTY);
}
