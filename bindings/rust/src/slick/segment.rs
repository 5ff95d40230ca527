// SPDX-License-Identifier: MIT
//! What producers and readers both need of a segment: its header, its slots, what they say (sections 1 to 3 of the
//! specification).

use std::path::Path;
use std::sync::Arc;

use super::layout::*;
use super::{Generation, Start};
use crate::atomic::{Word32, Word64};
use crate::bytes::{Cells, Elements, Pinned};
use crate::error::{Error, Result};
use crate::map::Map;
use crate::wait::{Backoff, Deadline};

/// The word that reservations are made by: the next free index, and the elements of the reservation before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reserved(pub(super) u64);

impl Reserved {
    #[inline]
    pub(super) fn new(index: u64, elements: u64) -> Reserved {
        Reserved(index << RESERVED_SIZE_BITS | elements)
    }

    #[inline]
    pub(super) fn index(self) -> u64 {
        self.0 >> RESERVED_SIZE_BITS
    }

    #[inline]
    pub(super) fn elements(self) -> u64 {
        self.0 & RESERVED_SIZE_MASK
    }
}

/// End of the elements, which is at most 2^63 + 2^35: no overflow.
pub(super) fn length_of(size: u64, element_size: u32) -> u64 {
    data_offset(size) + size * u64::from(element_size)
}

fn data_offset(size: u64) -> u64 {
    SLOT_TABLE_OFFSET + SLOT_SIZE * size
}

pub(super) fn corrupt(what: &'static str) -> Error {
    Error::Corrupt { what, channel: None }
}

fn impossible(what: &'static str) -> Error {
    Error::BadGeometry { what, channel: None }
}

/// A mapping and the values of its header, checked once.
#[derive(Debug)]
pub(super) struct Segment {
    map: Arc<Map>,
    pub(super) header: Pinned<HEADER_SIZE>,
    slots: Cells<SLOT_SIZE>,
    pub(super) elements: Elements,
    pub(super) size: u64,
    pub(super) element_size: u32,
    pub(super) generation: Generation,
    name: Box<Path>,
}

impl Segment {
    /// Geometry that has been checked, but for the mapping's length [slick.segment.size].
    fn new(map: Arc<Map>, name: &Path, generation: Generation, size: u32, element_size: u32) -> Result<Segment> {
        let count = u64::from(size);
        let truncated = || Error::Truncated { size: map.len(), needed: length_of(count, element_size) };
        Ok(Segment {
            header: Pinned::new(&map, 0).ok_or_else(truncated)?,
            slots: Cells::new(&map, SLOT_TABLE_OFFSET, count).ok_or_else(truncated)?,
            elements: Elements::new(&map, data_offset(count), element_size, count).ok_or_else(truncated)?,
            size: count,
            element_size,
            generation,
            name: name.into(),
            map,
        })
    }

    /// Fill in a new segment, whose bytes are zero, and show it [slick.segment.init].
    pub(super) fn publish(map: Map, name: &Path, generation: Generation, size: u32, element_size: u32) -> Result<Segment> {
        let segment = Segment::new(Arc::new(map), name, generation, size, element_size)?;
        let header = segment.header.area();
        let state = header.u32(HEADER_INIT_STATE_OFFSET);
        if generation != Generation::V1_2 {
            state.store_relaxed(STATE_BEGUN);
        }
        header.u32(HEADER_ELEMENT_SIZE_OFFSET).store_relaxed(element_size);
        if generation == Generation::V1_4 {
            header.u64(HEADER_LAST_PUBLISHED_OFFSET).store_relaxed(NO_INDEX);
            header.u32(HEADER_HEADER_MAGIC_OFFSET).store_relaxed(MAGIC);
        }
        segment.clear_slots();
        // R0: pairs with A0; everything before the size, which publishes generation 1.2. In the later ones it is seen only by
        // those who see STATE_BEGUN, too.
        header.u32(HEADER_SIZE_OFFSET).store_release(size);
        match generation {
            Generation::V1_2 => {}
            Generation::V1_3 => state.store_release(STATE_READY_13), // R0: pairs with A0; everything before the state
            Generation::V1_4 => state.store_release(STATE_READY_14), // R0: likewise
        }
        Ok(segment)
    }

    /// Every slot as if it had never been published.
    pub(super) fn clear_slots(&self) {
        for index in 0..self.size {
            self.slot_size(index).store_relaxed(1);
            self.data_index(index).store_release(NO_INDEX); // R2: pairs with A2; the size before it
        }
    }

    /// Wait for the creator and check the header.
    pub(super) fn attach(map: Map, name: &Path, deadline: Deadline) -> Result<Segment> {
        let map = Arc::new(map);
        let header = Pinned::new(&map, 0).ok_or_else(|| Error::Truncated { size: map.len(), needed: HEADER_SIZE })?;
        let mut backoff = Backoff::new();
        let generation = loop {
            let last = deadline.expired();
            match generation_of(&header)? {
                Some(generation) => break generation,
                None if last => return Err(Error::NotReady), // [slick.segment.not-ready]
                None => backoff.pause(deadline),
            }
        };
        let (size, element_size) = check_geometry(&header)?;
        Segment::new(map, name, generation, size, element_size)
    }

    /// Whether the header is still what it was when this was opened.
    pub(super) fn check_header(&self) -> Result<()> {
        let generation = generation_of(&self.header)?.ok_or(Error::NotReady)?;
        let (size, element_size) = check_geometry(&self.header)?;
        if (generation, u64::from(size), element_size) == (self.generation, self.size, self.element_size) {
            Ok(())
        } else {
            Err(impossible("the geometry has changed"))
        }
    }

    pub(super) fn check_writable(&self) -> Result<()> {
        if self.map.writable() {
            Ok(())
        } else {
            Err(Error::Permission)
        }
    }

    pub(super) fn name(&self) -> &Path {
        &self.name
    }

    #[inline]
    pub(super) fn map(&self) -> &Map {
        &self.map
    }

    /// header.reserved.
    #[inline]
    pub(super) fn reserved(&self) -> Word64<'_> {
        self.header.area().u64(HEADER_RESERVED_OFFSET)
    }

    /// The next free index. Where it decides whether a copy is whole, a fence goes before it.
    #[inline]
    pub(super) fn next_index(&self) -> u64 {
        Reserved(self.reserved().load_relaxed()).index()
    }

    #[inline]
    pub(super) fn settled(&self) -> Word64<'_> {
        self.header.area().u64(HEADER_SETTLED_OFFSET)
    }

    #[inline]
    pub(super) fn last_published(&self) -> Word64<'_> {
        self.header.area().u64(HEADER_LAST_PUBLISHED_OFFSET)
    }

    /// data_index of the slot of an index.
    #[inline]
    pub(super) fn data_index(&self, index: u64) -> Word64<'_> {
        self.slots.at(index).u64(SLOT_DATA_INDEX_OFFSET)
    }

    /// size of the slot of an index.
    #[inline]
    pub(super) fn slot_size(&self, index: u64) -> Word32<'_> {
        self.slots.at(index).u32(SLOT_SIZE_OFFSET)
    }

    /// Have the first lines of an item fetched: before its reservation, whose line is fetched meanwhile. A hint, whoever reserves
    /// it.
    #[inline]
    pub(super) fn prefetch_to_write(&self, index: u64, elements: u64) {
        self.slots.at(index).prefetch_to_write(SLOT_DATA_INDEX_OFFSET);
        let length = elements.min(self.room(index)) as usize * self.element_size as usize;
        self.elements.prefetch_to_write(self.elements.at(index), length);
    }

    /// Elements from that of an index to the end of the ring.
    #[inline]
    pub(super) fn room(&self, index: u64) -> u64 {
        self.size - (index & (self.size - 1))
    }

    /// Whether an item of so many elements may begin at an index: it has one, and does not pass the end of the ring.
    #[inline]
    pub(super) fn fits(&self, index: u64, elements: u32) -> bool {
        elements != 0 && u64::from(elements) <= self.room(index)
    }

    /// Whether elements from `index` on may have been reserved again, `next` being the next free index.
    #[inline]
    pub(super) fn overtaken(&self, index: u64, next: u64) -> bool {
        next > index.saturating_add(self.size)
    }

    /// Whether the slot of `index` holds an item that begins there, or a mark made by who reserved `index`; `next` is the next
    /// free one.
    pub(super) fn answers(&self, index: u64, next: u64) -> bool {
        let d = self.data_index(index).load_acquire(); // A2: pairs with R2
        d == index || (d > index && d - index < self.size && d <= next)
    }

    /// The lowest index of `from .. to` that answers.
    pub(super) fn first_answering(&self, from: u64, to: u64, next: u64) -> Option<u64> {
        (from..to).find(|&index| self.answers(index, next))
    }

    /// The highest index below `next` that an item is published at, in the last lap.
    pub(super) fn newest(&self, next: u64) -> Option<u64> {
        // A2: pairs with R2
        (self.lap_start(next)..next).rev().find(|&index| self.data_index(index).load_acquire() == index)
    }

    /// The lowest index whose elements can be whole.
    #[inline]
    pub(super) fn lap_start(&self, next: u64) -> u64 {
        next.saturating_sub(self.size)
    }

    /// Where somebody begins [slick.read.start].
    pub(super) fn place_of(&self, start: Start) -> u64 {
        match start {
            Start::Index(index) => index,
            Start::Latest => self.next_index(),
            Start::Oldest => {
                let next = self.next_index();
                let from = self.lap_start(next);
                self.first_answering(from, next, next).unwrap_or(from)
            }
        }
    }
}

/// Which generation has been published [slick.segment.generation]; `None` while none has.
fn generation_of(header: &Pinned<HEADER_SIZE>) -> Result<Option<Generation>> {
    let header = header.area();
    let state = || header.u32(HEADER_INIT_STATE_OFFSET).load_acquire(); // A0: pairs with R0; header and slots after it
    match state() {
        STATE_NONE => {
            // A0: pairs with R0; likewise. A creator of a later generation stores the state before the size: look again.
            let sized = header.u32(HEADER_SIZE_OFFSET).load_acquire() != 0;
            Ok((sized && state() == STATE_NONE).then_some(Generation::V1_2))
        }
        STATE_READY_13 => Ok(Some(Generation::V1_3)),
        STATE_BEGUN => Ok(None),
        STATE_READY_14 => match header.u32(HEADER_HEADER_MAGIC_OFFSET).load_relaxed() {
            MAGIC => Ok(Some(Generation::V1_4)),
            found => Err(Error::BadMagic { found: found.into() }), // [slick.segment.magic]
        },
        found => Err(Error::BadVersion { found }), // [slick.segment.state]
    }
}

/// Size and element size, each loaded once [slick.segment.geometry].
fn check_geometry(header: &Pinned<HEADER_SIZE>) -> Result<(u32, u32)> {
    let size = header.area().u32(HEADER_SIZE_OFFSET).load_relaxed();
    if !size.is_power_of_two() || size > MAX_SIZE {
        return Err(impossible("the size is not a power of two"));
    }
    let element_size = header.area().u32(HEADER_ELEMENT_SIZE_OFFSET).load_relaxed();
    if element_size == 0 {
        return Err(impossible("the element size is 0"));
    }
    Ok((size, element_size))
}
