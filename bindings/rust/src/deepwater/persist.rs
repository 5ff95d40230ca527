// SPDX-License-Identifier: MIT
//! What becomes of a chunk: sealed, copied to files so that neither a crash nor a power failure leaves half of one under its
//! name, gone from shared memory (section 5 of the specification).

use std::io::Write;

use super::feed::Row;
use super::layout::*;
use super::place::Place;
use super::segment::{file_name, unlink_chunk, Chunk};
use crate::error::{Error, Result};
use crate::map::Opening;

/// Bytes of either header in a file.
const HEADER: usize = DATA_SIZE as usize;
const _: () = assert!(DATA_SIZE == INDEX_SIZE);

/// Seal a chunk with so many records and bytes: the header of its data, and its row, which is filled in [deepwater.rotate.seal].
pub(super) fn seal(place: &Place, chunk: &Chunk, records: u64, bytes: u64, row: &mut Row) {
    chunk.seal(records, bytes); // R9
    row.state = STATE_SEALED;
    row.record_count = records;
    row.data_bytes = bytes;
    row.start_ns = place.feed.start_ns(row.id).load_relaxed();
    row.end_ns = if records > 0 { chunk.timestamp(records - 1) } else { row.start_ns };
    place.feed.store_row(row);
}

/// CRC-32 of so many bytes and index entries of a chunk.
pub(super) fn crcs(chunk: &Chunk, bytes: u64, records: u64) -> Result<(u32, u32)> {
    let (data, index) = chunk.bodies(bytes, records)?;
    Ok((crc32fast::hash(data), crc32fast::hash(index)))
}

/// Copy a sealed chunk to its files and say so in its row, which is filled in [deepwater.persist.order].
pub(super) fn persist(place: &Place, chunk: &Chunk, mode: u32, row: &mut Row) -> Result<()> {
    let (data, index) = chunk.bodies(row.data_bytes, row.record_count)?;
    let (data_name, index_name) = (file_name(row.id, "data"), file_name(row.id, "idx"));
    write_file(place, &data_name, mode, &data_header(row, chunk.writer_pid()), data)?;
    write_file(place, &index_name, mode, &index_header(row), index)?;
    for name in [&data_name, &index_name] {
        place.directory.rename(&temporary(name), name)?;
    }
    place.directory.sync()?;
    row.data_crc = crc32fast::hash(data);
    row.index_crc = crc32fast::hash(index);
    row.state = STATE_PERSISTED;
    place.feed.store_row(row);
    place.feed.flush()
}

fn temporary(name: &str) -> String {
    format!("{name}.tmp")
}

/// Write header and body under a temporary name, whole and on the disk, or leave nothing.
fn write_file(place: &Place, name: &str, mode: u32, header: &[u8; HEADER], body: &[u8]) -> Result<()> {
    let temporary = temporary(name);
    place.directory.remove(&temporary); // of a writer that died
    let mut file = place.directory.file(&temporary, Opening::MakeNew(mode))?;
    let written = file.write_all(header).and_then(|()| file.write_all(body)).and_then(|()| file.sync_all());
    written.map_err(|error| {
        place.directory.remove(&temporary);
        Error::System(error)
    })
}

fn put(header: &mut [u8; HEADER], at: u64, bytes: &[u8]) {
    header[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
}

/// The header of the data as it is in a file: trimmed to what there is, and sealed [deepwater.persist.content]. In private
/// memory, so that R0 is the rename.
fn data_header(row: &Row, writer_pid: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    put(&mut header, DATA_MAGIC_OFFSET, &DATA_MAGIC.to_le_bytes());
    put(&mut header, DATA_VERSION_OFFSET, &VERSION.to_le_bytes());
    put(&mut header, DATA_FLAGS_OFFSET, &DATA_SEALED.to_le_bytes());
    put(&mut header, DATA_CHUNK_ID_OFFSET, &row.id.to_le_bytes());
    put(&mut header, DATA_WRITE_POS_OFFSET, &row.data_bytes.to_le_bytes());
    put(&mut header, DATA_RECORD_COUNT_OFFSET, &row.record_count.to_le_bytes());
    put(&mut header, DATA_CAPACITY_OFFSET, &row.data_bytes.to_le_bytes());
    put(&mut header, DATA_WRITER_PID_OFFSET, &writer_pid.to_le_bytes());
    header
}

fn index_header(row: &Row) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    put(&mut header, INDEX_MAGIC_OFFSET, &INDEX_MAGIC.to_le_bytes());
    put(&mut header, INDEX_VERSION_OFFSET, &VERSION.to_le_bytes());
    put(&mut header, INDEX_ENTRY_SIZE_OFFSET, &RECORD_SIZE.to_le_bytes());
    put(&mut header, INDEX_CHUNK_ID_OFFSET, &row.id.to_le_bytes());
    put(&mut header, INDEX_ENTRY_COUNT_OFFSET, &row.record_count.to_le_bytes());
    put(&mut header, INDEX_CAPACITY_OFFSET, &row.record_count.to_le_bytes());
    header
}

/// The chunks from `from` on, but the last `keep` below `end`, leave shared memory [deepwater.expire.window]. One that should be
/// in files and is not stays, since it is nowhere else. Answers the first chunk that is still in shared memory, or may be.
pub(super) fn expire(place: &Place, from: u64, end: u64, keep: u64) -> Result<u64> {
    let behind = end.saturating_sub(keep).max(from);
    let mut first_left = behind;
    for id in from..behind {
        let mut row = place.feed.own_row(id)?;
        if row.state < STATE_PERSISTED {
            if place.persist {
                first_left = first_left.min(id);
                continue;
            }
            row.state = STATE_EXPIRED; // first its row, then its name [deepwater.expire.state]
            place.feed.store_row(&row);
        }
        unlink_chunk(place, id);
    }
    Ok(first_left)
}
