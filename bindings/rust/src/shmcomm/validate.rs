// SPDX-License-Identifier: MIT
//! Is there anything in the channel that no writer leaves?

use super::layout::*;
use super::segment::{corrupt, Segment};
use crate::atomic::fence_acquire;
use crate::error::{Error, Result};

/// What [`Observer::validate`](super::Observer::validate) has found, and where.
#[derive(Debug, thiserror::Error)]
#[error("{}{error}", of_frame(.position))]
pub struct Finding {
    /// Position of the frame, or `None` for the header.
    pub position: Option<u64>,
    /// What is wrong.
    #[source]
    pub error: Error,
}

fn of_frame(position: &Option<u64>) -> String {
    position.map_or_else(String::new, |position| format!("frame at {position}: "))
}

impl From<Finding> for Error {
    fn from(finding: Finding) -> Error {
        finding.error
    }
}

/// What a walk over the held frames has found.
struct Walk {
    first: u64,
    /// Sequence of the last frame + 1.
    next: u64,
}

impl Segment {
    /// Header first, then each held frame, then the counts of a channel that stood still meanwhile. What is evicted or taken meanwhile is
    /// not looked at any more.
    pub(super) fn validate(&self) -> std::result::Result<(), Finding> {
        let of_header = |error| Finding { position: None, error };
        self.check_header().map_err(of_header)?;
        let rests = self.is_unlocked();
        let (head, tail) = self.positions().map_err(of_header)?;
        match self.walk(tail, head)? {
            Some(walk) if rests => self.check_counts((head, tail), &walk).map_err(of_header),
            _ => Ok(()),
        }
    }

    fn is_unlocked(&self) -> bool {
        // A1: pairs with R1; the counts of the writer who freed it
        self.writer_lock().load_acquire() & !LOCK_WAITERS == LOCK_FREE
    }

    /// `None`: there is nothing, or what was looked at has gone.
    fn walk(&self, tail: u64, head: u64) -> std::result::Result<Option<Walk>, Finding> {
        let mut walk: Option<Walk> = None;
        for found in self.frames(tail, head) {
            let (at, sequence) = match found {
                Ok(place) => (place.at, Some(self.describe(&place).sequence)),
                Err(at) => (at, None),
            };
            if self.has_passed(at) {
                return Ok(None);
            }
            let of_frame = |what| Finding { position: Some(at), error: corrupt(what) };
            let sequence = sequence.ok_or_else(|| of_frame("its size is impossible"))?;
            if walk.as_ref().map_or(false, |walk| walk.next != sequence) {
                return Err(of_frame("its sequence does not follow the one before it"));
            }
            let first = walk.map_or(sequence, |walk| walk.first);
            walk = Some(Walk { first, next: sequence.wrapping_add(1) });
        }
        Ok(walk)
    }

    /// I3, and the evictions of a pubsub channel.
    fn check_counts(&self, positions: (u64, u64), walk: &Walk) -> Result<()> {
        let count = self.message_count().load_relaxed();
        let dropped = self.dropped_count().load_relaxed();
        fence_acquire(); // F5: pairs with F5 of writers; the counts before head, tail and the lock
        if self.positions()? != positions || !self.is_unlocked() {
            return Ok(());
        }
        if count != walk.next {
            return Err(corrupt("message_count is not the last sequence + 1"));
        }
        if self.geometry.pattern == PATTERN_PUBSUB && dropped != walk.first {
            return Err(corrupt("dropped_count is not the first sequence"));
        }
        Ok(())
    }
}
