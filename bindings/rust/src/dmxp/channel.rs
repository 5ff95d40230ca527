// SPDX-License-Identifier: MIT
//! An attached channel: its geometry, checked once and then kept in local memory (section 4 of the specification).

use std::fmt;
use std::sync::Arc;

use super::layout::*;
use super::segment::{Entry, Segment};
use super::{PayloadChoice, PayloadLayout, Place};
use crate::atomic::fence_acquire;
use crate::bytes::{Cells, Pinned};
use crate::error::{Error, Result};
use crate::map::Map;

/// Tries for a snapshot of words that others are changing. A live channel that never gives one is not evidence of damage.
const SNAPSHOT_TRIES: u32 = 1000;

/// Where a channel's slots are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Band {
    pub(super) offset: u64,
    pub(super) capacity: u64,
}

impl Band {
    /// The band of a live channel; capacity 0 when there is none. The two words belong together: a channel that is removed
    /// and made anew meanwhile is read again.
    pub(super) fn load(entry: Entry<'_>) -> Band {
        let word = entry.u64(CHANNEL_CAPACITY_OFFSET);
        // A1: pairs with R1; the capacity before the entry
        let mut capacity = word.load_acquire();
        for _ in 0..SNAPSHOT_TRIES {
            let offset = entry.u64(CHANNEL_BAND_OFFSET_OFFSET).load_relaxed();
            fence_acquire();
            let again = word.load_relaxed();
            if again == capacity {
                return Band { offset, capacity };
            }
            capacity = again;
        }
        Band { offset: entry.u64(CHANNEL_BAND_OFFSET_OFFSET).load_relaxed(), capacity }
    }

    /// The band that an entry keeps from being used again: a live or a retired one. Under the segment lock.
    pub(super) fn occupied(entry: Entry<'_>) -> Option<Band> {
        let band = Band::load(entry);
        let retired = entry.u64(CHANNEL_RETIRED_CAPACITY_OFFSET).load_relaxed();
        let capacity = if band.capacity != 0 { band.capacity } else { retired };
        if capacity == 0 {
            None
        } else {
            Some(Band { capacity, ..band })
        }
    }

    /// One past the last byte, if there is such a number.
    pub(super) fn end(self) -> Option<u64> {
        self.capacity.checked_mul(SLOT_SIZE)?.checked_add(self.offset)
    }

    /// [dmxp.channel.capacity, dmxp.channel.band]
    fn check(self, id: u32, size: u64) -> Result<()> {
        let bad = |what| Err(Error::BadGeometry { what, channel: Some(id) });
        if !self.capacity.is_power_of_two() || self.capacity < MIN_CAPACITY {
            return bad("capacity is not a power of two of at least 2");
        }
        if self.offset % BAND_ALIGN != 0 {
            return bad("band_offset is not aligned");
        }
        if self.offset < HEADER_SIZE {
            return bad("band_offset is inside of the header");
        }
        match self.end() {
            Some(end) if end <= size => Ok(()),
            _ => bad("band outside of the segment"),
        }
    }

    /// Whether two bands share a byte; one that has no end goes on for ever.
    fn overlaps(self, other: Band) -> bool {
        let end = |band: Band| band.end().unwrap_or(u64::MAX);
        self.offset < end(other) && other.offset < end(self)
    }
}

/// head and tail at one moment: head did not change while tail was read. `None` when it always did.
pub(super) fn load_cursors(entry: Entry<'_>) -> Option<(u64, u64)> {
    let word = entry.u64(CHANNEL_HEAD_OFFSET);
    // A5: pairs with R5; the head before the tail that its positions were claimed with
    let mut head = word.load_acquire();
    for _ in 0..SNAPSHOT_TRIES {
        let tail = entry.u64(CHANNEL_TAIL_OFFSET).load_acquire();
        let again = word.load_acquire(); // A5: as above
        if again == head {
            return Some((head, tail));
        }
        head = again;
    }
    None
}

/// Check everything about an entry that can be checked without its slots [dmxp.channel.*].
pub(super) fn check_entry(segment: &Segment, id: u32) -> Result<Band> {
    let entry = segment.entry(id);
    let band = Band::load(entry);
    if band.capacity == 0 {
        return Err(Error::NotFound);
    }
    band.check(id, segment.map.len())?;
    if entry.u32(CHANNEL_CHANNEL_ID_OFFSET).load_relaxed() != id {
        return Err(Error::BadGeometry { what: "channel_id is not the index of the entry", channel: Some(id) });
    }
    for other in (0..MAX_CHANNELS).filter(|&other| other != id) {
        let theirs = Band::load(segment.entry(other));
        if theirs.capacity != 0 && band.overlaps(theirs) {
            return Err(Error::BadGeometry { what: "band overlaps that of another channel", channel: Some(id) });
        }
    }
    match load_cursors(entry) {
        Some((head, tail)) if tail.wrapping_sub(head) > band.capacity => {
            Err(Error::Corrupt { what: "tail and head are further apart than the capacity", channel: Some(id) })
        }
        _ => Ok(band),
    }
}

/// Called by a receiving thread before it sleeps.
pub(super) type SleepHook = Arc<dyn Fn() + Send + Sync>;

/// One channel of a segment, attached, with its geometry checked. `Send`, `Sync`; clones share the mapping.
///
/// The channel stays usable after its [`Segment`] handle is dropped.
#[derive(Clone)]
pub struct Channel {
    pub(super) map: Arc<Map>,
    entry: Pinned<CHANNEL_SIZE>,
    pub(super) slots: Cells<SLOT_SIZE>,
    band: Band,
    /// Of the entry, before we attached.
    removals: u64,
    id: u32,
    pub(super) counted_waiters: bool,
    pub(super) write_place: Place,
    /// `None`: by message.
    pub(super) read_place: Option<Place>,
    /// Whether sender_runtime says where the payload is [dmxp.layout.runtime].
    pub(super) runtime_tells: bool,
    pub(super) sender_runtime: u16,
    pub(super) sleep_hook: Option<SleepHook>,
}

impl Channel {
    pub(super) fn attach(segment: &Segment, id: u32) -> Result<Channel> {
        Segment::check_id(id)?;
        // A6: pairs with R6; before the capacity, so that a removal in between is noticed later [dmxp.channel.closed]
        let removals = segment.entry(id).u64(CHANNEL_REMOVALS_OFFSET).load_acquire();
        let band = check_entry(segment, id)?;
        let outside = || Error::BadGeometry { what: "band outside of the segment", channel: Some(id) };
        let slots = Cells::new(&segment.map, band.offset, band.capacity).ok_or_else(outside)?;
        let entry: Pinned<CHANNEL_SIZE> = Pinned::new(&segment.map, Segment::entry_offset(id)).ok_or_else(outside)?;
        let flags = entry.area().u32(CHANNEL_FLAGS_OFFSET).load_relaxed();
        segment.map.prefault(band.offset, band.capacity * SLOT_SIZE);
        let read_place = match segment.payload_choice() {
            PayloadChoice::Always(layout) => Some(layout.place()),
            PayloadChoice::Auto => None,
        };
        let write_layout = segment.write_layout();
        let document_by_runtime = !segment.declares_layout() && write_layout == PayloadLayout::Document;
        Ok(Channel {
            map: Arc::clone(&segment.map),
            entry,
            slots,
            band,
            removals,
            id,
            counted_waiters: flags & CHANNEL_COUNTED_WAITERS != 0,
            write_place: write_layout.place(),
            read_place,
            runtime_tells: !segment.declares_layout(),
            sender_runtime: if document_by_runtime { RUNTIME_UNSPECIFIED } else { segment.sender_runtime },
            sleep_hook: None,
        })
    }

    /// Index of the channel, 0 to 255.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Slots.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.band.capacity
    }

    /// Largest payload that can be sent, bytes.
    #[must_use]
    pub fn payload_capacity(&self) -> usize {
        self.write_place.capacity as usize
    }

    /// The channel with a hook that a receiving thread calls each time before it sleeps, after its last look: for idle work
    /// and for tests. A message that the hook sends is received by the same call.
    #[must_use]
    pub fn with_sleep_hook(self, hook: impl Fn() + Send + Sync + 'static) -> Channel {
        Channel { sleep_hook: Some(Arc::new(hook)), ..self }
    }

    #[inline]
    pub(super) fn entry(&self) -> Entry<'_> {
        self.entry.area()
    }

    #[inline]
    pub(super) fn check_writable(&self) -> Result<()> {
        if self.map.writable() {
            Ok(())
        } else {
            Err(Error::Permission)
        }
    }

    /// Whether the channel has been removed, for consumers and lookers: they ask the line of head [dmxp.channel.closed].
    #[inline]
    pub(super) fn is_removed(&self) -> bool {
        self.entry().u64(CHANNEL_REMOVALS_OFFSET).load_relaxed() != self.removals
    }

    /// The same for producers, who ask the line that they write anyway.
    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        let entry = self.entry();
        // A1: pairs with R1; the capacity before the band_offset
        let capacity = entry.u64(CHANNEL_CAPACITY_OFFSET).load_acquire();
        let offset = entry.u64(CHANNEL_BAND_OFFSET_OFFSET).load_relaxed();
        Band { offset, capacity } != self.band
    }

    pub(super) fn corrupt(&self, what: &'static str) -> Error {
        Error::Corrupt { what, channel: Some(self.id) }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("id", &self.id).field("band", &self.band).finish_non_exhaustive()
    }
}
