// SPDX-License-Identifier: MIT
//! Profile shmcomm and fork(). In a process of its own, since a child has copies of whatever other tests have open.

mod common;

use std::time::Duration;

use common::Name;
use shmwire::shmcomm::{Options, Publisher, Subscriber};
use shmwire::{Answer, Error};

const NONE: Duration = Duration::ZERO;

fn options() -> Options {
    Options::new().capacity(1 << 14).ready_timeout(NONE)
}

/// A forked child has none of its parent's endpoints: calls are refused there, and the parent's death is not hidden by it.
#[test]
fn a_forked_child_has_no_endpoints() {
    let name = Name::new("p-forked");
    let mut publisher = Publisher::open(&name.0, &options()).expect("a new name");
    let mut subscriber = Subscriber::open(&name.0, &options()).expect("it is there");
    publisher.send(b"for both").expect("free");
    let mut pipe = [0; 2];
    // SAFETY: the array has room for two descriptors.
    assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
    // SAFETY: the child calls what needs no lock that another thread could hold but the library's own, which fork() hands on, and
    // leaves by _exit.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork");
    if child == 0 {
        let refused = matches!(publisher.send(b"no"), Err(Error::OutOfOrder));
        let mut buffer = [0; 16];
        let read = matches!(subscriber.receive(&mut buffer, NONE), Ok(Answer::Done(_)));
        drop(publisher);
        let mut word = [0_u8];
        // SAFETY: our own descriptors; ends the process at once, without what the parent has registered for its own end. Reading ends
        // when the parent closes its end, also by dying; the alarm is for what nobody has thought of.
        unsafe {
            libc::alarm(30);
            libc::close(pipe[1]);
            libc::read(pipe[0], word.as_mut_ptr().cast(), 1);
            libc::_exit(if refused && read { 7 } else { 1 });
        }
    }
    let mut buffer = [0; 16];
    assert_eq!(publisher.send(b"still").expect("the parent's"), 1);
    assert_eq!(subscriber.receive(&mut buffer, NONE).expect("sound").done().map(|message| message.sequence), Some(0));
    drop(publisher);
    assert!(!subscriber.info().keeper_lives, "the child holds nothing");
    assert!(!name.path().exists());
    let mut status = 0;
    // SAFETY: our own descriptors and our own child; status is ours.
    unsafe {
        libc::close(pipe[1]);
        libc::close(pipe[0]);
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
    }
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7, "status {status:#x}");
}
