// SPDX-License-Identifier: MIT
//! How to make a queue, and open one.

use std::path::Path;
use std::time::Duration;

use super::layout::*;
use super::queue::Queue;
use super::segment::{length_of, Segment};
use super::Generation;
use crate::error::{Error, Result};
use crate::map::{full_name, Map};
use crate::options::{ready_timeout, setters};
use crate::wait::Wait;

/// How to make a queue.
///
/// ```
/// # let name = format!("/shmw-doc-smake-{}", std::process::id());
/// use shmwire::slick::{CreateOptions, Generation};
/// let options = CreateOptions::new().size(16).element_size(24).generation(Generation::V1_3).mode(0o600);
/// let queue = options.create(&name)?;
/// assert_eq!(queue.info().length, 64 + 16 * 16 + 16 * 24);
/// assert_eq!(options.create(&name).unwrap_err().code().name(), "EXISTS");
/// # shmwire::unlink(&name)?;
/// # Ok::<(), shmwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CreateOptions {
    size: u32,
    element_size: u32,
    generation: Generation,
    mode: u32,
    portable_name: bool,
}

setters! { CreateOptions {
    /// Elements of the ring, a power of two up to [`MAX_SIZE`].
    size: u32,
    /// Bytes of an element; must be given.
    element_size: u32,
    /// Which releases of the source system shall understand the segment.
    generation: Generation,
    /// Permission bits, before the umask.
    mode: u32,
    /// Refuse POSIX names that macOS would not take: more than [`PORTABLE_NAME_MAX`] characters, the slash included.
    portable_name: bool,
}}

impl CreateOptions {
    /// [`DEFAULT_SIZE`] elements of a size that has to be given, generation 1.4, mode 0600, names of any length.
    #[must_use]
    pub const fn new() -> CreateOptions {
        let generation = Generation::V1_4;
        CreateOptions { size: DEFAULT_SIZE, element_size: 0, generation, mode: DEFAULT_MODE, portable_name: false }
    }

    /// Make the queue [slick.segment.create, slick.segment.init].
    ///
    /// # Errors
    /// [`Error::Exists`] when the name is taken, and then nothing is touched; [`Error::InvalidArgument`]
    /// [slick.segment.argument]; [`Error::InvalidName`] [slick.segment.portable-name]; [`Error::Permission`], [`Error::System`]
    /// (no room).
    pub fn create(&self, locator: impl AsRef<Path>) -> Result<Queue> {
        let locator = locator.as_ref();
        let length = self.check()?;
        let name = full_name(locator, self.portable_name.then_some(PORTABLE_NAME_MAX))?;
        let map = Map::create(locator, length, length, self.mode)?;
        self.publish(map, &name)
    }

    /// Make a queue without a name, for the threads of this process and the children that it forks.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`]; [`Error::System`] (no memory).
    pub fn create_local(&self) -> Result<Queue> {
        let length = self.check()?;
        self.publish(Map::create_local(length)?, Path::new(""))
    }

    fn publish(&self, map: Map, name: &Path) -> Result<Queue> {
        map.prefault(0, map.len());
        Segment::publish(map, name, self.generation, self.size, self.element_size).map(Queue::new)
    }

    /// Bytes of the segment.
    fn check(&self) -> Result<u64> {
        if !self.size.is_power_of_two() || self.size > MAX_SIZE {
            return Err(Error::InvalidArgument("the size is not a power of two from 1 to 2^31"));
        }
        if self.element_size == 0 {
            return Err(Error::InvalidArgument("the element size is 0, or was not given"));
        }
        if self.mode > 0o777 {
            return Err(Error::InvalidArgument("the mode has other bits than those of permissions"));
        }
        Ok(length_of(self.size.into(), self.element_size))
    }
}

/// How to attach to a queue that is there.
///
/// ```
/// # let name = format!("/shmw-doc-sopen-{}", std::process::id());
/// # let _made = shmwire::slick::CreateOptions::new().element_size(8).create(&name)?;
/// use shmwire::slick::OpenOptions;
/// use std::time::Duration;
/// let queue = OpenOptions::new().read_only(true).ready_timeout(Duration::ZERO).open(&name[1..])?;
/// assert_eq!(queue.shm_name().to_str(), Some(&name[..]));
/// assert_eq!(queue.producer().unwrap_err().code().name(), "PERMISSION");
/// # shmwire::unlink(&name)?;
/// # Ok::<(), shmwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    read_only: bool,
    ready: Wait,
}

setters! { OpenOptions {
    /// Map the segment read-only: readers need no more; producers, reset and recovery do [slick.segment.readonly].
    read_only: bool,
}}

ready_timeout!(OpenOptions);

impl OpenOptions {
    /// Read-write, and 2 s for a creator who is at work.
    #[must_use]
    pub const fn new() -> OpenOptions {
        OpenOptions { read_only: false, ready: Wait::at_most(Duration::from_nanos(DEFAULT_READY_TIMEOUT_NS)) }
    }

    /// Attach [slick.segment.generation, .not-ready, .magic, .state, .geometry, .size].
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Truncated`], [`Error::NotReady`], [`Error::BadMagic`], [`Error::BadVersion`],
    /// [`Error::BadGeometry`], [`Error::InvalidName`], [`Error::Permission`], [`Error::System`].
    pub fn open(&self, locator: impl AsRef<Path>) -> Result<Queue> {
        let locator = locator.as_ref();
        let name = full_name(locator, None)?;
        let deadline = self.ready.deadline();
        let map = Map::open(locator, self.read_only, HEADER_SIZE, deadline)?;
        Segment::attach(map, &name, deadline).map(Queue::new)
    }
}
