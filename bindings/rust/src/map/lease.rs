// SPDX-License-Identifier: MIT
//! Whether anybody else uses a file. The kernel knows: it gives a write lease on one that nobody else has open or mapped.

use std::fs::File;
use std::os::unix::io::AsRawFd;

/// The same number on all architectures that this crate is built for; libc has no name for it.
const F_SETSIG: libc::c_int = 10;

/// Whether no other description of this file is open, and no mapping made of one. False where the kernel gives no lease.
///
/// Whoever opens the file while the lease stands sends this process a signal that is ignored by default; the usual one would end
/// it.
pub(crate) fn is_alone(file: &File) -> bool {
    control(file, F_SETSIG, libc::SIGURG)
        && control(file, libc::F_SETLEASE, libc::F_WRLCK)
        && control(file, libc::F_SETLEASE, libc::F_UNLCK)
}

fn control(file: &File, command: libc::c_int, argument: libc::c_int) -> bool {
    // SAFETY: the descriptor is open; these commands take a number and touch no memory.
    unsafe { libc::fcntl(file.as_raw_fd(), command, argument) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::{unlink, Map};
    use crate::wait::Deadline;
    use std::path::Path;

    #[test]
    fn readers_show() {
        let name = format!("/shmw-rust-lease-{}", std::process::id());
        let map = Map::create(Path::new(&name), 4096, 4096, 0o600).expect("a new name");
        assert!(is_alone(map.file()) && is_alone(map.file()));
        let reader = Map::open(Path::new(&name), true, 4096, Deadline::NOW).expect("it is there");
        unlink(&name).expect("it is there");
        assert!(!is_alone(map.file()));
        drop(reader);
        assert!(is_alone(map.file()));
    }
}
