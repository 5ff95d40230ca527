/* SPDX-License-Identifier: MIT
 *
 * Thin calls of the native engine into the C implementation of profile shmcomm: what the public C API has no single call for. */
#ifndef SHMWPY_SHMCOMM_CALLS_H
#define SHMWPY_SHMCOMM_CALLS_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "shmwire/shmcomm.h"
#include "shmcomm/internal.h"

/* What Python takes apart by itself (HEAD in shmwire/shmcomm/native.py). */
_Static_assert(sizeof(struct shmw_shmcomm_message) == 80 && offsetof(struct shmw_shmcomm_message, sequence) == 0 &&
                   offsetof(struct shmw_shmcomm_message, timestamp_ns) == 8 &&
                   offsetof(struct shmw_shmcomm_message, correlation_id) == 16 &&
                   offsetof(struct shmw_shmcomm_message, lost) == 24 && offsetof(struct shmw_shmcomm_message, position) == 32 &&
                   offsetof(struct shmw_shmcomm_message, taken_ns) == 40 && offsetof(struct shmw_shmcomm_message, sender) == 48 &&
                   offsetof(struct shmw_shmcomm_message, content_type) == 52 &&
                   offsetof(struct shmw_shmcomm_message, flags) == 54 && offsetof(struct shmw_shmcomm_message, length) == 56 &&
                   offsetof(struct shmw_shmcomm_message, offset) == 64 && offsetof(struct shmw_shmcomm_message, data) == 72,
               "HEAD of native.py");

/* A mapping that outlives its endpoint, as long as somebody may look at it. */
struct shmwpy_kept {
    void *base;
    size_t size;
};

/* Leave, but keep what is mapped until shmwpy_shmcomm_unmap. */
static void shmwpy_shmcomm_close(shmw_shmcomm *endpoint, struct shmwpy_kept *kept)
{
    if (endpoint == NULL)
        return;
    kept->base = endpoint->channel.map.base;
    kept->size = endpoint->channel.map.size;
    endpoint->channel.map.base = NULL;
    endpoint->channel.map.size = 0; /* munmap does nothing then */
    shmw_shmcomm_close(endpoint);
}

static void shmwpy_shmcomm_unmap(struct shmwpy_kept *kept)
{
    if (kept->base != NULL)
        munmap(kept->base, kept->size);
    free(kept);
}

static struct shmwpy_kept *shmwpy_shmcomm_keep(void)
{
    return calloc(1, sizeof(struct shmwpy_kept));
}

/* After TIMEOUT, for a caller who goes on waiting: that was no refusal. */
static void shmwpy_shmcomm_go_on(shmw_shmcomm *endpoint)
{
    if (endpoint == NULL)
        return;
    shmw_add_relaxed(&endpoint->channel.header->dropped_count, UINT64_MAX);
    endpoint->channel.refused--;
}

/* Several messages, their payloads moved together in the buffer; ends[i] is where each ends. */
static int shmwpy_shmcomm_receive_packed(shmw_shmcomm *endpoint, char *buffer, size_t size, struct shmw_shmcomm_message *messages,
                                         size_t max, uint64_t timeout_ns, uint64_t spin_ns, size_t *count, uint64_t *ends)
{
    const int rc = shmw_shmcomm_receive_batch(endpoint, buffer, size, messages, max, timeout_ns, spin_ns, count);
    if (rc != SHMW_OK)
        return rc;
    size_t used = 0;
    for (size_t i = 0; i < *count; i++) {
        if (messages[i].offset != used)
            memmove(buffer + used, buffer + messages[i].offset, messages[i].length);
        used += messages[i].length;
        ends[i] = used;
    }
    return SHMW_OK;
}

/* The bytes of the segment, of a service of its request channel; size is that of the segment. Of a channel at rest they go together. */
static size_t shmwpy_shmcomm_size(const shmw_shmcomm *endpoint)
{
    return endpoint != NULL ? (size_t)shmw_shmcomm_segment_size(endpoint->channel.capacity) : 0;
}

static void shmwpy_shmcomm_snapshot(const shmw_shmcomm *endpoint, char *out)
{
    shmw_copy_from_shared_any(out, endpoint->channel.header, shmwpy_shmcomm_size(endpoint));
}

#endif
