# SPDX-License-Identifier: MIT
"""Open-file-description locks of bytes: who has one lives, for the kernel drops it with the last descriptor.

The lock belongs to the open file description. Python's mmap keeps a duplicate of the descriptor that it was given, so a file that
is mapped and locked is opened twice: once for the mapping, once for the lock.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from typing import Final

from .errors import from_os_error

_FLOCK: Final = struct.Struct("@hhqqi")  # struct flock: type, whence, start, length, pid


def _flock(fd: int, command: int, kind: int, start: int, length: int = 1) -> int:
    """One call of fcntl with a struct flock: the type that it answers."""
    request = bytearray(_FLOCK.size + (-_FLOCK.size) % 8)
    _FLOCK.pack_into(request, 0, kind, os.SEEK_SET, start, length, 0)
    answer: int = _FLOCK.unpack_from(fcntl.fcntl(fd, command, bytes(request)))[0]
    return answer


def take(fd: int, byte: int) -> bool:
    """Write-lock the byte; False if another description has it. SystemError."""
    try:
        _flock(fd, fcntl.F_OFD_SETLK, fcntl.F_WRLCK, byte)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise from_os_error(error, "a lock") from None
    return True


def take_waiting(fd: int, byte: int) -> None:
    """Write-lock the byte, waiting for whoever has it. SystemError."""
    try:
        _flock(fd, fcntl.F_OFD_SETLKW, fcntl.F_WRLCK, byte)
    except OSError as error:
        raise from_os_error(error, "a lock") from None


def give(fd: int, byte: int) -> None:
    """Give it back at once, even if a child forked meanwhile has the description too."""
    _flock(fd, fcntl.F_OFD_SETLK, fcntl.F_UNLCK, byte)


def taken(fd: int, byte: int, length: int = 1) -> bool:
    """Does another description have any of these bytes? Where the system does not say: yes."""
    try:
        return _flock(fd, fcntl.F_OFD_GETLK, fcntl.F_RDLCK, byte, length) != fcntl.F_UNLCK
    except OSError:
        return True
