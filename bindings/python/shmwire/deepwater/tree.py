# SPDX-License-Identifier: MIT
"""Profile deepwater, sections 1 and 3, python engine: names and directories. Nothing below the base directory is opened through
a symbolic link."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from typing import Final

from ..errors import CorruptError, InvalidNameError, PermissionError, ShmwireException, from_os_error
from . import layout
from .record import U64

REGISTRY_FILE: Final = "registry.bin"
FEED_FILE: Final = "feed_registry.bin"
LOCK_BYTE: Final = 0  # of a registry's file, on which its lock is held
_FNV_BASIS: Final = 0xCBF29CE484222325
_FNV_PRIME: Final = 0x100000001B3
_NAME: Final = re.compile(rb"[A-Za-z0-9._-]{1,%d}" % layout.NAME_MAX)
_FLAGS: Final = os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | _FLAGS


def name_good(name: bytes) -> bool:
    """1 to 63 bytes of A-Z a-z 0-9 . _ -, and neither "." nor ".."."""
    return _NAME.fullmatch(name) is not None and name not in (b".", b"..")


def require_name(name: str) -> bytes:
    """The bytes of a feed's name. InvalidNameError. [deepwater.feed.name]"""
    raw = os.fsencode(name)
    if not name_good(raw):
        raise InvalidNameError(f"feed {name!r}: 1 to {layout.NAME_MAX} of A-Z a-z 0-9 . _ - are wanted")
    return raw


class Descriptor:
    """An open file or directory, closed with its last user."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        """Close it now."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            self.close()


def _hash(path: bytes) -> int:
    """FNV-1a 64."""
    value = _FNV_BASIS
    for byte in path:
        value = (value ^ byte) * _FNV_PRIME & U64
    return value


def _search(mode: int) -> int:
    """Permissions of a directory: who may read it may search it."""
    return mode | (mode & 0o444) >> 2


class Base:
    """A base directory, open."""

    __slots__ = ("directory", "hash", "path")

    def __init__(self, path: str, mode: int = 0) -> None:
        """`mode`: of the directory, if it is to be made. InvalidNameError, NotFoundError, PermissionError, SystemError."""
        if not path or "\0" in path:
            raise InvalidNameError(f"base {path!r}")
        try:
            if mode:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(path, _search(mode))
            self.path = os.path.realpath(path, strict=True)
            self.hash = _hash(os.fsencode(self.path))
            self.directory = Descriptor(os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError as error:
            raise from_os_error(error, path) from None

    def close(self) -> None:
        """Let go of it."""
        self.directory.close()

    def memory_name(self, feed: str, chunk: int, suffix: str) -> str:
        """The name of a chunk in shared memory, with the slash; suffix: "data" or "idx"."""
        return f"/dw.{self.hash:016x}.{feed}.{chunk}.{suffix}"


def file_name(chunk: int, suffix: str) -> str:
    """The name of a chunk's file."""
    return f"chunk_{chunk:08d}.{suffix}"


def _refusal(error: OSError, directory: int, name: str) -> ShmwireException:
    """Why an open failed: a link is refused by name, whatever the kernel calls it. [deepwater.open.symlink]"""
    with contextlib.suppress(OSError):
        if stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            return PermissionError(f"{name} is a symbolic link")
    return from_os_error(error, name)


def open_file(directory: Descriptor, name: str, flags: int, mode: int = 0) -> int:
    """A descriptor of a regular file in a directory. PermissionError for a link, InvalidNameError for what is no file."""
    try:
        fd = os.open(name, flags | _FLAGS | os.O_NONBLOCK | os.O_NOCTTY, mode, dir_fd=directory.fd)
    except OSError as error:
        raise _refusal(error, directory.fd, name) from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise InvalidNameError(f"{name} is not a regular file")
    return fd


def _step_down(at: int, name: str, mode: int) -> int:
    try:
        if mode:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, _search(mode), dir_fd=at)
        return os.open(name, _DIRECTORY, dir_fd=at)
    except OSError as error:
        raise _refusal(error, at, name) from None


def open_directory(base: Base, relative: bytes, mode: int = 0) -> Descriptor:
    """A directory below a base, component by component; made if `mode` is not 0. CorruptError for one that leads elsewhere.
    [deepwater.open.directory]"""
    components = relative.split(b"/")
    if not all(map(name_good, components)):
        raise CorruptError(f"directory {relative!r}")
    current = base.directory
    for component in components:
        current = Descriptor(_step_down(current.fd, component.decode(), mode))
    return current
