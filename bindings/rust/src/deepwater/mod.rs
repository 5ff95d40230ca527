// SPDX-License-Identifier: MIT
//! Profile `deepwater`: feeds of records with rising timestamps, live in shared memory and persisted in files. One [`Writer`] at
//! a time for each feed; any number of [`Reader`]s, who take no lock and need no writer. The specification is
//! `spec/deepwater.md`; rule ids in brackets are its.
//!
//! ```
//! use shmwire::deepwater::{Options, Reader, ReaderOptions, Writer};
//! use std::time::Duration;
//!
//! # let base = std::env::temp_dir().join(format!("shmw-doc-deepwater-{}", std::process::id()));
//! let mut writer = Writer::open(&base, "coinbase-BTC-USD", &Options::new().persist(true))?;
//! writer.append(1_700_000_000_000_000_000, 1, b"a trade")?;
//!
//! let mut reader = Reader::open(&base, "coinbase-BTC-USD", &ReaderOptions::new())?;
//! let record = reader.wait_next(Duration::from_secs(1))?.done().expect("it has been appended");
//! assert_eq!((record.data(), record.sequence, record.kind), (&b"a trade"[..], 0, 1));
//! writer.close()?; // the chunk is in files now, and the shared memory gone
//! let mut later = Reader::open(&base, "coinbase-BTC-USD", &ReaderOptions::new())?;
//! assert_eq!(later.next()?.done().expect("it is kept").data(), b"a trade");
//! # std::fs::remove_dir_all(&base).expect("the base directory");
//! # Ok::<(), shmwire::Error>(())
//! ```
//!
//! # Chunks
//!
//! Records are appended to chunks. The chunk that is being written and a few before it are in shared memory; a feed that persists
//! copies each chunk to files when it is complete, and one that does not lets it expire. A reader goes from chunk to chunk
//! wherever they are, and holds the one that it reads: what is unlinked meanwhile stays readable. What is gone before it came
//! there is [`Error::Expired`](crate::Error::Expired), once, with the number of records lost.
//!
//! # Life and death
//!
//! A writer holds the lock of its feed until it is closed or dropped; the kernel frees it when its process dies. The next writer,
//! or [`collect`], then recovers what was left: every record that was committed, and nothing else.
//!
//! # Threads, processes, forks
//!
//! Handles are `Send` and serve one thread at a time. A forked child has none of its parent's writers (they answer
//! [`Error::OutOfOrder`](crate::Error::OutOfOrder) there); readers go on in both, each at its own place. Base directories are
//! paths; they are resolved when they are opened, and nothing below them is opened through a symbolic link.

mod feed;
mod info;
#[cfg(feature = "driver")]
mod inspect;
// Generated: holds every number of the profile, used here or not.
#[allow(dead_code)]
mod layout;
mod options;
mod persist;
mod place;
mod reader;
mod record;
mod recover;
mod registry;
mod reuse;
mod seek;
mod segment;
mod validate;
mod writer;

pub use info::{ChunkInfo, Cursor, Feed, LatestChunk, Recovered};
pub use layout::{
    DEFAULT_CHUNK, DEFAULT_FEEDS, DEFAULT_MODE, DEFAULT_ROWS, DEFAULT_WINDOW, FLAG_PERSIST, FLAG_RETIRED, MIN_CHUNK, NAME_MAX,
    NONE, STATE_EXPIRED, STATE_LIVE, STATE_PERSISTED, STATE_SEALED, WAIT_SLICE_NS,
};
pub use options::{Identity, Making, Options, ReaderOptions, Start};
pub use place::{feeds, retire};
pub use reader::Reader;
pub use record::{Part, Range, Record, Records};
pub use recover::collect;
pub use validate::{validate, Finding};
pub use writer::Writer;

fn corrupt(what: &'static str) -> crate::Error {
    crate::Error::Corrupt { what, channel: None }
}

fn impossible(what: &'static str) -> crate::Error {
    crate::Error::BadGeometry { what, channel: None }
}
