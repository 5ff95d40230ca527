// SPDX-License-Identifier: MIT
//! Profile deepwater with several processes: this executable starts itself again, with a role in its environment. What writers
//! leave that are killed, and readers who follow across that.

#[path = "common/feeds.rs"]
#[allow(dead_code)]
mod feeds;

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use feeds::*;
use shmwire::deepwater::{
    self, Making, Options, Reader, ReaderOptions, Start, Writer, STATE_EXPIRED, STATE_PERSISTED, STATE_SEALED,
};
use shmwire::{Answer, Code, Error};

const ROLE: &str = "SHMWIRE_TEST_ROLE";
const BASE: &str = "SHMWIRE_TEST_BASE";
const PATIENCE: Duration = Duration::from_secs(60);

fn options(persist: bool) -> Options {
    Options::new().chunk_size(4096).rows(4096).feeds(4).persist(persist).live_window(3)
}

/// Not a test of its own: what the other processes do. Without a role it has nothing to do.
#[test]
fn actor() {
    let role = match std::env::var(ROLE) {
        Ok(role) => role,
        Err(_) => return,
    };
    let base = std::env::var(BASE).expect("a base with the role");
    let mut writer = Writer::open(&base, "feed", &options(role != "append-and-stop")).expect("no writer");
    match role.as_str() {
        "append-for-ever" => append(&mut writer, u64::MAX),
        "append-and-stop" | "persist-and-stop" => append(&mut writer, 500),
        "append-and-leave" => {
            append(&mut writer, 500);
            writer.close().expect("left");
            println!("\nleft");
            return std::thread::sleep(PATIENCE);
        }
        other => panic!("no role {other}"),
    }
    println!("\nstopped");
    std::thread::sleep(PATIENCE); // with the writer: it has not left when it is killed
}

/// Records of 24 bytes that say their sequence.
fn append(writer: &mut Writer, count: u64) {
    let first = writer.feed().last_sequence.map_or(0, |last| last + 1);
    for sequence in first..first.saturating_add(count) {
        writer.append(1000 * sequence, 1, &sequence.to_le_bytes().repeat(3)).expect("appended");
        if sequence == first + 300 {
            println!("\nready");
        }
    }
}

/// Another process with its output. It ends with this handle at the latest.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(role: &str, base: &Base) -> Running {
        let mut command = Command::new(std::env::current_exe().expect("our own path"));
        command.args(["actor", "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role).env(BASE, &base.0);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a process");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        Running { child, lines }
    }

    fn await_word(&mut self, word: &str) {
        let found = self.lines.by_ref().map_while(Result::ok).any(|line| line == word);
        assert!(found, "it ended without {word}");
    }

    fn kill(mut self) {
        self.child.kill().expect("it lives");
        self.child.wait().expect("ours");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Check the next record, and that none is missing; false when there is none.
fn follow(reader: &mut Reader, next: &mut u64, wait: Duration) -> bool {
    match reader.wait_next(wait).expect("sound") {
        Answer::Done(record) => {
            assert_eq!((record.sequence, record.timestamp_ns), (*next, 1000 * *next));
            assert_eq!(record.data(), next.to_le_bytes().repeat(3));
            *next += 1;
            true
        }
        _ => false,
    }
}

fn follow_to(reader: &mut Reader, next: &mut u64, end: u64) {
    let began = Instant::now();
    while *next < end {
        assert!(began.elapsed() < PATIENCE, "stopped at {next}");
        follow(reader, next, Duration::from_secs(1));
    }
}

#[test]
fn a_reader_follows_across_writers_that_are_killed() {
    let base = Base::new("killed");
    let (mut reader, mut next) = (None, 0);
    for _ in 0..3 {
        let mut writer = Running::start("append-for-ever", &base);
        writer.await_word("ready");
        let reader = reader.get_or_insert_with(|| base.reader(Start::Oldest));
        assert_eq!(Writer::open(&base.0, "feed", &options(true)).expect_err("it lives").code(), Code::Busy);
        follow_to(reader, &mut next, reader_goal(&base));
        writer.kill();
    }
    let reader = reader.as_mut().expect("opened");
    while follow(reader, &mut next, Duration::ZERO) {}
    // Every record that was committed, and nothing else, is in files after recovery.
    let found = deepwater::collect(&base.0, "feed").expect("nobody lives");
    assert!(found.sealed <= 2 && base.in_memory().is_empty(), "{found:?}, {:?}", base.in_memory());
    assert_eq!(sequences(&mut base.reader(Start::Oldest)), (0..next).collect::<Vec<u64>>());
    deepwater::validate(&base.0, "feed").expect("whole");
    assert!((0..base.reader(Start::Oldest).feed().chunks).all(|id| reader.chunk(id).expect("a row").state == STATE_PERSISTED));
    let again = deepwater::collect(&base.0, "feed").expect("nobody lives");
    assert_eq!(again, deepwater::Recovered::default());
    let mut writer = base.writer(&options(true));
    assert_eq!(writer.append(1000 * next, 1, &next.to_le_bytes().repeat(3)).expect("appended"), next);
    assert!(follow(reader, &mut next, Duration::ZERO));
}

/// Two chunks further than there is now.
fn reader_goal(base: &Base) -> u64 {
    base.reader(Start::Oldest).feed().last_sequence.expect("there are records") + 260
}

#[test]
fn what_a_killed_writer_left_in_memory_is_sealed() {
    let base = Base::new("sealed");
    let mut running = Running::start("append-and-stop", &base);
    running.await_word("ready");
    let mut reader = base.reader(Start::Latest);
    let began = Instant::now();
    while reader.feed().last_sequence != Some(499) {
        assert!(began.elapsed() < PATIENCE);
        let _ = reader.wait_next(Duration::from_millis(10)).expect("sound");
    }
    running.kill();
    assert_eq!(base.in_memory().len(), 6); // 128 records go into a chunk; three chunks are kept, and expired is the first
    let mut ending = Reader::open(&base.0, "feed", &ReaderOptions::new().end_with_writer(true)).expect("it is there");
    assert_eq!(sequences(&mut ending), (128..500).collect::<Vec<u64>>());
    assert_eq!(ending.next().expect("sound").code(), Code::Closed);
    let found = deepwater::collect(&base.0, "feed").expect("nobody lives");
    assert_eq!((found.sealed, found.persisted, found.expired), (1, 0, 0));
    assert_eq!((ending.chunk(3).expect("a row").state, ending.chunk(3).expect("a row").record_count), (STATE_SEALED, 116));
    let mut writer = base.writer(&options(false).making(Making::OpenOnly));
    assert_eq!(writer.append(499_000, 1, b"next").expect("appended"), 500);
    assert_eq!(ending.next().expect("sound").done().expect("the feed goes on").data(), b"next");
}

#[test]
fn files_tell_what_a_machine_lost() {
    let base = Base::new("power");
    let mut running = Running::start("persist-and-stop", &base);
    running.await_word("stopped");
    running.kill();
    // The machine is switched off: shared memory is gone, and the row of chunk 1 never said that it is in files.
    let in_files = base.reader(Start::Oldest).chunk(1).expect("a row");
    assert_eq!(in_files.state, STATE_PERSISTED);
    for name in base.in_memory() {
        let (id, suffix) = name.strip_prefix("feed.").and_then(|name| name.split_once('.')).expect("a chunk");
        std::fs::remove_file(base.memory(id.parse().expect("a number"), suffix)).expect("ours");
    }
    for (at, bytes) in [(8, vec![3]), (12, vec![2]), (24, vec![0; 24]), (64, vec![0; 8])] {
        if at == 24 {
            poke(&base.feed_registry(), ROW_0 + ROW + 24, &bytes[..8]);
            poke(&base.feed_registry(), ROW_0 + ROW + 40, &bytes[8..]);
        } else {
            poke(&base.feed_registry(), ROW_0 + ROW + at, &bytes);
        }
    }
    std::fs::write(base.0.join("feed/chunk_00000009.data.tmp"), b"half").expect("a file");
    let found = deepwater::collect(&base.0, "feed").expect("nobody lives");
    assert_eq!((found.sealed, found.adopted, found.removed), (0, 1, 1), "{found:?}");
    let mut reader = base.reader(Start::Oldest);
    let mended = reader.chunk(1).expect("a row");
    assert_eq!(mended, in_files);
    let last = reader.feed().last_sequence.expect("there are records");
    let first_lost = (0..).map(|id| reader.chunk(id).expect("a row")).find(|chunk| chunk.state == STATE_EXPIRED);
    let mut next = 0;
    while next < first_lost.expect("the one that was being written").first_sequence {
        assert!(follow(&mut reader, &mut next, Duration::ZERO));
    }
    match reader.next() {
        Err(Error::Expired { lost }) => assert_eq!(next + lost, last + 1), // that was in memory only
        other => panic!("{other:?} instead of EXPIRED"),
    }
    let mut writer = base.writer(&options(true));
    assert_eq!(writer.append(1000 * (last + 1), 1, b"").expect("appended"), last + 1); // behind all that anybody can have seen
    deepwater::validate(&base.0, "feed").expect("whole");
}

#[test]
fn a_writer_that_leaves_wakes_those_who_end_with_it() {
    let base = Base::new("leaves");
    let mut running = Running::start("append-and-leave", &base);
    let options = ReaderOptions::new().ready_timeout(PATIENCE).end_with_writer(true);
    let began = Instant::now();
    let mut reader = Reader::open(&base.0, "feed", &options).expect("it comes");
    running.await_word("left");
    let mut next = 0;
    while follow(&mut reader, &mut next, PATIENCE) {}
    assert_eq!((next, reader.wait_next(PATIENCE).expect("sound").code()), (500, Code::Closed));
    assert!(began.elapsed() < PATIENCE && base.in_memory().is_empty());
}

#[test]
fn a_chunk_that_cannot_be_persisted_is_kept() {
    let base = Base::new("kept");
    let mut writer = base.writer(&options(true).live_window(1));
    append(&mut writer, 3);
    let obstacle = base.0.join("feed/chunk_00000000.data.tmp");
    std::fs::create_dir(&obstacle).expect("a directory where a file should be");
    assert!(writer.rotate().is_err());
    assert_eq!(base.in_memory().len(), 4);
    append(&mut writer, 3);
    assert!(writer.rotate().is_err()); // still
    append(&mut writer, 3);
    assert_eq!(sequences(&mut base.reader(Start::Oldest)), (0..9).collect::<Vec<u64>>());
    std::fs::remove_dir(&obstacle).expect("ours");
    writer.close().expect("it can be now");
    assert!(base.in_memory().is_empty());
    assert_eq!(sequences(&mut base.reader(Start::Oldest)), (0..9).collect::<Vec<u64>>());
    deepwater::validate(&base.0, "feed").expect("whole");
}

/// A forked child has the parent's handle and is no writer; its end does not take the lock from the parent.
#[test]
fn a_forked_child_is_no_writer() {
    let base = Base::new("forked");
    let mut writer = base.writer(&options(true));
    append(&mut writer, 3);
    let mut reader = base.reader(Start::Oldest);
    // SAFETY: the child calls the writer and the reader, which lock nothing that another thread could hold, and leaves by _exit.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork");
    if child == 0 {
        let refused = matches!(writer.append(9000, 0, b"mine"), Err(Error::OutOfOrder)) && writer.rotate().is_err();
        let read = matches!(reader.next(), Ok(Answer::Done(record)) if record.sequence == 0);
        drop(writer);
        // SAFETY: ends the process at once, without what the parent has registered for its own end.
        unsafe { libc::_exit(if refused && read { 7 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: our own child; status is ours.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7, "status {status:#x}");
    assert_eq!(base.in_memory().len(), 2);
    assert_eq!(Writer::open(&base.0, "feed", &options(true)).expect_err("the parent writes").code(), Code::Busy);
    append(&mut writer, 1);
    assert_eq!(sequences(&mut reader), [0, 1, 2, 3]);
}

/// A writer that leaves the processes that it has forked behind does not live on in them.
#[test]
fn a_lock_does_not_outlive_its_writer_in_a_child() {
    let base = Base::new("outlive");
    let mut writer = base.writer(&options(false));
    append(&mut writer, 1);
    let mut sleeper = Command::new("sleep").arg("60").spawn().expect("a process");
    // SAFETY: the child only sleeps and leaves by _exit.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork");
    if child == 0 {
        std::thread::sleep(PATIENCE);
        // SAFETY: as in the test above.
        unsafe { libc::_exit(0) };
    }
    drop(writer);
    let free = Writer::open(&base.0, "feed", &options(false)).map(drop);
    // SAFETY: our own child.
    unsafe { libc::kill(child, libc::SIGKILL) };
    let mut status = 0;
    // SAFETY: as above.
    unsafe { libc::waitpid(child, &mut status, 0) };
    let _ = sleeper.kill();
    let _ = sleeper.wait();
    free.expect("nobody writes");
}
