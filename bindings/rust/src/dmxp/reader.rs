// SPDX-License-Identifier: MIT
//! Consuming (section 7 of the specification) and sleeping (section 8).

use std::time::Duration;

use super::layout::*;
use super::{Channel, Message, PayloadLayout, Place, SECOND_LINE};
use crate::atomic::{fence_acquire, Position};
use crate::bytes::Area;
use crate::error::{Answer, Error, Result};
use crate::wait::{futex_wait, futex_wake, Deadline, StandBack, Wait};

/// How often to look at an empty slot again before the answer is Empty: about 60 ns, which is what a call and a message in flight
/// cost each other anyway.
const LOOKS_BEFORE_EMPTY: u32 = 4;

/// Pauses before a batch is left short, some 250 ns: threefold throughput while the consumer keeps pace. Who cannot wait that
/// long receives messages singly.
const PAUSES_IN_BATCH: u32 = 16;

/// What stands in a published slot, from fields that were loaded once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// So many bytes at that place.
    Payload { offset: u64, length: usize },
    /// An abandoned position.
    Tombstone,
    /// A payload_len that no slot can hold.
    Impossible,
}

type Slot<'a> = Area<'a, SLOT_SIZE>;

impl Channel {
    /// Take one message into `buffer`, or answer [`Answer::Empty`] or [`Answer::Closed`] at once.
    ///
    /// # Errors
    /// [`Error::TooSmall`] leaves the message in place; [`Error::Corrupt`] for an impossible length has released the slot;
    /// [`Error::Permission`].
    pub fn try_receive(&self, buffer: &mut [u8]) -> Result<Answer<Message>> {
        self.check_writable()?;
        let head = self.entry().u64(CHANNEL_HEAD_OFFSET);
        let mut at = head.load_relaxed();
        let mut lost = StandBack::new();
        loop {
            let slot = self.slots.at(at);
            slot.prefetch(SECOND_LINE);
            // A2: pairs with R2; the sequence before meta and payload
            let sequence = slot.u64(SLOT_SEQUENCE_OFFSET).load_acquire();
            if sequence != at.wrapping_add(1) {
                match self.not_published(at, sequence)? {
                    Answer::Done(now) => at = now,
                    Answer::Closed => return Ok(Answer::Closed),
                    _ => return Ok(Answer::Empty),
                }
                continue;
            }
            let content = self.content(slot);
            if let Content::Payload { length, .. } = content {
                if length > buffer.len() {
                    // Still the message whose length was read? A length of a later lap comes with a later head (F6, R3).
                    fence_acquire();
                    at = head.load_relaxed();
                    if at == sequence.wrapping_sub(1) {
                        return Err(Error::TooSmall { needed: length as u64 });
                    }
                    continue;
                }
            }
            // R5: pairs with A5; the tail behind this position before the head, for those who compare the cursors
            let position = match head.win_release(at) {
                Ok(position) => position,
                Err(_) => {
                    lost.pause();
                    at = head.load_relaxed();
                    continue;
                }
            };
            match self.take(position, content, buffer) {
                Some(message) => return Ok(Answer::Done(message)),
                None if content == Content::Impossible => return Err(self.corrupt("payload_len is above the payload capacity")),
                None => at = head.load_relaxed(),
            }
        }
    }

    /// The same, but sleeps until a message is there; [`Answer::Timeout`] when the time is up [dmxp.wait.*].
    ///
    /// # Errors
    /// As [`Channel::try_receive`].
    ///
    /// ```
    /// # let name = format!("/shmw-doc-receive-{}", std::process::id());
    /// # let segment = shmwire::dmxp::CreateOptions::new().size(1 << 20).create(&name)?;
    /// # shmwire::unlink(&name)?;
    /// # segment.create_channel(0, &shmwire::dmxp::ChannelOptions::new().capacity(4))?;
    /// use shmwire::{Answer, Wait};
    /// use std::time::Duration;
    /// let channel = segment.attach(0)?;
    /// let mut buffer = [0; 1024];
    /// assert_eq!(channel.receive(&mut buffer, Duration::from_millis(1))?, Answer::Timeout);
    /// let wait = Wait::at_most(Duration::from_millis(1)).spin(Duration::from_micros(5));
    /// assert_eq!(channel.receive(&mut buffer, wait)?, Answer::Timeout);
    /// # Ok::<(), shmwire::Error>(())
    /// ```
    pub fn receive(&self, buffer: &mut [u8], wait: impl Into<Wait>) -> Result<Answer<Message>> {
        let wait = wait.into();
        let deadline = wait.deadline();
        match self.try_receive(buffer)? {
            Answer::Empty => self.spin(wait.spin_deadline(), deadline),
            other => return Ok(other),
        }
        let signal = self.entry().u32(CHANNEL_SIGNAL_OFFSET);
        let mut slept = false;
        loop {
            let last = deadline.expired();
            // A4: pairs with R4; the signal before the look [dmxp.wait.load-first]
            let seen = signal.load_acquire();
            match self.try_receive(buffer) {
                Ok(Answer::Empty) if last => return Ok(Answer::Timeout),
                Ok(Answer::Empty) => self.sleep(seen, deadline),
                answer => {
                    if slept {
                        self.pass_on();
                    }
                    return answer;
                }
            }
            slept = true;
        }
    }

    /// We were woken and leave. If that wake was meant for two messages, the next one's sleeper hears it from us
    /// [dmxp.wait.pass-on].
    fn pass_on(&self) {
        let at = self.entry().u64(CHANNEL_HEAD_OFFSET).load_relaxed();
        if self.is_published(self.slots.at(at), at) {
            futex_wake(self.entry().u32(CHANNEL_SIGNAL_OFFSET), 1);
        }
    }

    /// Poll the slot of head, and nothing that producers write for sleepers, until something is there or the time is up.
    fn spin(&self, spin: Deadline, deadline: Deadline) {
        while !spin.expired() && !deadline.expired() {
            let at = self.entry().u64(CHANNEL_HEAD_OFFSET).load_relaxed();
            if !self.is_waiting(at, self.slots.at(at).u64(SLOT_SEQUENCE_OFFSET).load_relaxed()) {
                return;
            }
            std::hint::spin_loop();
        }
    }

    /// Sleep until signal is no longer `seen`, at most a slice [dmxp.wait.count, dmxp.wait.slice].
    fn sleep(&self, seen: u32, deadline: Deadline) {
        if let Some(hook) = &self.sleep_hook {
            hook();
        }
        let entry = self.entry();
        let signal = entry.u32(CHANNEL_SIGNAL_OFFSET);
        let waiters = entry.u32(CHANNEL_WAITERS_OFFSET);
        // S5: pairs with the producer's load of waiters; the increment before the load of signal
        waiters.add_seq_cst(1);
        // S5: pairs with the producer's addition to signal
        if signal.load_seq_cst() == seen {
            futex_wait(signal, seen, deadline.remaining(Duration::from_nanos(WAIT_SLICE_NS)));
        }
        waiters.sub_seq_cst(1);
    }

    /// Take as many messages as are there, have room in `messages`, and fit into `buffer` one after the other; they are
    /// claimed together. Done carries how many; [`Message::payload`] finds each. A tombstone or a broken message ends the
    /// batch; the next call deals with it.
    ///
    /// For throughput: a batch that comes out short waits some 250 ns for more.
    ///
    /// # Errors
    /// [`Error::TooSmall`] when not even the first fits; [`Error::InvalidArgument`] when `messages` is empty; otherwise as
    /// [`Channel::try_receive`].
    ///
    /// ```
    /// # let name = format!("/shmw-doc-rbatch-{}", std::process::id());
    /// # let segment = shmwire::dmxp::CreateOptions::new().size(1 << 20).create(&name)?;
    /// # shmwire::unlink(&name)?;
    /// # segment.create_channel(0, &shmwire::dmxp::ChannelOptions::new().capacity(4))?;
    /// use shmwire::dmxp::{Item, Message};
    /// use shmwire::Answer;
    /// let channel = segment.attach(0)?;
    /// channel.try_send_batch(&[Item::new(b"one"), Item::new(b"two")])?.done().expect("there is room");
    /// let (mut buffer, mut messages) = ([0; 4096], [Message::default(); 8]);
    /// assert_eq!(channel.try_receive_batch(&mut buffer, &mut messages)?, Answer::Done(2));
    /// assert_eq!(messages[1].payload(&buffer), b"two");
    /// # Ok::<(), shmwire::Error>(())
    /// ```
    pub fn try_receive_batch(&self, buffer: &mut [u8], messages: &mut [Message]) -> Result<Answer<usize>> {
        if messages.is_empty() {
            return Err(Error::InvalidArgument("no room for messages"));
        }
        self.check_writable()?;
        let head = self.entry().u64(CHANNEL_HEAD_OFFSET);
        let mut first = head.load_relaxed();
        let mut lost = StandBack::new();
        loop {
            let count = self.scan(first, buffer.len(), messages);
            if count == 0 {
                // Empty, a tombstone, too large for the buffer, or broken: the single call knows what to do.
                return Ok(self.try_receive(buffer)?.map(|message| {
                    messages[0] = message;
                    1
                }));
            }
            // R5: pairs with A5, as in try_receive
            match head.win_run_release(first, count as u64) {
                Err(_) => {
                    lost.pause();
                    first = head.load_relaxed();
                }
                Ok(run) => {
                    run.zip(messages).for_each(|(position, message)| self.fetch(position, message, buffer));
                    return Ok(Answer::Done(count));
                }
            }
        }
    }

    /// How many messages from `first` on are there, have room, and fit. Their lengths and offsets are in `messages`.
    fn scan(&self, first: u64, room: usize, messages: &mut [Message]) -> usize {
        let most = messages.len().min(usize::try_from(self.capacity()).unwrap_or(usize::MAX));
        let mut used = 0;
        for (count, message) in messages[..most].iter_mut().enumerate() {
            let at = first.wrapping_add(count as u64);
            let slot = self.slots.at(at);
            slot.prefetch(SECOND_LINE);
            if !self.is_published(slot, at) {
                // Caught up with the producer: give it a moment, or each message of its batch costs both a hand-over.
                let pauses = if count == 0 { 0 } else { PAUSES_IN_BATCH };
                (0..pauses).for_each(|_| std::hint::spin_loop());
                if pauses == 0 || !self.is_published(slot, at) {
                    return count;
                }
            }
            match self.content(slot) {
                Content::Payload { length, .. } if length <= room - used => {
                    message.length = length;
                    message.offset = used;
                    used += length;
                }
                _ => return count,
            }
        }
        most
    }

    #[inline]
    fn is_published(&self, slot: Slot<'_>, at: u64) -> bool {
        // A2: pairs with R2; the sequence before meta and payload
        slot.u64(SLOT_SEQUENCE_OFFSET).load_acquire() == at.wrapping_add(1)
    }

    /// Copy the message that [`Channel::scan`] found at a position, and release it.
    fn fetch(&self, mut position: Position, message: &mut Message, buffer: &mut [u8]) {
        let slot = self.slots.at(position.value());
        let place = self.place(slot.u16(SLOT_SENDER_RUNTIME_OFFSET).load_relaxed());
        let Message { length, offset, .. } = *message;
        *message = Message { offset, ..self.describe(&position, length) };
        // The slot is long enough for what scan has let pass, at either place.
        self.slots.turn(&mut position).copy_out(place.offset, &mut buffer[offset..offset + length]);
        self.release(position);
    }

    /// Copy what stands at a position that was won, and release it; `None` if it is not a message.
    #[inline]
    fn take(&self, mut position: Position, content: Content, buffer: &mut [u8]) -> Option<Message> {
        let message = match content {
            Content::Payload { offset, length } => {
                self.slots.turn(&mut position).copy_out(offset, &mut buffer[..length]);
                Some(self.describe(&position, length))
            }
            Content::Tombstone | Content::Impossible => None,
        };
        self.release(position);
        message
    }

    /// Hand the slot on, for the next lap.
    #[inline]
    fn release(&self, position: Position) {
        let at = position.value();
        // R3: pairs with A3; the last load of the slot before the sequence [dmxp.consume.release]
        self.slots.at(at).u64(SLOT_SEQUENCE_OFFSET).store_release(at.wrapping_add(self.capacity()));
    }

    #[inline]
    fn describe(&self, position: &Position, length: usize) -> Message {
        self.message(self.slots.at(position.value()), position.value(), length)
    }

    /// What a slot says beside its payload.
    #[inline]
    pub(super) fn message(&self, slot: Slot<'_>, position: u64, length: usize) -> Message {
        Message {
            position,
            channel_id: self.id(),
            length,
            offset: 0,
            message_id: slot.u64(SLOT_MESSAGE_ID_OFFSET).load_relaxed(),
            timestamp_ns: slot.u64(SLOT_TIMESTAMP_NS_OFFSET).load_relaxed(),
            message_type: slot.u32(SLOT_MESSAGE_TYPE_OFFSET).load_relaxed(),
            sender_pid: slot.u32(SLOT_SENDER_PID_OFFSET).load_relaxed(),
            sender_runtime: slot.u16(SLOT_SENDER_RUNTIME_OFFSET).load_relaxed(),
            flags: slot.u16(SLOT_FLAGS_OFFSET).load_relaxed(),
        }
    }

    /// Where payloads of a runtime stand [dmxp.layout.declared, dmxp.layout.auto].
    #[inline]
    fn place(&self, runtime: u16) -> Place {
        match self.read_place {
            Some(place) => place,
            None if runtime == RUNTIME_UNSPECIFIED => PayloadLayout::Document.place(),
            None => PayloadLayout::Crate.place(),
        }
    }

    /// What stands in a published slot, each field loaded once. Only good if the slot turns out not to have changed.
    #[inline]
    pub(super) fn content(&self, slot: Slot<'_>) -> Content {
        let length = slot.u32(SLOT_PAYLOAD_LEN_OFFSET).load_relaxed();
        let place = self.place(slot.u16(SLOT_SENDER_RUNTIME_OFFSET).load_relaxed());
        if u64::from(length) > place.capacity {
            Content::Impossible
        } else if slot.u16(SLOT_FLAGS_OFFSET).load_relaxed() & MESSAGE_TOMBSTONE != 0 {
            Content::Tombstone
        } else {
            Content::Payload { offset: place.offset, length: length as usize }
        }
    }

    /// Whether `sequence` says that the slot of position `at` waits for its producer.
    #[inline]
    fn is_waiting(&self, at: u64, sequence: u64) -> bool {
        sequence == at || sequence == at.wrapping_sub(self.capacity()).wrapping_add(1)
    }

    /// What it means that the slot of head = `at` holds `sequence`: Empty, Closed, or Done with the head to try next
    /// [dmxp.consume.empty, dmxp.consume.impossible]. A consumer that does not sleep never touches the entry's first line,
    /// which producers write.
    fn not_published(&self, at: u64, sequence: u64) -> Result<Answer<u64>> {
        let waiting = self.is_waiting(at, sequence);
        let now = self.entry().u64(CHANNEL_HEAD_OFFSET).load_relaxed();
        if if waiting { self.changes_soon(at, sequence) } else { now != at } {
            return Ok(Answer::Done(now));
        }
        match (self.is_removed(), waiting) {
            (true, _) => Ok(Answer::Closed),
            (false, true) => Ok(Answer::Empty),
            (false, false) => Err(self.corrupt("the sequence at head is impossible")),
        }
    }

    /// Whether the slot of position `at` changes while it is looked at a few times more.
    fn changes_soon(&self, at: u64, sequence: u64) -> bool {
        let slot = self.slots.at(at);
        (0..LOOKS_BEFORE_EMPTY).any(|_| {
            std::hint::spin_loop();
            slot.prefetch(SECOND_LINE);
            slot.u64(SLOT_SEQUENCE_OFFSET).load_relaxed() != sequence
        })
    }
}
