// SPDX-License-Identifier: MIT
//! Errors, and the answers that are none.

use std::io;

use crate::error_table::Code;

/// `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What a call on a sound segment answers.
///
/// Only [`Answer::Done`] carries a value. The others say that the call had no effect, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a message may not have been sent or received"]
#[non_exhaustive]
pub enum Answer<T> {
    /// Done, with what the call is about.
    Done(T),
    /// Nothing to read yet.
    Empty,
    /// No free slot for this write.
    Full,
    /// The time limit passed first.
    Timeout,
    /// The channel has been removed.
    Closed,
    /// The writer has overtaken this reader: what was looked at may have been overwritten meanwhile.
    Lapped,
}

impl<T> Answer<T> {
    /// The value of [`Answer::Done`].
    pub fn done(self) -> Option<T> {
        match self {
            Answer::Done(value) => Some(value),
            _ => None,
        }
    }

    /// The answer with its value, if any, converted.
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Answer<U> {
        match self {
            Answer::Done(value) => Answer::Done(convert(value)),
            Answer::Empty => Answer::Empty,
            Answer::Full => Answer::Full,
            Answer::Timeout => Answer::Timeout,
            Answer::Closed => Answer::Closed,
            Answer::Lapped => Answer::Lapped,
        }
    }

    /// The registry's name for this answer.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Answer::Done(_) => Code::Ok,
            Answer::Empty => Code::Empty,
            Answer::Full => Code::Full,
            Answer::Timeout => Code::Timeout,
            Answer::Closed => Code::Closed,
            Answer::Lapped => Code::Lapped,
        }
    }
}

/// What is broken or refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The segment does not carry the profile's magic number.
    #[error("not a segment of this profile: its magic is {found:#018x}")]
    BadMagic {
        /// What stands there.
        found: u64,
    },
    /// The segment's format version is not supported.
    #[error("format version {found} is not supported")]
    BadVersion {
        /// What stands there.
        found: u32,
    },
    /// The segment has not been published by its creator within the time allowed.
    #[error("the segment has not been published by its creator")]
    NotReady,
    /// The segment is shorter than its format demands.
    #[error("the segment is {size} bytes, at least {needed} are needed")]
    Truncated {
        /// Bytes that are there.
        size: u64,
        /// Bytes that must be there.
        needed: u64,
    },
    /// A size, offset or count in the segment is impossible.
    #[error("impossible geometry{}: {what}", of_channel(.channel))]
    BadGeometry {
        /// Which one, in words.
        what: &'static str,
        /// The channel whose entry it is in, or `None` for the header.
        channel: Option<u32>,
    },
    /// The segment holds a state that no rule can produce.
    #[error("corrupt state{}: {what}", of_channel(.channel))]
    Corrupt {
        /// Which one, in words.
        what: &'static str,
        /// The channel that it is in.
        channel: Option<u32>,
    },
    /// The payload is larger than a slot, or the band larger than the room left, can hold.
    #[error("{length} bytes do not fit: the limit is {limit}")]
    TooLarge {
        /// Bytes asked for.
        length: u64,
        /// Bytes that fit.
        limit: u64,
    },
    /// The receive buffer is smaller than the payload, which stays where it is.
    #[error("the buffer is too small: the payload takes {needed} bytes")]
    TooSmall {
        /// Bytes of the payload.
        needed: u64,
    },
    /// No such segment or channel.
    #[error("no such segment or channel")]
    NotFound,
    /// The segment or channel exists already.
    #[error("the segment or channel exists already")]
    Exists,
    /// Another process uses what this call needs for itself.
    #[error("another process uses the segment, or it cannot be told whether one does")]
    Busy,
    /// The records that come next are not kept any more. The reader goes on behind them.
    #[error("{lost} records are not kept any more")]
    Expired {
        /// How many of them this reader has missed.
        lost: u64,
    },
    /// There is no room left for good: not a queue that somebody may empty.
    #[error("no room left: {0}")]
    NoRoom(&'static str),
    /// What was to be written to is closed for good.
    #[error("it has been closed, and nothing more can be written")]
    Closed,
    /// The claim is over: it was committed or abandoned, or recovery ended it.
    #[error("the call does not follow from the calls before it")]
    OutOfOrder,
    /// The locator is neither a shared-memory name nor the path of a regular file.
    #[error("not a valid segment name")]
    InvalidName,
    /// An argument is outside its range.
    #[error("invalid argument: {0}")]
    InvalidArgument(&'static str),
    /// Access is not permitted: by the file's mode, or because the segment was opened read-only.
    #[error("access is not permitted")]
    Permission,
    /// This platform or mode does not support the call.
    #[error("not supported: {0}")]
    Unsupported(&'static str),
    /// The operating system refused a call.
    #[error("the operating system refused: {0}")]
    System(#[source] io::Error),
}

fn of_channel(channel: &Option<u32>) -> String {
    channel.map_or_else(String::new, |id| format!(" of channel {id}"))
}

impl Error {
    /// The registry's name for this error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Error::BadMagic { .. } => Code::BadMagic,
            Error::BadVersion { .. } => Code::BadVersion,
            Error::NotReady => Code::NotReady,
            Error::Truncated { .. } => Code::Truncated,
            Error::BadGeometry { .. } => Code::BadGeometry,
            Error::Corrupt { .. } => Code::Corrupt,
            Error::TooLarge { .. } => Code::TooLarge,
            Error::TooSmall { .. } => Code::TooSmall,
            Error::NotFound => Code::NotFound,
            Error::Exists => Code::Exists,
            Error::Busy => Code::Busy,
            Error::Expired { .. } => Code::Expired,
            Error::NoRoom(_) => Code::Full,
            Error::Closed => Code::Closed,
            Error::OutOfOrder => Code::OutOfOrder,
            Error::InvalidName => Code::InvalidName,
            Error::InvalidArgument(_) => Code::InvalidArgument,
            Error::Permission => Code::Permission,
            Error::Unsupported(_) => Code::Unsupported,
            Error::System(_) => Code::System,
        }
    }
}

impl From<io::Error> for Error {
    /// The registry's error for a failed call on a segment's file.
    fn from(cause: io::Error) -> Error {
        match cause.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => Error::NotFound,
            Some(libc::EEXIST) => Error::Exists,
            Some(libc::EACCES | libc::EPERM | libc::EROFS) => Error::Permission,
            Some(libc::EISDIR | libc::ENXIO | libc::ENAMETOOLONG) => Error::InvalidName,
            _ => Error::System(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_shared_names() {
        assert_eq!(Error::BadMagic { found: 1 }.code().name(), "BAD_MAGIC");
        assert_eq!(Answer::<()>::Timeout.code().name(), "TIMEOUT");
        assert_eq!(Error::from(io::Error::from_raw_os_error(libc::EACCES)).code(), Code::Permission);
        assert_eq!(Error::NoRoom("rows").code().name(), "FULL");
        assert_eq!(Error::from(io::Error::from_raw_os_error(libc::ENOSPC)).code(), Code::System);
    }

    #[test]
    fn messages_name_the_channel() {
        let error = Error::BadGeometry { what: "capacity is not a power of two", channel: Some(7) };
        assert_eq!(error.to_string(), "impossible geometry of channel 7: capacity is not a power of two");
    }
}
