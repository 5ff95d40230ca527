// SPDX-License-Identifier: MIT
//! Time limits, pauses, clocks and the futex calls.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::atomic::Word32;
use crate::error::{Answer, Result};

const SPIN_ROUNDS: u32 = 64;
const YIELD_ROUNDS: u32 = 72;
const SHORTEST_NAP: Duration = Duration::from_micros(1);
const LONGEST_NAP: Duration = Duration::from_millis(1);

/// How long a call may wait, and how long of that it polls before it sleeps.
///
/// A [`Duration`] converts into a limit without polling; `Duration::ZERO` means to look once.
///
/// ```
/// use shmwire::Wait;
/// use std::time::Duration;
/// let latency = Wait::forever().spin(Duration::from_micros(5));
/// let patience: Wait = Duration::from_secs(1).into();
/// assert_ne!(latency, patience);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    limit: Option<Duration>,
    spin: Duration,
}

impl Wait {
    /// Without a limit.
    #[must_use]
    pub const fn forever() -> Wait {
        Wait { limit: None, spin: Duration::ZERO }
    }

    /// At most this long.
    #[must_use]
    pub const fn at_most(limit: Duration) -> Wait {
        Wait { limit: Some(limit), spin: Duration::ZERO }
    }

    /// Poll this long before the first sleep: 5 us is a good value where latency matters, none where idle CPU does.
    #[must_use]
    pub const fn spin(self, spin: Duration) -> Wait {
        Wait { spin, ..self }
    }

    /// Whether this means to look once.
    #[inline]
    pub(crate) fn is_none(&self) -> bool {
        self.limit == Some(Duration::ZERO)
    }

    /// Polling as this says, for no longer than `limit`.
    pub(crate) fn within(self, limit: Duration) -> Wait {
        Wait { limit: Some(limit), ..self }
    }

    /// The same with what is left of it, for one of the calls that one call makes.
    pub(crate) fn left(self, deadline: Deadline) -> Wait {
        match self.limit {
            Some(limit) if !limit.is_zero() => {
                Wait { limit: Some(deadline.remaining(limit).max(Duration::from_nanos(1))), ..self }
            }
            _ => self,
        }
    }

    pub(crate) fn deadline(&self) -> Deadline {
        self.limit.map_or(Deadline(Limit::Never), Deadline::after)
    }

    pub(crate) fn spin_deadline(&self) -> Deadline {
        Deadline::after(self.spin)
    }
}

impl From<Duration> for Wait {
    fn from(limit: Duration) -> Wait {
        Wait::at_most(limit)
    }
}

/// The moment at which a time limit passes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Limit);

#[derive(Clone, Copy, Debug)]
enum Limit {
    Now,
    At(Instant),
    Never,
}

impl Deadline {
    /// Has passed already; asks no clock.
    pub(crate) const NOW: Deadline = Deadline(Limit::Now);

    pub(crate) fn after(limit: Duration) -> Deadline {
        if limit.is_zero() {
            return Deadline(Limit::Now);
        }
        Deadline(Instant::now().checked_add(limit).map_or(Limit::Never, Limit::At))
    }

    pub(crate) fn expired(self) -> bool {
        match self.0 {
            Limit::Now => true,
            Limit::At(moment) => Instant::now() >= moment,
            Limit::Never => false,
        }
    }

    /// What is left, but not more than `most`.
    pub(crate) fn remaining(self, most: Duration) -> Duration {
        match self.0 {
            Limit::Now => Duration::ZERO,
            Limit::At(moment) => moment.saturating_duration_since(Instant::now()).min(most),
            Limit::Never => most,
        }
    }
}

/// For those who lost a compare-and-swap: another one is between that and his next message, and looking again at once would take
/// the lines from him that he is working on. Stand back first, for longer each time.
#[derive(Debug)]
pub(crate) struct StandBack(u32);

impl StandBack {
    const FIRST: u32 = 8;
    /// Pauses: 0.6 to 3 microseconds, as processors go.
    const MOST: u32 = 64;

    pub(crate) fn new() -> StandBack {
        StandBack(StandBack::FIRST)
    }

    #[cold]
    pub(crate) fn pause(&mut self) {
        (0..self.0).for_each(|_| std::hint::spin_loop());
        self.0 = (2 * self.0).min(StandBack::MOST);
    }
}

/// Pauses that grow: spin, then give way, then sleep up to 1 ms at a time.
#[derive(Debug)]
pub(crate) struct Backoff {
    round: u32,
}

impl Backoff {
    pub(crate) fn new() -> Backoff {
        Backoff { round: 0 }
    }

    /// Pause once, not beyond the deadline.
    pub(crate) fn pause(&mut self, deadline: Deadline) {
        if self.round < SPIN_ROUNDS {
            std::hint::spin_loop();
        } else if self.round < YIELD_ROUNDS {
            std::thread::yield_now();
        } else {
            let doublings = (self.round - YIELD_ROUNDS).min(10);
            let nap = (SHORTEST_NAP * (1 << doublings)).min(LONGEST_NAP);
            std::thread::sleep(deadline.remaining(nap));
        }
        self.round = self.round.saturating_add(1);
    }
}

/// Look until there is something, as long as `wait` says: for formats that have no word to sleep on. TIMEOUT comes after a look
/// that began when the time was up, and the first look asks no clock.
#[inline]
pub(crate) fn poll<T>(wait: Wait, mut look: impl FnMut() -> Result<Answer<T>>) -> Result<Answer<T>> {
    match look()? {
        Answer::Empty => poll_on(wait, look),
        other => Ok(other),
    }
}

fn poll_on<T>(wait: Wait, mut look: impl FnMut() -> Result<Answer<T>>) -> Result<Answer<T>> {
    let (deadline, spin) = (wait.deadline(), wait.spin_deadline());
    let mut backoff = Backoff::new();
    loop {
        let last = deadline.expired(); // first, so that one look comes after it
        match look()? {
            Answer::Empty if last => return Ok(Answer::Timeout),
            Answer::Empty if spin.expired() => backoff.pause(deadline),
            Answer::Empty => std::hint::spin_loop(),
            other => return Ok(other),
        }
    }
}

/// Nanoseconds since the Unix epoch, 0 before it.
#[inline]
pub(crate) fn wall_clock_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos()))
}

/// Nanoseconds since the machine was started, also while it slept.
pub(crate) fn boot_clock_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel stores to a timespec of ours. Where it does not know the clock, that stays 0.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut now) };
    (now.tv_sec as u64) * 1_000_000_000 + now.tv_nsec as u64
}

/// Sleep until the word is woken, or at most `limit`, unless it is not `value` any more. May return early for no reason:
/// the caller looks again in any case, so no outcome needs telling apart.
pub(crate) fn futex_wait(word: Word32<'_>, value: u32, limit: Duration) {
    let timeout =
        libc::timespec { tv_sec: limit.as_secs() as libc::time_t, tv_nsec: libc::c_long::from(limit.subsec_nanos() as i32) };
    // No FUTEX_PRIVATE_FLAG: the other side is another process. The kernel compares in host order.
    // SAFETY: the word is mapped and aligned; the kernel only reads it, atomically, and reads the timeout, which lives
    // until the call returns.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value.to_le(), &timeout, std::ptr::null::<u32>(), 0_u32);
    }
}

/// Wake up to `count` sleepers. It can fail only for an address that is not mapped, and then nobody sleeps on it.
pub(crate) fn futex_wake(word: Word32<'_>, count: u64) {
    let most = i32::try_from(count).unwrap_or(i32::MAX);
    // SAFETY: as in futex_wait; the kernel uses the address as a key only.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE,
            most,
            std::ptr::null::<u32>(),
            std::ptr::null::<u32>(),
            0_u32,
        );
    }
}

/// Run the calling thread on one processor only.
#[cfg(feature = "bench")]
#[doc(hidden)]
pub fn pin_to_cpu(cpu: usize) -> std::io::Result<()> {
    // SAFETY: a set of all zeroes is an empty one; CPU_SET checks its index; the kernel reads the set during the call.
    let rc = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, std::mem::size_of::<libc::cpu_set_t>(), &set)
    };
    match rc {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_end() {
        assert!(Deadline::after(Duration::ZERO).expired());
        assert!(!Wait::forever().deadline().expired());
        assert!(!Wait::at_most(Duration::MAX).deadline().expired());
        let soon = Deadline::after(Duration::from_millis(2));
        assert!(soon.remaining(Duration::from_secs(9)) <= Duration::from_millis(2));
        let mut backoff = Backoff::new();
        while !soon.expired() {
            backoff.pause(soon);
        }
        assert_eq!(soon.remaining(Duration::from_secs(9)), Duration::ZERO);
    }

    #[test]
    fn a_changed_word_is_not_slept_on() {
        let mut memory = 7_u32;
        // SAFETY: an aligned word of ours that outlives the borrow.
        let word = unsafe { Word32::new((&mut memory as *mut u32).cast()) };
        let began = Instant::now();
        futex_wait(word, 8, Duration::from_secs(20));
        assert!(began.elapsed() < Duration::from_secs(10));
        futex_wait(word, 7, Duration::from_millis(5));
        futex_wake(word, u64::MAX);
    }
}
