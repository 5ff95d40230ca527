// SPDX-License-Identifier: MIT
//! Profile `ouroboros`: a log in shared memory. One writer appends entries and never waits; any number of readers, in any number
//! of processes, follow it and write nothing; the oldest entries are overwritten when the ring is full, and a reader that was
//! overtaken learns how many it has missed. The specification is `spec/ouroboros.md`; rule ids in brackets are its.
//!
//! ```
//! use shmwire::ouroboros::{CreateOptions, OpenOptions};
//! use std::time::Duration;
//!
//! # let name = format!("/shmw-doc-log-{}", std::process::id());
//! let mut log = CreateOptions::new().chunk_count(4).chunk_target_size(64 << 10).create(&name)?;
//! log.write(b"hello")?;
//!
//! let mut reader = OpenOptions::new().open(&name)?;
//! let mut buffer = vec![0; 4096];
//! let entry = reader.wait_next(&mut buffer, Duration::from_secs(1))?.done().expect("it has been written");
//! assert_eq!((entry.payload(&buffer), entry.sequence, entry.skipped), (&b"hello"[..], 1, 0));
//! # shmwire::unlink(&name)?;
//! # Ok::<(), shmwire::Error>(())
//! ```
//!
//! A [`Writer`] and a [`Reader`] are `Send` and `Sync`, and each serves one thread at a time; readers cost a mapping each. No
//! call allocates for an entry.

// Generated: holds every number of the profile, used here or not.
#[allow(dead_code)]
mod layout;
mod options;
mod reader;
mod resume;
mod segment;
mod validate;
mod view;
mod writer;

pub use layout::{DEFAULT_CHUNK_COUNT, DEFAULT_CHUNK_TARGET, DEFAULT_MODE};
pub use options::{CreateOptions, OpenOptions, ResumeOptions};
pub use reader::{Reader, ReaderInfo};
pub use segment::{HeaderInfo, RowInfo};
pub use validate::Finding;
pub use view::{KeptView, View};
pub use writer::{Writer, WriterInfo};

/// Where a reader begins [ouroboros.read.start].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the first entry ever written if it is still there, else as `Latest`.
    #[default]
    Auto,
    /// At the first entry of the newest chunk.
    Latest,
    /// At the first entry of the oldest chunk that is whole.
    Oldest,
}

/// An entry that was read. Its payload is in the buffer that the call was given, or in the view that it belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// From 1, in the order of writing.
    pub sequence: u64,
    /// Sequences between the entry that this reader delivered before and this one: overwritten unread.
    pub skipped: u64,
    /// Token of the entry's chunk: the number of entries written before its first.
    pub token: u64,
    /// Index of the entry's chunk.
    pub chunk: u32,
    /// Bytes of payload.
    pub length: usize,
    /// Where the payload begins in the buffer: 0 but in batches.
    pub offset: usize,
}

impl Entry {
    /// The payload, in the buffer that the entry was read into.
    ///
    /// # Panics
    /// If the buffer is shorter than the one that was used.
    #[must_use]
    pub fn payload<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        &buffer[self.offset..self.offset + self.length]
    }
}
