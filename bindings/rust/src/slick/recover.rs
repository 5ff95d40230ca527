// SPDX-License-Identifier: MIT
//! Reset, and passing what dead producers left (section 6 of the specification).

use super::layout::NO_INDEX;
use super::queue::Queue;
use super::segment::{Reserved, Segment};
use super::settle::Unsettled;
use super::Generation;
use crate::error::{Error, Result};

impl Queue {
    /// Forget everything: index 0 comes next. Only for a queue at rest: whoever is in the middle of a call meanwhile may tear or
    /// miss items [slick.reset.clear].
    ///
    /// # Errors
    /// [`Error::Permission`] for a queue that was opened read-only.
    pub fn reset(&self) -> Result<()> {
        let segment = &self.segment;
        segment.check_writable()?;
        segment.clear_slots();
        if segment.generation == Generation::V1_4 {
            segment.last_published().store_release(NO_INDEX); // R3: pairs with A3; there is nothing to name
        }
        segment.settled().store_release(0); // R1: pairs with A1; there is nothing below
        segment.reserved().store_release(0); // R6: pairs with A6; everything before it
        Ok(())
    }

    /// Mark what dead producers reserved and never published, so that readers come past it [slick.recover.holes,
    /// slick.recover.last]. `all_dead` is the operator's word that no producer lives. Processes in pid namespaces that this one
    /// cannot see are not noticed: give the word only when you know. Answers how many marks were made.
    ///
    /// # Errors
    /// [`Error::Busy`] without that word, when another process maps the segment or when that cannot be told, and when somebody is
    /// seen to produce [slick.recover.dead]; [`Error::Corrupt`] for what no death explains; [`Error::Permission`].
    pub fn recover(&self, all_dead: bool) -> Result<u64> {
        self.segment.check_writable()?;
        if !all_dead {
            self.segment.map().check_exclusive()?;
        }
        let holes = self.segment.fill_holes()?;
        if let Some(newest) = self.segment.newest(self.segment.next_index()) {
            self.segment.raise_last(newest);
        }
        Ok(holes)
    }
}

impl Segment {
    fn fill_holes(&self) -> Result<u64> {
        let word = Reserved(self.reserved().load_acquire()); // A6: pairs with R6; settled after it
        let next = word.index();
        let mut known = self.first_unsettled(word);
        let mut holes = 0;
        loop {
            let found = match self.settle(&mut known, next)? {
                Unsettled::Nothing => break,
                Unsettled::Moved => return Err(Error::Busy),
                Unsettled::Slot(found) => found,
            };
            let (behind, marked) = self.give_up(known, word, found).ok_or(Error::Busy)?;
            known = behind;
            holes += u64::from(marked);
        }
        self.tell_settled(known);
        Ok(holes)
    }

    /// Where to begin: everything below is settled, or overwritten.
    fn first_unsettled(&self, word: Reserved) -> u64 {
        let next = word.index();
        let from = self.lap_start(next);
        let settled = self.settled().load_acquire(); // A1: pairs with R1
        if (from..=next).contains(&settled) {
            settled
        } else if from == 0 {
            0
        } else {
            self.first_answering(from, next, next).unwrap_or_else(|| self.last_start(word))
        }
    }
}
