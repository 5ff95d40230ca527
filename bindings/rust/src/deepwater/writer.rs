// SPDX-License-Identifier: MIT
//! The writer of a feed (section 5 of the specification). It is alone: what it stores it remembers.

use std::path::Path;

use super::info::Feed;
use super::layout::*;
use super::persist::{expire, persist, seal};
use super::place::Place;
use super::record::Part;
use super::recover::recover;
use super::reuse::Kept;
use super::segment::{align_up, Chunk, Entry};
use super::Options;
use crate::error::{Error, Result};
use crate::wait::boot_clock_ns;

/// Commits without a look at the clock.
const BEAT_EVERY: u32 = 4096;

/// The chunk that is being written.
#[derive(Debug)]
struct Live {
    chunk: Chunk,
    /// Bytes of records.
    used: u64,
    entries: u64,
    /// Timestamp of the first record.
    first_ns: u64,
}

/// The one writer of a feed. Dropping it leaves as [`Writer::close`] does, and forgets what went wrong.
///
/// ```
/// use shmwire::deepwater::{Options, Part, Writer};
/// # let base = std::env::temp_dir().join(format!("shmw-doc-dwriter-{}", std::process::id()));
/// let mut writer = Writer::open(&base, "ticks", &Options::new().record_size(4))?;
/// assert_eq!(writer.append(1000, 0, b"bid ")?, 0);
/// writer.append_batch(&[Part { timestamp_ns: 1000, kind: 0, data: b"ask " }], |sequence| assert_eq!(sequence, 1))?;
/// assert_eq!(writer.append(999, 0, b"late").unwrap_err().code().name(), "OUT_OF_ORDER");
/// writer.close()?;
/// # std::fs::remove_dir_all(&base).expect("the base directory");
/// # Ok::<(), shmwire::Error>(())
/// ```
#[derive(Debug)]
pub struct Writer {
    place: Place,
    live: Option<Live>,
    kept: Kept,
    last_ns: u64,
    next_sequence: u64,
    /// Rows that there are. Not loaded again: nobody else makes any, and a count that somebody else stored must not be one.
    rows: u64,
    /// Rows below it are in shared memory no more.
    in_memory: u64,
    /// Sealed chunks that could not be copied to files: they are tried again.
    unpersisted: Vec<u64>,
    /// Of the heartbeat that was stored last.
    beat_ns: u64,
    /// Commits since.
    unbeaten: u32,
    /// Instead of the clock; 0: ask.
    boot_ns: u64,
    pid: u32,
    mode: u32,
    left: bool,
}

impl Writer {
    /// Make or find the feed, take its lock, recover what a dead writer left.
    ///
    /// # Errors
    /// [`Error::Busy`], with nothing changed, while another writer lives [deepwater.feed.one-writer]; [`Error::Exists`] and
    /// [`Error::NotFound`], as the options say; [`Error::NoRoom`] (code FULL) when the base can have no further feed
    /// [deepwater.feed.full]; [`Error::Closed`] for a feed that is retired [deepwater.feed.retired]; [`Error::InvalidName`]
    /// [deepwater.feed.name]; [`Error::InvalidArgument`] [deepwater.feed.argument]; [`Error::Truncated`], [`Error::BadMagic`],
    /// [`Error::BadVersion`], [`Error::BadGeometry`], [`Error::Corrupt`] for what is there and cannot be used;
    /// [`Error::Permission`], [`Error::System`].
    pub fn open(base: impl AsRef<Path>, feed: &str, options: &Options) -> Result<Writer> {
        options.check()?;
        let mut place = Place::find_or_make(base.as_ref(), feed, options)?;
        place.feed.lock()?;
        if place.is_retired() {
            return Err(Error::Closed);
        }
        let (_, end) = recover(&place, options.mode, place.live_window.into())?;
        let identity = options.identity;
        let pid = if identity.pid != 0 { identity.pid } else { place.feed.pid() };
        let mut writer = Writer {
            place,
            live: None,
            kept: Kept::default(),
            last_ns: end.last_ns,
            next_sequence: end.next_sequence,
            rows: end.rows,
            in_memory: end.in_memory,
            unpersisted: Vec::new(),
            beat_ns: 0,
            unbeaten: 0,
            boot_ns: identity.boot_ns,
            pid,
            mode: options.mode,
            left: false,
        };
        writer.place.feed.u32(FEED_REGISTRY_WRITER_PID_OFFSET).store_relaxed(pid);
        writer.beat_ns = writer.boot_clock();
        writer.place.feed.u64(FEED_REGISTRY_HEARTBEAT_NS_OFFSET).store_relaxed(writer.beat_ns);
        Ok(writer)
    }

    #[cfg(feature = "driver")]
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    fn boot_clock(&self) -> u64 {
        if self.boot_ns != 0 {
            self.boot_ns
        } else {
            boot_clock_ns()
        }
    }

    #[cold]
    fn beat(&mut self) {
        self.unbeaten = 0;
        let now = self.boot_clock();
        if now.wrapping_sub(self.beat_ns) >= HEARTBEAT_NS {
            self.beat_ns = now;
            self.place.feed.u64(FEED_REGISTRY_HEARTBEAT_NS_OFFSET).store_relaxed(now);
        }
    }

    fn check_ours(&self) -> Result<()> {
        if self.place.feed.is_ours() {
            Ok(())
        } else {
            Err(Error::OutOfOrder) // in a forked child: the parent goes on
        }
    }

    /// Append a record; answers its sequence [deepwater.append.commit], [deepwater.append.sequence].
    ///
    /// # Errors
    /// With nothing changed: [`Error::OutOfOrder`] for a timestamp below that of the record before [deepwater.append.time], and
    /// in a forked child; [`Error::InvalidArgument`] for another length than the feed's record_size, [`Error::TooLarge`] for more
    /// than a chunk, or 2^32 - 1 bytes [deepwater.append.size]; [`Error::NoRoom`] (code FULL) when the feed can have no further
    /// chunk [deepwater.rotate.full]. [`Error::System`]: there is no room for a new chunk, or the chunk before could not be
    /// copied to files. That chunk stays in shared memory then, and is tried again at the next rotation and when the writer
    /// leaves; the record was not appended.
    pub fn append(&mut self, timestamp_ns: u64, kind: u32, data: &[u8]) -> Result<u64> {
        self.check_ours()?;
        let part = Part { timestamp_ns, kind, data };
        self.prepare(&part)?;
        let sequence = self.next_sequence;
        self.put(&part);
        self.commit();
        Ok(sequence)
    }

    /// Append records in order, committing as many at a time as go into one chunk. `appended` gets the sequence of each when it
    /// is committed. An error ends it, and what was appended before stays.
    ///
    /// # Errors
    /// As [`Writer::append`], of the first record that fails.
    pub fn append_batch(&mut self, parts: &[Part<'_>], mut appended: impl FnMut(u64)) -> Result<()> {
        self.check_ours()?;
        let mut first = self.next_sequence;
        let mut outcome = Ok(());
        for part in parts {
            if self.next_sequence != first && !self.fits(part) {
                self.commit(); // before the chunk is left
                (first..self.next_sequence).for_each(&mut appended);
                first = self.next_sequence;
            }
            outcome = self.prepare(part);
            if outcome.is_err() {
                break;
            }
            self.put(part);
        }
        if self.next_sequence != first {
            self.commit();
            (first..self.next_sequence).for_each(&mut appended);
        }
        outcome
    }

    /// Steps 1 and 2 of appending.
    fn prepare(&mut self, part: &Part<'_>) -> Result<()> {
        let length = part.data.len() as u64;
        let (record_size, limit) = (self.place.record_size, self.place.chunk_size.min(u32::MAX.into()));
        if record_size != 0 && length != u64::from(record_size) {
            return Err(Error::InvalidArgument("the record has not the feed's record_size"));
        }
        if length > limit {
            return Err(Error::TooLarge { length, limit });
        }
        if part.timestamp_ns < self.last_ns {
            return Err(Error::OutOfOrder);
        }
        if self.fits(part) {
            Ok(())
        } else {
            self.begin_chunk()
        }
    }

    fn offset_behind(&self, used: u64) -> u64 {
        match self.place.record_size {
            0 => align_up(used), // [deepwater.append.placing]
            _ => used,
        }
    }

    /// [deepwater.rotate.when]
    #[inline]
    fn fits(&self, part: &Part<'_>) -> bool {
        let live = match &self.live {
            Some(live) => live,
            None => return false,
        };
        let offset = self.offset_behind(live.used);
        if live.entries >= live.chunk.index_capacity
            || offset > live.chunk.data_capacity
            || part.data.len() as u64 > live.chunk.data_capacity - offset
        {
            return false;
        }
        let age = part.timestamp_ns.wrapping_sub(live.first_ns);
        self.place.rotate_ns == 0 || live.entries == 0 || age < self.place.rotate_ns
    }

    /// Steps 3 to 5: everything of a record but what commits it.
    #[inline]
    fn put(&mut self, part: &Part<'_>) {
        let used = self.live.as_ref().map_or(0, |live| live.used);
        let offset = self.offset_behind(used);
        let Part { timestamp_ns, kind, data } = *part;
        let entry = Entry { sequence: self.next_sequence, timestamp_ns, offset, length: data.len() as u32, kind };
        if let Some(live) = &mut self.live {
            // prepare has made one
            if live.entries == 0 {
                live.first_ns = timestamp_ns;
                self.place.feed.start_ns(live.chunk.id).store_relaxed(timestamp_ns);
                // R4 publishes it
            }
            live.chunk.put(live.entries, used, &entry, data);
            live.used = offset + data.len() as u64;
            live.entries += 1;
            self.next_sequence += 1;
            self.last_ns = timestamp_ns;
        }
    }

    /// Steps 6 to 8 [deepwater.append.commit], [deepwater.append.header].
    #[inline]
    fn commit(&mut self) {
        if let Some(live) = &self.live {
            live.chunk.commit(live.entries, live.used); // R4
        }
        let feed = &self.place.feed;
        feed.u64(FEED_REGISTRY_LAST_TIMESTAMP_NS_OFFSET).store_relaxed(self.last_ns);
        feed.u64(FEED_REGISTRY_LAST_SEQUENCE_OFFSET).store_release(self.next_sequence - 1);
        self.unbeaten += 1;
        if self.unbeaten >= BEAT_EVERY {
            self.beat();
        }
        self.place.feed.wake(); // S8
    }

    /// Begin a new chunk now: the old one is sealed, and persisted if the feed persists. Nothing to do while there are no records
    /// in it.
    ///
    /// # Errors
    /// [`Error::NoRoom`] (code FULL); [`Error::System`], as [`Writer::append`]; [`Error::OutOfOrder`] in a forked child.
    pub fn rotate(&mut self) -> Result<()> {
        self.check_ours()?;
        match &self.live {
            Some(live) if live.entries > 0 => self.begin_chunk(),
            _ => Ok(()),
        }
    }

    /// [deepwater.rotate.order]: chunk, row, count, latest, and the old chunk last.
    #[cold]
    fn begin_chunk(&mut self) -> Result<()> {
        let (place, id) = (&self.place, self.rows);
        if id >= place.feed.capacity() {
            return Err(Error::NoRoom("the feed's registry has no row left"));
        }
        place.feed.fill_row(id, self.next_sequence, self.last_ns, place.chunk_size)?;
        place.feed.flush()?; // before count covers it: a disk with the count and a row of zeros would end the feed
        let chunk = match self.kept.take_spare(id, self.pid) {
            Some(chunk) => chunk,
            None => Chunk::make(place, id, self.mode, self.pid)?,
        };
        self.rows = id + 1;
        place.feed.publish_rows(self.rows); // R2
        place.feed.set_latest(id); // R3
        let old = self.live.replace(Live { chunk, used: 0, entries: 0, first_ns: 0 });
        let again = self.persist_rest();
        let finished = old.map_or(Ok(()), |old| self.finish(old, again.is_ok()));
        self.kept.offer(&self.place, id + 1);
        let expired = self.expire(id + 1, self.place.live_window.into());
        self.kept.settle(&self.place, id + 1, self.in_memory);
        again.and(finished).and(expired)
    }

    /// Seal a chunk that was live, persist it if the feed does, and keep its memory.
    fn finish(&mut self, live: Live, try_files: bool) -> Result<()> {
        let outcome = self.seal_and_persist(&live, try_files);
        self.kept.keep(&self.place, live.chunk);
        outcome
    }

    /// The files come later where that has just failed for another chunk.
    fn seal_and_persist(&mut self, live: &Live, try_files: bool) -> Result<()> {
        let mut row = self.place.feed.own_row(live.chunk.id)?;
        seal(&self.place, &live.chunk, live.entries, live.used, &mut row);
        if !self.place.persist {
            return Ok(());
        }
        let outcome = if try_files { persist(&self.place, &live.chunk, self.mode, &mut row) } else { Ok(()) };
        if outcome.is_err() || !try_files {
            self.unpersisted.push(row.id);
        }
        outcome
    }

    /// Try again what could not be copied to files, up to the first that still cannot.
    fn persist_rest(&mut self) -> Result<()> {
        while let Some(&id) = self.unpersisted.first() {
            self.persist_again(id)?;
            self.unpersisted.remove(0);
        }
        Ok(())
    }

    fn persist_again(&self, id: u64) -> Result<()> {
        let mut row = self.place.feed.own_row(id)?;
        if row.state >= STATE_PERSISTED {
            return Ok(()); // only the last step failed, and what comes after it has been done since
        }
        let chunk = Chunk::in_memory(&self.place, id, false)?;
        persist(&self.place, &chunk, self.mode, &mut row)
    }

    fn expire(&mut self, end: u64, keep: u64) -> Result<()> {
        self.in_memory = expire(&self.place, self.in_memory, end, keep)?;
        Ok(())
    }

    /// The feed, as its entry and its registry have it.
    #[must_use]
    pub fn feed(&self) -> Feed {
        self.place.describe()
    }

    /// Flush and leave: seal the live chunk, persist what has to be, expire the rest, remove all shared memory of the feed
    /// [deepwater.leave.flush]. In a forked child: nothing.
    ///
    /// # Errors
    /// The first one of flushing: [`Error::System`] when a chunk could not be copied to files. It stays in shared memory for the
    /// next writer or [`collect`](super::collect). The lock is given back in any case.
    pub fn close(mut self) -> Result<()> {
        self.leave()
    }

    fn leave(&mut self) -> Result<()> {
        if self.left || !self.place.feed.is_ours() {
            return Ok(());
        }
        self.left = true;
        let flushed = self.place.feed.flush(); // before the files: the count that covers a chunk is not younger than they are
        let again = self.persist_rest();
        let finished = self.live.take().map_or(Ok(()), |live| self.finish(live, again.is_ok()));
        let expired = self.expire(self.rows, 0);
        self.kept.drop_names(&self.place, self.rows);
        let feed = &mut self.place.feed;
        feed.set_latest(NONE); // R3
        feed.u32(FEED_REGISTRY_WRITER_PID_OFFSET).store_relaxed(0);
        let flushed = flushed.and(feed.flush());
        feed.unlock();
        feed.wake(); // readers that end with the writer look once more, and find that none lives
        again.and(finished).and(expired).and(flushed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.leave(); // who wants to know calls close
    }
}
