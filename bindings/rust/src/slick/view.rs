// SPDX-License-Identifier: MIT
//! Items where they lie.

use std::sync::Arc;

use super::segment::Segment;
use super::Item;
use crate::error::{Answer, Error, Result};

/// Bytes that [`View::each`] hands out at a time.
const PIECE: usize = 512;

/// An item where it lies in the segment, for as long as the producers let it [slick.read.view].
///
/// A producer may overwrite it at any moment, so there is no slice of it: bytes are copied out, all or some of them, and
/// [`View::check`] says afterwards whether what was copied is the item. A view borrows its reader, so that it costs nothing;
/// [`View::keep`] makes one that may stay while the reader goes on.
///
/// ```
/// use shmwire::slick::{CreateOptions, Start};
/// use shmwire::Answer;
/// let queue = CreateOptions::new().size(2).element_size(9).create_local()?;
/// let mut producer = queue.producer()?;
/// producer.write(b"key=value")?.done().expect("indices are not used up");
/// let mut reader = queue.reader(Start::Oldest);
/// let view = reader.next_view()?.done().expect("it has been written");
/// let mut key = [0; 3];
/// view.read_at(0, &mut key)?;
/// assert_eq!((view.check(), &key), (Answer::Done(()), b"key"));
/// producer.write_batch(b"new=item1new=item2", 9, |_| {})?.done().expect("nobody waits for readers");
/// assert_eq!(view.check(), Answer::Lapped);
/// # Ok::<(), shmwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    segment: &'a Arc<Segment>,
    item: Item,
}

/// A [`View`] that borrows nothing: it keeps the segment mapped instead, which costs a count that threads share.
#[derive(Clone, Debug)]
pub struct KeptView {
    segment: Arc<Segment>,
    item: Item,
}

impl KeptView {
    /// The view itself.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View { segment: &self.segment, item: self.item }
    }
}

impl<'a> View<'a> {
    /// `item` is within the ring.
    #[inline]
    pub(super) fn new(segment: &'a Arc<Segment>, item: Item) -> View<'a> {
        View { segment, item }
    }

    /// The same view for longer than its reader can be spared.
    #[must_use]
    pub fn keep(&self) -> KeptView {
        KeptView { segment: Arc::clone(self.segment), item: self.item }
    }

    /// The item's index and so on.
    #[inline]
    #[must_use]
    pub fn item(&self) -> Item {
        self.item
    }

    /// Whether all that was read through this view up to now is the item: [`Answer::Done`] or [`Answer::Lapped`].
    #[inline]
    pub fn check(&self) -> Answer<()> {
        let next = self.segment.next_index_after_copy();
        let covered = next > self.item.index && next - self.item.index >= self.item.elements.into(); // not after a reset
        if covered && !self.segment.overtaken(self.item.index, next) {
            Answer::Done(())
        } else {
            Answer::Lapped
        }
    }

    #[inline]
    fn at(&self) -> usize {
        self.segment.elements.at(self.item.index)
    }

    /// Copy out payload bytes from `offset` on; what they are worth, [`View::check`] says.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a range beyond the payload.
    #[inline]
    pub fn read_at(&self, offset: usize, to: &mut [u8]) -> Result<()> {
        if offset > self.item.length || to.len() > self.item.length - offset {
            return Err(Error::InvalidArgument("the range is beyond the payload"));
        }
        self.segment.elements.copy_out_racing(self.at() + offset, to);
        Ok(())
    }

    /// Copy out the whole payload, and check it.
    ///
    /// # Errors
    /// [`Error::TooSmall`].
    pub fn copy_to(&self, buffer: &mut [u8]) -> Result<Answer<()>> {
        self.segment.copy_item(self.item.index, self.item.elements, buffer)?;
        Ok(self.check())
    }

    /// Hand the payload to `work` in pieces of up to 512 bytes, each a copy on the stack, and check it all at the end: for sums
    /// and parsers that need no buffer. On [`Answer::Lapped`] what `work` has made of it is worthless.
    pub fn each(&self, mut work: impl FnMut(&[u8])) -> Answer<()> {
        let mut piece = [0; PIECE];
        for done in (0..self.item.length).step_by(PIECE) {
            let part = &mut piece[..PIECE.min(self.item.length - done)];
            self.segment.elements.copy_out_racing(self.at() + done, part);
            work(part);
        }
        self.check()
    }

    /// Where the payload lies, for those who load from it on their own account: a producer may store there at any moment, so a
    /// reference would be wrong at any time, and plain loads are a data race unless the caller knows better. Valid for
    /// `item().length` bytes while the reader, or the kept view, lives.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.segment.elements.as_ptr(self.at(), self.item.length)
    }
}
