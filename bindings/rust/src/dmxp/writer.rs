// SPDX-License-Identifier: MIT
//! Producing (section 5 of the specification) and waking (section 8).

use std::borrow::Borrow;

use super::layout::*;
use super::{Channel, Claim, Meta, SECOND_LINE};
use crate::atomic::{fence_release, Position, Run};
use crate::error::{Answer, Error, Result};
use crate::wait::{futex_wake, wall_clock_ns, Backoff, StandBack, Wait};

/// One message of a batch to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Item<'a> {
    /// The payload.
    pub data: &'a [u8],
    /// What travels beside it.
    pub meta: Meta,
}

impl<'a> Item<'a> {
    /// A message without further ado.
    #[must_use]
    pub const fn new(data: &'a [u8]) -> Item<'a> {
        Item { data, meta: Meta::new() }
    }
}

impl Channel {
    /// Send one message, or answer [`Answer::Full`] or [`Answer::Closed`] at once. Done carries its position.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::InvalidArgument`] for flags with bit 15, [`Error::Corrupt`], [`Error::Permission`].
    pub fn try_send(&self, data: &[u8], meta: &Meta) -> Result<Answer<u64>> {
        self.check_writable()?;
        self.check_message(data.len(), meta)?;
        Ok(self.win_position()?.map(|position| self.deliver(position, data, meta)))
    }

    /// The same, but waits for room; [`Answer::Timeout`] when the time is up.
    ///
    /// The format has no word to sleep on for room: this polls, spinning first and then sleeping up to 1 ms at a time.
    ///
    /// # Errors
    /// As [`Channel::try_send`].
    pub fn send(&self, data: &[u8], meta: &Meta, wait: impl Into<Wait>) -> Result<Answer<u64>> {
        let deadline = wait.into().deadline();
        let mut backoff = Backoff::new();
        loop {
            let last = deadline.expired();
            match self.try_send(data, meta)? {
                Answer::Full if last => return Ok(Answer::Timeout),
                Answer::Full => backoff.pause(deadline),
                other => return Ok(other),
            }
        }
    }

    /// Send all items or none, with one wake-up for all [dmxp.produce.batch-claim, dmxp.produce.batch-order]. Done carries the
    /// position of the first. The items are looked at twice: a slice of them will do, or anything that makes them on the fly.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for no items or more than the capacity; otherwise as [`Channel::try_send`].
    ///
    /// ```
    /// # let name = format!("/shmw-doc-batch-{}", std::process::id());
    /// # let segment = shmwire::dmxp::CreateOptions::new().size(1 << 20).create(&name)?;
    /// # shmwire::unlink(&name)?;
    /// # segment.create_channel(3, &shmwire::dmxp::ChannelOptions::new().capacity(4))?;
    /// use shmwire::dmxp::Item;
    /// use shmwire::Answer;
    /// let channel = segment.attach(3)?;
    /// let items = [Item::new(b"one"), Item::new(b"two"), Item::new(b"three")];
    /// assert_eq!(channel.try_send_batch(&items)?, Answer::Done(0));
    /// assert_eq!(channel.try_send_batch(&items)?, Answer::Full);
    /// # Ok::<(), shmwire::Error>(())
    /// ```
    pub fn try_send_batch<'a, I>(&self, items: I) -> Result<Answer<u64>>
    where
        I: IntoIterator,
        I::Item: Borrow<Item<'a>>,
        I::IntoIter: ExactSizeIterator + Clone,
    {
        self.check_writable()?;
        let mut items = items.into_iter();
        let count = items.len() as u64;
        if count == 0 || count > self.capacity() {
            return Err(Error::InvalidArgument("a batch has 1 to capacity messages"));
        }
        items.clone().try_for_each(|item| self.check_message(item.borrow().data.len(), &item.borrow().meta))?;
        let (first, run) = match self.win_positions(count)? {
            Answer::Done(won) => won,
            other => return Ok(other.map(|(first, _)| first)),
        };
        for position in run {
            self.deliver_next(position, items.next());
        }
        self.wake(count);
        Ok(Answer::Done(first))
    }

    /// Fill and publish a position of a batch. An iterator that does not give what it gave before leaves a tombstone there.
    #[inline]
    fn deliver_next<'a>(&self, mut position: Position, item: Option<impl Borrow<Item<'a>>>) {
        match item.as_ref().map(Borrow::borrow) {
            Some(item) if self.check_message(item.data.len(), &item.meta).is_ok() => {
                self.fill(&mut position, item.data, &item.meta);
            }
            _ => self.fill_meta(&position, 0, MESSAGE_TOMBSTONE, &Meta::new()),
        }
        self.publish(position);
    }

    /// Claim the next slot, to fill it in place. Consumers stop there until the claim is committed, abandoned or dropped.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Permission`].
    ///
    /// ```
    /// # let name = format!("/shmw-doc-claim-{}", std::process::id());
    /// # let segment = shmwire::dmxp::CreateOptions::new().size(1 << 20).create(&name)?;
    /// # shmwire::unlink(&name)?;
    /// # segment.create_channel(0, &shmwire::dmxp::ChannelOptions::new().capacity(4))?;
    /// use shmwire::dmxp::Meta;
    /// let channel = segment.attach(0)?;
    /// let mut claim = channel.claim()?.done().expect("there is room");
    /// claim.write(0, b"in ")?;
    /// claim.write(3, b"place")?;
    /// claim.commit(8, &Meta::new())?;
    /// let mut buffer = [0; 1024];
    /// let message = channel.try_receive(&mut buffer)?.done().expect("it is there");
    /// assert_eq!(message.payload(&buffer), b"in place");
    /// # Ok::<(), shmwire::Error>(())
    /// ```
    pub fn claim(&self) -> Result<Answer<Claim<'_>>> {
        self.check_writable()?;
        Ok(self.win_position()?.map(|position| Claim::new(self, position)))
    }

    /// [dmxp.produce.too-large], and the flag that is not the caller's.
    #[inline]
    pub(super) fn check_message(&self, length: usize, meta: &Meta) -> Result<()> {
        if length as u64 > self.write_place.capacity {
            return Err(Error::TooLarge { length: length as u64, limit: self.write_place.capacity });
        }
        if meta.flags & MESSAGE_TOMBSTONE != 0 {
            return Err(Error::InvalidArgument("flags bit 15 marks tombstones"));
        }
        Ok(())
    }

    /// Win the position at tail [dmxp.produce.claim].
    #[inline]
    fn win_position(&self) -> Result<Answer<Position>> {
        if self.is_closed() {
            return Ok(Answer::Closed);
        }
        let tail = self.entry().u64(CHANNEL_TAIL_OFFSET);
        let mut at = tail.load_relaxed();
        let mut lost = StandBack::new();
        loop {
            // A3: pairs with R3; the slot is free before it is filled
            let sequence = self.slots.at(at).u64(SLOT_SEQUENCE_OFFSET).load_acquire();
            if sequence == at {
                match tail.win(at) {
                    Ok(position) => {
                        // F6: pairs with the acquire fence of a look; the claim before the first store [dmxp.produce.fence]
                        fence_release();
                        return Ok(Answer::Done(position));
                    }
                    Err(_) => {
                        lost.pause();
                        at = tail.load_relaxed();
                    }
                }
                continue;
            }
            match self.not_free(at, at, sequence)? {
                Answer::Done(now) => at = now,
                Answer::Closed => return Ok(Answer::Closed),
                _ => return Ok(Answer::Full),
            }
        }
    }

    /// Win `count` positions from tail on, if all of their slots are free [dmxp.produce.batch-claim].
    fn win_positions(&self, count: u64) -> Result<Answer<(u64, Run)>> {
        if self.is_closed() {
            return Ok(Answer::Closed);
        }
        let tail = self.entry().u64(CHANNEL_TAIL_OFFSET);
        let mut first = tail.load_relaxed();
        let mut lost = StandBack::new();
        loop {
            match self.first_taken(first, count) {
                None => match tail.win_run(first, count) {
                    Ok(run) => {
                        // F6: as in win_position
                        fence_release();
                        return Ok(Answer::Done((first, run)));
                    }
                    Err(_) => {
                        lost.pause();
                        first = tail.load_relaxed();
                    }
                },
                Some((at, sequence)) => match self.not_free(first, at, sequence)? {
                    Answer::Done(now) => first = now,
                    Answer::Closed => return Ok(Answer::Closed),
                    _ => return Ok(Answer::Full),
                },
            }
        }
    }

    /// The first of `count` positions whose slot is not free for it, with the slot's sequence.
    fn first_taken(&self, first: u64, count: u64) -> Option<(u64, u64)> {
        let positions = (0..count).map(|i| first.wrapping_add(i));
        // A3: pairs with R3; the slots are free before they are filled
        let mut looks = positions.map(|at| (at, self.slots.at(at).u64(SLOT_SEQUENCE_OFFSET).load_acquire()));
        looks.find(|&(at, sequence)| sequence != at)
    }

    /// What it means that the slot of position `at` holds `sequence`, found from tail = `first`: Full, Closed, or Done with
    /// the tail to try next [dmxp.produce.full, dmxp.consume.impossible].
    #[cold]
    fn not_free(&self, first: u64, at: u64, sequence: u64) -> Result<Answer<u64>> {
        let lap = at.wrapping_sub(self.capacity());
        if sequence == lap || sequence == lap.wrapping_add(1) {
            return Ok(Answer::Full);
        }
        let now = self.entry().u64(CHANNEL_TAIL_OFFSET).load_relaxed();
        if now != first {
            return Ok(Answer::Done(now));
        }
        if self.is_closed() {
            return Ok(Answer::Closed);
        }
        Err(self.corrupt("the sequence at tail is impossible"))
    }

    /// Fill, publish, wake. Answers the position.
    #[inline]
    fn deliver(&self, mut position: Position, data: &[u8], meta: &Meta) -> u64 {
        let at = position.value();
        self.fill(&mut position, data, meta);
        self.publish(position);
        self.wake(1);
        self.prefetch_to_write(at.wrapping_add(4)); // further than in C: measured, a nearer one comes too late
        at
    }

    /// The two lines of a slot that will be written soon. The first one is only fetched: consumers poll it, so the right to write
    /// to it would be lost again before it was of use.
    #[inline]
    fn prefetch_to_write(&self, position: u64) {
        let slot = self.slots.at(position);
        slot.prefetch(SLOT_SEQUENCE_OFFSET);
        slot.prefetch_to_write(SECOND_LINE);
    }

    /// The payload as far as it lies beyond the slot's first line, then the rest. Consumers poll the first line: once our first
    /// store has taken it from them, publishing should be no further away than a few stores to the same line.
    #[inline]
    fn fill(&self, position: &mut Position, data: &[u8], meta: &Meta) {
        let offset = self.write_place.offset;
        let (first, second) = data.split_at(data.len().min(SECOND_LINE.saturating_sub(offset) as usize));
        let mut turn = self.slots.turn(position);
        if !second.is_empty() {
            turn.copy_in(offset + first.len() as u64, second);
        }
        if let Ok(block) = <&[u8; 16]>::try_from(first) {
            turn.copy_in(offset, block); // of known size: no call
        } else {
            turn.copy_in(offset, first);
        }
        self.fill_meta(position, data.len() as u32, meta.flags, meta);
    }

    /// Every meta field, and nothing else [dmxp.produce.meta, dmxp.produce.extent].
    #[inline]
    pub(super) fn fill_meta(&self, position: &Position, length: u32, flags: u16, meta: &Meta) {
        let slot = self.slots.at(position.value());
        slot.u64(SLOT_MESSAGE_ID_OFFSET).store_relaxed(meta.message_id.unwrap_or_else(|| position.value()));
        slot.u64(SLOT_TIMESTAMP_NS_OFFSET).store_relaxed(meta.timestamp_ns.unwrap_or_else(wall_clock_ns));
        slot.u32(SLOT_CHANNEL_ID_OFFSET).store_relaxed(self.id());
        slot.u32(SLOT_MESSAGE_TYPE_OFFSET).store_relaxed(meta.message_type);
        slot.u32(SLOT_SENDER_PID_OFFSET).store_relaxed(meta.sender_pid.unwrap_or_else(|| self.map.pid()));
        slot.u16(SLOT_SENDER_RUNTIME_OFFSET).store_relaxed(self.runtime_of(meta));
        slot.u16(SLOT_FLAGS_OFFSET).store_relaxed(flags);
        slot.u32(SLOT_PAYLOAD_LEN_OFFSET).store_relaxed(length);
    }

    /// [dmxp.layout.runtime]: where the runtime says where the payload is, it tells the truth.
    #[inline]
    fn runtime_of(&self, meta: &Meta) -> u16 {
        let own = self.sender_runtime;
        match meta.sender_runtime {
            None => own,
            Some(asked) if self.runtime_tells && (own == RUNTIME_UNSPECIFIED || asked == RUNTIME_UNSPECIFIED) => own,
            Some(asked) => asked,
        }
    }

    #[inline]
    pub(super) fn publish(&self, position: Position) {
        let at = position.value();
        // R2: pairs with A2; meta and payload before the sequence [dmxp.produce.publish]
        self.slots.at(at).u64(SLOT_SEQUENCE_OFFSET).store_release(at.wrapping_add(1));
    }

    /// Tell sleepers that `count` messages were published [dmxp.wait.signal, dmxp.wait.wake].
    #[inline]
    pub(super) fn wake(&self, count: u64) {
        let entry = self.entry();
        let signal = entry.u32(CHANNEL_SIGNAL_OFFSET);
        // R4, S5: pairs with A4 and with the sleeper's check; the sequences before the signal, the signal before the waiters
        signal.add_seq_cst(count as u32);
        // S5: pairs with the sleeper's increment
        if self.counted_waiters && entry.u32(CHANNEL_WAITERS_OFFSET).load_seq_cst() == 0 {
            return;
        }
        futex_wake(signal, count);
    }
}
