// SPDX-License-Identifier: MIT
//! Directories that are held open, and what is below them: nothing there is reached through a symbolic link, and nothing changes
//! when somebody moves a directory meanwhile.

use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::io::{AsRawFd, FromRawFd};
use std::path::Path;

use crate::error::{Error, Result};

/// How a file below a directory is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// To read.
    Read,
    /// To read and write.
    Write,
    /// The same, and made with these permissions if it is not there.
    WriteOrMake(u32),
    /// Made with these permissions, to write; it must not be there.
    MakeNew(u32),
}

impl Opening {
    fn flags(self) -> (libc::c_int, u32) {
        match self {
            Opening::Read => (libc::O_RDONLY, 0),
            Opening::Write => (libc::O_RDWR, 0),
            Opening::WriteOrMake(mode) => (libc::O_RDWR | libc::O_CREAT, mode),
            Opening::MakeNew(mode) => (libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL, mode),
        }
    }
}

/// A directory, open.
#[derive(Debug)]
pub(crate) struct Directory(File);

/// Permissions of a directory whose files have these: who may read it may search it.
pub(crate) fn with_search(mode: u32) -> u32 {
    mode | (mode & 0o444) >> 2
}

impl Directory {
    /// Open a directory by its path; links in that are followed.
    pub(crate) fn open(path: &Path) -> Result<Directory> {
        let mut options = fs::OpenOptions::new();
        Ok(Directory(options.read(true).custom_flags(libc::O_DIRECTORY).open(path)?))
    }

    /// Open a directory in this one, making it with the permissions that go with `mode` if there is one. `Permission` for a link.
    pub(crate) fn below(&self, name: &str, mode: Option<u32>) -> Result<Directory> {
        if let Some(mode) = mode {
            self.make_directory(name, with_search(mode))?;
        }
        self.open_at(name, libc::O_RDONLY | libc::O_DIRECTORY, 0).map(Directory)
    }

    fn make_directory(&self, name: &str, mode: u32) -> Result<()> {
        let name = c_name(name)?;
        // SAFETY: the descriptor is open; the name is a C string, which the call only reads.
        match unsafe { libc::mkdirat(self.0.as_raw_fd(), name.as_ptr(), mode as libc::mode_t) } {
            0 => Ok(()),
            _ => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                error => Err(error.into()),
            },
        }
    }

    /// Open a regular file in this directory. `Permission` for a link, `InvalidName` for what is neither.
    pub(crate) fn file(&self, name: &str, opening: Opening) -> Result<File> {
        let (flags, mode) = opening.flags();
        let file = self.open_at(name, flags | libc::O_NONBLOCK | libc::O_NOCTTY, mode)?;
        if file.metadata().map_err(Error::System)?.is_file() {
            Ok(file)
        } else {
            Err(Error::InvalidName)
        }
    }

    fn open_at(&self, name: &str, flags: libc::c_int, mode: u32) -> Result<File> {
        let c_name = c_name(name)?;
        let flags = flags | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        loop {
            // SAFETY: the descriptor is open; the name is a C string, which the call only reads.
            let descriptor = unsafe { libc::openat(self.0.as_raw_fd(), c_name.as_ptr(), flags, mode as libc::c_uint) };
            if descriptor >= 0 {
                // SAFETY: the descriptor has just been opened, and nobody else knows it.
                return Ok(unsafe { File::from_raw_fd(descriptor) });
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(if self.is_link(name) { Error::Permission } else { error.into() });
            }
        }
    }

    /// A link is refused by name, whatever the kernel calls the failure.
    fn is_link(&self, name: &str) -> bool {
        fs::symlink_metadata(self.path_of(name)).map_or(false, |found| found.file_type().is_symlink())
    }

    /// What is called `name` here, for calls that take paths.
    fn path_of(&self, name: &str) -> std::path::PathBuf {
        Path::new("/proc/self/fd").join(self.0.as_raw_fd().to_string()).join(name)
    }

    /// Remove a file. Answers whether it was there and could be removed.
    pub(crate) fn remove(&self, name: &str) -> bool {
        let name = match c_name(name) {
            Ok(name) => name,
            Err(_) => return false,
        };
        // SAFETY: as in open_at.
        unsafe { libc::unlinkat(self.0.as_raw_fd(), name.as_ptr(), 0) == 0 }
    }

    /// Give a file another name, in the place of what has it.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (c_name(from)?, c_name(to)?);
        let descriptor = self.0.as_raw_fd();
        // SAFETY: as in open_at.
        match unsafe { libc::renameat(descriptor, from.as_ptr(), descriptor, to.as_ptr()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error().into()),
        }
    }

    /// The names of all that is here.
    pub(crate) fn names(&self) -> Result<Vec<OsString>> {
        let entries = fs::read_dir(self.path_of("")).map_err(Error::System)?;
        entries.map(|entry| entry.map(|entry| entry.file_name()).map_err(Error::System)).collect()
    }

    /// Have the names on the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        self.0.sync_all().map_err(Error::System)
    }
}

fn c_name(name: &str) -> Result<CString> {
    CString::new(name).map_err(|_| Error::InvalidName)
}

/// The directory's real path, without links, as bytes; and the directory, open. Made first if `mode` is given.
pub(crate) fn open_base(path: &Path, mode: Option<u32>) -> Result<(Vec<u8>, Directory)> {
    use std::os::unix::fs::DirBuilderExt;
    if path.as_os_str().is_empty() || path.as_os_str().as_bytes().contains(&0) {
        return Err(Error::InvalidName);
    }
    if let Some(mode) = mode {
        match fs::DirBuilder::new().mode(with_search(mode)).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
    }
    let real = fs::canonicalize(path)?;
    let directory = Directory::open(&real)?;
    Ok((real.into_os_string().as_bytes().to_vec(), directory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    struct Scratch(std::path::PathBuf);

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn links_are_not_followed() {
        let scratch = Scratch(std::env::temp_dir().join(format!("shmw-rust-at-{}", std::process::id())));
        let (real, base) = open_base(&scratch.0, Some(0o600)).expect("a directory");
        assert!(real.ends_with(scratch.0.file_name().expect("a name").as_bytes()));
        let inner = base.below("inner", Some(0o640)).expect("made");
        let mut file = inner.file("file", Opening::MakeNew(0o600)).expect("made");
        file.write_all(b"bytes").expect("written");
        assert_eq!(inner.file("file", Opening::MakeNew(0o600)).expect_err("taken").code().name(), "EXISTS");
        std::os::unix::fs::symlink("inner", scratch.0.join("link")).expect("a link");
        std::os::unix::fs::symlink("file", scratch.0.join("inner/link")).expect("a link");
        assert_eq!(base.below("link", None).expect_err("a link").code().name(), "PERMISSION");
        assert_eq!(inner.file("link", Opening::Read).expect_err("a link").code().name(), "PERMISSION");
        assert_eq!(inner.file("none", Opening::Read).expect_err("absent").code().name(), "NOT_FOUND");
        assert_eq!(base.file("inner", Opening::Read).expect_err("a directory").code().name(), "INVALID_NAME");
        inner.rename("file", "other").expect("renamed");
        inner.sync().expect("on the disk");
        let mut names = inner.names().expect("a list");
        names.sort();
        assert_eq!(names, ["link", "other"]);
        assert!(inner.remove("other") && !inner.remove("other"));
    }
}
