# SPDX-License-Identifier: MIT
"""Results and errors: the closed registry as exceptions.

Everything derives from ShmwireException. Results (Empty, Full, Timeout, Closed, …) are answers of a healthy segment;
errors (BadMagicError, CorruptError, …) say what is broken or refused. Where Python has an exception of the same meaning,
ours derives from it as well: `except TimeoutError`, `except FileNotFoundError`, `except ValueError` work.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from . import error_table
from .error_table import (
    BY_CODE,
    BadGeometryError,
    BadMagicError,
    BadVersionError,
    BusyError,
    Closed,
    CorruptError,
    Empty,
    ExistsError,
    ExpiredError,
    Full,
    InvalidArgumentError,
    InvalidNameError,
    Lapped,
    NotFoundError,
    NotReadyError,
    OutOfOrderError,
    PermissionError,
    ShmwireError,
    ShmwireException,
    ShmwireResult,
    SystemError,
    Timeout,
    TooLargeError,
    TruncatedError,
    UnsupportedError,
)

__all__ = [
    "BadGeometryError", "BadMagicError", "BadVersionError", "BusyError", "Closed", "CorruptError", "Empty", "ExistsError",
    "ExpiredError", "Full", "InvalidArgumentError", "InvalidNameError", "Lapped", "NotFoundError", "NotReadyError",
    "OutOfOrderError", "PermissionError", "ShmwireError", "ShmwireException", "ShmwireResult", "SystemError", "Timeout",
    "TooLargeError", "TooSmallError", "TruncatedError", "UnsupportedError", "from_code", "from_os_error",
]



class TooSmallError(error_table.TooSmallError):
    """The receive buffer is smaller than the payload; the message is still in place."""

    def __init__(self, detail: str = "", needed: int = 0) -> None:
        super().__init__(detail)
        #: Bytes that the message needs.
        self.needed = needed


_BY_ERRNO: Final[dict[int, type[ShmwireException]]] = {
    errno.ENOENT: NotFoundError, errno.ENOTDIR: NotFoundError, errno.EEXIST: ExistsError,
    errno.EACCES: error_table.PermissionError, errno.EPERM: error_table.PermissionError, errno.EROFS: error_table.PermissionError,
    errno.EISDIR: InvalidNameError, errno.ENXIO: InvalidNameError, errno.ENAMETOOLONG: InvalidNameError,
}


def from_code(code: int, detail: str = "") -> ShmwireException:
    """The exception for a code of the registry; SystemError for one that the registry does not have."""
    return BY_CODE.get(code, error_table.SystemError)(detail)


def from_os_error(error: OSError, what: str) -> ShmwireException:
    """The exception for a refused system call. `what` says what was tried, such as the path that was opened."""
    kind = _BY_ERRNO.get(error.errno or 0, error_table.SystemError)
    return kind(f"{what}: {os.strerror(error.errno or 0)}")
