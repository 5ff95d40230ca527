// SPDX-License-Identifier: MIT
//! Not over an item that is being written (section 4.1 of the specification): how far everything reserved has been published or
//! passed, what producers tell each other of that, and giving up what somebody left unpublished.

use std::time::Duration;

use super::segment::{corrupt, Reserved, Segment};
use crate::atomic::fence_acquire;
use crate::error::Result;
use crate::wait::{Backoff, Deadline};

/// Why a walk from one item to the next has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsettled {
    /// Nothing is unsettled.
    Nothing,
    /// The next item is not settled; its slot holds this.
    Slot(u64),
    /// Others have reserved meanwhile what was walked over.
    Moved,
}

impl Segment {
    /// Where the last reservation begins: nothing before it can be unsettled when settled lags by more than a lap. A length that
    /// no reservation has counts as the whole ring, or as nothing.
    pub(super) fn last_start(&self, word: Reserved) -> u64 {
        word.index().saturating_sub(word.elements().min(self.size))
    }

    /// Step 2: raise `known`, below which everything is settled, as far as it goes, up to `next`.
    pub(super) fn settle(&self, known: &mut u64, next: u64) -> Result<Unsettled> {
        while *known < next {
            let at = *known;
            let d = self.data_index(at).load_acquire(); // A2: pairs with R2; its producer is done with it
            if d == at {
                let elements = self.slot_size(at).load_relaxed();
                fence_acquire(); // F5: pairs with F5; the size before we ask whether a later lap has stored it
                if self.overtaken(at, self.next_index()) {
                    return Ok(Unsettled::Moved);
                }
                if !self.fits(at, elements) || u64::from(elements) > next - at {
                    return Err(corrupt("an item that is published has an impossible size"));
                }
                *known += u64::from(elements);
            } else if d > at && d - at < self.size && d <= next {
                *known = d;
            } else if d > at && d - at >= self.size && self.next_index() > d.max(next) {
                return Ok(Unsettled::Moved);
            } else {
                return Ok(Unsettled::Slot(d));
            }
        }
        Ok(Unsettled::Nothing)
    }

    /// Step 3: raise header.settled to `known`. A value that the reservation does not cover is replaced.
    pub(super) fn tell_settled(&self, known: u64) {
        let word = self.settled();
        let mut found = word.load_acquire(); // A1: pairs with R1; one above ours brings its reservation
        while found != known && (found < known || found > self.next_index()) {
            // R1: pairs with A1; the items below, which we have seen published or passed
            match word.replace_release(found, known) {
                Ok(()) => return,
                Err(_) => found = word.load_acquire(), // A1: pairs with R1
            }
        }
    }

    /// Step 4: mark the slot of `known`, which holds `found`, so that readers pass it [slick.reserve.give-up]. Answers where they
    /// go on, and whether there is a mark; `None` when the slot has changed.
    pub(super) fn give_up(&self, known: u64, word: Reserved, found: u64) -> Option<(u64, bool)> {
        let next = word.index();
        let last = self.last_start(word);
        let otherwise = if last > known { last } else { next };
        let behind = self.first_answering(known + 1, next, next).unwrap_or(otherwise);
        if behind - known == self.size {
            return Some((behind, false)); // the mark would be an item's index
        }
        // R2: pairs with A2; what readers find behind the mark. The size stays: its owner may be storing it.
        self.data_index(known).replace_release(found, behind).ok().map(|()| (behind, true))
    }
}

/// How long a producer goes on waiting for one item. How long that has been there cannot be seen, and others may be given up with
/// it: while nobody reserves anything, all of them are as old.
#[derive(Debug)]
pub(super) struct Patience {
    stall: Duration,
    /// What is waited for, and the next free index; since when. Nothing before the first wait, which then asks a clock.
    item: Option<((u64, u64), Deadline, Backoff)>,
}

impl Patience {
    #[inline]
    pub(super) fn new(stall: Duration) -> Patience {
        Patience { stall, item: None }
    }

    /// Whether the item at `known` has been waited for long enough; pauses if not, and starts over when `known` or `next` has
    /// risen.
    pub(super) fn is_over(&mut self, known: u64, next: u64) -> bool {
        match &mut self.item {
            Some((at, deadline, backoff)) if *at == (known, next) => {
                let over = deadline.expired();
                if !over {
                    backoff.pause(*deadline);
                }
                over
            }
            _ => {
                self.item = Some(((known, next), Deadline::after(self.stall), Backoff::new()));
                false
            }
        }
    }
}
