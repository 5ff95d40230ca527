/* SPDX-License-Identifier: MIT
 *
 * What the tests of profile shmcomm share: ends of channels, payloads that tell their message, the bytes of a segment. */
#ifndef SHMW_TEST_SHMCOMM_SUPPORT_H
#define SHMW_TEST_SHMCOMM_SUPPORT_H

#include "../check.h"
#include "shmcomm/layout.h"
#include "shmwire/shmcomm.h"

#define MS UINT64_C(1000000)
#define SMALL UINT64_C(4096) /* the least ring */
#define LARGEST 2008         /* payload that it takes */

/* Open an end, which must succeed; it waits for nothing. */
shmw_shmcomm *enter(enum shmw_shmcomm_role role, const char *name);
shmw_shmcomm *enter_with(enum shmw_shmcomm_role role, const char *name, struct shmw_shmcomm_options options);

/* The same with a ring of SMALL, made if it is not there. */
shmw_shmcomm *make(enum shmw_shmcomm_role role, const char *name);

/* What opening answers; nothing is left open. */
int try_enter(enum shmw_shmcomm_role role, const char *name, struct shmw_shmcomm_options options);

/* Message number n: `length` bytes that tell both. */
void fill(unsigned char *payload, uint64_t n, size_t length);
void put(shmw_shmcomm *from, uint64_t n, size_t length);
void expect(shmw_shmcomm *at, uint64_t n, size_t length, uint64_t lost);
void expect_answer(shmw_shmcomm *at, int answer);

struct shmw_shmcomm_info info_of(const shmw_shmcomm *end);
struct shmw_shmcomm_wire_header *raw_header(const struct raw *raw);
struct shmw_shmcomm_wire_frame *raw_frame(const struct raw *raw, uint64_t position);
bool has_name(const char *locator);

/* The locator and a number, for reply channels. Static storage, one at a time. */
const char *replies_of(const char *name, uint32_t number);

#endif
