// SPDX-License-Identifier: MIT
//! What stands in the segment, byte for byte.

mod common;

use common::{with_channel, Name, CHANNEL_0, HEADER, SLOT};
use shmwire::dmxp::{ChannelOptions, CreateOptions, Item, Meta, PayloadLayout};
use shmwire::Answer;

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn meta(i: u64) -> Meta {
    Meta::new().message_id(100 + i).timestamp_ns(1_000 + i).message_type(7).sender_pid(4242).sender_runtime(18).flags(0x0005)
}

/// A slot as the specification lays it out.
fn slot(sequence: u64, i: u64, flags: u16, payload_at: usize, payload: &[u8]) -> Vec<u8> {
    let mut slot = vec![0; SLOT];
    put(&mut slot, 0, &sequence.to_le_bytes());
    put(&mut slot, 8, &(100 + i).to_le_bytes());
    put(&mut slot, 16, &(1_000 + i).to_le_bytes());
    put(&mut slot, 28, &7_u32.to_le_bytes());
    put(&mut slot, 32, &4242_u32.to_le_bytes());
    put(&mut slot, 36, &18_u16.to_le_bytes());
    put(&mut slot, 38, &flags.to_le_bytes());
    put(&mut slot, 40, &(payload.len() as u32).to_le_bytes());
    put(&mut slot, payload_at, payload);
    slot
}

#[test]
fn a_new_segment() {
    let name = Name::new("new");
    let segment = CreateOptions::new().size(200_000).payload_layout(PayloadLayout::Document).create(&name.0).expect("a new name");
    let mut expected = vec![0; 200_000];
    put(&mut expected, 0, &0x444D_5850_5F4D_454D_u64.to_le_bytes());
    put(&mut expected, 8, &1_u32.to_le_bytes());
    put(&mut expected, 12, &256_u32.to_le_bytes());
    put(&mut expected, 20, &1_u32.to_le_bytes());
    assert!(name.bytes() == expected);

    segment.create_channel(3, &ChannelOptions::new().capacity(4).counted_waiters(true)).expect("there is room");
    let entry = 128 + 384 * 3;
    put(&mut expected, 16, &1_u32.to_le_bytes());
    put(&mut expected, entry, &3_u32.to_le_bytes());
    put(&mut expected, entry + 4, &1_u32.to_le_bytes());
    put(&mut expected, entry + 8, &4_u64.to_le_bytes());
    put(&mut expected, entry + 16, &(HEADER as u64).to_le_bytes());
    (0..4).for_each(|i| put(&mut expected, HEADER + i * SLOT, &(i as u64).to_le_bytes()));
    assert!(name.bytes() == expected);
}

#[test]
fn mode_is_0600_unless_asked() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |name: &Name| std::fs::metadata(name.path()).expect("the segment's file").permissions().mode() & 0o777;
    let (plain, asked) = (Name::new("mode-plain"), Name::new("mode-asked"));
    CreateOptions::new().size(100_000).create(&plain.0).expect("a new name");
    CreateOptions::new().size(100_000).mode(0o400).create(&asked.0).expect("a new name");
    assert_eq!((mode(&plain), mode(&asked)), (0o600, 0o400));
}

#[test]
fn messages_and_what_they_leave() {
    let (name, _segment, channel) = with_channel("slots", 4);
    let mut expected = name.bytes();
    let payload = [0xA5; 37];
    assert_eq!(channel.try_send(&payload, &meta(0)).expect("sound"), Answer::Done(0));
    let batch = [Item { data: b"", meta: meta(1) }, Item { data: &[0x5A; 1024], meta: meta(2) }];
    assert_eq!(channel.try_send_batch(&batch).expect("sound"), Answer::Done(1));
    put(&mut expected, HEADER, &slot(1, 0, 5, 48, &payload));
    put(&mut expected, HEADER + SLOT, &slot(2, 1, 5, 48, b""));
    put(&mut expected, HEADER + 2 * SLOT, &slot(3, 2, 5, 48, &[0x5A; 1024]));
    put(&mut expected, CHANNEL_0 + 24, &3_u32.to_le_bytes());
    put(&mut expected, CHANNEL_0 + 128, &3_u64.to_le_bytes());
    assert!(name.bytes() == expected);

    let mut buffer = [0; 1024];
    channel.try_receive(&mut buffer).expect("sound").done().expect("a message");
    put(&mut expected, HEADER, &4_u64.to_le_bytes());
    put(&mut expected, CHANNEL_0 + 256, &1_u64.to_le_bytes());
    assert!(name.bytes() == expected);
}

#[test]
fn nothing_but_the_payload_and_the_meta_is_stored() {
    let (name, _segment, channel) = with_channel("extent", 2);
    name.poke(HEADER + 8, &[0xEE; SLOT - 8]);
    assert_eq!(channel.try_send(b"abc", &meta(0)).expect("sound"), Answer::Done(0));
    let mut expected = vec![0xEE; SLOT];
    expected[..44].copy_from_slice(&slot(1, 0, 5, 48, b"abc")[..44]);
    put(&mut expected, 40, &3_u32.to_le_bytes());
    put(&mut expected, 48, b"abc");
    assert_eq!(name.bytes()[HEADER..HEADER + SLOT], expected[..]);
}

#[test]
fn an_abandoned_claim_is_a_tombstone() {
    let (name, _segment, channel) = with_channel("tombstone", 2);
    drop(channel.claim().expect("sound").done().expect("there is room"));
    let bytes = &name.bytes()[HEADER..];
    assert_eq!(bytes[..16], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[32..36], std::process::id().to_le_bytes());
    assert_eq!(bytes[36..44], [18, 0, 0, 0x80, 0, 0, 0, 0]);
    assert_eq!(name.u32_at(CHANNEL_0 + 24), 1, "a tombstone is a publication");
}

#[test]
fn removal_and_a_new_band_above_the_old_one() {
    let (name, segment, _channel) = with_channel("remove", 2);
    segment.remove_channel(0).expect("it is there");
    assert_eq!((name.u64_at(CHANNEL_0 + 8), name.u64_at(CHANNEL_0 + 32)), (0, 2));
    assert_eq!((name.u32_at(16), name.u32_at(CHANNEL_0 + 24), name.u64_at(CHANNEL_0 + 264)), (0, 1, 1));
    segment.create_channel(0, &ChannelOptions::new().capacity(4)).expect("there is room");
    let band = (HEADER + 2 * SLOT + 127) / 128 * 128;
    assert_eq!(name.u64_at(CHANNEL_0 + 16), band as u64);
    assert_eq!((name.u64_at(CHANNEL_0 + 8), name.u64_at(CHANNEL_0 + 32), name.u32_at(16)), (4, 0, 1));
    // Positions go on above tail + retired_capacity = 2, at a multiple of the new capacity.
    assert_eq!((name.u64_at(CHANNEL_0 + 128), name.u64_at(CHANNEL_0 + 256)), (4, 4));
    assert_eq!((0..4).map(|i| name.u64_at(band + i * SLOT)).collect::<Vec<_>>(), [4, 5, 6, 7]);
    assert!(segment.remove_channel(1).is_err());
    segment.remove_channel(0).expect("it is there");
    name.poke(CHANNEL_0 + 128, &(u64::MAX - 8).to_le_bytes());
    assert_eq!(
        segment.create_channel(0, &ChannelOptions::new().capacity(4)).expect_err("no positions left").code().name(),
        "CORRUPT"
    );
}
