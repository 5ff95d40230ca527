// SPDX-License-Identifier: MIT
//! Producing, consuming and looking, one thread.

mod common;

use common::{with_channel, Name, CHANNEL_0, HEADER, SLOT};
use shmwire::dmxp::{
    Channel, ChannelOptions, CreateOptions, Item, Message, Meta, OpenOptions, PayloadChoice, PayloadLayout, RUNTIME_UNSPECIFIED,
};
use shmwire::{Answer, Code, Error};

fn send(channel: &Channel, data: &[u8]) -> u64 {
    channel.try_send(data, &Meta::new()).expect("sound").done().expect("there is room")
}

fn receive(channel: &Channel) -> Answer<Vec<u8>> {
    let mut buffer = [0; 1024];
    channel.try_receive(&mut buffer).expect("sound").map(|message| message.payload(&buffer).to_vec())
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> Code {
    result.expect_err("a refusal").code()
}

#[test]
fn many_laps_in_order() {
    for capacity in [2, 4, 64] {
        let (_name, segment, channel) = with_channel(&format!("laps-{capacity}"), capacity);
        for lap in 0..5 {
            for i in 0..capacity {
                assert_eq!(send(&channel, &(lap * capacity + i).to_le_bytes()), lap * capacity + i);
            }
            assert_eq!(channel.try_send(b"", &Meta::new()).expect("sound"), Answer::Full);
            segment.validate().expect("a full channel is sound");
            for i in 0..capacity {
                assert_eq!(receive(&channel), Answer::Done((lap * capacity + i).to_le_bytes().to_vec()));
            }
            assert_eq!(receive(&channel), Answer::Empty);
            segment.validate().expect("an empty channel is sound");
        }
    }
}

#[test]
fn meta_travels() {
    let (_name, _segment, channel) = with_channel("meta", 4);
    let meta = Meta::new().message_id(u64::MAX).timestamp_ns(9).message_type(8).sender_pid(7).sender_runtime(6).flags(0x7FFF);
    channel.try_send(b"x", &meta).expect("sound").done().expect("there is room");
    send(&channel, b"y");
    let mut buffer = [0; 8];
    let message = channel.try_receive(&mut buffer).expect("sound").done().expect("a message");
    let expected = Message {
        position: 0,
        channel_id: 0,
        length: 1,
        offset: 0,
        message_id: u64::MAX,
        timestamp_ns: 9,
        message_type: 8,
        sender_pid: 7,
        sender_runtime: 6,
        flags: 0x7FFF,
    };
    assert_eq!(message, expected);
    let message = channel.try_receive(&mut buffer).expect("sound").done().expect("a message");
    assert_eq!((message.message_id, message.sender_pid, message.sender_runtime), (1, std::process::id(), 18));
    let age = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    assert!(message.timestamp_ns <= age && age - message.timestamp_ns < 60_000_000_000);
}

#[test]
fn refusals_change_nothing() {
    let (name, segment, channel) = with_channel("refusals", 4);
    let before = name.bytes();
    assert_eq!(code(channel.try_send(&[0; 1025], &Meta::new())), Code::TooLarge);
    assert_eq!(code(channel.try_send(b"", &Meta::new().flags(0x8000))), Code::InvalidArgument);
    assert_eq!(code(channel.try_send_batch(&[])), Code::InvalidArgument);
    assert_eq!(code(channel.try_send_batch(&[Item::new(b""); 5])), Code::InvalidArgument);
    assert_eq!(code(channel.try_send_batch(&[Item::new(b""), Item::new(&[0; 1025])])), Code::TooLarge);
    assert_eq!(code(channel.try_receive_batch(&mut [0; 8], &mut [])), Code::InvalidArgument);
    assert_eq!(code(segment.create_channel(0, &ChannelOptions::new().capacity(2))), Code::Exists);
    assert_eq!(code(segment.create_channel(1, &ChannelOptions::new().capacity(1 << 40))), Code::TooLarge);
    for capacity in [0, 1, 3] {
        assert_eq!(code(segment.create_channel(1, &ChannelOptions::new().capacity(capacity))), Code::InvalidArgument);
    }
    assert_eq!(code(segment.create_channel(256, &ChannelOptions::new())), Code::InvalidArgument);
    assert_eq!((code(segment.attach(1)), code(segment.attach(256))), (Code::NotFound, Code::InvalidArgument));
    assert_eq!(code(CreateOptions::new().create(&name.0)), Code::Exists);
    assert_eq!(code(CreateOptions::new().size(98_431).create("/shmw-rust-never")), Code::InvalidArgument);
    assert!(name.bytes() == before);
}

#[test]
fn a_small_buffer_leaves_the_message() {
    let (name, _segment, channel) = with_channel("small", 4);
    send(&channel, b"twelve bytes");
    send(&channel, b"more");
    let before = name.bytes();
    match channel.try_receive(&mut [0; 11]).expect_err("too small") {
        Error::TooSmall { needed } => assert_eq!(needed, 12),
        other => panic!("{other}"),
    }
    assert_eq!(code(channel.try_receive_batch(&mut [0; 11], &mut [Message::default(); 4])), Code::TooSmall);
    assert_eq!(code(channel.peek().next_into(&mut [0; 11])), Code::TooSmall);
    assert!(name.bytes() == before);
    let (mut buffer, mut messages) = ([0; 15], [Message::default(); 4]);
    assert_eq!(channel.try_receive_batch(&mut buffer, &mut messages).expect("sound"), Answer::Done(1), "the second does not fit");
    assert_eq!(messages[0].payload(&buffer), b"twelve bytes");
}

#[test]
fn batches_are_all_or_nothing() {
    let (_name, _segment, channel) = with_channel("batch", 4);
    let items: Vec<[u8; 1]> = (0..4).map(|i| [i]).collect();
    let batch = |n: usize| items[..n].iter().map(|data| Item::new(data)).collect::<Vec<_>>();
    assert_eq!(channel.try_send_batch(&batch(3)).expect("sound"), Answer::Done(0));
    assert_eq!(channel.try_send_batch(&batch(2)).expect("sound"), Answer::Full);
    assert_eq!(send(&channel, b"\x09"), 3);
    let (mut buffer, mut messages) = ([0; 16], [Message::default(); 8]);
    assert_eq!(channel.try_receive_batch(&mut buffer, &mut messages).expect("sound"), Answer::Done(4));
    let payloads: Vec<&[u8]> = messages[..4].iter().map(|message| message.payload(&buffer)).collect();
    assert_eq!(payloads, [[0], [1], [2], [9]]);
    assert_eq!(channel.try_receive_batch(&mut buffer, &mut messages).expect("sound"), Answer::Empty);
    assert_eq!(channel.try_send_batch(&batch(4)).expect("sound"), Answer::Done(4));
}

/// Gives fewer items the second time, and a longer one.
#[derive(Clone)]
struct Liar<'a>(&'a std::cell::Cell<u32>);

impl Iterator for Liar<'_> {
    type Item = Item<'static>;

    fn next(&mut self) -> Option<Item<'static>> {
        self.0.set(self.0.get() + 1);
        match self.0.get() {
            1 | 2 => Some(Item::new(b"short")),
            4 => Some(Item::new(&[0; 2000])),
            _ => None,
        }
    }
}

impl ExactSizeIterator for Liar<'_> {
    fn len(&self) -> usize {
        3
    }
}

#[test]
fn a_lying_iterator_leaves_tombstones() {
    let (_name, segment, channel) = with_channel("liar", 4);
    assert_eq!(channel.try_send_batch(Liar(&std::cell::Cell::new(0))).expect("sound"), Answer::Done(0));
    assert_eq!(receive(&channel), Answer::Empty);
    segment.validate().expect("still sound");
    assert_eq!(send(&channel, b"next"), 3);
    assert_eq!(receive(&channel), Answer::Done(b"next".to_vec()));
}

#[test]
fn claims_hold_the_queue() {
    let (_name, segment, channel) = with_channel("claims", 4);
    let mut claim = channel.claim().expect("sound").done().expect("there is room");
    send(&channel, b"behind");
    assert_eq!((claim.position(), claim.capacity()), (0, 1024));
    assert_eq!(receive(&channel), Answer::Empty, "the slot of head is not published, whatever stands behind it");
    assert_eq!(channel.peek().map(|look| look.expect("sound").0.position).collect::<Vec<_>>(), [1]);
    segment.validate().expect("a claim is a state that rules produce");
    assert_eq!(code(claim.write(1020, b"12345")), Code::TooLarge);
    claim.write(0, b"in front").expect("it fits");
    let refused = claim.commit(1025, &Meta::new()).expect_err("too long");
    assert_eq!(refused.error.code(), Code::TooLarge);
    let refused = refused.claim.commit(1, &Meta::new().flags(0x8000)).expect_err("bit 15");
    assert_eq!(refused.claim.into_owned().commit(8, &Meta::new()).expect("it fits"), 0);
    assert_eq!(receive(&channel), Answer::Done(b"in front".to_vec()));
    channel.claim().expect("sound").done().expect("there is room").abandon().expect("still ours");
    assert_eq!(receive(&channel), Answer::Done(b"behind".to_vec()));
    assert_eq!(receive(&channel), Answer::Empty, "a tombstone is passed over");
    assert_eq!(channel.peek().count(), 0);
}

#[test]
fn looking_changes_nothing() {
    let (name, _segment, channel) = with_channel("look", 4);
    for i in 0..3_u8 {
        send(&channel, &[i; 20]);
    }
    receive(&channel).done().expect("a message");
    let before = name.bytes();
    let read_only = OpenOptions::new().read_only(true).open(&name.0).expect("it is there");
    let looker = read_only.attach(0).expect("it is there");
    let looked: Vec<_> = looker.peek().map(|look| look.expect("sound")).collect();
    assert_eq!(looked.iter().map(|(message, _)| message.position).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(looked[1].1, [2; 20]);
    assert_eq!(looker.peek().next_into(&mut [0; 20]).expect("sound").done().expect("a message").position, 1);
    read_only.validate().expect("sound");
    assert_eq!(code(looker.try_send(b"", &Meta::new())), Code::Permission);
    assert_eq!(code(looker.claim()), Code::Permission);
    assert_eq!(code(looker.try_receive(&mut [0; 20])), Code::Permission);
    assert_eq!(code(looker.try_receive_batch(&mut [0; 20], &mut [Message::default()])), Code::Permission);
    assert_eq!(code(read_only.create_channel(1, &ChannelOptions::new())), Code::Permission);
    assert_eq!((code(read_only.remove_channel(0)), code(read_only.recover(true))), (Code::Permission, Code::Permission));
    assert!(name.bytes() == before);
}

#[test]
fn removed_channels_are_closed() {
    let (_name, segment, channel) = with_channel("closed", 4);
    send(&channel, b"left over");
    segment.remove_channel(0).expect("it is there");
    assert_eq!(channel.try_send(b"", &Meta::new()).expect("sound"), Answer::Closed);
    assert_eq!(channel.try_send_batch(&[Item::new(b"")]).expect("sound"), Answer::Closed);
    assert!(matches!(channel.claim().expect("sound"), Answer::Closed));
    assert_eq!(receive(&channel), Answer::Done(b"left over".to_vec()));
    assert_eq!(receive(&channel), Answer::Closed);
    assert_eq!(channel.peek().next_into(&mut [0; 20]).expect("sound"), Answer::Closed);
    segment.create_channel(0, &ChannelOptions::new().capacity(4)).expect("there is room");
    assert_eq!(channel.try_send(b"", &Meta::new()).expect("sound"), Answer::Closed, "another band is another channel");
    assert_eq!(segment.channels(), [0]);
}

/// One who has not noticed the removal takes nothing of the channel that was made anew, and learns of it.
#[test]
fn the_old_leave_the_new_alone() {
    let (_name, segment, old) = with_channel("anew", 4);
    send(&old, b"old");
    let old_claim = old.claim().expect("sound").done().expect("there is room");
    segment.remove_channel(0).expect("it is there");
    segment.create_channel(0, &ChannelOptions::new().capacity(4)).expect("there is room");
    let new = segment.attach(0).expect("it is there");
    assert_eq!(send(&new, b"new"), 8, "the least multiple of 4 from 2 + 4 on");
    assert_eq!(receive(&old), Answer::Closed);
    assert_eq!(old.peek().next_into(&mut [0; 20]).expect("sound"), Answer::Closed);
    assert_eq!(old_claim.commit(0, &Meta::new()).expect("into the old band"), 1);
    assert_eq!(receive(&new), Answer::Done(b"new".to_vec()));
    assert_eq!(receive(&new), Answer::Empty);
    segment.validate().expect("sound");
}

#[test]
fn undeclared_layouts_are_the_callers_choice() {
    let (name, _segment, _channel) = with_channel("layouts", 4);
    name.poke(20, &[0; 4]);
    let open = |choice| {
        let segment = OpenOptions::new().payload_choice(choice).open(&name.0).expect("it is there");
        segment.attach(0).expect("it is there")
    };
    let document = open(PayloadChoice::Always(PayloadLayout::Document));
    let krate = open(PayloadChoice::Always(PayloadLayout::Crate));
    let auto = open(PayloadChoice::Auto);
    assert_eq!((document.payload_capacity(), krate.payload_capacity(), auto.payload_capacity()), (960, 1024, 1024));
    document.try_send(b"document", &Meta::new().sender_runtime(17)).expect("sound").done().expect("there is room");
    krate.try_send(b"crate", &Meta::new().sender_runtime(RUNTIME_UNSPECIFIED)).expect("sound").done().expect("there is room");
    auto.try_send(b"auto", &Meta::new().sender_runtime(17)).expect("sound").done().expect("there is room");
    let bytes = name.bytes();
    let slot = |i: usize| &bytes[HEADER + i * SLOT..][..SLOT];
    assert_eq!((slot(0)[36], slot(1)[36], slot(2)[36]), (0, 18, 17), "the runtime tells where the payload is");
    assert_eq!((&slot(0)[64..72], &slot(1)[48..53], &slot(2)[48..52]), (&b"document"[..], &b"crate"[..], &b"auto"[..]));
    let payloads: Vec<_> = auto.peek().map(|look| look.expect("sound").1).collect();
    assert_eq!(payloads, [&b"document"[..], b"crate", b"auto"]);
    assert_eq!(receive(&auto), Answer::Done(b"document".to_vec()));
    assert_eq!(receive(&krate), Answer::Done(b"crate".to_vec()));
    assert_eq!(receive(&auto), Answer::Done(b"auto".to_vec()));
    assert_eq!(name.u64_at(CHANNEL_0 + 256), 3);
}

#[test]
fn a_declared_layout_wins() {
    let name = Name::new("declared");
    let segment = CreateOptions::new().size(200_000).payload_layout(PayloadLayout::Document).create(&name.0).expect("a new name");
    segment.create_channel(0, &ChannelOptions::new().capacity(4)).expect("there is room");
    let open = OpenOptions::new().payload_choice(PayloadChoice::Always(PayloadLayout::Crate)).open(&name.0).expect("it is there");
    let channel = open.attach(0).expect("it is there");
    assert_eq!((channel.payload_capacity(), open.info().payload_capacity), (960, 960));
    assert_eq!(code(channel.try_send(&[0; 961], &Meta::new())), Code::TooLarge);
    send(&channel, b"at 64");
    assert_eq!(name.bytes()[HEADER + 64..HEADER + 69], *b"at 64");
    assert_eq!(name.bytes()[HEADER + 36], 18, "a declared layout leaves the runtime alone");
    assert_eq!(receive(&segment.attach(0).expect("it is there")), Answer::Done(b"at 64".to_vec()));
}

#[test]
fn guarded_reads_survive_truncation() {
    let (name, segment, _channel) = with_channel("guarded", 64);
    let mut word = [0; 8];
    segment.read_guarded(0, &mut word).expect("it is there");
    assert_eq!(u64::from_le_bytes(word), 0x444D_5850_5F4D_454D);
    let size = segment.info().size;
    assert_eq!(code(segment.read_guarded(size - 4, &mut word)), Code::Truncated);
    assert_eq!(code(segment.read_guarded(u64::MAX, &mut word)), Code::InvalidArgument);
    std::fs::OpenOptions::new().write(true).open(name.path()).and_then(|file| file.set_len(4096)).expect("we own it");
    segment.read_guarded(0, &mut word).expect("the first page is there");
    assert_eq!(code(segment.read_guarded(8192, &mut word)), Code::Truncated);
}
