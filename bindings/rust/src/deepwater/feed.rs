// SPDX-License-Identifier: MIT
//! The registry of one feed, which says where its chunks are (section 1.2 of the specification). One writer changes it, under its
//! lock; readers map it and ask nobody.

use std::fs::File;

use super::layout::*;
use super::{corrupt, impossible, Options};
use crate::atomic::{fence_acquire, fence_release, fence_seq_cst, Word32, Word64};
use crate::bytes::Whole;
use crate::error::{Error, Result};
use crate::map::{byte_is_held, give_byte, take_byte, Directory, Guarded, Map, Opening};
use crate::wait::{futex_wake, Backoff, Wait};

const FEED_FILE: &str = "feed_registry.bin";
/// Of a registry's file: its lock is held on it.
pub(super) const LOCK_BYTE: u64 = 0;

/// The fields of a row at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: u64,
    pub(super) stamp: u32,
    pub(super) state: u32,
    pub(super) first_sequence: u64,
    pub(super) record_count: u64,
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    pub(super) data_bytes: u64,
    pub(super) data_capacity: u64,
    pub(super) data_crc: u32,
    pub(super) index_crc: u32,
}

impl Row {
    /// The sequence behind its last record, as far as the row says.
    pub(super) fn end_sequence(&self) -> u64 {
        self.first_sequence.saturating_add(self.record_count)
    }
}

/// A feed's registry, mapped. Its capacity was loaded and checked once.
#[derive(Debug)]
pub(super) struct FeedRegistry {
    file: Whole,
    capacity: u64,
    /// The descriptor that holds the writer's lock; forked children have none.
    lock: Option<Guarded>,
}

fn size_of(capacity: u64) -> u64 {
    FEED_REGISTRY_SIZE + ROW_STRUCT_SIZE * capacity
}

/// Make the registry of a feed whose entry is not there yet. The caller holds the global lock; a file that is there is of a maker
/// that died before the entry, and nobody can have found it [deepwater.feed.entry].
pub(super) fn make(directory: &Directory, id: u32, options: &Options) -> Result<()> {
    let file = directory.file(FEED_FILE, Opening::WriteOrMake(options.mode))?;
    file.set_len(0).map_err(Error::System)?;
    let file = Whole::new(Map::of_new_file(file, size_of(options.rows.into()), FEED_REGISTRY_SIZE)?);
    file.u32(FEED_REGISTRY_VERSION_OFFSET).store_relaxed(VERSION);
    file.u32(FEED_REGISTRY_ROW_SIZE_OFFSET).store_relaxed(ROW_SIZE);
    file.u32(FEED_REGISTRY_CAPACITY_OFFSET).store_relaxed(options.rows);
    file.u64(FEED_REGISTRY_FEED_ID_OFFSET).store_relaxed(id.into());
    file.u64(FEED_REGISTRY_LATEST_OFFSET).store_relaxed(NONE);
    file.u64(FEED_REGISTRY_LAST_SEQUENCE_OFFSET).store_relaxed(NONE);
    file.u64(FEED_REGISTRY_MAGIC_OFFSET).store_release(FEED_MAGIC); // R0: pairs with A0; the whole header before it
    if options.persist {
        file.map().file().sync_all().map_err(Error::System)?;
        directory.sync()?;
    }
    Ok(())
}

impl FeedRegistry {
    /// Map and check it.
    pub(super) fn open(directory: &Directory, writable: bool) -> Result<FeedRegistry> {
        let file = directory.file(FEED_FILE, if writable { Opening::Write } else { Opening::Read })?;
        let size = file.metadata().map_err(Error::System)?.len();
        if size < FEED_REGISTRY_SIZE {
            return Err(Error::Truncated { size, needed: FEED_REGISTRY_SIZE }); // [deepwater.open.size]
        }
        let file = Whole::new(Map::of_file(file, size, writable)?);
        let registry = FeedRegistry { capacity: check_header(&file)?, file, lock: None };
        registry.rows()?;
        Ok(registry)
    }

    /// Take the writer's lock [deepwater.feed.one-writer].
    pub(super) fn lock(&mut self) -> Result<()> {
        let own = Guarded::reopen(self.descriptor(), false)?;
        if !take_byte(own.file()?, LOCK_BYTE)? {
            return Err(Error::Busy);
        }
        self.lock = Some(own);
        Ok(())
    }

    /// Give it back.
    pub(super) fn unlock(&mut self) {
        // Not by closing alone: a program started meanwhile has the description until it is executed.
        if let Some(Ok(file)) = self.lock.as_ref().map(Guarded::file) {
            give_byte(file, LOCK_BYTE);
        }
        self.lock = None;
    }

    /// False in a forked child, of a parent's writer: the lock stayed with the parent.
    #[inline]
    pub(super) fn is_ours(&self) -> bool {
        self.lock.as_ref().map_or(false, Guarded::is_ours)
    }

    /// Whether a writer lives, this one included. When the system does not say: yes.
    pub(super) fn writer_lives(&self) -> bool {
        byte_is_held(self.descriptor(), LOCK_BYTE, 1).unwrap_or(true)
    }

    #[cfg(feature = "driver")]
    pub(super) fn file(&self) -> &Whole {
        &self.file
    }

    fn descriptor(&self) -> &File {
        self.file.map().file()
    }

    /// This process's id.
    pub(super) fn pid(&self) -> u32 {
        self.file.map().pid()
    }

    /// The header once more, where a reader may count itself; none if the mode does not let us [deepwater.open.readonly].
    pub(super) fn counts(&self) -> Option<Whole> {
        self.file.map().writable_start(FEED_REGISTRY_SIZE).map(Whole::new)
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// A field of the header.
    #[inline]
    pub(super) fn u64(&self, offset: u64) -> Word64<'_> {
        self.file.u64(offset)
    }

    /// A field of the header.
    #[inline]
    pub(super) fn u32(&self, offset: u64) -> Word32<'_> {
        self.file.u32(offset)
    }

    /// Rows that are complete [deepwater.open.count].
    #[inline]
    pub(super) fn rows(&self) -> Result<u64> {
        // A2: pairs with R2; the rows below it, and their chunks
        let count = self.u64(FEED_REGISTRY_COUNT_OFFSET).load_acquire();
        if count <= self.capacity {
            Ok(count)
        } else {
            Err(corrupt("count is above the capacity of the feed's registry"))
        }
    }

    /// The sequence behind the last record, as the header says; 0 before the first one.
    pub(super) fn next_sequence(&self) -> u64 {
        match self.u64(FEED_REGISTRY_LAST_SEQUENCE_OFFSET).load_acquire() {
            NONE => 0,
            last => last + 1,
        }
    }

    /// Where the row of a chunk is; `id` is below the capacity.
    fn place(&self, id: u64) -> u64 {
        FEED_REGISTRY_SIZE + ROW_STRUCT_SIZE * id
    }

    pub(super) fn stamp(&self, id: u64) -> u32 {
        self.file.u32(self.place(id) + ROW_STAMP_OFFSET).load_acquire() // A5: pairs with R5; the fields of the change before
    }

    /// The start of a chunk's time.
    pub(super) fn start_ns(&self, id: u64) -> Word64<'_> {
        self.file.u64(self.place(id) + ROW_START_NS_OFFSET)
    }

    /// The row as it lies there, whatever its stamp.
    pub(super) fn raw_row(&self, id: u64) -> Row {
        let place = self.place(id);
        let long = |offset| self.file.u64(place + offset).load_relaxed();
        let short = |offset| self.file.u32(place + offset).load_relaxed();
        Row {
            id: long(ROW_CHUNK_ID_OFFSET),
            stamp: short(ROW_STAMP_OFFSET),
            state: short(ROW_STATE_OFFSET),
            first_sequence: long(ROW_FIRST_SEQUENCE_OFFSET),
            record_count: long(ROW_RECORD_COUNT_OFFSET),
            start_ns: long(ROW_START_NS_OFFSET),
            end_ns: long(ROW_END_NS_OFFSET),
            data_bytes: long(ROW_DATA_BYTES_OFFSET),
            data_capacity: long(ROW_DATA_CAPACITY_OFFSET),
            data_crc: short(ROW_DATA_CRC_OFFSET),
            index_crc: short(ROW_INDEX_CRC_OFFSET),
        }
    }

    /// A row below count, as it was at one moment [deepwater.read.row].
    ///
    /// # Errors
    /// [`Error::NotReady`] for one that a dead writer left odd [deepwater.read.odd]; [`Error::Corrupt`].
    pub(super) fn row(&self, id: u64) -> Result<Row> {
        let mut backoff = Backoff::new();
        let mut alone = false; // no writer lived before this look
        for look in 0..ROW_LOOKS {
            let stamp = self.stamp(id); // A5: pairs with R5
            let row = self.raw_row(id);
            fence_acquire(); // F6: pairs with F6; if a field is of a change under way, the stamp below shows it
            if stamp % 2 == 0 && self.file.u32(self.place(id) + ROW_STAMP_OFFSET).load_relaxed() == stamp {
                let sound = row.id == id && (STATE_LIVE..=STATE_EXPIRED).contains(&row.state);
                return if sound {
                    Ok(Row { stamp, ..row })
                } else {
                    Err(corrupt("a row has another chunk's id, or no such state"))
                };
            }
            if row.id != id {
                return Err(corrupt("a row has another chunk's id")); // no change touches it
            }
            if alone && stamp % 2 != 0 {
                return Err(Error::NotReady); // its writer died within the change: the next one, or collect, mends it
            }
            alone = look >= ATTACH_TRIES && !self.writer_lives();
            backoff.pause(Wait::forever().deadline());
        }
        Err(corrupt("a row keeps changing"))
    }

    /// The same where only `id`, `first_sequence`, `start_ns` and `data_capacity` count, which are not under the stamp: good in an
    /// odd row too.
    pub(super) fn key_of(&self, id: u64) -> Result<Row> {
        match self.row(id) {
            Err(Error::NotReady) => Ok(self.raw_row(id)),
            found => found,
        }
    }

    /// The same by who holds the lock and has recovered: nobody else changes a row, so that an odd one is [`Error::Corrupt`].
    pub(super) fn own_row(&self, id: u64) -> Result<Row> {
        match self.row(id) {
            Err(Error::NotReady) => Err(corrupt("a row is odd, and nobody else may change it")),
            found => found,
        }
    }

    /// Store the fields that change, under the stamp; by who holds the lock [deepwater.row.stamp].
    pub(super) fn store_row(&self, row: &Row) {
        let place = self.place(row.id);
        let stamp = self.file.u32(place + ROW_STAMP_OFFSET);
        let even = stamp.load_relaxed() & !1; // of a writer that died within a change: odd
        stamp.store_relaxed(even.wrapping_add(1));
        fence_release(); // F6: pairs with F6; the odd stamp before the fields
        self.file.u32(place + ROW_STATE_OFFSET).store_relaxed(row.state);
        self.file.u64(place + ROW_RECORD_COUNT_OFFSET).store_relaxed(row.record_count);
        self.file.u64(place + ROW_END_NS_OFFSET).store_relaxed(row.end_ns);
        self.file.u64(place + ROW_DATA_BYTES_OFFSET).store_relaxed(row.data_bytes);
        self.file.u32(place + ROW_DATA_CRC_OFFSET).store_relaxed(row.data_crc);
        self.file.u32(place + ROW_INDEX_CRC_OFFSET).store_relaxed(row.index_crc);
        stamp.store_release(even.wrapping_add(2)); // R5: pairs with A5; the fields
    }

    /// Fill row `id`, which count does not cover yet: nobody reads it. A full disk answers here, and not by SIGBUS.
    pub(super) fn fill_row(&self, id: u64, first_sequence: u64, start_ns: u64, data_capacity: u64) -> Result<()> {
        let place = self.place(id);
        self.file.map().reserve(place, ROW_STRUCT_SIZE)?;
        (0..ROW_STRUCT_SIZE).step_by(8).for_each(|at| self.file.u64(place + at).store_relaxed(0));
        self.file.u64(place + ROW_CHUNK_ID_OFFSET).store_relaxed(id);
        self.file.u64(place + ROW_FIRST_SEQUENCE_OFFSET).store_relaxed(first_sequence);
        self.file.u64(place + ROW_DATA_CAPACITY_OFFSET).store_relaxed(data_capacity);
        self.file.u32(place + ROW_STATE_OFFSET).store_relaxed(STATE_LIVE); // published by R2, as all of this
        self.start_ns(id).store_relaxed(start_ns);
        Ok(())
    }

    /// Rows below this are complete now.
    pub(super) fn publish_rows(&self, count: u64) {
        self.u64(FEED_REGISTRY_COUNT_OFFSET).store_release(count); // R2: pairs with A2; the row, and the chunk that it names
    }

    /// This is the chunk that is being written now, or `NONE` is.
    pub(super) fn set_latest(&self, id: u64) {
        self.u64(FEED_REGISTRY_LATEST_OFFSET).store_release(id); // R3: pairs with A3; the count that covers it
    }

    /// The chunk that is being written, or `NONE`.
    pub(super) fn latest(&self) -> u64 {
        self.u64(FEED_REGISTRY_LATEST_OFFSET).load_acquire() // A3: pairs with R3; the row that it names
    }

    /// Have rows and header on the disk.
    pub(super) fn flush(&self) -> Result<()> {
        self.descriptor().sync_data().map_err(Error::System)
    }

    /// Wake all who sleep, if anybody does [deepwater.wait.wake, .no-call].
    #[inline]
    pub(super) fn wake(&self) {
        // S8: pairs with S8 of a reader that goes to sleep; our commit before the load of waiters: we see it, or it sees the
        // commit
        fence_seq_cst();
        if self.u32(FEED_REGISTRY_WAITERS_OFFSET).load_relaxed() != 0 {
            self.wake_all();
        }
    }

    /// Wake all who sleep, or are about to.
    #[cold]
    pub(super) fn wake_all(&self) {
        let signal = self.u32(FEED_REGISTRY_SIGNAL_OFFSET);
        self.u32(FEED_REGISTRY_WAITERS_OFFSET).store_relaxed(0);
        signal.add_release(1); // R7: pairs with A7; what was committed, and the waiters wiped out, before the signal
        futex_wake(signal, u64::MAX);
    }
}

impl Drop for FeedRegistry {
    fn drop(&mut self) {
        self.unlock();
    }
}

/// The capacity of a header that was checked.
fn check_header(file: &Whole) -> Result<u64> {
    match file.u64(FEED_REGISTRY_MAGIC_OFFSET).load_acquire() {
        // A0: pairs with R0; the header after it
        FEED_MAGIC => {}
        0 => return Err(Error::NotReady),               // [deepwater.open.not-ready]
        found => return Err(Error::BadMagic { found }), // [deepwater.open.magic]
    }
    let found = file.u32(FEED_REGISTRY_VERSION_OFFSET).load_relaxed();
    if found != VERSION {
        return Err(Error::BadVersion { found }); // [deepwater.open.version]
    }
    let capacity = file.u32(FEED_REGISTRY_CAPACITY_OFFSET).load_relaxed();
    if file.u32(FEED_REGISTRY_ROW_SIZE_OFFSET).load_relaxed() != ROW_SIZE {
        return Err(impossible("row_size is not 128")); // [deepwater.open.geometry]
    }
    if capacity == 0 || capacity > MAX_ROWS {
        return Err(impossible("the capacity of the feed's registry is not from 1 to 2^24"));
    }
    let needed = size_of(capacity.into());
    if needed > file.len() {
        return Err(Error::Truncated { size: file.len(), needed }); // [deepwater.open.size]
    }
    Ok(capacity.into())
}
