// SPDX-License-Identifier: MIT
//! Sending (section 6 of the specification).

use super::claim::Open;
use super::endpoint::Endpoint;
use super::layout::*;
use super::segment::{are_possible, corrupt, extent_of, last_word, Segment};
use super::sleep::{wait_on, Bed, Sleeper};
use super::Meta;
use crate::atomic::fence_release;
use crate::error::{Answer, Error, Result};
use crate::wait::{wall_clock_ns, Deadline, Wait};

/// A batch is published piece by piece, so that receivers can begin.
const PIECE_BYTES: u64 = 16 << 10;
/// Messages with a time of the sender's own between two looks at the clock for that.
const CLOCK_LOOKS: u32 = 256;

/// What a message says beside its payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) time: u64,
    pub(super) correlation_id: u64,
    pub(super) content_type: u16,
    pub(super) flags: u16,
}

/// The writing end of a channel. It knows head, tail and count while it holds the lock; they are the header's when it takes it, unless it
/// never gives it back.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) endpoint: Endpoint,
    sole: bool,
    /// Behind what was written, published or not.
    head: u64,
    /// Of what was published.
    published: u64,
    /// In a pipeline: as it was when it was looked at last.
    tail: u64,
    count: u64,
    /// The claim that is open.
    pub(super) open: Option<Open>,
    /// The clock, when it was asked last, and at the last sign of life.
    now: u64,
    beaten_ns: u64,
    unasked: u32,
    pub(super) sent: u64,
    pub(super) refused: u64,
}

impl Sleeper for Writer {
    fn bed(&self) -> Bed<'_> {
        let (signal, waiters) = self.segment().space_words();
        (signal, Some(waiters))
    }
}

impl Writer {
    pub(super) fn new(endpoint: Endpoint) -> Writer {
        let now = wall_clock_ns();
        Writer {
            endpoint,
            sole: false,
            head: 0,
            published: 0,
            tail: 0,
            count: 0,
            open: None,
            now,
            beaten_ns: now, // when it joined
            unasked: 0,
            sent: 0,
            refused: 0,
        }
    }

    /// Hold the lock from now on.
    pub(super) fn hold(&mut self) -> Result<()> {
        self.endpoint.lock(|| Deadline::NOW)?;
        self.sole = self.load().map_err(|error| {
            self.endpoint.unlock();
            error
        })?;
        Ok(())
    }

    #[inline]
    pub(super) fn segment(&self) -> &Segment {
        &self.endpoint.segment
    }

    #[inline]
    fn is_pubsub(&self) -> bool {
        self.segment().geometry.pattern == PATTERN_PUBSUB
    }

    /// What `meta` leaves open.
    #[inline]
    pub(super) fn stamp(&mut self, meta: &Meta, correlation_id: u64) -> Stamp {
        let time = meta.timestamp_ns.unwrap_or_else(|| {
            self.now = wall_clock_ns();
            self.now
        });
        if meta.timestamp_ns.is_some() {
            self.unasked += 1;
            if self.unasked >= CLOCK_LOOKS {
                (self.unasked, self.now) = (0, wall_clock_ns());
            }
        }
        Stamp {
            time,
            correlation_id,
            content_type: meta.content_type.unwrap_or(self.segment().geometry.serializer), // [shmcomm.send.content]
            flags: meta.flags,
        }
    }

    /// Signs of life go with messages, so that one that was refused changes nothing [shmcomm.join.heartbeat].
    #[inline]
    fn beat(&mut self) {
        if self.now.wrapping_sub(self.beaten_ns) >= HEARTBEAT_NS {
            self.beaten_ns = self.now;
            self.endpoint.beat();
        }
    }

    /// [shmcomm.send.too-large]
    #[inline]
    pub(super) fn check_length(&self, length: usize) -> Result<()> {
        let limit = self.segment().max_payload();
        if length as u64 > limit {
            return Err(Error::TooLarge { length: length as u64, limit });
        }
        Ok(())
    }

    /// Try, and where there is no room wait for it as long as `wait` says [shmcomm.push.full].
    #[inline]
    pub(super) fn attempt<T>(
        &mut self,
        wait: Wait,
        mut work: impl FnMut(&mut Writer, &dyn Fn() -> Deadline) -> Result<Answer<T>>,
    ) -> Result<Answer<T>> {
        self.endpoint.file()?;
        if self.open.is_some() {
            return Err(Error::Busy); // its claim has the lock
        }
        match work(self, &|| wait.deadline())? {
            Answer::Full => self.await_room(wait, work),
            other => Ok(other),
        }
    }

    #[cold]
    fn await_room<T>(
        &mut self,
        wait: Wait,
        mut work: impl FnMut(&mut Writer, &dyn Fn() -> Deadline) -> Result<Answer<T>>,
    ) -> Result<Answer<T>> {
        let mut answer = Answer::Full;
        if !wait.is_none() {
            let (deadline, spin) = (wait.deadline(), wait.spin_deadline());
            answer = wait_on(self, (deadline, spin), |writer| {
                if writer.is_full_still() {
                    return Ok(Answer::Full);
                }
                work(writer, &|| deadline)
            })?;
        }
        if matches!(answer, Answer::Full | Answer::Timeout) {
            self.segment().dropped_count().add_relaxed(1);
            self.refused += 1;
        }
        Ok(answer)
    }

    /// Whether nothing has been taken since a try found no room.
    fn is_full_still(&self) -> bool {
        let segment = self.segment();
        segment.tail().load_acquire() == self.tail && !segment.is_closed() // A3: pairs with R3; what pullers have copied
    }

    /// Steps 2 to 4: CLOSED, or Done with the lock ours, and head, tail and count known.
    #[inline]
    pub(super) fn begin(&mut self, deadline: impl FnOnce() -> Deadline) -> Result<Answer<()>> {
        if !self.sole {
            self.endpoint.lock(deadline)?;
        }
        // A7: pairs with R7 [shmcomm.push.closed]
        if !self.is_pubsub() && self.segment().state().load_acquire() == STATE_CLOSED {
            self.end();
            return Ok(Answer::Closed);
        }
        if !self.sole {
            if let Err(error) = self.load() {
                self.end();
                return Err(error);
            }
        }
        Ok(Answer::Done(()))
    }

    /// [shmcomm.send.corrupt]
    #[inline]
    fn load(&mut self) -> Result<bool> {
        let segment = &self.endpoint.segment;
        self.head = segment.head().load_relaxed(); // ours: handed on with the lock
        self.published = self.head;
        self.tail = segment.tail().load_acquire(); // A3: pairs with R3; pullers have copied what was below
        self.count = segment.message_count().load_relaxed();
        if are_possible(self.head, self.tail, segment.capacity()) {
            Ok(true)
        } else {
            Err(corrupt("head and tail are impossible"))
        }
    }

    /// Free the lock, unless it is kept.
    #[inline]
    pub(super) fn end(&mut self) {
        if !self.sole {
            self.endpoint.unlock();
        }
    }

    /// Step 5: whether a frame of that extent may be written at head now. In a pubsub channel there is always room, but for what a piece
    /// holds that is not published.
    #[inline]
    pub(super) fn make_room(&mut self, extent: u64) -> Result<bool> {
        let segment = &self.endpoint.segment;
        let end = self.head.wrapping_add(segment.need(self.head, extent));
        if end.wrapping_sub(self.tail) <= segment.capacity() {
            return Ok(true);
        }
        if self.is_pubsub() {
            return self.evict(end);
        }
        self.tail = segment.tail().load_acquire(); // A3: pairs with R3; pullers have copied what was below
        if !are_possible(self.published, self.tail, segment.capacity()) {
            return Err(corrupt("head and tail are impossible"));
        }
        Ok(end.wrapping_sub(self.tail) <= segment.capacity())
    }

    /// Move tail over whole frames, as far as room up to `end` needs [shmcomm.publish.evict, .dropped].
    fn evict(&mut self, end: u64) -> Result<bool> {
        let segment = &self.endpoint.segment;
        let (mut tail, mut evicted) = (self.tail, 0);
        while end.wrapping_sub(tail) > segment.capacity() {
            if tail == self.published {
                return Ok(false);
            }
            let left = self.published.wrapping_sub(tail);
            let room = segment.room(tail);
            if segment.size_at(tail) == SKIP && room < left && room < segment.capacity() {
                tail = tail.wrapping_add(room);
                continue;
            }
            let place =
                segment.find(tail, self.published).ok_or_else(|| corrupt("a frame to be evicted has an impossible size"))?;
            tail = place.end;
            evicted += 1;
        }
        let dropped = segment.dropped_count();
        dropped.store_relaxed(dropped.load_relaxed().wrapping_add(evicted)); // ours while we hold the lock
                                                                             // R3: pairs with A3; head, to subscribers that go to tail
        segment.tail().store_release(tail);
        self.tail = tail;
        Ok(true)
    }

    /// Write the frame of a message at head, where there is room for it; nobody sees it yet [shmcomm.send.frame, .extent].
    #[inline]
    pub(super) fn put(&mut self, data: &[u8], stamp: &Stamp) {
        let at = self.reserve(data.len() as u64);
        self.endpoint.segment.ring.copy_in_racing(at, FRAME_OVERHEAD, data);
        self.fill(at, data.len() as u64, stamp);
    }

    /// Where the frame of so many bytes of payload goes: at head, or behind a SKIP.
    #[inline]
    pub(super) fn reserve(&mut self, length: u64) -> u64 {
        // F5: pairs with F5 of receivers; tail before the first store to the ring [shmcomm.send.fence]
        fence_release();
        let segment = &self.endpoint.segment;
        let room = segment.room(self.head);
        if extent_of(length) <= room {
            return self.head;
        }
        segment.ring.word(self.head, FRAME_SIZE_OFFSET).store_relaxed(SKIP);
        self.head.wrapping_add(room)
    }

    /// The words of a frame before its payload [shmcomm.send.sequence, .sender].
    #[inline]
    pub(super) fn fill(&mut self, at: u64, length: u64, stamp: &Stamp) {
        let ring = &self.endpoint.segment.ring;
        ring.word(at, FRAME_SIZE_OFFSET).store_relaxed(MESSAGE_HEADER_SIZE + length);
        ring.word(at, FRAME_SEQUENCE_OFFSET).store_relaxed(self.count);
        ring.word(at, FRAME_TIMESTAMP_NS_OFFSET).store_relaxed(stamp.time);
        ring.word(at, FRAME_CORRELATION_ID_OFFSET).store_relaxed(stamp.correlation_id);
        let last = last_word(self.endpoint.number, stamp.content_type, stamp.flags);
        ring.word(at, FRAME_SENDER_OFFSET).store_relaxed(last);
        self.head = at.wrapping_add(extent_of(length));
        self.count = self.count.wrapping_add(1);
    }

    /// Steps 8 to 11: show what was written [shmcomm.send.order].
    #[inline]
    pub(super) fn publish(&mut self) {
        let segment = &self.endpoint.segment;
        segment.head().store_release(self.head); // R2: pairs with A2; the frames
        segment.message_count().store_relaxed(self.count);
        self.published = self.head;
        segment.wake_receivers();
        self.beat();
        self.end();
    }

    /// Messages that were published, and those of a piece that are not yet.
    #[inline]
    pub(super) fn written(&self) -> u64 {
        self.count
    }

    /// Send one message. Done carries its sequence.
    #[inline]
    pub(super) fn send(&mut self, data: &[u8], meta: &Meta, correlation_id: u64, wait: Wait) -> Result<Answer<u64>> {
        self.check_length(data.len())?;
        let stamp = self.stamp(meta, correlation_id);
        self.attempt(wait, |writer, deadline| writer.try_send(data, &stamp, deadline))
    }

    #[inline]
    fn try_send(&mut self, data: &[u8], stamp: &Stamp, deadline: &dyn Fn() -> Deadline) -> Result<Answer<u64>> {
        if self.begin(deadline)? == Answer::Closed {
            return Ok(Answer::Closed);
        }
        match self.make_room(extent_of(data.len() as u64)) {
            Ok(true) => {
                self.put(data, stamp);
                self.publish();
                self.sent += 1;
                Ok(Answer::Done(self.count.wrapping_sub(1)))
            }
            refused => {
                self.end();
                refused.map(|_| Answer::Full)
            }
        }
    }

    /// Send messages in order, piece by piece; `each` gets the sequence of each one that was sent.
    pub(super) fn send_batch(
        &mut self,
        parts: &[impl AsRef<[u8]>],
        meta: &Meta,
        wait: Wait,
        mut each: impl FnMut(u64),
    ) -> Result<Answer<()>> {
        parts.iter().try_for_each(|part| self.check_length(part.as_ref().len()))?;
        let deadline = wait.deadline();
        let mut rest = parts;
        while !rest.is_empty() {
            let stamp = self.stamp(meta, 0);
            let left = wait.left(deadline);
            match self.attempt(left, |writer, until| writer.try_piece(rest, &stamp, until))? {
                Answer::Done((first, count)) => {
                    (0..count as u64).for_each(|i| each(first.wrapping_add(i)));
                    rest = &rest[count..];
                }
                other => return Ok(other.map(|_| ())),
            }
        }
        Ok(Answer::Done(()))
    }

    /// Send what there is room for, up to a piece, in one go. Done carries the first sequence, and how many.
    fn try_piece(
        &mut self,
        parts: &[impl AsRef<[u8]>],
        stamp: &Stamp,
        deadline: &dyn Fn() -> Deadline,
    ) -> Result<Answer<(u64, usize)>> {
        if self.begin(deadline)? == Answer::Closed {
            return Ok(Answer::Closed);
        }
        let (first, start, mut count) = (self.count, self.head, 0);
        for part in parts.iter().map(AsRef::as_ref) {
            let extent = extent_of(part.len() as u64);
            if count > 0 && self.head.wrapping_sub(start) + extent > PIECE_BYTES {
                break;
            }
            match self.make_room(extent) {
                Ok(true) => self.put(part, stamp),
                Err(error) if count == 0 => {
                    self.end();
                    return Err(error);
                }
                _ => break, // of what was written already, nothing is wrong
            }
            count += 1;
        }
        if count == 0 {
            self.end();
            return Ok(Answer::Full);
        }
        self.publish();
        self.sent += count as u64;
        Ok(Answer::Done((first, count)))
    }
}
