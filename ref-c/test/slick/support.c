/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "atomic.h"

#define LARGEST 8192

struct room make_room_of(enum shmw_slick_generation generation, uint32_t size, uint32_t element_size)
{
    struct room room = {.name = fresh_name(), .size = size, .element_size = element_size};
    const struct shmw_slick_create_options options = {.generation = generation, .size = size, .element_size = element_size};
    CHECK_CODE(shmw_slick_create(room.name, &options, &room.queue), SHMW_OK);
    CHECK_CODE(shmw_slick_producer_open(room.queue, NULL, &room.producer), SHMW_OK);
    room.raw = raw_open(room.name);
    return room;
}

struct room make_room(uint32_t size, uint32_t element_size)
{
    return make_room_of(SHMW_SLICK_1_4, size, element_size);
}

void leave_room(struct room *room)
{
    shmw_slick_producer_close(room->producer);
    shmw_slick_close(room->queue);
    raw_close(&room->raw);
}

shmw_slick_producer *open_producer(const struct room *room, uint64_t stall_ns)
{
    const struct shmw_slick_producer_options options = {.stall_ns = stall_ns};
    shmw_slick_producer *producer;
    CHECK_CODE(shmw_slick_producer_open(room->queue, &options, &producer), SHMW_OK);
    return producer;
}

shmw_slick_reader *open_reader(const struct room *room, uint64_t index)
{
    const struct shmw_slick_reader_options options = {.start = SHMW_SLICK_INDEX, .index = index};
    shmw_slick_reader *reader;
    CHECK_CODE(shmw_slick_reader_open(room->queue, &options, &reader), SHMW_OK);
    return reader;
}

shmw_slick_reader *open_oldest(const struct room *room)
{
    shmw_slick_reader *reader;
    CHECK_CODE(shmw_slick_reader_open(room->queue, NULL, &reader), SHMW_OK);
    return reader;
}

struct shmw_slick_wire_header *raw_header(const struct raw *raw)
{
    return (struct shmw_slick_wire_header *)(void *)raw->bytes;
}

struct shmw_slick_wire_slot *raw_slot(const struct room *room, uint64_t index)
{
    return (struct shmw_slick_wire_slot *)(void *)(room->raw.bytes + SHMW_SLICK_SLOT_TABLE_OFFSET) + index % room->size;
}

unsigned char *raw_element(const struct room *room, uint64_t index)
{
    const size_t table_end = SHMW_SLICK_SLOT_TABLE_OFFSET + sizeof(struct shmw_slick_wire_slot) * (size_t)room->size;
    return room->raw.bytes + table_end + index % room->size * room->element_size;
}

void set_reserved(const struct room *room, uint64_t index, uint64_t size)
{
    raw_header(&room->raw)->reserved = index << SHMW_SLICK_RESERVED_SIZE_BITS | size;
}

void fill(unsigned char *payload, uint64_t index, size_t length)
{
    for (size_t i = 0; i < length; i++)
        payload[i] = (unsigned char)(0x80 | (index * 31 + i * 7 + length));
}

void put_by(shmw_slick_producer *producer, const struct room *room, uint64_t index, uint32_t elements)
{
    unsigned char payload[LARGEST];
    uint64_t got = NEVER;
    const size_t length = (size_t)elements * room->element_size;
    CHECK(length <= sizeof(payload));
    fill(payload, index, length);
    CHECK_CODE(shmw_slick_write(producer, payload, length, &got), SHMW_OK);
    CHECK_U64(got, index);
}

void put(const struct room *room, uint64_t index, uint32_t elements)
{
    put_by(room->producer, room, index, elements);
}

struct shmw_slick_claim claim_at(shmw_slick_producer *producer, const struct room *room, uint64_t index, uint32_t elements)
{
    unsigned char payload[LARGEST];
    struct shmw_slick_claim claim;
    CHECK_CODE(shmw_slick_reserve(producer, elements, &claim), SHMW_OK);
    CHECK_U64(claim.index, index);
    CHECK_U64(claim.elements, elements);
    CHECK_U64(claim.capacity, (uint64_t)elements * room->element_size);
    CHECK(claim.capacity <= sizeof(payload));
    fill(payload, index, claim.capacity);
    shmw_copy_to_shared_any(claim.data, payload, claim.capacity);
    return claim;
}

void check_item(const struct room *room, const struct shmw_slick_item *item, const unsigned char *payload)
{
    unsigned char want[LARGEST];
    CHECK_U64(item->length, (uint64_t)item->elements * room->element_size);
    CHECK(item->length <= sizeof(want));
    fill(want, item->index, item->length);
    CHECK_BYTES(payload, want, item->length);
}

void expect(shmw_slick_reader *reader, const struct room *room, uint64_t index, uint32_t elements, uint64_t lost)
{
    unsigned char payload[LARGEST];
    struct shmw_slick_item item = {0};
    CHECK_CODE(shmw_slick_next(reader, payload, sizeof(payload), &item), SHMW_OK);
    CHECK_U64(item.index, index);
    CHECK_U64(item.elements, elements);
    CHECK_U64(item.lost, lost);
    check_item(room, &item, payload);
}

void expect_none(shmw_slick_reader *reader, const struct room *room)
{
    unsigned char payload[LARGEST];
    (void)room;
    CHECK_CODE(shmw_slick_next(reader, payload, sizeof(payload), NULL), SHMW_EMPTY);
}

uint64_t cursor_of(const shmw_slick_reader *reader)
{
    struct shmw_slick_reader_info info;
    CHECK_CODE(shmw_slick_reader_info(reader, &info), SHMW_OK);
    return info.cursor;
}
