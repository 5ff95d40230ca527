// SPDX-License-Identifier: MIT
//! What operators see of a channel, and of one end of it.

use super::endpoint::{keeper_lives, Endpoint};
use super::layout::*;
use super::segment::Segment;
use super::Message;
use crate::error::Result;

/// Payload bytes of a held frame that [`HeldFrame`] shows.
const SHOWN: usize = 64;

/// A channel's header, and what this end of it has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Bytes of the ring.
    pub capacity: u64,
    /// Bytes of the longest payload.
    pub max_payload: u64,
    /// Position behind the newest message.
    pub head: u64,
    /// Position of the oldest message that is held.
    pub tail: u64,
    /// Messages published, ever.
    pub message_count: u64,
    /// Publish/subscribe: messages evicted; otherwise: calls that were refused for want of room.
    pub dropped_count: u64,
    /// Tells a segment from another one of the same name.
    pub instance: u64,
    /// A keeper's last sign of life, nanoseconds since the machine was started.
    pub heartbeat_ns: u64,
    /// `PATTERN_PUBSUB` and so on.
    pub pattern: u32,
    /// [`STATE_OPEN`] or [`STATE_CLOSED`].
    pub state: u32,
    /// 0, or the endpoint number of the owner; bit 31: somebody waits.
    pub writer_lock: u32,
    /// How often the lock was taken from a dead owner.
    pub lock_epoch: u32,
    /// Not 0: a receiver sleeps, or is about to.
    pub data_waiters: u32,
    /// Not 0: a writer sleeps, or is about to.
    pub space_waiters: u32,
    /// Process id of the keeper that made the channel or took it over, in its pid namespace.
    pub owner_pid: u32,
    /// Its endpoint number.
    pub owner_endpoint: u32,
    /// Content type of messages whose sender does not say.
    pub serializer: u32,
    /// The number of this endpoint; 0 for subscribers and observers.
    pub endpoint: u32,
    /// Whether a keeper lives: false, and the channel is stale.
    pub keeper_lives: bool,
    /// Messages that this end sent.
    pub sent: u64,
    /// Messages that it received.
    pub received: u64,
    /// Subscribers: sequences that were overwritten before they came to them.
    pub lost: u64,
    /// Sends that were answered FULL or TIMEOUT for want of room.
    pub refused: u64,
    /// Requesters: replies that came too late.
    pub discarded: u64,
    /// Repliers: replies that were dropped because the requester is gone.
    pub unanswered: u64,
    /// Locks taken from dead owners.
    pub takeovers: u64,
}

/// A channel's header as it stands there, unchecked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the fields of section 1.1 of the specification, by their names
pub struct HeaderInfo {
    pub magic: u64,
    pub version: u64,
    pub head: u64,
    pub tail: u64,
    pub writer_lock: u32,
    pub lock_epoch: u32,
    pub message_count: u64,
    pub dropped_count: u64,
    pub capacity: u64,
    pub pattern: u32,
    pub state: u32,
    pub data_signal: u32,
    pub data_waiters: u32,
    pub space_signal: u32,
    pub space_waiters: u32,
    pub owner_pid: u32,
    pub serializer: u32,
    pub heartbeat_ns: u64,
    pub instance: u64,
    pub owner_endpoint: u32,
}

/// A frame that is held, and how its payload begins. Of a channel that is used meanwhile it may be garbled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldFrame {
    /// What the message says.
    pub message: Message,
    /// Up to 64 bytes of its payload.
    pub start: Vec<u8>,
}

impl Segment {
    pub(super) fn info(&self) -> Info {
        let header = self.header_info();
        Info {
            capacity: self.capacity(),
            max_payload: self.max_payload(),
            head: header.head,
            tail: header.tail,
            message_count: header.message_count,
            dropped_count: header.dropped_count,
            instance: header.instance,
            heartbeat_ns: header.heartbeat_ns,
            pattern: self.geometry.pattern,
            state: header.state,
            writer_lock: header.writer_lock,
            lock_epoch: header.lock_epoch,
            data_waiters: header.data_waiters,
            space_waiters: header.space_waiters,
            owner_pid: header.owner_pid,
            owner_endpoint: header.owner_endpoint,
            serializer: self.geometry.serializer.into(),
            keeper_lives: keeper_lives(self.ring.map().file()).unwrap_or(true), // who cannot be asked is not known to be dead
            ..Info::default()
        }
    }

    pub(super) fn header_info(&self) -> HeaderInfo {
        let header = self.header();
        let (long, short) = (|offset| header.u64(offset).load_relaxed(), |offset| header.u32(offset).load_relaxed());
        HeaderInfo {
            magic: header.u64(HEADER_MAGIC_OFFSET).load_acquire(), // A0: pairs with R0
            tail: self.tail().load_acquire(),                      // A3: pairs with R3; a head that is not below it
            head: self.head().load_acquire(),                      // A2: pairs with R2
            state: self.state().load_acquire(),                    // A7: pairs with R7
            version: long(HEADER_VERSION_OFFSET),
            writer_lock: short(HEADER_WRITER_LOCK_OFFSET),
            lock_epoch: short(HEADER_LOCK_EPOCH_OFFSET),
            message_count: long(HEADER_MESSAGE_COUNT_OFFSET),
            dropped_count: long(HEADER_DROPPED_COUNT_OFFSET),
            capacity: long(HEADER_CAPACITY_OFFSET),
            pattern: short(HEADER_PATTERN_OFFSET),
            data_signal: short(HEADER_DATA_SIGNAL_OFFSET),
            data_waiters: short(HEADER_DATA_WAITERS_OFFSET),
            space_signal: short(HEADER_SPACE_SIGNAL_OFFSET),
            space_waiters: short(HEADER_SPACE_WAITERS_OFFSET),
            owner_pid: short(HEADER_OWNER_PID_OFFSET),
            serializer: short(HEADER_SERIALIZER_OFFSET),
            heartbeat_ns: long(HEADER_HEARTBEAT_NS_OFFSET),
            instance: long(HEADER_INSTANCE_OFFSET),
            owner_endpoint: short(HEADER_OWNER_ENDPOINT_OFFSET),
        }
    }

    /// What is held, oldest first, up to the first frame that cannot be.
    pub(super) fn held(&self) -> Result<Vec<HeldFrame>> {
        let (head, tail) = self.positions()?;
        let shown = self.frames(tail, head).map_while(std::result::Result::ok).map(|place| {
            let mut start = vec![0; place.length.min(SHOWN)];
            self.ring.copy_out_racing(place.at, FRAME_OVERHEAD, &mut start);
            HeldFrame { message: self.describe(&place), start }
        });
        Ok(shown.collect())
    }
}

impl Endpoint {
    pub(super) fn info(&self) -> Info {
        let info = self.segment.info();
        Info { endpoint: self.number, keeper_lives: info.keeper_lives, takeovers: self.takeovers, ..info }
    }
}
