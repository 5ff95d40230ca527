// SPDX-License-Identifier: MIT
//! What feeds and chunks are, for people and programs.

/// A feed, as its entry and its registry have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// What it is called.
    pub name: String,
    /// Its directory, relative to the base.
    pub directory: String,
    /// Index of its entry.
    pub feed_id: u32,
    /// [`FLAG_PERSIST`](super::FLAG_PERSIST), [`FLAG_RETIRED`](super::FLAG_RETIRED).
    pub flags: u32,
    /// Bytes of records in a chunk.
    pub chunk_size: u64,
    /// Chunks kept in shared memory.
    pub live_window: u32,
    /// Bytes of each record; 0 = they vary.
    pub record_size: u32,
    /// When it was made, nanoseconds since the Unix epoch.
    pub created_ns: u64,
    /// Age at which a chunk is rotated, nanoseconds; 0 = by size only.
    pub rotate_ns: u64,
    /// Chunks that there ever were, the one being written included.
    pub chunks: u64,
    /// The chunk that is being written.
    pub latest: Option<u64>,
    /// Sequence of the last record.
    pub last_sequence: Option<u64>,
    /// Timestamp of the last record, nanoseconds; 0 before the first.
    pub last_timestamp_ns: u64,
    /// The writer's last sign of life, nanoseconds of CLOCK_BOOTTIME.
    pub heartbeat_ns: u64,
    /// Process id of the writer, as it saw itself; 0 = none.
    pub writer_pid: u32,
    /// Not 0: somebody sleeps, or has slept since the last wake.
    pub waiters: u32,
    /// Whether a writer holds the lock of the feed. Of a writer that asks about itself: true.
    pub writer_lives: bool,
}

/// A chunk, as its row has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChunkInfo {
    /// Number of the chunk, from 0.
    pub chunk_id: u64,
    /// [`STATE_LIVE`](super::STATE_LIVE), [`STATE_SEALED`](super::STATE_SEALED), [`STATE_PERSISTED`](super::STATE_PERSISTED) or
    /// [`STATE_EXPIRED`](super::STATE_EXPIRED).
    pub state: u32,
    /// Sequence of its first record.
    pub first_sequence: u64,
    /// Records; of a live chunk as its index has it, 0 if that cannot be reached.
    pub record_count: u64,
    /// Timestamp of its first record, nanoseconds; before that, the last one of the feed.
    pub start_ns: u64,
    /// Timestamp of its last record, nanoseconds.
    pub end_ns: u64,
    /// Bytes of records.
    pub data_bytes: u64,
    /// Room for records, bytes.
    pub data_capacity: u64,
    /// CRC-32 of the records' bytes; 0 until the chunk is persisted.
    pub data_crc: u32,
    /// CRC-32 of the records in the index; 0 until the chunk is persisted.
    pub index_crc: u32,
}

/// The chunk that is being written, and the names of its shared memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatestChunk {
    /// Its row.
    pub chunk: ChunkInfo,
    /// Name of the shared memory of its data, with the slash.
    pub data_name: String,
    /// Name of the shared memory of its index, with the slash.
    pub index_name: String,
}

/// A place to come back to: plain data, to be stored as the application likes [deepwater.read.cursor].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The chunk, as a hint.
    pub chunk_id: u64,
    /// Sequence of the record that comes next.
    pub sequence: u64,
}

/// What recovery has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Chunks that were sealed.
    pub sealed: u64,
    /// Chunks that were copied to files.
    pub persisted: u64,
    /// Chunks that were found whole in files although their row did not say so.
    pub adopted: u64,
    /// Chunks that were nowhere to be found.
    pub expired: u64,
    /// Temporary files that were removed.
    pub removed: u64,
}
