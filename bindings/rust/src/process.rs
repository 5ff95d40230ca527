// SPDX-License-Identifier: MIT
//! Who else has a segment mapped, as /proc tells it.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Error, Result};

/// Whether no other process maps the file that is mapped here at `address`: `Busy` when one does, or when that cannot be told.
pub(crate) fn check_exclusive(address: usize) -> Result<()> {
    let start = format!("{address:x}-");
    let own = fs::read_to_string("/proc/self/maps").map_err(|_| Error::Busy)?;
    let line = own.lines().find(|line| line.starts_with(&start)).ok_or(Error::Busy)?;
    check_processes(&identity_of(line).ok_or(Error::Busy)?)
}

/// Device and inode, as a line of a maps file has them. Taken from our own maps: on some file systems stat gives another
/// device number.
fn identity_of(line: &str) -> Option<(String, String)> {
    let mut words = line.split_ascii_whitespace().skip(3);
    Some((words.next()?.to_owned(), words.next()?.to_owned()))
}

/// Whether a process maps the file; an error when its maps cannot be read. A process that has gone maps nothing.
fn maps_file(maps: &Path, identity: &(String, String)) -> io::Result<bool> {
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH);
    let file = match File::open(maps) {
        Err(error) if gone(&error) => return Ok(false),
        other => other?,
    };
    for line in BufReader::new(file).split(b'\n') {
        match line {
            Err(error) if gone(&error) => return Ok(false),
            line => {
                if identity_of(&String::from_utf8_lossy(&line?)).as_ref() == Some(identity) {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

fn check_processes(identity: &(String, String)) -> Result<()> {
    // Our own entry, which has another number than our pid where /proc belongs to an outer pid namespace.
    let own = fs::read_link("/proc/self").map_err(|_| Error::Busy)?;
    let mut saw_init = false; // absent under hidepid: then others are hidden as well
    for entry in fs::read_dir("/proc").map_err(|_| Error::Busy)? {
        let name = entry.map_err(|_| Error::Busy)?.file_name();
        if !name.as_bytes()[0].is_ascii_digit() || name == own {
            continue;
        }
        saw_init |= name == "1";
        let maps = Path::new("/proc").join(&name).join("maps");
        if maps_file(&maps, identity).unwrap_or(true) {
            return Err(Error::Busy);
        }
    }
    if saw_init {
        Ok(())
    } else {
        Err(Error::Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_is_device_and_inode() {
        let line = "7f0000000000-7f0000001000 rw-s 00000000 00:1a 4711       /dev/shm/x";
        assert_eq!(identity_of(line), Some(("00:1a".to_owned(), "4711".to_owned())));
        assert_eq!(identity_of("garbage"), None);
    }
}
