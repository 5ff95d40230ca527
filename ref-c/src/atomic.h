/* SPDX-License-Identifier: MIT
 *
 * All atomic operations of the library, named by their order. No other hand-written file includes stdatomic.h or uses an
 * __atomic builtin, so a reader who wants to audit memory ordering has this file and the labels (R0, A0, ...) at the uses.
 *
 * Two families:
 *   shmw_load_*, shmw_store_*, shmw_add_*, shmw_cas_*   fields declared _Atomic in a generated layout.h
 *   shmw_field_load, shmw_field_store, shmw_copy_*      plain fields and payload bytes that an atomic field publishes, but that a
 *                                                       reader may look at while the next writer is already at work: relaxed, so
 *                                                       that such a look is a stale value and never undefined behaviour
 */
#ifndef SHMW_SRC_ATOMIC_H
#define SHMW_SRC_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "UNSUPPORTED: shmwire for C works on little-endian hosts only; segments are little-endian and are accessed in place"
#endif
#if ATOMIC_INT_LOCK_FREE != 2 || ATOMIC_LLONG_LOCK_FREE != 2
#error "UNSUPPORTED: shmwire for C needs lock-free 32-bit and 64-bit atomics; a lock would be private to each process"
#endif
_Static_assert(sizeof(_Atomic(uint64_t)) == 8 && sizeof(_Atomic(uint32_t)) == 4, "atomics carry no extra bytes");

#define SHMW_CACHE_LINE 64

#define shmw_load_relaxed(field) atomic_load_explicit((field), memory_order_relaxed)
#define shmw_load_acquire(field) atomic_load_explicit((field), memory_order_acquire)
#define shmw_load_seqcst(field) atomic_load_explicit((field), memory_order_seq_cst)
#define shmw_store_relaxed(field, value) atomic_store_explicit((field), (value), memory_order_relaxed)
#define shmw_store_release(field, value) atomic_store_explicit((field), (value), memory_order_release)
#define shmw_add_seqcst(field, value) ((void)atomic_fetch_add_explicit((field), (value), memory_order_seq_cst))
#define shmw_add_release(field, value) ((void)atomic_fetch_add_explicit((field), (value), memory_order_release))
#define shmw_sub_seqcst(field, value) ((void)atomic_fetch_sub_explicit((field), (value), memory_order_seq_cst))

/* Compare-and-swap; on failure *expected gets the value found. */
#define shmw_cas_relaxed(field, expected, desired) \
    atomic_compare_exchange_strong_explicit((field), (expected), (desired), memory_order_relaxed, memory_order_relaxed)

/* The same, ordering what came before it for those who load the new value with acquire. */
#define shmw_cas_release(field, expected, desired) \
    atomic_compare_exchange_strong_explicit((field), (expected), (desired), memory_order_release, memory_order_relaxed)

#define shmw_field_load(field) __atomic_load_n((field), __ATOMIC_RELAXED)
#define shmw_field_store(field, value) __atomic_store_n((field), (value), __ATOMIC_RELAXED)

/* gcc warns that ThreadSanitizer does not model fences. Nothing depends on it: what a fence orders is atomic on both sides. */
#if defined(__SANITIZE_THREAD__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
static inline void shmw_fence_acquire(void)
{
    atomic_thread_fence(memory_order_acquire);
}

static inline void shmw_fence_release(void)
{
    atomic_thread_fence(memory_order_release);
}
#if defined(__SANITIZE_THREAD__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

/* Tell the processor that this is a spin loop. */
static inline void shmw_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

/* The lines of a slot that a message of ordinary size lies in. A hint: it fetches what is wanted next, side by side and not one
 * after the other. */
static inline void shmw_prefetch_to_read(const void *slot)
{
    __builtin_prefetch((const unsigned char *)slot + SHMW_CACHE_LINE, 0);
}

static inline void shmw_prefetch_line_to_write(const void *line)
{
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)line));
}

static inline void shmw_prefetch_to_write(const void *slot)
{
    shmw_prefetch_line_to_write(slot);
    shmw_prefetch_line_to_write((const unsigned char *)slot + SHMW_CACHE_LINE);
}

/* Payload bytes are seen here as 64-bit words, whatever the application stores in them. */
typedef uint64_t __attribute__((may_alias)) shmw_word;

/* Copy len bytes out of shared memory that a writer may be overwriting. from is 8-byte aligned; to need not be. The copy may be
 * torn: the caller re-checks the sequence afterwards and throws it away if it moved. */
static inline void shmw_copy_from_shared(void *to, const void *from, size_t len)
{
    unsigned char *out = to;
    const unsigned char *in = from;
    for (; len >= sizeof(shmw_word); len -= sizeof(shmw_word)) {
        const uint64_t word = shmw_field_load((const shmw_word *)(const void *)in);
        memcpy(out, &word, sizeof(word));
        in += sizeof(word);
        out += sizeof(word);
    }
    for (; len > 0; len--)
        *out++ = shmw_field_load(in++);
}

/* The same from and to memory that is 4-byte aligned only: half a word first where needed, so that the rest goes by whole
 * words. */
typedef uint32_t __attribute__((may_alias)) shmw_half_word;

static inline bool shmw_between_words(const void *at)
{
    return ((uintptr_t)at & (sizeof(shmw_word) - 1)) != 0;
}

static inline void shmw_copy_from_shared_4(void *to, const void *from, size_t len)
{
    unsigned char *out = to;
    const unsigned char *in = from;
    if (len >= sizeof(shmw_half_word) && shmw_between_words(in)) {
        const uint32_t half = shmw_field_load((const shmw_half_word *)(const void *)in);
        memcpy(out, &half, sizeof(half));
        in += sizeof(half);
        out += sizeof(half);
        len -= sizeof(half);
    }
    shmw_copy_from_shared(out, in, len); /* from a word's start, or fewer than 4 bytes */
}

/* Copy len bytes into shared memory that a reader without a claim may be looking at. to is 8-byte aligned; from need not be.
 * Stores exactly len bytes. */
static inline void shmw_copy_to_shared(void *to, const void *from, size_t len)
{
    unsigned char *out = to;
    const unsigned char *in = from;
    for (; len >= sizeof(shmw_word); len -= sizeof(shmw_word)) {
        uint64_t word;
        memcpy(&word, in, sizeof(word));
        shmw_field_store((shmw_word *)(void *)out, word);
        in += sizeof(word);
        out += sizeof(word);
    }
    for (; len > 0; len--)
        shmw_field_store(out++, *in++);
}

static inline void shmw_copy_to_shared_4(void *to, const void *from, size_t len)
{
    unsigned char *out = to;
    const unsigned char *in = from;
    if (len >= sizeof(shmw_half_word) && shmw_between_words(out)) {
        uint32_t half;
        memcpy(&half, in, sizeof(half));
        shmw_field_store((shmw_half_word *)(void *)out, half);
        in += sizeof(half);
        out += sizeof(half);
        len -= sizeof(half);
    }
    shmw_copy_to_shared(out, in, len); /* to a word's start, or fewer than 4 bytes */
}

#endif
