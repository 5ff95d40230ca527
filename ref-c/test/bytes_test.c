/* SPDX-License-Identifier: MIT */
#include "bytes.h"

#include <stdlib.h>
#include <string.h>

#include "atomic.h"
#include "check.h"

static void ends_saturate(void)
{
    CHECK_U64(shmw_end_of(98432, 1088, 8), 98432 + 8704);
    CHECK_U64(shmw_end_of(0, 1088, 0), 0);
    CHECK_U64(shmw_end_of(UINT64_MAX - 1087, 1088, 1), UINT64_MAX); /* the sum wraps to 0 */
    CHECK_U64(shmw_end_of(UINT64_MAX - 1088, 1088, 1), UINT64_MAX); /* the largest true end */
    CHECK_U64(shmw_end_of(UINT64_MAX - 1089, 1088, 1), UINT64_MAX - 1);
    CHECK_U64(shmw_end_of(0, 1088, UINT64_C(1) << 58), UINT64_MAX); /* the product wraps */
}

static void alignment_saturates(void)
{
    CHECK_U64(shmw_align_up(0, 128), 0);
    CHECK_U64(shmw_align_up(1, 128), 128);
    CHECK_U64(shmw_align_up(128, 128), 128);
    CHECK_U64(shmw_align_up(UINT64_MAX - 127, 128), UINT64_MAX - 127);
    CHECK_U64(shmw_align_up(UINT64_MAX - 126, 128), UINT64_MAX);
    CHECK_U64(shmw_align_up(UINT64_MAX, 128), UINT64_MAX);
}

static void powers_of_two(void)
{
    for (unsigned bit = 0; bit < 64; bit++)
        CHECK(shmw_is_power_of_two(UINT64_C(1) << bit));
    CHECK(!shmw_is_power_of_two(0));
    CHECK(!shmw_is_power_of_two(3));
    CHECK(!shmw_is_power_of_two(UINT64_MAX));
}

static void overlaps(void)
{
    CHECK(shmw_overlap(10, 20, 19, 30));
    CHECK(shmw_overlap(19, 30, 10, 20));
    CHECK(shmw_overlap(10, 20, 12, 14));
    CHECK(!shmw_overlap(10, 20, 20, 30));
    CHECK(!shmw_overlap(20, 30, 10, 20));
}

/* Every length around the sizes of words, at every place where shared bytes may begin, from and to unaligned private memory:
 * exactly len bytes, neither less nor more. */
static void copies_are_exact_at(size_t at)
{
    _Alignas(64) unsigned char shared[128];
    unsigned char source[128];
    unsigned char private[128];
    for (size_t i = 0; i < sizeof(source); i++)
        source[i] = (unsigned char)(31 * i + 7);
    for (size_t len = 0; len <= 72; len++) {
        memset(shared, 0xee, sizeof(shared));
        shmw_copy_to_shared(shared + at, source + 3, len);
        CHECK_BYTES(shared + at, source + 3, len);
        for (size_t i = 0; i < sizeof(shared); i++)
            CHECK(shared[i] == 0xee || (i >= at && i < at + len));
        memset(private, 0xdd, sizeof(private));
        shmw_copy_from_shared(private + 5, shared + at, len);
        CHECK_BYTES(private + 5, source + 3, len);
        for (size_t i = 0; i < sizeof(private); i++)
            CHECK(private[i] == 0xdd || (i >= 5 && i < 5 + len));
    }
}

static void shared_copies_are_exact(void)
{
    for (size_t at = 0; at <= 32; at += 4)
        copies_are_exact_at(at);
}

/* Around the length from which a copy may be one instruction, likewise. */
static void long_copies_are_exact(void)
{
    enum { LONG = SHMW_STRING_LEAST, ROOM = LONG + 256, PLACES = 36, PAST = 24 };
    static _Alignas(64) unsigned char shared[ROOM];
    static unsigned char source[ROOM];
    static unsigned char private[ROOM];
    for (size_t i = 0; i < sizeof(source); i++)
        source[i] = (unsigned char)(31 * i + 7 + 101 * (i >> 8));
    for (size_t at = 0; at <= PLACES; at += 4) {
        for (size_t len = LONG - PAST; len <= LONG + PAST; len++) {
            memset(shared, 0xee, sizeof(shared));
            memset(private, 0xdd, sizeof(private));
            shmw_copy_to_shared_any(shared + at + 1, source + 3, len);
            CHECK_BYTES(shared + at + 1, source + 3, len);
            CHECK(shared[at] == 0xee && shared[at + 1 + len] == 0xee);
            shmw_copy_from_shared_any(private + 5, shared + at + 1, len);
            CHECK_BYTES(private + 5, source + 3, len);
            CHECK(private[4] == 0xdd && private[5 + len] == 0xdd);
            shmw_copy_to_shared(shared + at, source + 3, len);
            CHECK_BYTES(shared + at, source + 3, len);
            shmw_copy_from_shared(private, shared + at, len);
            CHECK_BYTES(private, source + 3, len);
        }
    }
}

RUN_TESTS(TEST(ends_saturate), TEST(alignment_saturates), TEST(powers_of_two), TEST(overlaps), TEST(shared_copies_are_exact),
          TEST(long_copies_are_exact))
