// SPDX-License-Identifier: MIT
//! Shared-memory message segments, as the shmwire specification defines them byte for byte.
//!
//! Each segment format is a *profile* with a module of its own. This version has [`dmxp`], up to 256 bounded queues with any
//! number of producers and consumers, [`ouroboros`], a log with one writer and any number of readers, [`slick`], a lossy ring
//! with any number of producers and readers, [`shmcomm`], named channels for publish/subscribe, pipelines and request/reply, and
//! [`deepwater`], feeds of records that are live in shared memory and persisted in files, in any number of processes. Everything
//! here is written from the specification, in Rust; no C is linked but the C library.
//!
//! # Results and errors
//!
//! What every message system answers now and then (nothing to read, no room, time is up, closed) is an [`Answer`] inside
//! `Ok`. What is broken or refused is an [`Error`]. Both have a [`Code`], whose names all languages share.
//!
//! # Names
//!
//! A *locator* is a POSIX shared-memory name (`"/queue"` or `"queue"`: no slash but a leading one, 1 to 254 further bytes,
//! not `.` or `..`), or, when it holds any other slash, the path of a regular file. Anything else is
//! [`Error::InvalidName`].
//!
//! # Threads, processes, forks
//!
//! Handles are `Send` and `Sync`; those of dmxp and slick's queues are cheap to clone. Dropping the last one unmaps the segment;
//! nothing here ever removes one but [`unlink`], and the last keeper of a channel of [`shmcomm`]. After `fork()` the child may go on with
//! its parent's handles, except that the writer of a log stays the parent, and so do the owner of a claim and the ends of channels that
//! others know.
//!
//! # Hostile segments
//!
//! Every shared field is checked before it is used: no content of a segment can make this library read or write outside of
//! the mapping, panic or loop for ever. One thing no library can check: a segment that someone *shortens* under a mapping
//! raises `SIGBUS` on access. Programs that look into foreign segments install a handler or use
//! [`dmxp::Segment::read_guarded`].
//!
//! # Platforms
//!
//! Linux with 64-bit atomics. The segments are little-endian everywhere; a big-endian host swaps.
#![deny(unsafe_code, unsafe_op_in_unsafe_fn)]
#![warn(missing_docs, missing_debug_implementations, rust_2018_idioms)]

#[cfg(not(all(target_os = "linux", target_has_atomic = "64", target_pointer_width = "64")))]
compile_error!("shmwire needs Linux, 64-bit pointers and 64-bit atomics");

#[allow(unsafe_code)]
mod atomic;
#[allow(unsafe_code)]
mod bytes;
#[cfg(any(feature = "bench", feature = "driver"))]
mod counts;
mod error;
mod error_table;
#[allow(unsafe_code)]
mod map;
mod options;
mod process;
#[allow(unsafe_code)]
mod wait;

pub mod deepwater;
pub mod dmxp;
pub mod ouroboros;
pub mod shmcomm;
pub mod slick;

/// The examples of README.md, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

#[cfg(any(feature = "bench", feature = "driver"))]
#[doc(hidden)]
pub use counts::SharedCounts;
pub use error::{Answer, Error, Result};
pub use error_table::Code;
#[cfg(feature = "driver")]
#[doc(hidden)]
pub use map::{park_on_truncation, truncation_met};
pub use map::{path, unlink};
#[cfg(feature = "bench")]
#[doc(hidden)]
pub use wait::pin_to_cpu;
pub use wait::Wait;

/// Version of this library, such as `"0.1.0"`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
