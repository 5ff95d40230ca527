// SPDX-License-Identifier: MIT
//! How to open an end of a channel.

use std::time::Duration;

use super::layout::*;
use crate::error::{Error, Result};
use crate::options::{ready_timeout, setters};
use crate::wait::{Deadline, Wait};

/// What publishers, pushers and repliers do about a channel that is there, or is not. Others never make one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Making {
    /// Join it, or make it.
    #[default]
    JoinOrCreate,
    /// Make it, or [`Error::Exists`](crate::Error::Exists) [shmcomm.segment.exists].
    CreateOnly,
    /// Join it, or [`Error::NotFound`](crate::Error::NotFound).
    JoinOnly,
}

/// Where a subscriber begins, or goes [shmcomm.receive.start].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Behind the newest message: those who come late miss what was before.
    #[default]
    Latest,
    /// With the oldest message that is held.
    Oldest,
}

/// What is otherwise drawn at random or asked of the system: for tests and replays. 0 = as always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Endpoint number, up to [`MAX_ENDPOINT`]; [`Error::Busy`](crate::Error::Busy) if it is taken.
    pub endpoint: u32,
    /// For the header's owner_pid.
    pub pid: u32,
    /// Of a segment that is made.
    pub instance: u64,
    /// For the header's heartbeat_ns.
    pub boot_ns: u64,
    /// Of the first request.
    pub correlation_id: u64,
}

/// How to open an end of a channel. What an end has no use for is ignored.
///
/// ```
/// use shmwire::shmcomm::{Making, Options, CONTENT_JSON};
/// use std::time::Duration;
/// let making = Options::new().making(Making::CreateOnly).capacity(32 << 20).serializer(CONTENT_JSON);
/// let joining = Options::new().ready_timeout(Duration::ZERO); // do not wait for a channel that is not there
/// # let _ = (making, joining);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub(super) capacity: u64,
    pub(super) mode: u32,
    pub(super) serializer: u16,
    pub(super) making: Making,
    pub(super) start: Start,
    pub(super) read_only: bool,
    pub(super) sole: bool,
    pub(super) tell_lost: bool,
    pub(super) identity: Identity,
    pub(super) ready: Wait,
}

setters! { Options {
    /// Bytes of the ring of a channel that is made, and of a requester's reply channel: a power of two from [`MIN_CAPACITY`] to
    /// [`MAX_CAPACITY`]; 0 = [`DEFAULT_CAPACITY`], [`DEFAULT_REPLY_CAPACITY`]. A payload has up to half of that less
    /// [`FRAME_OVERHEAD`].
    capacity: u64,
    /// Permission bits of what is made, before the umask [shmcomm.segment.mode].
    mode: u32,
    /// Content type of messages whose sender does not say, of a channel that is made.
    serializer: u16,
    /// Publishers, pushers, repliers: what to do about a channel that is there, or is not.
    making: Making,
    /// Subscribers: where to begin.
    start: Start,
    /// Subscribers: map nothing that can be written. Waiting then polls, since nobody wakes those who are not counted.
    read_only: bool,
    /// Publishers, pushers: hold the writers' lock from open to close. Others get [`Error::Busy`](crate::Error::Busy) meanwhile, and so
    /// does opening.
    sole: bool,
    /// Subscribers: answer [`Answer::Lapped`](crate::Answer::Lapped) once before a message behind a loss.
    tell_lost: bool,
    /// Numbers to use instead of drawn ones.
    identity: Identity,
}}

ready_timeout!(Options);

impl Options {
    /// Default sizes, mode 0600, raw bytes, to join or create, from the latest message on, 2 s for a channel that is not there or not
    /// ready.
    #[must_use]
    pub const fn new() -> Options {
        Options {
            capacity: 0,
            mode: DEFAULT_MODE,
            serializer: CONTENT_RAW,
            making: Making::JoinOrCreate,
            start: Start::Latest,
            read_only: false,
            sole: false,
            tell_lost: false,
            identity: Identity { endpoint: 0, pid: 0, instance: 0, boot_ns: 0, correlation_id: 0 },
            ready: Wait::at_most(Duration::from_nanos(DEFAULT_READY_TIMEOUT_NS)),
        }
    }

    pub(super) fn deadline(&self) -> Deadline {
        self.ready.deadline()
    }

    /// The options with a capacity, and checked [shmcomm.segment.argument].
    pub(super) fn checked(self, default_capacity: u64) -> Result<Options> {
        let capacity = if self.capacity == 0 { default_capacity } else { self.capacity };
        if !capacity.is_power_of_two() || !(MIN_CAPACITY..=MAX_CAPACITY).contains(&capacity) {
            return Err(Error::InvalidArgument("the capacity is not a power of two from 4096 to 2^38"));
        }
        if self.mode > 0o777 {
            return Err(Error::InvalidArgument("the mode has other bits than those of permissions"));
        }
        if self.identity.endpoint > MAX_ENDPOINT {
            return Err(Error::InvalidArgument("an endpoint's number is at most 2^31 - 1"));
        }
        Ok(Options { capacity, ..self })
    }
}
