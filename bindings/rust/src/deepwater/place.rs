// SPDX-License-Identifier: MIT
//! The way from a base directory and a name to a feed, and to the names of its chunks (sections 1 and 3 of the specification).

use std::ffi::OsString;
use std::path::Path;

use super::feed::FeedRegistry;
use super::info::Feed;
use super::layout::*;
use super::registry::{Registry, Settings};
use super::{corrupt, Making, Options};
use crate::error::{Error, Result};
use crate::map::{open_base, Directory, SHM_DIRECTORY};
use crate::wait::{Backoff, Deadline};

const FNV_BASIS: u64 = 0xCBF2_9CE4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01B3;

/// Whether a feed, or a component of its directory, may be called that [deepwater.feed.name, deepwater.open.directory].
pub(super) fn is_name(name: &[u8]) -> bool {
    let allowed = |&byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=NAME_MAX as usize).contains(&name.len()) && name != b"." && name != b".." && name.iter().all(allowed)
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(FNV_BASIS, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME))
}

/// A feed: its entry as it was checked, its directory, its registry.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) directory: Directory,
    pub(super) feed: FeedRegistry,
    pub(super) registry: Registry,
    settings: Settings,
    /// Of the real path of the base.
    hash: u64,
}

impl std::ops::Deref for Place {
    type Target = Settings;

    #[inline]
    fn deref(&self) -> &Settings {
        &self.settings
    }
}

impl Place {
    /// A feed that is there [deepwater.base.registry].
    pub(super) fn find(base: &Path, feed: &str, writable: bool) -> Result<Place> {
        check_name(feed)?;
        let (real, base) = open_base(base, None)?;
        let registry = Registry::open(&base, writable)?;
        let settings = registry.look_up(feed)?;
        Place::of(&base, fnv1a(&real), registry, settings, writable)
    }

    /// The same, waiting for whatever is absent or not published yet: the base, its registry, the entry, the feed's registry.
    pub(super) fn await_feed(base: &Path, feed: &str, deadline: Deadline) -> Result<Place> {
        let mut backoff = Backoff::new();
        loop {
            let last = deadline.expired();
            match Place::find(base, feed, false) {
                Err(Error::NotFound | Error::NotReady | Error::Truncated { .. }) if !last => backoff.pause(deadline),
                found => return found,
            }
        }
    }

    /// Find a feed, or make it, its registry, its base, as the options say.
    pub(super) fn find_or_make(base: &Path, feed: &str, options: &Options) -> Result<Place> {
        if options.making == Making::OpenOnly {
            return Place::find(base, feed, true);
        }
        check_name(feed)?;
        let (real, base) = open_base(base, Some(options.mode))?;
        let (registry, lock) = Registry::open_or_make(&base, options)?;
        let settings = match registry.look_up(feed) {
            Ok(_) if options.making == Making::CreateOnly => return Err(Error::Exists), // [deepwater.feed.existing]
            Err(Error::NotFound) => registry.add(&base, feed, options)?,
            found => found?,
        };
        drop(lock);
        Place::of(&base, fnv1a(&real), registry, settings, true)
    }

    fn of(base: &Directory, hash: u64, registry: Registry, settings: Settings, writable: bool) -> Result<Place> {
        let directory = descend(base, &settings.directory_name)?;
        let feed = FeedRegistry::open(&directory, writable)?;
        Ok(Place { directory, feed, registry, settings, hash })
    }

    fn memory_prefix(&self) -> String {
        format!("dw.{:016x}.{}.", self.hash, self.settings.name)
    }

    /// The name of a chunk's shared memory. `suffix`: "data" or "idx".
    pub(super) fn memory_name(&self, id: u64, suffix: &str) -> String {
        format!("/{}{id}.{suffix}", self.memory_prefix())
    }

    /// The chunks that have a name in shared memory, or half of one; each may come twice.
    pub(super) fn chunks_in_memory(&self) -> Result<Vec<u64>> {
        let prefix = self.memory_prefix();
        let chunk_of = |name: OsString| {
            let (id, suffix) = name.to_str()?.strip_prefix(prefix.as_str())?.split_once('.')?;
            id.parse().ok().filter(|_| suffix == "data" || suffix == "idx")
        };
        let names = Directory::open(Path::new(SHM_DIRECTORY))?.names()?;
        Ok(names.into_iter().filter_map(chunk_of).collect())
    }

    /// The flags of the entry, as they are now.
    pub(super) fn flags(&self) -> u32 {
        self.registry.flags(self.settings.index).load_acquire()
    }

    pub(super) fn is_retired(&self) -> bool {
        self.flags() & FLAG_RETIRED != 0
    }

    /// Rows below it, of so many, have expired: nobody has to look at them. In a feed that does not persist the writer keeps
    /// live_window chunks, and in a rotation, or if it died there, one more [deepwater.expire.window]. In one that persists only a
    /// power failure takes any, here and there.
    pub(super) fn expired_below(&self, rows: u64) -> u64 {
        if self.settings.persist {
            0
        } else {
            rows.saturating_sub(u64::from(self.settings.live_window) + 1)
        }
    }

    /// For people and programs.
    pub(super) fn describe(&self) -> Feed {
        let (settings, header) = (&self.settings, &self.feed);
        Feed {
            name: settings.name.clone(),
            directory: settings.directory_name.clone(),
            feed_id: settings.index as u32,
            flags: self.flags(),
            chunk_size: settings.chunk_size,
            live_window: settings.live_window,
            record_size: settings.record_size,
            created_ns: settings.created_ns,
            rotate_ns: settings.rotate_ns,
            chunks: header.rows().unwrap_or(0), // more than there is room for is none that can be reached
            latest: Some(header.latest()).filter(|&latest| latest != NONE),
            last_sequence: header.next_sequence().checked_sub(1),
            last_timestamp_ns: header.u64(FEED_REGISTRY_LAST_TIMESTAMP_NS_OFFSET).load_relaxed(),
            heartbeat_ns: header.u64(FEED_REGISTRY_HEARTBEAT_NS_OFFSET).load_relaxed(),
            writer_pid: header.u32(FEED_REGISTRY_WRITER_PID_OFFSET).load_relaxed(),
            waiters: header.u32(FEED_REGISTRY_WAITERS_OFFSET).load_relaxed(),
            writer_lives: header.writer_lives(),
        }
    }
}

fn check_name(feed: &str) -> Result<()> {
    if is_name(feed.as_bytes()) {
        Ok(())
    } else {
        Err(Error::InvalidName) // [deepwater.feed.name]
    }
}

/// Go down to a feed's directory, component by component [deepwater.open.directory, deepwater.open.symlink].
fn descend(base: &Directory, relative: &str) -> Result<Directory> {
    if !relative.split('/').all(|component| is_name(component.as_bytes())) {
        return Err(corrupt("the entry of a feed has an impossible directory"));
    }
    let mut found: Option<Directory> = None;
    for component in relative.split('/') {
        found = Some(found.as_ref().unwrap_or(base).below(component, None)?);
    }
    found.ok_or_else(|| corrupt("the entry of a feed has no directory")) // split has one part at least
}

/// All feeds of a base, in the order in which they were made [deepwater.base.registry].
///
/// # Errors
/// [`Error::NotFound`] when there is no base or no registry; the errors of [`Reader::open`](super::Reader::open).
pub fn feeds(base: impl AsRef<Path>) -> Result<Vec<Feed>> {
    let (real, base) = open_base(base.as_ref(), None)?;
    let count = Registry::open(&base, false)?.count()?;
    let describe = |index| {
        let registry = Registry::open(&base, false)?;
        let settings = registry.settings(index)?;
        Place::of(&base, fnv1a(&real), registry, settings, false).map(|place| place.describe())
    };
    (0..count).map(describe).collect()
}

/// Say that nothing more will be written to a feed: readers come to its end, and no writer can be opened [deepwater.feed.retire].
///
/// # Errors
/// [`Error::Busy`] while a writer lives; [`Error::NotFound`], [`Error::Permission`] and the errors of
/// [`Reader::open`](super::Reader::open).
pub fn retire(base: impl AsRef<Path>, feed: &str) -> Result<()> {
    let mut place = Place::find(base.as_ref(), feed, true)?;
    place.feed.lock()?;
    let lock = place.registry.lock()?;
    place.registry.retire(place.settings.index);
    drop(lock);
    place.feed.wake_all();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let long = "n".repeat(63);
        for good in ["a", "coinbase-BTC-USD", "...", "_", long.as_str()] {
            assert!(is_name(good.as_bytes()), "{good}");
        }
        let longer = "n".repeat(64);
        for bad in ["", ".", "..", "a/b", "a b", "\u{e4}", "a\0", longer.as_str()] {
            assert!(!is_name(bad.as_bytes()), "{bad:?}");
        }
    }

    /// Published test vectors of FNV-1a with 64 bits.
    #[test]
    fn hashes_are_fnv1a() {
        assert_eq!((fnv1a(b""), fnv1a(b"a"), fnv1a(b"foobar")), (FNV_BASIS, 0xAF63_DC4C_8601_EC8C, 0x8594_4171_F739_67E8));
    }
}
