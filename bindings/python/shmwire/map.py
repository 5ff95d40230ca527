# SPDX-License-Identifier: MIT
"""Names, files, mappings and the segment lock: what all profiles share below their layouts.

Mappings are made with os.open and mmap. multiprocessing.shared_memory is never used: its resource tracker removes segments
that a mere reader attached.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import re
import stat
from collections.abc import Iterator
from typing import Final

from .bytes import Window
from .errors import BusyError, Closed, InvalidNameError, ShmwireException, TruncatedError, from_os_error
from .wait import Backoff, Deadline

SHM_DIRECTORY: Final = "/dev/shm/"
LONGEST_NAME: Final = 254
LONGEST_PATH: Final = 4096
_OPEN_FLAGS: Final = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_MAPS_LINE: Final = re.compile(r"([0-9a-f]+)-\S+ \S+ \S+ ([0-9a-f]+:[0-9a-f]+ \d+)")


def path(locator: str) -> str:
    """The file behind a locator: "/queue" and "queue" are /dev/shm/queue; with any other slash it is a path already.

    Raises InvalidNameError for an empty name, "." and "..", a name above 254 bytes, and one that holds a NUL.
    """
    raw = os.fsencode(locator)
    name = raw[1:] if raw[:1] == b"/" else raw
    if b"\0" in raw or len(raw) >= LONGEST_PATH:
        raise InvalidNameError(repr(locator))
    if b"/" in name:
        return locator
    if name in (b"", b".", b"..") or len(name) > LONGEST_NAME:
        raise InvalidNameError(repr(locator))
    return SHM_DIRECTORY + os.fsdecode(name)


def full_name(locator: str) -> str:
    """What other programs open: a POSIX name with its leading slash, or the path. InvalidNameError as path()."""
    file = path(locator)
    return file if file == locator else "/" + file.removeprefix(SHM_DIRECTORY)


def unlink(locator: str) -> None:
    """Remove a segment's name. Those who have it mapped keep it. NotFoundError, InvalidNameError, PermissionError."""
    file = path(locator)
    try:
        os.unlink(file)
    except OSError as error:
        raise from_os_error(error, file) from None


class Mapping:
    """One mapped file: its window, and the descriptor that the segment lock needs."""

    __slots__ = ("_file", "fd", "window")

    def __init__(self, fd: int, file: str, size: int, writable: bool) -> None:
        self.fd = fd
        self._file = file
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        self.window = Window(mmap.mmap(fd, size, flags=mmap.MAP_SHARED, prot=protection), size, writable)

    def release_fd(self) -> None:
        """Close the descriptor alone. What needs it is done."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def close(self) -> None:
        """Close the descriptor and let go of the mapping; it goes away with its last user. Never touches the segment."""
        self.release_fd()
        self.window.close()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold flock(LOCK_EX) on the segment's file.

        The lock belongs to the open file description, which threads and forked children share: hence one of our own.
        """
        if self.fd < 0:
            raise Closed("the segment has been closed")
        try:
            own = os.open(f"/proc/self/fd/{self.fd}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise from_os_error(error, self._file) from None
        try:
            fcntl.flock(own, fcntl.LOCK_EX)
            yield
        finally:
            fcntl.flock(own, fcntl.LOCK_UN)  # not by close alone: a child forked meanwhile has the description too
            os.close(own)

    def claim(self, *, wait: bool) -> None:
        """Take the segment lock for as long as the mapping is there. BusyError when another holds it, unless `wait`."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"{self._file} is locked") from None
        except OSError as error:
            raise from_os_error(error, self._file) from None

    def unclaim(self) -> None:
        """Give the lock back at once, even if a child forked meanwhile has the descriptor too."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)

    def reserve(self, offset: int, length: int) -> None:
        """Allocate the pages of a range now: a full file system is an error here and not a SIGBUS later."""
        _reserve(self.fd, offset, length, self._file)


def _reserve(fd: int, offset: int, length: int, file: str) -> None:
    try:
        os.posix_fallocate(fd, offset, length)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            raise from_os_error(error, file) from None


def open_file(locator: str, flags: int, mode: int = 0) -> tuple[int, str]:
    """A descriptor and the path. A shared-memory name is never followed through a symbolic link: everybody may write to its
    directory."""
    file = path(locator)
    if file != locator:
        flags |= os.O_NOFOLLOW
    try:
        return os.open(file, flags | _OPEN_FLAGS, mode), file
    except OSError as error:
        raise from_os_error(error, file) from None


def create(locator: str, size: int, reserve: int, mode: int) -> Mapping:
    """Make a file of `size` zero bytes, the first `reserve` of them allocated, and map it. ExistsError when it is there."""
    fd, file = open_file(locator, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
    try:
        os.ftruncate(fd, size)
        _reserve(fd, 0, reserve, file)
        return Mapping(fd, file, size, writable=True)
    except BaseException as error:
        os.close(fd)
        os.unlink(file)  # ours since O_EXCL succeeded, and not published
        _raise_ours(error, file)
        raise


def map_fd(fd: int, file: str, size: int, writable: bool) -> Mapping:
    """Map a file that is open already; on success the descriptor belongs to the mapping. TruncatedError, SystemError."""
    try:
        return Mapping(fd, file, size, writable)
    except (OSError, ValueError) as error:
        _raise_ours(error, file)
        raise


def create_anonymous(size: int) -> Mapping:
    """Map `size` zero bytes without a name or a file, for this process and its forked children. SystemError."""
    try:
        return Mapping(-1, "memory", size, writable=True)
    except OSError as error:
        raise from_os_error(error, f"{size} bytes of memory") from None


def open_existing(locator: str, writable: bool, least: int, deadline: Deadline) -> Mapping:
    """Map a segment as long as its file is. TruncatedError below `least` bytes; an empty file is waited for."""
    fd, file = open_file(locator, os.O_RDWR if writable else os.O_RDONLY)
    try:
        size = _await_size(fd, deadline, file)
        if size < least:
            raise TruncatedError(f"{file}: {size} bytes, at least {least} wanted")
        return Mapping(fd, file, size, writable)
    except BaseException as error:
        os.close(fd)
        _raise_ours(error, file)
        raise


def _raise_ours(error: BaseException, file: str) -> None:
    """Turn what the system answered into an exception of the registry; leave those that are of it already."""
    if isinstance(error, OSError) and not isinstance(error, ShmwireException):
        raise from_os_error(error, file) from None
    if isinstance(error, ValueError) and not isinstance(error, ShmwireException):
        raise TruncatedError(f"{file} became shorter while it was mapped") from None


def _await_size(fd: int, deadline: Deadline, file: str) -> int:
    """The file's size once it has one: a creator makes the name first and the bytes next."""
    backoff = Backoff(deadline)
    while True:
        last = deadline.expired()
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidNameError(f"{file} is not a regular file")
        if status.st_size != 0 or last:
            return status.st_size
        backoff.pause()


def require_exclusive(mapping: Mapping, address: int) -> None:
    """BusyError when another process maps the segment, or when that cannot be told.

    `address` is where it is mapped here: the kernel's maps name files in their own way, so our own line says what to look for.
    """
    identity = _identity(address)
    others = [entry for entry in os.listdir("/proc") if entry.isdigit()]
    if identity is None or "1" not in others:  # without process 1 in sight others are hidden as well
        raise BusyError("the maps of other processes cannot be seen")
    own = os.readlink("/proc/self")
    for entry in others:
        if entry != own and _maps_file(entry, identity):
            raise BusyError(f"process {entry} maps the segment, or may do so")


def _identity(address: int) -> str | None:
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            match = _MAPS_LINE.match(line)
            if match and int(match[1], 16) == address:
                return match[2]
    return None


def _maps_file(process: str, identity: str) -> bool:
    """Does the process map the file? A process that is gone does not; one that hides its maps may."""
    try:
        with open(f"/proc/{process}/maps", encoding="utf-8", errors="replace") as lines:
            return any((match := _MAPS_LINE.match(line)) is not None and match[2] == identity for line in lines)
    except (FileNotFoundError, ProcessLookupError):
        return False
    except OSError:
        return True
