// SPDX-License-Identifier: MIT
//! The lock that survives the death of its owner (section 5 of the specification), and repair (section 10).

use std::time::Duration;

use super::endpoint::Endpoint;
use super::layout::*;
use super::segment::{are_possible, corrupt, Segment};
use crate::error::{Error, Result};
use crate::wait::{futex_wait, futex_wake, Deadline};

/// Looks at a lock that is held, before sleeping.
const SPINS: u32 = 200;

fn owner(word: u32) -> u32 {
    word & !LOCK_WAITERS
}

impl Endpoint {
    /// Take the lock. `deadline` is asked for only if somebody has it.
    ///
    /// `Busy` once that and a writer's patience have passed; `Corrupt` from a repair, and then the lock is free again.
    #[inline]
    pub(super) fn lock(&mut self, deadline: impl FnOnce() -> Deadline) -> Result<()> {
        // A1: pairs with R1; head, tail and message_count of the writer before us [shmcomm.lock.hold, .owner]
        if self.segment.writer_lock().replace_acquire(LOCK_FREE, self.number).is_ok() {
            self.holds = true;
            return Ok(());
        }
        self.lock_slowly(deadline())
    }

    #[cold]
    fn lock_slowly(&mut self, deadline: Deadline) -> Result<()> {
        let patience = Deadline::after(Duration::from_nanos(LOCK_PATIENCE_NS));
        let mut mark = self.number;
        loop {
            let word = self.segment.writer_lock();
            let found = word.load_relaxed();
            if owner(found) == LOCK_FREE {
                // A1: pairs with R1; likewise
                if word.replace_acquire(found, mark | (found & LOCK_WAITERS)).is_ok() {
                    self.holds = true;
                    return Ok(());
                }
                continue;
            }
            if self.frees_soon() {
                continue;
            }
            let waited = found | LOCK_WAITERS;
            if found != waited && word.replace_relaxed(found, waited).is_err() {
                continue;
            }
            mark = self.number | LOCK_WAITERS; // we cannot know whether others wait
            futex_wait(word, waited, Duration::from_nanos(LOCK_SLICE_NS));
            if self.succeed(waited)? {
                return Ok(());
            }
            let free = owner(self.segment.writer_lock().load_relaxed()) == LOCK_FREE;
            if !free && deadline.expired() && patience.expired() {
                return Err(Error::Busy); // [shmcomm.lock.busy]
            }
        }
    }

    fn frees_soon(&self) -> bool {
        (0..SPINS).any(|_| {
            std::hint::spin_loop();
            owner(self.segment.writer_lock().load_relaxed()) == LOCK_FREE
        })
    }

    /// Take the lock from an owner that does not live, if the word still is what was seen, and repair the channel. False: its owner
    /// lives, or it has changed hands [shmcomm.lock.dead, .alive].
    pub(super) fn succeed(&mut self, seen: u32) -> Result<bool> {
        let word = self.segment.writer_lock();
        if word.load_relaxed() != seen || owner(seen) == LOCK_FREE || !self.hold_dead(owner(seen))? {
            return Ok(false);
        }
        // A1: no store pairs with it: the kernel orders what the dead one did before the release of its file locks, and that before
        // they were granted to us.
        let taken = word.replace_acquire(seen, self.number | LOCK_WAITERS).is_ok();
        self.give_dead(owner(seen));
        if !taken {
            return Ok(false);
        }
        self.holds = true;
        self.takeovers += 1;
        let epoch = self.segment.header().u32(HEADER_LOCK_EPOCH_OFFSET);
        epoch.store_relaxed(epoch.load_relaxed().wrapping_add(1));
        if let Err(error) = self.segment.repair() {
            self.unlock();
            return Err(error);
        }
        Ok(true)
    }

    /// Free the lock.
    #[inline]
    pub(super) fn unlock(&mut self) {
        self.holds = false;
        let word = self.segment.writer_lock();
        // R1: pairs with A1; everything that we stored as its holder
        if word.swap_release(LOCK_FREE) & LOCK_WAITERS != 0 {
            futex_wake(word, 1); // [shmcomm.lock.wake]
        }
    }
}

impl Segment {
    /// What a dead writer may have left undone, by who has taken the lock from it. What is above head was never visible.
    fn repair(&self) -> Result<()> {
        let tail = self.tail().load_acquire(); // A3: pairs with R3; what pullers raised message_count to
        let head = self.head().load_acquire(); // A2: pairs with R2; the frames below
        if !are_possible(head, tail, self.capacity()) {
            return Err(corrupt("head and tail are impossible"));
        }
        let (mut first, mut last) = (None, None);
        // Pullers may take some meanwhile, but nobody overwrites what they took: we have the lock [shmcomm.recover.held].
        for found in self.frames(tail, head) {
            let place = found.map_err(|_| corrupt("a frame has an impossible size"))?;
            last = Some(self.describe(&place).sequence);
            first = first.or(last);
        }
        if let Some(last) = last {
            self.message_count().raise_relaxed(last.wrapping_add(1)); // [shmcomm.recover.count]
        }
        if self.geometry.pattern == PATTERN_PUBSUB {
            let evicted = first.unwrap_or_else(|| self.message_count().load_relaxed());
            self.dropped_count().store_relaxed(evicted); // [shmcomm.recover.dropped]
        }
        self.wake_receivers(); // [shmcomm.recover.wake]
        Ok(())
    }
}
