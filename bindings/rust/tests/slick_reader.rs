// SPDX-License-Identifier: MIT
//! Profile slick: readers of a queue, in one thread.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use common::{drain_queue, indices, local_queue, put, reserve, Name, Random};
use shmwire::slick::{CreateOptions, Cursor, CursorMemory, Generation, Item, Producer, Reader, Start};
use shmwire::{Answer, Code, Wait};

#[test]
fn starts() {
    let queue = local_queue(4, 1);
    let mut producer = queue.producer().expect("writable");
    let first = |start| indices(&drain_queue(&mut queue.reader(start)));
    assert_eq!(first(Start::Oldest), []);
    (0..3_u8).for_each(|i| assert_eq!(put(&mut producer, &[i]), u64::from(i)));
    let mut late = queue.reader(Start::Latest);
    assert_eq!((first(Start::Oldest), first(Start::Index(1)), first(Start::Latest)), (vec![0, 1, 2], vec![1, 2], vec![]));
    (3..7_u8).for_each(|i| assert_eq!(put(&mut producer, &[i]), u64::from(i)));
    assert_eq!((first(Start::Oldest), indices(&drain_queue(&mut late))), (vec![3, 4, 5, 6], vec![3, 4, 5, 6]));
    assert_eq!((late.seek(Start::Oldest), late.seek(Start::Index(5)), late.seek(Start::Latest)), (3, 5, 7));
    assert_eq!((late.seek(Start::Index(6)), indices(&drain_queue(&mut late))), (6, vec![6]));
    let info = late.info();
    assert_eq!((info.cursor, info.items_read, info.lost, info.resets), (7, 5, 0, 0));
}

/// The cases of a lapped reader, one after the other, in a ring of 4.
#[test]
fn losses_are_exact() {
    let queue = local_queue(4, 1);
    let mut producer = queue.producer().expect("writable");
    let next =
        |reader: &mut Reader| reader.next(&mut [0; 4]).expect("sound").done().map(|item| (item.index, item.elements, item.lost));
    let mut reader = queue.reader(Start::Oldest);
    (0..6).for_each(|index| assert_eq!(put(&mut producer, b"x"), index));
    assert_eq!(next(&mut reader), Some((4, 1, 4)), "slot 0 holds index 4: on there");
    assert_eq!((next(&mut reader), next(&mut reader)), (Some((5, 1, 0)), None));
    put(&mut producer, b"yyy"); // 6 and 7 are padding, the item is 8, 9, 10
    assert_eq!((next(&mut reader), next(&mut reader)), (Some((8, 3, 0)), None), "padding is not lost");
    put(&mut producer, b"z"); // 11
    put(&mut producer, b"uu"); // 12, 13
    put(&mut producer, b"vv"); // 14, 15
    assert_eq!(next(&mut reader), Some((12, 2, 1)), "slot 3 still holds index 11, whose element is index 15's");
    let mut stale = queue.reader(Start::Index(11));
    assert_eq!(next(&mut stale), Some((12, 2, 1)), "an item that a later one has covered in part is stale");
    assert_eq!((next(&mut reader), next(&mut reader)), (Some((14, 2, 0)), None));
    producer.reserve(4).expect("it fits").done().expect("indices are left").leave_stalled(); // 16 to 19, never published
    let mut behind = queue.reader(Start::Index(14));
    assert_eq!(
        (next(&mut behind), behind.info().cursor, behind.info().lost),
        (None, 14, 0),
        "overtaken, and nothing to go on at"
    );
    queue.recover(true).expect("sound");
    assert_eq!(behind.info().lost, 0);
    let info = reader.info();
    assert_eq!((info.items_read, info.lost), (5, 5));
}

#[test]
fn marks_are_followed() {
    let queue = local_queue(8, 1);
    let mut producer = queue.producer().expect("writable");
    reserve(&mut producer, 2).abandon().expect("ours").done().expect("not given up");
    drop(reserve(&mut producer, 3));
    put(&mut producer, b"abcd"); // padding from 5 on
    let items = drain_queue(&mut queue.reader(Start::Oldest));
    assert_eq!((indices(&items), items[0].0.lost, &items[0].1[..]), (vec![8], 0, &b"abcd"[..]));
    assert_eq!(queue.reader(Start::Latest).seek(Start::Oldest), 5, "a mark is something to begin at");
}

#[test]
fn resets_are_noticed() {
    let queue = local_queue(4, 1);
    let mut producer = queue.producer().expect("writable");
    let mut reader = queue.reader(Start::Oldest);
    (0..3).for_each(|index| assert_eq!(put(&mut producer, b"x"), index));
    assert_eq!(drain_queue(&mut reader).len(), 3);
    queue.reset().expect("writable");
    assert_eq!((reader.next(&mut [0; 4]).expect("sound"), reader.info().cursor, reader.info().resets), (Answer::Empty, 0, 1));
    assert_eq!(put(&mut producer, b"y"), 0);
    let items = drain_queue(&mut reader);
    assert_eq!((items[0].0.index, items[0].0.lost, &items[0].1[..]), (0, 0, &b"y"[..]));
    let cursor = Cursor::local(&queue, Start::Index(100)).expect("memory");
    let mut consumers = [queue.consumer(&cursor), queue.consumer(&cursor)];
    assert_eq!(indices(&drain_queue(&mut consumers[0])), [0]);
    assert_eq!((drain_queue(&mut consumers[1]).len(), cursor.next_index()), (0, 1));
    assert_eq!(consumers.map(|consumer| consumer.info().resets), [1, 0], "by who was first");
}

#[test]
fn the_last_item() {
    for generation in [Generation::V1_2, Generation::V1_3, Generation::V1_4] {
        let queue = CreateOptions::new().size(4).element_size(1).generation(generation).create_local().expect("memory");
        let mut producer = queue.producer().expect("writable");
        let mut reader = queue.reader(Start::Oldest);
        let mut last = || reader.last(&mut [0; 4]).expect("sound").done().map(|item| (item.index, item.elements, item.lost));
        assert_eq!(last(), None);
        put(&mut producer, b"a");
        assert_eq!(last(), Some((0, 1, 0)));
        let claim = reserve(&mut producer, 2);
        assert_eq!(last(), Some((0, 1, 0)), "reserved is not published");
        claim.publish().expect("ours").done().expect("not given up");
        assert_eq!(last(), Some((1, 2, 0)));
        drop(reserve(&mut producer, 1));
        assert_eq!(last(), Some((1, 2, 0)), "nor is given up");
        producer.write_batch(b"xyz", 1, |_| {}).expect("they fit").done().expect("room");
        assert_eq!(last(), Some((6, 1, 0)), "the last of a batch");
        reserve(&mut producer, 4).leave_stalled();
        assert_eq!(last(), None, "overwritten: {generation:?}");
        assert_eq!(reader.last(&mut [0; 4]).expect("sound"), Answer::Empty);
        assert_eq!(reader.info().cursor, 0);
    }
    let queue = local_queue(4, 3);
    put(&mut queue.producer().expect("writable"), b"abcdef");
    assert_eq!(queue.reader(Start::Oldest).last(&mut [0; 5]).expect_err("too small").code(), Code::TooSmall);
}

#[test]
fn small_buffers_and_batches() {
    let queue = local_queue(64, 10);
    let mut producer = queue.producer().expect("writable");
    for elements in 1..=4_u8 {
        put(&mut producer, &vec![elements; 10 * usize::from(elements)]);
    }
    let mut reader = queue.reader(Start::Oldest);
    let refused = reader.next(&mut [0; 9]).expect_err("too small");
    assert_eq!(refused.to_string(), "the buffer is too small: the payload takes 10 bytes");
    let (mut buffer, mut items) = ([0; 65], [Item::default(); 8]);
    assert_eq!(reader.next_batch(&mut buffer, &mut []).expect_err("no room").code(), Code::InvalidArgument);
    assert_eq!(reader.next_batch(&mut buffer, &mut items).expect("sound"), Answer::Done(3));
    let found: Vec<_> =
        items[..3].iter().map(|item| (item.index, item.elements, item.payload(&buffer)[0], item.length)).collect();
    assert_eq!(found, [(0, 1, 1, 10), (1, 2, 2, 20), (3, 3, 3, 30)]);
    assert_eq!(reader.next_batch(&mut buffer[..39], &mut items).expect_err("too small").code(), Code::TooSmall);
    assert_eq!(reader.next_batch(&mut buffer, &mut items[..1]).expect("sound"), Answer::Done(1));
    assert_eq!(reader.next_batch(&mut buffer, &mut items).expect("sound"), Answer::Empty);
    assert_eq!((reader.info().items_read, reader.info().cursor), (4, 10));
}

/// A batch after a lap, over marks and padding: the same items and losses as one by one.
#[test]
fn batches_are_as_single_reads() {
    let mut random = Random::new(0x511C_0BA7);
    for round in 0..300 {
        let queue = local_queue(8, 1);
        let mut producer = queue.producer().expect("writable");
        let (mut single, mut batched) = (queue.reader(Start::Oldest), queue.reader(Start::Oldest));
        let (mut buffer, mut items) = ([0; 64], [Item::default(); 16]);
        for step in 0..20 {
            for _ in 0..random.below(7) {
                let claim = reserve(&mut producer, 1 + random.below(4) as u32);
                if random.below(4) == 0 {
                    drop(claim);
                } else {
                    claim.publish().expect("ours").done().expect("not given up");
                }
            }
            let one_by_one = drain_queue(&mut single);
            let max = 1 + random.below(16) as usize;
            let mut together = Vec::new();
            while let Answer::Done(count) = batched.next_batch(&mut buffer, &mut items[..max]).expect("sound") {
                together.extend(items[..count].iter().map(|item| Item { offset: 0, ..*item }));
            }
            let one_by_one: Vec<Item> = one_by_one.into_iter().map(|(item, _)| item).collect();
            assert_eq!(one_by_one, together, "round {round}, step {step}");
            assert_eq!(single.info(), batched.info(), "round {round}, step {step}");
        }
    }
}

#[test]
fn views_tell_when_they_are_over() {
    let queue = local_queue(4, 7);
    let mut producer = queue.producer().expect("writable");
    let data: Vec<u8> = (0..21_u32).map(|i| (i * 7) as u8).collect();
    put(&mut producer, &data);
    let mut reader = queue.reader(Start::Oldest);
    let kept = reader.next_view().expect("sound").done().expect("an item").keep();
    let view = kept.view();
    assert!(matches!(reader.next_view().expect("sound"), Answer::Empty));
    for (offset, end) in (0..=21).flat_map(|offset| (offset..=21).map(move |end| (offset, end))) {
        let mut part = vec![0; end - offset];
        view.read_at(offset, &mut part).expect("inside");
        assert_eq!(part, data[offset..end], "{offset} to {end}");
    }
    assert_eq!(view.read_at(21, &mut [0]).expect_err("outside").code(), Code::InvalidArgument);
    assert_eq!(view.copy_to(&mut [0; 20]).expect_err("too small").code(), Code::TooSmall);
    let (mut whole, mut pieces) = ([0; 21], Vec::new());
    assert_eq!(view.copy_to(&mut whole).expect("it fits"), Answer::Done(()));
    assert_eq!(view.each(|piece| pieces.extend_from_slice(piece)), Answer::Done(()));
    assert!(whole[..] == data && pieces == data && !view.as_ptr().is_null());
    put(&mut producer, &data[..7]);
    assert_eq!(view.check(), Answer::Done(()), "index 4 has not been reserved");
    drop(reader);
    let claim = reserve(&mut producer, 1);
    assert_eq!((view.check(), view.item().index), (Answer::Lapped, 0), "it may be overwritten from now on");
    claim.publish().expect("ours").done().expect("not given up");
    assert!(matches!(queue.reader(Start::Latest).next_view().expect("sound"), Answer::Empty));
    let mut reader = queue.reader(Start::Oldest);
    let view = reader.next_view().expect("sound").done().expect("an item");
    queue.reset().expect("writable");
    assert_eq!(view.check(), Answer::Lapped, "after a reset nothing is certain");
}

#[test]
fn shared_cursors() {
    let queue = local_queue(8, 1);
    let mut producer = queue.producer().expect("writable");
    producer.write_batch(b"abcdef", 1, |_| {}).expect("they fit").done().expect("room");
    let name = Name::new("s-cursor");
    let made = Cursor::create(&name.0, &queue, Start::Index(1)).expect("a new name");
    assert_eq!((name.bytes().len(), name.u64_at(0)), (8, 1));
    assert_eq!(Cursor::create(&name.0, &queue, Start::Oldest).expect_err("taken").code(), Code::Exists);
    let opened = Cursor::open(&name.0).expect("it is there");
    let mut consumers = [queue.consumer(&made), queue.consumer(&opened)];
    let take = |consumer: &mut Reader| consumer.next_vec().expect("sound").done().map(|(item, data)| (item.index, data[0]));
    assert_eq!((take(&mut consumers[0]), take(&mut consumers[1]), name.u64_at(0)), (Some((1, b'b')), Some((2, b'c')), 3));
    assert_eq!(consumers[0].next(&mut []).expect_err("too small").code(), Code::TooSmall);
    assert_eq!(made.next_index(), 3, "not taken");
    let (mut buffer, mut items) = ([0; 8], [Item::default(); 2]);
    assert_eq!(consumers[1].next_batch(&mut buffer, &mut items).expect("sound"), Answer::Done(2));
    assert_eq!((items[1].index, opened.next_index(), consumers[0].info().cursor), (4, 5, 5));
    let view = consumers[0].next_view().expect("sound").done().expect("an item");
    assert_eq!((view.item().index, made.next_index()), (5, 6), "taken before it is known to be whole");
    (6..26).for_each(|index| assert_eq!(put(&mut producer, b"x"), index)); // to 26: lost are 6 to 21, as slot 6 holds index 22
    let items = drain_queue(&mut consumers[1]);
    assert_eq!((indices(&items), items[0].0.lost), (vec![22, 23, 24, 25], 16));
    assert_eq!(consumers[0].next(&mut buffer).expect("sound"), Answer::Empty);
    assert_eq!((consumers[0].info().lost, consumers[1].info().lost), (0, 16), "counted by who took the item behind");
    assert_eq!((consumers[0].seek(Start::Index(24)), opened.next_index()), (24, 24));
    std::fs::OpenOptions::new().write(true).open(name.path()).and_then(|file| file.set_len(7)).expect("ours");
    assert_eq!(Cursor::open(&name.0).expect_err("short").code(), Code::Truncated);
    assert_eq!(Cursor::open("/shmw-rust-absent").expect_err("absent").code(), Code::NotFound);
}

#[test]
fn a_cursor_in_the_applications_memory() {
    let queue = local_queue(4, 1);
    let mut memory = Box::new([0_u64, 2_u64.to_le(), 0]);
    let at = memory[1..].as_mut_ptr();
    // SAFETY: aligned, outlives the cursor, and nobody else touches it while that is there.
    let cursor = Cursor::at(unsafe { CursorMemory::new(at.cast()) }.expect("aligned"));
    (0..4).for_each(|index| assert_eq!(put(&mut queue.producer().expect("writable"), b"x"), index));
    assert_eq!(indices(&drain_queue(&mut queue.consumer(&cursor))), [2, 3]);
    drop(cursor);
    assert_eq!(*memory, [0, 4_u64.to_le(), 0]);
}

#[test]
fn waiting() {
    let queue = local_queue(4, 8);
    let mut reader = queue.reader(Start::Oldest);
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
        put(&mut queue.producer().expect("writable"), b"wake up!");
        assert_eq!(waits.join().expect("no panic").index, 0);
    });
}

/// What has been reserved, in order: index -> (elements, what was written), nothing for marks.
type History = BTreeMap<u64, (u64, Option<u8>)>;

/// Judge an item that a reader at `cursor` was given: what is written there, and a loss that can be.
fn judge(history: &History, size: u64, cursor: u64, item: &Item, data: &[u8]) {
    let (elements, fill) = history.get(&item.index).expect("somebody reserved it");
    let fill = fill.expect("somebody published it");
    assert!(u64::from(item.elements) == *elements && data.iter().all(|&byte| byte == fill), "torn or stale: {item:?}");
    let next = history.iter().next_back().map_or(0, |(index, (elements, _))| index + elements);
    assert!(next <= item.index + size, "overwritten: {item:?}");
    assert!(item.lost == 0 || next > cursor + size, "nothing was overwritten: {item:?} from {cursor}");
    // What is neither lost nor delivered are marks that were followed: whole ones.
    let marks = history.range(cursor..item.index).filter(|(_, (_, fill))| fill.is_none()).map(|(_, (elements, _))| *elements);
    let sums = marks.fold(BTreeSet::from([0]), |sums, mark| sums.iter().flat_map(|sum| [*sum, sum + mark]).collect());
    assert!(sums.contains(&(item.index - cursor - item.lost)), "{item:?} from {cursor}");
}

fn note(history: &mut History, size: u64, index: u64, elements: u64, fill: Option<u8>) {
    let before = history.iter().next_back().map_or(0, |(index, (elements, _))| index + elements);
    if index != before {
        assert!(index % size == 0 && index - before < elements, "padding of {before} to {index}");
        history.insert(before, (index - before, None));
    }
    history.insert(index, (elements, fill));
}

/// Producers and readers of every speed over many laps, in rings of every size: each item is what was written, and losses are
/// exact.
#[test]
fn laps_and_exact_losses() {
    let mut random = Random::new(0x511C_0001);
    for (size, element_size) in [(1_u32, 5_u32), (2, 8), (4, 7), (8, 3), (16, 12), (64, 1)] {
        let queue = local_queue(size, element_size);
        let mut producers: Vec<Producer> = (0..3).map(|_| queue.producer().expect("writable")).collect();
        let mut readers: Vec<(Reader, u64)> = (0..3).map(|_| (queue.reader(Start::Oldest), 0)).collect();
        let (mut history, mut given, mut buffer) = (History::new(), 0, vec![0; 64 * 12]);
        for step in 0..4000_u64 {
            let elements = 1 + random.below(5.min(size.into()));
            let fill = step as u8;
            let producer = &mut producers[random.below(3) as usize];
            let index = if random.below(8) == 0 && elements < size.into() {
                let claim = reserve(producer, elements as u32);
                note(&mut history, size.into(), claim.index(), elements, None);
                continue;
            } else {
                put(producer, &vec![fill; elements as usize * element_size as usize])
            };
            note(&mut history, size.into(), index, elements, Some(fill));
            for (speed, (reader, cursor)) in readers.iter_mut().enumerate() {
                if random.below(1 << (3 * speed)) != 0 {
                    continue;
                }
                while let Answer::Done(item) = reader.next(&mut buffer).expect("sound") {
                    judge(&history, size.into(), *cursor, &item, item.payload(&buffer));
                    *cursor = item.index + u64::from(item.elements);
                    given += 1;
                }
            }
        }
        assert!(given > 3000, "{given} items were read");
        queue.validate().expect("at rest and sound");
    }
}
