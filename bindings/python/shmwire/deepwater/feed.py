# SPDX-License-Identifier: MIT
"""Profile deepwater, sections 1.2, 3 and 4, python engine: the registry of one feed, which says where its chunks are. One writer
changes it, under its lock; readers map it and ask nobody."""

from __future__ import annotations

import contextlib
import os
from typing import Final, NamedTuple
from weakref import WeakSet

from .. import map as mapping
from .. import ofd
from ..atomic import ACQUIRE, RELAXED, RELEASE, Words, fence
from ..errors import (
    BadGeometryError,
    BadMagicError,
    BadVersionError,
    BusyError,
    Closed,
    CorruptError,
    NotFoundError,
    NotReadyError,
    OutOfOrderError,
    TruncatedError,
    from_os_error,
)
from ..wait import Backoff, Deadline
from . import layout
from .record import U32, FeedInfo
from .registry import Place, find, map_file
from .tree import FEED_FILE, LOCK_BYTE, Descriptor, open_file, require_name


class Row(NamedTuple):
    """The fields of a row at one moment."""

    chunk_id: int
    stamp: int
    state: int
    first_sequence: int
    record_count: int
    start_ns: int
    end_ns: int
    data_bytes: int
    data_capacity: int
    data_crc: int
    index_crc: int


class Feed:
    """A feed: its entry as it was checked, its directory, its registry. Its fields are those of the chapter."""

    __slots__ = ("__weakref__", "_lock", "_page", "capacity", "entry", "mapped", "parent", "place", "signals", "window", "words")

    def __init__(self, place: Place, writable: bool) -> None:
        """Map and check the registry. TruncatedError, NotReadyError, BadMagicError, BadVersionError, BadGeometryError,
        CorruptError, NotFoundError, PermissionError."""
        self.place = place
        self.entry = place.entry
        #: Of the lock alone: mmap keeps the description that it was given.
        self._lock = Descriptor(open_file(place.directory, FEED_FILE, os.O_RDWR if writable else os.O_RDONLY))
        self.parent = False  #: of a parent process, in a forked child
        self.mapped = map_file(place.directory, FEED_FILE, writable, layout.FEED_REGISTRY_SIZE)
        self.window = self.mapped.window
        self.words = Words(self.window)
        #: The words to sleep on; None where this process may not count itself as a sleeper.
        self.signals: Words | None = None
        self._page: mapping.Mapping | None = None  # of the signals
        try:
            self.capacity = self._check()
        except BaseException:
            self.mapped.close()
            raise
        if writable:
            _WRITABLE.add(self)

    def close(self) -> None:
        """Let go of all of it; the lock is given back at once, even if a forked child has the descriptor too."""
        if self._lock.fd >= 0 and self.window.writable and not self.parent:
            with contextlib.suppress(OSError):
                ofd.give(self._lock.fd, LOCK_BYTE)
        self._lock.close()
        if self.signals is not None and self._page is not None:
            self.signals.close()
            self._page.close()
        self.words.close()
        self.mapped.close()
        self.place.close()

    def inherited(self) -> None:
        """In a forked child: the lock is the parent's. Its description must not live on here."""
        self.parent = True
        self._lock.close()

    def require(self) -> None:
        """OutOfOrderError in a forked child of the writer, Closed once it has been closed."""
        if self.parent:
            raise OutOfOrderError("a writer of the parent process")
        if self._lock.fd < 0:
            raise Closed("it has been closed")

    def _check(self) -> int:
        """Section 3: the capacity. [deepwater.open.*]"""
        window = self.window
        magic = self.words.load_u64(layout.FEED_REGISTRY_MAGIC_OFFSET, ACQUIRE)  # A0: pairs with R0; the header after it
        if magic == 0:
            raise NotReadyError("its maker has not finished it")
        if magic != layout.FEED_MAGIC:
            raise BadMagicError(f"magic {magic:#x} of {FEED_FILE}")
        version = window.u32(layout.FEED_REGISTRY_VERSION_OFFSET)
        if version != layout.VERSION:
            raise BadVersionError(f"version {version}; {layout.VERSION} is read")
        size, capacity = window.u32(layout.FEED_REGISTRY_ROW_SIZE_OFFSET), window.u32(layout.FEED_REGISTRY_CAPACITY_OFFSET)
        if size != layout.ROW_SIZE or not 1 <= capacity <= layout.MAX_ROWS:
            raise BadGeometryError(f"{capacity} rows of {size} bytes")
        if layout.FEED_REGISTRY_SIZE + capacity * layout.ROW_SIZE > window.size:
            raise TruncatedError(f"{window.size} bytes for {capacity} rows")
        self.capacity = capacity
        self.rows()
        return capacity

    # Lock -----------------------------------------------------------------------------------------------------------

    def lock(self) -> None:
        """Take the writer's lock. BusyError. [deepwater.feed.one-writer]"""
        self.words.require_writable()
        if not ofd.take(self._lock.fd, LOCK_BYTE):
            raise BusyError(f"feed {self.entry.name!r} has a writer")

    def unlock(self) -> None:
        """Give the writer's lock back."""
        ofd.give(self._lock.fd, LOCK_BYTE)

    def writer_lives(self) -> bool:
        """Does a writer other than this one live?"""
        if self._lock.fd < 0:
            raise Closed("it has been closed")
        return ofd.taken(self._lock.fd, LOCK_BYTE)

    # Header ---------------------------------------------------------------------------------------------------------

    def rows(self) -> int:
        """Rows. CorruptError for more than there is room for. [deepwater.open.count]"""
        count = self.words.load_u64(layout.FEED_REGISTRY_COUNT_OFFSET, ACQUIRE)  # A2: pairs with R2; the rows below it
        if count > self.capacity:
            raise CorruptError(f"{count} rows in a registry of {self.capacity}")
        return count

    def expired_below(self, rows: int) -> int:
        """Rows below it, of so many, have expired: nobody has to look at them. In a feed that does not persist the writer keeps
        live_window chunks, and in a rotation, or if it died there, one more [deepwater.expire.window]. In one that persists only
        a power failure takes any, here and there."""
        return 0 if self.entry.persist else max(0, rows - self.entry.live_window - 1)

    def latest(self) -> int:
        """The row of the chunk that is being written, or NONE."""
        return self.words.load_u64(layout.FEED_REGISTRY_LATEST_OFFSET, ACQUIRE)  # A3: pairs with R3; count

    def end(self) -> int:
        """The sequence behind the last one written."""
        last = self.words.load_u64(layout.FEED_REGISTRY_LAST_SEQUENCE_OFFSET, ACQUIRE)
        return 0 if last == layout.NONE else last + 1

    def has_data_since(self, timestamp_ns: int) -> bool:
        """[deepwater.read.has-data]"""
        last = self.words.load_u64(layout.FEED_REGISTRY_LAST_SEQUENCE_OFFSET, ACQUIRE)  # stored behind the timestamp
        return last != layout.NONE and self.words.load_u64(layout.FEED_REGISTRY_LAST_TIMESTAMP_NS_OFFSET, RELAXED) >= timestamp_ns

    def retired(self) -> bool:
        """Will nothing more be written?"""
        return self.place.registry.flags(self.entry.feed_id) & layout.FLAG_RETIRED != 0

    def describe(self) -> FeedInfo:
        """The entry and the header, for people and programs."""
        entry, words, flags = self.entry, self.words, self.place.registry.flags(self.entry.feed_id)
        latest, last = self.latest(), words.load_u64(layout.FEED_REGISTRY_LAST_SEQUENCE_OFFSET, ACQUIRE)
        return FeedInfo(
            name=entry.name, directory=os.fsdecode(entry.directory), feed_id=entry.feed_id, persist=entry.persist,
            retired=flags & layout.FLAG_RETIRED != 0, chunk_size=entry.chunk_size, live_window=entry.live_window,
            record_size=entry.record_size, created_ns=entry.created_ns, rotate_ns=entry.rotate_ns, chunks=self.rows(),
            latest=None if latest == layout.NONE else latest, last_sequence=None if last == layout.NONE else last,
            last_timestamp_ns=words.load_u64(layout.FEED_REGISTRY_LAST_TIMESTAMP_NS_OFFSET, RELAXED),
            heartbeat_ns=words.load_u64(layout.FEED_REGISTRY_HEARTBEAT_NS_OFFSET, RELAXED),
            writer_pid=words.load_u32(layout.FEED_REGISTRY_WRITER_PID_OFFSET, RELAXED),
            waiters=words.load_u32(layout.FEED_REGISTRY_WAITERS_OFFSET, RELAXED), writer_lives=self.writer_lives())

    # Rows -----------------------------------------------------------------------------------------------------------

    @staticmethod
    def at(chunk_id: int, field: int = 0) -> int:
        """Where a field of a row lies."""
        return layout.FEED_REGISTRY_SIZE + chunk_id * layout.ROW_SIZE + field

    def stamp(self, chunk_id: int) -> int:
        """The stamp of a row."""
        # A5: pairs with R5; the fields of the change that made it even
        return self.words.load_u32(self.at(chunk_id, layout.ROW_STAMP_OFFSET), ACQUIRE)

    def raw_row(self, chunk_id: int) -> Row:
        """A row as it lies there, whatever its stamp says."""
        stamp = self.stamp(chunk_id)  # A5: pairs with R5; before the fields
        at, words, window = self.at(chunk_id), self.words, self.window
        return Row(
            window.u64(at + layout.ROW_CHUNK_ID_OFFSET), stamp,
            words.load_u32(at + layout.ROW_STATE_OFFSET, RELAXED), window.u64(at + layout.ROW_FIRST_SEQUENCE_OFFSET),
            words.load_u64(at + layout.ROW_RECORD_COUNT_OFFSET, RELAXED),
            words.load_u64(at + layout.ROW_START_NS_OFFSET, RELAXED), words.load_u64(at + layout.ROW_END_NS_OFFSET, RELAXED),
            words.load_u64(at + layout.ROW_DATA_BYTES_OFFSET, RELAXED),
            window.u64(at + layout.ROW_DATA_CAPACITY_OFFSET), words.load_u32(at + layout.ROW_DATA_CRC_OFFSET, RELAXED),
            words.load_u32(at + layout.ROW_INDEX_CRC_OFFSET, RELAXED))

    def row(self, chunk_id: int) -> Row:
        """A row below count, whole. CorruptError; NotReadyError for one that a dead writer left odd. [deepwater.read.row]
        [deepwater.read.odd]"""
        backoff = Backoff(Deadline(None))
        alone = False  # no writer lived before this look
        for look in range(layout.ROW_LOOKS):
            row = self.raw_row(chunk_id)
            fence(ACQUIRE)  # F6: pairs with F6; if a field is of a change under way, the stamp below shows it
            again = self.words.load_u32(self.at(chunk_id, layout.ROW_STAMP_OFFSET), RELAXED)
            if row.stamp & 1 == 0 and again == row.stamp:
                if row.chunk_id != chunk_id or not layout.STATE_LIVE <= row.state <= layout.STATE_EXPIRED:
                    raise CorruptError(f"row {chunk_id} is of chunk {row.chunk_id}, state {row.state}")
                return row
            if row.chunk_id != chunk_id:
                raise CorruptError(f"row {chunk_id} is of chunk {row.chunk_id}")  # no change touches it
            if alone and row.stamp & 1:
                raise NotReadyError(f"a writer died while it changed row {chunk_id}: the next one, or collect, mends it")
            alone = look >= layout.ATTACH_TRIES and not self.writer_lives()
            backoff.pause()
        raise CorruptError(f"row {chunk_id} keeps changing")

    def key_of(self, chunk_id: int) -> Row:
        """The row where only chunk_id, first_sequence, start_ns and data_capacity count, which are not under the stamp: good in
        an odd one too. CorruptError."""
        try:
            return self.row(chunk_id)
        except NotReadyError:
            return self.raw_row(chunk_id)

    def own_row(self, chunk_id: int) -> Row:
        """The row, by who holds the lock and has recovered: nobody else changes it, so that CorruptError is the answer to an odd
        one."""
        try:
            return self.row(chunk_id)
        except NotReadyError as error:
            raise CorruptError(error.detail) from None

    def expired(self, chunk_id: int) -> bool:
        """Is a row settled, and gone? For good then; an odd one may be mended to something else."""
        at = self.at(chunk_id)
        stamp = self.words.load_u32(at + layout.ROW_STAMP_OFFSET, ACQUIRE)  # A5: pairs with R5; the state of the change before
        state = self.words.load_u32(at + layout.ROW_STATE_OFFSET, RELAXED)
        fence(ACQUIRE)  # F6: pairs with F6; if the state is of a change under way, the stamp below shows it
        again = self.words.load_u32(at + layout.ROW_STAMP_OFFSET, RELAXED)
        return state == layout.STATE_EXPIRED and stamp & 1 == 0 and again == stamp

    def store_row(self, row: Row) -> None:
        """Store the fields that change, under the stamp; the lock is held. [deepwater.row.stamp]"""
        at, words = self.at(row.chunk_id), self.words
        stamp = words.load_u32(at + layout.ROW_STAMP_OFFSET, RELAXED) & ~1  # of a writer that died within a change: odd
        words.store_u32(at + layout.ROW_STAMP_OFFSET, stamp + 1, RELAXED)
        fence(RELEASE)  # F6: pairs with F6; the odd stamp before the fields
        words.store_u32(at + layout.ROW_STATE_OFFSET, row.state, RELAXED)
        words.store_u64(at + layout.ROW_RECORD_COUNT_OFFSET, row.record_count, RELAXED)
        words.store_u64(at + layout.ROW_END_NS_OFFSET, row.end_ns, RELAXED)
        words.store_u64(at + layout.ROW_DATA_BYTES_OFFSET, row.data_bytes, RELAXED)
        words.store_u32(at + layout.ROW_DATA_CRC_OFFSET, row.data_crc, RELAXED)
        words.store_u32(at + layout.ROW_INDEX_CRC_OFFSET, row.index_crc, RELAXED)
        words.store_u32(at + layout.ROW_STAMP_OFFSET, (stamp + 2) & U32, RELEASE)  # R5: pairs with A5; the fields

    def flush(self) -> None:
        """Write the registry to the disk."""
        try:
            os.fdatasync(self._lock.fd)
        except OSError as error:
            raise from_os_error(error, FEED_FILE) from None

    def map_signals(self) -> None:
        """The first page once more, read-write, for waiters alone, if the file's mode lets us. [deepwater.open.readonly]"""
        try:
            fd = os.open(f"/proc/self/fd/{self._lock.fd}", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return
        try:
            page = mapping.map_fd(fd, FEED_FILE, layout.FEED_REGISTRY_SIZE, writable=True)
        except BaseException:
            os.close(fd)
            raise
        self.signals, self._page = Words(page.window), page
        page.release_fd()


_WRITABLE: Final[WeakSet[Feed]] = WeakSet()


def _after_fork() -> None:
    for feed in list(_WRITABLE):
        feed.inherited()


os.register_at_fork(after_in_child=_after_fork)


def open_feed(base: str, name: str, writable: bool, wait: float = 0.0) -> Feed:
    """Find a feed and open it; what is absent, empty or unpublished is waited for, for up to `wait` seconds."""
    raw, deadline, backoff = require_name(name), Deadline(wait), Backoff(Deadline(wait))
    while True:
        last = deadline.expired()
        place = find(base, raw, writable, deadline)
        try:
            return Feed(place, writable)
        except (NotFoundError, NotReadyError, TruncatedError):
            place.close()
            if last:
                raise
        except BaseException:
            place.close()
            raise
        backoff.pause()
