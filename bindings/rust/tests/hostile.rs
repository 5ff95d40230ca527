// SPDX-License-Identifier: MIT
//! Segments that no rule can produce: a named error for each fault, and for any bytes at all no crash and no endless loop.

mod common;

use std::time::{Duration, Instant};

use common::{with_channel, Name, Random, CHANNEL_0, HEADER, SLOT};
use shmwire::dmxp::{ChannelOptions, Item, Message, Meta, OpenOptions, PayloadChoice};
use shmwire::{Answer, Code, Error};

/// A segment with two channels; channel 0 has two of four messages consumed.
fn base(word: &str) -> Name {
    let (name, segment, channel) = with_channel(word, 4);
    segment.create_channel(1, &ChannelOptions::new().capacity(2)).expect("there is room");
    for i in 0..4_u8 {
        channel.try_send(&[i; 100], &Meta::new()).expect("sound").done().expect("there is room");
    }
    for _ in 0..2 {
        channel.try_receive(&mut [0; 100]).expect("sound").done().expect("a message");
    }
    name
}

fn attach(name: &Name) -> Result<(), Error> {
    OpenOptions::new().open(&name.0)?.attach(0).map(|_| ())
}

#[test]
fn each_fault_has_its_error() {
    let faults: [(&str, usize, u64, usize, Code); 17] = [
        ("magic", 0, 1, 8, Code::BadMagic),
        ("no magic yet", 0, 0, 8, Code::NotReady),
        ("version", 8, 2, 4, Code::BadVersion),
        ("max_channels", 12, 255, 4, Code::BadGeometry),
        ("payload_layout", 20, 3, 4, Code::BadGeometry),
        ("capacity 0", CHANNEL_0 + 8, 0, 8, Code::NotFound),
        ("capacity 1", CHANNEL_0 + 8, 1, 8, Code::BadGeometry),
        ("capacity 3", CHANNEL_0 + 8, 3, 8, Code::BadGeometry),
        ("capacity whose band wraps", CHANNEL_0 + 8, 1 << 62, 8, Code::BadGeometry),
        ("capacity past the end", CHANNEL_0 + 8, 1 << 10, 8, Code::BadGeometry),
        ("band unaligned", CHANNEL_0 + 16, HEADER as u64 + 8, 8, Code::BadGeometry),
        ("band in the header", CHANNEL_0 + 16, 128, 8, Code::BadGeometry),
        ("band that wraps", CHANNEL_0 + 16, u64::MAX - 127, 8, Code::BadGeometry),
        ("band of another", CHANNEL_0 + 16, (HEADER + 4 * SLOT + 127) as u64 & !127, 8, Code::BadGeometry),
        ("channel_id", CHANNEL_0, 1, 4, Code::BadGeometry),
        ("tail ahead", CHANNEL_0 + 128, 7, 8, Code::Corrupt),
        ("tail behind", CHANNEL_0 + 128, 1, 8, Code::Corrupt),
    ];
    for (word, at, value, size, expected) in faults {
        let name = base("faults");
        attach(&name).expect("the base is sound");
        name.poke(at, &value.to_le_bytes()[..size]);
        assert_eq!(attach(&name).expect_err(word).code(), expected, "{word}");
    }
}

#[test]
fn short_files_are_truncated() {
    let name = base("short");
    for size in [HEADER as u64 - 1, 100, 1, 0] {
        std::fs::OpenOptions::new().write(true).open(name.path()).and_then(|file| file.set_len(size)).expect("we own it");
        assert_eq!(attach(&name).expect_err("short").code(), Code::Truncated, "{size}");
    }
    drop(name);
    assert_eq!(attach(&Name::new("absent")).expect_err("absent").code(), Code::NotFound);
}

#[test]
fn a_creator_in_the_middle_is_waited_for() {
    let name = base("ready");
    name.poke(0, &[0; 8]);
    let began = Instant::now();
    let refused = OpenOptions::new().ready_timeout(Duration::from_millis(50)).open(&name.0).expect_err("never published");
    assert_eq!(refused.code(), Code::NotReady);
    assert!(began.elapsed() >= Duration::from_millis(50));
    std::thread::scope(|scope| {
        let opener = scope.spawn(|| OpenOptions::new().ready_timeout(Duration::from_secs(20)).open(&name.0).map(|_| ()));
        std::thread::sleep(Duration::from_millis(20));
        name.poke(0, &0x444D_5850_5F4D_454D_u64.to_le_bytes());
        opener.join().expect("no panic").expect("published in time");
    });
}

#[test]
fn an_impossible_length_is_taken_and_released() {
    let name = base("length");
    name.poke(HEADER + 2 * SLOT + 40, &1025_u32.to_le_bytes());
    let segment = OpenOptions::new().open(&name.0).expect("the header is sound");
    assert_eq!(segment.validate().expect_err("a finding").code(), Code::Corrupt);
    let channel = segment.attach(0).expect("the entry is sound");
    let looked: Vec<_> = channel.peek().map(|look| look.map(|(message, _)| message.position)).collect();
    assert_eq!(looked[0].as_ref().expect_err("corrupt").code(), Code::Corrupt);
    assert_eq!(*looked[1].as_ref().expect("sound"), 3);
    let mut buffer = [0; 2048];
    assert_eq!(channel.try_receive(&mut buffer).expect_err("corrupt").code(), Code::Corrupt);
    assert_eq!((name.u64_at(CHANNEL_0 + 256), name.u64_at(HEADER + 2 * SLOT)), (3, 6));
    assert_eq!(channel.try_receive(&mut buffer).expect("sound").done().expect("the next").position, 3);
}

#[test]
fn impossible_sequences_are_corrupt() {
    for sequence in [0_u64, 1, 7, 1 << 63] {
        let name = base("sequence");
        let segment = OpenOptions::new().open(&name.0).expect("the header is sound");
        let channel = segment.attach(0).expect("the entry is sound");
        name.poke(HEADER + 2 * SLOT, &sequence.to_le_bytes());
        assert_eq!(channel.try_receive(&mut [0; 100]).expect_err("corrupt").code(), Code::Corrupt, "{sequence}");
        assert_eq!(channel.peek().next().expect("an item").expect_err("corrupt").code(), Code::Corrupt, "{sequence}");
        assert_eq!(segment.validate().expect_err("a finding").code(), Code::Corrupt, "{sequence}");
        name.poke(HEADER, &sequence.wrapping_add(40).to_le_bytes());
        assert_eq!(channel.try_send(b"", &Meta::new()).expect_err("corrupt").code(), Code::Corrupt, "{sequence}");
        assert_eq!(channel.try_send_batch(&[Item::new(b"")]).expect_err("corrupt").code(), Code::Corrupt, "{sequence}");
        assert_eq!(channel.claim().expect_err("corrupt").code(), Code::Corrupt, "{sequence}");
    }
}

/// Offsets of fields, so that mutations hit them more often than random bytes would.
fn field(random: &mut Random) -> (usize, usize) {
    let entry = CHANNEL_0 + 384 * random.below(3) as usize;
    let slot = HEADER + SLOT * random.below(4) as usize;
    match random.below(8) {
        0 => ([0, 8, 12, 16, 20][random.below(5) as usize], 4),
        1 | 2 => (entry + [8, 16, 32, 128, 256][random.below(5) as usize], 8),
        3 => (entry + [0, 4, 24, 28][random.below(4) as usize], 4),
        4 | 5 => (slot, 8),
        6 => (slot + [36, 38, 40][random.below(3) as usize], 2),
        _ => (random.below(HEADER as u64 + 6 * SLOT as u64) as usize & !7, 8),
    }
}

fn value(random: &mut Random, old: u64) -> u64 {
    match random.below(7) {
        0 => 0,
        1 => u64::MAX,
        2 => old.wrapping_add(random.below(9)).wrapping_sub(4),
        3 => old ^ 1 << random.below(64),
        4 => 1 << random.below(64),
        5 => random.below(16),
        _ => random.next(),
    }
}

/// Do everything; only answers and errors may come of it.
fn exercise(name: &Name, choice: PayloadChoice) -> Result<u32, Error> {
    let reader = OpenOptions::new().read_only(true).payload_choice(choice).open(&name.0)?;
    let before = name.bytes();
    let mut done = 0;
    for id in reader.channels().into_iter().take(8) {
        done += reader.attach(id).map_or(0, |channel| channel.peek().filter(Result::is_ok).count() as u32);
    }
    let _ = reader.validate();
    assert!(name.bytes() == before, "a reader has changed the segment");
    let segment = OpenOptions::new().payload_choice(choice).open(&name.0)?;
    let mut buffer = [0; 3000];
    for channel in (0..3).filter_map(|id| segment.attach(id).ok()) {
        let _ = channel.try_send(&[7; 960], &Meta::new());
        let _ = channel.try_send_batch(&[Item::new(b"a"), Item::new(b"b")]);
        let _ = channel.try_receive_batch(&mut buffer, &mut [Message::default(); 3]);
        let _ = channel.receive(&mut buffer, Duration::ZERO);
        drop(channel.claim());
        while let Ok(Answer::Done(_)) = channel.try_receive(&mut buffer) {
            done += 1;
            assert!(done < 10_000, "more messages than slots");
        }
    }
    let _ = segment.recover(true);
    let _ = segment.create_channel(2, &ChannelOptions::new().capacity(2));
    let _ = segment.remove_channel(0);
    Ok(done)
}

#[test]
fn any_bytes_at_all() {
    let mut random = Random::new(0x5EED_0001);
    let template = base("mutations");
    let sound = template.bytes();
    let (began, mut survived) = (Instant::now(), 0);
    for round in 0..1500 {
        let name = Name::new("mutant");
        let mut bytes = sound.clone();
        for _ in 0..=random.below(3) {
            let (at, size) = field(&mut random);
            let mut old = [0; 8];
            old[..size].copy_from_slice(&bytes[at..at + size]);
            let new = value(&mut random, u64::from_le_bytes(old));
            bytes[at..at + size].copy_from_slice(&new.to_le_bytes()[..size]);
        }
        std::fs::write(name.path(), &bytes).expect("a new file");
        let choice =
            if round % 2 == 0 { PayloadChoice::Auto } else { PayloadChoice::Always(shmwire::dmxp::PayloadLayout::Crate) };
        survived += u32::from(exercise(&name, choice).is_ok());
        assert!(began.elapsed() < Duration::from_secs(120), "round {round} took too long");
    }
    assert!(survived > 300, "the mutations leave too little to exercise: {survived}");
}
