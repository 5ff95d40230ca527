// SPDX-License-Identifier: MIT
//! Profile slick: producers of a queue, in one thread, but where one waits for another.

mod common;

use std::time::{Duration, Instant};

use common::{drain_queue, indices, local_queue, put, reserve, with_queue};
use shmwire::slick::{CreateOptions, OpenOptions, Start};
use shmwire::{Answer, Code};

#[test]
fn what_producers_refuse() {
    let (name, queue) = with_queue("s-refuse", 4, 3);
    let mut producer = queue.producer().expect("writable");
    let before = name.bytes();
    assert_eq!(producer.reserve(0).expect_err("none").code(), Code::InvalidArgument);
    assert_eq!(producer.reserve(5).expect_err("more than the ring").code(), Code::TooLarge);
    for (data, code) in [
        (&b""[..], Code::InvalidArgument),
        (b"ab", Code::InvalidArgument),
        (b"abcd", Code::InvalidArgument),
        (&[0; 15], Code::TooLarge),
    ] {
        assert_eq!(producer.write(data).expect_err("refused").code(), code, "{data:?}");
    }
    assert_eq!(producer.write_batch(b"abcdefghi", 6, |_| {}).expect_err("one and a half").code(), Code::InvalidArgument);
    assert_eq!(producer.write_batch(b"abc", 0, |_| {}).expect_err("no length").code(), Code::InvalidArgument);
    assert!(name.bytes() == before);
    let wide = local_queue(1 << 17, 1);
    let mut producer = wide.producer().expect("writable");
    assert_eq!(producer.reserve(65_536).expect_err("more than can be packed").code(), Code::TooLarge);
    assert_eq!(reserve(&mut producer, 65_535).elements(), 65_535);
    let read_only = OpenOptions::new().read_only(true).open(&name.0).expect("ready");
    assert_eq!(read_only.producer().expect_err("read-only").code(), Code::Permission);
    assert_eq!(read_only.reset().expect_err("read-only").code(), Code::Permission);
    assert_eq!(read_only.recover(true).expect_err("read-only").code(), Code::Permission);
    let create = CreateOptions::new().element_size(1);
    for size in [0, 3, (1 << 31) + 1, u32::MAX] {
        assert_eq!(create.size(size).create("/shmw-rust-never").expect_err("no power of two").code(), Code::InvalidArgument);
    }
    assert_eq!(create.element_size(0).create("/shmw-rust-never").expect_err("no size").code(), Code::InvalidArgument);
    let bytes = name.bytes();
    assert_eq!(create.create(&name.0).expect_err("taken").code(), Code::Exists);
    assert!(name.bytes() == bytes);
}

/// Indices end, and nothing wraps.
#[test]
fn indices_are_used_up() {
    let (name, queue) = with_queue("s-closed", 4, 1);
    name.poke(0, &((((1_u64 << 48) - 4) << 16) | 1).to_le_bytes());
    let mut producer = queue.producer().expect("writable").with_stall_time(Duration::ZERO);
    let before = name.u64_at(0);
    assert_eq!(producer.write(b"abcd").expect("it fits"), Answer::Closed);
    name.poke(0, &((((1_u64 << 48) - 6) << 16) | 1).to_le_bytes());
    assert_eq!(producer.write(b"abcd").expect("it fits"), Answer::Closed, "padding before it would change something");
    name.poke(0, &before.to_le_bytes());
    assert_eq!(name.u64_at(0), before);
    assert_eq!(producer.write(b"abc").expect("it fits").done(), Some((1 << 48) - 4));
    for elements in [1, 4] {
        assert!(matches!(producer.reserve(elements).expect("it fits"), Answer::Closed));
    }
    assert_eq!(producer.write_batch(b"ab", 1, |_| panic!("published")).expect("they fit"), Answer::Closed);
    let mut reader = queue.reader(Start::Oldest);
    assert_eq!(reader.next(&mut [0; 4]).expect("sound").done().map(|item| item.index), Some((1 << 48) - 4));
}

#[test]
fn claims() {
    let (name, queue) = with_queue("s-claims", 4, 2);
    let mut producer = queue.producer().expect("writable");
    let mut claim = reserve(&mut producer, 3);
    assert_eq!((claim.index(), claim.elements(), claim.capacity()), (0, 3, 6));
    claim.write(1, b"bc").expect("it fits");
    claim.write(6, b"").expect("nothing fits anywhere");
    assert_eq!(claim.write(5, b"xy").expect_err("past its end").code(), Code::TooLarge);
    assert_eq!(claim.write(usize::MAX, b"xy").expect_err("far past its end").code(), Code::TooLarge);
    claim.keep();
    assert_eq!(producer.reserve(1).expect_err("one is open").code(), Code::Busy);
    assert_eq!(producer.write(b"no").expect_err("one is open").code(), Code::Busy);
    let mut claim = producer.open_claim().expect("it was kept");
    claim.write(0, b"a").expect("it fits");
    claim.write(3, b"def").expect("it fits");
    assert!(!claim.as_mut_ptr().is_null());
    assert_eq!(claim.publish().expect("ours").done(), Some(0));
    assert!(producer.open_claim().is_none());
    assert_eq!(drain_queue(&mut queue.reader(Start::Oldest))[0].1, b"abcdef");
    // Of the whole ring: it cannot be abandoned.
    reserve(&mut producer, 4).abandon().expect_err("the mark would be an item's index");
    assert_eq!(producer.reserve(1).expect_err("it stays").code(), Code::Busy);
    let claim = producer.open_claim().expect("it stays");
    assert_eq!((claim.index(), claim.publish().expect("ours").done()), (4, Some(4)));
    // An open claim goes with its producer; one in another's place is given up after the stall time.
    reserve(&mut producer, 1).keep();
    drop(producer);
    assert_eq!(name.u64_at(64), 9, "abandoned");
    let mut producer = queue.producer().expect("writable").with_stall_time(Duration::ZERO);
    drop(reserve(&mut producer, 4)); // padding, and 12 to 15, which cannot be abandoned
    assert_eq!(put(&mut producer, b"xy"), 16);
    assert_eq!(producer.info().given_up, 1);
}

/// A reservation that its producer left is given up after the stall time, and not before; its producer learns that.
#[test]
fn giving_up() {
    let stall = Duration::from_millis(60);
    let (name, queue) = with_queue("s-give-up", 4, 1);
    let (mut slow, mut quick) = (queue.producer().expect("writable"), queue.producer().expect("writable").with_stall_time(stall));
    put(&mut slow, b"a");
    reserve(&mut slow, 2).keep();
    assert_eq!(put(&mut quick, b"b"), 3);
    let mut reader = queue.reader(Start::Oldest);
    assert_eq!(indices(&drain_queue(&mut reader)), [0], "the reader waits at the hole");
    assert_eq!(put(&mut quick, b"c"), 4, "the place of index 0, which is settled");
    let began = Instant::now();
    assert_eq!(put(&mut quick, b"d"), 5);
    assert!(began.elapsed() >= stall, "not before the stall time");
    assert_eq!((quick.info().given_up, name.u64_at(64 + 16), name.u32_at(72 + 16)), (1, 5, 1));
    let claim = slow.open_claim().expect("it was kept");
    assert_eq!(claim.publish().expect("ours"), Answer::Lapped);
    assert_eq!((name.u64_at(64 + 16), slow.info().items_written), (5, 1), "nothing is stored");
    let items = drain_queue(&mut reader);
    assert_eq!(indices(&items), [5], "the place of the mark");
    assert_eq!((items[0].0.lost, reader.info().lost), (4, 4));
}

/// A claim of another producer that is in time is waited for.
#[test]
fn settled_waits() {
    let queue = local_queue(2, 1);
    let (mut slow, mut quick) = (queue.producer().expect("writable"), queue.producer().expect("writable"));
    let claim = reserve(&mut slow, 1);
    put(&mut quick, b"b");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| put(&mut quick, b"c"));
        std::thread::sleep(Duration::from_millis(40));
        assert!(!waits.is_finished(), "over an item that is being written");
        assert_eq!(queue.info().next_index, 2);
        claim.publish().expect("ours").done().expect("in time");
        assert_eq!(waits.join().expect("no panic"), 2);
    });
    assert_eq!((quick.info().given_up, queue.info().settled), (0, 2));
}

/// The stall time begins anew whenever somebody reserves: what would be given up with the item may be younger than it.
#[test]
fn patience_begins_anew() {
    let (stall, later) = (Duration::from_millis(80), Duration::from_millis(50));
    let queue = local_queue(8, 1);
    let [mut slow, mut quick, mut third] = [(); 3].map(|()| queue.producer().expect("writable").with_stall_time(stall));
    put(&mut third, b"abc");
    let claim = reserve(&mut slow, 2); // 3 and 4
    put(&mut third, b"def");
    std::thread::scope(|scope| {
        let began = Instant::now();
        let waits = scope.spawn(move || (put(&mut quick, b"stop"), began.elapsed(), quick.info().given_up));
        std::thread::sleep(later);
        assert_eq!(put(&mut third, b"d"), 8, "the place of index 0, which is settled");
        let (index, waited, given_up) = waits.join().expect("no panic");
        assert_eq!((index, given_up), (9, 1));
        assert!(waited >= later + stall, "{waited:?}");
    });
    assert_eq!(claim.publish().expect("ours"), Answer::Lapped);
}
