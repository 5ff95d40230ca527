// SPDX-License-Identifier: MIT
//! Looking after channels that nobody uses any more (section 10 of the specification).

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::endpoint::{keeper_lives, Endpoint, Joining};
use super::layout::*;
use super::names::{reply_locator, reply_numbers, reply_prefixes};
use super::segment::{is_unfinished, Segment};
use super::Options;
use crate::error::{Answer, Error, Result};
use crate::map::{full_name, lock_file, open_file, unlink};

/// What [`recover`] found to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The lock was taken from a dead owner, and is free now.
    pub lock_taken: bool,
    /// message_count or dropped_count was wrong.
    pub count_repaired: bool,
    /// Reply channels of dead requesters removed; of a service's request channel.
    pub swept: u32,
}

/// Repair a channel whose lock a dead writer holds, and remove the reply channels of dead requesters. `locator`: of the segment. Writers
/// and repliers do both on their own; this is for those who clean up.
///
/// # Errors
/// [`Error::Busy`]: the lock's owner lives. [`Error::Corrupt`]: it cannot be repaired. Otherwise those of opening.
pub fn recover(locator: impl AsRef<Path>) -> Result<Recovered> {
    let locator = full_name(locator.as_ref(), None)?;
    let options = Options::new().ready_timeout(std::time::Duration::ZERO);
    let joining = Joining { pattern: None, keeper: false, options: &options, number: 0, insists: false };
    let mut endpoint = Endpoint::join(&locator, &joining)?;
    let mut recovered = Recovered::default();
    let counts = |segment: &Segment| (segment.message_count().load_relaxed(), segment.dropped_count().load_relaxed());
    let before = counts(&endpoint.segment);
    let found = endpoint.segment.writer_lock().load_relaxed();
    if found & !LOCK_WAITERS != LOCK_FREE {
        recovered.lock_taken = endpoint.succeed(found)?;
        if !recovered.lock_taken {
            return Err(Error::Busy);
        }
        recovered.count_repaired = counts(&endpoint.segment) != before;
        endpoint.unlock();
    }
    if endpoint.segment.geometry.pattern == PATTERN_REQUEST {
        for prefix in reply_prefixes(&locator) {
            recovered.swept += sweep(&prefix)?;
        }
    }
    Ok(recovered)
}

/// Remove a channel that no keeper lives of. Done, or [`Answer::Full`] for a pipeline that holds messages, unless the caller insists. A
/// segment that nobody finishes is removed, too. Nothing changes otherwise [shmcomm.remove.undelivered].
///
/// # Errors
/// [`Error::Busy`]: a keeper lives [shmcomm.remove.alive]. [`Error::NotFound`], [`Error::InvalidName`], [`Error::Permission`],
/// [`Error::System`], and those of opening for what is no channel.
pub fn remove(locator: impl AsRef<Path>, insist: bool) -> Result<Answer<()>> {
    remove_stale(&full_name(locator.as_ref(), None)?, None, insist)
}

/// The same; of a pattern only, if one is given.
pub(super) fn remove_stale(locator: &Path, pattern: Option<u32>, insist: bool) -> Result<Answer<()>> {
    loop {
        let file = open_file(locator, false)?;
        let _lock = lock_file(&file)?;
        if file.metadata().map_err(Error::System)?.nlink() == 0 {
            continue; // the name is another file's by now, or nobody's
        }
        let segment = match Segment::of_file(file, true) {
            Err(error) if is_unfinished(&error) => {
                unlink(locator)?;
                return Ok(Answer::Done(()));
            }
            found => found?,
        };
        return remove_named(&segment, locator, pattern, insist);
    }
}

/// Under the membership lock, of a file that has a name.
fn remove_named(segment: &Segment, locator: &Path, pattern: Option<u32>, insist: bool) -> Result<Answer<()>> {
    let own = segment.geometry.pattern;
    if pattern.map_or(false, |pattern| pattern != own) {
        return Err(Error::Unsupported("the channel has another pattern"));
    }
    if keeper_lives(segment.ring.map().file())? {
        return Err(Error::Busy);
    }
    if own == PATTERN_PIPELINE && !insist && !segment.is_drained() {
        return Ok(Answer::Full);
    }
    segment.close(); // [shmcomm.remove.state]
    unlink(locator)?;
    Ok(Answer::Done(()))
}

/// Remove the reply channels behind a prefix whose requester does not live; answers how many. Those that are in use, are no channels, or
/// are not ours to remove stay [shmcomm.reply.sweep].
pub(super) fn sweep(prefix: &OsStr) -> Result<u32> {
    let removed = |number: &u32| remove_stale(&reply_locator(prefix, *number), Some(PATTERN_REPLY), true).is_ok();
    Ok(reply_numbers(prefix)?.iter().filter(|&number| removed(number)).count() as u32)
}
