// SPDX-License-Identifier: MIT
//! Credit for the benchmark of lossy formats, which know nothing of it themselves. No part of the library without feature `bench`.

use std::path::Path;
use std::time::Duration;

use crate::bytes::Whole;
use crate::error::Result;
use crate::map::Map;
use crate::wait::Deadline;

/// Numbers in a file of their own, one for each reader: with them a benchmark's writer stays behind the slowest.
#[derive(Debug)]
pub struct SharedCounts(Whole);

impl SharedCounts {
    /// Bytes for each: two lines, since processors fetch lines in pairs.
    const ZONE: u64 = 128;

    /// Make the file; all numbers are 0.
    pub fn create(path: impl AsRef<Path>, count: u64) -> Result<SharedCounts> {
        let size = Self::ZONE * count.max(1);
        Map::create(path.as_ref(), size, size, 0o600).map(|map| SharedCounts(Whole::new(map)))
    }

    /// Map the file that is there.
    pub fn open(path: impl AsRef<Path>, count: u64) -> Result<SharedCounts> {
        let deadline = Deadline::after(Duration::ZERO);
        Map::open(path.as_ref(), false, Self::ZONE * count.max(1), deadline).map(|map| SharedCounts(Whole::new(map)))
    }

    /// The least of the first `count` numbers, and `otherwise` if that is less; what was loaded or stored before it was is seen.
    #[inline]
    pub fn least(&self, count: u64, otherwise: u64) -> u64 {
        (0..count).map(|i| self.0.u64(Self::ZONE * i).load_acquire()).fold(otherwise, u64::min)
    }

    /// Publish a number.
    #[inline]
    pub fn store(&self, index: u64, number: u64) {
        self.0.u64(Self::ZONE * index).store_release(number);
    }
}
