// SPDX-License-Identifier: MIT
//! Files, mappings, the segment lock, our process id; beside it names, directories, leases, locks on bytes.

mod at;
mod guarded;
mod lease;
mod names;
mod ofd;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::io::{AsRawFd, FromRawFd};
use std::path::Path;

use memmap2::{Advice, MmapOptions, MmapRaw};

#[cfg(feature = "driver")]
use crate::atomic::Flag;
use crate::atomic::Word32;
use crate::error::{Error, Result};
use crate::process;
use crate::wait::{Backoff, Deadline};
use names::open_flags;

pub(crate) use at::{open_base, Directory, Opening};
pub(crate) use guarded::Guarded;
pub(crate) use lease::is_alone;
pub(crate) use names::{full_name, link, SHM_DIRECTORY};
pub use names::{path, unlink};
pub(crate) use ofd::{byte_is_held, give_byte, take_byte, take_byte_waiting};

/// A run above this many bytes is faulted in as it is used: the first lap is slower, attaching is not.
const PREFAULT_LIMIT: u64 = 64 << 20;

/// A segment's file and its mapping, from byte 0 to the size that the file had when it was mapped.
#[derive(Debug)]
pub(crate) struct Map {
    raw: MmapRaw,
    file: File,
    writable: bool,
    pid: PidCache,
}

impl Map {
    /// Make a file of `size` bytes, the first `reserve` of them with memory behind them, and map it.
    pub(crate) fn create(locator: &Path, size: u64, reserve: u64, mode: u32) -> Result<Map> {
        if size > i64::MAX as u64 {
            return Err(Error::InvalidArgument("the size is above 2^63"));
        }
        let file = create_file(locator, mode)?;
        Map::of_new_file(file, size, reserve).map_err(|error| {
            // Ours, since create_file succeeded, and not published. What went wrong matters more than this.
            let _ = unlink(locator);
            error
        })
    }

    /// Make a mapping without a name, for the threads of this process and the children that it forks.
    pub(crate) fn create_local(size: u64) -> Result<Map> {
        // SAFETY: the name is a C string; the call only reads it.
        let descriptor = unsafe { libc::memfd_create(b"shmwire\0".as_ptr().cast(), libc::MFD_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error().into());
        }
        // SAFETY: the descriptor has just been opened, and nobody else knows it.
        let file = unsafe { File::from_raw_fd(descriptor) };
        Map::of_new_file(file, size, size)
    }

    /// Give a file that is ours alone its size, and memory behind the first `reserve` bytes, and map it.
    pub(crate) fn of_new_file(file: File, size: u64, reserve: u64) -> Result<Map> {
        file.set_len(size).map_err(Error::System)?;
        let map = Map::of_file(file, size, true)?;
        map.reserve(0, reserve)?;
        Ok(map)
    }

    /// Map a file of at least `least` bytes, waiting for its creator to give it a size until the deadline.
    pub(crate) fn open(locator: &Path, read_only: bool, least: u64, deadline: Deadline) -> Result<Map> {
        let file = open_file(locator, read_only)?;
        let size = await_size(&file, deadline)?;
        if size < least {
            return Err(Error::Truncated { size, needed: least });
        }
        Map::of_file(file, size, !read_only)
    }

    /// Map the first `size` bytes of a file.
    pub(crate) fn of_file(file: File, size: u64, writable: bool) -> Result<Map> {
        let length = usize::try_from(size).map_err(|_| Error::Unsupported("a segment beyond the address space"))?;
        let mut options = MmapOptions::new();
        options.len(length);
        let raw = if writable { options.map_raw(&file) } else { options.map_raw_read_only(&file) };
        Ok(Map { raw: raw.map_err(Error::System)?, file, writable, pid: PidCache::new() })
    }

    /// The first `size` bytes of the same file, writable, if its mode lets us.
    pub(crate) fn writable_start(&self, size: u64) -> Option<Map> {
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let file = fs::OpenOptions::new().read(true).write(true).open(path).ok()?;
        Map::of_file(file, size.min(self.len()), true).ok()
    }

    /// Start of the mapping; aligned to a page. Store only where [`Map::writable`] holds.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.raw.as_mut_ptr()
    }

    /// Bytes of the mapping; never changes.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        self.raw.len() as u64
    }

    #[inline]
    pub(crate) fn writable(&self) -> bool {
        self.writable
    }

    #[inline]
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// This process's id, also after a fork.
    #[inline]
    pub(crate) fn pid(&self) -> u32 {
        self.pid.get()
    }

    /// Put memory behind a range now, so that a full file system shows here and not as SIGBUS later.
    pub(crate) fn reserve(&self, offset: u64, length: u64) -> Result<()> {
        let (from, count) = (offset as libc::off_t, length as libc::off_t);
        retry(|| {
            // SAFETY: the descriptor is open for as long as self is; the call touches no memory of ours.
            unsafe { libc::fallocate(self.file.as_raw_fd(), 0, from, count) }
        })
        .or_else(|error| match error.raw_os_error() {
            Some(libc::EOPNOTSUPP | libc::ENOSYS) => Ok(()),
            _ => Err(Error::System(error)),
        })
    }

    /// Have the pages of a range mapped before they are needed. An optimisation: it changes no byte, and failing is fine.
    pub(crate) fn prefault(&self, offset: u64, length: u64) {
        if self.writable && length <= PREFAULT_LIMIT {
            let _ = self.raw.advise_range(Advice::PopulateWrite, offset as usize, length as usize);
        }
    }

    /// Take the segment lock, waiting for it.
    pub(crate) fn lock(&self) -> Result<Lock> {
        lock_file(&self.file)
    }

    /// Take the segment lock for as long as this mapping lives, or until [`Map::unclaim`]: `Busy` when another mapping has it and
    /// `wait` is not set. The lock belongs to our file description, which forked children share.
    pub(crate) fn claim(&self, wait: bool) -> Result<()> {
        let operation = if wait { libc::LOCK_EX } else { libc::LOCK_EX | libc::LOCK_NB };
        retry(|| {
            // SAFETY: the descriptor is open; the call touches no memory.
            unsafe { libc::flock(self.file.as_raw_fd(), operation) }
        })
        .map_err(|error| match error.raw_os_error() {
            Some(libc::EWOULDBLOCK) => Error::Busy,
            _ => Error::System(error),
        })
    }

    /// Give the lock of [`Map::claim`] back.
    pub(crate) fn unclaim(&self) {
        // SAFETY: the descriptor is open; the call touches no memory.
        unsafe { libc::flock(self.file.as_raw_fd(), libc::LOCK_UN) };
    }

    /// Copy bytes out of a mapping that may have been truncated, through the kernel: slow, and never SIGBUS.
    pub(crate) fn read_guarded(&self, offset: u64, to: &mut [u8]) -> Result<()> {
        let wanted = offset.checked_add(to.len() as u64).ok_or(Error::InvalidArgument("the range is beyond 2^64"))?;
        if wanted > self.len() {
            return Err(Error::Truncated { size: self.len(), needed: wanted });
        }
        let mut done = 0;
        while done < to.len() {
            let local = libc::iovec { iov_base: to[done..].as_mut_ptr().cast(), iov_len: to.len() - done };
            // SAFETY: the range from offset on has been found to be inside of the mapping.
            let from = unsafe { self.as_ptr().add(offset as usize + done) };
            let remote = libc::iovec { iov_base: from.cast(), iov_len: local.iov_len };
            // SAFETY: local is the rest of a slice that is ours alone; the kernel checks remote and answers EFAULT.
            let count = unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0) };
            match usize::try_from(count) {
                Ok(0) => return Err(Error::Truncated { size: offset + done as u64, needed: wanted }),
                Ok(count) => done += count,
                Err(_) => return Err(guarded_error(io::Error::last_os_error(), offset + done as u64, wanted)),
            }
        }
        Ok(())
    }

    /// Whether no other process maps this file: `Busy` when one does, or when that cannot be told.
    pub(crate) fn check_exclusive(&self) -> Result<()> {
        process::check_exclusive(self.as_ptr() as usize)
    }
}

fn guarded_error(error: io::Error, size: u64, needed: u64) -> Error {
    match error.raw_os_error() {
        Some(libc::EFAULT) => Error::Truncated { size, needed },
        Some(libc::ENOSYS) => Error::Unsupported("process_vm_readv"),
        _ => Error::System(error),
    }
}

/// Size of the file once it has one, or as it is at the deadline.
fn await_size(file: &File, deadline: Deadline) -> Result<u64> {
    let mut backoff = Backoff::new();
    loop {
        let last = deadline.expired();
        let metadata = file.metadata().map_err(Error::System)?;
        if metadata.size() != 0 || last {
            return Ok(metadata.size());
        }
        backoff.pause(deadline);
    }
}

/// A call that answers 0 or -1 and errno, again while a signal interrupts it.
fn retry(mut call: impl FnMut() -> libc::c_int) -> io::Result<()> {
    loop {
        if call() == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// The segment lock, held until dropped.
#[derive(Debug)]
pub(crate) struct Lock(Guarded);

impl Drop for Lock {
    fn drop(&mut self) {
        // Not by closing alone: a program started meanwhile has the description until it is executed.
        if let Ok(file) = self.0.file() {
            // SAFETY: the descriptor is open; the call touches no memory.
            unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_UN) };
        }
    }
}

/// Take the lock of a segment's file, waiting for it. flock belongs to the open file description, which threads and forked children
/// share: hence one of our own, which children do not keep.
pub(crate) fn lock_file(file: &File) -> Result<Lock> {
    let own = Guarded::reopen(file, true)?;
    let descriptor = own.file()?.as_raw_fd();
    retry(|| {
        // SAFETY: the descriptor is open; the call touches no memory.
        unsafe { libc::flock(descriptor, libc::LOCK_EX) }
    })
    .map_err(Error::System)?;
    Ok(Lock(own))
}

/// Open a segment's file; `InvalidName` for what is no regular file.
pub(crate) fn open_file(locator: &Path, read_only: bool) -> Result<File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(!read_only).custom_flags(open_flags(locator));
    let file = options.open(path(locator)?)?;
    if file.metadata().map_err(Error::System)?.is_file() {
        Ok(file)
    } else {
        Err(Error::InvalidName)
    }
}

/// Make a segment's file, empty.
pub(crate) fn create_file(locator: &Path, mode: u32) -> Result<File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(mode).custom_flags(open_flags(locator));
    Ok(options.open(path(locator)?)?)
}

/// Whether a locator names this very file now.
pub(crate) fn names_file(locator: &Path, file: &File) -> bool {
    let named = path(locator).ok().and_then(|target| fs::metadata(target).ok());
    match (named, file.metadata()) {
        (Some(named), Ok(ours)) => (named.dev(), named.ino()) == (ours.dev(), ours.ino()),
        _ => false,
    }
}

/// 8 bytes that nobody can foretell, and that no forked child draws again.
pub(crate) fn random_u64() -> Result<u64> {
    let mut drawn = [0_u8; 8];
    retry(|| {
        // SAFETY: the kernel stores to as many bytes as there are; up to 256 come at once.
        match unsafe { libc::getrandom(drawn.as_mut_ptr().cast(), drawn.len(), 0) } {
            8 => 0,
            _ => -1,
        }
    })
    .map_err(Error::System)?;
    Ok(u64::from_ne_bytes(drawn))
}

/// The process id, looked up once per process: the system call costs more than sending a message does. The page is wiped by
/// a fork, which no hook in this library could promise.
#[derive(Debug)]
struct PidCache(Option<MmapRaw>);

impl PidCache {
    fn new() -> PidCache {
        let page = MmapOptions::new().len(4096).map_anon().ok().map(MmapRaw::from);
        PidCache(page.filter(|page| {
            // SAFETY: the range is a private anonymous mapping of ours, as the advice demands; it holds nothing yet.
            unsafe { libc::madvise(page.as_mut_ptr().cast(), page.len(), libc::MADV_WIPEONFORK) == 0 }
        }))
    }

    #[inline]
    fn get(&self) -> u32 {
        match &self.0 {
            None => std::process::id(),
            Some(page) => PidCache::look(page),
        }
    }

    #[inline]
    fn look(page: &MmapRaw) -> u32 {
        // SAFETY: a page of ours, aligned and mapped for as long as the borrow; only accessed here.
        let word = unsafe { Word32::new(page.as_mut_ptr()) };
        match word.load_relaxed() {
            0 => {
                let pid = std::process::id();
                word.store_relaxed(pid);
                pid
            }
            pid => pid,
        }
    }
}

/// For drivers and tools that must survive segments which others shorten: from now on, a thread that accesses a mapped file
/// beyond its end stops there for ever, instead of ending the process with `SIGBUS`, and [`truncation_met`] says so. What the
/// thread had in hand is lost. The main thread is not stopped: there `SIGBUS` still ends the process.
///
/// Jumping out of the access, as C does, is not sound in Rust: destructors would be passed over. A thread that never goes on
/// is no different from one that sleeps.
#[cfg(feature = "driver")]
#[doc(hidden)]
pub fn park_on_truncation() -> io::Result<()> {
    // SAFETY: all zeroes is a valid sigaction; the handler below is async-signal-safe and has the signature of SA_SIGINFO.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_sigbus as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigemptyset(&mut action.sa_mask);
        retry(|| libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut()))
    }
}

/// Whether a thread has stopped at the end of a shortened segment since the last call.
#[cfg(feature = "driver")]
#[doc(hidden)]
pub fn truncation_met() -> bool {
    TRUNCATION.lower()
}

#[cfg(feature = "driver")]
static TRUNCATION: Flag = Flag::new();

/// siginfo's si_code for an access beyond the end of a mapped file; a fault of the hardware has another.
#[cfg(feature = "driver")]
const BUS_ADRERR: libc::c_int = 2;

#[cfg(feature = "driver")]
extern "C" fn on_sigbus(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo; gettid, getpid, pause and signal are async-signal-safe.
    unsafe {
        if (*info).si_code == BUS_ADRERR && libc::syscall(libc::SYS_gettid) != libc::c_long::from(libc::getpid()) {
            TRUNCATION.raise();
            loop {
                libc::pause();
            }
        }
        // Not ours to mend: on return the access fails again, and ends the process.
        libc::signal(signal, libc::SIG_DFL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_devices_are_no_segments() {
        for locator in ["/dev/null", "/tmp/"] {
            let error = Map::open(Path::new(locator), true, 1, Deadline::NOW).expect_err(locator);
            assert_eq!(error.code().name(), "INVALID_NAME", "{locator}");
        }
    }

    #[test]
    fn the_pid_is_ours() {
        let cache = PidCache::new();
        assert_eq!((cache.get(), cache.get()), (std::process::id(), std::process::id()));
        assert_eq!(PidCache(None).get(), std::process::id());
    }
}
