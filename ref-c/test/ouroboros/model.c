/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "../check.h"

/* Offsets as the specification writes them, not through the generated layout: a second opinion. */
#define ROW_AT(i) (16 + 16 * (size_t)(i))
#define C_ROW (UINT64_C(1) << 63)
#define C_ENTRY (UINT32_C(1) << 31)

static uint64_t align4(uint64_t value)
{
    return (value + 3) / 4 * 4;
}

static void store(struct model *model, uint64_t offset, const void *value, size_t size)
{
    if (model->stores >= model->last_store)
        return;
    model->stores++;
    CHECK(offset + size <= model->size);
    memcpy(model->bytes + offset, value, size);
}

static void store32(struct model *model, uint64_t offset, uint32_t value)
{
    store(model, offset, &value, sizeof(value));
}

static void store64(struct model *model, uint64_t offset, uint64_t value)
{
    store(model, offset, &value, sizeof(value));
}

uint64_t model_data_offset(const struct model *model)
{
    return align4(16 + 16 * (uint64_t)model->chunk_count);
}

struct model model_new(uint32_t chunk_count, uint64_t target, size_t size)
{
    struct model model = {.chunk_count = chunk_count, .target = target, .size = size, .committed = true, .last_store = UINT_MAX};
    model.bytes = calloc(1, size);
    CHECK(model.bytes != NULL);
    model.cursor = model_data_offset(&model);
    model.offset = model.cursor;
    const uint64_t magic = UINT64_C(0x4F55524F424C4F47);
    const uint32_t version = 1;
    const uint64_t row = model.cursor | C_ROW;
    memcpy(model.bytes, &magic, 8);
    memcpy(model.bytes + 8, &version, 4);
    memcpy(model.bytes + 12, &chunk_count, 4);
    memcpy(model.bytes + ROW_AT(0), &row, 8);
    return model;
}

void model_free(struct model *model)
{
    free(model->bytes);
    model->bytes = NULL;
}

/* Step 3. */
static void begin(struct model *model, uint32_t chunk)
{
    store64(model, ROW_AT(chunk), model->cursor);
    store64(model, ROW_AT(chunk) + 8, model->entries);
    model->chunk = chunk;
    model->offset = model->cursor;
    model->committed = false;
}

/* Step 4. */
static void clear(struct model *model, uint64_t end)
{
    for (uint32_t i = model->chunk + 1; i < model->chunk_count; i++) {
        uint64_t offset;
        memcpy(&offset, model->bytes + ROW_AT(i), 8);
        if (offset == 0 || (offset & ~C_ROW) >= end)
            continue;
        store64(model, ROW_AT(i), 0);
        store64(model, ROW_AT(i) + 8, 0);
    }
}

void model_write(struct model *model, const void *data, size_t length)
{
    const uint64_t whole = 4 + length;
    CHECK(length > 0 && model_data_offset(model) + whole <= model->size);
    if (model->cursor + whole > model->size) {
        if (model->cursor + 4 <= model->size)
            store32(model, model->cursor, 1 | C_ENTRY);
        model->cursor = model_data_offset(model);
        begin(model, 0);
    } else if (model->cursor - model->offset >= model->target && model->chunk + 1 < model->chunk_count) {
        begin(model, model->chunk + 1);
    }
    const uint64_t next = align4(model->cursor + whole);
    const bool fits = next + 4 <= model->size;
    clear(model, fits ? next + 4 : next);
    store32(model, model->cursor, (uint32_t)whole);
    store(model, model->cursor + 4, data, length / 2);
    store(model, model->cursor + 4 + length / 2, (const unsigned char *)data + length / 2, length - length / 2);
    if (fits)
        store32(model, next, 0);
    store32(model, model->cursor, (uint32_t)whole | C_ENTRY);
    if (!model->committed)
        store64(model, ROW_AT(model->chunk), model->offset | C_ROW);
    model->committed = true;
    model->cursor = next;
    model->entries++;
}
