// SPDX-License-Identifier: MIT
//! What writers and readers both need of a segment: its header, its rows, where entries can be (sections 1 to 3 of the
//! specification).

use super::layout::*;
use crate::atomic::{Word32, Word64};
use crate::bytes::Whole;
use crate::error::{Error, Result};
use crate::map::Map;
use crate::wait::{Backoff, Deadline};

/// A row that changes between two loads this often is written anew faster than we can look.
const ROW_TRIES: u32 = 16;

/// A log's header, as it stands there, unchecked; for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderInfo {
    /// Magic number.
    pub magic: u64,
    /// Format version.
    pub version: u32,
    /// Rows of the chunk table.
    pub chunk_count: u32,
}

/// A row of the chunk table, as it stands there, unchecked; for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowInfo {
    /// Bytes from the start of the segment to the chunk's first entry; bit 63: the chunk may be entered; 0 = no chunk.
    pub offset: u64,
    /// Entries written before the chunk's first one.
    pub token: u64,
}

/// A row as one pair of loads found it, the commit bit apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) offset: u64,
    pub(super) token: u64,
    pub(super) committed: bool,
}

/// End of a table of so many rows, which is where entries begin: a multiple of 16.
pub(super) fn table_end(chunk_count: u32) -> u64 {
    ROW_TABLE_OFFSET + ROW_SIZE * u64::from(chunk_count)
}

/// Where the entry behind one of `length` bytes at `offset`, both inside of a segment, begins.
#[inline]
pub(super) fn after(offset: u64, length: u64) -> u64 {
    (offset + length + ENTRY_ALIGN - 1) & !(ENTRY_ALIGN - 1)
}

pub(super) fn corrupt(what: &'static str) -> Error {
    Error::Corrupt { what, channel: None }
}

/// A mapping and the values of its header, checked once.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) bytes: Whole,
    /// End of the chunk table.
    pub(super) data_offset: u64,
    pub(super) chunk_count: u32,
}

impl Segment {
    /// A segment whose header is the caller's affair. The mapping is long enough for header and table.
    pub(super) fn new(map: Map, chunk_count: u32) -> Segment {
        Segment { bytes: Whole::new(map), data_offset: table_end(chunk_count), chunk_count }
    }

    /// Wait for the creator and check the header.
    pub(super) fn attach(map: Map, deadline: Deadline) -> Result<Segment> {
        let mut segment = Segment::new(map, 0);
        segment.await_magic(deadline)?;
        segment.chunk_count = segment.check_header()?;
        segment.data_offset = table_end(segment.chunk_count);
        Ok(segment)
    }

    fn await_magic(&self, deadline: Deadline) -> Result<()> {
        let mut backoff = Backoff::new();
        loop {
            let last = deadline.expired();
            // A0: pairs with R0; the header's fields and row 0 after the magic [ouroboros.segment.magic]
            match self.bytes.u64(HEADER_MAGIC_OFFSET).load_acquire() {
                MAGIC => return Ok(()),
                0 if last => return Err(Error::NotReady),
                0 => backoff.pause(deadline),
                found => return Err(Error::BadMagic { found }),
            }
        }
    }

    /// Check version and chunk count, each loaded once; answers the latter.
    pub(super) fn check_header(&self) -> Result<u32> {
        let version = self.bytes.u32(HEADER_VERSION_OFFSET).load_relaxed();
        if version != VERSION {
            return Err(Error::BadVersion { found: version });
        }
        let chunk_count = self.bytes.u32(HEADER_CHUNK_COUNT_OFFSET).load_relaxed();
        if chunk_count == 0 {
            return Err(Error::BadGeometry { what: "chunk_count is 0", channel: None });
        }
        let needed = table_end(chunk_count);
        if needed > self.size() {
            return Err(Error::Truncated { size: self.size(), needed });
        }
        Ok(chunk_count)
    }

    pub(super) fn header_info(&self) -> HeaderInfo {
        HeaderInfo {
            magic: self.bytes.u64(HEADER_MAGIC_OFFSET).load_acquire(), // A0: pairs with R0
            version: self.bytes.u32(HEADER_VERSION_OFFSET).load_relaxed(),
            chunk_count: self.bytes.u32(HEADER_CHUNK_COUNT_OFFSET).load_relaxed(),
        }
    }

    pub(super) fn row_info(&self, chunk: u32) -> Option<RowInfo> {
        (chunk < self.chunk_count).then(|| RowInfo {
            token: self.token(chunk).load_acquire(),   // A2: pairs with R2; token first
            offset: self.offset(chunk).load_acquire(), // A1: pairs with R1
        })
    }

    /// Bytes of the segment.
    #[inline]
    pub(super) fn size(&self) -> u64 {
        self.bytes.len()
    }

    /// Largest payload that the size allows, bytes.
    pub(super) fn max_payload(&self) -> u64 {
        let room = self.size().saturating_sub(self.data_offset + ENTRY_HEADER_SIZE);
        room.min(u64::from(MAX_LENGTH) - ENTRY_HEADER_SIZE)
    }

    /// The offset of row `chunk`, which is below chunk_count.
    #[inline]
    pub(super) fn offset(&self, chunk: u32) -> Word64<'_> {
        self.bytes.u64(ROW_TABLE_OFFSET + ROW_SIZE * u64::from(chunk) + ROW_OFFSET_OFFSET)
    }

    /// The token of row `chunk`, which is below chunk_count.
    #[inline]
    pub(super) fn token(&self, chunk: u32) -> Word64<'_> {
        self.bytes.u64(ROW_TABLE_OFFSET + ROW_SIZE * u64::from(chunk) + ROW_TOKEN_OFFSET)
    }

    /// The header of an entry, at a multiple of 4 where [`Segment::header_fits`].
    #[inline]
    pub(super) fn header(&self, offset: u64) -> Word32<'_> {
        self.bytes.u32(offset + ENTRY_HEADER_OFFSET)
    }

    /// Whether 4 bytes remain from `offset` to the end.
    #[inline]
    pub(super) fn header_fits(&self, offset: u64) -> bool {
        offset + ENTRY_HEADER_SIZE <= self.size()
    }

    /// Whether this is the header of a committed entry that ends within the segment [ouroboros.read.length].
    #[inline]
    pub(super) fn is_entry(&self, offset: u64, header: u32) -> bool {
        let length = header & MAX_LENGTH;
        header & ENTRY_COMMITTED != 0 && length >= MIN_LENGTH && u64::from(length) <= self.size() - offset
    }

    /// Whether a chunk may begin here [ouroboros.read.row-offset].
    pub(super) fn offset_possible(&self, offset: u64) -> bool {
        offset % ENTRY_ALIGN == 0 && offset >= self.data_offset && offset <= self.size() - ENTRY_HEADER_SIZE
    }

    /// Row `chunk`, offset and token of one lap; "not committed" when it would not hold still.
    ///
    /// The writer stores the offset first and the token second, so the token is loaded first: a token of the new lap comes with an
    /// offset of the new lap. An old token with a new offset is what the third load finds out [ouroboros.read.token-first].
    pub(super) fn load_row(&self, chunk: u32) -> Row {
        let mut token = self.token(chunk).load_acquire(); // A2: pairs with R2
        for _ in 0..ROW_TRIES {
            let offset = self.offset(chunk).load_acquire(); // A1: pairs with R1; entries of the chunk after it
            let again = self.token(chunk).load_acquire(); // A2: pairs with R2
            if again == token {
                // Cleared rows share the token 0: it tells no lap from another, and is row 0's only.
                let committed = offset & ROW_COMMITTED != 0 && (token != 0 || chunk == 0);
                return Row { offset: offset & !ROW_COMMITTED, token, committed };
            }
            token = again;
        }
        Row { offset: 0, token: 0, committed: false }
    }

    fn committed_rows(&self) -> impl Iterator<Item = (u32, Row)> + '_ {
        (0..self.chunk_count).map(move |chunk| (chunk, self.load_row(chunk))).filter(|(_, row)| row.committed)
    }

    /// The committed row with the highest token; of equals the first.
    pub(super) fn newest(&self) -> Option<(u32, Row)> {
        self.committed_rows().reduce(|best, next| if next.1.token > best.1.token { next } else { best })
    }

    /// The committed row with the lowest token; of equals the first.
    pub(super) fn oldest(&self) -> Option<(u32, Row)> {
        self.committed_rows().reduce(|best, next| if next.1.token < best.1.token { next } else { best })
    }
}
