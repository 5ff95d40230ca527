// SPDX-License-Identifier: MIT
//! Profile ouroboros: what stands in the segment, byte for byte.

mod common;

use common::{capture, drain, read_log, with_log, Name};
use shmwire::ouroboros::{CreateOptions, ResumeOptions, Start};

const C: u32 = 1 << 31;
const ROW_C: u64 = 1 << 63;

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn put_row(bytes: &mut [u8], row: usize, offset: u64, token: u64) {
    put(bytes, 16 + 16 * row, &offset.to_le_bytes());
    put(bytes, 24 + 16 * row, &token.to_le_bytes());
}

fn put_entry(bytes: &mut [u8], at: usize, payload: &[u8]) {
    put(bytes, at, &((payload.len() as u32 + 4) | C).to_le_bytes());
    put(bytes, at + 4, payload);
}

fn put_word(bytes: &mut [u8], at: usize, word: u32) {
    put(bytes, at, &word.to_le_bytes());
}

/// A new segment as the specification lays it out.
fn fresh(size: usize, chunk_count: u32) -> Vec<u8> {
    let mut bytes = vec![0; size];
    put(&mut bytes, 0, b"GOLBORUO");
    put_word(&mut bytes, 8, 1);
    put_word(&mut bytes, 12, chunk_count);
    put_row(&mut bytes, 0, (16 + 16 * u64::from(chunk_count)) | ROW_C, 0);
    bytes
}

#[test]
fn a_new_segment() {
    let (name, writer) = with_log("o-new", 3, 100);
    assert_eq!(name.bytes(), fresh(16 + 16 * 3 + 300, 3));
    let info = writer.info();
    assert_eq!((info.size, info.max_payload, info.entries_written), (364, 364 - 64 - 4, 0));
}

/// 2 chunks of target 32 in 112 bytes: chunk boundary, wrap mark, the next lap, a row cleared because a header would go there.
#[test]
fn two_laps_entry_by_entry() {
    let (name, mut writer) = with_log("o-laps", 2, 32);
    let mut expected = fresh(112, 2);
    let mut write = |expected: &[u8], n: u8| {
        assert_eq!(writer.write(&[n; 8]).expect("it fits"), u64::from(n));
        assert_eq!(name.bytes(), expected, "after entry {n}");
    };
    for (n, at) in [(1, 48), (2, 60), (3, 72)] {
        put_entry(&mut expected, at, &[n; 8]);
        write(&expected, n);
    }
    put_row(&mut expected, 1, 84 | ROW_C, 3);
    put_entry(&mut expected, 84, &[4; 8]);
    write(&expected, 4);
    put_entry(&mut expected, 96, &[5; 8]);
    write(&expected, 5);
    put_word(&mut expected, 108, 1 | C);
    put_row(&mut expected, 0, 48 | ROW_C, 5);
    put_entry(&mut expected, 48, &[6; 8]);
    put_word(&mut expected, 60, 0);
    write(&expected, 6);
    put_entry(&mut expected, 60, &[7; 8]);
    put_word(&mut expected, 72, 0);
    write(&expected, 7);
    put_entry(&mut expected, 72, &[8; 8]);
    put_row(&mut expected, 1, 0, 0);
    put_word(&mut expected, 84, 0);
    write(&expected, 8);
    put_row(&mut expected, 1, 84 | ROW_C, 8);
    put_entry(&mut expected, 84, &[9; 8]);
    put_word(&mut expected, 96, 0);
    write(&expected, 9);
}

/// Payloads of every length modulo 4, up to the last byte of a size that is no multiple of 4; padding keeps what was there.
#[test]
fn odd_lengths_and_an_odd_end() {
    let name = Name::new("o-odd");
    let mut writer = CreateOptions::new().chunk_count(1).size(32 + 8 + 8 + 8 + 7).create(&name.0).expect("a new name");
    let mut expected = fresh(63, 1);
    for (at, payload) in [(32, &b"a"[..]), (40, b"bc"), (48, b"def"), (56, b"ghi")] {
        writer.write(payload).expect("it fits");
        put_entry(&mut expected, at, payload);
        assert_eq!(name.bytes(), expected, "{at}");
    }
    let read: Vec<_> = drain(&mut read_log(&name, Start::Auto)).into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(read, [&b"a"[..], b"bc", b"def", b"ghi"]);
    writer.write(b"z").expect("the next lap");
    put_row(&mut expected, 0, 32 | ROW_C, 4);
    put_entry(&mut expected, 32, b"z");
    put_word(&mut expected, 40, 0);
    assert_eq!(name.bytes(), expected, "no room for a mark: the wrap is implicit");
    drop(writer);
    let mut writer = ResumeOptions::new().resume(&name.0).expect("no writer is there");
    assert_eq!(writer.write(&[b'y'; 27]).expect("to the last byte"), 6);
    let again = drain(&mut read_log(&name, Start::Auto));
    assert_eq!(again.len(), 1, "27 bytes do not fit behind entry 5: another lap");
    assert_eq!((again[0].0.sequence, &again[0].1[..]), (6, &[b'y'; 27][..]));
    assert_eq!(writer.write(&[0; 28]).expect_err("one more").code().name(), "TOO_LARGE");
}

/// What the source system wrote, written again.
#[test]
fn captured_payloads_give_the_captured_bytes() {
    let captured = capture("ouroboros", "first-lap");
    let original = Name::with_bytes("o-captured", &captured);
    let entries = drain(&mut read_log(&original, Start::Auto));
    assert_eq!(entries.len(), 12);
    let (name, mut writer) = with_log("o-again", 4, 256);
    for (entry, payload) in &entries {
        assert_eq!(writer.write(payload).expect("it fits"), entry.sequence);
    }
    assert!(name.bytes() == captured);
    assert_eq!((entries[10].0.chunk, entries[11].0.chunk, entries[11].0.token), (0, 1, 11));
    assert_eq!(original.bytes(), captured, "readers change nothing");
    let (empty, _writer) = with_log("o-empty", 4, 256);
    assert!(empty.bytes() == capture("ouroboros", "empty"));
}

/// The rows of a capture say which sequences are left; walking its bytes gives their payloads.
#[test]
fn captures_are_read_entry_by_entry() {
    for word in ["first-lap", "three-laps-ascii", "one-chunk"] {
        let bytes = capture("ouroboros", word);
        let name = Name::with_bytes("o-walk", &bytes);
        for start in [Start::Latest, Start::Oldest] {
            let mut next = None;
            for (entry, payload) in drain(&mut read_log(&name, start)) {
                let row = 16 + 16 * entry.chunk as usize;
                let word64 = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
                assert_eq!(word64(row + 8), entry.token, "{word}");
                let (mut at, mut sequence) = ((word64(row) & !ROW_C) as usize, entry.token + 1);
                while sequence < entry.sequence {
                    let header = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
                    at = (at + (header & !C) as usize + 3) & !3;
                    sequence += 1;
                }
                assert_eq!(&bytes[at + 4..at + 4 + entry.length], payload, "{word}, entry {sequence}");
                assert!(next.map_or(true, |next| next == sequence) && entry.skipped == 0, "{word}, entry {sequence}");
                next = Some(sequence + 1);
            }
            assert!(next.is_some(), "{word}: nothing was read");
        }
        read_log(&name, Start::Auto).validate().expect("a sound segment");
    }
}
