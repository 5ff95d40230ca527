// SPDX-License-Identifier: MIT
//! Reading without taking anything away (section 7.1 of the specification): subscribers and observers.

use super::ahead::Ahead;
use super::segment::{corrupt, Place, Segment};
use super::sleep::{wait_on, Bed, Sleeper};
use super::{Message, Start};
use crate::atomic::fence_acquire;
use crate::error::{Answer, Error, Result};
use crate::wait::Wait;

/// Times that a reader is overtaken in one call before the answer is LAPPED.
const READ_TRIES: u32 = 8;
/// Messages that come without a pause before it reads ahead: one who keeps up has nothing to gain, and what it is given is as new as
/// can be.
const STREAK: u32 = 8;
/// Tries to see head and message_count of one moment.
const START_TRIES: u32 = 100;

/// What is known of the sequence that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// Nothing: whatever comes first is the first.
    Any,
    /// message_count as it was when this began at head. It lags: only who is overtaken goes by it.
    Counted(u64),
    /// Behind the message that was delivered last.
    Behind(u64),
}

/// A place in a channel of one's own.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) segment: Segment,
    cursor: u64,
    /// As loaded last.
    head: u64,
    expected: Expected,
    /// Since the message that was delivered last.
    overtaken: bool,
    ahead: Ahead,
    /// Messages since it found nothing.
    streak: u32,
    tell_lost: bool,
    /// LAPPED was answered for the message at the cursor.
    told: bool,
    /// What the last LAPPED stood for.
    pub(super) told_lost: u64,
    pub(super) received: u64,
    pub(super) lost: u64,
}

/// What a try has come to.
enum Found<T> {
    /// A message, and the position behind it.
    Message(Message, u64, T),
    /// Frames were read ahead from the cursor on.
    Ahead,
    Nothing(Answer<()>),
    Overtaken,
}

impl Sleeper for Reader {
    fn bed(&self) -> Bed<'_> {
        self.segment.data_words()
    }
}

impl Reader {
    pub(super) fn new(segment: Segment, start: Start, tell_lost: bool) -> Result<Reader> {
        let mut reader = Reader {
            segment,
            cursor: 0,
            head: 0,
            expected: Expected::Any,
            overtaken: false,
            ahead: Ahead::default(),
            streak: 0,
            tell_lost,
            told: false,
            told_lost: 0,
            received: 0,
            lost: 0,
        };
        reader.seek(start)?;
        Ok(reader)
    }

    /// Go elsewhere; nothing counts as lost.
    pub(super) fn seek(&mut self, start: Start) -> Result<()> {
        let (head, tail) = self.segment.positions()?;
        (self.cursor, self.expected) = match start {
            Start::Oldest => (tail, Expected::Any),
            Start::Latest => self.newest(head),
        };
        self.head = self.cursor;
        self.overtaken = false;
        self.told = false;
        self.ahead.clear();
        Ok(())
    }

    /// Head, and message_count as it was then or a little before.
    fn newest(&self, mut head: u64) -> (u64, Expected) {
        for _ in 0..START_TRIES {
            let counted = self.segment.message_count().load_relaxed();
            let now = self.segment.head().load_acquire(); // A2: pairs with R2
            if now == head {
                return (head, Expected::Counted(counted));
            }
            head = now;
        }
        (head, Expected::Any) // it never stood still: whatever comes first is the first
    }

    /// Look for the next message until there is one.
    #[inline]
    pub(super) fn wait_for<T>(
        &mut self,
        wait: Wait,
        mut look: impl FnMut(&mut Reader) -> Result<Answer<T>>,
    ) -> Result<Answer<T>> {
        match look(self)? {
            Answer::Empty if !wait.is_none() => wait_on(self, (wait.deadline(), wait.spin_deadline()), look),
            other => Ok(other),
        }
    }

    /// The next message, copied to `buffer`.
    #[inline]
    pub(super) fn next(&mut self, buffer: &mut [u8]) -> Result<Answer<Message>> {
        if let Some(answer) = self.next_ahead(buffer)? {
            return Ok(answer);
        }
        self.next_in_ring(buffer)
    }

    /// The same, if it has been read ahead.
    #[inline]
    fn next_ahead(&mut self, buffer: &mut [u8]) -> Result<Option<Answer<Message>>> {
        let (place, message, payload) = match self.ahead.get(self.cursor, self.segment.max_payload()) {
            Some(found) => found,
            None => return Ok(None),
        };
        let to = buffer.get_mut(..payload.len()).ok_or(Error::TooSmall { needed: payload.len() as u64 })?;
        to.copy_from_slice(payload);
        Ok(Some(self.deliver(message, place.end)))
    }

    fn next_in_ring(&mut self, buffer: &mut [u8]) -> Result<Answer<Message>> {
        let copy = |segment: &Segment, place: &Place| segment.copy_payload(place, &mut *buffer);
        match self.find(self.streak >= STREAK, copy)? {
            Found::Message(message, end, ()) => Ok(self.deliver(message, end)),
            Found::Nothing(answer) => Ok(answer.map(|()| Message::default())),
            Found::Overtaken => Ok(self.overtaken_again()),
            Found::Ahead => {
                if let Some(answer) = self.next_ahead(buffer)? {
                    return Ok(answer);
                }
                self.ahead.clear(); // what it begins with, after a loss, is not all there
                self.next_in_ring_alone(buffer)
            }
        }
    }

    #[cold]
    fn next_in_ring_alone(&mut self, buffer: &mut [u8]) -> Result<Answer<Message>> {
        match self.find(false, |segment, place| segment.copy_payload(place, &mut *buffer))? {
            Found::Message(message, end, ()) => Ok(self.deliver(message, end)),
            Found::Nothing(answer) => Ok(answer.map(|()| Message::default())),
            _ => Ok(self.overtaken_again()),
        }
    }

    /// The next message where it lies. What was read ahead is of no use for that.
    #[inline]
    pub(super) fn next_place(&mut self) -> Result<Answer<Message>> {
        match self.find(false, |_, _| Ok(()))? {
            Found::Message(message, end, ()) => Ok(self.deliver(message, end)),
            Found::Nothing(answer) => Ok(answer.map(|()| Message::default())),
            _ => Ok(self.overtaken_again()),
        }
    }

    fn overtaken_again<T>(&mut self) -> Answer<T> {
        self.told_lost = 0;
        Answer::Lapped
    }

    /// Keep what has come, and say what was lost before it [shmcomm.receive.lost]; or only that, once, if asked to.
    #[inline]
    fn deliver(&mut self, mut message: Message, end: u64) -> Answer<Message> {
        message.lost = match self.expected {
            Expected::Behind(expected) => lost_between(expected, message.sequence),
            Expected::Counted(expected) if self.overtaken => lost_between(expected, message.sequence),
            _ => 0,
        };
        if message.lost != 0 && self.tell_lost && !self.told {
            self.told = true;
            self.told_lost = message.lost;
            return Answer::Lapped;
        }
        self.expected = Expected::Behind(message.sequence.wrapping_add(1));
        self.cursor = end;
        self.overtaken = false;
        self.told = false;
        self.streak = self.streak.saturating_add(1);
        self.received += 1;
        self.lost = self.lost.wrapping_add(message.lost);
        Answer::Done(message)
    }

    /// Steps 1 to 6: find the message at the cursor, let `work` use it, and see whether it was whole meanwhile; or read ahead, if that
    /// is wanted and pays.
    #[inline]
    fn find<T>(&mut self, ahead: bool, mut work: impl FnMut(&Segment, &Place) -> Result<T>) -> Result<Found<T>> {
        for _ in 0..READ_TRIES {
            if let Some(answer) = self.look_for_head() {
                return Ok(Found::Nothing(answer));
            }
            if self.head.wrapping_sub(self.cursor) <= self.segment.capacity() {
                if let Some(found) = self.examine(ahead, &mut work)? {
                    return Ok(found);
                }
            }
            self.catch_up()?;
        }
        Ok(Found::Overtaken)
    }

    /// Step 1: a head above the cursor, or what it means that there is none.
    #[inline]
    fn look_for_head(&mut self) -> Option<Answer<()>> {
        if self.head != self.cursor {
            return None;
        }
        self.head = self.segment.head().load_acquire(); // A2: pairs with R2; the frames below
        if self.head != self.cursor {
            return None;
        }
        self.streak = 0;
        self.segment.nothing_at(self.cursor) // [shmcomm.receive.empty]
    }

    /// Steps 2 to 5; `None`: overtaken.
    #[inline]
    fn examine<T>(&mut self, ahead: bool, work: &mut impl FnMut(&Segment, &Place) -> Result<T>) -> Result<Option<Found<T>>> {
        let found = self.segment.find(self.cursor, self.head);
        if let (true, Some(place)) = (ahead, found) {
            if Ahead::pays(&place, self.head) {
                return Ok(self.read_ahead(place.at));
            }
        }
        let segment = &self.segment;
        let result = found.map(|place| (segment.describe(&place), place.end, work(segment, &place)));
        if segment.has_passed(self.cursor) {
            return Ok(None);
        }
        let (message, end, value) = result.ok_or_else(|| corrupt("a frame has an impossible size"))?; // [shmcomm.receive.size]
        Ok(Some(Found::Message(message, end, value?))) // [shmcomm.receive.too-small]
    }

    /// Steps 1, 4 and 5 for all that is there from a frame at `from` on: what is below tail is thrown away, the rest is whole. `None`:
    /// nothing is.
    fn read_ahead<T>(&mut self, from: u64) -> Option<Found<T>> {
        self.head = self.segment.head().load_acquire(); // A2: pairs with R2; the frames below
        if self.head.wrapping_sub(self.cursor) > self.segment.capacity() {
            return None;
        }
        self.ahead.fill(&self.segment, from, self.head);
        let tail = self.segment.tail_after_copy();
        // Whole from the SKIP on, if one led here; otherwise what it led to may be anything, and only what is at tail is a frame.
        let whole = (tail.wrapping_sub(self.cursor) as i64) <= 0;
        if !whole && (tail.wrapping_sub(from) as i64) < 0 || !self.ahead.keep(tail) {
            return None;
        }
        if whole {
            self.cursor = from;
        } else {
            (self.cursor, self.overtaken) = (tail, true); // [shmcomm.receive.lapped]
        }
        Some(Found::Ahead)
    }

    /// Step 6 [shmcomm.receive.lapped].
    #[cold]
    fn catch_up(&mut self) -> Result<()> {
        self.ahead.clear();
        let (head, tail) = self.segment.positions()?;
        (self.head, self.cursor) = (head, tail);
        self.overtaken = true;
        Ok(())
    }

    /// Up to as many messages as there is room for, one after the other in `buffer`, each aligned to 8 in it.
    pub(super) fn next_batch(&mut self, buffer: &mut [u8], messages: &mut [Message]) -> Result<Answer<usize>> {
        let mut used = 0;
        for (count, slot) in messages.iter_mut().enumerate() {
            let room = buffer.get_mut(used..).unwrap_or_default();
            let answer = self.next(room);
            let message = match answer {
                Ok(Answer::Done(message)) => message,
                other if count == 0 => return Ok(other?.map(|_| 0)),
                _ => {
                    self.told = false; // whatever it was, the next call says so
                    return Ok(Answer::Done(count));
                }
            };
            *slot = Message { offset: used, ..message };
            used = (used + message.length + 7) & !7;
        }
        Ok(Answer::Done(messages.len()))
    }

    /// Whether a message is still where it was, after it was used there [shmcomm.receive.view].
    #[inline]
    pub(super) fn check(&self, message: &Message) -> Answer<()> {
        if self.segment.has_passed(message.position) {
            Answer::Lapped
        } else {
            Answer::Done(())
        }
    }
}

/// Sequences between the one that was expected and one that came. Of those that fall, none: no writer makes them.
#[inline]
fn lost_between(expected: u64, came: u64) -> u64 {
    let between = came.wrapping_sub(expected);
    if (between as i64) > 0 {
        between
    } else {
        0
    }
}

impl Segment {
    /// Tail, once something was loaded from the ring.
    #[inline]
    fn tail_after_copy(&self) -> u64 {
        fence_acquire(); // F5: pairs with F5 of writers; our loads from the ring before that of tail
        self.tail().load_relaxed()
    }

    /// Whether tail has passed a position, once something was loaded from there [shmcomm.receive.recheck].
    #[inline]
    pub(super) fn has_passed(&self, position: u64) -> bool {
        (self.tail_after_copy().wrapping_sub(position) as i64) > 0
    }

    /// What it means that a position is head: EMPTY or CLOSED; `None` if there is something by now [shmcomm.receive.closed].
    #[inline]
    pub(super) fn nothing_at(&self, position: u64) -> Option<Answer<()>> {
        if !self.is_closed() {
            return Some(Answer::Empty);
        }
        // A2: pairs with R2; after the state, so that nothing published before the close is missed
        (self.head().load_acquire() == position).then_some(Answer::Closed)
    }
}
