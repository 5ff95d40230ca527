// SPDX-License-Identifier: MIT
//! Producing in two steps: reserve elements, fill them in place, publish them.

use super::writer::Producer;
use crate::error::{Answer, Error, Result};

/// A claim as its producer keeps it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) index: u64,
    pub(super) elements: u32,
    /// The process that made it: a child forked meanwhile has a copy, and must leave it alone.
    pub(super) owner: u32,
}

/// Elements that were reserved: to be filled with [`Claim::write`] and published.
///
/// Dropping it abandons them: readers pass over. Two claims stay open instead, and [`Producer::open_claim`] has them again: one
/// that was [kept](Claim::keep), and one whose abandoning was refused. A claim of the whole ring that is dropped is left as by a
/// producer that died, since it cannot be abandoned: the next reservation waits for it, and gives it up.
#[must_use = "dropping a claim abandons it"]
#[derive(Debug)]
pub struct Claim<'a> {
    /// With an open claim, until this has ended it.
    producer: &'a mut Producer,
    kept: bool,
}

impl<'a> Claim<'a> {
    pub(super) fn new(producer: &'a mut Producer) -> Claim<'a> {
        Claim { producer, kept: false }
    }

    fn open(&self) -> Open {
        self.producer.open.unwrap_or(Open { index: 0, elements: 0, owner: 0 })
    }

    /// Index of the first element.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.open().index
    }

    /// Elements.
    #[must_use]
    pub fn elements(&self) -> u32 {
        self.open().elements
    }

    /// Bytes that may be written: elements x element_size.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.elements() as usize * self.producer.segment.element_size as usize
    }

    /// Write `data` into the elements, `offset` bytes behind the start of the first. What nobody writes is what an earlier lap
    /// left.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when it does not fit; then nothing is written.
    pub fn write(&mut self, offset: usize, data: &[u8]) -> Result<()> {
        let limit = self.capacity();
        if offset > limit || data.len() > limit - offset {
            let length = (offset as u64).saturating_add(data.len() as u64);
            return Err(Error::TooLarge { length, limit: limit as u64 });
        }
        let elements = &self.producer.segment.elements;
        elements.copy_in_racing(elements.at(self.index()) + offset, data);
        Ok(())
    }

    /// Where the elements lie, for those who store to them on their own account: `capacity` bytes, aligned only as the element
    /// size makes it, valid until the claim ends. A reader that is behind may be loading them at any moment, and throws away what
    /// it gets.
    #[must_use]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        let elements = &self.producer.segment.elements;
        elements.as_ptr(elements.at(self.index()), self.capacity())
    }

    /// Publish the item. Done carries its index. [`Answer::Lapped`]: somebody gave it up meanwhile, and it is not published
    /// [slick.publish.given-up].
    ///
    /// # Errors
    /// [`Error::OutOfOrder`] in a child that was forked while the claim was open: it is the parent's.
    pub fn publish(mut self) -> Result<Answer<u64>> {
        let index = self.index();
        let answer = self.end(index)?;
        if let Answer::Done(()) = answer {
            self.producer.segment.raise_last(index);
        }
        Ok(answer.map(|()| index))
    }

    /// Give the elements up, as dropping does, but say so [slick.publish.abandon].
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a claim of the whole ring, which stays open; [`Error::OutOfOrder`] as for [`Claim::publish`].
    pub fn abandon(mut self) -> Result<Answer<()>> {
        if u64::from(self.elements()) == self.producer.segment.size {
            self.kept = true;
            return Err(Error::Unsupported("a claim of the whole ring cannot be abandoned"));
        }
        let behind = self.index() + u64::from(self.elements());
        self.end(behind)
    }

    /// Leave the claim open. Until it is taken up again by [`Producer::open_claim`], the producer's reservations are
    /// [`Error::Busy`].
    pub fn keep(mut self) {
        self.kept = true;
    }

    /// Leave the elements reserved, as a process that dies does: for tests of what others make of it.
    pub fn leave_stalled(mut self) {
        self.producer.open = None;
        self.kept = true;
    }

    fn end(&mut self, value: u64) -> Result<Answer<()>> {
        self.kept = true; // nothing is left to do for drop
        let open = self.producer.open.take().ok_or(Error::OutOfOrder)?;
        if open.owner != self.producer.segment.map().pid() {
            return Err(Error::OutOfOrder);
        }
        Ok(self.producer.finish(open.index, open.elements.into(), value))
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if u64::from(self.elements()) == self.producer.segment.size {
            self.producer.open = None;
        } else {
            // There is nobody to tell, and nothing to do, when somebody gave it up or it is another process's.
            let behind = self.index() + u64::from(self.elements());
            let _ = self.end(behind);
        }
    }
}
