/* SPDX-License-Identifier: MIT
 *
 * Arithmetic on numbers that come out of a segment. Every function is total: no input overflows or traps. */
#ifndef SHMW_SRC_BYTES_H
#define SHMW_SRC_BYTES_H

#include <stdbool.h>
#include <stdint.h>

static inline bool shmw_is_power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

/* offset + size * count, or UINT64_MAX when that is more than 64 bits can hold: past the end of anything. */
static inline uint64_t shmw_end_of(uint64_t offset, uint64_t size, uint64_t count)
{
    uint64_t length;
    uint64_t end;
    if (__builtin_mul_overflow(size, count, &length) || __builtin_add_overflow(offset, length, &end))
        return UINT64_MAX;
    return end;
}

/* The next multiple of align (a power of two) at or above value, or UINT64_MAX when there is none. */
static inline uint64_t shmw_align_up(uint64_t value, uint64_t align)
{
    uint64_t sum;
    if (__builtin_add_overflow(value, align - 1, &sum))
        return UINT64_MAX;
    return sum & ~(align - 1);
}

/* Do [a, a_end) and [b, b_end) share a byte? */
static inline bool shmw_overlap(uint64_t a, uint64_t a_end, uint64_t b, uint64_t b_end)
{
    return a < b_end && b < a_end;
}

static inline uint64_t shmw_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t shmw_max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#endif
