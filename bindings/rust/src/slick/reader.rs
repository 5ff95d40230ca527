// SPDX-License-Identifier: MIT
//! Reading (section 5 of the specification): looks, and what a reader makes of them. One with a cursor of its own goes on behind
//! what it read; one who shares a cursor takes what it has read already, and throws it away if another one was faster.

use std::sync::Arc;

use super::layout::READ_TRIES;
use super::look::{Look, Seen};
use super::segment::Segment;
use super::view::View;
use super::{Cursor, Item, Start};
use crate::error::{Answer, Error, Result};
use crate::wait::{poll, Wait};

/// Times to begin again, because another consumer was faster, before the answer is LAPPED.
const ROUNDS: u32 = 1024;

/// What a reader has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReaderInfo {
    /// Index of the next item; of a shared cursor, as it is now.
    pub cursor: u64,
    /// Items that this reader has delivered.
    pub items_read: u64,
    /// Indices that were overwritten before this reader came to them; by a shared cursor, those that it reported.
    pub lost: u64,
    /// Resets of the queue that this reader noticed.
    pub resets: u64,
}

/// A reader of a queue. It stores nothing in the segment, and knows nothing of other readers. Serves one thread at a time.
#[derive(Debug)]
pub struct Reader {
    segment: Arc<Segment>,
    /// The cursor that it shares; without one, info.cursor is its own.
    shared: Option<Cursor>,
    /// Since the item delivered last.
    lost: u64,
    info: ReaderInfo,
}

impl Reader {
    pub(super) fn new(segment: Arc<Segment>, cursor: u64) -> Reader {
        Reader { segment, shared: None, lost: 0, info: ReaderInfo { cursor, ..ReaderInfo::default() } }
    }

    pub(super) fn sharing(segment: Arc<Segment>, cursor: Cursor) -> Reader {
        Reader { segment, shared: Some(cursor), lost: 0, info: ReaderInfo::default() }
    }

    /// Go elsewhere; counters go on, and nothing counts as lost. Answers the cursor. A shared cursor is stored to.
    pub fn seek(&mut self, start: Start) -> u64 {
        let index = self.segment.place_of(start);
        match &self.shared {
            Some(cursor) => cursor.store(index),
            None => self.info.cursor = index,
        }
        self.lost = 0;
        index
    }

    #[inline]
    fn cursor(&self) -> u64 {
        self.shared.as_ref().map_or(self.info.cursor, Cursor::next_index)
    }

    /// Keep what a look has come to, up to `to`. A shared cursor is moved only if it still stands at `from`, and only for what
    /// was read or for a reset: false when another consumer was faster.
    #[inline]
    fn adopt(&mut self, from: u64, to: u64, lost: u64, reset: bool) -> bool {
        match &self.shared {
            Some(cursor) if !cursor.take(from, to) => return false,
            Some(_) => {}
            None => self.info.cursor = to,
        }
        self.lost = self.lost.wrapping_add(lost);
        self.info.lost = self.info.lost.wrapping_add(lost);
        self.info.resets += u64::from(reset);
        true
    }

    /// Find the next item, let `work` use it, and pass it, if it was whole meanwhile and `work` did not refuse it.
    #[inline]
    fn take<T>(&mut self, mut work: impl FnMut(&Segment, u64, u32) -> Result<T>) -> Result<Answer<(Item, T)>> {
        for _ in 0..ROUNDS {
            let from = self.cursor();
            let mut look = Look::from(from);
            let segment = &*self.segment;
            let outcome = segment.take(&mut look, |index, elements| work(segment, index, elements));
            if self.shared.is_some() && look.reset {
                let _ = self.adopt(from, 0, 0, true); // taken by the first who notices; then all begin again
                continue;
            }
            let (elements, value) = match outcome {
                Ok(Answer::Done(taken)) => taken,
                nothing => {
                    if self.shared.is_none() {
                        let _ = self.adopt(from, look.index, look.lost, look.reset);
                    }
                    return nothing.map(|answer| answer.map(|(_, value)| (Item::default(), value)));
                }
            };
            // Whole by now, so that it may be taken [slick.share.whole].
            if self.adopt(from, look.index + u64::from(elements), look.lost, look.reset) {
                return Ok(Answer::Done((self.deliver(look.index, elements), value)));
            }
        }
        Ok(Answer::Lapped)
    }

    #[inline]
    fn deliver(&mut self, index: u64, elements: u32) -> Item {
        self.info.items_read += 1;
        Item { lost: std::mem::take(&mut self.lost), ..self.segment.item(index, elements) }
    }

    /// The next item, copied to `buffer` and proved whole [slick.read.recheck], or [`Answer::Empty`] at once. [`Answer::Lapped`]:
    /// overtaken again and again, ask again.
    ///
    /// # Errors
    /// [`Error::TooSmall`] leaves the item where it is, to be read next; [`Error::Corrupt`] for what no producer leaves: the
    /// reader stays where it is.
    #[inline]
    pub fn next(&mut self, buffer: &mut [u8]) -> Result<Answer<Item>> {
        let answer = self.take(|segment, index, elements| segment.copy_item(index, elements, buffer))?;
        Ok(answer.map(|(item, ())| item))
    }

    /// The next item in memory of its own, likewise.
    ///
    /// # Errors
    /// [`Error::Corrupt`] as in [`Reader::next`].
    pub fn next_vec(&mut self) -> Result<Answer<(Item, Vec<u8>)>> {
        self.take(|segment, index, elements| {
            let mut data = vec![0; segment.item(index, elements).length];
            segment.copy_item(index, elements, &mut data).map(|()| data)
        })
    }

    /// As [`Reader::next`], but polls for an item until the time is up: [`Answer::Timeout`] [slick.read.timeout]. The format has
    /// no word to sleep on, so this pauses, 1 ms at most, between looks.
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub fn wait_next(&mut self, buffer: &mut [u8], wait: impl Into<Wait>) -> Result<Answer<Item>> {
        poll(wait.into(), || self.next(buffer))
    }

    /// The items that are there now, each in memory of its own.
    ///
    /// ```
    /// use shmwire::slick::{CreateOptions, Start};
    /// let queue = CreateOptions::new().size(8).element_size(3).create_local()?;
    /// queue.producer()?.write_batch(b"onetwo", 3, |_| {})?.done().expect("room enough");
    /// let read: shmwire::Result<Vec<_>> = queue.reader(Start::Oldest).items().collect();
    /// let read: Vec<_> = read?.into_iter().map(|(item, data)| (item.index, data)).collect();
    /// assert_eq!(read, [(0, b"one".to_vec()), (1, b"two".to_vec())]);
    /// # Ok::<(), shmwire::Error>(())
    /// ```
    pub fn items(&mut self) -> Items<'_> {
        Items { reader: self }
    }

    /// As many items as are there, have room in `items`, and fit into `buffer` one after the other, proved whole by one look at
    /// the reservation [slick.read.batch]. Done carries how many; [`Item::payload`] finds each. What ends a batch early comes
    /// again in the next call.
    ///
    /// # Errors
    /// [`Error::TooSmall`] when not even the first fits; [`Error::InvalidArgument`] when `items` is empty; as [`Reader::next`].
    ///
    /// ```
    /// use shmwire::slick::{CreateOptions, Item, Start};
    /// use shmwire::Answer;
    /// let queue = CreateOptions::new().size(8).element_size(3).create_local()?;
    /// queue.producer()?.write_batch(b"onetwo", 3, |_| {})?.done().expect("room enough");
    /// let (mut buffer, mut items) = ([0; 64], [Item::default(); 8]);
    /// assert_eq!(queue.reader(Start::Oldest).next_batch(&mut buffer, &mut items)?, Answer::Done(2));
    /// assert_eq!(items[1].payload(&buffer), b"two");
    /// # Ok::<(), shmwire::Error>(())
    /// ```
    pub fn next_batch(&mut self, buffer: &mut [u8], items: &mut [Item]) -> Result<Answer<usize>> {
        if items.is_empty() {
            return Err(Error::InvalidArgument("no room for items"));
        }
        for _ in 0..ROUNDS {
            let from = self.cursor();
            let copied = self.segment.copy_batch(from, buffer, items);
            let whole = self.segment.keep_whole(&mut items[..copied]);
            let last = match items[..whole].last() {
                Some(last) => *last,
                None => break, // whatever it is that the first one met, a single read says so
            };
            let lost = items[..whole].iter().fold(0_u64, |lost, item| lost.wrapping_add(item.lost));
            if self.adopt(from, last.index + u64::from(last.elements), lost, false) {
                let before = std::mem::take(&mut self.lost).wrapping_sub(lost);
                items[0].lost = items[0].lost.wrapping_add(before);
                self.info.items_read += whole as u64;
                return Ok(Answer::Done(whole));
            }
        }
        let answer = self.next(buffer)?;
        Ok(answer.map(|item| {
            items[0] = item;
            1
        }))
    }

    /// The next item where it lies, or [`Answer::Empty`]. What is read through the view is an item only if [`View::check`] says
    /// so afterwards. By a shared cursor it is taken before that is known.
    ///
    /// # Errors
    /// [`Error::Corrupt`] as in [`Reader::next`].
    #[inline]
    pub fn next_view(&mut self) -> Result<Answer<View<'_>>> {
        let answer = self.take(|_, _, _| Ok(()))?;
        Ok(answer.map(|(item, ())| View::new(&self.segment, item)))
    }

    /// The published item with the highest index, copied to `buffer` and proved whole; the cursor stays [slick.read.last].
    ///
    /// # Errors
    /// [`Error::TooSmall`], [`Error::Corrupt`].
    pub fn last(&mut self, buffer: &mut [u8]) -> Result<Answer<Item>> {
        let segment = &*self.segment;
        for _ in 0..READ_TRIES {
            let index = match segment.last_index() {
                Some(index) => index,
                None => return Ok(Answer::Empty),
            };
            let elements = segment.slot_size(index).load_relaxed();
            if let Seen::Whole(()) = segment.examine(index, elements, || segment.copy_item(index, elements, buffer))? {
                return Ok(Answer::Done(segment.item(index, elements)));
            }
        }
        Ok(Answer::Lapped)
    }

    /// What this reader has done so far.
    #[must_use]
    pub fn info(&self) -> ReaderInfo {
        ReaderInfo { cursor: self.cursor(), ..self.info }
    }
}

/// The items that are there now: see [`Reader::items`]. Ends where there is none, and when producers overtake it all the time; an
/// error comes again, since the reader stays.
#[derive(Debug)]
pub struct Items<'a> {
    reader: &'a mut Reader,
}

impl Iterator for Items<'_> {
    type Item = Result<(Item, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        for _ in 0..READ_TRIES {
            match self.reader.next_vec() {
                Ok(Answer::Lapped) => {}
                Ok(answer) => return answer.done().map(Ok),
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}
