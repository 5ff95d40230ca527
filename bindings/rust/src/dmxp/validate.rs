// SPDX-License-Identifier: MIT
//! Checking everything that can be checked without consuming.

use super::channel::load_cursors;
use super::layout::*;
use super::reader::Content;
use super::{Channel, Segment};
use crate::atomic::fence_acquire;
use crate::error::{Error, Result};

/// Looks at a slot that disagrees with cursors that move; each is a fresh pair of cursors and sequence.
const TRIES: u32 = 1000;

impl Segment {
    /// Check header, entries, overlaps, cursors, the sequence of every slot, and the length of every message that is there.
    /// Works read-only. On a segment in use a slot is only found wrong when neither it nor the cursors move.
    ///
    /// # Errors
    /// The first finding: [`Error::BadMagic`], [`Error::BadVersion`], [`Error::BadGeometry`] or [`Error::Corrupt`], with the
    /// channel and what is wrong.
    pub fn validate(&self) -> Result<()> {
        self.check_header()?;
        for id in 0..MAX_CHANNELS {
            match self.attach(id) {
                Err(Error::NotFound) => {}
                channel => channel?.check_slots()?,
            }
        }
        Ok(())
    }
}

impl Channel {
    fn check_slots(&self) -> Result<()> {
        for index in 0..self.capacity() {
            let mut tries = 0;
            while let Err(error) = self.check_slot(index) {
                tries += 1;
                if tries == TRIES || !self.moves(index) {
                    return if self.is_removed() { Ok(()) } else { Err(error) };
                }
            }
        }
        Ok(())
    }

    /// Whether cursors and slot differ between two looks.
    fn moves(&self, index: u64) -> bool {
        let look = || (load_cursors(self.entry()), self.slots.at(index).u64(SLOT_SEQUENCE_OFFSET).load_acquire());
        let before = look();
        std::thread::yield_now();
        before.0.is_none() || before != look()
    }

    /// The state of slot `index` follows from the cursors. Let next be its first position at or after tail, and last the one
    /// a lap before: the slot is free for next, or holds last, claimed or published.
    fn check_slot(&self, index: u64) -> Result<()> {
        let (head, tail) = match load_cursors(self.entry()) {
            Some(cursors) => cursors,
            None => return Ok(()),
        };
        let slot = self.slots.at(index);
        // A2: pairs with R2; the sequence before meta and payload
        let sequence = slot.u64(SLOT_SEQUENCE_OFFSET).load_acquire();
        let next = tail.wrapping_add(index.wrapping_sub(tail) & (self.capacity() - 1));
        let last = next.wrapping_sub(self.capacity());
        let was_claimed = next >= self.capacity();
        let queued = was_claimed && last.wrapping_sub(head) < tail.wrapping_sub(head);
        let state = if sequence == next {
            !queued
        } else if sequence == last.wrapping_add(1) {
            was_claimed
        } else {
            sequence == last && queued
        };
        if !state {
            return Err(self.corrupt("the sequence of a slot is impossible"));
        }
        let content = self.content(slot);
        fence_acquire();
        let published = queued && sequence == last.wrapping_add(1) && slot.u64(SLOT_SEQUENCE_OFFSET).load_relaxed() == sequence;
        if published && content == Content::Impossible {
            return Err(self.corrupt("payload_len is above the payload capacity"));
        }
        Ok(())
    }
}
