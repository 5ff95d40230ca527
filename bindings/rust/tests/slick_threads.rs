// SPDX-License-Identifier: MIT
//! Profile slick: producers and readers at full speed, in threads over one mapping.

mod common;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use shmwire::slick::{CreateOptions, Cursor, Generation, Item, Producer, Queue, Reader, Start};
use shmwire::Answer;

/// No thread is off the processor for so long, however busy the machine: nothing is given up in time.
const STALL: Duration = Duration::from_secs(100);
const PATIENCE: Duration = Duration::from_secs(50);
const PRODUCERS: u8 = 3;
/// Bytes of an element that says whose it is: producer, number (4), elements, which of them.
const MARKED: usize = 7;

/// An item that says in each element what it is.
fn content(producer: u8, number: u32, elements: u8, element_size: usize) -> Vec<u8> {
    let element = |k: u8| {
        let mut element = vec![number as u8 ^ producer; element_size];
        element[0] = producer;
        element[1..5].copy_from_slice(&number.to_le_bytes());
        element[5..MARKED].copy_from_slice(&[elements, k]);
        element
    };
    (0..elements).flat_map(element).collect()
}

/// Whose an item is, if it is whole.
fn certify(data: &[u8], element_size: usize) -> (u8, u32) {
    let number = u32::from_le_bytes(data[1..5].try_into().expect("4 bytes"));
    let (producer, elements) = (data[0], (data.len() / element_size) as u8);
    assert!(data == content(producer, number, elements, element_size), "torn: {data:?}");
    (producer, number)
}

fn elements_of(number: u32, size: u32) -> u8 {
    (1 + number % 5).min(size) as u8
}

/// Write `count` items, one by one, claimed, and in batches.
fn produce(queue: &Queue, producer: u8, count: u32, mut await_room: impl FnMut()) {
    let mut by = queue.producer().expect("writable").with_stall_time(STALL);
    let info = queue.info();
    let element_size = info.element_size as usize;
    let mut number = 0;
    while number < count {
        let elements = elements_of(number, info.size);
        let batch = if number % 7 == 0 { 3.min(count - number) } else { 1 };
        let items = |numbers: std::ops::Range<u32>| {
            numbers.flat_map(|n| content(producer, n, elements, element_size)).collect::<Vec<u8>>()
        };
        await_room();
        match number % 7 {
            0 => {
                let length = usize::from(elements) * element_size;
                let data = items(number..number + batch);
                by.write_batch(&data, length, |_| {}).expect("they fit").done().expect("not given up");
            }
            1 => publish_claim(&mut by, elements, &items(number..number + 1)),
            _ => assert!(common::put(&mut by, &items(number..number + 1)) < 1 << 48),
        }
        number += batch;
    }
    assert_eq!((by.info().items_written, by.info().given_up), (count.into(), 0));
}

fn publish_claim(by: &mut Producer, elements: u8, data: &[u8]) {
    let mut claim = by.reserve(elements.into()).expect("it fits").done().expect("indices are left");
    let (head, tail) = data.split_at(data.len() / 2);
    claim.write(head.len(), tail).expect("it fits");
    claim.write(0, head).expect("it fits");
    claim.publish().expect("ours").done().expect("not given up");
}

/// What one reader was given: index, elements, lost, and whose it is.
type Given = Vec<(Item, u8, u32)>;

/// How a reader reads.
#[derive(Clone, Copy)]
enum Manner {
    Single,
    Batches,
    Views,
}

/// Read until the producers are done and nothing is left.
fn read(reader: &mut Reader, manner: Manner, size: u32, element_size: usize, done: &Mutex<bool>) -> Given {
    let (mut buffer, mut items, mut given) = (vec![0; size as usize * element_size], [Item::default(); 16], Given::new());
    let (began, mut told) = (Instant::now(), false);
    loop {
        let answer = match manner {
            Manner::Single => {
                reader.next(&mut buffer).map(|answer| answer.map(|item| std::mem::replace(&mut items[0], item)).map(|_| 1))
            }
            Manner::Batches => reader.next_batch(&mut buffer, &mut items),
            Manner::Views => reader.next_view().map(|answer| {
                answer.map(|view| {
                    items[0] = view.item();
                    match view.copy_to(&mut buffer).expect("room for all") {
                        Answer::Done(()) => 1,
                        _ => 0,
                    }
                })
            }),
        };
        match answer.expect("sound") {
            Answer::Done(count) => {
                for item in &items[..count] {
                    let (producer, number) = certify(item.payload(&buffer), element_size);
                    given.push((*item, producer, number));
                }
            }
            Answer::Empty if told => return given,
            Answer::Empty => {
                told = *done.lock().expect("no panic");
                std::thread::yield_now();
            }
            _ => {}
        }
        assert!(began.elapsed() < PATIENCE, "the producers do not end");
    }
}

/// What was given in the order of one cursor: indices rise, and between two items there is what was lost, and the ends of laps.
fn judge_order(given: &Given, size: u64) {
    let mut last: [Option<u32>; PRODUCERS as usize] = Default::default();
    let mut behind = 0;
    for (item, producer, number) in given {
        assert!(item.index >= behind + item.lost, "{item:?} behind {behind}");
        let laps = item.index / size - behind / size;
        let padding = item.index - behind - item.lost;
        assert!(padding <= 4 * laps, "{padding} indices are missing before {item:?} behind {behind}");
        assert!(last[usize::from(*producer)].replace(*number) < Some(*number), "out of order: {item:?}");
        behind = item.index + u64::from(item.elements);
    }
}

fn new_queue(generation: Generation, size: u32, element_size: usize) -> Queue {
    let options = CreateOptions::new().size(size).element_size(element_size as u32).generation(generation);
    options.create_local().expect("memory")
}

/// Let producers and readers run, and answer what each reader was given.
fn run(queue: &Queue, count: u32, readers: Vec<(Reader, Manner)>) -> Vec<Given> {
    let done = Mutex::new(false);
    let (size, element_size) = (queue.info().size, queue.info().element_size as usize);
    std::thread::scope(|scope| {
        let done = &done;
        let reading: Vec<_> = readers
            .into_iter()
            .map(|(mut reader, manner)| scope.spawn(move || read(&mut reader, manner, size, element_size, done)))
            .collect();
        let producing: Vec<_> =
            (0..PRODUCERS).map(|producer| scope.spawn(move || produce(queue, producer, count, || {}))).collect();
        producing.into_iter().for_each(|producer| producer.join().expect("no panic"));
        *done.lock().expect("no panic") = true;
        reading.into_iter().map(|reader| reader.join().expect("no panic")).collect()
    })
}

/// Rings in which everybody is overtaken all the time, and one in which nobody is.
#[test]
fn nothing_is_torn() {
    for (generation, size, element_size, count) in [
        (Generation::V1_4, 2, 8, 8_000),
        (Generation::V1_4, 4, MARKED, 8_000),
        (Generation::V1_2, 4, 24, 8_000),
        (Generation::V1_3, 1024, 12, 12_000),
        (Generation::V1_4, 1024, MARKED, 12_000),
    ] {
        let queue = new_queue(generation, size, element_size);
        let manners = [Manner::Single, Manner::Batches, Manner::Views];
        let readers = manners.map(|manner| (queue.reader(Start::Oldest), manner)).into_iter().collect();
        let given = run(&queue, count, readers);
        queue.validate().expect("at rest and sound");
        let next = queue.info().next_index;
        for (given, manner) in given.iter().zip(manners) {
            let views = matches!(manner, Manner::Views); // items whose view was over are missing
            if !views {
                judge_order(given, size.into());
            }
            let last = given.last().map_or(0, |(item, _, _)| item.index + u64::from(item.elements));
            assert!(last == next || views, "the last item did not come: {last} of {next}");
        }
        println!("size {size}: {:?} items of {}", given.iter().map(Vec::len).collect::<Vec<_>>(), count * u32::from(PRODUCERS));
    }
}

/// Consumers of one cursor: what they are given is disjoint, and with what they report as lost it is all there was.
#[test]
fn items_are_shared() {
    for (size, element_size, count) in [(2, 8, 5_000), (4, MARKED, 5_000), (1024, 16, 10_000)] {
        let queue = new_queue(Generation::V1_4, size, element_size);
        let cursor = Cursor::local(&queue, Start::Oldest).expect("memory");
        let manners = [Manner::Single, Manner::Batches, Manner::Single, Manner::Batches];
        let given = run(&queue, count, manners.map(|manner| (queue.consumer(&cursor), manner)).into_iter().collect());
        let mut all = given.concat();
        all.sort_by_key(|(item, _, _)| item.index);
        judge_order(&all, size.into());
        assert_eq!(cursor.next_index(), queue.info().next_index);
    }
}

/// Producers that stay within what the consumers have taken: each item comes once, and nothing is lost.
#[test]
fn nothing_is_lost_with_credit() {
    const SIZE: u32 = 256;
    const COUNT: u32 = 8_000;
    let queue = new_queue(Generation::V1_4, SIZE, 16);
    let cursor = Cursor::local(&queue, Start::Oldest).expect("memory");
    let done = Mutex::new(false);
    // Three producers that ask at the same time may each write what only one had room for.
    let window = u64::from(SIZE) - 3 * (3 * 5 + 5);
    let given: Vec<Given> = std::thread::scope(|scope| {
        let (queue, cursor, done) = (&queue, &cursor, &done);
        let consumers: Vec<_> =
            (0..4).map(|_| scope.spawn(move || read(&mut queue.consumer(cursor), Manner::Single, SIZE, 16, done))).collect();
        let await_room = move || {
            while queue.info().next_index > cursor.next_index() + window {
                std::thread::yield_now();
            }
        };
        let producers: Vec<_> =
            (0..PRODUCERS).map(|producer| scope.spawn(move || produce(queue, producer, COUNT, await_room))).collect();
        producers.into_iter().for_each(|producer| producer.join().expect("no panic"));
        *done.lock().expect("no panic") = true;
        consumers.into_iter().map(|consumer| consumer.join().expect("no panic")).collect()
    });
    let mut all: Vec<(u8, u32)> = given
        .concat()
        .into_iter()
        .map(|(item, producer, number)| {
            assert_eq!(item.lost, 0);
            (producer, number)
        })
        .collect();
    all.sort_unstable();
    let expected: Vec<(u8, u32)> = (0..PRODUCERS).flat_map(|producer| (0..COUNT).map(move |number| (producer, number))).collect();
    assert!(all == expected, "not each item exactly once: {} of {}", all.len(), expected.len());
}

/// Handles may go anywhere.
#[test]
fn handles_are_shareable() {
    fn assert_send_and_sync<T: Send + Sync + 'static>(_: &T) {}
    let queue = new_queue(Generation::V1_4, 2, 8);
    let cursor = Cursor::local(&queue, Start::Oldest).expect("memory");
    assert_send_and_sync(&(queue.clone(), cursor.clone(), queue.producer().expect("writable"), queue.consumer(&cursor)));
    let mut producer = queue.producer().expect("writable");
    drop(queue);
    assert_eq!(common::put(&mut producer, b"mapped!!"), 0);
}
