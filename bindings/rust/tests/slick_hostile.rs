// SPDX-License-Identifier: MIT
//! Profile slick: segments that no producer leaves. A named error for each fault, and for any bytes at all no crash and no
//! endless loop.

mod common;

use std::time::{Duration, Instant};

use common::{put, with_queue, Name, Random};
use shmwire::slick::{CreateOptions, Cursor, Generation, Item, OpenOptions, Queue, Start};
use shmwire::{Answer, Code, Error};

const SIZE: usize = 8;
const DATA: usize = 64 + 16 * SIZE;

fn slot(index: usize) -> usize {
    64 + 16 * index
}

/// 8 elements of 8 bytes; 13 indices are reserved: 7 is padding, and the last items are 8 (3 elements), 11 and 12.
fn base(word: &str) -> Name {
    let (name, queue) = with_queue(word, SIZE as u32, 8);
    let mut producer = queue.producer().expect("writable");
    for elements in [1, 2, 1, 3, 3, 1, 1_u8] {
        put(&mut producer, &vec![elements; 8 * usize::from(elements)]);
    }
    assert_eq!(queue.info().next_index, 13);
    name
}

fn open(name: &Name) -> Result<Queue, Error> {
    OpenOptions::new().read_only(true).ready_timeout(Duration::from_millis(20)).open(&name.0)
}

#[test]
fn each_fault_of_the_header_has_its_error() {
    let faults: [(&str, usize, u64, usize, Code); 16] = [
        ("magic", 24, 1, 4, Code::BadMagic),
        ("no magic", 24, 0, 4, Code::BadMagic),
        ("state 4", 48, 4, 4, Code::BadVersion),
        ("the greatest state", 48, u64::MAX, 4, Code::BadVersion),
        ("at work", 48, 2, 4, Code::NotReady),
        ("size 0, published", 8, 0, 4, Code::BadGeometry),
        ("size 3", 8, 3, 4, Code::BadGeometry),
        ("size 7", 8, 7, 4, Code::BadGeometry),
        ("the greatest size", 8, u64::MAX, 4, Code::BadGeometry),
        ("size 2^31", 8, 1 << 31, 4, Code::Truncated),
        ("size 16", 8, 16, 4, Code::Truncated),
        ("element size 0", 12, 0, 4, Code::BadGeometry),
        ("element size 9", 12, 9, 4, Code::Truncated),
        ("the greatest element size", 12, u64::MAX, 4, Code::Truncated),
        ("generation 1.2 with size 0", 48, 0, 4, Code::NotReady),
        ("generation 1.3 with size 6", 48, 1, 4, Code::BadGeometry),
    ];
    for (word, at, value, width, expected) in faults {
        let name = base("s-header");
        open(&name).expect("the base is sound");
        name.poke(at, &value.to_le_bytes()[..width]);
        if word.contains("with size") {
            name.poke(8, &[if expected == Code::NotReady { 0 } else { 6 }, 0, 0, 0]);
        }
        let bytes = name.bytes();
        assert_eq!(open(&name).expect_err(word).code(), expected, "{word}");
        assert!(name.bytes() == bytes, "{word}");
    }
}

#[test]
fn every_size_and_element_size_at_once() {
    let name = base("s-overflow");
    for (size, element_size) in [(1_u32 << 31, u32::MAX), (1 << 30, 1 << 31), (1, u32::MAX), (1 << 31, 1)] {
        name.poke(8, &size.to_le_bytes());
        name.poke(12, &element_size.to_le_bytes());
        assert_eq!(open(&name).expect_err("huge").code(), Code::Truncated, "{size} x {element_size}");
    }
}

#[test]
fn short_files_are_truncated() {
    let name = base("s-short");
    for size in [DATA as u64 + 63, DATA as u64, 64, 63, 1, 0] {
        std::fs::OpenOptions::new().write(true).open(name.path()).and_then(|file| file.set_len(size)).expect("we own it");
        assert_eq!(open(&name).expect_err("short").code(), Code::Truncated, "{size}");
    }
}

#[test]
fn a_creator_in_the_middle_is_waited_for() {
    let name = base("s-ready");
    name.poke(48, &2_u32.to_le_bytes());
    let began = Instant::now();
    let refused = OpenOptions::new().ready_timeout(Duration::from_millis(50)).open(&name.0).expect_err("never published");
    assert_eq!((refused.code(), began.elapsed() >= Duration::from_millis(50)), (Code::NotReady, true));
    std::thread::scope(|scope| {
        let opener = scope.spawn(|| OpenOptions::new().ready_timeout(Duration::from_secs(20)).open(&name.0).map(|_| ()));
        std::thread::sleep(Duration::from_millis(20));
        name.poke(48, &3_u32.to_le_bytes());
        opener.join().expect("no panic").expect("published in time");
    });
}

/// The index of the item that is delivered, or why there is none.
type Outcome = Result<Option<u64>, Code>;

/// What a reader at index 8, the oldest whole item, answers to a fault in its slot; the fault leaves the base's header as it is.
#[test]
fn each_fault_of_a_slot_has_its_answer() {
    const MAX: u64 = u64::MAX;
    let corrupt = Err(Code::Corrupt);
    let faults: [(&str, usize, u64, usize, Outcome); 11] = [
        ("size 0", slot(0) + 8, 0, 4, corrupt),
        ("past the end of the ring", slot(0) + 8, 9, 4, corrupt),
        ("the greatest size", slot(0) + 8, MAX, 4, corrupt),
        ("past the reservation", slot(0) + 8, 6, 4, corrupt),
        ("never published", slot(0), MAX, 8, Ok(None)),
        ("one lap late", slot(0), 0, 8, Ok(None)),
        ("above the reservation", slot(0), 16, 8, Ok(None)),
        ("far above the reservation", slot(0), MAX - 7, 8, Ok(None)),
        ("a mark", slot(0), 12, 8, Ok(Some(12))),
        ("a mark to the end", slot(0), 13, 8, Ok(None)),
        ("a mark above the reservation", slot(0), 14, 8, Ok(None)),
    ];
    for (word, at, value, width, expected) in faults {
        let name = base("s-slot");
        let reader = |start| open(&name).expect("sound").reader(start);
        assert_eq!(reader(Start::Index(8)).next(&mut [0; 64]).expect("sound").done().map(|item| item.index), Some(8));
        name.poke(at, &value.to_le_bytes()[..width]);
        let bytes = name.bytes();
        let mut reader = reader(Start::Index(8));
        for _ in 0..3 {
            let answer =
                reader.next(&mut [0; 64]).map(|answer| answer.done().map(|item| item.index)).map_err(|error| error.code());
            assert_eq!(answer, expected, "{word}");
            if expected.is_err() {
                assert_eq!(reader.info().cursor, 8, "{word}: the reader stays");
                let batch = reader.next_batch(&mut [0; 64], &mut [Item::default(); 4]);
                assert_eq!(batch.expect_err(word).code(), Code::Corrupt);
                assert_eq!(reader.next_view().expect_err(word).code(), Code::Corrupt);
            } else if expected == Ok(Some(12)) {
                break;
            }
        }
        let is_sound = ["never published", "one lap late", "a mark", "a mark to the end"].contains(&word);
        let found = open(&name).expect("its header is sound").validate().map_err(|finding| (finding.slot, finding.error.code()));
        assert_eq!(found, if is_sound { Ok(()) } else { Err((Some(0), Code::Corrupt)) }, "{word}");
        assert!(name.bytes() == bytes, "{word}: a reader has changed the segment");
    }
}

#[test]
fn faults_of_the_reservation() {
    for (word, reserved, expected) in [
        ("behind the slots", 2 << 16 | 1, Ok(None)),
        ("at 0", 0, Ok(None)),
        ("within an item", 9 << 16 | 1, Err(Code::Corrupt)),
        ("far ahead", (1 << 47) << 16 | 1, Ok(None)),
        ("the greatest", u64::MAX, Ok(None)),
    ] {
        let name = base("s-reserved");
        name.poke(0, &u64::to_le_bytes(reserved));
        let began = Instant::now();
        let queue = open(&name).expect("its header is sound");
        let answer = queue.reader(Start::Index(8)).next(&mut [0; 64]);
        assert_eq!(answer.map(|answer| answer.done().map(|item| item.index)).map_err(|error| error.code()), expected, "{word}");
        assert!(word == "far ahead" || queue.validate().is_err(), "{word}");
        let _ = (queue.reader(Start::Oldest).last(&mut [0; 64]), queue.reader(Start::Oldest).items().take(100).count());
        assert!(began.elapsed() < Duration::from_secs(5), "{word}");
    }
    for (word, at, value) in [("settled", 32, 14_u64), ("last_published", 16, 13), ("the last reservation", 0, 13 << 16 | 9)] {
        let name = base("s-above");
        name.poke(at, &value.to_le_bytes());
        let finding = open(&name).expect("its geometry is sound").validate().expect_err(word);
        assert_eq!((finding.slot, finding.error.code()), (None, Code::Corrupt), "{word}");
    }
}

/// Marks that lead to marks: two slots that send each other on are not followed for ever.
#[test]
fn marks_that_lead_to_marks() {
    let name = base("s-marks");
    name.poke(0, &((1_u64 << 40) << 16).to_le_bytes());
    for index in 0..SIZE {
        name.poke(slot(index), &((1_u64 << 39) + ((index as u64 + 1) & 7)).to_le_bytes());
    }
    let began = Instant::now();
    let queue = open(&name).expect("its header is sound");
    for start in [Start::Oldest, Start::Index(0), Start::Index((1 << 39) - 8), Start::Index(u64::MAX)] {
        let mut reader = queue.reader(start);
        let answer = reader.next(&mut [0; 64]).map(|answer| answer.done());
        assert!(matches!(answer, Ok(None) | Err(Error::Corrupt { .. })), "{start:?}: {answer:?}");
        let _ = reader.next_batch(&mut [0; 64], &mut [Item::default(); 4]);
    }
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// A producer that finds an impossible item in its way says so, and has reserved nothing.
#[test]
fn producers_meet_faults_too() {
    for size in [0_u32, 7, u32::MAX] {
        let name = base("s-producer");
        name.poke(slot(0) + 8, &size.to_le_bytes());
        let bytes = name.bytes();
        let mut producer = OpenOptions::new().open(&name.0).expect("sound").producer().expect("writable");
        let mut answers = (0..6).map(|_| producer.write(&[1; 24]).map_err(|error| error.code()));
        // Until it needs to know about index 8 it goes on; its first look begins at the last reservation.
        let refused = answers.any(|answer| answer == Err(Code::Corrupt));
        let queue = open(&name).expect("sound");
        assert!(refused || queue.info().next_index > 16, "{size}");
        let mut recovering = Vec::new();
        name.poke(0, &bytes[..8]);
        name.poke(32, &8_u64.to_le_bytes());
        name.poke(slot(0), &8_u64.to_le_bytes());
        name.poke(slot(0) + 8, &size.to_le_bytes());
        recovering.push(OpenOptions::new().open(&name.0).expect("sound").recover(true).map_err(|error| error.code()));
        assert_eq!(recovering, [Err(Code::Corrupt)], "{size}");
    }
}

/// The length of the last reservation says how far a newcomer has to look back.
#[test]
fn reservations_of_no_length() {
    for length in [0_u64, 9, 65_535] {
        let name = base("s-length");
        name.poke(0, &(21 << 16 | length).to_le_bytes());
        let bytes = name.bytes();
        let mut producer = OpenOptions::new().open(&name.0).expect("sound").producer().expect("writable");
        assert_eq!(producer.write(&[1; 8]).expect_err("impossible").code(), Code::Corrupt, "{length}");
        assert!(name.bytes() == bytes, "{length}");
    }
}

/// Fields more often than random places.
fn place(random: &mut Random) -> (usize, usize) {
    match random.below(8) {
        0 => (8 * random.below(8) as usize, 8),
        1 => (4 * random.below(16) as usize, 4),
        2..=4 => (slot(random.below(8) as usize), 8),
        5 | 6 => (slot(random.below(8) as usize) + 8, 4),
        _ => (8 * random.below(24) as usize, 8),
    }
}

fn value(random: &mut Random, old: u64, width: usize) -> u64 {
    match random.below(10) {
        0 => 0,
        1 => u64::MAX,
        2 => old.wrapping_add(random.below(9)).wrapping_sub(4),
        3 => old ^ 1 << random.below(8 * width as u64),
        4 => random.below(40),
        5 => random.below(40) << 16 | random.below(9),
        6 => 1 << random.below(8 * width as u64),
        7 => (1 << 48) - random.below(20),
        8 => ((1 << 48) - random.below(20)) << 16 | random.below(9),
        _ => random.next(),
    }
}

/// Do everything; only answers and errors may come of it. Answers how many items were read.
fn exercise(name: &Name, index: u64) -> Result<u32, Error> {
    let before = name.bytes();
    let queue = OpenOptions::new().read_only(true).ready_timeout(Duration::ZERO).open(&name.0)?;
    let (mut done, element_size) = (0, queue.info().element_size as usize);
    for start in [Start::Oldest, Start::Latest, Start::Index(index)] {
        let mut reader = queue.reader(start);
        let mut buffer = [0; 64];
        for _ in 0..40 {
            match reader.next(&mut buffer) {
                Ok(Answer::Done(item)) => {
                    assert!(item.length <= 64 && item.length == element_size * item.elements as usize);
                    done += 1;
                }
                Ok(Answer::Lapped) => {}
                _ => break,
            }
        }
        reader.seek(start);
        let _ = reader.next_batch(&mut buffer, &mut [Item::default(); 4]);
        if let Ok(Answer::Done(view)) = reader.next_view() {
            let _ = view.each(|piece| assert!(piece.len() <= 64));
        }
        let _ = (reader.last(&mut buffer), reader.wait_next(&mut buffer, Duration::ZERO), reader.info());
        let mut consumer = queue.consumer(&Cursor::local(&queue, start)?);
        let _ = (consumer.next(&mut buffer), consumer.next_batch(&mut buffer, &mut [Item::default(); 4]));
    }
    let _ = (queue.validate(), queue.info());
    assert!(name.bytes() == before, "a reader has changed the segment");
    let queue = OpenOptions::new().open(&name.0)?;
    let producers = [queue.producer()?, queue.producer()?];
    for mut producer in producers.map(|producer| producer.with_stall_time(Duration::ZERO)) {
        for i in 0..12_u8 {
            let _ = producer.write(&vec![i; 8 * usize::from(1 + i % 4)])?;
            producer.reserve(1 + u32::from(i % 8))?.done().map(drop).unwrap_or_default();
        }
        let _ = producer.write_batch(&[7; 80], 8, |_| {})?;
    }
    let _ = queue.recover(true)?;
    queue.reset()?;
    assert!(name.bytes().len() == before.len());
    Ok(done)
}

#[test]
fn any_bytes_at_all() {
    let mut random = Random::new(0x5EED_511C);
    let sound = base("s-mutations").bytes();
    let (began, mut survived) = (Instant::now(), 0);
    for round in 0..3000 {
        let name = Name::new("s-mutant");
        let mut bytes = sound.clone();
        for _ in 0..=random.below(3) {
            let (at, width) = place(&mut random);
            let mut old = [0; 8];
            old[..width].copy_from_slice(&bytes[at..at + width]);
            let new = value(&mut random, u64::from_le_bytes(old), width);
            bytes[at..at + width].copy_from_slice(&new.to_le_bytes()[..width]);
        }
        if random.below(8) == 0 {
            bytes.truncate(64 + random.below(bytes.len() as u64 - 64) as usize);
        }
        std::fs::write(name.path(), &bytes).expect("a new file");
        let index = random.below(20);
        survived += u32::from(matches!(exercise(&name, index), Ok(done) if done > 0));
        assert!(began.elapsed() < Duration::from_secs(60), "round {round} took too long");
    }
    assert!(survived > 500, "only {survived} of 3000 were readable: the mutations are too coarse");
}

/// Local queues are as others; nothing is left behind by them.
#[test]
fn generations_are_told_apart() {
    for (generation, state) in [(Generation::V1_2, 0), (Generation::V1_3, 1), (Generation::V1_4, 3)] {
        let name = Name::new("s-generation");
        CreateOptions::new().element_size(1).generation(generation).create(&name.0).expect("a new name");
        let queue = open(&name).expect("ready");
        assert_eq!((queue.info().generation, queue.header().init_state), (generation, state));
        assert_eq!((queue.info().size, queue.slot(1023).map(|slot| slot.size), queue.slot(1024)), (1024, Some(1), None));
    }
}
