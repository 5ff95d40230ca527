// SPDX-License-Identifier: MIT
//! Reading on over the ends of chunks, choosing where to begin, what has expired.

#[path = "common/feeds.rs"]
#[allow(dead_code)]
mod feeds;

use std::time::Duration;

use feeds::*;
use shmwire::deepwater::{self, Cursor, Making, Options, Part, Reader, ReaderOptions, Start, Writer, STATE_EXPIRED, STATE_LIVE};
use shmwire::{Answer, Code, Error};

/// Four chunks of three records each, with timestamps 10 to 120, and the writer.
fn four_chunks(base: &Base, options: &Options) -> Writer {
    let mut writer = base.writer(options);
    for _ in 0..4 {
        writer.rotate().expect("a new chunk");
        fill(&mut writer, 3);
    }
    writer
}

fn lost(reader: &mut Reader) -> u64 {
    match reader.next() {
        Err(Error::Expired { lost }) => lost,
        other => panic!("{other:?} instead of EXPIRED"),
    }
}

fn is_empty(reader: &mut Reader) -> bool {
    matches!(reader.next(), Ok(Answer::Empty))
}

#[test]
fn records_come_in_order_wherever_they_are() {
    for persist in [false, true] {
        let base = Base::new(&format!("order-{persist}"));
        let mut writer = four_chunks(&base, &small().persist(persist).live_window(if persist { 1 } else { 4 }));
        let mut reader = base.reader(Start::Oldest);
        let records = drain(&mut reader).expect("sound");
        assert_eq!(records.len(), 12);
        for (i, (sequence, time, data)) in (0..).zip(&records) {
            assert_eq!((*sequence, *time, data.as_slice()), (i, 10 * (i + 1), format!("record {i:3}").as_bytes()));
        }
        fill(&mut writer, 1);
        assert_eq!((sequences(&mut reader), is_empty(&mut reader)), (vec![12], true));
    }
}

#[test]
fn chunks_are_rotated_when_they_are_full_or_old() {
    let base = Base::new("rotated");
    let mut writer = base.writer(&small().live_window(9).rotate_ns(100));
    for (time, length) in [(0, 4000), (0, 96), (0, 1), (99, 1), (100, 1), (199, 0), (200, 4096)] {
        writer.append(time, 0, &vec![1; length]).expect("appended");
    }
    let reader = base.reader(Start::Oldest);
    let counts: Vec<u64> = (0..4).map(|id| reader.chunk(id).expect("a chunk").record_count).collect();
    assert_eq!(counts, [2, 2, 2, 1]);
    assert_eq!(reader.chunk(3).expect("the last one").state, STATE_LIVE);
    assert_eq!(reader.chunk(4).expect_err("none").code(), Code::NotFound);
    assert_eq!(writer.append(200, 0, &[0; 4097]).expect_err("too long").code(), Code::TooLarge);
    assert_eq!(writer.append(199, 0, b"").expect_err("too early").code(), Code::OutOfOrder);
    assert_eq!(writer.feed().chunks, 4); // neither has changed anything
}

#[test]
fn a_feed_is_full_when_it_has_no_row_left() {
    let base = Base::new("full");
    let mut writer = base.writer(&small().rows(2));
    writer.append(1, 0, &[0; 4096]).expect("appended");
    let parts = [4096, 1].map(|length| vec![0; length]);
    let parts = [0, 1].map(|i: usize| Part { timestamp_ns: 2, kind: 0, data: &parts[i] });
    let mut appended = Vec::new();
    let error = writer.append_batch(&parts, |sequence| appended.push(sequence)).expect_err("the second does not fit");
    assert_eq!((error.code(), appended), (Code::Full, vec![1]));
    assert_eq!(writer.rotate().expect_err("no row").code(), Code::Full);
    writer.append(2, 0, b"").expect("this has room");
    assert_eq!(Writer::open(&base.0, "b", &small()).map(drop).map_err(|error| error.code()), Ok(()));
    for name in ["c", "d"] {
        Writer::open(&base.0, name, &small()).expect("there is room");
    }
    assert_eq!(Writer::open(&base.0, "e", &small()).expect_err("four feeds").code(), Code::Full);
    let names: Vec<String> = deepwater::feeds(&base.0).expect("a list").into_iter().map(|feed| feed.name).collect();
    assert_eq!(names, ["feed", "b", "c", "d"]);
}

#[test]
fn seeks_come_to_the_right_record() {
    let base = Base::new("seeks");
    let _writer = four_chunks(&base, &small().persist(true).live_window(2));
    for (start, first) in [
        (Start::Oldest, 0),
        (Start::Time(0), 0),
        (Start::Time(10), 0),
        (Start::Time(11), 1),
        (Start::Time(30), 2),
        (Start::Time(31), 3),
        (Start::Time(40), 3),
        (Start::Time(95), 9),
        (Start::Time(120), 11),
        (Start::Sequence(0), 0),
        (Start::Sequence(5), 5),
        (Start::Sequence(11), 11),
    ] {
        assert_eq!(sequences(&mut base.reader(start)), (first..12).collect::<Vec<u64>>(), "{start:?}");
    }
    for start in [Start::Latest, Start::Time(121), Start::Sequence(12), Start::Sequence(99), Start::Sequence(u64::MAX)] {
        let mut reader = base.reader(start);
        assert!(is_empty(&mut reader), "{start:?}");
        assert_eq!(reader.save().sequence, 12, "{start:?}");
    }
}

#[test]
fn ranges_have_both_ends() {
    let base = Base::new("ranges");
    let _writer = four_chunks(&base, &small().persist(true));
    let mut reader = base.reader(Start::Latest);
    for (from, to, expected) in
        [(0, 9, 0..0), (10, 10, 0..1), (25, 70, 2..7), (0, u64::MAX, 0..12), (121, 500, 0..0), (70, 60, 0..0)]
    {
        let mut found = Vec::new();
        let mut range = reader.range(from, to).expect("sound");
        while let Some(record) = range.next().expect("sound") {
            found.push(record.sequence);
        }
        assert_eq!(found, expected.collect::<Vec<u64>>(), "{from} to {to}");
    }
    assert!(reader.range(25, 70).expect("sound").next().expect("sound").is_some());
    assert_eq!(reader.next().expect("sound").done().expect("behind it").sequence, 3);
}

#[test]
fn what_has_expired_is_told_once() {
    let base = Base::new("expired");
    let mut writer = base.writer(&small().live_window(2));
    fill(&mut writer, 3);
    let (mut early, mut held) = (base.reader(Start::Oldest), base.reader(Start::Oldest));
    assert_eq!(held.next().expect("sound").done().expect("a record").sequence, 0);
    let cursor = held.save();
    for _ in 0..3 {
        writer.rotate().expect("a new chunk");
        fill(&mut writer, 3);
    }
    assert_eq!(early.chunk(0).expect("a chunk").state, STATE_EXPIRED);
    assert_eq!((lost(&mut early), sequences(&mut early)), (6, (6..12).collect()));
    // What is held stays readable when its name is gone.
    assert_eq!(held.next_batch(9).expect("sound").done().expect("records").len(), 2);
    assert_eq!((lost(&mut held), sequences(&mut held)), (3, (6..12).collect()));
    held.restore(cursor).expect("a place that is gone");
    assert_eq!((lost(&mut held), sequences(&mut held)), (5, (6..12).collect()));
    assert_eq!(sequences(&mut base.reader(Start::Oldest)), (6..12).collect::<Vec<u64>>());
    assert_eq!(sequences(&mut base.reader(Start::Time(10))), (6..12).collect::<Vec<u64>>());
    let mut gone = base.reader(Start::Sequence(1));
    assert_eq!(lost(&mut gone), 5);
    writer.close().expect("left");
    assert_eq!(base.in_memory(), Vec::<String>::new());
    assert_eq!((sequences(&mut base.reader(Start::Oldest)), base.reader(Start::Oldest).save().sequence), (vec![], 12));
    assert_eq!(lost(&mut base.reader(Start::Sequence(0))), 12);
}

#[test]
fn batches_end_with_their_chunk() {
    let base = Base::new("batches");
    let _writer = four_chunks(&base, &small());
    let mut reader = base.reader(Start::Sequence(1));
    let mut lengths = Vec::new();
    while let Answer::Done(records) = reader.next_batch(2).expect("sound") {
        lengths.push(records.map(|record| (record.sequence, record.chunk_id, record.kind)).collect::<Vec<_>>());
    }
    let expected: Vec<Vec<_>> = [1..3, 3..5, 5..6, 6..8, 8..9, 9..11, 11..12]
        .map(|range: std::ops::Range<u64>| range.map(|i| (i, i / 3, 7)).collect())
        .into();
    assert_eq!(lengths, expected);
    assert_eq!(reader.next_batch(0).expect_err("none").code(), Code::InvalidArgument);
}

#[test]
fn cursors_come_back_from_anywhere() {
    let base = Base::new("cursors");
    let mut writer = four_chunks(&base, &small().persist(true));
    let mut reader = base.reader(Start::Sequence(4));
    assert_eq!(reader.next().expect("sound").done().expect("a record").sequence, 4);
    let cursor = reader.save();
    assert_eq!(cursor, Cursor { chunk_id: 1, sequence: 5 });
    for hint in [0, 1, 3, 99, u64::MAX] {
        reader.restore(Cursor { chunk_id: hint, ..cursor }).expect("the sequence counts");
        assert_eq!(sequences(&mut reader), (5..12).collect::<Vec<u64>>(), "{hint}");
    }
    let end = reader.save();
    writer.rotate().expect("a new chunk");
    fill(&mut writer, 2);
    writer.close().expect("left");
    let mut other = base.reader(Start::Oldest);
    other.restore(end).expect("another reader's");
    assert_eq!(sequences(&mut other), [12, 13]);
}

#[test]
fn questions_are_answered_without_reading() {
    let base = Base::new("questions");
    let mut writer = base.writer(&small().persist(true));
    let reader = base.reader(Start::Oldest);
    assert_eq!((reader.has_data_since(0), reader.latest_chunk().map_err(|error| error.code())), (false, Err(Code::NotFound)));
    fill(&mut writer, 3);
    assert_eq!([30, 31].map(|time| reader.has_data_since(time)), [true, false]);
    let latest = reader.latest_chunk().expect("a chunk");
    assert_eq!((latest.chunk.chunk_id, latest.chunk.record_count, latest.chunk.end_ns, latest.chunk.data_bytes), (0, 3, 30, 42));
    assert_eq!(std::path::Path::new("/dev/shm").join(&latest.data_name[1..]), base.memory(0, "data"));
    let feed = reader.feed();
    assert_eq!(
        (feed.latest, feed.last_sequence, feed.writer_pid, feed.writer_lives),
        (Some(0), Some(2), std::process::id(), true)
    );
    writer.close().expect("left");
    let feed = reader.feed();
    assert_eq!((feed.latest, feed.writer_pid, feed.writer_lives, feed.chunks), (None, 0, false, 1));
    assert_eq!(reader.latest_chunk().expect_err("none").code(), Code::NotFound);
}

#[test]
fn feeds_end_when_they_are_retired() {
    let base = Base::new("retired");
    let mut writer = base.writer(&small().persist(true));
    assert_eq!(Writer::open(&base.0, "feed", &small()).expect_err("one writer").code(), Code::Busy);
    assert_eq!(deepwater::retire(&base.0, "feed").expect_err("it lives").code(), Code::Busy);
    assert_eq!(deepwater::collect(&base.0, "feed").expect_err("it lives").code(), Code::Busy);
    fill(&mut writer, 1);
    let mut reader = base.reader(Start::Oldest);
    let mut ending = Reader::open(&base.0, "feed", &ReaderOptions::new().end_with_writer(true)).expect("it is there");
    writer.close().expect("left");
    assert_eq!((sequences(&mut ending), ending.next().expect("sound").code()), (vec![0], Code::Closed));
    assert_eq!(
        base.writer(&small().making(Making::OpenOnly)).append(5, 0, b"").expect_err("time goes on").code(),
        Code::OutOfOrder
    );
    assert_eq!(Writer::open(&base.0, "feed", &small().making(Making::CreateOnly)).expect_err("it is there").code(), Code::Exists);
    deepwater::retire(&base.0, "feed").expect("nobody writes");
    assert_eq!((sequences(&mut reader), reader.next().expect("sound").code()), (vec![0], Code::Closed));
    assert_eq!(Writer::open(&base.0, "feed", &small()).expect_err("retired").code(), Code::Closed);
}

/// Where the stamp of the second row lies.
const STAMP: u64 = 128 + 128 + 8;

/// Four chunks whose writer has left; the row of the second one stands within a change, as a writer leaves it that dies there.
fn odd_row(word: &str) -> Base {
    let base = Base::new(word);
    four_chunks(&base, &small().persist(true)).close().expect("flushed");
    poke(&base.feed_registry(), STAMP, &[u32_at(&base.feed_registry(), STAMP) as u8 + 1]);
    base
}

#[test]
fn an_odd_row_is_no_damage() {
    let base = odd_row("odd-row");
    let mut reader = base.reader(Start::Oldest);
    assert_eq!((sequences(&mut reader), is_empty(&mut reader)), (vec![0, 1, 2], true));
    assert_eq!(reader.wait_next(Duration::from_millis(3)).expect("sound").code(), Code::Timeout);
    assert_eq!(reader.chunk(1).expect_err("odd").code(), Code::NotReady);
    assert_eq!(reader.seek(Start::Time(45)).expect_err("odd").code(), Code::NotReady);
    assert!(is_empty(&mut reader)); // it stayed
    let mut range = reader.range(20, 100).expect("sound");
    assert_eq!(range.next().expect("sound").expect("there is one").sequence, 1);
    assert_eq!(range.next().expect("sound").expect("there is one").sequence, 2);
    assert_eq!(range.next().expect_err("odd").code(), Code::NotReady);
    reader.seek(Start::Sequence(6)).expect("it needs no row");
    assert_eq!(sequences(&mut reader), (6..12).collect::<Vec<u64>>());
    reader.restore(Cursor { chunk_id: 1, sequence: 4 }).expect("it needs no row");
    assert!(is_empty(&mut reader));
    assert_eq!(deepwater::validate(&base.0, "feed").expect_err("odd").error.code(), Code::NotReady);
    deepwater::collect(&base.0, "feed").expect("nobody writes");
    assert_eq!(sequences(&mut reader), (4..12).collect::<Vec<u64>>());
    assert!(deepwater::validate(&base.0, "feed").is_ok());
}

#[test]
fn an_odd_row_behind_expired_ones() {
    let base = Base::new("odd-expired");
    four_chunks(&base, &small()).close().expect("left"); // all of them are gone
    poke(&base.feed_registry(), STAMP, &[u32_at(&base.feed_registry(), STAMP) as u8 + 1]);
    let open = |options: ReaderOptions| Reader::open(&base.0, "feed", &options);
    assert_eq!(open(ReaderOptions::new()).expect_err("odd").code(), Code::NotReady);
    let patient = ReaderOptions::new().ready_timeout(Duration::from_millis(1));
    assert_eq!(open(patient).expect_err("odd").code(), Code::NotReady);
    let mut reader = base.reader(Start::Sequence(0));
    assert_eq!((lost(&mut reader), is_empty(&mut reader)), (3, true));
    deepwater::collect(&base.0, "feed").expect("nobody writes");
    assert_eq!((lost(&mut reader), is_empty(&mut reader)), (9, true));
}

#[test]
fn an_odd_row_and_the_end() {
    let base = odd_row("odd-end");
    let mut ending = Reader::open(&base.0, "feed", &ReaderOptions::new().end_with_writer(true)).expect("it is there");
    assert_eq!((sequences(&mut ending), ending.next().expect("sound").code()), (vec![0, 1, 2], Code::Closed));
    deepwater::retire(&base.0, "feed").expect("nobody writes");
    let mut reader = base.reader(Start::Oldest);
    assert_eq!((sequences(&mut reader), is_empty(&mut reader)), (vec![0, 1, 2], true));
    deepwater::collect(&base.0, "feed").expect("nobody writes");
    assert_eq!((sequences(&mut reader).len(), reader.next().expect("sound").code()), (9, Code::Closed));
}

#[test]
fn waiting_ends_with_a_record_or_the_time() {
    let base = Base::new("waiting");
    let mut writer = base.writer(&small());
    for read_only in [false, true] {
        let mut reader =
            Reader::open(&base.0, "feed", &ReaderOptions::new().start(Start::Latest).read_only(read_only)).expect("it is there");
        assert_eq!(reader.wait_next(Duration::ZERO).expect("sound").code(), Code::Empty);
        assert_eq!(reader.wait_next(Duration::from_millis(3)).expect("sound").code(), Code::Timeout);
        let thread = std::thread::spawn(move || {
            let found = reader.wait_next(Duration::from_secs(60)).expect("sound").done().map(|record| record.sequence);
            found.expect("a record")
        });
        let next = writer.feed().last_sequence.map_or(0, |last| last + 1);
        if !read_only {
            // It counts itself before it sleeps; the count that the time limit above left is there already.
            assert_ne!(writer.feed().waiters, 0);
        }
        fill(&mut writer, 1);
        assert_eq!(thread.join().expect("no panic"), next);
    }
    // One wake for the reader that was counted; another if it counted itself again just behind that. None for the read-only one.
    let (signal, waiters) = (u32_at(&base.feed_registry(), 64), u32_at(&base.feed_registry(), 68));
    assert!((1..=2).contains(&signal) && waiters == 0, "{signal} and {waiters}");
}
