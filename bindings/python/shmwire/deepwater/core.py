# SPDX-License-Identifier: MIT
"""Profile deepwater: a writer and a reader, of either engine, in the terms of the chapter. The classes that most programs want
stand above them, in api.py; drivers and tools use these."""

from __future__ import annotations

import contextlib
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from ..closing import Closing
from ..engine import Engine, is_native
from ..errors import Closed, NotReadyError, ShmwireException
from ..wait import DEFAULT_SPIN
from .record import (
    ChunkInfo,
    Cursor,
    FeedInfo,
    FeedOptions,
    ReaderOptions,
    Record,
    Recovered,
    Start,
    require_options,
    require_u64,
)
from .tree import require_name

if TYPE_CHECKING:
    from ..bytes import Window

#: timestamp_ns, payload, type.
Part = tuple[int, "bytes | memoryview", int]


class _Handle(Closing, ABC):
    """What both have in common."""

    engine: Engine
    directory: str  #: the real path of the base directory

    def __init__(self) -> None:
        #: Who calls holds it: calls of several threads are made one after the other.
        self.lock = threading.RLock()
        _HANDLES.add(self)

    def after_fork(self) -> None:
        """In a forked child: a thread of the parent may have held the lock."""
        self.lock = threading.RLock()

    @abstractmethod
    def info(self) -> FeedInfo:
        """The feed, as its entry and its registry have it now. Closed."""


_HANDLES: Final[WeakSet[_Handle]] = WeakSet()


def _after_fork() -> None:
    for handle in list(_HANDLES):
        handle.after_fork()


os.register_at_fork(after_in_child=_after_fork)


class WriterCore(_Handle):
    """The writer of a feed. In a forked child it is the parent's: calls raise OutOfOrderError there; close changes nothing."""

    @abstractmethod
    def append(self, part: Part) -> int:
        """Append a record: its sequence. OutOfOrderError, InvalidArgumentError, TooLargeError, Full, SystemError, Closed."""

    @abstractmethod
    def append_batch(self, parts: Sequence[Part]) -> tuple[int, ShmwireException | None]:
        """Append records in order, with one commit for each chunk: how many were appended, and what stopped it."""

    @abstractmethod
    def rotate(self) -> None:
        """Begin a new chunk now, if the live one holds records. Full, SystemError, Closed."""


class ReaderCore(_Handle):
    """A reader of a feed. It takes no lock and writes nothing, but counts itself when it sleeps [deepwater.open.readonly]."""

    @abstractmethod
    def next(self) -> Record | None:
        """The next record; None if there is none now. Expired, once, where records are gone. Closed at the end
        [deepwater.read.end]. CorruptError: the reader stays."""

    def next_there(self) -> Record | None:
        """The next record that is there now, at the end of the feed too. Expired, CorruptError; NotReadyError if it is there and
        cannot be reached: only an odd row hides what last_sequence numbers. [deepwater.read.odd]"""
        with contextlib.suppress(Closed):
            if (record := self.next()) is not None:
                return record
        last = self.info().last_sequence  # before the last look: a writer may be at work
        with contextlib.suppress(Closed):
            if (record := self.next()) is not None:
                return record
        if last is not None and self.save().sequence <= last:
            raise NotReadyError("a writer died over a row: the next one, or collect, mends it")
        return None

    @abstractmethod
    def next_batch(self, limit: int) -> list[Record]:
        """What is there, up to `limit` records, all of one chunk; an empty list if there is nothing now. As next."""

    @abstractmethod
    def wait_next(self, timeout: float | None, spin: float = DEFAULT_SPIN) -> Record | None:
        """As next, waiting up to `timeout` seconds, without a limit for None; the first `spin` of them without sleeping."""

    @abstractmethod
    def seek(self, start: Start, at: int = 0) -> None:
        """Go elsewhere. Nothing counts as lost. [deepwater.read.seek-time, deepwater.read.seek-sequence]"""

    @abstractmethod
    def save(self) -> Cursor:
        """The place. [deepwater.read.cursor]"""

    @abstractmethod
    def restore(self, cursor: Cursor) -> None:
        """Come back to a place, of this or another reader of the feed."""

    @abstractmethod
    def latest_chunk(self) -> ChunkInfo:
        """The chunk that is being written. NotFoundError if there is none. [deepwater.read.latest-chunk]"""

    @abstractmethod
    def chunk(self, chunk_id: int) -> ChunkInfo:
        """A chunk. NotFoundError."""

    @abstractmethod
    def has_data_since(self, timestamp_ns: int) -> bool:
        """Has a record of that time or later been written? [deepwater.read.has-data]"""

    @abstractmethod
    def mapped_bytes(self, chunk_id: int) -> tuple[Window, Window, int]:
        """The mapped data and index of a chunk, and how many records are committed. They stay mapped for as long as anybody has
        a view of them. NotFoundError, ExpiredError, CorruptError."""


def open_writer(base: str, feed: str, options: FeedOptions, engine: Engine | None = None) -> WriterCore:
    """Make or find a feed, take its lock, recover what a dead writer left. InvalidNameError, InvalidArgumentError, BusyError,
    ExistsError, NotFoundError, Full, Closed (retired), UnsupportedError, and what is wrong with the registries."""
    native = is_native(engine)
    require_name(feed)
    require_options(options)
    if native:
        from .native import NativeWriter

        return NativeWriter(base, feed, options)
    from .writer import PureWriter

    return PureWriter(base, feed, options)


def open_reader(base: str, feed: str, options: ReaderOptions, engine: Engine | None = None) -> ReaderCore:
    """Open a feed for reading. InvalidNameError, NotFoundError, NotReadyError, and what is wrong with the registries."""
    native = is_native(engine)
    require_name(feed)
    require_u64(options.at, options.start)
    if native:
        from .native import NativeReader

        return NativeReader(base, feed, options)
    from .reader import PureReader

    return PureReader(base, feed, options)


def list_feeds(base: str, engine: Engine | None = None) -> list[FeedInfo]:
    """All feeds of a base directory. NotFoundError, NotReadyError, CorruptError, and what else is wrong with the registries."""
    if is_native(engine):
        from . import native

        return native.list_feeds(base)
    from . import care

    return care.list_feeds(base)


def retire(base: str, feed: str, engine: Engine | None = None) -> None:
    """Nothing more will be written. BusyError while a writer lives, NotFoundError. [deepwater.feed.retire]"""
    if is_native(engine):
        from . import native

        native.retire(base, feed)
        return
    from . import care

    care.retire(base, feed)


def collect(base: str, feed: str, engine: Engine | None = None) -> Recovered:
    """Recover what a dead writer left, and keep nothing in shared memory that is persisted. BusyError while a writer lives,
    NotFoundError, CorruptError. [deepwater.recover.busy]"""
    if is_native(engine):
        from . import native

        return native.collect(base, feed)
    from . import care

    return care.collect(base, feed)


def validate(base: str, feed: str, engine: Engine | None = None) -> None:
    """Check registries, rows, and every chunk that can be reached, CRCs included: raises for the first finding.
    [deepwater.validate.crc]"""
    if is_native(engine):
        from . import native

        native.validate(base, feed)
        return
    from .validate import validate as check

    check(base, feed)
