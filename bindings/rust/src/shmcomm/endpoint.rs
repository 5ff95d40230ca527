// SPDX-License-Identifier: MIT
//! Joining a channel and leaving it (section 4 of the specification).

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::layout::*;
use super::segment::{is_unfinished, Segment};
use super::{Making, Options};
use crate::error::{Error, Result};
use crate::map::{
    byte_is_held, create_file, give_byte, lock_file, names_file, open_file, random_u64, take_byte, unlink, Guarded, Lock,
};
use crate::wait::{boot_clock_ns, Backoff};

/// What somebody wants to be in a channel.
#[derive(Clone, Copy)]
pub(super) struct Joining<'a> {
    /// `None`: any.
    pub(super) pattern: Option<u32>,
    pub(super) keeper: bool,
    pub(super) options: &'a Options,
    /// The number to use; 0 = any.
    pub(super) number: u32,
    /// `Busy` if another one has that number.
    pub(super) insists: bool,
}

impl<'a> Joining<'a> {
    pub(super) fn new(pattern: u32, keeper: bool, options: &'a Options) -> Joining<'a> {
        let number = options.identity.endpoint;
        Joining { pattern: Some(pattern), keeper, options, number, insists: number != 0 }
    }

    fn makes(&self) -> bool {
        self.keeper && self.options.making != Making::JoinOnly
    }
}

/// An end of a channel that others know by its number, for as long as it lives.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) segment: Segment,
    /// Holds the locks on our bytes; `None` once they were given back.
    guard: Option<Guarded>,
    pub(super) number: u32,
    keeper: bool,
    locator: PathBuf,
    /// Whether writer_lock is ours.
    pub(super) holds: bool,
    /// Locks that were taken from dead owners.
    pub(super) takeovers: u64,
    /// For heartbeat_ns; 0 = ask.
    boot_ns: u64,
}

impl Endpoint {
    /// Join the channel at a locator, or make it.
    pub(super) fn join(locator: &Path, joining: &Joining<'_>) -> Result<Endpoint> {
        let deadline = joining.options.deadline();
        let mut backoff = Backoff::new();
        loop {
            let last = deadline.expired();
            match attempt(locator, joining, last) {
                Ok(Some(endpoint)) => return Ok(endpoint),
                Ok(None) => continue, // the name is another file's by now, or nobody's
                Err(error) if last => return Err(error),
                Err(error) if matches!(error, Error::NotFound) || is_unfinished(&error) => backoff.pause(deadline),
                Err(error) => return Err(error),
            }
        }
    }

    /// Take a number that nobody has, and tell about a new or deserted channel whose it is now. Under the membership lock.
    fn settle(segment: Segment, guard: Guarded, locator: &Path, joining: &Joining<'_>, fresh: bool) -> Result<Endpoint> {
        let number = draw_number(guard.file()?, &segment, joining)?;
        let identity = &joining.options.identity;
        let (keeper, boot_ns) = (joining.keeper, identity.boot_ns);
        let locator = locator.to_path_buf();
        let endpoint = Endpoint { segment, guard: Some(guard), number, keeper, locator, holds: false, takeovers: 0, boot_ns };
        if keeper {
            let segment = &endpoint.segment;
            // A7: pairs with R7
            if fresh || segment.state().load_acquire() == STATE_CLOSED || !keeper_lives(endpoint.file()?)? {
                let pid = if identity.pid == 0 { std::process::id() } else { identity.pid };
                segment.header().u32(HEADER_OWNER_PID_OFFSET).store_relaxed(pid);
                segment.header().u32(HEADER_OWNER_ENDPOINT_OFFSET).store_relaxed(number);
                segment.state().store_release(STATE_OPEN); // R7: pairs with A7 [shmcomm.join.takeover]
            }
            endpoint.beat();
        }
        if fresh {
            endpoint.segment.announce();
        }
        Ok(endpoint)
    }

    /// The descriptor that holds our bytes; `OutOfOrder` in a forked child [shmcomm.endpoint.fork].
    #[inline]
    pub(super) fn file(&self) -> Result<&File> {
        self.guard.as_ref().ok_or(Error::OutOfOrder)?.file()
    }

    pub(super) fn locator(&self) -> &Path {
        &self.locator
    }

    /// Hold the byte of a number whose endpoint does not live, so that nobody draws it meanwhile; false: it lives. Our own number in a
    /// word that we did not write names nobody, and our byte stays where it is.
    pub(super) fn hold_dead(&self, number: u32) -> Result<bool> {
        Ok(number == self.number || take_byte(self.file()?, number.into())?)
    }

    /// Give it back.
    pub(super) fn give_dead(&self, number: u32) {
        if let (true, Ok(file)) = (number != self.number, self.file()) {
            give_byte(file, number.into());
        }
    }

    /// A sign of life [shmcomm.join.heartbeat].
    pub(super) fn beat(&self) {
        if self.keeper {
            let now = if self.boot_ns == 0 { boot_clock_ns() } else { self.boot_ns };
            self.segment.header().u64(HEADER_HEARTBEAT_NS_OFFSET).store_relaxed(now);
        }
    }

    /// A puller found nothing to take in a closed channel. Under the membership lock: that is the end of a pipeline, unless a keeper has
    /// opened it again. Answers whether it is [shmcomm.leave.drained].
    pub(super) fn end_drained(&self) -> Result<bool> {
        let file = self.segment.ring.map().file();
        let _lock = lock_file(file)?;
        // Looked at again: a keeper may have come, sent and gone while we waited for the lock.
        let over = self.segment.is_closed() && self.segment.is_drained() && !keeper_lives(file)?;
        if over && self.segment.geometry.pattern == PATTERN_PIPELINE {
            self.unlink_own();
        }
        Ok(over)
    }

    /// Under the membership lock.
    fn unlink_own(&self) {
        if names_file(&self.locator, self.segment.ring.map().file()) {
            let _ = unlink(&self.locator); // where it cannot be removed it stays, closed
        }
    }

    /// With or without the membership lock. Not by closing alone: a child that is being forked has the description still.
    fn give_bytes(&mut self) {
        if let Ok(file) = self.file() {
            give_byte(file, self.number.into());
            if self.keeper {
                give_byte(file, KEEPER_BASE + u64::from(self.number));
            }
        }
        self.guard = None;
    }

    fn leave(&mut self) -> Result<()> {
        if self.holds {
            self.unlock();
        }
        let lock = lock_file(self.segment.ring.map().file());
        let left = if lock.is_ok() { self.leave_locked() } else { Ok(()) };
        // After our last store, and before the lock goes: of two that leave together the second must find the first one gone.
        self.give_bytes();
        let _lock: Lock = lock?;
        left
    }

    /// Steps 3 and 4 of leaving, under the membership lock. Our own bytes do not count when their descriptor asks.
    fn leave_locked(&self) -> Result<()> {
        if keeper_lives(self.file()?)? {
            return Ok(()); // [shmcomm.leave.others]
        }
        if self.keeper {
            self.segment.close(); // [shmcomm.leave.last]
        }
        let pipeline = self.segment.geometry.pattern == PATTERN_PIPELINE;
        let ends = if pipeline { self.segment.is_closed() && self.segment.is_drained() } else { self.keeper };
        if ends {
            self.unlink_own();
        }
        Ok(())
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // In a forked child these are the parent's. What fails here leaves a channel that looks deserted, which it is.
        if self.file().is_ok() {
            let _ = self.leave();
        }
    }
}

impl Segment {
    /// Nobody keeps the channel any more: all who wait learn that.
    pub(super) fn close(&self) {
        self.state().store_release(STATE_CLOSED); // R7: pairs with A7; everything published before
        self.wake_everybody();
    }
}

/// One try; `None`: start over with the name. The last one replaces what nobody finishes.
fn attempt(locator: &Path, joining: &Joining<'_>, last: bool) -> Result<Option<Endpoint>> {
    let (file, fresh) = match open_file(locator, false) {
        Err(Error::NotFound) if joining.makes() => match create_file(locator, joining.options.mode) {
            Err(Error::Exists) => return Ok(None),
            made => (made?, true),
        },
        Ok(_) if joining.keeper && joining.options.making == Making::CreateOnly => return Err(Error::Exists),
        found => (found?, false), // [shmcomm.segment.exists]
    };
    let lock = lock_file(&file)?;
    if file.metadata().map_err(Error::System)?.nlink() == 0 {
        return Ok(None);
    }
    let named = names_file(locator, &file);
    let joined = enter(file, locator, joining, fresh);
    match &joined {
        Err(error) if named && !fresh && last && joining.makes() && is_unfinished(error) => {
            unlink(locator)?; // its creator is dead, or comes to start over as we do [shmcomm.join.unfinished]
            return Ok(None);
        }
        Err(_) if named && fresh => {
            let _ = unlink(locator); // ours, and not shown. What went wrong matters more than this.
        }
        _ => {}
    }
    drop(lock);
    joined.map(Some)
}

/// Steps 3 to 5 of joining, under the membership lock.
fn enter(file: File, locator: &Path, joining: &Joining<'_>, fresh: bool) -> Result<Endpoint> {
    let guard = Guarded::reopen(&file, false)?;
    let segment = match joining.pattern {
        Some(pattern) if fresh => Segment::make(file, pattern, joining.options)?,
        _ => Segment::of_file(file, true)?,
    };
    if joining.pattern.map_or(false, |pattern| pattern != segment.geometry.pattern) {
        return Err(Error::Unsupported("the channel has another pattern")); // [shmcomm.segment.pattern]
    }
    Endpoint::settle(segment, guard, locator, joining, fresh)
}

/// Take a number that nobody has [shmcomm.endpoint.lock, .number].
fn draw_number(file: &File, segment: &Segment, joining: &Joining<'_>) -> Result<u32> {
    let mut number = joining.number;
    loop {
        if number != 0 && take_number(file, segment, number, joining.keeper)? {
            return Ok(number);
        }
        if joining.insists {
            return Err(Error::Busy);
        }
        number = random_u64()? as u32 & MAX_ENDPOINT;
    }
}

fn take_number(file: &File, segment: &Segment, number: u32, keeper: bool) -> Result<bool> {
    if !take_byte(file, number.into())? {
        return Ok(false);
    }
    // Nobody else can become its owner by that number now. A dead one with it would seem to live.
    let owner = segment.writer_lock().load_relaxed() & !LOCK_WAITERS;
    let kept = owner != number && (!keeper || take_byte(file, KEEPER_BASE + u64::from(number))?);
    if !kept {
        give_byte(file, number.into());
    }
    Ok(kept)
}

/// Whether a keeper lives, other than by this descriptor.
pub(super) fn keeper_lives(file: &File) -> Result<bool> {
    byte_is_held(file, KEEPER_BASE + 1, MAX_ENDPOINT.into())
}
