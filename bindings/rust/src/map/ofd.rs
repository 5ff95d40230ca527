// SPDX-License-Identifier: MIT
//! Write locks of open file descriptions on single bytes of a file, which may lie behind its end. The kernel drops them with the last
//! descriptor of the description, whatever the process id, thread or pid namespace of its owner.

use std::fs::File;
use std::io;
use std::os::unix::io::AsRawFd;

use crate::error::{Error, Result};

/// Take the lock on a byte, at once or not at all: false when another description has it.
pub(crate) fn take_byte(file: &File, byte: u64) -> Result<bool> {
    match control(file, libc::F_OFD_SETLK, &mut request(libc::F_WRLCK, byte, 1)) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(Error::System(error)),
    }
}

/// The same, waiting for it.
pub(crate) fn take_byte_waiting(file: &File, byte: u64) -> Result<()> {
    control(file, libc::F_OFD_SETLKW, &mut request(libc::F_WRLCK, byte, 1)).map_err(Error::System)
}

/// Give the lock on a byte back. It can fail only for a lock that is not there.
pub(crate) fn give_byte(file: &File, byte: u64) {
    let _ = control(file, libc::F_OFD_SETLK, &mut request(libc::F_UNLCK, byte, 1));
}

/// Whether another description has a lock on any of `count` bytes from `first` on.
pub(crate) fn byte_is_held(file: &File, first: u64, count: u64) -> Result<bool> {
    let mut asked = request(libc::F_RDLCK, first, count);
    control(file, libc::F_OFD_GETLK, &mut asked).map_err(Error::System)?;
    Ok(i32::from(asked.l_type) != libc::F_UNLCK)
}

fn request(kind: libc::c_int, first: u64, count: u64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: first as libc::off_t,
        l_len: count as libc::off_t,
        l_pid: 0, // must be, for locks of descriptions
    }
}

fn control(file: &File, command: libc::c_int, lock: &mut libc::flock) -> io::Result<()> {
    super::retry(|| {
        // SAFETY: the descriptor is open; the kernel reads and stores to a flock that is ours.
        unsafe { libc::fcntl(file.as_raw_fd(), command, &mut *lock as *mut libc::flock) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::{Guarded, Map};

    #[test]
    fn bytes_belong_to_descriptions() {
        let map = Map::create_local(4096).expect("memory");
        let one = Guarded::reopen(map.file(), false).expect("a description");
        let two = Guarded::reopen(map.file(), false).expect("another one");
        let (one, two) = (one.file().expect("ours"), two.file().expect("ours"));
        let far = (1 << 31) + 7; // behind the end
        assert!(take_byte(one, far).expect("a lock") && take_byte(one, far).expect("again, by its owner"));
        assert!(!take_byte(two, far).expect("an answer"));
        assert!(take_byte(two, far + 1).expect("the next one is free"));
        for (file, first, count, held) in
            [(one, far, 1, false), (two, far, 1, true), (map.file(), far + 2, 9, false), (one, 0, far + 2, true)]
        {
            assert_eq!(byte_is_held(file, first, count).expect("an answer"), held, "{first} and {count}");
        }
        give_byte(one, far);
        take_byte_waiting(two, far).expect("it is free again");
        assert!(!take_byte(one, far).expect("an answer"));
    }
}
