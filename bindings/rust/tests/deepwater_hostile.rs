// SPDX-License-Identifier: MIT
//! Feeds that no writer leaves: a named error, and nothing else.

mod common;
#[path = "common/feeds.rs"]
#[allow(dead_code)]
mod feeds;

use std::path::PathBuf;

use common::Random;
use feeds::*;
use shmwire::deepwater::{self, Making, Reader, ReaderOptions, Start, Writer};
use shmwire::Answer;

type Where = fn(&Base) -> PathBuf;

fn data(base: &Base) -> PathBuf {
    base.file(0, "data")
}

fn index(base: &Base) -> PathBuf {
    base.file(0, "idx")
}

/// A feed with one persisted chunk of three records.
fn persisted(word: &str) -> Base {
    let base = Base::new(word);
    let mut writer = base.writer(&small().persist(true));
    fill(&mut writer, 3);
    writer.close().expect("flushed");
    base
}

#[test]
fn every_header_is_checked() {
    let cases: [(Where, u64, &[u8], &str); 26] = [
        (Base::registry, 0, &[0; 8], "NOT_READY"),
        (Base::registry, 0, b"DWGREG02", "BAD_MAGIC"),
        (Base::registry, 8, &[2], "BAD_VERSION"),
        (Base::registry, 12, &[1], "BAD_GEOMETRY"),
        (Base::registry, 16, &[0], "BAD_GEOMETRY"),
        (Base::registry, 16, &[0, 0, 0x11], "BAD_GEOMETRY"),
        (Base::registry, 16, &[5], "TRUNCATED"),
        (Base::registry, 24, &[5], "CORRUPT"),
        (Base::registry, 128 + 64, b"/feed", "CORRUPT"),
        (Base::registry, 128 + 64, b"a/../b", "CORRUPT"),
        (Base::registry, 128 + 160, &[1], "CORRUPT"),
        (Base::registry, 128 + 168, &[4], "CORRUPT"),
        (Base::registry, 128 + 176, &[0], "CORRUPT"),
        (Base::registry, 128 + 180, &[1, 16], "CORRUPT"),
        (Base::feed_registry, 0, &[0; 8], "NOT_READY"),
        (Base::feed_registry, 8, &[0], "BAD_VERSION"),
        (Base::feed_registry, 12, &[64], "BAD_GEOMETRY"),
        (Base::feed_registry, 16, &[17], "TRUNCATED"),
        (Base::feed_registry, 24, &[17], "CORRUPT"),
        (Base::feed_registry, 128, &[1], "CORRUPT"),
        (Base::feed_registry, 128 + 8, &[5], "NOT_READY"),
        (Base::feed_registry, 128 + 12, &[5], "CORRUPT"),
        (data, 0, b"x", "BAD_MAGIC"),
        (data, 40, &[0xFF; 8], "BAD_GEOMETRY"),
        (data, 40, &[43], "TRUNCATED"),
        (data, 16, &[1], "CORRUPT"),
    ];
    for (n, (file, at, bytes, code)) in cases.into_iter().enumerate() {
        let base = persisted(&format!("header-{n}"));
        assert_eq!(base.code_of_reading(), "OK");
        poke(&file(&base), at, bytes);
        assert_eq!(base.code_of_reading(), code, "case {n}: {bytes:?} at {at}");
        assert_ne!(deepwater::validate(&base.0, "feed").map_err(|finding| finding.error.code().name()), Ok(()), "case {n}");
    }
}

#[test]
fn every_entry_of_an_index_is_checked() {
    let cases: [(u64, &[u8], &str); 7] = [
        (0, b"x", "BAD_MAGIC"),
        (12, &[31], "BAD_GEOMETRY"),
        (24, &[4], "CORRUPT"),                     // entry_count above the capacity
        (32, &[4], "TRUNCATED"),                   // a capacity above the file
        (64 + 32 + 24, &[9], "CORRUPT"),           // a sequence
        (64 + 32 + 8, &[0xFF; 8], "CORRUPT"),      // an offset that wraps
        (64 + 64 + 16, &[11, 0, 0, 0], "CORRUPT"), // a length past the end
    ];
    for (n, (at, bytes, code)) in cases.into_iter().enumerate() {
        let base = persisted(&format!("index-{n}"));
        poke(&index(&base), at, bytes);
        assert_eq!(base.code_of_reading(), code, "case {n}: {bytes:?} at {at}");
        assert_ne!(deepwater::validate(&base.0, "feed").map_err(|finding| finding.error.code().name()), Ok(()), "case {n}");
    }
}

#[test]
fn a_reader_stays_where_it_met_something_corrupt() {
    let base = persisted("stays");
    poke(&index(&base), 64 + 32 + 24, &[9]);
    let mut reader = base.reader(Start::Oldest);
    assert_eq!(reader.next().expect("sound").done().expect("a record").sequence, 0);
    for _ in 0..2 {
        assert_eq!(reader.next().expect_err("corrupt").code().name(), "CORRUPT");
    }
    poke(&index(&base), 64 + 32 + 24, &[1]);
    assert_eq!(reader.next_batch(9).expect("sound again").done().expect("records").len(), 2);
}

#[test]
fn links_below_the_base_are_refused() {
    for (n, what) in ["feed", "registry.bin", "feed/feed_registry.bin", "feed/chunk_00000000.data"].iter().enumerate() {
        let base = persisted(&format!("link-{n}"));
        let (at, aside) = (base.0.join(what), base.0.join("aside"));
        std::fs::rename(&at, &aside).expect("moved");
        std::os::unix::fs::symlink(&aside, &at).expect("a link");
        assert_eq!(base.code_of_reading(), "PERMISSION", "{what}");
    }
    let base = persisted("link-base");
    let link = base.0.with_extension("link");
    std::os::unix::fs::symlink(&base.0, &link).expect("a link");
    let opened = Reader::open(&link, "feed", &ReaderOptions::new());
    std::fs::remove_file(&link).expect("ours");
    assert_eq!(sequences(&mut opened.expect("links to the base are followed")), [0, 1, 2]);
}

#[test]
fn absent_things_are_not_found() {
    let base = persisted("absent");
    assert_eq!(Reader::open(&base.0, "other", &ReaderOptions::new()).expect_err("no feed").code().name(), "NOT_FOUND");
    assert_eq!(Reader::open(base.0.join("no"), "feed", &ReaderOptions::new()).expect_err("no base").code().name(), "NOT_FOUND");
    for name in ["", ".", "..", "a/b", "a b"] {
        assert_eq!(Writer::open(&base.0, name, &small()).expect_err(name).code().name(), "INVALID_NAME");
    }
    let options = small().making(Making::OpenOnly);
    assert_eq!(Writer::open(&base.0, "other", &options).expect_err("no feed").code().name(), "NOT_FOUND");
    assert!(!base.0.join("other").exists());
    std::fs::remove_file(index(&base)).expect("ours");
    assert_eq!(base.code_of_reading(), "CORRUPT"); // state 3, and not there
}

/// Bytes changed at random: no panic, no hang, and what is delivered is inside of its chunk.
#[test]
fn nothing_that_stands_there_makes_a_reader_panic() {
    let mut random = Random::new(0x6465_6570);
    let base = persisted("random");
    let files = [base.registry(), base.feed_registry(), data(&base), index(&base)];
    let whole: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).expect("a file")).collect();
    let mut refused = 0;
    for _ in 0..600 {
        let which = random.below(4) as usize;
        let used = [384, 256, 106, 160][which];
        let value = [0, 1, 0x7F, 0x80, 0xFF, random.next() as u8][random.below(6) as usize];
        let at = random.below(used);
        poke(&files[which], at, &[value]);
        refused += u32::from(base.code_of_reading() != "OK");
        let _ = deepwater::validate(&base.0, "feed");
        if let Ok(mut reader) = Reader::open(&base.0, "feed", &ReaderOptions::new().start(Start::Time(random.below(50)))) {
            let _ = reader.chunk(0);
            let _ = reader.latest_chunk();
            while let Ok(Answer::Done(record)) = reader.next() {
                assert!(record.len() <= 42);
            }
        }
        if random.below(4) == 0 {
            files.iter().zip(&whole).for_each(|(file, bytes)| poke(file, 0, bytes));
        }
    }
    println!("{refused} of 600 were refused");
    assert!(refused > 100);
}
