// SPDX-License-Identifier: MIT
//! Is there anything in the segment that no writer leaves?

use super::layout::*;
use super::reader::Reader;
use super::segment::{after, corrupt, Row, Segment};
use crate::atomic::fence_acquire;
use crate::error::{Error, Result};

/// How often a chunk is looked at anew because its row changed meanwhile; after that its writer is left to it.
const CHUNK_TRIES: u32 = 8;

/// What [`Reader::validate`] has found, and where.
#[derive(Debug, thiserror::Error)]
#[error("{}{error}", of_chunk(.chunk))]
pub struct Finding {
    /// The row, or `None` for the header.
    pub chunk: Option<u32>,
    /// What is wrong.
    #[source]
    pub error: Error,
}

fn of_chunk(chunk: &Option<u32>) -> String {
    chunk.map_or_else(String::new, |chunk| format!("chunk {chunk}: "))
}

impl From<Finding> for Error {
    fn from(finding: Finding) -> Error {
        finding.error
    }
}

impl Reader {
    /// Check header, rows and every entry that they lead to, wherever this reader stands. On a log in use a chunk is only found wrong
    /// when its row has not changed meanwhile.
    ///
    /// # Errors
    /// The first finding: [`Error::BadVersion`], [`Error::BadGeometry`], [`Error::Truncated`] or [`Error::Corrupt`].
    pub fn validate(&self) -> std::result::Result<(), Finding> {
        let segment = self.segment();
        check_header(segment).map_err(|error| Finding { chunk: None, error })?;
        for chunk in 0..segment.chunk_count {
            check_chunk(segment, chunk).map_err(|error| Finding { chunk: Some(chunk), error })?;
        }
        Ok(())
    }
}

fn check_header(segment: &Segment) -> Result<()> {
    if segment.check_header()? == segment.chunk_count {
        Ok(())
    } else {
        Err(Error::BadGeometry { what: "chunk_count has changed", channel: None })
    }
}

/// A finding counts if the row is still what it was when the look began: otherwise the writer was at work there.
fn check_chunk(segment: &Segment, chunk: u32) -> Result<()> {
    for _ in 0..CHUNK_TRIES {
        let row = segment.load_row(chunk);
        if let Err(finding) = check_row(segment, chunk, row) {
            fence_acquire(); // F5: pairs with F4; what we found before the row
            if segment.load_row(chunk) == row {
                return Err(finding);
            }
        } else {
            break;
        }
    }
    Ok(())
}

fn check_row(segment: &Segment, chunk: u32, row: Row) -> Result<()> {
    if !row.committed {
        return Ok(()); // it leads nowhere, whatever it says
    }
    if !segment.offset_possible(row.offset) {
        return Err(corrupt("a row's offset is impossible")); // [ouroboros.read.row-offset]
    }
    walk_chunk(segment, row, successor(segment, chunk, row))
}

/// The chunk after this one in the same lap, if its row is committed: where the walk has to come out.
fn successor(segment: &Segment, chunk: u32, row: Row) -> Option<Row> {
    if chunk + 1 >= segment.chunk_count {
        return None;
    }
    let next = segment.load_row(chunk + 1);
    (next.committed && next.token > row.token).then_some(next)
}

/// Walk the entries of a chunk to its end. Bounded: each step goes on by 8 bytes at least.
fn walk_chunk(segment: &Segment, row: Row, successor: Option<Row>) -> Result<()> {
    let (mut cursor, mut entries) = (row.offset, row.token);
    loop {
        match successor {
            Some(next) if cursor > next.offset => return Err(corrupt("an entry runs into the next chunk")),
            Some(next) if cursor == next.offset && entries == next.token => return Ok(()),
            Some(next) if cursor == next.offset => {
                return Err(corrupt("the next row's token is not the number of entries before it"));
            }
            _ => {}
        }
        if !segment.header_fits(cursor) {
            break;
        }
        let header = segment.header(cursor).load_acquire(); // A3: pairs with R3
        let length = header & MAX_LENGTH;
        if header & ENTRY_COMMITTED == 0 || length == LENGTH_WRAP {
            break;
        }
        if !segment.is_entry(cursor, header) {
            return Err(corrupt("an entry has an impossible length")); // [ouroboros.read.length]
        }
        cursor = after(cursor, length.into());
        entries = entries.wrapping_add(1);
    }
    if entries == row.token && row.token != 0 {
        return Err(corrupt("a committed chunk holds no entry"));
    }
    match successor {
        Some(_) => Err(corrupt("a chunk ends before the next one begins")),
        None => Ok(()),
    }
}
