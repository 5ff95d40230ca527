// SPDX-License-Identifier: MIT
//! Credit for lossy formats, which know nothing of it themselves: for the benchmark and the driver. No part of the library without
//! the features `bench` and `driver`.

use std::path::Path;
use std::time::Duration;

use crate::bytes::Whole;
use crate::error::Result;
use crate::map::Map;
use crate::wait::Deadline;

/// Numbers in a file of their own, one for each reader: with them a writer stays behind the slowest.
#[derive(Debug)]
pub struct SharedCounts {
    file: Whole,
    zone: u64,
}

impl SharedCounts {
    /// Bytes for each in a benchmark: two lines, since processors fetch lines in pairs.
    const BENCH_ZONE: u64 = 128;
    /// The same in the driver protocol: number n is at 64 n.
    const DRIVER_ZONE: u64 = 64;
    const SIZE: u64 = 8;

    /// Make a benchmark's file; all numbers are 0.
    pub fn create(path: impl AsRef<Path>, count: u64) -> Result<SharedCounts> {
        let size = Self::BENCH_ZONE * count.max(1);
        Map::create(path.as_ref(), size, size, 0o600).map(|map| SharedCounts { file: Whole::new(map), zone: Self::BENCH_ZONE })
    }

    /// Map a benchmark's file that is there.
    pub fn open(path: impl AsRef<Path>, count: u64) -> Result<SharedCounts> {
        Self::map(path.as_ref(), Self::BENCH_ZONE * count.max(1), Self::BENCH_ZONE)
    }

    /// Map the file that the suite made.
    pub fn open_credit(path: impl AsRef<Path>) -> Result<SharedCounts> {
        Self::map(path.as_ref(), Self::SIZE, Self::DRIVER_ZONE)
    }

    fn map(path: &Path, least: u64, zone: u64) -> Result<SharedCounts> {
        let map = Map::open(path, false, least, Deadline::after(Duration::ZERO))?;
        Ok(SharedCounts { file: Whole::new(map), zone })
    }

    /// How many numbers the file has.
    pub fn count(&self) -> u64 {
        (self.file.len() + self.zone - Self::SIZE) / self.zone
    }

    /// The least of the first `count` numbers, and `otherwise` if that is less; what was loaded or stored before it was is seen.
    #[inline]
    pub fn least(&self, count: u64, otherwise: u64) -> u64 {
        (0..count).map(|i| self.file.u64(self.zone * i).load_acquire()).fold(otherwise, u64::min)
    }

    /// Publish a number.
    #[inline]
    pub fn store(&self, index: u64, number: u64) {
        self.file.u64(self.zone * index).store_release(number);
    }
}
