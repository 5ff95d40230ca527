/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm in the command: the segment as it lies there. Every shared word is loaded once; every frame is checked against
 * the size of the mapping. Nothing here writes. */
#ifndef SHMW_CLI_SHMCOMM_RAW_H
#define SHMW_CLI_SHMCOMM_RAW_H

#include <stdbool.h>
#include <stdint.h>

#include "../view.h"
#include "shmcomm/layout.h"

/* The header as its loads found it. present: the mapping is long enough for it. */
struct channel_header {
    bool present;
    uint64_t magic;
    uint64_t version;
    uint64_t head;
    uint64_t tail;
    uint32_t writer_lock;
    uint32_t lock_epoch;
    uint64_t message_count;
    uint64_t dropped_count;
    uint64_t capacity;
    uint32_t pattern;
    uint32_t state;
    uint32_t data_signal;
    uint32_t data_waiters;
    uint32_t space_signal;
    uint32_t space_waiters;
    uint32_t owner_pid;
    uint32_t serializer;
    uint64_t heartbeat_ns;
    uint64_t instance;
    uint32_t owner_endpoint;
    bool room; /* published, of our version, and the ring lies in the mapping */
    bool good; /* and head and tail are possible: the ring can be walked */
};

struct channel_header channel_load_header(const struct view *view);

/* tail as it is now, after everything that was loaded before. */
uint64_t channel_reload_tail(const struct view *view);

const char *channel_pattern_word(uint32_t pattern); /* "none" for unknown ones */

/* "raw", … or the number, in static storage that the next call overwrites. */
const char *channel_content_word(uint16_t content_type);

/* A frame of [tail, head), or the SKIP before it. */
struct channel_frame {
    uint64_t position; /* of the frame; a SKIP before it has been followed */
    uint64_t size;
    uint64_t extent; /* bytes that it takes */
    uint64_t sequence;
    uint64_t timestamp_ns;
    uint64_t correlation_id;
    uint32_t sender;
    uint16_t content_type;
    uint16_t flags;
    uint64_t payload;        /* offset in the segment */
    uint64_t payload_length; /* bytes */
    uint64_t skipped;        /* bytes of the SKIP and what is behind it; 0 without */
    bool good;               /* [shmcomm.receive.size]; otherwise only position and size count */
};

/* The frame at a position below head, of a header that is good. */
struct channel_frame channel_load_frame(const struct view *view, const struct channel_header *header, uint64_t position);

/* The frame that follows, or head. */
uint64_t channel_next(const struct channel_frame *frame);

/* A walk over what is held. */
struct channel_walk {
    uint64_t messages;
    uint64_t first; /* sequences; they count if there are messages */
    uint64_t last;
    bool whole; /* no frame was impossible */
};
struct channel_walk channel_walk(const struct view *view, const struct channel_header *header);

#endif
