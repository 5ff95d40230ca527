// SPDX-License-Identifier: MIT
//! Becoming a log's writer, and writing (section 4 of the specification). The writer keeps its state in its handle: a write
//! touches the entry, the header behind it, and once a chunk a row.

use super::layout::*;
use super::resume::{find_end, rows_ascend};
use super::segment::{after, Segment};
use crate::atomic::fence_release;
use crate::error::{Error, Result};
use crate::map::Map;

/// No row, no limit: beyond every offset.
const NOWHERE: u64 = u64::MAX;

/// What a writer knows of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterInfo {
    /// Bytes of the segment.
    pub size: u64,
    /// Bytes after which the next chunk begins.
    pub chunk_target_size: u64,
    /// Chunks of the ring.
    pub chunk_count: u32,
    /// Largest payload, bytes.
    pub max_payload: u64,
    /// Entries written since the log was made, by all its writers.
    pub entries_written: u64,
}

/// The one writer of a log. Dropping it gives the log up; the segment stays, and [`ResumeOptions`](super::ResumeOptions) goes on.
///
/// A child forked while it is there is no writer: its writes are [`Error::Busy`].
#[derive(Debug)]
pub struct Writer {
    pub(super) segment: Segment,
    /// Where the next entry goes; at most 3 past the end. The size itself after a lap that ended: the next entry wraps.
    cursor: u64,
    /// Written since the segment was made.
    entries: u64,
    /// The next chunk begins with the first entry at or after this offset; NOWHERE in the last chunk.
    limit: u64,
    /// Least offset of a row above the current chunk; NOWHERE when there is none.
    guard: u64,
    /// The row of guard; chunk_count when there is none.
    guard_row: u32,
    chunk: u32,
    /// Whether the current chunk's row is committed.
    committed: bool,
    /// Whether offsets of rows ascend, as all writers leave them; a segment that was taken over may differ.
    ordered: bool,
    max_payload: u64,
    chunk_target_size: u64,
    /// The process that holds the lock.
    owner: u32,
}

impl Writer {
    fn new(segment: Segment, chunk_target_size: u64) -> Writer {
        Writer {
            cursor: segment.data_offset,
            entries: 0,
            limit: NOWHERE,
            guard: NOWHERE,
            guard_row: segment.chunk_count,
            chunk: 0,
            committed: false,
            ordered: true,
            max_payload: segment.max_payload(),
            chunk_target_size,
            owner: segment.bytes.map().pid(),
            segment,
        }
    }

    /// Fill in the header of a new segment, whose bytes are zero, and show it [ouroboros.segment.init].
    pub(super) fn publish(map: Map, chunk_count: u32, chunk_target_size: u64) -> Result<Writer> {
        map.claim(true)?; // free: nobody asks for the lock before the magic is there
        map.prefault(0, map.len());
        let mut writer = Writer::new(Segment::new(map, chunk_count), chunk_target_size);
        let start = writer.cursor;
        writer.settle(start);
        let bytes = &writer.segment.bytes;
        bytes.u32(HEADER_VERSION_OFFSET).store_relaxed(VERSION);
        bytes.u32(HEADER_CHUNK_COUNT_OFFSET).store_relaxed(chunk_count);
        writer.commit_row(start);
        // R0: pairs with A0; version, chunk count and row 0 before the magic
        writer.segment.bytes.u64(HEADER_MAGIC_OFFSET).store_release(MAGIC);
        Ok(writer)
    }

    /// Become the writer of a segment that has none. A target of 0 is what the size formula gives.
    pub(super) fn take_over(segment: Segment, chunk_target_size: u64) -> Result<Writer> {
        let map = segment.bytes.map();
        map.claim(false)?; // [ouroboros.segment.one-writer]
        map.reserve(0, map.len())?;
        let end = find_end(&segment)?; // the lock goes with the mapping if this fails
        map.prefault(0, map.len());
        let by_formula = ((segment.size() - segment.data_offset) / u64::from(segment.chunk_count)).max(1);
        let target = if chunk_target_size == 0 { by_formula } else { chunk_target_size };
        let mut writer = Writer::new(segment, target);
        writer.chunk = end.chunk;
        writer.entries = end.entries;
        writer.committed = end.committed;
        // After the wrap the mark is there already: the next entry begins chunk 0.
        writer.cursor = if end.lap_ended { writer.segment.size() } else { end.cursor };
        writer.ordered = rows_ascend(&writer.segment);
        writer.settle(end.offset);
        if end.committed && !writer.segment.load_row(end.chunk).committed {
            writer.commit_row(end.offset); // its first entry is there: a caught-up reader may have had it already
        }
        Ok(writer)
    }

    /// Derive what follows from the segment and the current chunk, which begins at `offset`.
    fn settle(&mut self, offset: u64) {
        self.limit = self.limit_of_chunk(offset);
        self.find_guard(self.chunk + 1);
    }

    fn limit_of_chunk(&self, offset: u64) -> u64 {
        if self.chunk + 1 == self.segment.chunk_count {
            NOWHERE
        } else {
            offset.saturating_add(self.chunk_target_size)
        }
    }

    /// Append one entry of 1 to max_payload bytes; answers its sequence. Never waits, and never fails for want of room: the oldest
    /// entries go.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for 0 bytes; [`Error::TooLarge`]; [`Error::Busy`] in a forked child. Nothing has changed then.
    #[inline]
    pub fn write(&mut self, data: &[u8]) -> Result<u64> {
        if data.is_empty() {
            return Err(Error::InvalidArgument("an entry has at least one byte"));
            // [ouroboros.write.empty]
        }
        if data.len() as u64 > self.max_payload {
            // [ouroboros.write.too-large]
            return Err(Error::TooLarge { length: data.len() as u64, limit: self.max_payload });
        }
        if self.segment.bytes.map().pid() != self.owner {
            return Err(Error::Busy); // a forked child: its parent is the writer [ouroboros.segment.one-writer]
        }
        let length = ENTRY_HEADER_SIZE + data.len() as u64;
        if self.cursor + length > self.segment.size() {
            self.wrap();
        } else if self.cursor >= self.limit {
            self.begin_chunk(self.chunk + 1); // [ouroboros.write.next-chunk]
        }
        self.append(data, length);
        self.entries = self.entries.wrapping_add(1);
        Ok(self.entries)
    }

    /// The entry does not fit before the end: on in chunk 0 [ouroboros.write.wrap].
    #[cold]
    fn wrap(&mut self) {
        if self.segment.header_fits(self.cursor) {
            // R3: pairs with A3; all entries of the lap before the mark
            self.segment.header(self.cursor).store_release(LENGTH_WRAP | ENTRY_COMMITTED);
        }
        self.cursor = self.segment.data_offset;
        self.begin_chunk(0);
    }

    /// Begin a chunk at the cursor [ouroboros.write.begin]. Readers of the row's old chunk have to hear of it before any of its
    /// bytes goes.
    #[cold]
    fn begin_chunk(&mut self, chunk: u32) {
        self.segment.offset(chunk).store_release(self.cursor); // R1: pairs with A1; uncommitted before it has the new token
        self.segment.token(chunk).store_release(self.entries); // R2: pairs with A2; the new token only with the new offset
        fence_release(); // F4: pairs with F5; both before what overwrites the old lap
        self.chunk = chunk;
        self.committed = false;
        self.limit = self.limit_of_chunk(self.cursor);
        if chunk == 0 {
            self.find_guard(1);
        } else if self.guard_row == chunk || !self.ordered {
            self.find_guard(chunk + 1);
        }
    }

    /// Find the row from `first` on whose chunk begins lowest. Offsets ascend, so that is the first one that describes a chunk.
    fn find_guard(&mut self, first: u32) {
        self.guard = NOWHERE;
        self.guard_row = self.segment.chunk_count;
        let first = if self.ordered { first } else { self.chunk + 1 };
        for row in first..self.segment.chunk_count {
            // Nobody else stores here, so no order is needed.
            let offset = self.segment.offset(row).load_relaxed() & !ROW_COMMITTED;
            if offset == 0 || offset >= self.guard {
                continue;
            }
            self.guard = offset;
            self.guard_row = row;
            if self.ordered {
                return;
            }
        }
    }

    /// Clear every row above the current chunk that begins below `end` [ouroboros.write.clear].
    #[cold]
    fn clear_rows(&mut self, end: u64) {
        while self.guard < end {
            self.segment.offset(self.guard_row).store_release(0); // R1: pairs with A1
            self.segment.token(self.guard_row).store_release(0); // R2: pairs with A2
            self.find_guard(self.guard_row + 1);
        }
        fence_release(); // F4: pairs with F5; no byte of those chunks goes before readers can know
    }

    fn commit_row(&mut self, offset: u64) {
        // R1: pairs with A1; the chunk's first entry before its row [ouroboros.write.commit-row]
        self.segment.offset(self.chunk).store_release(offset | ROW_COMMITTED);
        self.committed = true;
    }

    /// Steps 4 to 10: an entry of `length` bytes, header included, at the cursor, where it fits.
    #[inline]
    fn append(&mut self, data: &[u8], length: u64) {
        let cursor = self.cursor;
        let next = after(cursor, length);
        let header_fits = self.segment.header_fits(next);
        let end = if header_fits { next + ENTRY_HEADER_SIZE } else { next };
        if self.guard < end {
            self.clear_rows(end);
        }
        let header = self.segment.header(cursor);
        let word = length as u32; // at most MAX_LENGTH: max_payload is below it by a header
        header.store_release(word); // not committed: what follows is not to be read yet
        self.segment.bytes.copy_in_racing(cursor + ENTRY_HEADER_SIZE, data);
        if header_fits {
            // Bytes of the lap before are no entry behind ours [ouroboros.write.next-header]
            self.segment.header(next).store_relaxed(LENGTH_NONE);
        }
        // R3: pairs with A3; payload and next header before the header [ouroboros.write.commit]
        header.store_release(word | ENTRY_COMMITTED);
        if !self.committed {
            self.commit_row(cursor);
        }
        self.cursor = next;
    }

    /// What the writer knows of its log.
    #[must_use]
    pub fn info(&self) -> WriterInfo {
        WriterInfo {
            size: self.segment.size(),
            chunk_target_size: self.chunk_target_size,
            chunk_count: self.segment.chunk_count,
            max_payload: self.max_payload,
            entries_written: self.entries,
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The lock goes at once, even if children forked meanwhile have the descriptor; but a child's drop is no reason to take it
        // from its parent.
        if self.segment.bytes.map().pid() == self.owner {
            self.segment.bytes.map().unclaim();
        }
    }
}
