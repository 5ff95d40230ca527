// SPDX-License-Identifier: MIT
//! Segments with names of their own that go when the test does, and their raw bytes.
#![allow(dead_code)] // each test file uses its part

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use shmwire::dmxp::{Channel, ChannelOptions, CreateOptions, Segment};
use shmwire::{ouroboros, slick};

pub const HEADER: usize = 98_432;
pub const SLOT: usize = 1088;
pub const CHANNEL_0: usize = 128;

/// A name that is unlinked when dropped.
pub struct Name(pub String);

impl Name {
    pub fn new(word: &str) -> Name {
        Name(format!("/shmw-rust-{}-{word}", std::process::id()))
    }

    pub fn path(&self) -> PathBuf {
        shmwire::path(&self.0).expect("a valid name")
    }

    pub fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).expect("the segment's file")
    }

    pub fn u64_at(&self, at: usize) -> u64 {
        let mut word = [0; 8];
        self.file().read_exact_at(&mut word, at as u64).expect("inside of the file");
        u64::from_le_bytes(word)
    }

    pub fn u32_at(&self, at: usize) -> u32 {
        self.u64_at(at & !7).to_le_bytes()[at & 7..][..4].iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte))
    }

    pub fn poke(&self, at: usize, bytes: &[u8]) {
        self.file().write_all_at(bytes, at as u64).expect("inside of the file");
    }

    fn file(&self) -> fs::File {
        OpenOptions::new().read(true).write(true).open(self.path()).expect("the segment's file")
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = shmwire::unlink(&self.0);
    }
}

/// A segment with channel 0 of so many slots.
pub fn with_channel(word: &str, capacity: u64) -> (Name, Segment, Channel) {
    let name = Name::new(word);
    let size = HEADER as u64 + capacity.max(64) * SLOT as u64 * 2;
    let segment = CreateOptions::new().size(size).create(&name.0).expect("a new name");
    segment.create_channel(0, &ChannelOptions::new().capacity(capacity)).expect("there is room");
    let channel = segment.attach(0).expect("it has just been made");
    (name, segment, channel)
}

/// A generator with a printed seed: xorshift64*.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        println!("seed {seed}");
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }
}

/// A new log of so many chunks, and its writer.
pub fn with_log(word: &str, chunk_count: u32, chunk_target_size: u64) -> (Name, ouroboros::Writer) {
    let name = Name::new(word);
    let options = ouroboros::CreateOptions::new().chunk_count(chunk_count).chunk_target_size(chunk_target_size);
    let writer = options.create(&name.0).expect("a new name");
    (name, writer)
}

pub fn read_log(name: &Name, start: ouroboros::Start) -> ouroboros::Reader {
    ouroboros::OpenOptions::new().start(start).open(&name.0).expect("it is there")
}

/// Everything that a reader has before it: entries and payloads.
pub fn drain(reader: &mut ouroboros::Reader) -> Vec<(ouroboros::Entry, Vec<u8>)> {
    let mut buffer = vec![0; 1 << 16];
    let mut entries = Vec::new();
    while let shmwire::Answer::Done(entry) = reader.next(&mut buffer).expect("sound") {
        entries.push((entry, entry.payload(&buffer).to_vec()));
    }
    entries
}

/// Bytes that the source system of a profile left.
pub fn capture(profile: &str, word: &str) -> Vec<u8> {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    fs::read(fixtures.join(profile).join("captured").join(word).join("seg.bin")).expect("the captured segment")
}

/// A new queue of so many elements, of generation 1.4.
pub fn with_queue(word: &str, size: u32, element_size: u32) -> (Name, slick::Queue) {
    let name = Name::new(word);
    let options = slick::CreateOptions::new().size(size).element_size(element_size);
    let queue = options.create(&name.0).expect("a new name");
    (name, queue)
}

/// A queue without a name.
pub fn local_queue(size: u32, element_size: u32) -> slick::Queue {
    slick::CreateOptions::new().size(size).element_size(element_size).create_local().expect("memory")
}

pub fn reserve(producer: &mut slick::Producer, elements: u32) -> slick::Claim<'_> {
    producer.reserve(elements).expect("it fits").done().expect("indices are left")
}

pub fn indices(items: &[(slick::Item, Vec<u8>)]) -> Vec<u64> {
    items.iter().map(|(item, _)| item.index).collect()
}

/// Write an item where there is nothing that could prevent it; answers its index.
pub fn put(producer: &mut slick::Producer, data: &[u8]) -> u64 {
    producer.write(data).expect("it fits").done().expect("nobody gives it up")
}

/// Everything that a reader has before it: items and payloads.
pub fn drain_queue(reader: &mut slick::Reader) -> Vec<(slick::Item, Vec<u8>)> {
    reader.items().collect::<shmwire::Result<_>>().expect("sound")
}

impl Name {
    /// A segment of these bytes.
    pub fn with_bytes(word: &str, bytes: &[u8]) -> Name {
        let name = Name::new(word);
        fs::write(name.path(), bytes).expect("a new file");
        name
    }
}
