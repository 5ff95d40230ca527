// SPDX-License-Identifier: MIT
//! Frames that a subscriber has read ahead, whole, into private memory. Nobody else writes there: what is found is still checked, once,
//! since a broken writer may have put it into the ring.

use super::layout::*;
use super::segment::{message_of, Place, Segment};
use super::Message;

/// Bytes that are read ahead at most.
const AHEAD_BYTES: u64 = 32 << 10;
/// A longer frame goes straight to the caller's buffer: copying it twice costs more than one look at tail saves.
const AHEAD_FRAME: u64 = 4 << 10;

/// Copies of the bytes of the ring from position `from` on, found whole.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Empty until it is needed first.
    bytes: Box<[u8]>,
    from: u64,
    length: usize,
}

impl Ahead {
    /// Whether to read ahead from a frame on that ends at `end`, with head as it is.
    #[inline]
    pub(super) fn pays(place: &Place, head: u64) -> bool {
        place.end != head && place.end.wrapping_sub(place.at) <= AHEAD_FRAME
    }

    /// Forget everything.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.length = 0;
    }

    /// Copy what there is from a frame's position on. It counts only once [`Ahead::keep`] has said from where on it was whole.
    pub(super) fn fill(&mut self, segment: &Segment, from: u64, head: u64) {
        if self.bytes.is_empty() {
            self.bytes = vec![0; AHEAD_BYTES as usize].into_boxed_slice();
        }
        let length = head.wrapping_sub(from).min(segment.room(from)).min(AHEAD_BYTES) as usize;
        segment.ring.copy_out_racing(from, 0, &mut self.bytes[..length]);
        (self.from, self.length) = (from, length);
    }

    /// Whether anything is left of what was read from `from` on, if tail was at `tail` afterwards.
    pub(super) fn keep(&mut self, tail: u64) -> bool {
        let gone = tail.wrapping_sub(self.from);
        if (gone as i64) <= 0 || gone < self.length as u64 {
            return true;
        }
        self.clear();
        false
    }

    /// The frame at a position, with what it says and its payload, if all of it is here.
    #[inline]
    pub(super) fn get(&self, position: u64, max_payload: u64) -> Option<(Place, Message, &[u8])> {
        let start = position.wrapping_sub(self.from);
        if start >= self.length as u64 {
            return None;
        }
        let frame = &self.bytes[start as usize..self.length];
        let (head, rest) = (frame.get(..FRAME_OVERHEAD as usize)?, &frame[FRAME_OVERHEAD as usize..]);
        let word = |offset: u64| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&head[offset as usize..offset as usize + 8]);
            u64::from_le_bytes(bytes)
        };
        let length = word(FRAME_SIZE_OFFSET).wrapping_sub(MESSAGE_HEADER_SIZE); // huge, for a SKIP and what is below
        if length > max_payload {
            return None;
        }
        let payload = rest.get(..length as usize)?;
        let extent = super::segment::extent_of(length);
        let place = Place { at: position, length: length as usize, end: position.wrapping_add(extent) };
        let message = message_of(
            &place,
            [
                word(FRAME_SEQUENCE_OFFSET),
                word(FRAME_TIMESTAMP_NS_OFFSET),
                word(FRAME_CORRELATION_ID_OFFSET),
                word(FRAME_SENDER_OFFSET),
            ],
        );
        Some((place, message, payload))
    }
}
