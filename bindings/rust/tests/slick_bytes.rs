// SPDX-License-Identifier: MIT
//! Profile slick: what stands in the segment, byte for byte.

mod common;

use common::{capture, drain_queue, put, with_queue, Name};
use shmwire::slick::{CreateOptions, Generation, OpenOptions, Producer, Queue, Start};
use shmwire::Answer;

const GENERATIONS: [Generation; 3] = [Generation::V1_2, Generation::V1_3, Generation::V1_4];
const RESERVED: usize = 0;
const LAST: usize = 16;
const SETTLED: usize = 32;
const NEVER: u64 = u64::MAX;

/// The bytes that a queue should have.
struct Expected {
    bytes: Vec<u8>,
    size: usize,
    element_size: usize,
}

impl Expected {
    /// A new segment as the specification lays it out.
    fn fresh(generation: Generation, size: usize, element_size: usize) -> Expected {
        let bytes = vec![0; 64 + 16 * size + element_size * size];
        let mut expected = Expected { bytes, size, element_size };
        expected.word32(8, size as u32);
        expected.word32(12, element_size as u32);
        match generation {
            Generation::V1_2 => {}
            Generation::V1_3 => expected.word32(48, 1),
            Generation::V1_4 => {
                expected.word32(48, 3);
                expected.word64(LAST, NEVER);
                expected.put(24, b"1QLS");
            }
        }
        (0..size).for_each(|slot| expected.slot(slot, NEVER, 1));
        expected
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn word32(&mut self, at: usize, word: u32) {
        self.put(at, &word.to_le_bytes());
    }

    fn word64(&mut self, at: usize, word: u64) {
        self.put(at, &word.to_le_bytes());
    }

    fn reserved(&mut self, index: u64, elements: u64) {
        self.word64(RESERVED, index << 16 | elements);
    }

    fn slot(&mut self, slot: usize, data_index: u64, size: u32) {
        self.word64(64 + 16 * slot, data_index);
        self.word32(72 + 16 * slot, size);
    }

    fn elements(&mut self, at: usize, bytes: &[u8]) {
        self.put(64 + 16 * self.size + self.element_size * at, bytes);
    }
}

fn make(word: &str, generation: Generation, size: u32, element_size: u32) -> (Name, Queue) {
    let name = Name::new(word);
    let options = CreateOptions::new().size(size).element_size(element_size).generation(generation);
    let queue = options.create(&name.0).expect("a new name");
    (name, queue)
}

#[test]
fn a_new_segment() {
    for generation in GENERATIONS {
        for (size, element_size) in [(1, 1), (4, 7), (8, 24)] {
            let (name, queue) = make("s-new", generation, size, element_size);
            assert!(
                name.bytes() == Expected::fresh(generation, size as usize, element_size as usize).bytes,
                "{generation:?}, {size}"
            );
            let info = OpenOptions::new().read_only(true).open(&name.0).expect("ready").info();
            assert_eq!(info, queue.info());
            assert_eq!((info.generation, info.size, info.element_size), (generation, size, element_size));
        }
    }
}

/// A ring of 4 elements of 7 bytes: reservation, publication, padding, the next lap, an item given up. A producer alone never
/// touches settled, nor the slots of an item's other elements.
#[test]
fn two_laps_item_by_item() {
    let (name, queue) = make("s-laps", Generation::V1_4, 4, 7);
    let mut expected = Expected::fresh(Generation::V1_4, 4, 7);
    let mut producer = queue.producer().expect("writable");
    let claim = producer.reserve(1).expect("it fits").done().expect("room");
    expected.reserved(1, 1);
    assert_eq!(name.bytes(), expected.bytes, "reserved");
    claim.publish().expect("ours").done().expect("nobody gave it up");
    expected.slot(0, 0, 1);
    expected.word64(LAST, 0);
    assert_eq!(name.bytes(), expected.bytes, "published");

    assert_eq!(put(&mut producer, b"abcdefgABCDEFG"), 1);
    expected.reserved(3, 2);
    expected.slot(1, 1, 2);
    expected.word64(LAST, 1);
    expected.elements(1, b"abcdefgABCDEFG");
    assert_eq!(name.bytes(), expected.bytes, "two elements");

    assert_eq!(put(&mut producer, b"1234567abcdefg1234567"), 4);
    expected.reserved(7, 3);
    expected.slot(3, 4, 3);
    expected.slot(0, 4, 3);
    expected.word64(LAST, 4);
    expected.elements(0, b"1234567abcdefg1234567");
    assert_eq!(name.bytes(), expected.bytes, "padding, and the next lap");

    let claim = producer.reserve(1).expect("it fits").done().expect("room");
    claim.abandon().expect("ours").done().expect("nobody gave it up");
    expected.reserved(8, 1);
    expected.slot(3, 8, 1);
    assert_eq!(name.bytes(), expected.bytes, "given up");
    drop(producer.reserve(2).expect("it fits").done().expect("room"));
    expected.reserved(10, 2);
    expected.slot(0, 10, 2);
    assert_eq!(name.bytes(), expected.bytes, "dropped");
    assert_eq!(producer.info().items_written, 3);
}

/// The padding is a reservation of its own: somebody else's item may come between it and ours.
#[test]
fn padding_then_the_item() {
    let (name, queue) = make("s-padding", Generation::V1_3, 4, 1);
    let mut producer = queue.producer().expect("writable");
    put(&mut producer, b"abc");
    let claim = producer.reserve(4).expect("it fits").done().expect("room");
    assert_eq!((claim.index(), claim.elements(), claim.capacity()), (4, 4, 4));
    let mut expected = Expected::fresh(Generation::V1_3, 4, 1);
    expected.reserved(8, 4);
    expected.slot(0, 0, 3);
    expected.slot(3, 4, 4);
    expected.elements(0, b"abc");
    assert_eq!(name.bytes(), expected.bytes);
    claim.leave_stalled();
}

#[test]
fn batches_are_single_reservations() {
    let (name, queue) = make("s-batch", Generation::V1_4, 8, 1);
    let mut expected = Expected::fresh(Generation::V1_4, 8, 1);
    let mut producer = queue.producer().expect("writable");
    let mut indices = Vec::new();
    let answer = producer.write_batch(b"aabbcc", 2, |index| indices.push(index)).expect("they fit");
    assert_eq!((answer, &indices[..]), (Answer::Done(()), &[0, 2, 4][..]));
    expected.reserved(6, 6);
    expected.word64(LAST, 4);
    expected.elements(0, b"aabbcc");
    (0..3).for_each(|i| expected.slot(2 * i, 2 * i as u64, 2));
    assert_eq!(name.bytes(), expected.bytes, "three items, one reservation");
    producer.write_batch(b"dddeee", 3, |index| indices.push(index)).expect("they fit").done().expect("room");
    assert_eq!(&indices[3..], [8, 11]);
    expected.reserved(14, 6);
    expected.word64(LAST, 11);
    expected.elements(0, b"dddeee");
    expected.slot(6, 8, 3);
    expected.slot(0, 8, 3);
    expected.slot(3, 11, 3);
    assert_eq!(name.bytes(), expected.bytes, "the first did not fit before the end");
    producer.write_batch(b"fgh", 1, |index| indices.push(index)).expect("they fit").done().expect("room");
    assert_eq!(&indices[5..], [14, 15, 16]);
    expected.reserved(17, 1);
    expected.word64(LAST, 16);
    expected.elements(6, b"fg");
    expected.elements(0, b"h");
    (14..17).for_each(|index| expected.slot(index % 8, index as u64, 1));
    assert_eq!(name.bytes(), expected.bytes, "cut at the end of the ring");
    producer.write_batch(b"", 1, |_| panic!("there is none")).expect("nothing").done().expect("nothing");
    assert_eq!(name.bytes(), expected.bytes);
}

/// Producers that meet tell each other what is settled, as far as they have to.
#[test]
fn settled_is_raised_by_who_meets_another() {
    let (name, queue) = make("s-settled", Generation::V1_4, 4, 1);
    let (mut first, mut second) = (queue.producer().expect("writable"), queue.producer().expect("writable"));
    put(&mut first, b"a");
    put(&mut second, b"b"); // reserves up to 2, within the first lap: nobody needs to know
    assert_eq!(name.u64_at(SETTLED), 0);
    put(&mut first, b"cd");
    assert_eq!(name.u64_at(SETTLED), 0);
    put(&mut second, b"e");
    assert_eq!(name.u64_at(SETTLED), 4, "up to what was reserved before");
    put(&mut second, b"f");
    put(&mut second, b"g");
    assert_eq!(name.u64_at(SETTLED), 4, "alone again");
    assert_eq!(queue.info().settled, 4);
}

#[test]
fn reset_and_recovery() {
    let (name, queue) = make("s-reset", Generation::V1_4, 4, 1);
    let mut producer = queue.producer().expect("writable");
    put(&mut producer, b"a");
    producer.reserve(2).expect("it fits").done().expect("room").leave_stalled();
    name.poke(LAST, &NEVER.to_le_bytes()); // as if it had died before it said so
    assert_eq!(queue.recover(true).expect("sound"), 1);
    let mut expected = Expected::fresh(Generation::V1_4, 4, 1);
    expected.reserved(3, 2);
    expected.slot(0, 0, 1);
    expected.slot(1, 3, 1);
    expected.word64(LAST, 0);
    expected.word64(SETTLED, 3);
    expected.elements(0, b"a");
    assert_eq!(name.bytes(), expected.bytes);
    assert_eq!(queue.recover(true).expect("sound"), 0);
    assert_eq!(name.bytes(), expected.bytes, "there is nothing left to do");
    queue.reset().expect("writable");
    let mut fresh = Expected::fresh(Generation::V1_4, 4, 1);
    fresh.elements(0, b"a");
    assert_eq!(name.bytes(), fresh.bytes, "elements stay");
    assert_eq!(put(&mut producer, b"bc"), 0);
}

/// The payload of the captures: byte j of the e-th element ever written.
fn captured_element(e: usize) -> Vec<u8> {
    (0..24).map(|j| (7 * e + j) as u8).collect()
}

/// Write items of these numbers of elements; the last one stays reserved if it is not to be published.
fn write_captured(producer: &mut Producer, items: &[usize], publish_last: bool) {
    let mut written = 0;
    for (i, &elements) in items.iter().enumerate() {
        let data: Vec<u8> = (written..written + elements).flat_map(captured_element).collect();
        written += elements;
        if publish_last || i + 1 < items.len() {
            put(producer, &data);
        } else {
            let mut claim = producer.reserve(elements as u32).expect("it fits").done().expect("room");
            claim.write(0, &data).expect("it fits");
            claim.leave_stalled();
        }
    }
}

/// What the source systems wrote, written again; and read.
#[test]
fn captured_items_give_the_captured_bytes() {
    let sequences: [(&str, u32, &[usize], bool); 4] = [
        ("first-lap", 16, &[1, 1, 1, 3, 1, 2], true),
        ("lapped", 8, &[1; 11], true),
        ("unpublished", 8, &[1; 3], false),
        ("wrap-mark", 8, &[3, 3, 3, 1], true),
    ];
    let releases = [("v120", GENERATIONS[0]), ("v123", GENERATIONS[0]), ("v13", GENERATIONS[1]), ("v14", GENERATIONS[2])];
    for (release, generation) in releases {
        for (word, size, items, publish_last) in sequences {
            let captured = capture("slick", &format!("{release}-{word}"));
            let (name, queue) = make("s-again", generation, size, 24);
            write_captured(&mut queue.producer().expect("writable"), items, publish_last);
            assert!(name.bytes() == captured, "{release}-{word}");
            let original = Name::with_bytes("s-captured", &captured);
            let opened = OpenOptions::new().read_only(true).open(&original.0).expect("ready");
            assert_eq!(opened.info(), queue.info(), "{release}-{word}");
            opened.validate().expect("sound");
            let (theirs, ours) = (drain_queue(&mut opened.reader(Start::Oldest)), drain_queue(&mut queue.reader(Start::Oldest)));
            assert!(theirs == ours && !ours.is_empty(), "{release}-{word}");
            assert!(original.bytes() == captured, "readers change nothing");
        }
    }
}

#[test]
fn names() {
    let (name, queue) = with_queue("s-names", 2, 1);
    assert_eq!(queue.shm_name().to_str(), Some(&name.0[..]));
    let bare = OpenOptions::new().open(&name.0[1..]).expect("the same");
    assert_eq!(bare.shm_name(), queue.shm_name());
    put(&mut bare.producer().expect("writable"), b"x");
    assert_eq!(queue.info().next_index, 1);
    let local = CreateOptions::new().size(2).element_size(1).create_local().expect("memory");
    assert_eq!(local.shm_name().as_os_str().len(), 0);
    let long = Name(format!("/shmw-rust-{}-{}", std::process::id(), "n".repeat(30)));
    assert!(long.0.len() > 31, "{}", long.0);
    let options = CreateOptions::new().size(2).element_size(1);
    let refused = options.portable_name(true).create(&long.0).expect_err("too long for macOS");
    assert_eq!(refused.code().name(), "INVALID_NAME");
    assert_eq!(OpenOptions::new().open(&long.0).expect_err("absent").code().name(), "NOT_FOUND");
    options.create(&long.0).expect("short enough for Linux");
    let short = Name(long.0[..31].to_owned());
    options.portable_name(true).create(&short.0).expect("just short enough");
}
