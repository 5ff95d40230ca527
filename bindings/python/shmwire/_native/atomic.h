/* SPDX-License-Identifier: MIT
 *
 * Atomic words, fences and process-shared futexes at an offset from a base address, for the python engine. The caller
 * (shmwire/atomic.py) has checked bounds and alignment and holds the buffer while a call runs. Little-endian hosts only.
 */
#ifndef SHMWPY_ATOMIC_H
#define SHMWPY_ATOMIC_H

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SHMWPY_RELAXED, SHMWPY_ACQUIRE, SHMWPY_RELEASE, SHMWPY_SEQ_CST };

#define SHMWPY_WORD(type, base, offset) ((type *)(void *)((char *)(base) + (offset)))

/* The builtins want a constant order. Loads have no release order and stores no acquire order: the next stronger one is used. */
#define SHMWPY_LOADER(type, name)                                                                                      \
    static type name(const char *base, size_t offset, int order)                                                       \
    {                                                                                                                  \
        const type *word = SHMWPY_WORD(const type, base, offset);                                                      \
        switch (order) {                                                                                               \
        case SHMWPY_RELAXED:                                                                                           \
            return __atomic_load_n(word, __ATOMIC_RELAXED);                                                            \
        case SHMWPY_ACQUIRE:                                                                                           \
            return __atomic_load_n(word, __ATOMIC_ACQUIRE);                                                            \
        default:                                                                                                       \
            return __atomic_load_n(word, __ATOMIC_SEQ_CST);                                                            \
        }                                                                                                              \
    }

#define SHMWPY_STORER(type, name)                                                                                      \
    static void name(char *base, size_t offset, type value, int order)                                                 \
    {                                                                                                                  \
        type *word = SHMWPY_WORD(type, base, offset);                                                                  \
        switch (order) {                                                                                               \
        case SHMWPY_RELAXED:                                                                                           \
            __atomic_store_n(word, value, __ATOMIC_RELAXED);                                                           \
            break;                                                                                                     \
        case SHMWPY_RELEASE:                                                                                           \
            __atomic_store_n(word, value, __ATOMIC_RELEASE);                                                           \
            break;                                                                                                     \
        default:                                                                                                       \
            __atomic_store_n(word, value, __ATOMIC_SEQ_CST);                                                           \
        }                                                                                                              \
    }

SHMWPY_LOADER(uint32_t, shmwpy_load_u32)
SHMWPY_LOADER(uint64_t, shmwpy_load_u64)
SHMWPY_STORER(uint32_t, shmwpy_store_u32)
SHMWPY_STORER(uint64_t, shmwpy_store_u64)

/* Compare-and-swap, relaxed or, where it is made, release: the value found, which is `expected` exactly when it was made. */
static uint64_t shmwpy_cas_u64(char *base, size_t offset, uint64_t expected, uint64_t desired, int order)
{
    uint64_t *word = SHMWPY_WORD(uint64_t, base, offset);
    if (order == SHMWPY_RELAXED)
        __atomic_compare_exchange_n(word, &expected, desired, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    else
        __atomic_compare_exchange_n(word, &expected, desired, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
    return expected;
}

/* Compare-and-swap of a u32, relaxed or, where it is made, acquire: the value found, which is `expected` exactly when it was made. */
static uint32_t shmwpy_cas_u32(char *base, size_t offset, uint32_t expected, uint32_t desired, int order)
{
    uint32_t *word = SHMWPY_WORD(uint32_t, base, offset);
    if (order == SHMWPY_RELAXED)
        __atomic_compare_exchange_n(word, &expected, desired, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    else
        __atomic_compare_exchange_n(word, &expected, desired, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
    return expected;
}

/* Exchange of a u32 with release order: the value before. */
static uint32_t shmwpy_swap_u32(char *base, size_t offset, uint32_t value)
{
    return __atomic_exchange_n(SHMWPY_WORD(uint32_t, base, offset), value, __ATOMIC_RELEASE);
}

/* Sequentially consistent addition modulo 2^32: the value before. */
static uint32_t shmwpy_add_u32(char *base, size_t offset, uint32_t delta)
{
    return __atomic_fetch_add(SHMWPY_WORD(uint32_t, base, offset), delta, __ATOMIC_SEQ_CST);
}

static void shmwpy_fence(int order)
{
    switch (order) {
    case SHMWPY_ACQUIRE:
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        break;
    case SHMWPY_RELEASE:
        __atomic_thread_fence(__ATOMIC_RELEASE);
        break;
    default:
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    }
}

/* FUTEX_WAIT, process-shared. 0 when woken, when the word was not `value`, after a signal and when the time was up: the
 * caller looks again in every case. Else errno. */
static int shmwpy_futex_wait(const char *base, size_t offset, uint32_t value, uint64_t timeout_ns)
{
    const uint64_t second = UINT64_C(1000000000);
    const struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / second), .tv_nsec = (long)(timeout_ns % second)};
    const long rc = syscall(SYS_futex, SHMWPY_WORD(const uint32_t, base, offset), FUTEX_WAIT, value, &timeout, NULL, 0);
    if (rc == 0 || errno == EAGAIN || errno == EINTR || errno == ETIMEDOUT)
        return 0;
    return errno;
}

/* FUTEX_WAKE, process-shared: how many sleepers were woken. */
static int shmwpy_futex_wake(const char *base, size_t offset, uint64_t count)
{
    const int most = count < INT_MAX ? (int)count : INT_MAX;
    return (int)syscall(SYS_futex, SHMWPY_WORD(const uint32_t, base, offset), FUTEX_WAKE, most, NULL, NULL, 0);
}

#endif
