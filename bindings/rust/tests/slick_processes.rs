// SPDX-License-Identifier: MIT
//! Profile slick with several processes: this executable starts itself again, with a role in its environment.

mod common;

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use common::{drain_queue, put, with_queue, Name, Random};
use shmwire::slick::{Cursor, OpenOptions, Queue, Reader, Start};
use shmwire::{Answer, Code};

const ROLE: &str = "SHMWIRE_TEST_ROLE";
const SEGMENT: &str = "SHMWIRE_TEST_SEGMENT";
const CURSOR: &str = "SHMWIRE_TEST_CURSOR";
const SIZE: u32 = 64;
const ELEMENT: usize = 12;
const COUNT: u32 = 20_000;
const PATIENCE: Duration = Duration::from_secs(25);
/// Nobody who lives is off the processor for so long.
const STALL: Duration = Duration::from_secs(60);

/// Not a test of its own: what the other processes do. Without a role it has nothing to do.
#[test]
fn actor() {
    let role = match std::env::var(ROLE) {
        Ok(role) => role,
        Err(_) => return,
    };
    let queue = OpenOptions::new().open(std::env::var(SEGMENT).expect("a segment with the role")).expect("it is there");
    match role.as_str() {
        "write" => write(&queue, COUNT),
        "write-for-ever" => write(&queue, u32::MAX),
        "read" => report(&follow(&mut queue.reader(Start::Oldest))),
        "consume" => {
            let cursor = Cursor::open(std::env::var(CURSOR).expect("a cursor with the role")).expect("it is there");
            report(&follow(&mut queue.consumer(&cursor)));
        }
        "claim" => {
            let mut producer = queue.producer().expect("writable");
            let mut claim = producer.reserve(2).expect("it fits").done().expect("indices are left");
            claim.write(0, &[1; ELEMENT]).expect("it fits");
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
    fn start(role: &str, name: &Name, cursor: Option<&Name>) -> Running {
        let mut command = Command::new(std::env::current_exe().expect("our own path"));
        command.args(["actor", "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role).env(SEGMENT, &name.0);
        if let Some(cursor) = cursor {
            command.env(CURSOR, &cursor.0);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a process");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        Running { child, lines }
    }

    /// Start one that says when it has begun.
    fn ready(role: &str, name: &Name) -> Running {
        let mut running = Running::start(role, name, None);
        assert!(running.lines.any(|line| line.expect("text") == "ready"), "{role} has not begun");
        running
    }

    fn kill(mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("our own child");
    }

    fn finish(mut self) -> Vec<String> {
        let lines = self.lines.by_ref().map(|line| line.expect("text")).collect();
        assert!(self.child.wait().expect("our own child").success());
        lines
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait()); // an error: it has ended
    }
}

/// Item n of a process: in each element the process, the number, and what follows from both.
fn content(process: u32, number: u32) -> Vec<u8> {
    let element: Vec<u8> =
        [process, number, process ^ number.rotate_left(7)].iter().flat_map(|word| word.to_le_bytes()).collect();
    element.repeat(1 + number as usize % 5)
}

fn write(queue: &Queue, count: u32) {
    let mut producer = queue.producer().expect("writable").with_stall_time(STALL);
    println!("\nready");
    for number in 0..count {
        put(&mut producer, &content(std::process::id(), number));
    }
}

fn word(data: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(data[at..at + 4].try_into().expect("4 bytes"))
}

/// An item of process 0 ends readers.
fn end() -> Vec<u8> {
    content(0, 0)
}

/// What a reader was given: index, elements, lost, process, number.
type Given = Vec<[u64; 5]>;

/// Read up to an item of process 0.
fn follow(reader: &mut Reader) -> Given {
    let mut buffer = [0; 8 * ELEMENT];
    let mut given = Given::new();
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < PATIENCE, "the end does not come");
        match reader.wait_next(&mut buffer, PATIENCE).expect("sound") {
            Answer::Done(item) => {
                let data = item.payload(&buffer);
                let (process, number) = (word(data, 0), word(data, 4));
                assert_eq!(data, content(process, number), "torn");
                if process == 0 {
                    return given;
                }
                given.push([item.index, item.elements.into(), item.lost, process.into(), number.into()]);
            }
            Answer::Lapped => {}
            other => panic!("{other:?}"),
        }
    }
}

fn report(given: &Given) {
    given
        .iter()
        .for_each(|[index, elements, lost, process, number]| println!("\n= {index} {elements} {lost} {process} {number}"));
}

fn parse(lines: &[String]) -> Given {
    let numbers = |line: &str| -> Vec<u64> { line.split(' ').map(|number| number.parse().expect("a number")).collect() };
    lines.iter().filter_map(|line| line.strip_prefix("= ")).map(|line| numbers(line).try_into().expect("five")).collect()
}

/// In the order of one cursor, which may have begun anywhere: indices rise by what was read, lost or padding, and numbers of each
/// process rise.
fn judge(given: &Given) {
    let mut last = std::collections::BTreeMap::new();
    let mut behind = given.first().map_or(0, |[index, _, lost, _, _]| index - lost);
    for [index, elements, lost, process, number] in given {
        let laps = index / u64::from(SIZE) - behind / u64::from(SIZE);
        assert!(*index >= behind + lost && index - behind - lost <= 4 * laps, "index {index} behind {behind}, {lost} lost");
        assert!(last.insert(process, number) < Some(number), "out of order at index {index}");
        behind = index + elements;
    }
}

#[test]
fn producers_and_readers_in_other_processes() {
    let (name, queue) = with_queue("s-processes", SIZE, ELEMENT as u32);
    let cursor = Name::new("s-processes-cursor");
    let shared = Cursor::create(&cursor.0, &queue, Start::Oldest).expect("a new name");
    let readers = ["read", "consume", "consume"].map(|role| Running::start(role, &name, Some(&cursor)));
    let writers = [(); 2].map(|()| Running::ready("write", &name));
    // They print more than a pipe holds, so somebody listens all the time.
    let given = std::thread::scope(|scope| {
        let listening = readers.map(|reader| scope.spawn(move || parse(&reader.finish())));
        writers.into_iter().for_each(|writer| drop(writer.finish()));
        let mut producer = queue.producer().expect("writable").with_stall_time(STALL);
        let began = Instant::now();
        while !listening.iter().all(|listener| listener.is_finished()) {
            put(&mut producer, &end()); // one for the reader, one for each consumer
            assert!(began.elapsed() < PATIENCE, "the readers do not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        listening.map(|listener| listener.join().expect("no panic"))
    });
    let [alone, left, right] = given;
    judge(&alone);
    let mut both = [left, right].concat();
    both.sort_unstable();
    both.windows(2).for_each(|pair| assert!(pair[0][0] + pair[0][1] <= pair[1][0], "given twice: {pair:?}"));
    assert!(!alone.is_empty() && !both.is_empty() && shared.next_index() > 0);
    queue.validate().expect("at rest and sound");
}

/// kill -9 between reserving and publishing: readers wait, another producer goes on after the stall time, recovery at once.
#[test]
fn a_killed_claim_is_given_up() {
    for recovered in [false, true] {
        let (name, queue) = with_queue(&format!("s-killed-{recovered}"), 4, ELEMENT as u32);
        Running::ready("claim", &name).kill();
        let stall = Duration::from_millis(50);
        let mut producer = queue.producer().expect("writable").with_stall_time(stall);
        let mut reader = queue.reader(Start::Oldest);
        assert_eq!((put(&mut producer, &[2; ELEMENT]), put(&mut producer, &[3; ELEMENT])), (2, 3));
        assert_eq!(reader.next(&mut [0; 48]).expect("sound"), Answer::Empty, "the hole is before them");
        if recovered {
            // Of processes that end at this moment it cannot be told whether they map it: asked again.
            let began = Instant::now();
            let mut holes = queue.recover(false);
            while holes.is_err() && began.elapsed() < Duration::from_secs(5) {
                holes = queue.recover(false);
            }
            assert_eq!(
                holes.or_else(|error| if error.code() == Code::Busy { queue.recover(true) } else { Err(error) }).expect("sound"),
                1
            );
            let items = drain_queue(&mut reader);
            assert_eq!(items.iter().map(|(item, _)| (item.index, item.lost)).collect::<Vec<_>>(), [(2, 0), (3, 0)]);
        }
        let began = Instant::now();
        assert_eq!(put(&mut producer, &[4; ELEMENT]), 4);
        assert_eq!((began.elapsed() >= stall, producer.info().given_up), (!recovered, u64::from(!recovered)));
        assert_eq!(drain_queue(&mut reader).last().expect("an item").0.index, 4);
        queue.validate().expect("at rest and sound");
    }
}

/// Producers that are killed at any moment: another one goes on, and what readers are given is whole.
#[test]
fn killed_producers_leave_no_torn_item() {
    let mut random = Random::new(0x511C_D1E5);
    let (name, queue) = with_queue("s-killed", SIZE, ELEMENT as u32);
    let mut producer = queue.producer().expect("writable").with_stall_time(Duration::from_millis(20));
    let mut reader = queue.reader(Start::Oldest);
    for round in 0..12 {
        let child = Running::ready("write-for-ever", &name);
        std::thread::sleep(Duration::from_micros(random.below(5000)));
        child.kill();
        // Once round, so that whatever it left is in the way.
        for number in 0..40 {
            put(&mut producer, &content(1, number));
        }
        put(&mut producer, &end());
        let given = follow(&mut reader);
        assert_eq!(given.last().map(|item| (item[3], item[4])), Some((1, 39)), "round {round}");
        queue.validate().expect("at rest and sound");
    }
}

/// A claim that is open at a fork is the parent's; the child may go on with its copy of the producer, and of a reader.
#[test]
fn a_forked_child_leaves_claims_alone() {
    let (name, queue) = with_queue("s-forked", 8, ELEMENT as u32);
    let mut producer = queue.producer().expect("writable");
    let mut reader = queue.reader(Start::Oldest);
    let mut claim = producer.reserve(1).expect("it fits").done().expect("indices are left");
    let before = name.bytes();
    // SAFETY: the child uses the queue, which locks nothing that another thread could hold, and leaves by _exit.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork");
    if child == 0 {
        let refused = matches!(claim.publish(), Err(shmwire::Error::OutOfOrder));
        let unchanged = name.bytes() == before;
        let free = matches!(producer.write(&[2; ELEMENT]), Ok(Answer::Done(1)));
        // SAFETY: ends the process at once, without what the parent has registered for its own end.
        unsafe { libc::_exit(if refused && unchanged && free { 7 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: our own child; status is ours.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7, "status {status:#x}");
    claim.write(0, &[1; ELEMENT]).expect("it fits");
    assert_eq!(claim.publish().expect("ours").done(), Some(0));
    let items = drain_queue(&mut reader);
    assert_eq!(items.iter().map(|(item, data)| (item.index, data[0])).collect::<Vec<_>>(), [(0, 1), (1, 2)]);
}

#[test]
fn recovery_is_refused_while_another_process_is_there() {
    let (name, queue) = with_queue("s-busy", 4, ELEMENT as u32);
    let child = Running::ready("claim", &name);
    let bytes = name.bytes();
    assert_eq!(queue.recover(false).expect_err("somebody maps it").code(), Code::Busy);
    assert!(name.bytes() == bytes);
    child.kill();
}
