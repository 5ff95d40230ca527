// SPDX-License-Identifier: MIT
//! Reading (section 5 of the specification). A reader touches the header and payload of the entry, the row of its chunk, which the
//! writer writes once a chunk, and the token of the next row, mostly in the same line.

use super::layout::*;
use super::segment::{after, corrupt, HeaderInfo, Row, RowInfo, Segment};
use super::view::View;
use super::{Entry, Start};
use crate::atomic::fence_acquire;
use crate::bytes::LINE;
use crate::error::{Answer, Error, Result};
use crate::wait::{poll, Wait};

/// Times to follow a writer that overtakes us before the answer is "nothing now"; each one costs a look at all rows.
const ROUNDS: u32 = 64;

/// What a reader has done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderInfo {
    /// Bytes of the segment.
    pub size: u64,
    /// Chunks of the ring.
    pub chunk_count: u32,
    /// Entries that this reader has delivered.
    pub total_entries_read: u64,
    /// Entries that were overwritten before this reader came to them.
    pub total_skipped: u64,
    /// Expected next; 0 before a chunk was found.
    pub next_sequence: u64,
}

/// How far a reader that is behind reads ahead, if the entries to come are like the one at hand.
const ENTRIES_AHEAD: u64 = 4;

/// Where a reader stands: in a chunk with its row as it was loaded.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    chunk: u32,
    token: u64,
    offset: u64,
    /// Header of the next entry; at most 3 past the end of the segment.
    cursor: u64,
    /// Its sequence. Wraps, as tokens of a hostile segment may.
    next: u64,
}

impl Place {
    fn at(chunk: u32, row: Row) -> Place {
        Place { chunk, token: row.token, offset: row.offset, cursor: row.offset, next: row.token.wrapping_add(1) }
    }

    /// Entries passed up to now.
    #[inline]
    fn passed(&self) -> u64 {
        self.next.wrapping_sub(1)
    }
}

/// What a look at the cursor finds.
enum Look {
    /// An entry of so many payload bytes, if the row still holds after it was used.
    Entry(usize),
    Empty,
    /// The reader stands elsewhere now: look again.
    Moved,
}

/// A reader of a log, read-only. Readers know nothing of each other, and the writer nothing of them.
#[derive(Debug)]
pub struct Reader {
    segment: Segment,
    place: Place,
    /// Whether there is a place.
    placed: bool,
    /// The writer is in a later chunk: what comes next here has long been written.
    behind: bool,
    start: Start,
    /// Since the entry delivered last.
    skipped: u64,
    total_read: u64,
    total_skipped: u64,
}

impl Segment {
    /// Whether row `chunk` is still committed with this token. The token is compared with one that is known and not paired with the
    /// offset, so one load of each suffices.
    #[inline]
    fn holds(&self, chunk: u32, token: u64) -> bool {
        // A2: pairs with R2; A1: pairs with R1
        self.token(chunk).load_acquire() == token && self.offset(chunk).load_acquire() & ROW_COMMITTED != 0
    }

    /// Steps 7 and 8, after a payload was copied: nothing of it had been overwritten [ouroboros.read.recheck].
    #[inline]
    pub(super) fn was_whole(&self, chunk: u32, token: u64) -> bool {
        fence_acquire(); // F5: pairs with F4; our loads of the payload before the row
        self.holds(chunk, token)
    }
}

impl Reader {
    pub(super) fn new(segment: Segment, start: Start) -> Reader {
        let place = Place::default();
        let (skipped, total_read, total_skipped) = (0, 0, 0);
        let mut reader = Reader { segment, place, placed: false, behind: false, start, skipped, total_read, total_skipped };
        // Now if it can be; otherwise the first call for an entry says why not.
        let _ = reader.find_place();
        reader
    }

    /// Start over with another strategy; counters go on.
    pub fn seek(&mut self, start: Start) {
        self.start = start;
        self.placed = false;
        self.skipped = 0;
        let _ = self.find_place(); // as in new
    }

    /// Go where the strategy says [ouroboros.read.start]; false, and nothing has changed, while no row is committed.
    fn find_place(&mut self) -> Result<bool> {
        let found = match self.start {
            Start::Oldest => self.segment.oldest(),
            Start::Latest => self.segment.newest(),
            Start::Auto => {
                let zero = self.segment.load_row(0);
                let whole = zero.committed && zero.token == 0;
                if whole {
                    Some((0, zero))
                } else {
                    self.segment.newest()
                }
            }
        };
        let (chunk, row) = match found {
            Some(found) => found,
            None => return Ok(false), // [ouroboros.read.empty]
        };
        self.check_offset(row.offset)?;
        self.place = Place::at(chunk, row);
        self.placed = true;
        Ok(true)
    }

    /// [ouroboros.read.row-offset]
    fn check_offset(&self, offset: u64) -> Result<()> {
        if self.segment.offset_possible(offset) {
            Ok(())
        } else {
            Err(corrupt("a row's offset is impossible"))
        }
    }

    /// Go on at a committed row whose token is next - 1 or above: what lies between was overwritten [ouroboros.read.skipped].
    fn enter(&mut self, chunk: u32, row: Row) -> Result<Look> {
        self.check_offset(row.offset)?;
        let gap = row.token.wrapping_sub(self.place.passed());
        self.skipped = self.skipped.wrapping_add(gap);
        self.total_skipped = self.total_skipped.wrapping_add(gap);
        self.place = Place::at(chunk, row);
        Ok(Look::Moved)
    }

    /// The writer overtook us: on at the newest chunk, if that is not behind us [ouroboros.read.no-repeat].
    #[cold]
    fn lapped(&mut self) -> Result<Look> {
        match self.segment.newest() {
            Some((chunk, row)) if row.token >= self.place.passed() => self.enter(chunk, row),
            _ => Ok(Look::Empty), // the writer is between two chunks
        }
    }

    /// The end of the lap [ouroboros.read.wrap].
    #[cold]
    fn wrap(&mut self) -> Result<Look> {
        let zero = self.segment.load_row(0);
        if !zero.committed || zero.token < self.place.passed() {
            return Ok(Look::Empty); // the writer has not come round yet
        }
        if self.place.chunk == 0 && zero.token == self.place.token {
            return Err(corrupt("chunk 0 begins with a wrap mark")); // [ouroboros.read.wrap-loop]
        }
        self.enter(0, zero)
    }

    /// Whether there is anything to adopt: one load, of a line that changes as seldom as our own row's. Notes whether we are behind.
    #[inline]
    fn next_chunk_reached(&mut self) -> bool {
        self.behind = false;
        let next = self.place.chunk + 1;
        if next >= self.segment.chunk_count {
            return false;
        }
        let token = self.segment.token(next).load_acquire(); // A2: pairs with R2; adopt loads the row properly
        self.behind = token > self.place.passed();
        token > self.place.token && !self.behind
    }

    /// Adopt the rows of the chunks that the cursor is in by now, without moving (step 2).
    #[cold]
    fn adopt(&mut self) -> Result<()> {
        while self.place.chunk + 1 < self.segment.chunk_count {
            let row = self.segment.load_row(self.place.chunk + 1);
            let here = self.place;
            let reached = row.token > here.token && row.token <= here.passed();
            if !row.committed || !reached || row.offset <= here.offset || row.offset > here.cursor {
                break;
            }
            self.check_offset(row.offset)?;
            self.place = Place { chunk: here.chunk + 1, token: row.token, offset: row.offset, ..here };
        }
        Ok(())
    }

    /// Steps 1 to 5. The row is asked here only where the header alone would give another answer.
    #[inline]
    fn look(&mut self) -> Result<Look> {
        if !self.placed && !self.find_place()? {
            return Ok(Look::Empty);
        }
        if self.next_chunk_reached() {
            self.adopt()?;
        }
        let cursor = self.place.cursor;
        if !self.segment.header_fits(cursor) {
            return self.wrap();
        }
        // A3: pairs with R3; the payload after the header that commits it
        let header = self.segment.header(cursor).load_acquire();
        if self.segment.is_entry(cursor, header) {
            Ok(Look::Entry(((header & MAX_LENGTH) as u64 - ENTRY_HEADER_SIZE) as usize))
        } else {
            self.no_entry(header)
        }
    }

    /// What is at the cursor is no entry: find out what it is, now that it is known whether the header was the writer's next lap.
    fn no_entry(&mut self, header: u32) -> Result<Look> {
        if !self.segment.holds(self.place.chunk, self.place.token) {
            return self.lapped();
        }
        if header & ENTRY_COMMITTED == 0 {
            // What comes next mostly reaches into the line behind: when we look again, both are on their way together.
            self.segment.bytes.prefetch(self.place.cursor + LINE);
            return Ok(Look::Empty); // [ouroboros.read.empty]
        }
        if header & MAX_LENGTH == LENGTH_WRAP {
            return self.wrap();
        }
        Err(corrupt("an entry has an impossible length")) // [ouroboros.read.length]
    }

    /// Find the next entry, let `work` use it, and pass it, if it was whole meanwhile and `work` did not refuse it. `work` gets the
    /// entry's length and the payload's offset in the segment.
    #[inline]
    fn take<T>(&mut self, mut work: impl FnMut(&Segment, usize, u64) -> Result<T>) -> Result<Answer<(Entry, T)>> {
        for _ in 0..ROUNDS {
            match self.look()? {
                Look::Empty => return Ok(Answer::Empty),
                Look::Moved => {}
                Look::Entry(length) => {
                    let result = work(&self.segment, length, self.place.cursor + ENTRY_HEADER_SIZE);
                    if self.segment.was_whole(self.place.chunk, self.place.token) {
                        return Ok(Answer::Done((self.pass(length, result.as_ref().is_ok()), result?)));
                    }
                    if let Look::Empty = self.lapped()? {
                        return Ok(Answer::Empty);
                    }
                }
            }
        }
        Ok(Answer::Empty)
    }

    /// Describe the entry at the cursor, and go behind it if it was delivered (step 9). A reader that is behind reads ahead, or it
    /// never catches up: lines come from far away, and one at a time it would wait for each. One that is not leaves them
    /// alone: the writer is about to write there.
    #[inline]
    fn pass(&mut self, length: usize, delivered: bool) -> Entry {
        let Place { chunk, token, next: sequence, .. } = self.place;
        let entry = Entry { sequence, skipped: self.skipped, token, chunk, length, offset: 0 };
        if delivered {
            let next = after(self.place.cursor, ENTRY_HEADER_SIZE + length as u64);
            if self.behind {
                self.segment.bytes.prefetch(next + ENTRIES_AHEAD * (next - self.place.cursor));
            }
            self.place.cursor = next;
            self.place.next = self.place.next.wrapping_add(1);
            self.skipped = 0;
            self.total_read += 1;
        }
        entry
    }

    /// The next entry, copied to `buffer`, or [`Answer::Empty`] at once.
    ///
    /// # Errors
    /// [`Error::TooSmall`] leaves the entry where it is, to be read next; [`Error::Corrupt`] for bytes that no writer leaves: the reader
    /// stays where it is.
    #[inline]
    pub fn next(&mut self, buffer: &mut [u8]) -> Result<Answer<Entry>> {
        let answer = self.take(|segment, length, at| {
            let to = buffer.get_mut(..length).ok_or(Error::TooSmall { needed: length as u64 })?;
            segment.bytes.copy_out_racing(at, to);
            Ok(())
        })?;
        Ok(answer.map(|(entry, ())| entry))
    }

    /// The same, but polls for an entry until the time is up: [`Answer::Timeout`] [ouroboros.read.timeout]. The format has no word to
    /// sleep on, so this pauses, 1 ms at most, between looks.
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub fn wait_next(&mut self, buffer: &mut [u8], wait: impl Into<Wait>) -> Result<Answer<Entry>> {
        poll(wait.into(), || self.next(buffer))
    }

    /// As many entries as are there, have room in `entries`, and fit into `buffer` one after the other. Done carries how many;
    /// [`Entry::payload`] finds each. What ends a batch early comes again in the next call.
    ///
    /// # Errors
    /// [`Error::TooSmall`] when not even the first fits; [`Error::InvalidArgument`] when `entries` is empty; as [`Reader::next`].
    ///
    /// ```
    /// # let name = format!("/shmw-doc-lbatch-{}", std::process::id());
    /// # let mut log = shmwire::ouroboros::CreateOptions::new().create(&name)?;
    /// # let mut reader = shmwire::ouroboros::OpenOptions::new().open(&name)?;
    /// # shmwire::unlink(&name)?;
    /// use shmwire::{ouroboros::Entry, Answer};
    /// log.write(b"one")?;
    /// log.write(b"two")?;
    /// let (mut buffer, mut entries) = ([0; 4096], [Entry::default(); 8]);
    /// assert_eq!(reader.next_batch(&mut buffer, &mut entries)?, Answer::Done(2));
    /// assert_eq!(entries[1].payload(&buffer), b"two");
    /// # Ok::<(), shmwire::Error>(())
    /// ```
    pub fn next_batch(&mut self, buffer: &mut [u8], entries: &mut [Entry]) -> Result<Answer<usize>> {
        if entries.is_empty() {
            return Err(Error::InvalidArgument("no room for entries"));
        }
        let mut used = 0;
        for (count, slot) in entries.iter_mut().enumerate() {
            match self.next(&mut buffer[used..]) {
                Ok(Answer::Done(entry)) => {
                    *slot = Entry { offset: used, ..entry };
                    used += entry.length;
                }
                _ if count > 0 => return Ok(Answer::Done(count)),
                other => return Ok(other?.map(|_| 0)),
            }
        }
        Ok(Answer::Done(entries.len()))
    }

    /// The next entry where it lies, or [`Answer::Empty`]. What is read through the view is an entry only if [`View::check`] says so
    /// afterwards.
    ///
    /// # Errors
    /// [`Error::Corrupt`] as in [`Reader::next`].
    #[inline]
    pub fn next_view(&mut self) -> Result<Answer<View<'_>>> {
        let answer = self.take(|_, _, at| Ok(at))?;
        Ok(answer.map(|(entry, at)| View::new(&self.segment, entry, at)))
    }

    /// What this reader has done so far.
    #[must_use]
    pub fn info(&self) -> ReaderInfo {
        ReaderInfo {
            size: self.segment.size(),
            chunk_count: self.segment.chunk_count,
            total_entries_read: self.total_read,
            total_skipped: self.total_skipped,
            next_sequence: if self.placed { self.place.next } else { 0 },
        }
    }

    /// The header as it stands there.
    #[must_use]
    pub fn header(&self) -> HeaderInfo {
        self.segment.header_info()
    }

    /// Row `chunk` as it stands there; `None` from chunk_count on.
    #[must_use]
    pub fn row(&self, chunk: u32) -> Option<RowInfo> {
        self.segment.row_info(chunk)
    }

    pub(super) fn segment(&self) -> &Segment {
        &self.segment
    }
}
