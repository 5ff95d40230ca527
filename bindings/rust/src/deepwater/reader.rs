// SPDX-License-Identifier: MIT
//! Readers: reading on, from chunk to chunk, and waiting (sections 6 and 7 of the specification). seek.rs chooses where to begin.

use std::path::Path;
use std::time::Duration;

use super::feed::Row;
use super::layout::*;
use super::place::Place;
use super::record::{Record, Records};
use super::segment::{align_up, Chunk, Entry};
use super::{corrupt, ReaderOptions, Start};
use crate::atomic::{fence_seq_cst, Word32};
use crate::bytes::Whole;
use crate::error::{Answer, Error, Result};
use crate::wait::{futex_wait, Backoff, Deadline, Wait};

/// Longest single sleep of one whom nobody wakes.
const UNCOUNTED_SLICE: Duration = Duration::from_millis(1);
/// Looks of one who polls, between two at the clock.
const LOOKS_PER_CLOCK: u32 = 64;

/// Reads a feed, wherever its chunks are. It takes no lock and writes nothing, except that it counts itself when it sleeps
/// [deepwater.open.readonly].
///
/// ```
/// use shmwire::deepwater::{Options, Reader, ReaderOptions, Start, Writer};
/// # let base = std::env::temp_dir().join(format!("shmw-doc-dreader-{}", std::process::id()));
/// let mut writer = Writer::open(&base, "ticks", &Options::new().persist(true))?;
/// for i in 0..10_u64 {
///     writer.append(100 * i, 0, &i.to_le_bytes())?;
/// }
/// let mut reader = Reader::open(&base, "ticks", &ReaderOptions::new().start(Start::Time(450)))?;
/// assert_eq!(reader.next()?.done().expect("there are more").timestamp_ns, 500);
/// let cursor = reader.save();
/// let mut range = reader.range(100, 300)?;
/// let mut sequences = Vec::new();
/// while let Some(record) = range.next()? {
///     sequences.push(record.sequence);
/// }
/// assert_eq!(sequences, [1, 2, 3]);
/// reader.restore(cursor)?;
/// assert_eq!(reader.next_batch(100)?.done().expect("there are more").len(), 4);
/// # drop(writer);
/// # std::fs::remove_dir_all(&base).expect("the base directory");
/// # Ok::<(), shmwire::Error>(())
/// ```
#[derive(Debug)]
pub struct Reader {
    pub(super) place: Place,
    /// Where it counts itself when it sleeps.
    counts: Option<Whole>,
    held: Option<Chunk>,
    /// The row of what is held, or the one that comes next.
    pub(super) row: u64,
    /// Sequence of the row's first record.
    first: u64,
    /// In the row.
    index: u64,
    /// The sequence that is expected next.
    pub(super) next: u64,
    /// entry_count as it was loaded last.
    known: u64,
    /// Where the bytes of the next record begin, if what comes is like what came.
    ahead: u64,
    end_with_writer: bool,
    /// Of the last batch.
    entries: Vec<Entry>,
}

/// What a look at the chunk that is held has found.
enum Look {
    Record,
    Nothing,
    /// It is sealed and used up, or there is none.
    Over,
}

/// What reading on, over the ends of chunks, has come to.
#[derive(Clone, Copy, PartialEq)]
enum Come {
    Record,
    Nothing,
    /// The next row is odd, and no writer lives: there may be records [deepwater.read.odd].
    Odd,
}

/// An answer that has no value, as one of another kind of value.
fn nothing<T>(answer: Answer<()>) -> Answer<T> {
    match answer {
        Answer::Timeout => Answer::Timeout,
        Answer::Closed => Answer::Closed,
        _ => Answer::Empty,
    }
}

/// Map the chunk of a row below count, wherever it is [deepwater.read.moved]. `None`: it has expired. [`Error::NotReady`]: its row is
/// odd, and no writer lives.
pub(super) fn attach(place: &Place, id: u64) -> Result<Option<(Row, Chunk)>> {
    let mut backoff = Backoff::new();
    for _ in 0..ATTACH_TRIES {
        let row = place.feed.row(id)?;
        let found = match row.state {
            STATE_EXPIRED => return Ok(None),
            STATE_PERSISTED => match Chunk::in_files(place, id) {
                Err(Error::NotFound) => return Err(corrupt("a chunk is not in the files that its row says")),
                found => return found.map(|chunk| Some((row, chunk))),
            },
            _ => Chunk::in_memory(place, id, false),
        };
        match found {
            Err(Error::NotFound) => {}
            found => return found.map(|chunk| Some((row, chunk))),
        }
        // Unlinked between our look at the row and now: the row says where it is, unless the machine lost it.
        if place.feed.stamp(id) != row.stamp {
            continue; // A5: pairs with R5
        }
        match Chunk::in_files(place, id) {
            Err(Error::NotFound) if !place.feed.writer_lives() => return Ok(None),
            Err(Error::NotFound) => backoff.pause(Wait::forever().deadline()),
            found => return found.map(|chunk| Some((row, chunk))),
        }
    }
    Err(corrupt("a chunk is neither in shared memory nor in files"))
}

impl Reader {
    /// Open a reader of a feed.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the base, its registry, the feed or its registry is not there [deepwater.base.registry];
    /// [`Error::NotReady`] while it is being made, and when a writer died over the row that says where to begin
    /// [deepwater.read.odd], all after the waiting time of the options [deepwater.open.not-ready]; [`Error::InvalidName`];
    /// [`Error::BadMagic`], [`Error::BadVersion`], [`Error::BadGeometry`], [`Error::Truncated`], [`Error::Corrupt`] for what cannot be used; [`Error::Permission`], also for a symbolic link below the base
    /// [deepwater.open.symlink]; [`Error::System`].
    pub fn open(base: impl AsRef<Path>, feed: &str, options: &ReaderOptions) -> Result<Reader> {
        let deadline = options.deadline();
        let place = Place::await_feed(base.as_ref(), feed, deadline)?;
        let mut reader = Reader {
            counts: if options.read_only { None } else { place.feed.counts() },
            place,
            held: None,
            row: 0,
            first: 0,
            index: 0,
            next: 0,
            known: 0,
            ahead: 0,
            end_with_writer: options.end_with_writer,
            entries: Vec::new(),
        };
        reader.seek_within(options.start, deadline)?;
        Ok(reader)
    }

    /// Choose where to begin, waiting for a writer that mends the row that says it.
    fn seek_within(&mut self, start: Start, deadline: Deadline) -> Result<()> {
        let mut backoff = Backoff::new();
        loop {
            let last = deadline.expired();
            match self.seek(start) {
                Err(Error::NotReady) if !last => backoff.pause(deadline),
                done => return done,
            }
        }
    }

    /// Be between chunks: `row` comes next, and the record `next` in it.
    pub(super) fn go_to(&mut self, row: u64, next: u64) {
        self.held = None;
        self.row = row;
        self.next = next;
        self.index = 0;
        self.known = 0;
    }

    /// Hold the chunk of a row, and be at the record that is wanted or, behind it, at its first one. Answers whether it is there:
    /// where it has expired, the reader stays.
    fn enter(&mut self, id: u64) -> Result<bool> {
        let (row, chunk) = match attach(&self.place, id)? {
            Some(found) => found,
            None => return Ok(false),
        };
        self.held = Some(chunk);
        self.row = id;
        self.first = row.first_sequence;
        self.index = self.next.saturating_sub(row.first_sequence);
        self.known = 0;
        self.ahead = 0;
        Ok(true)
    }

    /// Go to the row behind this one, or to the one that could not be entered yet. Answers whether there is one.
    fn enter_next(&mut self) -> Result<bool> {
        let id = self.row + u64::from(self.held.is_some());
        if id >= self.place.feed.rows()? {
            return Ok(false); // A2
        }
        if !self.enter(id)? {
            self.held = None;
            self.row = id;
            self.pass_expired()?;
        }
        Ok(true)
    }

    /// Go behind what is gone [deepwater.read.expired]: an error if records are lost by that.
    fn pass_expired(&mut self) -> Result<()> {
        let end = self.find_left()?;
        let lost = end - self.next;
        self.next = end;
        if lost > 0 {
            Err(Error::Expired { lost })
        } else {
            Ok(())
        }
    }

    /// Enter the first row from this one on that is left, or be behind all of them. Answers the sequence there. A row that a dead
    /// writer left odd is where it ends: it is asked for again, and whether it is gone is known when it is mended.
    fn find_left(&mut self) -> Result<u64> {
        let mut end = self.next;
        loop {
            let written = self.place.feed.next_sequence(); // before the rows: what it covers is in those that are loaded after it
            let rows = self.place.feed.rows()?;
            let left = self.row.max(self.place.expired_below(rows)); // what is passed over is below its first sequence
            for id in left..rows {
                let row = self.place.feed.key_of(id)?;
                end = end.max(row.first_sequence);
                match self.enter(id) {
                    Ok(false) => end = end.max(row.end_sequence()),
                    Err(Error::NotReady) => {
                        self.row = id;
                        return Ok(end);
                    }
                    entered => return entered.map(|_| end),
                }
            }
            self.row = self.row.max(rows);
            if self.place.feed.rows()? <= rows {
                return Ok(end.max(written)); // nothing is left: to the end of what was written
            }
        }
    }

    #[inline]
    fn look(&mut self) -> Result<Look> {
        if self.index < self.known {
            return Ok(Look::Record);
        }
        let chunk = match &self.held {
            Some(chunk) => chunk,
            None => return Ok(Look::Over),
        };
        self.known = chunk.count()?; // A4
        if self.index < self.known {
            return Ok(Look::Record);
        }
        if !chunk.is_sealed() {
            return Ok(Look::Nothing); // A9 [deepwater.read.sealed]
        }
        self.known = chunk.count()?;
        Ok(if self.index < self.known { Look::Record } else { Look::Over })
    }

    /// Come to a record, over the ends of chunks. Ends, since rows are only added by writers that make progress.
    #[inline]
    fn advance(&mut self) -> Result<Come> {
        loop {
            match self.look()? {
                Look::Record => return Ok(Come::Record),
                Look::Nothing => return Ok(Come::Nothing),
                Look::Over => {}
            }
            match self.enter_next() {
                Ok(true) => {}
                Ok(false) => return Ok(Come::Nothing),
                Err(Error::NotReady) => return Ok(Come::Odd),
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether nothing more will come [deepwater.read.end]. Behind an odd row there may be records, which collecting brings back in
    /// a retired feed too.
    fn has_ended(&self, come: Come) -> bool {
        (come == Come::Nothing && self.place.is_retired()) || (self.end_with_writer && !self.place.feed.writer_lives())
    }

    /// Come to a record, or to the end of the feed.
    #[inline]
    fn poll(&mut self) -> Result<Answer<()>> {
        let come = self.advance()?;
        if come == Come::Record {
            return Ok(Answer::Done(()));
        }
        if !self.has_ended(come) {
            return Ok(Answer::Empty);
        }
        Ok(match self.advance()? {
            Come::Record => Answer::Done(()), // it came before the end
            Come::Odd if come == Come::Nothing => Answer::Empty,
            Come::Nothing | Come::Odd => Answer::Closed,
        })
    }

    /// Come to a record that is there now. An odd row is [`Error::NotReady`].
    pub(super) fn come_to_record(&mut self) -> Result<bool> {
        match self.advance()? {
            Come::Odd => Err(Error::NotReady),
            come => Ok(come == Come::Record),
        }
    }

    /// The record that it has come to, without taking it: its timestamp.
    pub(super) fn peek(&self) -> Result<u64> {
        let chunk = self.held.as_ref().ok_or(Error::OutOfOrder)?;
        chunk.entry(self.first, self.index).map(|entry| entry.timestamp_ns)
    }

    /// The record that it has come to.
    #[inline]
    pub(super) fn take(&mut self) -> Result<Record<'_>> {
        let chunk = self.held.as_ref().ok_or(Error::OutOfOrder)?;
        // What has just been written is as far away as its entry, which says where it is: both are asked for at once.
        chunk.prefetch(self.ahead);
        let entry = chunk.entry(self.first, self.index)?;
        self.ahead = align_up(entry.offset + u64::from(entry.length));
        self.index += 1;
        self.next = entry.sequence.wrapping_add(1);
        Ok(Record::new(chunk, entry))
    }

    #[inline]
    fn lend(&mut self, answer: Answer<()>) -> Result<Answer<Record<'_>>> {
        match answer {
            Answer::Done(()) => self.take().map(Answer::Done),
            other => Ok(nothing(other)),
        }
    }

    /// The next record, where it lies, or [`Answer::Empty`] at once; [`Answer::Closed`] at the end [deepwater.read.end]. It is
    /// empty also at a row that a writer died over, and goes on when the next one, or [`collect`](super::collect), has mended it
    /// [deepwater.read.odd].
    ///
    /// # Errors
    /// [`Error::Expired`], once, for records that are gone: the reader goes on behind them [deepwater.read.expired].
    /// [`Error::Corrupt`] and its like for what no writer leaves: the reader stays [deepwater.read.bounds],
    /// [deepwater.read.sequence]. [`Error::Permission`], [`Error::System`].
    #[inline]
    #[allow(clippy::should_implement_trait)] // what an iterator gives may be kept, and this may not
    pub fn next(&mut self) -> Result<Answer<Record<'_>>> {
        let answer = self.poll()?;
        self.lend(answer)
    }

    /// The same, waiting as long as `wait` says: [`Answer::Timeout`] when nothing came. A wait of zero is [`Reader::next`].
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub fn wait_next(&mut self, wait: impl Into<Wait>) -> Result<Answer<Record<'_>>> {
        let wait = wait.into();
        let answer = match self.poll()? {
            Answer::Empty if !wait.is_none() => self.wait_on(wait.deadline(), wait.spin_deadline())?,
            other => other,
        };
        self.lend(answer)
    }

    /// Up to `most` records, all of one chunk: those that are there. Answers as [`Reader::next`].
    ///
    /// # Errors
    /// As [`Reader::next`], of the first record; one further on is come to with the next call. [`Error::InvalidArgument`] for 0.
    pub fn next_batch(&mut self, most: usize) -> Result<Answer<Records<'_>>> {
        if most == 0 {
            return Err(Error::InvalidArgument("a batch of no records"));
        }
        self.entries.clear();
        match self.poll()? {
            Answer::Done(()) => {}
            other => return Ok(nothing(other)),
        }
        let chunk = self.held.as_ref().ok_or(Error::OutOfOrder)?;
        let end = self.known.min(self.index.saturating_add(most as u64));
        for i in self.index..end {
            match chunk.entry(self.first, i) {
                Ok(entry) => self.entries.push(entry),
                Err(error) if self.entries.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        self.index += self.entries.len() as u64;
        self.next = self.first.wrapping_add(self.index);
        Ok(Answer::Done(Records::new(chunk, &self.entries)))
    }

    /// Section 7, the sleeper's side.
    #[cold]
    fn wait_on(&mut self, deadline: Deadline, spin: Deadline) -> Result<Answer<()>> {
        while !spin.expired() && !deadline.expired() {
            for _ in 0..LOOKS_PER_CLOCK {
                match self.advance()? {
                    Come::Record => return Ok(Answer::Done(())),
                    Come::Nothing => std::hint::spin_loop(),
                    Come::Odd => return self.sleep_on(deadline), // it takes another writer: no time to spin for
                }
            }
        }
        self.sleep_on(deadline)
    }

    fn sleep_on(&mut self, deadline: Deadline) -> Result<Answer<()>> {
        loop {
            let last = deadline.expired(); // first, so that one look comes after it [deepwater.wait.timeout]
            let seen = self.count_in();
            match self.poll()? {
                Answer::Empty if last => return Ok(Answer::Timeout),
                Answer::Empty => self.sleep(seen, deadline),
                other => return Ok(other),
            }
        }
    }

    fn signal(&self) -> Word32<'_> {
        self.place.feed.u32(FEED_REGISTRY_SIGNAL_OFFSET)
    }

    /// Load the signal, and see to it that waiters is not 0 before the look that comes next. It is never taken back: one that was
    /// for nothing costs one wake, once [deepwater.wait.count].
    fn count_in(&self) -> u32 {
        // A7: pairs with R7; what the writer committed before it moved the signal, and the waiters that it wiped out before
        let seen = self.signal().load_acquire();
        if let Some(counts) = &self.counts {
            let waiters = counts.u32(FEED_REGISTRY_WAITERS_OFFSET);
            if waiters.load_relaxed() == 0 {
                waiters.add_relaxed(1);
            }
            fence_seq_cst(); // S8: pairs with S8 of the writer that wakes; our count before the last look
        }
        seen
    }

    fn sleep(&self, seen: u32, deadline: Deadline) {
        let slice = if self.counts.is_some() { Duration::from_nanos(WAIT_SLICE_NS) } else { UNCOUNTED_SLICE };
        futex_wait(self.signal(), seen, deadline.remaining(slice));
    }
}
