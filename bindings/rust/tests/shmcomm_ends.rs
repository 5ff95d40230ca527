// SPDX-License-Identifier: MIT
//! Profile shmcomm: what ends of channels answer.

mod common;

use std::time::{Duration, Instant};

use common::Name;
use shmwire::shmcomm::{
    self, Identity, Making, Message, Meta, Observer, Options, Publisher, Puller, Pusher, Replier, Requester, Start, Subscriber,
    CONTENT_JSON, CONTENT_MSGPACK,
};
use shmwire::{Answer, Code, Result};

const NONE: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(20);

fn small() -> Options {
    Options::new().capacity(4096).ready_timeout(NONE)
}

fn code<T>(result: Result<T>) -> Code {
    result.err().map_or(Code::Ok, |error| error.code())
}

#[test]
fn a_channel_by_its_name() {
    let name = format!("rust-{}.by_name", std::process::id());
    assert_eq!(code(Subscriber::open(&name, &small())), Code::NotFound);
    let mut publisher = Publisher::open(&name, &small().serializer(CONTENT_JSON)).expect("a new name");
    assert_eq!(publisher.segment().to_string_lossy(), format!("/shmcomm_pub_{name}"));
    let mut subscriber = Subscriber::open(&name, &small()).expect("it is there");
    publisher.send_with(b"{}", &Meta::new().flags(9), NONE).expect("room");
    publisher.send_with(b"\x80", &Meta::new().content_type(CONTENT_MSGPACK).timestamp_ns(5), NONE).expect("room");
    let mut buffer = [0; 8];
    let mut next = || subscriber.receive(&mut buffer, NONE).expect("sound").done().expect("there");
    let (first, second) = (next(), next());
    assert_eq!((first.content_type, first.flags, first.sender), (CONTENT_JSON, 9, publisher.info().endpoint));
    assert_eq!((second.content_type, second.timestamp_ns, second.position), (CONTENT_MSGPACK, 5, 48));
    assert!(first.timestamp_ns > 1_700_000_000_000_000_000);
    drop(publisher);
    assert_eq!(subscriber.receive(&mut buffer, LONG).expect("sound"), Answer::Closed);
    assert_eq!(code(Subscriber::open(&name, &small())), Code::NotFound);
}

#[test]
fn arguments_are_checked() {
    for capacity in [1, 2048, 4095, 4097, 1 << 39] {
        assert_eq!(code(Publisher::open("/shmw-rust-none", &small().capacity(capacity))), Code::InvalidArgument, "{capacity}");
    }
    assert_eq!(code(Publisher::open("/shmw-rust-none", &small().mode(0o1777))), Code::InvalidArgument);
    assert_eq!(code(Pusher::open("no slash, but spaces", &small())), Code::InvalidName);
    let name = Name::new("e-arguments");
    let pusher = Pusher::open(&name.0, &small()).expect("a new name");
    assert_eq!(code(Pusher::open(&name.0, &small().making(Making::CreateOnly))), Code::Exists);
    assert_eq!(code(Publisher::open(&name.0, &small())), Code::Unsupported);
    assert_eq!(code(Replier::open(&name.0, &small())), Code::Unsupported);
    assert_eq!(code(Requester::open(&name.0, &small())), Code::Unsupported);
    let same = Identity { endpoint: pusher.info().endpoint, ..Identity::default() };
    assert_eq!(code(Pusher::open(&name.0, &small().identity(same))), Code::Busy);
    let mut puller = Puller::open(&name.0, &small()).expect("it is there");
    assert_eq!(code(puller.receive_batch(&mut [0; 8], &mut [], NONE)), Code::InvalidArgument);
}

#[test]
fn limits_are_named() {
    let name = Name::new("e-limits");
    let mut publisher = Publisher::open(&name.0, &small()).expect("a new name");
    let mut subscriber = Subscriber::open(&name.0, &small()).expect("it is there");
    assert_eq!(publisher.info().max_payload, 2008);
    let error = publisher.send(&[0; 2009]).expect_err("too large");
    assert_eq!(error.to_string(), "2009 bytes do not fit: the limit is 2008");
    assert_eq!(
        code(publisher.send_batch(&[vec![0; 8], vec![0; 2009]], &Meta::new(), |_| panic!("none is sent"))),
        Code::TooLarge
    );
    publisher.send(&[7; 2008]).expect("the longest");
    let error = subscriber.receive(&mut [0; 2007], NONE).expect_err("a byte short");
    assert_eq!(error.to_string(), "the buffer is too small: the payload takes 2008 bytes");
    let message = subscriber.receive(&mut [0; 2008], NONE).expect("sound").done().expect("it is next still");
    assert_eq!((message.length, message.sequence), (2008, 0));
}

#[test]
fn losses_are_told() {
    let name = Name::new("e-losses");
    let mut publisher = Publisher::open(&name.0, &small()).expect("a new name");
    let mut told = Subscriber::open(&name.0, &small().tell_lost(true)).expect("it is there");
    let mut untold = Subscriber::open(&name.0, &small()).expect("it is there");
    (0..20_u8).for_each(|i| {
        publisher.send(&[i; 984]).expect("room");
    }); // four are held
    let mut buffer = [0; 1000];
    assert_eq!(told.receive(&mut buffer, NONE).expect("sound"), Answer::Lapped);
    assert_eq!(told.told_lost(), 16);
    for subscriber in [&mut told, &mut untold] {
        let messages: Vec<Message> =
            (0..4).map(|_| subscriber.receive(&mut buffer, NONE).expect("sound").done().expect("there")).collect();
        assert_eq!(
            messages.iter().map(|message| (message.sequence, message.lost)).collect::<Vec<_>>(),
            [(16, 16), (17, 0), (18, 0), (19, 0)]
        );
        assert_eq!(subscriber.receive(&mut buffer, NONE).expect("sound"), Answer::Empty);
        assert_eq!((subscriber.info().lost, subscriber.info().received), (16, 4));
    }
    assert_eq!((publisher.info().dropped_count, publisher.info().sent), (16, 20));
}

/// What was read ahead is whole and in order, and what is lost behind it is counted.
#[test]
fn reading_ahead_keeps_order_and_count() {
    let name = Name::new("e-ahead");
    let mut publisher = Publisher::open(&name.0, &Options::new().capacity(1 << 16)).expect("a new name");
    let mut subscriber = Subscriber::open(&name.0, &small()).expect("it is there");
    let mut buffer = [0; 1024];
    let (mut sent, mut next) = (0_u64, 0);
    for round in 0..200_u64 {
        for _ in 0..round % 97 * 7 {
            let length = 8 + (sent * 31 % 900) as usize;
            let payload: Vec<u8> = sent.to_le_bytes().into_iter().cycle().take(length).collect();
            assert_eq!(publisher.send(&payload).expect("room"), sent);
            sent += 1;
        }
        for _ in 0..round % 53 * 9 {
            let message = match subscriber.receive(&mut buffer, NONE).expect("sound") {
                Answer::Done(message) => message,
                Answer::Empty => break,
                other => panic!("{other:?}"),
            };
            assert_eq!(message.sequence, next + message.lost);
            next = message.sequence + 1;
            assert_eq!(message.length, 8 + (message.sequence * 31 % 900) as usize);
            let expected = message.sequence.to_le_bytes();
            assert!(message.payload(&buffer).iter().zip(expected.iter().cycle()).all(|(a, b)| a == b), "{}", message.sequence);
        }
    }
    assert!(subscriber.info().lost > 0 && subscriber.info().received > 3000, "{:?}", subscriber.info());
    assert_eq!(subscriber.info().lost + subscriber.info().received, next);
}

#[test]
fn batches_are_aligned_and_end_where_they_must() {
    let name = Name::new("e-batches");
    let mut pusher = Pusher::open(&name.0, &small()).expect("a new name");
    let mut puller = Puller::open(&name.0, &small()).expect("it is there");
    let parts: Vec<Vec<u8>> = (0..10_u8).map(|i| vec![i; usize::from(i) * 3]).collect();
    pusher.send_batch(&parts, &Meta::new(), NONE, |_| {}).expect("open").done().expect("room");
    let (mut buffer, mut messages) = ([0; 64], [Message::default(); 10]);
    let mut taken = Vec::new();
    while let Answer::Done(count) = puller.receive_batch(&mut buffer, &mut messages, NONE).expect("sound") {
        assert!(count > 0 && messages[..count].iter().all(|message| message.offset % 8 == 0));
        taken.extend(messages[..count].iter().map(|message| message.payload(&buffer).to_vec()));
    }
    assert_eq!(taken, parts);
    // A pipeline takes as much of a batch as there is room for.
    let big = vec![vec![1; 1000]; 6];
    let mut sent = 0;
    assert_eq!(pusher.send_batch(&big, &Meta::new(), NONE, |_| sent += 1).expect("open"), Answer::Full);
    assert_eq!((sent, pusher.info().refused, pusher.info().dropped_count), (3, 1, 1));
    assert_eq!(pusher.send(b"", Duration::from_millis(5)).expect("open").code(), Code::Ok);
    assert_eq!(pusher.send(&[0; 1000], Duration::from_millis(5)).expect("open"), Answer::Timeout);
    assert_eq!(pusher.info().dropped_count, 2);
}

#[test]
fn views_are_checked() {
    let name = Name::new("e-views");
    let mut publisher = Publisher::open(&name.0, &small()).expect("a new name");
    let mut observer = Observer::open(&name.0, &small()).expect("it is there");
    assert_eq!(observer.view(NONE).expect("sound").code(), Code::Empty);
    publisher.send(b"0123456789abc").expect("room");
    let view = observer.view(LONG).expect("sound").done().expect("there");
    let mut part = [0; 5];
    view.read_at(3, &mut part).expect("inside");
    assert_eq!((&part, view.check()), (b"34567", Answer::Done(())));
    assert_eq!(code(view.read_at(10, &mut part)), Code::InvalidArgument);
    assert_eq!(code(view.copy_to(&mut part)), Code::TooSmall);
    let mut all = [0; 13];
    assert_eq!((view.copy_to(&mut all).expect("it fits"), &all), (Answer::Done(()), b"0123456789abc"));
    (0..4).for_each(|_| {
        publisher.send(&[1; 900]).expect("room");
    });
    assert_eq!(view.check(), Answer::Done(()), "there is room for all of them");
    publisher.send(&[1; 900]).expect("room");
    assert_eq!(view.check(), Answer::Lapped);
    let message = view.message();
    assert_eq!(observer.check(&message), Answer::Lapped);
    observer.seek(Start::Latest).expect("sound");
    assert_eq!(observer.receive(&mut [0; 8], NONE).expect("sound"), Answer::Empty);
    observer.validate().expect("sound");
    assert_eq!(observer.held().expect("sound").len(), 4);
}

#[test]
fn a_sole_writer_keeps_the_others_out() {
    let name = Name::new("e-sole");
    let mut other = Pusher::open(&name.0, &small()).expect("a new name");
    let mut sole = Pusher::open(&name.0, &small().sole(true)).expect("nobody has the lock");
    assert_eq!(code(other.send(b"", NONE)), Code::Busy);
    assert_eq!(code(Pusher::open(&name.0, &small().sole(true))), Code::Busy);
    let mut puller = Puller::open(&name.0, &small()).expect("it is there");
    for i in 0..100_u8 {
        sole.send(&[i; 700], NONE).expect("open").done().expect("room");
        let message = puller.receive(&mut [0; 700], NONE).expect("sound").done().expect("there");
        assert_eq!((message.sequence, message.sender), (i.into(), sole.info().endpoint));
    }
    drop(sole);
    assert_eq!(other.send(b"", NONE).expect("it is free"), Answer::Done(100));
}

#[test]
fn pipelines_outlive_their_pushers() {
    let name = Name::new("e-outlive");
    let mut pusher = Pusher::open(&name.0, &small()).expect("a new name");
    (0..3).for_each(|_| {
        pusher.send(b"work", NONE).expect("open").done().expect("room");
    });
    drop(pusher);
    assert_eq!(name.u32_at(68), 2);
    assert_eq!(shmcomm::remove(&name.0, false).expect("stale"), Answer::Full);
    let mut puller = Puller::open(&name.0, &small()).expect("it holds messages");
    puller.receive(&mut [0; 8], NONE).expect("sound").done().expect("there");
    let mut heir = Pusher::open(&name.0, &small()).expect("it is there still");
    assert_eq!((heir.info().state, heir.info().owner_endpoint), (1, heir.info().endpoint));
    assert_eq!(heir.send(b"more", NONE).expect("open"), Answer::Done(3));
    assert_eq!(shmcomm::remove(&name.0, true).expect_err("a keeper lives").code(), Code::Busy);
    drop(heir);
    (1..4).for_each(|i| {
        let message = puller.receive(&mut [0; 8], NONE).expect("sound").done().expect("there");
        assert_eq!(message.sequence, i);
    });
    assert!(name.path().exists());
    assert_eq!(puller.receive(&mut [0; 8], LONG).expect("sound"), Answer::Closed);
    assert!(!name.path().exists(), "who comes to the end removes it");
}

#[test]
fn requests_are_paired_with_replies() {
    let name = Name::new("e-pairs");
    let mut replier = Replier::open(&name.0, &small()).expect("a new name");
    let mut requesters: Vec<Requester> = (0..3).map(|_| Requester::open(&name.0, &small()).expect("it is there")).collect();
    let mut buffer = [0; 64];
    assert_eq!(code(requesters[0].receive(&mut buffer, NONE)), Code::OutOfOrder);
    for (i, requester) in requesters.iter_mut().enumerate() {
        requester.send(&[i as u8], NONE).expect("open").done().expect("room");
    }
    let mut take = || replier.receive(&mut buffer, NONE).expect("sound").done().expect("there");
    let mut requests: Vec<Message> = (0..3).map(|_| take()).collect();
    requests.reverse();
    for request in &requests {
        replier.reply(request, &[request.sequence as u8 + 100], NONE).expect("open").done().expect("room");
    }
    for (i, requester) in requesters.iter_mut().enumerate() {
        let reply = requester.receive(&mut buffer, NONE).expect("sound").done().expect("there");
        assert_eq!(reply.payload(&buffer), [i as u8 + 100]);
        assert_eq!(code(requester.receive(&mut buffer, NONE)), Code::OutOfOrder);
    }
    // One that is given up, and answered all the same.
    let requester = &mut requesters[0];
    requester.send(b"late", NONE).expect("open").done().expect("room");
    assert_eq!(requester.receive(&mut buffer, NONE).expect("open"), Answer::Empty);
    requester.send(b"new", NONE).expect("open").done().expect("room");
    for word in [&b"too late"[..], b"in time"] {
        let request = replier.receive(&mut buffer, NONE).expect("sound").done().expect("there");
        replier.reply(&request, word, NONE).expect("open").done().expect("room");
    }
    let reply = requester.receive(&mut buffer, NONE).expect("sound").done().expect("there");
    assert_eq!((reply.payload(&buffer), requester.info().discarded), (&b"in time"[..], 1));
    // One who has left.
    requesters[1].send(b"gone", NONE).expect("open").done().expect("room");
    let request = replier.receive(&mut buffer, NONE).expect("sound").done().expect("there");
    requesters.remove(1);
    assert_eq!(replier.reply(&request, b"nobody", NONE).expect("open"), Answer::Closed);
    assert_eq!((replier.info().unanswered, replier.info().sent), (1, 5));
    drop(replier);
    assert_eq!(requesters[0].send(b"anybody?", NONE).expect("open"), Answer::Closed);
}

#[test]
fn an_absent_channel_is_waited_for() {
    let name = Name::new("e-absent");
    let began = Instant::now();
    let soon = small().ready_timeout(Duration::from_millis(30));
    assert_eq!((code(Puller::open(&name.0, &soon)), began.elapsed() >= Duration::from_millis(30)), (Code::NotFound, true));
    std::thread::scope(|scope| {
        let puller = scope.spawn(|| {
            let mut puller = Puller::open(&name.0, &small().ready_timeout(LONG)).expect("it comes");
            puller.receive(&mut [0; 8], LONG).expect("sound").done().expect("it comes").sequence
        });
        std::thread::sleep(Duration::from_millis(20));
        let mut pusher = Pusher::open(&name.0, &small()).expect("a new name");
        pusher.send(b"here", NONE).expect("open").done().expect("room");
        assert_eq!(puller.join().expect("no panic"), 0);
    });
}
