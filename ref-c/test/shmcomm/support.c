/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <stdio.h>
#include <unistd.h>

shmw_shmcomm *enter_with(enum shmw_shmcomm_role role, const char *name, struct shmw_shmcomm_options options)
{
    shmw_shmcomm *end = NULL;
    options.no_wait = true;
    CHECK_CODE(shmw_shmcomm_open(role, name, &options, &end), SHMW_OK);
    return end;
}

shmw_shmcomm *enter(enum shmw_shmcomm_role role, const char *name)
{
    return enter_with(role, name, (struct shmw_shmcomm_options){0});
}

shmw_shmcomm *make(enum shmw_shmcomm_role role, const char *name)
{
    return enter_with(role, name, (struct shmw_shmcomm_options){.capacity = SMALL});
}

int try_enter(enum shmw_shmcomm_role role, const char *name, struct shmw_shmcomm_options options)
{
    shmw_shmcomm *end = NULL;
    options.no_wait = options.ready_timeout_ns == 0;
    const int rc = shmw_shmcomm_open(role, name, &options, &end);
    CHECK((rc == SHMW_OK) == (end != NULL));
    shmw_shmcomm_close(end);
    return rc;
}

void fill(unsigned char *payload, uint64_t n, size_t length)
{
    for (size_t i = 0; i < length; i++)
        payload[i] = (unsigned char)(n * 31 + i * 7 + (i >> 8) * 3 + length);
}

void put(shmw_shmcomm *from, uint64_t n, size_t length)
{
    static unsigned char payload[1 << 20];
    CHECK(length <= sizeof(payload));
    fill(payload, n, length);
    CHECK_CODE(shmw_shmcomm_send(from, payload, length, NULL, 0, NULL), SHMW_OK);
}

void expect(shmw_shmcomm *at, uint64_t n, size_t length, uint64_t lost)
{
    static unsigned char payload[1 << 20];
    static unsigned char wanted[1 << 20];
    struct shmw_shmcomm_message message;
    CHECK_CODE(shmw_shmcomm_receive(at, payload, sizeof(payload), 0, 0, &message), SHMW_OK);
    CHECK_U64(message.sequence, n);
    CHECK_U64(message.length, length);
    CHECK_U64(message.lost, lost);
    fill(wanted, n, length);
    CHECK_BYTES(payload, wanted, length);
}

void expect_answer(shmw_shmcomm *at, int answer)
{
    unsigned char payload[LARGEST];
    CHECK_CODE(shmw_shmcomm_receive(at, payload, sizeof(payload), 0, 0, NULL), answer);
}

struct shmw_shmcomm_info info_of(const shmw_shmcomm *end)
{
    struct shmw_shmcomm_info info;
    CHECK_CODE(shmw_shmcomm_info(end, &info), SHMW_OK);
    return info;
}

struct shmw_shmcomm_wire_header *raw_header(const struct raw *raw)
{
    return (struct shmw_shmcomm_wire_header *)(void *)raw->bytes;
}

struct shmw_shmcomm_wire_frame *raw_frame(const struct raw *raw, uint64_t position)
{
    unsigned char *ring = raw->bytes + SHMW_SHMCOMM_RING_OFFSET;
    return (struct shmw_shmcomm_wire_frame *)(void *)(ring + (position & (raw_header(raw)->capacity - 1)));
}

bool has_name(const char *locator)
{
    char path[512];
    CHECK_CODE(shmw_path(locator, path, sizeof(path)), SHMW_OK);
    return access(path, F_OK) == 0;
}

const char *replies_of(const char *name, uint32_t number)
{
    static char locator[128];
    snprintf(locator, sizeof(locator), "%s_rep_%u", name, (unsigned)number);
    return locator;
}
