// SPDX-License-Identifier: MIT
//! Entries where they lie.

use super::segment::Segment;
use super::Entry;
use crate::error::{Answer, Error, Result};

/// Bytes that [`View::each`] hands out at a time.
const PIECE: usize = 512;

/// An entry where it lies in the segment, for as long as the writer lets it [ouroboros.read.view].
///
/// The writer may overwrite it at any moment, so there is no slice of it: bytes are copied out, all or some of them, and
/// [`View::check`] says afterwards whether what was copied is the entry. A view borrows its reader, so that it costs nothing;
/// [`View::keep`] makes one that may stay while the reader goes on.
///
/// ```
/// # let name = format!("/shmw-doc-view-{}", std::process::id());
/// # let mut log = shmwire::ouroboros::CreateOptions::new().create(&name)?;
/// # let mut reader = shmwire::ouroboros::OpenOptions::new().open(&name)?;
/// # shmwire::unlink(&name)?;
/// use shmwire::Answer;
/// log.write(b"key=value")?;
/// let view = reader.next_view()?.done().expect("it has been written");
/// let mut key = [0; 3];
/// view.read_at(0, &mut key)?;
/// if view.check() == Answer::Done(()) {
///     assert_eq!(&key, b"key");
/// }
/// let mut sum = 0;
/// let whole = view.each(|piece| sum += piece.iter().map(|&byte| u64::from(byte)).sum::<u64>());
/// assert_eq!((whole, sum), (Answer::Done(()), 931));
/// # Ok::<(), shmwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    segment: &'a Segment,
    entry: Entry,
    /// Of the payload in the segment.
    at: u64,
}

/// A [`View`] that borrows nothing: it keeps the segment mapped instead, which costs a count that threads share.
#[derive(Clone, Debug)]
pub struct KeptView {
    segment: Segment,
    entry: Entry,
    at: u64,
}

impl KeptView {
    /// The view itself.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View { segment: &self.segment, entry: self.entry, at: self.at }
    }
}

impl<'a> View<'a> {
    /// `entry` is within the segment, its payload at `at`.
    #[inline]
    pub(super) fn new(segment: &'a Segment, entry: Entry, at: u64) -> View<'a> {
        View { segment, entry, at }
    }

    /// The same view for longer than its reader can be spared.
    #[must_use]
    pub fn keep(&self) -> KeptView {
        KeptView { segment: self.segment.clone(), entry: self.entry, at: self.at }
    }

    /// The entry's sequence and so on.
    #[inline]
    #[must_use]
    pub fn entry(&self) -> Entry {
        self.entry
    }

    /// Whether all that was read through this view up to now is the entry: [`Answer::Done`] or [`Answer::Lapped`].
    #[inline]
    pub fn check(&self) -> Answer<()> {
        if self.segment.was_whole(self.entry.chunk, self.entry.token) {
            Answer::Done(())
        } else {
            Answer::Lapped
        }
    }

    /// Copy out payload bytes from `offset` on; what they are worth, [`View::check`] says.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a range beyond the payload.
    #[inline]
    pub fn read_at(&self, offset: usize, to: &mut [u8]) -> Result<()> {
        let fits = offset <= self.entry.length && to.len() <= self.entry.length - offset;
        if !fits {
            return Err(Error::InvalidArgument("the range is beyond the payload"));
        }
        // Copies begin at words: first the word that `offset` is inside of.
        let skip = offset % 4;
        let (head, rest) = to.split_at_mut(if skip == 0 { 0 } else { to.len().min(4 - skip) });
        let start = self.at + (offset - skip) as u64;
        if !head.is_empty() {
            let mut word = [0; 4];
            let part = &mut word[..skip + head.len()];
            self.segment.bytes.copy_out_racing(start, part);
            head.iter_mut().zip(&part[skip..]).for_each(|(to, byte)| *to = *byte);
        }
        let rest_at = if skip == 0 { start } else { start + 4 };
        if !rest.is_empty() {
            self.segment.bytes.copy_out_racing(rest_at, rest);
        }
        Ok(())
    }

    /// Copy out the whole payload, and check it.
    ///
    /// # Errors
    /// [`Error::TooSmall`].
    pub fn copy_to(&self, buffer: &mut [u8]) -> Result<Answer<()>> {
        let needed = self.entry.length;
        let to = buffer.get_mut(..needed).ok_or(Error::TooSmall { needed: needed as u64 })?;
        self.segment.bytes.copy_out_racing(self.at, to);
        Ok(self.check())
    }

    /// Hand the payload to `work` in pieces of up to 512 bytes, each a copy on the stack, and check it all at the end: for sums and
    /// parsers that need no buffer. On [`Answer::Lapped`] what `work` has made of it is worthless.
    pub fn each(&self, mut work: impl FnMut(&[u8])) -> Answer<()> {
        let mut piece = [0; PIECE];
        for done in (0..self.entry.length).step_by(PIECE) {
            let part = &mut piece[..PIECE.min(self.entry.length - done)];
            self.segment.bytes.copy_out_racing(self.at + done as u64, part);
            work(part);
        }
        self.check()
    }

    /// Where the payload lies, for those who load from it on their own account: the writer may store there at any moment, so a
    /// reference would be wrong at any time, and plain loads are a data race unless the caller knows better. Valid for
    /// `entry().length` bytes while the reader, or the kept view, lives.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.segment.bytes.as_ptr(self.at, self.entry.length as u64)
    }
}
