/* SPDX-License-Identifier: MIT
 *
 * The ten steps of writing on plain bytes, as the specification numbers them and as slowly as it likes. What the library is
 * checked against, byte by byte; and, stopped after any store, what a killed writer leaves. */
#ifndef SHMW_TEST_OUROBOROS_MODEL_H
#define SHMW_TEST_OUROBOROS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct model {
    unsigned char *bytes;
    size_t size;
    uint32_t chunk_count;
    uint64_t target;
    uint64_t cursor;
    uint64_t offset; /* of the current chunk */
    uint64_t entries;
    uint32_t chunk;
    bool committed;
    unsigned stores;     /* so far */
    unsigned last_store; /* stores after this many do nothing: the writer is dead */
};

struct model model_new(uint32_t chunk_count, uint64_t target, size_t size);
void model_free(struct model *model);
uint64_t model_data_offset(const struct model *model);
void model_write(struct model *model, const void *data, size_t length);

#endif
