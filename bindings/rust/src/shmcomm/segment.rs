// SPDX-License-Identifier: MIT
//! A mapped channel: its header, its frames, what they say (sections 1 and 3 of the specification).

use std::fs::File;
use std::path::Path;

use super::layout::*;
use super::{Message, Options};
use crate::atomic::{Word32, Word64};
use crate::bytes::{Area, Ring};
use crate::error::{Error, Result};
use crate::map::{names_file, open_file, random_u64, Map};
use crate::wait::{Backoff, Deadline};

/// Looks at positions that move meanwhile.
const SNAPSHOT_TRIES: u32 = 1000;
/// Most bytes of a file that has no whole header.
const SHORTEST: u64 = HEADER_SIZE - 1;
/// Where the fields of a frame's last word are in it.
const CONTENT_TYPE_SHIFT: u64 = 8 * (FRAME_CONTENT_TYPE_OFFSET - FRAME_SENDER_OFFSET);
const FLAGS_SHIFT: u64 = 8 * (FRAME_FLAGS_OFFSET - FRAME_SENDER_OFFSET);

/// The ring begins where the header ends.
const _: () = assert!(RING_OFFSET == HEADER_SIZE);

pub(super) fn corrupt(what: &'static str) -> Error {
    Error::Corrupt { what, channel: None }
}

fn impossible(what: &'static str) -> Error {
    Error::BadGeometry { what, channel: None }
}

/// Bytes of a frame with so many bytes of payload, at most capacity / 2.
#[inline]
pub(super) fn extent_of(length: u64) -> u64 {
    (FRAME_OVERHEAD + length + FRAME_ALIGN - 1) & !(FRAME_ALIGN - 1)
}

/// [shmcomm.segment.positions]
#[inline]
pub(super) fn are_possible(head: u64, tail: u64, capacity: u64) -> bool {
    (head | tail) % FRAME_ALIGN == 0 && head.wrapping_sub(tail) <= capacity
}

/// What a channel is, from a header that was checked once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) capacity: u64,
    pub(super) pattern: u32,
    pub(super) serializer: u16,
}

/// A frame, as its size says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Its position: that of the look, or the start of the ring behind a SKIP.
    pub(super) at: u64,
    /// Bytes of payload.
    pub(super) length: usize,
    /// The position behind it.
    pub(super) end: u64,
}

/// A mapping of a channel. Its geometry was loaded and checked once.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) ring: Ring<HEADER_SIZE>,
    pub(super) geometry: Geometry,
    /// Where sleepers count themselves, if the mapping itself cannot be written.
    counts: Option<Map>,
}

impl Segment {
    fn new(map: Map, geometry: Geometry) -> Result<Segment> {
        let size = map.len();
        let needed = RING_OFFSET + geometry.capacity;
        let ring = Ring::new(map, geometry.capacity).ok_or(Error::Truncated { size, needed })?; // [shmcomm.segment.size]
        Ok(Segment { ring, geometry, counts: None })
    }

    /// Make a segment in an empty file that is ours alone, all of it but the magic [shmcomm.segment.init].
    pub(super) fn make(file: File, pattern: u32, options: &Options) -> Result<Segment> {
        let size = RING_OFFSET + options.capacity;
        let geometry = Geometry { capacity: options.capacity, pattern, serializer: options.serializer };
        let segment = Segment::new(Map::of_new_file(file, size, size)?, geometry)?;
        segment.ring.map().prefault(0, size);
        let mut instance = options.identity.instance;
        while instance == 0 {
            instance = random_u64()?;
        }
        let header = segment.header();
        header.u64(HEADER_VERSION_OFFSET).store_relaxed(VERSION);
        header.u64(HEADER_CAPACITY_OFFSET).store_relaxed(options.capacity);
        header.u32(HEADER_PATTERN_OFFSET).store_relaxed(pattern);
        header.u32(HEADER_SERIALIZER_OFFSET).store_relaxed(options.serializer.into());
        header.u64(HEADER_INSTANCE_OFFSET).store_relaxed(instance);
        segment.state().store_relaxed(STATE_OPEN); // published by R0, as everything here
        Ok(segment)
    }

    /// It is complete: show it.
    pub(super) fn announce(&self) {
        self.header().u64(HEADER_MAGIC_OFFSET).store_release(MAGIC); // R0: pairs with A0; the whole header before it
    }

    /// Map a file as it is now, and check it. `Truncated` below a header's size and `NotReady` say that it is being made.
    pub(super) fn of_file(file: File, writable: bool) -> Result<Segment> {
        let size = file.metadata().map_err(Error::System)?.len();
        let map = match size {
            0..=SHORTEST => return Err(Error::Truncated { size, needed: HEADER_SIZE }), // [shmcomm.segment.size]
            _ => Map::of_file(file, size, writable)?,
        };
        let geometry = check_header(Area::at_start(&map).ok_or(Error::Truncated { size, needed: HEADER_SIZE })?)?;
        let segment = Segment::new(map, geometry)?;
        segment.positions()?;
        Ok(segment)
    }

    /// Wait for a segment and map it to look, with a page to count in if `count`.
    pub(super) fn look_at(locator: &Path, count: bool, deadline: Deadline) -> Result<Segment> {
        let mut backoff = Backoff::new();
        loop {
            let last = deadline.expired();
            let found = open_file(locator, true).and_then(|file| Segment::of_file(file, false));
            match found {
                Ok(segment) => return Ok(segment.counting(locator, count)),
                Err(Error::NotFound) if !last => {}
                Err(error) if is_unfinished(&error) && !last => {}
                Err(error) => return Err(error),
            }
            backoff.pause(deadline);
        }
    }

    /// Map the header once more, to be counted in when we sleep; not if the mode does not let us [shmcomm.segment.readonly].
    fn counting(mut self, locator: &Path, count: bool) -> Segment {
        let same = |file: &File| names_file(locator, file) && names_file(locator, self.ring.map().file());
        if count {
            let file = open_file(locator, false).ok().filter(same);
            self.counts = file.and_then(|file| Map::of_file(file, HEADER_SIZE, true).ok());
        }
        self
    }

    /// Whether the header is still what it was when this was opened.
    pub(super) fn check_header(&self) -> Result<()> {
        if check_header(self.header())? == self.geometry {
            Ok(())
        } else {
            Err(impossible("the geometry has changed"))
        }
    }

    #[inline]
    pub(super) fn header(&self) -> Area<'_, HEADER_SIZE> {
        self.ring.area()
    }

    #[inline]
    pub(super) fn capacity(&self) -> u64 {
        self.ring.capacity()
    }

    #[inline]
    pub(super) fn max_payload(&self) -> u64 {
        self.capacity() / 2 - FRAME_OVERHEAD
    }

    #[inline]
    pub(super) fn head(&self) -> Word64<'_> {
        self.header().u64(HEADER_HEAD_OFFSET)
    }

    #[inline]
    pub(super) fn tail(&self) -> Word64<'_> {
        self.header().u64(HEADER_TAIL_OFFSET)
    }

    #[inline]
    pub(super) fn message_count(&self) -> Word64<'_> {
        self.header().u64(HEADER_MESSAGE_COUNT_OFFSET)
    }

    #[inline]
    pub(super) fn dropped_count(&self) -> Word64<'_> {
        self.header().u64(HEADER_DROPPED_COUNT_OFFSET)
    }

    #[inline]
    pub(super) fn writer_lock(&self) -> Word32<'_> {
        self.header().u32(HEADER_WRITER_LOCK_OFFSET)
    }

    #[inline]
    pub(super) fn state(&self) -> Word32<'_> {
        self.header().u32(HEADER_STATE_OFFSET)
    }

    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.state().load_acquire() == STATE_CLOSED // A7: pairs with R7; everything published before
    }

    /// Signal and count of waiting receivers. The count is `None` where there is nothing to write it to.
    pub(super) fn data_words(&self) -> (Word32<'_>, Option<Word32<'_>>) {
        let own = self.ring.map().writable().then(|| self.header());
        let counts = own.or_else(|| self.counts.as_ref().and_then(Area::at_start));
        (self.header().u32(HEADER_DATA_SIGNAL_OFFSET), counts.map(|header| header.u32(HEADER_DATA_WAITERS_OFFSET)))
    }

    /// The same of writers that wait for room; not for those who only look.
    #[inline]
    pub(super) fn space_words(&self) -> (Word32<'_>, Word32<'_>) {
        let header = self.header();
        (header.u32(HEADER_SPACE_SIGNAL_OFFSET), header.u32(HEADER_SPACE_WAITERS_OFFSET))
    }

    /// Head and tail of a moment at which both were so.
    pub(super) fn positions(&self) -> Result<(u64, u64)> {
        let (head, tail) = self.snapshot();
        if are_possible(head, tail, self.capacity()) {
            Ok((head, tail))
        } else {
            Err(corrupt("head and tail are no multiples of 8, or further apart than the ring is long"))
        }
    }

    fn snapshot(&self) -> (u64, u64) {
        let mut tail = self.tail().load_acquire(); // A3: pairs with R3; no head from before it
        for _ in 0..SNAPSHOT_TRIES {
            let head = self.head().load_acquire(); // A2: pairs with R2
            let now = self.tail().load_acquire(); // A3: pairs with R3
            if now == tail {
                return (head, tail);
            }
            tail = now;
        }
        (tail, tail) // it lives, and this one never saw it stand still
    }

    /// Whether all messages have been taken; of a pipeline that nobody writes to.
    pub(super) fn is_drained(&self) -> bool {
        let (head, tail) = self.snapshot();
        head == tail
    }

    /// Bytes from a position to the end of the ring.
    #[inline]
    pub(super) fn room(&self, position: u64) -> u64 {
        self.capacity() - self.ring.offset(position)
    }

    /// Bytes that a frame of that extent takes at a position.
    #[inline]
    pub(super) fn need(&self, position: u64, extent: u64) -> u64 {
        let room = self.room(position);
        if extent <= room {
            extent
        } else {
            room + extent
        }
    }

    /// frame.size at a position.
    #[inline]
    pub(super) fn size_at(&self, position: u64) -> u64 {
        self.ring.word(position, FRAME_SIZE_OFFSET).load_relaxed()
    }

    /// Steps 2 and 3 of section 7.1: the frame at a position below head, which is at most capacity ahead. `None`: an impossible size,
    /// for which there may be another reason [shmcomm.receive.size, .skip]. Each size is loaded once.
    #[inline]
    pub(super) fn find(&self, position: u64, head: u64) -> Option<Place> {
        let (mut at, mut size) = (position, self.size_at(position));
        if size == SKIP {
            let room = self.room(at);
            if room == self.capacity() || room >= head.wrapping_sub(at) {
                return None;
            }
            at = at.wrapping_add(room);
            size = self.size_at(at);
        }
        self.place(at, size, head)
    }

    /// Step 3: a frame of that size at a position.
    #[inline]
    pub(super) fn place(&self, at: u64, size: u64, head: u64) -> Option<Place> {
        let length = size.wrapping_sub(MESSAGE_HEADER_SIZE); // huge, if the size is below that
        if length > self.max_payload() {
            return None;
        }
        let extent = extent_of(length);
        let fits = extent <= head.wrapping_sub(at) && extent <= self.room(at);
        fits.then(|| Place { at, length: length as usize, end: at.wrapping_add(extent) })
    }

    /// What a frame says beside its payload. Only good if it turns out to have been whole.
    #[inline]
    pub(super) fn describe(&self, place: &Place) -> Message {
        let word = |offset| self.ring.word(place.at, offset).load_relaxed();
        message_of(
            place,
            [
                word(FRAME_SEQUENCE_OFFSET),
                word(FRAME_TIMESTAMP_NS_OFFSET),
                word(FRAME_CORRELATION_ID_OFFSET),
                word(FRAME_SENDER_OFFSET),
            ],
        )
    }

    /// Copy the payload of a frame to the front of `buffer`, or say how much that needs.
    #[inline]
    pub(super) fn copy_payload(&self, place: &Place, buffer: &mut [u8]) -> Result<()> {
        let needed = place.length as u64;
        let to = buffer.get_mut(..place.length).ok_or(Error::TooSmall { needed })?;
        self.ring.copy_out_racing(place.at, FRAME_OVERHEAD, to);
        Ok(())
    }

    /// What is held from a position to a head, in order; an impossible size is told by its position, and is the last.
    pub(super) fn frames(&self, tail: u64, head: u64) -> Frames<'_> {
        Frames { segment: self, at: tail, head }
    }
}

/// See [`Segment::frames`].
pub(super) struct Frames<'a> {
    segment: &'a Segment,
    at: u64,
    head: u64,
}

impl Iterator for Frames<'_> {
    type Item = std::result::Result<Place, u64>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.head {
            return None;
        }
        let from = self.at;
        let found = self.segment.find(from, self.head);
        self.at = found.map_or(self.head, |place| place.end);
        Some(found.ok_or(from))
    }
}

/// The message header's words: sequence, timestamp, correlation_id, and sender, content type and flags in one.
#[inline]
pub(super) fn message_of(place: &Place, words: [u64; 4]) -> Message {
    let [sequence, timestamp_ns, correlation_id, last] = words;
    Message {
        sequence,
        timestamp_ns,
        correlation_id,
        lost: 0,
        position: place.at,
        sender: last as u32,
        content_type: (last >> CONTENT_TYPE_SHIFT) as u16,
        flags: (last >> FLAGS_SHIFT) as u16,
        length: place.length,
        offset: 0,
        taken: None,
    }
}

/// Sender, content type and flags in one word.
#[inline]
pub(super) fn last_word(sender: u32, content_type: u16, flags: u16) -> u64 {
    u64::from(sender) | u64::from(content_type) << CONTENT_TYPE_SHIFT | u64::from(flags) << FLAGS_SHIFT
}

/// Whether an error says that a segment is being made, or that its creator died over it.
pub(super) fn is_unfinished(error: &Error) -> bool {
    matches!(error, Error::NotReady | Error::Truncated { needed: HEADER_SIZE, .. })
}

/// Section 3, but for what needs the ring; each field loaded once.
fn check_header(header: Area<'_, HEADER_SIZE>) -> Result<Geometry> {
    match header.u64(HEADER_MAGIC_OFFSET).load_acquire() {
        // A0: pairs with R0; the header after it
        0 => return Err(Error::NotReady), // [shmcomm.segment.not-ready]
        MAGIC => {}
        found => return Err(Error::BadMagic { found }), // [shmcomm.segment.magic]
    }
    let version = header.u64(HEADER_VERSION_OFFSET).load_relaxed();
    if version != VERSION {
        return Err(Error::BadVersion { found: u32::try_from(version).unwrap_or(u32::MAX) });
        // [shmcomm.segment.version]
    }
    // [shmcomm.segment.geometry]
    let capacity = header.u64(HEADER_CAPACITY_OFFSET).load_relaxed();
    if !capacity.is_power_of_two() || !(MIN_CAPACITY..=MAX_CAPACITY).contains(&capacity) {
        return Err(impossible("the capacity is not a power of two from 4096 to 2^38"));
    }
    let pattern = header.u32(HEADER_PATTERN_OFFSET).load_relaxed();
    if !(PATTERN_PUBSUB..=PATTERN_REPLY).contains(&pattern) {
        return Err(impossible("the pattern is not 1 to 4"));
    }
    // A7: pairs with R7
    if !matches!(header.u32(HEADER_STATE_OFFSET).load_acquire(), STATE_OPEN | STATE_CLOSED) {
        return Err(impossible("the state is neither open nor closed"));
    }
    let serializer = header.u32(HEADER_SERIALIZER_OFFSET).load_relaxed();
    let serializer = u16::try_from(serializer).map_err(|_| impossible("the serializer is above 65535"))?;
    Ok(Geometry { capacity, pattern, serializer })
}
