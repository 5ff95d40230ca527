// SPDX-License-Identifier: MIT
//! Is there anything in the segment that no producer leaves?

use super::layout::NO_INDEX;
use super::queue::Queue;
use super::segment::{corrupt, Reserved, Segment};
use super::Generation;
use crate::error::{Error, Result};

/// What [`Queue::validate`] has found, and where.
#[derive(Debug, thiserror::Error)]
#[error("{}{error}", of_slot(.slot))]
pub struct Finding {
    /// The slot, or `None` for the header.
    pub slot: Option<u32>,
    /// What is wrong.
    #[source]
    pub error: Error,
}

fn of_slot(slot: &Option<u32>) -> String {
    slot.map_or_else(String::new, |slot| format!("slot {slot}: "))
}

impl From<Finding> for Error {
    fn from(finding: Finding) -> Error {
        finding.error
    }
}

impl Queue {
    /// Check header and slots. Of a queue that is written meanwhile it may report what is only half done.
    ///
    /// # Errors
    /// The first finding: [`Error::BadMagic`], [`Error::BadVersion`], [`Error::BadGeometry`], [`Error::NotReady`] or
    /// [`Error::Corrupt`].
    pub fn validate(&self) -> std::result::Result<(), Finding> {
        check_header(&self.segment).map_err(|error| Finding { slot: None, error })?;
        for slot in 0..self.segment.size as u32 {
            check_slot(&self.segment, slot.into()).map_err(|error| Finding { slot: Some(slot), error })?;
        }
        Ok(())
    }
}

fn check_header(segment: &Segment) -> Result<()> {
    segment.check_header()?;
    let settled = segment.settled().load_acquire(); // A1: pairs with R1; the reservation after it
    let last = segment.last_published().load_acquire(); // A3: pairs with R3; likewise
    let word = Reserved(segment.reserved().load_relaxed());
    if word.elements() > word.index().min(segment.size) {
        return Err(corrupt("the last reservation is longer than what has been reserved, or than the ring"));
    }
    if settled > word.index() {
        return Err(corrupt("settled is above the reservation"));
    }
    if segment.generation == Generation::V1_4 && last != NO_INDEX && last >= word.index() {
        return Err(corrupt("last_published is above the reservation"));
    }
    Ok(())
}

fn check_slot(segment: &Segment, slot: u64) -> Result<()> {
    let d = segment.data_index(slot).load_acquire(); // A2: pairs with R2; the size after it
    let elements = segment.slot_size(slot).load_relaxed();
    let next = segment.next_index();
    if d == NO_INDEX {
        return Ok(());
    }
    if d > next {
        return Err(corrupt("an index above the reservation"));
    }
    let passed = d.wrapping_sub(slot) & (segment.size - 1);
    if passed > d {
        return Err(corrupt("a mark for an index that cannot be"));
    }
    let is_item = passed == 0;
    if is_item && (!segment.fits(slot, elements) || u64::from(elements) > next - d) {
        return Err(corrupt("an item has an impossible size"));
    }
    Ok(())
}
