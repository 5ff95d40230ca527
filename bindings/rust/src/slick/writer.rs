// SPDX-License-Identifier: MIT
//! Producing (section 4 of the specification). A producer alone looks at no slot but that of the item it writes: what it knows to
//! be settled is in its handle. It makes two locked accesses an item, one in generations before 1.4.

use std::sync::Arc;
use std::time::Duration;

use super::claim::{Claim, Open};
use super::layout::*;
use super::segment::{corrupt, Reserved, Segment};
use super::settle::{Patience, Unsettled};
use super::Generation;
use crate::atomic::fence_release;
use crate::error::{Answer, Error, Result};

/// How far ahead of its item a producer has lines fetched, since each reservation waits for the stores before it.
const ITEMS_AHEAD: u64 = 4;

/// What a producer has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducerInfo {
    /// Items that this producer has published.
    pub items_written: u64,
    /// Reservations of others that this producer waited for in vain.
    pub given_up: u64,
}

/// One who writes items. Serves one thread at a time; each thread takes its own. Dropping it abandons a claim that is open.
#[derive(Debug)]
pub struct Producer {
    pub(super) segment: Arc<Segment>,
    /// Every index below is settled.
    pub(super) known: u64,
    /// The claim that was made and neither published nor abandoned.
    pub(super) open: Option<Open>,
    stall: Duration,
    info: ProducerInfo,
}

/// What is reserved by one swap: elements that lie side by side.
#[derive(Clone, Copy, Debug)]
struct Run {
    index: u64,
    elements: u64,
    /// Whether it is the rest of the ring, where the next item does not fit.
    padding: bool,
}

impl Segment {
    /// What to reserve for the next `count` items of `elements` each: as many of them as fit before the end of the ring, or its
    /// rest [slick.reserve.wrap].
    #[inline]
    fn place(&self, index: u64, elements: u64, count: u64) -> Run {
        let room = self.room(index);
        let items = match count {
            1 => u64::from(elements <= room),
            _ => (room.min(MAX_ELEMENTS.into()) / elements).min(count),
        };
        match items {
            0 => Run { index, elements: room, padding: true },
            items => Run { index, elements: elements * items, padding: false },
        }
    }

    /// Raise last_published to `index` [slick.publish.last].
    #[inline]
    pub(super) fn raise_last(&self, index: u64) {
        if self.generation != Generation::V1_4 {
            return;
        }
        let word = self.last_published();
        let mut found = word.load_relaxed();
        while found == NO_INDEX || found < index {
            // R3: pairs with A3; the item before the word that names it
            match word.replace_release(found, index) {
                Ok(()) => return,
                Err(now) => found = now,
            }
        }
    }

    /// Step 7: the index that the reservation of `index` has been given up in favour of.
    #[inline]
    fn given_up(&self, index: u64) -> Option<u64> {
        let d = self.data_index(index).load_acquire(); // A2: pairs with R2
        (d > index && d <= self.next_index()).then_some(d)
    }

    /// Publish the item at `index`, or pass it, with `value` as where to go on.
    #[inline]
    fn store_slot(&self, index: u64, elements: u64, value: u64) {
        self.slot_size(index).store_relaxed(elements as u32);
        self.data_index(index).store_release(value); // R2: pairs with A2; elements and size before it [slick.publish.order]
    }
}

impl Producer {
    pub(super) fn new(segment: Arc<Segment>) -> Producer {
        let stall = Duration::from_nanos(DEFAULT_STALL_NS);
        Producer { segment, known: 0, open: None, stall, info: ProducerInfo::default() }
    }

    /// How long to wait for an item that another producer has left unpublished, one lap ago, before giving it up
    /// [slick.reserve.give-up]; unset, [`DEFAULT_STALL_NS`].
    #[must_use]
    pub fn with_stall_time(mut self, stall: Duration) -> Producer {
        self.stall = stall;
        self
    }

    /// Reserve elements that lie side by side, to be filled and published. Never waits for readers; waits, up to the stall time,
    /// while another producer has an item unpublished that lies one lap before [slick.reserve.settled]. [`Answer::Closed`]: the
    /// indices are used up [slick.reserve.exhausted].
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for 0 elements, [`Error::TooLarge`] for more than the ring has or [`MAX_ELEMENTS`];
    /// [`Error::Busy`] while a claim is open that was [kept](Claim::keep) [slick.reserve.one-claim]; [`Error::Corrupt`].
    ///
    /// ```
    /// # use shmwire::slick::{CreateOptions, Start};
    /// let queue = CreateOptions::new().size(8).element_size(4).create_local()?;
    /// let mut producer = queue.producer()?;
    /// let mut claim = producer.reserve(3)?.done().expect("indices are not used up");
    /// claim.write(0, b"12345678")?;
    /// claim.write(8, b"9abc")?;
    /// claim.publish()?.done().expect("nobody gave it up");
    /// let (item, payload) = queue.reader(Start::Oldest).next_vec()?.done().expect("it is there");
    /// assert_eq!((item.elements, &payload[..]), (3, &b"123456789abc"[..]));
    /// # Ok::<(), shmwire::Error>(())
    /// ```
    pub fn reserve(&mut self, elements: u32) -> Result<Answer<Claim<'_>>> {
        let answer = self.reserve_run(elements.into(), 1)?;
        let owner = self.segment.map().pid();
        Ok(answer.map(move |run| {
            self.open = Some(Open { index: run.index, elements, owner });
            Claim::new(self)
        }))
    }

    /// The claim that was kept open by [`Claim::keep`], or that could not be abandoned.
    pub fn open_claim(&mut self) -> Option<Claim<'_>> {
        self.open.is_some().then(move || Claim::new(self))
    }

    /// Write an item: reserve, copy, publish. Done carries its index. [`Answer::Closed`] as for [`Producer::reserve`],
    /// [`Answer::Lapped`] as for [`Claim::publish`].
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the length is no positive multiple of the element size [slick.reserve.length]; as
    /// [`Producer::reserve`].
    #[inline]
    pub fn write(&mut self, data: &[u8]) -> Result<Answer<u64>> {
        let elements = self.elements_of(data.len())?;
        let run = match self.reserve_run(elements, 1)? {
            Answer::Done(run) => run,
            other => return Ok(other.map(|_| 0)),
        };
        self.segment.elements.copy_in_racing(self.segment.elements.at(run.index), data);
        let answer = self.finish(run.index, elements, run.index);
        if let Answer::Done(()) = answer {
            self.segment.raise_last(run.index);
        }
        Ok(answer.map(|()| run.index))
    }

    /// Write items of `length` bytes each, which lie side by side in `data`: few reservations, and all in order. `published` is
    /// told the index of each. Done says that all of them were published; any other answer, or an error, ended it before the next
    /// one.
    ///
    /// # Errors
    /// As [`Producer::write`]; [`Error::InvalidArgument`] when the data's length is no multiple of `length`.
    ///
    /// ```
    /// # use shmwire::slick::CreateOptions;
    /// let queue = CreateOptions::new().size(64).element_size(4).create_local()?;
    /// let mut indices = Vec::new();
    /// queue.producer()?.write_batch(b"aaaabbbbccccdddd", 8, |index| indices.push(index))?.done().expect("room enough");
    /// assert_eq!(indices, [0, 2]);
    /// # Ok::<(), shmwire::Error>(())
    /// ```
    pub fn write_batch(&mut self, data: &[u8], length: usize, mut published: impl FnMut(u64)) -> Result<Answer<()>> {
        let elements = self.elements_of(length)?;
        if data.len() % length != 0 {
            return Err(Error::InvalidArgument("the data's length is no multiple of an item's"));
        }
        let mut items = data.chunks_exact(length);
        while items.len() > 0 {
            let run = match self.reserve_run(elements, items.len() as u64)? {
                Answer::Done(run) => run,
                other => return Ok(other.map(|_| ())),
            };
            let answer = self.write_run(run, elements, &mut items, &mut published);
            if answer != Answer::Done(()) {
                return Ok(answer);
            }
        }
        Ok(Answer::Done(()))
    }

    /// Fill and publish a run of items. One that was given up ends it: whoever did so has passed everything behind it, too.
    fn write_run<'a>(
        &mut self,
        run: Run,
        elements: u64,
        items: &mut impl Iterator<Item = &'a [u8]>,
        published: &mut impl FnMut(u64),
    ) -> Answer<()> {
        let mut last = None;
        let mut answer = Answer::Done(());
        for index in (run.index..run.index + run.elements).step_by(elements as usize) {
            let data = items.next().unwrap_or_default();
            self.segment.elements.copy_in_racing(self.segment.elements.at(index), data);
            answer = self.finish(index, elements, index);
            if answer != Answer::Done(()) {
                let (rest, end) = (index + elements, run.index + run.elements);
                if rest < end {
                    // Nobody would publish what is left: readers pass it, unless it was given up as well.
                    let _ = self.finish(rest, end - rest, end);
                }
                break;
            }
            published(index);
            last = Some(index);
        }
        if let Some(last) = last {
            self.segment.raise_last(last);
        }
        answer
    }

    /// Elements of so many bytes.
    #[inline]
    fn elements_of(&self, length: usize) -> Result<u64> {
        let (length, element_size) = (length as u64, u64::from(self.segment.element_size));
        if length == element_size {
            return Ok(1); // no division for the commonest item
        }
        if length == 0 || length % element_size != 0 {
            return Err(Error::InvalidArgument("the length is no positive multiple of the element size"));
        }
        Ok(length / element_size)
    }

    /// Step 1.
    #[inline]
    fn check_reservation(&mut self, elements: u64) -> Result<()> {
        let most = self.segment.size.min(MAX_ELEMENTS.into());
        if elements == 0 {
            return Err(Error::InvalidArgument("a reservation of no elements"));
        }
        if elements > most {
            let bytes = |elements: u64| elements.saturating_mul(self.segment.element_size.into());
            return Err(Error::TooLarge { length: bytes(elements), limit: bytes(most) });
        }
        if self.open.is_some() {
            return self.check_open();
        }
        Ok(())
    }

    /// A claim that was open at a fork is the parent's: in the child it is in nobody's way.
    #[cold]
    fn check_open(&mut self) -> Result<()> {
        self.open = self.open.filter(|open| open.owner == self.segment.map().pid());
        self.open.map_or(Ok(()), |_| Err(Error::Busy))
    }

    /// Steps 1 to 6: reserve up to `count` items of `elements` each [slick.reserve.packed]. What does not fit before the end of
    /// the ring takes two rounds at least.
    #[inline]
    fn reserve_run(&mut self, elements: u64, count: u64) -> Result<Answer<Run>> {
        self.check_reservation(elements)?;
        let mut patience = Patience::new(self.stall);
        loop {
            // A6: pairs with R6; settled, and what was found settled, after the reservation that rests on it
            let word = Reserved(self.segment.reserved().load_acquire());
            let next = word.index();
            if self.known > next {
                self.known = 0; // the queue was reset
            }
            let run = self.segment.place(next, elements, count);
            let end = next + run.elements;
            let behind = if run.padding { end + elements } else { end }; // nothing has changed, not even for padding
            if behind >= INDEX_LIMIT {
                return Ok(Answer::Closed);
            }
            if self.known != next && !self.may_reserve(word, end, &mut patience)? {
                continue;
            }
            self.segment.prefetch_to_write(next, elements);
            self.segment.prefetch_to_write(next + ITEMS_AHEAD * elements, elements);
            // R6: pairs with A6; settled, and what we found settled, before the reservation
            if self.segment.reserved().replace_release(word.0, Reserved::new(end, run.elements).0).is_err() {
                continue;
            }
            fence_release(); // F5: pairs with F5; the reservation before every store to the ring [slick.reserve.fence]
            if !run.padding {
                return Ok(Answer::Done(run));
            }
            self.mark_padding(next, elements, end);
        }
    }

    /// Step 6: send readers from the padding to the next lap [slick.reserve.mark].
    fn mark_padding(&mut self, index: u64, elements: u64, end: u64) {
        if self.segment.given_up(index).is_none() {
            self.segment.store_slot(index, elements, end);
        }
        if self.known == index {
            self.known = end;
        }
    }

    /// Section 4.1: whether a reservation up to `end` may be made now; if not, begin anew. Waits a moment where it has to.
    #[cold]
    fn may_reserve(&mut self, word: Reserved, end: u64, patience: &mut Patience) -> Result<bool> {
        let segment = Arc::clone(&self.segment);
        let next = word.index();
        let mut told = segment.settled().load_acquire(); // A1: pairs with R1; items of the last lap before we store over them
        if told > next {
            if segment.reserved().load_relaxed() != word.0 {
                return Ok(false); // ours is not the newest look
            }
            told = 0;
        }
        if end <= told + segment.size {
            return Ok(true);
        }
        self.known = self.known.max(told);
        if next > self.known + segment.size {
            if word.elements() == 0 || word.elements() > segment.size {
                return Err(corrupt("the last reservation has an impossible length"));
            }
            self.known = segment.last_start(word);
        }
        let unsettled = segment.settle(&mut self.known, next)?;
        if let Unsettled::Moved = unsettled {
            return Ok(false);
        }
        segment.tell_settled(self.known); // [slick.reserve.told]
        if self.known == next || end <= self.known + segment.size {
            return Ok(true);
        }
        if let (Unsettled::Slot(found), true) = (unsettled, patience.is_over(self.known, next)) {
            if let Some((behind, _)) = segment.give_up(self.known, word, found) {
                self.known = behind;
                self.info.given_up += 1;
                segment.tell_settled(behind);
            }
        }
        Ok(false)
    }

    /// Steps 7 and 8 [slick.publish.given-up], with `value` as data_index.
    #[inline]
    pub(super) fn finish(&mut self, index: u64, elements: u64, value: u64) -> Answer<()> {
        if self.segment.given_up(index).is_some() {
            return Answer::Lapped;
        }
        self.segment.store_slot(index, elements, value);
        if self.known == index {
            self.known = index + elements;
        }
        self.info.items_written += u64::from(value == index);
        Answer::Done(())
    }

    /// What this producer has done so far.
    #[must_use]
    pub fn info(&self) -> ProducerInfo {
        self.info
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        drop(self.open_claim());
    }
}
