// SPDX-License-Identifier: MIT
//! Repairing what dead processes left (section 9 of the specification).

use super::channel::{check_entry, load_cursors};
use super::layout::*;
use super::{Channel, Segment};
use crate::error::{Error, Result};

/// What a recovery found and repaired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Positions that were claimed and never published: tombstones now.
    pub tombstones: u64,
    /// Positions that were taken and never released: released now, their content perhaps never seen.
    pub possibly_lost: u64,
    /// Channels whose `waiters` was not 0.
    pub waiters_reset: u64,
    /// Whether `channel_count` was wrong.
    pub count_repaired: bool,
}

impl Segment {
    /// Repair what dead processes left [dmxp.recover.*]. `all_dead` is the operator's word that nobody else uses the segment.
    /// Processes in pid namespaces that this one cannot see are not noticed: give the word only when you know.
    ///
    /// # Errors
    /// [`Error::Busy`] without that word, when another process maps the segment or when that cannot be told;
    /// [`Error::BadGeometry`] and [`Error::Corrupt`] for what no death explains; [`Error::Permission`]. With any of them nothing has
    /// been changed.
    pub fn recover(&self, all_dead: bool) -> Result<Recovery> {
        let _lock = self.lock()?;
        if !all_dead {
            self.map.check_exclusive()?;
        }
        self.check_header()?;
        let mut channels = Vec::new();
        for id in self.channels() {
            check_entry(self, id)?;
            channels.push(self.attach(id)?);
        }
        let mut report = Recovery::default();
        for channel in &channels {
            channel.repair(&mut report)?;
        }
        report.count_repaired = self.store_count(channels.len() as u32);
        Ok(report)
    }
}

impl Channel {
    fn repair(&self, report: &mut Recovery) -> Result<()> {
        let (head, tail) = load_cursors(self.entry()).ok_or(Error::Busy)?;
        // An entry whose cursors are further apart was refused when it was attached; take no chance with the loop.
        let queued = tail.wrapping_sub(head).min(self.capacity());
        report.tombstones += (0..queued).filter(|i| self.bury(head.wrapping_add(*i))).count() as u64;
        let below = self.capacity().min(head);
        report.possibly_lost += (0..below).filter(|i| self.release_stale(head - 1 - i)).count() as u64;
        let waiters = self.entry().u32(CHANNEL_WAITERS_OFFSET);
        if waiters.load_relaxed() != 0 {
            waiters.store_relaxed(0);
            report.waiters_reset += 1;
        }
        Ok(())
    }

    /// Publish a claimed position as a tombstone [dmxp.recover.producer].
    fn bury(&self, at: u64) -> bool {
        let slot = self.slots.at(at);
        let sequence = slot.u64(SLOT_SEQUENCE_OFFSET);
        let stalled = sequence.load_acquire() == at; // A2: pairs with R2
        if stalled {
            slot.u16(SLOT_FLAGS_OFFSET).store_relaxed(MESSAGE_TOMBSTONE);
            slot.u32(SLOT_PAYLOAD_LEN_OFFSET).store_relaxed(0);
            // R2: pairs with A2; the tombstone before the sequence
            sequence.store_release(at.wrapping_add(1));
        }
        stalled
    }

    /// Release a position that was taken and not released [dmxp.recover.consumer].
    fn release_stale(&self, at: u64) -> bool {
        let sequence = self.slots.at(at).u64(SLOT_SEQUENCE_OFFSET);
        let stalled = sequence.load_acquire() == at.wrapping_add(1); // A2: pairs with R2
        if stalled {
            sequence.store_release(at.wrapping_add(self.capacity())); // R3: pairs with A3
        }
        stalled
    }
}
