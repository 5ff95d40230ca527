// SPDX-License-Identifier: MIT
//! Every field of a feed by its layout name, as the bytes say it: for the driver. No part of the library without that feature.

use super::layout::*;
use super::place::Place;
use super::reader::Reader;
use super::writer::Writer;
use crate::bytes::Whole;

/// Most rows that are told.
const MOST_ROWS: u64 = 4096;

/// A struct's name, where it is, and its fields.
type Fields<'a> = &'a [(&'a str, u64, bool)];

const REGISTRY: Fields<'_> = &[
    ("magic", REGISTRY_MAGIC_OFFSET, true),
    ("version", REGISTRY_VERSION_OFFSET, false),
    ("entry_size", REGISTRY_ENTRY_SIZE_OFFSET, false),
    ("capacity", REGISTRY_CAPACITY_OFFSET, false),
    ("count", REGISTRY_COUNT_OFFSET, true),
    ("generation", REGISTRY_GENERATION_OFFSET, true),
];
const FEED: Fields<'_> = &[
    ("feed_id", FEED_FEED_ID_OFFSET, false),
    ("flags", FEED_FLAGS_OFFSET, false),
    ("chunk_size", FEED_CHUNK_SIZE_OFFSET, true),
    ("live_window", FEED_LIVE_WINDOW_OFFSET, false),
    ("record_size", FEED_RECORD_SIZE_OFFSET, false),
    ("created_ns", FEED_CREATED_NS_OFFSET, true),
    ("rotate_ns", FEED_ROTATE_NS_OFFSET, true),
];
const FEED_REGISTRY: Fields<'_> = &[
    ("magic", FEED_REGISTRY_MAGIC_OFFSET, true),
    ("version", FEED_REGISTRY_VERSION_OFFSET, false),
    ("row_size", FEED_REGISTRY_ROW_SIZE_OFFSET, false),
    ("capacity", FEED_REGISTRY_CAPACITY_OFFSET, false),
    ("writer_pid", FEED_REGISTRY_WRITER_PID_OFFSET, false),
    ("count", FEED_REGISTRY_COUNT_OFFSET, true),
    ("latest", FEED_REGISTRY_LATEST_OFFSET, true),
    ("last_timestamp_ns", FEED_REGISTRY_LAST_TIMESTAMP_NS_OFFSET, true),
    ("last_sequence", FEED_REGISTRY_LAST_SEQUENCE_OFFSET, true),
    ("heartbeat_ns", FEED_REGISTRY_HEARTBEAT_NS_OFFSET, true),
    ("signal", FEED_REGISTRY_SIGNAL_OFFSET, false),
    ("waiters", FEED_REGISTRY_WAITERS_OFFSET, false),
    ("feed_id", FEED_REGISTRY_FEED_ID_OFFSET, true),
];
const ROW: Fields<'_> = &[
    ("chunk_id", ROW_CHUNK_ID_OFFSET, true),
    ("stamp", ROW_STAMP_OFFSET, false),
    ("state", ROW_STATE_OFFSET, false),
    ("first_sequence", ROW_FIRST_SEQUENCE_OFFSET, true),
    ("record_count", ROW_RECORD_COUNT_OFFSET, true),
    ("start_ns", ROW_START_NS_OFFSET, true),
    ("end_ns", ROW_END_NS_OFFSET, true),
    ("data_bytes", ROW_DATA_BYTES_OFFSET, true),
    ("data_capacity", ROW_DATA_CAPACITY_OFFSET, true),
    ("data_crc", ROW_DATA_CRC_OFFSET, false),
    ("index_crc", ROW_INDEX_CRC_OFFSET, false),
];

fn add(list: &mut Vec<(String, String)>, file: &Whole, at: u64, name: &str, fields: Fields<'_>) {
    for &(field, offset, long) in fields {
        let value = match long {
            true => file.u64(at + offset).load_acquire(),
            false => file.u32(at + offset).load_acquire().into(),
        };
        list.push((format!("{name}.{field}"), value.to_string()));
    }
}

fn fields(place: &Place) -> Vec<(String, String)> {
    let mut list =
        vec![("feed.name".to_owned(), place.name.clone()), ("feed.directory".to_owned(), place.directory_name.clone())];
    add(&mut list, place.registry.file(), 0, "registry", REGISTRY);
    add(&mut list, place.registry.file(), REGISTRY_SIZE + FEED_STRUCT_SIZE * place.index, "feed", FEED);
    add(&mut list, place.feed.file(), 0, "feed_registry", FEED_REGISTRY);
    for id in 0..place.feed.rows().unwrap_or(0).min(MOST_ROWS) {
        add(&mut list, place.feed.file(), FEED_REGISTRY_SIZE + ROW_STRUCT_SIZE * id, &format!("row[{id}]"), ROW);
    }
    list
}

impl Writer {
    /// Every field of the feed by its layout name.
    #[doc(hidden)]
    pub fn fields(&self) -> Vec<(String, String)> {
        fields(self.place())
    }
}

impl Reader {
    /// Every field of the feed by its layout name.
    #[doc(hidden)]
    pub fn fields(&self) -> Vec<(String, String)> {
        fields(&self.place)
    }
}
