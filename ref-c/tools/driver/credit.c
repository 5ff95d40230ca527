/* SPDX-License-Identifier: MIT */
#include "credit.h"

#include "atomic.h"

#define SLOT_BYTES 64
#define ENDED UINT64_MAX

static _Atomic(uint64_t) *slot_at(const struct credit *credit, uint64_t n)
{
    return (_Atomic(uint64_t) *)(void *)(credit->map.base + n * SLOT_BYTES);
}

static uint64_t slots_of(const struct credit *credit)
{
    return (credit->map.size + SLOT_BYTES - sizeof(uint64_t)) / SLOT_BYTES;
}

int credit_open(struct request *rq, const cJSON *plan, bool writer, struct credit *credit)
{
    const cJSON *object = field(plan, "credit");
    const char *path = NULL;
    *credit = (struct credit){.map = {.fd = -1}};
    if (object == NULL)
        return SHMW_OK;
    int rc = need_text(rq, object, "path", &path);
    if (rc == SHMW_OK)
        rc = writer ? need_u64(rq, object, "window", UINT64_MAX, &credit->window)
                    : need_u64(rq, object, "slot", UINT32_MAX, &credit->slot);
    if (rc == SHMW_OK)
        rc = shmw_map_open(path, writer, sizeof(uint64_t), 0, &credit->map);
    if (rc == SHMW_OK && credit->slot >= slots_of(credit))
        rc = request_fail(rq, DRIVER_BAD_REQUEST, "slot %llu lies behind the file", (unsigned long long)credit->slot);
    return rc;
}

bool credit_allows(const struct credit *credit, uint64_t end)
{
    uint64_t slowest = ENDED;
    for (uint64_t n = 0; credit->map.base != NULL && n < slots_of(credit); n++) {
        const uint64_t index = shmw_load_acquire(slot_at(credit, n));
        slowest = index < slowest ? index : slowest;
    }
    return end <= slowest || end - slowest <= credit->window;
}

void credit_give(const struct credit *credit, uint64_t index)
{
    if (credit->map.base != NULL)
        shmw_store_release(slot_at(credit, credit->slot), index);
}

void credit_close(struct credit *credit, bool writer)
{
    if (credit->map.base == NULL)
        return;
    if (!writer)
        credit_give(credit, ENDED);
    shmw_map_close(&credit->map);
    credit->map.base = NULL;
}

int until_open(struct request *rq, const cJSON *plan, struct shmw_map *map)
{
    const char *locator = NULL;
    *map = (struct shmw_map){.fd = -1};
    if (field(plan, "until") == NULL)
        return SHMW_OK;
    const int rc = need_text(rq, plan, "until", &locator);
    return rc == SHMW_OK ? shmw_map_open(locator, true, 1, 0, map) : rc;
}

bool until_over(const struct shmw_map *map)
{
    return map->base != NULL && shmw_field_load(map->base) != 0;
}

void until_close(struct shmw_map *map)
{
    if (map->base != NULL)
        shmw_map_close(map);
    map->base = NULL;
}
