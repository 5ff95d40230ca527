// SPDX-License-Identifier: MIT
//! Names of segments: what a locator stands for, a second name, and taking one away.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Where POSIX shared-memory names are.
pub(crate) const SHM_DIRECTORY: &str = "/dev/shm";
const LONGEST_NAME: usize = 254;
const LONGEST_PATH: usize = 4095;

/// The name without its leading slash if the locator is a POSIX shared-memory name, `None` if it is a path.
fn posix_name(locator: &[u8]) -> Option<&[u8]> {
    let name = locator.strip_prefix(b"/").unwrap_or(locator);
    if name.contains(&b'/') {
        None
    } else {
        Some(name)
    }
}

/// The path of the file behind a locator: `"/queue"` gives `/dev/shm/queue`.
///
/// # Errors
/// [`Error::InvalidName`].
///
/// ```
/// assert_eq!(shmwire::path("/queue")?, std::path::Path::new("/dev/shm/queue"));
/// assert_eq!(shmwire::path("./queue.bin")?, std::path::Path::new("./queue.bin"));
/// assert!(shmwire::path("..").is_err());
/// # Ok::<(), shmwire::Error>(())
/// ```
pub fn path(locator: impl AsRef<Path>) -> Result<PathBuf> {
    let locator = locator.as_ref();
    let bytes = locator.as_os_str().as_bytes();
    if bytes.contains(&0) || bytes.len() > LONGEST_PATH {
        return Err(Error::InvalidName);
    }
    match posix_name(bytes) {
        None => Ok(locator.to_path_buf()),
        Some(name) if name.is_empty() || name.len() > LONGEST_NAME || name == b"." || name == b".." => Err(Error::InvalidName),
        Some(name) => Ok(Path::new(SHM_DIRECTORY).join(OsStr::from_bytes(name))),
    }
}

/// The locator as programs in any language may open it: a POSIX name with its leading slash, a path as it is. `portable` refuses
/// names that are longer than that, the slash included.
pub(crate) fn full_name(locator: &Path, portable: Option<u32>) -> Result<PathBuf> {
    path(locator)?;
    match posix_name(locator.as_os_str().as_bytes()) {
        None => Ok(locator.to_path_buf()),
        Some(name) if portable.map_or(false, |most| name.len() + 1 > most as usize) => Err(Error::InvalidName),
        Some(name) => Ok(Path::new("/").join(OsStr::from_bytes(name))),
    }
}

/// Remove a segment's name. Those who have it mapped keep it.
///
/// # Errors
/// [`Error::NotFound`], [`Error::InvalidName`], [`Error::Permission`], [`Error::System`].
pub fn unlink(locator: impl AsRef<Path>) -> Result<()> {
    fs::remove_file(path(locator)?).map_err(Error::from)
}

/// Give a segment's file a second name.
pub(crate) fn link(locator: impl AsRef<Path>, second: impl AsRef<Path>) -> Result<()> {
    fs::hard_link(path(locator)?, path(second)?).map_err(Error::from)
}

/// Flags of every open: a shared-memory name is never followed through a symbolic link, since everybody may write to the
/// directory; and a FIFO in the segment's place must not hold us.
pub(super) fn open_flags(locator: &Path) -> i32 {
    let common = libc::O_NONBLOCK | libc::O_NOCTTY;
    match posix_name(locator.as_os_str().as_bytes()) {
        Some(_) => common | libc::O_NOFOLLOW,
        None => common,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths() {
        let long = "n".repeat(LONGEST_NAME + 1);
        for bad in ["", "/", ".", "/..", long.as_str(), "a\0b"] {
            assert_eq!(path(bad).expect_err(bad).code().name(), "INVALID_NAME");
        }
        assert_eq!(path("queue").expect("a name"), Path::new("/dev/shm/queue"));
        assert_eq!(path(&long[1..]).expect("the longest name"), Path::new(SHM_DIRECTORY).join(&long[1..]));
        assert_eq!(path("/tmp/queue").expect("a path"), Path::new("/tmp/queue"));
    }

    #[test]
    fn full_names() {
        for (locator, expected) in [("queue", "/queue"), ("/queue", "/queue"), ("/tmp/queue", "/tmp/queue"), ("./q", "./q")] {
            assert_eq!(full_name(Path::new(locator), Some(31)).expect("valid"), Path::new(expected));
        }
        let (fits, long) = ("n".repeat(30), "n".repeat(31));
        full_name(Path::new(&fits), Some(31)).expect("31 with the slash");
        full_name(Path::new(&long), None).expect("not asked for");
        assert_eq!(full_name(Path::new(&long), Some(31)).expect_err("32").code().name(), "INVALID_NAME");
    }
}
