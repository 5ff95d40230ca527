// SPDX-License-Identifier: MIT
//! How to create a segment, open one, and make a channel.

use std::path::Path;
use std::time::Duration;

use super::layout::*;
use super::segment::Segment;
use super::{PayloadChoice, PayloadLayout};
use crate::error::{Error, Result};
use crate::map::Map;
use crate::options::{ready_timeout, setters};
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

setters! { CreateOptions {
    /// Bytes of the segment, at least [`HEADER_SIZE`]. Memory is taken as channels are created.
    size: u64,
    /// Where payloads stand; the segment declares it.
    payload_layout: PayloadLayout,
    /// Permission bits, before the umask [dmxp.segment.mode].
    mode: u32,
    /// What messages sent through this handle carry where their meta does not say: a `RUNTIME_` value.
    sender_runtime: u16,
}}

impl CreateOptions {
    /// 128 MiB, crate layout, mode 0600.
    #[must_use]
    pub const fn new() -> CreateOptions {
        let payload_layout = PayloadLayout::Crate;
        CreateOptions { size: DEFAULT_SIZE, payload_layout, mode: DEFAULT_MODE, sender_runtime: RUNTIME_RUST }
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

setters! { OpenOptions {
    /// Map the segment read-only: looking is all that can be done then; all else is [`Error::Permission`].
    read_only: bool,
    /// Where payloads stand in a segment that does not declare it.
    payload_choice: PayloadChoice,
    /// What messages sent through this handle carry where their meta does not say: a `RUNTIME_` value.
    sender_runtime: u16,
}}

ready_timeout!(OpenOptions);

impl OpenOptions {
    /// Read-write, crate layout where none is declared, no waiting.
    #[must_use]
    pub const fn new() -> OpenOptions {
        let payload_choice = PayloadChoice::Always(PayloadLayout::Crate);
        OpenOptions { read_only: false, payload_choice, ready: Wait::at_most(Duration::ZERO), sender_runtime: RUNTIME_RUST }
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

setters! { ChannelOptions {
    /// Slots, a power of two, 2 or more.
    capacity: u64,
    /// Promise that every consumer counts itself in `waiters`, as all of shmwire do and the crate's do not: producers then
    /// skip wake-up calls that nobody waits for.
    counted_waiters: bool,
}}

impl ChannelOptions {
    /// 1,024 slots; a wake-up call with each message.
    #[must_use]
    pub const fn new() -> ChannelOptions {
        ChannelOptions { capacity: DEFAULT_CAPACITY, counted_waiters: false }
    }
}
