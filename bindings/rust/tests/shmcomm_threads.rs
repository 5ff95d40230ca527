// SPDX-License-Identifier: MIT
//! Profile shmcomm with several threads, each with an end of its own.

mod common;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use common::Name;
use shmwire::shmcomm::{Message, Meta, Options, Publisher, Puller, Pusher, Replier, Requester, Start, Subscriber};
use shmwire::{Answer, Wait};

const NONE: Duration = Duration::ZERO;
const PATIENCE: Duration = Duration::from_secs(60);
const WRITERS: u32 = 3;

fn options() -> Options {
    Options::new().capacity(4096)
}

/// Message n of a writer: writer, number and length, and what follows from them.
fn content(writer: u32, number: u32) -> Vec<u8> {
    let length = 12 + (number as usize * 37 + writer as usize) % 600;
    let mut data: Vec<u8> = [writer, number, length as u32].iter().flat_map(|word| word.to_le_bytes()).collect();
    data.extend((12..length).map(|i| (i as u32 ^ writer.wrapping_mul(31) ^ number) as u8));
    data
}

/// Writer and number of a message, which is what its writer sent.
fn check(data: &[u8]) -> (u32, u32) {
    let word = |at: usize| u32::from_le_bytes(data[at..at + 4].try_into().expect("4 bytes"));
    assert_eq!(data, content(word(0), word(4)), "torn");
    (word(0), word(4))
}

#[test]
fn subscribers_that_are_overtaken_get_whole_messages() {
    const COUNT: u32 = 6_000;
    let name = Name::new("t-pubsub");
    let keeper = Publisher::open(&name.0, &options()).expect("a new name");
    let read = |views: bool, batch: usize| {
        let mut subscriber = Subscriber::open(&name.0, &options().start(Start::Oldest)).expect("it is there");
        let (mut buffer, mut messages) = (vec![0; 4096], vec![Message::default(); batch]);
        let (mut next, mut whole, mut last) = (0, 0_u64, HashMap::new());
        let began = Instant::now();
        while next < u64::from(COUNT * WRITERS) {
            assert!(began.elapsed() < PATIENCE, "stuck at {next}");
            let answer = match views {
                true => {
                    let answer = subscriber.view(NONE).expect("sound");
                    answer.map(|view| {
                        messages[0] = view.message();
                        usize::from(view.copy_to(&mut buffer).expect("it fits") == Answer::Done(()))
                    })
                }
                false => subscriber.receive_batch(&mut buffer, &mut messages, NONE).expect("sound"),
            };
            let count = match answer {
                Answer::Done(count) => count,
                _ => {
                    std::thread::yield_now();
                    continue;
                }
            };
            if whole == 0 {
                next = messages[0].sequence; // where it began
            }
            if count == 0 {
                assert_eq!(messages[0].sequence, next + messages[0].lost);
                next = messages[0].sequence + 1; // a view that was overwritten while it was copied
                whole += 1;
            }
            for message in &messages[..count] {
                assert_eq!(message.sequence, next + message.lost);
                next = message.sequence + 1;
                let (writer, number) = check(message.payload(&buffer));
                let before = last.insert(writer, number);
                assert!(before.map_or(true, |before| before < number), "writer {writer}: {before:?}, then {number}");
                whole += 1;
            }
        }
        whole
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = [(false, 1), (false, 16), (true, 1)]
            .into_iter()
            .map(|(views, batch)| scope.spawn(move || read(views, batch)))
            .collect();
        for writer in 0..WRITERS {
            let name = &name;
            scope.spawn(move || {
                let mut publisher = Publisher::open(&name.0, &options()).expect("it is there");
                for number in 0..COUNT {
                    publisher.send(&content(writer, number)).expect("nobody holds the lock for long");
                }
            });
        }
        readers.into_iter().for_each(|reader| assert!(reader.join().expect("no panic") > 0));
    });
    assert_eq!(keeper.info().message_count, u64::from(COUNT * WRITERS));
}

#[test]
fn pullers_share_what_pushers_send() {
    const COUNT: u32 = 5_000;
    let name = Name::new("t-pipe");
    let keeper = Pusher::open(&name.0, &options()).expect("a new name");
    let pull = |batch: usize| {
        let mut puller = Puller::open(&name.0, &options()).expect("it is there");
        let (mut buffer, mut messages) = (vec![0; 4096], vec![Message::default(); batch]);
        let mut taken = Vec::new();
        loop {
            match puller.receive_batch(&mut buffer, &mut messages, PATIENCE).expect("sound") {
                Answer::Done(count) => {
                    taken.extend(messages[..count].iter().map(|message| (message.sequence, check(message.payload(&buffer)))));
                }
                Answer::Closed => return taken,
                other => panic!("{other:?}"),
            }
        }
    };
    let mut taken: Vec<(u64, (u32, u32))> = std::thread::scope(|scope| {
        let pullers: Vec<_> = [1, 1, 7].into_iter().map(|batch| scope.spawn(move || pull(batch))).collect();
        let pushers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let name = &name;
                scope.spawn(move || {
                    let mut pusher = Pusher::open(&name.0, &options()).expect("it is there");
                    let messages: Vec<Vec<u8>> = (0..COUNT).map(|number| content(writer, number)).collect();
                    for group in messages.chunks(5) {
                        let answer = pusher.send_batch(group, &Meta::new(), PATIENCE, |_| {}).expect("open");
                        assert_eq!(answer, Answer::Done(()));
                    }
                })
            })
            .collect();
        pushers.into_iter().for_each(|pusher| pusher.join().expect("no panic"));
        drop(keeper); // the last one: what is left is taken, and then the pipeline is closed
        pullers.into_iter().flat_map(|puller| puller.join().expect("no panic")).collect()
    });
    taken.sort_unstable();
    assert!(taken.iter().enumerate().all(|(i, &(sequence, _))| i as u64 == sequence), "each sequence once");
    assert_eq!(taken.len() as u32, COUNT * WRITERS);
    for writer in 0..WRITERS {
        let numbers = taken.iter().filter(|(_, (by, _))| *by == writer).map(|(_, (_, number))| *number);
        assert!(numbers.eq(0..COUNT), "writer {writer}: in order");
    }
    assert!(!name.path().exists());
}

/// A lost wake-up costs a second: this takes less, all in all.
#[test]
fn sleepers_are_woken() {
    const ROUNDS: u32 = 3_000;
    let name = Name::new("t-sleep");
    let began = Instant::now();
    let mut replier = Replier::open(&name.0, &options()).expect("a new name");
    std::thread::scope(|scope| {
        for asker in 0..2_u32 {
            let name = &name;
            scope.spawn(move || {
                let mut requester = Requester::open(&name.0, &options()).expect("it is there");
                let mut buffer = [0; 1024];
                let wait = if asker == 0 { PATIENCE.into() } else { Wait::at_most(PATIENCE).spin(Duration::from_micros(20)) };
                for number in 0..ROUNDS {
                    let question = content(asker, number);
                    let reply = requester.call(&question, &mut buffer, wait).expect("open").done().expect("in time");
                    assert_eq!(reply.payload(&buffer), question);
                }
                assert_eq!(requester.info().discarded, 0);
            });
        }
        let mut buffer = [0; 1024];
        for _ in 0..2 * ROUNDS {
            let request = replier.receive(&mut buffer, PATIENCE).expect("sound").done().expect("in time");
            replier.reply(&request, request.payload(&buffer), PATIENCE).expect("open").done().expect("it lives");
        }
    });
    println!("{ROUNDS} rounds in {:?}", began.elapsed());
    assert!(began.elapsed() < PATIENCE);
}

/// Writers that wait for room are woken by who takes something.
#[test]
fn full_pipelines_are_waited_for() {
    const COUNT: u32 = 2_000;
    let name = Name::new("t-room");
    let began = Instant::now();
    let mut pusher = Pusher::open(&name.0, &options()).expect("a new name");
    std::thread::scope(|scope| {
        let taker = scope.spawn(|| {
            let mut puller = Puller::open(&name.0, &options()).expect("it is there");
            let mut buffer = [0; 2048];
            for number in 0..COUNT {
                let message = puller.receive(&mut buffer, PATIENCE).expect("sound").done().expect("in time");
                assert_eq!((message.sequence, message.length), (number.into(), 1900));
            }
        });
        for _ in 0..COUNT {
            pusher.send(&[5; 1900], PATIENCE).expect("open").done().expect("in time");
        }
        taker.join().expect("no panic");
    });
    assert_eq!((pusher.info().refused, pusher.info().dropped_count), (0, 0));
    assert!(began.elapsed() < PATIENCE);
}
