/* SPDX-License-Identifier: MIT
 *
 * Segments to test with, and their raw bytes through the generated overlays. */
#ifndef SHMW_TEST_DMXP_SUPPORT_H
#define SHMW_TEST_DMXP_SUPPORT_H

#include "../check.h"
#include "dmxp/layout.h"
#include "shmwire/dmxp.h"

#define SLOT_SIZE sizeof(struct shmw_dmxp_wire_slot)

/* A segment with one channel, 0, attached to, and a second, independent mapping of its bytes. */
struct room {
    const char *name;
    shmw_dmxp_segment *segment;
    shmw_dmxp_channel *channel;
    struct raw raw;
};

struct room_options {
    uint64_t capacity;       /* 0 = 8 */
    uint32_t payload_layout; /* 0 = crate */
    bool counted_waiters;
    bool undeclared; /* afterwards set payload_layout to 0, as the crate leaves it */
    enum shmw_dmxp_payload_choice choice; /* of the handle, with undeclared */
};

struct room make_room(struct room_options options);
void leave_room(struct room *room);

/* Bytes of a segment with room for `slots` slots. */
uint64_t size_for(uint64_t slots);

/* A further handle on channel 0 of the room's segment. */
shmw_dmxp_channel *attach_again(const struct room *room, bool read_only, shmw_dmxp_segment **segment);

struct shmw_dmxp_wire_header *raw_header(const struct raw *raw);
struct shmw_dmxp_wire_channel *raw_channel(const struct raw *raw, uint32_t id);
struct shmw_dmxp_wire_slot *raw_slot(const struct raw *raw, uint32_t id, uint64_t index);

/* Send and receive a short text, which must work. */
void put(shmw_dmxp_channel *channel, const char *text);
void expect(shmw_dmxp_channel *channel, const char *text);

#endif
