// SPDX-License-Identifier: MIT
//! The global registry, which says what feeds there are (sections 1.1, 3 and 4 of the specification).

use std::fs::File;

use super::feed::{self, LOCK_BYTE};
use super::layout::*;
use super::options::is_chunk_size;
use super::place::is_name;
use super::{corrupt, impossible, Options};
use crate::atomic::Word32;
use crate::bytes::Whole;
use crate::error::{Error, Result};
use crate::map::{give_byte, take_byte_waiting, Directory, Guarded, Map, Opening};
use crate::wait::wall_clock_ns;

const REGISTRY_FILE: &str = "registry.bin";
const NAME_ROOM: usize = (FEED_DIRECTORY_OFFSET - FEED_NAME_OFFSET) as usize;
const DIRECTORY_ROOM: usize = (FEED_FEED_ID_OFFSET - FEED_DIRECTORY_OFFSET) as usize;

/// The global registry, mapped. Its capacity was loaded and checked once.
#[derive(Debug)]
pub(super) struct Registry {
    file: Whole,
    capacity: u64,
}

fn size_of(capacity: u64) -> u64 {
    REGISTRY_SIZE + FEED_STRUCT_SIZE * capacity
}

/// Where an entry is; `index` is below the capacity.
fn entry_at(index: u64) -> u64 {
    size_of(index)
}

/// A feed as its entry says, checked: from here on this counts.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) index: u64,
    pub(super) name: String,
    pub(super) directory_name: String,
    pub(super) chunk_size: u64,
    pub(super) live_window: u32,
    pub(super) record_size: u32,
    pub(super) created_ns: u64,
    pub(super) rotate_ns: u64,
    pub(super) persist: bool,
}

impl Registry {
    /// Map and check the registry of a base.
    pub(super) fn open(base: &Directory, writable: bool) -> Result<Registry> {
        Registry::of_file(base.file(REGISTRY_FILE, if writable { Opening::Write } else { Opening::Read })?, writable)
    }

    /// Open the registry with its lock held, and make it if it is not there or its maker died.
    pub(super) fn open_or_make(base: &Directory, options: &Options) -> Result<(Registry, Lock)> {
        let open = || base.file(REGISTRY_FILE, Opening::WriteOrMake(options.mode));
        let file = open()?;
        let lock = Lock::take(&file)?;
        let size = file.metadata().map_err(Error::System)?.len();
        let found = if size < REGISTRY_SIZE { Err(Error::NotReady) } else { Registry::of_file(file, true) };
        match found {
            Err(Error::NotReady) => {
                make(open()?, options.feeds)?;
                Ok((Registry::of_file(open()?, true)?, lock))
            }
            found => Ok((found?, lock)),
        }
    }

    fn of_file(file: File, writable: bool) -> Result<Registry> {
        let size = file.metadata().map_err(Error::System)?.len();
        if size < REGISTRY_SIZE {
            return Err(Error::Truncated { size, needed: REGISTRY_SIZE }); // [deepwater.open.size]
        }
        let file = Whole::new(Map::of_file(file, size, writable)?);
        let capacity = check_header(&file)?;
        let registry = Registry { file, capacity };
        registry.count()?;
        Ok(registry)
    }

    #[cfg(feature = "driver")]
    pub(super) fn file(&self) -> &Whole {
        &self.file
    }

    /// Feeds [deepwater.open.count].
    pub(super) fn count(&self) -> Result<u64> {
        let count = self.file.u64(REGISTRY_COUNT_OFFSET).load_acquire(); // A1: pairs with R1; the entries below it
        if count <= self.capacity {
            Ok(count)
        } else {
            Err(corrupt("count is above the capacity of the registry"))
        }
    }

    fn flush(&self) -> Result<()> {
        self.file.map().file().sync_data().map_err(Error::System)
    }

    fn changed(&self) {
        self.file.u64(REGISTRY_GENERATION_OFFSET).add_one_release();
    }

    pub(super) fn flags(&self, index: u64) -> Word32<'_> {
        self.file.u32(entry_at(index) + FEED_FLAGS_OFFSET)
    }

    /// The entry at an index below count [deepwater.open.entry].
    pub(super) fn settings(&self, index: u64) -> Result<Settings> {
        let at = entry_at(index);
        let long = |offset| self.file.u64(at + offset).load_relaxed();
        let short = |offset| self.file.u32(at + offset).load_relaxed();
        let settings = Settings {
            index,
            name: self.text::<NAME_ROOM>(at + FEED_NAME_OFFSET)?,
            directory_name: self.text::<DIRECTORY_ROOM>(at + FEED_DIRECTORY_OFFSET)?,
            chunk_size: long(FEED_CHUNK_SIZE_OFFSET),
            live_window: short(FEED_LIVE_WINDOW_OFFSET),
            record_size: short(FEED_RECORD_SIZE_OFFSET),
            created_ns: long(FEED_CREATED_NS_OFFSET),
            rotate_ns: long(FEED_ROTATE_NS_OFFSET),
            persist: self.flags(index).load_acquire() & FLAG_PERSIST != 0,
        };
        if !is_name(settings.name.as_bytes()) {
            return Err(corrupt("the entry of a feed has an impossible name")); // names of shared memory are made from it
        }
        if u64::from(short(FEED_FEED_ID_OFFSET)) != index {
            return Err(corrupt("the entry of a feed has another feed_id than its index"));
        }
        if !is_chunk_size(settings.chunk_size) || settings.live_window == 0 {
            return Err(corrupt("the entry of a feed has an impossible chunk_size or live_window"));
        }
        if u64::from(settings.record_size) > settings.chunk_size {
            return Err(corrupt("the entry of a feed has a record_size above its chunk_size"));
        }
        Ok(settings)
    }

    /// A text that a zero ends. What is no UTF-8 is of somebody who keeps to no rule, and is shown as far as it goes.
    fn text<const ROOM: usize>(&self, at: u64) -> Result<String> {
        let mut bytes = [0; ROOM];
        self.file.copy_settled(at, &mut bytes);
        let end = bytes.iter().position(|&byte| byte == 0);
        let end = end.ok_or_else(|| corrupt("the entry of a feed has a name or directory without an end"))?;
        Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }

    /// The entry of that name. `NotFound` [deepwater.base.registry].
    pub(super) fn look_up(&self, feed: &str) -> Result<Settings> {
        let mut wanted = [0; NAME_ROOM];
        wanted[..feed.len()].copy_from_slice(feed.as_bytes());
        let named = |&index: &u64| {
            let name = self.file.settled(entry_at(index) + FEED_NAME_OFFSET, feed.len() as u64 + 1);
            name == &wanted[..=feed.len()]
        };
        (0..self.count()?).find(named).map_or(Err(Error::NotFound), |index| self.settings(index))
    }

    /// Add the entry of a feed whose directory and registry are made before it [deepwater.feed.entry]. The caller holds the lock.
    pub(super) fn add(&self, base: &Directory, feed: &str, options: &Options) -> Result<Settings> {
        let index = self.count()?;
        if index >= self.capacity {
            return Err(Error::NoRoom("the registry has no entry left")); // [deepwater.feed.full]
        }
        let directory = base.below(feed, Some(options.mode))?;
        feed::make(&directory, index as u32, options)?;
        let at = entry_at(index);
        self.file.map().reserve(at, FEED_STRUCT_SIZE)?; // a full disk answers here, and not by SIGBUS
        (0..FEED_STRUCT_SIZE).step_by(8).for_each(|offset| self.file.u64(at + offset).store_relaxed(0)); // nobody reads it yet
        for offset in [FEED_NAME_OFFSET, FEED_DIRECTORY_OFFSET] {
            self.file.copy_in_unpublished(at + offset, feed.as_bytes());
        }
        let created_ns = if options.identity.clock_ns != 0 { options.identity.clock_ns } else { wall_clock_ns() };
        self.file.u32(at + FEED_FEED_ID_OFFSET).store_relaxed(index as u32);
        self.file.u64(at + FEED_CHUNK_SIZE_OFFSET).store_relaxed(options.chunk_size);
        self.file.u32(at + FEED_LIVE_WINDOW_OFFSET).store_relaxed(options.live_window);
        self.file.u32(at + FEED_RECORD_SIZE_OFFSET).store_relaxed(options.record_size);
        self.file.u64(at + FEED_CREATED_NS_OFFSET).store_relaxed(created_ns);
        self.file.u64(at + FEED_ROTATE_NS_OFFSET).store_relaxed(options.rotate_ns);
        self.flags(index).store_relaxed(if options.persist { FLAG_PERSIST } else { 0 }); // published by R1, as all of this
        if options.persist {
            base.sync()?; // what the entry names, and the entry itself, are on the disk before the count is
            self.flush()?;
        }
        self.file.u64(REGISTRY_COUNT_OFFSET).store_release(index + 1); // R1: pairs with A1; the entry
        self.changed();
        if options.persist {
            self.flush()?;
        }
        self.settings(index)
    }

    /// Say that nothing more will be written to a feed. The caller holds the locks of the feed and of the registry
    /// [deepwater.feed.retire].
    pub(super) fn retire(&self, index: u64) {
        let flags = self.flags(index);
        flags.store_release(flags.load_acquire() | FLAG_RETIRED);
        self.changed();
    }

    /// Take the lock of the registry, waiting for it.
    pub(super) fn lock(&self) -> Result<Lock> {
        Lock::take(self.file.map().file())
    }
}

/// The lock of the registry, held until dropped. Its description is our own: forked children do not keep it.
pub(super) struct Lock(Guarded);

impl Lock {
    fn take(file: &File) -> Result<Lock> {
        let own = Guarded::reopen(file, false)?;
        take_byte_waiting(own.file()?, LOCK_BYTE)?;
        Ok(Lock(own))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Not by closing alone: a program started meanwhile has the description until it is executed.
        if let Ok(file) = self.0.file() {
            give_byte(file, LOCK_BYTE);
        }
    }
}

/// Make the registry in a file that nobody has published, under its lock.
fn make(file: File, capacity: u32) -> Result<()> {
    file.set_len(0).map_err(Error::System)?;
    let file = Whole::new(Map::of_new_file(file, size_of(capacity.into()), REGISTRY_SIZE)?);
    file.u32(REGISTRY_VERSION_OFFSET).store_relaxed(VERSION);
    file.u32(REGISTRY_ENTRY_SIZE_OFFSET).store_relaxed(FEED_SIZE);
    file.u32(REGISTRY_CAPACITY_OFFSET).store_relaxed(capacity);
    file.u64(REGISTRY_MAGIC_OFFSET).store_release(REGISTRY_MAGIC); // R0: pairs with A0; the whole header before it
    Ok(())
}

/// The capacity of a header that was checked.
fn check_header(file: &Whole) -> Result<u64> {
    let found = file.u64(REGISTRY_MAGIC_OFFSET).load_acquire(); // A0: pairs with R0; the header after it
    match found {
        REGISTRY_MAGIC => {}
        0 => return Err(Error::NotReady),               // [deepwater.open.not-ready]
        found => return Err(Error::BadMagic { found }), // [deepwater.open.magic]
    }
    let found = file.u32(REGISTRY_VERSION_OFFSET).load_relaxed();
    if found != VERSION {
        return Err(Error::BadVersion { found }); // [deepwater.open.version]
    }
    let capacity = file.u32(REGISTRY_CAPACITY_OFFSET).load_relaxed();
    if file.u32(REGISTRY_ENTRY_SIZE_OFFSET).load_relaxed() != FEED_SIZE {
        return Err(impossible("entry_size is not 256")); // [deepwater.open.geometry]
    }
    if capacity == 0 || capacity > MAX_FEEDS {
        return Err(impossible("the capacity of the registry is not from 1 to 2^20"));
    }
    let needed = size_of(capacity.into());
    if needed > file.len() {
        return Err(Error::Truncated { size: file.len(), needed }); // [deepwater.open.size]
    }
    Ok(capacity.into())
}
