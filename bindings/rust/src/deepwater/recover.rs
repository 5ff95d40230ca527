// SPDX-License-Identifier: MIT
//! What the next writer does about what a dead one left (section 8 of the specification).

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::corrupt;
use super::feed::Row;
use super::info::Recovered;
use super::layout::*;
use super::persist::{crcs, persist, seal};
use super::place::Place;
use super::segment::{unlink_chunk, Chunk};
use crate::error::{Error, Result};

/// What a feed is like after recovery, for the writer that goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) next_sequence: u64,
    pub(super) last_ns: u64,
    /// Rows that there are.
    pub(super) rows: u64,
    /// Rows below it are in shared memory no more.
    pub(super) in_memory: u64,
}

/// All of it, by who holds the lock. `keep`: chunks that stay in shared memory.
pub(super) fn recover(place: &Place, mode: u32, keep: u64) -> Result<(Recovered, End)> {
    let mut report = Recovered { removed: remove_temporary(place)?, ..Recovered::default() };
    let rows = place.feed.rows()?;
    place.feed.flush()?; // before the files: the count that covers a chunk is not younger than they are
    for id in 0..rows {
        mend_row(place, id, mode, &mut report)?;
    }
    let (next_sequence, last_ns) = find_end(place, rows);
    place.feed.set_latest(NONE); // R3
    let in_memory = rows.saturating_sub(keep);
    expire_before(place, in_memory, rows)?;
    place.feed.flush()?;
    Ok((report, End { next_sequence, last_ns, rows, in_memory }))
}

/// The chunks before `end` leave shared memory [deepwater.expire.window], and what has no row: a writer died before count covered
/// it. With one look at what is there, since a feed may have had very many.
fn expire_before(place: &Place, end: u64, rows: u64) -> Result<()> {
    for id in 0..end {
        let row = place.feed.own_row(id)?;
        if row.state < STATE_PERSISTED {
            place.feed.store_row(&Row { state: STATE_EXPIRED, ..row }); // first its row, then its name [deepwater.expire.state]
        }
    }
    let gone = |&id: &u64| id < end || id >= rows;
    place.chunks_in_memory()?.into_iter().filter(gone).for_each(|id| unlink_chunk(place, id));
    Ok(())
}

/// [deepwater.recover.half-made]
fn remove_temporary(place: &Place) -> Result<u64> {
    let is_ours = |name: &&str| name.starts_with("chunk_") && name.ends_with(".tmp");
    let names = place.directory.names()?;
    let ours = names.iter().filter_map(|name| std::str::from_utf8(name.as_bytes()).ok()).filter(is_ours);
    Ok(ours.filter(|name| place.directory.remove(name)).count() as u64)
}

fn mend_row(place: &Place, id: u64, mode: u32, report: &mut Recovered) -> Result<()> {
    let mut row = place.feed.raw_row(id); // whatever its stamp: only we may write it
    if row.id != id || row.state > STATE_EXPIRED {
        return Err(corrupt("a row has another chunk's id, or no such state"));
    }
    if row.stamp % 2 == 0 && row.state >= STATE_PERSISTED {
        return Ok(());
    }
    match Chunk::in_memory(place, id, true) {
        Ok(chunk) => return mend_in_memory(place, &chunk, mode, &mut row, report),
        Err(Error::NotFound | Error::BadMagic { .. }) => {}
        Err(error) => return Err(error),
    }
    match adopt(place, &mut row) {
        Ok(()) => report.adopted += 1,
        Err(error) if is_missing_or_bad(&error) => {
            row.state = STATE_EXPIRED;
            place.feed.store_row(&row);
            report.expired += 1;
        }
        Err(error) => return Err(error), // it may be good: nothing is changed
    }
    Ok(())
}

/// Whether files are not there, or not what they should be, and no other look will find them better.
fn is_missing_or_bad(error: &Error) -> bool {
    use crate::Code::{BadGeometry, BadMagic, BadVersion, Corrupt, NotFound, Truncated};
    matches!(error.code(), NotFound | Truncated | BadMagic | BadVersion | BadGeometry | Corrupt)
}

/// Every record that a count covers is what it should be; answers the end of the last one's bytes.
fn check_records(chunk: &Chunk, first_sequence: u64, count: u64) -> Result<u64> {
    let (mut before, mut end) = (0, 0);
    for i in 0..count {
        let entry = chunk.entry(first_sequence, i)?;
        if entry.timestamp_ns < before {
            return Err(corrupt("a timestamp is below the one before"));
        }
        before = entry.timestamp_ns;
        end = entry.offset + u64::from(entry.length);
    }
    Ok(end)
}

/// [deepwater.recover.sealed], [deepwater.recover.persist]
fn mend_in_memory(place: &Place, chunk: &Chunk, mode: u32, row: &mut Row, report: &mut Recovered) -> Result<()> {
    let count = chunk.count()?;
    let bytes = check_records(chunk, row.first_sequence, count)?;
    if row.state != STATE_SEALED || row.stamp % 2 == 1 {
        seal(place, chunk, count, bytes, row);
        report.sealed += 1;
    }
    if place.persist {
        persist(place, chunk, mode, row)?;
        report.persisted += 1;
    }
    Ok(())
}

/// Both files are whole: the row gets what it should have said [deepwater.recover.adopt].
fn adopt(place: &Place, row: &mut Row) -> Result<()> {
    let chunk = Chunk::in_files(place, row.id)?;
    if !chunk.is_sealed() {
        return Err(corrupt("a chunk in files is not sealed"));
    }
    let count = chunk.count()?;
    let bytes = check_records(&chunk, row.first_sequence, count)?;
    let (data_crc, index_crc) = crcs(&chunk, bytes, count)?;
    if count > 0 {
        // The row may have come to the disk before its first record.
        place.feed.start_ns(row.id).store_relaxed(chunk.timestamp(0));
        row.end_ns = chunk.timestamp(count - 1);
    } else {
        row.end_ns = row.start_ns;
    }
    *row = Row { state: STATE_PERSISTED, record_count: count, data_bytes: bytes, data_crc, index_crc, ..*row };
    place.feed.store_row(row);
    Ok(())
}

/// Where the next record goes: behind the last one that anybody can have seen [deepwater.recover.sequence].
fn find_end(place: &Place, rows: u64) -> (u64, u64) {
    let feed = &place.feed;
    let mut next_sequence = feed.next_sequence();
    let mut last_ns = feed.u64(FEED_REGISTRY_LAST_TIMESTAMP_NS_OFFSET).load_relaxed();
    for id in (0..rows).rev() {
        let row = feed.raw_row(id);
        next_sequence = next_sequence.max(row.end_sequence());
        last_ns = last_ns.max(row.end_ns);
        if row.record_count > 0 {
            break;
        }
    }
    feed.u64(FEED_REGISTRY_LAST_TIMESTAMP_NS_OFFSET).store_relaxed(last_ns);
    let last = next_sequence.checked_sub(1).unwrap_or(NONE);
    feed.u64(FEED_REGISTRY_LAST_SEQUENCE_OFFSET).store_release(last);
    (next_sequence, last_ns)
}

/// Recover what a dead writer left, and keep nothing in shared memory that is persisted.
///
/// # Errors
/// [`Error::Busy`], with nothing changed, while a writer lives [deepwater.recover.busy]; [`Error::Corrupt`] for a chunk in shared
/// memory that no writer can have left; [`Error::NotFound`], [`Error::Permission`], [`Error::System`] (no room on the disk).
pub fn collect(base: impl AsRef<Path>, feed: &str) -> Result<Recovered> {
    let mut place = Place::find(base.as_ref(), feed, true)?;
    place.feed.lock()?;
    let keep = if place.persist { 0 } else { place.live_window };
    let (report, _) = recover(&place, DEFAULT_MODE, keep.into())?;
    place.feed.u32(FEED_REGISTRY_WRITER_PID_OFFSET).store_relaxed(0);
    Ok(report)
}
