// SPDX-License-Identifier: MIT
//! How to make a log, take one over, and read one.

use std::path::Path;
use std::time::Duration;

use super::layout::*;
use super::reader::Reader;
use super::segment::{table_end, Segment};
use super::writer::Writer;
use super::Start;
use crate::error::{Error, Result};
use crate::map::Map;
use crate::options::{ready_timeout, setters};
use crate::wait::{Deadline, Wait};

/// How to make a log.
///
/// ```
/// # let name = format!("/shmw-doc-make-{}", std::process::id());
/// use shmwire::ouroboros::CreateOptions;
/// let log = CreateOptions::new().chunk_count(8).chunk_target_size(4096).mode(0o600).create(&name)?;
/// assert_eq!(log.info().size, 16 + 16 * 8 + 8 * 4096);
/// assert_eq!(CreateOptions::new().create(&name).unwrap_err().code().name(), "EXISTS");
/// # shmwire::unlink(&name)?;
/// # Ok::<(), shmwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CreateOptions {
    chunk_count: u32,
    chunk_target_size: u64,
    size: u64,
    mode: u32,
}

setters! { CreateOptions {
    /// Chunks of the ring; 0 is [`DEFAULT_CHUNK_COUNT`]. An overtaken reader goes on at the newest chunk: more chunks, fewer
    /// entries lost.
    chunk_count: u32,
    /// Bytes after which the next chunk begins; 0 is [`DEFAULT_CHUNK_TARGET`].
    chunk_target_size: u64,
    /// Bytes of the segment; 0 is 16 + 16 x chunk_count + chunk_count x chunk_target_size.
    size: u64,
    /// Permission bits, before the umask.
    mode: u32,
}}

impl CreateOptions {
    /// 4 chunks of 256 KiB, mode 0600.
    #[must_use]
    pub const fn new() -> CreateOptions {
        CreateOptions { chunk_count: 0, chunk_target_size: 0, size: 0, mode: DEFAULT_MODE }
    }

    /// Make the log and become its writer [ouroboros.segment.create, ouroboros.segment.init].
    ///
    /// # Errors
    /// [`Error::Exists`] when the name is taken, and then nothing is touched; [`Error::InvalidArgument`] for sizes that leave no
    /// room for one entry; [`Error::InvalidName`], [`Error::Permission`], [`Error::System`] (no room).
    pub fn create(&self, locator: impl AsRef<Path>) -> Result<Writer> {
        let chunk_count = if self.chunk_count == 0 { DEFAULT_CHUNK_COUNT } else { self.chunk_count };
        let target = if self.chunk_target_size == 0 { DEFAULT_CHUNK_TARGET } else { self.chunk_target_size };
        let table_end = table_end(chunk_count);
        let by_formula = || target.checked_mul(chunk_count.into())?.checked_add(table_end);
        let size = if self.size == 0 { by_formula().unwrap_or(u64::MAX) } else { self.size };
        if size < table_end + u64::from(MIN_LENGTH) || size > i64::MAX as u64 {
            return Err(Error::InvalidArgument("the size leaves no room for an entry, or is above 2^63"));
        }
        if self.mode > 0o777 {
            return Err(Error::InvalidArgument("the mode has other bits than those of permissions"));
        }
        let map = Map::create(locator.as_ref(), size, size, self.mode)?;
        Writer::publish(map, chunk_count, target).map_err(|error| {
            // Ours, since Map::create makes new files only. What went wrong matters more than this.
            let _ = crate::map::unlink(&locator);
            error
        })
    }
}

/// How to become the writer of a log that has none any more.
///
/// ```
/// # let name = format!("/shmw-doc-resume-{}", std::process::id());
/// use shmwire::ouroboros::{CreateOptions, ResumeOptions};
/// let mut log = CreateOptions::new().create(&name)?;
/// assert_eq!(log.write(b"one")?, 1);
/// assert_eq!(ResumeOptions::new().resume(&name).unwrap_err().code().name(), "BUSY");
/// drop(log);
/// assert_eq!(ResumeOptions::new().resume(&name)?.write(b"two")?, 2);
/// # shmwire::unlink(&name)?;
/// # Ok::<(), shmwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ResumeOptions {
    chunk_target_size: u64,
}

setters! { ResumeOptions {
    /// Bytes after which the next chunk begins. The segment does not hold it; 0 is what the size formula gives.
    chunk_target_size: u64,
}}

impl ResumeOptions {
    /// The chunk_target_size that the size of the segment suggests.
    #[must_use]
    pub const fn new() -> ResumeOptions {
        ResumeOptions { chunk_target_size: 0 }
    }

    /// Take the log over, behind its last entry [ouroboros.write.resume].
    ///
    /// # Errors
    /// [`Error::Busy`] while it has a writer [ouroboros.segment.one-writer]; [`Error::Corrupt`], and then nothing has changed; those of
    /// [`OpenOptions::open`].
    pub fn resume(&self, locator: impl AsRef<Path>) -> Result<Writer> {
        let deadline = Deadline::after(Duration::ZERO);
        let map = Map::open(locator.as_ref(), false, HEADER_SIZE, deadline)?;
        Writer::take_over(Segment::attach(map, deadline)?, self.chunk_target_size)
    }
}

/// How to read a log.
///
/// ```
/// # let name = format!("/shmw-doc-follow-{}", std::process::id());
/// # let mut log = shmwire::ouroboros::CreateOptions::new().create(&name)?;
/// # log.write(b"one")?;
/// use shmwire::ouroboros::{OpenOptions, Start};
/// use std::time::Duration;
/// let reader = OpenOptions::new().start(Start::Oldest).ready_timeout(Duration::from_secs(1)).open(&name)?;
/// assert_eq!(reader.info().next_sequence, 1);
/// # shmwire::unlink(&name)?;
/// # Ok::<(), shmwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    start: Start,
    ready: Wait,
}

setters! { OpenOptions {
    /// Where to begin.
    start: Start,
}}

ready_timeout!(OpenOptions);

impl OpenOptions {
    /// [`Start::Auto`], no waiting.
    #[must_use]
    pub const fn new() -> OpenOptions {
        OpenOptions { start: Start::Auto, ready: Wait::at_most(Duration::ZERO) }
    }

    /// Attach, read-only [ouroboros.segment.readonly].
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Truncated`], [`Error::NotReady`], [`Error::BadMagic`], [`Error::BadVersion`],
    /// [`Error::BadGeometry`], [`Error::InvalidName`], [`Error::Permission`], [`Error::System`].
    pub fn open(&self, locator: impl AsRef<Path>) -> Result<Reader> {
        let deadline = self.ready.deadline();
        let map = Map::open(locator.as_ref(), true, HEADER_SIZE, deadline)?;
        Ok(Reader::new(Segment::attach(map, deadline)?, self.start))
    }
}
