// SPDX-License-Identifier: MIT
//! What leaves the window becomes the next chunk, unless somebody still reads it [deepwater.rotate.reuse].

#[path = "common/feeds.rs"]
#[allow(dead_code)]
mod feeds;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use feeds::*;
use shmwire::deepwater::{self, Options, Reader, Start, Writer};
use shmwire::{Answer, Code};

const BASE: &str = "SHMWIRE_TEST_BASE";
const CHUNK: u64 = 1 << 20;
const WINDOW: u64 = 2;
/// Bytes of a record: three are skipped behind it.
const PIECE: usize = 1021;
const PLACE: usize = 1024;
/// Records of a chunk, of 1,024 that go into it.
const EACH: u64 = 1000;
/// Bytes of the header of a chunk's data.
const HEADER: usize = 64;

fn large(persist: bool) -> Options {
    Options::new().persist(persist).chunk_size(CHUNK).live_window(WINDOW as u32).rows(64)
}

fn piece(number: u64) -> Vec<u8> {
    let mut record = vec![(1 + number % 255) as u8; PIECE];
    record[..8].copy_from_slice(&number.to_le_bytes());
    record
}

/// One chunk of `count` records, numbered from `next` on, and the beginning of the one behind it.
fn write_chunk(writer: &mut Writer, next: &mut u64, count: u64) {
    for number in *next..*next + count {
        assert_eq!(writer.append(number, 0, &piece(number)).expect("appended"), number);
    }
    *next += count;
    writer.rotate().expect("a new chunk");
}

fn expect_pieces(reader: &mut Reader, first: u64, end: u64) {
    for number in first..end {
        match reader.next().expect("sound") {
            Answer::Done(record) => assert!((record.sequence, record.data()) == (number, &piece(number)[..]), "{number}"),
            other => panic!("{other:?} instead of {number}"),
        }
    }
}

/// Which file the chunk's bytes are.
fn inode(base: &Base, id: u64) -> u64 {
    fs::metadata(base.memory(id, "data")).expect("it is in memory").ino()
}

fn skipped_are_zeros(base: &Base, id: u64, records: u64) -> bool {
    let bytes = fs::read(base.memory(id, "data")).expect("it is in memory");
    let places = bytes[HEADER..].chunks(PLACE).take(records as usize - 1);
    places.into_iter().all(|place| place[PIECE..] == [0; 3])
}

/// Chunks take turns with the memory of a few; shorter ones between longer ones leave nothing behind in those that come later.
#[test]
fn what_left_is_used_again() {
    let base = Base::new("again");
    let mut writer = base.writer(&large(false));
    let (mut next, mut files) = (0, Vec::new());
    for (id, count) in (0..).zip([EACH, EACH, EACH, 7, EACH, 1, EACH, EACH, 500, EACH]) {
        let first = next;
        write_chunk(&mut writer, &mut next, count);
        assert!(skipped_are_zeros(&base, id, count), "chunk {id}");
        files.push(inode(&base, id));
        if id > WINDOW {
            assert_eq!(files[id as usize], files[(id - WINDOW - 1) as usize], "chunk {id}");
        }
        expect_pieces(&mut base.reader(Start::Sequence(first)), first, next);
    }
    writer.close().expect("left");
    assert!(base.in_memory().is_empty());
}

/// Also where the chunk before had records in those places [deepwater.append.placing].
#[test]
fn what_is_skipped_becomes_zeros() {
    let base = Base::new("zeros");
    let mut writer = base.writer(&large(false));
    for (id, length) in (0..).zip([800, 800, 800, 93, 61, 45, 13, 21, 5_usize]) {
        for _ in 0..EACH {
            writer.append(1, 0, &vec![0xFF; length]).expect("appended");
        }
        writer.rotate().expect("a new chunk");
        let bytes = fs::read(base.memory(id, "data")).expect("it is in memory");
        let mut places = bytes[HEADER..].chunks((length + 7) & !7).take(EACH as usize - 1);
        assert!(places.all(|place| place[length..].iter().all(|&byte| byte == 0)), "chunk {id}");
    }
}

/// A reader that holds a chunk keeps its memory, whatever is written meanwhile.
#[test]
fn what_is_held_is_not() {
    let base = Base::new("held");
    let mut writer = base.writer(&large(false));
    let mut next = 0;
    write_chunk(&mut writer, &mut next, EACH);
    let mut reader = base.reader(Start::Oldest);
    expect_pieces(&mut reader, 0, 10);
    let held = inode(&base, 0);
    for id in 1..8 {
        write_chunk(&mut writer, &mut next, EACH);
        assert_ne!(inode(&base, id), held, "chunk {id}");
    }
    expect_pieces(&mut reader, 10, EACH);
    assert_eq!(reader.next().expect_err("gone").code(), Code::Expired);
}

/// Small chunks, and those of long windows, get new memory each.
#[test]
fn not_all_memory_is_used_again() {
    for (word, options) in [("small", large(false).chunk_size(CHUNK / 2)), ("long", large(false).live_window(9))] {
        let base = Base::new(word);
        let mut writer = base.writer(&options);
        let mut next = 0;
        for _ in 0..12 {
            write_chunk(&mut writer, &mut next, 3);
        }
        assert!(!base.memory(13, "data").exists(), "{word}: 12 is live");
    }
}

/// Not a test of its own: the process of a writer that dies. Without a base it has nothing to do.
#[test]
fn actor() {
    if let Ok(base) = std::env::var(BASE) {
        let mut writer = Writer::open(&base, "feed", &large(true)).expect("no writer");
        let mut next = 0;
        (0..5).for_each(|_| write_chunk(&mut writer, &mut next, EACH));
        std::process::exit(0); // with the writer: it has not left
    }
}

/// The chunk to come has names already; who recovers takes them away.
#[test]
fn a_dead_writer_leaves_no_name() {
    let base = Base::new("dead");
    let mut command = Command::new(std::env::current_exe().expect("our own path"));
    command.args(["actor", "--exact", "--nocapture", "--test-threads=1"]).env(BASE, &base.0);
    assert!(command.status().expect("a process").success());
    for suffix in ["data", "idx"] {
        assert!(base.memory(6, suffix).exists(), "5 is live");
    }
    deepwater::collect(&base.0, "feed").expect("nobody writes");
    assert!(base.in_memory().is_empty());
    expect_pieces(&mut base.reader(Start::Oldest), 0, 5 * EACH);
}
