// SPDX-License-Identifier: MIT
//! Profile ouroboros: segments that no writer leaves. A named error for each fault, and for any bytes at all no crash and no endless loop.

mod common;

use std::time::{Duration, Instant};

use common::{read_log, with_log, Name, Random};
use shmwire::ouroboros::{Entry, OpenOptions, ResumeOptions, Start};
use shmwire::{Answer, Code, Error};

const DATA: usize = 16 + 16 * 4;

/// 4 chunks of target 64: 22 entries of 12 bytes, into the second lap.
fn base(word: &str) -> Name {
    let (name, mut writer) = with_log(word, 4, 64);
    for i in 0..22_u8 {
        writer.write(&[i; 12]).expect("it fits");
    }
    name
}

fn first(name: &Name) -> Result<Answer<Entry>, Error> {
    OpenOptions::new().start(Start::Latest).open(&name.0)?.next(&mut [0; 600])
}

#[test]
fn each_fault_has_its_error() {
    let committed = |offset: u64| offset | 1 << 63;
    let newest = 16 + 16; // entries 21 and 22 are in chunk 1
    let entry = DATA + 64;
    let faults: [(&str, usize, u64, usize, Code); 16] = [
        ("magic", 0, 1, 8, Code::BadMagic),
        ("no magic yet", 0, 0, 8, Code::NotReady),
        ("version", 8, 2, 4, Code::BadVersion),
        ("no chunks", 12, 0, 4, Code::BadGeometry),
        ("a table past the end", 12, 21, 4, Code::Truncated),
        ("a table far past the end", 12, u64::MAX, 4, Code::Truncated),
        ("row unaligned", newest, committed(DATA as u64 + 66), 8, Code::Corrupt),
        ("row in the table", newest, committed(64), 8, Code::Corrupt),
        ("row at 0", newest, committed(0), 8, Code::Corrupt),
        ("row at the end", newest, committed(DATA as u64 + 256), 8, Code::Corrupt),
        ("row far away", newest, u64::MAX - 3, 8, Code::Corrupt),
        ("length 0", entry, 1 << 31, 4, Code::Corrupt),
        ("length 2", entry, 1 << 31 | 2, 4, Code::Corrupt),
        ("length 4", entry, 1 << 31 | 4, 4, Code::Corrupt),
        ("length past the end", entry, 1 << 31 | 193, 4, Code::Corrupt),
        ("the greatest length", entry, u64::MAX, 4, Code::Corrupt),
    ];
    for (word, at, value, size, expected) in faults {
        let name = base("o-faults");
        assert_eq!(first(&name).expect("the base is sound").done().expect("an entry").sequence, 21);
        name.poke(at, &value.to_le_bytes()[..size]);
        assert_eq!(first(&name).expect_err(word).code(), expected, "{word}");
        if expected == Code::Corrupt {
            let finding = read_log(&name, Start::Auto).validate().expect_err(word);
            // Chunk 0 is walked first, and comes out where row 1 says.
            assert!(finding.chunk <= Some(1) && finding.error.code() == Code::Corrupt, "{word}: {finding}");
            let bytes = name.bytes();
            assert_eq!(ResumeOptions::new().resume(&name.0).expect_err(word).code(), Code::Corrupt, "{word}");
            assert!(name.bytes() == bytes, "{word}: a refused writer has changed the segment");
        }
    }
}

#[test]
fn a_reader_stays_where_the_fault_is() {
    let name = base("o-stays");
    let mut reader = read_log(&name, Start::Latest);
    name.poke(DATA + 64 + 16, &(1_u32 << 31 | 3).to_le_bytes());
    assert_eq!(reader.next(&mut [0; 64]).expect("sound").done().expect("an entry").sequence, 21);
    for _ in 0..3 {
        assert_eq!(reader.next(&mut [0; 64]).expect_err("a fault").code(), Code::Corrupt);
    }
    name.poke(DATA + 64 + 16, &(1_u32 << 31 | 16).to_le_bytes());
    assert_eq!(reader.next(&mut [0; 64]).expect("sound").done().expect("an entry").sequence, 22);
}

#[test]
fn wrap_marks_that_lead_to_wrap_marks() {
    let (name, _writer) = with_log("o-marks", 4, 64);
    name.poke(DATA, &(1_u32 << 31 | 1).to_le_bytes());
    let began = Instant::now();
    let answer = read_log(&name, Start::Auto).next(&mut [0; 64]);
    assert!(matches!(answer, Ok(Answer::Empty)) || answer.map_err(|error| error.code()) == Err(Code::Corrupt));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn short_files_are_truncated() {
    let name = base("o-short");
    for size in [79, 16, 15, 1, 0] {
        std::fs::OpenOptions::new().write(true).open(name.path()).and_then(|file| file.set_len(size)).expect("we own it");
        assert_eq!(first(&name).expect_err("short").code(), Code::Truncated, "{size}");
        assert_eq!(ResumeOptions::new().resume(&name.0).expect_err("short").code(), Code::Truncated, "{size}");
    }
}

#[test]
fn a_creator_in_the_middle_is_waited_for() {
    let name = base("o-ready");
    name.poke(0, &[0; 8]);
    let began = Instant::now();
    let refused = OpenOptions::new().ready_timeout(Duration::from_millis(50)).open(&name.0).expect_err("never published");
    assert_eq!((refused.code(), began.elapsed() >= Duration::from_millis(50)), (Code::NotReady, true));
    std::thread::scope(|scope| {
        let opener = scope.spawn(|| OpenOptions::new().ready_timeout(Duration::from_secs(20)).open(&name.0).map(|_| ()));
        std::thread::sleep(Duration::from_millis(20));
        name.poke(0, b"GOLBORUO");
        opener.join().expect("no panic").expect("published in time");
    });
}

/// Fields more often than random places.
fn place(random: &mut Random) -> (usize, usize) {
    match random.below(8) {
        0 => (12, 4),
        1..=3 => (16 + 8 * random.below(8) as usize, 8),
        4..=6 => (DATA + 16 * random.below(16) as usize, 4),
        _ => (16 + 8 * random.below(40) as usize, 8),
    }
}

fn value(random: &mut Random, old: u64, size: usize) -> u64 {
    let top = 1_u64 << (8 * size - 1);
    match random.below(9) {
        0 => 0,
        1 => u64::MAX,
        2 => old.wrapping_add(random.below(9)).wrapping_sub(4),
        3 => old ^ 1 << random.below(8 * size as u64),
        4 => old ^ top,
        5 => top | random.below(9),
        6 => top | random.below(400) & !3,
        7 => random.below(40),
        _ => random.next(),
    }
}

/// Do everything; only answers and errors may come of it. Answers how many entries were read.
fn exercise(name: &Name) -> Result<u32, Error> {
    let before = name.bytes();
    let mut done = 0;
    for start in [Start::Auto, Start::Latest, Start::Oldest] {
        let mut reader = OpenOptions::new().start(start).open(&name.0)?;
        let mut buffer = [0; 400];
        let mut last: Option<u64> = None;
        while let Ok(Answer::Done(entry)) = reader.next(&mut buffer) {
            let follows = last.map_or(true, |last| entry.sequence.wrapping_sub(last) == entry.skipped.wrapping_add(1));
            assert!(follows, "sequences go on by what is told");
            last = Some(entry.sequence);
            done += 1;
            assert!(done < 3000, "more entries than there is room for");
        }
        reader.seek(start);
        let _ = reader.next_batch(&mut buffer, &mut [Entry::default(); 4]);
        if let Ok(Answer::Done(view)) = reader.next_view() {
            let _ = view.each(|piece| assert!(piece.len() <= 400));
        }
        let _ = (reader.validate(), reader.wait_next(&mut buffer, Duration::ZERO), reader.info());
    }
    assert!(name.bytes() == before, "a reader has changed the segment");
    let mut writer = ResumeOptions::new().chunk_target_size(64).resume(&name.0)?;
    let mut reader = OpenOptions::new().open(&name.0)?;
    for i in 0..40_u8 {
        writer.write(&[i; 20])?;
        let _ = reader.next(&mut [0; 400]);
    }
    let most = writer.info().max_payload as usize;
    writer.write(&vec![9; most])?;
    assert!(name.bytes().len() == before.len());
    Ok(done)
}

#[test]
fn any_bytes_at_all() {
    let mut random = Random::new(0x5EED_0B01);
    let template = base("o-mutations");
    let sound = template.bytes();
    let (began, mut survived) = (Instant::now(), 0);
    for round in 0..3000 {
        let name = Name::new("o-mutant");
        let mut bytes = sound.clone();
        for _ in 0..=random.below(3) {
            let (at, size) = place(&mut random);
            let size = size.min(bytes.len() - at);
            let mut old = [0; 8];
            old[..size].copy_from_slice(&bytes[at..at + size]);
            let new = value(&mut random, u64::from_le_bytes(old), size);
            bytes[at..at + size].copy_from_slice(&new.to_le_bytes()[..size]);
        }
        if random.below(8) == 0 {
            bytes.truncate(16 + random.below(bytes.len() as u64 - 16) as usize);
        }
        std::fs::write(name.path(), &bytes).expect("a new file");
        survived += u32::from(exercise(&name).is_ok());
        assert!(began.elapsed() < Duration::from_secs(60), "round {round} took too long");
    }
    assert!(survived > 600, "the mutations leave too little to exercise: {survived}");
}
