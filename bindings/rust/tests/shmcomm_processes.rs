// SPDX-License-Identifier: MIT
//! Profile shmcomm with several processes, some of which are killed: this executable starts itself again, with a role in its
//! environment.

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Name, Random};
use shmwire::shmcomm::{Meta, Observer, Options, Publisher, Puller, Pusher, Replier, Requester, Start, Subscriber};
use shmwire::{Answer, Error};

const ROLE: &str = "SHMWIRE_TEST_ROLE";
const SEGMENT: &str = "SHMWIRE_TEST_SEGMENT";
const NONE: Duration = Duration::ZERO;
const PATIENCE: Duration = Duration::from_secs(25);

fn options() -> Options {
    Options::new().capacity(1 << 14).ready_timeout(NONE)
}

/// Not a test of its own: what the other processes do. Without a role it has nothing to do.
#[test]
fn actor() {
    let role = match std::env::var(ROLE) {
        Ok(role) => role,
        Err(_) => return,
    };
    let segment = std::env::var(SEGMENT).expect("a segment with the role");
    match role.as_str() {
        "publish" => {
            let mut publisher = Publisher::open(&segment, &options()).expect("it is there");
            println!("\nready");
            (0..u32::MAX).for_each(|number| {
                publisher.send(&content(std::process::id(), number)).expect("free");
            });
        }
        "push" => {
            let mut pusher = Pusher::open(&segment, &options()).expect("it is there");
            println!("\nready");
            for number in 0..u32::MAX {
                pusher.send(&content(std::process::id(), number), PATIENCE).expect("open").done().expect("in time");
            }
        }
        "pull" => {
            let mut puller = Puller::open(&segment, &options()).expect("it is there");
            println!("\nready");
            let mut buffer = [0; 1 << 13];
            while let Answer::Done(message) = puller.receive(&mut buffer, PATIENCE).expect("sound") {
                check(message.payload(&buffer));
                println!("{}", message.sequence);
            }
        }
        "hold" => {
            let mut publisher = Publisher::open(&segment, &options()).expect("it is there");
            let mut claim = publisher.claim(1000, &Meta::new()).expect("free").done().expect("room");
            claim.write(0, &[0xAA; 500]).expect("it fits");
            println!("\nready");
            std::thread::sleep(PATIENCE);
        }
        "ask" => {
            let mut requester = Requester::open(&segment, &options()).expect("it is there");
            requester.send(b"and then I die", NONE).expect("open").done().expect("room");
            println!("\nready");
            std::thread::sleep(PATIENCE);
        }
        "idle" => {
            println!("\nready");
            std::thread::sleep(PATIENCE);
        }
        other => panic!("no role {other}"),
    }
}

/// Another process with its output. It ends with this handle at the latest.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Start one that says when it has begun.
    fn ready(role: &str, name: &Name) -> Running {
        let mut command = Command::new(std::env::current_exe().expect("our own path"));
        command.args(["actor", "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role).env(SEGMENT, &name.0);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a process");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut running = Running { child, lines };
        assert!(running.lines.any(|line| line.expect("text") == "ready"), "{role} has not begun");
        running
    }

    fn kill(mut self) -> Vec<String> {
        self.child.kill().and_then(|()| self.child.wait()).expect("our own child");
        self.lines.by_ref().map(|line| line.expect("text")).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait()); // an error: it has ended
    }
}

/// Message n of a process: process, number and length, and what follows from them.
fn content(process: u32, number: u32) -> Vec<u8> {
    let length = 12 + (number as usize * 37) % 900;
    let mut data: Vec<u8> = [process, number, length as u32].iter().flat_map(|word| word.to_le_bytes()).collect();
    data.extend((12..length).map(|i| (i as u32 ^ process ^ number) as u8));
    data
}

/// Process and number of a message, which is what its writer sent.
fn check(data: &[u8]) -> (u32, u32) {
    let word = |at: usize| u32::from_le_bytes(data[at..at + 4].try_into().expect("4 bytes"));
    assert_eq!(data, content(word(0), word(4)), "torn");
    (word(0), word(4))
}

/// Until something is so, which is waited for.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::yield_now();
    }
}

fn moment(random: &mut Random) -> Duration {
    Duration::from_micros(random.below(3000))
}

#[test]
fn the_lock_of_a_dead_holder_is_taken_over() {
    let name = Name::new("p-holder");
    let mut publisher = Publisher::open(&name.0, &options()).expect("a new name");
    publisher.send(b"before").expect("free");
    let holder = Running::ready("hold", &name);
    let owner = publisher.info().writer_lock;
    assert!(owner != 0 && owner != publisher.info().endpoint);
    let busy = publisher.send(b"while it lives");
    assert!(matches!(busy, Err(Error::Busy)), "{busy:?}");
    assert_eq!(publisher.info().lock_epoch, 0);
    holder.kill();
    assert_eq!(publisher.send(b"after").expect("taken over"), 1);
    let info = publisher.info();
    assert_eq!((info.lock_epoch, info.takeovers, info.writer_lock, info.message_count), (1, 1, 0, 2));
    let mut subscriber = Subscriber::open(&name.0, &options().start(Start::Oldest)).expect("it is there");
    let mut buffer = [0; 64];
    for expected in [&b"before"[..], b"after"] {
        let message = subscriber.receive(&mut buffer, NONE).expect("sound").done().expect("there");
        assert_eq!(message.payload(&buffer), expected);
    }
    // Who only cleans up does the same.
    Running::ready("hold", &name).kill();
    let recovered = shmwire::shmcomm::recover(&name.0).expect("its owner is dead");
    assert!(recovered.lock_taken && !recovered.count_repaired);
    assert_eq!((publisher.info().lock_epoch, publisher.info().writer_lock), (2, 0));
}

/// Publishers die at random moments; a subscriber sees every message once, whole, and the channel stays sound.
#[test]
fn publishers_die_and_the_others_go_on() {
    let name = Name::new("p-publishers");
    let keeper = Publisher::open(&name.0, &options()).expect("a new name");
    let mut subscriber = Subscriber::open(&name.0, &options()).expect("it is there");
    let mut random = Random::new(27);
    let mut running: Vec<Running> = (0..2).map(|_| Running::ready("publish", &name)).collect();
    let (mut buffer, mut next, mut last) = (vec![0; 1 << 13], 0, BTreeMap::new());
    for _ in 0..12 {
        let kill_at = Instant::now() + moment(&mut random);
        let mark = next + 200;
        until("messages", || {
            while let Answer::Done(message) = subscriber.receive(&mut buffer, NONE).expect("sound") {
                assert_eq!(message.sequence, next + message.lost);
                next = message.sequence + 1;
                let (process, number) = check(message.payload(&buffer));
                let before = last.insert(process, number);
                assert!(before.map_or(true, |before| before < number), "{process}: {before:?}, then {number}");
            }
            Instant::now() >= kill_at && next >= mark
        });
        running.remove(0).kill();
        running.push(Running::ready("publish", &name));
    }
    running.clear();
    let mut late = Publisher::open(&name.0, &options()).expect("it is there");
    late.send(b"at last").expect("taken over, if need be");
    let observer = Observer::open(&name.0, &options()).expect("it is there");
    observer.validate().expect("a sound channel");
    println!("{} messages, {} locks taken from dead owners", keeper.info().message_count, keeper.info().lock_epoch);
}

/// Pushers and pullers die at random moments; what a dead puller had taken is missing, and nothing else.
#[test]
fn pushers_and_pullers_die_and_nothing_else_is_lost() {
    const PULLERS: usize = 6;
    let name = Name::new("p-pipe");
    let keeper = Pusher::open(&name.0, &options()).expect("a new name");
    let mut random = Random::new(1127);
    let mut pushers: Vec<Running> = (0..2).map(|_| Running::ready("push", &name)).collect();
    let mut told: Vec<u64> = Vec::new();
    for _ in 0..PULLERS {
        let puller = Running::ready("pull", &name);
        let mark = keeper.info().message_count + 100;
        until("messages", || keeper.info().message_count >= mark);
        std::thread::sleep(moment(&mut random));
        pushers.remove(0).kill();
        std::thread::sleep(moment(&mut random));
        // The last line of one that was killed may be cut off: its message counts as one that died with it.
        told.extend(puller.kill().iter().filter_map(|line| line.parse::<u64>().ok()));
        pushers.push(Running::ready("push", &name));
    }
    pushers.clear();
    let mut puller = Puller::open(&name.0, &options()).expect("it is there");
    let mut buffer = vec![0; 1 << 13];
    while let Answer::Done(message) = puller.receive(&mut buffer, NONE).expect("sound") {
        check(message.payload(&buffer));
        told.push(message.sequence);
    }
    let count = told.len();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), count, "nothing twice");
    let mut late = Pusher::open(&name.0, &options()).expect("it is there");
    let sequence = late.send(b"", NONE).expect("taken over, if need be").done().expect("room");
    let missing = sequence as usize - count;
    println!("{sequence} messages, {missing} died with {PULLERS} pullers");
    // One in the hand of each, and one that it had not finished to tell of.
    assert!(missing <= 2 * PULLERS, "{missing}");
}

/// All keepers are killed: the channel is stale, and the next one takes it over with what it holds.
#[test]
fn a_channel_of_dead_keepers_is_taken_over() {
    let name = Name::new("p-stale");
    let made = Publisher::open(&name.0, &options()).expect("a new name");
    let publisher = Running::ready("publish", &name);
    let instance = made.info().instance;
    drop(made);
    let observer = Observer::open(&name.0, &options()).expect("it is there");
    until("messages", || observer.info().message_count > 100);
    assert!(observer.info().keeper_lives);
    publisher.kill();
    let stale = observer.info();
    assert_eq!((stale.keeper_lives, stale.state), (false, 1));
    let mut heir = Publisher::open(&name.0, &options()).expect("it is there");
    let info = heir.info();
    assert_eq!((info.instance, info.owner_endpoint, info.owner_pid), (instance, info.endpoint, std::process::id()));
    let sequence = heir.send(b"go on").expect("taken over, if need be");
    assert!(sequence >= stale.message_count);
    observer.validate().expect("a sound channel");
}

/// A requester is killed: the replier drops its reply, and leaves no channel behind.
#[test]
fn a_dead_requester_leaves_no_channel() {
    let name = Name::new("p-requester");
    let mut replier = Replier::open(&name.0, &options()).expect("a new name");
    let mut buffer = [0; 64];
    for replies in [true, false] {
        let asker = Running::ready("ask", &name);
        let request = replier.receive(&mut buffer, PATIENCE).expect("sound").done().expect("in time");
        let channel = Name(format!("{}_rep_{}", name.0, request.sender));
        assert!(channel.path().exists());
        asker.kill();
        if replies {
            assert_eq!(replier.reply(&request, b"too late", NONE).expect("open"), Answer::Closed);
        } else {
            assert_eq!(shmwire::shmcomm::recover(&name.0).expect("sound").swept, 1);
        }
        assert!(!channel.path().exists());
    }
    assert_eq!(replier.info().unanswered, 1);
}

/// A program that is started has none either.
#[test]
fn a_started_program_has_no_endpoints() {
    let name = Name::new("p-started");
    let publisher = Publisher::open(&name.0, &options()).expect("a new name");
    let observer = Observer::open(&name.0, &options()).expect("it is there");
    let idle = Running::ready("idle", &name);
    drop(publisher);
    assert!(!observer.info().keeper_lives);
    assert_eq!(observer.info().state, 2);
    idle.kill();
}
