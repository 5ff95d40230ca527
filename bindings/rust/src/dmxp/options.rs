// SPDX-License-Identifier: MIT
//! How to create a segment, open one, and make a channel.

use std::path::Path;
use std::time::Duration;

use super::layout::*;
use super::segment::Segment;
use super::{PayloadChoice, PayloadLayout};
use crate::error::{Error, Result};
use crate::map::Map;
use crate::wait::Wait;

/// How to make a segment.
///
/// ```
/// # let name = format!("/shmw-doc-create-{}", std::process::id());
/// use shmwire::dmxp::{CreateOptions, PayloadLayout};
/// let segment = CreateOptions::new().size(1 << 20).payload_layout(PayloadLayout::Crate).mode(0o600).create(&name)?;
/// assert_eq!(segment.info().size, 1 << 20);
/// assert_eq!(CreateOptions::new().create(&name).unwrap_err().code().name(), "EXISTS");
/// # shmwire::unlink(&name)?;
/// # Ok::<(), shmwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CreateOptions {
    size: u64,
    payload_layout: PayloadLayout,
    mode: u32,
    sender_runtime: u16,
}

impl Default for CreateOptions {
    fn default() -> CreateOptions {
        CreateOptions::new()
    }
}

impl CreateOptions {
    /// 128 MiB, crate layout, mode 0600.
    #[must_use]
    pub const fn new() -> CreateOptions {
        let payload_layout = PayloadLayout::Crate;
        CreateOptions { size: DEFAULT_SIZE, payload_layout, mode: DEFAULT_MODE, sender_runtime: RUNTIME_RUST }
    }

    /// Bytes of the segment, at least [`HEADER_SIZE`]. Memory is taken as channels are created.
    #[must_use]
    pub const fn size(self, size: u64) -> CreateOptions {
        CreateOptions { size, ..self }
    }

    /// Where payloads stand; the segment declares it.
    #[must_use]
    pub const fn payload_layout(self, payload_layout: PayloadLayout) -> CreateOptions {
        CreateOptions { payload_layout, ..self }
    }

    /// Permission bits, before the umask [dmxp.segment.mode].
    #[must_use]
    pub const fn mode(self, mode: u32) -> CreateOptions {
        CreateOptions { mode, ..self }
    }

    /// What messages sent through this handle carry where their meta does not say: a `RUNTIME_` value.
    #[must_use]
    pub const fn sender_runtime(self, sender_runtime: u16) -> CreateOptions {
        CreateOptions { sender_runtime, ..self }
    }

    /// Make the segment [dmxp.segment.create, dmxp.segment.fields].
    ///
    /// # Errors
    /// [`Error::Exists`] when the name is taken, and then nothing is touched; [`Error::InvalidArgument`],
    /// [`Error::InvalidName`], [`Error::Permission`], [`Error::System`] (no room).
    pub fn create(&self, locator: impl AsRef<Path>) -> Result<Segment> {
        if self.size < HEADER_SIZE {
            return Err(Error::InvalidArgument("the size is below that of the header"));
        }
        let map = Map::create(locator.as_ref(), self.size, HEADER_SIZE, self.mode)?;
        Segment::publish(map, self.payload_layout, self.sender_runtime)
    }
}

/// How to attach to a segment that is there.
///
/// ```
/// # let name = format!("/shmw-doc-open-{}", std::process::id());
/// # let _made = shmwire::dmxp::CreateOptions::new().size(1 << 20).create(&name)?;
/// use shmwire::dmxp::{OpenOptions, PayloadChoice};
/// let segment = OpenOptions::new().read_only(true).payload_choice(PayloadChoice::Auto).open(&name)?;
/// assert!(segment.channels().is_empty());
/// # shmwire::unlink(&name)?;
/// # Ok::<(), shmwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    read_only: bool,
    payload_choice: PayloadChoice,
    ready: Wait,
    sender_runtime: u16,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions::new()
    }
}

impl OpenOptions {
    /// Read-write, crate layout where none is declared, no waiting.
    #[must_use]
    pub const fn new() -> OpenOptions {
        let payload_choice = PayloadChoice::Always(PayloadLayout::Crate);
        OpenOptions { read_only: false, payload_choice, ready: Wait::at_most(Duration::ZERO), sender_runtime: RUNTIME_RUST }
    }

    /// Map the segment read-only: looking is all that can be done then; all else is [`Error::Permission`].
    #[must_use]
    pub const fn read_only(self, read_only: bool) -> OpenOptions {
        OpenOptions { read_only, ..self }
    }

    /// Where payloads stand in a segment that does not declare it.
    #[must_use]
    pub const fn payload_choice(self, payload_choice: PayloadChoice) -> OpenOptions {
        OpenOptions { payload_choice, ..self }
    }

    /// How long to wait for a creator who has not published the segment yet.
    #[must_use]
    pub fn ready_timeout(self, ready: impl Into<Wait>) -> OpenOptions {
        OpenOptions { ready: ready.into(), ..self }
    }

    /// What messages sent through this handle carry where their meta does not say: a `RUNTIME_` value.
    #[must_use]
    pub const fn sender_runtime(self, sender_runtime: u16) -> OpenOptions {
        OpenOptions { sender_runtime, ..self }
    }

    /// Attach [dmxp.segment.size, .magic, .not-ready, .version, .header].
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Truncated`], [`Error::NotReady`], [`Error::BadMagic`], [`Error::BadVersion`],
    /// [`Error::BadGeometry`], [`Error::InvalidName`], [`Error::Permission`], [`Error::System`].
    pub fn open(&self, locator: impl AsRef<Path>) -> Result<Segment> {
        let deadline = self.ready.deadline();
        let map = Map::open(locator.as_ref(), self.read_only, HEADER_SIZE, deadline)?;
        Segment::attach_to(map, self.payload_choice, self.sender_runtime, deadline)
    }
}

/// How to make a channel.
#[derive(Clone, Copy, Debug)]
pub struct ChannelOptions {
    pub(super) capacity: u64,
    pub(super) counted_waiters: bool,
}

impl Default for ChannelOptions {
    fn default() -> ChannelOptions {
        ChannelOptions::new()
    }
}

impl ChannelOptions {
    /// 1,024 slots; a wake-up call with each message.
    #[must_use]
    pub const fn new() -> ChannelOptions {
        ChannelOptions { capacity: DEFAULT_CAPACITY, counted_waiters: false }
    }

    /// Slots, a power of two, 2 or more.
    #[must_use]
    pub const fn capacity(self, capacity: u64) -> ChannelOptions {
        ChannelOptions { capacity, ..self }
    }

    /// Promise that every consumer counts itself in `waiters`, as all of shmwire do and the crate's do not: producers then
    /// skip wake-up calls that nobody waits for.
    #[must_use]
    pub const fn counted_waiters(self, counted_waiters: bool) -> ChannelOptions {
        ChannelOptions { counted_waiters, ..self }
    }
}
