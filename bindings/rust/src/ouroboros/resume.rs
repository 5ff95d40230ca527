// SPDX-License-Identifier: MIT
//! Resuming (section 4 of the specification): where a writer that died, at whatever instruction, left its log.

use super::layout::*;
use super::segment::{after, corrupt, Row, Segment};
use crate::error::Result;

/// Where a walk from entry to entry stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    pub(super) chunk: u32,
    /// Of the chunk.
    pub(super) offset: u64,
    pub(super) cursor: u64,
    /// Since the segment was made.
    pub(super) entries: u64,
    /// Whether the chunk's row is committed, or may be now.
    pub(super) committed: bool,
    /// At a wrap mark, or where no header fits.
    pub(super) lap_ended: bool,
}

impl Walk {
    fn from(chunk: u32, row: Row) -> Walk {
        let Row { offset, token, committed } = row;
        Walk { chunk, offset, cursor: offset, entries: token, committed, lap_ended: false }
    }

    /// Pass the entry at the cursor; false where the walk ends.
    fn pass(&mut self, segment: &Segment) -> Result<bool> {
        self.lap_ended = !segment.header_fits(self.cursor);
        if self.lap_ended {
            return Ok(false);
        }
        let header = segment.header(self.cursor).load_acquire(); // A3: pairs with R3
        let length = header & MAX_LENGTH;
        self.lap_ended = header == LENGTH_WRAP | ENTRY_COMMITTED;
        if self.lap_ended || header & ENTRY_COMMITTED == 0 {
            return Ok(false);
        }
        if !segment.is_entry(self.cursor, header) {
            return Err(corrupt("an entry has an impossible length"));
        }
        self.cursor = after(self.cursor, length.into());
        self.entries = self.entries.wrapping_add(1);
        self.committed = true;
        Ok(true)
    }
}

/// Row 0 was begun and not committed: its offset is stored, its token perhaps not yet (cases 1 and 2).
///
/// If chunk 0 ends at a header without C, the new lap has been written to, after the token. If the lap in chunk 0 is whole, the token may
/// be that lap's own; the newest row knows then how many entries it has, if it describes a part of it. If it does not, the entries count
/// twice at worst: sequences are left out, and none comes again.
fn walk_from_row_zero(segment: &Segment, zero: Row) -> Result<Walk> {
    let newest = segment.newest().map(|(_, row)| row);
    let mut before_newest = None;
    let mut walk = Walk::from(0, zero);
    loop {
        let here = walk;
        if !walk.pass(segment)? {
            break;
        }
        if newest.map_or(false, |row| row.offset == here.cursor) {
            before_newest = Some(here.entries);
        }
    }
    if !walk.lap_ended {
        return Ok(walk);
    }
    if let Some(row) = newest {
        if !segment.offset_possible(row.offset) {
            return Err(corrupt("a row's offset is impossible"));
        }
        if let Some(before) = before_newest {
            walk.entries = row.token.wrapping_add(walk.entries.wrapping_sub(before));
        }
    }
    walk.committed = false; // the lap that is there is not the one that row 0 describes by now
    Ok(walk)
}

/// The next row, when the writer had begun its chunk right here. One with another token is left to the next write.
fn enter_next_row(segment: &Segment, walk: &mut Walk) {
    let next = walk.chunk + 1;
    if next >= segment.chunk_count {
        return;
    }
    let row = segment.load_row(next);
    if !row.committed && row.offset == walk.cursor && row.token == walk.entries {
        *walk = Walk::from(next, row);
    }
}

/// Cases 3 and 4.
fn walk_from_newest(segment: &Segment) -> Result<Walk> {
    let (chunk, row) = segment.newest().ok_or_else(|| corrupt("no row is committed"))?;
    if !segment.offset_possible(row.offset) {
        return Err(corrupt("a row's offset is impossible"));
    }
    let mut walk = Walk::from(chunk, row);
    loop {
        enter_next_row(segment, &mut walk);
        // Bounded: each entry takes 8 bytes, and no step goes back.
        if !walk.pass(segment)? {
            return Ok(walk);
        }
    }
}

/// Where a log ends whose lock is ours [ouroboros.write.resume]. Changes nothing.
pub(super) fn find_end(segment: &Segment) -> Result<Walk> {
    let zero = segment.load_row(0);
    let begun = !zero.committed && zero.offset != 0;
    if !segment.offset_possible(segment.data_offset) {
        return Err(corrupt("there is no room for an entry"));
    }
    if begun && zero.offset != segment.data_offset {
        return Err(corrupt("a row's offset is impossible"));
    }
    if begun {
        walk_from_row_zero(segment, zero)
    } else {
        walk_from_newest(segment)
    }
}

/// Whether the offsets of rows ascend, as every conforming writer leaves them.
pub(super) fn rows_ascend(segment: &Segment) -> bool {
    let offsets = (1..segment.chunk_count).map(|chunk| segment.load_row(chunk).offset).filter(|&offset| offset != 0);
    let mut highest = 0;
    offsets.fold(true, |ascend, offset| {
        let higher = offset >= highest;
        highest = highest.max(offset);
        ascend && higher
    })
}
