// SPDX-License-Identifier: MIT
//! Looking for the next item from a cursor on, without storing anything (section 5 of the specification, steps 1 to 7). Readers
//! with cursors of their own and those who share one both look this way, and differ in what they do with the outcome.

use super::layout::READ_TRIES;
use super::segment::{corrupt, Reserved, Segment};
use super::{Generation, Item};
use crate::atomic::fence_acquire;
use crate::error::{Answer, Error, Result};

/// A look from a cursor on: where it has come to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) index: u64,
    /// Indices that it passed because they had been overwritten.
    pub(super) lost: u64,
    /// Whether it began again at index 0, because the queue had been reset.
    pub(super) reset: bool,
    tries: u32,
    marks: u64,
}

/// What stands in the slot that a look has come to.
pub(super) enum Arrival {
    /// An item begins here, with so many elements as far as the slot says.
    Item(u32),
    /// Nothing is published here.
    Nothing,
    /// More marks than a ring has slots: the producers are faster.
    Lapped,
}

/// Why a look has come to no item.
#[derive(Clone, Copy, Debug)]
enum End {
    Empty,
    Lapped,
}

/// What became of an item while it was used.
pub(super) enum Seen<T> {
    /// It was whole all the time.
    Whole(T),
    Overtaken,
    /// The reservation does not cover it.
    Uncovered,
}

impl Look {
    #[inline]
    pub(super) fn from(index: u64) -> Look {
        Look { index, lost: 0, reset: false, tries: 0, marks: 0 }
    }
}

impl Segment {
    /// Steps 1 and 3: go on along marks and later laps to where an item is, or is to come.
    #[inline]
    pub(super) fn arrive(&self, look: &mut Look) -> Arrival {
        loop {
            let d = self.data_index(look.index).load_acquire(); // A2: pairs with R2; size and elements after it
            if d == look.index {
                return Arrival::Item(self.slot_size(d).load_relaxed());
            }
            if let Some(arrival) = self.follow(look, d) {
                return arrival;
            }
        }
    }

    /// The slot holds another index than ours; `None` for a mark, which has been followed.
    #[cold]
    fn follow(&self, look: &mut Look, d: u64) -> Option<Arrival> {
        let index = look.index;
        // NO_INDEX is above every reservation [slick.read.uncovered]
        if d < index || d > self.next_index() {
            return Some(Arrival::Nothing);
        }
        let passed = (d - index) & (self.size - 1);
        look.lost += (d - index) - passed; // what a mark leads over is not lost [slick.read.mark, slick.read.lapped]
        look.index = d;
        if passed == 0 {
            return Some(Arrival::Item(self.slot_size(d).load_relaxed()));
        }
        look.marks += 1;
        (look.marks > self.size).then_some(Arrival::Lapped) // [slick.read.bounded]
    }

    /// Step 2; `None`: look again.
    #[cold]
    fn find_nothing(&self, look: &mut Look) -> Option<End> {
        let next = self.next_index();
        if next < look.index {
            if look.reset {
                return Some(End::Empty);
            }
            look.reset = true; // [slick.read.reset]
            look.index = 0;
            return None;
        }
        if self.overtaken(look.index, next) {
            return self.catch_up(look);
        }
        Some(End::Empty) // [slick.read.empty]
    }

    /// Step 7: on at the oldest item that is whole [slick.read.oldest]; `None`: look again.
    #[cold]
    fn catch_up(&self, look: &mut Look) -> Option<End> {
        let next = self.next_index();
        if self.overtaken(look.index, next) {
            let oldest = match self.first_answering(self.lap_start(next), next, next) {
                Some(oldest) => oldest,
                None => return Some(End::Empty),
            };
            look.lost += oldest - look.index;
            look.index = oldest;
        }
        // Else it has been reset meanwhile: that counts too, since nobody can have done so very often.
        look.tries += 1;
        (look.tries == READ_TRIES).then_some(End::Lapped)
    }

    /// The next free index, once something was copied.
    #[inline]
    pub(super) fn next_index_after_copy(&self) -> u64 {
        fence_acquire(); // F5: pairs with F5; our loads of elements and size before the reservation
        self.next_index()
    }

    /// Steps 5 and 6: let `work` use the item at `index`, which lies within the ring, and see whether it was whole meanwhile
    /// [slick.read.recheck].
    #[inline]
    pub(super) fn examine<T>(&self, index: u64, elements: u32, work: impl FnOnce() -> Result<T>) -> Result<Seen<T>> {
        let fits = self.fits(index, elements);
        let result = if fits { work() } else { Err(corrupt("an item has an impossible size")) };
        let next = self.next_index_after_copy();
        if self.overtaken(index, next) {
            Ok(Seen::Overtaken)
        } else if next <= index {
            Ok(Seen::Uncovered)
        } else if fits && u64::from(elements) > next - index {
            Err(corrupt("an item passes the reservation")) // [slick.read.bounds]
        } else {
            result.map(Seen::Whole)
        }
    }

    /// Find the next item, and let `work` use it, which gets its index and elements. Answers the elements with what `work` made
    /// of them; look.index is the item's then.
    #[inline]
    pub(super) fn take<T>(&self, look: &mut Look, mut work: impl FnMut(u64, u32) -> Result<T>) -> Result<Answer<(u32, T)>> {
        loop {
            let end = match self.arrive(look) {
                Arrival::Lapped => Some(End::Lapped),
                Arrival::Nothing => self.find_nothing(look),
                Arrival::Item(elements) => match self.examine(look.index, elements, || work(look.index, elements))? {
                    Seen::Whole(value) => return Ok(Answer::Done((elements, value))),
                    Seen::Overtaken => self.catch_up(look),
                    Seen::Uncovered => self.find_nothing(look),
                },
            };
            match end {
                None => {}
                Some(End::Empty) => return Ok(Answer::Empty),
                Some(End::Lapped) => return Ok(Answer::Lapped),
            }
        }
    }

    /// The item at `index` as it is delivered.
    #[inline]
    pub(super) fn item(&self, index: u64, elements: u32) -> Item {
        let length = elements as usize * self.element_size as usize;
        Item { index, lost: 0, elements, length, offset: 0 }
    }

    /// Copy the item at `index` to the front of `buffer`.
    #[inline]
    pub(super) fn copy_item(&self, index: u64, elements: u32, buffer: &mut [u8]) -> Result<()> {
        let length = self.item(index, elements).length;
        let to = buffer.get_mut(..length).ok_or(Error::TooSmall { needed: length as u64 })?;
        self.elements.copy_out_racing(self.elements.at(index), to);
        Ok(())
    }

    /// Where the last item is, as far as can be told [slick.read.last].
    pub(super) fn last_index(&self) -> Option<u64> {
        let last = self.last_published().load_acquire(); // A3: pairs with R3; the item that it names, and its reservation
        let word = Reserved(self.reserved().load_relaxed());
        let next = word.index();
        let candidate = match self.generation {
            Generation::V1_4 => last,
            _ => next.wrapping_sub(word.elements()),
        };
        let in_lap = candidate >= self.lap_start(next) && candidate < next;
        // A2: pairs with R2; size and elements after it
        if in_lap && self.data_index(candidate).load_acquire() == candidate && self.is_last(candidate, next) {
            return Some(candidate);
        }
        self.newest(next)
    }

    /// Before generation 1.4 the candidate is where the last reservation begins, which may hold more items than one.
    fn is_last(&self, candidate: u64, next: u64) -> bool {
        self.generation == Generation::V1_4 || u64::from(self.slot_size(candidate).load_relaxed()) == next - candidate
    }
}
