// SPDX-License-Identifier: MIT
//! Producing in two steps: claim a slot, fill it in place, publish it (section 5 of the specification).

use std::fmt;
use std::ops::Deref;

use super::layout::{MESSAGE_TOMBSTONE, SLOT_SEQUENCE_OFFSET};
use super::{Channel, Meta};
use crate::atomic::Position;
use crate::error::{Error, Result};

/// A position that was claimed and not yet published: to be filled with [`Claim::write`] and committed.
///
/// Dropping it abandons the position: a tombstone is published, which consumers pass over [dmxp.produce.abandon].
#[must_use = "dropping a claim abandons it"]
pub struct Claim<'a> {
    channel: Holder<'a>,
    /// `None` when it has been published.
    position: Option<Position>,
}

/// The channel that a claim belongs to. Small, because a refused commit hands the claim back.
enum Holder<'a> {
    Borrowed(&'a Channel),
    Owned(Box<Channel>),
}

impl Deref for Holder<'_> {
    type Target = Channel;

    #[inline]
    fn deref(&self) -> &Channel {
        match self {
            Holder::Borrowed(channel) => channel,
            Holder::Owned(channel) => channel,
        }
    }
}

/// A commit that was refused, with the claim that it leaves in place. `?` turns it into the [`Error`] and abandons the claim.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Refused<'a> {
    /// Why.
    #[source]
    pub error: Error,
    /// The claim, as it was.
    pub claim: Claim<'a>,
}

impl From<Refused<'_>> for Error {
    fn from(refused: Refused<'_>) -> Error {
        refused.error
    }
}

impl<'a> Claim<'a> {
    #[inline]
    pub(super) fn new(channel: &'a Channel, position: Position) -> Claim<'a> {
        Claim { channel: Holder::Borrowed(channel), position: Some(position) }
    }

    /// The position that was claimed.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position.as_ref().map_or(0, Position::value)
    }

    /// Bytes that may be written.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.channel.payload_capacity()
    }

    /// Write `data` into the payload at `offset`. What the commit declares and nobody wrote is what the slot held before.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when it does not fit; then nothing is written.
    pub fn write(&mut self, offset: usize, data: &[u8]) -> Result<()> {
        let place = self.channel.write_place;
        let (length, limit) = ((offset as u64).saturating_add(data.len() as u64), place.capacity);
        if length > limit {
            return Err(Error::TooLarge { length, limit });
        }
        if let Some(position) = &mut self.position {
            self.channel.slots.turn(position).copy_in(place.offset + offset as u64, data);
        }
        Ok(())
    }

    /// Publish the first `length` bytes that stand in the payload. Answers the position.
    ///
    /// # Errors
    /// [`Error::TooLarge`] and, for flags with bit 15, [`Error::InvalidArgument`] leave the claim as it was, inside of the error;
    /// [`Error::OutOfOrder`] when recovery has ended it.
    pub fn commit(mut self, length: usize, meta: &Meta) -> std::result::Result<u64, Refused<'a>> {
        let at = self.position();
        match self.channel.check_message(length, meta).and_then(|()| self.publish(length as u32, meta.flags, meta)) {
            Ok(()) => Ok(at),
            Err(error) => Err(Refused { error, claim: self }),
        }
    }

    /// Give the position up, as dropping does, but say so.
    ///
    /// # Errors
    /// [`Error::OutOfOrder`] when recovery has ended the claim.
    pub fn abandon(mut self) -> Result<()> {
        self.publish_tombstone()
    }

    /// Leave the position claimed, as a process that dies does. Only recovery gets the channel going again: for tests of it.
    pub fn leave_stalled(mut self) {
        self.position = None;
    }

    /// The same claim with a channel handle of its own, to be kept anywhere.
    pub fn into_owned(mut self) -> Claim<'static> {
        Claim { channel: Holder::Owned(Box::new(self.channel.clone())), position: self.position.take() }
    }

    fn publish_tombstone(&mut self) -> Result<()> {
        self.publish(0, MESSAGE_TOMBSTONE, &Meta::new())
    }

    fn publish(&mut self, length: u32, flags: u16, meta: &Meta) -> Result<()> {
        let position = self.position.take().ok_or(Error::OutOfOrder)?;
        let at = position.value();
        if self.channel.slots.at(at).u64(SLOT_SEQUENCE_OFFSET).load_relaxed() != at {
            return Err(Error::OutOfOrder);
        }
        self.channel.fill_meta(&position, length, flags, meta);
        self.channel.publish(position);
        self.channel.wake(1);
        Ok(())
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        // There is nobody to tell, and nothing to do, when the claim is over.
        let _ = self.publish_tombstone();
    }
}

impl fmt::Debug for Claim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("channel", &self.channel.id()).field("position", &self.position).finish()
    }
}
