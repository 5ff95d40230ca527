/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm: named channels in shared memory. Publishers and subscribers, pushers and pullers, requesters and repliers, any
 * number of each, in any process and language.
 * Specification: spec/shmcomm.md. Rule ids in brackets name the rules that a function implements.
 *
 *     shmw_shmcomm *pub;
 *     shmw_shmcomm_open(SHMW_SHMCOMM_PUBLISHER, "robot_commands", NULL, &pub);
 *     shmw_shmcomm_send(pub, "move", 4, NULL, 0, NULL);
 *
 *     shmw_shmcomm *sub;
 *     struct shmw_shmcomm_message message;
 *     shmw_shmcomm_open(SHMW_SHMCOMM_SUBSCRIBER, "robot_commands", NULL, &sub);
 *     shmw_shmcomm_receive(sub, buffer, sizeof(buffer), SHMW_FOREVER, 0, &message); */
#ifndef SHMWIRE_SHMCOMM_H
#define SHMWIRE_SHMCOMM_H

#include <stdbool.h>

#include "shmwire.h"
#include "shmwire/shmcomm_layout.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One end of a channel. Threads: one at a time for each handle; open one for each thread, a number of locks in the kernel and a mapping.
 *
 * Fork. A child has none of its parent's writing endpoints: the library closes their descriptors in the child (pthread_atfork), and
 * calls on them there answer SHMW_OUT_OF_ORDER, but for shmw_shmcomm_close, which only gives back memory. Subscribers and observers go
 * on in both, each with its own cursor [shmcomm.endpoint.fork].
 *
 * Death. When a process dies, the kernel drops its endpoints; others go on at once or after SHMW_SHMCOMM_LOCK_SLICE_NS. */
typedef struct shmw_shmcomm shmw_shmcomm;

enum shmw_shmcomm_role {
    SHMW_SHMCOMM_PUBLISHER = 1,
    SHMW_SHMCOMM_SUBSCRIBER = 2,
    SHMW_SHMCOMM_PUSHER = 3,
    SHMW_SHMCOMM_PULLER = 4,
    SHMW_SHMCOMM_REQUESTER = 5,
    SHMW_SHMCOMM_REPLIER = 6,
    SHMW_SHMCOMM_OBSERVER = 7 /* looks into a channel of any pattern, read-only, from the oldest message, and takes nothing */
};

/* What publishers, pushers and repliers do about a channel that is there, or is not. Others never make one. */
enum shmw_shmcomm_making {
    SHMW_SHMCOMM_JOIN_OR_CREATE = 0,
    SHMW_SHMCOMM_CREATE_ONLY = 1, /* SHMW_EXISTS */
    SHMW_SHMCOMM_JOIN_ONLY = 2    /* SHMW_NOT_FOUND after ready_timeout_ns */
};

/* What is otherwise drawn at random or asked of the system: for tests and replays. 0 = as always. */
struct shmw_shmcomm_identity {
    uint32_t endpoint;       /* endpoint number; SHMW_BUSY if it is taken */
    uint32_t pid;            /* for owner_pid */
    uint64_t instance;       /* of a segment that is made */
    uint64_t boot_ns;        /* for heartbeat_ns */
    uint64_t correlation_id; /* of the first request */
};

struct shmw_shmcomm_options {
    uint64_t capacity; /* of a channel that is made, and of a requester's reply channel, bytes, a power of two; 0 = the default */
    uint32_t mode;     /* permission bits of what is made, before the umask; 0 = SHMW_SHMCOMM_DEFAULT_MODE */
    uint16_t serializer; /* SHMW_SHMCOMM_CONTENT_: content type of messages whose sender does not say, of a channel that is made */
    enum shmw_shmcomm_making making;
    bool oldest;    /* subscribers: begin with the oldest message held, not with the next one [shmcomm.receive.start] */
    bool read_only; /* subscribers: map nothing writable; waiting then polls */
    bool sole;      /* publishers, pushers: hold the writers' lock from open to close. Others get SHMW_BUSY, and so does open */
    bool tell_lost; /* subscribers: answer SHMW_LAPPED once, with message->lost, before a message behind a loss */
    bool no_wait;   /* do not wait for a channel that is not there or not ready */
    uint64_t ready_timeout_ns; /* how long to wait for one; 0 = SHMW_SHMCOMM_DEFAULT_READY_TIMEOUT_NS */
    struct shmw_shmcomm_identity identity;
};

/* What a sender may say about a message. NULL: now, the channel's serializer, flags 0. */
struct shmw_shmcomm_meta {
    uint64_t timestamp_ns; /* nanoseconds since the Unix epoch; 0 = now */
    uint16_t content_type; /* SHMW_SHMCOMM_CONTENT_ or the application's */
    uint16_t flags;        /* the application's */
};

/* A message to send, in a batch. */
struct shmw_shmcomm_part {
    const void *data;
    size_t length;
};

/* A message as received. */
struct shmw_shmcomm_message {
    uint64_t sequence;
    uint64_t timestamp_ns;
    uint64_t correlation_id;
    uint64_t lost; /* subscribers: sequences lost between the message delivered before and this one [shmcomm.receive.lost] */
    uint64_t position; /* of its frame in the ring's count of bytes */
    uint64_t taken_ns; /* repliers: CLOCK_MONOTONIC when it was taken; see shmw_shmcomm_reply */
    uint32_t sender;   /* endpoint number */
    uint16_t content_type;
    uint16_t flags;
    size_t length;    /* of the payload, bytes; also with SHMW_TOO_SMALL */
    size_t offset;    /* copying calls: of the payload in the buffer */
    const void *data; /* views: where it lies, lent until shmw_shmcomm_view_check says LAPPED; NULL otherwise */
};

/* A message that is filled in place. */
struct shmw_shmcomm_claim {
    void *data;    /* 8-aligned, length bytes, in the segment */
    size_t length;
};

/* Header and what this endpoint has done. */
struct shmw_shmcomm_info {
    uint64_t capacity;
    uint64_t max_payload; /* capacity / 2 - SHMW_SHMCOMM_FRAME_OVERHEAD */
    uint64_t head;
    uint64_t tail;
    uint64_t message_count;
    uint64_t dropped_count;
    uint64_t instance;
    uint64_t heartbeat_ns;
    uint32_t pattern;
    uint32_t state;
    uint32_t writer_lock;
    uint32_t lock_epoch;
    uint32_t data_waiters;
    uint32_t space_waiters;
    uint32_t owner_pid;
    uint32_t owner_endpoint;
    uint32_t serializer;
    uint32_t endpoint; /* the number of this endpoint; 0 for subscribers and observers */
    bool keeper_lives; /* false: stale */
    uint64_t sent;
    uint64_t received;
    uint64_t lost;       /* subscribers: sequences overwritten before they came to them */
    uint64_t refused;    /* sends that were answered FULL or TIMEOUT for want of room */
    uint64_t discarded;  /* requesters: replies that came too late */
    uint64_t unanswered; /* repliers: replies that were dropped because the requester is gone */
    uint64_t takeovers;  /* locks taken from dead owners */
};

/* What shmw_shmcomm_recover found to do. */
struct shmw_shmcomm_recovered {
    bool lock_taken;     /* from a dead owner */
    bool count_repaired; /* message_count or dropped_count */
    uint32_t swept;      /* reply channels of dead requesters removed; of a service's request channel */
};

/* Open and close ---------------------------------------------------------------------------------------------------- */

/* name: of the channel or service, 1 to 200 characters of A-Z a-z 0-9 . _ - [shmcomm.name.valid], or, with a slash in it, the locator of
 * the segment itself. options may be NULL. SHMW_INVALID_NAME, SHMW_INVALID_ARGUMENT, SHMW_NOT_FOUND, SHMW_EXISTS, SHMW_BUSY (sole: the
 * lock is held; identity.endpoint is taken), SHMW_UNSUPPORTED (another pattern), SHMW_NOT_READY, SHMW_TRUNCATED, SHMW_BAD_MAGIC,
 * SHMW_BAD_VERSION, SHMW_BAD_GEOMETRY, SHMW_CORRUPT, SHMW_PERMISSION, SHMW_SYSTEM. After a failure nothing is left behind. */
SHMW_API int shmw_shmcomm_open(enum shmw_shmcomm_role role, const char *name, const struct shmw_shmcomm_options *options,
                               shmw_shmcomm **out);

/* Leave, and remove the channel if its rules say so [shmcomm.leave.last]. Abandons an open claim. NULL is allowed. */
SHMW_API void shmw_shmcomm_close(shmw_shmcomm *endpoint);

SHMW_API int shmw_shmcomm_info(const shmw_shmcomm *endpoint, struct shmw_shmcomm_info *info);

/* The segment's name with its leading slash, or its path. Valid as long as the endpoint. */
SHMW_API const char *shmw_shmcomm_segment(const shmw_shmcomm *endpoint);

/* Write the segment's name for a channel and pattern to buffer, NUL included; number: the requester's, for SHMW_SHMCOMM_PATTERN_REPLY.
 * SHMW_INVALID_NAME, SHMW_INVALID_ARGUMENT, SHMW_TOO_SMALL. */
SHMW_API int shmw_shmcomm_segment_name(uint32_t pattern, const char *name, uint32_t number, char *buffer, size_t size);

/* Send -------------------------------------------------------------------------------------------------------------- */

/* Send a message: publishers, pushers, requesters (others SHMW_UNSUPPORTED; repliers: shmw_shmcomm_reply). timeout_ns bounds the wait
 * for room (SHMW_FULL at 0, else SHMW_TIMEOUT; publishers never wait for it) and, if it is longer than
 * SHMW_SHMCOMM_LOCK_PATIENCE_NS, for the lock (SHMW_BUSY). *sequence may be NULL. SHMW_CLOSED, SHMW_TOO_LARGE, SHMW_CORRUPT. */
SHMW_API int shmw_shmcomm_send(shmw_shmcomm *endpoint, const void *data, size_t length, const struct shmw_shmcomm_meta *meta,
                               uint64_t timeout_ns, uint64_t *sequence);

/* Send count messages in order; one meta for all. *sent (may be NULL) gets how many were sent, also when the answer is not SHMW_OK.
 * Publishers and pushers. SHMW_TOO_LARGE, with none sent, if any is. */
SHMW_API int shmw_shmcomm_send_batch(shmw_shmcomm *endpoint, const struct shmw_shmcomm_part *parts, size_t count,
                                     const struct shmw_shmcomm_meta *meta, uint64_t timeout_ns, size_t *sent);

/* Fill a message in place: publishers and pushers. Between claim and commit the endpoint holds the writers' lock: be quick. SHMW_BUSY
 * while a claim of this endpoint is open. Answers as for shmw_shmcomm_send. */
SHMW_API int shmw_shmcomm_claim(shmw_shmcomm *endpoint, size_t length, const struct shmw_shmcomm_meta *meta, uint64_t timeout_ns,
                                struct shmw_shmcomm_claim *claim);

/* Publish it, or give it up. SHMW_OUT_OF_ORDER without an open claim. */
SHMW_API int shmw_shmcomm_commit(shmw_shmcomm *endpoint, uint64_t *sequence);
SHMW_API int shmw_shmcomm_abandon(shmw_shmcomm *endpoint);

/* Answer a request that this replier received [shmcomm.reply.pair]; any number may be unanswered at a time, in any order.
 * SHMW_CLOSED: the requester is gone, the reply was dropped and counted. SHMW_FULL or SHMW_TIMEOUT: its ring is full. */
SHMW_API int shmw_shmcomm_reply(shmw_shmcomm *replier, const struct shmw_shmcomm_message *request, const void *data, size_t length,
                                const struct shmw_shmcomm_meta *meta, uint64_t timeout_ns);

/* Receive ----------------------------------------------------------------------------------------------------------- */

/* The next message, copied to buffer: subscribers, pullers, requesters (the reply to their request), repliers (a request), observers.
 * timeout_ns 0: SHMW_EMPTY at once if there is none; else spin for spin_ns, then sleep, SHMW_TIMEOUT at the end. SHMW_CLOSED: none will
 * come. SHMW_TOO_SMALL: the message stays next, message->length says what it needs. SHMW_LAPPED: with tell_lost, a loss of
 * message->lost; without, overtaken again and again: ask again. SHMW_OUT_OF_ORDER: a requester without a request. SHMW_CORRUPT. */
SHMW_API int shmw_shmcomm_receive(shmw_shmcomm *endpoint, void *buffer, size_t size, uint64_t timeout_ns, uint64_t spin_ns,
                                  struct shmw_shmcomm_message *message);

/* Up to max messages, one after the other in buffer, each 8-aligned; waits for the first only. *count gets how many. Not for
 * requesters (SHMW_UNSUPPORTED). */
SHMW_API int shmw_shmcomm_receive_batch(shmw_shmcomm *endpoint, void *buffer, size_t size, struct shmw_shmcomm_message *messages,
                                        size_t max, uint64_t timeout_ns, uint64_t spin_ns, size_t *count);

/* The next message where it lies: subscribers and observers. What message->data shows is the message only if
 * shmw_shmcomm_view_check answers SHMW_OK after it was used [shmcomm.receive.view]. */
SHMW_API int shmw_shmcomm_view(shmw_shmcomm *endpoint, uint64_t timeout_ns, uint64_t spin_ns, struct shmw_shmcomm_message *message);
SHMW_API int shmw_shmcomm_view_check(const shmw_shmcomm *endpoint, const struct shmw_shmcomm_message *message);

/* Go to the oldest message held, or behind the newest; counts go on and nothing counts as lost. Subscribers and observers. */
SHMW_API int shmw_shmcomm_seek(shmw_shmcomm *endpoint, bool oldest);

/* Look after -------------------------------------------------------------------------------------------------------- */

/* Check header and frames of an observer's channel. *finding (may be NULL) gets a line of text (static storage), *position the position
 * of its frame or UINT64_MAX. Of a channel that is written meanwhile it looks only at what stays. */
SHMW_API int shmw_shmcomm_validate(const shmw_shmcomm *observer, const char **finding, uint64_t *position);

/* Repair a channel whose lock a dead writer holds, and remove the reply channels of dead requesters. locator: of the segment.
 * SHMW_BUSY: the holder lives. report may be NULL. Errors of shmw_shmcomm_open. */
SHMW_API int shmw_shmcomm_recover(const char *locator, struct shmw_shmcomm_recovered *report);

/* Remove a stale channel. SHMW_BUSY: a keeper lives. SHMW_FULL: a pipeline that holds messages, unless insist. An unfinished segment is
 * removed, too. Errors of shmw_shmcomm_open for what is no channel. */
SHMW_API int shmw_shmcomm_remove(const char *locator, bool insist);

#ifdef __cplusplus
}
#endif

#endif
