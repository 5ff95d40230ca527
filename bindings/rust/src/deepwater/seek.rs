// SPDX-License-Identifier: MIT
//! Choosing where a reader begins, and the questions that are answered without reading (section 6 of the specification).

use super::feed::Row;
use super::info::{ChunkInfo, Cursor, Feed, LatestChunk};
use super::layout::*;
use super::place::Place;
use super::reader::{attach, Reader};
use super::record::Range;
use super::segment::Chunk;
use super::{corrupt, Start};
use crate::error::{Error, Result};

/// How many of the first `rows` rows are on this side of something, of an order that never falls and is not under the stamp.
fn count_rows(place: &Place, rows: u64, is_before: impl Fn(&Row) -> bool) -> Result<u64> {
    let (mut low, mut high) = (0, rows);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(&place.feed.key_of(middle)?) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// The first of a chunk's records with that time or a later one; `count` if there is none.
fn first_at(chunk: &Chunk, count: u64, time: u64) -> u64 {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if chunk.timestamp(middle) < time {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

impl Reader {
    /// Go elsewhere. Nothing counts as lost by that, but a sequence that is gone is
    /// [`Error::Expired`](crate::Error::Expired) at the next call.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) and its like for rows or chunks that no writer leaves;
    /// [`Error::NotReady`](crate::Error::NotReady) when a writer died over the row that says where [deepwater.read.odd]; the reader
    /// stays.
    pub fn seek(&mut self, start: Start) -> Result<()> {
        match start {
            Start::Oldest => self.seek_oldest(),
            Start::Latest => self.seek_sequence(NONE),
            Start::Time(time) => self.seek_time(time),
            Start::Sequence(sequence) => self.seek_sequence(sequence),
        }
    }

    fn seek_oldest(&mut self) -> Result<()> {
        self.seek_left(0)
    }

    /// Go to the first row from `id` on that is not expired, or behind all of them. Expired rows come first, but for what a power
    /// failure took.
    fn seek_left(&mut self, mut id: u64) -> Result<()> {
        loop {
            let written = self.place.feed.next_sequence(); // before the rows: what it covers is in those that are loaded after it
            let rows = self.place.feed.rows()?;
            id = id.max(self.place.expired_below(rows));
            while id < rows {
                let row = self.place.feed.row(id)?;
                if row.state != STATE_EXPIRED {
                    self.go_to(id, row.first_sequence);
                    return Ok(());
                }
                id += 1;
            }
            if self.place.feed.rows()? <= rows {
                self.go_to(rows, written); // nothing is left
                return Ok(());
            }
        }
    }

    /// [deepwater.read.seek-sequence]
    fn seek_sequence(&mut self, sequence: u64) -> Result<()> {
        let mut behind = self.place.feed.next_sequence();
        if sequence > behind {
            behind = self.end_of_feed()?;
        }
        let rows = self.place.feed.rows()?;
        let sequence = sequence.min(behind);
        let count = count_rows(&self.place, rows, |row| row.first_sequence <= sequence)?;
        self.go_to(count.saturating_sub(1), sequence);
        Ok(())
    }

    /// The sequence behind the last record that a reader can have seen: entry_count is ahead of last_sequence for a moment, or
    /// for longer if the writer died then.
    fn end_of_feed(&self) -> Result<u64> {
        let written = self.place.feed.next_sequence();
        let last = match self.place.feed.rows()?.checked_sub(1) {
            Some(last) => last,
            None => return Ok(written),
        };
        let row = self.place.feed.row(last)?;
        let end = match attach(&self.place, last) {
            Ok(Some((row, chunk))) => row.first_sequence.saturating_add(chunk.count()?), // A4
            Err(Error::NotReady) => return Err(Error::NotReady),
            _ => row.end_sequence(), // what is wrong with the chunk is told by whoever reads it
        };
        Ok(written.max(end))
    }

    /// [deepwater.read.seek-time]: in the last row that begins before that time, or behind it.
    fn seek_time(&mut self, time: u64) -> Result<()> {
        let rows = self.place.feed.rows()?;
        let before = count_rows(&self.place, rows, |row| row.start_ns < time)?;
        let last = match before.checked_sub(1) {
            Some(last) => last,
            None => return self.seek_oldest(),
        };
        match attach(&self.place, last)? {
            None => self.seek_left(before),
            Some((row, chunk)) => {
                let count = chunk.count()?; // A4
                self.go_to(last, row.first_sequence.saturating_add(first_at(&chunk, count, time)));
                Ok(())
            }
        }
    }

    /// The records with timestamps from `from` to `to`, both included, in nanoseconds [deepwater.read.range]: the reader goes to
    /// the first of them, and on with each.
    ///
    /// # Errors
    /// As [`Reader::seek`].
    pub fn range(&mut self, from: u64, to: u64) -> Result<Range<'_>> {
        self.seek_time(from)?;
        Ok(Range::new(self, from, to))
    }

    /// The place behind the last record that was read.
    #[must_use]
    pub fn save(&self) -> Cursor {
        Cursor { chunk_id: self.row, sequence: self.next }
    }

    /// Come back to a place, of this or another reader of the feed [deepwater.read.cursor]. The chunk is a hint, the sequence
    /// counts.
    ///
    /// # Errors
    /// As [`Reader::seek`].
    pub fn restore(&mut self, cursor: Cursor) -> Result<()> {
        let Cursor { chunk_id, sequence } = cursor;
        if chunk_id < self.place.feed.rows()? {
            match self.place.feed.row(chunk_id) {
                Ok(row) if row.state >= STATE_SEALED && (row.first_sequence..row.end_sequence()).contains(&sequence) => {
                    self.go_to(chunk_id, sequence);
                    return Ok(());
                }
                Ok(_) | Err(Error::NotReady) => {} // an odd row may hold it: the search comes to it by its first sequence
                Err(error) => return Err(error),
            }
        }
        self.seek_sequence(sequence)
    }

    /// The chunk that is being written [deepwater.read.latest-chunk].
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none; [`Error::NotReady`] as for [`Reader::chunk`]; [`Error::Corrupt`].
    pub fn latest_chunk(&self) -> Result<LatestChunk> {
        let id = self.place.feed.latest(); // A3
        if id == NONE {
            return Err(Error::NotFound);
        }
        if id >= self.place.feed.rows()? {
            return Err(corrupt("latest is no row"));
        }
        let chunk = self.chunk(id)?;
        let (data_name, index_name) = (self.place.memory_name(id, "data"), self.place.memory_name(id, "idx"));
        Ok(LatestChunk { chunk, data_name, index_name })
    }

    /// Whether a record of that time or later has been written, in nanoseconds [deepwater.read.has-data].
    #[must_use]
    pub fn has_data_since(&self, timestamp_ns: u64) -> bool {
        let any = self.place.feed.next_sequence() != 0; // stored behind the timestamp
        any && self.place.feed.u64(FEED_REGISTRY_LAST_TIMESTAMP_NS_OFFSET).load_relaxed() >= timestamp_ns
    }

    /// The feed, as its entry and its registry have it.
    #[must_use]
    pub fn feed(&self) -> Feed {
        self.place.describe()
    }

    /// A chunk by its number.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none of that number yet; [`Error::NotReady`] when a writer died while it changed the row
    /// [deepwater.read.odd]; [`Error::Corrupt`].
    pub fn chunk(&self, chunk_id: u64) -> Result<ChunkInfo> {
        if chunk_id >= self.place.feed.rows()? {
            return Err(Error::NotFound);
        }
        let row = self.place.feed.row(chunk_id)?;
        let mut info = ChunkInfo {
            chunk_id: row.id,
            state: row.state,
            first_sequence: row.first_sequence,
            record_count: row.record_count,
            start_ns: row.start_ns,
            end_ns: row.end_ns,
            data_bytes: row.data_bytes,
            data_capacity: row.data_capacity,
            data_crc: row.data_crc,
            index_crc: row.index_crc,
        };
        if row.state == STATE_LIVE {
            self.tell_live(&mut info);
        }
        Ok(info)
    }

    /// What the index of a live chunk says, if it can be reached.
    fn tell_live(&self, info: &mut ChunkInfo) {
        if let Ok(chunk) = Chunk::in_memory(&self.place, info.chunk_id, false) {
            if let Ok(count @ 1..) = chunk.count() {
                info.record_count = count;
                info.end_ns = chunk.timestamp(count - 1);
                info.data_bytes = chunk.write_pos();
            }
        }
    }
}
