// SPDX-License-Identifier: MIT
//! Profile `shmcomm`: named channels in shared memory. [`Publisher`]s send to all [`Subscriber`]s, [`Pusher`]s hand work to
//! [`Puller`]s, [`Requester`]s call services of [`Replier`]s; any number of each, in any process and language. The specification is
//! `spec/shmcomm.md`; rule ids in brackets are its.
//!
//! ```
//! use shmwire::shmcomm::{Options, Publisher, Subscriber};
//! use std::time::Duration;
//!
//! # let name = format!("doc-{}", std::process::id());
//! let mut publisher = Publisher::open(&name, &Options::new())?;
//! let mut subscriber = Subscriber::open(&name, &Options::new())?;
//! publisher.send(b"move")?;
//!
//! let mut buffer = [0; 64];
//! let message = subscriber.receive(&mut buffer, Duration::from_secs(1))?.done().expect("it has been sent");
//! assert_eq!((message.payload(&buffer), message.sequence, message.lost), (&b"move"[..], 0, 0));
//! # Ok::<(), shmwire::Error>(())
//! ```
//!
//! ```
//! use shmwire::shmcomm::{Options, Replier, Requester};
//! use std::time::Duration;
//!
//! # let name = format!("doc-service-{}", std::process::id());
//! let mut replier = Replier::open(&name, &Options::new())?;
//! let mut requester = Requester::open(&name, &Options::new())?;
//! requester.send(b"2 + 2", Duration::ZERO)?.done().expect("there is room");
//!
//! let mut buffer = [0; 64];
//! let request = replier.receive(&mut buffer, Duration::from_secs(1))?.done().expect("it has been sent");
//! replier.reply(&request, b"4", Duration::ZERO)?.done().expect("the requester lives");
//! let reply = requester.receive(&mut buffer, Duration::from_secs(1))?.done().expect("it has been sent");
//! assert_eq!(reply.payload(&buffer), b"4");
//! # Ok::<(), shmwire::Error>(())
//! ```
//!
//! # Life and death
//!
//! Publishers, pushers and repliers keep their channel: it is removed when the last of them is dropped, but for a pipeline that holds
//! messages, which goes when it has been drained. When a process is killed, the kernel drops its locks: writers that wait go on after
//! [`LOCK_SLICE_NS`], and the next keeper that comes takes the channel over, with what it holds. Process ids play no part.
//!
//! # Threads, processes, forks
//!
//! An end serves one thread at a time: open one for each. A forked child has none of its parent's ends that others know (all but
//! subscribers and observers): their descriptors are closed there before `fork` returns, and calls answer
//! [`Error::OutOfOrder`](crate::Error::OutOfOrder) [shmcomm.endpoint.fork]. No call allocates for a message, but the first one that reads
//! ahead.

mod ahead;
mod claim;
mod endpoint;
mod info;
// Generated: holds every number of the profile, used here or not.
#[allow(dead_code)]
mod layout;
mod lock;
mod message;
mod names;
mod options;
mod patterns;
mod pull;
mod reader;
mod recover;
mod reply;
mod segment;
mod sleep;
mod validate;
mod view;
mod writer;

pub use claim::Claim;
pub use info::{HeaderInfo, HeldFrame, Info};
pub use layout::{
    ARRAY_VERSION, CONTENT_JSON, CONTENT_MSGPACK, CONTENT_NDARRAY, CONTENT_PICKLE, CONTENT_RAW, DEFAULT_CAPACITY, DEFAULT_MODE,
    DEFAULT_READY_TIMEOUT_NS, DEFAULT_REPLY_CAPACITY, FRAME_OVERHEAD, LIVENESS_AGE_NS, LOCK_PATIENCE_NS, LOCK_SLICE_NS,
    MAX_CAPACITY, MAX_DIMENSIONS, MAX_ENDPOINT, MIN_CAPACITY, NAME_MAX, ORDER_C, ORDER_FORTRAN, PATTERN_PIPELINE, PATTERN_PUBSUB,
    PATTERN_REPLY, PATTERN_REQUEST, STATE_CLOSED, STATE_OPEN, WAIT_SLICE_NS,
};
pub use message::{Message, Meta};
pub use names::segment_name;
pub use options::{Identity, Making, Options, Start};
pub use patterns::{Observer, Publisher, Puller, Pusher, Subscriber};
pub use recover::{recover, remove, Recovered};
pub use reply::{Replier, Requester};
pub use validate::Finding;
pub use view::View;
