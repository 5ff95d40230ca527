# SPDX-License-Identifier: MIT
"""Exceptions of a reader, in two hierarchies at once: those that users of the source system know, below ReaderError, and the
registry's. `except ReaderError`, `except InvalidMagicError` and `except shmwire.BadMagicError` all work."""

from __future__ import annotations

from typing import Final

from .. import errors as registry
from ..errors import ShmwireException


class ReaderError(ShmwireException):
    """A segment cannot be attached to, or holds what no writer leaves."""


class InvalidMagicError(ReaderError, registry.BadMagicError):
    """The segment does not begin with the magic."""


class NotPublishedError(registry.NotReadyError, InvalidMagicError):
    """The magic is still 0: a writer is making the segment, or died while it did."""


class UnsupportedVersionError(ReaderError, registry.BadVersionError):
    """The format version is not 1."""


class InvalidChunkCountError(ReaderError, registry.BadGeometryError):
    """The chunk count is 0."""


class BufferTooSmallError(ReaderError, registry.TruncatedError):
    """The segment is shorter than its header or its chunk table."""


class NoDataAvailableError(ReaderError, registry.Empty):
    """No chunk is committed: there is nothing to begin at yet. May be tried again."""


class CorruptLogError(ReaderError, registry.CorruptError):
    """A row or an entry says what no writer leaves."""


class LogNotFoundError(ReaderError, registry.NotFoundError):
    """There is no segment of this name."""


class LogPermissionError(ReaderError, registry.PermissionError):
    """The segment may not be read."""


class InvalidLogNameError(ReaderError, registry.InvalidNameError):
    """The name cannot be that of a segment."""


class LogSystemError(ReaderError, registry.SystemError):
    """A system call failed."""


_OF_READER: Final[dict[str, type[ReaderError]]] = {
    kind.name: kind for kind in (InvalidMagicError, NotPublishedError, UnsupportedVersionError, InvalidChunkCountError,
                                 BufferTooSmallError, NoDataAvailableError, CorruptLogError, LogNotFoundError,
                                 LogPermissionError, InvalidLogNameError, LogSystemError)}


def of_reader(error: ShmwireException) -> ShmwireException:
    """The exception of both hierarchies for one of the registry; itself where there is none, as for Closed."""
    kind = _OF_READER.get(error.name)
    return error if kind is None or isinstance(error, ReaderError) else kind(error.detail)
