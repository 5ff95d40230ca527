// SPDX-License-Identifier: MIT
//! Sleeping, waking, threads over one mapping.

mod common;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{with_channel, CHANNEL_0};
use shmwire::dmxp::{Channel, ChannelOptions, Item, Message, Meta, OpenOptions};
use shmwire::{Answer, Wait};

const PATIENCE: Duration = Duration::from_secs(20);

fn assert_shareable<T: Send + Sync + Clone + 'static>(_: &T) {}

#[test]
fn handles_are_shareable() {
    let (_name, segment, channel) = with_channel("shareable", 2);
    assert_shareable(&segment);
    assert_shareable(&channel);
    drop(segment);
    channel.try_send(b"still mapped", &Meta::new()).expect("sound").done().expect("there is room");
}

#[test]
fn time_limits() {
    let (name, _segment, channel) = with_channel("limits", 2);
    let mut buffer = [0; 16];
    let began = Instant::now();
    assert_eq!(channel.receive(&mut buffer, Duration::from_millis(40)).expect("sound"), Answer::Timeout);
    assert!(began.elapsed() >= Duration::from_millis(40));
    assert_eq!(channel.receive(&mut buffer, Duration::ZERO).expect("sound"), Answer::Timeout);
    channel.try_send_batch(&[Item::new(b""), Item::new(b"")]).expect("sound").done().expect("there is room");
    let began = Instant::now();
    assert_eq!(channel.send(b"", &Meta::new(), Duration::from_millis(40)).expect("sound"), Answer::Timeout);
    assert!(began.elapsed() >= Duration::from_millis(40));
    assert_eq!(name.u32_at(CHANNEL_0 + 28), 0, "nobody is counted any more");
}

/// The message is sent after the last look and before the sleep: only a signal that was loaded before the look saves it.
#[test]
fn a_message_in_the_gap_is_not_slept_over() {
    let (name, _segment, channel) = with_channel("gap", 4);
    let other = OpenOptions::new().open(&name.0).expect("it is there").attach(0).expect("it is there");
    let (told, calls) = mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let hooked = channel.with_sleep_hook(move || {
        let answer = other.try_send(b"in the gap", &Meta::new());
        told.lock().expect("no panic").send(answer.is_ok()).expect("the test listens");
    });
    let mut buffer = [0; 16];
    let began = Instant::now();
    let message = hooked.receive(&mut buffer, PATIENCE).expect("sound").done().expect("it was sent");
    assert_eq!(message.payload(&buffer), b"in the gap");
    assert!(began.elapsed() < Duration::from_millis(900), "found by the slice, not by the signal");
    assert_eq!(calls.try_iter().collect::<Vec<_>>(), [true]);
}

/// A sleeper is woken by the futex, well before its one-second slice would let it look again.
#[test]
fn sleepers_are_woken() {
    for counted in [false, true] {
        let (name, segment, _channel) = with_channel(&format!("woken-{counted}"), 4);
        segment.create_channel(1, &ChannelOptions::new().capacity(4).counted_waiters(counted)).expect("there is room");
        let channel = segment.attach(1).expect("it is there");
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| {
                let mut buffer = [0; 16];
                let answer = channel.receive(&mut buffer, PATIENCE).expect("sound");
                (answer, Instant::now())
            });
            await_waiter(&name, 1);
            let sent = Instant::now();
            channel.try_send(b"good morning", &Meta::new()).expect("sound").done().expect("there is room");
            let (answer, woken) = sleeper.join().expect("no panic");
            assert!(answer.done().is_some());
            assert!(woken.duration_since(sent) < Duration::from_millis(700), "woken by the slice, not by the message");
        });
        assert_eq!(name.u32_at(CHANNEL_0 + 384 + 28), 0);
    }
}

/// Wait until a consumer of a channel is counted as asleep, and give it the moment that it needs to be so.
fn await_waiter(name: &common::Name, id: usize) {
    let began = Instant::now();
    while name.u32_at(CHANNEL_0 + 384 * id + 28) == 0 {
        assert!(began.elapsed() < PATIENCE, "nobody went to sleep");
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(20));
}

#[test]
fn removal_wakes_everybody() {
    let (name, segment, channel) = with_channel("removal", 4);
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| channel.receive(&mut [0; 16], Wait::forever()).expect("sound"));
        await_waiter(&name, 0);
        segment.remove_channel(0).expect("it is there");
        assert_eq!(sleeper.join().expect("no panic"), Answer::Closed);
    });
}

#[test]
fn a_waiting_producer_goes_on_when_there_is_room() {
    let (_name, _segment, channel) = with_channel("room", 2);
    channel.try_send_batch(&[Item::new(b"0"), Item::new(b"1")]).expect("sound").done().expect("there is room");
    std::thread::scope(|scope| {
        let producer = scope.spawn(|| channel.send(b"2", &Meta::new(), PATIENCE).expect("sound"));
        std::thread::sleep(Duration::from_millis(20));
        channel.try_receive(&mut [0; 16]).expect("sound").done().expect("a message");
        assert_eq!(producer.join().expect("no panic"), Answer::Done(2));
    });
}

const EACH: u64 = 20_000;

fn produce(channel: &Channel, producer: u64) {
    let mut i = 0;
    while i < EACH {
        let payloads: Vec<[u8; 16]> = (i..(i + 1 + i % 3).min(EACH)).map(|i| pack(producer, i)).collect();
        let answer = match payloads.as_slice() {
            [one] => channel.try_send(one, &Meta::new()),
            many => channel.try_send_batch(many.iter().map(|data| Item::new(data))),
        };
        match answer.expect("sound") {
            Answer::Done(_) => i += payloads.len() as u64,
            _ => std::thread::yield_now(),
        }
    }
}

fn pack(producer: u64, i: u64) -> [u8; 16] {
    let mut payload = [0; 16];
    payload[..8].copy_from_slice(&producer.to_le_bytes());
    payload[8..].copy_from_slice(&i.to_le_bytes());
    payload
}

fn unpack(payload: &[u8]) -> (u64, u64) {
    let word = |at: usize| u64::from_le_bytes(payload[at..at + 8].try_into().expect("8 bytes"));
    (word(0), word(8))
}

fn consume(channel: &Channel, by_batch: bool) -> Vec<(u64, u64)> {
    let (mut buffer, mut messages) = ([0; 64], [Message::default(); 4]);
    let mut got = Vec::new();
    loop {
        let count = if by_batch {
            match channel.try_receive_batch(&mut buffer, &mut messages).expect("sound") {
                Answer::Done(count) => count,
                _ => 0,
            }
        } else {
            0
        };
        if count == 0 {
            match channel.receive(&mut buffer, Duration::from_millis(400)).expect("sound") {
                Answer::Done(message) => messages[0] = message,
                _ => return got,
            }
        }
        got.extend(messages[..count.max(1)].iter().map(|message| unpack(message.payload(&buffer))));
    }
}

/// Two producers and two consumers over one mapping, with channels of the smallest and of a common size.
#[test]
fn threads_get_each_message_once_and_in_order() {
    for capacity in [2, 64] {
        let (_name, segment, channel) = with_channel(&format!("threads-{capacity}"), capacity);
        let received: Vec<Vec<(u64, u64)>> = std::thread::scope(|scope| {
            let consumers: Vec<_> = (0..2)
                .map(|k| {
                    scope.spawn({
                        let channel = &channel;
                        move || consume(channel, k == 1)
                    })
                })
                .collect();
            for producer in 0..2 {
                let channel = &channel;
                scope.spawn(move || produce(channel, producer));
            }
            consumers.into_iter().map(|consumer| consumer.join().expect("no panic")).collect()
        });
        for (by, got) in received.iter().enumerate() {
            for producer in 0..2 {
                let mut order = got.iter().filter(|message| message.0 == producer).map(|message| message.1);
                let mut last = order.next();
                assert!(order.all(|i| last.replace(i) < Some(i)), "consumer {by} has messages of {producer} out of order");
            }
        }
        let mut all: Vec<_> = received.concat();
        all.sort_unstable();
        let expected: Vec<_> = (0..2).flat_map(|producer| (0..EACH).map(move |i| (producer, i))).collect();
        assert!(all == expected, "not each message exactly once: {} of {}", all.len(), expected.len());
        segment.validate().expect("at rest and sound");
    }
}
