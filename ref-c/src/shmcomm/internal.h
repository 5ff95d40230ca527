/* SPDX-License-Identifier: MIT
 *
 * What the files of profile shmcomm share. */
#ifndef SHMW_SRC_SHMCOMM_INTERNAL_H
#define SHMW_SRC_SHMCOMM_INTERNAL_H

#include "../atomic.h"
#include "../bytes.h"
#include "../forks.h"
#include "../map.h"
#include "../ofd.h"
#include "../wait.h"
#include "layout.h"
#include "shmwire/shmcomm.h"

/* Frames that a subscriber reads ahead, whole, into private memory; a longer one goes straight to the caller's buffer. */
#define SHMW_SHMCOMM_AHEAD_BYTES UINT64_C(16384)
#define SHMW_SHMCOMM_AHEAD_FRAME UINT64_C(4096)

/* A batch is published piece by piece, so that receivers can begin. */
#define SHMW_SHMCOMM_PIECE_BYTES UINT64_C(16384)

/* Times that a subscriber is overtaken in one call. */
#define SHMW_SHMCOMM_READ_TRIES 8

/* What every message goes through is taken into the call that sends it, in one piece: eight calls, one in the other, cost a third
 * of a short message. What few messages meet stays out of the way. */
#define SHMW_SHMCOMM_HOT static inline __attribute__((always_inline))
#define SHMW_SHMCOMM_COLD static __attribute__((cold, noinline))

/* One mapped segment, joined as an endpoint or only looked at. Its geometry is loaded and checked once. */
struct shmw_shmcomm_channel {
    struct shmw_map map; /* its descriptor is guard.fd */
    struct shmw_guarded guard; /* the description that holds our bytes; of subscribers and observers it holds nothing */
    struct shmw_shmcomm_wire_header *header;
    struct shmw_shmcomm_wire_header *counts; /* where sleepers count themselves; NULL: nowhere */
    unsigned char *ring;
    char *locator;
    uint64_t capacity;
    uint32_t pattern;
    uint32_t number; /* 0: no endpoint */
    uint32_t owner_pid; /* for takeovers; 0 = ask */
    uint16_t serializer;
    bool keeper;
    bool puller; /* of a pipeline: it removes the name when nothing is left */
    bool holds; /* writer_lock is ours */
    bool sole;  /* from open to close: nobody else changes what follows, pullers' tail aside */
    uint64_t head; /* while we hold the lock, the header's, and ahead of it by a piece that is not published */
    uint64_t tail; /* of a pipeline: as it was when we looked last */
    uint64_t count;
    uint64_t dropped;
    uint64_t seen_head; /* of a puller: head as it was when it looked last */
    uint64_t boot_ns; /* for heartbeat_ns; 0 = ask */
    uint64_t beat_ns; /* timestamp of the message that came with the last heartbeat */
    uint32_t unbeaten; /* messages since */
    uint64_t refused;
    uint64_t takeovers;
};

/* A subscriber's place: positions and sequences of section 7.1. */
struct shmw_shmcomm_reader {
    uint64_t cursor;   /* c */
    uint64_t head;     /* as loaded last */
    uint64_t expected; /* x */
    bool known;        /* x is that of the message behind the one delivered last */
    bool counted;      /* x is message_count as it was at the beginning */
    bool overtaken;    /* since the message delivered last */
    bool told;         /* LAPPED, of the message at the cursor */
    unsigned char *ahead; /* copies of [ahead_from, ahead_end), found whole; NULL: not made yet */
    uint64_t ahead_from;
    uint64_t ahead_end;
};

/* What a replier has of a requester. */
struct shmw_shmcomm_route {
    struct shmw_shmcomm_channel channel; /* number 0: none */
    uint32_t requester;
    uint64_t used; /* rank, for the one that goes when all are taken */
};
#define SHMW_SHMCOMM_ROUTES 32

struct shmw_shmcomm {
    enum shmw_shmcomm_role role;
    struct shmw_shmcomm_channel channel;
    struct shmw_shmcomm_channel replies; /* a requester's */
    struct shmw_shmcomm_reader reader;
    struct shmw_shmcomm_route *routes; /* a replier's: SHMW_SHMCOMM_ROUTES of them */
    uint64_t route_rank;
    char *reply_prefix; /* of a service: what stands before the number in the names of its reply channels */
    uint64_t correlation; /* of the request that is outstanding, else of the one before the next */
    bool outstanding;
    bool tell_lost;
    bool claimed;
    struct shmw_shmcomm_meta claim_meta;
    uint64_t claim_length;
    uint64_t sent;
    uint64_t received;
    uint64_t lost;
    uint64_t discarded;
    uint64_t unanswered;
    uint64_t takeovers_of_routes; /* of channels that are closed again */
    uint64_t refused_by_routes;
};

/* What an endpoint of a segment wants to be. */
struct shmw_shmcomm_joining {
    uint32_t pattern; /* 0: any */
    bool keeper;
    bool puller;
    enum shmw_shmcomm_making making; /* of keepers */
    uint64_t capacity;               /* of what is made, with mode and serializer */
    uint32_t mode;
    uint16_t serializer;
    uint32_t wish;   /* a number to try first; 0 = none */
    bool wish_only;  /* BUSY if it is taken */
    uint64_t wait_ns;
    const struct shmw_shmcomm_identity *identity;
};

/* Frames ------------------------------------------------------------------------------------------------------------ */

/* Bytes of a segment with a ring of so many. */
static inline uint64_t shmw_shmcomm_segment_size(uint64_t capacity)
{
    return SHMW_SHMCOMM_RING_OFFSET + capacity;
}

static inline unsigned char *shmw_shmcomm_at(const struct shmw_shmcomm_channel *channel, uint64_t position)
{
    return channel->ring + (position & (channel->capacity - 1));
}

static inline struct shmw_shmcomm_wire_frame *shmw_shmcomm_frame(const struct shmw_shmcomm_channel *channel, uint64_t position)
{
    return (struct shmw_shmcomm_wire_frame *)(void *)shmw_shmcomm_at(channel, position);
}

/* Bytes from a position to the end of the ring: at least 8 of a position that is a multiple of 8. */
static inline uint64_t shmw_shmcomm_room(const struct shmw_shmcomm_channel *channel, uint64_t position)
{
    return channel->capacity - (position & (channel->capacity - 1));
}

static inline uint64_t shmw_shmcomm_max_payload(const struct shmw_shmcomm_channel *channel)
{
    return channel->capacity / 2 - SHMW_SHMCOMM_FRAME_OVERHEAD;
}

/* Of a frame with so many bytes of payload, at most capacity / 2. */
static inline uint64_t shmw_shmcomm_extent(uint64_t length)
{
    return (SHMW_SHMCOMM_FRAME_OVERHEAD + length + SHMW_SHMCOMM_FRAME_ALIGN - 1) & ~(SHMW_SHMCOMM_FRAME_ALIGN - 1);
}

/* need(p, e) of section 1.3. */
static inline uint64_t shmw_shmcomm_need(const struct shmw_shmcomm_channel *channel, uint64_t position, uint64_t extent)
{
    const uint64_t room = shmw_shmcomm_room(channel, position);
    return extent <= room ? extent : room + extent;
}

/* A frame as its size says. */
struct shmw_shmcomm_place {
    uint64_t at;     /* position: that of the look, or the start of the ring behind a SKIP */
    uint64_t length; /* of the payload */
    uint64_t end;    /* position behind it */
};

/* Steps 2 and 3 of section 7.1 at a position below head, which is at most capacity ahead. SHMW_CORRUPT: an impossible size,
 * for which there may be another reason [shmcomm.receive.size, .skip]. Each size is loaded once. */
static inline int shmw_shmcomm_find(const struct shmw_shmcomm_channel *channel, uint64_t position, uint64_t head,
                                    struct shmw_shmcomm_place *place)
{
    uint64_t size = shmw_field_load(&shmw_shmcomm_frame(channel, position)->size);
    if (size == SHMW_SHMCOMM_SKIP) {
        const uint64_t room = shmw_shmcomm_room(channel, position);
        if (room == channel->capacity || room >= head - position)
            return SHMW_CORRUPT;
        position += room;
        size = shmw_field_load(&shmw_shmcomm_frame(channel, position)->size);
    }
    place->at = position;
    if (size < SHMW_SHMCOMM_MESSAGE_HEADER_SIZE || size > channel->capacity / 2 - sizeof(size))
        return SHMW_CORRUPT;
    const uint64_t extent = shmw_shmcomm_extent(size - SHMW_SHMCOMM_MESSAGE_HEADER_SIZE);
    place->length = size - SHMW_SHMCOMM_MESSAGE_HEADER_SIZE;
    place->end = position + extent;
    return extent <= head - position && extent <= shmw_shmcomm_room(channel, position) ? SHMW_OK : SHMW_CORRUPT;
}

/* Of a frame that nobody overwrites, or of a copy of one. */
static inline void shmw_shmcomm_describe(const struct shmw_shmcomm_wire_frame *frame, const struct shmw_shmcomm_place *place,
                                         struct shmw_shmcomm_message *message)
{
    *message = (struct shmw_shmcomm_message){
        .sequence = shmw_field_load(&frame->sequence),
        .timestamp_ns = shmw_field_load(&frame->timestamp_ns),
        .correlation_id = shmw_field_load(&frame->correlation_id),
        .position = place->at,
        .sender = shmw_field_load(&frame->sender),
        .content_type = shmw_field_load(&frame->content_type),
        .flags = shmw_field_load(&frame->flags),
        .length = (size_t)place->length,
    };
}

/* [shmcomm.segment.positions] */
static inline bool shmw_shmcomm_possible(const struct shmw_shmcomm_channel *channel, uint64_t head, uint64_t tail)
{
    return ((head | tail) & (SHMW_SHMCOMM_FRAME_ALIGN - 1)) == 0 && head - tail <= channel->capacity;
}

/* What follows is nobody's outside the library, and calls within a file may be taken in. */
#pragma GCC visibility push(hidden)

/* patterns.c -------------------------------------------------------------------------------------------------------- */

/* The segment of a channel of the pattern, a new string: of a name that is valid, or the locator itself. */
int shmw_shmcomm_locate(uint32_t pattern, const char *name, char **locator);

/* What stands before the number in the names of the reply channels of a service; NULL: no memory. */
char *shmw_shmcomm_reply_prefix(const char *locator);

/* PREFIX and a number; NULL: no memory. */
char *shmw_shmcomm_reply_locator(const char *prefix, uint32_t number);

/* Call visit for the reply channels that there are. */
void shmw_shmcomm_each_reply(const char *prefix, void (*visit)(const char *locator, void *context), void *context);

/* segment.c --------------------------------------------------------------------------------------------------------- */

/* Section 3 over what is mapped: fills in the channel's geometry. *finding gets a line of text. */
int shmw_shmcomm_check(struct shmw_shmcomm_channel *channel, const char **finding);

/* Map an open file and check it. *fd stays the caller's. SHMW_NOT_READY, SHMW_TRUNCATED: *unfinished is true
 * if its creator has not come further. */
int shmw_shmcomm_map(struct shmw_shmcomm_channel *channel, int fd, bool writable, bool *unfinished);

/* Make a segment in an empty file that is ours, up to but without its magic. */
int shmw_shmcomm_make(struct shmw_shmcomm_channel *channel, const struct shmw_shmcomm_joining *joining);

/* The channel is complete: publish it. */
void shmw_shmcomm_announce(const struct shmw_shmcomm_channel *channel);

/* For subscribers and observers: map it to look, with a page to count in if `count`. */
int shmw_shmcomm_attach(struct shmw_shmcomm_channel *channel, const char *locator, uint64_t wait_ns, bool count);

/* Give back the mapping, the descriptor and the locator; nothing is said to others. */
void shmw_shmcomm_unmap(struct shmw_shmcomm_channel *channel);

uint64_t shmw_shmcomm_random(void);

/* endpoint.c -------------------------------------------------------------------------------------------------------- */

/* Section 4. locator becomes the channel's, also after a failure. */
int shmw_shmcomm_join(struct shmw_shmcomm_channel *channel, char *locator, const struct shmw_shmcomm_joining *joining);

/* Leave as section 4 says, and unmap. */
void shmw_shmcomm_leave(struct shmw_shmcomm_channel *channel);

/* The membership lock of an open file. *named: the file still has a name. */
int shmw_shmcomm_membership(int fd, struct shmw_guarded *lock, bool *named);
void shmw_shmcomm_membership_end(struct shmw_guarded *lock);

/* Does a keeper other than this endpoint live? When the system does not say: yes. */
bool shmw_shmcomm_keeper_lives(int fd);

/* State 2, and wake everybody. */
void shmw_shmcomm_close_state(struct shmw_shmcomm_wire_header *header);

/* A puller with nothing to take from a closed pipeline: SHMW_CLOSED, and the name is gone if no keeper lives; or SHMW_EMPTY:
 * things have changed [shmcomm.leave.drained]. */
int shmw_shmcomm_drained(const struct shmw_shmcomm_channel *channel);

void shmw_shmcomm_beat(struct shmw_shmcomm_channel *channel);

/* lock.c ------------------------------------------------------------------------------------------------------------ */

/* Section 5. SHMW_BUSY; SHMW_CORRUPT from a repair, and then the lock is free again. */
int shmw_shmcomm_lock_slowly(struct shmw_shmcomm_channel *channel, uint64_t deadline);
void shmw_shmcomm_unlock(struct shmw_shmcomm_channel *channel);

/* The way of most locks: one compare-and-swap. */
static inline bool shmw_shmcomm_lock_at_once(struct shmw_shmcomm_channel *channel)
{
    uint32_t free_word = SHMW_SHMCOMM_LOCK_FREE;
    /* A1: pairs with R1; head, tail and message_count of the writer before us [shmcomm.lock.hold, .owner] */
    channel->holds = shmw_cas_acquire(&channel->header->writer_lock, &free_word, channel->number);
    return channel->holds;
}

/* writer.c ---------------------------------------------------------------------------------------------------------- */

/* A message on its way out. */
struct shmw_shmcomm_letter {
    const void *data;
    size_t length;
    uint64_t timestamp_ns;
    uint64_t correlation_id;
    uint16_t content_type;
    uint16_t flags;
};

/* The parts of a letter that meta leaves open. */
void shmw_shmcomm_address(const struct shmw_shmcomm_channel *channel, const struct shmw_shmcomm_meta *meta,
                          struct shmw_shmcomm_letter *letter);

/* Section 6, one message, with the waits that the time limit allows. */
int shmw_shmcomm_post(struct shmw_shmcomm_channel *channel, const struct shmw_shmcomm_letter *letter, uint64_t timeout_ns,
                      uint64_t *sequence);

/* A keeper shows that it lives, now and then; timestamp_ns is that of a message that it sends [shmcomm.join.heartbeat]. */
void shmw_shmcomm_keep_alive(struct shmw_shmcomm_channel *channel, uint64_t timestamp_ns);

/* Steps 1 to 5 with what waiting the time limit allows: on SHMW_OK the lock is held and there is room up to *end. */
int shmw_shmcomm_reserve(struct shmw_shmcomm_channel *channel, uint64_t length, uint64_t timeout_ns, uint64_t *end);

/* Step 5: room for a frame that ends at `end`, which is at most capacity behind the published head. SHMW_FULL. */
int shmw_shmcomm_make_room(struct shmw_shmcomm_channel *channel, uint64_t end);

/* Step 7: all of it; but for the payload, which gives where that goes; and the zeros from its end to the extent. */
void shmw_shmcomm_put_frame(const struct shmw_shmcomm_channel *channel, uint64_t position, uint64_t sequence,
                            const struct shmw_shmcomm_letter *letter);
unsigned char *shmw_shmcomm_put_header(const struct shmw_shmcomm_channel *channel, uint64_t position, uint64_t sequence,
                                       const struct shmw_shmcomm_letter *letter);
void shmw_shmcomm_put_padding(unsigned char *payload, uint64_t length);

/* Steps 8 to 11: frames up to `head` are complete, `count` of them. */
void shmw_shmcomm_publish(struct shmw_shmcomm_channel *channel, uint64_t head, uint64_t count);

/* Steps 2 to 4: lock and load. shmw_shmcomm_end frees the lock again, unless it is kept. */
int shmw_shmcomm_begin(struct shmw_shmcomm_channel *channel, uint64_t timeout_ns, uint64_t *deadline);
void shmw_shmcomm_end(struct shmw_shmcomm_channel *channel);

/* reader.c, pull.c -------------------------------------------------------------------------------------------------- */

/* Where a message goes; buffer NULL: nowhere, a view. */
struct shmw_shmcomm_target {
    unsigned char *buffer;
    size_t size;
};

void shmw_shmcomm_begin_reading(shmw_shmcomm *endpoint, bool oldest);
int shmw_shmcomm_next(shmw_shmcomm *endpoint, const struct shmw_shmcomm_target *to, struct shmw_shmcomm_message *message);

/* Take one message. wanted: its correlation_id, or NULL: a message with another one is taken, counted and thrown away. */
int shmw_shmcomm_pull(struct shmw_shmcomm_channel *channel, const struct shmw_shmcomm_target *to, const uint64_t *wanted,
                      uint64_t *discarded, struct shmw_shmcomm_message *message);

/* Take up to max with one claim. */
int shmw_shmcomm_pull_batch(struct shmw_shmcomm_channel *channel, const struct shmw_shmcomm_target *to,
                            struct shmw_shmcomm_message *messages, size_t max, size_t *count);

/* Nothing at this position: SHMW_EMPTY, SHMW_CLOSED, or SHMW_OK when there is something by now. */
int shmw_shmcomm_nothing(const struct shmw_shmcomm_channel *channel, uint64_t position);

/* sleep.c ----------------------------------------------------------------------------------------------------------- */

/* Section 8, the waker's side when somebody sleeps. */
void shmw_shmcomm_wake(_Atomic(uint32_t) *signal, _Atomic(uint32_t) *waiters);

/* [shmcomm.wait.wake], [shmcomm.wait.no-call] */
static inline void shmw_shmcomm_wake_sleepers(_Atomic(uint32_t) *signal, _Atomic(uint32_t) *waiters)
{
    /* S6: pairs with S6 in shmw_shmcomm_go_to_sleep; our store of head or tail before the load of the waiters: either we see the
     * sleeper, or its last look sees the store */
    shmw_fence_seqcst();
    if (shmw_load_relaxed(waiters) != 0)
        shmw_shmcomm_wake(signal, waiters);
}

/* Receivers, and writers that wait for room. */
static inline void shmw_shmcomm_wake_receivers(struct shmw_shmcomm_channel *channel)
{
    shmw_shmcomm_wake_sleepers(&channel->header->data_signal, &channel->header->data_waiters);
}

static inline void shmw_shmcomm_wake_writers(struct shmw_shmcomm_channel *channel)
{
    shmw_shmcomm_wake_sleepers(&channel->header->space_signal, &channel->header->space_waiters);
}

/* The sleeper's side, steps 1 to 3: count, and give the signal to sleep on. */
uint32_t shmw_shmcomm_go_to_sleep(_Atomic(uint32_t) *signal, _Atomic(uint32_t) *waiters);

/* reply.c ----------------------------------------------------------------------------------------------------------- */

/* Remove the reply channels of dead requesters; gives how many [shmcomm.reply.sweep]. */
uint32_t shmw_shmcomm_sweep(const char *prefix);
void shmw_shmcomm_forget_closed(shmw_shmcomm *replier);
void shmw_shmcomm_forget_all(shmw_shmcomm *replier);
int shmw_shmcomm_request(shmw_shmcomm *requester, const void *data, size_t length, const struct shmw_shmcomm_meta *meta,
                         uint64_t timeout_ns, uint64_t *sequence);

/* recover.c --------------------------------------------------------------------------------------------------------- */

/* Section 10, by who took the lock from a dead owner. */
int shmw_shmcomm_repair(struct shmw_shmcomm_channel *channel);

/* Remove a stale channel of the pattern (0: any). */
int shmw_shmcomm_remove_stale(const char *locator, uint32_t pattern, bool insist);

/* Raise message_count to at least this. */
void shmw_shmcomm_raise_count(struct shmw_shmcomm_channel *channel, uint64_t count);

#pragma GCC visibility pop

/* Is this handle one that its process may use? A forked child's is not, if it is an endpoint. */
static inline int shmw_shmcomm_usable(const shmw_shmcomm *endpoint)
{
    return endpoint->channel.guard.gone && endpoint->channel.number != 0 ? SHMW_OUT_OF_ORDER : SHMW_OK;
}

#endif
