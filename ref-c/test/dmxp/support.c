/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <string.h>

#define DEFAULT_SLOTS 8

uint64_t size_for(uint64_t slots)
{
    return SHMW_DMXP_HEADER_SIZE + slots * SLOT_SIZE;
}

struct shmw_dmxp_wire_header *raw_header(const struct raw *raw)
{
    return (struct shmw_dmxp_wire_header *)(void *)raw->bytes;
}

struct shmw_dmxp_wire_channel *raw_channel(const struct raw *raw, uint32_t id)
{
    return (struct shmw_dmxp_wire_channel *)(void *)(raw->bytes + SHMW_DMXP_CHANNEL_TABLE_OFFSET) + id;
}

struct shmw_dmxp_wire_slot *raw_slot(const struct raw *raw, uint32_t id, uint64_t index)
{
    return (struct shmw_dmxp_wire_slot *)(void *)(raw->bytes + raw_channel(raw, id)->band_offset) + index;
}

struct room make_room(struct room_options options)
{
    struct room room = {.name = fresh_name()};
    const uint64_t capacity = options.capacity != 0 ? options.capacity : DEFAULT_SLOTS;
    const struct shmw_dmxp_create_options create = {.size = size_for(capacity), .payload_layout = options.payload_layout};
    const struct shmw_dmxp_channel_options channel = {.capacity = capacity, .counted_waiters = options.counted_waiters};
    CHECK_CODE(shmw_dmxp_create(room.name, &create, &room.segment), SHMW_OK);
    CHECK_CODE(shmw_dmxp_channel_create(room.segment, 0, &channel), SHMW_OK);
    room.raw = raw_open(room.name);
    if (options.undeclared) {
        raw_header(&room.raw)->payload_layout = SHMW_DMXP_LAYOUT_UNSPECIFIED;
        shmw_dmxp_close(room.segment);
        const struct shmw_dmxp_open_options open = {.payload_choice = options.choice};
        CHECK_CODE(shmw_dmxp_open(room.name, &open, &room.segment), SHMW_OK);
    }
    CHECK_CODE(shmw_dmxp_attach(room.segment, 0, &room.channel), SHMW_OK);
    return room;
}

void leave_room(struct room *room)
{
    shmw_dmxp_detach(room->channel);
    shmw_dmxp_close(room->segment);
    raw_close(&room->raw);
}

shmw_dmxp_channel *attach_again(const struct room *room, bool read_only, shmw_dmxp_segment **segment)
{
    const struct shmw_dmxp_open_options options = {.read_only = read_only};
    shmw_dmxp_channel *channel;
    CHECK_CODE(shmw_dmxp_open(room->name, &options, segment), SHMW_OK);
    CHECK_CODE(shmw_dmxp_attach(*segment, 0, &channel), SHMW_OK);
    return channel;
}

void put(shmw_dmxp_channel *channel, const char *text)
{
    CHECK_CODE(shmw_dmxp_try_send(channel, text, strlen(text), NULL, NULL), SHMW_OK);
}

void expect(shmw_dmxp_channel *channel, const char *text)
{
    char buffer[SHMW_DMXP_PAYLOAD_CAPACITY_CRATE];
    struct shmw_dmxp_message message;
    CHECK_CODE(shmw_dmxp_try_receive(channel, buffer, sizeof(buffer), &message), SHMW_OK);
    CHECK_U64(message.length, strlen(text));
    CHECK_BYTES(buffer, text, message.length);
}
