// SPDX-License-Identifier: MIT
//! Sharing the work: a cursor that several readers take items by (section 5.1 of the specification).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::layout::*;
use super::{Queue, Start};
use crate::atomic::Word64;
use crate::bytes::{CursorMemory, Pinned};
use crate::error::{Error, Result};
use crate::map::Map;
use crate::wait::Deadline;

/// A cursor that several readers take items by, in any number of processes: each item goes to one of them. Cheap to clone.
///
/// ```
/// use shmwire::slick::{CreateOptions, Cursor, Start};
/// let queue = CreateOptions::new().size(8).element_size(1).create_local()?;
/// let cursor = Cursor::local(&queue, Start::Oldest)?;
/// let mut consumers = [queue.consumer(&cursor), queue.consumer(&cursor)];
/// queue.producer()?.write_batch(b"ab", 1, |_| {})?.done().expect("room enough");
/// let mut taken = consumers.iter_mut().map(|consumer| consumer.next_vec().map(|answer| answer.done().map(|(_, data)| data)));
/// assert_eq!(taken.next().expect("two consumers")?, Some(b"a".to_vec()));
/// assert_eq!(taken.next().expect("two consumers")?, Some(b"b".to_vec()));
/// # Ok::<(), shmwire::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cursor(Arc<Place>);

#[derive(Debug)]
enum Place {
    Mapped(Pinned<CURSOR_SIZE>),
    Lent(CursorMemory),
}

impl Cursor {
    /// Make a cursor in a segment of its own, standing where `start` says in the queue. Openers may come when it has been made: a
    /// moment earlier they find index 0.
    ///
    /// # Errors
    /// [`Error::Exists`] when the name is taken, and then nothing is touched; [`Error::InvalidName`], [`Error::Permission`],
    /// [`Error::System`].
    pub fn create(locator: impl AsRef<Path>, queue: &Queue, start: Start) -> Result<Cursor> {
        let map = Map::create(locator.as_ref(), CURSOR_SIZE, CURSOR_SIZE, DEFAULT_MODE)?;
        Cursor::of_map(map).map(|cursor| cursor.set(queue, start))
    }

    /// Make a cursor without a name, for the threads of this process and the children that it forks.
    ///
    /// # Errors
    /// [`Error::System`] (no memory).
    pub fn local(queue: &Queue, start: Start) -> Result<Cursor> {
        Cursor::of_map(Map::create_local(CURSOR_SIZE)?).map(|cursor| cursor.set(queue, start))
    }

    /// Attach to the cursor in a segment that is there.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Truncated`] (below 8 bytes), [`Error::InvalidName`], [`Error::Permission`],
    /// [`Error::System`].
    pub fn open(locator: impl AsRef<Path>) -> Result<Cursor> {
        Cursor::of_map(Map::open(locator.as_ref(), false, CURSOR_SIZE, Deadline::after(Duration::ZERO))?)
    }

    /// Use a cursor that the application keeps, as it stands there.
    #[must_use]
    pub fn at(memory: CursorMemory) -> Cursor {
        Cursor(Arc::new(Place::Lent(memory)))
    }

    fn of_map(map: Map) -> Result<Cursor> {
        let map = Arc::new(map);
        let pinned = Pinned::new(&map, 0).ok_or_else(|| Error::Truncated { size: map.len(), needed: CURSOR_SIZE })?;
        Ok(Cursor(Arc::new(Place::Mapped(pinned))))
    }

    fn set(self, queue: &Queue, start: Start) -> Cursor {
        self.store(queue.segment.place_of(start));
        self
    }

    /// Index of the next item that nobody has taken.
    #[must_use]
    #[inline]
    pub fn next_index(&self) -> u64 {
        self.word().load_acquire() // A4: pairs with R4; the reservations that it rests on
    }

    pub(super) fn store(&self, index: u64) {
        self.word().store_release(index); // R4: pairs with A4; the reservation that the index was found by
    }

    /// Take what lies between, if nobody else has [slick.share.once].
    #[inline]
    pub(super) fn take(&self, from: u64, to: u64) -> bool {
        self.word().replace_release(from, to).is_ok() // R4: pairs with A4; the reservations that the taken items rest on
    }

    #[inline]
    fn word(&self) -> Word64<'_> {
        match &*self.0 {
            Place::Mapped(pinned) => pinned.area().u64(CURSOR_NEXT_OFFSET),
            Place::Lent(memory) => memory.word(),
        }
    }
}
