// SPDX-License-Identifier: MIT
//! Base directories that go, with the shared memory of their feeds, when the test does.

use std::fs::{self, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use shmwire::deepwater::{Options, Reader, ReaderOptions, Start, Writer};
use shmwire::{Answer, Error};

pub const ROW_0: u64 = 128;
pub const ROW: u64 = 128;

/// A base directory with a name of its own.
pub struct Base(pub PathBuf);

impl Base {
    pub fn new(word: &str) -> Base {
        let path = std::env::temp_dir().join(format!("shmw-rust-dw-{}-{word}", std::process::id()));
        fs::create_dir(&path).expect("a new directory");
        Base(fs::canonicalize(path).expect("its real path"))
    }

    pub fn registry(&self) -> PathBuf {
        self.0.join("registry.bin")
    }

    pub fn feed_registry(&self) -> PathBuf {
        self.0.join("feed/feed_registry.bin")
    }

    fn prefix(&self) -> String {
        let hash = self
            .0
            .as_os_str()
            .as_bytes()
            .iter()
            .fold(0xCBF2_9CE4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
        format!("dw.{hash:016x}.")
    }

    /// The shared memory of a chunk of the feed.
    pub fn memory(&self, id: u64, suffix: &str) -> PathBuf {
        Path::new("/dev/shm").join(format!("{}feed.{id}.{suffix}", self.prefix()))
    }

    pub fn file(&self, id: u64, suffix: &str) -> PathBuf {
        self.0.join(format!("feed/chunk_{id:08}.{suffix}"))
    }

    /// The names of all shared memory of this base, sorted.
    pub fn in_memory(&self) -> Vec<String> {
        let names = fs::read_dir("/dev/shm").expect("shared memory").flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        let mut ours: Vec<String> = names.filter_map(|name| name.strip_prefix(&self.prefix()).map(str::to_owned)).collect();
        ours.sort();
        ours
    }

    pub fn writer(&self, options: &Options) -> Writer {
        Writer::open(&self.0, "feed", options).expect("no other writer")
    }

    pub fn reader(&self, start: Start) -> Reader {
        Reader::open(&self.0, "feed", &ReaderOptions::new().start(start)).expect("it is there")
    }

    pub fn code_of_reading(&self) -> &'static str {
        match Reader::open(&self.0, "feed", &ReaderOptions::new()).map(|mut reader| drain(&mut reader)) {
            Ok(Ok(_)) => "OK",
            Ok(Err(error)) | Err(error) => error.code().name(),
        }
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        for name in self.in_memory() {
            let _ = fs::remove_file(Path::new("/dev/shm").join(self.prefix() + &name));
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Small chunks of records of any size.
pub fn small() -> Options {
    Options::new().chunk_size(4096).rows(16).feeds(4)
}

/// Everything that a reader has before it, each record with its sequence and timestamp, until it finds nothing.
pub fn drain(reader: &mut Reader) -> Result<Vec<(u64, u64, Vec<u8>)>, Error> {
    let mut records = Vec::new();
    while let Answer::Done(record) = reader.next()? {
        records.push((record.sequence, record.timestamp_ns, record.data().to_vec()));
    }
    Ok(records)
}

pub fn sequences(reader: &mut Reader) -> Vec<u64> {
    drain(reader).expect("sound").into_iter().map(|(sequence, ..)| sequence).collect()
}

pub fn poke(path: &Path, at: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).expect("the file");
    file.write_all_at(bytes, at).expect("written");
}

pub fn u64_at(path: &Path, at: u64) -> u64 {
    let mut word = [0; 8];
    fs::File::open(path).expect("the file").read_exact_at(&mut word, at).expect("inside of the file");
    u64::from_le_bytes(word)
}

pub fn u32_at(path: &Path, at: u64) -> u32 {
    let mut word = [0; 4];
    fs::File::open(path).expect("the file").read_exact_at(&mut word, at).expect("inside of the file");
    u32::from_le_bytes(word)
}

/// `count` records of ten bytes, with timestamps 10, 20, 30 …, by sequence.
pub fn fill(writer: &mut Writer, count: u64) {
    let first = writer.feed().last_sequence.map_or(0, |last| last + 1);
    for sequence in first..first + count {
        let data = format!("record {sequence:3}");
        assert_eq!(writer.append(10 * (sequence + 1), 7, data.as_bytes()).expect("appended"), sequence);
    }
}
