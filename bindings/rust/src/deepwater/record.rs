// SPDX-License-Identifier: MIT
//! Records, as they are appended and as they are read.

use super::reader::Reader;
use super::segment::{Chunk, Entry};
use crate::error::{Error, Result};

/// A record to append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part<'a> {
    /// Nanoseconds, of whatever clock the feed keeps; never below that of the record before.
    pub timestamp_ns: u64,
    /// The application's.
    pub kind: u32,
    /// The bytes.
    pub data: &'a [u8],
}

/// A record where it lies, lent by its reader until the next call on that.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// 0, 1, 2 … over all chunks of the feed.
    pub sequence: u64,
    /// Nanoseconds, of whatever clock the feed keeps.
    pub timestamp_ns: u64,
    /// The chunk that it is in.
    pub chunk_id: u64,
    /// The application's.
    pub kind: u32,
    chunk: &'a Chunk,
    entry: Entry,
}

impl<'a> Record<'a> {
    #[inline]
    pub(super) fn new(chunk: &'a Chunk, entry: Entry) -> Record<'a> {
        let Entry { sequence, timestamp_ns, kind, .. } = entry;
        Record { sequence, timestamp_ns, chunk_id: chunk.id, kind, chunk, entry }
    }

    /// Its bytes, where they lie: in shared memory or in a mapped file. A writer stores them once, before the record can be read,
    /// and never again while a reader holds the chunk. Who may write to the memory and keeps to no rule can change them all the same, as with every mapped file;
    /// [`Record::copy_to`] is for those who read feeds of writers that they do not trust.
    #[must_use]
    #[inline]
    pub fn data(&self) -> &'a [u8] {
        self.chunk.payload(&self.entry)
    }

    /// Bytes of the record.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.entry.length as usize
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entry.length == 0
    }

    /// Copy its bytes to the front of a buffer, in one look; answers how many they are.
    ///
    /// # Errors
    /// [`Error::TooSmall`].
    pub fn copy_to(&self, buffer: &mut [u8]) -> Result<usize> {
        let needed = self.entry.length.into();
        let to = buffer.get_mut(..self.len()).ok_or(Error::TooSmall { needed })?;
        self.chunk.copy_payload(&self.entry, to);
        Ok(to.len())
    }
}

impl std::fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record")
            .field("sequence", &self.sequence)
            .field("timestamp_ns", &self.timestamp_ns)
            .field("chunk_id", &self.chunk_id)
            .field("kind", &self.kind)
            .field("length", &self.len())
            .finish()
    }
}

/// Records of one chunk, side by side, lent by their reader until the next call on that.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    chunk: &'a Chunk,
    entries: std::slice::Iter<'a, Entry>,
}

impl<'a> Records<'a> {
    pub(super) fn new(chunk: &'a Chunk, entries: &'a [Entry]) -> Records<'a> {
        Records { chunk, entries: entries.iter() }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    #[inline]
    fn next(&mut self) -> Option<Record<'a>> {
        self.entries.next().map(|&entry| Record::new(self.chunk, entry))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.entries.size_hint()
    }
}

impl ExactSizeIterator for Records<'_> {}

/// The records of a time, one after the other [deepwater.read.range].
#[derive(Debug)]
pub struct Range<'a> {
    reader: &'a mut Reader,
    from: u64,
    to: u64,
}

impl<'a> Range<'a> {
    pub(super) fn new(reader: &'a mut Reader, from: u64, to: u64) -> Range<'a> {
        Range { reader, from, to }
    }

    /// The next record, lent until the next call; `None` behind the last one that is there now. The first record behind the
    /// range, if there is one, is what the reader comes to next.
    ///
    /// # Errors
    /// As [`Reader::next`](super::Reader::next); [`Error::NotReady`](crate::Error::NotReady) at a row that a writer died over
    /// [deepwater.read.odd].
    #[allow(clippy::should_implement_trait)] // what an iterator gives may be kept, and this may not
    pub fn next(&mut self) -> Result<Option<Record<'_>>> {
        while self.reader.come_to_record()? {
            let timestamp_ns = self.reader.peek()?;
            if timestamp_ns > self.to {
                return Ok(None);
            }
            if timestamp_ns >= self.from {
                return self.reader.take().map(Some);
            }
            self.reader.take()?; // appended since the start was chosen
        }
        Ok(None)
    }
}
