// SPDX-License-Identifier: MIT
//! Profile ouroboros: a log in use, in one process.

mod common;

use std::time::{Duration, Instant};

use common::{drain, read_log, with_log, Name, Random};
use shmwire::ouroboros::{CreateOptions, Entry, OpenOptions, Reader, ResumeOptions, Start};
use shmwire::{Answer, Code, Wait};

fn sequences(entries: &[(Entry, Vec<u8>)]) -> Vec<u64> {
    entries.iter().map(|(entry, _)| entry.sequence).collect()
}

fn payload(sequence: u64) -> Vec<u8> {
    (0..1 + sequence % 37).map(|i| (sequence * 31 + i) as u8).collect()
}

/// The next entry, checked against its sequence.
fn next(reader: &mut Reader) -> Option<Entry> {
    let mut buffer = [0; 64];
    let entry = reader.next(&mut buffer).expect("sound").done()?;
    assert_eq!(entry.payload(&buffer), payload(entry.sequence));
    Some(entry)
}

#[test]
fn starts() {
    let (name, mut writer) = with_log("o-starts", 4, 64);
    let mut early = read_log(&name, Start::Latest);
    assert_eq!((early.info().next_sequence, next(&mut early)), (1, None));
    for _ in 0..10 {
        writer.write(&[1; 12]).expect("it fits"); // 16 bytes: chunks of 4
    }
    let first = |start| sequences(&drain(&mut read_log(&name, start)))[0];
    assert_eq!((first(Start::Auto), first(Start::Latest), first(Start::Oldest)), (1, 9, 1));
    for _ in 10..19 {
        writer.write(&[1; 12]).expect("it fits"); // entry 17 begins the second lap
    }
    assert_eq!((first(Start::Auto), first(Start::Latest), first(Start::Oldest)), (17, 17, 5));
    let mut reader = read_log(&name, Start::Oldest);
    assert_eq!(sequences(&drain(&mut reader)), (5..=19).collect::<Vec<_>>());
    reader.seek(Start::Latest);
    assert_eq!(sequences(&drain(&mut reader)), [17, 18, 19]);
    let info = reader.info();
    assert_eq!((info.total_entries_read, info.total_skipped, info.next_sequence), (18, 0, 20));
}

/// Readers of every speed over many laps: each sequence once, in order, and what is missing is told to the entry.
#[test]
fn laps_and_exact_skips() {
    let mut random = Random::new(0x0B0B_0001);
    for (chunks, target) in [(1, 200), (2, 64), (3, 100), (4, 256), (16, 40)] {
        let (name, mut writer) = with_log("o-skips", chunks, target);
        let mut readers: Vec<(Reader, u64, u64)> = (0..3).map(|_| (read_log(&name, Start::Auto), 0, 0)).collect();
        for sequence in 1..=3000_u64 {
            assert_eq!(writer.write(&payload(sequence)).expect("it fits"), sequence);
            for (speed, (reader, last, skipped)) in readers.iter_mut().enumerate() {
                if random.below(1 << (3 * speed)) != 0 {
                    continue;
                }
                for _ in 0..random.below(20) {
                    let entry = match next(reader) {
                        Some(entry) => entry,
                        None => break,
                    };
                    assert_eq!(entry.sequence, *last + 1 + entry.skipped, "{chunks} chunks of {target}");
                    *last = entry.sequence;
                    *skipped += entry.skipped;
                }
            }
        }
        for (reader, last, skipped) in &mut readers {
            while let Some(entry) = next(reader) {
                assert_eq!(entry.sequence, *last + 1 + entry.skipped);
                *last = entry.sequence;
                *skipped += entry.skipped;
            }
            let info = reader.info();
            assert_eq!((*last, info.total_skipped, info.total_entries_read + *skipped), (3000, *skipped, 3000));
        }
        assert!(readers[2].2 > 0, "{chunks} chunks of {target}: nobody was overtaken");
        readers[0].0.validate().expect("a sound segment");
    }
}

/// A reader that is caught up passes a chunk boundary before its row is committed: it adopts the row later and repeats nothing.
#[test]
fn boundaries_without_repeats() {
    let (name, mut writer) = with_log("o-boundary", 4, 64);
    let mut reader = read_log(&name, Start::Auto);
    let mut seen = Vec::new();
    for sequence in 1..=40_u64 {
        writer.write(&[sequence as u8; 12]).expect("it fits");
        if sequence == 5 {
            // As a writer leaves it between entry 5 and the commitment of row 1.
            name.poke(16 + 16, &(16 + 64 + 4 * 16_u64).to_le_bytes());
        }
        seen.extend(drain(&mut reader).iter().map(|(entry, _)| (entry.sequence, entry.chunk, entry.token)));
        if sequence == 5 {
            assert_eq!(seen.last(), Some(&(5, 0, 0)), "still of the chunk before");
            name.poke(16 + 16, &((16 + 64 + 4 * 16_u64) | 1 << 63).to_le_bytes());
        }
    }
    for (i, &(sequence, chunk, token)) in seen.iter().enumerate() {
        assert_eq!(sequence, i as u64 + 1);
        let expected = ((sequence - 1) / 4 % 4, (sequence - 1) / 4 * 4);
        assert!((u64::from(chunk), token) == expected || sequence == 5, "entry {sequence} in chunk {chunk} of token {token}");
    }
    assert_eq!((seen.len(), reader.info().total_skipped), (40, 0));
}

#[test]
fn empty_and_too_large_are_refused() {
    let (name, mut writer) = with_log("o-refused", 2, 64);
    let before = name.bytes();
    let most = writer.info().max_payload as usize;
    assert_eq!(writer.write(b"").expect_err("empty").code(), Code::InvalidArgument);
    assert_eq!(writer.write(&vec![0; most + 1]).expect_err("too large").code(), Code::TooLarge);
    assert_eq!((name.bytes() == before, writer.info().entries_written), (true, 0));
    assert_eq!(writer.write(&vec![7; most]).expect("the largest"), 1);
    assert_eq!(drain(&mut read_log(&name, Start::Auto))[0].1, vec![7; most]);
}

#[test]
fn small_buffers_and_batches() {
    let (name, mut writer) = with_log("o-batch", 4, 256);
    for length in [10_usize, 20, 30, 40] {
        writer.write(&vec![length as u8; length]).expect("it fits");
    }
    let mut reader = read_log(&name, Start::Auto);
    let refused = reader.next(&mut [0; 9]).expect_err("too small");
    assert_eq!(refused.to_string(), "the buffer is too small: the payload takes 10 bytes");
    let (mut buffer, mut entries) = ([0; 65], [Entry::default(); 8]);
    assert_eq!(reader.next_batch(&mut buffer, &mut []).expect_err("no room").code(), Code::InvalidArgument);
    assert_eq!(reader.next_batch(&mut buffer, &mut entries).expect("sound"), Answer::Done(3));
    let lengths: Vec<_> = entries[..3].iter().map(|entry| (entry.payload(&buffer)[0], entry.length)).collect();
    assert_eq!(lengths, [(10, 10), (20, 20), (30, 30)]);
    assert_eq!(reader.next_batch(&mut buffer[..39], &mut entries).expect_err("too small").code(), Code::TooSmall);
    assert_eq!(reader.next_batch(&mut buffer, &mut entries[..1]).expect("sound"), Answer::Done(1));
    assert_eq!(reader.next_batch(&mut buffer, &mut entries).expect("sound"), Answer::Empty);
    assert_eq!(reader.info().total_entries_read, 4);
}

#[test]
fn views_tell_when_they_are_over() {
    let (name, mut writer) = with_log("o-view", 2, 1000);
    let data: Vec<u8> = (0..777_u32).map(|i| (i * 7) as u8).collect();
    writer.write(&data).expect("it fits");
    let mut reader = read_log(&name, Start::Auto);
    let kept = reader.next_view().expect("sound").done().expect("an entry").keep();
    let view = kept.view();
    assert!(matches!(reader.next_view().expect("sound"), Answer::Empty));
    for offset in 0..9 {
        for length in [0, 1, 2, 3, 4, 5, 11, 700] {
            let mut part = vec![0; length];
            view.read_at(offset, &mut part).expect("inside");
            assert_eq!(part, data[offset..offset + length], "{offset}, {length}");
        }
    }
    assert_eq!(view.read_at(777, &mut [0]).expect_err("outside").code(), Code::InvalidArgument);
    assert_eq!(view.copy_to(&mut [0; 776]).expect_err("too small").code(), Code::TooSmall);
    let (mut whole, mut pieces) = ([0; 777], Vec::new());
    assert_eq!(view.copy_to(&mut whole).expect("it fits"), Answer::Done(()));
    assert_eq!(view.each(|piece| pieces.extend_from_slice(piece)), Answer::Done(()));
    assert!(whole[..] == data && pieces == data);
    writer.write(&[1; 777]).expect("it fits");
    assert_eq!(view.check(), Answer::Done(()), "chunk 0 has not been begun again");
    drop(reader);
    writer.write(&[2; 777]).expect("it fits");
    assert_eq!((view.check(), view.each(|_| {})), (Answer::Lapped, Answer::Lapped));
    assert_eq!(view.entry().sequence, 1);
}

#[test]
fn one_writer() {
    let (name, mut writer) = with_log("o-busy", 2, 64);
    writer.write(b"mine").expect("it fits");
    let before = name.bytes();
    assert_eq!(ResumeOptions::new().resume(&name.0).expect_err("there is one").code(), Code::Busy);
    assert_eq!(CreateOptions::new().create(&name.0).expect_err("there is one").code(), Code::Exists);
    assert!(name.bytes() == before);
    drop(writer);
    let mut second = ResumeOptions::new().resume(&name.0).expect("no writer is there");
    assert_eq!(second.write(b"too").expect("it fits"), 2);
    assert_eq!(ResumeOptions::new().resume(&name.0).expect_err("there is one").code(), Code::Busy);
}

/// Given up after any number of entries, a log goes on as if it had not been.
#[test]
fn resuming_changes_nothing() {
    for (chunks, target) in [(1, 120), (2, 64), (4, 100)] {
        let (whole, mut steady) = with_log("o-steady", chunks, target);
        let (name, writer) = with_log("o-resumed", chunks, target);
        let mut reader = read_log(&name, Start::Auto);
        drop(writer);
        for sequence in 1..=120 {
            steady.write(&payload(sequence)).expect("it fits");
            let mut writer = ResumeOptions::new().chunk_target_size(target).resume(&name.0).expect("no writer is there");
            assert_eq!(writer.write(&payload(sequence)).expect("it fits"), sequence, "{chunks} chunks of {target}");
            assert!(name.bytes() == whole.bytes(), "{chunks} chunks of {target}, entry {sequence}");
            let entry = next(&mut reader).expect("the entry");
            assert_eq!((entry.sequence, entry.skipped), (sequence, 0));
        }
    }
}

/// An entry that its writer did not finish is no entry, and the next writer goes over it.
#[test]
fn resuming_behind_the_dead() {
    let (name, mut writer) = with_log("o-dead", 4, 64);
    writer.write(b"whole").expect("it fits");
    drop(writer);
    name.poke(80 + 12, &9_u32.to_le_bytes());
    name.poke(80 + 16, b"hal");
    let mut reader = read_log(&name, Start::Auto);
    assert_eq!(sequences(&drain(&mut reader)), [1]);
    let mut writer = ResumeOptions::new().resume(&name.0).expect("no writer is there");
    assert_eq!(writer.write(b"next").expect("it fits"), 2);
    assert_eq!(drain(&mut reader)[0].1, b"next");
}

#[test]
fn waiting() {
    let (name, mut writer) = with_log("o-wait", 2, 4096);
    let mut reader = read_log(&name, Start::Auto);
    let began = Instant::now();
    assert_eq!(reader.wait_next(&mut [0; 16], Duration::from_millis(30)).expect("sound"), Answer::Timeout);
    assert!(began.elapsed() >= Duration::from_millis(30));
    assert_eq!(reader.wait_next(&mut [0; 16], Duration::ZERO).expect("sound"), Answer::Timeout);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let wait = Wait::at_most(Duration::from_secs(20)).spin(Duration::from_micros(50));
            reader.wait_next(&mut [0; 16], wait).expect("sound").done().expect("in time")
        });
        std::thread::sleep(Duration::from_millis(20));
        writer.write(b"wake").expect("it fits");
        assert_eq!(waits.join().expect("no panic").sequence, 1);
    });
    let absent = Name::new("o-absent");
    assert_eq!(OpenOptions::new().open(&absent.0).expect_err("absent").code(), Code::NotFound);
}

/// A writer at full speed and readers that it overtakes all the time: every entry delivered is whole.
#[test]
fn threads_read_whole_entries() {
    const COUNT: u64 = 60_000;
    let (name, mut writer) = with_log("o-threads", 3, 300);
    let follow = |start| {
        let mut reader = read_log(&name, start);
        let (mut last, mut missed) = (0, 0);
        let began = Instant::now();
        while last < COUNT {
            match next(&mut reader) {
                Some(entry) => {
                    assert!(last == 0 || entry.sequence == last + 1 + entry.skipped);
                    missed += if last == 0 { entry.sequence - 1 } else { entry.skipped };
                    last = entry.sequence;
                }
                None => std::thread::yield_now(),
            }
            assert!(began.elapsed() < Duration::from_secs(25), "the last entry has not come");
        }
        (reader.info().total_entries_read, missed)
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = [Start::Auto, Start::Oldest].map(|start| scope.spawn(move || follow(start))).into_iter().collect();
        for sequence in 1..=COUNT {
            writer.write(&payload(sequence)).expect("it fits");
            if sequence % 512 == 0 {
                std::thread::yield_now();
            }
        }
        for reader in readers {
            let (read, missed) = reader.join().expect("no panic");
            assert_eq!(read + missed, COUNT);
        }
    });
}
