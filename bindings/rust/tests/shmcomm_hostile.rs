// SPDX-License-Identifier: MIT
//! Profile shmcomm: segments that no writer leaves. A named error for each fault, and for any bytes at all no crash and no endless loop.

mod common;

use std::time::{Duration, Instant};

use common::{Name, Random};
use shmwire::shmcomm::{self, Message, Observer, Options, Publisher, Puller, Pusher, Start, Subscriber};
use shmwire::{Answer, Code, Error};

const NONE: Duration = Duration::ZERO;
const RING: usize = 128;
const SKIP: u64 = u64::MAX;

fn options() -> Options {
    Options::new().capacity(4096).ready_timeout(NONE)
}

/// Five frames of 840 bytes were published: the first was evicted, the last is behind a mark at 3,360.
fn base(word: &str) -> Name {
    let made = Name::new(&format!("{word}-base"));
    let mut publisher = Publisher::open(&made.0, &options()).expect("a new name");
    (0..5_u8).for_each(|i| {
        publisher.send(&[i; 800]).expect("room");
    });
    let name = Name::with_bytes(word, &made.bytes());
    assert_eq!((name.u64_at(16), name.u64_at(24)), (4096 + 840, 840));
    name
}

/// The same as a pipeline, of which one message was taken.
fn pipeline(word: &str) -> Name {
    let name = base(word);
    name.poke(64, &2_u32.to_le_bytes());
    name
}

fn subscribe(name: &Name) -> Result<Subscriber, Error> {
    Subscriber::open(&name.0, &options().start(Start::Oldest))
}

#[test]
fn each_fault_of_the_header_has_its_error() {
    const MAX: u64 = u64::MAX;
    let faults: [(&str, usize, u64, usize, Code); 20] = [
        ("no magic", 0, 0, 8, Code::NotReady),
        ("magic", 0, 1, 8, Code::BadMagic),
        ("version 1", 8, 1, 8, Code::BadVersion),
        ("the greatest version", 8, MAX, 8, Code::BadVersion),
        ("capacity 0", 56, 0, 8, Code::BadGeometry),
        ("capacity 2048", 56, 2048, 8, Code::BadGeometry),
        ("capacity 4097", 56, 4097, 8, Code::BadGeometry),
        ("capacity 2^39", 56, 1 << 39, 8, Code::BadGeometry),
        ("capacity 8192", 56, 8192, 8, Code::Truncated),
        ("capacity 2^38", 56, 1 << 38, 8, Code::Truncated),
        ("pattern 0", 64, 0, 4, Code::BadGeometry),
        ("pattern 5", 64, 5, 4, Code::BadGeometry),
        ("another pattern", 64, 2, 4, Code::Unsupported),
        ("state 0", 68, 0, 4, Code::BadGeometry),
        ("state 3", 68, 3, 4, Code::BadGeometry),
        ("serializer 65536", 92, 65_536, 4, Code::BadGeometry),
        ("a head between words", 16, 4937, 8, Code::Corrupt),
        ("a head far above tail", 16, 840 + 4104, 8, Code::Corrupt),
        ("a tail above head", 24, 4096 + 848, 8, Code::Corrupt),
        ("a tail between words", 24, 844, 8, Code::Corrupt),
    ];
    for (word, at, value, width, expected) in faults {
        let name = base("c-header");
        subscribe(&name).expect("the base is sound");
        name.poke(at, &value.to_le_bytes()[..width]);
        let bytes = name.bytes();
        assert_eq!(subscribe(&name).expect_err(word).code(), expected, "{word}");
        let joining = options().making(shmcomm::Making::JoinOnly);
        assert_eq!(Publisher::open(&name.0, &joining).expect_err(word).code(), expected, "{word}");
        let removed = matches!(shmcomm::remove(&name.0, false), Ok(Answer::Done(())));
        assert_eq!((removed, name.path().exists()), (at == 0 && value == 0, !removed), "{word}");
        assert!(removed || name.bytes() == bytes, "{word}");
    }
}

#[test]
fn short_files_are_truncated_and_unfinished_ones_replaced() {
    for size in [RING as u64 + 4095, RING as u64, 127, 8, 0] {
        let name = base("c-short");
        std::fs::OpenOptions::new().write(true).open(name.path()).and_then(|file| file.set_len(size)).expect("we own it");
        assert_eq!(subscribe(&name).expect_err("short").code(), Code::Truncated, "{size}");
        match Publisher::open(&name.0, &options()) {
            Err(error) => assert_eq!((error.code(), size >= 128), (Code::Truncated, true), "{size}"),
            Ok(publisher) => assert_eq!((publisher.info().message_count, size < 128), (0, true), "{size}"),
        }
    }
}

#[test]
fn a_creator_in_the_middle_is_waited_for() {
    let name = base("c-ready");
    let magic = name.u64_at(0).to_le_bytes();
    name.poke(0, &[0; 8]);
    let began = Instant::now();
    let waiting = |time| Options::new().ready_timeout(Duration::from_millis(time));
    let refused = Subscriber::open(&name.0, &waiting(50)).expect_err("never published");
    assert_eq!((refused.code(), began.elapsed() >= Duration::from_millis(50)), (Code::NotReady, true));
    std::thread::scope(|scope| {
        let opener = scope.spawn(|| Subscriber::open(&name.0, &waiting(20_000)).map(|_| ()));
        let joiner = scope.spawn(|| Publisher::open(&name.0, &waiting(20_000)));
        std::thread::sleep(Duration::from_millis(20));
        name.poke(0, &magic);
        let publisher = joiner.join().expect("no panic").expect("published in time");
        opener.join().expect("no panic").expect("published in time");
        assert_eq!(publisher.info().message_count, 5);
    });
}

/// Sizes of the oldest frame that cannot be, of 840 bytes with 3,000 bytes up to the end of the ring.
const SIZES: [(&str, u64); 8] = [
    ("0", 0),
    ("31", 31),
    ("above half of the ring", 2041),
    ("half of the ring's end", 4096),
    ("2^63", 1 << 63),
    ("the greatest but a mark", SKIP - 1),
    ("the greatest that could wrap", SKIP - 40),
    ("just above a mark's", SKIP - 7),
];

#[test]
fn each_fault_of_a_frame_has_its_answer() {
    for (word, size) in SIZES {
        let name = base("c-frame");
        name.poke(RING + 840, &size.to_le_bytes());
        let bytes = name.bytes();
        let mut subscriber = subscribe(&name).expect("the header is sound");
        for _ in 0..3 {
            assert_eq!(subscriber.receive(&mut [0; 4096], NONE).expect_err(word).code(), Code::Corrupt, "{word}");
            let batch = subscriber.receive_batch(&mut [0; 4096], &mut [Message::default(); 4], NONE);
            assert_eq!(batch.expect_err(word).code(), Code::Corrupt, "{word}");
            assert_eq!(subscriber.view(NONE).expect_err(word).code(), Code::Corrupt, "{word}");
        }
        let observer = Observer::open(&name.0, &options()).expect("the header is sound");
        assert_eq!(observer.validate().expect_err(word).position, Some(840), "{word}");
        assert!(name.bytes() == bytes, "{word}");
        let mut publisher = Publisher::open(&name.0, &options()).expect("the header is sound");
        let mut before = name.bytes();
        assert_eq!(publisher.send(&[0; 800]).expect_err(word).code(), Code::Corrupt, "{word}");
        before[96..104].copy_from_slice(&name.bytes()[96..104]); // a sign of life is none of a message
        assert!(name.bytes() == before, "{word}");

        let name = Name::with_bytes("c-frame-pull", &before);
        name.poke(64, &2_u32.to_le_bytes());
        let mut puller = Puller::open(&name.0, &options()).expect("the header is sound");
        assert_eq!(puller.receive(&mut [0; 4096], NONE).expect_err(word).code(), Code::Corrupt, "{word}");
        let batch = puller.receive_batch(&mut [0; 4096], &mut [Message::default(); 4], NONE);
        assert_eq!(batch.expect_err(word).code(), Code::Corrupt, "{word}");
    }
}

#[test]
fn marks_that_no_frame_follows() {
    for (word, at, tail, head) in [
        ("at the start of the ring", 0_u64, 0_u64, 3360_u64),
        ("up to head", 3360, 3360, 4096),
        ("beyond head", 3360, 3360, 4088),
    ] {
        let name = base("c-mark");
        name.poke(RING + at as usize, &SKIP.to_le_bytes());
        name.poke(24, &tail.to_le_bytes());
        name.poke(16, &head.to_le_bytes());
        let mut subscriber = subscribe(&name).expect("the header is sound");
        assert_eq!(subscriber.receive(&mut [0; 4096], NONE).expect_err(word).code(), Code::Corrupt, "{word}");
    }
    let name = base("c-mark");
    name.poke(RING, &SKIP.to_le_bytes()); // behind the mark at the end
    let mut subscriber = subscribe(&name).expect("the header is sound");
    (1..4).for_each(|i| assert_eq!(next(&mut subscriber), Ok(Some(i))));
    assert_eq!(next(&mut subscriber), Err(Code::Corrupt));
}

/// The sequence of the message that is delivered, or why there is none.
fn next(subscriber: &mut Subscriber) -> Result<Option<u64>, Code> {
    let answer = subscriber.receive(&mut [0; 4096], NONE).map_err(|error| error.code())?;
    Ok(answer.done().map(|message| message.sequence))
}

#[test]
fn sequences_that_fall_lose_nothing() {
    let name = base("c-fall");
    let mut subscriber = subscribe(&name).expect("the header is sound");
    assert_eq!(next(&mut subscriber), Ok(Some(1)));
    name.poke(RING + 1680 + 8, &0_u64.to_le_bytes());
    name.poke(RING + 2520 + 8, &9_u64.to_le_bytes());
    let mut message = || subscriber.receive(&mut [0; 4096], NONE).expect("sound").done().expect("there");
    assert_eq!((message().lost, message().lost), (0, 8));
    let finding = Observer::open(&name.0, &options()).expect("the header is sound").validate().expect_err("they do not rise");
    assert_eq!(finding.position, Some(1680));
}

/// Positions that change to something impossible under those who are at work.
#[test]
fn positions_that_break_later() {
    for (word, at, value) in
        [("head", 16, 3_u64), ("head", 16, 1 << 60), ("tail", 24, 1 << 62), ("tail", 24, u64::MAX), ("tail", 24, 4097)]
    {
        let name = base("c-later");
        let mut subscriber = subscribe(&name).expect("the base is sound");
        let mut publisher = Publisher::open(&name.0, &options()).expect("the base is sound");
        name.poke(at, &value.to_le_bytes());
        for _ in 0..20 {
            match next(&mut subscriber) {
                Ok(_) | Err(Code::Corrupt) => {}
                Err(other) => panic!("{word}: {other:?}"),
            }
        }
        assert_eq!(publisher.send(b"x").expect_err(word).code(), Code::Corrupt, "{word}");
        assert_eq!(name.u32_at(32), 0, "the lock is free");
    }
}

/// Whatever stands there: an answer, and soon.
#[test]
fn any_bytes_at_all() {
    let mut random = Random::new(20_261_127);
    let mut answered = 0_u64;
    for round in 0..400 {
        let name = if round % 2 == 0 { base("c-any") } else { pipeline("c-any") };
        for _ in 0..1 + random.below(6) {
            let at = if random.below(3) == 0 { random.below(128) } else { 128 + random.below(4096) };
            let word = [0, SKIP, 1 << 63, 8, random.next(), random.below(4096)][random.below(6) as usize];
            let at = (at as usize).min(RING + 4096 - 8);
            name.poke(if random.below(2) == 0 { at & !7 } else { at }, &word.to_le_bytes());
        }
        let mut buffer = vec![0; 4096];
        let mut messages = [Message::default(); 3];
        if let Ok(mut end) = subscribe(&name) {
            for i in 0..30 {
                let answer = match i % 3 {
                    0 => end.receive(&mut buffer, NONE).map(|answer| answer.done().is_some()),
                    1 => end.receive_batch(&mut buffer, &mut messages, NONE).map(|answer| answer.done().is_some()),
                    _ => end.view(NONE).map(|answer| answer.done().map_or(false, |view| view.each(|_| {}) == Answer::Done(()))),
                };
                answered += u64::from(answer.unwrap_or(false));
            }
        }
        if let Ok(observer) = Observer::open(&name.0, &options()) {
            let _ = (observer.validate().is_ok(), observer.held().is_ok(), observer.info());
        }
        let joining = options().making(shmcomm::Making::JoinOnly);
        if let Ok(mut end) = Publisher::open(&name.0, &joining) {
            (0..8).for_each(|i| answered += u64::from(end.send(&vec![i; 300 * usize::from(i)]).is_ok()));
        }
        if let Ok(mut end) = Pusher::open(&name.0, &joining) {
            (0..8).for_each(|i| answered += u64::from(end.send(&vec![i; 300 * usize::from(i)], NONE).is_ok()));
        }
        if let Ok(mut end) = Puller::open(&name.0, &joining) {
            (0..8).for_each(|_| answered += u64::from(end.receive(&mut buffer, NONE).is_ok()));
        }
        let _ = shmcomm::recover(&name.0);
        let _ = shmcomm::remove(&name.0, true);
    }
    assert!(answered > 1000, "{answered}: the faults leave something to answer");
}
