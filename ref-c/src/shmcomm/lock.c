/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm, section 5: the lock of the writers. */
#include "internal.h"

#define LOOKS_BEFORE_SLEEP 128 /* with a pause after each: some microseconds, which is several messages of another writer */

/* The lock is ours, from a dead owner: what it left behind is put right [shmcomm.lock.dead]. */
static int take_over(struct shmw_shmcomm_channel *channel)
{
    struct shmw_shmcomm_wire_header *header = channel->header;
    channel->holds = true;
    channel->takeovers++;
    shmw_store_relaxed(&header->lock_epoch, shmw_load_relaxed(&header->lock_epoch) + 1);
    const int rc = shmw_shmcomm_repair(channel);
    if (rc != SHMW_OK)
        shmw_shmcomm_unlock(channel);
    return rc;
}

/* Step 1: true when the lock is ours; *word gets what is there. mine: our number, with bit 31 once we have slept. */
static bool take_free(struct shmw_shmcomm_channel *channel, uint32_t mine, uint32_t *word)
{
    while ((*word & ~SHMW_SHMCOMM_LOCK_WAITERS) == SHMW_SHMCOMM_LOCK_FREE) {
        /* A1: pairs with R1; head, tail and message_count of the writer before us [shmcomm.lock.owner] */
        if (shmw_cas_acquire(&channel->header->writer_lock, word, mine | *word)) {
            channel->holds = true;
            return true;
        }
    }
    return false;
}

/* The first part of step 2: most owners are soon done. */
static bool spin(struct shmw_shmcomm_channel *channel, uint32_t *word)
{
    for (unsigned look = 0; look < LOOKS_BEFORE_SLEEP; look++) {
        *word = shmw_load_relaxed(&channel->header->writer_lock);
        if (take_free(channel, channel->number, word))
            return true;
        shmw_relax();
    }
    return false;
}

/* Step 3: true when the lock is ours. From the very word that we saw, so that of several only one takes it, and while we hold
 * the byte of its owner, so that nobody draws that number and takes the lock meanwhile [shmcomm.lock.dead, .alive]. */
static bool take_dead(struct shmw_shmcomm_channel *channel, uint32_t word)
{
    const uint32_t owner = word & ~SHMW_SHMCOMM_LOCK_WAITERS;
    const bool own = owner == channel->number; /* which we did not write: it names nobody, and our byte stays ours */
    if (!own && shmw_ofd_take(channel->guard.fd, owner) != SHMW_OK)
        return false;
    /* What the dead owner did is ordered by the kernel: before its byte was dropped, which we have now. A1, with no store to
     * pair with. */
    const bool ours = shmw_cas_acquire(&channel->header->writer_lock, &word, channel->number | SHMW_SHMCOMM_LOCK_WAITERS);
    if (!own)
        shmw_ofd_give(channel->guard.fd, owner);
    return ours;
}

int shmw_shmcomm_lock_slowly(struct shmw_shmcomm_channel *channel, uint64_t deadline)
{
    _Atomic(uint32_t) *lock = &channel->header->writer_lock;
    uint32_t word = SHMW_SHMCOMM_LOCK_FREE;
    if (spin(channel, &word))
        return SHMW_OK;
    const uint64_t patience = shmw_deadline(SHMW_SHMCOMM_LOCK_PATIENCE_NS);
    for (;;) {
        const bool last = shmw_expired(deadline) && shmw_expired(patience);
        word = shmw_load_relaxed(lock);
        if (take_free(channel, channel->number | SHMW_SHMCOMM_LOCK_WAITERS, &word))
            return SHMW_OK;
        if (last)
            return SHMW_BUSY; /* [shmcomm.lock.busy] */
        const uint32_t waiting = word | SHMW_SHMCOMM_LOCK_WAITERS;
        if (word != waiting && !shmw_cas_relaxed(lock, &word, waiting))
            continue;
        if (shmw_futex_wait(lock, waiting, SHMW_SHMCOMM_LOCK_SLICE_NS) != SHMW_OK)
            return SHMW_SYSTEM;
        if (shmw_load_relaxed(lock) == waiting && take_dead(channel, waiting))
            return take_over(channel);
    }
}

void shmw_shmcomm_unlock(struct shmw_shmcomm_channel *channel)
{
    _Atomic(uint32_t) *lock = &channel->header->writer_lock;
    channel->holds = false;
    /* R1: pairs with A1; head, tail and message_count for the next writer [shmcomm.lock.owner] */
    const uint32_t word = shmw_exchange_release(lock, SHMW_SHMCOMM_LOCK_FREE);
    if ((word & SHMW_SHMCOMM_LOCK_WAITERS) != 0)
        shmw_futex_wake(lock, 1); /* [shmcomm.lock.wake] */
}
