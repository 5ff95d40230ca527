// SPDX-License-Identifier: MIT
//! Messages where they lie.

use super::layout::FRAME_OVERHEAD;
use super::segment::Segment;
use super::Message;
use crate::error::{Answer, Error, Result};

/// Bytes that [`View::each`] hands out at a time.
const PIECE: usize = 512;

/// A message where it lies in the segment, for as long as the publishers let it [shmcomm.receive.view].
///
/// A publisher may overwrite it at any moment, so there is no slice of it: bytes are copied out, all or some of them, and [`View::check`]
/// says afterwards whether what was copied is the message. A view borrows its subscriber.
///
/// ```
/// use shmwire::shmcomm::{Options, Publisher, Subscriber};
/// use shmwire::Answer;
/// use std::time::Duration;
/// # let name = format!("doc-view-{}", std::process::id());
/// let mut publisher = Publisher::open(&name, &Options::new().capacity(4096))?;
/// let mut subscriber = Subscriber::open(&name, &Options::new())?;
/// publisher.send(b"key=value")?;
/// let view = subscriber.view(Duration::ZERO)?.done().expect("it has been sent");
/// let mut key = [0; 3];
/// view.read_at(0, &mut key)?;
/// assert_eq!((view.check(), &key), (Answer::Done(()), b"key"));
/// publisher.send(&[0; 2008])?;
/// publisher.send(&[0; 2008])?; // as long as a message can be: two of them fill the ring
/// assert_eq!(view.check(), Answer::Lapped);
/// # Ok::<(), shmwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    segment: &'a Segment,
    message: Message,
}

impl<'a> View<'a> {
    /// `message` was found in the ring.
    #[inline]
    pub(super) fn new(segment: &'a Segment, message: Message) -> View<'a> {
        View { segment, message }
    }

    /// The message's sequence and so on.
    #[must_use]
    pub fn message(&self) -> Message {
        self.message
    }

    /// Whether all that was read through this view up to now is the message: [`Answer::Done`] or [`Answer::Lapped`].
    #[inline]
    pub fn check(&self) -> Answer<()> {
        if self.segment.has_passed(self.message.position) {
            Answer::Lapped
        } else {
            Answer::Done(())
        }
    }

    /// Copy out payload bytes from `offset` on; what they are worth, [`View::check`] says.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a range beyond the payload.
    #[inline]
    pub fn read_at(&self, offset: usize, to: &mut [u8]) -> Result<()> {
        if offset > self.message.length || to.len() > self.message.length - offset {
            return Err(Error::InvalidArgument("the range is beyond the payload"));
        }
        self.segment.ring.take_racing(self.message.position, FRAME_OVERHEAD, offset, to);
        Ok(())
    }

    /// Copy out the whole payload, and check it.
    ///
    /// # Errors
    /// [`Error::TooSmall`].
    #[inline]
    pub fn copy_to(&self, buffer: &mut [u8]) -> Result<Answer<()>> {
        let needed = self.message.length as u64;
        let to = buffer.get_mut(..self.message.length).ok_or(Error::TooSmall { needed })?;
        self.segment.ring.copy_out_racing(self.message.position, FRAME_OVERHEAD, to);
        Ok(self.check())
    }

    /// Hand the payload to `work` in pieces of up to 512 bytes, each a copy on the stack, and check it all at the end: for sums and
    /// parsers that need no buffer. On [`Answer::Lapped`] what `work` has made of it is worthless.
    pub fn each(&self, mut work: impl FnMut(&[u8])) -> Answer<()> {
        let mut piece = [0; PIECE];
        for done in (0..self.message.length).step_by(PIECE) {
            let part = &mut piece[..PIECE.min(self.message.length - done)];
            self.segment.ring.copy_out_racing(self.message.position, FRAME_OVERHEAD + done as u64, part);
            work(part);
        }
        self.check()
    }

    /// Where the payload lies, for those who load from it on their own account: a publisher may store there at any moment, so a
    /// reference would be wrong at any time, and plain loads are a data race unless the caller knows better. Aligned to 8, valid for
    /// `message().length` bytes while the view lives.
    #[must_use]
    #[inline]
    pub fn as_ptr(&self) -> *const u8 {
        self.segment.ring.as_ptr(self.message.position, FRAME_OVERHEAD, self.message.length)
    }
}
