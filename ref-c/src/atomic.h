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
#if defined(__x86_64__)
#include <cpuid.h>
#endif

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
#define shmw_add_relaxed(field, value) ((void)atomic_fetch_add_explicit((field), (value), memory_order_relaxed))
#define shmw_sub_seqcst(field, value) ((void)atomic_fetch_sub_explicit((field), (value), memory_order_seq_cst))

/* Compare-and-swap; on failure *expected gets the value found. */
#define shmw_cas_relaxed(field, expected, desired) \
    atomic_compare_exchange_strong_explicit((field), (expected), (desired), memory_order_relaxed, memory_order_relaxed)

/* The same, ordering what came before it for those who load the new value with acquire. */
#define shmw_cas_release(field, expected, desired) \
    atomic_compare_exchange_strong_explicit((field), (expected), (desired), memory_order_release, memory_order_relaxed)

/* The same, ordering what comes after it behind what its storer did before. */
#define shmw_cas_acquire(field, expected, desired) \
    atomic_compare_exchange_strong_explicit((field), (expected), (desired), memory_order_acquire, memory_order_relaxed)

/* Store, and give the value that was there. */
#define shmw_exchange_release(field, value) atomic_exchange_explicit((field), (value), memory_order_release)

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

/* Between a store and a load of which one side at least must see the other's. */
static inline void shmw_fence_seqcst(void)
{
    atomic_thread_fence(memory_order_seq_cst);
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

/* Another one changed the word that we were about to change, and is now between that and his next message. Looking again at
 * once would take the lines from him that he is working on: stand back first, for longer each time. Two producers on two CPUs
 * move three times as many messages with it. *turns starts at SHMW_STAND_BACK_FIRST. */
enum { SHMW_STAND_BACK_FIRST = 8, SHMW_STAND_BACK_MOST = 64 }; /* pauses: 0.1 to 3 us, as processors go */

static inline void shmw_stand_back(unsigned *turns)
{
    for (unsigned i = 0; i < *turns; i++)
        shmw_relax();
    if (*turns < SHMW_STAND_BACK_MOST)
        *turns *= 2;
}

/* Between two looks of a reader that spins: each takes the line from a writer who may be about to store there. With fewer of them a
 * round trip is a twentieth shorter, though each message is found a little later. */
#define SHMW_PAUSES_A_LOOK 4
static inline void shmw_pause_between_looks(void)
{
    for (unsigned pauses = 0; pauses < SHMW_PAUSES_A_LOOK; pauses++)
        shmw_relax();
}

/* The second line of what lies at `first`: a message of ordinary size lies in two, and the first one is looked at anyway. A
 * hint: it fetches what is wanted next, side by side and not one after the other. */
static inline void shmw_prefetch_to_read(const void *first)
{
    __builtin_prefetch((const unsigned char *)first + SHMW_CACHE_LINE, 0);
}

/* The line of `at`, of which a load comes soon. A hint. */
static inline void shmw_prefetch_line_to_read(const void *at)
{
    __builtin_prefetch(at, 0);
}

/* The line at an offset that will be read soon, if what comes is like what came. Any offset: a hint never faults. */
static inline void shmw_prefetch_ahead(const unsigned char *base, uint64_t offset)
{
    shmw_prefetch_line_to_read((const void *)((uintptr_t)base + offset));
}

/* The two lines of a slot that will be written soon. The first one is only fetched: consumers poll it, so the right to write to
 * it would be lost again before it was of use, and cost a round trip 6 % more. */
static inline void shmw_prefetch_to_write(const void *slot)
{
    __builtin_prefetch(slot, 0);
    const unsigned char *second = (const unsigned char *)slot + SHMW_CACHE_LINE;
#if defined(__x86_64__)
    /* The builtin makes this instruction only for processors named to the compiler; on those without it, it does nothing. */
    __asm__ volatile("prefetchw %0" : : "m"(*second));
#else
    __builtin_prefetch(second, 1);
#endif
}

/* The lines of [at, at + len), or the first few of them, for a store that comes soon: they are asked for side by side, and to be
 * owned at once instead of shared first. gcc says prefetchw only where a processor is named that has it; on the others of the
 * x86-64 kind it does nothing. */
#define SHMW_LINES_AHEAD 16
#define SHMW_FETCH_AHEAD 2048 /* bytes from what is written now to what is asked for: no reader polls there yet */
static inline void shmw_prefetch_lines_to_write(const void *at, size_t len)
{
    const unsigned char *line = at;
    for (unsigned n = 0; n < SHMW_LINES_AHEAD; n++) {
#if defined(__x86_64__)
        __asm__ volatile("prefetchw %0" : : "m"(*line));
#else
        __builtin_prefetch(line, 1);
#endif
        if (len <= SHMW_CACHE_LINE)
            return;
        line += SHMW_CACHE_LINE;
        len -= SHMW_CACHE_LINE;
    }
}

/* Payload bytes are seen here as words of one of these sizes, whatever the application stores in them. */
typedef uint64_t __attribute__((may_alias)) shmw_word;
typedef uint32_t __attribute__((may_alias)) shmw_half_word;

/* Sixteen bytes at once where the processor has such registers anyway: so many lines are on their way at a time as there are
 * stores waiting, and of 1 KiB that is twice as many. C has no atomics of that size; a volatile access of an aligned vector
 * is one instruction, which gcc and clang neither split nor double. ThreadSanitizer would take it for a plain access. */
#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
#define SHMW_HAS_WIDE 1
typedef long long __attribute__((vector_size(16), may_alias)) shmw_wide;
#define shmw_wide_load(field) (*(const volatile shmw_wide *)(const void *)(field))
#define shmw_wide_store(field, value) (*(volatile shmw_wide *)(void *)(field) = (value))
#else
#define SHMW_HAS_WIDE 0
#endif

/* A long copy is one instruction, where that is fast: lines that are overwritten as a whole need not be fetched first, which is a
 * third of the time at 64 KiB and more. Within it the bytes come in any order, as relaxed ones may; behind the stores and loads
 * before it, and before those that follow, it stays in its place, as all of them do on this kind of machine. Sanitizers would not
 * see it. */
#define SHMW_STRING_LEAST 4096 /* bytes */
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
static inline bool shmw_has_fast_strings(void)
{
    enum { UNKNOWN, NO, YES, LEAF = 7, ENHANCED_MOVSB = 1 << 9 };
    static _Atomic(int) known;
    int answer = atomic_load_explicit(&known, memory_order_relaxed);
    if (answer == UNKNOWN) {
        unsigned a = 0, b = 0, c = 0, d = 0;
        answer = __get_cpuid_count(LEAF, 0, &a, &b, &c, &d) != 0 && (b & ENHANCED_MOVSB) != 0 ? YES : NO;
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer == YES;
}

/* All of it, or nothing. */
static inline void shmw_copy_string(unsigned char **out, const unsigned char **in, size_t *len)
{
    if (*len >= SHMW_STRING_LEAST && shmw_has_fast_strings())
        __asm__ volatile("rep movsb" : "+D"(*out), "+S"(*in), "+c"(*len) : : "memory");
}
#else
static inline void shmw_copy_string(unsigned char **out, const unsigned char **in, const size_t *len)
{
    (void)out, (void)in, (void)len;
}
#endif

/* One step of a copy, from and to where in and out stand. Steps on the shared side are aligned to their size: a store across two
 * lines costs several times one in each while a reader polls them. */
#define SHMW_STEP_FROM_SHARED(type, load)          \
    do {                                           \
        const type part = load((const type *)(const void *)in); \
        memcpy(out, &part, sizeof(part));          \
        in += sizeof(part);                        \
        out += sizeof(part);                       \
        len -= sizeof(part);                       \
    } while (0)

#define SHMW_STEP_TO_SHARED(type, store)           \
    do {                                           \
        type part;                                 \
        memcpy(&part, in, sizeof(part));           \
        store((type *)(void *)out, part);          \
        in += sizeof(part);                        \
        out += sizeof(part);                       \
        len -= sizeof(part);                       \
    } while (0)

static inline bool shmw_aligned(const void *at, size_t size)
{
    return ((uintptr_t)at & (size - 1)) == 0;
}

/* Copy len bytes out of shared memory that a writer may be overwriting. from is 4-byte aligned; to need not be. The copy may be
 * torn: the caller re-checks the sequence afterwards and throws it away if it moved. */
static inline void shmw_copy_from_shared(void *to, const void *from, size_t len)
{
    unsigned char *out = to;
    const unsigned char *in = from;
    if (len >= sizeof(shmw_half_word) && !shmw_aligned(in, sizeof(shmw_word)))
        SHMW_STEP_FROM_SHARED(shmw_half_word, shmw_field_load);
#if SHMW_HAS_WIDE
    if (len >= sizeof(shmw_word) && !shmw_aligned(in, sizeof(shmw_wide)))
        SHMW_STEP_FROM_SHARED(shmw_word, shmw_field_load);
    shmw_copy_string(&out, &in, &len);
    while (len >= sizeof(shmw_wide))
        SHMW_STEP_FROM_SHARED(shmw_wide, shmw_wide_load);
#endif
    while (len >= sizeof(shmw_word))
        SHMW_STEP_FROM_SHARED(shmw_word, shmw_field_load);
    if (len >= sizeof(shmw_half_word))
        SHMW_STEP_FROM_SHARED(shmw_half_word, shmw_field_load);
    for (; len > 0; len--)
        *out++ = shmw_field_load(in++);
}

/* The same from memory of any alignment: a byte and a quarter of a word up to where half a word starts. */
typedef uint16_t __attribute__((may_alias)) shmw_quarter_word;

static inline void shmw_copy_from_shared_any(void *to, const void *from, size_t len)
{
    unsigned char *out = to;
    const unsigned char *in = from;
    if (len > 0 && !shmw_aligned(in, sizeof(shmw_quarter_word)))
        SHMW_STEP_FROM_SHARED(unsigned char, shmw_field_load);
    if (len >= sizeof(shmw_quarter_word) && !shmw_aligned(in, sizeof(shmw_half_word)))
        SHMW_STEP_FROM_SHARED(shmw_quarter_word, shmw_field_load);
    shmw_copy_from_shared(out, in, len); /* from where half a word starts, or fewer than 2 bytes */
}

/* Copy len bytes into shared memory that a reader without a claim may be looking at. to is 4-byte aligned; from need not be.
 * Stores exactly len bytes. */
static inline void shmw_copy_to_shared(void *to, const void *from, size_t len)
{
    unsigned char *out = to;
    const unsigned char *in = from;
    if (len >= sizeof(shmw_half_word) && !shmw_aligned(out, sizeof(shmw_word)))
        SHMW_STEP_TO_SHARED(shmw_half_word, shmw_field_store);
#if SHMW_HAS_WIDE
    if (len >= sizeof(shmw_word) && !shmw_aligned(out, sizeof(shmw_wide)))
        SHMW_STEP_TO_SHARED(shmw_word, shmw_field_store);
    shmw_copy_string(&out, &in, &len);
    while (len >= sizeof(shmw_wide))
        SHMW_STEP_TO_SHARED(shmw_wide, shmw_wide_store);
#endif
    while (len >= sizeof(shmw_word))
        SHMW_STEP_TO_SHARED(shmw_word, shmw_field_store);
    if (len >= sizeof(shmw_half_word))
        SHMW_STEP_TO_SHARED(shmw_half_word, shmw_field_store);
    for (; len > 0; len--)
        shmw_field_store(out++, *in++);
}

/* The same to memory of any alignment: a byte and a quarter of a word up to where half a word starts. */
static inline void shmw_copy_to_shared_any(void *to, const void *from, size_t len)
{
    unsigned char *out = to;
    const unsigned char *in = from;
    if (len > 0 && !shmw_aligned(out, sizeof(shmw_quarter_word)))
        SHMW_STEP_TO_SHARED(unsigned char, shmw_field_store);
    if (len >= sizeof(shmw_quarter_word) && !shmw_aligned(out, sizeof(shmw_half_word)))
        SHMW_STEP_TO_SHARED(shmw_quarter_word, shmw_field_store);
    shmw_copy_to_shared(out, in, len); /* to where half a word starts, or fewer than 2 bytes */
}

#endif
