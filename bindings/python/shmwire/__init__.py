# SPDX-License-Identifier: MIT
"""shmwire: shared-memory message segments. Profiles have their own packages: shmwire.dmxp, shmwire.ouroboros."""

from __future__ import annotations

from typing import Final

from .errors import (
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
    TooSmallError,
    TruncatedError,
    UnsupportedError,
)
from .map import path, unlink

__version__: Final = "0.1.0"

__all__ = [
    "BadGeometryError", "BadMagicError", "BadVersionError", "BusyError", "Closed", "CorruptError", "Empty", "ExistsError",
    "ExpiredError", "Full", "InvalidArgumentError", "InvalidNameError", "Lapped", "NotFoundError", "NotReadyError",
    "OutOfOrderError", "PermissionError", "ShmwireError", "ShmwireException", "ShmwireResult", "SystemError", "Timeout",
    "TooLargeError", "TooSmallError", "TruncatedError", "UnsupportedError", "__version__", "path", "unlink",
]
