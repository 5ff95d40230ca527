// SPDX-License-Identifier: MIT
//! Sending in two steps: reserve a message, fill it in place, publish it.

use super::layout::FRAME_OVERHEAD;
use super::segment::extent_of;
use super::writer::Writer;
use super::Meta;
use crate::error::{Answer, Error, Result};
use crate::wait::{Deadline, Wait};

/// A claim as its writer keeps it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    /// Position of the frame.
    at: u64,
    length: usize,
    meta: Meta,
}

impl Writer {
    pub(super) fn claim(&mut self, length: usize, meta: &Meta, wait: Wait) -> Result<Answer<Claim<'_>>> {
        self.check_length(length)?;
        let answer = self.attempt(wait, |writer, deadline| writer.try_claim(length, deadline))?;
        Ok(answer.map(move |at| {
            self.open = Some(Open { at, length, meta: *meta });
            Claim { writer: self, kept: false }
        }))
    }

    /// Steps 1 to 5. Done carries the position of the frame, and the lock is ours then.
    fn try_claim(&mut self, length: usize, deadline: &dyn Fn() -> Deadline) -> Result<Answer<u64>> {
        if self.begin(deadline)? == Answer::Closed {
            return Ok(Answer::Closed);
        }
        match self.make_room(extent_of(length as u64)) {
            Ok(true) => {
                let at = self.reserve(length as u64);
                if length % 8 != 0 {
                    // The zeros between payload and extent. What is stored in front of them keeps the rest of the word.
                    let last = FRAME_OVERHEAD + (length - length % 8) as u64;
                    self.segment().ring.word(at, last).store_relaxed(0);
                }
                Ok(Answer::Done(at))
            }
            refused => {
                self.end();
                refused.map(|_| Answer::Full)
            }
        }
    }

    pub(super) fn open_claim(&mut self) -> Option<Claim<'_>> {
        self.open.is_some().then(move || Claim { writer: self, kept: false })
    }
}

/// A message that is being filled in place: to be written with [`Claim::write`] and committed. Dropping it abandons it, and nothing
/// was visible [shmcomm.send.claim].
///
/// While it is open, the writers' lock is this endpoint's: be quick. One that was [kept](Claim::keep) stays open, and makes every call
/// that sends [`Error::Busy`], until `open_claim` takes it up again or its endpoint is dropped.
///
/// ```
/// use shmwire::shmcomm::{Meta, Options, Publisher};
/// use std::time::Duration;
/// # let name = format!("doc-claim-{}", std::process::id());
/// let mut publisher = Publisher::open(&name, &Options::new())?;
/// let mut claim = publisher.claim(8, &Meta::new())?.done().expect("publishers always have room");
/// claim.write(0, b"in ")?;
/// claim.write(3, b"place")?;
/// assert_eq!(claim.commit()?, 0); // its sequence
/// # Ok::<(), shmwire::Error>(())
/// ```
#[must_use = "dropping a claim abandons it"]
#[derive(Debug)]
pub struct Claim<'a> {
    /// With an open claim, until this has ended it.
    writer: &'a mut Writer,
    kept: bool,
}

impl Claim<'_> {
    /// Bytes of payload.
    #[must_use]
    pub fn length(&self) -> usize {
        self.writer.open.map_or(0, |open| open.length)
    }

    /// Write `data` into the payload, from `offset` on. What nobody writes is what stood in the ring.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when it does not fit, and then nothing is written; [`Error::OutOfOrder`] in a child that was forked while the
    /// claim was open: it is the parent's.
    pub fn write(&mut self, offset: usize, data: &[u8]) -> Result<()> {
        let open = self.ours()?;
        if offset > open.length || data.len() > open.length - offset {
            let length = (offset as u64).saturating_add(data.len() as u64);
            return Err(Error::TooLarge { length, limit: open.length as u64 });
        }
        self.writer.segment().ring.put_racing(open.at, FRAME_OVERHEAD, offset, data);
        Ok(())
    }

    /// Set the time of sending, in nanoseconds since the Unix epoch; without it, and without one in the claim's meta, it is that of the
    /// commit.
    pub fn set_timestamp_ns(&mut self, time: u64) {
        if let Some(open) = &mut self.writer.open {
            open.meta = open.meta.timestamp_ns(time);
        }
    }

    /// Where the payload lies, for those who store to it on their own account: [`Claim::length`] bytes, aligned to 8, valid until the claim
    /// ends; not in a child that was forked meanwhile. A subscriber that is behind may be loading them at any moment, and throws away
    /// what it gets.
    #[must_use]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        match self.writer.open {
            Some(open) => self.writer.segment().ring.as_ptr(open.at, FRAME_OVERHEAD, open.length),
            None => std::ptr::null_mut(),
        }
    }

    /// Publish the message. Answers its sequence.
    ///
    /// # Errors
    /// [`Error::OutOfOrder`] as for [`Claim::write`].
    pub fn commit(mut self) -> Result<u64> {
        let open = self.end()?;
        let writer = &mut *self.writer;
        let stamp = writer.stamp(&open.meta, 0);
        writer.fill(open.at, open.length as u64, &stamp);
        let sequence = writer.written().wrapping_sub(1);
        writer.publish();
        writer.sent += 1;
        Ok(sequence)
    }

    /// Give it up, as dropping does, but say so.
    ///
    /// # Errors
    /// [`Error::OutOfOrder`] as for [`Claim::write`].
    pub fn abandon(mut self) -> Result<()> {
        self.end()?;
        self.writer.end();
        Ok(())
    }

    /// Leave the claim open.
    pub fn keep(mut self) {
        self.kept = true;
    }

    fn ours(&self) -> Result<Open> {
        self.writer.endpoint.file()?;
        self.writer.open.ok_or(Error::OutOfOrder)
    }

    /// It is over, and nothing is left to do for drop.
    fn end(&mut self) -> Result<Open> {
        self.kept = true;
        let open = self.ours()?;
        self.writer.open = None;
        Ok(open)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.kept && self.end().is_ok() {
            self.writer.end();
        }
    }
}
