// SPDX-License-Identifier: MIT
//! Creating and opening segments; creating, removing and listing channels (sections 3 and 4 of the specification).

use std::sync::Arc;

use super::channel::{Band, Channel};
use super::layout::*;
use super::{ChannelOptions, PayloadChoice, PayloadLayout};
use crate::bytes::{Area, Cells, Pinned};
use crate::error::{Error, Result};
use crate::map::{Lock, Map};
use crate::wait::{futex_wake, Backoff, Deadline};

/// A channel entry.
pub(super) type Entry<'a> = Area<'a, CHANNEL_SIZE>;

/// A segment's header, as it stands there; for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Bytes mapped.
    pub size: u64,
    /// Magic number.
    pub magic: u64,
    /// Format version.
    pub version: u32,
    /// Channel entries.
    pub max_channels: u32,
    /// Live channels as the header says; a hint.
    pub channel_count: u32,
    /// Declared payload layout, a `LAYOUT_` value.
    pub payload_layout: u32,
    /// Largest payload that can be sent through this handle, bytes.
    pub payload_capacity: u64,
}

/// A channel's entry, as it stands there, unchecked; for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelInfo {
    /// Index, as the entry says.
    pub channel_id: u32,
    /// Bit 0: [`CHANNEL_COUNTED_WAITERS`].
    pub flags: u32,
    /// Slots; 0 = removed or never there.
    pub capacity: u64,
    /// Bytes from the start of the segment to slot 0.
    pub band_offset: u64,
    /// Futex word: publications so far, wraps.
    pub signal: u32,
    /// Consumers asleep, or about to be.
    pub waiters: u32,
    /// Capacity of the removed channel whose band `band_offset` still names.
    pub retired_capacity: u64,
    /// Next position to be produced.
    pub tail: u64,
    /// Next position to be consumed.
    pub head: u64,
    /// How often a channel of this entry has been removed.
    pub removals: u64,
}

/// An attached segment. `Send`, `Sync`; clones share the mapping, which goes with the last clone and the last channel.
#[derive(Clone, Debug)]
pub struct Segment {
    pub(super) map: Arc<Map>,
    header: Pinned<HEADER_STRUCT_SIZE>,
    table: Cells<CHANNEL_SIZE>,
    payload_layout: u32,
    choice: PayloadChoice,
    pub(super) sender_runtime: u16,
}

impl Segment {
    fn new(map: Map, choice: PayloadChoice, runtime: u16) -> Result<Segment> {
        let map = Arc::new(map);
        let short = || Error::Truncated { size: map.len(), needed: HEADER_SIZE };
        let header = Pinned::new(&map, 0).ok_or_else(short)?;
        let table = Cells::new(&map, CHANNEL_TABLE_OFFSET, u64::from(MAX_CHANNELS)).ok_or_else(short)?;
        let sender_runtime = if runtime == RUNTIME_UNSPECIFIED { RUNTIME_RUST } else { runtime };
        Ok(Segment { map, header, table, payload_layout: LAYOUT_UNSPECIFIED, choice, sender_runtime })
    }

    /// Fill in the header of a new segment, whose bytes are zero, and show it.
    pub(super) fn publish(map: Map, payload_layout: PayloadLayout, runtime: u16) -> Result<Segment> {
        let declared = match payload_layout {
            PayloadLayout::Crate => LAYOUT_CRATE,
            PayloadLayout::Document => LAYOUT_DOCUMENT,
        };
        let mut segment = Segment::new(map, PayloadChoice::Always(payload_layout), runtime)?;
        segment.payload_layout = declared;
        let header = segment.header.area();
        header.u32(HEADER_VERSION_OFFSET).store_relaxed(VERSION);
        header.u32(HEADER_MAX_CHANNELS_OFFSET).store_relaxed(MAX_CHANNELS);
        header.u32(HEADER_PAYLOAD_LAYOUT_OFFSET).store_relaxed(declared);
        // R0: pairs with A0; the header before the magic [dmxp.segment.magic-last]
        header.u64(HEADER_MAGIC_OFFSET).store_release(MAGIC);
        Ok(segment)
    }

    /// Wait for the creator and check the header.
    pub(super) fn attach_to(map: Map, choice: PayloadChoice, runtime: u16, deadline: Deadline) -> Result<Segment> {
        let mut segment = Segment::new(map, choice, runtime)?;
        segment.await_magic(deadline)?;
        segment.payload_layout = segment.check_header()?;
        Ok(segment)
    }

    fn await_magic(&self, deadline: Deadline) -> Result<()> {
        let mut backoff = Backoff::new();
        loop {
            let last = deadline.expired();
            // A0: pairs with R0; the magic before the header
            match self.header.area().u64(HEADER_MAGIC_OFFSET).load_acquire() {
                MAGIC => return Ok(()),
                0 if last => return Err(Error::NotReady),
                0 => backoff.pause(deadline),
                found => return Err(Error::BadMagic { found }),
            }
        }
    }

    /// Check the header's fields, each loaded once; the payload layout is the one that is needed later.
    pub(super) fn check_header(&self) -> Result<u32> {
        let header = self.header.area();
        // A0: pairs with R0; again here because validate comes back to it
        let magic = header.u64(HEADER_MAGIC_OFFSET).load_acquire();
        let version = header.u32(HEADER_VERSION_OFFSET).load_relaxed();
        let max_channels = header.u32(HEADER_MAX_CHANNELS_OFFSET).load_relaxed();
        let payload_layout = header.u32(HEADER_PAYLOAD_LAYOUT_OFFSET).load_relaxed();
        if magic != MAGIC {
            return Err(Error::BadMagic { found: magic });
        }
        if version != VERSION {
            return Err(Error::BadVersion { found: version });
        }
        if max_channels != MAX_CHANNELS {
            return Err(Error::BadGeometry { what: "max_channels is not 256", channel: None });
        }
        if payload_layout > LAYOUT_CRATE {
            return Err(Error::BadGeometry { what: "payload_layout is unknown", channel: None });
        }
        Ok(payload_layout)
    }

    /// The layout in use: the declared one, else the caller's choice [dmxp.layout.declared, dmxp.layout.unspecified].
    pub(super) fn payload_choice(&self) -> PayloadChoice {
        match self.payload_layout {
            LAYOUT_DOCUMENT => PayloadChoice::Always(PayloadLayout::Document),
            LAYOUT_CRATE => PayloadChoice::Always(PayloadLayout::Crate),
            _ => self.choice,
        }
    }

    /// Whether the segment says itself where payloads stand.
    pub(super) fn declares_layout(&self) -> bool {
        self.payload_layout != LAYOUT_UNSPECIFIED
    }

    pub(super) fn check_writable(&self) -> Result<()> {
        if self.map.writable() {
            Ok(())
        } else {
            Err(Error::Permission)
        }
    }

    pub(super) fn check_id(id: u32) -> Result<()> {
        if id < MAX_CHANNELS {
            Ok(())
        } else {
            Err(Error::InvalidArgument("channel ids are 0 to 255"))
        }
    }

    /// Entry `id`, which is below 256; a greater one wraps.
    pub(super) fn entry(&self, id: u32) -> Entry<'_> {
        self.table.at(u64::from(id))
    }

    /// Offset of entry `id` in the segment.
    pub(super) fn entry_offset(id: u32) -> u64 {
        CHANNEL_TABLE_OFFSET + CHANNEL_SIZE * u64::from(id)
    }

    /// The header as it stands there.
    #[must_use]
    pub fn info(&self) -> SegmentInfo {
        let header = self.header.area();
        SegmentInfo {
            size: self.map.len(),
            magic: header.u64(HEADER_MAGIC_OFFSET).load_acquire(), // A0: pairs with R0
            version: header.u32(HEADER_VERSION_OFFSET).load_relaxed(),
            max_channels: header.u32(HEADER_MAX_CHANNELS_OFFSET).load_relaxed(),
            channel_count: header.u32(HEADER_CHANNEL_COUNT_OFFSET).load_relaxed(),
            payload_layout: header.u32(HEADER_PAYLOAD_LAYOUT_OFFSET).load_relaxed(),
            payload_capacity: self.write_layout().place().capacity,
        }
    }

    /// The layout that messages sent through this handle have.
    pub(super) fn write_layout(&self) -> PayloadLayout {
        match self.payload_choice() {
            PayloadChoice::Always(layout) => layout,
            PayloadChoice::Auto => PayloadLayout::Crate,
        }
    }

    /// Entry `id` as it stands there, unchecked.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an id above 255.
    pub fn channel_info(&self, id: u32) -> Result<ChannelInfo> {
        Segment::check_id(id)?;
        let entry = self.entry(id);
        Ok(ChannelInfo {
            capacity: entry.u64(CHANNEL_CAPACITY_OFFSET).load_acquire(), // A1: pairs with R1
            channel_id: entry.u32(CHANNEL_CHANNEL_ID_OFFSET).load_relaxed(),
            flags: entry.u32(CHANNEL_FLAGS_OFFSET).load_relaxed(),
            band_offset: entry.u64(CHANNEL_BAND_OFFSET_OFFSET).load_relaxed(),
            signal: entry.u32(CHANNEL_SIGNAL_OFFSET).load_relaxed(),
            waiters: entry.u32(CHANNEL_WAITERS_OFFSET).load_relaxed(),
            retired_capacity: entry.u64(CHANNEL_RETIRED_CAPACITY_OFFSET).load_relaxed(),
            tail: entry.u64(CHANNEL_TAIL_OFFSET).load_relaxed(),
            head: entry.u64(CHANNEL_HEAD_OFFSET).load_relaxed(),
            removals: entry.u64(CHANNEL_REMOVALS_OFFSET).load_relaxed(),
        })
    }

    /// Ids of the live channels, ascending.
    #[must_use]
    pub fn channels(&self) -> Vec<u32> {
        (0..MAX_CHANNELS).filter(|&id| Band::load(self.entry(id)).capacity != 0).collect()
    }

    /// Check the entry and attach to channel `id` [dmxp.channel.*].
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::BadGeometry`], [`Error::Corrupt`], [`Error::InvalidArgument`] for an id above 255.
    pub fn attach(&self, id: u32) -> Result<Channel> {
        Channel::attach(self, id)
    }

    /// Copy bytes of the segment through the kernel: slow, but a segment that someone has shortened answers
    /// [`Error::Truncated`] instead of raising `SIGBUS`.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::InvalidArgument`], [`Error::Unsupported`], [`Error::System`].
    pub fn read_guarded(&self, offset: u64, to: &mut [u8]) -> Result<()> {
        self.map.read_guarded(offset, to)
    }

    /// The segment lock, for who changes more than messages [dmxp.channel.lock].
    pub(super) fn lock(&self) -> Result<Lock> {
        self.check_writable()?;
        self.map.lock()
    }

    /// Make channel `id` [dmxp.channel.lock, .placement, .commit]. Waits for the segment lock.
    ///
    /// # Errors
    /// [`Error::Exists`]; [`Error::TooLarge`] when the segment has no room for the band; [`Error::InvalidArgument`];
    /// [`Error::Corrupt`] when the entry's positions are used up; [`Error::Permission`]; [`Error::System`] (no memory).
    pub fn create_channel(&self, id: u32, options: &ChannelOptions) -> Result<()> {
        Segment::check_id(id)?;
        if !options.capacity.is_power_of_two() || options.capacity < MIN_CAPACITY {
            return Err(Error::InvalidArgument("the capacity is not a power of two of at least 2"));
        }
        let _lock = self.lock()?;
        // A1: pairs with R1
        if self.entry(id).u64(CHANNEL_CAPACITY_OFFSET).load_acquire() != 0 {
            return Err(Error::Exists);
        }
        let band = self.place_band(options.capacity)?;
        let start = self.first_position(id, band.capacity)?;
        let slots = Cells::<SLOT_SIZE>::new(&self.map, band.offset, band.capacity)
            .ok_or(Error::BadGeometry { what: "band outside of the segment", channel: Some(id) })?;
        self.map.reserve(band.offset, band.capacity * SLOT_SIZE)?;
        self.map.prefault(band.offset, band.capacity * SLOT_SIZE);
        for position in (start..).take(band.capacity as usize) {
            slots.at(position).u64(SLOT_SEQUENCE_OFFSET).store_relaxed(position);
        }
        self.commit_entry(id, band, start, options);
        Ok(())
    }

    /// Where a new channel's positions begin: above all that the entry's channels have had [dmxp.channel.start].
    fn first_position(&self, id: u32, capacity: u64) -> Result<u64> {
        let entry = self.entry(id);
        let tail = entry.u64(CHANNEL_TAIL_OFFSET).load_relaxed();
        let used = tail.checked_add(entry.u64(CHANNEL_RETIRED_CAPACITY_OFFSET).load_relaxed());
        let start = used.and_then(|used| used.checked_add(capacity - 1)).map(|end| end & !(capacity - 1));
        // A lap at least must be left: positions do not wrap. No entry comes this far in its life.
        let spent = Error::Corrupt { what: "its positions are used up", channel: Some(id) };
        start.filter(|start| start.checked_add(capacity).is_some()).ok_or(spent)
    }

    /// Where a new band goes: the first aligned byte after the header and every live and retired band.
    fn place_band(&self, capacity: u64) -> Result<Band> {
        let occupied = (0..MAX_CHANNELS).filter_map(|id| Band::occupied(self.entry(id)));
        // An impossible band, which has no end, leaves no room either.
        let end = occupied.fold(HEADER_SIZE, |end, band| end.max(band.end().unwrap_or(u64::MAX)));
        let offset = end.checked_add(BAND_ALIGN - 1).map_or(u64::MAX, |end| end & !(BAND_ALIGN - 1));
        let band = Band { offset, capacity };
        match band.end() {
            Some(end) if end <= self.map.len() => Ok(band),
            _ => {
                let limit = self.map.len().saturating_sub(offset);
                Err(Error::TooLarge { length: capacity.saturating_mul(SLOT_SIZE), limit })
            }
        }
    }

    /// Everything but the capacity, then the capacity. Whoever dies in between leaves an entry that was never there.
    fn commit_entry(&self, id: u32, band: Band, start: u64, options: &ChannelOptions) {
        let entry = self.entry(id);
        let flags = if options.counted_waiters { CHANNEL_COUNTED_WAITERS } else { 0 };
        entry.u32(CHANNEL_CHANNEL_ID_OFFSET).store_relaxed(id);
        entry.u32(CHANNEL_FLAGS_OFFSET).store_relaxed(flags);
        entry.u64(CHANNEL_TAIL_OFFSET).store_relaxed(start);
        entry.u64(CHANNEL_HEAD_OFFSET).store_relaxed(start);
        // The new band, which lies above the retired one, before the retirement ends: the room below stays kept at any moment.
        entry.u64(CHANNEL_BAND_OFFSET_OFFSET).store_relaxed(band.offset);
        entry.u64(CHANNEL_RETIRED_CAPACITY_OFFSET).store_relaxed(0);
        self.store_count(self.channels().len() as u32 + 1);
        // R1: pairs with A1; entry and slots before the capacity [dmxp.channel.commit]
        entry.u64(CHANNEL_CAPACITY_OFFSET).store_release(band.capacity);
    }

    /// Store channel_count, unless it is right already. Under the lock.
    pub(super) fn store_count(&self, count: u32) -> bool {
        let word = self.header.area().u32(HEADER_CHANNEL_COUNT_OFFSET);
        let wrong = word.load_relaxed() != count;
        if wrong {
            word.store_relaxed(count);
        }
        wrong
    }

    /// Remove channel `id` [dmxp.channel.remove]: its messages are gone, its users get [`Answer::Closed`](crate::Answer).
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::InvalidArgument`], [`Error::Permission`].
    pub fn remove_channel(&self, id: u32) -> Result<()> {
        Segment::check_id(id)?;
        let _lock = self.lock()?;
        let entry = self.entry(id);
        let capacity = entry.u64(CHANNEL_CAPACITY_OFFSET);
        // A1: pairs with R1
        let slots = capacity.load_acquire();
        if slots == 0 {
            return Err(Error::NotFound);
        }
        entry.u64(CHANNEL_RETIRED_CAPACITY_OFFSET).store_relaxed(slots);
        // R1: pairs with A1; the retired capacity before the 0
        capacity.store_release(0);
        // R6: pairs with A6; whoever attaches and sees it finds no capacity either
        entry.u64(CHANNEL_REMOVALS_OFFSET).add_one_release();
        self.store_count(self.channels().len() as u32);
        let signal = entry.u32(CHANNEL_SIGNAL_OFFSET);
        // R4, S5: pairs with A4 and the sleeper's check; the removal before the signal
        signal.add_seq_cst(1);
        futex_wake(signal, u64::MAX);
        Ok(())
    }
}
