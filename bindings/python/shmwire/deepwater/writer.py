# SPDX-License-Identifier: MIT
"""Profile deepwater, section 5, python engine: the writer. It is alone: what it stores it remembers, and it loads nothing that it
stored.

A KeyboardInterrupt can end Python code between any two steps. Appending changes what the writer remembers only when the record is
whole; a rotation that was interrupted gives the feed up, as if the process had died: the next writer recovers.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from typing import Final

from .. import atomic
from ..atomic import RELAXED, RELEASE
from ..errors import (
    Closed,
    Full,
    InvalidArgumentError,
    OutOfOrderError,
    ShmwireException,
    TooLargeError,
    UnsupportedError,
)
from . import layout, segment
from .core import Part, WriterCore
from .feed import Feed
from .making import find_or_make
from .persist import Stayed, expire, persist
from .record import ENTRY, U32, FeedInfo, FeedOptions, require_u64
from .recover import recover
from .segment import Chunk
from .tree import require_name
from .wake import wake

_BEAT_EVERY: Final = 1024  # records without a look at the clock


class PureWriter(WriterCore):
    """A writer of the python engine."""

    def __init__(self, base: str, feed: str, options: FeedOptions) -> None:
        super().__init__()
        self.engine = "python"
        if not atomic.AVAILABLE:
            raise UnsupportedError("without the extension module there are only readers")
        name = require_name(feed)
        self._mode, self._boot_ns = options.mode, options.boot_ns
        self._pid = (options.pid or os.getpid()) & U32
        self._live: Chunk | None = None  # none before the first append
        self._row = 0  # of it
        self._used = 0  # bytes of it
        self._entries = 0  # records in it
        self._first_ns = 0  # timestamp of its first record
        self._beat_ns = 0
        self._unbeaten = 0  # records since the last look at the clock
        place = find_or_make(base, name, options)
        try:
            self._feed = Feed(place, writable=True)
        except BaseException:
            place.close()
            raise
        try:
            self._feed.lock()
            self._begin()
        except BaseException:
            self._feed.close()
            raise
        self.directory = self._feed.place.base.path
        self.open = True

    def _begin(self) -> None:
        """The lock is ours: mend what a dead writer left, and go on behind it. Closed. [deepwater.feed.retired]"""
        feed = self._feed
        if feed.retired():
            raise Closed(f"feed {feed.entry.name!r} is retired")
        _, end = recover(feed, self._mode, feed.entry.live_window)
        self._next, self._last_ns = end.sequence, end.timestamp_ns
        self._in_memory = max(0, feed.rows() - feed.entry.live_window)  # rows below it are in shared memory no more
        feed.words.store_u32(layout.FEED_REGISTRY_WRITER_PID_OFFSET, self._pid, RELAXED)
        self._beat()

    def _beat(self) -> None:
        """A sign of life, when a second has passed since the last."""
        self._unbeaten = 0
        now = self._boot_ns or time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if now - self._beat_ns >= layout.HEARTBEAT_NS or self._boot_ns:
            self._beat_ns = now
            self._feed.words.store_u64(layout.FEED_REGISTRY_HEARTBEAT_NS_OFFSET, now, RELAXED)

    def _require(self) -> None:
        if not self.open:
            raise Closed("the writer has been closed")
        self._feed.require()

    # Rotating -------------------------------------------------------------------------------------------------------

    def rotate(self) -> None:
        self._require()
        if self._live is not None and self._entries:
            self._rotate()

    def _rotate(self) -> None:
        """Begin a new chunk. Full, and what the system refuses: then the old chunk is still the live one, or, when it only could
        not be persisted, the new one is there. [deepwater.rotate.full]"""
        feed, chunk_id = self._feed, self._feed.rows()
        if chunk_id >= feed.capacity:
            raise Full(f"feed {feed.entry.name!r} has room for {feed.capacity} chunks")
        feed.mapped.reserve(feed.at(chunk_id), layout.ROW_SIZE)  # a full disk answers here, and not by SIGBUS
        try:
            fresh = segment.make(feed, chunk_id, self._mode, self._pid)
            failed = self._switch(fresh, chunk_id)
        except ShmwireException:
            raise
        except BaseException:
            self._give_up()
            raise
        if failed is not None:
            raise failed

    def _switch(self, fresh: Chunk, chunk_id: int) -> ShmwireException | None:
        """Row, count, latest, and the old chunk last: what went wrong with that. [deepwater.rotate.order]"""
        feed, words = self._feed, self._feed.words
        self._fill_row(chunk_id)
        try:
            feed.flush()  # before count covers it: a count on the disk never has a row of zeros below it
        except ShmwireException:
            fresh.close()
            segment.unlink(feed, chunk_id)
            raise
        words.store_u64(layout.FEED_REGISTRY_COUNT_OFFSET, chunk_id + 1, RELEASE)  # R2: pairs with A2; the row, and its chunk
        failed: list[ShmwireException] = []
        words.store_u64(layout.FEED_REGISTRY_LATEST_OFFSET, chunk_id, RELEASE)  # R3: pairs with A3; count
        with _collected(failed):
            self._finish_live()
        self._live, self._row, self._used, self._entries, self._first_ns = fresh, chunk_id, 0, 0, 0
        with _collected(failed):
            self._expire(chunk_id + 1 - feed.entry.live_window)
        return failed[0] if failed else None

    def _fill_row(self, chunk_id: int) -> None:
        """A row that no count covers yet: R2 publishes it."""
        feed = self._feed
        feed.window.write(feed.at(chunk_id), bytes(layout.ROW_SIZE))
        feed.window.put_u64(feed.at(chunk_id, layout.ROW_CHUNK_ID_OFFSET), chunk_id)
        feed.window.put_u64(feed.at(chunk_id, layout.ROW_FIRST_SEQUENCE_OFFSET), self._next)
        feed.window.put_u64(feed.at(chunk_id, layout.ROW_DATA_CAPACITY_OFFSET), feed.entry.chunk_size)
        feed.words.store_u32(feed.at(chunk_id, layout.ROW_STATE_OFFSET), layout.STATE_LIVE, RELAXED)
        feed.words.store_u64(feed.at(chunk_id, layout.ROW_START_NS_OFFSET), self._last_ns, RELAXED)

    def _finish_live(self) -> None:
        """Seal the chunk that was live, and persist it if the feed does."""
        chunk, self._live = self._live, None
        if chunk is None:
            return
        with contextlib.closing(chunk):
            row = segment.seal(self._feed, chunk, self._entries, self._used, self._feed.own_row(self._row))
            if self._feed.entry.persist:
                persist(self._feed, chunk, self._mode, row)

    def _expire(self, end: int) -> None:
        """The chunks below `end` leave shared memory."""
        try:
            self._in_memory = expire(self._feed, self._in_memory, end, self._mode)
        except Stayed as stayed:
            self._in_memory = stayed.first
            raise stayed.error from None

    # Appending ------------------------------------------------------------------------------------------------------

    def _offset(self) -> int:
        """Where the next record begins. [deepwater.append.placing]"""
        if self._feed.entry.record_size:
            return self._used
        return self._used + -self._used % layout.RECORD_ALIGN

    def _fits(self, timestamp_ns: int, length: int) -> bool:
        """[deepwater.rotate.when]"""
        live, rotate_ns = self._live, self._feed.entry.rotate_ns
        if live is None or self._entries >= live.index_capacity or self._offset() + length > live.data_capacity:
            return False
        return rotate_ns == 0 or self._entries == 0 or timestamp_ns - self._first_ns < rotate_ns

    def _check(self, part: Part) -> None:
        """Step 1. [deepwater.append.size, deepwater.append.time]"""
        timestamp_ns, payload, kind = part
        length, size = len(payload), self._feed.entry.record_size
        if size and length != size:
            raise InvalidArgumentError(f"a record of {length} bytes in a feed of records of {size}")
        require_u64(timestamp_ns, "timestamp_ns")
        if not 0 <= kind <= U32:
            raise InvalidArgumentError(f"type {kind}")
        if length > min(self._feed.entry.chunk_size, U32):
            raise TooLargeError(f"a record of {length} bytes; a chunk takes {self._feed.entry.chunk_size}")
        if timestamp_ns < self._last_ns:
            raise OutOfOrderError(f"timestamp {timestamp_ns} after {self._last_ns}")
        if self._next == layout.NONE:
            raise Full("the last sequence has been used")

    def _put(self, part: Part) -> None:
        """Steps 3 to 5: everything of a record but what commits it. [deepwater.append.sequence]"""
        timestamp_ns, payload, kind = part
        live, length, offset = self._live, len(payload), self._offset()
        if live is None:
            raise Closed("the writer has been closed")
        if self._entries == 0:  # R4 publishes it
            feed = self._feed
            feed.words.store_u64(feed.at(self._row, layout.ROW_START_NS_OFFSET), timestamp_ns, RELAXED)
        if offset > self._used:
            live.put(self._used, bytes(offset - self._used))  # zero, whatever an interrupted call has left there
        live.put(offset, payload)
        live.put_entry(self._entries, ENTRY.pack(timestamp_ns, offset, length, kind, self._next))
        first = self._first_ns if self._entries else timestamp_ns
        self._first_ns, self._used, self._last_ns, self._entries, self._next = (
            first, offset + length, timestamp_ns, self._entries + 1, self._next + 1)

    def _commit(self) -> None:
        """Steps 6 to 8. [deepwater.append.commit, deepwater.append.header]"""
        words = self._feed.words
        if self._live is not None:
            self._live.commit(self._entries, self._used)  # R4
        words.store_u64(layout.FEED_REGISTRY_LAST_TIMESTAMP_NS_OFFSET, self._last_ns, RELAXED)
        words.store_u64(layout.FEED_REGISTRY_LAST_SEQUENCE_OFFSET, self._next - 1, RELEASE)
        self._unbeaten += 1
        if self._unbeaten >= _BEAT_EVERY:
            self._beat()
        wake(words)

    def append_batch(self, parts: Sequence[Part]) -> tuple[int, ShmwireException | None]:
        self._require()
        done, uncommitted = 0, 0
        try:
            for part in parts:
                self._check(part)
                if not self._fits(part[0], len(part[1])):
                    if uncommitted:
                        self._commit()  # before the chunk is left
                        uncommitted = 0
                    self._rotate()
                self._put(part)
                done += 1
                uncommitted += 1
        except ShmwireException as error:
            return done, error
        finally:
            if uncommitted and self.open:
                self._commit()
        return done, None

    def append(self, part: Part) -> int:
        done, error = self.append_batch((part,))
        if not done and error is not None:
            raise error
        return self._next - 1

    # Leaving --------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Leave. [deepwater.leave.flush]"""
        if not self.open:
            return
        self.open = False
        failed: list[ShmwireException] = []
        try:
            if not self._feed.parent:  # in a forked child the parent goes on
                with _collected(failed):
                    self._feed.flush()  # the count that covers the chunks must not be younger than their files
                with _collected(failed):
                    self._finish_live()
                with _collected(failed):
                    self._expire(self._feed.rows())
                self._bow_out(failed)
        finally:
            self._let_go()
        if failed:
            raise failed[0]

    def _bow_out(self, failed: list[ShmwireException]) -> None:
        words = self._feed.words
        words.store_u64(layout.FEED_REGISTRY_LATEST_OFFSET, layout.NONE, RELEASE)  # R3: pairs with A3
        words.store_u32(layout.FEED_REGISTRY_WRITER_PID_OFFSET, 0, RELAXED)
        with _collected(failed):
            self._feed.flush()
        self._feed.unlock()  # before the wake: readers that end with the writer must not find it alive
        wake(words)

    def _let_go(self) -> None:
        if self._live is not None:
            self._live.close()
            self._live = None
        self._feed.close()

    def _give_up(self) -> None:
        """As if the process had died: the next writer recovers."""
        self.open = False
        self._let_go()

    def info(self) -> FeedInfo:
        self._require()
        return self._feed.describe()._replace(writer_lives=True)  # our own lock does not show


@contextlib.contextmanager
def _collected(failed: list[ShmwireException]) -> Iterator[None]:
    """Go on behind what fails, and keep why."""
    try:
        yield
    except ShmwireException as error:
        failed.append(error)

