// SPDX-License-Identifier: MIT
//! Chunks, in shared memory and in files (section 1.3 of the specification).

use std::path::Path;

use super::layout::*;
use super::place::Place;
use super::{corrupt, impossible};
use crate::bytes::Whole;
use crate::error::{Error, Result};
use crate::map::{is_alone, unlink, Map, Opening};
use crate::wait::Deadline;

const LEAST_ENTRIES: u64 = 64;
const BYTES_PER_ENTRY: u64 = 32;
/// Bytes that are fetched at a time: a multiple of the page size, and what a reader's page fault maps at once.
const READY_STEP: u64 = 1 << 16;

/// A record, as its entry in the index says; checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) sequence: u64,
    pub(super) timestamp_ns: u64,
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) kind: u32,
}

/// A chunk, mapped from shared memory or from its files. What its headers say was loaded and checked once.
#[derive(Debug)]
pub(super) struct Chunk {
    data: Whole,
    index: Whole,
    pub(super) id: u64,
    pub(super) data_capacity: u64,
    pub(super) index_capacity: u64,
    /// Of a writer: bytes of the segments, from their beginnings, that cost no page fault any more.
    data_ready: u64,
    index_ready: u64,
}

/// A file name of a chunk.
pub(super) fn file_name(id: u64, suffix: &str) -> String {
    format!("chunk_{id:08}.{suffix}")
}

/// Records that there is room for in the index of a chunk in shared memory.
fn entries_for(chunk_size: u64, record_size: u32) -> u64 {
    match record_size {
        0 => (chunk_size / BYTES_PER_ENTRY).max(LEAST_ENTRIES),
        size => chunk_size / u64::from(size),
    }
}

/// Where a record may begin that comes behind so many bytes, in a feed whose records vary.
#[inline]
pub(super) fn align_up(bytes: u64) -> u64 {
    (bytes + RECORD_ALIGN - 1) & !(RECORD_ALIGN - 1)
}

fn index_size(capacity: u64) -> u64 {
    INDEX_SIZE + RECORD_STRUCT_SIZE * capacity
}

impl Chunk {
    /// Make a chunk in shared memory, complete. A name that is taken is of a writer long dead: the feed's lock is ours.
    pub(super) fn make(place: &Place, id: u64, mode: u32, pid: u32) -> Result<Chunk> {
        let (data_capacity, index_capacity) = (place.chunk_size, entries_for(place.chunk_size, place.record_size));
        let made = make_memory(&place.memory_name(id, "data"), DATA_SIZE + data_capacity, mode)
            .and_then(|data| Ok((data, make_memory(&place.memory_name(id, "idx"), index_size(index_capacity), mode)?)));
        let (data, index) = made.map_err(|error| {
            unlink_chunk(place, id);
            error
        })?;
        let chunk = Chunk { data, index, id, data_capacity, index_capacity, data_ready: 0, index_ready: 0 };
        chunk.put_headers(pid);
        Ok(chunk)
    }

    /// The headers of a chunk that has none, magics last.
    fn put_headers(&self, pid: u32) {
        let (data, index) = (&self.data, &self.index);
        data.u32(DATA_VERSION_OFFSET).store_relaxed(VERSION);
        data.u64(DATA_CHUNK_ID_OFFSET).store_relaxed(self.id);
        data.u64(DATA_CAPACITY_OFFSET).store_relaxed(self.data_capacity);
        data.u32(DATA_WRITER_PID_OFFSET).store_relaxed(pid);
        index.u32(INDEX_VERSION_OFFSET).store_relaxed(VERSION);
        index.u32(INDEX_ENTRY_SIZE_OFFSET).store_relaxed(RECORD_SIZE);
        index.u64(INDEX_CHUNK_ID_OFFSET).store_relaxed(self.id);
        index.u64(INDEX_CAPACITY_OFFSET).store_relaxed(self.index_capacity);
        data.u64(DATA_MAGIC_OFFSET).store_release(DATA_MAGIC); // R0: pairs with A0; the header
        index.u64(INDEX_MAGIC_OFFSET).store_release(INDEX_MAGIC); // R0: the same
    }

    /// Whether nobody else has either segment open or mapped.
    pub(super) fn is_ours_alone(&self) -> bool {
        is_alone(self.data.map().file()) && is_alone(self.index.map().file())
    }

    /// Another chunk in the memory of this one, which nobody else holds [deepwater.rotate.reuse]. Records and entries stay until they
    /// are written over: nobody looks at what no count covers.
    pub(super) fn renew(self, id: u64, pid: u32) -> Chunk {
        self.data.u64(DATA_MAGIC_OFFSET).store_relaxed(0); // nobody reads it: R0 comes with the headers
        self.index.u64(INDEX_MAGIC_OFFSET).store_relaxed(0);
        (0..DATA_SIZE).step_by(8).for_each(|at| self.data.u64(at).store_relaxed(0));
        (0..INDEX_SIZE).step_by(8).for_each(|at| self.index.u64(at).store_relaxed(0));
        let chunk = Chunk { id, ..self };
        chunk.put_headers(pid);
        chunk
    }

    /// Map a chunk of shared memory. `NotFound` if it, or half of it, is not there.
    pub(super) fn in_memory(place: &Place, id: u64, writable: bool) -> Result<Chunk> {
        let open = |suffix, least| {
            let name = place.memory_name(id, suffix);
            Map::open(Path::new(&name), !writable, least, Deadline::NOW).map(Whole::new)
        };
        Chunk::checked(open("data", DATA_SIZE)?, open("idx", INDEX_SIZE)?, id)
    }

    /// Map a chunk's files. `NotFound` if one of them is not there.
    pub(super) fn in_files(place: &Place, id: u64) -> Result<Chunk> {
        let open = |suffix, needed| {
            let file = place.directory.file(&file_name(id, suffix), Opening::Read)?;
            let size = file.metadata().map_err(Error::System)?.len();
            if size < needed {
                return Err(Error::Truncated { size, needed }); // [deepwater.open.size]
            }
            Map::of_file(file, size, false).map(Whole::new)
        };
        Chunk::checked(open("data", DATA_SIZE)?, open("idx", INDEX_SIZE)?, id)
    }

    fn checked(data: Whole, index: Whole, id: u64) -> Result<Chunk> {
        let (data_capacity, index_capacity) = (check_data(&data, id)?, check_index(&index, id)?);
        let chunk = Chunk { data, index, id, data_capacity, index_capacity, data_ready: 0, index_ready: 0 };
        chunk.count()?;
        Ok(chunk)
    }

    /// Records that are committed; never more than the index has room for [deepwater.read.bounds].
    #[inline]
    pub(super) fn count(&self) -> Result<u64> {
        // A4: pairs with R4; bytes, entries and start_ns of the records below it [deepwater.read.commit]
        let count = self.index.u64(INDEX_ENTRY_COUNT_OFFSET).load_acquire();
        if count <= self.index_capacity {
            Ok(count)
        } else {
            Err(corrupt("entry_count is above the capacity of the index"))
        }
    }

    /// Whether nothing more will be appended.
    #[inline]
    pub(super) fn is_sealed(&self) -> bool {
        // A9: pairs with R9; all records, so that entry_count is final when it is loaded after this
        self.data.u32(DATA_FLAGS_OFFSET).load_acquire() & DATA_SEALED != 0
    }

    /// Timestamp of record i, which a count covers.
    #[inline]
    pub(super) fn timestamp(&self, i: u64) -> u64 {
        self.index.u64(index_size(i) + RECORD_TIMESTAMP_NS_OFFSET).load_relaxed()
    }

    /// Record i, which a count covers, of a row that begins with that sequence [deepwater.read.bounds, .sequence].
    #[inline]
    pub(super) fn entry(&self, first_sequence: u64, i: u64) -> Result<Entry> {
        let at = index_size(i);
        let entry = Entry {
            sequence: self.index.u64(at + RECORD_SEQUENCE_OFFSET).load_relaxed(),
            timestamp_ns: self.timestamp(i),
            offset: self.index.u64(at + RECORD_OFFSET_OFFSET).load_relaxed(),
            length: self.index.u32(at + RECORD_LENGTH_OFFSET).load_relaxed(),
            kind: self.index.u32(at + RECORD_TYPE_OFFSET).load_relaxed(),
        };
        if entry.sequence != first_sequence.wrapping_add(i) {
            return Err(corrupt("an entry has not the sequence of its place"));
        }
        if entry.offset > self.data_capacity || u64::from(entry.length) > self.data_capacity - entry.offset {
            return Err(corrupt("the bytes of an entry pass the capacity of the data"));
        }
        Ok(entry)
    }

    /// Have the line of a record's bytes fetched. A hint, at any offset.
    #[inline]
    pub(super) fn prefetch(&self, offset: u64) {
        self.data.prefetch(DATA_SIZE + offset);
    }

    /// The bytes of a record that [`Chunk::entry`] has checked.
    #[inline]
    pub(super) fn payload(&self, entry: &Entry) -> &[u8] {
        self.data.settled(DATA_SIZE + entry.offset, entry.length.into())
    }

    /// The same, copied without a reference to them; `to` has their length.
    pub(super) fn copy_payload(&self, entry: &Entry, to: &mut [u8]) {
        self.data.copy_settled(DATA_SIZE + entry.offset, to);
    }

    /// The first bytes of the data, and the first entries of the index, as many as were checked to be there.
    pub(super) fn bodies(&self, bytes: u64, records: u64) -> Result<(&[u8], &[u8])> {
        if bytes > self.data_capacity || records > self.index_capacity {
            return Err(corrupt("a row holds more than its chunk"));
        }
        Ok((self.data.settled(DATA_SIZE, bytes), self.index.settled(INDEX_SIZE, RECORD_STRUCT_SIZE * records)))
    }

    pub(super) fn write_pos(&self) -> u64 {
        self.data.u64(DATA_WRITE_POS_OFFSET).load_relaxed()
    }

    pub(super) fn writer_pid(&self) -> u32 {
        self.data.u32(DATA_WRITER_PID_OFFSET).load_relaxed()
    }

    /// Put a record in its place, all but what commits it: nobody looks there yet. The records before end at `used`; what is skipped
    /// may be of an earlier chunk, and becomes zeros [deepwater.append.placing].
    #[inline]
    pub(super) fn put(&mut self, i: u64, used: u64, entry: &Entry, payload: &[u8]) {
        let at = index_size(i);
        let end = DATA_SIZE + entry.offset + payload.len() as u64;
        if end > self.data_ready {
            self.data_ready = make_ready(&self.data, self.data_ready, end);
        }
        if at + RECORD_STRUCT_SIZE > self.index_ready {
            self.index_ready = make_ready(&self.index, self.index_ready, at + RECORD_STRUCT_SIZE);
        }
        if entry.offset > used {
            self.data.copy_in_unpublished(DATA_SIZE + used, &[0; RECORD_ALIGN as usize][..(entry.offset - used) as usize]);
        }
        self.data.copy_in_unpublished(DATA_SIZE + entry.offset, payload);
        self.index.u64(at + RECORD_TIMESTAMP_NS_OFFSET).store_relaxed(entry.timestamp_ns);
        self.index.u64(at + RECORD_OFFSET_OFFSET).store_relaxed(entry.offset);
        self.index.u32(at + RECORD_LENGTH_OFFSET).store_relaxed(entry.length);
        self.index.u32(at + RECORD_TYPE_OFFSET).store_relaxed(entry.kind);
        self.index.u64(at + RECORD_SEQUENCE_OFFSET).store_relaxed(entry.sequence);
    }

    /// So many records, with so many bytes, are there now [deepwater.append.commit].
    #[inline]
    pub(super) fn commit(&self, records: u64, bytes: u64) {
        self.data.u64(DATA_WRITE_POS_OFFSET).store_relaxed(bytes);
        self.index.u64(INDEX_ENTRY_COUNT_OFFSET).store_release(records); // R4: pairs with A4; bytes, entries and start_ns
    }

    /// Nothing more comes [deepwater.rotate.seal].
    pub(super) fn seal(&self, records: u64, bytes: u64) {
        self.data.u64(DATA_WRITE_POS_OFFSET).store_relaxed(bytes);
        self.data.u64(DATA_RECORD_COUNT_OFFSET).store_relaxed(records);
        self.data.u32(DATA_FLAGS_OFFSET).store_release(DATA_SEALED); // R9: pairs with A9; entry_count, which is final
    }
}

/// Remove a chunk's names of shared memory. Those who have it mapped keep it.
pub(super) fn unlink_chunk(place: &Place, id: u64) {
    for suffix in ["data", "idx"] {
        let _ = unlink(place.memory_name(id, suffix)); // mostly it is there; nothing depends on it
    }
}

fn make_memory(name: &str, size: u64, mode: u32) -> Result<Whole> {
    let make = || Map::create(Path::new(name), size, size, mode);
    let made = match make() {
        Err(Error::Exists) => unlink(name).and_then(|()| make()),
        other => other,
    };
    made.map(Whole::new)
}

/// Have the pages up to `end` mapped just before they are written, a step at a time; answers how far they are. All at once would hold
/// up the record that rotates, and fetch what a short-lived chunk or its index never fills.
#[cold]
fn make_ready(segment: &Whole, ready: u64, end: u64) -> u64 {
    let upto = ((end + READY_STEP - 1) & !(READY_STEP - 1)).min(segment.len());
    segment.map().prefault(ready, upto - ready);
    upto
}

fn check_data(data: &Whole, id: u64) -> Result<u64> {
    let found = data.u64(DATA_MAGIC_OFFSET).load_acquire(); // A0: pairs with R0; the header after it
    if found != DATA_MAGIC {
        return Err(Error::BadMagic { found }); // [deepwater.open.magic]
    }
    check_version(data.u32(DATA_VERSION_OFFSET).load_relaxed())?;
    let capacity = data.u64(DATA_CAPACITY_OFFSET).load_relaxed();
    if capacity > MAX_CHUNK {
        return Err(impossible("the capacity of a chunk's data is above 2^40")); // [deepwater.open.geometry]
    }
    check_size(data, DATA_SIZE + capacity)?;
    check_id(data.u64(DATA_CHUNK_ID_OFFSET).load_relaxed(), id)?;
    Ok(capacity)
}

fn check_index(index: &Whole, id: u64) -> Result<u64> {
    let found = index.u64(INDEX_MAGIC_OFFSET).load_acquire(); // A0: pairs with R0; the header after it
    if found != INDEX_MAGIC {
        return Err(Error::BadMagic { found });
    }
    check_version(index.u32(INDEX_VERSION_OFFSET).load_relaxed())?;
    let capacity = index.u64(INDEX_CAPACITY_OFFSET).load_relaxed();
    if index.u32(INDEX_ENTRY_SIZE_OFFSET).load_relaxed() != RECORD_SIZE || capacity > MAX_CHUNK {
        return Err(impossible("entry_size is not 32, or the capacity of a chunk's index is above 2^40"));
    }
    check_size(index, index_size(capacity))?;
    check_id(index.u64(INDEX_CHUNK_ID_OFFSET).load_relaxed(), id)?;
    Ok(capacity)
}

fn check_version(found: u32) -> Result<()> {
    match found {
        VERSION => Ok(()),
        found => Err(Error::BadVersion { found }), // [deepwater.open.version]
    }
}

fn check_size(file: &Whole, needed: u64) -> Result<()> {
    if needed <= file.len() {
        Ok(())
    } else {
        Err(Error::Truncated { size: file.len(), needed }) // [deepwater.open.size]
    }
}

fn check_id(found: u64, id: u64) -> Result<()> {
    if found == id {
        Ok(())
    } else {
        Err(corrupt("a chunk has another id than its row")) // [deepwater.read.bounds]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_have_room() {
        assert_eq!(entries_for(4096, 0), 128);
        assert_eq!(entries_for(1 << 10, 0), LEAST_ENTRIES);
        assert_eq!((entries_for(4096, 1365), entries_for(4096, 4096), entries_for(4096, 1)), (3, 1, 4096));
        assert_eq!(file_name(42, "data"), "chunk_00000042.data");
        assert_eq!(file_name(123_456_789, "idx"), "chunk_123456789.idx");
    }
}
