/* SPDX-License-Identifier: MIT
 *
 * Profile dmxp: up to 256 bounded multi-producer multi-consumer queues in one segment. Specification: spec/dmxp.md.
 * Rule ids in brackets name the rules that a function implements.
 *
 *     shmw_dmxp_segment *seg;
 *     shmw_dmxp_channel *chan;
 *     shmw_dmxp_create("/queue", NULL, &seg);
 *     shmw_dmxp_channel_create(seg, 0, NULL);
 *     shmw_dmxp_attach(seg, 0, &chan);
 *     shmw_dmxp_send(chan, "hello", 5, NULL, SHMW_FOREVER, NULL);
 */
#ifndef SHMWIRE_DMXP_H
#define SHMWIRE_DMXP_H

#include <stdbool.h>

#include "shmwire.h"
#include "shmwire/dmxp_layout.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An attached segment, and one of its channels with its geometry checked. Both thread-safe but for close and detach. */
typedef struct shmw_dmxp_segment shmw_dmxp_segment;
typedef struct shmw_dmxp_channel shmw_dmxp_channel;

/* How to read payloads where header.payload_layout is 0; ignored where it is not [dmxp.layout.*]. */
enum shmw_dmxp_payload_choice {
    SHMW_DMXP_CHOOSE_CRATE = 0,    /* payload at slot + 48: the default */
    SHMW_DMXP_CHOOSE_DOCUMENT = 1, /* payload at slot + 64 */
    SHMW_DMXP_CHOOSE_AUTO = 2      /* readers: by each message's sender_runtime; writers: crate */
};

struct shmw_dmxp_create_options {
    uint64_t size;           /* bytes of the segment; 0 = SHMW_DMXP_DEFAULT_SIZE; at least SHMW_DMXP_HEADER_SIZE */
    uint32_t payload_layout; /* SHMW_DMXP_LAYOUT_CRATE or _DOCUMENT; 0 = CRATE */
    uint32_t mode;           /* permission bits, before the umask; 0 = SHMW_DMXP_DEFAULT_MODE */
    uint16_t sender_runtime; /* what messages sent through this handle carry; 0 = SHMW_DMXP_RUNTIME_C */
};

struct shmw_dmxp_open_options {
    bool read_only; /* map PROT_READ: peek and inspect only; everything that changes the segment gives SHMW_PERMISSION */
    enum shmw_dmxp_payload_choice payload_choice;
    uint64_t ready_timeout_ns; /* how long to wait for a creator that has not published the segment yet */
    uint16_t sender_runtime;   /* as above */
};

struct shmw_dmxp_channel_options {
    uint64_t capacity;    /* slots, a power of two, 2 or more; 0 = SHMW_DMXP_DEFAULT_CAPACITY */
    bool counted_waiters; /* promise that every consumer counts itself in waiters (no crate consumers): skips needless wakes */
};

/* What travels beside a payload. */
struct shmw_dmxp_meta {
    uint64_t message_id;     /* SHMW_DMXP_ID_POSITION on sending = the position */
    uint64_t timestamp_ns;   /* since the Unix epoch; 0 on sending = now. Passing the time saves a clock call */
    uint32_t message_type;   /* the application's */
    uint32_t sender_pid;     /* 0 on sending = this process */
    uint16_t sender_runtime; /* 0 on sending = the handle's. Where the layout is undeclared and the choice is DOCUMENT, 0 is sent
                                whatever stands here [dmxp.layout.runtime] */
    uint16_t flags;          /* bits 0 to 14 the application's; bit 15 refused on sending */
};
#define SHMW_DMXP_ID_POSITION UINT64_MAX

/* A received or looked-at message. */
struct shmw_dmxp_message {
    uint64_t position;   /* in channel order, from 0 */
    uint32_t channel_id; /* of the channel it was read from */
    uint32_t length;     /* payload bytes */
    size_t offset;       /* of the payload in the buffer (batch calls; 0 otherwise) */
    struct shmw_dmxp_meta meta;
};

/* One message of a batch to send. meta may be NULL. */
struct shmw_dmxp_item {
    const void *data;
    size_t length;
    const struct shmw_dmxp_meta *meta;
};

/* A claimed slot, between claim and commit or abandon. Use on one thread. The payload area belongs to the caller until then. */
struct shmw_dmxp_claim {
    void *payload;     /* where to write */
    size_t capacity;   /* bytes that may be written */
    uint64_t position;
};

/* A channel as its entry shows it; a snapshot. */
struct shmw_dmxp_channel_info {
    uint32_t channel_id;
    uint32_t flags;
    uint64_t capacity;    /* slots; 0 = removed or never there */
    uint64_t band_offset; /* bytes */
    uint64_t retired_capacity;
    uint64_t removals;    /* how often a channel of this entry has been removed */
    uint64_t head;        /* next position to be consumed */
    uint64_t tail;        /* next position to be produced */
    uint32_t signal;
    uint32_t waiters;
};

struct shmw_dmxp_segment_info {
    uint64_t size;           /* bytes mapped */
    uint32_t version;
    uint32_t max_channels;
    uint32_t channel_count;  /* as the header says; a hint */
    uint32_t payload_layout; /* as the header says */
    uint32_t payload_capacity; /* largest payload that can be sent through this handle, bytes */
};

struct shmw_dmxp_recovery {
    uint64_t tombstones;     /* claimed, never published: abandoned */
    uint64_t possibly_lost;  /* taken, never released: released, content perhaps never seen */
    uint64_t waiters_reset;  /* channels whose waiters was not 0 */
    bool count_repaired;     /* channel_count was wrong */
};

/* Segment ---------------------------------------------------------------------------------------------------------- */

/* Make a segment. options may be NULL. SHMW_EXISTS when the name is taken, and then nothing is touched [dmxp.segment.create].
 * SHMW_INVALID_ARGUMENT, SHMW_INVALID_NAME, SHMW_PERMISSION, SHMW_SYSTEM (no room). The caller closes *out. */
SHMW_API int shmw_dmxp_create(const char *locator, const struct shmw_dmxp_create_options *options, shmw_dmxp_segment **out);

/* Attach to a segment [dmxp.segment.*]. options may be NULL: read-write, crate layout, no waiting.
 * SHMW_NOT_FOUND, SHMW_TRUNCATED, SHMW_NOT_READY, SHMW_BAD_MAGIC, SHMW_BAD_VERSION, SHMW_BAD_GEOMETRY, SHMW_PERMISSION. */
SHMW_API int shmw_dmxp_open(const char *locator, const struct shmw_dmxp_open_options *options, shmw_dmxp_segment **out);

/* Unmap. Never removes or changes the segment. NULL is allowed. Detach its channels first. */
SHMW_API void shmw_dmxp_close(shmw_dmxp_segment *segment);

SHMW_API int shmw_dmxp_info(const shmw_dmxp_segment *segment, struct shmw_dmxp_segment_info *info);

/* Check everything a reader can check without consuming: header, every entry, overlaps, every slot sequence in bounds of
 * its state. *finding (may be NULL) gets a line of text (static storage), *channel the channel or UINT32_MAX. SHMW_OK, or
 * the error of the first finding. On a live segment slot states are checked loosely. */
SHMW_API int shmw_dmxp_validate(const shmw_dmxp_segment *segment, const char **finding, uint32_t *channel);

/* Channels --------------------------------------------------------------------------------------------------------- */

/* Make channel id (0 to 255) [dmxp.channel.lock, .placement, .commit]. options may be NULL. SHMW_EXISTS; SHMW_TOO_LARGE when the
 * segment has no room for the band; SHMW_INVALID_ARGUMENT; SHMW_PERMISSION; SHMW_SYSTEM when the file system has no memory for it
 * (reserved here, so that no send can meet SIGBUS for want of it); SHMW_CORRUPT when the entry's positions are used up. Waits for the segment lock, which needs /proc. */
SHMW_API int shmw_dmxp_channel_create(shmw_dmxp_segment *segment, uint32_t id,
                                      const struct shmw_dmxp_channel_options *options);

/* Remove channel id [dmxp.channel.remove]; its messages are gone, its users get SHMW_CLOSED. SHMW_NOT_FOUND. */
SHMW_API int shmw_dmxp_channel_remove(shmw_dmxp_segment *segment, uint32_t id);

/* Look at entry id, unchecked: for operators. SHMW_INVALID_ARGUMENT for id > 255. */
SHMW_API int shmw_dmxp_channel_info(const shmw_dmxp_segment *segment, uint32_t id, struct shmw_dmxp_channel_info *info);

/* Ids of the live channels, ascending, up to max of them to ids; *count gets how many there are. */
SHMW_API int shmw_dmxp_channel_list(const shmw_dmxp_segment *segment, uint32_t *ids, size_t max, size_t *count);

/* Check the entry and attach [dmxp.channel.*]. SHMW_NOT_FOUND, SHMW_BAD_GEOMETRY, SHMW_CORRUPT; SHMW_INVALID_ARGUMENT for
 * id > 255. The caller detaches *out. Faults in bands of up to 64 MiB, so that the first messages do not pay for it. */
SHMW_API int shmw_dmxp_attach(shmw_dmxp_segment *segment, uint32_t id, shmw_dmxp_channel **out);
SHMW_API void shmw_dmxp_detach(shmw_dmxp_channel *channel);

/* Producers (meta and position may be NULL everywhere) -------------------------------------------------------------- */

/* Send one message, or answer SHMW_FULL at once. SHMW_TOO_LARGE, SHMW_CLOSED, SHMW_CORRUPT, SHMW_PERMISSION,
 * SHMW_INVALID_ARGUMENT. */
SHMW_API int shmw_dmxp_try_send(shmw_dmxp_channel *channel, const void *data, size_t length, const struct shmw_dmxp_meta *meta,
                                uint64_t *position);

/* The same, but waits up to timeout_ns for room (SHMW_TIMEOUT). The format has no word to sleep on for room: it polls,
 * spinning first and then sleeping up to 1 ms at a time. */
SHMW_API int shmw_dmxp_send(shmw_dmxp_channel *channel, const void *data, size_t length, const struct shmw_dmxp_meta *meta,
                            uint64_t timeout_ns, uint64_t *position);

/* Send count messages (1 to capacity) or none [dmxp.produce.batch-*]; one wake for all. *position gets that of the first. */
SHMW_API int shmw_dmxp_try_send_batch(shmw_dmxp_channel *channel, const struct shmw_dmxp_item *items, size_t count,
                                      uint64_t *position);

/* Claim the next slot to fill in place. SHMW_FULL, SHMW_CLOSED, SHMW_CORRUPT, SHMW_PERMISSION. Commit or abandon it: consumers
 * stop there until then. length in commit must not exceed claim->capacity (SHMW_TOO_LARGE; the claim stays). Both set
 * claim->payload to NULL; a claim that is over, or was ended behind our back by recovery, is SHMW_OUT_OF_ORDER; that of another
 * channel SHMW_INVALID_ARGUMENT. */
SHMW_API int shmw_dmxp_claim(shmw_dmxp_channel *channel, struct shmw_dmxp_claim *claim);
SHMW_API int shmw_dmxp_commit(shmw_dmxp_channel *channel, struct shmw_dmxp_claim *claim, size_t length,
                              const struct shmw_dmxp_meta *meta);
SHMW_API int shmw_dmxp_abandon(shmw_dmxp_channel *channel, struct shmw_dmxp_claim *claim);

/* Consumers -------------------------------------------------------------------------------------------------------- */

/* Take one message into buffer, or answer SHMW_EMPTY at once. SHMW_TOO_SMALL leaves it in place and sets message->length;
 * SHMW_CORRUPT for an impossible payload_len has released the slot. SHMW_CLOSED, SHMW_PERMISSION, SHMW_INVALID_ARGUMENT.
 * message may be NULL. buffer may be NULL when size is 0. */
SHMW_API int shmw_dmxp_try_receive(shmw_dmxp_channel *channel, void *buffer, size_t size, struct shmw_dmxp_message *message);

/* The same, but sleeps up to timeout_ns for a message (SHMW_TIMEOUT) [dmxp.wait.*]. spin_ns is how long to poll before the
 * first sleep: 5 us is a good value where latency matters, 0 where idle CPU does. A message that a tombstone or an unfinished
 * neighbour held back is found at the latest after one second. */
SHMW_API int shmw_dmxp_receive(shmw_dmxp_channel *channel, void *buffer, size_t size, uint64_t timeout_ns, uint64_t spin_ns,
                               struct shmw_dmxp_message *message);

/* Take up to max messages that are there and fit into buffer one after the other, claimed together: message i lies at
 * messages[i].offset. SHMW_EMPTY; SHMW_TOO_SMALL when not even the first fits (messages[0].length says what it needs); otherwise
 * as try_receive. *count gets how many; it stops before a tombstone or a broken message, which the next call deals with. */
SHMW_API int shmw_dmxp_try_receive_batch(shmw_dmxp_channel *channel, void *buffer, size_t size,
                                         struct shmw_dmxp_message *messages, size_t max, size_t *count);

/* Look at the first unconsumed message at or after *position (start with 0) without taking it; works read-only [dmxp.peek.*]. On
 * SHMW_OK *position is one past it. SHMW_EMPTY at the end, SHMW_CLOSED there when the channel has been removed; *position stays.
 * SHMW_TOO_SMALL stays too, and sets message->length; SHMW_CORRUPT has stepped over the position. */
SHMW_API int shmw_dmxp_peek(shmw_dmxp_channel *channel, uint64_t *position, void *buffer, size_t size,
                            struct shmw_dmxp_message *message);

/* Called by the receiving thread each time before it sleeps, after its last look: for idle work and for tests. It may send, not
 * receive, on the channel. NULL to clear. Set it before the channel is shared between threads. */
typedef void (*shmw_dmxp_sleep_hook)(void *context);
SHMW_API void shmw_dmxp_set_sleep_hook(shmw_dmxp_channel *channel, shmw_dmxp_sleep_hook hook, void *context);

/* Recovery --------------------------------------------------------------------------------------------------------- */

/* Repair what dead processes left [dmxp.recover.*]. all_dead is the operator's word that nobody else uses the segment; without
 * it, SHMW_BUSY when another process maps the segment or when that cannot be told (a process whose /proc/PID/maps may not be
 * read; a /proc that hides processes). Processes in other pid namespaces, and threads of this one, are not seen.
 * SHMW_PERMISSION; SHMW_BAD_GEOMETRY or SHMW_CORRUPT, with nothing changed, when an entry is broken. report may be NULL. */
SHMW_API int shmw_dmxp_recover(shmw_dmxp_segment *segment, bool all_dead, struct shmw_dmxp_recovery *report);

#ifdef __cplusplus
}
#endif

#endif
