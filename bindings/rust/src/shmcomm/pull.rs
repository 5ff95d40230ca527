// SPDX-License-Identifier: MIT
//! Taking messages, each for one puller (section 7.2 of the specification).

use super::segment::{are_possible, corrupt, Place, Segment};
use super::Message;
use crate::atomic::fence_acquire;
use crate::error::{Answer, Error, Result};

/// What a try to take a message has come to.
enum Try<T> {
    Took(T),
    /// Another one was faster, or the message is none that is wanted: look again.
    Again,
}

impl Segment {
    /// Take the oldest message, copied to `buffer`. One whose correlation_id is not `wanted`, if that is given, is taken, counted in
    /// `discarded` and thrown away.
    #[inline]
    pub(super) fn pull(&self, buffer: &mut [u8], wanted: Option<u64>, discarded: &mut u64) -> Result<Answer<Message>> {
        loop {
            let (tail, place) = match self.oldest()? {
                Answer::Done(Some(found)) => found,
                Answer::Done(None) => continue,
                other => return Ok(other.map(|_| Message::default())),
            };
            let message = self.describe(&place);
            if wanted.map_or(false, |wanted| wanted != message.correlation_id) {
                if let Try::Took(()) = self.take(tail, place.end, message.sequence) {
                    *discarded += 1; // [shmcomm.request.late]
                }
                continue;
            }
            match self.copy_payload(&place, buffer) {
                Ok(()) => {}
                Err(_) if self.has_moved(tail) => continue,
                Err(error) => return Err(error), // [shmcomm.receive.too-small]
            }
            if let Try::Took(()) = self.take(tail, place.end, message.sequence) {
                return Ok(Answer::Done(message));
            }
        }
    }

    /// Take all messages that are there and throw them away; answers how many.
    pub(super) fn discard_all(&self) -> Result<u64> {
        let mut discarded = 0;
        loop {
            match self.oldest()? {
                Answer::Done(Some((tail, place))) => {
                    let sequence = self.describe(&place).sequence;
                    discarded += u64::from(matches!(self.take(tail, place.end, sequence), Try::Took(())));
                }
                Answer::Done(None) => {}
                _ => return Ok(discarded),
            }
        }
    }

    /// Take up to as many messages as there is room for, with one claim; each is aligned to 8 in `buffer`.
    pub(super) fn pull_batch(&self, buffer: &mut [u8], messages: &mut [Message]) -> Result<Answer<usize>> {
        loop {
            let tail = self.tail().load_acquire(); // A3: pairs with R3
            let head = self.head().load_acquire(); // A2: pairs with R2; the frames below
            let (count, end) = self.copy_batch(tail, head, buffer, messages);
            if count == 0 {
                // Whatever it is that the first one met, a single one says so.
                return Ok(self.pull(buffer, None, &mut 0)?.map(|message| {
                    messages[0] = message;
                    1
                }));
            }
            if let Try::Took(()) = self.take(tail, end, messages[count - 1].sequence) {
                return Ok(Answer::Done(count));
            }
        }
    }

    /// Copy messages from tail on; answers how many, and the position behind the last. Anything unusual ends it.
    fn copy_batch(&self, tail: u64, head: u64, buffer: &mut [u8], messages: &mut [Message]) -> (usize, u64) {
        let (mut end, mut used) = (tail, 0);
        if !are_possible(head, tail, self.capacity()) {
            return (0, end);
        }
        for (count, slot) in messages.iter_mut().enumerate() {
            let place = match (end != head).then(|| self.find(end, head)) {
                Some(Some(place)) => place,
                _ => return (count, end),
            };
            let room = buffer.get_mut(used..).unwrap_or_default();
            if self.copy_payload(&place, room).is_err() {
                return (count, end);
            }
            *slot = Message { offset: used, ..self.describe(&place) };
            used = (used + place.length + 7) & !7;
            end = place.end;
        }
        (messages.len(), end)
    }

    /// Steps 1 and 2: tail and the frame there. Done with `None`: look again.
    #[inline]
    fn oldest(&self) -> Result<Answer<Option<(u64, Place)>>> {
        let tail = self.tail().load_acquire(); // A3: pairs with R3; no head from before it
        let head = self.head().load_acquire(); // A2: pairs with R2; the frames below
        if tail == head {
            return Ok(self.nothing_at(tail).map_or(Answer::Done(None), |nothing| nothing.map(|()| None)));
        }
        let possible = are_possible(head, tail, self.capacity());
        match possible.then(|| self.find(tail, head)) {
            Some(Some(place)) => Ok(Answer::Done(Some((tail, place)))),
            _ if self.has_moved(tail) => Ok(Answer::Done(None)),
            _ => Err(corrupt("a frame has an impossible size, or head and tail are impossible")), // [shmcomm.receive.size]
        }
    }

    #[cold]
    fn has_moved(&self, tail: u64) -> bool {
        fence_acquire(); // F5: pairs with F5 of writers; what was loaded from the ring before tail
        self.tail().load_acquire() != tail // A3: pairs with R3
    }

    /// Steps 3 to 5: the frames up to `end`, the last of which has that sequence, become ours, if nobody has taken the first
    /// [shmcomm.pull.claim].
    #[inline]
    fn take(&self, tail: u64, end: u64, sequence: u64) -> Try<()> {
        let behind = sequence.wrapping_add(1);
        if self.message_count().load_relaxed() < behind {
            fence_acquire(); // F5: pairs with F5 of writers; the copy before tail
            if self.tail().load_relaxed() != tail {
                return Try::Again;
            }
            self.message_count().raise_relaxed(behind); // its writer has not come to it, and may be dead [shmcomm.pull.count]
        }
        // R3: pairs with A3; the copy, for the writer that uses the bytes again
        if self.tail().replace_release(tail, end).is_err() {
            return Try::Again;
        }
        self.wake_writers();
        Try::Took(())
    }

    /// `TooSmall` where there is no room for messages at all.
    pub(super) fn check_batch(messages: &[Message]) -> Result<()> {
        if messages.is_empty() {
            return Err(Error::InvalidArgument("no room for messages"));
        }
        Ok(())
    }
}
