/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm, section 8: sleeping and waking, the parts that receivers and writers have in common. */
#include "internal.h"

void shmw_shmcomm_wake(_Atomic(uint32_t) *signal, _Atomic(uint32_t) *waiters)
{
    shmw_store_relaxed(waiters, 0);
    shmw_add_release(signal, 1); /* R4: pairs with A4; the waiters that we wiped out, and what we stored, before the signal */
    shmw_futex_wake(signal, UINT64_MAX);
}

uint32_t shmw_shmcomm_go_to_sleep(_Atomic(uint32_t) *signal, _Atomic(uint32_t) *waiters)
{
    /* A4: pairs with R4; what a waker published before it moved the signal, and that it wiped out the waiters before, so that
     * we count ourselves behind that [shmcomm.wait.load-first] */
    const uint32_t seen = shmw_load_acquire(signal);
    if (shmw_load_relaxed(waiters) == 0)
        shmw_add_relaxed(waiters, 1);
    /* S6: pairs with S6 in shmw_shmcomm_wake_sleepers; our count before the last look at head or tail [shmcomm.wait.count] */
    shmw_fence_seqcst();
    return seen;
}
