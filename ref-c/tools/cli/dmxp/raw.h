/* SPDX-License-Identifier: MIT
 *
 * Profile dmxp in the command: the segment as it lies there. Every shared word is loaded once; every offset is checked against
 * the size of the mapping. Nothing here writes. */
#ifndef SHMW_CLI_DMXP_RAW_H
#define SHMW_CLI_DMXP_RAW_H

#include <stdbool.h>
#include <stdint.h>

#include "../view.h"
#include "dmxp/layout.h"

/* The header as its loads found it. present: the mapping is long enough for it. */
struct raw_header {
    bool present;
    uint64_t magic;
    uint32_t version;
    uint32_t max_channels;
    uint32_t channel_count;
    uint32_t payload_layout;
};

/* Why a channel cannot be walked. */
enum raw_geometry { GEOMETRY_GOOD, GEOMETRY_ABSENT, GEOMETRY_CAPACITY, GEOMETRY_BAND };

struct raw_channel {
    bool present; /* the mapping is long enough for the entry */
    uint32_t id;  /* its index */
    uint32_t channel_id;
    uint32_t flags;
    uint64_t capacity;
    uint64_t band_offset;
    uint32_t signal;
    uint32_t waiters;
    uint64_t retired_capacity;
    uint64_t tail;
    uint64_t head; /* the same before and after tail was loaded, if it stood still for once */
    uint64_t removals;
    enum raw_geometry geometry;
};

struct raw_header raw_load_header(const struct view *view);
struct raw_channel raw_load_channel(const struct view *view, uint32_t id);

/* The two cursors anew, as a snapshot. */
void raw_load_cursors(const struct view *view, struct raw_channel *channel);

/* Messages between head and tail; false when the cursors are impossible. */
bool raw_depth(const struct raw_channel *channel, uint64_t *depth);

/* The slot of a position of a channel whose geometry is good. */
const struct shmw_dmxp_wire_slot *raw_slot(const struct view *view, const struct raw_channel *channel, uint64_t position);
uint64_t raw_sequence(const struct view *view, const struct raw_channel *channel, uint64_t position);

/* Where a payload lies: what the header says, or `choice` if it says nothing. */
enum layout_choice { CHOOSE_AUTO, CHOOSE_CRATE, CHOOSE_DOCUMENT };
bool raw_is_document(uint32_t payload_layout, enum layout_choice choice, uint16_t sender_runtime);
uint64_t raw_payload_offset(bool document);
uint64_t raw_payload_capacity(bool document);

/* A copy of a slot, taken without a claim [dmxp.peek.whole]. */
struct raw_message {
    uint32_t channel;
    uint64_t position;
    uint64_t message_id;
    uint64_t timestamp_ns;
    uint32_t channel_id;
    uint32_t message_type;
    uint32_t sender_pid;
    uint16_t sender_runtime;
    uint16_t flags;
    uint32_t payload_len;
    unsigned char area[SHMW_DMXP_PAYLOAD_CAPACITY_CRATE + (SHMW_DMXP_PAYLOAD_OFFSET_DOCUMENT - SHMW_DMXP_PAYLOAD_OFFSET_CRATE)];
};

enum raw_state {
    RAW_PUBLISHED, /* the copy is whole */
    RAW_CLAIMED,   /* not published yet: sequence is the position */
    RAW_GONE,      /* consumed, or being consumed: head has passed it */
    RAW_BROKEN,    /* a sequence that no rule produces; *sequence has it */
};

enum raw_state raw_copy(const struct view *view, const struct raw_channel *channel, uint64_t position,
                        struct raw_message *message, uint64_t *sequence);

#endif
