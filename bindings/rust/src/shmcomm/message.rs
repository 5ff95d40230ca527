// SPDX-License-Identifier: MIT
//! Messages: what their senders say, what their receivers learn.

use std::time::Instant;

/// What travels beside a payload, as its sender gives it. Unset fields are filled in on sending.
///
/// ```
/// use shmwire::shmcomm::{Meta, CONTENT_JSON};
/// let meta = Meta::new().content_type(CONTENT_JSON).flags(1);
/// assert_ne!(meta, Meta::new());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    pub(super) timestamp_ns: Option<u64>,
    pub(super) content_type: Option<u16>,
    pub(super) flags: u16,
}

impl Meta {
    /// Everything unset.
    #[must_use]
    pub const fn new() -> Meta {
        Meta { timestamp_ns: None, content_type: None, flags: 0 }
    }

    /// Time of sending in nanoseconds since the Unix epoch; unset, the time of the call. Setting it saves a look at the clock.
    #[must_use]
    pub const fn timestamp_ns(self, time: u64) -> Meta {
        Meta { timestamp_ns: Some(time), ..self }
    }

    /// What the payload is: a `CONTENT_` value or the application's; unset, the channel's serializer [shmcomm.send.content].
    #[must_use]
    pub const fn content_type(self, content_type: u16) -> Meta {
        Meta { content_type: Some(content_type), ..self }
    }

    /// The application's; unset, 0.
    #[must_use]
    pub const fn flags(self, flags: u16) -> Meta {
        Meta { flags, ..self }
    }
}

/// A message that was received. Its payload is in the buffer that the call was given, or in the view that it belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Messages published in the channel before.
    pub sequence: u64,
    /// Time of sending, nanoseconds since the Unix epoch, by the sender's clock.
    pub timestamp_ns: u64,
    /// Pairs a request and its reply; 0 in other patterns.
    pub correlation_id: u64,
    /// Subscribers: sequences that were overwritten between the message delivered before and this one [shmcomm.receive.lost].
    pub lost: u64,
    /// Of its frame, in the ring's count of bytes.
    pub position: u64,
    /// Endpoint number of the sender.
    pub sender: u32,
    /// What the payload is: a `CONTENT_` value or the application's.
    pub content_type: u16,
    /// The application's.
    pub flags: u16,
    /// Bytes of payload.
    pub length: usize,
    /// Where the payload begins in the buffer: 0 but in batches.
    pub offset: usize,
    /// Repliers: when it was taken.
    pub(super) taken: Option<Instant>,
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
