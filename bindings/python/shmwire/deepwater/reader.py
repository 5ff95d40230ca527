# SPDX-License-Identifier: MIT
"""Profile deepwater, section 6, python engine: reading on, from chunk to chunk. seek.py chooses where to begin.

A reader has a row, an index in it, and the sequence that it expects next. It holds the chunk of its row until it goes to another
one: what is unlinked meanwhile stays readable [deepwater.read.held]. Loads only: nothing here stores to a segment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from .. import atomic
from ..errors import Closed, CorruptError, NotFoundError, NotReadyError
from ..wait import DEFAULT_SPIN, Backoff, Deadline
from . import layout, seek
from .core import ReaderCore
from .feed import Feed, Row, open_feed
from .record import STATES, U64, ChunkInfo, Cursor, Expired, FeedInfo, ReaderOptions, Record, Start
from .segment import Chunk, attach, attach_memory, memory_names
from .wake import await_

if TYPE_CHECKING:
    from ..bytes import Window

T = TypeVar("T")


class PureReader(ReaderCore):
    """A reader of the python engine."""

    def __init__(self, base: str, name: str, options: ReaderOptions) -> None:
        super().__init__()
        self.engine = "python"
        self._end_with_writer = options.end_with_writer
        self._held: Chunk | None = None
        self._row = 0  # of what is held, or the one that comes next
        self._first = 0  # sequence of its first record
        self._index = 0  # in it
        self._known = 0  # entry_count as loaded last
        self._next = 0  # sequence
        self._lost = 0  # before the next record
        self._feed = open_feed(base, name, writable=False, wait=options.wait)
        self.directory = self._feed.place.base.path
        self.open = True
        try:
            self._seek_within(options)
            if not options.read_only and atomic.AVAILABLE:
                self._feed.map_signals()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of everything. Records that were lent stay."""
        self.open = False
        self._drop()
        self._feed.close()

    def _seek_within(self, options: ReaderOptions) -> None:
        """Choose where to begin, waiting for a writer that mends the row that says it."""
        deadline = Deadline(options.wait)
        backoff = Backoff(deadline)
        while True:
            last = deadline.expired()
            try:
                return self.seek(options.start, options.at)
            except NotReadyError:
                if last:
                    raise
            backoff.pause()

    def _require(self) -> Feed:
        if not self.open:
            raise Closed("the reader has been closed")
        return self._feed

    def _drop(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.close()

    # Chunks ---------------------------------------------------------------------------------------------------------

    def _go_to(self, chunk_id: int, sequence: int) -> None:
        """Be between chunks: row `chunk_id` comes next, and the record `sequence` in it."""
        self._drop()
        self._row, self._next, self._index, self._known, self._lost = chunk_id, sequence, 0, 0, 0

    def _enter(self, chunk_id: int) -> bool:
        """Hold a row's chunk, at the record that is wanted or at its first one; False once it has expired. After an error the
        reader is where it was."""
        found = attach(self._feed, chunk_id)
        if found is None:
            return False
        self._drop()
        row, self._held = found
        self._row, self._first, self._known = chunk_id, row.first_sequence, 0
        self._index = max(0, self._next - row.first_sequence)
        return True

    def _enter_next(self) -> bool:
        """The row after this one, or the one that could not be entered yet; False if there is none. Expired."""
        chunk_id = self._row + 1 if self._held is not None else self._row
        if chunk_id >= self._feed.rows():  # A2: pairs with R2; the rows below it
            return False
        if not self._enter(chunk_id):
            self._drop()
            self._row = chunk_id
            self._pass_expired()
        return True

    def _pass_expired(self) -> None:
        """Go behind what is gone. Expired, if anything was lost. [deepwater.read.expired] A row that a dead writer left odd is
        where it ends: it is asked for again, and whether it is gone is known when it is mended."""
        feed, before, end = self._feed, self._next, self._next
        chunk_id = self._row
        while True:
            written = feed.end()  # before count: what it covers is in rows that the count has
            rows = feed.rows()
            if chunk_id >= rows:  # nothing is left: to the end of what was written
                end, self._row = max(end, written), chunk_id
                break
            chunk_id = max(chunk_id, feed.expired_below(rows))  # what is passed over is below its first_sequence
            row = feed.key_of(chunk_id)
            end = max(end, row.first_sequence)
            try:
                if self._enter(chunk_id):
                    break
            except NotReadyError:
                self._row = chunk_id
                break
            end = max(end, row.first_sequence + row.record_count)
            chunk_id += 1
        self._next = min(end, U64)
        if end > before:
            self._lost = end - before
            raise Expired(f"{end - before} records of feed {feed.entry.name!r} are gone", end - before)

    # Records --------------------------------------------------------------------------------------------------------

    def _look(self, held: Chunk) -> bool | None:
        """Is there a record at the index? None: not in this chunk any more. CorruptError. [deepwater.read.sealed]"""
        if self._index < self._known:
            return True
        self._known = held.count()  # A4: pairs with R4; the records below it
        if self._index < self._known:
            return True
        if not held.sealed():  # A9: pairs with R9; entry_count, which is final
            return False
        self._known = held.count()
        return True if self._index < self._known else None

    def _advance(self) -> bool:
        """Come to a record, over the ends of chunks; False if there is none now. Expired, CorruptError; NotReadyError: the next
        row is odd, and no writer lives."""
        while True:
            if self._held is not None:
                found = self._look(self._held)
                if found is not None:
                    return found
            if not self._enter_next():
                return False

    def _take(self) -> Record:
        if self._held is None:
            raise Closed("the reader has been closed")
        record = self._held.record(self._first, self._index, self._lost)
        self._index, self._next, self._lost = self._index + 1, record.sequence + 1, 0
        return record

    def _come(self) -> bool | None:
        """Come to a record; None at an odd row, behind which there may be records. [deepwater.read.odd]"""
        try:
            return self._advance()
        except NotReadyError:
            return None

    def _ended(self, come: bool | None) -> bool:
        """Will nothing more come? [deepwater.read.end] What an odd row hides collect brings back, in a retired feed too."""
        return (come is False and self._feed.retired()) or (self._end_with_writer and not self._feed.writer_lives())

    def next(self) -> Record | None:
        self._require()
        come = self._come()
        if come:
            return self._take()
        if not self._ended(come):
            return None
        again = self._come()
        if again:  # it came before the end
            return self._take()
        if again is None and come is False:
            return None
        raise Closed(f"feed {self._feed.entry.name!r} has ended")

    def next_batch(self, limit: int) -> list[Record]:
        first = self.next()
        if first is None:
            return []
        found = [first]
        while len(found) < limit and self._index < self._known:
            try:
                found.append(self._take())
            except Exception:
                break  # the next call comes to it again
        return found

    def wait_next(self, timeout: float | None, spin: float = DEFAULT_SPIN) -> Record | None:
        feed, look = self._require(), self._locked(self.next)
        record = look()
        if record is not None or timeout == 0:  # no clock is read where there is a record
            return record
        return await_(feed.signals, look, Deadline(timeout), spin)

    def _locked(self, call: Callable[[], T]) -> Callable[[], T]:
        """The call, with the lock held: others have their turn while this one sleeps."""
        def locked() -> T:
            with self.lock:
                return call()
        return locked

    # Choosing -------------------------------------------------------------------------------------------------------

    def seek(self, start: Start, at: int = 0) -> None:
        self._go_to(*seek.choose(self._require(), start, at))

    def save(self) -> Cursor:
        self._require()
        return Cursor(self._row, self._next)

    def restore(self, cursor: Cursor) -> None:
        self._go_to(*seek.return_to(self._require(), cursor))

    # Questions ------------------------------------------------------------------------------------------------------

    def info(self) -> FeedInfo:
        return self._require().describe()

    def has_data_since(self, timestamp_ns: int) -> bool:
        return self._require().has_data_since(timestamp_ns)

    def latest_chunk(self) -> ChunkInfo:
        latest = self._require().latest()
        if latest == layout.NONE:
            raise NotFoundError(f"nobody writes to feed {self._feed.entry.name!r}")
        if latest >= self._feed.rows():
            raise CorruptError(f"the latest chunk is {latest}, above count")
        return self.chunk(latest)

    def chunk(self, chunk_id: int) -> ChunkInfo:
        feed = self._require()
        if not 0 <= chunk_id < feed.rows():
            raise NotFoundError(f"chunk {chunk_id} of feed {feed.entry.name!r}")
        row = feed.row(chunk_id)
        return _tell(feed, _with_live(feed, row) if row.state == layout.STATE_LIVE else row)

    def mapped_bytes(self, chunk_id: int) -> tuple[Window, Window, int]:
        return mapped_bytes(self._require(), chunk_id)


def mapped_bytes(feed: Feed, chunk_id: int) -> tuple[Window, Window, int]:
    """ReaderCore.mapped_bytes of a feed."""
    if not 0 <= chunk_id < feed.rows():
        raise NotFoundError(f"chunk {chunk_id} of feed {feed.entry.name!r}")
    found = attach(feed, chunk_id)
    if found is None:
        raise Expired(f"chunk {chunk_id} of feed {feed.entry.name!r} is gone")
    chunk = found[1]
    return chunk.data.window, chunk.index.window, chunk.count()


def _with_live(feed: Feed, row: Row) -> Row:
    """The row of a live chunk, with what its index says, if it can be reached."""
    try:
        chunk = attach_memory(feed, row.chunk_id)
    except NotFoundError:
        return row
    count = chunk.count()
    if count:
        end = chunk.entry(row.first_sequence, count - 1)
        row = row._replace(record_count=count, end_ns=end[0], data_bytes=end[1] + end[2])
    chunk.close()
    return row


def _tell(feed: Feed, row: Row) -> ChunkInfo:
    data_name, index_name = memory_names(feed, row.chunk_id)
    return ChunkInfo(row.chunk_id, STATES[row.state], row.first_sequence, row.record_count, row.start_ns, row.end_ns,
                     row.data_bytes, row.data_capacity, row.data_crc, row.index_crc, data_name, index_name)
