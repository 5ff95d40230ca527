// SPDX-License-Identifier: MIT
//! A queue that is mapped: what producers and readers are made from, and what operators see of it.

use std::path::Path;
use std::sync::Arc;

use super::layout::*;
use super::reader::Reader;
use super::segment::{length_of, Segment};
use super::writer::Producer;
use super::{Cursor, Generation, Start};
use crate::error::Result;

/// A queue's header, as it stands there, unchecked; for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderInfo {
    /// Next free index (48 bits) and elements of the last reservation (16 bits).
    pub reserved: u64,
    /// Elements of the ring.
    pub size: u32,
    /// Bytes of an element.
    pub element_size: u32,
    /// Highest index published, in generation 1.4.
    pub last_published: u64,
    /// Magic number, in generation 1.4.
    pub header_magic: u32,
    /// Every index below is done with, as far as producers have told each other.
    pub settled: u64,
    /// State of the creation, from generation 1.3 on.
    pub init_state: u32,
}

/// A slot, as it stands there, unchecked; for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotInfo {
    /// Index of the item that is published here, or a mark: where to go on; all ones = never.
    pub data_index: u64,
    /// Elements of the item.
    pub size: u32,
}

/// What a queue is, and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueInfo {
    /// Which releases of the source system understand it.
    pub generation: Generation,
    /// Elements of the ring.
    pub size: u32,
    /// Bytes of an element.
    pub element_size: u32,
    /// Bytes that the format uses of the segment.
    pub length: u64,
    /// Index that is reserved next.
    pub next_index: u64,
    /// Every index below is done with, as far as producers have told each other.
    pub settled: u64,
}

/// A queue that is mapped. Cheap to clone; the mapping goes with the last clone and what was made from it. The segment stays.
#[derive(Clone, Debug)]
pub struct Queue {
    pub(super) segment: Arc<Segment>,
}

impl Queue {
    pub(super) fn new(segment: Segment) -> Queue {
        Queue { segment: Arc::new(segment) }
    }

    /// Begin to produce.
    ///
    /// # Errors
    /// [`Error::Permission`](crate::Error::Permission) for a queue that was opened read-only.
    pub fn producer(&self) -> Result<Producer> {
        self.segment.check_writable()?;
        Ok(Producer::new(Arc::clone(&self.segment)))
    }

    /// Begin to read, with a cursor of one's own.
    #[must_use]
    pub fn reader(&self, start: Start) -> Reader {
        Reader::new(Arc::clone(&self.segment), self.segment.place_of(start))
    }

    /// Begin to read by a shared cursor: each item goes to one of those who use it [slick.share.once].
    #[must_use]
    pub fn consumer(&self, cursor: &Cursor) -> Reader {
        Reader::sharing(Arc::clone(&self.segment), cursor.clone())
    }

    /// The name that other programs, in other languages too, open: with the leading slash, or the path [slick.segment.name].
    /// Empty for a queue without a name.
    #[must_use]
    pub fn shm_name(&self) -> &Path {
        self.segment.name()
    }

    /// What the queue is, and how far.
    #[must_use]
    pub fn info(&self) -> QueueInfo {
        let segment = &self.segment;
        QueueInfo {
            generation: segment.generation,
            size: segment.size as u32,
            element_size: segment.element_size,
            length: length_of(segment.size, segment.element_size),
            next_index: segment.next_index(),
            settled: segment.settled().load_acquire(), // A1: pairs with R1
        }
    }

    /// The header as it stands there.
    #[must_use]
    pub fn header(&self) -> HeaderInfo {
        let header = self.segment.header.area();
        HeaderInfo {
            init_state: header.u32(HEADER_INIT_STATE_OFFSET).load_acquire(), // A0: pairs with R0
            reserved: self.segment.reserved().load_relaxed(),
            size: header.u32(HEADER_SIZE_OFFSET).load_acquire(), // A0: likewise
            element_size: header.u32(HEADER_ELEMENT_SIZE_OFFSET).load_relaxed(),
            last_published: self.segment.last_published().load_acquire(), // A3: pairs with R3
            header_magic: header.u32(HEADER_HEADER_MAGIC_OFFSET).load_relaxed(),
            settled: self.segment.settled().load_acquire(), // A1: pairs with R1
        }
    }

    /// Slot `slot` as it stands there; `None` from size on.
    #[must_use]
    pub fn slot(&self, slot: u32) -> Option<SlotInfo> {
        let index = u64::from(slot);
        (index < self.segment.size).then(|| SlotInfo {
            data_index: self.segment.data_index(index).load_acquire(), // A2: pairs with R2
            size: self.segment.slot_size(index).load_relaxed(),
        })
    }
}
