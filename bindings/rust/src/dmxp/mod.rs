// SPDX-License-Identifier: MIT
//! Profile `dmxp`: up to 256 bounded queues in one segment, each with any number of producers and consumers in any number of
//! processes; each message is delivered once. The specification is `spec/dmxp.md`; rule ids in brackets are its.
//!
//! ```
//! use shmwire::dmxp::{ChannelOptions, CreateOptions, Meta, OpenOptions};
//! use std::time::Duration;
//!
//! # let name = format!("/shmw-doc-{}", std::process::id());
//! let segment = CreateOptions::new().size(1 << 20).create(&name)?;
//! segment.create_channel(0, &ChannelOptions::new().capacity(64))?;
//! let producer = segment.attach(0)?;
//! producer.try_send(b"hello", &Meta::new().message_type(7))?.done().expect("an empty queue has room");
//!
//! let consumer = OpenOptions::new().open(&name)?.attach(0)?;
//! let mut buffer = [0; 1024];
//! let message = consumer.receive(&mut buffer, Duration::from_secs(1))?.done().expect("it has been sent");
//! assert_eq!(message.payload(&buffer), b"hello");
//! assert_eq!(message.message_type, 7);
//! # shmwire::unlink(&name)?;
//! # Ok::<(), shmwire::Error>(())
//! ```
//!
//! A [`Segment`] and its [`Channel`]s are `Send` and `Sync`, and cloning one is cheap. No call allocates for a message.

mod channel;
mod claim;
// Generated: holds every number of the profile, used here or not.
#[allow(dead_code)]
mod layout;
mod options;
mod peek;
mod reader;
mod recover;
mod segment;
mod validate;
mod writer;

pub use channel::Channel;
pub use claim::{Claim, Refused};
pub use layout::{
    CHANNEL_COUNTED_WAITERS, DEFAULT_CAPACITY, DEFAULT_MODE, DEFAULT_NAME, DEFAULT_SIZE, HEADER_SIZE, LAYOUT_CRATE,
    LAYOUT_DOCUMENT, LAYOUT_UNSPECIFIED, MAX_CHANNELS, MESSAGE_TOMBSTONE, MIN_CAPACITY, PAYLOAD_CAPACITY_CRATE,
    PAYLOAD_CAPACITY_DOCUMENT, RUNTIME_C, RUNTIME_CRATE, RUNTIME_GO, RUNTIME_PYTHON, RUNTIME_RUST, RUNTIME_UNSPECIFIED,
};
pub use options::{ChannelOptions, CreateOptions, OpenOptions};
pub use peek::Peek;
pub use recover::Recovery;
pub use segment::{ChannelInfo, Segment, SegmentInfo};
pub use writer::Item;

/// Where the cache line behind that of a slot's sequence begins: most of an ordinary payload is there.
const SECOND_LINE: u64 = 64;

/// Where payloads stand in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadLayout {
    /// At slot + 48, up to 1,024 bytes: what the source system's crate reads and writes.
    Crate,
    /// At slot + 64, up to 960 bytes: what clients written from the source's documents read and write.
    Document,
}

/// How to read payloads in a segment that does not declare a layout; a declared one wins over it [dmxp.layout.unspecified].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadChoice {
    /// Always this one.
    Always(PayloadLayout),
    /// Readers: by each message's `sender_runtime` [dmxp.layout.auto]. Writers: the crate layout.
    Auto,
}

/// Offset of the payload in a slot, and its largest length, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    offset: u64,
    capacity: u64,
}

impl PayloadLayout {
    const fn place(self) -> Place {
        match self {
            PayloadLayout::Crate => Place { offset: layout::PAYLOAD_OFFSET_CRATE, capacity: layout::PAYLOAD_CAPACITY_CRATE },
            PayloadLayout::Document => {
                Place { offset: layout::PAYLOAD_OFFSET_DOCUMENT, capacity: layout::PAYLOAD_CAPACITY_DOCUMENT }
            }
        }
    }
}

/// What travels beside a payload, as its sender gives it. Unset fields are filled in on sending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    message_id: Option<u64>,
    timestamp_ns: Option<u64>,
    message_type: u32,
    sender_pid: Option<u32>,
    sender_runtime: Option<u16>,
    flags: u16,
}

impl Meta {
    /// Everything unset.
    #[must_use]
    pub const fn new() -> Meta {
        Meta { message_id: None, timestamp_ns: None, message_type: 0, sender_pid: None, sender_runtime: None, flags: 0 }
    }

    /// Identifier of the message; unset, its position.
    #[must_use]
    pub const fn message_id(self, id: u64) -> Meta {
        Meta { message_id: Some(id), ..self }
    }

    /// Time of sending in nanoseconds since the Unix epoch; unset, the time of the call. Setting it saves a look at the clock.
    #[must_use]
    pub const fn timestamp_ns(self, time: u64) -> Meta {
        Meta { timestamp_ns: Some(time), ..self }
    }

    /// The application's; unset, 0.
    #[must_use]
    pub const fn message_type(self, message_type: u32) -> Meta {
        Meta { message_type, ..self }
    }

    /// Process id of the sender; unset, this process's.
    #[must_use]
    pub const fn sender_pid(self, pid: u32) -> Meta {
        Meta { sender_pid: Some(pid), ..self }
    }

    /// What kind of program sent the message, a `RUNTIME_` value; unset, the handle's. In a segment without a declared payload
    /// layout it says where the payload is, so a value that would lie is not written there [dmxp.layout.runtime].
    #[must_use]
    pub const fn sender_runtime(self, runtime: u16) -> Meta {
        Meta { sender_runtime: Some(runtime), ..self }
    }

    /// Bits 0 to 14 are the application's; bit 15 marks tombstones and is refused on sending. Unset, 0.
    #[must_use]
    pub const fn flags(self, flags: u16) -> Meta {
        Meta { flags, ..self }
    }
}

/// A message that was received or looked at. Its payload is in the buffer that the call was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Place in the channel's order, from 0.
    pub position: u64,
    /// The channel it was read from.
    pub channel_id: u32,
    /// Bytes of payload.
    pub length: usize,
    /// Where the payload begins in the buffer: 0 but in batches.
    pub offset: usize,
    /// Identifier that the sender gave, or the position.
    pub message_id: u64,
    /// Time of sending, nanoseconds since the Unix epoch, by the sender's clock.
    pub timestamp_ns: u64,
    /// The application's.
    pub message_type: u32,
    /// Process id of the sender, in the sender's pid namespace.
    pub sender_pid: u32,
    /// What kind of program sent it, a `RUNTIME_` value.
    pub sender_runtime: u16,
    /// The application's, bits 0 to 14.
    pub flags: u16,
}

impl Message {
    /// The payload, in the buffer that the message was received into.
    ///
    /// # Panics
    /// If the buffer is shorter than the one that was used.
    #[must_use]
    pub fn payload<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        &buffer[self.offset..self.offset + self.length]
    }
}
