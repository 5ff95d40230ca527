/* SPDX-License-Identifier: MIT
 *
 * Thin calls of the native engine into the C implementation of profile deepwater: what the public C API has no single call for. */
#ifndef SHMWPY_DEEPWATER_CALLS_H
#define SHMWPY_DEEPWATER_CALLS_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shmwire/deepwater.h"

/* What Python takes apart by itself (HEAD in shmwire/deepwater/native.py). */
_Static_assert(sizeof(struct shmw_deepwater_record) == 48 && offsetof(struct shmw_deepwater_record, sequence) == 0 &&
                   offsetof(struct shmw_deepwater_record, timestamp_ns) == 8 &&
                   offsetof(struct shmw_deepwater_record, chunk_id) == 16 && offsetof(struct shmw_deepwater_record, data) == 24 &&
                   offsetof(struct shmw_deepwater_record, length) == 32 && offsetof(struct shmw_deepwater_record, type) == 36 &&
                   offsetof(struct shmw_deepwater_record, lost) == 40,
               "HEAD of native.py");

/* What stands before the payload of a part, as Python packs it (PART in shmwire/deepwater/native.py). */
struct shmwpy_part {
    uint64_t timestamp_ns;
    uint32_t length;
    uint32_t type;
};

/* A batch whose payloads lie one behind the other in `blob`, described by `count` packed heads. *done: how many were appended. */
static int shmwpy_deepwater_append_packed(shmw_deepwater_writer *writer, const char *blob, const char *heads, size_t count,
                                          size_t *done)
{
    *done = 0;
    struct shmw_deepwater_part *parts = malloc((count + 1) * sizeof(*parts));
    if (parts == NULL)
        return SHMW_SYSTEM;
    for (size_t i = 0; i < count; i++) {
        struct shmwpy_part head;
        memcpy(&head, heads + i * sizeof(head), sizeof(head));
        parts[i] = (struct shmw_deepwater_part){
            .timestamp_ns = head.timestamp_ns, .data = blob, .length = head.length, .type = head.type};
        blob += head.length;
    }
    const int rc = shmw_deepwater_append_batch(writer, parts, count, done);
    const int cause = errno;
    free(parts);
    errno = cause;
    return rc;
}

#endif
