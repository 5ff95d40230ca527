// SPDX-License-Identifier: MIT
//! Is there anything in a feed that no writer leaves? A writer may be at work: what is live is checked as far as its entry_count
//! goes.

use std::path::Path;

use super::corrupt;
use super::feed::Row;
use super::layout::*;
use super::persist::crcs;
use super::place::Place;
use super::reader::attach;
use super::segment::Chunk;
use crate::error::{Error, Result};

/// What [`validate`] has found, and where.
#[derive(Debug, thiserror::Error)]
#[error("{}{error}", of_chunk(.chunk))]
pub struct Finding {
    /// The chunk, or `None` for the registries and the feed's entry.
    pub chunk: Option<u64>,
    /// What is wrong.
    #[source]
    pub error: Error,
}

fn of_chunk(chunk: &Option<u64>) -> String {
    chunk.map_or_else(String::new, |id| format!("chunk {id}: "))
}

impl From<Finding> for Error {
    fn from(finding: Finding) -> Error {
        finding.error
    }
}

/// Check the registries, the rows, and every chunk that can be reached, CRCs included [deepwater.validate.crc].
///
/// # Errors
/// The first finding. [`Error::NotReady`]: nothing is damaged, but a writer died while it changed a row.
pub fn validate(base: impl AsRef<Path>, feed: &str) -> std::result::Result<(), Finding> {
    let of_feed = |error| Finding { chunk: None, error };
    let place = Place::find(base.as_ref(), feed, false).map_err(of_feed)?;
    let mut before = Row::default();
    for id in 0..place.feed.rows().map_err(of_feed)? {
        let row = check_order(&place, id, &before).map_err(|error| Finding { chunk: Some(id), error })?;
        check_chunk(&place, id).map_err(|error| Finding { chunk: Some(id), error })?;
        before = row;
    }
    Ok(())
}

/// Rows in their order: sequences and times never fall.
fn check_order(place: &Place, id: u64, before: &Row) -> Result<Row> {
    let row = place.feed.row(id)?;
    if row.first_sequence < before.end_sequence() {
        return Err(corrupt("first_sequence is below the end of the row before"));
    }
    if row.start_ns < before.start_ns {
        return Err(corrupt("start_ns is below that of the row before"));
    }
    Ok(row)
}

fn check_chunk(place: &Place, id: u64) -> Result<()> {
    let (row, chunk) = match attach(place, id)? {
        Some(found) => found,
        None => return Ok(()),
    };
    let count = chunk.count()?;
    let mut before = 0;
    for i in 0..count {
        let entry = chunk.entry(row.first_sequence, i)?;
        if entry.timestamp_ns < before {
            return Err(corrupt("a timestamp is below the one before"));
        }
        before = entry.timestamp_ns;
    }
    if row.state == STATE_LIVE {
        return Ok(());
    }
    check_sealed(&row, &chunk, count)
}

fn check_sealed(row: &Row, chunk: &Chunk, count: u64) -> Result<()> {
    if row.record_count != count {
        return Err(corrupt("the row has another number of records than the index"));
    }
    if row.data_bytes > chunk.data_capacity {
        return Err(corrupt("the row has more bytes than the data"));
    }
    if row.state == STATE_PERSISTED && crcs(chunk, row.data_bytes, count)? != (row.data_crc, row.index_crc) {
        return Err(corrupt("the bytes or the index have another CRC than the row"));
    }
    Ok(())
}
