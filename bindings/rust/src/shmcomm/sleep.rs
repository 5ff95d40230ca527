// SPDX-License-Identifier: MIT
//! Sleeping and waking (section 8 of the specification).

use std::time::Duration;

use super::endpoint::Endpoint;
use super::layout::*;
use super::segment::Segment;
use crate::atomic::{fence_seq_cst, Word32};
use crate::error::{Answer, Result};
use crate::wait::{futex_wait, futex_wake, Deadline, Wait};

/// Longest single sleep of one whom nobody wakes.
const UNCOUNTED_SLICE: Duration = Duration::from_millis(1);

/// Looks of one who polls, between two at the clock.
const LOOKS_PER_CLOCK: u32 = 16;

/// What is slept on: a signal, and the count of those who do; `None` where there is nothing to write it to.
pub(super) type Bed<'a> = (Word32<'a>, Option<Word32<'a>>);

/// One who waits.
pub(super) trait Sleeper {
    fn bed(&self) -> Bed<'_>;
}

/// Look until there is something: poll until `spin`, then sleep. Where there is nothing still at the
/// deadline, EMPTY and FULL become TIMEOUT.
#[cold]
pub(super) fn wait_on<S: Sleeper, T>(
    sleeper: &mut S,
    (deadline, spin): (Deadline, Deadline),
    mut look: impl FnMut(&mut S) -> Result<Answer<T>>,
) -> Result<Answer<T>> {
    while !spin.expired() && !deadline.expired() {
        for _ in 0..LOOKS_PER_CLOCK {
            match look(sleeper)? {
                Answer::Empty | Answer::Full => std::hint::spin_loop(),
                other => return Ok(other),
            }
        }
    }
    loop {
        let last = deadline.expired(); // first, so that one look comes after it [shmcomm.wait.timeout]
                                       // A4: pairs with R4; what the waker published or took before it [shmcomm.wait.load-first]
        let seen = sleeper.bed().0.load_acquire();
        count(sleeper.bed().1);
        match look(sleeper)? {
            Answer::Empty | Answer::Full if last => return Ok(Answer::Timeout),
            Answer::Empty | Answer::Full => sleep(sleeper.bed(), seen, deadline),
            other => return Ok(other),
        }
    }
}

/// See to it that the count of waiters is not 0 before the look that comes next. It is never taken back: one that was for nothing costs
/// one wake, once [shmcomm.wait.count].
fn count(waiters: Option<Word32<'_>>) {
    if let Some(waiters) = waiters {
        if waiters.load_relaxed() == 0 {
            waiters.add_relaxed(1);
        }
        fence_seq_cst(); // S6: pairs with S6 of wakers; either they see the count, or our look sees what they stored before
    }
}

/// [shmcomm.wait.slice]
fn sleep((signal, waiters): Bed<'_>, seen: u32, deadline: Deadline) {
    let slice = if waiters.is_some() { Duration::from_nanos(WAIT_SLICE_NS) } else { UNCOUNTED_SLICE };
    futex_wait(signal, seen, deadline.remaining(slice));
}

/// Wake all who sleep on a signal, if anybody does [shmcomm.wait.wake, .no-call].
#[inline]
fn wake(signal: Word32<'_>, waiters: Word32<'_>) {
    fence_seq_cst(); // S6: pairs with S6 of sleepers; head or tail before it
    if waiters.load_relaxed() != 0 {
        wake_all(signal, waiters);
    }
}

#[cold]
fn wake_all(signal: Word32<'_>, waiters: Word32<'_>) {
    waiters.store_relaxed(0);
    signal.add_release(1); // R4: pairs with A4; what was published or taken, and the waiters that were wiped out
    futex_wake(signal, u64::MAX);
}

impl Sleeper for Endpoint {
    fn bed(&self) -> Bed<'_> {
        self.segment.data_words()
    }
}

impl Endpoint {
    /// Try to take a message until there is one.
    #[inline]
    pub(super) fn wait_to_take<T>(
        &mut self,
        wait: Wait,
        mut take: impl FnMut(&mut Endpoint) -> Result<Answer<T>>,
    ) -> Result<Answer<T>> {
        match take(self)? {
            Answer::Empty if !wait.is_none() => wait_on(self, (wait.deadline(), wait.spin_deadline()), take),
            other => Ok(other),
        }
    }
}

impl Segment {
    /// Something was published.
    #[inline]
    pub(super) fn wake_receivers(&self) {
        let header = self.header();
        wake(header.u32(HEADER_DATA_SIGNAL_OFFSET), header.u32(HEADER_DATA_WAITERS_OFFSET));
    }

    /// Something was taken.
    #[inline]
    pub(super) fn wake_writers(&self) {
        let (signal, waiters) = self.space_words();
        wake(signal, waiters);
    }

    /// The channel was closed: all who sleep on it learn that.
    pub(super) fn wake_everybody(&self) {
        for signal in [self.data_words().0, self.space_words().0] {
            signal.add_release(1); // R4: pairs with A4; the state
            futex_wake(signal, u64::MAX);
        }
    }
}
