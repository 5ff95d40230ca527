// SPDX-License-Identifier: MIT
//! How to open a writer or a reader.

use super::layout::*;
use crate::error::{Error, Result};
use crate::options::{ready_timeout, setters};
use crate::wait::{Deadline, Wait};
use std::time::Duration;

/// What a writer does about a feed that is there, or is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Making {
    /// Use it as its entry says, or make it [deepwater.feed.existing].
    #[default]
    OpenOrCreate,
    /// Make it, or [`Error::Exists`](crate::Error::Exists).
    CreateOnly,
    /// Use it, or [`Error::NotFound`](crate::Error::NotFound).
    OpenOnly,
}

/// Where a reader begins, or goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// The first record that is left.
    #[default]
    Oldest,
    /// Behind the last one.
    Latest,
    /// The first record with this timestamp or a later one, in nanoseconds [deepwater.read.seek-time].
    Time(u64),
    /// The record of this sequence, or behind the last one if it is not there yet [deepwater.read.seek-sequence].
    Sequence(u64),
}

/// What is otherwise asked of the system: for tests and replays. 0 = as always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// For writer_pid.
    pub pid: u32,
    /// For a feed's created_ns.
    pub clock_ns: u64,
    /// For heartbeat_ns.
    pub boot_ns: u64,
}

/// How a feed is made; of one that is there already only `mode`, `making` and `identity` count.
///
/// ```
/// use shmwire::deepwater::{Making, Options};
/// let ticks = Options::new().persist(true).record_size(24).chunk_size(24 * 4096).rotate_ns(60_000_000_000);
/// let existing = Options::new().making(Making::OpenOnly);
/// # let _ = (ticks, existing);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub(super) persist: bool,
    pub(super) chunk_size: u64,
    pub(super) live_window: u32,
    pub(super) record_size: u32,
    pub(super) rotate_ns: u64,
    pub(super) rows: u32,
    pub(super) feeds: u32,
    pub(super) mode: u32,
    pub(super) making: Making,
    pub(super) identity: Identity,
}

setters! { Options {
    /// Copy each chunk to files when it is complete. Otherwise what leaves the live window is gone.
    persist: bool,
    /// Bytes of records in a chunk: a multiple of 8 from [`MIN_CHUNK`] to 2^40.
    chunk_size: u64,
    /// Chunks kept in shared memory while a writer lives, the one being written included; at least 1.
    live_window: u32,
    /// Bytes of each record, at most `chunk_size`; 0 = they vary.
    record_size: u32,
    /// Age at which a chunk is rotated, nanoseconds of its records' timestamps; 0 = by size only.
    rotate_ns: u64,
    /// Chunks that the feed can ever have, 1 to 2^24.
    rows: u32,
    /// Feeds that the base can ever have, if it is made, 1 to 2^20.
    feeds: u32,
    /// Permission bits of files and segments, before the umask; directories get search permission in addition.
    mode: u32,
    /// What to do about a feed that is there, or is not.
    making: Making,
    /// Numbers to use instead of those of the system.
    identity: Identity,
}}

impl Options {
    /// Not persisted, chunks of 4 MiB, 4 of them in shared memory, records of any size, rotation by size only, mode 0600, to open
    /// or create.
    #[must_use]
    pub const fn new() -> Options {
        Options {
            persist: false,
            chunk_size: DEFAULT_CHUNK,
            live_window: DEFAULT_WINDOW,
            record_size: 0,
            rotate_ns: 0,
            rows: DEFAULT_ROWS,
            feeds: DEFAULT_FEEDS,
            mode: DEFAULT_MODE,
            making: Making::OpenOrCreate,
            identity: Identity { pid: 0, clock_ns: 0, boot_ns: 0 },
        }
    }

    /// [deepwater.feed.argument]
    pub(super) fn check(&self) -> Result<()> {
        let fails = [
            (!is_chunk_size(self.chunk_size), "chunk_size is not a multiple of 8 from 4096 to 2^40"),
            (self.live_window == 0, "live_window is 0"),
            (u64::from(self.record_size) > self.chunk_size, "record_size is above chunk_size"),
            (self.rows == 0 || self.rows > MAX_ROWS, "rows is not from 1 to 2^24"),
            (self.feeds == 0 || self.feeds > MAX_FEEDS, "feeds is not from 1 to 2^20"),
            (self.mode > 0o777, "the mode has other bits than those of permissions"),
        ];
        match fails.iter().find(|(fails, _)| *fails) {
            Some((_, what)) => Err(Error::InvalidArgument(what)),
            None => Ok(()),
        }
    }
}

/// Whether a chunk may have so many bytes of records.
pub(super) fn is_chunk_size(size: u64) -> bool {
    (MIN_CHUNK..=MAX_CHUNK).contains(&size) && size % RECORD_ALIGN == 0
}

/// How to open a reader.
///
/// ```
/// use shmwire::deepwater::{ReaderOptions, Start};
/// use std::time::Duration;
/// let options = ReaderOptions::new().start(Start::Latest).end_with_writer(true).ready_timeout(Duration::from_secs(5));
/// # let _ = options;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ReaderOptions {
    pub(super) start: Start,
    pub(super) end_with_writer: bool,
    pub(super) read_only: bool,
    pub(super) ready: Wait,
}

setters! { ReaderOptions {
    /// Where to begin.
    start: Start,
    /// Answer [`Answer::Closed`](crate::Answer::Closed) at the end when no writer lives [deepwater.read.end]. Otherwise only a
    /// feed that is retired has an end.
    end_with_writer: bool,
    /// Map nothing that can be written. Waiting then looks every millisecond, since nobody wakes those who are not counted.
    read_only: bool,
}}

ready_timeout!(ReaderOptions);

impl ReaderOptions {
    /// From the oldest record on, without an end, not waiting for a feed that is not there.
    #[must_use]
    pub const fn new() -> ReaderOptions {
        ReaderOptions { start: Start::Oldest, end_with_writer: false, read_only: false, ready: Wait::at_most(Duration::ZERO) }
    }

    pub(super) fn deadline(&self) -> Deadline {
        self.ready.deadline()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_checked() {
        Options::new().check().expect("the defaults");
        Options::new().chunk_size(MIN_CHUNK).record_size(4096).check().expect("as large as the chunk");
        for bad in [
            Options::new().chunk_size(MIN_CHUNK - 8),
            Options::new().chunk_size(MIN_CHUNK + 4),
            Options::new().chunk_size(MAX_CHUNK + 8),
            Options::new().chunk_size(0),
            Options::new().live_window(0),
            Options::new().chunk_size(MIN_CHUNK).record_size(4097),
            Options::new().rows(0),
            Options::new().rows(MAX_ROWS + 1),
            Options::new().feeds(MAX_FEEDS + 1),
            Options::new().mode(0o1600),
        ] {
            assert_eq!(bad.check().expect_err("refused").code().name(), "INVALID_ARGUMENT", "{bad:?}");
        }
    }
}
