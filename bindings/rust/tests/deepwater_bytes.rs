// SPDX-License-Identifier: MIT
//! What a feed looks like in memory and on the disk, byte for byte, as the chapter has it.

#[path = "common/feeds.rs"]
#[allow(dead_code)]
mod feeds;

use feeds::*;
use shmwire::deepwater::{self, Identity, Options, Start};

fn marked(options: Options) -> Options {
    options.identity(Identity { pid: 4242, clock_ns: 1_700_000_000_000_000_000, boot_ns: 5_000_000_000_000 })
}

#[test]
fn registries_are_as_described() {
    let base = Base::new("registries");
    let writer = base.writer(&marked(small().persist(true).live_window(2).rotate_ns(99)));
    let registry = std::fs::read(base.registry()).expect("the registry");
    assert_eq!(
        (registry.len(), &registry[..8], &registry[8..20]),
        (128 + 4 * 256, &b"DWGREG01"[..], &[1, 0, 0, 0, 0, 1, 0, 0, 4, 0, 0, 0][..])
    );
    assert_eq!((u64_at(&base.registry(), 24), u64_at(&base.registry(), 32)), (1, 1));
    let entry = &registry[128..384];
    assert!(entry.starts_with(b"feed\0") && entry[64..].starts_with(b"feed\0"));
    let mut expected = vec![0; 96];
    for (at, value) in [(4, 1), (16, 2)] {
        expected[at] = value; // flags, live_window
    }
    expected[8..16].copy_from_slice(&4096_u64.to_le_bytes());
    expected[24..32].copy_from_slice(&1_700_000_000_000_000_000_u64.to_le_bytes());
    expected[32..40].copy_from_slice(&99_u64.to_le_bytes());
    assert_eq!(&entry[160..], expected);
    let feed = std::fs::read(base.feed_registry()).expect("the feed's registry");
    assert_eq!((feed.len(), &feed[..8]), (128 + 16 * 128, &b"DWFREG01"[..]));
    assert_eq!((u32_at(&base.feed_registry(), 20), u64_at(&base.feed_registry(), 56)), (4242, 5_000_000_000_000));
    assert_eq!((u64_at(&base.feed_registry(), 32), u64_at(&base.feed_registry(), 48)), (u64::MAX, u64::MAX));
    assert!(feed[128..].iter().all(|&byte| byte == 0));
    drop(writer);
    assert_eq!(u32_at(&base.feed_registry(), 20), 0);
}

#[test]
fn records_are_placed_at_multiples_of_8() {
    let base = Base::new("placing");
    let mut writer = base.writer(&marked(small()));
    for (time, data) in [(5, &b"abc"[..]), (5, b""), (9, b"0123456789"), (9, b"z")] {
        writer.append(time, 0x0102_0304, data).expect("appended");
    }
    let data = std::fs::read(base.memory(0, "data")).expect("its data");
    let index = std::fs::read(base.memory(0, "idx")).expect("its index");
    assert_eq!((data.len(), index.len()), (64 + 4096, 64 + 32 * 128));
    assert_eq!((&data[..8], &index[..8]), (&b"DWCHNK01"[..], &b"DWINDX01"[..]));
    assert_eq!(&data[64..90], b"abc\0\0\0\0\x000123456789\0\0\0\0\0\0z\0");
    assert_eq!((u64_at(&base.memory(0, "data"), 24), u64_at(&base.memory(0, "idx"), 24)), (25, 4));
    let entry = &index[64 + 2 * 32..][..32];
    let mut expected = Vec::new();
    [9_u64, 8].iter().for_each(|number| expected.extend(number.to_le_bytes()));
    [10_u32, 0x0102_0304].iter().for_each(|number| expected.extend(number.to_le_bytes()));
    expected.extend(2_u64.to_le_bytes());
    assert_eq!(entry, expected);
    assert_eq!((u64_at(&base.feed_registry(), 40), u64_at(&base.feed_registry(), 48)), (9, 3));
    assert_eq!(u64_at(&base.feed_registry(), ROW_0 + 32), 5); // start_ns
}

#[test]
fn records_of_one_size_lie_side_by_side() {
    let base = Base::new("sizes");
    let mut writer = base.writer(&small().record_size(3));
    assert_eq!(writer.append(1, 0, b"four").expect_err("another size").code().name(), "INVALID_ARGUMENT");
    for data in [b"abc", b"def"] {
        writer.append(1, 0, data).expect("appended");
    }
    let data = std::fs::read(base.memory(0, "data")).expect("its data");
    assert_eq!(&data[64..72], b"abcdef\0\0");
    assert_eq!(std::fs::metadata(base.memory(0, "idx")).expect("its index").len(), 64 + 32 * (4096 / 3));
}

#[test]
fn persisted_chunks_are_trimmed_and_have_crcs() {
    let base = Base::new("persisted");
    let mut writer = base.writer(&marked(small().persist(true)));
    fill(&mut writer, 3);
    writer.close().expect("flushed");
    assert_eq!(base.in_memory(), Vec::<String>::new());
    let data = std::fs::read(base.file(0, "data")).expect("its data");
    let index = std::fs::read(base.file(0, "idx")).expect("its index");
    assert_eq!((data.len(), index.len()), (64 + 42, 64 + 3 * 32));
    assert_eq!((data[12], u64_at(&base.file(0, "data"), 24), u64_at(&base.file(0, "data"), 40)), (1, 42, 42));
    assert_eq!((u64_at(&base.file(0, "idx"), 24), u64_at(&base.file(0, "idx"), 32)), (3, 3));
    let row = |at| u32_at(&base.feed_registry(), ROW_0 + at);
    assert_eq!((row(8), row(12)), (4, 3)); // two changes: sealed, persisted
    assert_eq!((row(64), row(68)), (crc32fast::hash(&data[64..]), crc32fast::hash(&index[64..])));
    deepwater::validate(&base.0, "feed").expect("whole");
    poke(&base.file(0, "data"), 70, b"!");
    let finding = deepwater::validate(&base.0, "feed").expect_err("changed");
    assert_eq!((finding.chunk, finding.error.code().name()), (Some(0), "CORRUPT"));
    assert_eq!(sequences(&mut base.reader(Start::Oldest)), [0, 1, 2]); // reading computes no CRC
}

#[test]
fn stamps_count_changes_and_nothing_moves_the_signal() {
    let base = Base::new("stamps");
    let mut writer = base.writer(&small().live_window(1));
    fill(&mut writer, 1);
    writer.rotate().expect("a new chunk");
    assert_eq!(base.in_memory(), ["feed.1.data", "feed.1.idx"]);
    assert_eq!((u32_at(&base.feed_registry(), ROW_0 + 8), u32_at(&base.feed_registry(), ROW_0 + 12)), (4, 4));
    writer.rotate().expect("nothing to do");
    assert_eq!(u64_at(&base.feed_registry(), 24), 2);
    writer.close().expect("left");
    assert_eq!((u32_at(&base.feed_registry(), 64), u32_at(&base.feed_registry(), 68)), (0, 0)); // nobody slept
    assert_eq!(u32_at(&base.feed_registry(), ROW_0 + ROW + 12), 4);
}
