/* SPDX-License-Identifier: MIT
 *
 * Thin calls of the native engine into the C implementation of profile ouroboros: what the public C API has no single call for. */
#ifndef SHMWPY_OUROBOROS_CALLS_H
#define SHMWPY_OUROBOROS_CALLS_H

#include "ouroboros/internal.h"
#include "shmwire/ouroboros.h"

/* What Python takes apart by itself (ENTRY in shmwire/ouroboros/native.py). */
_Static_assert(sizeof(struct shmw_ouroboros_entry) == 48 && offsetof(struct shmw_ouroboros_entry, sequence) == 0 &&
                   offsetof(struct shmw_ouroboros_entry, skipped) == 8 && offsetof(struct shmw_ouroboros_entry, token) == 16 &&
                   offsetof(struct shmw_ouroboros_entry, chunk) == 24 && offsetof(struct shmw_ouroboros_entry, length) == 28 &&
                   offsetof(struct shmw_ouroboros_entry, offset) == 32 && offsetof(struct shmw_ouroboros_entry, data) == 40,
               "ENTRY of native.py");

/* Append count payloads that lie one behind the other in blob, each as long as lengths says, or, where that is NULL, `each` bytes.
 * *written gets how many were; all of them with SHMW_OK. */
static int shmwpy_ouroboros_write_batch(shmw_ouroboros_writer *writer, const char *blob, const size_t *lengths, size_t each,
                                        size_t count, size_t *written)
{
    for (*written = 0; *written < count; (*written)++) {
        const size_t length = lengths != NULL ? lengths[*written] : each;
        const int rc = shmw_ouroboros_write(writer, blob, length, NULL);
        if (rc != SHMW_OK)
            return rc;
        blob += length;
    }
    return writer != NULL ? SHMW_OK : SHMW_INVALID_ARGUMENT;
}

/* Magic, version and chunk count, and offset and token of each row, as they are: 3 + 2 x chunk_count words. */
static int shmwpy_ouroboros_inspect(const struct shmw_ouroboros_segment *segment, uint64_t *words)
{
    struct shmw_ouroboros_wire_header *header = shmw_ouroboros_header(segment);
    *words++ = shmw_load_acquire(&header->magic); /* A0: pairs with R0 */
    *words++ = shmw_field_load(&header->version);
    *words++ = shmw_field_load(&header->chunk_count);
    for (uint32_t i = 0; i < segment->chunk_count; i++) {
        *words++ = shmw_load_acquire(&shmw_ouroboros_row(segment, i)->offset); /* A1: pairs with R1 */
        *words++ = shmw_load_acquire(&shmw_ouroboros_row(segment, i)->token);  /* A2: pairs with R2 */
    }
    return SHMW_OK;
}

static int shmwpy_ouroboros_inspect_reader(const shmw_ouroboros_reader *reader, uint64_t *words)
{
    return reader != NULL ? shmwpy_ouroboros_inspect(&reader->segment, words) : SHMW_INVALID_ARGUMENT;
}

static int shmwpy_ouroboros_inspect_writer(const shmw_ouroboros_writer *writer, uint64_t *words)
{
    return writer != NULL ? shmwpy_ouroboros_inspect(&writer->segment, words) : SHMW_INVALID_ARGUMENT;
}

/* 1 if the chunk's row still has this token; after this, loads of the payload that came before count. */
static int shmwpy_ouroboros_holds(const shmw_ouroboros_reader *reader, uint32_t chunk, uint64_t token)
{
    const struct shmw_ouroboros_entry entry = {.chunk = chunk, .token = token};
    return shmw_ouroboros_view_check(reader, &entry) == SHMW_OK;
}

/* Is any row committed? */
static int shmwpy_ouroboros_has_data(const shmw_ouroboros_reader *reader)
{
    struct shmw_ouroboros_row row;
    return reader != NULL && shmw_ouroboros_newest(&reader->segment, &row) != SHMW_OUROBOROS_NO_CHUNK;
}

#endif
