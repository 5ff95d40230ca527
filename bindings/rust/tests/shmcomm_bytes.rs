// SPDX-License-Identifier: MIT
//! Profile shmcomm: what stands in the segment, byte for byte.

mod common;

use std::time::Duration;

use common::Name;
use shmwire::shmcomm::{Identity, Making, Meta, Options, Publisher, Puller, Pusher, Replier, Requester, Start, Subscriber};
use shmwire::Answer;

const RING: usize = 128;
const NONE: Duration = Duration::ZERO;

/// The bytes that a channel should have.
struct Expected(Vec<u8>);

impl Expected {
    /// A new segment as the specification lays it out.
    fn fresh(capacity: usize, pattern: u32) -> Expected {
        let mut expected = Expected(vec![0; RING + capacity]);
        expected.put(0, b"1MMOCMHS");
        expected.word(8, 2);
        expected.word(56, capacity as u64);
        expected.put(64, &pattern.to_le_bytes());
        expected.put(68, &1_u32.to_le_bytes());
        expected.put(88, &4711_u32.to_le_bytes());
        expected.put(92, &3_u32.to_le_bytes());
        expected.word(96, 77);
        expected.word(104, 0x0102_0304_0506_0708);
        expected.put(112, &7_u32.to_le_bytes());
        expected
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn word(&mut self, at: usize, word: u64) {
        self.put(at, &word.to_le_bytes());
    }

    /// A frame of endpoint 7 with content type 3, zeros behind it included.
    fn frame(&mut self, at: usize, sequence: u64, time: u64, payload: &[u8]) {
        let at = RING + at;
        self.word(at, 32 + payload.len() as u64);
        self.word(at + 8, sequence);
        self.word(at + 16, time);
        self.word(at + 24, 0);
        self.put(at + 32, &7_u32.to_le_bytes());
        self.put(at + 36, &[3, 0, 0, 0]);
        self.put(at + 40, payload);
        let end = at + 40 + payload.len();
        self.0[end..(end + 7) / 8 * 8].fill(0);
    }

    /// head, tail, message_count, dropped_count.
    fn counts(&mut self, head: u64, tail: u64, count: u64, dropped: u64) {
        [(16, head), (24, tail), (40, count), (48, dropped)].into_iter().for_each(|(at, value)| self.word(at, value));
    }
}

fn options() -> Options {
    let identity =
        Identity { endpoint: 7, pid: 4711, instance: 0x0102_0304_0506_0708, boot_ns: 77, correlation_id: 0xFFFF_FFFF_FFFF_FFFF };
    Options::new().capacity(4096).serializer(3).identity(identity).making(Making::CreateOnly)
}

fn at(time: u64) -> Meta {
    Meta::new().timestamp_ns(time)
}

#[test]
fn a_new_channel_and_its_first_messages() {
    let name = Name::new("c-fresh");
    let mut publisher = Publisher::open(&name.0, &options()).expect("a new name");
    let mut expected = Expected::fresh(4096, 1);
    assert!(name.bytes() == expected.0);
    for (sequence, payload) in [&b""[..], b"seven b", b"eight by", b"nine byte"].into_iter().enumerate() {
        assert_eq!(publisher.send_with(payload, &at(1000 + sequence as u64), NONE).expect("room"), sequence as u64);
    }
    expected.frame(0, 0, 1000, b"");
    expected.frame(40, 1, 1001, b"seven b");
    expected.frame(88, 2, 1002, b"eight by");
    expected.frame(136, 3, 1003, b"nine byte");
    expected.counts(192, 0, 4, 0);
    assert!(name.bytes() == expected.0);
}

#[test]
fn laps_of_a_publisher() {
    let name = Name::new("c-laps");
    let mut publisher = Publisher::open(&name.0, &options().sole(true)).expect("a new name");
    let mut expected = Expected::fresh(4096, 1);
    expected.put(32, &7_u32.to_le_bytes()); // held from open to close
                                            // 3 x 1,240 bytes leave 376: the fourth goes to the start, behind a mark, and evicts one.
    for sequence in 0..4_u64 {
        let payload = vec![sequence as u8 + 1; 1195];
        publisher.send_with(&payload, &at(sequence), NONE).expect("room");
        expected.frame(if sequence == 3 { 0 } else { 1240 * sequence as usize }, sequence, sequence, &payload);
    }
    expected.word(RING + 3720, u64::MAX);
    expected.counts(4096 + 1240, 1240, 4, 1);
    assert!(name.bytes() == expected.0);
    // Passing over the mark makes room enough: the frame behind it stays.
    publisher.send_with(&[9; 2008], &at(4), NONE).expect("room");
    expected.frame(1240, 4, 4, &[9; 2008]);
    expected.counts(4096 + 1240 + 2048, 3720, 5, 3);
    assert!(name.bytes() == expected.0);
    publisher.send_with(&[8; 700], &at(5), NONE).expect("room");
    expected.frame(3288, 5, 5, &[8; 700]);
    expected.counts(4096 + 3288 + 744, 4096, 6, 3);
    assert!(name.bytes() == expected.0);
    drop(publisher);
    assert!(!name.path().exists(), "the last keeper removes it");
}

#[test]
fn batches_are_as_single_messages() {
    let (one, many) = (Name::new("c-single"), Name::new("c-batch"));
    let mut single = Publisher::open(&one.0, &options()).expect("a new name");
    let mut batch = Publisher::open(&many.0, &options()).expect("a new name");
    let parts: Vec<Vec<u8>> = (0..60_usize).map(|i| vec![i as u8; i * 7 % 500]).collect();
    parts.iter().for_each(|part| {
        single.send_with(part, &at(5), NONE).expect("room");
    });
    let mut sequences = Vec::new();
    batch.send_batch(&parts, &at(5), |sequence| sequences.push(sequence)).expect("room");
    assert_eq!(sequences, (0..60).collect::<Vec<u64>>());
    assert!(one.bytes() == many.bytes());
}

#[test]
fn claims_show_nothing_until_they_are_committed() {
    let name = Name::new("c-claim");
    let mut pusher = Pusher::open(&name.0, &options()).expect("a new name");
    pusher.send_with(b"before", &at(1), NONE).expect("open").done().expect("room");
    let fresh = name.bytes();
    let counts = |name: &Name| [16, 24, 40, 48].map(|at| name.u64_at(at));
    let mut claim = pusher.claim(13, &at(2)).expect("open").done().expect("room");
    claim.write(0, b"in the middle").expect("it fits");
    assert_eq!((counts(&name), name.u32_at(32)), ([48, 0, 1, 0], 7));
    claim.abandon().expect("ours");
    assert_eq!((counts(&name), name.u32_at(32)), ([48, 0, 1, 0], 0));
    assert!(name.bytes()[..RING + 48] == fresh[..RING + 48]);

    let mut claim = pusher.claim(13, &at(3)).expect("open").done().expect("room");
    assert_eq!(claim.write(6, b"too long").expect_err("beyond").code().name(), "TOO_LARGE");
    for (at, part) in [(9, &b"last"[..]), (0, b"fi"), (2, b"rst and")] {
        claim.write(at, part).expect("it fits");
    }
    claim.keep();
    assert_eq!(pusher.send(b"no", NONE).expect_err("its claim is open").code().name(), "BUSY");
    assert_eq!(pusher.open_claim().expect("kept").commit().expect("ours"), 1);
    assert!(pusher.open_claim().is_none());
    let mut expected = Expected::fresh(4096, 2);
    expected.frame(0, 0, 1, b"before");
    expected.frame(48, 1, 3, b"first andlast");
    expected.counts(104, 0, 2, 0);
    assert!(name.bytes() == expected.0);
}

#[test]
fn pullers_store_nothing_but_their_claims() {
    let name = Name::new("c-pull");
    let mut pusher = Pusher::open(&name.0, &options()).expect("a new name");
    (0..3_u8).for_each(|i| {
        pusher.send_with(&[i; 8], &at(i.into()), NONE).expect("open").done().expect("room");
    });
    let mut puller = Puller::open(&name.0, &Options::new()).expect("it is there");
    name.poke(40, &1_u64.to_le_bytes()); // as if the pusher had died between head and message_count
    let mut expected = name.bytes();
    let message = puller.receive(&mut [0; 8], NONE).expect("sound").done().expect("there");
    assert_eq!((message.sequence, message.sender, message.content_type), (0, 7, 3));
    expected[24] = 48;
    assert!(name.bytes() == expected);
    puller.receive(&mut [0; 8], NONE).expect("sound").done().expect("there");
    expected[24] = 96;
    expected[40] = 2; // raised before it was taken
    assert!(name.bytes() == expected);
}

#[test]
fn subscribers_leave_every_byte() {
    let name = Name::new("c-leave");
    let mut publisher = Publisher::open(&name.0, &options()).expect("a new name");
    (0..40_u8).for_each(|i| {
        publisher.send(&[i; 100]).expect("room");
    });
    let bytes = name.bytes();
    for read_only in [true, false] {
        let options = Options::new().start(Start::Oldest).read_only(read_only);
        let mut subscriber = Subscriber::open(&name.0, &options).expect("it is there");
        let mut count = 0;
        while let Answer::Done(message) = subscriber.receive(&mut [0; 100], NONE).expect("sound") {
            count += 1;
            assert_eq!(message.sequence, 40 - HELD + count - 1);
        }
        assert_eq!(count, HELD);
        assert!(name.bytes() == bytes);
        // Asleep it is counted, if it can be, and stays so.
        assert_eq!(subscriber.receive(&mut [0; 100], Duration::from_millis(5)).expect("sound"), Answer::Timeout);
        assert_eq!(name.u32_at(76), u32::from(!read_only));
    }
}

/// Frames of 144 bytes in a ring of 4,096, with a mark between them.
const HELD: u64 = 28;

#[test]
fn requests_and_replies() {
    let name = Name::new("c-service");
    let mut replier = Replier::open(&name.0, &options()).expect("a new name");
    let identity = Identity { endpoint: 9, correlation_id: u64::MAX, ..Identity::default() };
    let mut requester = Requester::open(&name.0, &Options::new().capacity(4096).identity(identity)).expect("it is there");
    let replies = Name(format!("{}_rep_9", name.0));
    assert_eq!((replies.u32_at(64), replies.u32_at(112), replies.u64_at(56)), (4, 9, 4096));
    for (sequence, correlation_id) in [u64::MAX, 1, 2].into_iter().enumerate() {
        requester.send(b"question", NONE).expect("open").done().expect("room");
        assert_eq!(name.u64_at(RING + sequence * 48 + 24), correlation_id, "0 is passed over");
        let request = replier.receive(&mut [0; 64], NONE).expect("sound").done().expect("there");
        assert_eq!((request.sender, request.correlation_id), (9, correlation_id));
        replier.reply(&request, b"answer", NONE).expect("open").done().expect("room");
        let frame = RING + sequence * 48;
        assert_eq!((replies.u64_at(frame + 24), replies.u32_at(frame + 32)), (correlation_id, 7));
        let reply = requester.receive(&mut [0; 64], NONE).expect("sound").done().expect("there");
        assert_eq!((reply.correlation_id, reply.length), (correlation_id, 6));
    }
    drop(requester);
    assert!(!replies.path().exists());
    drop(replier);
    assert!(!name.path().exists());
}
