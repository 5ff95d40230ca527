// SPDX-License-Identifier: MIT
//! Profile `slick`: a lossy ring in shared memory. Any number of producers write items of one or more elements of one size, any
//! number of readers, in any number of processes, follow; nobody waits for a reader, the oldest items are overwritten, and a
//! reader learns how much it has lost. Readers that share a cursor share the items: each goes to one of them. The specification
//! is `spec/slick.md`; rule ids in brackets are its.
//!
//! ```
//! use shmwire::slick::{CreateOptions, OpenOptions, Start};
//! use std::time::Duration;
//!
//! # let name = format!("/shmw-doc-slick-{}", std::process::id());
//! let queue = CreateOptions::new().size(64).element_size(8).create(&name)?;
//! let mut producer = queue.producer()?;
//! producer.write(&7_u64.to_le_bytes())?.done().expect("indices are not used up");
//!
//! let mut reader = OpenOptions::new().read_only(true).open(&name)?.reader(Start::Oldest);
//! let mut buffer = [0; 64];
//! let item = reader.wait_next(&mut buffer, Duration::from_secs(1))?.done().expect("it has been written");
//! assert_eq!((item.payload(&buffer), item.index, item.lost), (&[7, 0, 0, 0, 0, 0, 0, 0][..], 0, 0));
//! # shmwire::unlink(&name)?;
//! # Ok::<(), shmwire::Error>(())
//! ```
//!
//! # Threads, processes, forks
//!
//! A [`Queue`] and a [`Cursor`] are for any number of threads at once, and cheap to clone. A [`Producer`] and a [`Reader`] serve
//! one thread at a time: take one for each thread from the queue, they cost a few words and no mapping. After a fork parent and
//! child have copies of their own; a [`Claim`] that was open belongs to the parent. No call allocates for an item, unless it
//! answers with a `Vec`.

mod batch;
mod claim;
mod cursor;
// Generated: holds every number of the profile, used here or not.
#[allow(dead_code)]
mod layout;
mod look;
mod options;
mod queue;
mod reader;
mod recover;
mod segment;
mod settle;
mod validate;
mod view;
mod writer;

pub use crate::bytes::CursorMemory;
pub use claim::Claim;
pub use cursor::Cursor;
pub use layout::{
    DEFAULT_MODE, DEFAULT_READY_TIMEOUT_NS, DEFAULT_SIZE, DEFAULT_STALL_NS, MAX_ELEMENTS, MAX_SIZE, PORTABLE_NAME_MAX,
};
pub use options::{CreateOptions, OpenOptions};
pub use queue::{HeaderInfo, Queue, QueueInfo, SlotInfo};
pub use reader::{Items, Reader, ReaderInfo};
pub use validate::Finding;
pub use view::{KeptView, View};
pub use writer::{Producer, ProducerInfo};

/// Which releases of the source system understand a segment [slick.segment.generation].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Generation {
    /// 1.2: published by its size.
    V1_2,
    /// 1.3: with `init_state`.
    V1_3,
    /// 1.4: with `last_published` too.
    #[default]
    V1_4,
}

impl Generation {
    /// The number, such as `"1.4"`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Generation::V1_2 => "1.2",
            Generation::V1_3 => "1.3",
            Generation::V1_4 => "1.4",
        }
    }
}

/// Where a reader, or a shared cursor, begins [slick.read.start].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the oldest item that is whole.
    #[default]
    Oldest,
    /// Behind the last reservation.
    Latest,
    /// At an index.
    Index(u64),
}

/// An item that was read. Its payload is in the buffer that the call was given, or in the view that it belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// Index of its first element, from 0, in the order of reservation.
    pub index: u64,
    /// Indices that were overwritten unread between the item that was delivered before and this one.
    pub lost: u64,
    /// Elements.
    pub elements: u32,
    /// Bytes of payload: elements x element_size.
    pub length: usize,
    /// Where the payload begins in the buffer: 0 but in batches.
    pub offset: usize,
}

impl Item {
    /// The payload, in the buffer that the item was read into.
    ///
    /// # Panics
    /// If the buffer is shorter than the one that was used.
    #[must_use]
    pub fn payload<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        &buffer[self.offset..self.offset + self.length]
    }
}
