// SPDX-License-Identifier: MIT
//! Descriptors that a forked child must not have: the locks of their descriptions would outlive the process that they stand for. A
//! list of them, which is closed in the child before anything else runs there, is the one piece of global state of this crate, beside
//! the count of forks.

use std::cell::UnsafeCell;
use std::fs::{File, OpenOptions};
use std::io;
use std::mem::ManuallyDrop;
use std::os::unix::io::{AsRawFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::atomic::Counter;
use crate::error::{Error, Result};

struct List {
    /// Whether the handlers of fork are in place.
    watching: bool,
    open: Vec<RawFd>,
}

static LIST: Mutex<List> = Mutex::new(List { watching: false, open: Vec::new() });
/// Forks between the process that began with this library and this one: tells whose a descriptor is.
static FORKS: Counter = Counter::new();
static HELD: Stash = Stash(UnsafeCell::new(None));

/// The list's guard while a fork is under way.
struct Stash(UnsafeCell<Option<MutexGuard<'static, List>>>);

// SAFETY: only the handlers of fork use it, from `before_fork` until its guard is taken out; all that while their thread holds the
// mutex of LIST, so there is one at a time.
unsafe impl Sync for Stash {}

fn list() -> MutexGuard<'static, List> {
    LIST.lock().unwrap_or_else(PoisonError::into_inner) // nobody leaves it half changed
}

extern "C" fn before_fork() {
    let guard = list();
    // SAFETY: as at Stash; the guard is held.
    unsafe { *HELD.0.get() = Some(guard) };
}

extern "C" fn after_fork_in_parent() {
    // SAFETY: as at Stash; before_fork has run in this thread.
    drop(unsafe { (*HELD.0.get()).take() });
}

/// The forking thread goes on here alone, with the guard that it took.
extern "C" fn after_fork_in_child() {
    // SAFETY: as at Stash.
    if let Some(mut list) = unsafe { (*HELD.0.get()).take() } {
        for descriptor in list.open.drain(..) {
            // SAFETY: open, and nobody else closes it: Guarded does so only where the count of forks is its own.
            unsafe { libc::close(descriptor) };
        }
        FORKS.count();
    }
}

impl List {
    fn watch(&mut self) -> Result<()> {
        if !self.watching {
            // SAFETY: the handlers are functions of this crate, take no arguments and call nothing that a child may not call.
            let rc = unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork_in_parent), Some(after_fork_in_child)) };
            if rc != 0 {
                return Err(Error::System(io::Error::from_raw_os_error(rc)));
            }
            self.watching = true;
        }
        Ok(())
    }
}

/// A file of which forked children have no descriptor, with a description of its own.
#[derive(Debug)]
pub(crate) struct Guarded {
    file: ManuallyDrop<File>,
    forks: u32,
}

impl Guarded {
    /// Open a file once more. No fork comes between that and its entry in the list.
    pub(crate) fn reopen(file: &File, read_only: bool) -> Result<Guarded> {
        let mut list = list();
        list.watch()?;
        list.open.reserve(1);
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let own = OpenOptions::new().read(true).write(!read_only).open(path)?;
        list.open.push(own.as_raw_fd());
        Ok(Guarded { file: ManuallyDrop::new(own), forks: FORKS.get() })
    }

    /// False in a forked child, for those that it inherited.
    #[inline]
    pub(crate) fn is_ours(&self) -> bool {
        self.forks == FORKS.get()
    }

    /// The file; `OutOfOrder` in a forked child.
    #[inline]
    pub(crate) fn file(&self) -> Result<&File> {
        if self.is_ours() {
            Ok(&self.file)
        } else {
            Err(Error::OutOfOrder)
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let mut list = list();
        if self.is_ours() {
            let descriptor = self.file.as_raw_fd();
            list.open.retain(|&open| open != descriptor);
            // SAFETY: dropped here and nowhere else, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        }
    }
}
