// SPDX-License-Identifier: MIT
//! Several processes: this executable starts itself again, with a role in its environment.

mod common;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{with_channel, Name, CHANNEL_0};
use shmwire::dmxp::{Meta, OpenOptions, Segment};
use shmwire::{Answer, Code};

const ROLE: &str = "SHMWIRE_TEST_ROLE";
const SEGMENT: &str = "SHMWIRE_TEST_SEGMENT";
const EACH: u32 = 20_000;
const PATIENCE: Duration = Duration::from_secs(25);
const END: u32 = u32::MAX;

/// Not a test of its own: what the other processes do. Without a role it has nothing to do.
#[test]
fn actor() {
    let role = match std::env::var(ROLE) {
        Ok(role) => role,
        Err(_) => return,
    };
    let name = std::env::var(SEGMENT).expect("a segment with the role");
    let segment = OpenOptions::new().open(name).expect("it is there");
    match role.as_str() {
        "write" => write(&segment),
        "read" => read(&segment),
        "die-claiming" => {
            let _claim = segment.attach(0).and_then(|channel| channel.claim().map(|claim| claim.map(|c| c.into_owned())));
            println!("ready");
            std::thread::sleep(PATIENCE);
        }
        "sleep" => {
            let _ = segment.attach(0).expect("it is there").receive(&mut [0; 16], PATIENCE);
        }
        other => panic!("no role {other}"),
    }
}

fn start(role: &str, name: &Name) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("our own path"));
    command.args(["actor", "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role).env(SEGMENT, &name.0);
    command.stdout(Stdio::piped()).spawn().expect("a process")
}

fn write(segment: &Segment) {
    let channel = segment.attach(0).expect("it is there");
    for i in 0..EACH {
        let sent = channel.send(&i.to_le_bytes(), &Meta::new(), PATIENCE).expect("sound");
        assert!(sent.done().is_some(), "no room in time");
    }
}

/// Print what was received: sender, number.
fn read(segment: &Segment) {
    let channel = segment.attach(0).expect("it is there");
    let mut buffer = [0; 16];
    let mut lines = String::new();
    loop {
        let message = channel.receive(&mut buffer, PATIENCE).expect("sound").done().expect("a message in time");
        if message.message_type == END {
            break;
        }
        let i = u32::from_le_bytes(message.payload(&buffer).try_into().expect("4 bytes"));
        lines.push_str(&format!("got {} {i}\n", message.sender_pid));
    }
    println!(); // the test harness has begun a line
    print!("{lines}");
}

fn output(child: Child) -> String {
    let output = child.wait_with_output().expect("its output");
    assert!(output.status.success(), "an actor failed");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn processes_get_each_message_once_and_in_order() {
    let (name, segment, channel) = with_channel("processes", 16);
    let readers: Vec<Child> = (0..2).map(|_| start("read", &name)).collect();
    let writers: Vec<Child> = (0..2).map(|_| start("write", &name)).collect();
    let pids: Vec<u32> = writers.iter().map(Child::id).collect();
    writers.into_iter().for_each(|writer| drop(output(writer)));
    for _ in 0..readers.len() {
        let end = channel.send(b"", &Meta::new().message_type(END), PATIENCE).expect("sound");
        assert!(end.done().is_some());
    }
    let mut all = Vec::new();
    for reader in readers {
        let text = output(reader);
        let number = |word: Option<&str>| word.and_then(|word| word.parse::<u32>().ok()).expect("a number");
        let got: Vec<(u32, u32)> = text
            .lines()
            .filter_map(|line| line.strip_prefix("got "))
            .map(|line| line.split(' '))
            .map(|mut words| (number(words.next()), number(words.next())))
            .collect();
        for pid in &pids {
            let order: Vec<u32> = got.iter().filter(|message| message.0 == *pid).map(|message| message.1).collect();
            assert!(order.windows(2).all(|pair| pair[0] < pair[1]), "out of order");
        }
        all.extend(got);
    }
    all.sort_unstable();
    let mut expected: Vec<(u32, u32)> = pids.iter().flat_map(|pid| (0..EACH).map(move |i| (*pid, i))).collect();
    expected.sort_unstable();
    assert!(all == expected, "not each message exactly once: {} of {}", all.len(), expected.len());
    segment.validate().expect("at rest and sound");
}

/// Wait until `condition` holds.
fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn kill(mut child: Child) {
    child.kill().expect("our own child");
    child.wait().expect("our own child");
}

#[test]
fn recovery_repairs_what_the_dead_left() {
    let (name, segment, channel) = with_channel("recovery", 4);
    let claimer = start("die-claiming", &name);
    until("no claim", || name.u64_at(CHANNEL_0 + 128) == 1);
    channel.try_send(b"behind", &Meta::new()).expect("sound").done().expect("there is room");
    assert_eq!(channel.try_receive(&mut [0; 16]).expect("sound"), Answer::Empty);
    assert_eq!(segment.recover(false).expect_err("another process maps it").code(), Code::Busy);
    kill(claimer);
    let sleeper = start("sleep", &name);
    until("no sleeper", || name.u32_at(CHANNEL_0 + 28) == 1);
    kill(sleeper);
    name.poke(16, &9_u32.to_le_bytes());

    let report = segment.recover(true).expect("repairable");
    assert_eq!((report.tombstones, report.possibly_lost, report.waiters_reset, report.count_repaired), (1, 0, 1, true));
    let mut buffer = [0; 16];
    let message = channel.try_receive(&mut buffer).expect("sound").done().expect("what stood behind");
    assert_eq!((message.position, message.payload(&buffer)), (1, &b"behind"[..]));
    let before = name.bytes();
    assert_eq!(segment.recover(true).expect("nothing to do"), Default::default());
    assert!(name.bytes() == before, "recovery of a sound segment changed it");
}

#[test]
fn taken_and_never_released() {
    let (name, segment, channel) = with_channel("taken", 4);
    for i in 0..3_u8 {
        channel.try_send(&[i], &Meta::new()).expect("sound").done().expect("there is room");
    }
    name.poke(CHANNEL_0 + 256, &2_u64.to_le_bytes()); // two consumers claimed, and died
    segment.validate().expect("a state that rules produce");
    let report = segment.recover(true).expect("repairable");
    assert_eq!((report.tombstones, report.possibly_lost, report.waiters_reset, report.count_repaired), (0, 2, 0, false));
    assert_eq!(channel.try_receive(&mut [0; 16]).expect("sound").done().expect("the third").position, 2);
    for position in 3..7 {
        assert_eq!(channel.try_send(b"", &Meta::new()).expect("sound"), Answer::Done(position));
    }
}

#[test]
fn a_claim_that_recovery_ended_is_out_of_order() {
    let (_name, segment, channel) = with_channel("ended", 4);
    let claim = channel.claim().expect("sound").done().expect("there is room");
    assert_eq!(segment.recover(true).expect("repairable").tombstones, 1);
    assert_eq!(claim.commit(0, &Meta::new()).expect_err("it is over").error.code(), Code::OutOfOrder);
    channel.claim().expect("sound").done().expect("there is room").leave_stalled();
    assert_eq!(segment.recover(true).expect("repairable").tombstones, 1);
    assert_eq!(channel.try_receive(&mut [0; 16]).expect("sound"), Answer::Empty);
}

#[test]
fn broken_segments_are_not_repaired() {
    let (name, segment, channel) = with_channel("broken", 4);
    channel.claim().expect("sound").done().expect("there is room").leave_stalled();
    name.poke(CHANNEL_0 + 128, &6_u64.to_le_bytes());
    let before = name.bytes();
    assert_eq!(segment.recover(true).expect_err("cursors too far apart").code(), Code::Corrupt);
    assert!(name.bytes() == before);
}
