// SPDX-License-Identifier: MIT
//! Profile ouroboros with several processes: this executable starts itself again, with a role in its environment.

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{read_log, with_log, Name, Random};
use shmwire::ouroboros::{OpenOptions, Reader, ResumeOptions, Start};
use shmwire::{Answer, Code};

const ROLE: &str = "SHMWIRE_TEST_ROLE";
const SEGMENT: &str = "SHMWIRE_TEST_SEGMENT";
const COUNT: u64 = 30_000;
const TARGET: u64 = 700;
const PATIENCE: Duration = Duration::from_secs(25);

/// Not a test of its own: what the other processes do. Without a role it has nothing to do.
#[test]
fn actor() {
    let role = match std::env::var(ROLE) {
        Ok(role) => role,
        Err(_) => return,
    };
    let name = std::env::var(SEGMENT).expect("a segment with the role");
    match role.as_str() {
        "write" => write(&name, COUNT),
        "write-for-ever" => write(&name, u64::MAX),
        "read" => read(&name),
        other => panic!("no role {other}"),
    }
}

fn start(role: &str, name: &Name) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("our own path"));
    command.args(["actor", "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role).env(SEGMENT, &name.0);
    command.stdout(Stdio::piped()).spawn().expect("a process")
}

/// Entry n: n, then as many bytes of it as its number says.
fn payload(sequence: u64) -> Vec<u8> {
    let mut payload = sequence.to_le_bytes().to_vec();
    payload.resize(8 + (sequence % 61) as usize, sequence as u8);
    payload
}

fn write(name: &str, last: u64) {
    let mut writer = ResumeOptions::new().chunk_target_size(TARGET).resume(name).expect("no writer is there");
    println!("\nready");
    while writer.info().entries_written < last {
        writer.write(&payload(writer.info().entries_written + 1)).expect("it fits");
    }
}

/// Follow to the entry `last`; answers how many were read and how many were missed.
fn follow(reader: &mut Reader, mut before: u64, last: u64) -> (u64, u64) {
    let mut buffer = [0; 80];
    let (mut read, mut missed) = (0, 0);
    while before < last {
        let entry = reader.wait_next(&mut buffer, PATIENCE).expect("sound").done().expect("an entry in time");
        assert_eq!(entry.payload(&buffer), payload(entry.sequence), "torn");
        assert_eq!(entry.sequence, before + 1 + entry.skipped);
        before = entry.sequence;
        read += 1;
        missed += entry.skipped;
    }
    (read, missed)
}

fn read(name: &str) {
    let mut reader = OpenOptions::new().open(name).expect("it is there");
    let (read, missed) = follow(&mut reader, 0, COUNT);
    println!("\nread {read} missed {missed}");
}

#[test]
fn readers_in_other_processes() {
    let (name, writer) = with_log("o-processes", 4, TARGET);
    drop(writer);
    // They map it before there is a writer, so that they begin at entry 1.
    let mut reader = read_log(&name, Start::Auto);
    let mut readers: Vec<Child> = (0..2).map(|_| start("read", &name)).collect();
    std::thread::sleep(Duration::from_millis(200));
    let mut writer = start("write", &name);
    let (read, missed) = follow(&mut reader, 0, COUNT);
    assert_eq!(read + missed, COUNT);
    assert!(writer.wait().expect("our own child").success());
    for child in readers.drain(..) {
        let output = child.wait_with_output().expect("our own child");
        assert!(output.status.success());
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.strip_prefix("read ")).expect("its result");
        let counts: Vec<u64> = line.split(" missed ").map(|count| count.parse().expect("a number")).collect();
        assert_eq!(counts.iter().sum::<u64>(), COUNT);
    }
}

/// Writers that are killed at any moment: the next one goes on, and what was readable stays so.
#[test]
fn killed_writers_are_succeeded() {
    let mut random = Random::new(0x0B0B_D1E5);
    let (name, writer) = with_log("o-killed", 4, TARGET);
    drop(writer);
    let mut reader = read_log(&name, Start::Auto);
    let mut before = 0;
    for round in 0..12 {
        let mut child = start("write-for-ever", &name);
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        assert!(lines.any(|line| line.expect("text") == "ready"), "it has become the writer");
        assert_eq!(ResumeOptions::new().resume(&name.0).expect_err("a living writer").code(), Code::Busy);
        std::thread::sleep(Duration::from_micros(random.below(5000)));
        child.kill().and_then(|()| child.wait()).expect("our own child");
        let mut writer = ResumeOptions::new().chunk_target_size(TARGET).resume(&name.0).expect("the lock has gone with it");
        let last = writer.info().entries_written;
        assert!(last >= before, "round {round}: the log has lost its end");
        let mut buffer = [0; 80];
        while let Answer::Done(entry) = reader.next(&mut buffer).expect("sound") {
            assert_eq!(entry.payload(&buffer), payload(entry.sequence), "round {round}");
            assert_eq!(entry.sequence, before + 1 + entry.skipped, "round {round}");
            before = entry.sequence;
        }
        assert!(before <= last, "round {round}: read {before} of {last}");
        let next = writer.write(&payload(last + 1)).expect("it fits");
        assert_eq!(next, last + 1);
        let entry = reader.wait_next(&mut buffer, PATIENCE).expect("sound").done().expect("the new entry");
        assert_eq!((entry.sequence, entry.payload(&buffer)), (next, &payload(next)[..]), "round {round}");
        before = next;
        read_log(&name, Start::Oldest).validate().expect("a sound segment");
    }
}

/// A forked child has the parent's handle and is no writer; its end does not take the lock from the parent.
#[test]
fn a_forked_child_is_no_writer() {
    let (name, mut writer) = with_log("o-forked", 2, TARGET);
    assert_eq!(writer.write(b"one").expect("it fits"), 1);
    // SAFETY: the child calls the writer, which locks nothing that another thread could hold, and leaves by _exit.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork");
    if child == 0 {
        let busy = matches!(writer.write(b"two"), Err(shmwire::Error::Busy));
        drop(writer);
        // SAFETY: ends the process at once, without what the parent has registered for its own end.
        unsafe { libc::_exit(if busy { 7 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: our own child; status is ours.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7, "status {status:#x}");
    assert_eq!(ResumeOptions::new().resume(&name.0).expect_err("the parent writes").code(), Code::Busy);
    assert_eq!(writer.write(b"two").expect("it fits"), 2);
}
